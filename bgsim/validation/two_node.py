"""Put and get between two neighbours against the measured two-node tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from bgsim.datasheet import Datasheet
from bgsim.units import format_bytes
from bgsim.validation.case import Case, Row
from bgsim.validation_data import TWO_NODE_COLUMNS, table
from bgsim.workloads import dcmf
from bgsim.workloads.configs import DcmfConfig
from bgsim.workloads.resolved import Partition, ResolvedRun

Measure = Literal["latency", "bandwidth"]

METRICS = {"latency": "latency_us", "bandwidth": "bandwidth_MiBps"}
TOLERANCE_PERCENT = {"latency": 10.0, "bandwidth": 1.0}
FAST_SIZES = (8, 128, 512, 1024, 4096, 16384)

CALIBRATED_ON = {
    ("put", "local", "latency"): (8, 256),
    ("get", "local", "bandwidth"): (8, 512),
    ("put", "local", "bandwidth"): (256, 512),
}
"""Smallest and largest size, in bytes, of the rows that a constant was fitted to."""

_LARGE = 65536
_OPERATIONS = {False: {"messages": 8, "warmup": 16}, True: {"messages": 2, "warmup": 2}}
"""Operations of small and of large messages; the latter fill the pipeline with the first one."""


def simulated(operation: str, completion: str, measure: Measure, size: int) -> float:
    """Microseconds per operation, or MiB/s."""
    machine = Datasheet.load()
    settings = {"operation": operation, "completion": completion, "measure": measure, "size": f"{size} B"}
    config = DcmfConfig.model_validate({"kind": "dcmf", **settings, **_OPERATIONS[size > _LARGE]})
    partition = Partition("pair", (2, 1, 1), (False, False, False))
    outcome = dcmf.run(ResolvedRun(machine, machine, partition, "bare-metal", "cnk", config, 0, 0))
    return float(outcome.metrics[METRICS[measure]])


def _rows_of(measure: Measure) -> Callable[[bool], Iterator[Row]]:
    def rows(fast: bool) -> Iterator[Row]:
        for (operation, completion, what), column in TWO_NODE_COLUMNS.items():
            if what != measure:
                continue
            series = "put, remote completion" if completion == "remote" else operation
            first, last = CALIBRATED_ON.get((operation, completion, what), (0, -1))
            for line in table(f"two_node_{measure}"):
                size = int(line["bytes"])
                if line[column] and (not fast or size in FAST_SIZES):
                    value = simulated(operation, completion, measure, size)
                    tolerance = None if first <= size <= last else TOLERANCE_PERCENT[measure]
                    yield Row(series, format_bytes(size), float(line[column]), value, tolerance)

    return rows


_SOURCE = (
    "result files of the a1 benchmarks (github.com/jeffhammond/a1, 2010 to 2012), two nodes of a Blue Gene/P"
)
_LAW = (
    "The packet law (640 ns per 240 B) was derived from the same tables: rows above 1 KiB show that "
    "it is exact, "
    "and cannot show that its constant is right."
)

LATENCY = Case(
    name="two-node-latency-against-measurement",
    compares="time of one blocking DCMF put or get between neighbours with the measured one",
    kind="measured",
    unit="µs",
    source=_SOURCE,
    conditions="Native; the partners are taken to be neighbours. `dcmf.operation` was fitted to puts "
    f"up to 256 B. {_LAW}",
    binding=True,
    rows=_rows_of("latency"),
)

BANDWIDTH = Case(
    name="two-node-bandwidth-against-measurement",
    compares="rate of streamed A1 puts and gets between neighbours with the measured one",
    kind="measured",
    unit="MiB/s",
    source=_SOURCE,
    conditions="Native, steady state. `dcmf.get_extra` and `a1.operation` were fitted to gets up to "
    "512 B and puts of 256 "
    f"and 512 B. {_LAW}",
    binding=True,
    rows=_rows_of("bandwidth"),
)

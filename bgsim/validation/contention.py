"""512 nodes at once against the measured tables: antipodal gets and sends, puts of eight distance classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from bgsim.datasheet import Datasheet
from bgsim.units import format_bytes
from bgsim.validation.case import Case, Row
from bgsim.validation_data import table
from bgsim.workloads import traffic, traffic_measured
from bgsim.workloads.resolved import Partition, ResolvedRun
from bgsim.workloads.traffic_config import TrafficConfig

MIDPLANE = Partition("midplane", (8, 8, 8), (True, True, True))
SEED = 20110531

TIME_TOLERANCE_PERCENT = 5.0
TIME_FROM_BYTES = 1024
SMALL_TOLERANCE_PERCENT = 50.0
"""Below 1 KiB the tables' whole microseconds are rounded by up to a quarter."""

RATE_TOLERANCE_PERCENT = 15.0
SPREAD_FROM_BYTES = 65536
"""From here on the spread over nodes is larger than the rounding."""

SPREAD_TOLERANCE_PERCENT = 100.0

CALIBRATED_UP_TO_BYTES = {"get": 0, "send": 512}
"""Largest size of the rows that constants of the software were fitted to."""

FAST_BYTES = (1, 1024)
FAST_CLASSES = ((1, 1, 1), (3, 1, 1))


@cache
def simulated(
    pattern: str, operation: str, size: int, displacement: tuple[int, ...] | None = None
) -> dict[str, float]:
    """Metrics of 100 operations of all nodes of a midplane."""
    machine = Datasheet.load()
    settings: dict[str, Any] = {"pattern": pattern, "operation": operation, "size": f"{size} B"}
    if displacement is not None:
        settings["displacement"] = list(displacement)
    config = TrafficConfig.model_validate({"kind": "traffic", **settings})
    run = ResolvedRun(machine, machine, MIDPLANE, "bare-metal", "cnk", config, SEED, 0)
    return {name: float(value) for name, value in traffic.run(run).metrics.items()}


def _times_of(operation: str) -> Callable[[bool], Iterator[Row]]:
    def rows(fast: bool) -> Iterator[Row]:
        sizes = sorted({int(line["bytes"]) for line in table(f"antipodal_512_{operation}_all_active")})
        for size in sizes:
            if fast and size not in FAST_BYTES:
                continue
            known = traffic_measured.antipodal(operation, size)
            assert known is not None
            found = simulated("antipodal", operation, size)
            large = size >= TIME_FROM_BYTES
            tolerance: float | None = TIME_TOLERANCE_PERCENT if large else SMALL_TOLERANCE_PERCENT
            if size <= CALIBRATED_UP_TO_BYTES[operation]:
                tolerance = None
            series, name = "mean, from 1 KiB" if large else "mean, below 1 KiB", format_bytes(size)
            yield Row(series, name, known["operation_us_avg"], found["operation_us_avg"], tolerance)
            if size >= SPREAD_FROM_BYTES:
                spread = known["operation_us_max"] - known["operation_us_min"]
                ours = found["operation_us_max"] - found["operation_us_min"]
                yield Row("slowest less fastest node", name, spread, ours, SPREAD_TOLERANCE_PERCENT)

    return rows


def _classes(fast: bool) -> Iterator[Row]:
    measured: dict[int, dict[tuple[int, ...], float]] = {}
    for line in table("shift_512_put"):
        place = tuple(int(line[f"abs_d{axis}"]) for axis in "xyz")
        middle = (float(line["min_MiBps"]) + float(line["max_MiBps"])) / 2
        measured.setdefault(int(line["bytes"]), {})[place] = middle
    for size in sorted(measured)[: 1 if fast else None]:
        known = measured[size]
        ranked = sorted(FAST_CLASSES if fast else known, key=lambda place: -known[place])
        rates = {place: simulated("shift", "put", size, place)["bandwidth_MiBps"] for place in ranked}
        for place in ranked:
            point = f"{place}, {format_bytes(size)}"
            yield Row("rate", point, known[place], rates[place], RATE_TOLERANCE_PERCENT)
        for place in ranked:
            point = f"{place}, {format_bytes(size)}"
            yield Row("rank among the classes", point, _rank(place, known), _rank(place, rates), 0.0)


def _rank(place: tuple[int, ...], rates: dict[tuple[int, ...], float]) -> float:
    """1 for the fastest class."""
    return 1.0 + sum(other > rates[place] for other in rates.values())


_SOURCE = (
    "result files of the a1 benchmarks (github.com/jeffhammond/a1, 2010 to 2012), 512 nodes of a "
    "Blue Gene/P, one process each"
)
_CONDITIONS = (
    "Native; 100 operations of every node posted back to back, time until all are complete divided by 100. "
    "Large sizes are simulated in part (steady state)."
)
_TIMES = (
    "Expected: the mean of both routing labels; the spread from the least to the largest value of either. "
    "The table has whole microseconds."
)

GET = Case(
    name="antipodal-get-against-measurement",
    compares="time of a get from the antipode, all nodes at once, with the measured one",
    kind="measured",
    unit="µs",
    source=_SOURCE,
    conditions=f"{_CONDITIONS} {_TIMES}",
    binding=False,
    rows=_times_of("get"),
)

SEND = Case(
    name="antipodal-send-against-measurement",
    compares="time of a two-sided message to the antipode, all nodes at once, with the measured one",
    kind="measured",
    unit="µs",
    source=_SOURCE,
    conditions=f"{_CONDITIONS} {_TIMES} Eager up to 1,200 B, rendezvous above. The receiver's software was "
    "fitted to rows up to 512 B.",
    binding=False,
    rows=_times_of("send"),
)

PUT = Case(
    name="shift-put-against-measurement",
    compares="rate of puts to a displacement, all nodes at once, with the measured one, by distance class",
    kind="measured",
    unit="MiB/s",
    source=_SOURCE,
    conditions=f"{_CONDITIONS} Expected: the middle of the range over signs of the displacement; simulated "
    "with all signs positive. The rules of the router were chosen with this table in view; of its numbers, "
    "`torus.router_read_time` was.",
    binding=False,
    rows=_classes,
)

"""Synthetic studies: invented numbers of a realistic size, in the shape that real studies have."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable
from typing import Any

import pandas
import pytest

from bgsim.experiment.identity import canonical
from bgsim.experiment.metrics import METRICS, slowdown
from bgsim.experiment.statistics import mean_interval
from bgsim.experiment.summary import FIXED_COLUMNS, column_names

FREQUENCY_HZ = 850_000_000

Record = dict[str, Any]


class SyntheticStudy:
    """Records with the summary that a study makes of them."""

    def __init__(self, records: list[Record]) -> None:
        self.records = records

    def summary(self) -> pandas.DataFrame:
        axes = list(dict.fromkeys(path for record in self.records for path in record["point"]))
        names = column_names(axes)
        values: dict[tuple[Any, ...], list[float]] = {}
        for record in self.records:
            metrics = dict(record["metrics"])
            native = [
                r["metrics"]
                for r in self.records
                if (r["point"], r["replication"], r["platform"])
                == (record["point"], record["replication"], "bare-metal")
            ]
            ratio = slowdown(native[0], metrics) if native and record["platform"] != "bare-metal" else None
            if ratio is not None:
                metrics["slowdown"] = ratio
            swept = [record["point"].get(axis) for axis in axes]
            place = tuple(canonical(value) if isinstance(value, dict) else value for value in swept)
            for name, value in metrics.items():
                values.setdefault((*place, record["platform"], name), []).append(float(value))
        rows = []
        for (*axis_values, platform, metric), numbers in values.items():
            interval = mean_interval(numbers)
            unit = METRICS[metric].unit
            rows.append(
                (*axis_values, platform, metric, unit, interval.mean, interval.low, interval.high, interval.n)
            )
        return pandas.DataFrame(rows, columns=[*names, *FIXED_COLUMNS])


def make_record(
    point: dict[str, Any],
    platform: str,
    workload: dict[str, Any],
    metrics: dict[str, float],
    *,
    replication: int = 0,
    machine_set: dict[str, Any] | None = None,
    **rest: Any,
) -> Record:
    text = repr((sorted(point.items()), platform, replication, sorted(workload.items())))
    return {
        "run_id": hashlib.sha256(text.encode()).hexdigest()[:16],
        "experiment": workload["kind"],
        "point": point,
        "platform": platform,
        "guest": "kittyhawk-linux",
        "replication": replication,
        "seed": 20110531,
        "config": {"machine": {"base": "bgp", "set": machine_set or {}}, "assume": {}, "workload": workload},
        "metrics": metrics,
        "exits": rest.get("exits", []),
        "attribution": rest.get("attribution", {}),
        "details": rest.get("details", {}),
        "provenance": {},
    }


_PROGRAMS = {"lcc": 58.31, "gcc346": 143.72, "gcc12": 188.94}

_SENSITIVITY = (
    ("l4.cpi", "ratio", "G", "1.2", "1.43", "2.19", 0.84, 1.53),
    ("l4.icache_refill_cycles_per_line", "cycles", "G", 16.5, 20.4, 34.1, 0.95, 1.17),
    ("l4.build", "enum", "R", "o2", "os", "os", 0.81, 1.0),
    ("guest.cpi", "ratio", "G", 1.1, 1.6, 2.4, 1.45, 0.67),
    ("guest.cache_miss_cycles", "cycles", "Mh", 40, 50, 60, 1.06, 0.94),
    ("l4.tlb.pinned_entries", "count", "R", 3, 4, 5, 0.99, 1.01),
    ("guest.hz", "count", "G", 100, 250, 1000, 0.998, 1.004),
)


def _compile_attribution(platform: str, elapsed_s: float, program: str) -> dict[str, int]:
    if platform == "bare-metal":
        parts = {"guest_user": 0.781, "guest_kernel": 0.062, "guest_tlb_refill": 0.155, "idle": 0.002}
    else:
        parts = {
            "guest_user": 0.0182,
            "guest_kernel": 0.0031,
            "guest_tlb_refill": 0.0081,
            "icache_refill_guest": 0.0173,
            "PPC_HVM_DTLB_MISS": 0.2632,
            "PPC_HVM_ITLB_MISS": 0.0644,
            "PPC_HVM_EMUL_MTSPR": 0.2391,
            "PPC_HVM_EMUL_MFSPR": 0.1702,
            "PPC_HVM_EMUL_TLBWE": 0.1343,
            "PPC_HVM_EMUL_RFI": 0.0211,
            "PPC_HVM_EMUL_MFMSR": 0.0012,
            "PPC_HVM_EMUL_WRTEEI": 0.0011,
            "PPC_HVM_EXCEPT_SYSCALL": 0.0004,
            "PPC_HVM_EXCEPT_DECREMENTER": 0.0003,
            "PPC_HVM_EXCEPT_EXTERNAL": 0.00001,
            "icache_refill_l4": 0.0561,
            "ipc": 0.00042,
            "vmm": 0.00071,
            "device": 0.00001,
            "idle": 0.0,
        }
        if program == "lcc":
            parts["PPC_HVM_EXCEPT_SYSCALL"] += 0.02
    total = round(elapsed_s * FREQUENCY_HZ)
    scale = sum(parts.values())
    cycles = {cause: math.floor(total * part / scale) for cause, part in parts.items()}
    cycles["idle"] += total - sum(cycles.values())
    return cycles


def _compile_exits(attribution: dict[str, int]) -> list[dict[str, Any]]:
    rows = []
    for cause, cycles in attribution.items():
        if cause.startswith("PPC_HVM_"):
            rows.append({"cause": cause, "count": cycles // 641, "cycles_l4": cycles, "cycles_vmm": 0})
    return sorted(rows, key=lambda row: -row["cycles_l4"])


def compile_record(program: str, platform: str, replication: int = 0, **sets: Any) -> Record:
    elapsed_s = 3.0 if platform == "bare-metal" else _PROGRAMS[program]
    if "tlb.entries" in sets:
        elapsed_s *= (64 / sets["tlb.entries"]) ** (0.05 if platform == "bare-metal" else 0.7)
    elapsed_s *= 1 + 0.01 * replication
    attribution = _compile_attribution(platform, elapsed_s, program)
    total = sum(attribution.values())
    details: dict[str, Any] = {}
    if platform == "virtual-machine":
        details["sensitivity"] = [
            {
                "parameter": name,
                "unit": unit,
                "confidence": mark,
                "low": low,
                "central": central,
                "high": high,
                "elapsed_low_s": elapsed_s * at_low,
                "elapsed_high_s": elapsed_s * at_high,
            }
            for name, unit, mark, low, central, high, at_low, at_high in _SENSITIVITY
        ]
        details["sensitivity_range_s"] = [elapsed_s * 0.55, elapsed_s * 1.9]
    point: dict[str, Any] = {"workload.program": program}
    point |= {f"machine.set.{name}": value for name, value in sets.items()}
    exits = _compile_exits(attribution)
    metrics = {
        "elapsed_s": total / FREQUENCY_HZ,
        "cycles_total": total,
        "tlb_misses": 5_021_433 if platform == "bare-metal" else 10_900_511,
        "exits_total": sum(row["count"] for row in exits),
        "exits_per_s_host": 21e6,
    }
    workload = {"kind": "compile", "program": program, "native_time": "3 s"}
    return make_record(
        point,
        platform,
        workload,
        metrics,
        replication=replication,
        machine_set=sets,
        exits=exits,
        attribution=attribution,
        details=details,
    )


def make_compile() -> SyntheticStudy:
    return SyntheticStudy(
        [compile_record(program, p) for program in _PROGRAMS for p in ("bare-metal", "virtual-machine")]
    )


def make_tlb_sweep() -> SyntheticStudy:
    return SyntheticStudy(
        [
            compile_record(program, platform, replication, **{"tlb.entries": entries})
            for entries in (64, 128, 256, 512)
            for program in ("lcc", "gcc346")
            for platform in ("bare-metal", "virtual-machine")
            for replication in range(3)
        ]
    )


def make_netperf() -> SyntheticStudy:
    records = []
    for network in ("torus", "collective"):
        for test in ("tcp_stream", "udp_stream", "tcp_rr", "udp_rr"):
            for mtu in ("1500 B", "9000 B"):
                for size in ("1 B", "64 B", "1 KiB", "4 KiB", "16 KiB", "64 KiB"):
                    for platform in ("bare-metal", "virtual-machine"):
                        point = {
                            "workload.network": network,
                            "workload.test": test,
                            "workload.mtu": mtu,
                            "workload.message_size": size,
                        }
                        records.append(_netperf_record(point, platform))
    return SyntheticStudy(records)


def _netperf_record(point: dict[str, Any], platform: str) -> Record:
    number, unit = point["workload.message_size"].split()
    size = int(number) * (1024 if unit == "KiB" else 1)
    mtu = int(point["workload.mtu"].split()[0])
    test, network = point["workload.test"], point["workload.network"]
    frames = -(-size // (mtu - 40))
    per_frame = 12.0 if platform == "bare-metal" else 310.0
    if network == "collective":
        per_frame = (
            16.0 + 0.5 * min(size, mtu) / 240
            if platform == "bare-metal"
            else 420 + 230 * min(size, mtu) / 240
        )
    cost_us = 9.0 * (1 if platform == "bare-metal" else 14) + frames * per_frame + size * 0.003
    if test.startswith("udp"):
        cost_us *= 0.7
    metrics = {"cpu_us_per_message": 1.6 * cost_us, "interrupts": 200, "messages": 64}
    if platform == "virtual-machine":
        metrics["exits_per_frame"] = 41.5
    if test.endswith("stream"):
        metrics["throughput_bps"] = size * 8e6 / cost_us
    else:
        metrics |= {
            "latency_us": 4.1 * cost_us,
            "latency_p50_us": 4.0 * cost_us,
            "latency_p99_us": (5.0 if platform == "bare-metal" else 7.5) * cost_us,
        }
    workload = {"kind": "netperf", "messages": 64, "warmup": 8}
    workload |= {path.split(".")[1]: value for path, value in point.items()}
    return make_record(point, platform, workload, metrics)


_OPERATIONS = {
    "null-system-call": (105, 190, 5961, 9719, 18, 5950),
    "getpid-loop": (123, 205, 5980, 9804, 18, None),
    "tlb-miss-walk": (65, 141, 10424, 14949, 18, 10400),
    "page-fault-touch": (610, 1190, 21500, 31800, 50, 21000),
    "context-switch-ping-pong": (1260, 2080, 96000, 124000, 211, None),
    "ipc-round-trip": (1160, 1710, 12773, 17179, 2, 12800),
    "device-register-access": (4, 92, 13750, 18180, 1, 13750),
    "timer-tick": (310, 480, 9510, 14800, 29, 9500),
}


def make_micro(listed: bool = True) -> SyntheticStudy:
    records = []
    for name, (instr, cycles, virtual_instr, virtual_cycles, exits, hand) in _OPERATIONS.items():
        for platform in ("bare-metal", "virtual-machine"):
            native = platform == "bare-metal"
            row: dict[str, Any] = {
                "operation": name,
                "cycles": cycles if native else virtual_cycles,
                "instructions": instr,
                "exits": 0 if native else exits,
            }
            if not native:
                row["kernel_instructions"] = virtual_instr
            if hand is not None and not native:
                row["hand_count_instructions"] = hand
            metrics = {"operation_us_avg": row["cycles"] / 850, "exits_total": row["exits"] * 1000}
            workload = {"kind": "micro", "operation": name, "iterations": 1000}
            point = {"workload.operation": name}
            details = {"operations": [row]} if listed else {}
            records.append(make_record(point, platform, workload, metrics, details=details))
    return SyntheticStudy(records)


def make_dcmf() -> SyntheticStudy:
    records = []
    for operation, completion, base_us in (
        ("get", "local", 3.2),
        ("put", "local", 1.6),
        ("put", "remote", 3.2),
    ):
        for size in (8, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576):
            for measure in ("latency", "bandwidth"):
                point = {
                    "workload.operation": operation,
                    "workload.completion": completion,
                    "workload.measure": measure,
                    "workload.size": f"{size} B",
                }
                latency_us = base_us + size / 374.5
                if measure == "latency":
                    value, metric = latency_us, "latency_us"
                else:
                    value, metric = size / (size / 357.6 + 2.6 / (1 + size / 4096)), "bandwidth_MiBps"
                details = {}
                if size != 1048576 or operation == "get":
                    details["measured"] = value * (1.04 if size < 1024 else 0.995)
                workload = {"kind": "dcmf", "messages": 100}
                workload |= {path.split(".")[1]: v for path, v in point.items()}
                records.append(make_record(point, "bare-metal", workload, {metric: value}, details=details))
    return SyntheticStudy(records)


def make_sweep(numeric: bool = True) -> SyntheticStudy:
    records = []
    for ranks in (64, 512, 4096, 32768) if numeric else ("ring", "tree", "recursive-doubling"):
        for operation in ("barrier", "allreduce"):
            for platform in ("bare-metal", "virtual-machine"):
                for replication in range(5):
                    width = math.log2(ranks) if isinstance(ranks, int) else len(ranks)
                    mean_us = width * (1.1 if operation == "barrier" else 3.7)
                    mean_us *= (1 if platform == "bare-metal" else 6.2) * (
                        1 + 0.06 * math.sin(7 * replication)
                    )
                    metrics = {
                        "operation_us_min": mean_us * 0.9,
                        "operation_us_avg": mean_us,
                        "operation_us_max": mean_us * 1.4,
                        "packet_hops": 4096 * round(width),
                        "cpu_utilisation": 0.61,
                    }
                    point = {"partition.ranks": ranks, "workload.operation": operation}
                    workload = {"kind": "collectives", "operation": operation}
                    records.append(make_record(point, platform, workload, metrics, replication=replication))
    return SyntheticStudy(records)


MAKERS: dict[str, Callable[[], SyntheticStudy]] = {
    "compile": make_compile,
    "tlb-sweep": make_tlb_sweep,
    "netperf": make_netperf,
    "micro": make_micro,
    "micro-unlisted": lambda: make_micro(listed=False),
    "dcmf": make_dcmf,
    "sweep": make_sweep,
    "categories": lambda: make_sweep(numeric=False),
}


@pytest.fixture(params=sorted(MAKERS))
def any_study(request: pytest.FixtureRequest) -> SyntheticStudy:
    """One study of each sort."""
    return MAKERS[request.param]()


@pytest.fixture
def compile_study() -> SyntheticStudy:
    return make_compile()


@pytest.fixture(scope="session")
def study_of() -> Callable[[str], SyntheticStudy]:
    """A study by the name of its sort."""
    return lambda name: MAKERS[name]()


@pytest.fixture
def study_class() -> type[SyntheticStudy]:
    return SyntheticStudy


@pytest.fixture
def record_of() -> Callable[..., Record]:
    """Makes a record of a point, a platform, a workload and metrics."""
    return make_record


@pytest.fixture
def collisions(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], list[tuple[str, str]]]:
    """Pairs of texts of a figure that overlap, or are cut off by its edge."""
    return lambda figure: _collisions(figure, monkeypatch)


def _collisions(figure: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Pairs of texts whose boxes overlap, and texts that are cut off by the edge of the page."""
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

    boxes: list[tuple[str, Any]] = []
    draw = Text.draw

    def recording(text: Any, renderer: Any, *rest: Any, **named: Any) -> None:
        if text.get_visible() and text.get_text().strip():
            boxes.append((text.get_text(), text.get_window_extent(renderer)))
        draw(text, renderer, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Text, "draw", recording)
        figure.canvas.draw()
    assert boxes
    page = figure.bbox.padded(1.0)
    bad = [(text, "the edge") for text, box in boxes if not _inside(box, page)]
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        # Half a pixel of the boxes' own padding may touch.
        common = Bbox.intersection(a.padded(-0.5), b.padded(-0.5))
        if common is not None and common.width > 0 and common.height > 0:
            bad.append((one, other))
    return bad


def _inside(box: Any, page: Any) -> bool:
    return bool(box.x0 >= page.x0 and box.x1 <= page.x1 and box.y0 >= page.y0 and box.y1 <= page.y1)

"""Noise of one core, as a fixed-work or a fixed-time quantum probe sees it.

The probes are guest code (:mod:`bgsim.workloads.quanta`). Nothing here knows what interrupts a guest: ticks,
page faults, TLB misses, exits and the time slices of other virtual machines come from the model below, and
the platform's attribution says where the lost time went.

Left out: daemons beyond what the guest itself runs, and memory traffic of other cores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bgsim.histogram import Histogram
from bgsim.units import to_cycles
from bgsim.workloads.configs import NoiseConfig
from bgsim.workloads.outcome import Json, Outcome
from bgsim.workloads.quanta import EVENTS, Probe, Quanta, source, sources
from bgsim.workloads.resolved import ResolvedRun
from bgsim.workloads.shared_node import Host
from bgsim.workloads.spectrum import peaks, spectrum
from bgsim.workloads.window import Window

BINS_PER_DECADE = 10
PEAKS = 12


def quanta_of(config: NoiseConfig) -> tuple[int, int]:
    """How many quanta are recorded, and how many go before them."""
    quantum = config.quantum.value
    return max(2, round(config.duration.value / quantum)), round(config.warmup.value / quantum)


def run(resolved: ResolvedRun, progress: Callable[[float, str], None] | None = None) -> Outcome:
    """Run a noise probe.

    Returns
    -------
    Outcome
        Metrics ``noise_ratio``, ``detours`` and ``detour_us_*``. Details: ``sources``, detours by what was
        behind them; ``rates_hz``, how often each of these happened; ``causes_us``, lost time by the
        platform's causes; ``histogram``, lower and upper end of a bin in microseconds and count; ``trace``,
        begin and detour of each quantum that had one; ``trace_sources``, what was behind each of these; of a
        fixed-time probe ``work_us`` by quantum and ``peaks``, hertz and amplitude in microseconds; and beside
        other virtual machines ``neighbours``, what each did meanwhile.
    """
    config, machine = resolved.workload, resolved.machine
    assert isinstance(config, NoiseConfig)
    frequency = machine.integer("core.frequency")
    quantum = int(to_cycles(config.quantum, frequency, "nearest"))
    quanta, warm_up = quanta_of(config)
    fixed_time = config.probe == "ftq"
    fresh = config.samples == "fresh"
    host = Host(resolved)
    probe = Probe(
        machine,
        resolved.platform,
        resolved.guest,
        quanta,
        warm_up,
        quantum,
        fixed_time=fixed_time,
        fresh=fresh,
        host=host,
    )
    windows: list[Window] = []
    probe.on_begin = lambda: windows.append(host.window(int(probe.environment.now)))
    seen = probe.run()
    total = int(probe.environment.now) - windows[-1].opened
    attribution = windows[-1].attribution()
    assert sum(attribution.values()) == total, "causes sum to total"
    us = 1e6 / frequency
    if progress is not None:
        progress(total / frequency, f"{quanta} quanta")
    lost = np.array([detour for detour in seen.detour if detour], dtype=np.int64)
    counters = windows[-1].counters()
    metrics: dict[str, int | float] = {
        "elapsed_s": total / frequency,
        "cycles_total": total,
        "messages": quanta,
        "noise_ratio": float(lost.sum()) / total,
        "detours": len(lost),
        "detour_us_mean": float(lost.mean()) * us if len(lost) else 0.0,
        "detour_us_p99": float(np.percentile(lost, 99)) * us if len(lost) else 0.0,
        "detour_us_max": float(lost.max()) * us if len(lost) else 0.0,
    }
    metrics |= {
        name: counters.get(name, 0) for name in ("tlb_misses", "vtlb_misses", "exits_total", "exits_ipc")
    }
    metrics |= host.metrics(attribution, counters)
    return Outcome(
        metrics=metrics,
        exits=windows[-1].exits(),
        attribution=attribution,
        details=_details(seen, lost.tolist(), us, total, quantum, fixed_time) | host.details(attribution),
    )


def _details(
    seen: Quanta, lost: Sequence[int], us: float, total: int, quantum: int, fixed_time: bool
) -> dict[str, Json]:
    rates = {name: sum(happened.get(name, 0) for happened in seen.events) for name in EVENTS}
    details: dict[str, Json] = {
        "quantum_us": quantum * us,
        "sources": [
            {
                "name": name,
                "count": len(each),
                "us_mean": sum(each) / len(each) * us,
                "us_max": max(each) * us,
            }
            for name, each in sources(seen)
        ],
        "rates_hz": {name: count / (total * us) * 1e6 for name, count in rates.items() if count},
        "causes_us": {name: cycles * us for name, cycles in seen.causes.most_common()},
        "histogram": histogram([cycles * us for cycles in lost]),
        "trace": [
            [round((begun - seen.begun[0]) * us, 3), round(detour * us, 3)]
            for begun, detour in zip(seen.begun, seen.detour, strict=True)
            if detour
        ],
        "trace_sources": [
            source(happened) for happened, detour in zip(seen.events, seen.detour, strict=True) if detour
        ],
    }
    if fixed_time:
        work = [cycles * us for cycles in seen.work]
        hertz, amplitude = spectrum(work, quantum * us * 1e-6)
        details["work_us"] = [round(each, 3) for each in work]
        details["peaks"] = [[hz, size] for hz, size in peaks(hertz, amplitude, PEAKS)]
    return details


def histogram(values: Sequence[float]) -> list[Json]:
    """Bins of equal width on a logarithmic axis that hold anything: lower and upper end, and count."""
    return list(Histogram.of(values, BINS_PER_DECADE).rows())

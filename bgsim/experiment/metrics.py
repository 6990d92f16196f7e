"""The closed vocabulary of metrics: name, unit, meaning and which direction is better.

A workload may report only names registered here; the summary, the tables and the figures take
units and order from here. Names end in their unit where they have one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Better = Literal["lower", "higher", ""]


@dataclass(frozen=True, slots=True)
class Metric:
    """One registered metric.

    Attributes
    ----------
    name
        As it stands in records and in ``summary.csv``.
    unit
        ``s``, ``us``, ``B``, ``bps``, ``MiBps``, ``cycles``, ``instructions``, ``1/s``, ``count`` or
        ``ratio``.
    meaning
        One sentence.
    better
        Which direction is an improvement; empty when neither is.
    """

    name: str
    unit: str
    meaning: str
    better: Better = ""


BASELINE = "bare-metal"
"""The platform every other one is compared with at the same point."""

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("elapsed_s", "s", "simulated time of the job, from its first to its last cycle", "lower"),
        Metric(
            "slowdown",
            "ratio",
            "how many times longer than bare metal at the same point and seed; see SLOWDOWN_BASIS",
            "lower",
        ),
        Metric(
            "cycles_total",
            "cycles",
            "core cycles of the run, or of its measured part; the attribution adds up to it",
            "lower",
        ),
        Metric("instructions", "instructions", "instructions of the guest and its programs", ""),
        Metric("cycles_l4", "cycles", "core cycles spent in the microkernel", "lower"),
        Metric("cycles_vmm", "cycles", "core cycles spent in the user-level VMM", "lower"),
        Metric(
            "cpi_ratio_kernel_guest",
            "ratio",
            "cycles per instruction of the microkernel divided by those of the guest",
        ),
        Metric("tlb_misses", "count", "misses of the hardware TLB taken by guest code", "lower"),
        Metric("vtlb_misses", "count", "hardware misses that missed the virtual TLB too", "lower"),
        Metric("guest_refills", "count", "entries loaded by the guest's own TLB miss handler", "lower"),
        Metric("hardware_inserts", "count", "hardware TLB entries written by the microkernel for the guest"),
        Metric("iccci", "count", "whole instruction-cache invalidations", "lower"),
        Metric("exits_total", "count", "departures from guest execution, whoever handles them", "lower"),
        Metric("exits_ipc", "count", "exits that reach the user-level VMM by IPC", "lower"),
        Metric(
            "exits_per_frame", "ratio", "exits on sender and receiver divided by Ethernet frames", "lower"
        ),
        Metric(
            "exits_per_s_host", "1/s", "exits simulated per second of host time; differs from host to host"
        ),
        Metric("interrupts", "count", "external interrupts delivered to the guest", "lower"),
        Metric("interrupts_per_frame", "ratio", "external interrupts divided by Ethernet frames", "lower"),
        Metric("messages", "count", "messages, transactions or operations measured"),
        Metric("bytes", "B", "payload of these messages"),
        Metric("compute_s", "s", "core time of computation, mean over ranks", "lower"),
        Metric("communication_s", "s", "core time of sending and receiving, mean over ranks", "lower"),
        Metric("wait_s", "s", "time for which a rank's core waits, mean over ranks", "lower"),
        Metric("frames", "count", "Ethernet frames sent during the measurement"),
        Metric("throughput_bps", "bps", "payload bits per second at the receiver", "higher"),
        Metric("latency_us", "us", "mean time of one message, transaction or operation", "lower"),
        Metric("latency_p50_us", "us", "median of the same", "lower"),
        Metric("latency_p99_us", "us", "99th percentile of the same", "lower"),
        Metric("operation_us_min", "us", "shortest operation, over ranks or repetitions", "lower"),
        Metric("operation_us_avg", "us", "mean operation, over ranks or repetitions", "lower"),
        Metric("operation_us_max", "us", "longest operation, over ranks or repetitions", "lower"),
        Metric("bandwidth_MiBps", "MiBps", "payload per second, in units of 2^20 bytes", "higher"),
        Metric("cycles_per_operation", "cycles", "busy core cycles per operation", "lower"),
        Metric("exits_per_operation", "ratio", "exits per operation", "lower"),
        Metric(
            "kernel_instructions_per_operation",
            "instructions",
            "instructions of microkernel and VMM per operation",
            "lower",
        ),
        Metric(
            "deviation",
            "ratio",
            "mean operation time, or rate of a shift, over the one measured on the real machine, less one",
        ),
        Metric("packet_hops", "count", "torus links crossed, summed over packets"),
        *(
            Metric(
                f"link_utilisation_{axis}_{sign}{suffix}",
                "ratio",
                f"share of the run for which links in {axis} {sign} were busy, {which}",
            )
            for axis in "xyz"
            for sign in ("plus", "minus")
            for suffix, which in (("", "mean"), ("_max", "the busiest"))
        ),
        Metric(
            "packet_hops_per_s_host",
            "1/s",
            "packet-hops simulated per second of host processor time; differs from host to host",
        ),
        Metric("alone_s", "s", "time of the same work in the same virtual machine with no other one there"),
        Metric("stretch", "ratio", "time of the work beside other virtual machines over that alone", "lower"),
        Metric(
            "fair_stretch",
            "ratio",
            "stretch of equal shares: virtual machines of the measured one's core and priority",
        ),
        Metric("beyond_share", "ratio", "stretch over fair stretch, less one", "lower"),
        Metric(
            "own_time_lost",
            "ratio",
            "time for which the measured virtual machine had the core over that of the work alone, less one",
            "lower",
        ),
        Metric("core_share", "ratio", "share of the time in which the measured virtual machine had its core"),
        Metric("vm_switches", "count", "times another virtual machine's space was entered on its core"),
        Metric("vm_switches_per_s", "1/s", "the same per second"),
        Metric("entries_flushed", "count", "hardware TLB entries dropped by these switches", "lower"),
        Metric("remote_interrupts", "count", "interrupts that one core sent another", "lower"),
        Metric("noise_ratio", "ratio", "time lost to detours over time, of one core", "lower"),
        Metric("detours", "count", "quanta of a noise probe in which time was lost", "lower"),
        Metric("detour_us_mean", "us", "mean time lost in such a quantum", "lower"),
        Metric("detour_us_p99", "us", "99th percentile of the same", "lower"),
        Metric("detour_us_max", "us", "most of the same", "lower"),
        Metric("tlb_misses_per_operation", "ratio", "misses of the hardware TLB per operation", "lower"),
        Metric("cpu_us_per_message", "us", "core time per message, both nodes", "lower"),
        Metric("cpu_utilisation", "ratio", "share of the run in which the core was not idle"),
    )
}

ORDER: Mapping[str, int] = {name: index for index, name in enumerate(METRICS)}

HOST_METRICS = frozenset({"exits_per_s_host", "packet_hops_per_s_host"})
"""Measured on the host: they differ between two runs of the same id."""

GAUGES = frozenset(
    name
    for name in METRICS
    if name.startswith("link_utilisation_") or name in ("noise_ratio", "cpu_utilisation")
) - {name for name in METRICS if name.endswith("_max")}
"""Shares of the run's time: over replications, each counts for as long as it took."""

SIGNED = frozenset({"deviation", "beyond_share", "own_time_lost"})
"""Metrics that may be below zero; no other one can."""

SLOWDOWN_BASIS = ("elapsed_s", "operation_us_avg", "latency_us", "throughput_bps", "bandwidth_MiBps")
"""Slowdown is the ratio of the first of these that both partners report. A workload whose elapsed time is not
what its work costs leaves it out."""


def slowdown(native: Mapping[str, int | float], other: Mapping[str, int | float]) -> float | None:
    """How many times slower ``other`` is than ``native``, or None when nothing can be compared.

    Examples
    --------
    >>> slowdown({"elapsed_s": 3.0}, {"elapsed_s": 126.0})
    42.0
    >>> slowdown({"throughput_bps": 8e8}, {"throughput_bps": 2e8})
    4.0
    """
    for name in SLOWDOWN_BASIS:
        if name in native and name in other:
            pair = (native[name], other[name])
            slow, fast = pair if METRICS[name].better == "higher" else pair[::-1]
            return slow / fast if fast else None
    return None

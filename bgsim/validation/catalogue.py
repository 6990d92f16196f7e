"""All validation cases, and what no case covers."""

from __future__ import annotations

from bgsim.experiment.errors import ExperimentError, Problem
from bgsim.spelling import did_you_mean
from bgsim.validation import (
    all_to_all,
    compile_time,
    contention,
    fast_paths,
    hand_counts,
    hardware_inserts,
    io_cases,
    packet_latency,
    paging,
    tiers,
    tlb_loads,
    torus_laws,
    two_node,
)
from bgsim.validation.case import Case

CASES: tuple[Case, ...] = (
    compile_time.CASE,
    tlb_loads.CASE,
    hardware_inserts.CASE,
    hand_counts.CASE,
    two_node.LATENCY,
    two_node.BANDWIDTH,
    packet_latency.CASE,
    torus_laws.PIPELINE,
    torus_laws.QUEUE,
    torus_laws.BISECTION,
    tiers.TIERS,
    tiers.NETWORKS,
    io_cases.QUEUES,
    io_cases.TIERS,
    io_cases.STARTUP,
    contention.GET,
    contention.SEND,
    contention.PUT,
    all_to_all.ALL_TO_ALL,
    paging.PAGED,
    paging.BIG_MEMORY,
    paging.QUIET,
    fast_paths.CASE,
)

NOT_VALIDATED = {
    "netperf": (
        "the paper ran it too; its numbers are not known here, so nothing stands beside the predictions"
    ),
    "the paper's exit counts": "it tabulates exits of its own job by cause; the table is not known here",
    "what the paper compiled": (
        "it names neither compiler nor project; that one of three programs fits proves little"
    ),
    "cycles of privileged instructions": (
        "no manual states those of traps, `rfi`, `mtspr`, `tlbwe`, `msync`, `iccci`: guesses with "
        "ranges, whose effect `bgsim explain` lists"
    ),
    "cycles of kernel paths": (
        "their instructions are executed and counted; their cycles are a pipeline model"
    ),
    "the guest's cycles per instruction": "the same model, with guessed data-cache misses",
    "the constant of the packet law": (
        "640 ns per full packet was derived from the two-node tables; their rows above 1 KiB then check "
        "that the law is exact, not its constant"
    ),
    "ARMCI": "the `armci_*` columns of the two-node bandwidths are not simulated",
    "torus traffic beyond these tables": (
        "antipodal gets and sends and eight shifts of puts on 512 nodes with all nodes active are compared, "
        "and two all-to-all exchanges by their share of peak; other patterns, active sets and partitions "
        "are not measured here"
    ),
    "collective and barrier network": (
        "no measured packet or operation is known; even the rate has two sources"
    ),
    "the machine tier at scale": (
        "published times of MPI operations on 72 racks are recalled, not read: they stand in its page, and "
        "validate nothing"
    ),
    "the file server and the I/O node's software": (
        "what stood behind a published I/O time is not published; its numbers are guesses, and the daemon's "
        "rate of taking packets is calibrated on the 4 Gb/s that figures show"
    ),
    "noise of Linux and of virtual machines": (
        "no measured trace or spectrum of a Blue Gene/P under either is reachable; the tick's rate is a guess"
    ),
    "interrupts and device models": (
        "single register accesses are compared, a whole interrupt or frame is not"
    ),
}
"""What is not validated, and why."""


def find(name: str) -> Case:
    """The case with that name, or the only one whose name begins so.

    Raises
    ------
    ExperimentError
        There is none, or more than one.
    """
    found = [case for case in CASES if case.name == name] or [
        case for case in CASES if case.name.startswith(name)
    ]
    if len(found) != 1:
        names = [case.name for case in found or CASES]
        near = "" if found else did_you_mean(name, names)
        message = f"{'more than one case begins so' if found else 'there is no such case'}{near}"
        raise ExperimentError([Problem("validate", name, f"{message} ({', '.join(names)})")])
    return found[0]

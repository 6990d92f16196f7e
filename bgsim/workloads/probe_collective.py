"""What collective operations cost a node's core, timed in the detailed tier on two nodes.

A call and the injection of a packet are timed by themselves. Receiving a packet is what is left of an
operation of one packet, behind call, injection, network and the mean wait until an arrival is noticed:
where something else takes packets out of the hardware first, that is in it. Long operations show how
well this holds for their time per packet.
"""

from __future__ import annotations

from collections.abc import Callable

from bgsim.datasheet import Datasheet
from bgsim.platforms.seam import Code
from bgsim.workloads.detailed_job import Process
from bgsim.workloads.probe_messaging import ROUNDS, WARM_UP, run_pair
from bgsim.workloads.samples import Samples, Stopwatch

SHORT, LONG = 4, 12
"""Packets of two long operations; their difference is the time per packet."""

LONG_ROUNDS = 4


def barriers(machine: Datasheet, platform: str, samples: Samples, guest: str = "cnk") -> None:
    """``barrier enter``, ``barrier leave``, and ``barrier 2 nodes`` altogether."""

    def program(process: Process) -> Code:
        messenger = process.messenger
        for round_ in range(WARM_UP + ROUNDS):
            kept = samples if process.rank == 0 and round_ >= WARM_UP else Samples()
            watch, whole = (Stopwatch(kept, process.interruptions) for _ in range(2))

            def mark(label: str, now: int, watch: Stopwatch = watch) -> None:
                if label in ("begun barrier", "noticed barrier"):
                    watch.begin(now)
                elif label == "entered barrier":
                    watch.end("barrier enter", now)
                elif label == "handled barrier":
                    watch.end("barrier leave", now)

            messenger.on_mark = mark
            yield from whole.time("barrier 2 nodes", process.collectives.barrier())
            messenger.on_mark = None

    run_pair(machine, platform, program, guest)


def allreduces(
    machine: Datasheet, platform: str, samples: Samples, payload_bytes: int, guest: str = "cnk"
) -> None:
    """``collective call``, ``collective inject``, ``allreduce N packets`` of one and of many."""

    def rounds(process: Process, packets: int, count: int) -> Code:
        messenger = process.messenger
        for round_ in range(WARM_UP + count):
            kept = samples if process.rank == 0 and round_ >= WARM_UP else Samples()
            watch, whole = (Stopwatch(kept, process.interruptions) for _ in range(2))
            messenger.on_mark = _injection(watch) if packets == 1 else None
            operation = process.collectives.allreduce(packets * payload_bytes)
            yield from whole.time(f"allreduce {packets} packets", operation)
            messenger.on_mark = None

    def program(process: Process) -> Code:
        yield from rounds(process, 1, ROUNDS)
        for packets in (SHORT, LONG):
            yield from rounds(process, packets, LONG_ROUNDS)

    run_pair(machine, platform, program, guest)


def _injection(watch: Stopwatch) -> Callable[[str, int], None]:
    def mark(label: str, now: int) -> None:
        if label == "called collective":
            watch.begin(now)
        elif label == "begun collective":
            watch.end("collective call", now)
            watch.begin(now)
        elif label == "injected packet":
            watch.end("collective inject", now)

    return mark

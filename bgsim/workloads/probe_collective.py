"""What collective operations cost a node's core, timed in the detailed tier on two nodes.

A call and the injection of a packet are timed by themselves. Receiving a packet is what is left of an
operation of one packet, behind call, injection, network and the mean wait until an arrival is noticed:
where something else takes packets out of the hardware first, that is in it. Long operations show how
well this holds for their time per packet. Leaving a barrier is taken in the same way.

The waits are those of the network in question, whose registers take other times than the torus': of a node
that has come early, and polls until the other one comes, at phases spread over a round of polling. They count
from the shortest, for what that takes is there always, and so is part of what is left.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bgsim.datasheet import Datasheet
from bgsim.machine.cost_model import Barrier, Collective
from bgsim.network.barrier import BarrierTree, barrier_vector
from bgsim.network.collective_packet import CollectiveParameters
from bgsim.network.collective_vector import combine_broadcast
from bgsim.network.tree import PSET_NODES_DEFAULT, CollectiveTree
from bgsim.platforms.seam import Code
from bgsim.workloads.detailed_job import Process
from bgsim.workloads.probe_messaging import ROUNDS, WARM_UP, Turn, run_pair
from bgsim.workloads.samples import Samples, Stopwatch, rounded

SHORT, LONG = 4, 12
"""Packets of two long operations; their difference is the time per packet."""

LONG_ROUNDS = 4
WAITS = 64

EARLY, LATE = 0, 1
"""Ranks, where one waits for the other."""


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
    """``collective call``, ``inject`` and ``receive``, ``allreduce N packets`` of one and of many."""

    def rounds(process: Process, packets: int, count: int) -> Code:
        messenger = process.messenger
        for round_ in range(WARM_UP + count):
            kept = samples if process.rank == 0 and round_ >= WARM_UP else Samples()
            watch, whole = (Stopwatch(kept, process.interruptions) for _ in range(2))
            messenger.on_mark = _packet(watch) if packets == 1 else None
            operation = process.collectives.allreduce(packets * payload_bytes)
            yield from whole.time(f"allreduce {packets} packets", operation)
            messenger.on_mark = None

    def program(process: Process) -> Code:
        yield from rounds(process, 1, ROUNDS)
        for packets in (SHORT, LONG):
            yield from rounds(process, packets, LONG_ROUNDS)

    run_pair(machine, platform, program, guest)


def _packet(watch: Stopwatch) -> Callable[[str, int], None]:
    def mark(label: str, now: int) -> None:
        if label in ("called collective", "noticed packet"):
            watch.begin(now)
        elif label == "begun collective":
            watch.end("collective call", now)
            watch.begin(now)
        elif label == "injected packet":
            watch.end("collective inject", now)
        elif label == "handled packet":
            watch.end("collective receive", now)

    return mark


def waits(machine: Datasheet, platform: str, samples: Samples, guest: str = "cnk") -> None:
    """``collective delivery`` and ``barrier delivery``: waits of a node that has come early."""

    def allreduce(process: Process) -> Code:
        return process.collectives.allreduce(1)

    def barrier(process: Process) -> Code:
        return process.collectives.barrier()

    _waits(machine, platform, samples, guest, "collective", allreduce, ("injected packet", "noticed packet"))
    _waits(machine, platform, samples, guest, "barrier", barrier, ("entered barrier", "noticed barrier"))


def _waits(
    machine: Datasheet,
    platform: str,
    samples: Samples,
    guest: str,
    network: str,
    operation: Callable[[Process], Code],
    marks: tuple[str, str],
) -> None:
    """Waits at one network, between the marks of the last node's being there and of the noticing."""
    there, noticed = marks
    turn = Turn()
    last: list[int] = []
    seen: dict[int, int] = {}

    def program(process: Process) -> Code:
        for number in range(WARM_UP + WAITS):
            undisturbed = process.interruptions()

            def mark(label: str, now: int, number: int = number, undisturbed: int = undisturbed) -> None:
                if process.rank == LATE and label == there:
                    last.append(now)
                elif process.rank == EARLY and label == there:
                    turn.number = number + 1
                elif process.rank == EARLY and label == noticed and process.interruptions() == undisturbed:
                    seen[number] = now

            if process.rank == LATE:
                yield from turn.wait(process, number + 1)
                # Golden-ratio steps of a time longer than any round of polling.
                yield process.messenger.code.cycles(round(100_000 * (0.618034 * number % 1.0)))
            process.messenger.on_mark = mark
            yield from operation(process)
            process.messenger.on_mark = None

    run_pair(machine, platform, program, guest)
    taken = [now - last[number] for number, now in seen.items() if number >= WARM_UP]
    shortest = min(taken, default=0)
    for cycles in taken:
        samples.add(f"{network} delivery", cycles - shortest)


def costs(machine: Datasheet, samples: Samples) -> tuple[Collective, Barrier]:
    """The costs of both networks, from the samples of all that is above."""
    mean = samples.mean
    call, inject = mean("collective call"), mean("collective inject")
    enter = mean("barrier enter")
    collective_net, barrier_net = _network_cycles(machine)
    left = mean("allreduce 1 packets") - call - inject - collective_net - mean("collective delivery")
    released = mean("barrier 2 nodes") - enter - barrier_net - mean("barrier delivery")
    return (
        Collective(
            call_cycles=rounded(call),
            inject_packet_cycles=rounded(inject),
            receive_packet_cycles=rounded(max(mean("collective receive"), left)),
        ),
        Barrier(
            enter_cycles=rounded(enter),
            leave_cycles=rounded(max(mean("barrier leave"), released)),
        ),
    )


def _network_cycles(machine: Datasheet) -> tuple[int, int]:
    """Time of one packet through the collective network, and of a barrier, between two nodes at once."""
    ready = np.zeros(2, np.int64)
    tree = CollectiveTree((2, 1, 1), PSET_NODES_DEFAULT)
    packet = combine_broadcast(tree, ready, 1, CollectiveParameters.from_datasheet(machine))
    barrier = barrier_vector(BarrierTree.from_datasheet(2, machine), ready)
    return int(packet.max()), int(barrier.max())

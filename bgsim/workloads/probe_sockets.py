"""What messages through sockets cost a node's core, timed in the detailed tier on two neighbours.

The kernel's part of a message is done in interrupts, while the program computes. So each side computes for a
fixed time in which all of it happens: what that takes beyond the computing, together with the library's own
call, is the cost. A sender's begins with the call and has the interrupt that frees the buffer, and
acknowledgements, in it; a receiver's ends with the call that finds the message there. The guest's
timer and the microkernel's tick are put off meanwhile: they are detours, and counted apart.

A process that sleeps until a message comes is timed from the beginning of the sending call. What that takes
beyond both costs and the network's flight is the wait until it is noticed: where the parts overlap, it is
zero, and a message costs less than its parts.
"""

from __future__ import annotations

from bgsim.datasheet import Datasheet
from bgsim.network.traffic import PAYLOAD_BYTES
from bgsim.platforms.seam import Code, Now
from bgsim.workloads import probe_messaging
from bgsim.workloads.detailed_job import Process
from bgsim.workloads.probe_messaging import ROUNDS, WARM_UP, Turn, run_pair
from bgsim.workloads.samples import Samples

PACKETS = (1, 5, 30)
"""Messages of so many torus packets: one segment, one segment, five; the ends give the costs."""

COMPUTE_CYCLES = 40_000_000
"""In this time everything that a message causes has happened, whatever the platform."""

SLEEP_CYCLES = 2_000_000
"""In this time a receiver has gone to sleep."""

DELIVERIES = 64
GOLDEN_RATIO = 0.618034


def messages(quiet: Datasheet, platform: str, samples: Samples, guest: str) -> None:
    """Messages of some packets: ``socket send N`` and ``socket receive N``.

    Parameters
    ----------
    quiet
        The machine, with ticks put off.
    """
    turn = Turn()

    def program(process: Process) -> Code:
        messenger = process.messenger
        number = 0
        for round_ in range(WARM_UP + ROUNDS):
            kept = samples if round_ >= WARM_UP else Samples()
            for packets in PACKETS:
                role = "send" if process.rank == 0 else "receive"
                yield from turn.wait(process, number + (role == "send"))
                begun, before = (yield Now()), process.interruptions()
                if role == "send":
                    yield from messenger.send(1, packets * PAYLOAD_BYTES)
                else:
                    turn.number = number + 1
                yield messenger.code.cycles(COMPUTE_CYCLES)
                if role == "receive":
                    yield from messenger.receive()
                    turn.number = number + 2
                taken = (yield Now()) - begun - COMPUTE_CYCLES
                if process.interruptions() == before:
                    kept.add(f"socket {role} {packets}", taken)
                number += 2

    run_pair(quiet, platform, program, guest)


def delivery(machine: Datasheet, platform: str, samples: Samples, guest: str, both_cycles: float) -> None:
    """Waits of a sleeping process until it notices a message, ``delivery``.

    A guest that idles in a virtual machine sees an interrupt when the microkernel's tick takes the core the
    next time: messages come at phases spread over it.

    Parameters
    ----------
    both_cycles
        What a message of one packet costs its sender and its receiver.
    """
    probe_messaging.flight(machine, samples)
    expected = both_cycles + samples.mean("flight")
    tick = machine.cycles("l4.tick")
    turn = Turn()
    begun: list[int] = []

    def program(process: Process) -> Code:
        messenger = process.messenger
        for number in range(WARM_UP + DELIVERIES):
            if process.rank == 0:
                yield from turn.wait(process, number + 1)
                yield messenger.code.cycles(SLEEP_CYCLES + round(tick * (GOLDEN_RATIO * number % 1.0)))
                begun.append((yield Now()))
                yield from messenger.send(1, PAYLOAD_BYTES)
            else:
                turn.number = number + 1
                yield from messenger.receive()
                if number >= WARM_UP:
                    samples.add("delivery", max(0.0, (yield Now()) - begun[number] - expected))

    run_pair(machine, platform, program, guest)

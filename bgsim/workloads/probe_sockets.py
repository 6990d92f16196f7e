"""What messages through sockets cost a node's core, timed in the detailed tier on two neighbours.

The kernel's part of a message is done in interrupts, while the program computes. So each side computes for a
fixed time in which all of it happens: what that takes beyond the computing, together with the library's own
call, is the cost. A sender's begins with the call and has the interrupt that frees the buffer, and
acknowledgements, in it; a receiver's ends with the call that finds the message there. The guest's
timer and the microkernel's tick are put off meanwhile: they are detours, and counted apart.

What of it is a packet's and an acknowledgement's is told apart by short messages and the frames that passed;
what long ones take more is their further segments'. From the call to a message's departure is timed by its
arrival; the rest of a sender's cost comes later. A guest that computes in a virtual machine enters its kernel
for no interrupt, so each side looks for messages before and after.

A process that sleeps until a message comes is timed from the beginning of the sending call. What that takes
beyond the call, the receiver's cost and the network's flight is the wait until it is noticed.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np

from bgsim.datasheet import Datasheet
from bgsim.network.traffic import PAYLOAD_BYTES
from bgsim.platforms.seam import Code, Now
from bgsim.workloads import probe_messaging
from bgsim.workloads.detailed_job import Job, Process
from bgsim.workloads.probe_messaging import PAIR, ROUNDS, WARM_UP, Turn, run_pair
from bgsim.workloads.samples import Samples

PACKETS = (1, 5, 30)
"""Messages of so many torus packets: one segment, one segment, five; the ends give the costs."""

COMPUTE_CYCLES = 40_000_000
"""In this time everything that a message causes has happened, whatever the platform."""

SLEEP_CYCLES = 2_000_000
"""In this time a receiver has gone to sleep."""

DELIVERIES = 64
GOLDEN_RATIO = 0.618034


@dataclass
class Parts:
    """Costs of messages through sockets, and what they consist of.

    Attributes
    ----------
    rows
        Of each role the samples: packets, segments, acknowledgements, cycles.
    """

    rows: dict[str, list[tuple[int, int, int, float]]]

    def solved(self, role: str) -> tuple[float, float, float, float]:
        """Cycles of a message, and of each packet, further segment and acknowledgement of it."""
        rows = np.array(self.rows[role], float)
        packets, segments, acknowledgements, cycles = rows.T
        known = np.column_stack([np.ones(len(rows)), packets, acknowledgements])
        short = segments == 1
        found, *_ = np.linalg.lstsq(known[short], cycles[short], rcond=None)
        further = (cycles - known @ found)[~short] / (segments - 1)[~short]
        message, packet, acknowledgement = (float(each) for each in found)
        return message, packet, float(further.mean()), acknowledgement


def messages(quiet: Datasheet, platform: str, samples: Samples, guest: str) -> Parts:
    """Messages of some packets: ``socket send N``, ``socket receive N``, and ``socket departure``.

    Parameters
    ----------
    quiet
        The machine, with ticks put off.
    """
    probe_messaging.flight(quiet, samples)
    turn = Turn()
    parts = Parts({"send": [], "receive": []})
    begun_short: list[int] = []

    def program(process: Process) -> Code:
        messenger, driver = process.sockets, process.sockets.driver
        number = 0
        for round_ in range(WARM_UP + ROUNDS):
            for packets in PACKETS:
                role = "send" if process.rank == 0 else "receive"
                yield from turn.wait(process, number + (role == "send"))
                yield from messenger.look()  # what has waited for the kernel to be entered
                idle = yield Now()
                yield from messenger.look()
                begun, before = (yield Now()), process.interruptions()
                sent, received = driver.frames_sent, driver.frames_received
                if role == "send":
                    if packets == PACKETS[0] and round_ >= WARM_UP:
                        begun_short.append(begun)
                    yield from messenger.send(1, packets * PAYLOAD_BYTES)
                else:
                    turn.number = number + 1
                yield messenger.code.cycles(COMPUTE_CYCLES)
                if role == "receive":
                    yield from messenger.receive()
                yield from messenger.look()
                taken = (yield Now()) - begun - COMPUTE_CYCLES - (begun - idle)
                if role == "receive":
                    turn.number = number + 2
                if process.interruptions() == before and round_ >= WARM_UP:
                    samples.add(f"socket {role} {packets}", taken)
                    frames = driver.frames_sent - sent, driver.frames_received - received
                    segments, acknowledgements = frames if role == "send" else frames[::-1]
                    parts.rows[role].append((packets, segments, acknowledgements, taken))
                number += 2

    job = Job(quiet, platform, PAIR, program, guest=guest)
    landed = landings(job)
    job.run()
    for begun in begun_short:
        arrived = landed[bisect_right(landed, begun)]
        samples.add("socket departure", arrived - samples.mean("flight") - begun)
    return parts


def landings(job: Job) -> list[int]:
    """Times at which something arrives at the second node's DMA engine, filled in while the job runs."""
    receiver, times = job.processes[1].node.dma, []
    tell = receiver.on_activity

    def told() -> None:
        times.append(int(job.environment.now))
        tell()

    receiver.on_activity = told
    return times


def delivery(
    machine: Datasheet,
    platform: str,
    samples: Samples,
    guest: str,
    both_cycles: float,
    acknowledge_cycles: float,
) -> None:
    """Waits of a sleeping process until it notices a message, ``delivery``.

    A guest that idles in a virtual machine sees an interrupt when the microkernel's tick takes the core the
    next time: messages come at phases spread over it.

    Parameters
    ----------
    both_cycles
        What a message of one packet costs its sender before it leaves, and its receiver.
    acknowledge_cycles
        What an acknowledgement costs the receiver besides.
    """
    expected = both_cycles + samples.mean("flight")
    tick = machine.cycles("l4.tick")
    turn = Turn()
    begun: list[int] = []

    def program(process: Process) -> Code:
        messenger, driver = process.sockets, process.sockets.driver
        for number in range(WARM_UP + DELIVERIES):
            if process.rank == 0:
                yield from turn.wait(process, number + 1)
                yield messenger.code.cycles(SLEEP_CYCLES + round(tick * (GOLDEN_RATIO * number % 1.0)))
                begun.append((yield Now()))
                yield from messenger.send(1, PAYLOAD_BYTES)
            else:
                turn.number = number + 1
                sent = driver.frames_sent
                yield from messenger.receive()
                if number >= WARM_UP:
                    known = expected + (driver.frames_sent - sent) * acknowledge_cycles
                    samples.add("delivery", max(0.0, (yield Now()) - begun[number] - known))

    run_pair(machine, platform, program, guest)

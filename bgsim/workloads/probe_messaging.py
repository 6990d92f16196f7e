"""What messages cost a node's core, timed in the detailed tier on two neighbours.

Each probe is a guest program on both nodes, the same on every platform. Core time is told from waiting by
letting the other side finish first: a receiver computes until all packets are in its memory, and is timed
from the poll that sees them. Costs per packet are differences of message sizes. Times in which a tick or
a timer took the core are dropped: those are detours, and counted apart. Probes say themselves which protocol
they measure: what the library would choose for their sizes follows from ``mpi.eager_limit``.

The wait until software notices an arrival is measured from the moment at which the message would have
arrived, had it been posted when the sending call returned: on a platform that lets a register store take
effect before it returns, the head start is in the wait. Negative waits count as zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bgsim.datasheet import Datasheet
from bgsim.network.traffic import PAYLOAD_BYTES
from bgsim.platforms.seam import Code, Now
from bgsim.workloads.detailed_job import Job, Process
from bgsim.workloads.resolved import Partition
from bgsim.workloads.samples import Samples, Stopwatch

PAIR = Partition("pair", (2, 1, 1), (False, False, False))
ROUNDS = 20
WARM_UP = 3
PACKETS = (1, 2, 5)
"""Eager messages of so many packets; the first and the last give the costs, the others check them."""

RENDEZVOUS_BYTES = 2400
DELIVERIES = 128
SETTLE_CYCLES = 30_000
"""Time in which everything that was sent arrives, whatever the platform."""

Mark = Callable[[str, int], None]

SPIN_CYCLES = 3_001
NATIVE = "bare-metal"


@dataclass
class Turn:
    """Whose turn it is: processes of a probe take turns by it, at no cost to them."""

    number: int = 0

    def wait(self, process: Process, number: int) -> Code:
        """Compute until turn `number` has come, and a little longer."""
        while self.number < number:
            yield process.messenger.code.cycles(SPIN_CYCLES)
        yield process.messenger.code.cycles(SETTLE_CYCLES)


def run_pair(
    machine: Datasheet, platform: str, program: Callable[[Process], Code], guest: str = "cnk"
) -> Job:
    """Run a program on two neighbours."""
    job = Job(machine, platform, PAIR, program, guest=guest)
    job.run()
    return job


def one_sided(machine: Datasheet, platform: str, samples: Samples, guest: str = "cnk") -> None:
    """Puts and gets: ``put post``, ``put complete``, ``get post``, ``get complete``."""

    def program(process: Process) -> Code:
        if process.rank:
            return
        messenger = process.dma
        for round_ in range(WARM_UP + ROUNDS):
            kept = samples if round_ >= WARM_UP else Samples()
            watch = Stopwatch(kept, process.interruptions)
            for name in ("put", "get"):
                reception = name == "get"
                call = messenger.get(1, 64, 1) if reception else messenger.put(1, 64, 0)
                yield from watch.time(f"{name} post", call)
                messenger.on_mark = marks(watch, "counter", f"{name} complete")
                yield from messenger.wait(reception, 1 if reception else 0)
                messenger.on_mark = None

    run_pair(machine, platform, program, guest)


def marks(watch: Stopwatch, what: str, name: str) -> Mark:
    """Time the library from noticing something to having handled it."""

    def mark(label: str, now: int) -> None:
        if label == f"noticed {what}":
            watch.begin(now)
        elif label == f"handled {what}":
            watch.end(name, now)

    return mark


def _batch(watch: Stopwatch) -> Mark:
    def mark(label: str, now: int) -> None:
        if label in ("noticed packets", "taken packets"):
            watch.begin(now)
        elif label in ("found packets", "handled packets"):
            watch.end("eager batch", now)

    return mark


def eager(machine: Datasheet, platform: str, samples: Samples, guest: str = "cnk") -> None:
    """Eager messages of some packets: ``eager send N`` and ``eager receive N``; of that, ``eager batch``.

    The last is what the receiver does once for all packets that it finds together, in two samples a message.
    """
    turn = Turn()

    def program(process: Process) -> Code:
        messenger = process.messenger
        number = 0
        for round_ in range(WARM_UP + ROUNDS):
            kept = samples if round_ >= WARM_UP else Samples()
            watch = Stopwatch(kept, process.interruptions)
            for packets in PACKETS:
                size = packets * PAYLOAD_BYTES
                if process.rank == 0:
                    yield from turn.wait(process, number)
                    yield from watch.time(f"eager send {packets}", messenger.send(1, size, eager=True))
                    turn.number += 1
                else:
                    yield from turn.wait(process, number + 1)
                    whole = marks(watch, "packets", f"eager receive {packets}")
                    batch = _batch(Stopwatch(kept, process.interruptions))

                    def both(label: str, now: int, whole: Mark = whole, batch: Mark = batch) -> None:
                        whole(label, now)
                        batch(label, now)

                    messenger.on_mark = both
                    yield from messenger.receive()
                    messenger.on_mark = None
                    turn.number += 1
                number += 2

    run_pair(machine, platform, program, guest)


def rendezvous(machine: Datasheet, platform: str, samples: Samples, guest: str = "cnk") -> None:
    """``rendezvous send``, ``rendezvous receive``, ``rendezvous complete``, ``rendezvous departure``."""
    turn = Turn()

    def program(process: Process) -> Code:
        messenger = process.messenger
        for round_ in range(WARM_UP + ROUNDS):
            kept = samples if round_ >= WARM_UP else Samples()
            watch = Stopwatch(kept, process.interruptions)
            number = 3 * round_
            if process.rank == 0:
                yield from turn.wait(process, number)
                call = messenger.send(1, RENDEZVOUS_BYTES, eager=False)
                send = yield from watch.time("rendezvous send", call)
                turn.number += 1
                yield from turn.wait(process, number + 2)
                messenger.on_mark = marks(watch, "departure", "rendezvous departure")
                yield from messenger.finish(send)
                messenger.on_mark = None
                turn.number += 1
            else:
                yield from turn.wait(process, number + 1)
                messenger.on_mark = marks(watch, "packets", "rendezvous receive")
                yield from messenger.progress()
                yield messenger.code.cycles(SETTLE_CYCLES)
                messenger.on_mark = marks(watch, "data", "rendezvous complete")
                yield from messenger.receive()
                messenger.on_mark = None
                turn.number += 1

    run_pair(machine, platform, program, guest)


def local(
    machine: Datasheet, platform: str, samples: Samples, sizes: tuple[int, int], guest: str = "cnk"
) -> None:
    """Messages within the node: ``local send N`` and ``local receive N`` for two sizes in bytes."""

    def program(process: Process) -> Code:
        messenger = process.messenger
        for round_ in range(WARM_UP + ROUNDS):
            kept = samples if round_ >= WARM_UP else Samples()
            watch = Stopwatch(kept, process.interruptions)
            for size in sizes:
                message = yield from watch.time(f"local send {size}", messenger.send_local(size))
                yield from watch.time(f"local receive {size}", messenger.receive_local(message))
                messenger.arrived.clear()

    job = Job(machine, platform, Partition("one", (1, 1, 1), (False, False, False)), program, guest=guest)
    job.run()


def delivery(machine: Datasheet, platform: str, samples: Samples, guest: str = "cnk") -> None:
    """Waits from arrival to notice, ``delivery``, at phases spread over a round of polling.

    First the flight of a packet on the hardware is measured, ``flight``: from the return of the sending
    call on bare metal, where the store takes effect as it ends, to its arrival in memory.
    """
    flight(machine, samples, guest)
    _deliver(machine, platform, DELIVERIES, samples, Samples(), samples.mean("flight"), guest)


def flight(machine: Datasheet, samples: Samples, guest: str = "cnk") -> None:
    """``flight`` of a packet to a neighbour."""
    _deliver(machine, NATIVE, 4, Samples(), samples, guest=guest)


def _deliver(
    machine: Datasheet,
    platform: str,
    messages: int,
    noticed: Samples,
    flights: Samples,
    flight_cycles: float = 0.0,
    guest: str = "cnk",
) -> None:
    turn = Turn()
    posted: list[int] = []

    def program(process: Process) -> Code:
        messenger = process.messenger
        if process.rank == 0:
            for number in range(messages + WARM_UP):
                yield from turn.wait(process, number)
                # Golden-ratio steps of a time longer than any round of polling.
                yield messenger.code.cycles(round(100_000 * (0.618034 * number % 1.0)))
                yield from messenger.send(1, 8, eager=True)
                posted.append((yield Now()))
            return
        for number in range(messages + WARM_UP):
            before = process.interruptions()

            def mark(label: str, now: int, number: int = number, before: int = before) -> None:
                if label == "noticed packets" and process.interruptions() == before and number >= WARM_UP:
                    arrivals.append((number, now))

            turn.number = number
            messenger.on_mark = mark
            yield from messenger.receive()
            messenger.on_mark = None

    arrivals: list[tuple[int, int]] = []
    landed: list[int] = []
    job = Job(machine, platform, PAIR, program, guest=guest)
    receiver = job.processes[1].node
    tell = receiver.dma.on_activity

    def told() -> None:
        landed.append(int(job.environment.now))
        tell()

    receiver.dma.on_activity = told
    job.run()
    for number, time in enumerate(landed[:messages]):
        if number >= WARM_UP:
            flights.add("flight", time - posted[number])
    for number, now in arrivals:
        noticed.add("delivery", max(0.0, now - posted[number] - flight_cycles))

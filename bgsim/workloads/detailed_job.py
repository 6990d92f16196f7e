"""A job of the detailed tier: one process with its messaging library on each of some nodes.

Which library it has follows from the guest: under CNK and in Big Memory programs work the DMA engine and the
collective network themselves, under other Linux their messages go through sockets of the kernel. All run
the same program. They start together once every library is ready: a process that is ready
early spins. Nodes can be given different phases, by starting their cores one after the other; what
interrupts a core, such as the microkernel's tick, then comes at different times on each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import simpy

from bgsim.datasheet import Datasheet
from bgsim.guests.catalogue import GUESTS
from bgsim.guests.collective_messaging import Collectives
from bgsim.guests.dma_calls import DmaCalls
from bgsim.guests.ethernet_torus import TorusEthernet
from bgsim.guests.hybrid import move
from bgsim.guests.messaging import Messenger
from bgsim.guests.network import NETWORK_LINUX
from bgsim.guests.network_paths import NetworkPaths
from bgsim.guests.socket_collectives import SocketCollectives
from bgsim.guests.socket_messaging import BUFFER_BYTES, SocketMessenger, Streams, streams
from bgsim.hardware.node import Node, Nodes, build_nodes
from bgsim.platforms import PLATFORMS
from bgsim.platforms.seam import TICKS, Code, Guest, Now
from bgsim.workloads.resolved import Partition

SPIN_CYCLES = 20_000
"""How often a process that is ready looks whether all are."""

MTU_BYTES = 1500
"""Largest IP packet of guests that send their messages through sockets: the default of an Ethernet device."""

START_DELAY_CYCLES = 100_000
"""From the moment the last process is ready to the common start; all must have seen it by then."""


@dataclass
class Process:
    """One process: what it runs on and with.

    Attributes
    ----------
    rank
        Number in the job.
    messenger, collectives
        Its messaging library.
    core
        The platform under it, once the job runs.
    """

    rank: int
    node: Node
    guest: Guest
    messenger: Messenger | SocketMessenger
    collectives: Collectives | SocketCollectives
    core: Any = None
    results: list[Any] = field(default_factory=list)

    @property
    def dma(self) -> Messenger:
        """The library of a guest whose programs work the DMA engine."""
        assert isinstance(self.messenger, Messenger)
        return self.messenger

    @property
    def sockets(self) -> SocketMessenger:
        """The library of a guest whose programs have sockets."""
        assert isinstance(self.messenger, SocketMessenger)
        return self.messenger

    def interruptions(self) -> int:
        """How often something other than the program and what it asked for has taken the core so far."""
        ticks: int = sum(row.count for row in self.core.exits() if row.cause in TICKS)
        return ticks + int(self.core.counters()["timer_interrupts"])


class Job:
    """Processes on nodes of a partition.

    Parameters
    ----------
    machine
        The machine.
    platform
        Name of the platform of all nodes.
    partition
        The partition.
    program
        What each process runs.
    numbers
        Nodes that take part; all when None.
    phase_seed
        Text that the nodes' phases are drawn from; None starts all at once.
    guest
        Name of the guest of all nodes.

    Attributes
    ----------
    start_cycles
        When the program began, everywhere.
    """

    def __init__(
        self,
        machine: Datasheet,
        platform: str,
        partition: Partition,
        program: Callable[[Process], Code],
        numbers: tuple[int, ...] | None = None,
        phase_seed: str | None = None,
        guest: str = "cnk",
    ) -> None:
        self.environment = simpy.Environment()
        self.machine = machine
        self.start_cycles = -1
        self._ready = self._finished = 0
        self._guest = guest
        self._streams: Streams = streams()
        self._program = program
        self._build = PLATFORMS[platform]
        self._phase_seed = phase_seed
        self.nodes: Nodes = build_nodes(
            self.environment, machine, partition.shape, partition.torus, numbers, partition.pset
        )
        self.processes = [
            self._process(rank, node, partition) for rank, node in enumerate(self.nodes.nodes.values())
        ]

    def run(self) -> None:
        """Run the program to its end on all nodes."""
        environment = self.environment
        for phase, process in sorted(
            zip(self._phases(), self.processes, strict=True), key=lambda pair: (pair[0], pair[1].rank)
        ):
            if phase > environment.now:
                environment.run(until=phase)
            process.core = self._build(environment, self.machine, process.guest, process.node)
        for process in self.processes:
            if process.core.process.is_alive:
                environment.run(until=process.core.process)
        environment.run()  # what is still on its way
        self.nodes.check()

    def _phases(self) -> list[int]:
        if self._phase_seed is None:
            return [0] * len(self.processes)
        key = hashlib.sha256(f"detailed job/{self._phase_seed}".encode()).digest()
        random = Random(int.from_bytes(key[:8], "big"))
        tick = self.machine.cycles("l4.tick")
        return [random.randrange(tick) for _ in self.processes]

    def _process(self, rank: int, node: Node, partition: Partition) -> Process:
        def main() -> Code:
            yield from messenger.initialise()
            if isinstance(messenger, Messenger):
                yield from move(messenger)
            self._ready += 1
            if self._ready == len(self.processes):
                self.start_cycles = (yield Now()) + START_DELAY_CYCLES
            while self.start_cycles < 0:
                yield messenger.code.cycles(SPIN_CYCLES)
            now = yield Now()
            if now < self.start_cycles:
                yield messenger.code.cycles(self.start_cycles - now)
            yield from self._program(process)
            self._finished += 1
            yield from messenger.linger(lambda: self._finished == len(self.processes))

        guest, messenger = self._messaging(node, partition, main)
        collectives: Collectives | SocketCollectives
        if isinstance(messenger, Messenger):
            collectives = Collectives(self.machine, messenger)
        else:
            collectives = SocketCollectives(self.machine, messenger, rank, tuple(self.nodes.nodes))
        process = Process(rank, node, guest, messenger, collectives)
        return process

    def _messaging(
        self, node: Node, partition: Partition, main: Callable[[], Code]
    ) -> tuple[Guest, Messenger | SocketMessenger]:
        """The guest of a node, and the library of its process."""
        machine, kind = self.machine, GUESTS[self._guest]
        memory = kind.memory(machine, BUFFER_BYTES)
        guest = kind.build(machine, memory, main)
        if isinstance(guest, DmaCalls):
            return guest, Messenger(machine, guest, node.number, partition.shape, partition.torus)
        paths = NetworkPaths(machine)
        driver = TorusEthernet(machine, paths)
        kernel = NETWORK_LINUX[self._guest](
            machine, driver, paths, node.number, MTU_BYTES, main, memory.program
        )
        return kernel, SocketMessenger(machine, kernel, node.number, memory, self._streams)

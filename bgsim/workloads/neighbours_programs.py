"""What virtual machines run beside each other: loops of which each turn does one thing.

A program knows nothing of who runs beside it, and nothing of what it runs on.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Protocol

import numpy as np
import simpy

from bgsim.datasheet import Datasheet
from bgsim.guests.application_memory import ApplicationMemory
from bgsim.guests.catalogue import GUESTS
from bgsim.guests.zeptoos import LINUX
from bgsim.hardware import bic, collective_device
from bgsim.hardware import dma_registers as reg
from bgsim.hardware.collective_device import Register
from bgsim.hardware.collective_header import point_to_point_header
from bgsim.hardware.dma_descriptor import Descriptor, Transfer
from bgsim.hardware.dma_registers import FifoRegister
from bgsim.hardware.node import Node
from bgsim.platforms.seam import (
    Code,
    Guest,
    Load,
    LoadQuad,
    MachineCheckError,
    ReadMemory,
    Run,
    Store,
    Wait,
    WriteMemory,
)
from bgsim.profiles import program as ops
from bgsim.profiles.program import TRACES, kernel_program, load, operation

COMPUTE_INSTRUCTIONS = 40_000
"""Of one turn of computation: some tens of microseconds."""

WALK_BYTES = 2 << 20
WALK_ACCESSES = 8
"""Of one turn of the walk; its table has eight times as many 4 KiB pages as the TLB has entries."""
WALK_TABLE = 4096
WALK_INSTRUCTIONS = 60
"""Between two of its accesses."""

BUILD = "lcc"
BUILD_OPERATIONS = 1000
"""Of one turn of the build."""

READS = 4
RING_ADDRESS = 0x10_0000
FORBIDDEN_NODE = 1
"""The node's neighbour, which nobody here may send to."""


class Loop(Protocol):
    """A program that does the same again and again."""

    def guest(self, main: Callable[[], Code]) -> Guest:
        """The guest that runs it, whose program is ``main``."""

    def begin(self) -> Code:
        """What comes before the first turn."""

    def turn(self) -> Code:
        """One turn."""


class Compute:
    """Computation on one page."""

    def __init__(self, machine: Datasheet, guest: str, random: np.random.Generator) -> None:
        self._machine, self._guest = machine, guest
        self.memory = GUESTS[guest].memory(machine, machine.integer("guest.user_page"))
        words = [*self.memory.code, *self.memory.words(np.zeros(1, dtype=np.int64)).tolist()]
        self._turn = Run(
            kernel_program("computation", [*words, operation(ops.WORK_USER, COMPUTE_INSTRUCTIONS)])
        )

    def guest(self, main: Callable[[], Code]) -> Guest:
        """The guest that runs it."""
        return GUESTS[self._guest].build(self._machine, self.memory, main)

    def begin(self) -> Code:
        """Touch the page."""
        yield from first_touches(self.memory)

    def turn(self) -> Code:
        """Compute."""
        yield self._turn


class RandomWalk(Compute):
    """Loads from random pages of a table: under a guest with 4 KiB pages nearly each misses the TLB."""

    def __init__(self, machine: Datasheet, guest: str, random: np.random.Generator) -> None:
        super().__init__(machine, guest, random)
        self.memory = GUESTS[guest].memory(machine, WALK_BYTES)
        where = random.integers(0, WALK_BYTES, WALK_TABLE)
        words = np.empty(2 * WALK_TABLE, dtype=np.uint32)
        words[0::2] = self.memory.words(where)
        words[1::2] = operation(ops.WORK_USER, WALK_INSTRUCTIONS)
        self._walk = kernel_program("random walk", words.tolist())
        self._at = 0

    def begin(self) -> Code:
        """Fill the table."""
        yield from first_touches(self.memory)

    def turn(self) -> Code:
        """A few loads."""
        begin = self._at
        self._at = (begin + 2 * WALK_ACCESSES) % (2 * WALK_TABLE)
        yield Run(self._walk, begin, begin + 2 * WALK_ACCESSES)


class Build:
    """A compiler building a project: the page references and kernel entries of a real one."""

    def __init__(self, machine: Datasheet, guest: str, random: np.random.Generator) -> None:
        self._machine, self._guest = machine, guest
        self._trace = load(TRACES[BUILD])
        self._at = 0

    def guest(self, main: Callable[[], Code]) -> Guest:
        """The guest that runs it."""
        return LINUX[self._guest](self._machine, self._trace, main, BUILD)

    def begin(self) -> Code:
        """Nothing: it starts with the trace."""
        yield from ()

    def turn(self) -> Code:
        """The next stretch of the trace."""
        begin = self._at
        end = min(begin + BUILD_OPERATIONS, len(self._trace.operations))
        self._at = end % len(self._trace.operations)
        yield Run(self._trace, begin, end)


class DeviceReads(Compute):
    """Loads of a register of the interrupt controller."""

    def turn(self) -> Code:
        """A few loads."""
        for _ in range(READS):
            yield Load(bic.BASE)


class Idle(Compute):
    """Nothing but the guest's timer interrupts."""

    def turn(self) -> Code:
        """Wait for one; the guest's idle loop spins meanwhile."""
        yield Wait()


class ForbiddenSends(Compute):
    """Descriptors to a node the virtual machine may not send to."""

    def begin(self) -> Code:
        """Set an injection ring up."""
        yield from super().begin()
        for register, value in (
            (FifoRegister.START, RING_ADDRESS >> 4),
            (FifoRegister.END, (RING_ADDRESS + 8 * reg.DESCRIPTOR_BYTES) >> 4),
            (FifoRegister.HEAD, RING_ADDRESS >> 4),
            (FifoRegister.TAIL, RING_ADDRESS >> 4),
        ):
            yield Store(_ring(register), value)
        yield WriteMemory(RING_ADDRESS, Descriptor(Transfer.MEMORY_FIFO, FORBIDDEN_NODE, 240))

    def turn(self) -> Code:
        """Post the descriptor, or try to."""
        yield Store(_ring(FifoRegister.TAIL), (RING_ADDRESS + reg.DESCRIPTOR_BYTES) >> 4)


class WildAccesses(Compute):
    """Accesses to memory that the machine does not have; the program survives its machine checks."""

    def turn(self) -> Code:
        """One access, above all memory a node has."""
        try:
            yield ReadMemory(BEYOND_MEMORY)
        except MachineCheckError:
            yield from super().turn()


class Receive(Compute):
    """Reception of whatever comes over the collective network, by polling."""

    def turn(self) -> Code:
        """Take one packet out of the FIFO if there is one."""
        base = collective_device.BASES[0]
        status = yield Load(base + Register.STATUS)
        if status & 0xF:
            yield Load(base + Register.RECEPTION_HEADER)
            for _ in range(collective_device.QUADS):
                yield LoadQuad(base + Register.RECEPTION_DATA)


BEYOND_MEMORY = 0xB000_0000

LOOPS: dict[str, Callable[[Datasheet, str, np.random.Generator], Loop]] = {
    "compute": Compute,
    "random-walk": RandomWalk,
    "device-reads": DeviceReads,
    "build": Build,
    "idle": Idle,
    "forbidden-sends": ForbiddenSends,
    "wild-accesses": WildAccesses,
    "receive": Receive,
}
"""Programs by name."""


def packets(node: Node, to: int, interval: int) -> Generator[simpy.Event, None, None]:
    """A node that sends packets to another one, without end; what its own core takes is not looked at."""
    base = collective_device.BASES[0]
    header = point_to_point_header(to)
    while True:
        yield node.environment.timeout(interval)
        node.bus.store(base + Register.INJECTION_HEADER, header)
        for _ in range(collective_device.QUADS):
            node.bus.store_quad(base + Register.INJECTION_DATA, None)


def first_touches(memory: ApplicationMemory) -> Code:
    """Touch all of a program's memory once, which is when a guest that pages on demand maps it."""
    words: list[int] = [*memory.code]
    for address in range(0, memory.size, min(memory.touch_bytes, 1 << 20)):
        words += memory.first_touch(address)
        words += memory.words(np.array([address], dtype=np.int64)).tolist()
    yield Run(kernel_program("first touches", words))


def _ring(register: FifoRegister) -> int:
    return reg.group_address(reg.KERNEL_GROUP, reg.injection_fifo(reg.KERNEL_INJECTION_FIFO, register))

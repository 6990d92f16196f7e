"""A guest's program whose communication has moved to a native library beside its virtual machine.

The program starts in its guest. When it asks to move, the VMM makes a thread of the microkernel in an
address space beside the virtual machine, maps the machine's memory and the device pages of the library's
drivers there, and lets the thread go on where the program was. From then on the program runs in one of two
places, with one set of registers: beside the guest, where a device that has moved is a plain access, or in
the guest, whose kernel it still needs, for file access above all, and where devices that have not moved are
emulated as ever. Work in user mode goes on wherever the program is. What can only be done in the other
place takes it there first, by a message to the VMM that carries its registers, which the VMM puts into the
thread there.

While the program is beside its guest, the guest stands still: its vCPU waits for the VMM's reply. Its timer
and its devices' interrupts come when the program is back.

The messages cost what forwarded faults of the same content cost: to the library as an access to a device
page, by which the program asks; back as a forwarded instruction. Making thread and space is an estimate,
each mapping costs as any other.

Left out: several vCPUs; memory that the guest maps differently afterwards; what the guest's kernel would do
meanwhile if it were left running.

Source: the design is that of the paper's outlook; nothing of it was executed (G). Paths: see
:mod:`bgsim.l4.paths`, ``bgsim datasheet 'hybrid.*'``.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import simpy

from bgsim.hardware import barrier_device, collective_device, dma_registers
from bgsim.l4.address_space import AddressSpace
from bgsim.l4.thread import Thread
from bgsim.l4.vcpu import Crossing, Vcpu
from bgsim.platforms.processor import Processor, access_memory
from bgsim.platforms.seam import (
    DcrAccess,
    DeviceAccess,
    Guest,
    Move,
    Now,
    Poll,
    ReadDcr,
    ReadMemory,
    Request,
    Run,
    SetInterrupts,
    WriteDcr,
    WriteMemory,
)
from bgsim.profiles import program as ops

if TYPE_CHECKING:
    from bgsim.l4.kernel import Kernel

ANYWHERE = (Now, Poll, SetInterrupts, Move)
"""Requests that are the same in both places."""

_TORUS_SIZE = dma_registers.GROUPS * dma_registers.GROUP_SIZE
_CONTROLS = (
    ("torus", dma_registers.DCR_BASE, dma_registers.DCR_COUNT),
    ("collective", collective_device.DCR_BASE, collective_device.DCR_COUNT),
    ("barrier", barrier_device.DCR_BASE, barrier_device.DCR_COUNT),
)


def device_of(access: DeviceAccess | DcrAccess) -> str | None:
    """Which of the devices that may be moved an access goes to.

    The second channel of the collective network carries file access and is not one of them.
    """
    if isinstance(access, ReadDcr | WriteDcr):
        for name, first, count in _CONTROLS:
            if first <= access.number < first + count:
                return name
        return None
    if dma_registers.BASE <= access.address < dma_registers.BASE + _TORUS_SIZE:
        return "torus"
    if access.address & ~(collective_device.SIZE - 1) == collective_device.BASES[0]:
        return "collective"
    return None


class HybridVcpu(Vcpu):
    """A vCPU and the thread beside it, of which one runs at a time.

    Attributes
    ----------
    moved
        Devices that the library works; None before the program has asked.
    beside
        Whether the program is beside its guest now.
    crossings
        How often it went from one place to the other.
    """

    def __init__(
        self, name: str, processor: Processor, guest: Guest, pager: Thread, space: AddressSpace
    ) -> None:
        super().__init__(name, processor, guest, pager)
        self.space = space
        self.moved: frozenset[str] | None = None
        self.beside = False
        self.crossings = 0
        self._in_guest = processor.tables, processor.walker
        self._crossing: Crossing | None = None

    def due(self, now: int) -> bool:
        """Whether the guest's decrementer has expired and the guest is there to take the interrupt."""
        return not self.beside and super().due(now)

    def inject(self, now: int) -> None:
        """Deliver a pending event if the guest is there to take it."""
        if not self.beside:
            super().inject(now)

    def execute(self, kernel: Kernel) -> Generator[simpy.Event, Any, None]:
        """Run the program's request where it has to run, going there first."""
        request = self.processor.request
        there = self.place_of(request) if request is not None else None
        if isinstance(request, Move) and self.moved is None:
            yield from kernel.settle()
            self._cross(kernel, Crossing(to_native=True, first=True))
        elif there is not None and there != self.beside:
            yield from kernel.settle()
            self._cross(kernel, Crossing(to_native=there))
        elif isinstance(request, Poll) and not self._polls_beside(request):
            self.processor.advance()  # read by read, each where its device is
        elif isinstance(request, ReadMemory | WriteMemory) and self.moved and "torus" in self.moved:
            self.processor.advance(access_memory(self.space.node.memory, request))  # the library's own
        elif self.beside and not self.processor.finished:
            yield from kernel.settle()
            yield from self.space.execute(kernel, self._unmapped)
        else:
            yield from super().execute(kernel)

    def place_of(self, request: Request) -> bool | None:
        """Whether a request has to run beside the guest; None where that does not matter."""
        if self.moved is None:
            return False
        if isinstance(request, Run):
            return False if _is_privileged(request) else None
        if isinstance(request, ReadMemory | WriteMemory):
            return None if "torus" in self.moved else False
        if isinstance(request, DeviceAccess | DcrAccess):
            return device_of(request) in self.moved
        return None if isinstance(request, ANYWHERE) else False

    def _polls_beside(self, request: Poll) -> bool:
        """Whether the program is where all registers that it polls are."""
        return self.beside and all(device_of(access) in (self.moved or ()) for access, _ in request.reads)

    def _cross(self, kernel: Kernel, crossing: Crossing) -> None:
        self.crossings += 1
        self._crossing = crossing
        self._fault(kernel, "fault", crossing)

    def resume(self, now: int, answer: Any, advance: bool) -> None:
        """The VMM replied: to whichever of the two is to go on."""
        crossing, self._crossing = self._crossing, None
        if crossing is None:
            super().resume(now, answer, advance)
            return
        self.beside = crossing.to_native
        if crossing.to_native:
            self.space.enter()
        else:
            self.processor.tables, self.processor.walker = self._in_guest
        if crossing.first:
            self.moved = frozenset(answer)
            self.space.map(0, self.space.pages)
            self.processor.advance(answer)
        self.inject(now)

    @staticmethod
    def _unmapped(page: int) -> None:
        raise AssertionError(f"page {page} was mapped when the program moved")


def _is_privileged(run: Run) -> bool:
    """Whether a stretch has anything in it that needs the guest's kernel."""
    operations = run.program.operations
    return bool((operations >> ops.KIND_SHIFT > ops.WORK_USER).any())

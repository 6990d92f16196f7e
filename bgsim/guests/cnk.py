"""The compute node kernel (CNK): one thread, memory mapped once and for all, devices in user space.

CNK runs one thread of one process on a core and then stays out of its way. All memory is mapped with
large pages before the program starts, so a TLB miss never comes; there is no timer tick, no demand
paging and no interrupt; the torus DMA engine, the collective and the barrier network are worked by the
program itself. What is left are system calls: here those that hand out DMA resources, whose registers
only the kernel may write.

The mapping is 256 MiB pages pinned in the TLB the guest sees; on a virtual TLB the microkernel answers
from them in fragments of 1 MiB, which a small working set loads once. Real CNK also fits pages of 1
and 16 MiB around text and data; that is left out. File access is in :mod:`bgsim.guests.function_shipping`.

Sources: the structure is recalled from descriptions of CNK (Mm); the DMA allocation calls follow the
IBM SPI headers (2007). Its system call's privileged instructions are the least such a path needs (G).
"""

from __future__ import annotations

from collections.abc import Callable

from bgsim.datasheet import Datasheet
from bgsim.guests.dma_calls import DmaCalls
from bgsim.guests.linux import Sequence
from bgsim.platforms import layout
from bgsim.platforms.seam import Code, Run, SetInterrupts
from bgsim.profiles import program as ops
from bgsim.profiles.program import kernel_program, operation

KERNEL_MIB = 0
TEXT_MIB = 16
DATA_MIB = 17
"""MiB of a process's text and data; its messaging library's rings follow at ``RINGS_MIB``."""
RINGS_MIB = 18
BUFFERS_MIB = 32

_SYSTEM_CALL = (
    "mtspr_SPRG0",
    "mtspr_SPRG1",
    "mfspr_SRR0",
    "mfspr_SRR1",
    "mfspr_SPRG1",
    "mfspr_SPRG0",
    "mtspr_SRR0",
    "mtspr_SRR1",
    "rfi_to_user",
)
"""Save two registers, remember where the program was, and go back there."""

_NAMES = {layout.SEQ_SYSCALL: Sequence("system_call", _SYSTEM_CALL)}

SEQUENCES: tuple[Sequence, ...] = tuple(
    _NAMES.get(number, Sequence(f"never_{number}", ())) for number in range(layout.FIRST_FREE_SEQUENCE)
)
"""CNK's privileged sequences by the numbers all guests share; only its system call ever runs."""


class Cnk(DmaCalls):
    """The kernel of one core, and the program on it.

    Parameters
    ----------
    main
        The user program, as a generator of requests.

    Attributes
    ----------
    timer_period_cycles
        0: there is no timer interrupt.
    """

    timer_period_cycles = 0
    irq_pairs_milli = 0

    def __init__(self, datasheet: Datasheet, main: Callable[[], Code]) -> None:
        self.datasheet = datasheet
        self.program = kernel_program("cnk", [])
        self.lines_per_iccci_milli = round(1000 * datasheet.quantity("cnk.lines_per_iccci").value)
        self._main = main
        self._page_bytes = datasheet.integer("cnk.page")
        self._call = kernel_program(
            "system call",
            [
                operation(ops.ENTER, ops.EXCEPTION_SYSCALL),
                operation(ops.LOWMEM_INSTRUCTION, KERNEL_MIB),
                operation(ops.LOWMEM_DATA, KERNEL_MIB),
                operation(ops.WORK_KERNEL, datasheet.integer("cnk.system_call_instructions")),
            ],
        )

    @property
    def sequences(self) -> tuple[Sequence, ...]:
        """Privileged sequences of the kernel, by number."""
        return SEQUENCES

    def pinned_entries(self, memory_bytes: int) -> int:
        """TLB entries of the static mapping of that much memory."""
        return max(1, -(-memory_bytes // self._page_bytes))

    def main(self) -> Code:
        """The user program, which no interrupt ever disturbs."""
        yield SetInterrupts(False)
        yield from self._main()

    def timer_interrupt(self) -> Code:
        """Never comes."""
        yield from ()

    def external_interrupt(self) -> Code:
        """None is enabled: the program polls its devices."""
        yield from ()

    def system_call(self) -> Code:
        """Enter and leave the kernel."""
        yield Run(self._call)

"""The compute node kernel (CNK): one thread, memory mapped once and for all, devices in user space.

CNK runs one thread of one process on a core and then stays out of its way. All memory is mapped with
large pages before the program starts, so a TLB miss never comes; there is no timer tick, no demand
paging and no interrupt; the torus DMA engine, the collective and the barrier network are worked by the
program itself. What is left are system calls: here those that hand out DMA resources, whose registers
only the kernel may write.

The mapping is 256 MiB pages pinned in the TLB the guest sees; on a virtual TLB the microkernel answers
from them in fragments of 1 MiB, which a small working set loads once. Real CNK also fits pages of 1
and 16 MiB around text and data; that, and function-shipped file access, are left out.

Sources: the structure is recalled from descriptions of CNK (Mm); the DMA allocation calls follow the
IBM SPI headers (2007). Its system call's privileged instructions are the least such a path needs (G).
"""

from __future__ import annotations

from collections.abc import Callable

from bgsim.datasheet import Datasheet
from bgsim.guests.linux import Sequence
from bgsim.hardware import dma_registers as reg
from bgsim.hardware.dma_registers import CounterControl, Dcr, FifoRegister, Register
from bgsim.platforms import layout
from bgsim.platforms.seam import Code, ReadDcr, Run, SetInterrupts, Store, WriteDcr
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


class Cnk:
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

    # -- system calls

    def allocate_injection_fifo(
        self, group: int, fifo: int, ring: int, entries: int, network_fifos: int
    ) -> Code:
        """Point an injection FIFO at an empty ring of descriptors, and let it run.

        Parameters
        ----------
        ring, entries
            Address of the ring and its slots.
        network_fifos
            Torus injection FIFOs it may use; FIFO 0 is the leftmost of eight bits.
        """
        yield Run(self._call)
        number = reg.DCR_BASE + Dcr.INJECTION_FIFO_MAP + 8 * group + fifo // 4
        shift = 24 - 8 * (fifo % 4)
        yield from _change_bits(number, 0xFF << shift, network_fifos << shift)
        yield from _point(
            {each: reg.group_address(group, reg.injection_fifo(fifo, each)) for each in FifoRegister},
            ring,
            entries * reg.DESCRIPTOR_BYTES,
        )
        yield from _change_bits(reg.injection_enable_dcr(group), 0, reg.bit(fifo))
        yield Store(reg.group_address(group, Register.INJECTION_ACTIVATE), reg.bit(fifo))

    def allocate_reception_fifo(self, group: int, fifo: int, ring: int, entries: int) -> Code:
        """Point a reception FIFO at an empty ring of packet slots, and let it receive its group's packets."""
        yield Run(self._call)
        yield from _point(
            {each: reg.group_address(group, reg.reception_fifo(fifo, each)) for each in FifoRegister},
            ring,
            entries * reg.PACKET_SLOT_BYTES,
        )
        index = group * reg.RECEPTION_FIFOS + fifo
        for half in range(2):
            number = reg.DCR_BASE + Dcr.RECEPTION_FIFO_MAP + 2 * group + half
            yield WriteDcr(number, index * 0x0101_0101)
        yield from _change_bits(reg.DCR_BASE + Dcr.RECEPTION_FIFO_ENABLE, 0, reg.bit(index))

    def allocate_counters(self, group: int) -> Code:
        """Let all injection and reception counters of a group count."""
        yield Run(self._call)
        for control in (Register.INJECTION_COUNTER_CONTROL, Register.RECEPTION_COUNTER_CONTROL):
            for word in range(2):
                yield Store(reg.group_address(group, control + CounterControl.ENABLE + 4 * word), 0xFFFF_FFFF)


def _point(registers: dict[FifoRegister, int], base: int, size: int) -> Code:
    yield Store(registers[FifoRegister.START], base >> 4)
    yield Store(registers[FifoRegister.END], base + size >> 4)
    yield Store(registers[FifoRegister.HEAD], base >> 4)
    yield Store(registers[FifoRegister.TAIL], base >> 4)


def _change_bits(number: int, cleared: int, set_: int) -> Code:
    word = yield ReadDcr(number)
    yield WriteDcr(number, word & ~cleared | set_)

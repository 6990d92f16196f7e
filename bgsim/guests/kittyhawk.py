"""Kittyhawk Linux as a guest: what it runs, and how it handles its interrupts.

The same object runs on every platform: how many TLB entries it pins follows from the memory it is
given, everything else from its own code.

Source: Linux 2.6.2x for Blue Gene/P (``head_44x.S``, ``entry_32.S``, ``44x_mmu.c``); the timer's
work and the memory it touches from the traces in ``bgsim.profiles``.
"""

from __future__ import annotations

from collections.abc import Callable

from bgsim.datasheet import Datasheet
from bgsim.guests.linux import SEQUENCES, Sequence, pinned_entries
from bgsim.platforms.seam import Code, Run
from bgsim.profiles import program as ops
from bgsim.profiles.program import Program, kernel_program, operation

TICK_TEXT_MIB = (0,)
TICK_DATA_MIB = (4, 5, 8, 9)
"""MiB of the kernel image that every timer interrupt of the traces touches."""


class KittyhawkLinux:
    """Uniprocessor Kittyhawk Linux.

    Parameters
    ----------
    program
        Program whose pages the guest maps.
    main
        What the guest does, as a generator of requests.
    build
        Name of the measured program whose instruction-cache refill applies: ``gcc346``, ``lcc``
        or ``gcc12``.
    external_interrupt
        Handler of device interrupts; none by default.
    """

    def __init__(
        self,
        datasheet: Datasheet,
        program: Program,
        main: Callable[[], Code],
        build: str = "gcc346",
        external_interrupt: Callable[[], Code] | None = None,
        timer: bool = True,
    ) -> None:
        self.datasheet = datasheet
        self.program = program
        self._main = main
        self._external_interrupt = external_interrupt
        frequency = datasheet.quantity("guest.timer_frequency").value
        period = datasheet.quantity("core.frequency").value / frequency
        self.timer_period_cycles = round(period) if timer else 0
        self.irq_pairs_milli = round(datasheet.quantity("guest.irq_pairs_per_kiloinstruction").value * 1000)
        self.lines_per_iccci_milli = round(
            1000
            * (
                datasheet.quantity(f"guest.iccci_lines_user.{build}").value
                + datasheet.quantity(f"guest.iccci_lines_kernel.{build}").value
            )
        )
        words = [operation(ops.ENTER, ops.EXCEPTION_DECREMENTER)]
        words += [operation(ops.LOWMEM_INSTRUCTION, mib) for mib in TICK_TEXT_MIB]
        words += [operation(ops.LOWMEM_DATA, mib) for mib in TICK_DATA_MIB]
        words.append(operation(ops.WORK_KERNEL, datasheet.integer("guest.timer_tick_instructions")))
        self._tick = kernel_program("timer tick", words)

    @property
    def sequences(self) -> tuple[Sequence, ...]:
        """Privileged sequences of the kernel, by number."""
        return SEQUENCES

    def pinned_entries(self, memory_bytes: int) -> int:
        """TLB entries pinned for the linear mapping of that much memory."""
        return pinned_entries(self.datasheet, memory_bytes)

    def main(self) -> Code:
        """The guest's program."""
        return self._main()

    def timer_interrupt(self) -> Code:
        """Timer interrupt: jiffies, accounting, softirqs."""
        yield Run(self._tick)

    def external_interrupt(self) -> Code:
        """Device interrupt."""
        if self._external_interrupt is not None:
            yield from self._external_interrupt()

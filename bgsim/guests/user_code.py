"""What a user program executes between its device accesses, as programs the processor walks.

A stretch is instructions executed in user mode together with the MiB of memory it touches. Costs that
were calibrated as times are turned into instructions at the guest's cycles per instruction, so that
every platform runs them, and any remainder is carried: over many stretches the time is exact.
"""

from __future__ import annotations

from fractions import Fraction

from bgsim.datasheet import Datasheet
from bgsim.hardware.core import guest_cpi
from bgsim.platforms.seam import Run
from bgsim.profiles import program as ops
from bgsim.profiles.program import Program, kernel_program, operation

MILLI = 1000


class UserCode:
    """Builds and remembers stretches of user code.

    Parameters
    ----------
    text_mib, data_mib
        MiB of memory that every stretch fetches instructions from, and reads or writes.
    """

    def __init__(self, datasheet: Datasheet, text_mib: tuple[int, ...], data_mib: tuple[int, ...]) -> None:
        self._touched = [operation(ops.LOWMEM_INSTRUCTION, mib) for mib in text_mib]
        self._touched += [operation(ops.LOWMEM_DATA, mib) for mib in data_mib]
        self._cpi_milli = round(guest_cpi(datasheet) * MILLI)
        self._owed_milli = Fraction(0)
        self._programs: dict[tuple[int, tuple[int, ...]], Program] = {}

    def instructions(self, count: int, data_mib: tuple[int, ...] = ()) -> Run:
        """Execute so many instructions, which also touch the given MiB of memory."""
        key = (count, data_mib)
        program = self._programs.get(key)
        if program is None:
            words = [*self._touched, *(operation(ops.LOWMEM_DATA, mib) for mib in data_mib)]
            if count:
                words.append(operation(ops.WORK_USER, count))
            program = self._programs[key] = kernel_program("user code", words)
        return Run(program)

    def cycles(self, count: int | Fraction, data_mib: tuple[int, ...] = ()) -> Run:
        """Execute as many instructions as take so many cycles on bare metal."""
        self._owed_milli += Fraction(count) * MILLI
        instructions = int(self._owed_milli // self._cpi_milli)
        self._owed_milli -= instructions * self._cpi_milli
        return self.instructions(instructions, data_mib)

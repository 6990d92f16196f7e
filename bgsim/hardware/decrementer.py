"""Timebase and decrementer of a core: both count core cycles.

The decrementer counts down from the value written and stops at zero, where it sets a status bit that stays
until it is acknowledged; with auto-reload it starts again from the reload register at once. Source: IBM
PPC440x5 User's Manual; the clock of timebase and core is the same on Blue Gene/P (U-Boot fdt.dts).
"""

from __future__ import annotations

from collections.abc import Callable

from simpy import Environment

from bgsim.network.callout import call_after

_WORD = 0xFFFF_FFFF


class Decrementer:
    """One core's timer.

    Parameters
    ----------
    environment
        Simulation environment in core cycles.
    on_change
        Called when :attr:`pending` may have changed.
    """

    def __init__(self, environment: Environment, on_change: Callable[[], None] | None = None) -> None:
        self.on_change = on_change
        self.reload_value = 0
        self.auto_reload = False
        self.interrupt_enabled = False
        self.expired = False
        self._environment = environment
        self._timebase_offset = 0
        self._deadline: int | None = None
        self._generation = 0

    @property
    def pending(self) -> bool:
        """Whether the core should take a decrementer interrupt."""
        return self.expired and self.interrupt_enabled

    @property
    def timebase(self) -> int:
        """The 64-bit timebase."""
        return int(self._environment.now) + self._timebase_offset

    def set_timebase(self, value: int) -> None:
        """Set the timebase."""
        self._timebase_offset = value - int(self._environment.now)

    def read(self) -> int:
        """Cycles left, 0 after it stopped."""
        return 0 if self._deadline is None else self._deadline - int(self._environment.now)

    def write(self, cycles: int) -> None:
        """Count down from a value; 0 stops the counter without an interrupt."""
        self._generation += 1
        self._deadline = None
        if cycles & _WORD:
            self._start(cycles & _WORD)

    def enable_interrupt(self, on: bool = True) -> None:
        """Let an expired decrementer interrupt the core."""
        self.interrupt_enabled = on
        self._tell()

    def acknowledge(self) -> None:
        """Clear the status bit."""
        self.expired = False
        self._tell()

    def _start(self, cycles: int) -> None:
        self._deadline = int(self._environment.now) + cycles
        call_after(self._environment, cycles, self._expire, self._generation)

    def _expire(self, generation: int) -> None:
        if generation != self._generation:
            return  # overwritten in the meantime
        self.expired = True
        self._deadline = None
        if self.auto_reload and self.reload_value:
            self._start(self.reload_value)
        self._tell()

    def _tell(self) -> None:
        if self.on_change is not None:
            self.on_change()

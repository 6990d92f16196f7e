"""The time of a core, which runs ahead of the simulation's until the core looks at something outside."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import simpy


class CoreClock:
    """What a core owes: time that has passed for it and not yet for the simulation."""

    def __init__(self, environment: simpy.Environment) -> None:
        self.environment = environment
        self._owed = 0

    @property
    def now(self) -> int:
        """Time this core has reached, in core cycles: that of the simulation and what is owed."""
        return int(self.environment.now) + self._owed

    def owe(self, cycles: int) -> None:
        """Pass time on this core together with whatever comes next; the caller accounts for it.

        For stretches in which nothing outside the core is looked at: it saves events.
        """
        self._owed += cycles

    def settle(self) -> Generator[simpy.Event, Any, None]:
        """Pass the time that is owed."""
        if self._owed:
            yield from self.spend(0)

    def spend(self, cycles: int) -> Generator[simpy.Event, Any, None]:
        """Pass time on this core, and what is owed; the caller accounts for it."""
        cycles += self._owed
        self._owed = 0
        self._spent(cycles)
        yield self.environment.timeout(cycles)

    def _spent(self, cycles: int) -> None:
        """Count that time was passed."""

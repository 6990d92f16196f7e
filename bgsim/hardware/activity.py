"""Tells whoever polls a node's devices that what they read may have changed.

Real devices tell nobody: a program that polls reads the same value over and over. A simulator may pass
those reads in one go, if it learns when one of them could read something else. Devices call
:meth:`Activity.happened` whenever a register that programs poll changes.
"""

from __future__ import annotations

from simpy import Environment, Event


class Activity:
    """Changes of polled registers of one node.

    Attributes
    ----------
    count
        How many there were.
    """

    def __init__(self, environment: Environment) -> None:
        self.count = 0
        self._environment = environment
        self._waiting: Event | None = None

    def happened(self) -> None:
        """A register has changed, now."""
        self.count += 1
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.succeed()

    def next(self) -> Event:
        """An event that happens with the next change."""
        if self._waiting is None:
            self._waiting = Event(self._environment)
        return self._waiting

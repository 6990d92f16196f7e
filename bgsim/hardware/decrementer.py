"""Decrementer of a core, real or virtual: the timer that interrupts periodically.

Timebase and decrementer count core cycles. Who programs it reads the timebase and aims at the next
point of a fixed grid, so periods that went by unnoticed are lost, not made up for. It holds no
simulation event: whoever runs the core asks for its deadline.

Left out: one-shot use, watchdog and fixed-interval timer, which nothing here uses.

Source: IBM PPC440x5 User's Manual; timebase and core clock are the same on Blue Gene/P (U-Boot
fdt.dts).
"""

from __future__ import annotations

NEVER = 1 << 62
"""Deadline of a decrementer that is not running."""


class Decrementer:
    """One periodic timer.

    Attributes
    ----------
    deadline
        Core cycle at which it expires; ``NEVER`` while it is stopped.
    period
        Core cycles between two expiries; 0 while it is stopped.
    """

    def __init__(self) -> None:
        self.deadline = NEVER
        self.period = 0

    def start(self, now: int, period: int) -> None:
        """Expire every ``period`` cycles from now on; 0 stops the timer."""
        if period < 0:
            raise ValueError(f"a period is zero or more cycles, not {period}")
        self.period = period
        self.deadline = now + period if period else NEVER

    def expired(self, now: int) -> bool:
        """Whether an interrupt is due."""
        return now >= self.deadline

    def rearm(self, now: int) -> int:
        """Aim at the next point of the grid after ``now``; returns how many expiries were lost."""
        assert self.expired(now), "only an expired decrementer is armed again"
        lost = (now - self.deadline) // self.period
        self.deadline += (lost + 1) * self.period
        return lost

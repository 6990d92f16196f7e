"""What a platform did between two moments: time by cause, exits and event counts as differences.

The first moment must be one at which the guest has just been told the time (``Now``): then nothing the
core has accounted for is still to pass.
"""

from __future__ import annotations

from bgsim.platforms.seam import ExitCause, Platform
from bgsim.workloads.outcome import ExitRow


class Window:
    """Opened at the present state of a platform.

    Parameters
    ----------
    platform
        The platform, already built.
    now
        Simulated time in core cycles.
    """

    def __init__(self, platform: Platform, now: int) -> None:
        self.platform = platform
        self.opened = now
        self._cycles = platform.running_attribution()
        self._counters = platform.counters()
        self._exits = {row.cause: row for row in platform.exits()}

    def attribution(self) -> dict[str, int]:
        """Cause to cycles since the window was opened, without causes that took none."""
        cycles = {
            cause: value - self._cycles.get(cause, 0)
            for cause, value in self.platform.running_attribution().items()
        }
        return {cause: value for cause, value in cycles.items() if value}

    def counters(self) -> dict[str, int]:
        """Event counts since the window was opened."""
        return {name: value - self._counters.get(name, 0) for name, value in self.platform.counters().items()}

    def exits(self) -> list[ExitRow]:
        """Exits since the window was opened, the most expensive cause first."""
        rows = []
        for row in self.platform.exits():
            before = self._exits.get(row.cause, ExitCause(row.cause, 0, 0, 0))
            if row != before:  # the rest of one that was counted before has cycles only
                rows.append(
                    ExitRow(
                        cause=row.cause,
                        count=row.count - before.count,
                        cycles_l4=row.cycles_l4 - before.cycles_l4,
                        cycles_vmm=row.cycles_vmm - before.cycles_vmm,
                    )
                )
        return sorted(rows, key=lambda row: (-row["cycles_l4"] - row["cycles_vmm"], row["cause"]))

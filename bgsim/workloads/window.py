"""What a platform did between two moments: time by cause, exits and event counts as differences.

Both moments must be ones at which the guest has just been told the time (``Now``): then nothing the
core has accounted for is still to pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bgsim.platforms.seam import ExitCause, Platform
from bgsim.workloads.outcome import ExitRow


@dataclass(frozen=True)
class Spent:
    """What a platform did while a window was open.

    Attributes
    ----------
    opened, closed
        Simulated times in core cycles.
    attribution
        Cause to cycles; adds up to the time between the two.
    counters
        Event counts.
    exits
        The most expensive cause first.
    """

    opened: int
    closed: int
    attribution: dict[str, int]
    counters: dict[str, int]
    exits: list[ExitRow]

    @property
    def cycles(self) -> int:
        """How long the window was open."""
        return self.closed - self.opened


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

    def close(self, now: int) -> Spent:
        """All that has happened since the window was opened."""
        spent = Spent(self.opened, now, self.attribution(), self.counters(), self.exits())
        assert sum(spent.attribution.values()) == spent.cycles, "causes sum to the time the window was open"
        return spent

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
        return _by_cost(rows)


def total_exits(spent: Iterable[Spent]) -> list[ExitRow]:
    """Exits of several platforms added up, the most expensive cause first."""
    total: dict[str, ExitRow] = {}
    for row in (row for each in spent for row in each.exits):
        first = total.setdefault(
            row["cause"], ExitRow(cause=row["cause"], count=0, cycles_l4=0, cycles_vmm=0)
        )
        first["count"] += row["count"]
        first["cycles_l4"] += row["cycles_l4"]
        first["cycles_vmm"] += row["cycles_vmm"]
    return _by_cost(total.values())


def _by_cost(rows: Iterable[ExitRow]) -> list[ExitRow]:
    return sorted(rows, key=lambda row: (-row["cycles_l4"] - row["cycles_vmm"], row["cause"]))

"""A timeline: what every part of a simulated machine does at each moment, within a window and a size.

Parts have tracks, grouped by what they belong to (``node 0``, ``torus``). A slice is something that takes
time on a track; slices of one track may stand inside each other. A flow is a number that several slices
share: a message, a packet, the traps of one TLB miss. It is drawn as arrows from one to the next.

What is recorded while a simulation runs is here; :mod:`bgsim.report.timeline_watch` records it, and
:mod:`bgsim.report.timeline_files` writes it. Not to be confused with message traces (:mod:`bgsim.traces`),
which are input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

EVENTS_MAX = 100_000
"""Slices of a timeline unless set otherwise: some 15 MB as JSON."""

Detail = int | float | str


@dataclass(slots=True, eq=False)
class Slice:
    """Something that takes time on a track.

    Attributes
    ----------
    track
        Number of its track.
    begin, end
        Core cycles since the simulation's begin.
    name
        A few words.
    details
        Name to value, shown when the slice is selected.
    flow
        What it is a part of; 0 for nothing.
    depth
        Among slices of the same times, those of the least depth stand outside.
    """

    track: int
    begin: int
    end: int
    name: str
    details: Mapping[str, Detail] = field(default_factory=dict)
    flow: int = 0
    depth: int = 1

    def continues(self, other: Slice) -> bool:
        """Whether it goes on where another slice ends, with the same thing."""
        return (
            other.end == self.begin
            and (other.track, other.name, other.depth) == (self.track, self.name, self.depth)
            and not (other.flow or self.flow or other.details or self.details)
        )


@dataclass(frozen=True, slots=True)
class Track:
    """A line of a timeline: the group it stands in, and its name there."""

    group: str
    name: str


class Timeline:
    """Tracks and slices of one run.

    Life cycle: construct, record while the simulation runs, then read :attr:`tracks` and :meth:`finished`.

    Parameters
    ----------
    frequency_hz
        Core clock.
    begin, end
        The window, in core cycles; slices are cut to it.
    events_max
        Number of slices at which the window is closed.
    on_full
        Called with the window's new end when that happens.

    Attributes
    ----------
    begin, end
        The window for which everything has been recorded.
    full
        Whether ``events_max`` has closed it early.
    """

    def __init__(
        self,
        frequency_hz: int,
        begin: int,
        end: int,
        events_max: int = EVENTS_MAX,
        on_full: Callable[[int], None] = lambda end: None,
    ) -> None:
        self.frequency_hz = frequency_hz
        self.begin = begin
        self.end = end
        self.events_max = events_max
        self.on_full = on_full
        self.full = False
        self.tracks: list[Track] = []
        self._numbers: dict[tuple[str, str], int] = {}
        self._slices: list[Slice] = []
        self._last: dict[int, Slice] = {}
        self._open: dict[int, tuple[int, str]] = {}
        self._flows = 0

    def track(self, group: str, name: str) -> int:
        """Number of a track, which is made when it is first asked for."""
        key = (group, name)
        if key not in self._numbers:
            self._numbers[key] = len(self.tracks)
            self.tracks.append(Track(group, name))
        return self._numbers[key]

    def new_flow(self) -> int:
        """A number that no slice has yet."""
        self._flows += 1
        return self._flows

    def add(self, found: Slice) -> Slice | None:
        """Record a slice as far as it is in the window.

        Returns
        -------
        Slice or None
            What stands for it now: itself, or the slice that it continues; None outside the window.
        """
        if found.end <= max(self.begin, found.begin) or found.begin >= self.end:
            return None
        found.begin = max(found.begin, self.begin)
        last = self._last.get(found.track)
        if last is not None and found.continues(last):
            last.end = found.end
            return last
        if len(self._slices) >= self.events_max:
            self.full = True
            self.end = found.begin
            self.on_full(found.begin)
            return None
        self._slices.append(found)
        self._last[found.track] = found
        return found

    def slice(
        self,
        track: int,
        begin: int,
        end: int,
        name: str,
        details: Mapping[str, Detail] | None = None,
        flow: int = 0,
    ) -> Slice | None:
        """Record a slice from its parts; see :meth:`add`."""
        return self.add(Slice(track, begin, end, name, details or {}, flow))

    def open(self, track: int, begin: int, name: str) -> None:
        """Something begins whose end is not known yet; nothing else may be open on the track."""
        self._open[track] = (begin, name)

    def close(self, track: int, end: int) -> None:
        """What is open on a track has ended."""
        begin, name = self._open.pop(track)
        self.slice(track, begin, end, name)

    def close_all(self) -> None:
        """The simulation was stopped at the end of the window; what is open goes on beyond it."""
        for track in list(self._open):
            self.close(track, self.end)

    def finished(self) -> list[Slice]:
        """The slices by track, those that stand outside before those inside, cut to the window."""
        kept = [found for found in self._slices if found.begin < self.end]
        for found in kept:
            found.end = min(found.end, self.end)
        return nested(kept)

    def flows(self, slices: Iterable[Slice]) -> dict[int, list[Slice]]:
        """Slices of each flow that has more than one, in order of time."""
        found: dict[int, list[Slice]] = {}
        for part in slices:
            if part.flow:
                found.setdefault(part.flow, []).append(part)
        return {
            flow: sorted(parts, key=lambda part: (part.begin, part.depth, part.end))
            for flow, parts in found.items()
            if len(parts) > 1
        }


def nested(slices: Iterable[Slice]) -> list[Slice]:
    """Slices in order of track and time, each cut to the one it stands in."""
    order = sorted(slices, key=lambda part: (part.track, part.begin, -part.end, part.depth))
    open_: list[Slice] = []
    result = []
    for part in order:
        while open_ and (open_[-1].track != part.track or open_[-1].end <= part.begin):
            open_.pop()
        if open_:
            part.end = min(part.end, open_[-1].end)
        open_.append(part)
        result.append(part)
    return result

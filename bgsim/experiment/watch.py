"""Who is told what happens while a study runs: the interface, and the silent default."""

from __future__ import annotations

import sys

from bgsim.experiment.plan import Run
from bgsim.experiment.record import Record


class Watch:
    """Says nothing but notes; the command line shows more.

    Life cycle: ``planned`` once, then ``started``, ``progressed`` and ``finished`` per run, in any
    order between runs, and ``ended`` once; for each round of a search all of it again. ``note`` may come at
    any time, ``extended`` and ``crew`` between ``planned`` and ``ended``.
    """

    def note(self, text: str) -> None:
        """Something the researcher should read, on standard error."""
        print(f"bgsim: {text}", file=sys.stderr)

    def planned(self, total: int, stored: int, workers: int) -> None:
        """So many runs belong to the study, so many of them are stored already."""

    def extended(self, runs: int) -> None:
        """So many more runs belong to the study, since a record made them necessary."""

    def crew(self, workers: int) -> None:
        """The number of workers of a cluster has changed."""

    def started(self, run: Run) -> None:
        """A run begins; after the death of a worker the same run may begin again."""

    def progressed(self, run: Run, simulated_s: float, note: str) -> None:
        """A run has reached this simulated time."""

    def finished(self, record: Record) -> None:
        """A run's record is on disk."""

    def ended(self) -> None:
        """No more calls but notes."""

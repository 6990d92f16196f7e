"""Progress of a study on standard error: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from bgsim.experiment.plan import Run
from bgsim.experiment.record import Record
from bgsim.experiment.watch import Watch

if TYPE_CHECKING:
    from rich.live import Live
    from rich.progress import TaskID

HEARTBEAT_S = 10.0


def watch_for(name: str, directory: str, quiet: bool) -> Watch:
    """The watch that suits this terminal."""
    if quiet:
        return Watch()
    if sys.stderr.isatty():
        return Display(name, directory)
    return Lines(name, directory)


def seconds(value: float) -> str:
    """A duration for people: ``21.3 ms``, ``8.2 s``, ``12 min 20 s``."""
    from bgsim.units import format_time

    if value >= 600:
        minutes, rest = divmod(round(value), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
    return format_time(value, digits=3)


class Lines(Watch):
    """One line per finished run, and a sign of life every ten seconds."""

    def __init__(self, name: str, directory: str) -> None:
        self.name = name
        self.directory = directory
        self.total = 0
        self.count = 0
        self.begun: dict[str, tuple[Run, float]] = {}
        self.told = time.monotonic()

    def planned(self, total: int, stored: int, workers: int) -> None:
        """Say what there is to do."""
        self.total, self.count = total, stored
        self.say(opening(self.name, self.directory, total, stored, workers))

    def started(self, run: Run) -> None:
        """Remember when a run began."""
        self.begun[run.run_id] = (run, time.monotonic())

    def progressed(self, run: Run, simulated_s: float, note: str) -> None:
        """Give a sign of life now and then."""
        now = time.monotonic()
        if now - self.told >= HEARTBEAT_S:
            elapsed = now - self.begun[run.run_id][1]
            self.say(f"  {run.label}: {seconds(simulated_s)} simulated in {seconds(elapsed)} ({note})")

    def finished(self, record: Record) -> None:
        """One line for a finished run."""
        self.count += 1
        self.say(f"[{self.count}/{self.total}] {self.outcome(record)}")

    def outcome(self, record: Record) -> str:
        """What became of a run, in one line."""
        run, _ = self.begun.pop(record["run_id"])
        if record["status"] != "ok":
            return f"{run.label}: FAILED: {record['error']['message'] or record['error']['type']}"
        wall = seconds(record["provenance"]["wall_s"])
        simulated = record["metrics"].get("elapsed_s")
        return (
            f"{run.label}: {seconds(simulated)} simulated in {wall}" if simulated else f"{run.label}: {wall}"
        )

    def say(self, text: str) -> None:
        """Print one line."""
        self.told = time.monotonic()
        print(text, file=sys.stderr, flush=True)


class Display(Lines):
    """A bar over all runs with the time left, and a line per run in work with simulated time and rate."""

    def __init__(self, name: str, directory: str) -> None:
        super().__init__(name, directory)
        self.live: Live | None = None

    def planned(self, total: int, stored: int, workers: int) -> None:
        """Open the display."""
        super().planned(total, stored, workers)
        if stored == total:
            return
        from rich.console import Console, Group
        from rich.live import Live
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        columns = (BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn("runs"), TimeElapsedColumn())
        self.bar = Progress(
            TextColumn("{task.description}"), *columns, TextColumn("ETA"), TimeRemainingColumn()
        )
        self.lines = Progress(TextColumn("  {task.description}", markup=False))
        self.whole = self.bar.add_task(self.name, total=total, completed=stored)
        self.tasks: dict[str, TaskID] = {}
        console = Console(stderr=True)
        self.live = Live(Group(self.bar, self.lines), console=console, transient=True, refresh_per_second=8)
        self.live.start()

    def started(self, run: Run) -> None:
        """Open the run's line."""
        super().started(run)
        if self.live is not None and run.run_id not in self.tasks:
            self.tasks[run.run_id] = self.lines.add_task(f"{run.label}: starting")

    def progressed(self, run: Run, simulated_s: float, note: str) -> None:
        """Show simulated time and rate of the run."""
        elapsed = max(time.monotonic() - self.begun[run.run_id][1], 1e-9)
        text = f"{run.label}: {seconds(simulated_s)} simulated, {simulated_s / elapsed:.3g} s/s ({note})"
        if self.live is not None:
            self.lines.update(self.tasks[run.run_id], description=text)

    def finished(self, record: Record) -> None:
        """Move the bar, and leave a line for the run above it."""
        super().finished(record)
        if self.live is not None:
            self.bar.update(self.whole, completed=self.count)
            self.lines.remove_task(self.tasks.pop(record["run_id"]))

    def note(self, text: str) -> None:
        """Print a note above the bar."""
        self.say(f"bgsim: {text}")

    def say(self, text: str) -> None:
        """Print one line above the bar."""
        if self.live is None:
            super().say(text)
        else:
            self.live.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def ended(self) -> None:
        """Close the display."""
        if self.live is not None:
            self.live.stop()
            self.live = None


def opening(name: str, directory: str, total: int, stored: int, workers: int) -> str:
    """What there is to do, in one line."""
    runs = f"{total} run{'s' if total != 1 else ''}"
    if stored == total:
        return f"{name}: {runs}, all stored in {directory}; nothing to do"
    already = f", {stored} stored already" if stored else ""
    crew = f"{workers} workers" if workers > 1 else "one process"
    return f"{name}: {runs}{already}, {crew}, into {directory}"

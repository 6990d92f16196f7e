"""Progress of a study on standard error: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from typing import TYPE_CHECKING

from bgsim.cli.tally import Result, Tally
from bgsim.experiment.metrics import BASELINE
from bgsim.experiment.plan import Run
from bgsim.experiment.record import Record
from bgsim.experiment.watch import Watch

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

HEARTBEAT_S = 10.0
REFRESH_PER_S = 4
LINES_SHOWN = 8
RESULTS_SHOWN = 6


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
    """One line per finished run with its result, and how far the study is every ten seconds."""

    def __init__(self, name: str, directory: str) -> None:
        self.name = name
        self.directory = directory
        self.tally = Tally()
        self.begun: dict[str, tuple[Run, float]] = {}
        self.told = time.monotonic()
        self.summed = self.told

    def planned(self, total: int, stored: int, workers: int) -> None:
        """Say what there is to do."""
        self.tally.begin(total, stored, workers)
        self.say(opening(self.name, self.directory, total, stored, workers))

    def extended(self, runs: int) -> None:
        """Count runs that a result made necessary."""
        self.tally.total += runs

    def crew(self, workers: int) -> None:
        """Say that workers have come or gone."""
        self.tally.workers = workers
        self.say(f"  {workers} worker{'s' if workers != 1 else ''} now")

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
        """One line for a finished run, and now and then one for the study."""
        result = self.tally.add(record)
        self.say(f"[{self.tally.count}/{self.tally.total}] {self.outcome(record, result)}")
        if time.monotonic() - self.summed >= HEARTBEAT_S:
            self.summed = time.monotonic()
            self.say(f"  {self.tally.line(seconds)}")

    def outcome(self, record: Record, result: Result | None) -> str:
        """What became of a run, in one line."""
        run, _ = self.begun.pop(record["run_id"])
        if result is None:
            return f"{run.label}: FAILED: {record['error']['message'] or record['error']['type']}"
        wall = seconds(record["provenance"]["wall_s"])
        simulated = record["metrics"].get("elapsed_s")
        text = f"{seconds(simulated)} simulated in {wall}" if simulated else wall
        ratio = self.tally.slowdown(result)
        return f"{run.label}: {text}" + ("" if ratio is None else f", {ratio:.3g}x {BASELINE}")

    def say(self, text: str) -> None:
        """Print one line."""
        self.told = time.monotonic()
        print(text, file=sys.stderr, flush=True)


class Display(Lines):
    """A live view: how far, rate, time left and workers; the runs in work; the latest results."""

    def __init__(self, name: str, directory: str, console: Console | None = None) -> None:
        super().__init__(name, directory)
        self.console = console
        self.live: Live | None = None
        self.notes: dict[str, str] = {}
        self.results: deque[Result] = deque(maxlen=RESULTS_SHOWN)

    def planned(self, total: int, stored: int, workers: int) -> None:
        """Open the display."""
        super().planned(total, stored, workers)
        if stored == total:
            return
        from rich.console import Console
        from rich.live import Live

        console = self.console or Console(stderr=True)
        self.live = Live(
            get_renderable=self.view, console=console, transient=True, refresh_per_second=REFRESH_PER_S
        )
        self.live.start()

    def view(self) -> RenderableType:
        """Everything as it is now."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        tally = self.tally
        head = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=max(tally.total, 1), completed=tally.count, width=24)
        head.add_row(Text(self.name, style="bold"), bar, Text(tally.line(seconds)))
        now = time.monotonic()
        lines = [
            Text(
                f"  {run.label}: {self.notes.get(run.run_id, 'starting')}, {seconds(now - since)}",
                no_wrap=True,
                overflow="ellipsis",
            )
            for run, since in tuple(self.begun.values())[:LINES_SHOWN]
        ]
        if len(self.begun) > LINES_SHOWN:
            lines.append(Text(f"  and {len(self.begun) - LINES_SHOWN} more in work"))
        if not self.results:
            return Group(head, *lines)
        table = Table(box=None, padding=(0, 2), header_style="dim")
        for title, side in (
            ("latest results", "left"),
            ("", "left"),
            ("", "right"),
            (f"x {BASELINE}", "right"),
        ):
            table.add_column(title, justify="right" if side == "right" else "left", no_wrap=True)
        for result in tuple(self.results):
            ratio = tally.slowdown(result)
            shown = "" if ratio is None else f"{ratio:.3g}"
            table.add_row(*(Text(cell) for cell in (result.point, result.platform, result.value, shown)))
        return Group(head, *lines, table)

    def progressed(self, run: Run, simulated_s: float, note: str) -> None:
        """Show simulated time and rate of the run."""
        elapsed = max(time.monotonic() - self.begun[run.run_id][1], 1e-9)
        self.notes[run.run_id] = f"{seconds(simulated_s)} simulated, {simulated_s / elapsed:.3g} s/s ({note})"

    def crew(self, workers: int) -> None:
        """Show that workers have come or gone."""
        self.tally.workers = workers

    def finished(self, record: Record) -> None:
        """Show the result; a run that failed leaves a line for good."""
        result = self.tally.add(record)
        self.notes.pop(record["run_id"], None)
        if result is None:
            self.say(self.outcome(record, result))
        else:
            self.begun.pop(record["run_id"], None)
            self.results.append(result)

    def note(self, text: str) -> None:
        """Print a note above the display."""
        self.say(f"bgsim: {text}")

    def say(self, text: str) -> None:
        """Print one line above the display."""
        if self.live is None:
            super().say(text)
        else:
            self.live.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def ended(self) -> None:
        """Close the display; one line stays."""
        if self.live is not None:
            self.live.stop()
            self.live = None
            super().say(f"{self.name}: {self.tally.line(seconds)}")


def opening(name: str, directory: str, total: int, stored: int, workers: int) -> str:
    """What there is to do, in one line."""
    runs = f"{total} run{'s' if total != 1 else ''}"
    if stored == total:
        return f"{name}: {runs}, all stored in {directory}; nothing to do"
    already = f", {stored} stored already" if stored else ""
    crew = f"{workers} workers" if workers > 1 else "one process" if workers else "no workers yet"
    return f"{name}: {runs}{already}, {crew}, into {directory}"

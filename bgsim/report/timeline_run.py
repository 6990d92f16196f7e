"""Simulate one run again, as far as a window of its time, and write down what every part of it did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bgsim.experiment.identity import MODEL_VERSION
from bgsim.observer import observing
from bgsim.report.results import ReportError
from bgsim.report.timeline import EVENTS_MAX, Detail, Timeline
from bgsim.report.timeline_watch import Watch, WindowClosed

_SIDE_RUNS = ("sensitivity",)
"""Settings of a workload that only make it run again on the side."""


def record_timeline(
    config: Mapping[str, Any],
    label: str,
    begin_cycles: int,
    end_cycles: int,
    events_max: int = EVENTS_MAX,
) -> Timeline:
    """The timeline of a run.

    Parameters
    ----------
    config
        The run's resolved configuration, from its record or its plan.
    label
        What the run is called in the timeline.
    begin_cycles, end_cycles
        The window, in core cycles since the simulation's begin; the simulation stops at its end.
    events_max
        Number of slices at which it stops earlier.

    Raises
    ------
    ReportError
        The run was planned for another model, or nothing in it can be watched.
    """
    from bgsim.experiment.resolve import resolved_run
    from bgsim.workloads import execute

    if config["model_version"] != MODEL_VERSION:
        raise ReportError(
            f"the run is of model version {config['model_version']}, and this program has {MODEL_VERSION}; "
            "run its experiment again first"
        )
    section = dict(config["workload"])
    _refuse_machine_tier(section, label)
    section |= {name: False for name in _SIDE_RUNS if name in section}
    resolved = resolved_run({**config, "workload": section})
    timeline = Timeline(resolved.machine.integer("core.frequency"), begin_cycles, end_cycles, events_max)
    watch = Watch(timeline)
    ended = False
    with observing(watch):
        try:
            execute(resolved)
            ended = True
        except WindowClosed:
            pass
    watch.finish()
    if not watch.parts:
        raise ReportError(f"{label}: this workload builds no cores and networks that could be watched")
    slices = timeline.finished()
    if not slices:
        what = "the run ends before it" if ended else "nothing happens in it"
        raise ReportError(f"{label}: the window is empty: {what}; see --from and --to")
    details: dict[str, Detail] = {"run": label, "seed": int(config["seed"])}
    timeline.events_max += 1
    first, last = min(part.begin for part in slices), max(part.end for part in slices)
    timeline.slice(timeline.track("run", str(config["workload"]["kind"])), first, last, label, details)
    return timeline


def _refuse_machine_tier(section: Mapping[str, Any], label: str) -> None:
    """The machine tier computes with arrays: it has nothing that does one thing after another."""
    kind, tier = section["kind"], section.get("tier")
    if kind != "traffic" and tier != "machine":
        return
    choice = "" if kind in ("traffic", "replay") else "; --set workload.tier=detailed has"
    raise ReportError(f"{label}: in the machine tier, {kind} has no cores and packets to watch{choice}")

"""The order in which cures should be built: each step takes the one that brings most, given those before.

A search is a section ``greedy`` of an experiment. For every point of the sweep that has no cure on the
searched platform it runs each candidate beside what has been chosen so far, chooses the best, and goes on
until the best gain left is too small. Every trial is an ordinary run with an identity of its own, so a search
that was stopped goes on where it was, and extending it repeats nothing. The searches of all points go on side
by side, round by round. What was chosen, and what guessed parameters could make of it, is written to
``greedy.json``.

Left out: looking ahead. Two cures that help only together are found only if one of them needs the other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from bgsim import cures
from bgsim.experiment import store
from bgsim.experiment.identity import canonical, machines
from bgsim.experiment.metrics import METRICS
from bgsim.experiment.plan import Run
from bgsim.experiment.record import Record

FILE = "greedy.json"
SCHEMA = 1
SWEPT = "cures"

Answer = TypeVar("Answer")
Json = dict[str, Any]

Results = Callable[[Sequence[Run]], Mapping[str, Record]]
"""Computes what is missing of some runs and returns the finished records of all, by run id."""

Rounds = Generator[list[Run], Mapping[str, Record], Answer]
"""Asks for runs, is sent their records, and so on until it has its answer."""


@dataclass(frozen=True)
class Search:
    """What is searched for.

    Attributes
    ----------
    metric
        What is improved.
    stages
        Names of cures, or words for groups of them; a stage begins when the one before brings no more.
    platform
        Where the metric is taken.
    least_gain
        Share of the metric that a step has to bring.
    """

    metric: str
    stages: tuple[str | Sequence[str], ...]
    platform: str
    least_gain: float

    def candidates(self) -> Iterator[tuple[str, ...]]:
        """Names of the cures of each stage; a word stands for weaker alternatives too."""
        for stage in self.stages:
            words = [stage] if isinstance(stage, str) else stage
            places = {cures.CURES[name].place for word in words for name in cures.GROUPS.get(word, ())}
            known = cures.expanded([*cures.CURES.built_in, *words])
            yield tuple(name for name in known if name in words or cures.CURES[name].place in places)


class Step(NamedTuple):
    """One chosen cure: all chosen so far, and the metric with them."""

    added: tuple[str, ...]
    chosen: tuple[str, ...]
    value: float
    stage: str


def starts(search: Search, runs: Sequence[Run]) -> list[list[Run]]:
    """The runs a search begins with: those without cures, the replications of one point together."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        if run.config["platform"] == search.platform and not run.config["cures"]:
            alike = {k: v for k, v in run.config.items() if k not in ("seed", "replication")}
            groups.setdefault(canonical(alike), []).append(run)
    return list(groups.values())


def cured(run: Run, names: Sequence[str]) -> Run:
    """A run with other cures."""
    listed = list(cures.expanded(names))
    return Run(run.experiment, {**run.config, "cures": listed}, {**run.point, SWEPT: listed})


def trials(candidates: Sequence[str], chosen: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """What each candidate would make of the chosen cures, with whatever it needs."""
    found = {}
    for name in candidates:
        if name in chosen or any(other in chosen for other in cures.CURES[name].excludes):
            continue
        needed = [need for need in cures.CURES[name].needs if need not in chosen]
        found[name] = cures.expanded((*chosen, *needed, name))
    return found


def search_point(search: Search, replications: Sequence[Run]) -> Rounds[list[Step]]:
    """The steps from one point without cures; asks for the runs of each round."""
    value = _mean(search, (yield list(replications)), replications)
    if value is None:
        return []
    steps = [Step((), (), value, "")]
    chosen: tuple[str, ...] = ()
    for stage, candidates in zip(search.stages, search.candidates(), strict=True):
        while offered := trials(candidates, chosen):
            runs = {name: [cured(run, wanted) for run in replications] for name, wanted in offered.items()}
            records = yield [run for group in runs.values() for run in group]
            values = {name: _mean(search, records, group) for name, group in runs.items()}
            reached = {name: value for name, value in values.items() if value is not None}
            if not reached:
                break
            sign = search_sign(search.metric)
            order = sorted(
                reached, key=lambda name: sign * reached[name]
            )  # of equals the first in the catalogue
            best = order[0]
            if sign * (value - reached[best]) < search.least_gain * abs(value):
                break
            added = tuple(name for name in offered[best] if name not in chosen)
            chosen, value = offered[best], reached[best]
            words = stage if isinstance(stage, str) else " ".join(stage)
            steps.append(Step(added, chosen, value, words))
    return steps


def side_by_side(searches: Sequence[Rounds[Answer]], results: Results) -> list[Answer]:
    """Make several searches at once: each round computes what all of them ask for."""
    answers: dict[int, Answer] = {}
    wanted = {index: next(search) for index, search in enumerate(searches)}
    while wanted:
        records = results([run for runs in wanted.values() for run in runs])
        for index in list(wanted):
            try:
                wanted[index] = searches[index].send(records)
            except StopIteration as end:
                del wanted[index]
                answers[index] = end.value
    return [answers[index] for index in range(len(searches))]


def search_sign(metric: str) -> int:
    """1 where less is better, -1 where more is."""
    return -1 if METRICS[metric].better == "higher" else 1


def bounds(search: Search, steps: Sequence[Step], replications: Sequence[Run]) -> Rounds[list[list[Json]]]:
    """What the guessed parameters of each step's cures could make of the metric: for each step, its rows."""
    moved: dict[tuple[int, str, str], list[Run]] = {}
    for number, step in enumerate(steps):
        for name in dict.fromkeys(guess for cure in step.added for guess in cures.CURES[cure].guesses):
            for end in ("low", "high"):
                moved[number, name, end] = [
                    _moved(cured(run, step.chosen), name, end) for run in replications
                ]
    records = yield [run for group in moved.values() for run in group]
    rows: list[list[Json]] = [[] for _ in steps]
    for (number, name, end), group in moved.items():
        if end == "low":
            rows[number].append({"parameter": name})
        rows[number][-1][end] = str(group[0].config["machine"]["set"][name])
        rows[number][-1][f"value_{end}"] = _mean(search, records, group)
    return rows


def _moved(run: Run, name: str, end: str) -> Run:
    """A run with one parameter at an end of its range."""
    parameter = machines(run.config)[0][name]
    bound = parameter.low if end == "low" else parameter.high
    assert bound is not None, f"{name} is a guess and has a range"
    value = bound if parameter.unit in ("count", "ratio", "cycles", "instructions") else parameter.show(bound)
    machine = run.config["machine"]
    config = {**run.config, "machine": {**machine, "set": {**machine["set"], name: value}}}
    return Run(f"{run.experiment}-bounds", config, {**run.point, "parameter": name, "end": end})


def _mean(search: Search, records: Mapping[str, Record], runs: Sequence[Run]) -> float | None:
    found = [records[run.run_id]["metrics"].get(search.metric) for run in runs if run.run_id in records]
    values = [float(value) for value in found if value is not None]
    return sum(values) / len(values) if len(values) == len(runs) else None


def native(search: Search, replications: Sequence[Run], records: Mapping[str, Record]) -> float | None:
    """The metric of a point on bare metal, without cures: the mean over the same replications.

    None if not all of them have it, as where the experiment does not run there.
    """
    bare = [Run(run.experiment, {**run.config, "platform": "bare-metal"}, run.point) for run in replications]
    return _mean(search, records, bare)


def written(
    search: Search,
    points: Sequence[Sequence[Run]],
    steps: Sequence[Sequence[Step]],
    rows: Sequence[Sequence[Sequence[Json]]],
    natives: Sequence[float | None],
) -> Json:
    """The result of a search as it stands in ``greedy.json``."""
    found = []
    for replications, taken, guesses, native in zip(points, steps, rows, natives, strict=True):
        first = replications[0]
        found.append(
            {
                "point": {path: value for path, value in first.point.items() if path != SWEPT},
                "workload": first.config["workload"],
                "native": native,
                "steps": [
                    {
                        "added": list(step.added),
                        "cures": list(step.chosen),
                        "stage": step.stage,
                        "value": step.value,
                        "guesses": list(rows_of_step),
                        "run_ids": [cured(run, step.chosen).run_id for run in replications],
                    }
                    for step, rows_of_step in zip(taken, guesses, strict=True)
                ],
            }
        )
    return {
        "schema": SCHEMA,
        "metric": search.metric,
        "platform": search.platform,
        "least_gain": search.least_gain,
        "points": found,
    }


def write(directory: Path, result: Json) -> None:
    """Write ``greedy.json``."""
    store.write_whole(directory / FILE, json.dumps(result, indent=1) + "\n")


def read(directory: Path) -> Json | None:
    """The result of a search, or None where none was made."""
    path = directory / FILE
    if not path.is_file():
        return None
    result: Json = json.loads(path.read_text(encoding="utf-8"))
    return result

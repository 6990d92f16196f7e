"""What a sensitivity study or a calibration moves: parameters with a range, alone or several together.

A place in a range is a share of it, from 0 (low) to 1 (high). What a run has there is rounded: a parameter
whose value and ends are whole numbers stays whole, one with choices takes one of them, and others keep
:data:`DIGITS` digits. So the share that was made may differ from the one that was asked for, and whoever
divides by a step takes the made one.

Left out: ranges of words (``core.timing``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from bgsim.experiment.errors import ExperimentError, OutcomeError
from bgsim.experiment.identity import machines
from bgsim.experiment.locate import Path as Where
from bgsim.experiment.plan import Experiment, Run
from bgsim.experiment.sections import SensitivitySection
from bgsim.spelling import did_you_mean

if TYPE_CHECKING:
    from bgsim.datasheet import Parameter

DIGITS: Final = 6
_BARE_UNITS: Final = ("count", "ratio", "cycles", "instructions")


@dataclass(frozen=True)
class Moved:
    """One parameter of a factor, with its range in its own unit."""

    name: str
    value: float
    low: float
    high: float
    unit: str
    confidence: str
    whole: bool
    choices: tuple[float, ...] = ()

    def number(self, share: float) -> int | float:
        """The value at a share of the range, in the parameter's unit, rounded as runs have it."""
        number = self.low + share * (self.high - self.low)
        if self.choices:
            number = self.choices[self._choice(share)]
        return round(number) if self.whole else float(f"{number:.{DIGITS}g}")

    def at(self, share: float) -> int | float | str:
        """The same as an experiment would write it."""
        plain = self.number(share)
        return plain if self.unit in _BARE_UNITS else f"{plain} {self.unit}"

    def made(self, share: float) -> float:
        """The share of the range that a run has in place of a drawn one, after rounding.

        Choices count by their place in the list, the first as 0 and the last as 1.
        """
        if self.choices:
            return self._choice(share) / max(1, len(self.choices) - 1)
        return (self.number(share) - self.low) / (self.high - self.low)

    def _choice(self, share: float) -> int:
        """Which choice: they are equally likely, in their order."""
        return min(int(share * len(self.choices)), len(self.choices) - 1)


@dataclass(frozen=True)
class Factor:
    """Parameters that move together; mostly one."""

    name: str
    parameters: tuple[Moved, ...]

    def made(self, share: float) -> float:
        """The share of its range that a run has in place of a drawn one, mean over the parameters."""
        return math.fsum(each.made(share) for each in self.parameters) / len(self.parameters)


def factors_of(
    section: SensitivitySection, experiment: Experiment, runs: Sequence[Run]
) -> tuple[Factor, ...]:
    """The factors of a point: its first run on the platform is made once to see what it reads.

    Raises
    ------
    ExperimentError
        No parameter is left, or a pattern matches none.
    OutcomeError
        The run fails.
    """
    from bgsim.experiment.resolve import resolved_run
    from bgsim.workloads import execute

    run = next(run for run in runs if run.config["platform"] == section.platform)
    resolved = resolved_run(run.config)
    try:
        execute(resolved, None)
    except ValueError as error:
        raise OutcomeError(f"{run.label}: {error}") from error
    read = resolved.machine.read | resolved.reference_machine.read
    config = run.config
    fixed = {*config["assume"], *config["machine"]["set"]}
    sheet = machines(config)[0 if section.target == "machine.set" else 1]
    known: dict[str, Moved] = {}
    still: list[str] = []
    for name in sorted(read - fixed):
        ends = section.ranges.get(name)
        parameter = sheet[name]
        if ends is not None or (parameter.low is not None and parameter.high is not None):
            moved = ranged(parameter, ends)
            if moved.high > moved.low and moved.number(0.0) != moved.number(1.0):
                known[name] = moved
            elif ends is not None:
                still.append(name)
    problems = [
        experiment.problem(
            ("sensitivity", "ranges", name),
            f"'{name}': low is not below high by so much that runs have two values",
        )
        for name in still
    ]
    asked: list[tuple[str, Where]] = [
        (name, ("sensitivity", "ranges", name)) for name in section.ranges if name not in still
    ]
    for index, pattern in enumerate(section.parameters):
        asked.append((pattern, ("sensitivity", "parameters", index)))
    for pattern, where in asked:
        if not any(fnmatchcase(name, pattern) for name in (*known, *still)):
            near = did_you_mean(pattern, known)
            said = f"'{pattern}': no parameter of this name has a range and is read by the run{near}"
            problems.append(experiment.problem(where, said))
    if problems:
        raise ExperimentError(problems)
    kept = [name for name in known if any(fnmatchcase(name, pattern) for pattern in section.parameters)]
    sets = [[each] if isinstance(each, str) else each for each in section.together]
    groups: dict[str, list[Moved]] = {}
    for name in kept:
        group = next((" + ".join(each) for each in sets if any(fnmatchcase(name, one) for one in each)), name)
        groups.setdefault(group, []).append(known[name])
    return tuple(Factor(name, tuple(parameters)) for name, parameters in groups.items())


def ranged(parameter: Parameter, ends: Sequence[Any] | None) -> Moved:
    """A parameter with its range, or with other ends, as an experiment would write them.

    Raises
    ------
    DatasheetError
        An end does not fit the parameter.
    """
    numbers = [parameter.value, parameter.low, parameter.high]
    if ends is not None:
        numbers = [parameter.value, *(parameter.with_value(end).value for end in ends)]
    value, low, high = (float(number) for number in numbers if isinstance(number, int | float))
    whole = all(isinstance(number, int) for number in numbers)
    choices = tuple(
        sorted(float(c) for c in parameter.choices if isinstance(c, int | float) and low <= c <= high)
    )
    return Moved(parameter.name, value, low, high, parameter.unit, parameter.confidence, whole, choices)

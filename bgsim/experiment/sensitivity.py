"""Which uncertain parameter a result rests on: Morris screening and Sobol indices.

A *factor* is a parameter that has a range in the datasheet and that the experiment's run reads, or a group
of such parameters that move together because one cause moves them: the prices of all kernel paths come from
one pipeline model. Each factor is taken to lie anywhere between its low and its high value with equal
chance. The design (Saltelli or Morris, from SALib) is drawn from the experiment's seed, so the runs are
known before they are made: they are ordinary runs in an ordinary study, which can be stopped, resumed,
sharded and spread over a cluster.

``morris``
    The mean of the absolute elementary effects (mu*) is by how much the result changes when the factor goes
    from low to high, averaged over places of the others; sigma says how much that depends on the place,
    through interactions or curvature (Morris 1991; Campolongo, Cariboni and Saltelli 2007).
``sobol``
    The share of the result's variance that a factor explains alone (S1) and with its interactions (ST)
    (Sobol 2001; Saltelli et al. 2010).

Left out: ranges of words (``core.timing``), dependence between factors other than in a group, and
distributions other than uniform. The datasheet's ranges bound belief, they are not measured distributions:
the order of the factors can be trusted further than the shares.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bgsim.experiment import store
from bgsim.experiment.errors import ExperimentError, OutcomeError, quoted
from bgsim.experiment.factors import Factor, Moved
from bgsim.experiment.identity import canonical
from bgsim.experiment.metrics import BASELINE, METRICS, slowdown
from bgsim.experiment.morris import effects
from bgsim.experiment.plan import Experiment, Run
from bgsim.experiment.sections import SensitivitySection
from bgsim.extras import need
from bgsim.spelling import did_you_mean

if TYPE_CHECKING:
    from bgsim.experiment.record import Record

FILE: Final = "sensitivity.json"
DESIGN: Final = "design.json"
SCHEMA: Final = 1
SAMPLE: Final = "sample"


@dataclass(frozen=True)
class Design:
    """What is run: factors, and for every run the share of each factor's range.

    Attributes
    ----------
    section
        The section of the experiment it was drawn for.
    factors
        What is moved.
    rows
        Shape (runs, factors); values from 0 to 1, before anything is rounded.
    """

    section: SensitivitySection
    factors: tuple[Factor, ...]
    rows: tuple[tuple[float, ...], ...]

    def made(self) -> list[list[float]]:
        """The rows as runs have them, their values rounded."""
        return [
            [factor.made(share) for factor, share in zip(self.factors, row, strict=True)] for row in self.rows
        ]


def checked(section: SensitivitySection, experiment: Experiment) -> SensitivitySection:
    """The section with its platform written out.

    Raises
    ------
    ExperimentError
        If it asks for something that cannot be.
    """
    problems = []
    if section.metric not in METRICS:
        said = f"unknown metric '{section.metric}'{did_you_mean(section.metric, METRICS)}"
        problems.append(experiment.problem(("sensitivity", "metric"), said))
    if section.method == "sobol" and section.samples & (section.samples - 1):
        said = f"{section.samples} is no power of two, which Sobol's sequence needs"
        problems.append(experiment.problem(("sensitivity", "samples"), said))
    platform = section.platform or experiment.platforms[-1]
    if platform not in experiment.platforms:
        said = f"'{platform}' is not among the platforms ({quoted(experiment.platforms)})"
        problems.append(experiment.problem(("sensitivity", "platform"), said))
    for name, ends in section.ranges.items():
        if len(ends) != 2:
            problems.append(experiment.problem(("sensitivity", "ranges", name), "expected [low, high]"))
    if problems:
        raise ExperimentError(problems)
    return section.model_copy(update={"platform": platform})


def starts(section: SensitivitySection, experiment: Experiment) -> list[list[Run]]:
    """The runs of each point, replications and the platforms that the metric needs together."""
    wanted = {section.platform, BASELINE} if section.metric == "slowdown" else {section.platform}
    groups: dict[str, list[Run]] = {}
    for run in experiment.runs:
        if run.config["platform"] in wanted:
            groups.setdefault(canonical(run.point), []).append(run)
    return list(groups.values())


def drawn(section: SensitivitySection, factors: Sequence[Factor], seed: int) -> Design:
    """The design for some factors.

    Raises
    ------
    MissingExtraError
        SALib is not installed.
    """
    purpose = "a sensitivity study"
    problem = _problem(factors)
    if section.method == "morris":
        sample = need("SALib.sample.morris", "sensitivity", purpose).sample
        rows = sample(problem, section.trajectories, num_levels=section.levels, seed=seed % 2**32)
    else:
        sample = need("SALib.sample.sobol", "sensitivity", purpose).sample
        rows = sample(problem, section.samples, calc_second_order=False, seed=seed % 2**32)
    return Design(section, tuple(factors), tuple(tuple(float(x) for x in row) for row in rows))


def _problem(factors: Sequence[Factor]) -> dict[str, Any]:
    return {
        "num_vars": len(factors),
        "names": [factor.name for factor in factors],
        "bounds": [[0.0, 1.0]] * len(factors),
    }


def moved_runs(name: str, design: Design, index: int, runs: Sequence[Run]) -> Iterator[Run]:
    """The runs of one row of a design."""
    values = {
        parameter.name: parameter.at(share)
        for factor, share in zip(design.factors, design.rows[index], strict=True)
        for parameter in factor.parameters
    }
    for run in runs:
        config = dict(run.config)
        if design.section.target == "assume":
            config["assume"] = dict(sorted({**config["assume"], **values}.items()))
        else:
            machine = config["machine"]
            config["machine"] = {**machine, "set": dict(sorted({**machine["set"], **values}.items()))}
        yield Run(name, config, {**run.point, SAMPLE: index})


def to_run(experiment: Experiment, name: str, designs: Sequence[tuple[Design, list[Run]]]) -> Experiment:
    """An experiment of all runs of some designs, those at the datasheet's values first."""
    from dataclasses import replace

    unique: dict[str, Run] = {}
    for design, runs in designs:
        for run in runs:
            plain = Run(name, run.config, {**run.point, SAMPLE: -1})
            unique.setdefault(plain.run_id, plain)
        for index in range(len(design.rows)):
            for run in moved_runs(name, design, index, runs):
                unique.setdefault(run.run_id, run)
    return replace(experiment, name=name, runs=tuple(unique.values()), greedy=None, precision=None)


def analysed(
    name: str, design: Design, runs: Sequence[Run], records: Mapping[str, Record], seed: int
) -> dict[str, Any]:
    """What a finished design says of one point.

    Returns
    -------
    dict
        ``point``, ``nominal`` (the result at the datasheet's values), ``mean``, ``low``, ``high`` (2.5 and
        97.5 % of the sampled results) and ``factors``, the most important first.

    Raises
    ------
    OutcomeError
        A run has failed or does not report the metric.
    """
    import numpy as np

    answers = np.array(
        [
            _answer(design.section, list(moved_runs(name, design, index, runs)), records)
            for index in range(len(design.rows))
        ]
    )
    nominal = _answer(design.section, runs, records)
    columns: list[dict[str, Any]]
    if design.section.method == "morris":
        drawn, made = np.array(design.rows), np.array(design.made())
        columns, order = [asdict(each) for each in effects(drawn, made, answers, seed % 2**32)], "mu_star"
    else:
        found = need("SALib.analyze.sobol", "sensitivity", "a sensitivity study").analyze(
            _problem(design.factors), answers, calc_second_order=False, seed=seed % 2**32
        )
        names, order = ("S1", "S1_conf", "ST", "ST_conf"), "ST"
        columns = [
            {name: _finite(float(found[name][at])) for name in names} for at in range(len(design.factors))
        ]
    rows: list[dict[str, Any]] = [
        {
            "factor": factor.name,
            **numbers,
            "parameters": [asdict(parameter) for parameter in factor.parameters],
        }
        for factor, numbers in zip(design.factors, columns, strict=True)
    ]
    rows.sort(key=lambda row: -row[order])
    return {
        "point": dict(runs[0].point),
        "nominal": nominal,
        "mean": float(answers.mean()),
        "low": float(np.quantile(answers, 0.025)),
        "high": float(np.quantile(answers, 0.975)),
        "runs": len(design.rows),
        "factors": rows,
    }


def _finite(number: float) -> float:
    return number if math.isfinite(number) else 0.0


def _answer(section: SensitivitySection, runs: Sequence[Run], records: Mapping[str, Record]) -> float:
    """The metric of some runs, mean over replications."""
    values = []
    natives = {run.config["seed"]: run for run in runs if run.config["platform"] == BASELINE}
    for run in runs:
        if run.config["platform"] != section.platform:
            continue
        record = records.get(run.run_id)
        if record is None:
            raise OutcomeError(f"{run.label}: the run failed; run again, or leave its parameter out")
        value = record["metrics"].get(section.metric)
        if section.metric == "slowdown" and run.config["seed"] in natives:
            native = records.get(natives[run.config["seed"]].run_id)
            value = slowdown(native["metrics"], record["metrics"]) if native is not None else None
        if value is None:
            raise OutcomeError(f"{run.label}: reports no {section.metric}")
        values.append(float(value))
    return math.fsum(values) / len(values)


def kept_design(directory: Path, key: str) -> list[list[Factor]] | None:
    """The factors that an earlier call found for the same request, or None."""
    path = directory / DESIGN
    if not path.is_file():
        return None
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
        if written.get("key") != key:
            return None
        return [
            [Factor(each["name"], tuple(map(_kept, each["parameters"]))) for each in point]
            for point in written["points"]
        ]
    except (ValueError, KeyError, TypeError):
        return None


def _kept(one: Mapping[str, Any]) -> Moved:
    return Moved(**{**one, "choices": tuple(one["choices"])})


def keep_design(directory: Path, key: str, points: Sequence[Sequence[Factor]]) -> None:
    """Write down which factors a request has, so that resuming need not look again."""
    content = {"schema": SCHEMA, "key": key, "points": [[asdict(each) for each in point] for point in points]}
    with store.told(directory):
        directory.mkdir(parents=True, exist_ok=True)
    store.write_whole(directory / DESIGN, json.dumps(content, indent=1) + "\n")


def write(directory: Path, section: SensitivitySection, points: Sequence[Mapping[str, Any]]) -> Path:
    """Write ``sensitivity.json`` and return its path."""
    content = {
        "schema": SCHEMA,
        "method": section.method,
        "metric": section.metric,
        "unit": METRICS[section.metric].unit,
        "platform": section.platform,
        "target": section.target,
        "points": list(points),
    }
    path = directory / FILE
    store.write_whole(path, json.dumps(content, indent=1) + "\n")
    return path


def read(directory: Path) -> dict[str, Any] | None:
    """The content of ``sensitivity.json``, or None where there is none."""
    path = directory / FILE
    if not path.is_file():
        return None
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result

"""Free parameters fitted to data by least squares, and how well the data know them.

Every datum names a run of the experiment and what a measurement says its metric should be. The search
(scipy's trust-region reflective algorithm, within the bounds) moves the free parameters as beliefs about the
real machine (``assume``) until the sum of squared residuals, in units of the data's errors, is least. The
Jacobian is taken by finite differences over a twentieth of each range, because prices are whole cycles and
smaller steps may change nothing; all its runs are one batch. Every evaluation consists of ordinary runs in
an ordinary study, so a calibration that was stopped goes on where it was.

Identifiability is read from the Jacobian at the end, with parameters in units of their ranges: a small
singular value means that its direction (a combination of parameters) hardly changes the data, and
correlations near one that only a combination is known. A standard error is the linear one,
sqrt(diag((J'J)^-1)); it believes the data's errors. A parameter that the data do not move, or that ends at a
bound, is said to.

Left out: several minima (one search from the datasheet's values), errors that are not independent, and the
error of the model itself, which no residual of the fitted data shows.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bgsim.experiment import overlay, store
from bgsim.experiment.errors import ExperimentError, OutcomeError, Problem
from bgsim.experiment.factors import Moved, ranged
from bgsim.experiment.fit import Fit, identifiability
from bgsim.experiment.identity import canonical, machines
from bgsim.experiment.locate import Path as Where
from bgsim.experiment.metrics import BASELINE, METRICS, slowdown
from bgsim.experiment.plan import Experiment, Run
from bgsim.experiment.sections import CalibrateSection, Datum
from bgsim.spelling import did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bgsim.experiment.record import Record

FILE: Final = "calibration.json"
OVERLAY: Final = "calibration.yaml"
SCHEMA: Final = 1
STEP: Final = 0.05
"""Share of a range over which derivatives are taken."""

ERROR: Final = 0.05
"""Standard error of a datum that names none, as a share of its value."""

TOLERANCE: Final = 1e-4

Compute = Callable[[Experiment], Mapping[str, "Record"]]
"""Computes what is missing of an experiment's runs; returns the finished records by run id."""


class Calibration:
    """A calibration of one experiment: what is free, which runs the data need, and the search.

    Parameters
    ----------
    experiment
        With a ``calibrate`` section.

    Raises
    ------
    ExperimentError
        A parameter or a datum names something that does not exist.
    """

    def __init__(self, experiment: Experiment) -> None:
        section = experiment.calibrate
        if section is None:
            said = "there is no 'calibrate' section that names data and parameters"
            raise ExperimentError([experiment.problem(("calibrate",), said)])
        self.section: CalibrateSection = section
        self.experiment = experiment
        problems: list[Problem] = []
        self.free = self._parameters(problems)
        self.runs = [self._runs(datum, index, problems) for index, datum in enumerate(section.data)]
        if problems:
            raise ExperimentError(problems)
        self.name = f"{experiment.name}-calibration"

    def _parameters(self, problems: list[Problem]) -> list[Moved]:
        from bgsim.datasheet import DatasheetError

        config = self.experiment.runs[0].config
        sheet = machines(config)[1]
        found = []
        for name, ends in self.section.parameters.items():
            path = ("calibrate", "parameters", name)
            try:
                if name in config["assume"]:
                    raise ValueError("is assumed by the experiment, so it is not free")
                if ends is not None and not (isinstance(ends, list) and len(ends) == 2):
                    raise ValueError("expected [low, high], or null for the datasheet's range")
                moved = ranged(sheet[name], ends)
                if not moved.low < moved.high:
                    raise ValueError("low is not below high")
                if not moved.low <= moved.value <= moved.high:
                    raise ValueError(f"the datasheet's {moved.value:g}, where the search begins, is outside")
                found.append(moved)
            except DatasheetError as error:
                problems.append(self.experiment.problem(path, "; ".join(error.problems.values())))
            except ValueError as error:
                problems.append(self.experiment.problem(path, str(error)))
        return found

    def _runs(self, datum: Datum, index: int, problems: list[Problem]) -> list[Run]:
        path: Where = ("calibrate", "data", index)
        if datum.metric not in METRICS:
            near = did_you_mean(datum.metric, METRICS)
            said = f"unknown metric '{datum.metric}'{near}"
            problems.append(self.experiment.problem((*path, "metric"), said))
        paths = {name for run in self.experiment.runs for name in run.point}
        for name in datum.at:
            if name not in paths:
                near = did_you_mean(name, paths)
                problems.append(self.experiment.problem((*path, "at", name), f"is not swept{near}"))
        platform = datum.platform or self.experiment.platforms[-1]
        wanted = {platform, BASELINE} if datum.metric == "slowdown" else {platform}
        found = [
            run
            for run in self.experiment.runs
            if run.config["platform"] in wanted
            and all(canonical(run.point.get(name)) == canonical(value) for name, value in datum.at.items())
        ]
        if paths.issuperset(datum.at) and len({canonical(run.point) for run in found}) != 1:
            count = len({canonical(run.point) for run in found})
            said = f"'at' picks {count} points on {platform}, and a datum belongs to one"
            problems.append(self.experiment.problem((*path, "at"), said))
        return found

    def fit(self, compute: Compute, tell: Callable[[str], None]) -> Fit:
        """Search for the values that fit the data.

        Parameters
        ----------
        compute
            Makes runs.
        tell
            Told of each step in one line.

        Raises
        ------
        OutcomeError
            A run fails or does not report its metric.
        """
        import numpy as np
        from scipy.optimize import least_squares

        wanted = np.array([datum.value for datum in self.section.data])
        errors = np.array([self._error(datum) for datum in self.section.data])
        start = np.array([_share(moved, moved.value) for moved in self.free])

        def predicted(places: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
            return [np.array(each) for each in self._predictions(places, compute)]

        def residuals(shares: NDArray[Any]) -> NDArray[Any]:
            (found,) = predicted([shares])
            left = (found - wanted) / errors
            values = ", ".join(
                f"{moved.name} {moved.at(share)}" for moved, share in zip(self.free, shares, strict=True)
            )
            tell(f"sum of squares {float(left @ left):.4g} at {values}")
            return np.concatenate([left, self._prior(shares, start)])

        def jacobian(shares: NDArray[Any]) -> NDArray[Any]:
            data = self._jacobian(shares, predicted, errors)
            prior = np.diag([4.0] * len(shares)) if self.section.prior else np.empty((0, len(shares)))
            return np.concatenate([data, prior])

        inside = np.clip(start, 1e-3, 1 - 1e-3)  # the algorithm begins strictly within its bounds
        (before,) = predicted([start])
        found = least_squares(
            residuals,
            inside,
            jac=jacobian,
            bounds=(0.0, 1.0),
            max_nfev=self.section.evaluations,
            xtol=TOLERANCE,
            ftol=TOLERANCE,
            gtol=TOLERANCE,
        )
        (after,) = predicted([found.x])
        data = self._jacobian(found.x, predicted, errors)
        return Fit(found.x, start, data, before, after, int(found.nfev), str(found.message))

    def _prior(self, shares: NDArray[Any], start: NDArray[Any]) -> NDArray[Any]:
        pulled: NDArray[Any] = 4.0 * (shares - start) if self.section.prior else shares[:0]
        return pulled

    def _jacobian(
        self,
        shares: NDArray[Any],
        predicted: Callable[[Sequence[NDArray[Any]]], list[NDArray[Any]]],
        errors: NDArray[Any],
    ) -> NDArray[Any]:
        """Central differences, one-sided at the bounds, by the step that rounding leaves of them.

        Where a step changes nothing it is taken twice as wide, up to the whole range.
        """
        import numpy as np

        found = np.zeros((len(errors), len(shares)))
        step, flat = STEP, list(range(len(shares)))
        while flat and step <= 1:
            ends = []
            for column in flat:
                for sign in (-1, 1):
                    moved = shares.copy()
                    moved[column] = min(1.0, max(0.0, moved[column] + sign * step))
                    ends.append(moved)
            values = predicted(ends)
            for place, column in enumerate(flat):
                low, high = (
                    self.free[column].made(float(end[column])) for end in ends[2 * place : 2 * place + 2]
                )
                change = (values[2 * place + 1] - values[2 * place]) / errors
                found[:, column] = change / (high - low) if high > low else 0.0
            flat = [column for column in flat if not found[:, column].any()]
            step *= 2
        return found

    def _error(self, datum: Datum) -> float:
        return datum.error if datum.error is not None else ERROR * abs(datum.value) or 1.0

    def _predictions(self, places: Sequence[NDArray[Any]], compute: Compute) -> list[list[float]]:
        """The data as the model predicts them at several places of the free parameters."""
        moved = [[[self._moved(run, shares) for run in runs] for runs in self.runs] for shares in places]
        unique = {run.run_id: run for place in moved for runs in place for run in runs}
        records = compute(
            replace(self.experiment, name=self.name, runs=tuple(unique.values()), greedy=None, precision=None)
        )
        return [
            [
                _answer(datum, self.experiment.platforms[-1], runs, records)
                for datum, runs in zip(self.section.data, place, strict=True)
            ]
            for place in moved
        ]

    def _moved(self, run: Run, shares: NDArray[Any]) -> Run:
        values = {moved.name: moved.at(float(share)) for moved, share in zip(self.free, shares, strict=True)}
        assumed = dict(sorted({**run.config["assume"], **values}.items()))
        return Run(self.name, {**run.config, "assume": assumed}, {**run.point, **values})


def _answer(datum: Datum, last: str, runs: Sequence[Run], records: Mapping[str, Record]) -> float:
    platform = datum.platform or last
    found: dict[str, list[Mapping[str, Any]]] = {}
    for run in runs:
        record = records.get(run.run_id)
        if record is None:
            raise OutcomeError(f"{run.label}: the run failed, so the fit cannot go on")
        found.setdefault(record["platform"], []).append(record["metrics"])
    values = [metrics.get(datum.metric) for metrics in found[platform]]
    if datum.metric == "slowdown":
        pairs = zip(found.get(BASELINE, []), found[platform], strict=True)
        values = [slowdown(native, other) for native, other in pairs]
    known = [float(value) for value in values if value is not None]
    if not known:
        raise OutcomeError(f"{runs[0].label}: reports no {datum.metric}")
    return math.fsum(known) / len(known)


def _share(moved: Moved, value: float) -> float:
    return (value - moved.low) / (moved.high - moved.low)


def written(calibration: Calibration, fit: Fit) -> dict[str, Any]:
    """The result as it stands in ``calibration.json``."""
    names = [moved.name for moved in calibration.free]
    known = identifiability(fit, names)
    rows = []
    for moved, share, error in zip(calibration.free, fit.shares, known["errors"], strict=True):
        width = moved.high - moved.low
        rows.append(
            {
                **asdict(moved),
                "start": moved.value,
                "fitted": float(moved.number(float(share))),
                "error": None if error is None else error * width,
                "at_bound": bool(share < 0.005 or share > 0.995),
            }
        )
    data: list[dict[str, Any]] = [
        {
            "name": datum.name,
            "metric": datum.metric,
            "platform": datum.platform or calibration.experiment.platforms[-1],
            "at": datum.at,
            "value": datum.value,
            "error": calibration._error(datum),
            "before": float(before),
            "after": float(after),
        }
        for datum, before, after in zip(calibration.section.data, fit.before, fit.after, strict=True)
    ]
    before, after = (
        sum(((row[key] - row["value"]) / row["error"]) ** 2 for row in data) for key in ("before", "after")
    )
    return {
        "schema": SCHEMA,
        "name": calibration.name,
        "base": calibration.experiment.runs[0].config["machine"]["base"],
        "prior": calibration.section.prior,
        "sum_of_squares_before": before,
        "sum_of_squares_after": after,
        "evaluations": fit.evaluations,
        "ended": fit.message,
        "parameters": rows,
        "data": data,
        "identifiability": known,
    }


def write(directory: Path, result: Mapping[str, Any]) -> Path:
    """Write ``calibration.json`` and the overlay; return the path of the overlay."""
    store.write_whole(directory / FILE, json.dumps(result, indent=1) + "\n")
    data = list(dict.fromkeys(row["name"] for row in result["data"]))
    unknown = result["identifiability"]["without_effect"]
    records = []
    for row in result["parameters"]:
        if row["name"] in unknown:
            continue  # the data say nothing of it
        error = ", not determined alone"
        if row["error"] is not None:
            error = f", standard error {row['error']:.3g}"
        value = int(row["fitted"]) if row["whole"] else row["fitted"]
        ends = [int(row[key]) if row["whole"] else row[key] for key in ("low", "high")]
        records.append(
            {
                "name": row["name"],
                "value": value,
                "unit": row["unit"],
                "confidence": "C",
                "source": f"least squares on {len(data)} named data{error}; {row['start']:g} before",
                "calibrated_on": "; ".join(data),
                "low": min(ends[0], value),
                "high": max(ends[1], value),
                **({"note": "at the bound of its range"} if row["at_bound"] else {}),
            }
        )
    squares = f"{result['sum_of_squares_before']:.4g} before, {result['sum_of_squares_after']:.4g} after"
    path = directory / OVERLAY
    fit = f"sum of squared residuals in units of the errors: {squares}"
    store.write_whole(path, overlay.text(result["base"], result["name"], data, records, fit))
    return path

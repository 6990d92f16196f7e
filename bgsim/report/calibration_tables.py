"""Tables of a calibration: what was fitted, how well the data know it, and what is left of each datum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bgsim.experiment.metrics import METRICS
from bgsim.report.numbers import significant, symbol
from bgsim.report.tables import add_row, new_table, plain

CORRELATED = 0.9
"""Correlations from here on are told."""

MISFIT = 4.0
"""Sum of squares per degree of freedom from which the model does not fit."""

SHOWN = 0.2
"""Parts of a direction from here on are told."""


def text(result: Mapping[str, Any]) -> str:
    """The tables of ``calibration.json`` as plain text."""
    return f"{_parameters(result)}\n{_data(result)}\n" + "".join(f"{line}\n" for line in remarks(result))


def remarks(result: Mapping[str, Any]) -> list[str]:
    """What a reader should know of the fit, one line each."""
    known = result["identifiability"]
    names = known["moving"]
    before, after = (significant(result[f"sum_of_squares_{when}"], 4) for when in ("before", "after"))
    shown = ", ".join(significant(value) for value in known["singular_values"]) or "none"
    squares = f"sum of squares {before} before, {after} after {result['evaluations']} steps"
    lines = [f"{squares}; singular values of the Jacobian: {shown}"]
    freedom = len(result["data"]) - known["identified"]
    if freedom > 0 and result["sum_of_squares_after"] > MISFIT * freedom:
        lines.append(
            f"the model does not reach the data within their errors ({after} for {freedom} degrees of "
            "freedom), so the errors of the parameters are too small"
        )
    lines += [f"{name}: the data do not move with it; it is left out" for name in known["without_effect"]]
    for direction in known["directions"][known["identified"] :]:
        parts = [(name, part) for name, part in direction.items() if abs(part) >= SHOWN]
        if len(parts) > 1:
            words = " ".join(f"{part:+.2f} {name}" for name, part in parts)
            lines.append(f"not identified: {words} (in units of their ranges) hardly changes the data")
    for row, each in enumerate(known["correlations"] or ()):
        for column in range(row):
            if abs(each[column]) >= CORRELATED:
                both = f"{names[column]} and {names[row]}"
                lines.append(f"{both} are known together only: correlation {each[column]:+.2f}")
    lines += [
        f"{row['name']}: ends at the bound of its range" for row in result["parameters"] if row["at_bound"]
    ]
    if result["prior"]:
        lines.append(
            "the datasheet's values counted as data too; errors and correlations are of the data alone"
        )
    return lines


def _parameters(result: Mapping[str, Any]) -> str:
    columns = [("parameter", "left"), ("unit", "left"), ("datasheet", "right"), ("fitted", "right")]
    table = new_table([*columns, ("+-", "right"), ("free within", "left")])
    for row in result["parameters"]:
        error = "" if row["error"] is None else significant(row["error"], 2)
        ends = f"{row['low']:g} to {row['high']:g}"
        cells = [row["name"], row["unit"], f"{row['start']:g}", f"{row['fitted']:g}", error, ends]
        add_row(table, cells)
    return plain(table)


def _data(result: Mapping[str, Any]) -> str:
    columns = [("datum", "left"), ("metric", "left"), ("unit", "left")]
    numbers = ("measured", "+-", "before", "after", "residual")
    table = new_table(
        [*columns, *((name, "right") for name in numbers)], caption="residual: in units of the datum's error"
    )
    for row in result["data"]:
        left = (row["after"] - row["value"]) / row["error"]
        amounts = [significant(row[key], 4) for key in ("value", "error", "before", "after")]
        amounts[1] = significant(row["error"], 2)
        add_row(
            table, [row["name"], row["metric"], symbol(METRICS[row["metric"]].unit), *amounts, f"{left:+.2f}"]
        )
    return plain(table)

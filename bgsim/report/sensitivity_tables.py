"""Tables of a sensitivity study: which guess matters, and by how much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bgsim.experiment.labels import brief
from bgsim.report.numbers import common_scale, significant
from bgsim.report.tables import add_row, new_table, plain

METHODS: Mapping[str, str] = {
    "morris": "effect: by how much the result changes as the factor goes from low to high, mean over places "
    "of the others; spread: how much that depends on the place",
    "sobol": "alone, in all: share of the variance of the result without and with interactions",
}


def text(result: Mapping[str, Any], rows: int = 20) -> str:
    """The tables of ``sensitivity.json`` as plain text, one per point.

    Parameters
    ----------
    result
        Its content.
    rows
        Factors shown at most, the most important first.
    """
    return "\n".join(_point(result, point, rows) for point in result["points"])


def scale_of(result: Mapping[str, Any], point: Mapping[str, Any]) -> tuple[float, str]:
    """Divisor and symbol of the unit in which the results of a point read well."""
    return common_scale([point["nominal"], point["low"], point["high"]], result["unit"])


def title(result: Mapping[str, Any], point: Mapping[str, Any]) -> str:
    """What a point's table or figure is about, in one line."""
    values = " ".join(f"{path.split('.')[-1]}={brief(value)}" for path, value in point["point"].items())
    where = f"{values}: " if values else ""
    scale, unit = scale_of(result, point)
    nominal, low, high = (significant(point[key] / scale) for key in ("nominal", "low", "high"))
    return (
        f"{where}{result['metric']} on {result['platform']}: {nominal} {unit} at the datasheet's values, "
        f"{low} to {high} {unit} in 95 % of {point['runs']} samples"
    )


def range_text(row: Mapping[str, Any]) -> str:
    """The range of a factor, or how many parameters it is."""
    if len(row["parameters"]) > 1:
        return f"{len(row['parameters'])} parameters"
    (one,) = row["parameters"]
    unit = "" if one["unit"] in ("count", "ratio") else f" {one['unit']}"
    return f"{one['low']:g} to {one['high']:g}{unit}"


def confidence_text(row: Mapping[str, Any]) -> str:
    """The confidence marks of a factor's parameters."""
    return " ".join(sorted({one["confidence"] for one in row["parameters"]}))


def _point(result: Mapping[str, Any], point: Mapping[str, Any], rows: int) -> str:
    morris = result["method"] == "morris"
    scale, unit = scale_of(result, point)
    numbers = (f"effect {unit}", "+-", "%", f"spread {unit}") if morris else ("alone", "+-", "in all", "+-")
    named = [("factor", "left"), ("mark", "left"), ("range", "left")]
    table = new_table([*named, *((name, "right") for name in numbers)], caption=METHODS[result["method"]])
    for row in point["factors"][:rows]:
        first = [row["factor"], confidence_text(row), range_text(row)]
        if morris:
            effect, error, spread = (row[name] / scale for name in ("mu_star", "mu_star_conf", "sigma"))
            share = 100 * row["mu_star"] / abs(point["nominal"]) if point["nominal"] else 0.0
            cells = [
                significant(effect),
                significant(error, 2),
                significant(share, 2),
                significant(spread, 2),
            ]
        else:
            cells = [f"{row[name]:.3f}" for name in ("S1", "S1_conf", "ST", "ST_conf")]
        add_row(table, [*first, *cells])
    left = len(point["factors"]) - rows
    more = f"{left} more factors matter less\n" if left > 0 else ""
    return f"{title(result, point)}\n\n{plain(table)}{more}{_lost(point['factors'])}"


def _lost(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line for every factor with steps that rounding left nothing of; old studies did not count them."""
    lines = []
    for row in rows:
        lost = row.get("steps_lost", 0)
        if lost:
            steps = f"{lost} of {lost + row['steps']} steps"
            lines.append(f"{row['factor']}: {steps} are left out, rounding its values left nothing of them\n")
    return "".join(lines)

"""What ``bgsim cures`` prints: the catalogue, or one cure in full; and the result of a search."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from bgsim.cli.listing import aligned
from bgsim.cures import CURES, GROUPS, PLACES
from bgsim.experiment.errors import ExperimentError, Problem
from bgsim.experiment.metrics import BASELINE, METRICS
from bgsim.report.cures_figures import search_title, step_span
from bgsim.report.numbers import common_scale, significant
from bgsim.spelling import did_you_mean

WIDTH = 100


def catalogue() -> str:
    """All cures: name, where each acts, how many of its numbers are guessed, and what it is."""
    rows = [("name", "acts on", "guesses", "what it changes")]
    rows += [
        (cure.name, cure.place, str(len(cure.guesses)) if cure.guesses else "-", cure.title)
        for cure in CURES.values()
    ]
    words = "\n".join(
        textwrap.fill(f"{word}: {', '.join(names)}", WIDTH, subsequent_indent="  ")
        for word, names in GROUPS.items()
    )
    return f"{aligned(rows)}\n\nWords for several:\n{words}"


def steps(search: Mapping[str, Any]) -> str:
    """The order a search has found, point by point, with what guesses could make of each step.

    Parameters
    ----------
    search
        The content of ``greedy.json``.
    """
    parts = []
    for point in search["points"]:
        values = [step["value"] for step in point["steps"]]
        scale, unit = common_scale(values, METRICS[search["metric"]].unit)
        rows = [("step", search["metric"], f"x of {BASELINE}", "gain", "guesses make it", "cure")]
        before = None
        for number, step in enumerate(point["steps"]):
            value = step["value"]
            low, high = step_span(step)
            rows.append(
                (
                    str(number),
                    f"{significant(value / scale, 4)} {unit}",
                    significant(value / point["native"]) if point["native"] else "-",
                    "" if before is None else f"{100 * (1 - value / before):.1f} %",
                    f"{significant(low / scale, 4)} to {significant(high / scale, 4)}" if high > low else "-",
                    " + ".join(step["added"]) or "none",
                )
            )
            before = value
        parts.append(f"{search_title(point)}\n{aligned(rows)}\n")
    return "\n".join(parts)


def explained(name: str) -> str:
    """One cure: what it changes, the records it sets, and the guesses it rests on with their ranges.

    Raises
    ------
    ExperimentError
        There is no such cure.
    """
    from bgsim.datasheet import Datasheet

    if name not in CURES:
        near = did_you_mean(name, CURES)
        raise ExperimentError([Problem("cures", name, f"no such cure{near}")])
    cure = CURES[name]
    sheet = Datasheet.load()
    lines = [f"{cure.name}: {cure.title}", f"acts on {PLACES[cure.place]}", ""]
    lines += textwrap.wrap(cure.mechanism, WIDTH)
    lines += ["", "sets"]
    changed = sheet.with_values(cure.sets)
    lines += [f"  {record} = {changed[record].text} (now {sheet[record].text})" for record in cure.sets]
    if cure.guesses:
        lines += ["", "rests on guesses"]
        for record in cure.guesses:
            parameter = sheet[record]
            assert parameter.low is not None
            assert parameter.high is not None
            ends = f"{parameter.show(parameter.low)} to {parameter.show(parameter.high)}"
            lines.append(f"  {record} = {parameter.text} ({ends}): {parameter.source}")
    else:
        lines += ["", "rests on no guess of its own"]
    if cure.apart:
        lines += ["", f"left out of 'all' and 'software': {cure.apart}"]
    for word, names in (("needs", cure.needs), ("excludes", cure.excludes)):
        if names:
            lines += ["", f"{word} {', '.join(names)}"]
    return "\n".join(lines)

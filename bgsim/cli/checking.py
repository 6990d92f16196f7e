"""``bgsim check``: whether an experiment is good, without simulating anything.

Editors and scripts ask this after every change, and half of the time to answer would be spent on building
the whole command line. So what is written plainly (an experiment, ``--set``, ``--seed``, ``--smoke``) is
read here; anything else, such as ``--help`` or a misspelled option, is left to :mod:`bgsim.cli.app`, which
stays the reference: a test compares what both read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from bgsim.cli.failures import guarded, say

if TYPE_CHECKING:
    from bgsim.experiment.plan import Experiment


class Wanted(NamedTuple):
    """What is to be checked: the words of the command line, read."""

    experiment: str
    set_: list[str] | None = None
    seed: int | None = None
    smoke: bool = False


def plainly(words: Sequence[str]) -> Wanted | None:
    """What a command line asks ``check`` for; None where the whole command line has to read it.

    Parameters
    ----------
    words
        What follows the program's name.

    Examples
    --------
    >>> plainly(["check", "compile", "--set", "seed=2", "--smoke"])
    Wanted(experiment='compile', set_=['seed=2'], seed=None, smoke=True)
    >>> plainly(["check", "--help"]) is None
    True
    """
    if not words or words[0] != "check":
        return None
    names: list[str] = []
    changes: list[str] = []
    seed: int | None = None
    smoke = False
    rest = iter(words[1:])
    for word in rest:
        if word == "--smoke":
            smoke = True
        elif word in ("--set", "--seed"):
            value = next(rest, "-")
            if value.startswith("-"):
                return None
            if word == "--set":
                changes.append(value)
            elif value.isascii() and value.isdigit():
                seed = int(value)
            else:
                return None
        elif word.startswith("-"):
            return None
        else:
            names.append(word)
    return Wanted(names[0], changes or None, seed, smoke) if len(names) == 1 else None


@guarded
def check(wanted: Wanted) -> None:
    """Check an experiment and its smoke form, and say how large they are."""
    from bgsim.experiment.plan import load

    experiment, overrides = wanted.experiment, wanted.set_ or ()
    plan = load(experiment, overrides, smoke=wanted.smoke, seed=wanted.seed)
    for remark in plan.remarks:
        say(f"bgsim: {remark}")
    print(f"{plan.name}: {_size(plan)}")
    if plan.has_smoke and not wanted.smoke:
        print(f"{plan.name} --smoke: {_size(load(experiment, overrides, smoke=True, seed=wanted.seed))}")


def _size(plan: Experiment) -> str:
    parts = [(plan.points, "point"), (len(plan.platforms), "platform"), (plan.replications, "replication")]
    words = " x ".join(f"{count} {noun}{'s' if count != 1 else ''}" for count, noun in parts)
    if math.prod(count for count, _ in parts) != len(plan.runs):
        words = words.replace(" x ", ", ")
    left_out = f" ({plan.excluded} left out by conditions)" if plan.excluded else ""
    left_out += f" ({plan.skipped} skipped as unsupported)" if plan.skipped else ""
    return f"good; {words} = {len(plan.runs)} run{'s' if len(plan.runs) != 1 else ''}{left_out}"

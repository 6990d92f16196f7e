"""A shard: one of several equal parts of an experiment, for computers that share nothing.

Runs are dealt out in the order of their ids. Ids are hashes, so every shard gets as many runs as the
others, one at most apart, and no shard gets all the expensive ones. Which shard a run belongs to depends
on the experiment and on nothing that is stored, so shards need not know of each other. Where replications
are added until a precision is reached, all runs of a point stay together: one driver has to see them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bgsim.experiment.errors import ExperimentError, Problem
from bgsim.experiment.identity import canonical

if TYPE_CHECKING:
    from bgsim.experiment.plan import Run

SHARDS = "shards"
"""Directory, inside a study's, where shards are computed until they are merged."""


@dataclass(frozen=True, slots=True)
class Shard:
    """The ``number``-th of ``count`` parts, counted from 1."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def directory(self, study: Path) -> Path:
        """Where this shard of a study is computed: ``STUDY/shards/3-of-64``."""
        return study / SHARDS / f"{self.number}-of-{self.count}"

    def of(self, runs: Sequence[Run], whole_points: bool = False) -> list[Run]:
        """The runs of this shard, in their order.

        Parameters
        ----------
        runs
            All runs of the experiment.
        whole_points
            Keep the platforms and replications of a point in one shard.
        """
        ids = [canonical(run.point) if whole_points else run.run_id for run in runs]
        first = {name: run.run_id for name, run in zip(reversed(ids), reversed(runs), strict=True)}
        mine = set(sorted(first, key=lambda name: first[name])[self.number - 1 :: self.count])
        return [run for run, name in zip(runs, ids, strict=True) if name in mine]


def read_shard(text: str) -> Shard:
    """Read ``3/64``.

    Raises
    ------
    ExperimentError
        It is not a shard.
    """
    found = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    if found is not None:
        number, count = map(int, found.groups())
        if 1 <= number <= count:
            return Shard(number, count)
    wanted = "expected NUMBER/COUNT with a number from 1 to the count, such as 3/64"
    raise ExperimentError([Problem(f"--shard {text}", "", wanted)])

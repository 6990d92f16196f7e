"""How long a study will take, and how much memory: from the host timings of runs done before.

A run is taken to need what the stored runs most like it needed on the average: the same settings with
other replications, else the same workload on a changed machine, else the same operation, platform or
kind of workload. Of a run that no stored one is like, nothing is known, and nothing is assumed. Host
timings depend on the computer and on how busy it was, so this is a guide.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bgsim.experiment.identity import canonical
from bgsim.experiment.labels import NAMING_KEYS
from bgsim.experiment.record import Record

if TYPE_CHECKING:
    from bgsim.experiment.plan import Run

LIKENESS = (
    "runs of the same settings",
    "runs of the same workload on a changed machine",
    "runs of the same operation and partition",
    "runs of the same workload and platform",
    "runs of the same kind of workload",
)


@dataclass(frozen=True, slots=True)
class Need:
    """What a run is estimated to need of the host.

    Attributes
    ----------
    wall_s
        Time of one processor.
    memory_bytes
        Peak memory of the process that computes it; None where the records do not say.
    basis
        What it is estimated from, in words.
    """

    wall_s: float
    memory_bytes: float | None
    basis: str


@dataclass(slots=True)
class _Group:
    wall_s: list[float] = field(default_factory=list)
    memory_bytes: list[float] = field(default_factory=list)


class Estimator:
    """Estimates runs from records.

    Parameters
    ----------
    records
        Finished runs of this or other studies; those without host timings are left out.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self._groups: list[dict[str, _Group]] = [{} for _ in LIKENESS]
        for record in records:
            made = record.get("provenance", {})
            if record["status"] != "ok" or "wall_s" not in made:
                continue
            for groups, key in zip(self._groups, _keys(record["config"]), strict=True):
                group = groups.setdefault(key, _Group())
                group.wall_s.append(made["wall_s"])
                if made.get("peak_memory_bytes"):
                    group.memory_bytes.append(made["peak_memory_bytes"])

    def need(self, run: Run) -> Need | None:
        """What a run will need; None where no stored run is like it."""
        for groups, key, basis in zip(self._groups, _keys(run.config), LIKENESS, strict=True):
            group = groups.get(key)
            if group is not None:
                memory = max(group.memory_bytes, default=None)
                return Need(math.fsum(group.wall_s) / len(group.wall_s), memory, basis)
        return None


def _keys(config: Mapping[str, Any]) -> list[str]:
    """What a run has in common with runs like it, the most alike first."""
    workload, platform = config["workload"], config["platform"]
    settings = {key: value for key, value in config.items() if key not in ("seed", "replication")}
    shape, kind = config["partition"].get("shape"), workload["kind"]
    named = [workload.get(key) for key in NAMING_KEYS]
    return [
        canonical(settings),
        canonical([platform, config["guest"], workload, shape]),
        canonical([platform, kind, named, shape]),
        canonical([platform, kind]),
        canonical([kind]),
    ]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the rest of a study will need, as far as it is known.

    Attributes
    ----------
    processor_s
        Time of all known runs together.
    wall_s
        Time with so many workers: at least that of the longest run.
    memory_bytes
        Of all workers, each at the largest runs at once; None where nothing is known.
    bases
        What runs were estimated from, and how many.
    unknown
        How many runs nothing is known of: what is said above is without them.
    """

    processor_s: float
    wall_s: float
    memory_bytes: float | None
    bases: Mapping[str, int]
    unknown: int


def forecast(needs: Sequence[Need | None], workers: int) -> Forecast:
    """What several runs will need on so many workers."""
    known = [need for need in needs if need is not None]
    together = math.fsum(need.wall_s for need in known)
    longest = max((need.wall_s for need in known), default=0.0)
    sizes = [need.memory_bytes for need in known if need.memory_bytes is not None]
    largest = sorted(sizes, reverse=True)[:workers]
    bases = Counter(need.basis for need in known)
    wall_s = max(together / workers, longest)
    return Forecast(together, wall_s, sum(largest) if largest else None, bases, len(needs) - len(known))

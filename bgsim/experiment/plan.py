"""From an experiment to its runs: everything is checked before anything is simulated.

An experiment is read, shorthand is written out, ``--smoke`` and ``--set`` are applied, and every
point of the sweep is checked on its own, since a swept value may be wrong only there. All
problems are reported together. What comes out is a list of :class:`Run`, each a complete
configuration in plain JSON that any process on any machine can execute.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from bgsim.experiment.errors import ExperimentError, Problem, shown
from bgsim.experiment.identity import canonical, run_id
from bgsim.experiment.labels import brief
from bgsim.experiment.locate import Document, Path, dotted
from bgsim.experiment.settings import Overrides, Source, read, settings
from bgsim.experiment.sweep import Axis

if TYPE_CHECKING:
    from bgsim.experiment.precision import Precision
    from bgsim.experiment.sections import CalibrateSection, SensitivitySection


@dataclass(frozen=True)
class Run:
    """One point, platform and replication.

    Attributes
    ----------
    experiment
        Name of the experiment; not part of the identity.
    config
        Everything that affects the answer, resolved, in plain JSON.
    point
        Swept path to value, as written in the experiment.
    """

    experiment: str
    config: Mapping[str, Any]
    point: Mapping[str, Any]

    @cached_property
    def run_id(self) -> str:
        """The hash of everything that affects the answer."""
        return run_id(self.config)

    @property
    def label(self) -> str:
        """A few words for progress lines: the point, the platform, the replication."""
        words = [f"{path.split('.')[-1]}={brief(value)}" for path, value in self.point.items()]
        words.append(str(self.config["platform"]))
        if self.config["replication"]:
            words.append(f"replication {self.config['replication']}")
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class Experiment:
    """A checked experiment.

    Attributes
    ----------
    name
        Names the study.
    runs
        Every run: points in grid order, then platforms, then replications.
    axes
        The swept paths.
    remarks
        What is odd but allowed, one line each, with its place.
    smoke
        Whether the reduced form was asked for; ``has_smoke`` says whether there is one.
    greedy
        What is searched for once all runs are done: the checked section.
    excluded
        How many points, or platforms at a point, the sweep's conditions exclude.
    precision
        How well results are to be known; runs are added until they are.
    sensitivity
        What ``bgsim sensitivity`` is to explore.
    calibrate
        What ``bgsim calibrate`` is to fit.
    document
        The experiment as written, for messages.
    skipped
        How many combinations of guest, platform and workload were left out because nothing runs there.
    """

    name: str
    description: str
    runs: tuple[Run, ...]
    axes: tuple[Axis, ...]
    platforms: tuple[str, ...]
    replications: int
    seed: int
    remarks: tuple[str, ...]
    smoke: bool
    has_smoke: bool
    greedy: Mapping[str, Any] | None = None
    excluded: int = 0
    skipped: int = 0
    precision: Precision | None = None
    sensitivity: SensitivitySection | None = None
    calibrate: CalibrateSection | None = None
    document: Document | None = field(default=None, repr=False, compare=False)

    def problem(self, path: Path, message: str) -> Problem:
        """Something wrong with the experiment, at the place where it was written."""
        place = str(self.document.place_of_value(path)) if self.document is not None else self.name
        return Problem(place, dotted(path), message)

    @property
    def points(self) -> int:
        """How many points there are, platforms and replications apart."""
        return len({canonical(run.point) for run in self.runs})

    @property
    def directory(self) -> FilePath:
        """Where the study goes unless said otherwise: ``results/NAME``."""
        return FilePath("results") / (f"{self.name}-smoke" if self.smoke else self.name)


def load(
    source: Source, overrides: Overrides = (), *, smoke: bool = False, seed: int | None = None
) -> Experiment:
    """Read and check an experiment; nothing is simulated.

    Parameters
    ----------
    source
        Path of a YAML file, the name of a shipped experiment, or the experiment as a mapping.
    overrides
        ``path=value`` texts as for ``--set``, or a mapping of dotted paths to values.
    smoke
        Apply the experiment's ``smoke`` section first.
    seed
        Replaces the experiment's seed.

    Raises
    ------
    ExperimentError
        With every problem found, each with its place.
    """
    document, beside = read(source)
    if not isinstance(document.value, dict):
        wanted = "an experiment is a mapping with name, partition, platforms and workload"
        raise ExperimentError([Problem(document.source, "", f"{wanted}, not {shown(document.value)}")])
    from bgsim.experiment.planner import Planner

    return Planner(document, beside, smoke=smoke).plan(settings(overrides), seed)

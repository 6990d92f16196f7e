"""``--executor``, ``--scheduler``, ``--profile``: from options to an executor that is open."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bgsim.experiment.errors import ExperimentError, Problem, quoted

if TYPE_CHECKING:
    from bgsim.experiment.executors import Executor

EXECUTORS = ("local", "dask", "slurm", "pbs", "lsf", "sge", "oar", "htcondor", "moab")

WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, help="Processes [default: one per processor].")
]
ExecutorOption = Annotated[
    str, typer.Option("--executor", help=f"Where runs are computed: {quoted(EXECUTORS)}.")
]
SchedulerOption = Annotated[
    str | None,
    typer.Option("--scheduler", metavar="ADDRESS", help="Of dask: tcp://HOST:PORT, or its scheduler file."),
]
ProfileOption = Annotated[
    Path | None,
    typer.Option("--profile", metavar="FILE", help="Of a batch system: what a job is there, as YAML."),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard", metavar="K/N", help="Run only the K-th of N equal parts, into DIR/shards/K-of-N."
    ),
]


@contextlib.contextmanager
def opened(
    executor: str, scheduler: str | None, profile: Path | None, workers: int | None
) -> Iterator[Executor]:
    """An executor, ready for work; closed afterwards.

    Raises
    ------
    ExperimentError
        The options do not fit together.
    MissingExtraError
        A library is missing.
    ExecutorError
        The cluster cannot be used.
    """
    if executor not in EXECUTORS:
        from bgsim.spelling import did_you_mean

        near = did_you_mean(executor, EXECUTORS)
        raise _refused("--executor", f"{executor}: unknown{near} (expected {quoted(EXECUTORS)})")
    batch = executor not in ("local", "dask")
    for option, given, fits in (
        ("--scheduler", scheduler, executor == "dask"),
        ("--profile", profile, batch),
        ("--workers", workers, executor == "local"),
    ):
        if given is not None and not fits:
            raise _refused(option, f"changes nothing with --executor {executor}")
    if executor == "local":
        from bgsim.experiment.executors.local import Local

        yield Local(workers)
    elif executor == "dask":
        from bgsim.experiment.executors.cluster import Cluster

        if scheduler is None:
            raise _refused("--executor dask", "needs --scheduler ADDRESS; 'dask scheduler' prints it")
        with Cluster(scheduler) as cluster:
            yield cluster
    else:
        from bgsim.experiment.executors.batch import Batch, read_profile

        with Batch(read_profile(profile or _usual_profile(executor), executor)) as started:
            yield started


def _usual_profile(system: str) -> Path:
    """The profile that is used when none is named."""
    from platformdirs import user_config_path

    usual = user_config_path("bgsim", appauthor=False) / f"{system}.yaml"
    if not usual.is_file():
        raise _refused(f"--executor {system}", f"needs --profile FILE, or a profile in {usual}")
    return usual


def _refused(option: str, message: str) -> ExperimentError:
    return ExperimentError([Problem(option, "", message)])

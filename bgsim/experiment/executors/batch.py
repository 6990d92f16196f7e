"""Batch systems: jobs that start the workers of a dask cluster, submitted through dask-jobqueue.

A small YAML profile says what a job is on one's machine; everything else is dask-jobqueue's. The scheduler
runs inside the driver, so it needs no job of its own; the nodes must reach the computer the driver runs on.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from bgsim import extras
from bgsim.experiment.errors import ExecutorError, ExperimentError, Problem, quoted, shown
from bgsim.experiment.executors.cluster import Cluster
from bgsim.experiment.locate import Document, read_file
from bgsim.spelling import did_you_mean

SYSTEMS: Mapping[str, str] = {
    "slurm": "SLURM",
    "pbs": "PBS",
    "lsf": "LSF",
    "sge": "SGE",
    "oar": "OAR",
    "htcondor": "HTCondor",
    "moab": "Moab",
}
"""Executor name to how dask-jobqueue spells the system."""


class Key(NamedTuple):
    """One key of a profile: what it takes, what dask-jobqueue calls it, what it means."""

    takes: str
    passed_as: str
    meaning: str


KEYS: Mapping[str, Key] = {
    "jobs": Key("count", "", "jobs to submit; required"),
    "jobs_min": Key("count", "", "with it, jobs come and go between this number and 'jobs' as work needs"),
    "cores": Key("count", "cores", "runs computed at once in each job; required"),
    "memory": Key("text", "memory", "memory of each job, such as 64 GB; required"),
    "walltime": Key("text", "walltime", "time limit of a job, in the batch system's form; quote it"),
    "queue": Key("text", "queue", "queue or partition"),
    "account": Key("text", "account", "account to charge"),
    "project": Key("text", "project", "project to charge, where the batch system says so"),
    "directives": Key("list", "job_extra_directives", "further lines of the job's header, without prefix"),
    "prologue": Key("list", "job_script_prologue", "shell lines before the worker starts"),
    "python": Key("text", "python", "the interpreter on the nodes; by default this one"),
    "interface": Key("text", "interface", "network interface, such as ib0"),
    "local_directory": Key("text", "local_directory", "fast directory of a node for dask's own files"),
    "log_directory": Key("text", "log_directory", "where the jobs' output goes"),
    "worker_options": Key("list", "worker_extra_args", "further options of 'dask worker'"),
}
REQUIRED = ("jobs", "cores", "memory")


@dataclass(frozen=True, slots=True)
class Profile:
    """A checked profile.

    Attributes
    ----------
    system
        Name of the batch system, as in ``--executor``.
    jobs, jobs_min
        Jobs to submit; ``jobs_min`` is None when their number is fixed.
    options
        What dask-jobqueue is told.
    """

    system: str
    jobs: int
    jobs_min: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def read_profile(path: Path, system: str) -> Profile:
    """Read and check a profile.

    Raises
    ------
    ExperimentError
        With everything that is wrong in it, each with its place.
    """
    document = read_file(path)
    if not isinstance(document.value, dict):
        raise ExperimentError([Problem(str(path), "", f"a profile is a mapping of {quoted(KEYS)}")])
    problems = _problems(document)
    if problems:
        raise ExperimentError(problems)
    value = document.value
    return Profile(
        system,
        value["jobs"],
        value.get("jobs_min"),
        {KEYS[name].passed_as: given for name, given in value.items() if KEYS[name].passed_as},
    )


def _problems(document: Document) -> list[Problem]:
    value = document.value
    found = []
    for name, given in value.items():
        key = KEYS.get(name)
        if key is None:
            near = did_you_mean(name, KEYS) or f" (expected {quoted(KEYS)})"
            found.append(Problem(str(document.place_of_key((name,))), name, f"unknown key{near}"))
        elif not _FORMS[key.takes](given):
            wanted = f"expected {_WORDS[key.takes]}, got {shown(given)}"
            found.append(Problem(str(document.place_of_value((name,))), name, wanted))
    found += [
        Problem(document.source, name, f"missing: {KEYS[name].meaning}")
        for name in REQUIRED
        if name not in value
    ]
    if not found and value.get("jobs_min", 0) > value["jobs"]:
        place = str(document.place_of_value(("jobs_min",)))
        found.append(Problem(place, "jobs_min", f"is more than jobs, {value['jobs']}"))
    return found


_FORMS: Mapping[str, Callable[[Any], bool]] = {
    "count": lambda given: isinstance(given, int) and not isinstance(given, bool) and given > 0,
    "text": lambda given: isinstance(given, str) and bool(given),
    "list": lambda given: isinstance(given, list) and all(isinstance(line, str) for line in given),
}
_WORDS = {"count": "a positive whole number", "text": "text (in quotes)", "list": "a list of lines"}


class Batch(Cluster):
    """Workers that a batch system starts.

    Life cycle: ``with Batch(profile) as executor``; leaving it ends the jobs.

    Parameters
    ----------
    profile
        What is asked of the batch system.

    Raises
    ------
    MissingExtraError
        dask-jobqueue is not installed.
    ExecutorError
        The batch system takes none of some option; on entering: it refuses the jobs.
    """

    def __init__(self, profile: Profile) -> None:
        jobqueue = extras.need("dask_jobqueue", "dask", f"--executor {profile.system}")
        self.profile = profile
        made = getattr(jobqueue, f"{SYSTEMS[profile.system]}Cluster")
        taken = {
            name
            for job in (made.job_cls, jobqueue.core.Job)
            for name in inspect.signature(job.__init__).parameters
        }
        unknown = [name for name in profile.options if name not in taken]
        if unknown:
            raise ExecutorError(f"{profile.system} takes no {quoted(unknown)}; write it under 'directives'")
        try:
            # One dask worker with a thread per core: every thread computes in a process of its own.
            cluster = made(n_workers=0, processes=1, job_name="bgsim", **profile.options)
        except (ValueError, OSError, RuntimeError) as error:
            raise ExecutorError(f"{profile.system}: {error}") from None
        super().__init__(cluster, profile.system)

    def __enter__(self) -> Batch:
        super().__enter__()
        try:
            if self.profile.jobs_min is None:
                self.scheduler.scale(jobs=self.profile.jobs)
            else:
                self.scheduler.adapt(minimum_jobs=self.profile.jobs_min, maximum_jobs=self.profile.jobs)
        except (OSError, RuntimeError) as error:
            self.__exit__(None, None, None)
            raise ExecutorError(f"{self.profile.system} refuses the jobs: {error}") from None
        return self

    def job_script(self) -> str:
        """The text that is submitted, once per job."""
        return str(self.scheduler.job_script())

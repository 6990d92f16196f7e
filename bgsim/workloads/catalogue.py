"""The kinds of workload by name: what each accepts, what it can run on, and the module that runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from pydantic import BaseModel

from bgsim.plugins import WORKLOAD_GROUP, Registry
from bgsim.workloads.configs import WorkloadConfig
from bgsim.workloads.support import SUPPORT, Support


@dataclass(frozen=True)
class Workload:
    """A kind of workload.

    Attributes
    ----------
    config
        Its section of an experiment: a frozen model that forbids unknown keys, whose ``kind`` is the literal
        name.
    support
        What it can run on.
    module
        Imported where it runs; has ``run(resolved, progress) -> Outcome``.
    """

    config: type[BaseModel]
    support: Support
    module: str


def _kind(config: type[BaseModel]) -> str:
    kind: str = get_args(config.model_fields["kind"].annotation)[0]
    return kind


WORKLOADS: Registry[Workload] = Registry(
    {
        kind: Workload(config, SUPPORT[kind], f"bgsim.workloads.{kind}")
        for config in get_args(get_args(WorkloadConfig)[0])
        for kind in [_kind(config)]
    },
    WORKLOAD_GROUP,
    Workload,
)
"""By name; packages add more under the entry-point group ``bgsim.workloads``."""

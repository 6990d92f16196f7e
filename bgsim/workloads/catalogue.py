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

    def __post_init__(self) -> None:
        if not self.kind:
            raise TypeError(f"{self.config.__qualname__} has no literal field 'kind'")

    @property
    def kind(self) -> str:
        """The name, as experiments write it."""
        return kind_of(self.config)


def kind_of(config: type[BaseModel]) -> str:
    """The kind that a model of a workload's section stands for; empty for any other model."""
    field = config.model_fields.get("kind")
    names = get_args(field.annotation) if field is not None else ()
    return str(names[0]) if names else ""


_CONFIGS = {kind_of(config): config for config in get_args(get_args(WorkloadConfig)[0])}

WORKLOADS: Registry[Workload] = Registry(
    {
        kind: Workload(config, SUPPORT[kind], f"bgsim.workloads.{kind.replace('-', '_')}")
        for kind, config in _CONFIGS.items()
    },
    WORKLOAD_GROUP,
    Workload,
    name_of=lambda workload: workload.kind,
)
"""By name; packages add more under the entry-point group ``bgsim.workloads``."""

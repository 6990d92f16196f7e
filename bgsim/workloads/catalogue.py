"""The kinds of workload by name: what each accepts, what it can run on, and the module that runs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from types import MappingProxyType
from typing import get_args

from pydantic import BaseModel

from bgsim.plugins import WORKLOAD_GROUP, OnDemand, Registry
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


MODELS: Mapping[str, str] = MappingProxyType(
    {
        "compile": "configs.CompileConfig",
        "micro": "configs.MicroConfig",
        "netperf": "configs.NetperfConfig",
        "dcmf": "configs.DcmfConfig",
        "io": "io_config.IoConfig",
        "traffic": "traffic_config.TrafficConfig",
        "collectives": "machine_configs.CollectivesConfig",
        "halo": "machine_configs.HaloConfig",
        "replay": "replay_config.ReplayConfig",
        "noise": "configs.NoiseConfig",
        "memory": "configs.MemoryConfig",
        "neighbours": "neighbours_config.NeighboursConfig",
    }
)
"""Where the model of each kind's section is: an experiment has one kind, and builds no model but that one."""


def _of_kind(kind: str) -> Workload:
    module, _, name = MODELS[kind].partition(".")
    config: type[BaseModel] = getattr(import_module(f"bgsim.workloads.{module}"), name)
    return Workload(config, SUPPORT[kind], f"bgsim.workloads.{kind.replace('-', '_')}")


WORKLOADS: Registry[Workload] = Registry(
    {kind: OnDemand(partial(_of_kind, kind)) for kind in MODELS},
    WORKLOAD_GROUP,
    Workload,
    name_of=lambda workload: workload.kind,
)
"""By name; packages add more under the entry-point group ``bgsim.workloads``."""

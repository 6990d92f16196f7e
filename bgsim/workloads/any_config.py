"""The section of any workload: the union of all their models.

Apart from the models, so that an experiment of one kind is read without those of the others.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from bgsim.workloads.configs import (
    CompileConfig,
    DcmfConfig,
    MemoryConfig,
    MicroConfig,
    NetperfConfig,
    NoiseConfig,
)
from bgsim.workloads.io_config import IoConfig
from bgsim.workloads.machine_configs import CollectivesConfig, HaloConfig
from bgsim.workloads.neighbours_config import NeighboursConfig
from bgsim.workloads.replay_config import ReplayConfig
from bgsim.workloads.traffic_config import TrafficConfig

WorkloadConfig = Annotated[
    CompileConfig
    | MicroConfig
    | NetperfConfig
    | DcmfConfig
    | IoConfig
    | TrafficConfig
    | CollectivesConfig
    | HaloConfig
    | ReplayConfig
    | NoiseConfig
    | MemoryConfig
    | NeighboursConfig,
    Field(discriminator="kind"),
]

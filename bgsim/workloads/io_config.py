"""What the workload io accepts in an experiment file.

Kept free of heavy imports, as :mod:`bgsim.workloads.configs`, of which this is a part.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from bgsim.units import Quantity, parse
from bgsim.workloads.quantities import FileSize, MessageSize
from bgsim.workloads.support import NFS_GUESTS

IoPattern = Literal["python-startup", "image-startup", "shared-file-startup", "open-close", "read", "write"]

WITH_DATA = ("shared-file-startup", "read", "write")
"""Patterns whose amount of data is set by ``size``."""


class IoConfig(BaseModel):
    """File system calls of all processes, function-shipped to their psets' I/O nodes, or by NFS."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, defer_build=True)

    kind: Literal["io"]
    pattern: IoPattern = Field(
        "read",
        description="shared-file-startup: every process opens and reads one image; python-startup: that, and "
        "the lookups and files of an interpreter; image-startup: the same with a compiled program's image; "
        "open-close: a file opened and closed; read, write: a file from its beginning to its end",
    )
    size: FileSize = Field(
        default=parse("1 MiB", "bytes"),
        description="bytes of each process's file, or of the shared one; at most 1 TiB",
    )
    transfer_size: MessageSize = Field(
        default=parse("87600 B", "bytes"),
        description="bytes of a read or write call, at most 4 GiB; by default the daemon's buffer, 87,600 B",
    )
    shared: bool = Field(
        False, description="whether all processes use one file, or each its own; of patterns read and write"
    )
    iterations: int = Field(1, ge=1, le=100_000, description="how often a process does all this")
    daemon: Literal["auto", "ciod", "zoid"] = Field(
        "auto",
        description="what serves the calls on the I/O node: ciod, a daemon with a proxy for each process; "
        "zoid, one process with threads; auto: ciod under CNK, zoid under ZeptoOS; Kittyhawk Linux has none",
    )
    processes_per_node: Literal[1, 2, 4] = Field(
        1, description="processes on a node: 1 (SMP mode), 2 (dual) or 4 (virtual-node mode)"
    )
    processes: int | None = Field(
        None, ge=1, description="processes altogether, the first ones; by default all that fit"
    )
    tier: Literal["machine", "detailed"] = Field(
        "machine",
        description="machine: a compiled network of queues; detailed: every packet and instruction path, "
        "one process per node; Kittyhawk Linux has the detailed tier only",
    )

    server_range: bool = Field(
        False,
        description="whether the run is repeated with every number of the file server and of the program's "
        "start at the favourable, and at the unfavourable end of its range, for a band in the figure",
    )

    def served_by(self, guest: str) -> str:
        """The daemon on the I/O node, with ``auto`` resolved; ``none`` where that forwards frames."""
        if guest in NFS_GUESTS:
            return "none"
        if self.daemon != "auto":
            return self.daemon
        return "ciod" if guest == "cnk" else "zoid"

    @field_validator("size", "transfer_size")
    @classmethod
    def _has_bytes(cls, size: Quantity, info: ValidationInfo) -> Quantity:
        if size.value < 1:
            raise ValueError("a file or a transfer has at least one byte")
        default = cls.model_fields[str(info.field_name)].default
        pattern = info.data.get("pattern")
        if pattern is not None and pattern not in WITH_DATA and size != default:
            raise ValueError(f"changes nothing: the pattern {pattern} has its own")
        return size

    @field_validator("shared")
    @classmethod
    def _where_it_matters(cls, shared: bool, info: ValidationInfo) -> bool:
        if shared and info.data.get("pattern") not in ("read", "write", None):
            raise ValueError("changes nothing: only read and write have files of their own or a shared one")
        return shared

    @field_validator("tier")
    @classmethod
    def _one_process_in_detail(cls, tier: str, info: ValidationInfo) -> str:
        if tier == "detailed" and info.data.get("processes_per_node", 1) != 1:
            raise ValueError("the detailed tier has one process per node")
        return tier

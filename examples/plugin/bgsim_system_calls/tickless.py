"""The guest: Kittyhawk Linux without its timer tick, as a tickless kernel is while it computes."""

from __future__ import annotations

from bgsim.guests.application_memory import PagedMemory
from bgsim.guests.catalogue import Kind
from bgsim.guests.kittyhawk import KittyhawkLinux

GUEST = Kind(
    build=lambda machine, memory, main: KittyhawkLinux(machine, memory.program, main, timer=False),
    memory=PagedMemory,
    workloads=("memory", "noise", "system-calls"),
)

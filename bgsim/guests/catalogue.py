"""The guests by name, and how each maps the memory of an application."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bgsim.datasheet import Datasheet
from bgsim.guests.application_memory import ApplicationMemory, PagedMemory, StaticMemory
from bgsim.guests.cnk import Cnk
from bgsim.guests.kittyhawk import KittyhawkLinux
from bgsim.guests.l4_app import L4App, program_memory
from bgsim.guests.zeptoos import ZeptoOs, ZeptoOsBigMemory
from bgsim.platforms.seam import Code, Guest
from bgsim.plugins import GUEST_GROUP, Registry

Main = Callable[[], Code]


@dataclass(frozen=True)
class Kind:
    """A kind of guest.

    Attributes
    ----------
    build
        Makes a guest from the machine, the application's memory and its program.
    memory
        Makes memory with so many bytes of data, mapped as this guest does.
    workloads
        The kinds of workload it runs, of a guest that a plug-in adds; for the others
        :mod:`bgsim.workloads.support` says so.
    """

    build: Callable[[Datasheet, ApplicationMemory, Main], Guest]
    memory: Callable[[Datasheet, int], ApplicationMemory]
    workloads: tuple[str, ...] = ()


GUESTS: Registry[Kind] = Registry(
    {
        "cnk": Kind(lambda machine, memory, main: Cnk(machine, main), StaticMemory),
        "kittyhawk-linux": Kind(
            lambda machine, memory, main: KittyhawkLinux(machine, memory.program, main), PagedMemory
        ),
        "l4-app": Kind(lambda machine, memory, main: L4App(machine, memory.program, main), program_memory),
        "zeptoos": Kind(lambda machine, memory, main: ZeptoOs(machine, memory.program, main), PagedMemory),
        "zeptoos-bigmemory": Kind(
            lambda machine, memory, main: ZeptoOsBigMemory(machine, memory.program, main), StaticMemory
        ),
    },
    GUEST_GROUP,
    Kind,
)
"""By name; packages add more under the entry-point group ``bgsim.guests``."""

"""Whether a guest and its program fit the memory of their virtual machine, told when planned.

A guest that touches memory beyond its segment gets a machine check and dies of it. Of the detailed workloads
it is known beforehand what the guest touches: its kernel's memory, as it lay on the traced machine, static
memory of a program, and pages mapped on demand. Whatever is not known ends the run with the same story
(:class:`bgsim.platforms.seam.GuestDiedError`).

Whatever takes long to import or to read is brought in only where an experiment changes the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bgsim.platforms import gives_a_segment
from bgsim.workloads.support import NFS_GUESTS, SOCKET_GUESTS, PlannedRun, Refusal

if TYPE_CHECKING:
    from bgsim.guests.application_memory import ApplicationMemory
    from bgsim.workloads.resolved import ResolvedRun

MIB = 1 << 20
VM_MEMORY = "vmm.vm_memory"


def misfits(workload: Any, planned: PlannedRun) -> Iterator[Refusal]:
    """Virtual machines of a run that have less memory than their guests touch.

    Parameters
    ----------
    workload
        Its checked section.
    planned
        The run; it is built only where it names neighbours or changes the memory.
    """
    beside = getattr(workload, "has_neighbours", False)
    changed = beside or VM_MEMORY in planned.changed
    if not changed or getattr(workload, "tier", "detailed") == "machine":
        return
    resolved = planned.resolve()
    if not gives_a_segment(resolved.platform):
        return
    from bgsim.platforms.layout import FRAGMENTS

    for number, (key, size) in enumerate(_memories(workload, planned, resolved)):
        if size >= FRAGMENTS * MIB:
            continue  # no guest touches more: neither its kernel, nor the largest table beside it
        needs = _loop(resolved, workload.neighbour) if number else needed_bytes(resolved)
        if size < needs:
            which = f"virtual machine {number}" if beside else "the virtual machine"
            said = f"{which} has {size / MIB:g} MiB, and its guest and program touch {-(-needs // MIB)} MiB"
            yield Refusal(key, f"{said}: at least that much")


def _memories(workload: Any, planned: PlannedRun, resolved: ResolvedRun) -> list[tuple[str, int]]:
    """What decides on the memory of each virtual machine, and its bytes."""
    machine = resolved.machine
    if not getattr(workload, "has_neighbours", False):
        return [(planned.changed[VM_MEMORY], machine.integer(VM_MEMORY))]
    from bgsim.platforms.virtual_node import VirtualNodeError, split_memory

    try:
        segments = split_memory(machine, workload.memory_bytes())
    except VirtualNodeError:
        return []  # refused for that
    key = "workload.memory" if workload.memory else planned.changed.get("vmm.memory", "workload.cores")
    return [(key, size) for _, size in segments]


def needed_bytes(resolved: ResolvedRun) -> int:
    """Memory that the measured guest touches, as far as it is known beforehand; 0 where nothing is.

    Parameters
    ----------
    resolved
        A run of the detailed tier.
    """
    need = _NEEDS.get(resolved.workload.kind)
    return 0 if need is None else need(resolved.workload, resolved)


def application_bytes(memory: ApplicationMemory, page_bytes: int) -> int:
    """Memory that a program and the kernel below it touch.

    Parameters
    ----------
    memory
        The program's. Its pages that are mapped on demand come beside the kernel's memory; static ones have
        their place.
    page_bytes
        Size of a page that is mapped on demand.
    """
    import numpy as np

    from bgsim.guests.kittyhawk import TICK_DATA_MIB
    from bgsim.profiles.program import linear_mib

    ends = memory.words(np.array([0, max(memory.size - 1, 0)], dtype=np.int64)).tolist()
    words = np.array([*memory.code, *memory.first_touch(0), *ends], dtype=np.uint32)
    pages = memory.program.keys
    static = linear_mib(words)
    if pages:
        static = max(static, 1 + max(TICK_DATA_MIB))
    return static * MIB + pages * page_bytes


def _build(workload: Any, resolved: ResolvedRun) -> int:
    """All of the traced machine's memory, which takes long to find in a trace."""
    from bgsim.profiles.program import BUILD_MIB

    return BUILD_MIB * MIB


def _application(resolved: ResolvedRun, size: int) -> int:
    from bgsim.guests.catalogue import GUESTS

    machine = resolved.machine
    memory = GUESTS[resolved.guest].memory(machine, size)
    return application_bytes(memory, machine.integer("guest.user_page"))


def _memory(workload: Any, resolved: ResolvedRun) -> int:
    return _application(resolved, int(workload.size.value))


def _noise(workload: Any, resolved: ResolvedRun) -> int:
    from bgsim.workloads.noise import quanta_of
    from bgsim.workloads.quanta import SAMPLE_BYTES

    return _application(resolved, SAMPLE_BYTES * sum(quanta_of(workload)))


def _micro(workload: Any, resolved: ResolvedRun) -> int:
    from bgsim.profiles.program import load
    from bgsim.workloads.micro import SYSTEM_CALLS, TRACED

    operation = workload.operation
    if operation in TRACED:
        return load(TRACED[operation][0]).linear_mib * MIB
    if operation != "null-system-call" or resolved.guest not in SYSTEM_CALLS:
        return 0
    _, touched, _ = SYSTEM_CALLS[resolved.guest]
    return (1 + max(touched)) * MIB


def _loop(resolved: ResolvedRun, name: str) -> int:
    """What one of the loops touches that virtual machines run beside each other."""
    if name == "build":
        return _build(resolved.workload, resolved)
    from bgsim.workloads.neighbours_programs import LOOPS, Compute
    from bgsim.workloads.traffic_patterns import random_stream

    random = random_stream(resolved.seed, resolved.replication, "machine 0")
    loop = LOOPS[name](resolved.machine, resolved.guest, random)
    assert isinstance(loop, Compute)
    return application_bytes(loop.memory, resolved.machine.integer("guest.user_page"))


def _neighbours(workload: Any, resolved: ResolvedRun) -> int:
    return _loop(resolved, workload.program)


def _sockets(workload: Any, resolved: ResolvedRun) -> int:
    """Buffers of the kernel's network code, which lie at the end of the traced machine's memory."""
    from bgsim.guests.network_paths import BUFFER_MIB

    return (1 + max(BUFFER_MIB)) * MIB


def _messages(workload: Any, resolved: ResolvedRun) -> int:
    """Buffers of the messages, which are the kernel's or lie behind the library's rings."""
    from bgsim.guests.cnk import BUFFERS_MIB

    return _sockets(workload, resolved) if resolved.guest in SOCKET_GUESTS else (1 + BUFFERS_MIB) * MIB


def _io(workload: Any, resolved: ResolvedRun) -> int:
    return _sockets(workload, resolved) if resolved.guest in NFS_GUESTS else 0


_NEEDS: Mapping[str, Callable[[Any, ResolvedRun], int]] = MappingProxyType(
    {
        "collectives": _messages,
        "compile": _build,
        "dcmf": _messages,
        "halo": _messages,
        "io": _io,
        "memory": _memory,
        "micro": _micro,
        "neighbours": _neighbours,
        "netperf": _sockets,
        "noise": _noise,
    }
)
"""What a guest touches, by workload."""

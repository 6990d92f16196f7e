"""What each kind of workload can run on; a combination that nobody has built is refused when planned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from bgsim.workloads.resolved import Partition, ResolvedRun


class Refusal(NamedTuple):
    """Why something cannot run: the key of the experiment that stands against it, and a sentence."""

    key: str
    message: str


class MisfitError(ValueError):
    """What does not fit, found where it is worked out.

    Parameters
    ----------
    key
        What of the experiment stands against it.
    message
        One sentence.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(key, message)
        self.refusal = Refusal(key, message)

    def __str__(self) -> str:
        return f"{self.refusal.key}: {self.refusal.message}"


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run before anything of it is built.

    Attributes
    ----------
    partition
        The partition.
    changed
        Parameters that the experiment changes or assumes, to the key that does.
    resolve
        Builds the whole run, which takes its time.
    """

    partition: Partition
    changed: Mapping[str, str]
    resolve: Callable[[], ResolvedRun]


def _accept(workload: Any, guest: str) -> Refusal | None:
    """Every setting runs under every guest of the workload."""
    return None


def _fit(workload: Any, planned: PlannedRun) -> Iterable[Refusal]:
    """Every setting fits every partition and machine."""
    return ()


def _as_named(workload: Mapping[str, Any], platform: str) -> tuple[str, ...]:
    """Its own, where the workload takes whichever is shipped; a file has its hash beside its name."""
    return (platform,) if workload.get("cost_model") == "auto" else ()


class Support(NamedTuple):
    """What one kind of workload can run on.

    Attributes
    ----------
    platforms, guests
        Names; the first guest is the default.
    nodes_min
        Least number of compute nodes.
    uses
        What else of the partition its answer depends on: ``pset`` (the collective network, whose tree has
        the psets as sub-trees), ``mapping`` (where ranks are placed).
    because
        Why another guest cannot run it, by name of the guest, where there is a reason to give.
    elsewhere
        Why it runs on no other platform, where there is a reason to give.
    settings
        What a guest lacks for some settings of the workload: from the checked section and the guest's name
        to a refusal, or None.
    misfits
        What of the workload does not fit the partition or the machine of a run: from the checked section and
        the planned run to refusals. It is asked when the run is planned and simulates nothing.
    cost_models
        Platforms whose shipped cost models, under the run's guest, the answer may come from: from the section
        as it stands in a record and the run's platform. Their hashes are part of the run's id.
    """

    platforms: tuple[str, ...]
    guests: tuple[str, ...]
    nodes_min: int
    uses: tuple[str, ...] = ()
    because: Mapping[str, str] = MappingProxyType({})
    elsewhere: str = ""
    settings: Callable[[Any, str], Refusal | None] = _accept
    misfits: Callable[[Any, PlannedRun], Iterable[Refusal]] = _fit
    cost_models: Callable[[Mapping[str, Any], str], tuple[str, ...]] = _as_named


_BOTH = ("bare-metal", "virtual-machine")
_MACHINES = ("bare-metal", "hybrid", "virtual-machine")
_ALL = ("bare-metal", "hybrid", "l4-native", "virtual-machine")

SOCKET_GUESTS = ("kittyhawk-linux", "zeptoos")
"""Guests whose programs exchange messages through sockets: their kernel works the networks' devices."""

NFS_GUESTS = ("kittyhawk-linux",)
"""Guests whose files are on NFS, over their own TCP and Ethernet; the others ship calls to the I/O node."""

HOMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"l4-app": ("l4-native",), **dict.fromkeys(SOCKET_GUESTS, _BOTH)}
)
"""Platforms of guests that do not run on all machines: a program of the microkernel is no operating system,
and communication that a guest's kernel does can not be moved out of it."""

_LINUX = ("kittyhawk-linux", "zeptoos", "zeptoos-bigmemory")
_MESSAGING = ("cnk", "zeptoos-bigmemory", *SOCKET_GUESTS)
_OPERATING_SYSTEMS = ("cnk", *_LINUX)

_NO_FORK = {
    "cnk": "a build starts a process for every program it calls, and CNK has no fork and no exec (ENOSYS)",
    "l4-app": "it is one program without processes and files",
}
_NO_FILES = {"l4-app": "it has no files; those of a hybrid program stay with its guest"}
_NO_USER_DMA = {
    "kittyhawk-linux": "its kernel keeps the DMA engine for the Ethernet driver; its programs have sockets "
    "(netperf)",
    "zeptoos": "the DMA engine needs memory that is contiguous and stays in place, which Big Memory is; "
    "programs in 4 KiB pages have sockets (netperf)",
}
_NO_SOCKETS = {
    "cnk": "CNK has no network driver, and ships socket calls to the I/O node; its messaging is dcmf",
    "l4-app": "it has no sockets: its messaging is dcmf",
}

_NOTHING_MOVES = "it does not communicate, so that nothing of it could move out of a guest"
_SOCKETS_STAY = "sockets are the guest's kernel's, which keeps its devices"

_LACKS: Mapping[str, Mapping[str, str]] = {
    "cnk": {
        "getpid-loop": "the trace is of a Linux process",
        "tlb-miss-walk": "all memory is mapped before the program starts: no miss ever reaches the kernel",
        "page-fault-touch": "all memory is mapped before the program starts: nothing faults",
        "context-switch-ping-pong": "CNK runs one thread on a core for its whole life",
        "timer-tick": "CNK has no timer tick",
    },
    "l4-app": {
        "null-system-call": "it has no operating system to call; of L4's own calls the shortest is "
        "l4-thread-switch",
        "getpid-loop": "the trace is of a Linux process",
        "context-switch-ping-pong": "it has one thread that computes",
        "timer-tick": "the timer is the microkernel's",
    },
    "zeptoos-bigmemory": {
        "tlb-miss-walk": "Big Memory is mapped before the program starts: no miss ever reaches the kernel",
        "page-fault-touch": "Big Memory is mapped before the program starts: nothing faults",
    },
}
"""Operations of the workload micro that a guest does not have, and why."""


def _micro(workload: Any, guest: str) -> Refusal | None:
    why = _LACKS.get(guest, {}).get(workload.operation)
    if workload.operation.startswith("l4-") and guest != "l4-app":
        why = "only a program that runs on the microkernel itself calls it (l4-app)"
    return (
        None if why is None else Refusal("workload.operation", f"'{workload.operation}' under {guest}: {why}")
    )


def _messages(workload: Any, guest: str) -> Refusal | None:
    """What of the messaging workloads needs devices in user space, or several processes on a node."""
    from bgsim.workloads.machine_configs import DETAILED_SOCKET_ALGORITHMS, SOCKET_ALGORITHMS

    if guest != "cnk" and workload.ranks_per_node > 1:
        return Refusal("workload.ranks_per_node", f"{guest} has one process of a job on a node")
    if guest not in SOCKET_GUESTS:
        lacking = workload.kind == "collectives" and workload.tier == "detailed"
        if lacking and workload.algorithm in DETAILED_SOCKET_ALGORITHMS:
            said = f"the detailed tier has no {workload.algorithm} algorithm under {guest}"
            return Refusal("workload.algorithm", said)
        return None
    why = f"messages under {guest} go through sockets"
    if workload.kind == "halo" and workload.protocol in ("put", "rendezvous"):
        return Refusal("workload.protocol", f"'{workload.protocol}' works the DMA engine; {why}")
    if workload.kind != "collectives":
        return None
    known = SOCKET_ALGORITHMS[workload.operation]
    if not known:
        return Refusal("workload.operation", f"'{workload.operation}' is built of puts, and {why}")
    if workload.algorithm not in ("auto", *known):
        said = f"{why}, which leaves {', '.join(known)}"
        return Refusal("workload.algorithm", f"'{workload.algorithm}' under {guest}: {said}")
    if workload.synchronised and workload.tier == "machine":
        return Refusal("workload.synchronised", f"needs the barrier network, and {why}")
    return None


def _io(workload: Any, guest: str) -> Refusal | None:
    """What a guest with a file system of its own does not share with those that ship calls."""
    if guest not in NFS_GUESTS:
        return None
    if workload.tier == "machine":
        why = "its NFS client has several calls under way at once, and the queues of that tier have one"
        return Refusal("workload.tier", f"'machine' under {guest}: {why}; it runs with tier: detailed")
    if workload.daemon != "auto":
        why = "its I/O node forwards frames and knows nothing of files"
        return Refusal("workload.daemon", f"'{workload.daemon}' under {guest}: {why}")
    return None


def _neighbours(workload: Any, guest: str) -> Refusal | None:
    """A build beside others needs what a build alone needs."""
    if workload.program != "build" or guest in _LINUX:
        return None
    return Refusal("workload.program", f"'build' under {guest}: {_NO_FORK.get(guest, 'it has no processes')}")


def _shared(workload: Any, planned: PlannedRun) -> Iterator[Refusal]:
    """Virtual machines that one node of the machine cannot have together."""
    if not workload.has_neighbours:
        return
    from bgsim.platforms.virtual_node import VirtualNodeError, check_placement, split_memory

    machine = planned.resolve().machine
    try:
        check_placement(machine, workload.cores)
    except VirtualNodeError as error:
        yield Refusal("workload.cores", str(error))
    try:
        split_memory(machine, workload.memory_bytes())
    except VirtualNodeError as error:
        yield Refusal("workload.memory" if workload.memory else "workload.cores", str(error))


def _packets(planned: PlannedRun) -> Iterator[Refusal]:
    """Packets of the machine that message graphs cannot follow."""
    if not any(name.startswith("torus.") for name in planned.changed):
        return  # reading a datasheet takes long, and that of the shipped machine is one they follow
    from bgsim.network.router import packet_problems

    for name, said in packet_problems(planned.resolve().machine).items():
        yield Refusal(planned.changed[name], said)


def _devices(workload: Any, planned: PlannedRun) -> Iterator[Refusal]:
    """Nodes with all their devices, whatever the workload does."""
    yield from _collective_packets(planned)


def _collective_packets(planned: PlannedRun) -> Iterator[Refusal]:
    """Packets of the collective network that its device cannot have."""
    if "collective.packet_payload" not in planned.changed:
        return
    from bgsim.hardware.collective_device import packet_problem

    if wrong := packet_problem(planned.resolve().machine):
        yield Refusal(planned.changed["collective.packet_payload"], wrong)


def _traffic(workload: Any, planned: PlannedRun) -> Iterator[Refusal]:
    from bgsim.workloads.traffic_fit import misfits

    yield from _packets(planned)
    if refused := list(_collective_packets(planned)):
        from bgsim.workloads.traffic_costs import needs_cost_models

        yield from refused if needs_cost_models(planned.resolve()) else ()
    yield from misfits(workload, planned.partition)


def _places(workload: Any, planned: PlannedRun) -> Iterator[Refusal]:
    if workload.tier == "detailed":
        yield from _collective_packets(planned)
    from bgsim.workloads.quantities import DETAILED_NODES_MAX

    fit = planned.partition.nodes * workload.processes_per_node
    processes = fit if workload.processes is None else workload.processes
    if processes > fit:
        yield Refusal("workload.processes", f"{processes:,} do not fit {fit:,} places")
    elif workload.tier == "detailed" and processes > DETAILED_NODES_MAX:
        said = f"the detailed tier has up to {DETAILED_NODES_MAX} nodes, not {processes:,}; say 'processes'"
        yield Refusal("workload.tier", said)


def _ranks(workload: Any, planned: PlannedRun) -> Iterator[Refusal]:
    from bgsim.workloads.machine_fit import misfits

    if workload.tier == "machine":
        yield from _packets(planned)
    if workload.tier == "detailed" or workload.cost_model == "auto":  # whose nodes have the device
        yield from _collective_packets(planned)
    yield from misfits(workload, planned)


def _less_bare(workload: Mapping[str, Any], platform: str) -> tuple[str, ...]:
    """Those of which traffic takes the difference, if they are two: a platform adds nothing to itself."""
    two = tuple(dict.fromkeys((platform, "bare-metal")))
    return two if len(two) > 1 else ()


def platforms_of(guest: str) -> tuple[str, ...]:
    """The platforms that a guest can stand on."""
    return HOMES.get(guest, _MACHINES)


SUPPORT: Mapping[str, Support] = {
    "compile": Support(_BOTH, _LINUX, 1, because=_NO_FORK, elsewhere=_NOTHING_MOVES, misfits=_shared),
    "micro": Support(
        (*_BOTH, "l4-native"),
        (*_LINUX, "cnk", "l4-app"),
        1,
        elsewhere=_NOTHING_MOVES,
        settings=_micro,
        misfits=_shared,
    ),
    "netperf": Support(
        _BOTH, _LINUX, 2, ("pset",), because=_NO_SOCKETS, elsewhere=_SOCKETS_STAY, misfits=_devices
    ),
    "dcmf": Support(_ALL, ("cnk", "zeptoos-bigmemory", "l4-app"), 2, because=_NO_USER_DMA, misfits=_devices),
    "io": Support(
        _MACHINES, _OPERATING_SYSTEMS, 1, ("pset",), because=_NO_FILES, settings=_io, misfits=_places
    ),
    "traffic": Support(
        _BOTH, ("cnk", "zeptoos-bigmemory"), 2, because=_NO_USER_DMA, misfits=_traffic, cost_models=_less_bare
    ),
    "collectives": Support(
        _ALL, (*_MESSAGING, "l4-app"), 1, ("mapping", "pset"), settings=_messages, misfits=_ranks
    ),
    "halo": Support(_ALL, (*_MESSAGING, "l4-app"), 1, ("mapping",), settings=_messages, misfits=_ranks),
    "replay": Support(
        _BOTH,
        ("cnk", "zeptoos-bigmemory"),
        1,
        ("mapping", "pset"),
        because=_NO_USER_DMA,
        settings=_messages,
        misfits=_ranks,
    ),
    "noise": Support(_ALL, (*_OPERATING_SYSTEMS, "l4-app"), 1, misfits=_shared),
    "memory": Support(
        (*_BOTH, "l4-native"), (*_OPERATING_SYSTEMS, "l4-app"), 1, elsewhere=_NOTHING_MOVES, misfits=_shared
    ),
    "neighbours": Support(("virtual-machine",), _OPERATING_SYSTEMS, 1, settings=_neighbours, misfits=_shared),
}
"""By workload kind."""

"""Characterisation: the detailed tier measures what the machine tier takes as a node's software costs.

The same guest programs run on the platform in question, on one node or two, instruction path by instruction
path; what they take becomes a :class:`bgsim.machine.cost_model.CostModel` with the measurements it rests
on. It is deterministic: the same machine gives the same model.

Cost models are shipped for the default machine, together with the names of all parameters that were read
to make them. They hold for every machine that has these at the same values; for another machine one is made
when first needed, and kept in the user's cache.

How each number is taken is told in the modules ``probe_*``; docs/cost-models.md shows the results.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from bgsim.datasheet import Datasheet
from bgsim.datasheet.remembered import Remembered
from bgsim.guests.tcp import HEADER_BYTES, SEGMENTS_PER_ACKNOWLEDGEMENT
from bgsim.hardware.collective_device import packet_problem
from bgsim.machine.cost_model import (
    Connection,
    CostModel,
    CostModelError,
    Eager,
    Local,
    Machine,
    OneSided,
    Rendezvous,
    shipped_path,
)
from bgsim.source import source_digest
from bgsim.workloads import probe_collective, probe_messaging, probe_noise, probe_sockets
from bgsim.workloads.detailed_job import MTU_BYTES
from bgsim.workloads.samples import Samples, cost, rounded
from bgsim.workloads.support import SOCKET_GUESTS, platforms_of

if TYPE_CHECKING:
    from bgsim.workloads.resolved import ResolvedRun

__all__ = ["Characterisation", "characterize", "cost_model_for", "machine_digest"]

VERSION = 3
"""Version of what is measured and how; models of another version are made anew."""

PLATFORMS = ("bare-metal", "hybrid", "l4-native", "virtual-machine")
NOT_SHIPPED = ("hybrid",)
"""Platforms whose cost models are made when they are first needed."""

QUIET = {"l4.tick": "1000 s", "guest.timer_frequency": "1 Hz"}
"""Parameters with which nothing interrupts a short measurement."""

LOCAL_BYTES = (240, 4096)

Progress = Callable[[str], None]


def machine_digest(machine: Datasheet, parameters: Iterable[str]) -> str:
    """SHA-256, in hexadecimal, of the named parameters; what the machine lacks differs from what it has.

    The machine does not count them as read.
    """
    sheet = machine.with_values({})
    lines = [
        f"{name}={sheet[name].text};{sheet[name].round}\n" if name in sheet else f"{name} is missing\n"
        for name in sorted(parameters)
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@dataclass(frozen=True)
class Characterisation:
    """A cost model and the parameters of the machine that were read to make it."""

    model: CostModel
    parameters: tuple[str, ...]

    def fits(self, machine: Datasheet) -> bool:
        """Whether a machine has all of these parameters at the same values."""
        same = machine_digest(machine, self.parameters) == self.model.datasheet_digest
        return same and self.model.characterisation_version == VERSION

    def save(self, path: Path) -> None:
        """Write the model, and beside it the names of the parameters."""
        self.model.save(path)
        parameters_path(path).write_text("".join(f"{name}\n" for name in self.parameters), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Characterisation | None:
        """Read what :meth:`save` wrote; None if it is not there, or not all of it."""
        try:
            names = parameters_path(path).read_text(encoding="utf-8").split()
            return cls(CostModel.load(path), tuple(names))
        except (OSError, CostModelError):
            return None


def parameters_path(path: Path) -> Path:
    """Where the names of the parameters of a cost model stand."""
    return path.with_suffix(".parameters.txt")


def characterize(
    machine: Datasheet, platform: str, guest: str, progress: Progress = lambda what: None
) -> Characterisation:
    """Measure a cost model.

    Parameters
    ----------
    machine
        The machine.
    platform, guest
        Names.
    progress
        Told what is measured next.

    Raises
    ------
    CostModelError
        If this guest, or this machine, cannot be characterised.
    """
    if guest not in GUESTS:
        raise CostModelError([f"guest {guest!r}: cost models are made for {', '.join(GUESTS)}"])
    problem = packet_problem(machine)
    if problem:
        raise CostModelError([f"collective.packet_payload: {problem}"])
    # Copies know what was read of them. In the second ticks are put off, the microkernel's and the guest's:
    # an operation of many packets would have several in it.
    sheet = machine.with_values({})
    quiet = machine.with_values(QUIET)
    model = GUESTS[guest](sheet, quiet, platform, guest, progress)
    names = tuple(sorted(sheet.read | quiet.read))
    model = replace(model, machine=_as_written(machine), datasheet_digest=machine_digest(machine, names))
    return Characterisation(model, names)


def _in_user_space(
    machine: Datasheet, quiet: Datasheet, platform: str, guest: str, progress: Progress
) -> CostModel:
    """Of a guest whose programs work the devices themselves."""
    samples = Samples()
    payload = machine.integer("collective.packet_payload")
    messaging: dict[str, Callable[[Datasheet, str, Samples, str], None]] = {
        "puts and gets": probe_messaging.one_sided,
        "eager messages": probe_messaging.eager,
        "rendezvous": probe_messaging.rendezvous,
        "waits until arrivals are noticed": probe_messaging.delivery,
        "barriers": probe_collective.barriers,
    }
    for what, probe in messaging.items():
        progress(what)
        probe(machine, platform, samples, guest)
    progress("messages within a node")
    probe_messaging.local(machine, platform, samples, LOCAL_BYTES, guest)
    progress("allreduces")
    probe_collective.allreduces(quiet, platform, samples, payload, guest)
    progress("waits at the other networks")
    probe_collective.waits(quiet, platform, samples, guest)
    progress("detours")
    detours = probe_noise.detours(machine, platform, guest, samples)
    mean = samples.mean
    few, many = probe_messaging.PACKETS[0], probe_messaging.PACKETS[-1]
    send, send_packet = samples.per_unit("eager send", few, many)
    receive, receive_packet = samples.per_unit("eager receive", few, many)
    batch = 2 * mean("eager batch")  # two samples a message
    local_send, byte = samples.per_unit("local send", *LOCAL_BYTES)
    local_receive, _ = samples.per_unit("local receive", *LOCAL_BYTES)
    collective, barrier = probe_collective.costs(machine, samples)
    return CostModel(
        name=f"{platform}/{guest}",
        platform=platform,
        guest=guest,
        machine=_as_written(machine),
        datasheet_digest="",
        characterisation_version=VERSION,
        created_by=_program(),
        put=OneSided(rounded(mean("put post")), rounded(mean("put complete"))),
        get=OneSided(rounded(mean("get post")), rounded(mean("get complete"))),
        eager=Eager(
            send_cycles=cost(send),
            send_packet_cycles=rounded(max(0.0, send_packet)),
            receive_cycles=cost(receive - batch),
            receive_packet_cycles=cost(receive_packet),
            batch_cycles=rounded(batch),
        ),
        rendezvous=Rendezvous(
            send_cycles=rounded(mean("rendezvous send")),
            receive_cycles=rounded(mean("rendezvous receive")),
            complete_cycles=rounded(mean("rendezvous complete")),
        ),
        local=Local(cost(local_send), cost(local_receive), cost(byte)),
        collective=collective,
        barrier=barrier,
        delivery=samples.delivery("delivery"),
        detours=detours,
        measured=samples.measured(),
        collective_delivery=samples.delivery("collective delivery"),
        barrier_delivery=samples.delivery("barrier delivery"),
    )


def _through_sockets(
    machine: Datasheet, quiet: Datasheet, platform: str, guest: str, progress: Progress
) -> CostModel:
    """Of a guest whose programs have sockets."""
    samples = Samples()
    progress("messages through sockets")
    parts = probe_sockets.messages(quiet, platform, samples, guest)
    progress("messages within a node")
    probe_messaging.local(machine, platform, samples, LOCAL_BYTES, guest)
    sent, send_packet, send_segment, acknowledged = parts.solved("send")
    received, receive_packet, receive_segment, acknowledge = parts.solved("receive")
    send = samples.mean("socket departure") - send_packet
    settle = max(0.0, sent - send)
    progress("waits until arrivals are noticed")
    both = samples.mean("socket departure") + received + receive_packet
    probe_sockets.delivery(machine, platform, samples, guest, both, acknowledge)
    progress("detours")
    detours = probe_noise.detours(machine, platform, guest, samples)
    local_send, byte = samples.per_unit("local send", *LOCAL_BYTES)
    local_receive, _ = samples.per_unit("local receive", *LOCAL_BYTES)
    return CostModel(
        name=f"{platform}/{guest}",
        platform=platform,
        guest=guest,
        machine=_as_written(machine),
        datasheet_digest="",
        characterisation_version=VERSION,
        created_by=_program(),
        put=None,
        get=None,
        eager=Eager(
            send_cycles=cost(send),
            send_packet_cycles=rounded(max(0.0, send_packet)),
            receive_cycles=cost(received),
            receive_packet_cycles=rounded(max(0.0, receive_packet)),
        ),
        rendezvous=None,
        local=Local(cost(local_send), cost(local_receive), cost(byte)),
        collective=None,
        barrier=None,
        delivery=samples.delivery("delivery"),
        detours=detours,
        measured=samples.measured(),
        connection=Connection(
            segment_bytes=MTU_BYTES - HEADER_BYTES,
            envelope_bytes=machine.integer("mpi.socket_envelope"),
            segments_per_acknowledgement=SEGMENTS_PER_ACKNOWLEDGEMENT,
            segment_send_cycles=rounded(max(0.0, send_segment - settle)),
            segment_receive_cycles=rounded(max(0.0, receive_segment)),
            settle_cycles=rounded(settle),
            acknowledge_cycles=rounded(max(0.0, acknowledge)),
            acknowledged_cycles=rounded(max(0.0, acknowledged)),
        ),
    )


Maker = Callable[[Datasheet, Datasheet, str, str, Progress], CostModel]

GUESTS: Mapping[str, Maker] = {
    "cnk": _in_user_space,
    "zeptoos-bigmemory": _in_user_space,
    "l4-app": _in_user_space,
    **dict.fromkeys(SOCKET_GUESTS, _through_sockets),
}
"""By guest: how its cost model is made."""


def pairs(platforms: Iterable[str], guests: Iterable[str]) -> list[tuple[str, str]]:
    """Those of the platforms and guests that go together."""
    chosen = tuple(guests)
    return [(each, under) for each in platforms for under in chosen if each in platforms_of(under)]


def _as_written(machine: Datasheet) -> Machine:
    sheet = machine.with_values({})
    return Machine("bgp", {name: sheet[name].text for name in machine.overridden}, {})


def _program() -> str:
    from bgsim import __version__

    return f"bgsim {__version__}"


# -- which one a run uses ---------------------------------------------------------------------------


def cost_model_for(resolved: ResolvedRun) -> tuple[CostModel, str]:
    """The cost model of a run's machine, platform and guest, and where it comes from.

    Returns
    -------
    tuple
        The model, and ``shipped`` if the machine is the one the shipped model was made on; else
        ``characterised``: made now, or taken from the cache of this process or this user.
    """
    kept = shipped_characterisation(resolved.platform, resolved.guest)
    if kept is not None and kept.fits(resolved.machine):
        return _used(kept, resolved.machine), "shipped"
    platform, guest = resolved.platform, resolved.guest
    made = _made.get(resolved.machine, (platform, guest), lambda copy: _made_or_kept(copy, platform, guest))
    return made.model, "characterised"


def _used(found: Characterisation, machine: Datasheet) -> CostModel:
    """The model; the machine's parameters it was made with count as read."""
    machine.count_as_read(found.parameters)
    return found.model


@lru_cache(maxsize=16)
def shipped_characterisation(platform: str, guest: str) -> Characterisation | None:
    """The shipped cost model of a platform and guest with its parameters, or None."""
    return Characterisation.load(shipped_path(platform, guest))


_made: Remembered[Characterisation] = Remembered()


def _made_or_kept(machine: Datasheet, platform: str, guest: str) -> Characterisation:
    """The cost model of a machine from the user's cache, or made now and put there.

    Only a model of this program's very source is taken from there: any part of it may have been measured.
    """
    entry = f"{platform}-{guest}-{machine.digest()[:24]}"
    path = cache_directory() / f"{entry}-{source_digest()}.yaml"
    found = Characterisation.load(path)
    if found is None or not found.fits(machine):
        found = characterize(machine, platform, guest)
        _keep(found, path, f"{entry}-*")
    machine.count_as_read(found.parameters)
    return found


def cache_directory() -> Path:
    """Where cost models of changed machines are kept."""
    from platformdirs import user_cache_path

    return user_cache_path("bgsim") / "cost_models"


def _keep(made: Characterisation, path: Path, replaced: str) -> None:
    """Write a model into the cache for those of other sources; one that cannot be written is no cache."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for old in path.parent.glob(replaced):
            if not old.name.startswith(path.stem):  # another process may be writing the same one
                old.unlink(missing_ok=True)
        with TemporaryDirectory(dir=path.parent) as directory:
            partial = Path(directory) / path.name
            made.save(partial)
            # The model last: who finds it finds the names of its parameters too.
            parameters_path(partial).replace(parameters_path(path))
            partial.replace(path)
    except OSError:
        return

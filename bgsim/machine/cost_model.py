"""What one node's software costs: the numbers that the detailed tier hands to the machine tier.

A cost model belongs to one platform and one guest on one machine. It is a YAML file, written by ``bgsim
characterize`` and read here, and it says where it comes from: the datasheet's digest, the model version, and
what was measured how often. All costs are core cycles, not whole ones, since they are means.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from bgsim.machine.cost_reader import CostModelError, Reader
from bgsim.machine.shipped import shipped_path
from bgsim.network.detours import Detours, DetourSource
from bgsim.whole import whole

__all__ = ["CostModel", "CostModelError", "needed", "shipped", "shipped_path"]

SCHEMA = 1

HEADING = "# What one node's software costs, in core cycles; written by bgsim characterize.\n"


@dataclass(frozen=True, slots=True)
class OneSided:
    """A put or a get: from the call to the tail store; from the counter at zero to the return."""

    post_cycles: float
    complete_cycles: float


@dataclass(frozen=True, slots=True)
class Eager:
    """A message through memory FIFOs: per message, and per packet of 240 B that a core writes or reads.

    What a receiver does once for all packets that it finds together is ``batch_cycles``. Messages that arrive
    about together share it: like the wait until they are noticed, it delays each and is nobody's core time.
    """

    send_cycles: float
    send_packet_cycles: float
    receive_cycles: float
    receive_packet_cycles: float
    batch_cycles: float = 0.0


@dataclass(frozen=True, slots=True)
class Connection:
    """What a stream through sockets adds to eager messages, which go through it in segments.

    ``settle_cycles`` is the sender's work once a segment has left: nobody waits for it. Of so many segments
    that nothing was sent back for, the last one is acknowledged; what is sent back carries the
    acknowledgement by itself.
    """

    segment_bytes: float
    envelope_bytes: float
    segments_per_acknowledgement: float
    segment_send_cycles: float
    segment_receive_cycles: float
    settle_cycles: float
    acknowledge_cycles: float
    acknowledged_cycles: float

    def segments(self, size_bytes: int) -> int:
        """Segments of a message."""
        return max(1, math.ceil((size_bytes + self.envelope_bytes) / self.segment_bytes))


@dataclass(frozen=True, slots=True)
class Rendezvous:
    """A message by request to send and remote get: the request, the get at the receiver, its completion."""

    send_cycles: float
    receive_cycles: float
    complete_cycles: float


@dataclass(frozen=True, slots=True)
class Local:
    """A message between two ranks of a node: per message at each end, and per byte copied."""

    send_cycles: float
    receive_cycles: float
    byte_cycles: float


@dataclass(frozen=True, slots=True)
class Collective:
    """The collective network: a call's own cost, and each packet of 256 B into and out of its FIFOs."""

    call_cycles: float
    inject_packet_cycles: float
    receive_packet_cycles: float


@dataclass(frozen=True, slots=True)
class Barrier:
    """The barrier network: until a node's arrival is signalled, and from the release to the return."""

    enter_cycles: float
    leave_cycles: float


@dataclass(frozen=True, slots=True)
class Delivery:
    """Histogram of the wait from an arrival until software notices; nobody's core time."""

    values_cycles: tuple[float, ...]
    weights: tuple[float, ...]

    @property
    def mean_cycles(self) -> float:
        """Mean of the histogram."""
        pairs = zip(self.values_cycles, self.weights, strict=True)
        return sum(value * weight for value, weight in pairs) / sum(self.weights)


@dataclass(frozen=True, slots=True)
class Measured:
    """One measurement of the characterisation: what, how often, and its spread."""

    what: str
    n: int
    mean_cycles: float
    min_cycles: float
    max_cycles: float


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine as an experiment writes it."""

    base: str
    set: Mapping[str, Any]
    assume: Mapping[str, Any]


Section = TypeVar("Section")


@dataclass(frozen=True)
class CostModel:
    """Costs of one node's software for one platform and guest.

    Attributes
    ----------
    name
        ``PLATFORM/GUEST``.
    machine, datasheet_digest
        What it was measured on.
    characterisation_version, created_by
        Version of what is measured and how (:data:`bgsim.workloads.characterize.VERSION`), and of the program
        that measured.
    put, get, eager, rendezvous, local, collective, barrier, delivery
        The costs. A guest whose programs have sockets has no puts and gets, sends every message as an eager
        one, and uses neither the collective nor the barrier network: there these are None.
    detours
        What interrupts each core, whatever it does.
    measured
        What the numbers were taken from.
    connection
        Of a guest whose programs have sockets, the streams that carry the messages.
    collective_delivery, barrier_delivery
        Waits until software notices the collective and the barrier network, whose registers take other times
        than the torus'. None in files from before they were measured: there the costs of these networks go
        with ``delivery``.

    Raises
    ------
    CostModelError
        If a cost is negative.
    """

    name: str
    platform: str
    guest: str
    machine: Machine
    datasheet_digest: str
    characterisation_version: int
    created_by: str
    put: OneSided | None
    get: OneSided | None
    eager: Eager
    rendezvous: Rendezvous | None
    local: Local
    collective: Collective | None
    barrier: Barrier | None
    delivery: Delivery
    detours: tuple[DetourSource, ...]
    measured: tuple[Measured, ...]
    connection: Connection | None = None
    collective_delivery: Delivery | None = None
    barrier_delivery: Delivery | None = None

    def __post_init__(self) -> None:
        problems = [
            f"{self.name}: {section}.{field}: a cost is not negative, and this one is {cycles:g} cycles"
            for section, kind in _SECTIONS.items()
            if kind is not Delivery and getattr(self, section) is not None
            for field, cycles in dataclasses.asdict(getattr(self, section)).items()
            if cycles < 0
        ]
        if problems:
            raise CostModelError(problems)

    @classmethod
    def load(cls, path: str | Path) -> CostModel:
        """Read a cost model.

        Raises
        ------
        CostModelError
            With every problem of the file, each with its line.
        """
        file = Path(path)
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as refusal:
            raise CostModelError([f"{file}: cannot be read: {refusal}"]) from refusal
        return cls.parse(text, str(file))

    @classmethod
    def parse(cls, text: str, name: str) -> CostModel:
        """Read a cost model from text; `name` stands in front of problems."""
        read = Reader(text, name)
        for section in _LATER:
            read.document.setdefault(section, None)
        if _VERSION_ONCE in read.document:
            read.document.setdefault("characterisation_version", read.document.pop(_VERSION_ONCE))
        read.constant("schema", SCHEMA)
        known = read.record(cls, extra=("schema",))
        found: dict[str, Any] = {
            "machine": read.section("machine", Machine),
            "detours": read.records("detours", DetourSource),
            "measured": read.records("measured", Measured),
        }
        for section, kind in _SECTIONS.items():
            optional = section in _OPTIONAL
            found[section] = read.section(section, kind, optional)
        found |= {key: read.scalar(key, kind) for key, kind in _SCALARS.items()}
        for section, delivery in found.items():
            if isinstance(delivery, Delivery):
                for said in _histogram_problems(delivery.values_cycles, delivery.weights):
                    read.problem((section,), said)
        read.finish()
        assert known == set(found), "every field is read"
        return cls(**found)

    def save(self, path: str | Path) -> None:
        """Write the model; the same model gives the same bytes."""
        from ruamel.yaml import YAML

        yaml = YAML()
        yaml.width = 110
        yaml.default_flow_style = None
        buffer = io.StringIO()
        buffer.write(
            "# What one node's software costs; written by bgsim characterize. Times in core cycles.\n"
        )
        yaml.dump({"schema": SCHEMA, **self.as_dict()}, buffer)
        with whole(Path(path)) as part:
            part.write_text(buffer.getvalue(), encoding="utf-8")

    def as_dict(self) -> dict[str, Any]:
        """All fields as plain values; those that files have not always had, only where there is something."""
        fields = {name: _plain(value) for name, value in dataclasses.asdict(self).items()}
        return {name: value for name, value in fields.items() if name not in _LATER or value is not None}

    @property
    def digest(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of everything that affects an answer."""
        costs = {key: value for key, value in self.as_dict().items() if key not in ("created_by", "measured")}
        costs[_VERSION_ONCE] = costs.pop("characterisation_version")  # what a key is called changes no answer
        text = json.dumps(costs, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def notices(self, network: Literal["collective", "barrier"]) -> Delivery:
        """Waits until software notices one of the networks that are not the torus."""
        own = self.collective_delivery if network == "collective" else self.barrier_delivery
        return self.delivery if own is None else own

    def interruptions(self, cores: int, seed: int, cores_per_node: int) -> Detours:
        """The detours of a number of cores; those of a node have consecutive numbers."""
        return Detours.make(self.detours, cores, seed, cores_per_node)


_VERSION_ONCE = "model_version"
"""The key of the characterisation's version in files up to now, and in digests."""

_SECTIONS: Mapping[str, type] = {
    "put": OneSided,
    "get": OneSided,
    "eager": Eager,
    "rendezvous": Rendezvous,
    "local": Local,
    "collective": Collective,
    "barrier": Barrier,
    "delivery": Delivery,
    "connection": Connection,
    "collective_delivery": Delivery,
    "barrier_delivery": Delivery,
}
_LATER = ("connection", "collective_delivery", "barrier_delivery")
"""Sections that files of the same schema may lack."""

_OPTIONAL = frozenset({"put", "get", "rendezvous", "collective", "barrier", *_LATER})

_SCALARS: Mapping[str, type] = {
    "name": str,
    "platform": str,
    "guest": str,
    "datasheet_digest": str,
    "characterisation_version": int,
    "created_by": str,
}


def needed(section: Section | None, what: str) -> Section:
    """A section of a cost model that an operation cannot do without.

    Raises
    ------
    CostModelError
        If the guest has no such thing.
    """
    if section is None:
        raise CostModelError([f"the guest's programs have no {what}: their messages go through sockets"])
    return section


@cache
def shipped(platform: str, guest: str) -> CostModel | None:
    """The shipped cost model of a platform and guest, or None."""
    path = shipped_path(platform, guest)
    return CostModel.load(path) if path.is_file() else None


def _histogram_problems(values: tuple[float, ...], weights: tuple[float, ...]) -> list[str]:
    if not values or len(values) != len(weights):
        return ["as many values as weights are needed, at least one"]
    if min(values) < 0 or min(weights) < 0 or not sum(weights) > 0 or not math.isfinite(sum(weights)):
        return ["values and weights are not negative, and not all weights zero"]
    return []


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value

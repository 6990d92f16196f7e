"""What the queueing form of function-shipped I/O needs: a program's calls, and what each costs where.

All processes run the same program. Each of its steps is one shipped call, with its packets and its times at
every station: the node's device, the daemon, the proxies, the Ethernet, the servers. What the compute node's
software takes comes from the detailed tier (:class:`NodeCosts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bgsim.hardware.file_server import IoParameters
from bgsim.hardware.io_protocol import METADATA, Call, answer_packets, request_packets
from bgsim.network.collective_packet import CollectiveParameters

Ints = NDArray[np.int64]

NOWHERE, METADATA_SERVER, DATA_SERVER = 0, 1, 2
"""Where on the file server a step goes."""

NEVER_READ, ALWAYS_FROM_DISK = -1, -2
"""Instead of the number of a shared file whose first read comes from disk."""


@dataclass(frozen=True, slots=True)
class NodeCosts:
    """What a compute node's software takes for a call, in core cycles, on one platform.

    Attributes
    ----------
    send
        From the call to its first packet's entering the network.
    inject
        Each further packet of the request.
    receive
        From the arrival of an answer of one packet to the call's return.
    take
        Each further packet of an answer, if software is what one waits for.
    drain
        How often the node takes a packet of a long answer off the network; less than `take` where
        something takes it from the device before the guest does.
    buffered
        Packets of an answer that the node holds before the network has to wait.
    """

    send: int
    inject: int
    receive: int
    take: int
    drain: int
    buffered: int


@dataclass(frozen=True, slots=True)
class Step:
    """One shipped call of the program.

    Attributes
    ----------
    call
        Which call.
    length
        Bytes read or written.
    file
        Number of the file.
    shared
        Whether all processes use that one, or each its own.
    piece
        Number of the piece of the file, of a read.
    ends
        Whether the program's own call returns with it; a long read is several steps.
    """

    call: Call
    length: int = 0
    file: int = 0
    shared: bool = False
    piece: int = 0
    ends: bool = True


class Steps(NamedTuple):
    """The program as columns, each of shape (steps,), int64; times in core cycles."""

    up: Ints
    down: Ints
    proxy: Ints
    where: Ints
    wire_out: Ints
    service: Ints
    wire_in: Ints
    copy: Ints
    cache: Ints  # number among what an I/O node may keep, or -1
    disk: Ints  # number of the shared file, or ALWAYS_FROM_DISK, where this may be its first read
    ends: Ints


def columns(steps: Sequence[Step], parameters: IoParameters) -> Steps:
    """The program's steps with their costs."""
    pieces: dict[tuple[int, int], int] = {}
    files: dict[int, int] = {}
    own_read: set[int] = set()
    rows = []
    for step in steps:
        read = step.length if step.call == Call.READ else 0
        written = step.length if step.call == Call.WRITE else 0
        where = DATA_SERVER if read or written else NOWHERE
        where = METADATA_SERVER if step.call in METADATA else where
        cache, disk = -1, NEVER_READ
        if read and step.shared:
            disk = files.setdefault(step.file, len(files))
            if parameters.file_cache:
                cache = pieces.setdefault((step.file, step.piece), len(pieces))
        elif read and step.file not in own_read:
            own_read.add(step.file)
            disk = ALWAYS_FROM_DISK
        rows.append(
            (
                request_packets(step.call, step.length, parameters.payload_bytes),
                answer_packets(step.call, read, parameters.payload_bytes),
                parameters.proxy_cycles + parameters.copied_cycles(written),
                where,
                parameters.wire_cycles(written),
                parameters.server.service_cycles(step.call, step.length) if where else 0,
                parameters.wire_cycles(read),
                parameters.copied_cycles(read),
                cache,
                disk,
                int(step.ends),
            )
        )
    table = np.array(rows, np.int64).reshape(len(rows), len(Steps._fields))
    return Steps(*(np.ascontiguousarray(column) for column in table.T))


@dataclass(frozen=True, slots=True)
class Times:
    """Times that are the same for every step, in core cycles."""

    node: NodeCosts
    receive: int
    send: int
    message: int
    there: int
    back: int
    disk: int
    packet: int
    hop: int
    link_packets: int
    proxy_cores: int
    metadata_servers: int
    data_servers: int
    threads: bool

    @classmethod
    def of(cls, node: NodeCosts, io: IoParameters, network: CollectiveParameters) -> Times:
        """From the parts' parameters."""
        there = io.latency_cycles // 2
        return cls(
            node, io.receive_cycles, io.send_cycles, io.message_cycles, there, io.latency_cycles - there,
            io.server.disk_cycles, network.packet_cycles, network.hop_cycles, network.link_packets,
            io.proxy_cores, io.server.metadata_servers, io.server.data_servers, io.threads,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Places:
    """Where processes are.

    Attributes
    ----------
    node
        Compute node of each process, int64, shape (processes,).
    pset
        Pset of each process, int64, shape (processes,).
    hops
        Hops to the I/O node, of each process, int64, shape (processes,).
    """

    node: Ints
    pset: Ints
    hops: Ints


@dataclass(frozen=True, slots=True)
class IoTimes:
    """What came of it, in core cycles.

    Attributes
    ----------
    finished
        When each process was done, int64, shape (processes,).
    layers
        Time of each process by layer; a row adds up to `finished`; int64, shape (processes, 5).
    calls
        Calls of all processes.
    latency_sum, latency_min, latency_max
        Over these calls.
    histogram
        Calls by latency: bin b holds those of 2**(b/32) to 2**((b+1)/32) cycles, int64; empty in the
        reference.
    """

    finished: Ints
    layers: Ints
    calls: int
    latency_sum: int
    latency_min: int
    latency_max: int
    histogram: Ints

    def percentile(self, share: float) -> float:
        """Latency that this share of the calls does not exceed, within 1.1 %."""
        total = np.cumsum(self.histogram)
        number = int(np.searchsorted(total, share * total[-1]))
        middle = float(2 ** ((number + 0.5) / BINS_PER_OCTAVE))
        return float(min(max(middle, self.latency_min), self.latency_max))


BINS_PER_OCTAVE = 32
BINS = 64 * BINS_PER_OCTAVE

"""The message graph of the traffic workload: what the operations of all nodes put on the torus, and when.

A node's core posts its operations back to back, in order, and only then turns to what has arrived meanwhile,
in order of arrival. The steps of an operation, with what a core does in brackets:

===========  ========================================================================================
put          [post], data; local completion when the data has left the DMA engine, remote completion
             when a byte has come back from behind the data; [complete]
get          [post], request; the target's DMA engine serves it; data; [complete]
send, eager  [post], data through memory FIFOs; [receive] at the target, [complete] at the origin when
             the data has left
send, by     [post], announcement; [receive] at the target, request; the origin's DMA engine serves it;
rendezvous   data; [complete] at the target, acknowledgement; [complete] at the origin
===========  ========================================================================================

A put's packets, and what follows them on their way, are routed deterministically; all others are adaptive:
the measured eager messages are faster than the deterministic channel could carry them. Data goes into the DMA
FIFO of its first direction, whether a core or a remote get posts it, so that transfers in several directions
do not wait for each other; the small packets of the protocols have a FIFO of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from bgsim.network.topology import Closed, Shape
from bgsim.network.traffic import (
    FIFO_REQUESTS,
    FULL_CHUNKS,
    NEVER,
    REQUEST_CHUNKS,
    Gates,
    Ints,
    Messages,
    first_fifo,
)
from bgsim.workloads.traffic_costs import OperationCosts

Kind = Literal["put", "put-remote", "get", "eager", "rendezvous"]

CONTROL_PACKETS: Mapping[Kind, tuple[bool, int, int]] = {
    "put": (False, 0, 0),
    "put-remote": (False, 1, 1),
    "get": (True, 1, 0),
    "eager": (False, 0, 0),
    "rendezvous": (False, 1, 2),
}
"""By kind: whether the data comes from the partner, small packets to the partner, and those from it."""


@dataclass(frozen=True, slots=True)
class Operations:
    """The operations of a run, or of a part of it.

    Attributes
    ----------
    kind
        What they are.
    origin, partner
        Node numbers, shape (operations,); those of one origin are contiguous, in order of posting.
    packets
        Packets of data of each.
    """

    kind: Kind
    origin: Ints
    partner: Ints
    packets: int


@dataclass(frozen=True, slots=True)
class Graph:
    """Messages and gates of operations.

    Attributes
    ----------
    messages, gates
        For an engine.
    completes
        Gates that an origin waits for, and the node that does, shapes (n,).
    complete_gates
        See ``completes``.
    data
        Where the messages with the data are, one for each operation.
    """

    messages: Messages
    gates: Gates
    complete_gates: Ints
    completes: Ints
    data: slice


def kind_of(operation: str, completion: str, size_bytes: int, eager_limit_bytes: int) -> Kind:
    """Which protocol an operation uses."""
    if operation == "put":
        return "put-remote" if completion == "remote" else "put"
    if operation == "get":
        return "get"
    return "eager" if size_bytes <= eager_limit_bytes else "rendezvous"


@dataclass(slots=True)
class _Builder:
    """Columns of messages and gates, a block of one per operation at a time."""

    operations: Operations
    shape: Shape
    torus: Closed
    messages: list[dict[str, Any]] = field(default_factory=list)
    gates: list[dict[str, Any]] = field(default_factory=list)

    def gate(self, needs: int, core: Ints | int, work_cycles: float, start_cycles: Ints | int = 0) -> Ints:
        """Add a gate for each operation; return their numbers."""
        count = len(self.operations.origin)
        first = count * len(self.gates)
        self.gates.append(
            {"needs": needs, "core": core, "work_cycles": round(work_cycles), "start_cycles": start_cycles}
        )
        return np.arange(first, first + count)

    def message(
        self,
        gate: Ints,
        back: bool,
        packets: int,
        last_chunks: int,
        *,
        then: Ints | int = NEVER,
        sent_then: Ints | int = NEVER,
        dynamic: int = 1,
        control: bool = False,
    ) -> None:
        """Add a message for each operation, from its origin to its partner or back."""
        ends = self.operations.origin, self.operations.partner
        source, destination = ends[::-1] if back else ends
        fifo: Ints | int = FIFO_REQUESTS
        if not control:
            fifo = first_fifo(source, destination, self.shape, self.torus)
        self.messages.append(
            {
                "source": source,
                "destination": destination,
                "packets": packets,
                "last_chunks": last_chunks,
                "dynamic": dynamic,
                "fifo": fifo,
                "gate": gate,
                "then": then,
                "sent_then": sent_then,
            }
        )

    def graph(self, complete_gates: list[Ints], completes: list[Ints], data: int) -> Graph:
        count = len(self.operations.origin)

        def joined(blocks: list[dict[str, Any]], name: str) -> Ints:
            return np.concatenate([np.broadcast_to(np.asarray(b[name], np.int64), (count,)) for b in blocks])

        columns = {name: joined(self.messages, name) for name in self.messages[0]}
        messages = Messages.make(
            columns.pop("source"), columns.pop("destination"), columns.pop("packets"), **columns
        )
        columns = {name: joined(self.gates, name) for name in self.gates[0]}
        gates = Gates.make(columns.pop("needs"), **columns)
        where = slice(data * count, (data + 1) * count)
        return Graph(messages, gates, np.concatenate(complete_gates), np.concatenate(completes), where)


def build(
    operations: Operations,
    begin_cycles: Ints,
    costs: OperationCosts,
    shape: Shape,
    torus: Closed,
) -> Graph:
    """Make the message graph of operations.

    Parameters
    ----------
    operations
        What is done.
    begin_cycles
        When each node starts to post, by node number.
    costs
        Core time of each step.
    shape, torus
        The partition.

    Returns
    -------
    Graph
        Cores have the numbers of their nodes.
    """
    build = _Builder(operations, shape, torus)
    origin, partner, packets = operations.origin, operations.partner, operations.packets
    begin = begin_cycles[origin]
    small, request = 1, REQUEST_CHUNKS

    def post(work_cycles: float) -> Ints:
        return build.gate(0, origin, work_cycles, begin)

    def served() -> Ints:
        return build.gate(1, NEVER, costs.serve_cycles)

    if operations.kind in ("put", "put-remote"):
        posted, complete = post(costs.put.post_cycles), build.gate(1, origin, costs.put.complete_cycles)
        if operations.kind == "put":
            build.message(posted, False, packets, FULL_CHUNKS, sent_then=complete, dynamic=0)
        else:
            behind = served()
            build.message(posted, False, packets, FULL_CHUNKS, dynamic=0)
            build.message(posted, False, small, request, then=behind, dynamic=0)
            build.message(behind, True, small, request, then=complete, dynamic=0, control=True)
        return build.graph([complete], [origin], data=0)
    if operations.kind == "get":
        posted, complete = post(costs.get.post_cycles), build.gate(1, origin, costs.get.complete_cycles)
        ready = served()
        build.message(posted, False, small, request, then=ready, control=True)
        build.message(ready, True, packets, FULL_CHUNKS, then=complete)
        return build.graph([complete], [origin], data=1)
    if operations.kind == "eager":
        eager = costs.eager
        posted = post(eager.send_cycles + packets * eager.send_packet_cycles)
        receive = build.gate(1, partner, eager.receive_cycles + packets * eager.receive_packet_cycles)
        complete = build.gate(1, origin, costs.put.complete_cycles)
        build.message(posted, False, packets, FULL_CHUNKS, then=receive, sent_then=complete)
        return build.graph([receive, complete], [partner, origin], data=0)
    posted = post(costs.rendezvous.send_cycles)
    receive = build.gate(1, partner, costs.rendezvous.receive_cycles)
    ready = served()
    arrived = build.gate(1, partner, costs.rendezvous.complete_cycles)
    complete = build.gate(1, origin, costs.rendezvous.complete_cycles)
    build.message(posted, False, small, request, then=receive, control=True)
    build.message(receive, True, small, request, then=ready, control=True)
    build.message(ready, False, packets, FULL_CHUNKS, then=arrived)
    build.message(arrived, True, small, request, then=complete, control=True)
    return build.graph([arrived, complete], [partner, origin], data=2)

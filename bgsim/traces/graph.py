"""From a message trace to a message graph: what every operation posts, waits for and costs its core.

The protocols are those of :mod:`bgsim.machine.program`, by the length of each message: *local* inside a node,
*eager* up to ``mpi.eager_limit``, *rendezvous* above. Who does what when:

* A computation, a sleep and a send take the core in their turn.
* A blocking receive takes the core in its turn, once its message has arrived. What has arrived for a
  non-blocking receive is handled when the core is free next, between two operations as well; the library of
  :mod:`bgsim.machine.halo_exchange` handles it only while its program waits.
* A rendezvous is answered by the receiver's core once the request has arrived *and* the receive has been
  posted; the sender's operation is complete when its data has left.
* A wait, which takes no time of its own, is done when the core is free and what it waits for is complete.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bgsim.machine.columns import Columns
from bgsim.machine.cost_model import needed
from bgsim.machine.program import Program as Steps
from bgsim.network.traffic import (
    FIFO_REQUESTS,
    FULL_CHUNKS,
    NEVER,
    PAYLOAD_BYTES,
    REQUEST_CHUNKS,
    Gates,
    Ints,
    Messages,
)
from bgsim.traces.collectives import COLLECT, ENTER, LEAVE, MARK, PUT, WrittenOut
from bgsim.traces.matching import Matches
from bgsim.traces.program import PICOSECONDS, Kind, is_started
from bgsim.traces.tables import gate_table, message_table
from bgsim.traces.tree_gates import add_tree_call
from bgsim.traces.trees import Trees

COMPUTE, SEND, RECEIVE, WAIT, SLEEP = range(5)
"""What a rank's core time goes to."""


@dataclass(frozen=True, slots=True)
class Graph:
    """A message graph, and which parts of the trace it stands for.

    Attributes
    ----------
    messages, gates
        For a network.
    entry, done
        Gates at whose opening each operation has been posted or begun, and is complete, shape (n,).
    purpose
        What each gate's core time is for: :data:`COMPUTE`, :data:`SEND`, :data:`RECEIVE`, :data:`WAIT` or
        :data:`SLEEP`.
    rank
        Rank whose core does a gate, or -1, shape (g,).
    post, arrival
        Of each message of the program: the gate that posts it, and the graph's message that brings its data,
        shape (m,).
    size
        Bytes of each message of the program.
    """

    messages: Messages
    gates: Gates
    entry: Ints
    done: Ints
    purpose: NDArray[np.int8]
    rank: NDArray[np.int32]
    post: Ints
    arrival: Ints
    size: Ints


def build(
    written: WrittenOut,
    matches: Matches,
    steps: Steps,
    frequency_hz: int,
    *,
    barrier_cycles: int = 0,
    compute_scale: float = 1.0,
    trees: Trees | None = None,
) -> Graph:
    """Make the message graph of a program.

    Parameters
    ----------
    written
        The program without collective calls.
    matches
        Its messages.
    steps
        Knows placement, costs and settings.
    frequency_hz
        Of a core.
    barrier_cycles
        From the last arrival at the barrier network to the release.
    compute_scale
        Multiplies all computation.
    trees
        The collective and barrier networks; needed if calls go over them.
    """
    return _Builder(written, matches, steps, frequency_hz, barrier_cycles, compute_scale).build(trees)


class _Builder:
    def __init__(
        self,
        written: WrittenOut,
        matches: Matches,
        steps: Steps,
        frequency_hz: int,
        barrier_cycles: int,
        compute_scale: float,
    ) -> None:
        self.program, self.extra, self.matches = written.program, written.extra_cycles, matches
        self.tree_calls = written.trees
        self.steps, self.costs, self.settings = steps, steps.costs, steps.settings
        self.frequency_hz, self.barrier_cycles = frequency_hz, barrier_cycles
        self.scale = compute_scale
        self.rank = self.program.rank.astype(np.int64)
        self.kind = self.program.kind.astype(np.int64)
        self.core = self._cores()
        self.gates = Columns({"core": NEVER, "work": 0, "purpose": WAIT, "rank": NEVER})
        self.messages = Columns(
            {
                "source": 0,
                "destination": 0,
                "packets": 1,
                "last": FULL_CHUNKS,
                "dynamic": 0,
                "fifo": NEVER,
                "gate": NEVER,
                "then": NEVER,
                "sent_then": NEVER,
            }
        )
        self.edges: list[tuple[Ints, Ints]] = []
        self.random = steps.random

    def _cores(self) -> Ints:
        """Core of each operation, among all of the partition."""
        placement, own = self.steps.placement, self.program.core.astype(np.int64)
        if not own.any():
            return np.asarray(placement.core[self.rank], np.int64)
        per_rank = self.settings.cores // placement.per_node
        slot = placement.core[self.rank] % placement.per_node
        return placement.node[self.rank] * self.settings.cores + slot * per_rank + own

    # ---- tables

    def gate(self, operations: Ints, work: NDArray[np.float64] | float, purpose: int) -> Ints:
        """Add gates that operations' cores do."""
        return self.gates.add(
            len(operations),
            core=self.core[operations],
            work=np.rint(work).astype(np.int64),
            purpose=purpose,
            rank=self.rank[operations],
        )

    def edge(self, earlier: Ints, later: Ints) -> None:
        """Have gates count others as they open."""
        self.edges.append((earlier, later))

    def noticed(self, gates: Ints, more_cycles: float | NDArray[np.float64] = 0.0) -> Ints:
        """What an arrival counts so that software notices it, and does what it does once for all it finds."""
        histogram = self.costs.delivery
        waits = histogram.mean_cycles > 0
        if not len(gates) or not (waits or np.any(more_cycles)):
            return gates
        drawn = np.zeros(len(gates))
        if waits:
            weights = np.array(histogram.weights)
            values = np.array(histogram.values_cycles)
            drawn = self.random.choice(values, len(gates), p=weights / weights.sum())
        delays = self.gates.add(len(gates), work=np.rint(drawn + more_cycles).astype(np.int64))
        self.edge(delays, gates)
        return delays

    def post(
        self,
        source: Ints,
        destination: Ints,
        gate: Ints,
        then: Ints,
        size: Ints | None = None,
        dynamic: bool = False,
    ) -> Ints:
        """Add messages between ranks; one without a size is a short request."""
        node = self.steps.placement.node
        return self.messages.add(
            len(source),
            source=node[source],
            destination=node[destination],
            packets=1 if size is None else packets(size),
            last=REQUEST_CHUNKS if size is None else FULL_CHUNKS,
            dynamic=int(dynamic),
            fifo=FIFO_REQUESTS if size is None else NEVER,
            gate=gate,
            then=then,
        )

    # ---- operations

    def build(self, trees: Trees | None) -> Graph:
        program, kind = self.program, self.kind
        everything = np.arange(program.size)
        entry = self.gates.add(program.size)  # gate i is where operation i begins
        done = entry.copy()
        self._plain(everything, kind)
        send, receive, size = self.matches.send, self.matches.receive, self.matches.size
        node = self.steps.placement.node
        local = node[self.rank[send]] == node[self.rank[receive]]
        eager = size <= self.settings.eager_limit
        arrival = np.full(len(send), NEVER)
        direct = local | eager
        arrival[direct] = self._direct(send[direct], receive[direct], size[direct], local[direct], done)
        far = ~direct
        arrival[far] = self._rendezvous(send[far], receive[far], size[far], done)
        post, size_all, arrivals = send, size, arrival
        puts = np.flatnonzero(kind == PUT)
        if puts.size:
            put_arrivals = self._puts(puts)
            post = np.concatenate([send, puts])
            size_all = np.concatenate([size, program.amount[puts]])
            arrivals = np.concatenate([arrival, put_arrivals])
        self._barriers()
        if trees is not None:
            for turn, call in enumerate(self.tree_calls, start=1):
                add_tree_call(self, call, trees.times(call, turn), trees.members, done)
        self._order(entry, done)
        return self._graph(entry, done, post, arrivals, size_all)

    def _plain(self, everything: Ints, kind: Ints) -> None:
        """Costs of what does not depend on the other end."""
        amount = self.program.amount
        compute = everything[(kind == Kind.COMPUTE) | (kind == Kind.COMPUTE_CYCLES)]
        cycles = amount[compute] * np.where(
            kind[compute] == Kind.COMPUTE, self.frequency_hz / PICOSECONDS, 1.0
        )
        self.cost(compute, cycles * self.scale, COMPUTE)
        sleeps = everything[kind == Kind.SLEEP]
        self.cost(sleeps, amount[sleeps] * (self.frequency_hz / PICOSECONDS), SLEEP)
        self.cost(everything[kind == Kind.WAIT], 0.0, WAIT)
        copies = everything[(kind == MARK) & (self.extra > 0)]
        self.cost(copies, self.extra[copies], SEND)
        puts, collects = everything[kind == PUT], everything[kind == COLLECT]
        if len(puts) or len(collects):
            put = needed(self.costs.put, "puts")
            self.cost(puts, put.post_cycles, SEND)
            self.cost(collects, put.complete_cycles, RECEIVE)
        enters, leaves = everything[kind == ENTER], everything[kind == LEAVE]
        if len(enters) or len(leaves):
            barrier = needed(self.costs.barrier, "barrier network")
            self.cost(enters, barrier.enter_cycles, SEND)
            self.cost(leaves, barrier.leave_cycles, RECEIVE)

    def cost(self, operations: Ints, work: NDArray[np.float64] | float, purpose: int) -> None:
        """Have operations take their core when they begin."""
        self.gates["core"][operations] = self.core[operations]
        self.gates["work"][operations] = np.rint(work).astype(np.int64)
        self.gates["purpose"][operations] = purpose
        self.gates["rank"][operations] = self.rank[operations]

    def _direct(self, send: Ints, receive: Ints, size: Ints, local: NDArray[np.bool_], done: Ints) -> Ints:
        """Messages without a handshake: inside a node, or eager."""
        near, far, count = self.costs.local, self.costs.eager, packets(size)
        copy = near.byte_cycles * size
        taken = np.where(
            local, near.receive_cycles + copy, far.receive_cycles + count * far.receive_packet_cycles
        )
        sent = np.where(local, near.send_cycles + copy, far.send_cycles + count * far.send_packet_cycles)
        self.cost(send, sent, SEND)
        taken = taken + self.extra[receive]
        blocking = self.kind[receive] == Kind.RECEIVE
        self.cost(receive[blocking], taken[blocking], RECEIVE)
        handled = receive.copy()
        handled[~blocking] = self.gate(receive[~blocking], taken[~blocking], RECEIVE)
        done[receive] = handled
        posted = receive[~blocking]
        named = np.isin(posted, self._named_by_others())
        if named.any():  # complete means handled and posted; a wait comes after the posting anyway
            both = self.gates.add(int(named.sum()))
            self.edge(handled[~blocking][named], both)
            self.edge(posted[named], both)
            done[posted[named]] = both
        batch = np.where(local, 0.0, far.batch_cycles)
        return self.post(self.rank[send], self.rank[receive], send, self.noticed(handled, batch), size)

    def _named_by_others(self) -> Ints:
        """Operations whose completion something else than a wait depends on."""
        links = self.program.links
        return np.asarray(links.earlier[~links.started & (self.kind[links.later] != Kind.WAIT)], np.int64)

    def _rendezvous(self, send: Ints, receive: Ints, size: Ints, done: Ints) -> Ints:
        """Announcement, remote get, data."""
        costs = needed(self.costs.rendezvous, "rendezvous")
        source, destination = self.rank[send], self.rank[receive]
        self.cost(send, costs.send_cycles, SEND)
        blocking = self.kind[receive] == Kind.RECEIVE
        batch = self.costs.eager.batch_cycles
        answer = max(0.0, costs.receive_cycles - batch)
        self.cost(receive[blocking], answer, RECEIVE)
        fetched = receive.copy()
        fetched[~blocking] = self.gate(receive[~blocking], answer, RECEIVE)
        self.edge(receive[~blocking], fetched[~blocking])
        taken = self.gate(receive, costs.complete_cycles + self.extra[receive], RECEIVE)
        self.post(source, destination, send, self.noticed(fetched, batch))
        served = self.gates.add(len(send), work=self.settings.serve_cycles)
        self.post(destination, source, fetched, served, dynamic=True)
        data = self.post(source, destination, served, self.noticed(taken), size, dynamic=True)
        left = self.gate(send, costs.complete_cycles, SEND)
        self.messages["sent_then"][data] = self.noticed(left)
        done[send], done[receive] = left, taken
        return data

    def _puts(self, puts: Ints) -> Ints:
        """Puts of alltoalls, which the receivers wait for together."""
        collects = np.flatnonzero(self.kind == COLLECT)
        calls = int(self.program.tag[collects].max()) + 1
        of_call = np.full(self.program.ranks * calls, NEVER)
        of_call[self.rank[collects] * calls + self.program.tag[collects]] = collects
        heard = self.noticed(collects)
        heard_by = np.full(self.program.size, NEVER)
        heard_by[collects] = heard
        target = self.program.peer[puts].astype(np.int64)
        then = heard_by[of_call[target * calls + self.program.tag[puts]]]
        return self.post(self.rank[puts], target, puts, then, self.program.amount[puts], dynamic=True)

    def _barriers(self) -> None:
        """The barrier network: everyone is released some time after the last one has arrived."""
        enters, leaves = np.flatnonzero(self.kind == ENTER), np.flatnonzero(self.kind == LEAVE)
        if not enters.size:
            return
        call_enter, call_leave = self.program.tag[enters], self.program.tag[leaves]
        known, place = np.unique(call_enter, return_inverse=True)
        released = self.gates.add(len(known), work=self.barrier_cycles)
        self.edge(enters, released[place])
        self.edge(released[np.searchsorted(known, call_leave)], leaves)

    def _order(self, entry: Ints, done: Ints) -> None:
        """What follows what inside ranks."""
        program, links = self.program, self.program.links
        begin = self._beginnings(entry)
        follows = np.flatnonzero(program.chained)
        follows = follows[follows > program.first[self.rank[follows]]]
        before = follows - 1
        hands_on = np.where(is_started(program.kind[before]), entry[before], done[before])
        self.edge(hands_on, begin[follows])
        starts = links.started
        # What a wait is linked to is what it waits for once it has begun.
        held = np.where(self.kind[links.later] == Kind.WAIT, entry[links.later], begin[links.later])
        self.edge(done[links.earlier[~starts]], held[~starts])
        self.edge(begin[links.earlier[starts]], held[starts])

    def _beginnings(self, entry: Ints) -> Ints:
        """Gates that open when each operation begins.

        They are its own, but where another operation waits for the start of one that then waits itself: of a
        computation or a sleep, which wait for their core, and of a blocking receive and a wait. A send has
        begun when it has been posted, since its core is taken until then.
        """
        links = self.program.links
        named = np.unique(links.earlier[links.started])
        held = (Kind.COMPUTE, Kind.COMPUTE_CYCLES, Kind.SLEEP, Kind.RECEIVE, Kind.WAIT)
        named = named[np.isin(self.kind[named], held)]
        begin = entry.copy()
        begin[named] = self.gates.add(len(named))
        self.edge(begin[named], entry[named])
        return begin

    # ---- the graph

    def _graph(self, entry: Ints, done: Ints, post: Ints, arrival: Ints, size: Ints) -> Graph:
        gates = self.gates
        messages = message_table(self.messages, self.steps.placement)
        table = gate_table(gates, self.edges, messages)
        return Graph(
            messages=messages,
            gates=table,
            entry=entry,
            done=done,
            purpose=gates["purpose"].astype(np.int8),
            rank=gates["rank"].astype(np.int32),
            post=post,
            arrival=arrival,
            size=size,
        )


def packets(size: Ints) -> Ints:
    """Packets of messages; one of no bytes has one."""
    return np.maximum(1, -(-size // PAYLOAD_BYTES))

"""The programs of all ranks as one message graph: what each does in which order, and what it costs.

A rank's program is a chain of *steps*, each a gate of its core. A step that sends posts a message; a step
that receives also waits for one. The protocols are those of the DCMF messaging layer:

* *put*: one descriptor; the target's core takes no part.
* *eager*, up to ``mpi.eager_limit``: packets through the memory FIFOs, written and read by cores.
* *rendezvous*, above: a request to send, which the receiver answers with a remote get, which the sender's DMA
  engine serves; either side completes the message when its counter is zero.
* where a guest's programs have sockets, every message is eager: it goes through a stream in segments. Freeing
  a segment's buffer once it has left, and taking an acknowledgement, are the sender's work when it has time.
* *local*: between two ranks of a node, copied by the DMA engine.

An arrival is noticed after a wait drawn from the cost model's ``delivery`` histogram. Data of rendezvous
messages is routed adaptively, everything else in dimension order. Each direction of the torus has an
injection FIFO of its own, local copies and requests have one each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bgsim.datasheet import Datasheet
from bgsim.machine import limits
from bgsim.machine.acknowledgements import Acknowledgements
from bgsim.machine.columns import Columns
from bgsim.machine.cost_model import CostModel, needed
from bgsim.network.topology import Closed, Shape
from bgsim.network.traffic import (
    FIFO_REQUESTS,
    FULL_CHUNKS,
    NEVER,
    PAYLOAD_BYTES,
    REQUEST_CHUNKS,
    Gates,
    Ints,
    Messages,
    first_fifo,
)

Costs: TypeAlias = NDArray[np.float64]


class TooManyMessagesError(ValueError):
    """An algorithm makes more messages than a message graph can hold."""


@dataclass(frozen=True)
class Placement:
    """Where the ranks of a job run.

    Attributes
    ----------
    shape, torus
        The partition.
    node
        Node of each rank, shape (ranks,).
    core
        Number of each rank's core among all, node by node, shape (ranks,).
    per_node
        Ranks on each node.
    """

    shape: Shape
    torus: Closed
    node: Ints
    core: Ints
    per_node: int

    @property
    def ranks(self) -> int:
        """Number of ranks."""
        return len(self.node)


@dataclass(frozen=True)
class Settings:
    """What the programs need to know of the machine, besides the cost model.

    Attributes
    ----------
    eager_limit
        Longest eager message in bytes.
    segment
        Bytes of a piece of a pipelined message.
    combine_cycles
        Core time per byte of a reduction.
    serve_cycles
        From a remote get's arrival to the first packet of its data.
    cores
        Cores of a node.
    """

    eager_limit: int
    segment: int
    combine_cycles: float
    serve_cycles: int
    cores: int

    @classmethod
    def from_datasheet(cls, datasheet: Datasheet) -> Settings:
        """Read a machine's."""
        return cls(
            eager_limit=int(datasheet.quantity("mpi.eager_limit").value),
            segment=int(datasheet.quantity("mpi.pipeline_segment").value),
            combine_cycles=float(datasheet.number("mpi.combine_cycles_per_byte")),
            serve_cycles=2 * datasheet.cycles("cache.l3_latency") + datasheet.cycles("memory.latency"),
            cores=datasheet.integer("node.cores"),
        )


class Program:
    """All ranks' programs under construction.

    Parameters
    ----------
    placement
        Where the ranks run.
    costs
        What a node's software costs.
    settings
        What else matters.
    start_cycles
        When each rank begins, shape (ranks,).
    seed
        Delivery waits follow from it.
    """

    def __init__(
        self,
        placement: Placement,
        costs: CostModel,
        settings: Settings,
        start_cycles: Ints,
        seed: int,
    ) -> None:
        self.placement, self.costs, self.settings = placement, costs, settings
        self.random = np.random.Generator(np.random.PCG64(seed))
        self._gates = Columns({"start": 0, "core": NEVER, "work": 0, "then": NEVER, "keeps": 0})
        self._messages = Columns(
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
                "rides": NEVER,
            }
        )
        self._last = np.full(placement.ranks, NEVER, np.int64)
        self._start = start_cycles
        self._waits = costs.delivery.mean_cycles > 0
        stream = costs.connection
        self._acknowledgements = (
            None
            if stream is None
            else Acknowledgements(placement.ranks, int(stream.segments_per_acknowledgement))
        )

    @property
    def last(self) -> Ints:
        """Each rank's last step so far, a gate number; shape (ranks,)."""
        return self._last.copy()

    @property
    def messages(self) -> int:
        """Messages so far."""
        return self._messages.size

    @property
    def gates(self) -> int:
        """Gates so far."""
        return self._gates.size

    # ---- steps

    def step(
        self, ranks: Ints, work_cycles: float | NDArray[np.float64] = 0.0, *, at_once: bool = False
    ) -> Ints:
        """Append a step to the programs of some ranks, each named once; return the steps.

        One that comes `at_once` waits for its rank's step before and nothing else, and its core does nothing
        between the two.
        """
        before = self._last[ranks]
        fresh = before == NEVER
        gates = self._gates.add(
            len(ranks),
            core=self.placement.core[ranks],
            work=np.rint(work_cycles).astype(np.int64),
            start=np.where(fresh, self._start[ranks], 0),
        )
        self._gates["then"][before[~fresh]] = gates[~fresh]
        self._gates["keeps"][before[~fresh]] = at_once
        self._last[ranks] = gates
        return gates

    def aside(self, ranks: Ints, work_cycles: float | NDArray[np.float64]) -> Ints:
        """Work that a rank's core does when it can, whatever its program waits for."""
        return self._gates.add(
            len(ranks), core=self.placement.core[ranks], work=np.rint(work_cycles).astype(np.int64)
        )

    def then(self, gates: Ints, following: Ints) -> None:
        """Have gates, which nothing follows yet, count others as they open."""
        assert (self._gates["then"][gates] == NEVER).all(), "a gate counts one other"
        self._gates["then"][gates] = following

    # ---- messages

    def noticed(self, gates: Ints, more_cycles: float | NDArray[np.float64] = 0.0) -> Ints:
        """What an arrival counts so that software notices it and does the gates' work.

        Parameters
        ----------
        gates
            The work.
        more_cycles
            How much longer than the drawn wait it takes, for each gate or all.
        """
        if not len(gates) or not (self._waits or np.any(more_cycles)):
            return gates
        drawn = np.zeros(len(gates))
        if self._waits:
            histogram = self.costs.delivery
            weights = np.array(histogram.weights)
            values = np.array(histogram.values_cycles)
            drawn = self.random.choice(values, len(gates), p=weights / weights.sum())
        return self._gates.add(len(gates), work=np.rint(drawn + more_cycles).astype(np.int64), then=gates)

    def post(
        self,
        source: Ints,
        destination: Ints,
        size_bytes: int,
        gate: Ints,
        arrived: Ints | int = NEVER,
        *,
        dynamic: bool = False,
        request: bool = False,
        rides: Ints | int = NEVER,
    ) -> Ints:
        """Messages that gates post; `arrived` are the gates that count their arrival.

        Parameters
        ----------
        source, destination
            Ranks.
        size_bytes
            Of each message; ignored for a `request`, a single short packet.
        gate
            Gates that post them; those of riders are ignored.
        rides
            Messages that these ride on.

        Raises
        ------
        TooManyMessagesError
            If the graph grows beyond what its tables can hold.
        """
        if self._messages.size + len(source) > limits.MESSAGES_MAX:
            raise TooManyMessagesError(
                f"more than {limits.MESSAGES_MAX:,} messages; use fewer ranks, smaller messages or another "
                "algorithm"
            )
        packets = 1 if request else max(1, -(-size_bytes // PAYLOAD_BYTES))
        riding = np.broadcast_to(np.asarray(rides), source.shape)
        return self._messages.add(
            len(source),
            source=self.placement.node[source],
            destination=self.placement.node[destination],
            packets=packets,
            last=REQUEST_CHUNKS if request else FULL_CHUNKS,
            dynamic=int(dynamic),
            fifo=FIFO_REQUESTS if request else NEVER,
            gate=np.where(riding >= 0, NEVER, gate),
            then=arrived,
            rides=riding,
        )

    def on_departure(self, messages: Ints, gates: Ints) -> None:
        """Have gates wait until messages have left their nodes."""
        self._messages["sent_then"][messages] = gates

    def on_arrival(self, messages: Ints, gates: Ints) -> None:
        """Have gates wait until messages have arrived."""
        self._messages["then"][messages] = gates

    def transfer(self, source: Ints, destination: Ints, size_bytes: int, receive_cycles: float = 0.0) -> None:
        """Blocking messages from ranks to ranks, each at most once a source and once a destination.

        Ranks that do both send first. `receive_cycles` is further work of a receiver, such as combining.
        """
        same = self.placement.node[source] == self.placement.node[destination]
        if self.costs.rendezvous is None or size_bytes <= self.settings.eager_limit:
            send, receive = self._eager(same, size_bytes)
            posted = self.step(source, send)
            acknowledged, more = self.acknowledged(source, destination, size_bytes, ~same)
            taken = self.step(destination, receive + receive_cycles + more)
            batch = np.where(same, 0.0, self.costs.eager.batch_cycles)
            sent = self.post(source, destination, size_bytes, posted, self.noticed(taken, batch))
            self.settle(source, destination, size_bytes, sent, taken, acknowledged, ~same)
            return
        costs, local, far = self.costs.rendezvous, self.costs.local, ~same
        copy = local.byte_cycles * size_bytes
        announced = self.step(source, np.where(same, local.send_cycles + copy, costs.send_cycles))
        fetched = self.step(destination[far], np.full(int(far.sum()), self.answer_cycles))
        complete = np.where(same, local.receive_cycles + copy, costs.complete_cycles) + receive_cycles
        both = far & np.isin(destination, source[far])
        taken = np.empty(len(destination), np.int64)
        taken[~both] = self.step(destination[~both], complete[~both])
        taken[both] = self.aside(destination[both], complete[both])
        self.post(source[same], destination[same], size_bytes, announced[same], self.noticed(taken[same]))
        data = self.fetch(source[far], destination[far], size_bytes, announced[far], fetched, taken[far])
        # A rank that both sends and receives completes whichever is ready first, and goes on after both.
        sends_only = ~np.isin(source, destination[both])
        left = np.empty(len(source), np.int64)
        left[far & sends_only] = self.step(source[far & sends_only], costs.complete_cycles)
        left[far & ~sends_only] = self.aside(source[far & ~sends_only], costs.complete_cycles)
        self.on_departure(data, self.noticed(left[far]))
        waits = self.step(destination[both])
        self.then(taken[both], waits)
        by_rank = np.argsort(destination[both])
        place = np.searchsorted(destination[both], source[far & ~sends_only], sorter=by_rank)
        self.then(left[far & ~sends_only], waits[by_rank[place]])

    @property
    def answer_cycles(self) -> float:
        """A receiver's core time for a request to send, without what it does once for all packets found."""
        rendezvous = needed(self.costs.rendezvous, "rendezvous")
        return max(0.0, rendezvous.receive_cycles - self.costs.eager.batch_cycles)

    def fetch(
        self, source: Ints, destination: Ints, size_bytes: int, announced: Ints, fetched: Ints, taken: Ints
    ) -> Ints:
        """A rendezvous between its steps: announcement, remote get, data; return the data's messages."""
        batch = self.costs.eager.batch_cycles
        self.post(source, destination, 0, announced, self.noticed(fetched, batch), request=True)
        served = self._gates.add(len(source), work=self.settings.serve_cycles)
        self.post(destination, source, 0, fetched, served, request=True, dynamic=True)
        return self.post(source, destination, size_bytes, served, self.noticed(taken), dynamic=True)

    def _eager(
        self, same: NDArray[np.bool_], size_bytes: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        local = self.costs.local
        copy = local.byte_cycles * size_bytes
        send, receive = self.eager_cycles(size_bytes)
        return (
            np.where(same, local.send_cycles + copy, send),
            np.where(same, local.receive_cycles + copy, receive),
        )

    def eager_cycles(self, size_bytes: int) -> tuple[float, float]:
        """Core time of an eager message at its sender, before it leaves the node, and at its receiver."""
        packets, far, stream = (
            max(1, -(-size_bytes // PAYLOAD_BYTES)),
            self.costs.eager,
            self.costs.connection,
        )
        send = far.send_cycles + packets * far.send_packet_cycles
        receive = far.receive_cycles + packets * far.receive_packet_cycles
        if stream is not None:
            further = stream.segments(size_bytes) - 1
            send += further * stream.segment_send_cycles
            receive += further * stream.segment_receive_cycles
        return send, receive

    def acknowledged(
        self, source: Ints, destination: Ints, size_bytes: int, far: NDArray[np.bool_]
    ) -> tuple[Ints, NDArray[np.float64]]:
        """Acknowledgements that messages through streams cause, and what they cost the receivers."""
        stream = self.costs.connection
        count: Ints = np.zeros(len(source), np.int64)
        if stream is None or self._acknowledgements is None:
            return count, np.zeros(len(source))
        segments = stream.segments(size_bytes)
        count[far] = self._acknowledgements.due(source[far], destination[far], segments)
        return count, np.multiply(count, stream.acknowledge_cycles, dtype=np.float64)

    def settle(
        self,
        source: Ints,
        destination: Ints,
        size_bytes: int,
        sent: Ints,
        taken: Ints,
        acknowledged: Ints,
        far: NDArray[np.bool_],
    ) -> None:
        """What is left to the senders of messages through streams when these have left; see `acknowledged`.

        Parameters
        ----------
        source, destination, size_bytes, sent
            The messages.
        taken
            Gates of the receivers' work.
        far
            Which of them go to another node.
        """
        stream = self.costs.connection
        if stream is None:
            return
        freed = self.aside(source[far], stream.segments(size_bytes) * stream.settle_cycles)
        self.on_departure(sent[far], self.noticed(freed))
        owed = acknowledged > 0
        cycles = np.multiply(acknowledged[owed], stream.acknowledged_cycles, dtype=np.float64)
        took = self.aside(source[owed], cycles)
        self.post(destination[owed], source[owed], 0, taken[owed], self.noticed(took), request=True)

    # ---- the graph

    def graph(self) -> tuple[Messages, Gates, Ints | None]:
        """The message graph, and on which message each rides, if any does."""
        columns = self._messages
        rides, fifo = columns["rides"], columns["fifo"]
        source, destination = columns["source"], columns["destination"]
        towards = first_fifo(source, destination, self.placement.shape, self.placement.torus)
        messages = Messages.make(
            source,
            destination,
            columns["packets"],
            last_chunks=columns["last"],
            dynamic=columns["dynamic"],
            fifo=np.where(fifo >= 0, fifo, towards),
            post_cycles=NEVER,
            gate=columns["gate"],
            then=columns["then"],
            sent_then=columns["sent_then"],
        )
        gates = self._gates
        counted = np.zeros(gates.size, np.int64)
        for column in (columns["then"], columns["sent_then"], gates["then"]):
            counted += np.bincount(column[column >= 0], minlength=gates.size)
        table = Gates.make(
            counted,
            start_cycles=gates["start"],
            core=gates["core"],
            work_cycles=gates["work"],
            then=gates["then"],
            keeps=gates["keeps"],
        )
        return messages, table, rides.copy() if (rides >= 0).any() else None

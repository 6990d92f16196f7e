"""The compiled packet-level torus: the same router, messages and results as the reference, but fast.

Life cycle: construct with a partition, the router's parameters and a table of messages;
:meth:`PacketEngine.run` until all have arrived, or until a time; read the columns ``sent_cycles`` and
``done_cycles`` and the counters. The rules are those of :mod:`bgsim.network.router`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bgsim.network import packet_layout as at
from bgsim.network.detours import Detours
from bgsim.network.gates import gate_state
from bgsim.network.implicit import neighbour_table
from bgsim.network.packet_kernel import FINISHED, FULL, STUCK, run
from bgsim.network.router import DIRECTIONS, QUEUES, RouterParameters
from bgsim.network.topology import Closed, Shape, node_count
from bgsim.network.traffic import Gates, Ints, Messages, hops_word


class Router(NamedTuple):
    """The router's parameters as the compiled loop takes them; see :class:`RouterParameters`."""

    slots: int
    injection_slots: int
    capacity: int
    chunk: int
    overhead: int
    hop: int
    token: int
    read: int
    endpoint: int
    dma: int
    local: int
    dither: int


class NetworkStuckError(RuntimeError):
    """Packets are in the network, and none can ever move again."""


class PacketEngine:
    """Packets of a table of messages on a torus or mesh, one run.

    Parameters
    ----------
    shape
        Nodes in x, y and z.
    torus
        Whether each dimension is closed.
    parameters
        The router.
    messages, gates
        What is sent, and what releases it.
    detours
        What interrupts the cores of the gates.

    Attributes
    ----------
    opened_cycles
        Time at which each gate opened; -1 before.
    sent_cycles
        Time at which the last packet of each message left the DMA engine; -1 before.
    done_cycles
        Time at which the last packet of each message had arrived; -1 before.
    """

    def __init__(
        self,
        shape: Shape,
        torus: Closed,
        parameters: RouterParameters,
        messages: Messages,
        gates: Gates | None = None,
        detours: Detours | None = None,
    ) -> None:
        nodes = node_count(shape)
        most = max(parameters.slots, parameters.injection_slots)
        capacity = 4 if most <= 4 else 8
        self.shape, self.torus, self.parameters, self.messages = shape, torus, parameters, messages
        self.sent_cycles = np.full(messages.size, -1, np.int64)
        self.done_cycles = np.full(messages.size, -1, np.int64)
        self._gates = gate_state(gates or Gates.none(), messages, detours or Detours.none())
        self.opened_cycles: Ints = self._gates.opened
        self._router = Router(
            parameters.slots, parameters.injection_slots, capacity, parameters.chunk_cycles,
            parameters.overhead_cycles, parameters.hop_cycles, parameters.token_cycles,
            parameters.read_cycles, parameters.endpoint_cycles, parameters.dma_interval_cycles,
            parameters.local_interval_cycles, parameters.lots_in_256,
        )  # fmt: skip
        stride = QUEUES * 4 * capacity + at.NODE_WORDS
        self._lines = np.zeros(nodes * stride // 2, np.int64)
        self._words, self._counts = self._lines.view(np.int32), self._lines.view(np.uint8)
        records = self._words.reshape(nodes, stride)
        self._queues = records[:, : QUEUES * 4 * capacity].reshape(nodes, QUEUES, 4 * capacity)
        self._rest = records[:, QUEUES * 4 * capacity :]
        self._queues[:, :, 2 * capacity : 3 * capacity] = at.FAR  # slots that do not exist are never free
        self._queues[:, :, 2 * capacity : 2 * capacity + parameters.slots] = -1
        self._rest[:, at.NEIGHBOUR_AT : at.DIRTY_AT] = neighbour_table(shape, torus)
        self._nodes = np.zeros(nodes, np.int32)
        self._outbox = np.zeros(max(2 * DIRECTIONS * nodes, messages.size), np.int64)
        self._table = self._message_table(messages, shape, torus)
        waiting = messages.post_cycles >= 0
        order = np.argsort(messages.post_cycles, kind="stable")
        order = order[waiting[order]]
        self._post_time, self._post_message = messages.post_cycles[order], order.astype(np.int32)
        self._wheel = np.tile(np.array([-1, -1, at.BLOCK_EVENTS, 0], np.int32), at.WHEEL)
        self._pool = np.zeros(0, np.int32)
        self._scalars = np.zeros(at.SCALARS, np.int64)
        self._scalars[at.UNDELIVERED] = int(messages.packets.sum())
        self._grow_wheel(at.WHEEL + 8 * nodes)

    @staticmethod
    def _message_table(messages: Messages, shape: Shape, torus: Closed) -> NDArray[np.int32]:
        table = np.zeros((messages.size, at.MESSAGE_FIELDS), np.int32)
        word, ties = hops_word(messages.source, messages.destination, shape, torus)
        word |= (messages.dynamic << at.DYNAMIC_BIT).astype(np.int32)
        word |= (messages.priority << at.PRIORITY_BIT).astype(np.int32)
        table[:, at.MESSAGE_HOPS], table[:, at.MESSAGE_TIES] = word, ties
        table[:, at.MESSAGE_UNSENT] = table[:, at.MESSAGE_UNDELIVERED] = messages.packets
        table[:, at.MESSAGE_THEN], table[:, at.MESSAGE_SENT_THEN] = messages.then, messages.sent_then
        table[:, at.MESSAGE_PLACE] = messages.fifo | messages.last_chunks << 3 | messages.source << 8
        return table.reshape(-1)

    @property
    def now_cycles(self) -> int:
        """Time reached."""
        return int(self._scalars[at.EPOCH] + self._scalars[at.NOW])

    @property
    def packet_hops(self) -> int:
        """Links entered by packets so far."""
        return int(self._scalars[at.HOPS])

    @property
    def events(self) -> int:
        """Events taken from the timing wheel so far."""
        return int(self._scalars[at.EVENTS])

    @property
    def packets_injected(self) -> int:
        """Packets that have entered a router."""
        return int(self._scalars[at.INJECTED])

    @property
    def packets_delivered(self) -> int:
        """Packets that have arrived."""
        return int(self._scalars[at.DELIVERED])

    @property
    def packets_in_flight(self) -> int:
        """Packets in the FIFOs now."""
        counts = self._rest[:, at.COUNT_AT : at.COUNT_AT + at.COUNT_WORDS]
        return int(np.ascontiguousarray(counts).view(np.uint8).sum())

    @property
    def undelivered_packets(self) -> Ints:
        """Packets of each message that have not arrived yet, shape (messages,)."""
        return self._table.reshape(-1, at.MESSAGE_FIELDS)[:, at.MESSAGE_UNDELIVERED].astype(np.int64)

    @property
    def delivered_packets(self) -> Ints:
        """Packets of each message that have arrived, shape (messages,)."""
        return self.messages.packets - self.undelivered_packets

    @property
    def link_packets(self) -> Ints:
        """Packets sent by each link so far, shape (nodes, 6)."""
        return self._links[:, :DIRECTIONS, at.LINK_GRANTS].astype(np.int64)

    @property
    def state_bytes(self) -> int:
        """Memory of the network's state, without the table of messages."""
        arrays = (self._lines, self._nodes, self._outbox, self._wheel, self._pool)
        return sum(array.nbytes for array in arrays)

    @property
    def _links(self) -> NDArray[np.int32]:
        return self._rest[:, : at.LINKS_WORDS].reshape(-1, 8, at.LINK_FIELDS)

    def run(self, until_cycles: int | None = None) -> int:
        """Run until every message has arrived, or until a time; return the time reached.

        Raises
        ------
        NetworkStuckError
            If nothing can happen any more, though messages have not arrived.
        """
        while True:
            limit = at.REBASE
            if until_cycles is not None:
                limit = min(limit, until_cycles - int(self._scalars[at.EPOCH]))
            outcome = run(
                limit, self._router, self._scalars, self._lines, self._words, self._counts, self._outbox,
                self._nodes, self._table, self.sent_cycles, self.done_cycles, self._post_time,
                self._post_message, self._wheel, self._pool, self._gates,
            )  # fmt: skip
            self.check()
            if outcome == STUCK:
                left = int(self._scalars[at.UNDELIVERED])
                raise NetworkStuckError(f"{left} packets can never arrive; at cycle {self.now_cycles}")
            if outcome == FULL:
                self._grow_wheel(self._pool.size // at.BLOCK)
            elif outcome == FINISHED or (until_cycles is not None and self.now_cycles >= until_cycles):
                return self.now_cycles
            else:
                self._move_epoch()

    def check(self) -> None:
        """Assert that no packet was lost or made up."""
        assert self.packets_injected == self.packets_delivered + self.packets_in_flight, (
            "packets injected = delivered + in flight"
        )

    def _grow_wheel(self, blocks: int) -> None:
        """Make room for events: more blocks, in front of the chain of spare ones."""
        first = self._pool.size // at.BLOCK
        fresh = np.zeros((blocks, at.BLOCK), np.int32)
        fresh[:, at.BLOCK_EVENTS] = np.arange(first + 1, first + blocks + 1)
        fresh[-1, at.BLOCK_EVENTS] = self._scalars[at.SPARE] if first else -1
        self._pool = np.concatenate([self._pool, fresh.reshape(-1)])
        self._scalars[at.SPARE] = first

    def _move_epoch(self) -> None:
        """Subtract a multiple of the wheel's turn from all relative times."""
        shift = int(self._scalars[at.NOW]) // at.WHEEL * at.WHEEL
        capacity = self._router.capacity
        releases = self._queues[:, :, 2 * capacity : 3 * capacity]
        releases[...] = np.where(releases == at.FAR, at.FAR, np.maximum(releases - shift, -1))
        queues = [self._queues[:, :, 3 * capacity + number] for number in (at.QUEUE_READY, at.QUEUE_WAKE)]
        links = [
            self._rest[:, number : at.LINKS_WORDS : at.LINK_FIELDS] for number in (at.LINK_FREE, at.LINK_WAKE)
        ]
        for times in (*queues, *links, self._rest[:, at.DMA_AT + at.DMA_FREE]):
            times[...] = np.maximum(times - shift, -1)
        self._scalars[at.NOW] -= shift
        self._scalars[at.EPOCH] += shift


__all__ = ["NetworkStuckError", "PacketEngine"]

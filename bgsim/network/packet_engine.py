"""The compiled packet-level torus: the same router, messages and results as the reference, but fast.

Life cycle: construct with a partition, the router's parameters and a table of messages; :meth:`PacketEngine.run`
until all have arrived, or until a time; read the columns ``sent_cycles`` and ``done_cycles`` and the counters.
The rules are those of :mod:`bgsim.network.router`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bgsim.network import packet_layout as at
from bgsim.network.packet_kernel import FINISHED, FULL, STUCK, run
from bgsim.network.router import DIRECTIONS, FIRST_INJECTION, QUEUES, RouterParameters
from bgsim.network.topology import Closed, Shape, node_count
from bgsim.network.traffic import Ints, Messages, hops_word


class NetworkStuckError(RuntimeError):
    """Packets are in the network, and none can ever move again."""


def neighbour_table(shape: Shape, torus: Closed) -> NDArray[np.int32]:
    """Node at the end of each link, shape (nodes, 8); -1 where an open dimension ends.

    The last two columns are unused.
    """
    nodes = np.arange(node_count(shape))
    table = np.full((nodes.size, 8), -1, np.int32)
    stride = 1
    for dimension, (size, closed) in enumerate(zip(shape, torus, strict=True)):
        position = nodes // stride % size
        for direction, step in ((2 * dimension, 1), (2 * dimension + 1, -1)):
            moved = position + step
            there = nodes + (moved % size - position) * stride
            exists = (size > 1) & (closed | ((moved >= 0) & (moved < size)))
            table[:, direction] = np.where(exists, there, -1)
        stride *= size
    return table


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
    messages
        What is sent.

    Attributes
    ----------
    sent_cycles
        Time at which the last packet of each message had entered the router's injection FIFO; -1 before.
    done_cycles
        Time at which the last packet of each message had arrived; -1 before.
    """

    def __init__(self, shape: Shape, torus: Closed, parameters: RouterParameters, messages: Messages) -> None:
        nodes = node_count(shape)
        most = max(parameters.slots, parameters.injection_slots)
        capacity = 4 if most <= 4 else 8
        self.shape, self.torus, self.parameters, self.messages = shape, torus, parameters, messages
        self.sent_cycles = np.full(messages.size, -1, np.int64)
        self.done_cycles = np.full(messages.size, -1, np.int64)
        self._parameters = np.array(
            [
                parameters.slots, parameters.injection_slots, capacity, parameters.chunk_cycles,
                parameters.overhead_cycles, parameters.hop_cycles, parameters.token_cycles,
                parameters.read_cycles, parameters.endpoint_cycles, parameters.dma_interval_cycles,
                parameters.round_robin_in_256,
            ],
            np.int64,
        )  # fmt: skip
        self._lines = np.zeros(nodes * QUEUES * capacity * 2, np.int64)
        self._lines32 = self._lines.view(np.int32)
        self._lines32.reshape(-1, 4 * capacity)[:, 2 * capacity :] = -1
        self._lines32.reshape(-1, 4 * capacity)[:, 3 * capacity :] = 0
        self._count = np.zeros(nodes * QUEUES, np.uint8)
        self._links = np.zeros(nodes * 8 * at.LINK_FIELDS, np.int32)
        self._neighbours = neighbour_table(shape, torus).reshape(-1)
        self._dirty = np.zeros(nodes, np.uint8)
        self._nodes = np.zeros(nodes, np.int32)
        self._outbox = np.zeros(2 * DIRECTIONS * nodes + 2, np.int64)
        self._dma = np.zeros(nodes * at.DMA_FIELDS, np.int32)
        self._table = self._message_table(messages, shape, torus)
        waiting = messages.post_cycles >= 0
        order = np.argsort(messages.post_cycles, kind="stable")
        order = order[waiting[order]]
        self._post_time, self._post_message = messages.post_cycles[order], order.astype(np.int32)
        chunks = at.WHEEL + 8 * nodes
        self._wheel = np.tile(np.array([-1, -1, 0], np.int32), at.WHEEL)
        self._chunks = np.zeros(chunks * at.WHEEL_CHUNK, np.int32)
        self._spare = np.arange(chunks, dtype=np.int32)
        self._scalars = np.zeros(at.SCALARS, np.int64)
        self._scalars[at.CHUNKS_FREE] = chunks
        self._scalars[at.UNDELIVERED] = int(messages.packets.sum())

    @staticmethod
    def _message_table(messages: Messages, shape: Shape, torus: Closed) -> NDArray[np.int32]:
        table = np.zeros((messages.size, at.MESSAGE_FIELDS), np.int32)
        word, ties = hops_word(messages.source, messages.destination, shape, torus)
        word |= (messages.dynamic << at.DYNAMIC_BIT).astype(np.int32)
        word |= (messages.priority << at.PRIORITY_BIT).astype(np.int32)
        table[:, at.MESSAGE_HOPS], table[:, at.MESSAGE_TIES] = word, ties
        table[:, at.MESSAGE_UNSENT] = table[:, at.MESSAGE_UNDELIVERED] = messages.packets
        table[:, at.MESSAGE_THEN], table[:, at.MESSAGE_DELAY] = messages.then, messages.delay_cycles
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
        return int(self._count.sum())

    @property
    def link_packets(self) -> Ints:
        """Packets sent by each link so far, shape (nodes, 6)."""
        grants = self._links.reshape(-1, 8, at.LINK_FIELDS)[:, :DIRECTIONS, at.LINK_GRANTS]
        return grants.astype(np.int64)

    @property
    def state_bytes(self) -> int:
        """Memory of the network's state, without the table of messages."""
        arrays = (self._lines, self._count, self._links, self._neighbours, self._dirty, self._nodes)
        more = (self._outbox, self._dma, self._wheel, self._chunks, self._spare)
        return sum(array.nbytes for array in arrays + more)

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
                limit, self._parameters, self._scalars, self._lines, self._lines32, self._count, self._links,
                self._neighbours, self._dirty, self._nodes, self._outbox, self._dma, self._table,
                self.sent_cycles, self.done_cycles, self._post_time, self._post_message, self._wheel,
                self._chunks, self._spare,
            )  # fmt: skip
            self.check()
            if outcome == STUCK:
                left = int(self._scalars[at.UNDELIVERED])
                raise NetworkStuckError(f"{left} packets can never arrive; at cycle {self.now_cycles}")
            if outcome == FULL:
                self._grow_wheel()
            elif outcome == FINISHED or (until_cycles is not None and self.now_cycles >= until_cycles):
                return self.now_cycles
            else:
                self._move_epoch()

    def check(self) -> None:
        """Assert that no packet was lost or made up."""
        assert self.packets_injected == self.packets_delivered + self.packets_in_flight, (
            "packets injected = delivered + in flight"
        )

    def _grow_wheel(self) -> None:
        chunks = self._spare.size
        self._chunks = np.concatenate([self._chunks, np.zeros_like(self._chunks)])
        free = int(self._scalars[at.CHUNKS_FREE])
        self._spare = np.concatenate([self._spare[:free], np.arange(chunks, 2 * chunks, dtype=np.int32), np.zeros(chunks - free, np.int32)])
        self._scalars[at.CHUNKS_FREE] = free + chunks

    def _move_epoch(self) -> None:
        """Subtract a multiple of the wheel's turn from all relative times."""
        shift = int(self._scalars[at.NOW]) // at.WHEEL * at.WHEEL
        capacity = int(self._parameters[at.P_CAPACITY])
        lines = self._lines32.reshape(-1, 4 * capacity)
        for first, last in ((2 * capacity, 3 * capacity), (3 * capacity + 1, 3 * capacity + 2), (3 * capacity + 3, 4 * capacity)):
            times = lines[:, first:last]
            times[...] = np.where(times == at.FAR, at.FAR, np.maximum(times - shift, -1))
        links = self._links.reshape(-1, at.LINK_FIELDS)
        for column in (at.LINK_FREE, at.LINK_WAKE):
            links[:, column] = np.maximum(links[:, column] - shift, -1)
        dma = self._dma.reshape(-1, at.DMA_FIELDS)
        dma[:, at.DMA_FREE] = np.maximum(dma[:, at.DMA_FREE] - shift, -1)
        self._scalars[at.NOW] -= shift
        self._scalars[at.EPOCH] += shift


__all__ = ["FIRST_INJECTION", "NetworkStuckError", "PacketEngine", "neighbour_table"]

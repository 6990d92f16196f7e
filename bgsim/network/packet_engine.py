"""The compiled packet-level torus: the same router, messages and results as the reference, but fast.

Life cycle: construct with a partition, the router's parameters and a table of messages;
:meth:`PacketEngine.run` until all have arrived, or until a time; read the columns ``sent_cycles`` and
``done_cycles`` and the counters. The rules are those of :mod:`bgsim.network.router`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgsim.network import packet_layout as at
from bgsim.network.detours import Detours
from bgsim.network.gates import gate_state
from bgsim.network.implicit import neighbour_table
from bgsim.network.packet_kernel import (
    FINISHED,
    STUCK,
    USUAL_CAPACITY,
    count_packets,
    entry,
    rebase,
    run_any,
    run_usual,
)
from bgsim.network.router import BUBBLE, CHANNELS, DIRECTIONS, FIRST_INJECTION, RouterParameters
from bgsim.network.topology import Closed, Shape, node_count
from bgsim.network.traffic import FULL_CHUNKS, Gates, Ints, Messages, copies, hops_word

FOREVER = 1 << 60


def address(array: NDArray[Any]) -> int:
    """Where an array's numbers are; compiled code reads them there while the array lives."""
    return int(array.ctypes.data)


def aligned_zeros(size: int) -> NDArray[np.uint8]:
    """Bytes that are zero and begin with a cache line, as records that are whole lines must."""
    spare = np.zeros(size + at.LINE, np.uint8)
    first = -address(spare) % at.LINE
    return spare[first : first + size]


def check_messages(messages: Messages) -> None:
    """Refuse messages that do not fit the packed state, which nothing checks later.

    Raises
    ------
    ValueError
        With the first message that does not fit, or their number.
    """
    if messages.size > at.MESSAGES_MOST:
        raise ValueError(
            f"{messages.size:,} messages in one run; the packet engine takes {at.MESSAGES_MOST:,}"
        )
    wrong = (messages.last_chunks < 1) | (messages.last_chunks > FULL_CHUNKS)
    if wrong.any():
        message = int(np.argmax(wrong))
        chunks = messages.last_chunks[message]
        raise ValueError(
            f"the last packet of message {message} has {chunks} chunks; 1 to {FULL_CHUNKS} exist"
        )


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

    Raises
    ------
    ValueError
        If a message's last packet has no length there is, or if there are more messages than a packet can
        name.

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
        check_messages(messages)
        nodes = node_count(shape)
        most = max(parameters.slots, parameters.injection_slots)
        capacity = 4 if most <= 4 else 8
        shortest = int(messages.last_chunks.min(initial=FULL_CHUNKS))
        window = parameters.window_cycles(shortest)
        headers = 1 << (parameters.headers_on_a_link(shortest) - 1).bit_length()
        stride = at.node_bytes(capacity, headers)
        self.shape, self.torus, self.parameters, self.messages = shape, torus, parameters, messages
        self.sent_cycles = np.full(messages.size, -1, np.int64)
        self.done_cycles = np.full(messages.size, -1, np.int64)
        self._gates = gate_state(gates or Gates.none(), messages, detours or Detours.none())
        self.opened_cycles: Ints = self._gates.opened
        blocks = -(-nodes // at.BLOCK)
        early_reads = int(parameters.read_cycles < parameters.hop_cycles + window)
        self._router = at.Router(
            parameters.injection_slots, parameters.chunk_cycles, parameters.overhead_cycles,
            parameters.hop_cycles, parameters.token_cycles, parameters.read_cycles, early_reads,
            parameters.endpoint_cycles, parameters.dma_interval_cycles, parameters.local_interval_cycles,
            parameters.reception_slots, parameters.reception_cycles, parameters.lots_in_256,
            window, capacity, stride, at.dma_at(capacity), at.packets_at(capacity),
            at.rows_at(capacity, headers), headers - 1, blocks,
        )  # fmt: skip
        usual = (capacity, headers, early_reads, parameters.reception_slots) == (USUAL_CAPACITY, 1, 0, 0)
        self._kernel: Any = run_usual if usual else run_any
        self._advance: Any = None
        self._memory = aligned_zeros(nodes * stride)
        records = self._memory.reshape(nodes, stride)
        neighbours = records[:, at.NEIGHBOUR : at.NEIGHBOUR + 4 * DIRECTIONS]
        neighbours.view(np.int32)[...] = neighbour_table(shape, torus)
        records[:, at.WAKE : at.FREE] = 0xFF
        slots = records[:, at.SLOTS : at.dma_at(capacity)].view(np.uint16)
        slots.reshape(nodes, -1, capacity)[:, :, parameters.slots :] = at.FAR  # these are never free
        self._nexts = np.full(blocks * at.BLOCK, at.FAR, np.uint16)
        self._due = np.zeros((blocks + 1) * at.BLOCK, np.int32)  # fetching ahead may look behind the end
        self._released = np.zeros(messages.size, np.int32)
        self._table = self._message_table(messages, shape, torus)
        waiting = messages.post_cycles >= 0
        order = np.argsort(messages.post_cycles, kind="stable")
        order = order[waiting[order]]
        self._post_time, self._post_message = messages.post_cycles[order], order.astype(np.int32)
        self._scalars = np.zeros(at.SCALARS, np.int64)
        self._scalars[at.UNDELIVERED // 8] = int(self._deliveries.sum())
        self._ways = np.array(at.ways(), np.uint8)
        self._places = at.Places(
            address(self._memory),
            address(self._nexts),
            address(self._table),
            address(self._scalars),
            address(self._ways),
            address(self._due),
        )

    def _message_table(self, messages: Messages, shape: Shape, torus: Closed) -> NDArray[np.int32]:
        table = np.zeros((messages.size, at.MESSAGE_BYTES // 4), np.int32)
        word = hops_word(messages.source, messages.destination, shape, torus, messages.hints)
        self._deliveries = messages.packets * copies(messages, word)
        word |= (messages.dynamic << at.DYNAMIC_BIT).astype(np.int32)
        word |= (messages.priority << at.PRIORITY_BIT).astype(np.int32)
        word |= (messages.deposit << at.DEPOSIT_BIT).astype(np.int32)
        word |= (messages.memory_fifo << at.MEMORY_BIT).astype(np.int32)
        columns: dict[int, Ints | NDArray[np.int32] | int] = {
            at.MESSAGE_HOPS: word,
            at.MESSAGE_UNSENT: messages.packets,
            at.MESSAGE_UNDELIVERED: self._deliveries,
            at.MESSAGE_NEXT: -1,
            at.MESSAGE_THEN: messages.then,
            at.MESSAGE_SENT_THEN: messages.sent_then,
            at.MESSAGE_PLACE: messages.fifo | messages.last_chunks << 3 | messages.source << 8,
        }
        for offset, column in columns.items():
            table[:, offset // 4] = column
        return table

    @property
    def now_cycles(self) -> int:
        """Time reached."""
        return int(self._scalars[at.EPOCH // 8] + self._scalars[at.NOW // 8])

    @property
    def packet_hops(self) -> int:
        """Links entered by packets so far."""
        return int(self.link_packets.sum())

    @property
    def events(self) -> int:
        """Looks of a node at a link, its reception or its DMA engine so far."""
        return int(self._scalars[at.EVENTS // 8])

    @property
    def packets_injected(self) -> int:
        """Packets that have entered a router."""
        return int(self._scalars[at.INJECTED // 8])

    @property
    def packets_delivered(self) -> int:
        """Packets that have arrived."""
        return int(self._scalars[at.DELIVERED // 8])

    @property
    def packets_in_flight(self) -> int:
        """Packets in the FIFOs and between routers now."""
        return int(count_packets(address(self._memory), node_count(self.shape), self._router.stride))

    @property
    def undelivered_packets(self) -> Ints:
        """Packets of each message, and their copies, that have not arrived yet, shape (messages,)."""
        return self._table[:, at.MESSAGE_UNDELIVERED // 4].astype(np.int64)

    @property
    def delivered_packets(self) -> Ints:
        """Packets of each message, and their copies, that have arrived, shape (messages,)."""
        return self._deliveries - self.undelivered_packets

    @property
    def link_packets(self) -> Ints:
        """Packets sent by each link so far, shape (nodes, 6)."""
        return self._link_counter(0)

    @property
    def link_busy_cycles(self) -> Ints:
        """Time for which each link was taken so far, shape (nodes, 6)."""
        chunks, packets = self._link_counter(1), self._link_counter(0)
        return chunks * self.parameters.chunk_cycles + packets * self.parameters.overhead_cycles

    @property
    def link_utilisation(self) -> NDArray[np.float64]:
        """Share of the time so far in which the links of each direction were busy, shape (6,)."""
        exist = (neighbour_table(self.shape, self.torus) >= 0).sum(axis=0)
        busy = self.link_busy_cycles.sum(axis=0)
        return np.asarray(busy / np.maximum(exist * max(self.now_cycles, 1), 1), np.float64)

    @property
    def dynamic_occupancy(self) -> float:
        """Share of the slots of the dynamic channels that are taken, or about to be, now."""
        records = self._memory.reshape(-1, self._router.stride)
        counts = records[:, at.COUNT : at.COUNT + FIRST_INJECTION].reshape(-1, DIRECTIONS, CHANNELS)
        links = int((neighbour_table(self.shape, self.torus) >= 0).sum())
        return float(counts[:, :, :BUBBLE].sum(dtype=np.int64)) / max(
            links * BUBBLE * self.parameters.slots, 1
        )

    @property
    def state_bytes(self) -> int:
        """Memory of the network's state, without the table of messages."""
        return self._memory.nbytes + self._nexts.nbytes + self._due.nbytes

    def _link_counter(self, which: int) -> Ints:
        records = self._memory.reshape(-1, self._router.stride)
        counters = records[:, at.COUNTERS : at.COUNTERS + 8 * DIRECTIONS].view(np.uint32)
        return counters.reshape(-1, DIRECTIONS, 2)[:, :, which].astype(np.int64)

    def run(self, until_cycles: int | None = None) -> int:
        """Run until every message has arrived, or until a time; return the time reached.

        Raises
        ------
        NetworkStuckError
            If nothing can happen any more, though messages have not arrived.
        """
        state = (
            self._router, self._places, self.sent_cycles, self.done_cycles, self._post_time,
            self._post_message, self._released, self._gates,
        )  # fmt: skip
        if self._advance is None:
            self._advance = entry(self._kernel, 0, 0, *state)
        while True:
            horizon = FOREVER
            if until_cycles is not None:
                horizon = until_cycles - int(self._scalars[at.EPOCH // 8])
            outcome = self._advance(min(at.REBASE, horizon), horizon, *state)
            self.check()
            if outcome == STUCK:
                left = int(self._scalars[at.UNDELIVERED // 8])
                raise NetworkStuckError(f"{left} packets can never arrive; at cycle {self.now_cycles}")
            if outcome == FINISHED or (until_cycles is not None and self.now_cycles >= until_cycles):
                return self.now_cycles
            self._move_epoch()

    def check(self) -> None:
        """Assert that no packet was lost or made up."""
        assert self.packets_injected == self.packets_delivered + self.packets_in_flight, (
            "packets injected = delivered + in flight"
        )

    def _move_epoch(self) -> None:
        """Subtract a time from all relative ones, such that what has passed differs from the present."""
        shift = max(int(self._scalars[at.NOW // 8]) - 1, 0)
        rebase(shift, self._places, node_count(self.shape), self._router)
        self._scalars[at.NOW // 8] -= shift
        self._scalars[at.EPOCH // 8] += shift


__all__ = ["NetworkStuckError", "PacketEngine"]

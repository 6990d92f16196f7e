"""The compiled packet-level torus: the same router, messages and results as the reference, but fast.

Life cycle: construct with a partition, the router's parameters and a table of messages;
:meth:`PacketEngine.run` until all have arrived, or until a time; read the columns ``sent_cycles`` and
``done_cycles`` and the counters. The rules are those of :mod:`bgsim.network.router`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bgsim.network import packet_layout as at
from bgsim.network.detours import Detours
from bgsim.network.gates import gate_state
from bgsim.network.implicit import neighbour_table
from bgsim.network.packet_kernel import FINISHED, FULL, STUCK, rebase, run
from bgsim.network.router import DIRECTIONS, RouterParameters
from bgsim.network.topology import Closed, Shape, node_count
from bgsim.network.traffic import Gates, Ints, Messages, copies, hops_word

FOREVER = 1 << 60
CACHE_BYTES = 1 << 20
"""A network of more state does not stay in the cache by itself: lines are fetched ahead."""


class Router(NamedTuple):
    """The router's parameters as the compiled loop takes them; see :class:`RouterParameters`."""

    injection_slots: int
    chunk: int
    overhead: int
    hop: int
    token: int
    read: int
    endpoint: int
    dma: int
    local: int
    reception_slots: int
    reception_cycles: int
    lots: int
    capacity: int
    stride: int
    large: bool


class Wheel(NamedTuple):
    """The timing wheel: cycles less one, and the addresses of its cursors, its blocks, and the scalars."""

    mask: int
    cursors: int
    pool: int
    scalars: int


def address(array: NDArray[Any]) -> int:
    """Where an array's numbers are; compiled code reads them there while the array lives."""
    return int(array.ctypes.data)


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
        stride = at.node_bytes(capacity)
        self.shape, self.torus, self.parameters, self.messages = shape, torus, parameters, messages
        self.sent_cycles = np.full(messages.size, -1, np.int64)
        self.done_cycles = np.full(messages.size, -1, np.int64)
        self._gates = gate_state(gates or Gates.none(), messages, detours or Detours.none())
        self.opened_cycles: Ints = self._gates.opened
        self._router = Router(
            parameters.injection_slots, parameters.chunk_cycles, parameters.overhead_cycles,
            parameters.hop_cycles, parameters.token_cycles, parameters.read_cycles,
            parameters.endpoint_cycles, parameters.dma_interval_cycles, parameters.local_interval_cycles,
            parameters.reception_slots, parameters.reception_cycles, parameters.lots_in_256, capacity,
            stride, nodes * stride > CACHE_BYTES,
        )  # fmt: skip
        self._memory = np.zeros(nodes * stride, np.uint8)
        records = self._memory.reshape(nodes, stride)
        records[:, at.NEIGHBOUR : at.RECEIVE].view(np.int32)[...] = neighbour_table(shape, torus)
        links = self._links(records)
        first = at.LINK_SLOTS_LONG if capacity == 8 else at.LINK_SLOTS
        slots = links[:, :, first : first + 8 * capacity].view(np.uint16).reshape(nodes, 6, 4, capacity)
        slots[:, :, :, parameters.slots :] = at.FAR  # slots that do not exist are never free
        self._dirty = np.zeros(nodes, np.uint8)
        self._nodes = np.zeros(nodes + 1, np.uint32)
        self._outbox = np.zeros(3 * DIRECTIONS * nodes, np.int64)
        self._released = np.zeros(messages.size, np.int32)
        self._table = self._message_table(messages, shape, torus)
        waiting = messages.post_cycles >= 0
        order = np.argsort(messages.post_cycles, kind="stable")
        order = order[waiting[order]]
        self._post_time, self._post_message = messages.post_cycles[order], order.astype(np.int32)
        turn = max(at.WHEEL_LEAST, 1 << parameters.horizon_cycles.bit_length())
        blocks = np.zeros((turn, at.BLOCK), np.uint32)
        self._turn, self._pool = turn, blocks.reshape(-1)
        self._cursors = np.arange(turn, dtype=np.uint32) * at.BLOCK + 1
        self._scalars = np.zeros(at.SCALARS, np.int64)
        self._scalars[at.UNDELIVERED // 8] = int(self._deliveries.sum())
        self._grow_wheel(turn + nodes // 2)

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
        return int(self._scalars[at.HOPS // 8])

    @property
    def events(self) -> int:
        """Events taken from the timing wheel so far: looks of a node at a link, its reception or its DMA."""
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
        """Packets in the FIFOs now."""
        return int(self._memory.reshape(-1, self._router.stride)[:, at.COUNT : at.HEAD].sum())

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
        return self._link_counter(at.LINK_GRANTS)

    @property
    def link_utilisation(self) -> NDArray[np.float64]:
        """Share of the time so far in which the links of each direction were busy, shape (6,)."""
        exist = (neighbour_table(self.shape, self.torus) >= 0).sum(axis=0)
        chunks, packets = self._link_counter(at.LINK_CHUNKS), self._link_counter(at.LINK_GRANTS)
        busy = chunks * self.parameters.chunk_cycles + packets * self.parameters.overhead_cycles
        return np.asarray(busy.sum(axis=0) / np.maximum(exist * max(self.now_cycles, 1), 1), np.float64)

    @property
    def state_bytes(self) -> int:
        """Memory of the network's state, without the table of messages."""
        wheel = (self._cursors, self._pool)
        return sum(array.nbytes for array in (self._memory, self._dirty, self._nodes, self._outbox, *wheel))

    def _link_counter(self, offset: int) -> Ints:
        links = self._links(self._memory.reshape(-1, self._router.stride))
        return links[:, :, offset : offset + 4].view(np.uint32)[:, :, 0].astype(np.int64)

    def _links(self, records: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """View of the links' records, shape (nodes, 6, bytes)."""
        capacity = self._router.capacity
        length = at.link_bytes(capacity)
        return records[:, at.LINKS : at.packets_at(capacity)].reshape(-1, DIRECTIONS, length)

    def run(self, until_cycles: int | None = None) -> int:
        """Run until every message has arrived, or until a time; return the time reached.

        Raises
        ------
        NetworkStuckError
            If nothing can happen any more, though messages have not arrived.
        """
        while True:
            horizon = FOREVER
            if until_cycles is not None:
                horizon = until_cycles - int(self._scalars[at.EPOCH // 8])
            outcome = run(
                min(at.REBASE, horizon), horizon, self._router, address(self._memory), address(self._dirty),
                address(self._nodes), address(self._outbox), address(self._table), self.sent_cycles,
                self.done_cycles, self._post_time, self._post_message, self._released, self._gates,
                self._wheel(),
            )  # fmt: skip
            self.check()
            if outcome == STUCK:
                left = int(self._scalars[at.UNDELIVERED // 8])
                raise NetworkStuckError(f"{left} packets can never arrive; at cycle {self.now_cycles}")
            if outcome == FULL:
                self._grow_wheel(int(self._scalars[at.PUSHES // 8]) // at.BLOCK_EVENTS + self._turn)
            elif outcome == FINISHED or (until_cycles is not None and self.now_cycles >= until_cycles):
                return self.now_cycles
            else:
                self._move_epoch()

    def _wheel(self) -> Wheel:
        """Where the timing wheel is now; its blocks move when it grows."""
        places = (address(self._cursors), address(self._pool), address(self._scalars))
        return Wheel(self._turn - 1, *places)

    def check(self) -> None:
        """Assert that no packet was lost or made up."""
        assert self.packets_injected == self.packets_delivered + self.packets_in_flight, (
            "packets injected = delivered + in flight"
        )

    def _grow_wheel(self, blocks: int) -> None:
        """Make room for events: more blocks, in front of the chain of spare ones."""
        first = self._pool.size // at.BLOCK
        fresh = np.zeros((blocks, at.BLOCK), np.uint32)
        fresh[:, 0] = np.arange(first + 1, first + blocks + 1)
        fresh[-1, 0] = self._scalars[at.SPARE // 8]
        self._pool = np.concatenate([self._pool, fresh.reshape(-1)])
        self._scalars[at.SPARE // 8] = first
        self._scalars[at.SPARES // 8] += blocks

    def _move_epoch(self) -> None:
        """Subtract a multiple of the wheel's turn from all relative times."""
        shift = int(self._scalars[at.NOW // 8]) & -self._turn
        router = self._router
        rebase(shift, address(self._memory), self._memory.size, router.stride, router.capacity)
        self._scalars[at.NOW // 8] -= shift
        self._scalars[at.EPOCH // 8] += shift


__all__ = ["NetworkStuckError", "PacketEngine"]

"""Flow-level torus: messages as fluids that share links max-min fairly.

Where packets cannot reach, a message is a flow along its dimension-order route, from the time it is the
first of its DMA injection FIFO until its bytes are through. At each moment the rates are max-min fair: no
flow could go faster without slowing one that is not faster. When flows begin or end, the rates are worked out
again. Exact for fluids; what it leaves out is everything a router does (finite buffers, head-of-line
blocking, the bubble rule, adaptive routes, priority, full memory FIFOs), so it bounds what the packet engine
finds. The copies a message deposits on its way cost nothing.

It executes the same message graphs as :class:`bgsim.network.packet_engine.PacketEngine`, gates included.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bgsim.network import flow_kernel as kernel
from bgsim.network.detours import Detours
from bgsim.network.flow_kernel import DIRECTIONS, QUEUES, FlowState
from bgsim.network.gates import gate_state
from bgsim.network.implicit import neighbour_table
from bgsim.network.packet_engine import NetworkStuckError
from bgsim.network.router import RouterParameters
from bgsim.network.topology import Closed, Shape, node_count
from bgsim.network.traffic import FULL_CHUNKS, Gates, Ints, Messages, hops_word


class FlowEngine:
    """Flows of a message graph on a torus or mesh, one run.

    Parameters
    ----------
    shape
        Nodes in x, y and z.
    torus
        Whether each dimension is closed.
    parameters
        Link times of packets, latency of hops and ends, and the time of local copies.
    messages, gates
        What is sent, and what releases it.
    detours
        What interrupts the cores of the gates.
    tolerance
        When a flow begins or ends, the rates may stay as they are for at most this fraction of the flow's
        own time, so that many changes share one solution; 0 works them out at every change.

    Attributes
    ----------
    opened_cycles
        Time at which each gate opened; -1 before.
    sent_cycles
        Time at which the last byte of each message was through; -1 before.
    """

    def __init__(
        self,
        shape: Shape,
        torus: Closed,
        parameters: RouterParameters,
        messages: Messages,
        gates: Gates | None = None,
        detours: Detours | None = None,
        *,
        tolerance: float = 2e-3,
    ) -> None:
        self.shape, self.torus, self.parameters, self.messages = shape, torus, parameters, messages
        nodes, count = node_count(shape), messages.size
        links = nodes * (DIRECTIONS + 1)
        word = hops_word(messages.source, messages.destination, shape, torus, messages.hints)
        first, size = np.zeros(count + 1, np.int64), np.empty(count)
        latency, queue = np.empty(count, np.int32), np.empty(count, np.int32)
        longest = np.zeros(kernel.HOPS_MAX + 1, np.int64)
        kernel.measure(
            (word, messages.source, messages.packets),
            (_own(messages.last_chunks), _own(messages.fifo)),
            _times(parameters),
            (first, size, latency, queue, longest),
        )
        route = np.empty(int(first[-1]), np.int32)
        kernel.trace(messages.source, word, np.array(shape, np.int64), first, route)
        posted = np.flatnonzero(messages.post_cycles >= 0)
        posted = posted[np.argsort(messages.post_cycles[posted], kind="stable")]
        self._gates = gate_state(gates or Gates.none(), messages, detours or Detours.none())
        most = min(count, nodes * QUEUES)
        most_users = kernel.users_at_most(longest, most)
        self._flows = FlowState(
            size=size,
            left=np.zeros(nodes * QUEUES),
            rate=np.zeros(nodes * QUEUES),
            began=np.zeros(nodes * QUEUES),
            end=np.zeros(nodes * QUEUES),
            first=first,
            route=route,
            latency=latency,
            queue=queue,
            then=messages.then,
            sent_then=messages.sent_then,
            following=np.full(count, -1, np.int32),
            sent=np.full(count, -1, np.int64),
            post_time=messages.post_cycles[posted],
            post_message=posted.astype(np.int32),
            queue_head=np.full(nodes * QUEUES, -1, np.int32),
            queue_tail=np.full(nodes * QUEUES, -1, np.int32),
            active=np.zeros(2 * most, np.int32),  # of a queue, one that has ended and one that has begun
            ends=np.zeros(most, np.int32),
            outbox=np.zeros(count, np.int32),
            link_open=np.zeros(links, np.int32),
            link_left=np.zeros(links),
            link_share=np.zeros(links),
            link_begin=np.zeros(links + 1, np.int64),
            users=np.zeros(most_users, np.int32),
            heap=np.zeros(links, np.int32),
            number=np.zeros(kernel.NUMBERS, np.int64),
            time=np.zeros(kernel.TIMES),
        )
        self._flows.number[kernel.LEFT] = count
        self._flows.time[kernel.DEADLINE] = kernel.FOREVER
        self._flows.time[kernel.TOLERANCE] = tolerance
        self.opened_cycles: Ints = self._gates.opened
        self.sent_cycles: Ints = self._flows.sent

    @property
    def done_cycles(self) -> Ints:
        """Time at which the last byte of each message was there, latency included; -1 before."""
        return np.where(self._flows.sent >= 0, self._flows.sent + self._flows.latency, -1)

    @property
    def now_cycles(self) -> int:
        """Time reached."""
        return int(self._flows.time[kernel.NOW])

    @property
    def solves(self) -> int:
        """How often the rates were worked out."""
        return int(self._flows.number[kernel.SOLVES])

    @property
    def delivered_packets(self) -> Ints:
        """Packets of each message whose bytes are through, shape (messages,)."""
        flows = self._flows
        active = flows.active[: flows.number[kernel.ACTIVE]]
        left = np.where(flows.sent >= 0, 0.0, flows.size)
        running = active[flows.sent[active] < 0]
        queue = flows.queue[running]
        since = flows.rate[queue] * (flows.time[kernel.NOW] - flows.time[kernel.SINCE])
        left[running] = flows.left[queue] - since
        through = 1.0 - np.maximum(left, 0.0) / flows.size
        return np.floor(through * self.messages.packets + 1e-9).astype(np.int64)

    @property
    def undelivered_packets(self) -> Ints:
        """Packets of each message whose bytes are not through yet, shape (messages,)."""
        return self.messages.packets - self.delivered_packets

    @property
    def link_packets(self) -> NDArray[np.int64]:
        """Packets that crossed each link so far, shape (nodes, 6)."""
        flows, nodes = self._flows, node_count(self.shape)
        carried = np.repeat(self.delivered_packets, np.diff(flows.first))
        count = np.bincount(flows.route, weights=carried, minlength=nodes * (DIRECTIONS + 1))
        return count[: nodes * DIRECTIONS].reshape(nodes, DIRECTIONS).astype(np.int64)

    @property
    def link_busy_cycles(self) -> NDArray[np.int64]:
        """Time that the packets which crossed each link so far take on it, shape (nodes, 6)."""
        return self.link_packets * self.parameters.link_cycles(FULL_CHUNKS)

    @property
    def link_utilisation(self) -> NDArray[np.float64]:
        """Share of the time so far in which the links of each direction were busy, shape (6,)."""
        exist = (neighbour_table(self.shape, self.torus) >= 0).sum(axis=0)
        busy = self.link_busy_cycles.sum(axis=0)
        return np.asarray(busy / np.maximum(exist * max(self.now_cycles, 1), 1), np.float64)

    def run(self, until_cycles: int | None = None) -> int:
        """Run until every message has arrived and every gate is open, or until a time; return the time.

        Raises
        ------
        NetworkStuckError
            If nothing can happen any more, though messages have not arrived.
        """
        until = kernel.FOREVER if until_cycles is None else float(until_cycles)
        outcome = kernel.run(until, self._flows, self._gates)
        if outcome == kernel.STUCK:
            left = int(self._flows.number[kernel.LEFT])
            raise NetworkStuckError(f"{left} messages can never arrive; at cycle {self.now_cycles}")
        return self.now_cycles


def _own(column: Ints) -> Ints:
    """A column for compiled code; one number if that stands for all."""
    return column if column.flags.writeable else column[:1].copy()


def _times(parameters: RouterParameters) -> tuple[int, int, int, int, int, int]:
    """The router's times that :func:`bgsim.network.flow_kernel.measure` needs, in its order."""
    return (
        parameters.chunk_cycles,
        parameters.overhead_cycles,
        parameters.link_cycles(FULL_CHUNKS),
        parameters.local_interval_cycles,
        parameters.hop_cycles,
        parameters.endpoint_cycles,
    )

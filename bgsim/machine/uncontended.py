"""The torus without contention inside: a message graph over the ends of its routes.

For what packets cannot reach, and as the plainest of the networks that execute a message graph. A message
waits for the first link of its route, occupies it for its packets' time, travels one hop latency per link,
and occupies the last link of its route while it arrives; the links between carry it as if nobody else used
them. A dynamic message takes, at each end, whichever of the links of its minimal routes is free first. Local
copies queue at the node's DMA engine. The cores, their queues and their detours are those of
:mod:`bgsim.network.gates`.

The *deposit bit* lets a message leave copies at the nodes it passes: such copies are messages that *ride* on
another one of the same source. They start with it and occupy no first link of their own.

At one instant the heads that arrive come first, in order of message number; then what is posted at a time;
then the gates. Left out: links that routes share in the middle, buffers, and the DMA engine's own rate, which
is that of all six links together. :mod:`bgsim.machine.uncontended_reference` is the readable twin.
"""

# The compiled functions take arrays by position.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bgsim.compiled import compiled, compiled_inner
from bgsim.compiled_heap import drop_first, push
from bgsim.network.detours import Detours
from bgsim.network.gates import count, gate_state, open_gates
from bgsim.network.router import RouterParameters
from bgsim.network.topology import Closed, Shape, node_count
from bgsim.network.traffic import FULL_CHUNKS, NEVER, Gates, Ints, Messages, hops_word

ENDS = 7
"""Link ends of a node: its six directions of travel, and the DMA engine's local copies."""

LOCAL = 6


class Routes(NamedTuple):
    """What the engines need to know of each message's way.

    Attributes
    ----------
    links
        Bits 0 to 5: directions of the links it may begin and end with; bit 6: a local copy.
    serial_cycles
        Time its packets occupy a link.
    travel_cycles
        From its start on the first link to its head's arrival.
    """

    links: NDArray[np.uint8]
    serial_cycles: Ints
    travel_cycles: Ints


@dataclass(frozen=True, slots=True)
class Executed:
    """What became of a message graph.

    Attributes
    ----------
    opened_cycles
        When each gate opened, shape (g,).
    sent_cycles
        When each message's last packet had left, shape (m,).
    done_cycles
        When it had arrived, shape (m,).
    packet_hops
        Links crossed, summed over packets.
    """

    opened_cycles: Ints
    sent_cycles: Ints
    done_cycles: Ints
    packet_hops: int


class NeverDoneError(RuntimeError):
    """A message graph came to a halt before all its messages had arrived and its gates opened."""


def routes_of(shape: Shape, torus: Closed, router: RouterParameters, messages: Messages) -> Routes:
    """Work out the ways of messages; see :class:`Routes`."""
    word = hops_word(messages.source, messages.destination, shape, torus).astype(np.int64)
    links = np.zeros(messages.size, np.int64)
    first = np.zeros(messages.size, np.int64)
    hops = np.zeros(messages.size, np.int64)
    for dimension in range(3):
        steps = word >> 8 * dimension & 255
        backwards = word >> (24 + dimension) & 1
        bit = np.where(steps > 0, 1 << (2 * dimension + backwards), 0)
        links |= bit
        first = np.where(first == 0, bit, first)
        hops += steps
    last = np.zeros(messages.size, np.int64)
    for dimension in range(3):
        steps = word >> 8 * dimension & 255
        last = np.where(steps > 0, 1 << (2 * dimension + (word >> (24 + dimension) & 1)), last)
    fixed = messages.dynamic == 0
    begins, ends = np.where(fixed, first, links), np.where(fixed, last, links)
    full = router.link_cycles(FULL_CHUNKS)
    tail = messages.last_chunks * router.chunk_cycles + router.overhead_cycles
    local = hops == 0
    serial = np.where(
        local, messages.packets * router.local_interval_cycles, (messages.packets - 1) * full + tail
    )
    travel = np.where(local, 0, hops * router.hop_cycles + router.endpoint_cycles)
    begins, ends = np.where(local, 1 << LOCAL, begins), np.where(local, 1 << LOCAL, ends)
    return Routes(np.stack([begins, ends], axis=1).astype(np.uint8), serial, travel)


def execute(
    shape: Shape,
    torus: Closed,
    router: RouterParameters,
    messages: Messages,
    gates: Gates,
    detours: Detours,
    rides: Ints | None = None,
) -> Executed:
    """Run a message graph to its end.

    Parameters
    ----------
    shape, torus
        The partition.
    router
        Times of links, hops and the DMA engine.
    messages, gates
        The graph.
    detours
        Interruptions of the gates' cores.
    rides
        Message on which each rides, or -1, shape (m,); a rider has neither a gate nor a time of its own.

    Raises
    ------
    NeverDoneError
        If gates wait for each other, or for messages that nobody posts.
    """
    state = gate_state(gates, messages, detours)
    routes = routes_of(shape, torus, router, messages)
    size = messages.size
    riding = np.full(size, NEVER, np.int64) if rides is None else rides
    riders, first = riders_of(riding)
    timed = np.flatnonzero(messages.post_cycles >= 0)
    timed = timed[np.argsort(messages.post_cycles[timed], kind="stable")]
    sent, done = np.full(size, -1, np.int64), np.full(size, -1, np.int64)
    run(
        state, messages.source, messages.destination, messages.then, messages.sent_then, routes, first,
        riders, messages.post_cycles[timed], timed, np.zeros((node_count(shape) * ENDS, 2), np.int64),
        np.zeros(size, np.int32), np.zeros(size, np.int64), np.zeros(size, np.int32), sent, done,
    )  # fmt: skip
    if (done < 0).any() or (state.opened < 0).any():
        left, shut = int((done < 0).sum()), int((state.opened < 0).sum())
        raise NeverDoneError(f"{left} messages were never posted, {shut} gates never opened")
    return Executed(state.opened, sent, done, packet_hops(shape, torus, messages, riding))


def packet_hops(shape: Shape, torus: Closed, messages: Messages, rides: Ints) -> int:
    """Links crossed, summed over packets; a rider crosses none that its leader does not."""
    word = hops_word(messages.source, messages.destination, shape, torus)
    hops = (word & 255) + (word >> 8 & 255) + (word >> 16 & 255)
    return int((hops * messages.packets)[rides < 0].sum())


def riders_of(rides: Ints) -> tuple[Ints, Ints]:
    """Riders by leader: their numbers, and where each leader's begin, shape (m + 1,)."""
    riders = np.flatnonzero(rides >= 0)
    riders = riders[np.argsort(rides[riders], kind="stable")]
    first = np.zeros(rides.size + 1, np.int64)
    np.cumsum(np.bincount(rides[rides >= 0], minlength=rides.size), out=first[1:])
    return riders, first


@compiled_inner
def free_first(node, links, free, side):
    """The link end of a node, of those in a set of directions, that is free first."""
    best = -1
    for direction in range(ENDS):
        if links >> direction & 1:
            end = node * ENDS + direction
            if best < 0 or free[end, side] < free[best, side]:
                best = end
    return best


@compiled
def run(
    gates, source, destination, then, sent_then, routes, first, riders,
    post_cycles, posted, free, outbox, heap_time, heap_message, sent, done,
):  # fmt: skip
    """Run to the end; see :func:`execute`. `free` is when each link end is free, going out and coming in."""
    heads = 0
    place = 0
    while True:
        now = np.iinfo(np.int64).max
        if heads:
            now = heap_time[0]
        if place < len(posted):
            now = min(now, post_cycles[place])
        if gates.size[0]:
            now = min(now, gates.heap_time[0])
        if now == np.iinfo(np.int64).max:
            break
        while heads and heap_time[0] == now:
            message = heap_message[0]
            heads = drop_first(heap_time, heap_message, heads)
            end = free_first(destination[message], routes.links[message, 1], free, 1)
            free[end, 1] = done[message] = max(now, free[end, 1]) + routes.serial_cycles[message]
            if then[message] >= 0:
                count(then[message], done[message], gates)
        released = 0
        while place < len(posted) and post_cycles[place] == now:
            outbox[released] = posted[place]
            released += 1
            place += 1
        released = open_gates(now, gates, outbox, released)
        for index in range(released):
            message = outbox[index]
            end = free_first(source[message], routes.links[message, 0], free, 0)
            begins = max(now, free[end, 0])
            free[end, 0] = sent[message] = begins + routes.serial_cycles[message]
            heads = push(heap_time, heap_message, heads, begins + routes.travel_cycles[message], message)
            if sent_then[message] >= 0:
                count(sent_then[message], sent[message], gates)
            for rider_place in range(first[message], first[message + 1]):
                rider = riders[rider_place]
                sent[rider] = sent[message]
                heads = push(heap_time, heap_message, heads, begins + routes.travel_cycles[rider], rider)
                if sent_then[rider] >= 0:
                    count(sent_then[rider], sent[rider], gates)

"""The compiled packet engine's inner loop: the rules of :mod:`bgsim.network.router` on packed arrays.

Whatever a node does is seen by another one no sooner than a header takes to the next router. So nodes are
visited one after the other, in the order of the memory, and each does all that it has to do within a window
of that length; there is no queue of events. A node's record says when it should next look at which of its
links, its reception and its DMA engine, and an array of the earliest of these times says which nodes are to
be visited. It does no harm to look once too often.

A packet joins the FIFO downstream as soon as it is sent. There its header asks for nothing before it comes,
and where the length of a FIFO matters the packets on their way to it are left out; so nobody needs to look
when a header comes.

Messages are posted at the end of an instant, so a window ends at the latest when the next one is.

numba's cache of the loop does not notice changes in the files it inlines: delete it after editing them.
"""

# The compiled functions take arrays by position, and numba's decorators hide their types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from typing import Any

import numba as nb

from bgsim.compiled import compiled
from bgsim.network import packet_layout as at
from bgsim.network.gates import open_gates, sort
from bgsim.network.packed import (
    earliest32,
    least8,
    load8,
    load16,
    load32,
    load64,
    lowest_bit,
    passed8,
    passed32,
    prefetch,
    store16,
    store32,
    store64,
)
from bgsim.network.packet_links import grant
from bgsim.network.packet_moves import INNER, add, inject, post
from bgsim.network.packet_reception import receive
from bgsim.network.router import DIRECTIONS, FIRST_INJECTION, QUEUES

FINISHED, STUCK, REACHED = 0, 1, 2
USUAL_CAPACITY = 4
USUAL_STRIDE = at.node_bytes(USUAL_CAPACITY, headers=1)
USUAL_DMA = at.dma_at(USUAL_CAPACITY)
USUAL_PACKETS = at.packets_at(USUAL_CAPACITY)
AHEAD = 8
"""A node's record is fetched into the cache while so many nodes before it have still to be visited."""
FETCHED = 11
"""Cache lines of that: all but the packets of the network, of which only one is going to be sent."""
NEIGHBOUR_AHEAD = 3
"""The same, for the record of the neighbour that the node may send a packet to."""
NEIGHBOUR_FETCHED = 6
"""Cache lines of that, which are about the FIFO that the packet joins."""


@nb.njit(**INNER)
def visit(node, end, router, places, sent, done, gates, capacity):
    """Have a node do all that it has to do before a time; return the number of its looks.

    The earliest of its times to look is the one in the array of all nodes, so something is due then. Of what
    is due at an instant the first is done first: none of it becomes due again at that instant.
    """
    memory = places.memory
    base = node * router.stride
    now = load16(places.nexts, 2 * node)
    looks = nb.int64(0)
    while now < end:
        lane = lowest_bit(passed8(memory, base + at.WAKE, now))
        looks += 1
        if lane < at.RECEPTION:
            now = grant(node, base, lane, now, router, places, done, gates, capacity)
        else:
            if lane == at.RECEPTION:
                receive(base, now, router, places, done, gates, capacity)
            else:
                inject(base, now, router, places, sent, done, gates, capacity)
            now = least8(memory, base + at.WAKE)
    store16(places.nexts, 2 * node, now)
    return looks


@nb.njit(**INNER)
def list_due(end, router, places):
    """List the nodes that have something to do before a time; return their number."""
    size = nb.int64(0)
    for block in range(router.blocks):
        nodes = passed32(places.nexts, block * 2 * at.BLOCK, end - 1)
        while nodes:
            store32(places.due, 4 * size, block * at.BLOCK + lowest_bit(nodes))
            nodes &= nodes - 1
            size += 1
    return size


@nb.njit(**INNER)
def fetch(node, router, places):
    """Ask for a node's record, so that it is in the cache when the node is visited."""
    for line in range(FETCHED):
        prefetch(places.memory, node * router.stride + at.LINE * line)


@nb.njit(**INNER)
def fetch_neighbour(node, end, router, places):
    """Ask for the record that a node's first look writes to, if it is at a link."""
    memory = places.memory
    base = node * router.stride
    lane = min(lowest_bit(passed8(memory, base + at.WAKE, end - 1) | 1 << at.LANES), DIRECTIONS - 1)
    there = load32(memory, base + at.NEIGHBOUR + 4 * lane) * router.stride
    for line in range(NEIGHBOUR_FETCHED):
        prefetch(memory, there + at.LINE * line)


@nb.njit(**INNER)
def sweep(end, router, places, sent, done, gates, capacity):
    """Visit all nodes that have something to do before a time; return the number of their looks."""
    looks = nb.int64(0)
    size = list_due(end, router, places)
    for index in range(size):
        fetch(load32(places.due, 4 * (index + AHEAD)), router, places)
        fetch_neighbour(load32(places.due, 4 * (index + NEIGHBOUR_AHEAD)), end, router, places)
        looks += visit(load32(places.due, 4 * index), end, router, places, sent, done, gates, capacity)
    return looks


@nb.njit(**INNER)
def usual(router):
    """The same router, if it is the usual one; what that means is known when the loop is compiled.

    FIFOs of 4 packets, one header on a link at a time, read ports slower than headers, and no memory FIFOs
    that may be full.
    """
    return at.Router(
        router.injection_slots, router.chunk, router.overhead, router.hop, router.token, router.read, 0,
        router.endpoint, router.dma, router.local, 0, 1, router.lots, router.window, USUAL_CAPACITY,
        USUAL_STRIDE, USUAL_DMA, USUAL_PACKETS, at.ARRIVE, 0, router.blocks,
    )  # fmt: skip


@nb.njit(**INNER)
def advance(
    until, horizon, router, places, sent, done, post_time, post_message, postings, gates,
):  # fmt: skip
    """Run to a time relative to the epoch, to the end, or until nothing can happen; return which.

    If nothing happens for a while, the time may pass ``until``, but not ``horizon``.
    """
    scalars = places.scalars
    epoch = load64(scalars, at.EPOCH)
    now = load64(scalars, at.NOW)
    never = nb.int64(1) << 62
    while now < until:
        coming = never
        if gates.size[0]:
            coming = gates.heap_time[0]
        elif load64(scalars, at.UNDELIVERED) == 0:
            store64(scalars, at.NOW, now)
            return FINISHED
        posted = load64(scalars, at.POSTED)
        if posted < len(post_time):
            coming = min(coming, post_time[posted])
        instant = max(coming - epoch, now)
        end = min(until, now + router.window, instant + 1)
        looks = sweep(end, router, places, sent, done, gates, router.capacity)
        add(scalars, at.EVENTS, looks)
        if instant < end:
            released = nb.int64(0)
            while posted < len(post_time) and post_time[posted] <= epoch + instant:
                postings[released] = post_message[posted]
                posted += 1
                released += 1
            store64(scalars, at.POSTED, posted)
            released = open_gates(epoch + instant, gates, postings, released)
            sort(postings, released)
            for index in range(released):
                post(postings[index], instant, router, places)
        elif not looks:
            first = nb.int64(at.FAR)
            for block in range(router.blocks):
                every = nb.int64(0xFFFFFFFF)
                first = min(first, earliest32(places.nexts, block * 2 * at.BLOCK, end - 1, every))
            if first == at.FAR:
                first = never
            first = min(first, instant)
            if first >= never - epoch:
                store64(scalars, at.NOW, end)
                return STUCK
            end = max(end, min(horizon, first))
        now = end
    store64(scalars, at.NOW, now)
    return REACHED


@compiled
def run_any(until, horizon, router, places, sent, done, post_time, post_message, postings, gates):
    """Run any network: see :func:`advance`."""
    return advance(until, horizon, router, places, sent, done, post_time, post_message, postings, gates)


@compiled
def run_usual(until, horizon, router, places, sent, done, post_time, post_message, postings, gates):
    """Run a network of usual routers, somewhat faster: see :func:`usual` and :func:`advance`."""
    router = usual(router)
    return advance(until, horizon, router, places, sent, done, post_time, post_message, postings, gates)


def entry(kernel: Any, *arguments: Any) -> Any:
    """Compiled code for arguments of certain types; to see again what they are would take some time."""
    return kernel.compile(tuple(nb.typeof(argument) for argument in arguments))


@compiled
def count_packets(memory, nodes, stride):
    """Count the packets in the FIFOs of all nodes and on their way to them."""
    packets = nb.int64(0)
    for node in range(nodes):
        for bit in range(QUEUES):
            packets += load8(memory, node * stride + at.COUNT + bit)
    return packets


@compiled
def rebase(shift, places, nodes, router):
    """Subtract a time from all times; those that pass the epoch become 0."""
    memory, capacity = places.memory, router.capacity
    for node in range(nodes):
        base = node * router.stride
        back(2 * node, shift, places.nexts)
        for bit in range(32):
            back(base + at.READY + 2 * bit, shift, memory)
        for lane in range(at.LANES):
            for row in (at.WAKE, at.FREE):
                back(base + row + 2 * lane, shift, memory)
        back(base + at.DMA_LOOK, shift, memory)
        back(base + at.RECEPTION_NEXT, shift, memory)
        back(base + at.RECEPTION_NEXT + 2, shift, memory)
        for slot in range(FIRST_INJECTION * capacity):
            back(base + at.SLOTS + 2 * slot, shift, memory)
        for row in range(router.row_mask + 1):
            for bit in range(FIRST_INJECTION):
                back(base + router.rows + at.ROW * row + 2 * bit, shift, memory)


@nb.njit(**INNER)
def back(place, shift, memory):
    """Subtract a time from one, which does not become negative; what is never stays so."""
    time = load16(memory, place)
    store16(memory, place, time if time == at.FAR else max(time - shift, 0))

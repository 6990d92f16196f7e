"""The compiled packet engine's inner loop: the rules of :mod:`bgsim.network.router` on packed arrays.

Whatever a node does is seen by another one no sooner than a header takes to the next router. So nodes are
visited one after the other, in the order of the memory, and each does all that it has to do within a window
of that length; there is no queue of events. A node's record says when it should next look at which of its
links, its reception and its DMA engine, and an array of the earliest of these times says which nodes are to
be visited. It does no harm to look once too often.

Messages are posted at the end of an instant, so a window ends at the latest when the next one is.

numba's cache of the loop does not notice changes in the files it inlines: delete it after editing them.
"""

# The compiled functions take arrays by position, and numba's decorators hide their types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

import numba as nb

from bgsim.compiled import compiled
from bgsim.network import packet_layout as at
from bgsim.network.gates import open_gates, sort
from bgsim.network.packed import (
    bit_count,
    earliest32,
    least16,
    load16,
    load32,
    load64,
    lowest_bit,
    passed16,
    passed32,
    prefetch,
    store16,
    store32,
    store64,
)
from bgsim.network.packet_links import enter, grant
from bgsim.network.packet_moves import INNER, add, inject, post
from bgsim.network.packet_reception import receive
from bgsim.network.router import FIRST_INJECTION

FINISHED, STUCK, REACHED = 0, 1, 2
AHEAD = 2
"""Blocks of nodes whose records are fetched before they are visited."""
FETCHED = 9
"""Cache lines of a record that are fetched."""


@nb.njit(**INNER)
def visit(node, end, router, places, sent, done, gates, capacity):
    """Have a node do all that it has to do before a time; return the number of its looks."""
    memory = places.memory
    base = node * router.stride
    now = load16(places.nexts, 2 * node)
    looks = nb.int64(0)
    while now < end:
        due = passed16(memory, base + at.WAKE, now)
        looks += bit_count(due)
        headers = due >> at.LANES
        if headers:
            while headers:
                enter(base, lowest_bit(headers), router, places, capacity)
                headers &= headers - 1
            due = passed16(memory, base + at.WAKE, now)
        due &= (1 << at.LANES) - 1
        while due:
            lane = lowest_bit(due)
            due &= due - 1
            store16(memory, base + at.WAKE + 2 * lane, at.FAR)
            if lane < at.RECEPTION:
                grant(node, base, lane, now, router, places, done, gates, capacity)
            elif lane == at.RECEPTION:
                receive(base, now, router, places, done, gates, capacity)
            else:
                inject(base, now, router, places, sent, done, gates, capacity)
        now = least16(memory, base + at.WAKE)
    store16(places.nexts, 2 * node, now)
    return looks


@nb.njit(**INNER)
def sweep(end, router, places, sent, done, gates, capacity):
    """Visit all nodes that have something to do before a time; return the number of their looks."""
    looks = nb.int64(0)
    for block in range(router.blocks):
        nodes = passed32(places.nexts, block * 2 * at.BLOCK, end - 1)
        if router.large:
            ahead = min(block + AHEAD, router.blocks - 1)
            coming = passed32(places.nexts, ahead * 2 * at.BLOCK, end - 1)
            while coming:
                base = (ahead * at.BLOCK + lowest_bit(coming)) * router.stride
                coming &= coming - 1
                for line in range(FETCHED):
                    prefetch(places.memory, base + 64 * line)
        while nodes:
            node = block * at.BLOCK + lowest_bit(nodes)
            nodes &= nodes - 1
            looks += visit(node, end, router, places, sent, done, gates, capacity)
    return looks


@compiled
def run(
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
def rebase(shift, places, nodes, router):
    """Subtract a time from all times; those that pass the epoch become 0."""
    memory, capacity = places.memory, router.capacity
    for node in range(nodes):
        base = node * router.stride
        back(2 * node, shift, places.nexts)
        for bit in range(32):
            back(base + at.READY + 2 * bit, shift, memory)
        for lane in range(at.LANES):
            for row in (at.WAKE, at.ARRIVE, at.FREE):
                back(base + row + 2 * lane, shift, memory)
        back(base + at.RECEPTION_NEXT, shift, memory)
        back(base + at.RECEPTION_NEXT + 2, shift, memory)
        for slot in range(FIRST_INJECTION * capacity):
            back(base + at.SLOTS + 2 * slot, shift, memory)
        for place in range(6 * (router.ring_mask + 1)):
            header = load32(memory, base + router.ring + 4 * place)
            if header != at.NO_HEADER:
                store32(memory, base + router.ring + 4 * place, header - shift)


@nb.njit(**INNER)
def back(place, shift, memory):
    """Subtract a time from one, which does not become negative; what is never stays so."""
    time = load16(memory, place)
    store16(memory, place, time if time == at.FAR else max(time - shift, 0))

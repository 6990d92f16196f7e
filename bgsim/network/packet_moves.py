"""Steps of the compiled packet engine: heads of FIFOs asking for links, arbitration, the DMA engine.

Inlined into the loop of :mod:`bgsim.network.packet_kernel`. numba's cache of that loop does not notice
changes in this file or in the layout: delete the cache after editing them.
"""

# The compiled functions take arrays by position, and numba's decorators hide their types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from typing import Any

import numba as nb

from bgsim.network import packet_layout as at
from bgsim.network.gates import count
from bgsim.network.packed import (
    bit_count,
    largest,
    less,
    load8,
    load16,
    load32,
    load64,
    lowest_bit,
    passed32,
    prefetch,
    reached,
    rotated32,
    settle,
    store8,
    store16,
    store32,
    store64,
    summon,
)
from bgsim.network.router import FIRST_INJECTION, HORIZON_MOST, NETWORK_MASK

PRIORITY_FIFO = 6
"""Injection FIFO of priority packets; those of the others have the numbers of their links."""
INNER: dict[str, Any] = {"_nrt": False, "forceinline": True, "error_model": "numpy"}
INNER |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""Small steps are part of the loop's code."""


@nb.njit(**INNER)
def add(address, offset, value):
    """Add to a number of 64 bits."""
    store64(address, offset, load64(address, offset) + value)


@nb.njit(**INNER)
def lower16(address, offset, time):
    """Make a time earlier, if it is later than this one."""
    store16(address, offset, min(load16(address, offset), time))


@nb.njit(**INNER)
def links_of(packet, places):
    """Links that bring a packet nearer; if there is none, reception."""
    hops = packet & at.HOPS_MASK
    left = ((hops | (hops & 0x7F7F7F) + 0x7F7F7F) >> 7) & 0x10101
    return load8(places.ways, (left * 0x10204 >> 16 & 7) << 3 | (packet >> at.SIGNS_BIT & 7))


@nb.njit(**INNER)
def introduce(base, bit, packet, ready, places):
    """A packet is the head of its FIFO: from a time on it asks for links, or for reception.

    Links that have no room for it will be woken when they have, and need not look now. Returns when something
    of the node is to be looked at next, and when something that it asks for is.
    """
    memory = places.memory
    hops = packet & at.HOPS_MASK
    way = links_of(packet, places)
    must = way & -way
    want = way & -(packet >> at.DYNAMIC_BIT & 1)
    store16(memory, base + at.READY + 2 * bit, ready)
    store8(memory, base + at.WANT + bit, want)
    store8(memory, base + at.MUST + bit, must)
    closed = load16(memory, base + at.CLOSED)
    no_escape = closed >> 8 & (closed | ~want)
    if packet >> at.PRIORITY_BIT & 1:
        heads = load32(memory, base + at.PRIORITY_HEADS)
        store32(memory, base + at.PRIORITY_HEADS, heads | nb.int64(1) << bit)
        no_escape = nb.int64(0)
    if hops == 0:
        prefetch(places.messages, (packet >> at.MESSAGE_BIT) * at.MESSAGE_BYTES)
    asked = want & ~closed | must & ~no_escape
    return summon(memory, base + at.WAKE, base + at.FREE, asked, ready)


@nb.njit(**INNER)
def next_arrival(base, bit, left, now, router, memory):
    """When the header of the next packet of a network FIFO comes, if it is on its way; else 0."""
    coming = nb.int64(0)
    first = nb.int64(at.FAR)
    for row in range(router.row_mask + 1):
        time = load16(memory, base + router.rows + at.ROW * row + 2 * bit)
        if time > now:
            coming += 1
            first = min(first, time)
    return first if coming and coming == left else 0


@nb.njit(**INNER)
def take(base, bit, packet, head, now, router, places, capacity):
    """Take the head off a FIFO; its next packet asks when the read port is free again.

    That packet may still be on its way, but its header comes by then, unless there are early reads. Returns
    when something of the node is to be looked at next because of that.
    """
    memory = places.memory
    if packet >> at.PRIORITY_BIT & 1:
        heads = load32(memory, base + at.PRIORITY_HEADS)
        store32(memory, base + at.PRIORITY_HEADS, heads & ~(nb.int64(1) << bit))
    head = (head + 1) & (capacity - 1)
    left = load8(memory, base + at.COUNT + bit) - 1
    store8(memory, base + at.HEAD + bit, head)
    store8(memory, base + at.COUNT + bit, left)
    ready = now + router.read
    if router.early_reads and bit < FIRST_INJECTION:
        ready = max(ready, next_arrival(base, bit, left, now, router, memory))
    if left:
        place = base + router.packets + (bit * capacity + head) * 8
        following, _ = introduce(base, bit, load64(memory, place), ready, places)
    else:
        following = nb.int64(at.FAR)
        store16(memory, base + at.READY + 2 * bit, ready)
        store8(memory, base + at.WANT + bit, 0)
        store8(memory, base + at.MUST + bit, 0)
    return following


@nb.njit(**INNER)
def return_token(base, bit, slot, release, router, places, capacity):
    """Tell the router upstream when a slot of a network FIFO will be free.

    A token that comes later may be that of a shorter packet, and free its slot sooner, so each one counts.
    """
    memory = places.memory
    direction = bit >> 2
    upstream = load32(memory, base + at.NEIGHBOUR + 4 * (direction ^ 1))
    there = upstream * router.stride
    store16(memory, there + at.SLOTS + ((4 * direction + (bit & 3)) * capacity + slot) * 2, release)
    if load8(memory, base + at.CALLED + direction) >> (bit & 3) & 1:
        lower16(memory, there + at.WAKE + 2 * direction, release)
        lower16(places.nexts, 2 * upstream, release)


@nb.njit(**INNER)
def count_arrived(base, now, router, places):
    """Count for each FIFO the packets whose headers have come."""
    counted = places.memory + base + at.COUNT
    for row in range(router.row_mask + 1):
        coming = ~passed32(places.memory, base + router.rows + at.ROW * row, now)
        less(places.scalars + at.FULL, counted, coming & NETWORK_MASK)
        counted = places.scalars + at.FULL


@nb.njit(**INNER)
def choose(feasible, base, now, turn, drawn, router, places):
    """Arbitrate between FIFOs, given as bits."""
    if drawn >> 24 < router.lots:
        rest = feasible
        for _ in range((drawn & 0xFFFF) * bit_count(feasible) >> 16):
            rest &= rest - 1
        return lowest_bit(rest)
    count_arrived(base, now, router, places)
    network = feasible & NETWORK_MASK
    longest = largest(places.scalars, at.FULL, network if network else feasible)
    return (lowest_bit(rotated32(longest, turn)) + turn) & 31


@nb.njit(**INNER)
def deliver(message, arrival, places, done, gates):
    """Count a packet, or its copy, whose tail will have arrived at a time.

    A message has arrived when all its tails have; the latest need not be that of the last header.
    """
    messages = places.messages
    add(places.scalars, at.UNDELIVERED, -1)
    record = message * at.MESSAGE_BYTES
    left = load32(messages, record + at.MESSAGE_UNDELIVERED) - 1
    store32(messages, record + at.MESSAGE_UNDELIVERED, left)
    later = (load32(messages, record + at.MESSAGE_LATEST) - arrival) & 0xFFFFFFFF
    if later < HORIZON_MOST:
        arrival += later
    store32(messages, record + at.MESSAGE_LATEST, arrival)
    if left == 0:
        done[message] = arrival
        then = load32(messages, record + at.MESSAGE_THEN)
        if then != at.NONE:
            count(then, arrival, gates)


@nb.njit(**INNER)
def fifo_for(packet, base, limit, memory):
    """Injection FIFO for a packet, the emptiest of its directions, and the packets in it.

    The FIFO is -1 if all are full.
    """
    counts = base + at.COUNT + FIRST_INJECTION
    target = -1
    least = limit
    if packet >> at.PRIORITY_BIT & 1:
        used = load8(memory, counts + PRIORITY_FIFO)
        return (PRIORITY_FIFO, used) if used < least else (-1, used)
    for dimension in range(3):
        if packet >> 8 * dimension & 255:
            fifo = 2 * dimension + (packet >> (at.SIGNS_BIT + dimension) & 1)
            used = load8(memory, counts + fifo)
            if used < least:
                least = used
                target = fifo
            if not packet >> at.DYNAMIC_BIT & 1:
                break
    return target, least


@nb.njit(**INNER)
def post(message, now, router, places):
    """Append a message to its DMA FIFO and see that the engine runs."""
    memory, messages = places.memory, places.messages
    place = load32(messages, message * at.MESSAGE_BYTES + at.MESSAGE_PLACE)
    node, fifo = place >> 8, place & 7
    base = node * router.stride
    latest = load64(places.scalars, at.EPOCH) + now
    store32(messages, message * at.MESSAGE_BYTES + at.MESSAGE_LATEST, latest)
    active = load8(memory, base + at.DMA_ACTIVE)
    if active >> fifo & 1:
        last = load32(memory, base + router.dma_fifos + at.DMA_TAIL + 4 * fifo)
        store32(messages, last * at.MESSAGE_BYTES + at.MESSAGE_NEXT, message)
    else:
        store32(memory, base + router.dma_fifos + 4 * fifo, message)
        store8(memory, base + at.DMA_ACTIVE, active | 1 << fifo)
    store32(memory, base + router.dma_fifos + at.DMA_TAIL + 4 * fifo, message)
    ready = max(now + 1, load16(memory, base + at.FREE + 2 * at.INJECTION))
    lower16(memory, base + at.WAKE + 2 * at.INJECTION, ready)
    lower16(places.nexts, 2 * node, ready)


@nb.njit(**INNER)
def start_engine(base, bit, now, memory):
    """Have a DMA engine that is blocked look for room soon, as an injection FIFO has some more; return when.

    It looks in vain if that FIFO is not one that it needs, and then need not look at all. But if it would
    have looked just now, after the links, it finds the room that this link makes.
    """
    blocked = load8(memory, base + at.DMA_BLOCKED)
    if not blocked:
        return nb.int64(at.FAR)
    look = load16(memory, base + at.DMA_LOOK)
    if look < now:
        look = max(now + 1, load16(memory, base + at.FREE + 2 * at.INJECTION))
        store16(memory, base + at.DMA_LOOK, look)
    if not blocked >> (bit - FIRST_INJECTION) & 1:
        return nb.int64(at.FAR)
    lower16(memory, base + at.WAKE + 2 * at.INJECTION, look)
    return look


@nb.njit(**INNER)
def blocked_on(base, router, places):
    """Injection FIFOs that all are full and of which a DMA engine needs one; 0 if it can go on."""
    memory, messages = places.memory, places.messages
    full = reached(memory, base + at.COUNT, router.injection_slots) >> FIRST_INJECTION
    blocked = nb.int64(0)
    active = load8(memory, base + at.DMA_ACTIVE)
    while active:
        message = load32(memory, base + router.dma_fifos + 4 * lowest_bit(active))
        active &= active - 1
        packet = load32(messages, message * at.MESSAGE_BYTES + at.MESSAGE_HOPS)
        fifos = links_of(packet, places)
        if not packet >> at.DYNAMIC_BIT & 1:
            fifos &= -fifos
        if packet >> at.PRIORITY_BIT & 1:
            fifos = nb.int64(1) << PRIORITY_FIFO
        if fifos & ~full or packet & at.HOPS_MASK == 0:
            return nb.int64(0)
        blocked |= fifos
    return blocked


@nb.njit(**INNER)
def inject(base, now, router, places, sent, done, gates, capacity):
    """Move a packet of the next message that can from a DMA engine to an injection FIFO.

    A DMA FIFO that cannot go on keeps its turn.
    """
    memory, messages, scalars = places.memory, places.messages, places.scalars
    active = load8(memory, base + at.DMA_ACTIVE)
    turn = load8(memory, base + at.TURN + at.INJECTION)
    free = now
    waiting = nb.int64(-1)
    rest = (active << 8 | active) >> turn & 0xFF
    while rest:
        fifo = (turn + lowest_bit(rest)) & 7
        rest &= rest - 1
        message = load32(memory, base + router.dma_fifos + 4 * fifo)
        record = message * at.MESSAGE_BYTES
        packet = load32(messages, record + at.MESSAGE_HOPS)
        unsent = load32(messages, record + at.MESSAGE_UNSENT)
        chunks = 8
        if unsent == 1:
            chunks = load32(messages, record + at.MESSAGE_PLACE) >> 3 & 31
        interval = router.dma
        if packet & at.HOPS_MASK == 0:
            interval = router.local
            add(scalars, at.DELIVERED, 1)
            deliver(message, load64(scalars, at.EPOCH) + now + interval, places, done, gates)
        else:
            target, used = fifo_for(packet, base, router.injection_slots, memory)
            if target < 0:
                waiting = fifo if waiting < 0 else waiting
                continue
            packet |= chunks << at.CHUNKS_BIT | message << at.MESSAGE_BIT
            bit = FIRST_INJECTION + target
            tail = (load8(memory, base + at.HEAD + bit) + used) & (capacity - 1)
            store64(memory, base + router.packets + (bit * capacity + tail) * 8, packet)
            store8(memory, base + at.COUNT + bit, used + 1)
            if used == 0:
                ready = max(now + 1, load16(memory, base + at.READY + 2 * bit))
                introduce(base, bit, packet, ready, places)
        add(scalars, at.INJECTED, 1)
        store32(messages, record + at.MESSAGE_UNSENT, unsent - 1)
        if unsent == 1:
            moved = load64(scalars, at.EPOCH) + now + interval
            sent[message] = moved
            then = load32(messages, record + at.MESSAGE_SENT_THEN)
            if then != at.NONE:
                count(then, moved, gates)
            following = load32(messages, record + at.MESSAGE_NEXT)
            if following == at.NONE:
                store8(memory, base + at.DMA_ACTIVE, active ^ 1 << fifo)
            else:
                store32(memory, base + router.dma_fifos + 4 * fifo, following)
        store8(memory, base + at.TURN + at.INJECTION, waiting if waiting >= 0 else (fifo + 1) & 7)
        free = now + interval
        store16(memory, base + at.FREE + 2 * at.INJECTION, free)
        break
    blocked = blocked_on(base, router, places)
    store8(memory, base + at.DMA_BLOCKED, blocked)
    store16(memory, base + at.DMA_LOOK, free)
    goes_on = not blocked and load8(memory, base + at.DMA_ACTIVE)
    settle(memory, base + at.WAKE, at.INJECTION, free if goes_on else at.FAR)

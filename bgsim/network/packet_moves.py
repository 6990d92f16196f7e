"""Steps of the compiled packet engine: events, tokens, heads of FIFOs asking for links, arbitration.

Inlined into the loop of :mod:`bgsim.network.packet_kernel`. numba's cache of that loop does not notice
changes in this file or in the layout: delete the cache after editing them.
"""

# The compiled functions take arrays by position, and numba's decorators hide their types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from typing import Any

import numba as nb

from bgsim.compiled import compiled_inner
from bgsim.network import packet_layout as at
from bgsim.network.packed import (
    bit_count,
    equal16,
    equal32,
    largest,
    load8,
    load16,
    load32,
    load64,
    lowest_bit,
    prefetch,
    store8,
    store16,
    store32,
    store64,
)
from bgsim.network.router import NETWORK_MASK

INNER: dict[str, Any] = {"_nrt": False, "forceinline": True, "error_model": "numpy"}
INNER |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""Small steps are part of the loop's code."""


@nb.njit(**INNER)
def add(address, offset, value):
    """Add to a number of 64 bits."""
    store64(address, offset, load64(address, offset) + value)


@nb.njit(**INNER)
def push_if(needed, time, subject, wheel):
    """Put an event into the wheel, less than one turn ahead, if ``needed`` is 1 and not 0."""
    slot = (time & wheel.mask) * 4
    cursor = load32(wheel.cursors, slot)
    if cursor & (at.BLOCK - 1) == 0:
        if not needed:
            return
        spare = load64(wheel.scalars, at.SPARE)
        store64(wheel.scalars, at.SPARE, load32(wheel.pool, spare * at.BLOCK * 4))
        add(wheel.scalars, at.SPARES, -1)
        store32(wheel.pool, (cursor - at.BLOCK) * 4, spare)
        cursor = spare * at.BLOCK + 1
    store32(wheel.pool, cursor * 4, subject)
    store32(wheel.cursors, slot, cursor + needed)


@nb.njit(**INNER)
def look_at(time, wanted, now, link, subject, memory, wheel):
    """Have a link looked at by a time, if ``wanted`` is 1: then, or before, which will see to the rest."""
    wake = load16(memory, link + at.LINK_WAKE)
    needed = wanted & (nb.int64(wake <= now) | nb.int64(wake > time))
    store16(memory, link + at.LINK_WAKE, time if needed else wake)
    push_if(needed, time, subject, wheel)


@compiled_inner
def introduce(node, base, bit, packet, ready, now, memory, messages, wheel, capacity):
    """A packet is the head of its FIFO: from a time on it asks for links, or for reception."""
    store16(memory, base + at.READY + 2 * bit, ready)
    hops = packet & at.HOPS_MASK
    if hops == 0:
        place = base + at.RECEIVE
        store32(memory, place, load32(memory, place) | nb.int64(1) << bit)
        push_if(1, ready, node * 8 + at.RECEPTION, wheel)
        prefetch(messages, (packet >> at.MESSAGE_BIT) * at.MESSAGE_BYTES)
        return
    length = 16 * capacity
    links = base + at.LINKS
    first = lowest_bit(hops) >> 3
    if packet >> at.DYNAMIC_BIT & 1:
        for dimension in range(3):
            wanted = nb.int64(packet >> 8 * dimension & 255 != 0)
            direction = 2 * dimension + (packet >> (24 + dimension) & 1)
            place = links + direction * length
            asking = (wanted | nb.int64(dimension == first) << 32) << bit
            store64(memory, place + at.LINK_DYNAMIC, load64(memory, place + at.LINK_DYNAMIC) | asking)
            time = max(ready, load16(memory, place + at.LINK_FREE))
            look_at(time, wanted, now, place, node * 8 + direction, memory, wheel)
    else:
        direction = 2 * first + (packet >> (24 + first) & 1)
        place = links + direction * length
        asking = nb.int64(1) << bit << 32 * (packet >> at.PRIORITY_BIT & 1)
        store64(memory, place + at.LINK_DETERMINISTIC, load64(memory, place + at.LINK_DETERMINISTIC) | asking)
        time = max(ready, load16(memory, place + at.LINK_FREE))
        look_at(time, 1, now, place, node * 8 + direction, memory, wheel)


@nb.njit(**INNER)
def withdraw(base, direction, bit, packet, memory, capacity):
    """The head of a FIFO was granted a link in a direction: it asks for none any more."""
    length = 16 * capacity
    links = base + at.LINKS
    others = ~(nb.int64(0x100000001) << bit)
    if packet >> at.DYNAMIC_BIT & 1:
        for dimension in range(3):
            place = links + (2 * dimension + (packet >> (24 + dimension) & 1)) * length + at.LINK_DYNAMIC
            store64(memory, place, load64(memory, place) & others)
    else:
        place = links + direction * length + at.LINK_DETERMINISTIC
        store64(memory, place, load64(memory, place) & others)


@nb.njit(**INNER)
def behead(node, base, bit, now, router, memory, messages, wheel, capacity):
    """Take the head off a FIFO; its next packet asks when the read port is free again."""
    head = (load8(memory, base + at.HEAD + bit) + 1) & (capacity - 1)
    left = load8(memory, base + at.COUNT + bit) - 1
    store8(memory, base + at.HEAD + bit, head)
    store8(memory, base + at.COUNT + bit, left)
    ready = now + router.read
    if left:
        place = base + at.LINKS + 96 * capacity + (bit * capacity + head) * 8
        introduce(node, base, bit, load64(memory, place), ready, now, memory, messages, wheel, capacity)
    else:
        store16(memory, base + at.READY + 2 * bit, ready)


@nb.njit(**INNER)
def return_token(base, bit, release, router, memory, wheel, capacity):
    """Tell the router upstream when a slot of a network FIFO will be free."""
    direction = bit >> 2
    channel = bit & 3
    upstream = load32(memory, base + at.NEIGHBOUR + 4 * (direction ^ 1))
    place = upstream * router.stride + at.LINKS + direction * 16 * capacity
    hand_back(place, upstream * 8 + direction, channel, release, memory, wheel, capacity)


@nb.njit(**INNER)
def hand_back(link, subject, channel, release, memory, wheel, capacity):
    """A link's router learns when one more slot of a channel downstream will be free."""
    slots = link + at.LINK_SLOTS
    if capacity == 8:
        slots = link + at.LINK_SLOTS_LONG
        occupied = equal32(memory, slots, at.FAR) >> 8 * channel & 0xFF
    else:
        occupied = equal16(memory, slots, at.FAR) >> 4 * channel & 0xF
    slot = capacity * channel + lowest_bit(occupied)
    store16(memory, slots + 2 * slot, release)
    starved = load8(memory, link + at.LINK_STARVED)
    if starved >> channel & 1:
        store8(memory, link + at.LINK_STARVED, starved ^ 1 << channel)
        store16(memory, link + at.LINK_WAKE, release)
        push_if(1, release, subject, wheel)


@nb.njit(**INNER)
def choose(feasible, counts, turn, drawn, lots, memory):
    """Arbitrate between FIFOs, given as bits; ``counts`` is where their lengths are."""
    if drawn >> 24 < lots:
        rest = feasible
        for _ in range((drawn & 0xFFFF) * bit_count(feasible) >> 16):
            rest &= rest - 1
        return lowest_bit(rest)
    network = feasible & NETWORK_MASK
    longest = largest(memory, counts, network if network else feasible)
    rotated = (longest >> turn | longest << (32 - turn)) & 0xFFFFFFFF
    return (lowest_bit(rotated) + turn) & 31


@nb.njit(**INNER)
def fifo_for(packet, base, limit, memory):
    """Injection FIFO for a packet, the emptiest of its directions, and the packets in it.

    The FIFO is -1 if all are full.
    """
    counts = base + at.COUNT + 24
    target = -1
    least = limit
    if packet >> at.PRIORITY_BIT & 1:
        used = load8(memory, counts + 6)
        return (6, used) if used < least else (-1, used)
    for dimension in range(3):
        if packet >> 8 * dimension & 255:
            fifo = 2 * dimension + (packet >> (24 + dimension) & 1)
            used = load8(memory, counts + fifo)
            if used < least:
                least = used
                target = fifo
            if not packet >> at.DYNAMIC_BIT & 1:
                break
    return target, least


@nb.njit(**INNER)
def post(message, now, router, memory, messages, wheel):
    """Append a message to its DMA FIFO and see that the engine runs."""
    place = load32(messages, message * at.MESSAGE_BYTES + at.MESSAGE_PLACE)
    node, fifo = place >> 8, place & 7
    base = node * router.stride
    store32(messages, message * at.MESSAGE_BYTES + at.MESSAGE_LATEST, load64(wheel.scalars, at.EPOCH) + now)
    active = load8(memory, base + at.DMA_ACTIVE)
    if active >> fifo & 1:
        last = load32(memory, base + at.DMA_TAIL + 4 * fifo)
        store32(messages, last * at.MESSAGE_BYTES + at.MESSAGE_NEXT, message)
    else:
        store32(memory, base + at.DMA_HEAD + 4 * fifo, message)
        store8(memory, base + at.DMA_ACTIVE, active | 1 << fifo)
    store32(memory, base + at.DMA_TAIL + 4 * fifo, message)
    start_engine(node, base, now, memory, messages, wheel)


@nb.njit(**INNER)
def start_engine(node, base, now, memory, messages, wheel):
    """Have a DMA engine with messages inject a packet soon."""
    active = load8(memory, base + at.DMA_ACTIVE)
    if active and not load8(memory, base + at.DMA_PENDING):
        store8(memory, base + at.DMA_PENDING, 1)
        ready = max(now + 1, load16(memory, base + at.DMA_FREE))
        push_if(1, ready, node * 8 + at.INJECTION, wheel)
        turn = load8(memory, base + at.DMA_TURN)
        fifo = turn if active >> turn & 1 else lowest_bit(active)
        prefetch(messages, load32(memory, base + at.DMA_HEAD + 4 * fifo) * at.MESSAGE_BYTES)

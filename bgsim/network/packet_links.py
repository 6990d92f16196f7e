"""Links of the compiled packet engine: who may send, who sends, and what the nodes downstream get.

A link is looked at when a head that asks for it may ask, or when it is free again if there are such heads
then. A link that cannot send is woken when something changes: when a slot it needs becomes free at a known
time, or by the token that makes it known.

Inlined into the loop of :mod:`bgsim.network.packet_kernel`.
"""

# The compiled functions take arrays by position, and numba's decorators hide their types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

import numba as nb

from bgsim.network import packet_layout as at
from bgsim.network.packed import (
    asking,
    bit_count,
    earliest16,
    earliest32,
    load8,
    load16,
    load32,
    load64,
    lowest_bit,
    passed16,
    passed32,
    settle,
    store8,
    store16,
    store64,
    summon,
    united,
)
from bgsim.network.packet_moves import (
    INNER,
    choose,
    deliver,
    introduce,
    lower16,
    return_token,
    start_engine,
    take,
)
from bgsim.network.router import FIRST_INJECTION


@nb.njit(**INNER)
def grant(node, base, direction, now, router, places, done, gates, capacity):
    """Look at a link, and send a packet if one can be; return when the node is to look at something next."""
    memory = places.memory
    lane = nb.int64(1) << direction
    free = load16(memory, base + at.FREE + 2 * direction)
    if free > now:
        return settle(memory, base + at.WAKE, direction, free)
    closed = load16(memory, base + at.CLOSED)
    if closed & (lane | lane << 8):
        closed &= ~(lane | lane << 8)
        store16(memory, base + at.CLOSED, closed)
    ready = passed32(memory, base + at.READY, now)
    wanted = asking(memory, base + at.WANT, lane)
    ordered = asking(memory, base + at.MUST, lane)
    asked = wanted | ordered
    if not asked & ready:
        time = earliest32(memory, base + at.READY, now, asked)
        return settle(memory, base + at.WAKE, direction, time)
    first = load32(memory, base + at.PRIORITY_HEADS)
    bubble = ordered & ready & ~first
    priority = ordered & ready & first
    dynamic = wanted & ready
    slots = base + at.SLOTS + direction * 8 * capacity
    if capacity == 8:
        open_slots = passed32(memory, slots, now)
    else:
        open_slots = passed16(memory, slots, now)
    every = (nb.int64(1) << capacity) - 1
    free0 = bit_count(open_slots & every)
    free1 = bit_count(open_slots >> capacity & every)
    free2 = bit_count(open_slots >> 2 * capacity & every)
    straight = nb.int64(1) << (direction * 4 + 2)
    if not free0 | free1 and free2 and bubble & dynamic:
        elsewhere = asking(memory, base + at.WANT, with_room(base, now, memory, capacity))
        bubble &= ~(dynamic & elsewhere)
    able = dynamic if free0 | free1 else 0
    able |= bubble if free2 > 1 else (bubble & straight if free2 else 0)
    channel = 0 if free0 >= free1 else 1
    if priority:
        free3 = bit_count(open_slots >> 3 * capacity)
        urgent = priority if free3 > 1 else (priority & straight << 1 if free3 else 0)
        if urgent:
            able = urgent
            dynamic = 0
            channel = 3
    if not able:
        later = ordered & first
        if dynamic:  # else tokens of these channels do not wake it
            closed |= lane
        else:
            later |= wanted
        if bubble and not free2:
            closed |= lane << 8
        else:
            later |= ordered
        store16(memory, base + at.CLOSED, closed)
        starved = (3 if dynamic else 0) | (4 if bubble else 0) | (8 if priority else 0)
        call(base, direction, starved, router, memory)
        time = earliest_slot(slots, now, starved, memory, capacity)
        time = min(time, earliest32(memory, base + at.READY, now, later))
        return settle(memory, base + at.WAKE, direction, time)
    if load8(memory, base + at.STARVED + direction):
        call(base, direction, 0, router, memory)
    counters = base + at.COUNTERS + 8 * direction
    sent = load64(memory, counters)
    grants = sent & 0xFFFFFFFF
    mixed = (grants * 2654435761 + (8 * node + direction) * 2246822519) & 0xFFFFFFFF
    mixed ^= mixed >> 15
    mixed = (mixed * 739982445) & 0xFFFFFFFF
    turn = load8(memory, base + at.TURN + direction)
    bit = choose(able, base, now, turn, mixed, router, places)
    if channel != 3 and not (dynamic >> bit & 1 and free0 | free1):
        channel = 2
    head = load8(memory, base + at.HEAD + bit)
    packet = load64(memory, base + router.packets + (bit * capacity + head) * 8)
    chunks = packet >> at.CHUNKS_BIT & 15
    free = now + chunks * router.chunk + router.overhead
    store16(memory, base + at.FREE + 2 * direction, free)
    time = free if asked & ~(nb.int64(1) << bit) else at.FAR
    following = settle(memory, base + at.WAKE, direction, time)
    store64(memory, counters, sent + (chunks << 32 | 1))
    store8(memory, base + at.TURN + direction, (bit + 1) & 31)
    others = dynamic & ~(nb.int64(1) << bit)
    if channel < 2 and free0 + free1 == 1 and others:  # they waited for it, and may escape now
        lower = (nb.int64(1) << (direction & 6)) - 1
        escapes = united(memory, base + at.MUST, others) & lower
        following, _ = summon(memory, base + at.WAKE, base + at.FREE, escapes, now + 1)
    open_slot = lowest_bit(open_slots >> capacity * channel)
    send(base, direction, channel, open_slot, packet, grants, now, router, places, capacity)
    if bit < FIRST_INJECTION:
        if packet >> at.DEPOSIT_BIT & 1:
            arrival = load64(places.scalars, at.EPOCH) + free + router.endpoint
            deliver(packet >> at.MESSAGE_BIT, arrival, places, done, gates)
        return_token(base, bit, head, free + router.token, router, places, capacity)
    following = min(following, take(base, bit, packet, head, now, router, places, capacity))
    if bit >= FIRST_INJECTION:
        following = min(following, start_engine(base, bit, now, memory))
    return following


@nb.njit(**INNER)
def with_room(base, now, memory, capacity):
    """Links, bit by direction, whose dynamic channels have a free slot downstream."""
    links = nb.int64(0)
    for direction in range(6):
        slots = base + at.SLOTS + direction * 8 * capacity
        if capacity == 8:
            vacant = passed32(memory, slots, now) & 0xFFFF
        else:
            vacant = passed16(memory, slots, now) & 0xFF
        links |= nb.int64(vacant != 0) << direction
    return links


@nb.njit(**INNER)
def call(base, direction, channels, router, memory):
    """Ask the node downstream of a link to wake it by the tokens of some channels."""
    store8(memory, base + at.STARVED + direction, channels)
    there = load32(memory, base + at.NEIGHBOUR + 4 * direction)
    store8(memory, there * router.stride + at.CALLED + direction, channels)


@nb.njit(**INNER)
def send(base, direction, channel, open_slot, packet, grants, now, router, places, capacity):
    """Put a packet into the FIFO downstream, where its header arrives later.

    Packets lie in the slots of that FIFO in turn, whichever of its tokens they use up; so the time that a
    slot will be free, if it is known, moves to the one whose token is used up.
    """
    memory = places.memory
    there = load32(memory, base + at.NEIGHBOUR + 4 * direction)
    below = there * router.stride
    fifo = 4 * direction + channel
    used = load8(memory, below + at.COUNT + fifo)
    store8(memory, below + at.COUNT + fifo, used + 1)
    tail = (load8(memory, below + at.HEAD + fifo) + used) & (capacity - 1)
    slots = base + at.SLOTS + fifo * capacity * 2
    store16(memory, slots + 2 * open_slot, load16(memory, slots + 2 * tail))
    store16(memory, slots + 2 * tail, at.FAR)
    packet -= nb.int64(1) << 8 * (direction >> 1)
    store64(memory, below + router.packets + (fifo * capacity + tail) * 8, packet)
    arrival = now + router.hop
    row = below + router.rows + at.ROW * (grants & router.row_mask)
    store16(memory, row + 2 * fifo, arrival)
    if used == 0:
        ready = max(arrival, load16(memory, below + at.READY + 2 * fifo))
        _, wake = introduce(below, fifo, packet, ready, places)
        lower16(places.nexts, 2 * there, wake)


@nb.njit(**INNER)
def earliest_slot(slots, now, starved, memory, capacity):
    """Find the time at which one more slot of some channels is known to be free."""
    every = (nb.int64(1) << capacity) - 1
    asked = nb.int64(0)
    for channel in range(4):
        if starved >> channel & 1:
            asked |= every << capacity * channel
    if capacity == 8:
        return earliest32(memory, slots, now, asked)
    return earliest16(memory, slots, now, asked)

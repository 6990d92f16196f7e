"""Links of the compiled packet engine: who may send, who sends, and what the nodes downstream get.

A head of a FIFO is entered at the links it asks for at once, with the time from which it may; a link that is
busy till then needs no event of its own. A link that cannot send is woken when something changes: when its
packet has left, when a slot it needs becomes free at a known time, or by the token that makes it known.

Inlined into the loop of :mod:`bgsim.network.packet_kernel`.
"""

# The compiled functions take arrays by position, and numba's decorators hide their types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

import numba as nb

from bgsim.network import packet_layout as at
from bgsim.network.packed import (
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
    prefetch,
    store8,
    store16,
    store64,
)
from bgsim.network.packet_moves import (
    INNER,
    add,
    behead,
    choose,
    hand_back,
    introduce,
    look_at,
    push_if,
    start_engine,
    withdraw,
)
from bgsim.network.packet_reception import deliver
from bgsim.network.router import FIRST_INJECTION


@nb.njit(**INNER)
def grant(node, base, direction, now, sends, router, memory, messages, done, gates, outbox, wheel, capacity):
    """Look at a link, and send a packet if one can be; return the number of packets sent in this cycle."""
    link = base + at.LINKS + direction * 16 * capacity
    subject = node * 8 + direction
    dynamic = load64(memory, link + at.LINK_DYNAMIC)
    deterministic = load64(memory, link + at.LINK_DETERMINISTIC)
    asking = dynamic | deterministic
    if not asking:
        return sends
    asking = (asking | asking >> 32) & 0xFFFFFFFF
    free = load16(memory, link + at.LINK_FREE)
    if free > now:
        look_at(free, 1, now, link, subject, memory, wheel)
        return sends
    ready = passed32(memory, base + at.READY, now)
    if not asking & ready:
        look_at(earliest32(memory, base + at.READY, now, asking), 1, now, link, subject, memory, wheel)
        return sends
    bubble = (deterministic | dynamic >> 32) & ready
    priority = deterministic >> 32 & ready
    dynamic &= ready
    slots = link + at.LINK_SLOTS
    if capacity == 8:
        slots = link + at.LINK_SLOTS_LONG
        open_slots = passed32(memory, slots, now)
    else:
        open_slots = passed16(memory, slots, now)
    every = (nb.int64(1) << capacity) - 1
    free0 = bit_count(open_slots & every)
    free1 = bit_count(open_slots >> capacity & every)
    free2 = bit_count(open_slots >> 2 * capacity & every)
    straight = nb.int64(1) << (direction * 4 + 2)
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
        await_tokens(link, subject, slots, now, dynamic, bubble, priority, memory, wheel, capacity)
        if asking & ~ready:
            time = earliest32(memory, base + at.READY, now, asking)
            look_at(time, 1, now, link, subject, memory, wheel)
        return sends
    sent = load64(memory, link + at.LINK_GRANTS)
    grants = sent & 0xFFFFFFFF
    mixed = (grants * 2654435761 + subject * 2246822519) & 0xFFFFFFFF
    mixed ^= mixed >> 15
    mixed = (mixed * 739982445) & 0xFFFFFFFF
    turn = load8(memory, link + at.LINK_TURN)
    bit = choose(able, base + at.COUNT, turn, mixed, router.lots, memory)
    if channel != 3 and not (dynamic >> bit & 1 and free0 | free1):
        channel = 2
    slot = capacity * channel + lowest_bit(open_slots >> capacity * channel)
    store16(memory, slots + 2 * slot, at.FAR)
    head = load8(memory, base + at.HEAD + bit)
    packet = load64(memory, base + at.LINKS + 96 * capacity + (bit * capacity + head) * 8)
    chunks = packet >> at.CHUNKS_BIT & 15
    free = now + chunks * router.chunk + router.overhead
    store16(memory, link + at.LINK_FREE, free)
    store64(memory, link + at.LINK_GRANTS, sent + (chunks << 32 | 1))
    store8(memory, link + at.LINK_TURN, (bit + 1) & 31)
    withdraw(base, direction, bit, packet, memory, capacity)
    if asking & ~(nb.int64(1) << bit):
        store16(memory, link + at.LINK_WAKE, free)
        push_if(1, free, subject, wheel)
    behead(node, base, bit, now, router, memory, messages, wheel, capacity)
    if packet >> at.DEPOSIT_BIT & 1 and bit < FIRST_INJECTION:
        arrival = load64(wheel.scalars, at.EPOCH) + free + router.endpoint
        deliver(packet >> at.MESSAGE_BIT, arrival, wheel.scalars, messages, done, gates)
    there = load32(memory, base + at.NEIGHBOUR + 4 * direction)
    token = nb.int64(-1)
    if bit < FIRST_INJECTION:
        upstream = load32(memory, base + at.NEIGHBOUR + 4 * (bit >> 2 ^ 1))
        if router.large:
            prefetch(memory, upstream * router.stride + at.LINKS + (bit >> 2) * 16 * capacity)
        token = ((upstream * 8 + (bit >> 2)) << 2 | bit & 3) << 16 | (free + router.token)
    else:
        start_engine(node, base, now, memory, messages, wheel)
    store64(outbox, sends * 24, there << 5 | direction * 4 + channel)
    store64(outbox, sends * 24 + 8, packet - (nb.int64(1) << 8 * (direction >> 1)))
    store64(outbox, sends * 24 + 16, token)
    if router.large:
        below = there * router.stride
        prefetch(memory, below + at.READY)
        prefetch(memory, below + at.COUNT)
        prefetch(memory, below + at.LINKS + 96 * capacity + (direction * 4 + channel) * capacity * 8)
    return sends + 1


@nb.njit(**INNER)
def await_tokens(link, subject, slots, now, dynamic, bubble, priority, memory, wheel, capacity):
    """No packet fits downstream: have the link woken when one more slot is free."""
    starved = (3 if dynamic else 0) | (4 if bubble else 0) | (8 if priority else 0)
    store8(memory, link + at.LINK_STARVED, starved)
    every = (nb.int64(1) << capacity) - 1
    asked = nb.int64(0)
    for channel in range(4):
        if starved >> channel & 1:
            asked |= every << capacity * channel
    time = earliest32(memory, slots, now, asked) if capacity == 8 else earliest16(memory, slots, now, asked)
    look_at(time, nb.int64(time != at.FAR), now, link, subject, memory, wheel)


@nb.njit(**INNER)
def append(sends, now, router, memory, messages, outbox, wheel, capacity):
    """Put the packets sent in this cycle into the FIFOs downstream, and return their tokens."""
    for index in range(sends):
        queue = load64(outbox, index * 24)
        packet = load64(outbox, index * 24 + 8)
        token = load64(outbox, index * 24 + 16)
        node = queue >> 5
        bit = queue & 31
        base = node * router.stride
        used = load8(memory, base + at.COUNT + bit)
        tail = (load8(memory, base + at.HEAD + bit) + used) & (capacity - 1)
        store64(memory, base + at.LINKS + 96 * capacity + (bit * capacity + tail) * 8, packet)
        store8(memory, base + at.COUNT + bit, used + 1)
        if used == 0:
            ready = max(now + router.hop, load16(memory, base + at.READY + 2 * bit))
            introduce(node, base, bit, packet, ready, now, memory, messages, wheel, capacity)
        if token >= 0:
            subject = token >> 18
            link = (subject >> 3) * router.stride + at.LINKS + (subject & 7) * 16 * capacity
            hand_back(link, subject, token >> 16 & 3, token & 0xFFFF, memory, wheel, capacity)
    add(wheel.scalars, at.HOPS, sends)

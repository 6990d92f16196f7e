"""Reception of the compiled packet engine: packets at their destination, and memory FIFOs that may be full.

Inlined into the loop of :mod:`bgsim.network.packet_kernel`, whose cache does not notice changes here.
"""

# The compiled functions take arrays by position, and numba's decorators hide their types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

import numba as nb

from bgsim.network import packet_layout as at
from bgsim.network.gates import count
from bgsim.network.packed import (
    load8,
    load16,
    load32,
    load64,
    lowest_bit,
    passed32,
    store8,
    store16,
    store32,
)
from bgsim.network.packet_moves import INNER, add, behead, push_if, return_token
from bgsim.network.router import HORIZON_MOST


@nb.njit(**INNER)
def deliver(message, arrival, scalars, messages, done, gates):
    """Count a packet, or its copy, whose tail will have arrived at a time.

    A message has arrived when all its tails have; the latest need not be that of the last header.
    """
    add(scalars, at.UNDELIVERED, -1)
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
def drain(node, base, now, router, memory, wheel):
    """Have software take a packet out of each memory FIFO whose time has come."""
    for kind in range(2):
        used = load16(memory, base + at.RECEPTION_USED + 2 * kind)
        if used and load16(memory, base + at.RECEPTION_NEXT + 2 * kind) <= now:
            store16(memory, base + at.RECEPTION_USED + 2 * kind, used - 1)
            if used > 1:
                store16(memory, base + at.RECEPTION_NEXT + 2 * kind, now + router.reception_cycles)
                push_if(1, now + router.reception_cycles, node * 8 + at.RECEPTION, wheel)


@nb.njit(**INNER)
def accept(node, base, bit, packet, now, router, memory, wheel):
    """Whether there is room for a packet at its destination; it takes it."""
    if not packet >> at.MEMORY_BIT & 1:
        return True
    kind = packet >> at.PRIORITY_BIT & 1
    used = load16(memory, base + at.RECEPTION_USED + 2 * kind)
    if used == router.reception_slots:
        return False
    store8(memory, base + at.RECEPTION_TURN, (bit + 1) & 31)
    store16(memory, base + at.RECEPTION_USED + 2 * kind, used + 1)
    if used == 0:
        store16(memory, base + at.RECEPTION_NEXT + 2 * kind, now + router.reception_cycles)
        push_if(1, now + router.reception_cycles, node * 8 + at.RECEPTION, wheel)
    return True


@nb.njit(**INNER)
def receive(node, base, now, router, memory, messages, done, gates, wheel, capacity):
    """Deliver the heads of FIFOs that have arrived at their destination, in turn."""
    turn = nb.int64(0)
    if router.reception_slots:
        drain(node, base, now, router, memory, wheel)
        turn = load8(memory, base + at.RECEPTION_TURN)
    arrived = load32(memory, base + at.RECEIVE) & passed32(memory, base + at.READY, now)
    arrived = (arrived >> turn | arrived << (32 - turn)) & 0xFFFFFFFF
    while arrived:
        bit = (lowest_bit(arrived) + turn) & 31
        arrived &= arrived - 1
        head = load8(memory, base + at.HEAD + bit)
        packet = load64(memory, base + at.LINKS + 96 * capacity + (bit * capacity + head) * 8)
        if router.reception_slots and not accept(node, base, bit, packet, now, router, memory, wheel):
            continue
        store32(memory, base + at.RECEIVE, load32(memory, base + at.RECEIVE) ^ nb.int64(1) << bit)
        tail = now + (packet >> at.CHUNKS_BIT & 15) * router.chunk + router.overhead
        return_token(base, bit, tail + router.token, router, memory, wheel, capacity)
        behead(node, base, bit, now, router, memory, messages, wheel, capacity)
        add(wheel.scalars, at.DELIVERED, 1)
        arrival = load64(wheel.scalars, at.EPOCH) + tail + router.endpoint
        deliver(packet >> at.MESSAGE_BIT, arrival, wheel.scalars, messages, done, gates)

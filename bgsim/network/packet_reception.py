"""Reception of the compiled packet engine: packets at their destination, and memory FIFOs that may be full.

Inlined into the loop of :mod:`bgsim.network.packet_kernel`, whose cache does not notice changes here.
"""

# The compiled functions take arrays by position, and numba's decorators hide their types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

import numba as nb

from bgsim.network import packet_layout as at
from bgsim.network.packed import (
    asking,
    earliest32,
    load8,
    load16,
    load64,
    lowest_bit,
    passed32,
    rotated32,
    store8,
    store16,
)
from bgsim.network.packet_moves import INNER, add, deliver, lower16, return_token, take


@nb.njit(**INNER)
def drain(base, now, router, memory):
    """Have software take a packet out of each memory FIFO whose time has come."""
    for kind in range(2):
        used = load16(memory, base + at.RECEPTION_USED + 2 * kind)
        if used:
            coming = load16(memory, base + at.RECEPTION_NEXT + 2 * kind)
            if coming <= now:
                store16(memory, base + at.RECEPTION_USED + 2 * kind, used - 1)
                coming = now + router.reception_cycles if used > 1 else at.FAR
                store16(memory, base + at.RECEPTION_NEXT + 2 * kind, coming)
            lower16(memory, base + at.WAKE + 2 * at.RECEPTION, coming)


@nb.njit(**INNER)
def accept(base, bit, packet, now, router, memory):
    """Whether there is room for a packet at its destination; it takes it."""
    if not packet >> at.MEMORY_BIT & 1:
        return True
    kind = packet >> at.PRIORITY_BIT & 1
    used = load16(memory, base + at.RECEPTION_USED + 2 * kind)
    if used == router.reception_slots:
        return False
    store8(memory, base + at.TURN + at.RECEPTION, (bit + 1) & 31)
    store16(memory, base + at.RECEPTION_USED + 2 * kind, used + 1)
    if used == 0:
        store16(memory, base + at.RECEPTION_NEXT + 2 * kind, now + router.reception_cycles)
        lower16(memory, base + at.WAKE + 2 * at.RECEPTION, now + router.reception_cycles)
    return True


@nb.njit(**INNER)
def receive(base, now, router, places, done, gates, capacity):
    """Deliver the heads of FIFOs that have arrived at their destination, in turn."""
    memory = places.memory
    waiting = asking(memory, base + at.MUST, 1 << at.RECEPTION)
    time = earliest32(memory, base + at.READY, now, waiting)
    store16(memory, base + at.WAKE + 2 * at.RECEPTION, time)
    turn = nb.int64(0)
    if router.reception_slots:
        drain(base, now, router, memory)
        turn = load8(memory, base + at.TURN + at.RECEPTION)
    arrived = waiting & passed32(memory, base + at.READY, now)
    arrived = rotated32(arrived, turn)
    while arrived:
        bit = (lowest_bit(arrived) + turn) & 31
        arrived &= arrived - 1
        head = load8(memory, base + at.HEAD + bit)
        packet = load64(memory, base + router.packets + (bit * capacity + head) * 8)
        if router.reception_slots and not accept(base, bit, packet, now, router, memory):
            continue
        tail = now + (packet >> at.CHUNKS_BIT & 15) * router.chunk + router.overhead
        return_token(base, bit, head, tail + router.token, router, places, capacity)
        take(base, bit, packet, head, now, router, places, capacity)
        add(places.scalars, at.DELIVERED, 1)
        arrival = load64(places.scalars, at.EPOCH) + tail + router.endpoint
        deliver(packet >> at.MESSAGE_BIT, arrival, places, done, gates)

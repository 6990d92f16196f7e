"""The compiled packet engine's inner loop: the rules of :mod:`bgsim.network.router` on packed arrays.

A timing wheel with one slot per core cycle holds events. An event says no more than that a node should look
at one of its links, its reception or its DMA engine, so it does no harm if it comes once too often. The
events of a cycle are collected per node; then each node looks at what it should, links in order of direction;
then the packets sent are put into the FIFOs downstream. So the result does not depend on the order in which
events were scheduled, nodes touched in one cycle stay in the cache, and what comes next can be fetched
meanwhile.

numba's cache of the loop does not notice changes in the files it inlines: delete it after editing them.
"""

# The compiled functions take arrays by position, and numba's decorators hide their types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

import numba as nb

from bgsim.compiled import compiled
from bgsim.network import packet_layout as at
from bgsim.network.gates import count, open_gates, sort
from bgsim.network.packed import (
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
from bgsim.network.packet_links import append, grant
from bgsim.network.packet_moves import INNER, add, fifo_for, introduce, post, start_engine
from bgsim.network.packet_reception import deliver, receive
from bgsim.network.router import FIRST_INJECTION

FINISHED, STUCK, REACHED, FULL = 0, 1, 2, 3
PUSHES = 10
"""Events that one can bring about: a link sends, two heads ask three links each, a token wakes one."""

PUSHES_RECEPTION = 24 * 5
"""The same for all network FIFOs of a node whose heads are delivered."""


@nb.njit(**INNER)
def inject(node, base, now, router, memory, messages, sent, done, gates, wheel, capacity):
    """Move a packet of the next message that can from a DMA engine to an injection FIFO."""
    scalars = wheel.scalars
    store8(memory, base + at.DMA_PENDING, 0)
    active = load8(memory, base + at.DMA_ACTIVE)
    turn = load8(memory, base + at.DMA_TURN)
    for step in range(8):
        fifo = (turn + step) & 7
        if not active >> fifo & 1:
            continue
        message = load32(memory, base + at.DMA_HEAD + 4 * fifo)
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
            deliver(message, load64(scalars, at.EPOCH) + now + interval, scalars, messages, done, gates)
        else:
            target, used = fifo_for(packet, base, router.injection_slots, memory)
            if target < 0:
                continue
            packet |= chunks << at.CHUNKS_BIT | message << at.MESSAGE_BIT
            bit = FIRST_INJECTION + target
            tail = (load8(memory, base + at.HEAD + bit) + used) & (capacity - 1)
            store64(memory, base + at.LINKS + 96 * capacity + (bit * capacity + tail) * 8, packet)
            store8(memory, base + at.COUNT + bit, used + 1)
            if used == 0:
                ready = max(now + 1, load16(memory, base + at.READY + 2 * bit))
                introduce(node, base, bit, packet, ready, now, memory, messages, wheel, capacity)
        add(scalars, at.INJECTED, 1)
        store32(messages, record + at.MESSAGE_UNSENT, unsent - 1)
        if unsent == 1:
            sent[message] = load64(scalars, at.EPOCH) + now
            then = load32(messages, record + at.MESSAGE_SENT_THEN)
            if then != at.NONE:
                count(then, load64(scalars, at.EPOCH) + now, gates)
            following = load32(messages, record + at.MESSAGE_NEXT)
            if following == at.NONE:
                store8(memory, base + at.DMA_ACTIVE, active ^ 1 << fifo)
            else:
                store32(memory, base + at.DMA_HEAD + 4 * fifo, following)
        store8(memory, base + at.DMA_TURN, (fifo + 1) & 7)
        store16(memory, base + at.DMA_FREE, now + interval)
        start_engine(node, base, now, memory, messages, wheel)
        return


@nb.njit(**INNER)
def collect(now, router, memory, dirty, nodes, wheel, capacity):
    """Take the events of a cycle: note which nodes should look at what; return how many nodes these are."""
    scalars = wheel.scalars
    slot = now & wheel.mask
    cursor = load32(wheel.cursors, slot * 4)
    last = (cursor - 1) >> 4
    block = slot
    touched = 0
    pushes = 0
    while True:
        end = cursor if block == last else (block + 1) * at.BLOCK
        for place in range(block * at.BLOCK + 1, end):
            subject = load32(wheel.pool, place * 4)
            node = subject >> 3
            before = load8(dirty, node)
            store8(dirty, node, before | 1 << (subject & 7))
            store32(nodes, touched * 4, node)
            touched += before == 0
            pushes += PUSHES + (PUSHES_RECEPTION if subject & 7 == at.RECEPTION else 0)
            if router.large:
                base = node * router.stride
                prefetch(memory, base + at.READY)
                prefetch(memory, base + at.COUNT)
                prefetch(memory, base + at.NEIGHBOUR)
                prefetch(memory, base + at.LINKS + (subject & 7) * 16 * capacity)
        add(scalars, at.EVENTS, end - block * at.BLOCK - 1)
        following = load32(wheel.pool, block * at.BLOCK * 4)
        if block > wheel.mask:
            store32(wheel.pool, block * at.BLOCK * 4, load64(scalars, at.SPARE))
            store64(scalars, at.SPARE, block)
            add(scalars, at.SPARES, 1)
        if block == last:
            break
        block = following
    store32(wheel.cursors, slot * 4, slot * at.BLOCK + 1)
    store64(scalars, at.PUSHES, pushes)
    return touched


@nb.njit(**INNER)
def foresee(touched, router, memory, dirty, nodes):
    """Fetch the packets that the links to be looked at may send: the heads of two FIFOs that ask."""
    capacity = router.capacity
    for index in range(touched):
        node = load32(nodes, index * 4)
        base = node * router.stride
        outputs = load8(dirty, node) & 63
        while outputs:
            link = base + at.LINKS + lowest_bit(outputs) * 16 * capacity
            outputs &= outputs - 1
            asking = load64(memory, link + at.LINK_DYNAMIC) | load64(memory, link + at.LINK_DETERMINISTIC)
            asking = (asking | asking >> 32) & 0xFFFFFFFF
            if asking:
                heads = base + at.LINKS + 96 * capacity
                bit = lowest_bit(asking)
                prefetch(memory, heads + (bit * capacity + load8(memory, base + at.HEAD + bit)) * 8)
                asking &= asking - 1
                if asking:
                    bit = lowest_bit(asking)
                    prefetch(memory, heads + (bit * capacity + load8(memory, base + at.HEAD + bit)) * 8)


@compiled
def run(
    until, horizon, router, memory, dirty, nodes, outbox, messages, sent, done, post_time, post_message,
    postings, gates, wheel,
):  # fmt: skip
    """Run to a time relative to the epoch, to the end, or until nothing can happen; return which.

    If nothing happens for a turn of the wheel, the time may pass ``until``, but not ``horizon``.
    """
    scalars = wheel.scalars
    capacity = router.capacity
    now = load64(scalars, at.NOW)
    posts = len(post_time)
    idle = 0
    while now < until:
        touched = load64(scalars, at.TOUCHED)
        released = load64(scalars, at.RELEASED)
        if not touched:
            if load64(scalars, at.UNDELIVERED) == 0 and gates.size[0] == 0:
                store64(scalars, at.NOW, now)
                return FINISHED
            time = load64(scalars, at.EPOCH) + now
            while load64(scalars, at.POSTED) < posts and post_time[load64(scalars, at.POSTED)] <= time:
                postings[released] = post_message[load64(scalars, at.POSTED)]
                add(scalars, at.POSTED, 1)
                released += 1
            opening = gates.size[0] > 0 and gates.heap_time[0] <= time
            slot = now & wheel.mask
            if load32(wheel.cursors, slot * 4) == slot * at.BLOCK + 1:
                if not opening and not released:
                    now += 1
                    idle += 1
                    if idle > wheel.mask:
                        coming = nb.int64(1) << 62
                        if gates.size[0]:
                            coming = gates.heap_time[0]
                        if load64(scalars, at.POSTED) < posts:
                            coming = min(coming, post_time[load64(scalars, at.POSTED)])
                        elif not gates.size[0]:
                            store64(scalars, at.NOW, now)
                            return STUCK
                        now = min(horizon, max(now, coming - load64(scalars, at.EPOCH)))
                    continue
            else:
                touched = collect(now, router, memory, dirty, nodes, wheel, capacity)
            idle = 0
        if (
            load64(scalars, at.SPARES)
            < (load64(scalars, at.PUSHES) + released) // at.BLOCK_EVENTS + wheel.mask
        ):
            store64(scalars, at.TOUCHED, touched)
            store64(scalars, at.RELEASED, released)
            store64(scalars, at.NOW, now)
            return FULL
        store64(scalars, at.TOUCHED, 0)
        store64(scalars, at.RELEASED, 0)
        store64(scalars, at.PUSHES, 0)
        if router.large:
            foresee(touched, router, memory, dirty, nodes)
        sends = 0
        for index in range(touched):
            node = load32(nodes, index * 4)
            outputs = load8(dirty, node)
            store8(dirty, node, 0)
            base = node * router.stride
            while outputs:
                output = lowest_bit(outputs)
                outputs &= outputs - 1
                if output < at.RECEPTION:
                    sends = grant(
                        node,
                        base,
                        output,
                        now,
                        sends,
                        router,
                        memory,
                        messages,
                        done,
                        gates,
                        outbox,
                        wheel,
                        capacity,
                    )
                elif output == at.RECEPTION:
                    receive(node, base, now, router, memory, messages, done, gates, wheel, capacity)
                else:
                    inject(node, base, now, router, memory, messages, sent, done, gates, wheel, capacity)
        append(sends, now, router, memory, messages, outbox, wheel, capacity)
        time = load64(scalars, at.EPOCH) + now
        if gates.size[0] and gates.heap_time[0] <= time:
            released = open_gates(time, gates, postings, released)
        if released:
            sort(postings, released)
            for index in range(released):
                post(postings[index], now, router, memory, messages, wheel)
        now += 1
    store64(scalars, at.NOW, now)
    return REACHED


@compiled
def rebase(shift, memory, size, stride, capacity):
    """Subtract a time from all times; those that pass the epoch become 0."""
    slots = at.LINK_SLOTS_LONG if capacity == 8 else at.LINK_SLOTS
    for base in range(0, size, stride):
        for bit in range(32):
            back(base + at.READY + 2 * bit, shift, memory)
        back(base + at.RECEPTION_NEXT, shift, memory)
        back(base + at.RECEPTION_NEXT + 2, shift, memory)
        back(base + at.DMA_FREE, shift, memory)
        for direction in range(6):
            link = base + at.LINKS + direction * 16 * capacity
            back(link + at.LINK_FREE, shift, memory)
            back(link + at.LINK_WAKE, shift, memory)
            for slot in range(4 * capacity):
                back(link + slots + 2 * slot, shift, memory)


@nb.njit(**INNER)
def back(place, shift, memory):
    """Subtract a time from one, which does not become negative; a slot that is occupied stays so."""
    time = load16(memory, place)
    store16(memory, place, time if time == at.FAR else max(time - shift, 0))

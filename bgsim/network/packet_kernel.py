"""The compiled packet engine's inner loop: the rules of :mod:`bgsim.network.router` on packed arrays.

A timing wheel with one slot per core cycle holds events. The events of a cycle are taken in three steps:
heads of FIFOs make their requests known, the links concerned are granted, and the packets sent are put into
the FIFOs downstream. Within a step the order does not matter, except that a node's links are granted in
order of direction; so the result does not depend on the order in which events were scheduled, and nodes
touched in one cycle stay in the cache.

A link that cannot send is woken when something changes: when its packet has left, when a slot it needs
becomes free at a known time, or, if that time is not known yet, by the FIFO that owns the slot.
"""

# The compiled functions take arrays by position, and numba's decorators hide their types.
# mypy: disable-error-code="no-untyped-def, call-overload, call-arg, unreachable"

from __future__ import annotations

import numba as nb

from bgsim.network import packet_layout as at
from bgsim.network.gates import count, open_gates, sort
from bgsim.network.packet_layout import lowest_bit, prefetch
from bgsim.network.packet_moves import (
    OPTIONS,
    await_slot,
    choose,
    fifo_for,
    leave,
    post,
    push,
    slots_free,
    slots_known,
)
from bgsim.network.router import FIRST_INJECTION

FINISHED, STUCK, REACHED, FULL = 0, 1, 2, 3


@nb.njit(**OPTIONS)
def run(
    until, router, scalars, lines, words, counts, outbox, nodes, messages, sent, done,
    post_time, post_message, wheel, pool, gates,
):  # fmt: skip
    """Run to a time relative to the epoch, to the end, or until nothing can happen; return which."""
    capacity = router.capacity
    size4 = 4 * capacity
    stride = 32 * size4 + at.NODE_WORDS
    after = 32 * size4
    now = scalars[at.NOW]
    posts = len(post_time)
    spacious = 60 * len(nodes)  # more events than one cycle can bring
    large = len(words) > 1 << 18  # it does not stay in the cache by itself
    while now < until:
        if scalars[at.UNDELIVERED] == 0 and gates.size[0] == 0:
            scalars[at.NOW] = now
            return FINISHED
        if scalars[at.PENDING] + spacious > (len(pool) // at.BLOCK - at.WHEEL) * at.BLOCK_EVENTS:
            scalars[at.NOW] = now
            return FULL
        released = 0
        while scalars[at.POSTED] < posts and post_time[scalars[at.POSTED]] <= scalars[at.EPOCH] + now:
            outbox[released] = post_message[scalars[at.POSTED]]
            scalars[at.POSTED] += 1
            released += 1
        slot = (now & (at.WHEEL - 1)) * 4
        block = nb.int64(wheel[slot])
        waiting = gates.size[0] > 0
        if block < 0 and not released and not (waiting and gates.heap_time[0] <= scalars[at.EPOCH] + now):
            if scalars[at.PENDING]:
                now += 1
                continue
            if scalars[at.POSTED] == posts and not waiting:
                scalars[at.NOW] = now
                return STUCK
            coming = nb.int64(1) << 62
            if waiting:
                coming = gates.heap_time[0]
            if scalars[at.POSTED] < posts:
                coming = min(coming, post_time[scalars[at.POSTED]])
            now = min(until, max(now + 1, coming - scalars[at.EPOCH]))
            continue
        last = nb.int64(wheel[slot + at.SLOT_LAST])
        last_fill = nb.int64(wheel[slot + at.SLOT_FILL])
        wheel[slot] = -1
        wheel[slot + at.SLOT_LAST] = -1
        wheel[slot + at.SLOT_FILL] = at.BLOCK_EVENTS
        if large:
            slot = ((now + at.LOOK_AHEAD) & (at.WHEEL - 1)) * 4
            coming = nb.int64(wheel[slot])
            while coming >= 0:
                filled = at.BLOCK_EVENTS
                if coming == wheel[slot + at.SLOT_LAST]:
                    filled = wheel[slot + at.SLOT_FILL]
                for place in range(coming * at.BLOCK, coming * at.BLOCK + filled):
                    subject = nb.int64(pool[place]) >> 2
                    kind = pool[place] & 3
                    if kind == at.EVENT_HEAD:
                        base = (subject >> 5) * stride + after
                        prefetch(words, (subject >> 5) * stride + (subject & 31) * size4)
                        prefetch(words, base)
                        prefetch(words, base + at.LINE_WORDS)
                        prefetch(words, base + 2 * at.LINE_WORDS)
                        prefetch(words, base + at.COUNT_AT)
                    elif kind == at.EVENT_LINK:
                        base = (subject >> 3) * stride + after
                        prefetch(words, base + (subject & 7) * at.LINK_FIELDS)
                        prefetch(words, base + at.COUNT_AT)
                coming = nb.int64(pool[coming * at.BLOCK + at.BLOCK_EVENTS])
        touched = 0
        while block >= 0:
            filled = at.BLOCK_EVENTS
            if block == last:
                filled = last_fill
            scalars[at.PENDING] -= filled
            scalars[at.EVENTS] += filled
            for place in range(block * at.BLOCK, block * at.BLOCK + filled):
                subject = nb.int64(pool[place]) >> 2
                kind = pool[place] & 3
                if kind == at.EVENT_HEAD:
                    node = subject >> 5
                    bit = subject & 31
                    line = node * stride + bit * size4
                    packet = lines[(line >> 1) + words[line + 3 * capacity + at.QUEUE_HEAD]]
                    if packet & at.HOPS_MASK == 0:
                        chunks = packet >> at.CHUNKS_BIT & 15
                        leave(
                            node, bit, line, chunks, now, stride, router, scalars, words, counts, wheel, pool
                        )
                        scalars[at.DELIVERED] += 1
                        scalars[at.UNDELIVERED] -= 1
                        message = packet >> at.MESSAGE_BIT
                        m = message * at.MESSAGE_FIELDS
                        messages[m + at.MESSAGE_UNDELIVERED] -= 1
                        if messages[m + at.MESSAGE_UNDELIVERED] == 0:
                            arrival = now + chunks * router.chunk + router.overhead + router.endpoint
                            done[message] = scalars[at.EPOCH] + arrival
                            then = messages[m + at.MESSAGE_THEN]
                            if then >= 0:
                                count(then, done[message], gates)
                        continue
                    mask = nb.int32(nb.int64(1) << bit)
                    base = node * stride + after
                    outputs = 0
                    if packet >> at.DYNAMIC_BIT & 1:
                        for dimension in range(3):
                            wants = nb.int64(packet >> 8 * dimension & 255 != 0)
                            direction = 2 * dimension + (packet >> (24 + dimension) & 1)
                            words[base + direction * at.LINK_FIELDS + at.LINK_DYNAMIC] |= mask * nb.int32(
                                wants
                            )
                            outputs |= wants << direction
                        words[base + lowest_bit(outputs) * at.LINK_FIELDS + at.LINK_ESCAPE] |= mask
                    else:
                        if packet & 0xFF:
                            direction = packet >> 24 & 1
                        elif packet & 0xFF00:
                            direction = 2 + (packet >> 25 & 1)
                        else:
                            direction = 4 + (packet >> 26 & 1)
                        field = at.LINK_DETERMINISTIC
                        if packet >> at.PRIORITY_BIT & 1:
                            field = at.LINK_PRIORITY
                        words[base + direction * at.LINK_FIELDS + field] |= mask
                        outputs = 1 << direction
                    asked = outputs
                    while asked:  # a busy link looks at its requests when its packet has left
                        direction = lowest_bit(asked)
                        asked &= asked - 1
                        entry_link = base + direction * at.LINK_FIELDS
                        free = nb.int64(words[entry_link + at.LINK_FREE])
                        if free > now:
                            outputs ^= 1 << direction
                            if words[entry_link + at.LINK_WAKE] != free:
                                words[entry_link + at.LINK_WAKE] = free
                                push(free, (node * 8 + direction) << 2 | at.EVENT_LINK, scalars, wheel, pool)
                    if not outputs:
                        continue
                elif kind == at.EVENT_LINK:
                    node = subject >> 3
                    base = node * stride + after
                    outputs = 1 << (subject & 7)
                else:
                    node = subject
                    dma = node * stride + after + at.DMA_AT
                    words[dma + at.DMA_PENDING] = 0
                    counter = (node * stride + after + at.COUNT_AT) * 4 + FIRST_INJECTION
                    for step in range(8):
                        fifo = (words[dma + at.DMA_TURN] + step) & 7
                        if not words[dma + at.DMA_ACTIVE] >> fifo & 1:
                            continue
                        message = nb.int64(words[dma + fifo])
                        m = message * at.MESSAGE_FIELDS
                        packet = nb.int64(messages[m + at.MESSAGE_HOPS])
                        unsent = messages[m + at.MESSAGE_UNSENT]
                        if packet >> at.DYNAMIC_BIT & 1:
                            packet ^= nb.int64(messages[m + at.MESSAGE_TIES] & (unsent ^ message * 5)) << 24
                        interval = router.dma
                        chunks = 8
                        if unsent == 1:
                            chunks = messages[m + at.MESSAGE_PLACE] >> 3 & 31
                        if packet & at.HOPS_MASK == 0:
                            interval = router.local
                            scalars[at.DELIVERED] += 1
                            scalars[at.UNDELIVERED] -= 1
                            messages[m + at.MESSAGE_UNDELIVERED] -= 1
                            if messages[m + at.MESSAGE_UNDELIVERED] == 0:
                                done[message] = scalars[at.EPOCH] + now + interval
                                if messages[m + at.MESSAGE_THEN] >= 0:
                                    count(messages[m + at.MESSAGE_THEN], done[message], gates)
                        else:
                            target, used = fifo_for(
                                packet, router.injection_slots, counts[counter : counter + 8]
                            )
                            if target < 0:
                                continue
                            bit = FIRST_INJECTION + target
                            line = node * stride + bit * size4
                            tail = words[line + 3 * capacity + at.QUEUE_HEAD] + used
                            if tail >= router.injection_slots:
                                tail -= router.injection_slots
                            lines[(line >> 1) + tail] = (
                                packet | chunks << at.CHUNKS_BIT | message << at.MESSAGE_BIT
                            )
                            counts[counter + target] = used + 1
                            if used == 0:
                                ready = max(now + 1, nb.int64(words[line + 3 * capacity + at.QUEUE_READY]))
                                push(ready, (node * 32 + bit) << 2 | at.EVENT_HEAD, scalars, wheel, pool)
                        scalars[at.INJECTED] += 1
                        messages[m + at.MESSAGE_UNSENT] = unsent - 1
                        if unsent == 1:
                            sent[message] = scalars[at.EPOCH] + now
                            if messages[m + at.MESSAGE_SENT_THEN] >= 0:
                                count(messages[m + at.MESSAGE_SENT_THEN], sent[message], gates)
                            following = messages[m + at.MESSAGE_NEXT]
                            if following < 0:
                                words[dma + at.DMA_ACTIVE] &= ~(1 << fifo)
                            else:
                                words[dma + fifo] = following
                        words[dma + at.DMA_TURN] = (fifo + 1) & 7
                        words[dma + at.DMA_FREE] = now + interval
                        if words[dma + at.DMA_ACTIVE]:
                            words[dma + at.DMA_PENDING] = 1
                            push(now + interval, node << 2 | at.EVENT_DMA, scalars, wheel, pool)
                        break
                    continue
                if large:
                    asked = outputs
                    while asked:
                        direction = lowest_bit(asked)
                        asked &= asked - 1
                        there = nb.int64(words[base + at.NEIGHBOUR_AT + direction])
                        prefetch(words, there * stride + direction * 4 * size4)
                        prefetch(words, there * stride + (direction * 4 + 1) * size4)
                        prefetch(words, there * stride + after + at.COUNT_AT)
                if not words[base + at.DIRTY_AT]:
                    nodes[touched] = node
                    touched += 1
                words[base + at.DIRTY_AT] |= outputs
            following = nb.int64(pool[block * at.BLOCK + at.BLOCK_EVENTS])
            pool[block * at.BLOCK + at.BLOCK_EVENTS] = scalars[at.SPARE]
            scalars[at.SPARE] = block
            block = following
        if gates.size[0] and gates.heap_time[0] <= scalars[at.EPOCH] + now:
            released = open_gates(scalars[at.EPOCH] + now, gates, outbox, released)
        if released:
            sort(outbox, released)
            for index in range(released):
                post(outbox[index], now, stride, scalars, messages, words, wheel, pool)
        sends = 0
        for index in range(touched):
            node = nb.int64(nodes[index])
            base = node * stride + after
            outputs = nb.int64(words[base + at.DIRTY_AT])
            words[base + at.DIRTY_AT] = 0
            while outputs:
                direction = lowest_bit(outputs)
                outputs &= outputs - 1
                entry = base + direction * at.LINK_FIELDS
                deterministic = nb.int64(words[entry + at.LINK_DETERMINISTIC]) & 0xFFFFFFFF
                dynamic = nb.int64(words[entry + at.LINK_DYNAMIC]) & 0xFFFFFFFF
                priority = nb.int64(words[entry + at.LINK_PRIORITY]) & 0xFFFFFFFF
                if not deterministic | dynamic | priority:
                    continue
                link = node * 8 + direction
                free = nb.int64(words[entry + at.LINK_FREE])
                if free > now:
                    if words[entry + at.LINK_WAKE] != free:
                        words[entry + at.LINK_WAKE] = free
                        push(free, link << 2 | at.EVENT_LINK, scalars, wheel, pool)
                    continue
                there = nb.int64(words[base + at.NEIGHBOUR_AT + direction])
                below = there * stride + direction * 4 * size4
                counter = (there * stride + after + at.COUNT_AT) * 4 + direction * 4
                bubble = deterministic | nb.int64(words[entry + at.LINK_ESCAPE]) & 0xFFFFFFFF
                straight = nb.int64(1) << (direction * 4 + 2)
                feasible = nb.int64(0)
                channel = 2
                room2 = 0
                room3 = 0
                free0 = 0
                free1 = 0
                if priority:
                    room3 = slots_free(below + 3 * size4, counts[counter + 3], now, router, words)
                    if room3 == 2:
                        feasible = priority
                    elif room3 == 1:
                        feasible = priority & straight << 1
                    channel = 3
                if not feasible:
                    channel = 2
                    if dynamic:
                        free0 = slots_known(below, now, router, words)
                        free1 = slots_known(below + size4, now, router, words)
                        if free0 | free1:
                            feasible = dynamic
                    if bubble & ~feasible:
                        room2 = slots_free(below + 2 * size4, counts[counter + 2], now, router, words)
                        if room2 == 2:
                            feasible |= bubble
                        elif room2 == 1:
                            feasible |= bubble & straight
                if not feasible:
                    if priority:
                        await_slot(
                            below + 3 * size4, counts[counter + 3], link, 1 + room3, now, router,
                            scalars, words, wheel, pool,
                        )  # fmt: skip
                    if bubble:
                        await_slot(
                            below + 2 * size4, counts[counter + 2], link, 1 + room2, now, router,
                            scalars, words, wheel, pool,
                        )  # fmt: skip
                    if dynamic:
                        await_slot(below, counts[counter], link, 1, now, router, scalars, words, wheel, pool)
                        await_slot(
                            below + size4,
                            counts[counter + 1],
                            link,
                            1,
                            now,
                            router,
                            scalars,
                            words,
                            wheel,
                            pool,
                        )
                    continue
                grants = nb.int64(words[entry + at.LINK_GRANTS])
                mixed = (grants * 2654435761 + link * 2246822519) & 0xFFFFFFFF
                mixed ^= mixed >> 15
                mixed = (mixed * 739982445) & 0xFFFFFFFF
                turn = nb.int64(words[entry + at.LINK_TURN]) & 31
                own = (base + at.COUNT_AT) * 4
                bit = choose(feasible, own, turn, mixed, router.dither, counts)
                if dynamic >> bit & 1 and channel == 2 and free0 | free1:
                    channel = 0 if free0 >= free1 else 1
                line = node * stride + bit * size4
                head = nb.int64(words[line + 3 * capacity + at.QUEUE_HEAD])
                packet = lines[(line >> 1) + head]
                clear = ~nb.int32(nb.int64(1) << bit)
                if packet >> at.DYNAMIC_BIT & 1:
                    for dimension in range(3):
                        other = 2 * dimension + (packet >> (24 + dimension) & 1)
                        words[base + other * at.LINK_FIELDS + at.LINK_DYNAMIC] &= clear
                        words[base + other * at.LINK_FIELDS + at.LINK_ESCAPE] &= clear
                else:
                    words[entry + at.LINK_DETERMINISTIC] &= clear
                    words[entry + at.LINK_PRIORITY] &= clear
                chunks = packet >> at.CHUNKS_BIT & 15
                duration = chunks * router.chunk + router.overhead
                words[entry + at.LINK_FREE] = now + duration
                words[entry + at.LINK_GRANTS] = grants + 1
                words[entry + at.LINK_TURN] = (
                    (words[entry + at.LINK_TURN] & ~31) + chunks * 32 + ((bit + 1) & 31)
                )
                if (deterministic | dynamic | priority) & ~(nb.int64(1) << bit):
                    words[entry + at.LINK_WAKE] = now + duration
                    push(now + duration, link << 2 | at.EVENT_LINK, scalars, wheel, pool)
                if bit < FIRST_INJECTION:
                    leave(node, bit, line, chunks, now, stride, router, scalars, words, counts, wheel, pool)
                else:
                    head += 1
                    if head == router.injection_slots:
                        head = 0
                    words[line + 3 * capacity + at.QUEUE_HEAD] = head
                    words[line + 3 * capacity + at.QUEUE_READY] = now + router.read
                    left = counts[own + bit] - 1
                    counts[own + bit] = left
                    if left:
                        push(now + router.read, (node * 32 + bit) << 2 | at.EVENT_HEAD, scalars, wheel, pool)
                    dma = base + at.DMA_AT
                    if words[dma + at.DMA_ACTIVE] and not words[dma + at.DMA_PENDING]:
                        words[dma + at.DMA_PENDING] = 1
                        ready = max(now + 1, nb.int64(words[dma + at.DMA_FREE]))
                        push(ready, node << 2 | at.EVENT_DMA, scalars, wheel, pool)
                outbox[2 * sends] = there * 32 + direction * 4 + channel
                outbox[2 * sends + 1] = packet - (nb.int64(1) << 8 * (direction >> 1))
                sends += 1
        scalars[at.HOPS] += sends
        for index in range(sends):
            queue = outbox[2 * index]
            node = queue >> 5
            bit = queue & 31
            line = node * stride + bit * size4
            numbers = line + 3 * capacity
            counter = (node * stride + after + at.COUNT_AT) * 4 + bit
            used = nb.int64(counts[counter])
            tail = words[numbers + at.QUEUE_HEAD] + used
            if tail >= router.slots:
                tail -= router.slots
            lines[(line >> 1) + tail] = outbox[2 * index + 1]
            words[line + 2 * capacity + tail] = at.FAR
            counts[counter] = used + 1
            if used == 0:
                ready = max(now + router.hop, nb.int64(words[numbers + at.QUEUE_READY]))
                push(ready, queue << 2 | at.EVENT_HEAD, scalars, wheel, pool)
        now += 1
    scalars[at.NOW] = now
    return REACHED

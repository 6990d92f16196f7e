"""The compiled packet engine's inner loop: the rules of :mod:`bgsim.network.router` on packed arrays.

A timing wheel with one slot per core cycle holds events. The events of a cycle are taken in three steps: heads
of FIFOs make their requests known, the links concerned are granted, and the packets sent are put into the FIFOs
downstream. Within a step the order does not matter, except that a node's links are granted in order of
direction; so the result does not depend on the order in which events were scheduled, and nodes touched in one cycle
stay in the cache.

A link that cannot send is woken when something changes: when its packet has left, when a slot it needs
becomes free at a known time, or, if that time is not known yet, by the FIFO that owns the slot.
"""

# The compiled functions take arrays by position.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numba as nb

from bgsim.network.packet_layout import (
    CHUNKS_BIT,
    CHUNKS_FREE,
    DELIVERED,
    DMA_ACTIVE,
    DMA_FIELDS,
    DMA_FREE,
    DMA_PENDING,
    DMA_TAIL,
    DMA_TURN,
    DYNAMIC_BIT,
    EPOCH,
    EVENT_DMA,
    EVENT_HEAD,
    EVENT_LINK,
    EVENT_POST,
    EVENTS,
    FAR,
    HOPS,
    HOPS_MASK,
    INJECTED,
    LINK_DETERMINISTIC,
    LINK_DYNAMIC,
    LINK_ESCAPE,
    LINK_FIELDS,
    LINK_FREE,
    LINK_GRANTS,
    LINK_PRIORITY,
    LINK_TURN,
    LINK_WAKE,
    MESSAGE_BIT,
    MESSAGE_DELAY,
    MESSAGE_FIELDS,
    MESSAGE_HOPS,
    MESSAGE_NEXT,
    MESSAGE_PLACE,
    MESSAGE_THEN,
    MESSAGE_TIES,
    MESSAGE_UNDELIVERED,
    MESSAGE_UNSENT,
    NOW,
    P_CAPACITY,
    P_CHUNK,
    P_DITHER,
    P_DMA,
    P_ENDPOINT,
    P_HOP,
    P_INJECTION_SLOTS,
    P_OVERHEAD,
    P_READ,
    P_SLOTS,
    P_TOKEN,
    PENDING,
    POSTED,
    PRIORITY_BIT,
    QUEUE_HEAD,
    QUEUE_READY,
    QUEUE_WAKE,
    QUEUE_WANTED,
    REBASE,
    UNDELIVERED,
    WHEEL,
    WHEEL_CHUNK,
    lowest_bit,
)
from bgsim.network.router import FIRST_INJECTION, NETWORK_MASK

OPTIONS = {"cache": True, "_nrt": False, "boundscheck": False}
FINISHED, STUCK, REACHED, FULL = 0, 1, 2, 3


@nb.njit(inline="always", **OPTIONS)
def push(time, event, scalars, wheel, chunks, spare):
    """Put an event into the wheel, less than one turn ahead."""
    slot = (time & (WHEEL - 1)) * 3
    chunk = wheel[slot + 1]
    fill = wheel[slot + 2]
    if chunk < 0 or fill == WHEEL_CHUNK - 1:
        scalars[CHUNKS_FREE] -= 1
        fresh = spare[scalars[CHUNKS_FREE]]
        chunks[fresh * WHEEL_CHUNK + WHEEL_CHUNK - 1] = -1
        if chunk < 0:
            wheel[slot] = fresh
        else:
            chunks[chunk * WHEEL_CHUNK + WHEEL_CHUNK - 1] = fresh
        wheel[slot + 1] = fresh
        chunk = fresh
        fill = 0
    chunks[chunk * WHEEL_CHUNK + fill] = event
    wheel[slot + 2] = fill + 1
    scalars[PENDING] += 1


@nb.njit(**OPTIONS)
def post(message, now, scalars, messages, dma, wheel, chunks, spare):
    """Append a message to its DMA FIFO and see that the engine runs."""
    place = messages[message * MESSAGE_FIELDS + MESSAGE_PLACE]
    node, fifo = place >> 8, place & 7
    at = node * DMA_FIELDS
    messages[message * MESSAGE_FIELDS + MESSAGE_NEXT] = -1
    if dma[at + DMA_ACTIVE] >> fifo & 1:
        messages[dma[at + DMA_TAIL + fifo] * MESSAGE_FIELDS + MESSAGE_NEXT] = message
    else:
        dma[at + fifo] = message
        dma[at + DMA_ACTIVE] |= 1 << fifo
    dma[at + DMA_TAIL + fifo] = message
    if not dma[at + DMA_PENDING]:
        dma[at + DMA_PENDING] = 1
        push(max(now + 1, dma[at + DMA_FREE]), node << 2 | EVENT_DMA, scalars, wheel, chunks, spare)


@nb.njit(**OPTIONS)
def sort(values, size):
    """Sort the first values of an array in place (Shell's sort)."""
    gap = size >> 1
    while gap:
        for index in range(gap, size):
            value = values[index]
            place = index
            while place >= gap and values[place - gap] > value:
                values[place] = values[place - gap]
                place -= gap
            values[place] = value
        gap >>= 1


@nb.njit(**OPTIONS)
def inject(node, now, par, scalars, messages, sent, dma, line64, line32, count, wheel, chunks, spare):
    """Let a DMA engine move one packet of its next FIFO that can into an injection FIFO of the router."""
    at = node * DMA_FIELDS
    dma[at + DMA_PENDING] = 0
    capacity = par[P_CAPACITY]
    for step in range(8):
        fifo = (dma[at + DMA_TURN] + step) & 7
        if not dma[at + DMA_ACTIVE] >> fifo & 1:
            continue
        message = dma[at + fifo]
        m = message * MESSAGE_FIELDS
        word = nb.int64(messages[m + MESSAGE_HOPS])
        ties = messages[m + MESSAGE_TIES]
        unsent = messages[m + MESSAGE_UNSENT]
        if word >> DYNAMIC_BIT & 1 and ties:
            word ^= nb.int64(ties & (unsent ^ message * 5)) << 24
        target = -1
        least = par[P_INJECTION_SLOTS]
        for dimension in range(3):
            if word >> 8 * dimension & 255:
                queue = 2 * dimension + (word >> (24 + dimension) & 1)
                if word >> PRIORITY_BIT & 1:
                    queue = 6
                used = count[node * 32 + FIRST_INJECTION + queue]
                if used < least:
                    least = used
                    target = queue
                if not word >> DYNAMIC_BIT & 1:
                    break
        if target < 0:
            continue
        size = 8
        if unsent == 1:
            size = messages[m + MESSAGE_PLACE] >> 3 & 31
        packet = word | nb.int64(size) << CHUNKS_BIT | nb.int64(message) << MESSAGE_BIT
        bit = FIRST_INJECTION + target
        queue = node * 32 + bit
        base = queue * 4 * capacity
        tail = line32[base + 3 * capacity + QUEUE_HEAD] + least
        if tail >= par[P_INJECTION_SLOTS]:
            tail -= par[P_INJECTION_SLOTS]
        line64[(base >> 1) + tail] = packet
        count[queue] = least + 1
        if least == 0:
            ready = max(now + 1, line32[base + 3 * capacity + QUEUE_READY])
            push(ready, queue << 2 | EVENT_HEAD, scalars, wheel, chunks, spare)
        scalars[INJECTED] += 1
        messages[m + MESSAGE_UNSENT] = unsent - 1
        if unsent == 1:
            sent[message] = scalars[EPOCH] + now
            following = messages[m + MESSAGE_NEXT]
            if following < 0:
                dma[at + DMA_ACTIVE] &= ~(1 << fifo)
            else:
                dma[at + fifo] = following
        dma[at + DMA_TURN] = (fifo + 1) & 7
        dma[at + DMA_FREE] = now + par[P_DMA]
        if dma[at + DMA_ACTIVE]:
            dma[at + DMA_PENDING] = 1
            push(now + par[P_DMA], node << 2 | EVENT_DMA, scalars, wheel, chunks, spare)
        return


@nb.njit(inline="always", **OPTIONS)
def leave(queue, size, now, par, scalars, line32, count, neighbours, wheel, chunks, spare):
    """Take the head off a network FIFO: its slot comes free later, and its next packet asks later."""
    capacity = par[P_CAPACITY]
    base = queue * 4 * capacity
    numbers = base + 3 * capacity
    head = line32[numbers + QUEUE_HEAD]
    release = now + size * par[P_CHUNK] + par[P_OVERHEAD] + par[P_TOKEN]
    line32[base + 2 * capacity + head] = release
    head += 1
    if head == par[P_SLOTS]:
        head = 0
    line32[numbers + QUEUE_HEAD] = head
    line32[numbers + QUEUE_READY] = now + par[P_READ]
    count[queue] -= 1
    if count[queue]:
        push(now + par[P_READ], queue << 2 | EVENT_HEAD, scalars, wheel, chunks, spare)
    if line32[numbers + QUEUE_WANTED]:
        line32[numbers + QUEUE_WANTED] = 0
        line32[numbers + QUEUE_WAKE] = release
        direction = (queue & 31) >> 2
        upstream = neighbours[(queue >> 5) * 8 + (direction ^ 1)]
        push(release, (upstream * 8 + direction) << 2 | EVENT_LINK, scalars, wheel, chunks, spare)


@nb.njit(inline="always", **OPTIONS)
def slots_free(queue, now, par, line32, count):
    """Free slots of a FIFO as its upstream router knows them: 0, 1 or 2 (which may be more)."""
    capacity = par[P_CAPACITY]
    base = queue * 4 * capacity
    tail = line32[base + 3 * capacity + QUEUE_HEAD] + nb.int64(count[queue])
    if tail >= par[P_SLOTS]:
        tail -= par[P_SLOTS]
    if line32[base + 2 * capacity + tail] > now:
        return 0
    tail += 1
    if tail == par[P_SLOTS]:
        tail = 0
    if line32[base + 2 * capacity + tail] > now:
        return 1
    return 2


@nb.njit(inline="always", **OPTIONS)
def slots_known(queue, now, par, line32, count):
    """All free slots of a FIFO as its upstream router knows them."""
    free = 0
    base = queue * 4 * par[P_CAPACITY] + 2 * par[P_CAPACITY]
    for slot in range(par[P_SLOTS]):
        free += line32[base + slot] <= now
    return free


@nb.njit(inline="always", **OPTIONS)
def await_slot(queue, link, needed, now, par, scalars, line32, count, wheel, chunks, spare):
    """Have a link woken when a FIFO downstream has one slot more."""
    capacity = par[P_CAPACITY]
    base = queue * 4 * capacity
    numbers = base + 3 * capacity
    tail = line32[numbers + QUEUE_HEAD] + nb.int64(count[queue]) + needed - 1
    if tail >= par[P_SLOTS]:
        tail -= par[P_SLOTS]
    release = line32[base + 2 * capacity + tail]
    if release == FAR:
        line32[numbers + QUEUE_WANTED] = 1
    elif release > now and line32[numbers + QUEUE_WAKE] != release:
        line32[numbers + QUEUE_WAKE] = release
        push(release, link << 2 | EVENT_LINK, scalars, wheel, chunks, spare)


@nb.njit(inline="always", **OPTIONS)
def choose(feasible, node, turn, round_robin, count):
    """Arbitrate between FIFOs, given as bits."""
    rotated = (feasible >> turn | feasible << (32 - turn)) & 0xFFFFFFFF
    if feasible & (feasible - 1) == 0 or round_robin:
        return (lowest_bit(rotated) + turn) & 31
    if feasible & NETWORK_MASK:
        feasible &= NETWORK_MASK
        rotated = (feasible >> turn | feasible << (32 - turn)) & 0xFFFFFFFF
    best = -1
    longest = 0
    while rotated:
        candidate = (lowest_bit(rotated) + turn) & 31
        rotated &= rotated - 1
        length = nb.int64(count[node * 32 + candidate])
        if length > longest:
            longest = length
            best = candidate
    return best


@nb.njit(**OPTIONS)
def grant(
    node, direction, now, par, scalars, line64, line32, count, links, neighbours, dma, outbox, sends, wheel, chunks, spare
):
    """Give a link to one of the FIFOs that ask for it, if it is free and one can use it."""
    link = node * 8 + direction
    l = link * LINK_FIELDS
    deterministic = nb.int64(links[l + LINK_DETERMINISTIC]) & 0xFFFFFFFF
    dynamic = nb.int64(links[l + LINK_DYNAMIC]) & 0xFFFFFFFF
    priority = nb.int64(links[l + LINK_PRIORITY]) & 0xFFFFFFFF
    if not deterministic | dynamic | priority:
        return sends
    free = links[l + LINK_FREE]
    if free > now:
        if links[l + LINK_WAKE] != free:
            links[l + LINK_WAKE] = free
            push(free, link << 2 | EVENT_LINK, scalars, wheel, chunks, spare)
        return sends
    below = neighbours[link] * 32 + direction * 4
    bubble = deterministic | nb.int64(links[l + LINK_ESCAPE]) & 0xFFFFFFFF
    straight = 1 << (direction * 4 + 2)
    feasible = 0
    channel = 3
    free0 = 0
    free1 = 0
    if priority:
        room = slots_free(below + 3, now, par, line32, count)
        if room == 2:
            feasible = priority
        elif room == 1:
            feasible = priority & straight << 1
    if not feasible:
        channel = 2
        if bubble:
            room = slots_free(below + 2, now, par, line32, count)
            if room == 2:
                feasible = bubble
            elif room == 1:
                feasible = bubble & straight
        if dynamic:
            free0 = slots_known(below, now, par, line32, count)
            free1 = slots_known(below + 1, now, par, line32, count)
            if free0 | free1:
                feasible |= dynamic
    if not feasible:
        if priority:
            needed = 1 + (slots_free(below + 3, now, par, line32, count) == 1)
            await_slot(below + 3, link, needed, now, par, scalars, line32, count, wheel, chunks, spare)
        if bubble:
            needed = 1 + (slots_free(below + 2, now, par, line32, count) == 1)
            await_slot(below + 2, link, needed, now, par, scalars, line32, count, wheel, chunks, spare)
        if dynamic:
            await_slot(below, link, 1, now, par, scalars, line32, count, wheel, chunks, spare)
            await_slot(below + 1, link, 1, now, par, scalars, line32, count, wheel, chunks, spare)
        return sends
    grants = nb.int64(links[l + LINK_GRANTS])
    mixed = (grants * 2654435761 + nb.int64(link) * 2246822519) & 0xFFFFFFFF
    mixed ^= mixed >> 15
    mixed = (mixed * 739982445) & 0xFFFFFFFF
    turn = links[l + LINK_TURN] & 31
    bit = choose(feasible, node, turn, mixed >> 24 < par[P_DITHER], count)
    if dynamic >> bit & 1 and channel != 3 and free0 | free1:
        channel = 0 if free0 >= free1 else 1
    queue = node * 32 + bit
    capacity = par[P_CAPACITY]
    base = queue * 4 * capacity
    head = line32[base + 3 * capacity + QUEUE_HEAD]
    packet = line64[(base >> 1) + head]
    clear = ~(1 << bit)
    for dimension in range(3):
        if packet >> 8 * dimension & 255:
            other = (node * 8 + 2 * dimension + (packet >> (24 + dimension) & 1)) * LINK_FIELDS
            links[other + LINK_DETERMINISTIC] &= clear
            links[other + LINK_DYNAMIC] &= clear
            links[other + LINK_ESCAPE] &= clear
            links[other + LINK_PRIORITY] &= clear
            if not packet >> DYNAMIC_BIT & 1:
                break
    size = packet >> CHUNKS_BIT & 15
    duration = size * par[P_CHUNK] + par[P_OVERHEAD]
    links[l + LINK_FREE] = now + duration
    links[l + LINK_GRANTS] = grants + 1
    links[l + LINK_TURN] = (links[l + LINK_TURN] & ~31) + size * 32 + ((bit + 1) & 31)
    if links[l + LINK_DETERMINISTIC] | links[l + LINK_DYNAMIC] | links[l + LINK_PRIORITY]:
        links[l + LINK_WAKE] = now + duration
        push(now + duration, link << 2 | EVENT_LINK, scalars, wheel, chunks, spare)
    if bit < FIRST_INJECTION:
        leave(queue, size, now, par, scalars, line32, count, neighbours, wheel, chunks, spare)
    else:
        head += 1
        if head == par[P_INJECTION_SLOTS]:
            head = 0
        line32[base + 3 * capacity + QUEUE_HEAD] = head
        line32[base + 3 * capacity + QUEUE_READY] = now + par[P_READ]
        count[queue] -= 1
        if count[queue]:
            push(now + par[P_READ], queue << 2 | EVENT_HEAD, scalars, wheel, chunks, spare)
        at = node * DMA_FIELDS
        if dma[at + DMA_ACTIVE] and not dma[at + DMA_PENDING]:
            dma[at + DMA_PENDING] = 1
            push(max(now + 1, dma[at + DMA_FREE]), node << 2 | EVENT_DMA, scalars, wheel, chunks, spare)
    outbox[2 * sends] = below + channel
    outbox[2 * sends + 1] = packet - (nb.int64(1) << 8 * (direction >> 1))
    scalars[HOPS] += 1
    return sends + 1


@nb.njit(**OPTIONS)
def run(
    until, par, scalars, line64, line32, count, links, neighbours, dirty, nodes, outbox, dma,
    messages, sent, done, post_time, post_message, wheel, chunks, spare,
):  # fmt: skip
    """Run to a time relative to the epoch, to the end, or until nothing can happen; return which."""
    capacity = par[P_CAPACITY]
    now = scalars[NOW]
    posts = len(post_time)
    idle = 0
    while now < until:
        if scalars[UNDELIVERED] == 0:
            scalars[NOW] = now
            return FINISHED
        while scalars[POSTED] < posts and post_time[scalars[POSTED]] <= scalars[EPOCH] + now:
            post(post_message[scalars[POSTED]], now, scalars, messages, dma, wheel, chunks, spare)
            scalars[POSTED] += 1
        slot = (now & (WHEEL - 1)) * 3
        chunk = wheel[slot]
        if chunk < 0:
            if scalars[PENDING] == 0:
                if scalars[POSTED] == posts:
                    scalars[NOW] = now
                    return STUCK
                now = min(until, max(now + 1, post_time[scalars[POSTED]] - scalars[EPOCH]))
            else:
                now += 1
            continue
        if scalars[CHUNKS_FREE] < 2 * len(nodes):
            scalars[NOW] = now
            return FULL
        touched = 0
        released = 0
        last = wheel[slot + 1]
        while chunk >= 0:
            filled = WHEEL_CHUNK - 1
            if chunk == last:
                filled = wheel[slot + 2]
            scalars[PENDING] -= filled
            scalars[EVENTS] += filled
            for entry in range(filled):
                event = chunks[chunk * WHEEL_CHUNK + entry]
                kind = event & 3
                subject = event >> 2
                if kind == EVENT_HEAD:
                    base = subject * 4 * capacity
                    packet = line64[(base >> 1) + line32[base + 3 * capacity + QUEUE_HEAD]]
                    if packet & HOPS_MASK == 0:
                        size = packet >> CHUNKS_BIT & 15
                        leave(subject, size, now, par, scalars, line32, count, neighbours, wheel, chunks, spare)
                        scalars[DELIVERED] += 1
                        scalars[UNDELIVERED] -= 1
                        message = packet >> MESSAGE_BIT
                        m = message * MESSAGE_FIELDS
                        messages[m + MESSAGE_UNDELIVERED] -= 1
                        if messages[m + MESSAGE_UNDELIVERED] == 0:
                            arrival = now + size * par[P_CHUNK] + par[P_OVERHEAD] + par[P_ENDPOINT]
                            done[message] = scalars[EPOCH] + arrival
                            then = messages[m + MESSAGE_THEN]
                            if then >= 0:
                                arrival += messages[m + MESSAGE_DELAY]
                                push(arrival, then << 2 | EVENT_POST, scalars, wheel, chunks, spare)
                        continue
                    node = subject >> 5
                    bit = subject & 31
                    mask = nb.int32(nb.int64(1) << bit)
                    outputs = 0
                    if packet >> DYNAMIC_BIT & 1:
                        for dimension in range(2, -1, -1):
                            if packet >> 8 * dimension & 255:
                                direction = 2 * dimension + (packet >> (24 + dimension) & 1)
                                links[(node * 8 + direction) * LINK_FIELDS + LINK_DYNAMIC] |= mask
                                outputs |= 1 << direction
                                first = direction
                        links[(node * 8 + first) * LINK_FIELDS + LINK_ESCAPE] |= mask
                    else:
                        dimension = 0
                        while not packet >> 8 * dimension & 255:
                            dimension += 1
                        direction = 2 * dimension + (packet >> (24 + dimension) & 1)
                        field = LINK_PRIORITY if packet >> PRIORITY_BIT & 1 else LINK_DETERMINISTIC
                        links[(node * 8 + direction) * LINK_FIELDS + field] |= mask
                        outputs = 1 << direction
                elif kind == EVENT_LINK:
                    node = subject >> 3
                    outputs = 1 << (subject & 7)
                elif kind == EVENT_DMA:
                    inject(
                        subject, now, par, scalars, messages, sent, dma, line64, line32, count, wheel, chunks, spare
                    )
                    continue
                else:
                    outbox[released] = subject
                    released += 1
                    continue
                if not dirty[node]:
                    nodes[touched] = node
                    touched += 1
                dirty[node] |= outputs
            following = chunks[chunk * WHEEL_CHUNK + WHEEL_CHUNK - 1]
            spare[scalars[CHUNKS_FREE]] = chunk
            scalars[CHUNKS_FREE] += 1
            chunk = following
        wheel[slot] = -1
        wheel[slot + 1] = -1
        wheel[slot + 2] = 0
        sort(outbox, released)
        for index in range(released):
            post(outbox[index], now, scalars, messages, dma, wheel, chunks, spare)
        sends = 0
        for index in range(touched):
            node = nodes[index]
            outputs = nb.int64(dirty[node])
            dirty[node] = 0
            while outputs:
                direction = lowest_bit(outputs)
                outputs &= outputs - 1
                sends = grant(
                    node, direction, now, par, scalars, line64, line32, count, links, neighbours, dma, outbox,
                    sends, wheel, chunks, spare,
                )  # fmt: skip
        for index in range(sends):
            queue = outbox[2 * index]
            base = queue * 4 * capacity
            numbers = base + 3 * capacity
            used = nb.int64(count[queue])
            tail = line32[numbers + QUEUE_HEAD] + used
            if tail >= par[P_SLOTS]:
                tail -= par[P_SLOTS]
            line64[(base >> 1) + tail] = outbox[2 * index + 1]
            line32[base + 2 * capacity + tail] = FAR
            count[queue] = used + 1
            if used == 0:
                ready = max(now + par[P_HOP], nb.int64(line32[numbers + QUEUE_READY]))
                push(ready, queue << 2 | EVENT_HEAD, scalars, wheel, chunks, spare)
        now += 1
    scalars[NOW] = now
    return REACHED

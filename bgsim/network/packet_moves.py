"""Steps of the compiled packet engine: events, messages posted, packets leaving FIFOs.

Inlined into the loop of :mod:`bgsim.network.packet_kernel`. numba's cache of that loop does not notice
changes in this file or in the layout: delete the cache after editing them.
"""

# The compiled functions take arrays by position, and numba's decorators hide their types.
# mypy: disable-error-code="no-untyped-def, call-overload, call-arg, unreachable, var-annotated"

from __future__ import annotations

import numba as nb

from bgsim.network import packet_layout as at
from bgsim.network.packet_layout import lowest_bit
from bgsim.network.router import NETWORK_MASK

OPTIONS = {"cache": True, "_nrt": False, "boundscheck": False}


@nb.njit(inline="always", **OPTIONS)
def push(time, event, scalars, wheel, pool):
    """Put an event into the wheel, less than one turn ahead."""
    slot = (time & (at.WHEEL - 1)) * 4
    fill = wheel[slot + at.SLOT_FILL]
    if fill == at.BLOCK_EVENTS:
        spare = scalars[at.SPARE]
        scalars[at.SPARE] = pool[spare * at.BLOCK + at.BLOCK_EVENTS]
        pool[spare * at.BLOCK + at.BLOCK_EVENTS] = -1
        last = wheel[slot + at.SLOT_LAST]
        if last < 0:
            wheel[slot] = spare
        else:
            pool[last * at.BLOCK + at.BLOCK_EVENTS] = spare
        wheel[slot + at.SLOT_LAST] = spare
        fill = 0
    pool[wheel[slot + at.SLOT_LAST] * at.BLOCK + fill] = event
    wheel[slot + at.SLOT_FILL] = fill + 1
    scalars[at.PENDING] += 1


@nb.njit(**OPTIONS)
def post(message, now, stride, scalars, messages, words, wheel, pool):
    """Append a message to its DMA FIFO and see that the engine runs."""
    place = messages[message * at.MESSAGE_FIELDS + at.MESSAGE_PLACE]
    node, fifo = place >> 8, place & 7
    dma = (node + 1) * stride - at.NODE_WORDS + at.DMA_AT
    messages[message * at.MESSAGE_FIELDS + at.MESSAGE_NEXT] = -1
    if words[dma + at.DMA_ACTIVE] >> fifo & 1:
        messages[words[dma + at.DMA_TAIL + fifo] * at.MESSAGE_FIELDS + at.MESSAGE_NEXT] = message
    else:
        words[dma + fifo] = message
        words[dma + at.DMA_ACTIVE] |= 1 << fifo
    words[dma + at.DMA_TAIL + fifo] = message
    if not words[dma + at.DMA_PENDING]:
        words[dma + at.DMA_PENDING] = 1
        push(max(now + 1, words[dma + at.DMA_FREE]), node << 2 | at.EVENT_DMA, scalars, wheel, pool)


@nb.njit(inline="always", **OPTIONS)
def fifo_for(word, limit, counts):
    """Injection FIFO for a packet, the emptiest of its directions, and the packets in it.

    The FIFO is -1 if all are full.
    """
    target = -1
    least = limit
    if word >> at.PRIORITY_BIT & 1:
        used = nb.int64(counts[6])
        if used < least:
            return 6, used
        return -1, used
    for dimension in range(3):
        if word >> 8 * dimension & 255:
            fifo = 2 * dimension + (word >> (24 + dimension) & 1)
            used = nb.int64(counts[fifo])
            if used < least:
                least = used
                target = fifo
            if not word >> at.DYNAMIC_BIT & 1:
                break
    return target, least


@nb.njit(inline="always", **OPTIONS)
def leave(node, bit, line, size, now, stride, router, scalars, words, counts, wheel, pool):
    """Take the head off a network FIFO: its slot comes free later, and its next packet asks later."""
    numbers = line + 3 * router.capacity
    head = words[numbers + at.QUEUE_HEAD]
    release = now + size * router.chunk + router.overhead + router.token
    words[line + 2 * router.capacity + head] = release
    head += 1
    if head == router.slots:
        head = 0
    words[numbers + at.QUEUE_HEAD] = head
    words[numbers + at.QUEUE_READY] = now + router.read
    counter = ((node + 1) * stride - at.NODE_WORDS + at.COUNT_AT) * 4 + bit
    left = counts[counter] - 1
    counts[counter] = left
    if left:
        push(now + router.read, (node * 32 + bit) << 2 | at.EVENT_HEAD, scalars, wheel, pool)
    if words[numbers + at.QUEUE_WANTED]:
        words[numbers + at.QUEUE_WANTED] = 0
        words[numbers + at.QUEUE_WAKE] = release
        direction = bit >> 2
        upstream = words[(node + 1) * stride - at.NODE_WORDS + at.NEIGHBOUR_AT + (direction ^ 1)]
        push(release, (upstream * 8 + direction) << 2 | at.EVENT_LINK, scalars, wheel, pool)


@nb.njit(inline="always", **OPTIONS)
def slots_free(line, used, now, router, words):
    """Free slots of a FIFO as its upstream router knows them: 0, 1 or 2 (which may be more)."""
    tail = words[line + 3 * router.capacity + at.QUEUE_HEAD] + used
    if tail >= router.slots:
        tail -= router.slots
    if words[line + 2 * router.capacity + tail] > now:
        return 0
    tail += 1
    if tail == router.slots:
        tail = 0
    if words[line + 2 * router.capacity + tail] > now:
        return 1
    return 2


@nb.njit(inline="always", **OPTIONS)
def slots_known(line, now, router, words):
    """All free slots of a FIFO as its upstream router knows them."""
    first = line + 2 * router.capacity
    free = (words[first] <= now) + (words[first + 1] <= now)
    free += (words[first + 2] <= now) + (words[first + 3] <= now)
    if router.capacity > 4:
        for slot in range(first + 4, first + 8):
            free += words[slot] <= now
    return free


@nb.njit(inline="always", **OPTIONS)
def await_slot(line, used, link, needed, now, router, scalars, words, wheel, pool):
    """Have a link woken when a FIFO downstream has one slot more."""
    numbers = line + 3 * router.capacity
    tail = words[numbers + at.QUEUE_HEAD] + used + needed - 1
    if tail >= router.slots:
        tail -= router.slots
    release = words[line + 2 * router.capacity + tail]
    if release == at.FAR:
        words[numbers + at.QUEUE_WANTED] = 1
    elif release > now and words[numbers + at.QUEUE_WAKE] != release:
        words[numbers + at.QUEUE_WAKE] = release
        push(release, link << 2 | at.EVENT_LINK, scalars, wheel, pool)


@nb.njit(inline="always", **OPTIONS)
def choose(feasible, counter, turn, drawn, dither, counts):
    """Arbitrate between FIFOs, given as bits."""
    if drawn >> 24 < dither:
        number = 0
        rest = feasible
        while rest:
            rest &= rest - 1
            number += 1
        skip = (drawn & 0xFFFF) * number >> 16
        rest = feasible
        while skip:
            rest &= rest - 1
            skip -= 1
        best = lowest_bit(rest)
    else:
        if feasible & NETWORK_MASK:
            feasible &= NETWORK_MASK
        rotated = (feasible >> turn | feasible << (32 - turn)) & 0xFFFFFFFF
        best = (lowest_bit(rotated) + turn) & 31
        rotated &= rotated - 1
        if rotated:
            longest = counts[counter + best]
            while rotated:
                candidate = (lowest_bit(rotated) + turn) & 31
                rotated &= rotated - 1
                length = counts[counter + candidate]
                if length > longest:
                    longest = length
                    best = candidate
    return best

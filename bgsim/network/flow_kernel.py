"""The flow engine's compiled part: routes, max-min fair rates, and the run through time.

The rates are found by progressive filling: the link with the smallest share per unfrozen flow freezes its
flows at that share. Shares only grow while this goes on, so a heap with stale entries serves; and the links
that are fullest at the start, which are all of them in regular patterns, need no heap.
"""

# The compiled functions take arrays by position, and numba's decorators hide their types.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bgsim.compiled import compiled, compiled_inner
from bgsim.network.gates import count, open_gates, sort

Array = NDArray[Any]
DIRECTIONS: Final = 6
QUEUES: Final = 8
HOPS_MAX: Final = 3 * 255
FOREVER: Final = 1e300
FINISHED, STUCK, REACHED = 0, 1, 2

# Places in FlowState.number.
ACTIVE: Final = 0
POSTED: Final = 1
SOLVES: Final = 2
ENDS: Final = 3
ENDED: Final = 4
LEFT: Final = 5
NUMBERS: Final = 6

# Places in FlowState.time.
NOW: Final = 0
SINCE: Final = 1
DEADLINE: Final = 2
TOLERANCE: Final = 3
TIMES: Final = 4


class FlowState(NamedTuple):
    """Columns of a run.

    Of each message: its ``size`` as link time, its links at ``first`` in ``route``, its injection ``queue``
    and the ``following`` message there, and when it was ``sent``. Of each queue, whose first message is the
    flow: its bytes ``left``, as link time, its ``rate`` as a fraction of a link, when it ``began`` and will
    have its ``end``. Of each link: the open flows, what is left of it, its share, its flows at ``begin`` in
    ``users``.
    """

    size: Array
    left: Array
    rate: Array
    began: Array
    end: Array
    first: Array
    route: Array
    latency: Array
    queue: Array
    then: Array
    sent_then: Array
    following: Array
    sent: Array
    post_time: Array
    post_message: Array
    queue_head: Array
    queue_tail: Array
    active: Array
    ends: Array
    outbox: Array
    link_open: Array
    link_left: Array
    link_share: Array
    link_begin: Array
    users: Array
    heap: Array
    number: Array
    time: Array


@compiled
def measure(messages, details, times, columns):
    """Work out what is known of each message beforehand.

    Parameters
    ----------
    messages, details
        Hops word, source and packets; chunks of the last packet and injection FIFO, one number if that
        stands for all messages.
    times
        Cycles of a chunk and of the overhead of a packet on a link, of a full packet on a link, between two
        packets of a local copy, of a hop, and of both ends.
    columns
        Where its links begin, its size as link time, its latency, its queue; and how many messages have so
        many links.
    """
    word, source, packets = messages
    last_chunks, fifo = details
    chunk, overhead, full, local, hop, endpoint = times
    first, size, latency, queue, longest = columns
    place = 0
    for flow in range(len(source)):
        hops = (word[flow] & 255) + (word[flow] >> 8 & 255) + (word[flow] >> 16 & 255)
        if hops:
            last = last_chunks[flow if len(last_chunks) > 1 else 0]
            size[flow] = (packets[flow] - 1) * full + chunk * last + overhead
            latency[flow] = hops * hop + endpoint
        else:
            size[flow] = packets[flow] * local
            latency[flow] = 0
        queue[flow] = source[flow] * QUEUES + fifo[flow if len(fifo) > 1 else 0]
        links = max(hops, 1)
        longest[links] += 1
        place += links
        first[flow + 1] = place


def users_at_most(longest: NDArray[np.int64], flows: int) -> int:
    """Links that so many flows cross together at most, given how many messages have so many links."""
    hops = np.arange(len(longest))[::-1]
    taken = np.diff(np.minimum(np.cumsum(longest[::-1]), flows), prepend=0)
    return int((taken * hops).sum())


@compiled
def trace(source, word, shape, first, route):
    """Write the links of each flow's route, in dimension order; a local copy has its node's own.

    The links of node n are 6n to 6n + 5; those for local copies follow after all nodes.
    """
    local = DIRECTIONS * shape[0] * shape[1] * shape[2]
    for flow in range(len(source)):
        place = first[flow]
        hops = word[flow]
        position = source[flow]
        if hops & 0xFFFFFF == 0:
            route[place] = local + position
        stride = 1
        for dimension in range(3):
            size = shape[dimension]
            ahead = hops >> 8 * dimension & 255
            if ahead:
                backwards = hops >> (24 + dimension) & 1
                here = np.int64(np.uint32(position) // np.uint32(stride) % np.uint32(size))  # slow in 64 bits
                for _ in range(ahead):
                    route[place] = position * DIRECTIONS + 2 * dimension + backwards
                    place += 1
                    there = here - 1 if backwards else here + 1
                    if there < 0:
                        there += size
                    elif there == size:
                        there -= size
                    position += (there - here) * stride
                    here = there
            stride *= size


@compiled_inner
def sink(heap, keys, place, size):
    """Restore the heap's order below a place."""
    link = heap[place]
    key = keys[link]
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and keys[heap[child + 1]] < keys[heap[child]]:
            child += 1
        if keys[heap[child]] >= key:
            break
        heap[place] = heap[child]
        place = child
    heap[place] = link


@compiled_inner
def freeze(link, fair, flows):
    """Give a link's unfrozen flows their rate; return how many these were."""
    frozen = 0
    for use in range(flows.link_begin[link], flows.link_begin[link + 1]):
        flow = flows.users[use]
        if flows.rate[flows.queue[flow]] < 0.0:
            flows.rate[flows.queue[flow]] = fair
            frozen += 1
            for hop in range(flows.first[flow], flows.first[flow + 1]):
                other = flows.route[hop]
                flows.link_open[other] -= 1
                flows.link_left[other] -= fair
    return frozen


@compiled_inner
def share(flows):
    """Work out max-min fair rates of the active flows."""
    unfrozen = flows.number[ACTIVE]
    flows.link_open[:] = 0
    most = 0
    for index in range(unfrozen):
        flow = flows.active[index]
        flows.rate[flows.queue[flow]] = -1.0
        for hop in range(flows.first[flow], flows.first[flow + 1]):
            link = flows.route[hop]
            flows.link_open[link] += 1
            most = max(most, flows.link_open[link])
    if most == 1:  # no two flows meet
        for index in range(unfrozen):
            flows.rate[flows.queue[flows.active[index]]] = 1.0
        return
    links = 0
    place = 0
    for link in range(len(flows.link_open)):
        opened = flows.link_open[link]
        place += opened
        flows.link_begin[link] = place  # moves back as the users are entered
        if opened:
            flows.heap[links] = link
            links += 1
            flows.link_left[link] = 1.0
    flows.link_begin[len(flows.link_open)] = place
    for index in range(unfrozen):
        flow = flows.active[index]
        for hop in range(flows.first[flow], flows.first[flow + 1]):
            link = flows.route[hop]
            flows.link_begin[link] -= 1
            flows.users[flows.link_begin[link]] = flow
    kept = 0
    for index in range(links):
        link = flows.heap[index]
        if flows.link_begin[link + 1] - flows.link_begin[link] == most:
            unfrozen -= freeze(link, 1.0 / most, flows)
        else:
            flows.heap[kept] = link
            kept += 1
    links = kept
    if not unfrozen:
        return
    kept = 0
    for index in range(links):
        link = flows.heap[index]
        if flows.link_open[link]:
            flows.link_share[link] = flows.link_left[link] / flows.link_open[link]
            flows.heap[kept] = link
            kept += 1
    links = kept
    for index in range(links // 2 - 1, -1, -1):
        sink(flows.heap, flows.link_share, index, links)
    while unfrozen:
        link = flows.heap[0]
        if flows.link_open[link]:
            fair = flows.link_left[link] / flows.link_open[link]
            if fair > flows.link_share[link]:
                flows.link_share[link] = fair
                sink(flows.heap, flows.link_share, 0, links)
                continue
            unfrozen -= freeze(link, fair, flows)
        links -= 1
        flows.heap[0] = flows.heap[links]
        if links:
            sink(flows.heap, flows.link_share, 0, links)


@compiled_inner
def precedes(flow, other, flows):
    """Whether a flow ends before another one."""
    end, end_of_other = flows.end[flows.queue[flow]], flows.end[flows.queue[other]]
    return end < end_of_other or (end == end_of_other and flow < other)


@compiled_inner
def sort_ends(ends, size, flows):
    """Sort flows by the time of their end, then by number (Shell's sort)."""
    place = 1
    while place < size and not precedes(ends[place], ends[place - 1], flows):
        place += 1
    gap = size >> 1 if place < size else 0  # nothing to do where they came in order
    while gap:
        for index in range(gap, size):
            flow = ends[index]
            place = index
            while place >= gap and precedes(flow, ends[place - gap], flows):
                ends[place] = ends[place - gap]
                place -= gap
            ends[place] = flow
        gap >>= 1


@compiled_inner
def solve(now, flows):
    """Bring the bytes up to date, work out the rates anew, and find the flows that end next."""
    kept = 0
    for index in range(flows.number[ACTIVE]):
        flow = flows.active[index]
        if flows.sent[flow] < 0:
            queue = flows.queue[flow]
            flows.left[queue] -= flows.rate[queue] * (now - flows.time[SINCE])
            flows.active[kept] = flow
            kept += 1
    flows.number[ACTIVE] = kept
    flows.number[SOLVES] += 1
    flows.time[SINCE] = now
    flows.time[DEADLINE] = FOREVER
    flows.number[ENDED] = 0
    flows.number[ENDS] = 0
    if not kept:
        return
    share(flows)
    earliest = FOREVER
    first = 0
    for index in range(kept):
        queue = flows.queue[flows.active[index]]
        if flows.end[queue] < 0.0:  # a new flow has had this rate since it began
            flows.left[queue] -= flows.rate[queue] * (now - flows.began[queue])
        end = now + max(flows.left[queue], 0.0) / flows.rate[queue]
        flows.end[queue] = end
        if end < earliest:
            earliest = end
            first = queue
    bound = earliest + flows.time[TOLERANCE] * (earliest - flows.began[first])
    ends = 0
    for index in range(kept):
        flow = flows.active[index]
        if flows.end[flows.queue[flow]] <= bound:
            flows.ends[ends] = flow
            ends += 1
    flows.number[ENDS] = ends
    sort_ends(flows.ends, ends, flows)


@compiled_inner
def activate(message, now, flows):
    """A message is the first of its queue now; it gets a rate at the next solution, soon."""
    queue = flows.queue[message]
    flows.left[queue] = flows.size[message]
    flows.began[queue] = now
    flows.rate[queue] = 0.0
    flows.end[queue] = -1.0
    flows.active[flows.number[ACTIVE]] = message
    flows.number[ACTIVE] += 1
    wait = flows.time[TOLERANCE] * flows.size[message]
    flows.time[DEADLINE] = min(flows.time[DEADLINE], now + wait)


@compiled_inner
def complete(message, flows, gates):
    """A message's bytes are through."""
    queue = flows.queue[message]
    now = flows.end[queue]
    sent = np.int64(np.ceil(now))
    flows.sent[message] = sent
    flows.number[LEFT] -= 1
    wait = flows.time[TOLERANCE] * (now - flows.began[queue])
    flows.time[DEADLINE] = min(flows.time[DEADLINE], now + wait)
    if flows.sent_then[message] >= 0:
        count(flows.sent_then[message], sent, gates)
    if flows.then[message] >= 0:
        count(flows.then[message], sent + flows.latency[message], gates)
    following = flows.following[message]
    flows.queue_head[queue] = following
    if following >= 0:
        activate(following, now, flows)


@compiled_inner
def post(message, now, flows):
    """Append a message to its injection queue."""
    queue = flows.queue[message]
    if flows.queue_head[queue] < 0:
        flows.queue_head[queue] = message
        activate(message, now, flows)
    else:
        flows.following[flows.queue_tail[queue]] = message
    flows.queue_tail[queue] = message


@compiled
def run(until, flows, gates):
    """Run to a time, to the end, or until nothing can happen; return which."""
    number, time = flows.number, flows.time
    while True:
        if number[LEFT] == 0 and gates.size[0] == 0:
            return FINISHED
        coming = time[DEADLINE]
        if number[ENDED] < number[ENDS]:
            coming = min(coming, flows.end[flows.queue[flows.ends[number[ENDED]]]])
        if number[POSTED] < len(flows.post_time):
            coming = min(coming, np.float64(flows.post_time[number[POSTED]]))
        if gates.size[0]:
            coming = min(coming, np.float64(gates.heap_time[0]))
        if coming >= FOREVER:
            return STUCK
        if coming > until:
            time[NOW] = until
            return REACHED
        now = max(coming, time[NOW])
        time[NOW] = now
        while number[ENDED] < number[ENDS] and flows.end[flows.queue[flows.ends[number[ENDED]]]] <= now:
            number[ENDED] += 1
            complete(flows.ends[number[ENDED] - 1], flows, gates)
        released = 0
        while number[POSTED] < len(flows.post_time) and flows.post_time[number[POSTED]] <= now:
            flows.outbox[released] = flows.post_message[number[POSTED]]
            released += 1
            number[POSTED] += 1
        if gates.size[0] and gates.heap_time[0] <= now:
            released = open_gates(gates.heap_time[0], gates, flows.outbox, released)
        if released:
            sort(flows.outbox, released)
            for index in range(released):
                post(flows.outbox[index], now, flows)
        if time[DEADLINE] <= now:
            solve(now, flows)

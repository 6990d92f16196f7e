"""Flow-level torus: messages as fluids that share links max-min fairly.

Where packets cannot reach, a message is a flow along its dimension-order route, from the time it is posted
until its bytes are through. At each moment the rates are max-min fair: no flow could go faster without
slowing one that is not faster. When flows end, the rates are worked out again. Exact for fluids; what it
leaves out is everything a router does (finite buffers, head-of-line blocking, the bubble rule), so it
bounds what the packet engine finds.

The rates are found by progressive filling: the link with the smallest share per unfrozen flow freezes its
flows at that share. Shares only grow while this goes on, so a heap with stale entries serves.
"""

# The compiled functions take arrays by position.
# mypy: disable-error-code="no-untyped-def, call-overload"

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np
from numpy.typing import NDArray

from bgsim.network.topology import Closed, Shape, node_count
from bgsim.network.traffic import Ints, hops_word

OPTIONS = {"cache": True, "_nrt": False, "boundscheck": False}
LINKS = 6


@nb.njit(**OPTIONS)
def trace(source, word, shape, first, route):
    """Write the links of each flow's route, in dimension order."""
    for flow in range(len(source)):
        place = first[flow]
        hops = word[flow]
        position = source[flow]
        stride = 1
        for dimension in range(3):
            size = shape[dimension]
            backwards = hops >> (24 + dimension) & 1
            for _ in range(hops >> 8 * dimension & 255):
                route[place] = position * LINKS + 2 * dimension + backwards
                place += 1
                here = position // stride % size
                there = here - 1 if backwards else here + 1
                if there < 0:
                    there += size
                elif there == size:
                    there = 0
                position += (there - here) * stride
            stride *= size


@nb.njit(**OPTIONS)
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


@nb.njit(**OPTIONS)
def share(
    active, actives, first, route, begin, users, open_flows, capacity, left, keys, heap, rate, epoch, mark
):
    """Work out max-min fair rates of the active flows."""
    links = 0
    for index in range(actives):
        flow = active[index]
        rate[flow] = -1.0
        for hop in range(first[flow], first[flow + 1]):
            link = route[hop]
            if mark[link] != epoch:
                mark[link] = epoch
                open_flows[link] = 0
                left[link] = capacity
                heap[links] = link
                links += 1
            open_flows[link] += 1
    for index in range(links):
        keys[heap[index]] = left[heap[index]] / open_flows[heap[index]]
    for index in range(links // 2 - 1, -1, -1):
        sink(heap, keys, index, links)
    while links:
        link = heap[0]
        if open_flows[link]:
            fair = left[link] / open_flows[link]
            if fair > keys[link]:
                keys[link] = fair
                sink(heap, keys, 0, links)
                continue
            for use in range(begin[link], begin[link + 1]):
                flow = users[use]
                if rate[flow] < 0.0:
                    rate[flow] = fair
                    for hop in range(first[flow], first[flow + 1]):
                        open_flows[route[hop]] -= 1
                        left[route[hop]] -= fair
        links -= 1
        heap[0] = heap[links]
        if links:
            sink(heap, keys, 0, links)


@nb.njit(**OPTIONS)
def flow(
    active,
    first,
    route,
    begin,
    users,
    open_flows,
    capacity,
    left,
    keys,
    heap,
    rate,
    mark,
    bytes_left,
    end,
    tolerance,
):
    """Let all flows run to their ends; return the number of times the rates were worked out."""
    actives = len(active)
    now = 0.0
    solves = 0
    while actives:
        solves += 1
        share(
            active,
            actives,
            first,
            route,
            begin,
            users,
            open_flows,
            capacity,
            left,
            keys,
            heap,
            rate,
            solves,
            mark,
        )
        step = np.inf
        for index in range(actives):
            step = min(step, bytes_left[active[index]] / rate[active[index]])
        step += tolerance * (now + step)
        kept = 0
        for index in range(actives):
            which = active[index]
            need = bytes_left[which] / rate[which]
            if need <= step:
                end[which] = now + need
                rate[which] = 0.0
            else:
                bytes_left[which] -= step * rate[which]
                active[kept] = which
                kept += 1
        now += step
        actives = kept
    return solves


@dataclass(frozen=True, slots=True)
class Flows:
    """What became of a set of flows.

    Attributes
    ----------
    end_seconds
        When each flow's last byte arrived, shape (n,).
    solves
        How often the rates were worked out.
    link_bytes
        Bytes over each link, shape (nodes, 6).
    """

    end_seconds: NDArray[np.float64]
    solves: int
    link_bytes: NDArray[np.float64]


def simulate_flows(
    shape: Shape,
    torus: Closed,
    source: Ints,
    destination: Ints,
    size_bytes: Ints | int,
    *,
    link_bytes_per_second: float = 425e6,
    hop_seconds: float = 100e-9,
    tolerance: float = 2e-3,
) -> Flows:
    """Send messages at time 0, all at once, and let them share the links.

    Parameters
    ----------
    shape, torus
        The partition.
    source, destination
        Node numbers, shape (n,).
    size_bytes
        Bytes on the links of each message, headers included if they are to count.
    link_bytes_per_second
        Rate of a link in one direction.
    hop_seconds
        Added to a message's time for each link of its route.
    tolerance
        Flows that end within this fraction of the present time of each other are taken out together: an error
        of at most that much in the rates' changes, none in the bytes.

    Returns
    -------
    Flows
        The end of each flow.
    """
    nodes = node_count(shape)
    word, _ = hops_word(source, destination, shape, torus)
    hops = (word & 255) + (word >> 8 & 255) + (word >> 16 & 255)
    first = np.zeros(len(source) + 1, np.int64)
    np.cumsum(hops, out=first[1:])
    route = np.empty(first[-1], np.int32)
    trace(source, word, np.array(shape, np.int64), first, route)
    begin = np.zeros(nodes * LINKS + 1, np.int64)
    np.cumsum(np.bincount(route, minlength=nodes * LINKS), out=begin[1:])
    users = np.repeat(np.arange(len(source), dtype=np.int32), hops)[np.argsort(route, kind="stable")]
    size = np.array(np.broadcast_to(np.asarray(size_bytes, np.float64), (len(source),)))
    carried = np.bincount(route, weights=np.repeat(size, hops), minlength=nodes * LINKS)
    links = nodes * LINKS
    end = np.zeros(len(source))
    solves = flow(
        np.flatnonzero(hops), first, route, begin, users, np.zeros(links, np.int32), link_bytes_per_second,
        np.zeros(links), np.zeros(links), np.zeros(links, np.int32), np.zeros(len(source)),
        np.zeros(links, np.int64), size, end, tolerance,
    )  # fmt: skip
    return Flows(end + hops * hop_seconds, int(solves), carried.reshape(nodes, LINKS).astype(np.float64))

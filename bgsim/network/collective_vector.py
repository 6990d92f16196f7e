"""Operations on an idle collective network, all nodes at once: the compiled form of the reference.

The packets of one operation move through the tree in order, so the time of each step is the latest of what it
waits for. For packet k, with all times in core cycles,

- ``injected``: software has it in the injection FIFO, once a slot is free and its window is open;
- ``up``: it leaves a node upwards, when the node's own packet and those of all children are there, the link
  is free, and the parent has a buffer;
- ``down``: it leaves a node downwards (at the root, that is ``up``), when its links are free and all children
  and the node's reception FIFO have room;
- ``taken``: software has it from the reception FIFO.

:mod:`bgsim.network.collective` does the same event by event; a test compares them.
"""

from __future__ import annotations

from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from bgsim.compiled import compiled
from bgsim.network.collective_packet import CollectiveParameters
from bgsim.network.tree import OUTSIDE, ROOT, CollectiveTree, Route

CONTRIBUTES, RECEIVES, SENDS_UP, SENDS_DOWN = 1, 2, 4, 8
LONG_AGO = np.iinfo(np.int64).min // 2


class Plan(NamedTuple):
    """A class in the order in which its nodes are visited.

    Attributes
    ----------
    order
        Node at each position, parents first, int32, shape (members,).
    above
        Position of the parent, -1 for roots, int32, shape (members,).
    roles
        Bits of what a node does, uint8, shape (members,).
    """

    order: NDArray[np.int32]
    above: NDArray[np.int32]
    roles: NDArray[np.uint8]


_plans: WeakKeyDictionary[Route, dict[tuple[str, int], Plan]] = WeakKeyDictionary()


def combine_broadcast(
    tree: CollectiveTree | Route,
    ready_cycles: NDArray[np.int64],
    packets: int,
    parameters: CollectiveParameters,
) -> NDArray[np.int64]:
    """Combine the packets of all nodes and give all of them the result: an allreduce.

    Parameters
    ----------
    tree
        The network, whose class 0 is used, or a class.
    ready_cycles
        When each node has its first packet in the injection FIFO, int64, shape (nodes,).
    packets
        Packets of each node, 1 or more.
    parameters
        Times, sizes, and the intervals of software.

    Returns
    -------
    numpy.ndarray
        When each node's software has its last result, int64, shape (nodes,). A node that does not receive
        is done when its last packet is in its FIFO; one without part in it when it is ready.
    """
    return _run(_plan(tree, "both", 0), ready_cycles, packets, parameters)


def reduce(
    tree: CollectiveTree | Route,
    ready_cycles: NDArray[np.int64],
    packets: int,
    parameters: CollectiveParameters,
) -> NDArray[np.int64]:
    """Combine the packets of all nodes for the root of the tree; see :func:`combine_broadcast`."""
    return _run(_plan(tree, "up", 0), ready_cycles, packets, parameters)


def broadcast(
    tree: CollectiveTree | Route,
    ready_cycles: NDArray[np.int64],
    packets: int,
    parameters: CollectiveParameters,
    source: int | None = None,
) -> NDArray[np.int64]:
    """Give all nodes the packets of one, the root unless named; see :func:`combine_broadcast`.

    A node takes packets out of its reception FIFO from when it is ready.
    """
    route = _route(tree)
    return _run(
        _plan(tree, "down", int(route.roots[0]) if source is None else source),
        ready_cycles,
        packets,
        parameters,
    )


def _route(tree: CollectiveTree | Route) -> Route:
    return tree.partition if isinstance(tree, CollectiveTree) else tree


def _plan(tree: CollectiveTree | Route, kind: str, source: int) -> Plan:
    route = _route(tree)
    plans = _plans.setdefault(route, {})
    if (kind, source) not in plans:
        if kind == "up":
            route = route.with_roles(receives=route.parent == ROOT)
        elif kind == "down":
            if not 0 <= source < route.nodes or route.parent[source] == OUTSIDE:
                raise ValueError(f"node {source} has no part in this class")
            route = route.with_roles(contributes=np.arange(route.nodes) == source)
        position = np.zeros(route.nodes, np.int32)
        order = route.order
        position[order] = np.arange(order.size)
        above = np.where(route.parent[order] >= 0, position[route.parent[order]], -1).astype(np.int32)
        bits = (
            (CONTRIBUTES, route.contributes),
            (RECEIVES, route.receives),
            (SENDS_UP, route.sends_up),
            (SENDS_DOWN, route.sends_down),
        )
        roles = sum(bit * holds[order].astype(np.uint8) for bit, holds in bits)
        plans[kind, source] = Plan(order, above, np.asarray(roles, np.uint8))
    return plans[kind, source]


def _run(
    plan: Plan, ready_cycles: NDArray[np.int64], packets: int, parameters: CollectiveParameters
) -> NDArray[np.int64]:
    if packets < 1:
        raise ValueError(f"an operation has at least one packet, not {packets}")
    done = np.array(ready_cycles, np.int64)
    members = plan.order.size
    times = np.empty((2, members), np.int64)
    if packets == 1:
        _one(
            plan.order, plan.above, plan.roles, done, parameters.packet_cycles, parameters.hop_cycles,
            parameters.reception_interval_cycles, times[0],
        )  # fmt: skip
        return done
    depth = max(parameters.link_packets, parameters.fifo_packets, parameters.window_packets)
    rings = np.full((3, depth, members), LONG_AGO, np.int64)
    state = np.empty((2, members), np.int64)
    _many(
        plan.order, plan.above, plan.roles, done, packets, parameters.packet_cycles, parameters.hop_cycles,
        parameters.link_packets, parameters.fifo_packets, parameters.packet_interval_cycles,
        parameters.reception_interval_cycles, parameters.window_packets, parameters.injection_cycles,
        times, rings, state,
    )  # fmt: skip
    return done


@compiled
def _one(  # type: ignore[no-untyped-def]
    order, above, roles, done, packet_cycles, hop_cycles, take_cycles, times
) -> None:
    """One packet: nothing but links to wait for. ``done`` comes with the times of readiness."""
    members = order.size
    for i in range(members):
        times[i] = done[order[i]] if roles[i] & CONTRIBUTES else LONG_AGO
    for i in range(members - 1, 0, -1):
        if roles[i] & SENDS_UP and above[i] >= 0:
            times[above[i]] = max(times[above[i]], times[i] + hop_cycles)
    for i in range(members):
        if roles[i] & SENDS_DOWN:
            if above[i] >= 0:
                times[i] = times[above[i]] + hop_cycles
            if roles[i] & RECEIVES:
                node = order[i]
                done[node] = max(done[node], times[i] + packet_cycles) + take_cycles


@compiled
def _many(  # type: ignore[no-untyped-def]
    order, above, roles, done, packets, packet_cycles, hop_cycles, link_packets, fifo_packets,
    inject_cycles, take_cycles, window_packets, opened_cycles, times, rings, state,
) -> None:  # fmt: skip
    """Several packets, one after the other through the whole tree; rings hold the last ones' times."""
    members = order.size
    depth = rings.shape[1]
    heads, slots = times[0], times[1]
    ups, downs, takes = rings[0], rings[1], rings[2]
    injected, taken = state[0], state[1]
    for i in range(members):
        injected[i] = taken[i] = done[order[i]]
    for k in range(packets):
        now, before = k % depth, (k - 1) % depth
        by_link, by_fifo = (k - link_packets) % depth, (k - fifo_packets) % depth
        by_window = (k - window_packets) % depth
        for i in range(members):
            heads[i] = slots[i] = LONG_AGO
        for i in range(members - 1, -1, -1):
            role, p = roles[i], above[i]
            if p >= 0 and role & SENDS_DOWN and k >= link_packets:
                slots[p] = max(slots[p], downs[by_link, i] + packet_cycles)
            if not role & SENDS_UP:
                continue
            time = heads[i]
            if role & CONTRIBUTES:
                if k > 0:
                    free = ups[by_fifo, i] if k >= fifo_packets else LONG_AGO
                    injected[i] = max(injected[i], free) + inject_cycles
                    if role & RECEIVES and 0 < window_packets <= k:
                        injected[i] = max(injected[i], takes[by_window, i] + opened_cycles)
                time = max(time, injected[i])
            if k > 0:
                time = max(time, ups[before, i] + packet_cycles)
            if p >= 0:
                if k >= link_packets:
                    time = max(time, ups[by_link, p] + packet_cycles)
                heads[p] = max(heads[p], time + hop_cycles)
            elif role & SENDS_DOWN:
                time = max(time, slots[i])
                if role & RECEIVES and k >= fifo_packets:
                    time = max(time, takes[by_fifo, i])
            ups[now, i] = time
        for i in range(members):
            role, p = roles[i], above[i]
            if not role & SENDS_DOWN:
                continue
            if p < 0:
                time = ups[now, i]
            else:
                time = max(downs[now, p] + hop_cycles, slots[i])
                if k > 0:
                    time = max(time, downs[before, i] + packet_cycles)
                if role & RECEIVES and k >= fifo_packets:
                    time = max(time, takes[by_fifo, i])
            downs[now, i] = time
            if role & RECEIVES:
                taken[i] = max(taken[i], time + packet_cycles) + take_cycles
                takes[now, i] = taken[i]
    for i in range(members):
        if roles[i] & RECEIVES:
            done[order[i]] = taken[i]
        elif roles[i] & CONTRIBUTES:
            done[order[i]] = injected[i]

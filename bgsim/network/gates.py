"""Gates of a message graph while it runs: countings, the queues of the cores, and what opens when.

Shared by the compiled torus engines; :mod:`bgsim.network.packet_reference` has its own, written to be
read. Times of gates may be milliseconds apart, so they are kept in a heap, by time and number, and not in
the 16 bits of a node's times.
"""

# The compiled functions take arrays by position, and numba's decorators hide their types.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bgsim.compiled import compiled, compiled_inner
from bgsim.compiled_heap import drop_first, push
from bgsim.network.detours import Detours, DetourTable, finish_watched, nothing_watched
from bgsim.network.traffic import Gates, Ints, Messages

Array = NDArray[Any]


class GateState(NamedTuple):
    """Columns of the gates of a run.

    ``messages`` lists the messages of gate g at ``first[g]`` to ``first[g + 1]``, ascending; ``also`` lists
    in the same way, by ``first_also``, the gates it counts besides ``then``. ``ready`` becomes the time of
    the last counting. ``following`` links the gates that queue at a core from ``head`` to ``tail``; a core's
    head is the gate it works on. Of a gate that ``keeps`` its core, ``then`` is the next one there.
    ``heap_time`` and ``heap_gate`` are a heap of gates that become ready or, once they are ``working``, open;
    its size is ``size[0]``.
    """

    needs: Array
    ready: Array
    core: Array
    work: Array
    then: Array
    working: Array
    opened: Array
    first: Array
    messages: Array
    first_also: Array
    also: Array
    keeps: Array
    following: Array
    head: Array
    tail: Array
    heap_time: Array
    heap_gate: Array
    size: Array
    detours: DetourTable
    quiet: Array


def gate_state(gates: Gates, messages: Messages, detours: Detours) -> GateState:
    """Set up the gates of a run: those that wait for nothing are in the heap.

    Raises
    ------
    ValueError
        If the gates do not fit each other, the messages, or the detours' cores.
    """
    gates.check(messages)
    check_cores(gates, detours)
    first, order = grouped(messages.gate, gates.size)
    first_also, order_also = grouped(np.ascontiguousarray(gates.also[:, 0]), gates.size)
    cores = int(gates.core.max(initial=-1)) + 1
    idle = np.flatnonzero(gates.needs == 0)
    begin_cycles = gates.start_cycles[idle] + np.where(gates.core[idle] < 0, gates.work_cycles[idle], 0)
    order_idle = np.argsort(begin_cycles, kind="stable")  # in order, which is also a heap
    heap_time, heap_gate = np.zeros(gates.size, np.int64), np.zeros(gates.size, np.int32)
    heap_time[: idle.size], heap_gate[: idle.size] = begin_cycles[order_idle], idle[order_idle]
    return GateState(
        needs=gates.needs.astype(np.int32),
        ready=gates.start_cycles.copy(),
        core=gates.core.astype(np.int32),
        work=gates.work_cycles,
        then=gates.then.astype(np.int32),
        working=(gates.core < 0).astype(np.int8),
        opened=np.full(gates.size, -1, np.int64),
        first=first,
        messages=order,
        first_also=first_also,
        also=gates.also[order_also, 1].astype(np.int32),
        keeps=gates.keeps.astype(np.int8),
        following=np.full(gates.size, -1, np.int32),
        head=np.full(cores, -1, np.int32),
        tail=np.full(cores, -1, np.int32),
        heap_time=heap_time,
        heap_gate=heap_gate,
        size=np.array([idle.size], np.int64),
        detours=detours.table,
        quiet=nothing_watched(cores),
    )


def grouped(column: Ints, gates: int) -> tuple[Ints, NDArray[np.int32]]:
    """The rows of a column by the gate they name: where each gate's begin, and the rows, ascending."""
    first = np.zeros(gates + 1, np.int64)
    rows = np.empty(len(column), np.int32)
    _group(column, first, rows)
    return first, rows[: first[-1]]


def check_cores(gates: Gates, detours: Detours) -> None:
    """Refuse gates of cores that have no detours, if others have.

    Raises
    ------
    ValueError
        With the number of the core.
    """
    core, cores = int(gates.core.max(initial=-1)), len(detours.table.phase)
    if detours.sources and core >= cores:
        raise ValueError(f"core {core} of a gate is not among the {cores} with detours")


@compiled
def _group(column, first, rows):
    """Sort rows by counting; the beginnings stand at the ends of their gates until the rows are entered."""
    gates = len(first) - 1
    for gate in column:
        if gate >= 0:
            first[gate] += 1
    total = 0
    for gate in range(gates):
        total += first[gate]
        first[gate] = total
    first[gates] = total
    for row in range(len(column) - 1, -1, -1):
        gate = column[row]
        if gate >= 0:
            first[gate] -= 1
            rows[first[gate]] = row


@compiled_inner
def put(time, gate, gates):
    """Put a gate into the heap."""
    gates.size[0] = push(gates.heap_time, gates.heap_gate, gates.size[0], time, gate)


@compiled_inner
def take(gates):
    """Take the first gate out of the heap."""
    first = gates.heap_gate[0]
    gates.size[0] = drop_first(gates.heap_time, gates.heap_gate, gates.size[0])
    return first


@compiled_inner
def count(gate, time, gates):
    """Count a gate at a time not before the present."""
    gates.ready[gate] = max(gates.ready[gate], time)
    gates.needs[gate] -= 1
    if gates.needs[gate] == 0:
        if gates.core[gate] < 0:
            put(gates.ready[gate] + gates.work[gate], gate, gates)
        else:
            put(gates.ready[gate], gate, gates)


@compiled_inner
def start(gate, core, now, gates):
    """Have a core start the work of a gate; returns when that will be done."""
    gates.working[gate] = 1
    return finish_watched(gates.detours, gates.quiet, core, now, gates.work[gate])


@compiled_inner
def step_in(gate, core, gates):
    """Have the gate that a core is kept for, which waits for nothing else, go before all that queue there."""
    then = gates.then[gate]
    gates.needs[then] = 0
    gates.following[then] = gates.following[gate]
    if gates.tail[core] == gate:
        gates.tail[core] = then
    return then


@compiled_inner
def comes_first(gate, time, gates):
    """Whether a gate would be the first of the heap."""
    if not gates.size[0] or time < gates.heap_time[0]:
        return True
    return time == gates.heap_time[0] and gate < gates.heap_gate[0]


@compiled_inner
def open_gates(now, gates, outbox, released):
    """Open the gates whose time has come, and write the messages they post; return how many these are now.

    Gates with a core come out of the heap twice: when they are ready, and when their work is done. One whose
    work takes no time would be the first again, and stays out.
    """
    while gates.size[0] and gates.heap_time[0] <= now:
        gate = take(gates)
        core = gates.core[gate]
        if not gates.working[gate]:
            queued = gates.head[core] >= 0
            if queued:
                gates.following[gates.tail[core]] = gate
            else:
                gates.head[core] = gate
            gates.tail[core] = gate
            if queued:
                continue
            end = start(gate, core, now, gates)
            if end > now or not comes_first(gate, end, gates):
                put(end, gate, gates)
                continue
        gates.opened[gate] = now
        for place in range(gates.first[gate], gates.first[gate + 1]):
            outbox[released] = gates.messages[place]
            released += 1
        kept = gates.keeps[gate] != 0
        if gates.then[gate] >= 0 and not kept:
            count(gates.then[gate], now, gates)
        for place in range(gates.first_also[gate], gates.first_also[gate + 1]):
            count(gates.also[place], now, gates)
        if core >= 0:
            following = gates.following[gate]
            if kept:
                following = step_in(gate, core, gates)
            gates.head[core] = following
            if following >= 0:
                put(start(following, core, now, gates), following, gates)
    return released


@compiled_inner
def sort(values, size):
    """Sort the first values of an array in place (Shell's sort)."""
    place = 1
    while place < size and values[place - 1] <= values[place]:
        place += 1
    gap = size >> 1 if place < size else 0  # nothing to do where they came in order
    while gap:
        for index in range(gap, size):
            value = values[index]
            place = index
            while place >= gap and values[place - gap] > value:
                values[place] = values[place - gap]
                place -= gap
            values[place] = value
        gap >>= 1

"""Function-shipped I/O of up to all processes of the machine: a compiled network of queues.

Every process has exactly one thing that happens to it next, so the future is one heap of processes, ordered
by time and, at the same time, by number. Stations are the times at which their servers will be free.
:mod:`bgsim.machine.io_reference` says the same in words a reader can follow; both give every process's times
to the cycle.

Left out, against the detailed tier (:mod:`bgsim.hardware.io_node`): packets of several requests that share
the daemon are served request by request, in order of their first packets; an answer has the way down to
itself until the node's buffers can hold what is left of it; links other than those of the I/O node.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import astuple

import numpy as np

from bgsim.compiled import compiled, compiled_inner
from bgsim.compiled_heap import drop_first, push
from bgsim.hardware.io_protocol import Layer
from bgsim.machine.io_program import BINS, BINS_PER_OCTAVE, IoTimes, Places, Steps, Times

NOBODY = -1

_EVENTS_AT_ONCE = 2_000_000


def run_queues(
    steps: Steps, times: Times, places: Places, tell: Callable[[int, int], None] | None = None
) -> IoTimes:
    """Run the program in all processes, which start together.

    Parameters
    ----------
    steps
        The program.
    times
        The machine and the nodes' software.
    places
        Where the processes are.
    tell
        Called now and then with the time so far and the number of processes that have finished.

    Returns
    -------
    IoTimes
        Times and layers of every process.
    """
    processes = places.node.size
    psets = int(places.pset.max()) + 1
    pieces = max(1, int(steps.cache.max()) + 1)
    files = max(1, int(steps.disk.max()) + 1)
    state = np.zeros((processes, 6), np.int64)  # step, what is next, began, sent, waits since, next waiting
    layers = np.zeros((processes, len(Layer)), np.int64)
    finished = np.zeros(processes, np.int64)
    heap_time, heap_process = np.zeros(processes, np.int64), np.arange(processes, dtype=np.int64)
    node_free = np.zeros(int(places.node.max()) + 1, np.int64)
    pset_free = np.zeros((psets, 5), np.int64)  # daemon, way down, Ethernet out and in, daemon's answers
    proxy_free = np.zeros((psets, times.proxy_cores), np.int64)
    metadata_free = np.zeros(times.metadata_servers, np.int64)
    data_free = np.zeros(times.data_servers, np.int64)
    cached = np.zeros((psets, pieces), np.int8)
    waiting = np.full((psets, pieces), NOBODY, np.int64)
    on_disk_until = np.full(files, -1, np.int64)
    histogram = np.zeros(BINS, np.int64)
    totals = np.array([processes, 0, 0, np.iinfo(np.int64).max, 0], np.int64)  # in heap, calls, sum, min, max
    numbers = np.array([*astuple(times.node), *astuple(times)[1:]], np.int64)
    table = np.ascontiguousarray(np.stack(steps))
    now = 0
    while totals[0]:
        now = _advance(
            table, numbers, places.node, places.pset, places.hops, state, layers, finished, heap_time,
            heap_process, node_free, pset_free, proxy_free, metadata_free, data_free, cached, waiting,
            on_disk_until, histogram, totals, _EVENTS_AT_ONCE,
        )  # fmt: skip
        if tell is not None:
            tell(int(now), int(np.count_nonzero(finished)))
    assert (layers.sum(axis=1) == finished).all(), "layers sum to a process's time"
    return IoTimes(
        finished, layers, int(totals[1]), int(totals[2]), int(totals[3]), int(totals[4]), histogram
    )


@compiled_inner
def _serve(free, now, cycles, not_before):  # type: ignore[no-untyped-def]
    """Queue work at a station; returns when it is done."""
    first = 0
    for server in range(1, free.size):
        if free[server] < free[first]:
            first = server
    begin = max(now, free[first])
    free[first] = max(begin, not_before) + cycles
    return free[first]


@compiled
def _advance(  # type: ignore[no-untyped-def]
    table, numbers, node_of, pset_of, hops_of, state, layers, finished, heap_time, heap_process, node_free,
    pset_free, proxy_free, metadata_free, data_free, cached, waiting, on_disk_until, histogram, totals,
    events,
):  # fmt: skip
    """Let so many things happen; returns the time of the last."""
    send, inject, receive, take, drain, buffered = (
        numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5],
    )  # fmt: skip
    daemon_in, daemon_out, message, there, back, disk, packet, hop, link_packets = (
        numbers[6], numbers[7], numbers[8], numbers[9], numbers[10], numbers[11], numbers[12], numbers[13],
        numbers[14],
    )  # fmt: skip
    answers = 4 if numbers[18] else 0
    last_step = table.shape[1]
    size = totals[0]
    now = np.int64(0)
    while size > 0 and events > 0:
        events -= 1
        now, p = heap_time[0], heap_process[0]
        size = drop_first(heap_time, heap_process, size)
        pset, node = pset_of[p], node_of[p]
        way = hops_of[p] * hop + packet
        at = now
        alive = True
        while at == now:
            step, stage = state[p, 0], state[p, 1]
            up, down = table[0, step], table[1, step]
            following = stage + 1
            if stage == 0:  # the program calls
                first = max(now, node_free[node]) + send
                state[p, 3] = node_free[node] = first + (up - 1) * inject
                layers[p, 0] += state[p, 3] - now
                at = first + way
            elif stage == 1:  # the first packet is at the daemon
                sent = state[p, 3] + way
                pset_free[pset, 0] = max(pset_free[pset, 0], now) + up * daemon_in + message
                at = max(pset_free[pset, 0], sent + daemon_in + message)
                layers[p, 1] += way
                layers[p, 2] += at - sent
            elif stage == 2:  # the proxy has the request
                at = _serve(proxy_free[pset], now, table[2, step], np.int64(0))
                layers[p, 2] += at - now
            elif stage == 3:  # the proxy needs the server, or does not
                piece = table[8, step]
                if table[3, step] == 0:
                    following = 7
                elif piece >= 0 and cached[pset, piece] == 2:
                    following = 6
                elif piece >= 0 and cached[pset, piece] == 1:
                    state[p, 4], state[p, 5] = now, waiting[pset, piece]
                    state[p, 1] = 6
                    waiting[pset, piece] = p
                    alive = False
                    break
                else:
                    if piece >= 0:
                        cached[pset, piece] = 1
                    pset_free[pset, 2] = max(now, pset_free[pset, 2]) + table[4, step]
                    at = pset_free[pset, 2] + there
                    layers[p, 3] += at - now
            elif stage == 4:  # at the server
                number = table[9, step]
                if table[3, step] == 1:
                    done = _serve(metadata_free, now, table[5, step], np.int64(0))
                elif number == -2 or (number >= 0 and on_disk_until[number] < 0):
                    done = _serve(data_free, now, table[5, step] + disk, np.int64(0))
                    if number >= 0:
                        on_disk_until[number] = done - table[5, step]
                else:
                    ready = on_disk_until[number] if number >= 0 else np.int64(0)
                    done = _serve(data_free, now, table[5, step], ready)
                layers[p, 4] += done - now
                layers[p, 3] += back
                at = done + back
            elif stage == 5:  # back at the I/O node
                at = pset_free[pset, 3] = max(now, pset_free[pset, 3]) + table[6, step]
                layers[p, 3] += at - now
            elif stage == 6:  # the data is in the I/O node's memory
                piece = table[8, step]
                if piece >= 0 and cached[pset, piece] == 1:
                    cached[pset, piece] = 2
                    other = waiting[pset, piece]
                    while other >= 0:
                        layers[other, 4] += now - state[other, 4]
                        size = push(heap_time, heap_process, size, now, other)
                        other = state[other, 5]
                if table[7, step]:
                    at = _serve(proxy_free[pset], now, table[7, step], np.int64(0))
                    layers[p, 2] += at - now
            elif stage == 7:  # the daemon has the answer
                begin = max(now, pset_free[pset, answers])
                pset_free[pset, answers] = begin + message + down * daemon_out
                enter = max(begin + message, pset_free[pset, 1])
                held = (down - buffered - link_packets * hops_of[p]) * drain
                pset_free[pset, 1] = enter + max(down * max(daemon_out, packet), held)
                state[p, 3] = pset_free[pset, 1] + way
                layers[p, 2] += pset_free[pset, 1] - now
                at = enter + daemon_out + way
            elif stage == 8:  # its first packet is at the node
                begin = max(now, node_free[node])
                at = node_free[node] = max(state[p, 3], begin + (down - 1) * take) + receive
                layers[p, 1] += way
                layers[p, 0] += at - state[p, 3]
            else:  # the call returns
                following = 0
                if table[10, step]:
                    latency = now - state[p, 2]
                    state[p, 2] = now
                    totals[1] += 1
                    totals[2] += latency
                    totals[3] = min(totals[3], latency)
                    totals[4] = max(totals[4], latency)
                    histogram[int(BINS_PER_OCTAVE * math.log2(latency))] += 1
                state[p, 0] = step + 1
                if step + 1 == last_step:
                    finished[p] = now
                    alive = False
                    break
            state[p, 1] = following
        if alive:
            size = push(heap_time, heap_process, size, at, p)
    totals[0] = size
    return now

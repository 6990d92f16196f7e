"""Function-shipped I/O as a network of queues, in SimPy: the readable reference of the compiled form.

A process is its calls one after the other, and a call is a walk through stations, each first come, first
served; of those who come in the same cycle the process of lower number is first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator
from typing import Any, cast

import numpy as np
import simpy
from simpy.events import Event, EventPriority

from bgsim.hardware.io_protocol import Layer
from bgsim.hardware.station import Station
from bgsim.machine.io_program import (
    ALWAYS_FROM_DISK,
    METADATA_SERVER,
    NOWHERE,
    IoTimes,
    Places,
    Steps,
    Times,
)

Walk = Generator[Event, Any, None]


class _Pset:
    """The stations of one I/O node."""

    def __init__(self, proxy_cores: int) -> None:
        self.daemon_free = 0
        self.answers_free = 0  # another thread of the daemon, if it has threads
        self.downlink_free = 0
        self.proxies = Station(proxy_cores)
        self.out, self.back = Station(), Station()
        self.cache: dict[int, list[tuple[int, Event]] | None] = {}  # who waits; None: it is there


class _Storm:
    """All stations, and what is measured."""

    def __init__(self, steps: Steps, times: Times, places: Places) -> None:
        self.environment = simpy.Environment()
        self.steps = steps
        self.times = times
        self.places = places
        processes = places.node.size
        self.node_free: dict[int, int] = defaultdict(int)
        self.psets: dict[int, _Pset] = defaultdict(lambda: _Pset(times.proxy_cores))
        self.metadata = Station(times.metadata_servers)
        self.data = Station(times.data_servers)
        self.on_disk_until: dict[int, int] = {}
        self.layers = np.zeros((processes, len(Layer)), np.int64)
        self.finished = np.zeros(processes, np.int64)
        self.latencies: list[int] = []

    @property
    def now(self) -> int:
        return int(self.environment.now)

    def until(self, process: int, time: int) -> Walk:
        if time > self.now:
            event = Event(self.environment)
            self._wake(process, event, time - self.now)
            yield event

    def _wake(self, process: int, event: Event, delay: int = 0) -> None:
        event._ok, event._value = True, None
        self.environment.schedule(event, cast(EventPriority, process), delay)

    def run(self, process: int) -> Walk:
        began = 0
        for step in range(self.steps.up.size):
            yield from self.call(process, step)
            if self.steps.ends[step]:
                self.latencies.append(self.now - began)
                began = self.now
        self.finished[process] = self.now

    def call(self, process: int, step: int) -> Walk:
        times, node_costs, pset = self.times, self.times.node, self.psets[int(self.places.pset[process])]
        layers, node = self.layers[process], int(self.places.node[process])
        up, down = int(self.steps.up[step]), int(self.steps.down[step])
        way = int(self.places.hops[process]) * times.hop + times.packet

        first = max(self.now, self.node_free[node]) + node_costs.send
        sent = self.node_free[node] = first + (up - 1) * node_costs.inject
        layers[Layer.COMPUTE] += sent - self.now

        yield from self.until(process, first + way)
        work = up * times.receive + times.message
        pset.daemon_free = max(pset.daemon_free, self.now) + work
        complete = max(pset.daemon_free, sent + way + times.receive + times.message)
        layers[Layer.COLLECTIVE] += way
        layers[Layer.CIOD] += complete - sent - way

        yield from self.until(process, complete)
        yield from self.proxies(process, pset, int(self.steps.proxy[step]))
        if self.steps.where[step] != NOWHERE:
            yield from self.kept(process, step, pset)
        if self.steps.copy[step]:
            yield from self.proxies(process, pset, int(self.steps.copy[step]))

        begin = max(self.now, pset.answers_free if times.threads else pset.daemon_free)
        busy_until = begin + times.message + down * times.send
        if times.threads:
            pset.answers_free = busy_until
        else:
            pset.daemon_free = busy_until
        enter = max(begin + times.message, pset.downlink_free)
        room = node_costs.buffered + times.link_packets * int(self.places.hops[process])
        occupied = max(down * max(times.send, times.packet), (down - room) * node_costs.drain)
        pset.downlink_free = enter + occupied
        layers[Layer.CIOD] += pset.downlink_free - self.now
        last = pset.downlink_free + way
        yield from self.until(process, enter + times.send + way)
        begin = max(self.now, self.node_free[node])
        done = max(last, begin + (down - 1) * node_costs.take) + node_costs.receive
        self.node_free[node] = done
        layers[Layer.COLLECTIVE] += way
        layers[Layer.COMPUTE] += done - last
        yield from self.until(process, done)

    def proxies(self, process: int, pset: _Pset, cycles: int) -> Walk:
        end = pset.proxies.serve(self.now, cycles)
        self.layers[process, Layer.CIOD] += end - self.now
        yield from self.until(process, end)

    def kept(self, process: int, step: int, pset: _Pset) -> Walk:
        """Find the data in the I/O node's memory, wait for it, or fetch it."""
        piece = int(self.steps.cache[step])
        if piece < 0:
            yield from self.remote(process, step, pset)
        elif piece not in pset.cache:
            waiting: list[tuple[int, Event]] = []
            pset.cache[piece] = waiting
            yield from self.remote(process, step, pset)
            pset.cache[piece] = None
            for other, event in waiting:
                self._wake(other, event)
        elif (others := pset.cache[piece]) is not None:
            since, event = self.now, Event(self.environment)
            others.append((process, event))
            yield event
            self.layers[process, Layer.SERVER] += self.now - since

    def remote(self, process: int, step: int, pset: _Pset) -> Walk:
        layers, times, steps = self.layers[process], self.times, self.steps
        end = pset.out.serve(self.now, int(steps.wire_out[step])) + times.there
        layers[Layer.ETHERNET] += end - self.now
        yield from self.until(process, end)
        service, disk = int(steps.service[step]), int(steps.disk[step])
        if steps.where[step] == METADATA_SERVER:
            end = self.metadata.serve(self.now, service)
        elif disk == ALWAYS_FROM_DISK or (disk >= 0 and disk not in self.on_disk_until):
            end = self.data.serve(self.now, service + times.disk)
            self.on_disk_until[disk] = end - service
        else:
            end = self.data.serve(self.now, service, self.on_disk_until.get(disk, 0) if disk >= 0 else 0)
        layers[Layer.SERVER] += end - self.now
        yield from self.until(process, end)
        layers[Layer.ETHERNET] += times.back
        yield from self.until(process, end + times.back)
        end = pset.back.serve(self.now, int(steps.wire_in[step]))
        layers[Layer.ETHERNET] += end - self.now
        yield from self.until(process, end)


def run_reference(steps: Steps, times: Times, places: Places) -> IoTimes:
    """Run the program in all processes; see :func:`bgsim.machine.io_engine.run_queues`."""
    storm = _Storm(steps, times, places)
    for process in range(places.node.size):
        storm.environment.process(storm.run(process))
    storm.environment.run()
    found = storm.latencies
    return IoTimes(
        storm.finished,
        storm.layers,
        len(found),
        sum(found),
        min(found, default=0),
        max(found, default=0),
        np.zeros(0, np.int64),
    )

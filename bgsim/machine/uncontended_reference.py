"""The readable twin of :mod:`bgsim.machine.uncontended`: the same rules with dictionaries and one agenda."""

from __future__ import annotations

import heapq
from collections import defaultdict, deque

import numpy as np

from bgsim.machine.uncontended import ENDS, Executed, packet_hops, routes_of
from bgsim.network.detours import Detours
from bgsim.network.router import RouterParameters
from bgsim.network.topology import Closed, Shape
from bgsim.network.traffic import NEVER, Gates, Ints, Messages

HEAD, POST, GATE = range(3)
"""What happens at one instant, in this order; equal things in order of their numbers."""


class UncontendedReference:
    """Executes a message graph as :func:`bgsim.machine.uncontended.execute` does; small ones only."""

    def __init__(
        self,
        shape: Shape,
        torus: Closed,
        router: RouterParameters,
        messages: Messages,
        gates: Gates,
        detours: Detours,
        rides: Ints | None = None,
    ) -> None:
        self.messages, self.gates, self.detours = messages, gates, detours
        self.rides = np.full(messages.size, NEVER) if rides is None else rides
        self.routes = routes_of(shape, torus, router, messages)
        self.opened = np.full(gates.size, -1, np.int64)
        self.sent = np.full(messages.size, -1, np.int64)
        self.done = np.full(messages.size, -1, np.int64)
        self.packet_hops = packet_hops(shape, torus, messages, np.asarray(self.rides))
        self.leaves_free: dict[tuple[int, int], int] = defaultdict(int)
        self.enters_free: dict[tuple[int, int], int] = defaultdict(int)
        self.needs = gates.needs.tolist()
        self.ready = gates.start_cycles.tolist()
        self.queues: dict[int, deque[int]] = defaultdict(deque)
        self.working: dict[int, int] = {}
        self.agenda: list[tuple[int, int, int]] = []
        self.outbox: list[int] = []

    def run(self) -> Executed:
        """Run to the end."""
        for message in np.flatnonzero(self.messages.post_cycles >= 0).tolist():
            heapq.heappush(self.agenda, (int(self.messages.post_cycles[message]), POST, message))
        for gate in np.flatnonzero(self.gates.needs == 0).tolist():
            self.is_ready(gate)
        while self.agenda:
            now, kind, number = heapq.heappop(self.agenda)
            if kind == HEAD:
                self.arrive(number, now)
            elif kind == POST:
                self.outbox.append(number)
            else:
                self.gate_turn(number, now)
            if not self.agenda or self.agenda[0][0] > now:
                for message in self.outbox:
                    self.post(message, now)
                self.outbox.clear()
        return Executed(self.opened, self.sent, self.done, self.packet_hops)

    def post(self, message: int, now: int) -> None:
        """A message takes the first of its links, and so do those that ride on it."""
        node = int(self.messages.source[message])
        link = self.free_first(self.leaves_free, node, int(self.routes.links[message, 0]))
        begins = max(now, self.leaves_free[link])
        ends = self.leaves_free[link] = begins + int(self.routes.serial_cycles[message])
        for which in (message, *np.flatnonzero(self.rides == message).tolist()):
            self.sent[which] = ends
            heapq.heappush(self.agenda, (begins + int(self.routes.travel_cycles[which]), HEAD, which))
            self.counted(int(self.messages.sent_then[which]), ends)

    def arrive(self, message: int, now: int) -> None:
        """The head of a message is there; the rest follows once the last link is free."""
        node = int(self.messages.destination[message])
        link = self.free_first(self.enters_free, node, int(self.routes.links[message, 1]))
        done = max(now, self.enters_free[link]) + int(self.routes.serial_cycles[message])
        self.enters_free[link] = self.done[message] = done
        self.counted(int(self.messages.then[message]), done)

    @staticmethod
    def free_first(free: dict[tuple[int, int], int], node: int, links: int) -> tuple[int, int]:
        """Of the allowed links of a node, the one that is free first."""
        allowed = [(node, direction) for direction in range(ENDS) if links >> direction & 1]
        return min(allowed, key=lambda link: (free[link], link))

    def counted(self, gate: int, time: int) -> None:
        """Count a gate, if there is one."""
        if gate >= 0:
            self.ready[gate] = max(self.ready[gate], time)
            self.needs[gate] -= 1
            if self.needs[gate] == 0:
                self.is_ready(gate)

    def is_ready(self, gate: int) -> None:
        """A gate has been counted often enough: its turn is when it is ready, or its delay over."""
        delay = int(self.gates.work_cycles[gate]) if self.gates.core[gate] < 0 else 0
        heapq.heappush(self.agenda, (self.ready[gate] + delay, GATE, gate))

    def gate_turn(self, gate: int, now: int) -> None:
        """A gate queues at its core, or, if it has none or its core has done it, opens."""
        core = int(self.gates.core[gate])
        if core >= 0 and self.working.get(core) != gate:
            if core in self.working:
                self.queues[core].append(gate)
            else:
                self.work(gate, core, now)
            return
        self.opened[gate] = now
        self.outbox += np.flatnonzero(self.messages.gate == gate).tolist()
        then = int(self.gates.then[gate])
        kept = bool(self.gates.keeps[gate])
        if not kept:
            self.counted(then, now)
        for counted in self.gates.also[self.gates.also[:, 0] == gate, 1].tolist():
            self.counted(counted, now)
        if core >= 0:
            del self.working[core]
            if kept:
                self.work(then, core, now)
            elif self.queues[core]:
                self.work(self.queues[core].popleft(), core, now)

    def work(self, gate: int, core: int, now: int) -> None:
        """A core begins with a gate."""
        self.working[core] = gate
        end = self.detours.finish(core, now, int(self.gates.work_cycles[gate]))
        heapq.heappush(self.agenda, (end, GATE, gate))

"""Gates of a message graph, written to be read: the twin of :mod:`bgsim.network.gates`."""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from bgsim.network.detours import Detours
from bgsim.network.traffic import Gates, Messages

Schedule: TypeAlias = Callable[[int, Callable[[int], None]], None]


class GatesReference:
    """Countings, the queues of the cores, and what opens when.

    Parameters
    ----------
    gates, detours, messages
        The graph.
    schedule
        Calls a function at a time, with that time, after all that can count a gate then.
    release
        Posts a message now.

    Attributes
    ----------
    opened_cycles
        Time at which each gate opened; -1 before.
    """

    def __init__(
        self,
        gates: Gates,
        detours: Detours,
        messages: Messages,
        schedule: Schedule,
        release: Callable[[int], None],
    ) -> None:
        gates.check(messages)
        self.gates, self.detours, self.messages = gates, detours, messages
        self.opened_cycles = np.full(gates.size, -1, np.int64)
        self._schedule, self._release = schedule, release
        self._needs = gates.needs.tolist()
        self._counted_at = gates.start_cycles.tolist()
        self._agenda: list[tuple[int, int]] = []  # times at which gates become ready, or open
        self._delays: set[int] = set()  # gates without a core whose delay has begun
        self._at_work: dict[int, int] = {}  # gate each busy core works on
        self._queues: dict[int, deque[int]] = defaultdict(deque)
        for gate in np.flatnonzero(gates.needs == 0).tolist():
            self._plan(self._counted_at[gate], gate)

    def count(self, gate: int, time: int) -> None:
        """Count a gate, if there is one, at a time not before the present."""
        if gate < 0:
            return
        self._counted_at[gate] = max(self._counted_at[gate], time)
        self._needs[gate] -= 1
        if not self._needs[gate]:
            self._plan(self._counted_at[gate], gate)

    def _plan(self, time: int, gate: int) -> None:
        heapq.heappush(self._agenda, (time, gate))
        self._schedule(time, self._serve)

    def _serve(self, now: int) -> None:
        """Take the gates of this instant in order of number, those that they bring about included."""
        while self._agenda and self._agenda[0][0] <= now:
            _, gate = heapq.heappop(self._agenda)
            core = int(self.gates.core[gate])
            if core < 0 and gate not in self._delays:
                self._delays.add(gate)
                self._plan(now + int(self.gates.work_cycles[gate]), gate)
            elif core < 0:
                self._open(gate, now)
            elif self._at_work.get(core) == gate:
                self._open(gate, now)
                del self._at_work[core]
                if self.gates.keeps[gate]:
                    self._work(core, int(self.gates.then[gate]), now)
                elif self._queues[core]:
                    self._work(core, self._queues[core].popleft(), now)
            elif core in self._at_work:
                self._queues[core].append(gate)
            else:
                self._work(core, gate, now)

    def _work(self, core: int, gate: int, now: int) -> None:
        self._at_work[core] = gate
        self._plan(self.detours.finish(core, now, int(self.gates.work_cycles[gate])), gate)

    def _open(self, gate: int, now: int) -> None:
        self.opened_cycles[gate] = now
        for message in np.flatnonzero(self.messages.gate == gate).tolist():
            self._release(message)
        also = self.gates.also[self.gates.also[:, 0] == gate, 1]
        then = [] if self.gates.keeps[gate] else [int(self.gates.then[gate])]  # else it is begun, not queued
        for counted in (*then, *also.tolist()):
            self.count(counted, now)

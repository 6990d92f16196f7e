"""One iteration of a halo exchange as steps and messages of all ranks.

A rank computes, sends its faces, and waits until its own have left and the neighbours' are there. With
overlap it sends first and computes while the faces travel. The messaging library makes progress only for a
rank that waits: what comes in while it computes or sends is handled when it waits next, in the order in which
it came, be it of this iteration or, from neighbours that are ahead, of the next. So is the announcement of a
rendezvous; the library does not ask whether a receive has been posted. Where the guest's kernel works the
network, it interrupts the program for what comes in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from bgsim.machine.cost_model import needed
from bgsim.machine.process_grid import neighbours
from bgsim.machine.program import Program
from bgsim.network.topology import Shape
from bgsim.network.traffic import Ints

Protocol = Literal["put", "eager", "rendezvous"]


@dataclass(frozen=True)
class HaloExchange:
    """What every rank does in an iteration.

    Attributes
    ----------
    grid
        Ranks in three dimensions.
    periodic
        Whether the grid closes to a ring.
    face_bytes
        Of the faces across each dimension.
    compute_cycles
        Core time of a rank.
    overlap
        Whether the faces travel while ranks compute.
    protocol
        Of each dimension's faces.
    """

    grid: Shape
    periodic: bool
    face_bytes: tuple[int, int, int]
    compute_cycles: int
    overlap: bool
    protocol: tuple[Protocol, Protocol, Protocol]

    def iteration(self, program: Program) -> tuple[Ints, Ints]:
        """Append one iteration; return the steps after which each rank is in and out of it."""
        everyone = np.arange(program.placement.ranks)
        polled = program.costs.connection is None
        entered = program.step(everyone, at_once=polled)
        if not self.overlap:
            program.step(everyone, float(self.compute_cycles), at_once=polled)
        handled: list[tuple[Ints, Ints]] = []  # work of receivers, and whose it is
        departing: list[tuple[Ints, Ints]] = []  # messages that must have left, and whose they are
        arriving: list[tuple[Ints, Ints]] = []  # messages that are complete by arriving
        for dimension, source, destination in neighbours(self.grid, self.periodic):
            kind, size = self.protocol[dimension], self.face_bytes[dimension]
            same = program.placement.node[source] == program.placement.node[destination]
            for part, protocol in ((same, "local"), (~same, kind)):
                here, there = source[part], destination[part]
                if not here.size:
                    continue
                if protocol == "rendezvous":
                    finished, taken = self._rendezvous(program, here, there, size)
                    handled += [(finished, here), (taken, there)]
                    continue
                if protocol == "put":
                    posted = program.step(here, needed(program.costs.put, "puts").post_cycles, at_once=polled)
                    sent = program.post(here, there, size, posted)
                    arriving.append((sent, there))
                else:
                    taken, sent = self._two_sided(program, here, there, size, protocol)
                    handled.append((taken, there))
                if protocol == "local" or program.costs.connection is None:  # a stream keeps what it sends
                    departing.append((sent, here))
        if self.overlap:
            program.step(everyone, float(self.compute_cycles), at_once=polled)
        complete_cycles = needed(program.costs.put, "puts").complete_cycles if arriving else 0.0
        done = program.step(everyone, complete_cycles)
        for taken, whose in handled:
            program.then(taken, done[whose])
        for sent, whose in departing:
            program.on_departure(sent, done[whose])
        for sent, whose in arriving:
            program.on_arrival(sent, program.noticed(done[whose]))
        return entered, done

    @staticmethod
    def _two_sided(program: Program, here: Ints, there: Ints, size: int, protocol: str) -> tuple[Ints, Ints]:
        """Eager or local messages: the receivers' work, and the messages."""
        local, batch = program.costs.local, program.costs.eager.batch_cycles
        send, receive = program.eager_cycles(size)
        if protocol == "local":
            copy = local.byte_cycles * size
            send, receive, batch = local.send_cycles + copy, local.receive_cycles + copy, 0.0
        far = np.full(len(here), protocol != "local")
        posted = program.step(here, send, at_once=program.costs.connection is None)
        acknowledged, more = program.acknowledged(here, there, size, far)
        taken = program.aside(there, receive + more)
        sent = program.post(here, there, size, posted, program.noticed(taken, batch))
        program.settle(here, there, size, sent, taken, acknowledged, far)
        return taken, sent

    @staticmethod
    def _rendezvous(program: Program, here: Ints, there: Ints, size: int) -> tuple[Ints, Ints]:
        """Announcement, remote get, data: the senders' and the receivers' last work."""
        costs = needed(program.costs.rendezvous, "rendezvous")
        announced = program.step(here, costs.send_cycles, at_once=True)
        fetched = program.aside(there, program.answer_cycles)
        finished, taken = (program.aside(whose, costs.complete_cycles) for whose in (here, there))
        data = program.fetch(here, there, size, announced, fetched, taken)
        program.on_departure(data, program.noticed(finished))
        return finished, taken

"""Collective operations of a library over sockets: trees of messages between processes.

A broadcast goes down a binomial tree from its root, a reduction up the same tree with an addition at every
step, an allreduce is one after the other. A barrier is the dissemination algorithm: in each round
everyone tells a process twice as far away. The collective and the barrier network stay unused: the kernel
has no driver that combines.

Source: the algorithms of MPICH2 for short vectors; additions ``mpi.combine_cycles_per_byte``.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from bgsim.datasheet import Datasheet
from bgsim.guests.socket_messaging import SocketMessenger
from bgsim.platforms.seam import Code

TOKEN_BYTES = 1
"""What a barrier sends."""


class SocketCollectives:
    """Collective operations of one process.

    Parameters
    ----------
    messenger
        The library they belong to.
    rank
        Number of the process.
    nodes
        Node of each process.
    """

    def __init__(
        self, datasheet: Datasheet, messenger: SocketMessenger, rank: int, nodes: Sequence[int]
    ) -> None:
        self.messenger = messenger
        self._combine = Fraction(datasheet.quantity("mpi.combine_cycles_per_byte").value)
        self._rank = rank
        self._nodes = nodes
        self._distances = [1 << bit for bit in range((len(nodes) - 1).bit_length())]

    def barrier(self) -> Code:
        """Wait until all processes have come here."""
        count = len(self._nodes)
        for distance in self._distances:
            yield from self._send((self._rank + distance) % count, TOKEN_BYTES)
            yield from self._receive((self._rank - distance) % count)

    def broadcast(self, size: int, root: int) -> Code:
        """Give everyone the root's vector."""
        count = len(self._nodes)
        place = (self._rank - self._nodes.index(root)) % count
        for distance in reversed(self._distances):
            if place % (2 * distance) == 0 and place + distance < count:
                yield from self._send((self._rank + distance) % count, size)
            elif place % (2 * distance) == distance:
                yield from self._receive((self._rank - distance) % count)

    def reduce(self, size: int) -> Code:
        """Combine the vectors of all processes for the first."""
        for distance in self._distances:
            if self._rank % (2 * distance) == distance:
                yield from self._send(self._rank - distance, size)
            elif self._rank % (2 * distance) == 0 and self._rank + distance < len(self._nodes):
                yield from self._receive(self._rank + distance)
                yield self.messenger.code.cycles(size * self._combine)

    def allreduce(self, size: int) -> Code:
        """Combine the vectors of all processes and give everyone the result."""
        yield from self.reduce(size)
        yield from self.broadcast(size, self._nodes[0])

    def _send(self, rank: int, size: int) -> Code:
        yield from self.messenger.send(self._nodes[rank], size)

    def _receive(self, rank: int) -> Code:
        yield from self.messenger.receive(self._nodes[rank])

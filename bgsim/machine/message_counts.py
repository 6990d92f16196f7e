"""How many messages a collective operation over the torus makes, before any is made.

:mod:`bgsim.machine.algorithms` says what the messages are; a test counts theirs. Acknowledgements of streams
are left out, up to one for each message: what goes over the limit by them alone shows as the graph grows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bgsim.machine import limits
from bgsim.machine.program import Placement, Settings, TooManyMessagesError
from bgsim.network.topology import node_count
from bgsim.network.traffic import Ints

RENDEZVOUS_MESSAGES = 3
"""An announcement, a remote get, and the data."""


class _Transfers(NamedTuple):
    """Messages of one round or one segment: without a handshake whatever their length, and the others."""

    plain: int
    far: int


def refuse_many(messages: int, what: str = "") -> None:
    """Refuse what makes too many messages.

    Raises
    ------
    TooManyMessagesError
        If there are more than :data:`bgsim.machine.limits.MESSAGES_MAX`.
    """
    if messages > limits.MESSAGES_MAX:
        raise TooManyMessagesError(
            f"{what}{messages:,} messages, more than {limits.MESSAGES_MAX:,}; use fewer ranks, smaller "
            f"messages or another algorithm"
        )


def messages_of(
    operation: str,
    algorithm: str,
    size_bytes: int,
    placement: Placement,
    settings: Settings,
    rendezvous: bool,
) -> int:
    """Messages of one operation.

    Parameters
    ----------
    operation, algorithm
        A key of :data:`bgsim.machine.algorithms.TORUS`.
    size_bytes
        Of the operation.
    placement
        Where the ranks run.
    settings
        Of the machine.
    rendezvous
        Whether long messages between nodes have a handshake; those through sockets have none.
    """
    ranks = placement.ranks
    if algorithm == "torus":
        return ranks * (ranks - 1)
    total = 0
    for transfers, size, times in _rounds(operation, algorithm, size_bytes, placement, settings):
        each = RENDEZVOUS_MESSAGES if rendezvous and size > settings.eager_limit else 1
        total += times * (transfers.plain + each * transfers.far)
    return total


def _rounds(
    operation: str, algorithm: str, size_bytes: int, placement: Placement, settings: Settings
) -> list[tuple[_Transfers, int, int]]:
    """Transfers, the bytes of each, and how often."""
    ranks = np.arange(placement.ranks)
    whole, rest = divmod(size_bytes, settings.segment)
    segments = [(settings.segment, whole), (rest, 1 if rest or not whole else 0)]
    if algorithm == "rectangle":
        nodes = node_count(placement.shape)
        down = _Transfers(placement.ranks - 1, 0)  # along a line one message rides on the other
        up = _Transfers(placement.ranks - nodes, nodes - 1)
        ways = {"broadcast": (down,), "reduce": (up,), "allreduce": (up, down)}[operation]
        return [(way, size, times) for way in ways for size, times in segments]
    if algorithm == "ring":
        circle = _between(placement, ranks, np.roll(ranks, -1))
        if operation == "allgather":
            return [(circle, size_bytes, ranks.size - 1)]
        if operation == "allreduce":
            return [(circle, -(-size_bytes // ranks.size), 2 * (ranks.size - 1))]
        chain = _between(placement, ranks[:-1], ranks[1:])
        return [(chain, size, times) for size, times in segments]
    distances = [1 << bit for bit in range((ranks.size - 1).bit_length())]
    if algorithm == "dissemination":
        return [(_between(placement, ranks, np.roll(ranks, -away)), 1, 1) for away in distances]
    pairs = [ranks[: ranks.size - away][:: 2 * away] for away in distances]
    ways_of = 2 if operation == "allreduce" else 1
    rounds = zip(pairs, distances, strict=True)
    return [(_between(placement, first, first + away), size_bytes, ways_of) for first, away in rounds]


def _between(placement: Placement, source: Ints, destination: Ints) -> _Transfers:
    near = int((placement.node[source] == placement.node[destination]).sum())
    return _Transfers(near, source.size - near)

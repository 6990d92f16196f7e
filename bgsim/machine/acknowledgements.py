"""Acknowledgements of streams: which messages between ranks cause one, and which carry one by themselves.

A receiver acknowledges the second of two segments for which it has sent nothing back; what it sends back
carries the acknowledgement. Which message is the second follows from the order in which a program's messages
are posted, which is not always that of their arrival. Left out: acknowledgements that a timer sends, 40 ms
later, and those that open a window again.
"""

from __future__ import annotations

import numpy as np

from bgsim.network.traffic import Ints


class Acknowledgements:
    """Segments that no acknowledgement has been sent for, by pair of ranks.

    Parameters
    ----------
    ranks
        Number of ranks.
    every
        So many segments are acknowledged together.
    """

    def __init__(self, ranks: int, every: int) -> None:
        self._ranks, self._every = ranks, every
        self._pairs = np.zeros(0, np.int64)  # sender * ranks + receiver, ascending
        self._owed = np.zeros(0, np.int64)

    def due(self, source: Ints, destination: Ints, segments: int) -> Ints:
        """Acknowledgements that messages of so many segments cause, shape (messages,).

        Parameters
        ----------
        source, destination
            Ranks; each pair at most once.
        """
        sent, back = source * self._ranks + destination, destination * self._ranks + source
        pairs = np.union1d(self._pairs, sent)
        owed = np.zeros(len(pairs), np.int64)
        owed[np.searchsorted(pairs, self._pairs)] = self._owed
        answered = np.searchsorted(pairs, back)
        known = answered < len(pairs)
        known[known] = pairs[answered[known]] == back[known]
        owed[answered[known]] = 0
        place = np.searchsorted(pairs, sent)
        owed[place] += segments
        due = owed[place] // self._every
        owed[place] %= self._every
        self._pairs, self._owed = pairs, owed
        return due

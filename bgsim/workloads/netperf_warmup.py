"""Where the warm-up of a netperf test ends, found after the run instead of fixed before it.

All messages are noted, and the counters of both nodes at every fifth one. When the test is over, the
warm-up is cut (MSER-5, :mod:`bgsim.steady`) out of two series: the times between successive arrivals, for a
congestion window that opens raises the rate, and the latencies, for a queue that fills raises those. The
later cut counts. What comes behind is measured as it would be with that fixed warm-up.
"""

from __future__ import annotations

import itertools

from bgsim.steady import BATCH, mser, steady_mean
from bgsim.workloads.netperf_programs import Recorder
from bgsim.workloads.outcome import Json

MESSAGES_MIN = 4 * BATCH
"""Fewest messages in which a warm-up can be told from the rest."""


class WatchedRecorder(Recorder):
    """Notes every message, for the warm-up to be found at the end."""

    def sending(self, now: int) -> None:
        """A send call begins."""
        if len(self.started) % BATCH == 0:
            self.on_mark()
        self.started.append(now)

    def arrived(self, number: int, now: int) -> None:
        """Message ``number`` has reached the program it was for."""
        self.delivered += 1
        self.arrivals.append((number, now))

    def settle(self) -> tuple[int, dict[str, Json]]:
        """Cut the warm-up, and take what follows as the measured part.

        Returns
        -------
        tuple
            Which mark begins the measured part; and what was found, for the record.
        """
        latencies = [now - self.started[number] for number, now in self.arrivals]
        between = [later - earlier for (_, earlier), (_, later) in itertools.pairwise(self.arrivals)]
        cut = max(mser(latencies), mser(between))
        number = self.arrivals[cut][0] if cut else 0
        begin = -(-number // BATCH)  # messages may have been lost before: the next mark
        warmup = begin * BATCH
        # At most half of the arrivals are cut, and they come in the order of sending: ten later ones follow.
        assert warmup < self.arrivals[-1][0], "messages of the measured part have arrived"
        self.sizes = (self.size, warmup, self.total - warmup)
        self.begin = self.started[warmup]
        for each, now in self.arrivals:
            if each >= warmup or (self.by_time and now >= self.begin):
                self.latencies.append(now - self.started[each])
                self.received_messages += 1
                self.received_bytes += self.size
                self.end = now
        found = [steady_mean(values[cut:]) for values in (latencies, between)]
        return begin, {"found": "MSER-5", "messages": warmup, "settled": all(one.settled for one in found)}

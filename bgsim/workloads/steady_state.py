"""From a part of a job to the whole: when many equal operations need not all be simulated.

A *job* is what each node has to move, in packets per node. Two methods, both stopped by agreement of
successive results within a tolerance and both run to the job's end if there is none:

**Steady rate**, where all nodes that take part are alike: a translation of the torus maps the pattern and the
active nodes onto themselves and any active node onto any other. Then all have the same rate in the long run,
whoever is ahead for a while. The job itself is started, and watched in blocks that double: until every node
has moved 128 packets in the mean, 256, 512 and so on. When the rates of two successive blocks agree,
what is left goes on at the rate of the last one. A node's lead or lag, a random walk, is taken to grow with
the square root of what was moved; if large leads were seen to grow almost in proportion instead, the nodes
are not alike after all (who began first stays first), and the other method is used. The interval is
Student's for the rate, 95 %, from eight windows of the last block (batch means). What this leaves out is the
end, when the first nodes no longer compete with the last, and a state that would break down later. It is
no method for jobs whose cores fall behind the packets.

**Scaled job**, where nodes differ: the fast ones end first and leave their links to the others, so that no
rate lasts. But bytes are fluid in the large: half of everything to move takes half the time. The job is run
to its end with 128 packets per node, with 256, 512 and so on; when the time that the last doubling added
agrees with that of the one before, in the mean and for the last node, the rest of the job is added at the
same pace; within three times the tolerance, since these are single runs, and ten times for the last node.
A node's distance from the mean is
taken to grow as it did in the last doubling, by a power between the square root and proportion. The interval
is the difference of the two paces.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from bgsim.network.topology import Closed, Shape
from bgsim.network.traffic import Ints

FIRST_PACKETS: Final = 128
"""Packets per node of the first block or the smallest job."""

LEADS_LAST: Final = 0.8
"""Leads that grow with a higher power of what was moved are taken to last; a random walk has 0.5."""

LEADS_SMALL: Final = 0.1
"""Share of what was moved up to which it does not matter how leads grow."""

LEAST_PACKETS: Final = 512
"""Packets per node that are watched at least, or that the largest job has at least."""

AGREEING_BLOCKS: Final = 3
"""Blocks of the same rate after which lasting leads are believed."""

SINGLE_RUNS: Final = 3.0
LAST_NODE: Final = 10.0
"""Factors on the tolerance for paces of single runs: of all nodes in the mean, of the last one."""

STEPS: Final = 64
"""A job is looked at that often each time it has gone on for as long again, at most: a look takes time."""

WINDOWS: Final = 8
T_QUANTILE: Final = 2.3646
"""Student's t for 95 % and one less than the number of windows."""


class Watched(Protocol):
    """A job that is being simulated."""

    def run(self, until_cycles: int | None = None) -> int:
        """Go on until a time, or to the end; return the time reached."""

    def moved(self) -> Ints:
        """Packets that each node has moved so far, shape (nodes,)."""

    def end_cycles(self) -> Ints:
        """When each node was done, shape (nodes,); -1 before."""


@dataclass(frozen=True, slots=True)
class Finding:
    """When each node of a job is done, and how that is known.

    Attributes
    ----------
    end_cycles
        Shape (nodes,).
    details
        For the record.
    """

    end_cycles: NDArray[np.float64]
    details: dict[str, Any]


def alike(shape: Shape, torus: Closed, active: Ints) -> bool:
    """Whether translations that map the active nodes onto themselves map each of them onto every other.

    Parameters
    ----------
    shape, torus
        The partition; an open dimension of more than one node has no translations.
    active
        Node numbers.
    """
    if not all(closed or extent == 1 for closed, extent in zip(torus, shape, strict=True)):
        return False
    grid = np.zeros(shape[::-1])
    grid.reshape(-1)[active] = 1
    spectrum = np.fft.fftn(grid)
    overlap = np.fft.ifftn(spectrum * spectrum.conj()).real  # by translation: nodes that stay active
    return int((overlap > len(active) - 0.5).sum()) == len(active)


def steady_rate(
    job: Watched, packets: int, begin_cycles: Ints, tolerance: float, least_packets: float
) -> Finding | Literal["ran out", "leads last"]:
    """Watch a job of nodes that are alike until its rate is steady.

    Parameters
    ----------
    job
        At its beginning.
    packets
        What each node has to move; `job` may hold less, if that is more than what a steady state takes.
    begin_cycles
        When each node begins.
    tolerance
        How well the rates of two blocks agree.
    least_packets
        Packets per node that are watched at least.

    Returns
    -------
    Finding or text
        The text if `job` ran out before its rate was steady, or leads last.
    """
    step = 4096
    now = job.run(int(begin_cycles.max()) + 1)
    times, means = [float(begin_cycles.mean())], [0.0]
    target, previous, agreed = float(FIRST_PACKETS), 0.0, 0
    lead_before = 0.0
    while True:
        while means[-1] < target:
            if (job.end_cycles() >= 0).any():
                return "ran out"
            step = max(step, now // STEPS)
            now = job.run(now + step)
            times.append(float(now))
            means.append(float(job.moved().mean()))
        # Steps get longer as the job goes on, so that a block has enough of them and not too many.
        middle = int(np.searchsorted(means, target / 2))
        rates = _window_rates(np.array(times[middle:]), np.array(means[middle:]))
        rate = (means[-1] - means[middle]) / (times[-1] - times[middle])
        lead = float(job.moved().std())
        growth = float(np.log2(lead / lead_before)) if lead and lead_before else 1.0
        lasting = growth > LEADS_LAST and lead > LEADS_SMALL * means[-1]
        if previous and abs(rate / previous - 1) <= tolerance:
            agreed += 1
            if not lasting and target >= max(LEAST_PACKETS, least_packets):
                break
            if lasting and agreed >= AGREEING_BLOCKS and target > LEAST_PACKETS:
                return "leads last"
        previous, target, lead_before = rate, 2 * target, lead
        step = max(step, int((target - means[-1]) / rate / (4 * WINDOWS)))
    moved = job.moved()
    mean = float(moved.mean())
    end_mean = now + (packets - mean) / rate
    spread = np.sqrt(packets / mean) * (mean - moved) / rate
    half = float(T_QUANTILE * rates.std(ddof=1) / np.sqrt(len(rates)) / rate) if len(rates) > 1 else 0.0
    return Finding(
        np.maximum(end_mean + spread, now),
        {
            "method": "steady rate",
            "extrapolated": True,
            "simulated_share": mean / packets,
            "packets_per_node": mean,
            "windows": len(rates),
            "rates_agree_within": abs(rate / previous - 1),
            "leads_grow_with_power": growth,
            "tolerance": tolerance,
            "interval_percent": 100 * half * (1 - mean / packets),
        },
    )


def _window_rates(times: NDArray[np.float64], means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rates in equally long windows, as many as there are steps for, at most `WINDOWS`."""
    edges = np.unique(np.linspace(0, len(times) - 1, WINDOWS + 1).astype(int))
    rates: NDArray[np.float64] = np.diff(means[edges]) / np.diff(times[edges])
    return rates


def scaled_job(
    simulate: Callable[[int], tuple[int, NDArray[np.float64]]],
    packets: int,
    tolerance: float,
    least_packets: float,
) -> Finding:
    """Run a job in parts that double until twice the job takes twice the time.

    Parameters
    ----------
    simulate
        Runs a job of at least so many packets per node to its end; returns how many it had, and when each
        node was done, counted from its own beginning.
    packets
        Packets per node of the whole job.
    tolerance
        How well two successive paces agree.
    least_packets
        Packets per node that the largest part has at least.

    Returns
    -------
    Finding
        Times from each node's own beginning.
    """
    sizes: list[int] = []
    ends: list[NDArray[np.float64]] = []
    paces: list[NDArray[np.float64]] = []
    target = FIRST_PACKETS
    while True:
        size, end = simulate(min(target, packets))
        sizes.append(size)
        ends.append(end)
        if size >= packets:
            return Finding(ends[-1], {"method": "complete", "extrapolated": False, "simulated_share": 1.0})
        if len(sizes) > 1:
            mean_and_last = [np.array([e.mean(), e.max()]) for e in ends[-2:]]
            paces.append((mean_and_last[1] - mean_and_last[0]) / (sizes[-1] - sizes[-2]))
        if len(paces) > 1:
            off = np.abs(paces[-1] / paces[-2] - 1)
            steady = off[0] <= SINGLE_RUNS * tolerance and off[1] <= LAST_NODE * tolerance
            if steady and target >= max(LEAST_PACKETS, least_packets):
                break
        target *= 2
    end, mean = ends[-1], float(ends[-1].mean())
    whole = mean + (packets - sizes[-1]) * paces[-1][0]
    spread = [max(float(each.std()), 1.0) for each in ends[-2:]]
    growth = float(np.clip(np.log(spread[1] / spread[0]) / np.log(sizes[-1] / sizes[-2]), 0.5, 1.0))
    return Finding(
        whole + (end - mean) * (packets / sizes[-1]) ** growth,
        {
            "method": "scaled job",
            "extrapolated": True,
            "simulated_share": sizes[-1] / packets,
            "packets_per_node": sizes[-1],
            "windows": len(paces),
            "rates_agree_within": float(off[0]),
            "leads_grow_with_power": growth,
            "tolerance": tolerance,
            "interval_percent": 100 * float(off[0]),
        },
    )

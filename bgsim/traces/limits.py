"""What a trace may hold so that it can run: lengths of messages, and how long a rank computes.

What is counted instead of written stands elsewhere: ranks when a trace is read
(:data:`bgsim.traces.vocabulary.RANKS_MAX`), messages before collective calls are written out
(:mod:`bgsim.traces.collectives`).
"""

from __future__ import annotations

import numpy as np

from bgsim.traces.errors import TraceError
from bgsim.traces.program import FIRST_COLLECTIVE, PICOSECONDS, Kind, Program, is_send

MESSAGE_BYTES_MAX = 2**32
"""Of a message, or of a rank's share in a collective call: the memory of a node is no larger."""

RANK_CYCLES_MAX = 2**56
"""Of computation and sleep of one rank. Times are words of 64 bits, and ranks may wait for each other."""

_PROBLEMS_MAX = 100
_SECONDS_PER_YEAR = 31_557_600


def check_amounts(program: Program, frequency_hz: int, compute_scale: float) -> None:
    """Refuse messages and computations whose times would not fit a machine word.

    Parameters
    ----------
    program
        A trace.
    frequency_hz
        Of a core.
    compute_scale
        Multiplies all computation.

    Raises
    ------
    TraceError
        With the lines of messages that are too long, and the longest line of ranks that take too long.
    """
    kind, amount = program.kind, program.amount
    carries = is_send(kind) | (kind > FIRST_COLLECTIVE)
    problems = [
        program.problem(
            each, f"{program.words(each)}: {amount[each]} B is more than 4 GiB, the memory of a node"
        )
        for each in np.flatnonzero(carries & (amount > MESSAGE_BYTES_MAX))[:_PROBLEMS_MAX].tolist()
    ]
    scale = np.zeros(max(Kind) + 1)
    scale[[Kind.COMPUTE, Kind.SLEEP]] = frequency_hz / PICOSECONDS
    scale[Kind.COMPUTE_CYCLES] = 1.0
    scale[[Kind.COMPUTE, Kind.COMPUTE_CYCLES]] *= compute_scale
    cycles = scale[kind] * amount
    of_rank = np.bincount(program.rank, weights=cycles, minlength=program.ranks)
    years = RANK_CYCLES_MAX / frequency_hz / _SECONDS_PER_YEAR
    for rank in np.flatnonzero(of_rank > RANK_CYCLES_MAX)[:_PROBLEMS_MAX].tolist():
        first, end = program.first[rank : rank + 2].tolist()
        said = f"rank {rank} computes and sleeps {of_rank[rank]:.3g} cycles in all"
        said += f", more than 2^56 ({years:.2g} years)"
        problems.append(program.problem(first + int(np.argmax(cycles[first:end])), said))
    if problems:
        raise TraceError(problems)

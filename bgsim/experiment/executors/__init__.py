"""Where runs are computed: processes of this computer, a dask cluster, a batch system.

An executor takes runs from a queue and hands back their records, in whatever order they finish. It
never touches the study's directory: storing, and knowing what is stored, is the driver's. So a
record does not depend on where it was computed, but for the host and its timings.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from bgsim.experiment.plan import Run
    from bgsim.experiment.record import Record
    from bgsim.experiment.watch import Watch

Stop = Callable[[], bool]
"""Whether the researcher has asked to stop; runs handed out before are still finished."""


class Executor(Protocol):
    """Computes runs.

    Life cycle: made and, where it is a connection, opened by whoever started the driver; ``compute``
    any number of times, one after another; closed by the same hand.
    """

    def workers_for(self, runs: int) -> int:
        """How many of so many runs it computes at once; 0 where workers are still to come."""

    def compute(self, waiting: deque[Run], watch: Watch, stop: Stop) -> Generator[Record]:
        """Compute runs until none is waiting and none in work, or the researcher stops.

        Parameters
        ----------
        waiting
            Taken from the left. The caller may add runs whenever it has been handed a record.
        watch
            Told of starts, progress, and workers that come and go.
        stop
            Asked before a run is begun.

        Yields
        ------
        Mapping
            One record per run, as soon as it is there. Closing the generator gives up what is in work.

        Raises
        ------
        ExecutorError
            The cluster cannot be used, or was lost; records handed out before are good.
        """

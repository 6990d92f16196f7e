"""The processes of this computer: the default, with nothing to start beforehand."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import TYPE_CHECKING

from bgsim.experiment.executors import Stop
from bgsim.experiment.pool import in_this_process, in_workers, processors

if TYPE_CHECKING:
    from bgsim.experiment.plan import Run
    from bgsim.experiment.record import Record
    from bgsim.experiment.watch import Watch


class Local:
    """A few worker processes, or none: a single run or a single worker stays in this process.

    Parameters
    ----------
    workers
        Processes; by default one per processor.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or processors()

    def workers_for(self, runs: int) -> int:
        """As many as there are runs, at most all."""
        return min(self.workers, runs)

    def compute(self, waiting: deque[Run], watch: Watch, stop: Stop) -> Generator[Record]:
        """Compute runs in processes of this computer; see :class:`bgsim.experiment.executors.Executor`."""
        if self.workers_for(len(waiting)) > 1:
            return in_workers(waiting, self.workers, watch, stop)
        return in_this_process(waiting, watch, stop)

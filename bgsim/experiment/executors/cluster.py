"""A dask.distributed cluster: runs go to a scheduler, its workers compute them, records come back.

Only as many runs are handed out as there are threads to compute them, so that a stop has little to wait
for. A worker that dies is dask's to notice: its runs go to other workers, a few times, and then count as
lost. A scheduler that dies ends the study; what was handed back before is stored. The driver keeps no state
of the cluster, so any later driver continues, on this cluster or elsewhere.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import time
from collections import deque
from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from bgsim import extras
from bgsim.experiment import provenance
from bgsim.experiment.errors import ExecutorError
from bgsim.experiment.execute import lost_run
from bgsim.experiment.executors import Stop
from bgsim.source import source_digest

if TYPE_CHECKING:
    from bgsim.experiment.plan import Run
    from bgsim.experiment.record import Record
    from bgsim.experiment.watch import Watch

CONNECT_S = 10
POLL_S = 0.25
LOOK_S = 1.0
"""Time between looks at how many workers there are."""


class Cluster:
    """The workers of a dask scheduler.

    Life cycle: ``with Cluster(address) as executor``.

    Parameters
    ----------
    scheduler
        Its address (``tcp://head:8786``), the path of its scheduler file, or a cluster object of dask,
        which is closed too.
    name
        What messages call it; by default the address.

    Raises
    ------
    MissingExtraError
        dask.distributed is not installed.
    ExecutorError
        On entering: no scheduler answers.
    """

    def __init__(self, scheduler: Any, name: str = "") -> None:
        self.scheduler = scheduler
        self.name = name or str(scheduler)
        self.distributed = extras.need("distributed", "dask", "a cluster")
        self.client: Any = None

    def __enter__(self) -> Cluster:
        _silence()
        where: dict[str, Any] = {"address": self.scheduler}
        if isinstance(self.scheduler, (str, Path)) and Path(self.scheduler).is_file():
            where = {"scheduler_file": str(self.scheduler)}
        try:
            self.client = self.distributed.Client(
                **where, timeout=CONNECT_S, name="bgsim", set_as_default=False
            )
        except (OSError, ValueError) as error:
            raise ExecutorError(
                f"{self.name}: no dask scheduler answers there ({error}); start one with 'dask scheduler', "
                "and workers with 'dask worker ADDRESS'"
            ) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for part in (self.client, self.scheduler):
            if hasattr(part, "close"):
                with contextlib.suppress(OSError, TimeoutError):
                    part.close(timeout=2)

    def workers_for(self, runs: int) -> int:
        """Threads of all workers that have come so far, at most one per run."""
        return min(self._threads(), runs)

    def compute(self, waiting: deque[Run], watch: Watch, stop: Stop) -> Generator[Record]:
        """Compute runs on the cluster; see :class:`bgsim.experiment.executors.Executor`."""
        from bgsim.experiment.executors.remote import TOPIC, compute

        source = source_digest()
        # The client's own thread puts finished tasks and progress here, this thread takes them out.
        heard: queue.SimpleQueue[Any] = queue.SimpleQueue()
        tasks: dict[str, tuple[Any, Run]] = {}
        threads, looked = self._threads(), time.monotonic()
        if not threads:
            watch.note(f"{self.name} has no workers yet; waiting for them (Ctrl-C stops)")
        self.client.subscribe_topic(TOPIC, heard.put)
        try:
            while True:
                while waiting and len(tasks) < threads and not stop():
                    run = waiting.popleft()
                    key = f"bgsim-{run.run_id}-{time.time_ns()}"
                    future = self.client.submit(compute, run, source, key=key, pure=False)
                    tasks[key] = future, run
                    future.add_done_callback(heard.put)
                    watch.started(run)
                if not tasks and (stop() or not waiting):
                    return
                with contextlib.suppress(queue.Empty):
                    what = heard.get(timeout=POLL_S)
                    if isinstance(what, tuple):
                        key, simulated_s, note = what[1]
                        if key in tasks:
                            watch.progressed(tasks[key][1], simulated_s, note)
                    else:
                        yield self._record(*tasks.pop(what.key))
                if time.monotonic() - looked > LOOK_S:
                    self._check()
                    now, looked = self._threads(), time.monotonic()
                    if now != threads:
                        threads = now
                        watch.crew(threads)
        finally:
            with contextlib.suppress(Exception):  # the scheduler may be gone
                self.client.unsubscribe_topic(TOPIC)
                if tasks:
                    self.client.cancel([future for future, _ in tasks.values()], force=True)

    def _record(self, future: Any, run: Run) -> Record:
        """The record of a finished task."""
        from bgsim.experiment.executors.remote import OtherProgramError

        try:
            record: Record = future.result(timeout=60)
        except self.distributed.scheduler.KilledWorker as error:
            return lost_run(run, f"the workers that tried it died: {error}")
        except OtherProgramError as other:
            mine = provenance.program()
            raise ExecutorError(
                f"{self.name}: a worker runs {other}, and this is bgsim {mine['bgsim']} with source "
                f"{mine['source']}; install the same bgsim there and restart the workers"
            ) from None
        except ImportError as error:
            raise ExecutorError(
                f"{self.name}: a worker cannot import bgsim ({error}); install it there"
            ) from None
        except (self.distributed.client.FutureCancelledError, TimeoutError, OSError):
            raise self._lost() from None
        return record

    def _threads(self) -> int:
        """How many runs the workers can compute at once."""
        with contextlib.suppress(OSError, TimeoutError, AttributeError):
            return sum(self.client.nthreads().values())
        return 0

    def _check(self) -> None:
        """Look whether the scheduler is still there."""
        if self.client.status != "running":
            raise self._lost()

    def _lost(self) -> ExecutorError:
        return ExecutorError(
            f"{self.name}: the scheduler is gone; what it handed back before is stored. Start it again, or "
            "choose another executor: the same command continues where this one stopped"
        )


def _silence() -> None:
    """Keep the tracebacks of dask's loggers from the researcher: what matters is told in our own words."""
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] in ("distributed", "dask_jobqueue", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL)

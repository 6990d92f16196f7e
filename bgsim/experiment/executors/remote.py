"""What a cluster's worker does with a run: it hands it to a process of its own and waits.

The process is the same as in the local pool, one per thread of the worker, kept from run to run. So a
long compiled stretch does not make the worker deaf to its scheduler, several threads do not share an
interpreter, and a run that dies (out of memory) takes no worker with it.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable

from bgsim.experiment import provenance
from bgsim.experiment.execute import lost_run
from bgsim.experiment.plan import Run
from bgsim.experiment.pool import TRIES_MAX, Messages, WorkerProcess
from bgsim.experiment.record import Record
from bgsim.experiment.worker import Done, Message
from bgsim.source import source_digest

TOPIC = "bgsim-progress"
"""Where progress is told: events ``[key of the task, simulated seconds, note]``."""

POLL_S = 1.0

_of_thread = threading.local()


class OtherProgramError(Exception):
    """The worker has another bgsim than the driver; its records would not be the driver's."""


class NotWantedError(Exception):
    """The driver has gone or has given the run up."""


def compute(run: Run, source: str) -> Record:
    """Compute one run on a worker of a cluster.

    Parameters
    ----------
    run
        The run.
    source
        Digest of the driver's program.

    Raises
    ------
    OtherProgramError
        This worker's program is not the driver's.
    NotWantedError
        The run has been given up meanwhile.
    """
    if source_digest() != source:
        program = provenance.program()
        raise OtherProgramError(f"bgsim {program['bgsim']} with source {program['source']}")
    tell, wanted = _scheduler_of()
    how = ""
    for _ in range(TRIES_MAX):
        process, messages = _process()
        process.hand(run)
        while True:
            message = _next(messages, wanted)
            if message is None:
                how = process.died()
                break
            if isinstance(message, Done):
                return message.record
            tell(message.simulated_s, message.note)
    return lost_run(run, how)


def _next(messages: Messages, wanted: Callable[[], bool]) -> Message | None:
    while True:
        with contextlib.suppress(queue.Empty):
            return messages.get(timeout=POLL_S)[1]
        if not wanted():
            _of_thread.process.close()
            raise NotWantedError


def _process() -> tuple[WorkerProcess, Messages]:
    """The process of this thread, started anew if it has died."""
    process: WorkerProcess | None = getattr(_of_thread, "process", None)
    if process is None or process.process.poll() is not None:
        messages: Messages = queue.SimpleQueue()
        _of_thread.process = process = WorkerProcess(messages)
        _of_thread.messages = messages
    return process, _of_thread.messages


def _scheduler_of() -> tuple[Callable[[float, str], None], Callable[[], bool]]:
    """How this task tells its progress, and how it learns that it has been given up."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def tell(simulated_s: float, note: str) -> None:
        worker.log_event(TOPIC, [key, simulated_s, note])

    def wanted() -> bool:
        task = worker.state.tasks.get(key)
        return task is not None and task.state != "cancelled"

    return tell, wanted

"""A worker process: reads runs from its standard input, answers with progress and records.

It is started by :mod:`bgsim.experiment.pool` as a fresh interpreter, so a caller's script needs no
``if __name__ == "__main__"`` guard. Messages are pickles on the pipes that the two share. A worker
whose driver has died ends at once; it never outlives the study.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
import time
from typing import BinaryIO, NamedTuple

from bgsim.experiment.execute import execute_run
from bgsim.experiment.plan import Run
from bgsim.experiment.record import Record

PROGRESS_INTERVAL_S = 0.2


class Progressed(NamedTuple):
    """The run in work has reached this simulated time."""

    simulated_s: float
    note: str


class Done(NamedTuple):
    """The run in work is finished."""

    record: Record


Message = Progressed | Done


def main() -> None:
    """Serve until the driver closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to answer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not end up among the answers
    tasks: queue.SimpleQueue[Run] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(sys.stdin.buffer, tasks), daemon=True).start()
    while True:
        _serve(tasks.get(), answers)


def _receive(stream: BinaryIO, tasks: queue.SimpleQueue[Run]) -> None:
    while True:
        try:
            tasks.put(pickle.load(stream))
        except (EOFError, OSError, pickle.UnpicklingError):
            os._exit(0)  # the driver is gone, or has closed the pipe: also in the middle of a run


def _serve(run: Run, answers: BinaryIO) -> None:
    sent = 0.0

    def send(message: Message) -> None:
        pickle.dump(message, answers)
        answers.flush()

    def progress(simulated_s: float, note: str) -> None:
        nonlocal sent
        now = time.monotonic()
        if now - sent >= PROGRESS_INTERVAL_S:
            sent = now
            send(Progressed(simulated_s, note))

    send(Done(execute_run(run, progress)))

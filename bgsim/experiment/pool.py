"""The local process pool: a few worker processes, each computing one run at a time.

A worker that dies (killed, out of memory) costs only its own run, which is tried once more in a
fresh worker and then recorded as failed; the others go on.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Generator
from pathlib import Path

from bgsim.experiment.execute import execute_run, lost_run
from bgsim.experiment.executors import Stop
from bgsim.experiment.plan import Run
from bgsim.experiment.record import Record
from bgsim.experiment.watch import Watch
from bgsim.experiment.worker import Done, Message

TRIES_MAX = 2
POLL_S = 0.25

_SOURCE = str(Path(__file__).resolve().parent.parent.parent)
# -P keeps the current directory off the path; the worker must import the same bgsim as its driver.
_START = (
    "import sys; here = sys.argv[1]; here in sys.path or sys.path.insert(0, here); "
    "from bgsim.experiment.worker import main; main()"
)
_ONE_THREAD = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def processors() -> int:
    """Processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_this_process(waiting: deque[Run], watch: Watch, stop: Stop) -> Generator[Record]:
    """Compute runs one after another, without any other process."""
    while waiting and not stop():
        run = waiting.popleft()

        def progress(simulated_s: float, note: str, run: Run = run) -> None:
            watch.progressed(run, simulated_s, note)

        watch.started(run)
        yield execute_run(run, progress)


def in_workers(waiting: deque[Run], workers: int, watch: Watch, stop: Stop) -> Generator[Record]:
    """Compute runs in worker processes; records come in the order in which they finish.

    Parameters
    ----------
    waiting
        What to compute; the caller may add to it between records.
    workers
        Number of processes, at least one.
    watch
        Told of starts and progress.
    stop
        Asked before each run is handed out; runs handed out before are still finished.

    Yields
    ------
    Mapping
        Records.
    """
    tries: dict[str, int] = {}
    messages: Messages = queue.SimpleQueue()
    crew: set[WorkerProcess] = set()

    def hand_out() -> None:
        while waiting and not stop() and len(crew) < min(workers, len(waiting) + _busy(crew)):
            crew.add(WorkerProcess(messages))
        for worker in crew:
            if worker.run is None and waiting and not stop():
                run = waiting.popleft()
                tries[run.run_id] = tries.get(run.run_id, 0) + 1
                watch.started(run)
                worker.hand(run)

    try:
        while True:
            hand_out()
            if not _busy(crew):
                return
            try:
                worker, message = messages.get(timeout=POLL_S)
            except queue.Empty:
                continue
            held = worker.run
            if message is None:
                crew.discard(worker)
                how = worker.died()
                if held is None:
                    continue
                if tries[held.run_id] < TRIES_MAX:
                    watch.note(f"{held.label}: {how}; trying once more")
                    waiting.appendleft(held)
                else:
                    yield lost_run(held, how)
            elif isinstance(message, Done):
                worker.run = None
                hand_out()  # the worker goes on while the caller waits for the disk
                yield message.record
            elif held is not None:
                watch.progressed(held, message.simulated_s, message.note)
    finally:
        for worker in crew:
            worker.close()


def _busy(crew: set[WorkerProcess]) -> int:
    return sum(worker.run is not None for worker in crew)


class WorkerProcess:
    """One worker process: started, handed runs one at a time, closed.

    Parameters
    ----------
    messages
        Where it puts itself with each of its answers, and with None when it has died.
    """

    def __init__(self, messages: Messages) -> None:
        self.run: Run | None = None
        self.messages = messages
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, _SOURCE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**dict.fromkeys(_ONE_THREAD, "1"), **os.environ},
            start_new_session=True,  # Ctrl-C reaches the driver only, which lets workers finish
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def hand(self, run: Run) -> None:
        """Give the worker a run; if it has died meanwhile, the listener reports that."""
        self.run = run
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            pickle.dump(run, self.process.stdin)
            self.process.stdin.flush()

    def died(self) -> str:
        """Wait for the end of a dead worker; say in words how it died."""
        code = self.process.wait()
        self.close()
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
            hint = " (out of memory?)" if name == "SIGKILL" else ""
            return f"its worker process was ended by {name}{hint}"
        return f"its worker process ended with code {code}"

    def close(self) -> None:
        """End the process at once; everything it has finished has been handed over."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        while True:
            try:
                self.messages.put((self, pickle.load(self.process.stdout)))
            except (EOFError, OSError, ValueError, pickle.UnpicklingError):
                self.messages.put((self, None))
                return


Messages = queue.SimpleQueue[tuple[WorkerProcess, Message | None]]

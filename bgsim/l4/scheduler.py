"""Round robin by priority, as the microkernel's scheduler does it.

Ready threads stand in one queue per priority. A direct switch (IPC with donation of the time
slice) goes past the queues. The total quantum of a thread never expires.

Source: L4Ka::Pistachio ``api/v4/sched-rr/ktcb.h`` and ``schedule.cc``.
"""

from __future__ import annotations

from collections import deque

from bgsim.l4.thread import Thread, ThreadState


class Scheduler:
    """Ready queues of one core."""

    def __init__(self, timeslice_cycles: int) -> None:
        self.timeslice_cycles = timeslice_cycles
        self.current: Thread | None = None
        self._ready: dict[int, deque[Thread]] = {}

    def enqueue(self, thread: Thread, front: bool = False) -> None:
        """Make a thread ready; a preempted one goes to the front of its queue."""
        thread.state = ThreadState.READY
        queue = self._ready.setdefault(thread.priority, deque())
        assert thread not in queue, f"{thread.name} is ready already"
        if front:
            queue.appendleft(thread)
        else:
            queue.append(thread)

    def switch_to(self, thread: Thread) -> None:
        """Direct switch: the thread runs now, on whatever is left of the slice."""
        for queue in self._ready.values():
            if thread in queue:
                queue.remove(thread)
        thread.state = ThreadState.RUNNING
        self.current = thread

    def block(self, state: ThreadState) -> None:
        """The current thread stops running."""
        assert self.current is not None
        self.current.state = state
        self.current = None

    def highest_ready(self) -> Thread | None:
        """The ready thread that would run next."""
        for priority in sorted(self._ready, reverse=True):
            if self._ready[priority]:
                return self._ready[priority][0]
        return None

    def dispatch(self) -> Thread | None:
        """Run the next ready thread if nothing runs."""
        if self.current is None:
            thread = self.highest_ready()
            if thread is not None:
                self.switch_to(thread)
                if thread.slice_left_cycles <= 0:
                    thread.slice_left_cycles = self.timeslice_cycles
        return self.current

    def use_slice(self, cycles: int) -> bool:
        """Charge the current thread's slice; True where it ran out and the thread was requeued."""
        thread = self.current
        if thread is None:
            return False
        thread.slice_left_cycles -= cycles
        if thread.slice_left_cycles > 0:
            return False
        thread.slice_left_cycles = self.timeslice_cycles
        self.current = None
        self.enqueue(thread)
        self.dispatch()
        return True

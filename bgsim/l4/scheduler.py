"""Round robin by priority, as the microkernel's scheduler does it.

Ready threads stand in one queue per priority. A direct switch (IPC with donation of the time
slice) goes past the queues. The total quantum of a thread never expires. Time is taken from a slice at
ticks, a whole tick at a time, so that 10 ms last for six ticks.

Ticks are taken from the slice of the *accounted* thread: the one the scheduler chose last. A direct switch
does not change it, which is what donation means: a server works on its caller's slice. But when that slice
runs out while the server is at work, the scheduler chooses the server again, for its priority is the highest,
and it is accounted from then on; its answer switches to the caller directly, which so goes on, on the
server's slice. A guest that has its VMM at work most of the time therefore often gets a slice more, or
several. A device's interrupt ends that: after it the scheduler chooses the guest. ``l4.strict_slices`` is a
scheduler that does not do so: the caller's turn is over when it has its answer.

With one vCPU on the core there is nobody to take anything from, and ticks that find the server are taken from
its slice without looking further.

Source: L4Ka::Pistachio ``api/v4/sched-rr``: ``schedule.cc`` (end_of_timeslice, handle_timer_interrupt),
``schedule.h`` (lazy queueing: who blocks in IPC keeps its place), ``schedule_functions.h``;
``api/v4/ipc.cc``. Read, not executed.
"""

from __future__ import annotations

from collections import deque

from bgsim.l4.thread import Thread, ThreadState


class Scheduler:
    """Ready queues of one core.

    Attributes
    ----------
    shared
        Whether there are several vCPUs to share the core.
    strict
        Whether a slice that runs out while a server works on it ends its owner's turn.
    accounted
        Whose slice is in use.
    """

    def __init__(self, timeslice_cycles: int) -> None:
        self.timeslice_cycles = timeslice_cycles
        self.current: Thread | None = None
        self.shared = False
        self.strict = False
        self.accounted: Thread | None = None
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
                self.account(thread)
        return self.current

    def account(self, thread: Thread) -> None:
        """The thread's slice is in use from now on."""
        self.accounted = thread
        if thread.slice_left_cycles <= 0:
            thread.slice_left_cycles = self.timeslice_cycles

    def use_slice(self, cycles: int, server: Thread | None = None) -> bool:
        """Take a tick from the slice in use; True where that ran out, and somebody else may run.

        Parameters
        ----------
        server
            The server that the tick found at work for the current thread, if it did.
        """
        thread = self.current
        if thread is None:
            return False
        payer = self.accounted if self.shared and self.accounted is not None else thread
        payer.slice_left_cycles -= cycles
        if payer.slice_left_cycles > 0:
            return False
        payer.slice_left_cycles = self.timeslice_cycles
        if self.shared and server is not None and not self.strict:
            self.account(server)
            return True
        self.current = None
        self.enqueue(thread)
        self.dispatch()
        return True

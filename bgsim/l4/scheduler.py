"""Round robin by priority, as the microkernel's scheduler does it.

Ready threads stand in one queue per priority. A direct switch (IPC with donation of the time
slice) goes past the queues. The total quantum of a thread never expires. Time is taken from a slice at
ticks, a whole tick at a time: whoever's slice is in use then pays for all of it.

A server that was switched to directly works on its caller's slice. Where that runs out meanwhile, the caller
loses its turn once it has its answer (a choice; the sources were not executed in this case). With one vCPU
on the core there is nobody to lose it to, and ticks that find the server are taken from a slice of its own.

Source: L4Ka::Pistachio ``api/v4/sched-rr/ktcb.h`` and ``schedule.cc``.
"""

from __future__ import annotations

from collections import deque

from bgsim.l4.thread import Thread, ThreadState


class Scheduler:
    """Ready queues of one core.

    Attributes
    ----------
    donates
        Whether ticks that find a thread on a donated slice are taken from the donor's.
    """

    def __init__(self, timeslice_cycles: int) -> None:
        self.timeslice_cycles = timeslice_cycles
        self.current: Thread | None = None
        self.donates = False
        self._donor: Thread | None = None
        self._spent: Thread | None = None
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
                self._donor = thread
                if thread.slice_left_cycles <= 0:
                    thread.slice_left_cycles = self.timeslice_cycles
        return self.current

    def use_slice(self, cycles: int) -> bool:
        """Charge the current thread's slice; True where it ran out and the thread was requeued."""
        thread = self.current
        if thread is None:
            return False
        payer = self._donor if self.donates and self._donor is not None else thread
        payer.slice_left_cycles -= cycles
        if payer.slice_left_cycles > 0:
            return False
        payer.slice_left_cycles = self.timeslice_cycles
        if payer is not thread:
            self._spent = payer
            return False
        self.current = None
        self.enqueue(thread)
        self.dispatch()
        return True

    def give_back(self, thread: Thread) -> None:
        """A server has answered: the caller goes on, unless its slice has run out meanwhile."""
        if thread is self._spent:
            self._spent = None
            self.enqueue(thread)
            self.dispatch()
        else:
            self.switch_to(thread)

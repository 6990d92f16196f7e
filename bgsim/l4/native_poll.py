"""Polling by a program on the microkernel: the rounds in which nothing can be found pass in one go.

As on bare metal, between two changes of the devices all reads give the same, so after a full round that
found nothing the next change is waited for. Here the kernel takes the core in between: at a tick, or at an
interrupt, the polling stops where it stands, within a pause or behind the read under way, and goes on from
there. It is event for event what the program's own loop of reads does; a test compares the two.

Left out: polls of registers or code whose TLB entries are not loaded when they begin; those are read one by
one.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import simpy

from bgsim.platforms import layout
from bgsim.platforms.seam import Poll

if TYPE_CHECKING:
    from bgsim.hardware.activity import Activity
    from bgsim.l4.kernel import Kernel
    from bgsim.platforms.processor import Processor


class Polling:
    """One poll under way.

    Reads are numbered from 1; the one after number n begins when n reads and the pauses between their rounds
    have taken their time.

    Parameters
    ----------
    read_cycles
        What each read of a round takes.
    begin
        When the first one begins; later by whatever the kernel took meanwhile.

    Attributes
    ----------
    done
        Reads that have ended.
    """

    def __init__(self, request: Poll, processor: Processor, read_cycles: list[int], begin: int) -> None:
        self.request = request
        self.processor = processor
        self.begin = begin
        self.left = begin
        self.done = 0
        self.fruitless = 0
        self.changes = -1
        self._reads = [0]
        for cycles in read_cycles:
            self._reads.append(self._reads[-1] + cycles)
        self._carry = int(processor.state.register[layout.CARRY_USER])
        per_instruction = int(processor.tables.price[layout.PRICE_USER_MILLI])
        self._pause_milli = request.pause.program.instructions * per_instruction

    @property
    def size(self) -> int:
        """Reads of a round."""
        return len(self.request.reads)

    @property
    def rounds(self) -> int:
        """Pauses that have been begun, up to the read that is next or under way."""
        return self.done // self.size

    def end_of(self, read: int) -> int:
        """When a read ends."""
        rounds, rest = divmod(read, self.size)
        cycles = rounds * self._reads[self.size] + self._reads[rest]
        pauses = ((read - 1) // self.size * self._pause_milli + self._carry) // 1000
        return self.begin + cycles + pauses

    def begin_of(self, read: int) -> int:
        """When a read begins, behind the pause before it."""
        place = (read - 1) % self.size
        return self.end_of(read) - (self._reads[place + 1] - self._reads[place])

    def skip_to(self, now: int) -> None:
        """Reads that ended before `now` have found nothing."""
        more_than_a_round = self.end_of(self.size + 1) - self.begin
        rounds = (now - self.begin) // more_than_a_round
        self.done = max(self.done, self.size * (rounds - 1))
        while self.end_of(self.done + 1) < now:
            self.done += 1

    def wait(self, kernel: Kernel, activity: Activity) -> Generator[simpy.Event, None, bool]:
        """Let time pass up to the next read that may find something.

        Returns whether that is still to come: the kernel has to be let in first.
        """
        if self.fruitless >= self.size and self.changes == activity.count:
            until = kernel.decrementer.deadline
            waiting = True

            def changed(_: simpy.Event) -> None:
                if waiting:
                    kernel.interrupt_line()

            change = activity.next()
            assert change.callbacks is not None
            change.callbacks.append(changed)
            if until > kernel.environment.now:
                yield from kernel.pass_until(until)
            waiting = False
            self.skip_to(int(kernel.environment.now))
        now, begin = int(kernel.environment.now), self.begin_of(self.done + 1)
        if begin > now and not self._let_in(kernel):
            yield from kernel.pass_until(min(begin, kernel.decrementer.deadline))
            now = int(kernel.environment.now)
        if now <= begin and self._let_in(kernel):
            return True
        if now < begin:
            return (yield from self.wait(kernel, activity))
        end = self.end_of(self.done + 1)
        if end > now:
            yield from kernel.spend(end - now)
        return False

    @staticmethod
    def _let_in(kernel: Kernel) -> bool:
        expired = kernel.decrementer.expired(int(kernel.environment.now))
        return expired or kernel.bic.pending(kernel.core) or bool(kernel.remote_replies)

    def found(self, value: int, count: int) -> bool:
        """Note the value of the read that has just ended, and whether it is the wanted one."""
        if count != self.changes:
            self.changes, self.fruitless = count, 0
        _, wanted = self.request.reads[self.done % self.size]
        self.done += 1
        if wanted(value):
            return True
        self.fruitless += 1
        return False

    def account(self) -> list[int]:
        """Note the time of the pauses; returns how often each read was done."""
        state = self.processor.state
        pauses = (self.done - 1) // self.size
        total = pauses * self._pause_milli + self._carry
        state.cycle[layout.CAUSE_USER] += total // 1000
        state.count[layout.COUNT_INSTRUCTIONS_USER] += pauses * self.request.pause.program.instructions
        state.register[layout.CARRY_USER] = total % 1000
        return [pauses + (place <= (self.done - 1) % self.size) for place in range(self.size)]

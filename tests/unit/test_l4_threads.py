"""Scheduling, IPC rendezvous and FPU ownership of the microkernel."""

from __future__ import annotations

from bgsim.l4.fpu import Fpu
from bgsim.l4.scheduler import Scheduler
from bgsim.l4.thread import VCPU_PRIORITY, VMM_PRIORITY, Thread, ThreadState

SLICE = 8_500_000


def test_the_highest_priority_runs_and_equals_take_turns() -> None:
    scheduler = Scheduler(SLICE)
    first, second, server = Thread("a", VCPU_PRIORITY), Thread("b", VCPU_PRIORITY), Thread("s", VMM_PRIORITY)
    scheduler.enqueue(first)
    scheduler.enqueue(second)
    assert scheduler.dispatch() is first
    assert not scheduler.use_slice(SLICE - 1)
    assert scheduler.use_slice(1)
    assert scheduler.current is second
    assert scheduler.use_slice(SLICE)
    assert scheduler.current is first
    scheduler.enqueue(server)
    scheduler.block(ThreadState.RECEIVING)
    assert scheduler.dispatch() is server


def test_a_direct_switch_passes_the_queues_and_donates_the_slice() -> None:
    scheduler = Scheduler(SLICE)
    guest, server = Thread("guest", VCPU_PRIORITY), Thread("server", VMM_PRIORITY)
    scheduler.enqueue(guest)
    scheduler.dispatch()
    left = guest.slice_left_cycles
    scheduler.block(ThreadState.RECEIVING)
    scheduler.switch_to(server)
    assert scheduler.current is server
    assert server.slice_left_cycles == 0
    assert guest.slice_left_cycles == left


def test_a_preempted_thread_goes_first_again() -> None:
    scheduler = Scheduler(SLICE)
    first, second = Thread("a", VCPU_PRIORITY), Thread("b", VCPU_PRIORITY)
    scheduler.enqueue(first)
    scheduler.enqueue(second)
    current = scheduler.dispatch()
    assert current is first
    scheduler.block(ThreadState.READY)
    scheduler.enqueue(first, front=True)
    assert scheduler.highest_ready() is first


def test_floating_point_registers_swing_without_cost_between_guest_and_server() -> None:
    fpu = Fpu(switch_cycles=190)
    guest, other, server = Thread("g", VCPU_PRIORITY), Thread("o", VCPU_PRIORITY), Thread("s", VMM_PRIORITY)
    assert fpu.hand_over(guest, server) == 0
    assert fpu.hand_over(server, guest) == 0
    assert fpu.hand_over(other, server) == 190
    assert fpu.owner is server
    assert fpu.switches == 1


def sharing(strict: bool) -> tuple[Scheduler, Thread, Thread, Thread]:
    """A core of two guests, the first of which has just called its server."""
    scheduler = Scheduler(SLICE)
    scheduler.shared, scheduler.strict = True, strict
    first, second, server = Thread("a", VCPU_PRIORITY), Thread("b", VCPU_PRIORITY), Thread("s", VMM_PRIORITY)
    scheduler.enqueue(first)
    scheduler.enqueue(second)
    scheduler.dispatch()
    scheduler.block(ThreadState.RECEIVING)
    scheduler.switch_to(server)
    return scheduler, first, second, server


def test_a_server_works_on_its_callers_slice() -> None:
    scheduler, first, _, server = sharing(strict=False)
    assert not scheduler.use_slice(SLICE // 2, server)
    assert first.slice_left_cycles == SLICE // 2
    assert server.slice_left_cycles == 0


def test_a_slice_that_ends_while_the_server_works_is_followed_by_the_servers() -> None:
    scheduler, first, second, server = sharing(strict=False)
    scheduler.block(ThreadState.RECEIVING)
    scheduler.switch_to(first)  # answered meanwhile
    assert scheduler.use_slice(SLICE, server)
    assert scheduler.current is first
    assert scheduler.accounted is server
    assert not scheduler.use_slice(SLICE - 1)
    assert scheduler.use_slice(1)  # finds the guest itself
    assert scheduler.current is second
    assert scheduler.accounted is second


def test_a_strict_scheduler_ends_the_callers_turn() -> None:
    scheduler, first, second, server = sharing(strict=True)
    scheduler.block(ThreadState.RECEIVING)
    scheduler.switch_to(first)
    assert scheduler.use_slice(SLICE, server)
    assert scheduler.current is second

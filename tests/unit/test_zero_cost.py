"""A virtual machine whose kernel and VMM cost nothing takes exactly the native time.

Three things are made alike first, because they are differences of the machines and not costs: the
memory, so that Linux pins as many entries; the virtual TLB, which has as many entries as the
hardware's; and L4's tick, on which the guest's decrementer is served. With a tick of the guest's own
timer period both start together and stay together, and every timer interrupt finds the guest at the
same operation on both platforms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import simpy

from bgsim.datasheet import Datasheet
from bgsim.guests.kittyhawk import KittyhawkLinux
from bgsim.hardware.node import build_nodes
from bgsim.platforms.baremetal import BareMetal
from bgsim.platforms.seam import Code, Run
from bgsim.platforms.virtualmachine import VirtualMachine
from bgsim.profiles.program import TRACES, load

BEGIN, END = 600_000, 1_800_000
"""Operations of the lcc trace: 15 native timer periods with address space switches and page faults."""

MEMORY_BYTES = 512 << 20

FREE = ("l4.os.", "l4.dcache_lines_lost_per_refill", "l4.map_fpage_instructions", "vmm.tlb_miss_cycles")
"""What a virtual machine costs: path lengths, lost cache lines, mapping, the VMM's own misses."""


@pytest.fixture(scope="module")
def free() -> Datasheet:
    """The machine with a kernel and a VMM that take no time."""
    machine = Datasheet.load()
    values: dict[str, object] = {
        name: 0 for name in machine if name.startswith(FREE) and not name.endswith(".instructions")
    }
    values["l4.map_fpage_instructions"] = 0
    values |= {f"guest.iccci_lines_{mode}.lcc": 0 for mode in ("user", "kernel")}
    values["l4.tick"] = "4 ms"
    return machine.with_values(values)


def guest_of(machine: Datasheet) -> KittyhawkLinux:
    program = load(TRACES["lcc"])

    def main() -> Code:
        yield Run(program, BEGIN, END)

    return KittyhawkLinux(machine, program, main, "lcc")


def run(platform: Callable[..., Any], machine: Datasheet, guest: KittyhawkLinux) -> Any:
    environment = simpy.Environment()
    node = build_nodes(environment, machine, (1, 1, 1), (False, False, False)).nodes[0]
    core = platform(environment, machine, guest, node, memory_bytes=MEMORY_BYTES)
    environment.run(core.process)
    assert core.finished()
    core.elapsed = int(environment.now)
    return core


def test_a_virtual_machine_that_costs_nothing(free: Datasheet) -> None:
    guest = guest_of(free)
    native = run(BareMetal, free, guest)
    virtual = run(VirtualMachine, free, guest)
    assert virtual.elapsed == native.elapsed
    same = ("instructions", "guest_refills", "references", "timer_interrupts", "external_interrupts")
    assert {n: virtual.counters()[n] for n in same} == {n: native.counters()[n] for n in same}
    assert native.counters()["timer_interrupts"] > 10
    assert native.counters()["guest_refills"] > 1000


def test_its_kernel_still_does_all_its_work(free: Datasheet) -> None:
    """The exits are all there; they take no time, and so no time is attributed to any of them."""
    virtual = run(VirtualMachine, free, guest_of(free))
    assert virtual.counters()["exits_total"] > 16 * virtual.counters()["guest_refills"]
    assert virtual.counters()["exits_ipc"] > 0
    attribution = {cause: cycles for cause, cycles in virtual.attribution().items() if cycles}
    assert set(attribution) == {"guest_user", "guest_kernel", "guest_tlb_refill"}
    assert all(row.cycles_l4 == row.cycles_vmm == 0 for row in virtual.exits())


@pytest.mark.parametrize("platform", [BareMetal, VirtualMachine])
def test_every_cycle_has_a_cause(platform: Callable[..., Any]) -> None:
    machine = Datasheet.load()
    core = run(platform, machine, guest_of(machine))
    attribution = core.attribution()
    assert sum(attribution.values()) == core.elapsed
    assert min(attribution.values()) >= 0


def test_a_virtual_machine_that_costs_something_takes_longer() -> None:
    machine = Datasheet.load()
    guest = guest_of(machine)
    native, virtual = run(BareMetal, machine, guest), run(VirtualMachine, machine, guest)
    spent = sum(row.cycles_l4 + row.cycles_vmm for row in virtual.exits())
    assert virtual.elapsed > native.elapsed + spent

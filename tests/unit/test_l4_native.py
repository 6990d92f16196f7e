"""A program directly on the microkernel: each mechanism by its counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import simpy

from bgsim.datasheet import Datasheet
from bgsim.experiment import plan
from bgsim.experiment.errors import ExperimentError
from bgsim.guests.catalogue import GUESTS
from bgsim.guests.cnk import Cnk
from bgsim.guests.l4_app import L4App, PageSizeError, program_memory
from bgsim.guests.user_code import UserCode
from bgsim.hardware.barrier_device import DCR_BASE
from bgsim.hardware.bic import BASE as BIC
from bgsim.hardware.bic import target
from bgsim.hardware.node import Node, build_nodes
from bgsim.l4.address_space import PrivilegedInstructionError
from bgsim.l4.paths import Paths
from bgsim.platforms.l4native import GuestError, L4Native
from bgsim.platforms.seam import Code, Load, Now, ReadDcr, Run, SystemCall, Wait
from bgsim.profiles import program as ops
from bgsim.profiles.program import kernel_program, operation
from bgsim.units import parse
from bgsim.workloads import dcmf, micro
from bgsim.workloads.configs import DcmfConfig, MicroConfig, MicroOperation
from bgsim.workloads.outcome import Outcome
from bgsim.workloads.resolved import Partition, ResolvedRun
from bgsim.workloads.window import Window

SHEET = Datasheet.load()
MIB = 1 << 20
INTERRUPT = 0x28


def run(main: Callable[[], Code], machine: Datasheet = SHEET, size: int = MIB, **options: Any) -> L4Native:
    """Run a program to its end."""
    environment = simpy.Environment()
    node = build_nodes(environment, machine, (1, 1, 1), (False, False, False)).nodes[0]
    return run_on(environment, node, main, machine, size, **options)


def run_on(
    environment: simpy.Environment,
    node: Node,
    main: Callable[[], Code],
    machine: Datasheet,
    size: int,
    **options: Any,
) -> L4Native:
    guest = L4App(machine, program_memory(machine, size).program, main, **options)
    core = L4Native(environment, machine, guest, node)
    environment.run(core.process)
    assert core.finished()
    core.attribution()  # adds up
    return core


def touches(mib: int) -> Run:
    """Touch every MiB of so much static memory, once."""
    return Run(kernel_program("touch", [operation(ops.LOWMEM_DATA, 32 + each) for each in range(mib)]))


def count(core: L4Native, cause: str) -> int:
    return sum(row.count for row in core.exits() if row.cause == cause)


@pytest.mark.parametrize(("mib", "again"), [(40, 0), (60, 0), (61, 61)])
def test_large_mappings_that_fit_the_hardware_tlb_never_miss_again(mib: int, again: int) -> None:
    """60 entries of 1 MiB; beyond them, in turn, every touch misses, and no page faults."""
    seen: list[tuple[int, int]] = []

    def main() -> Code:
        for _ in range(3):
            yield touches(mib)
            yield Now()
            counters = core[0].counters()
            seen.append((counters["tlb_misses"], counters["page_faults"]))

    core: list[L4Native] = []
    environment = simpy.Environment()
    node = build_nodes(environment, SHEET, (1, 1, 1), (False, False, False)).nodes[0]
    core.append(
        L4Native(environment, SHEET, L4App(SHEET, program_memory(SHEET, mib * MIB).program, main), node)
    )
    environment.run(core[0].process)
    faults = -(-mib // 4)  # the pager maps 4 MiB at a time
    assert seen == [(mib, faults), (mib + again, faults), (mib + 2 * again, faults)]


def test_small_mappings_fault_once_a_page_and_miss_beyond_the_tlb() -> None:
    machine = SHEET.with_values({"l4_app.page": "4 KiB"})
    memory = program_memory(machine, 100 * 4096)
    words = memory.words(np.arange(0, 100 * 4096, 4096)).tolist()
    loop = kernel_program("pages", [*words, *words])

    def main() -> Code:
        yield Run(loop)

    environment = simpy.Environment()
    node = build_nodes(environment, machine, (1, 1, 1), (False, False, False)).nodes[0]
    core = L4Native(environment, machine, L4App(machine, memory.program, main), node)
    environment.run(core.process)
    assert core.counters()["page_faults"] == 100
    assert core.counters()["tlb_misses"] == 200  # round robin over 60 entries has forgotten all of them
    with pytest.raises(PageSizeError, match="4 KiB or 4 MiB"):
        program_memory(SHEET.with_values({"l4_app.page": "1 MiB"}), MIB)


def test_the_tick_remains() -> None:
    ticks = 7
    code = UserCode(SHEET, (), ())

    def main() -> Code:
        yield code.cycles(ticks * SHEET.cycles("l4.tick") + 1000)

    core = run(main)
    assert count(core, "PPC_EXCEPT_DECR") == ticks == core.counters()["exits_total"]
    paths = Paths(SHEET)
    # Slices of 10 ms: the program's first is used up within the sixth tick, and it is alone.
    first_tick = core.attribution()["icache_refill_l4"]
    kernel = 6 * paths.cycles("l4_tick_nothing") + paths.cycles("l4_tick_slice_expired")
    assert core.attribution()["PPC_EXCEPT_DECR"] == kernel
    assert core.counters()["cycles_l4"] == kernel + first_tick


def test_device_registers_are_plain_accesses_and_control_registers_one_exception_each() -> None:
    times: list[int] = []

    def main() -> Code:
        yield Load(BIC)
        for request in (Load(BIC), ReadDcr(DCR_BASE)):
            begun = yield Now()
            for _ in range(5):
                yield request
            times.append((yield Now()) - begun)

    core = run(main)
    emulation = SHEET.cycles("vmm.dcr_pass_through_cycles") + SHEET.cycles("dcr.latency")
    assert times[0] == 5 * SHEET.cycles("mmio.latency")
    assert 5 * emulation <= times[1] < 5 * emulation + 2000  # its lines are fetched once
    assert count(core, "PPC_EXCEPT_PROG") == 5
    assert count(core, "PAGEFAULT_USER") == 1  # of the register page
    assert core.counters()["device_accesses"] == 11


def test_interrupts_are_messages_to_the_drivers_thread() -> None:
    handled: list[int] = []
    environment = simpy.Environment()
    node = build_nodes(environment, SHEET, (1, 1, 1), (False, False, False)).nodes[0]
    node.bic.set_target(INTERRUPT, target(0))

    def handler() -> Code:
        handled.append((yield Now()))

    def main() -> Code:
        for _ in range(2):
            yield Wait()

    def device() -> Any:
        for _ in range(2):
            yield environment.timeout(100_000)
            node.bic.raise_interrupt(INTERRUPT)

    environment.process(device())
    core = run_on(environment, node, main, SHEET, MIB, external_interrupt=handler)
    assert len(handled) == 2
    assert count(core, "PPC_EXCEPT_EXTINT") == core.counters()["external_interrupts"] == 2
    paths = Paths(SHEET)
    block = paths.cycles("irq.vmm_block_redispatch")
    acknowledge = SHEET.integer("vmm.acknowledge_instructions") * paths.cpi("irq.vmm_block_redispatch")
    each = paths.cycles("irq.l4_to_vmm") + round(acknowledge) + block
    assert core.attribution()["PPC_EXCEPT_EXTINT"] == 2 * each
    # The path to the driver, which accesses the interrupt controller, is all that comes before the handler.
    accesses = SHEET.integer("l4.os.irq.l4_to_vmm.device_accesses")
    assert handled[1] - 200_000 == paths.cycles("irq.l4_to_vmm") + accesses * SHEET.cycles("mmio.latency")


def test_a_privileged_instruction_ends_the_program() -> None:
    def main() -> Code:
        yield Run(kernel_program("call", [operation(ops.ENTER, ops.EXCEPTION_SYSCALL)]))

    with pytest.raises(PrivilegedInstructionError, match="privileged instruction"):
        run(main)


def test_an_operating_system_needs_a_vmm() -> None:
    environment = simpy.Environment()
    node = build_nodes(environment, SHEET, (1, 1, 1), (False, False, False)).nodes[0]

    def nothing() -> Code:
        yield from ()

    with pytest.raises(GuestError, match="operating system"):
        L4Native(environment, SHEET, Cnk(SHEET, nothing), node)


# -- messages -----------------------------------------------------------------------------------------


def put(platform: str, guest: str, machine: Datasheet = SHEET, **settings: Any) -> Outcome:
    """Blocking puts of 8 bytes between two neighbours."""
    config = DcmfConfig(
        kind="dcmf", operation="put", size=parse("8 B", "bytes"), messages=8, warmup=4, **settings
    )
    pair = Partition("pair", (2, 1, 1), (False, False, False))
    return dcmf.run(ResolvedRun(machine, machine, pair, platform, guest, config, 1, 0))


@pytest.mark.parametrize("completion", ["local", "remote"])
def test_a_put_takes_no_exits(completion: str) -> None:
    """After the first touch of each page a put is what it is on the bare machine, to the cycle."""
    native, bare = (
        put(*where, completion=completion) for where in (("l4-native", "l4-app"), ("bare-metal", "cnk"))
    )
    for name in ("latency_us", "operation_us_min", "operation_us_max", "packet_hops"):
        assert native.metrics[name] == bare.metrics[name]
    assert native.details["device_accesses"] == bare.details["device_accesses"]
    # Of the first put: a page fault for text, data and rings, which lie in one mapping, and three misses.
    assert {row["cause"]: row["count"] for row in native.exits} == {
        "PAGEFAULT_USER": 1,
        "PPC_DTLB_MISS": 2,
        "PPC_ITLB_MISS": 1,
    }


def test_nothing_is_exited_to_once_it_runs() -> None:
    code = UserCode(SHEET, (16,), (17, 18))
    windows: list[Window] = []
    environment = simpy.Environment()
    node = build_nodes(environment, SHEET, (1, 1, 1), (False, False, False)).nodes[0]

    def main() -> Code:
        for round_ in range(4):
            yield code.cycles(5000)
            yield Load(BIC)
            if round_ == 0:
                windows.append(Window(core, (yield Now())))

    kind = GUESTS["l4-app"]
    core = L4Native(environment, SHEET, kind.build(SHEET, kind.memory(SHEET, MIB), main), node)
    environment.run(core.process)
    assert windows[0].exits() == []
    assert windows[0].counters()["exits_total"] == 0
    assert set(windows[0].attribution()) == {"guest_user", "device"}


@pytest.mark.parametrize(
    ("name", "cycles", "exits"),
    [
        ("tlb-miss-walk", SHEET.cycles("vmm.tlb_miss_cycles"), 1),
        ("device-register-access", SHEET.cycles("mmio.latency"), 0),
        ("ipc-round-trip", SHEET.cycles("vmm.dcr_pass_through_cycles") + SHEET.cycles("dcr.latency"), 1),
    ],
)
def test_kernel_operations(name: MicroOperation, cycles: int, exits: int) -> None:
    config = MicroConfig(kind="micro", operation=name, iterations=100)
    one = Partition("one", (1, 1, 1), (False, False, False))
    metrics = micro.run(ResolvedRun(SHEET, SHEET, one, "l4-native", "l4-app", config, 1, 0)).metrics
    assert (metrics["cycles_per_operation"], metrics["exits_per_operation"]) == (cycles, exits)


@pytest.mark.parametrize(
    ("name", "calls", "instructions"),
    [
        ("l4-thread-switch", 1, 200),
        ("l4-call-same-space", 2, 2 * 800),  # the message and its answer
        ("l4-call-other-space", 2, 2 * (800 + 12)),
    ],
)
@pytest.mark.parametrize("build", ["os", "o2"])
def test_system_calls_execute_what_is_counted_by_hand(
    name: MicroOperation, calls: int, instructions: int, build: str
) -> None:
    sheet = SHEET.with_values({"l4.build": build})
    config = MicroConfig(kind="micro", operation=name, iterations=200)
    one = Partition("one", (1, 1, 1), (False, False, False))
    outcome = micro.run(ResolvedRun(sheet, sheet, one, "l4-native", "l4-app", config, 1, 0))
    assert outcome.metrics["kernel_instructions_per_operation"] == instructions
    assert outcome.metrics["exits_per_operation"] == calls
    path = "irq.vmm_block_redispatch"
    cycles = instructions * Paths(sheet).cycles(path) / Paths(sheet).instructions(path)
    assert outcome.metrics["cycles_per_operation"] == pytest.approx(cycles, rel=0.002)


def test_another_space_needs_entries_of_its_own_once_and_drops_none() -> None:
    def main() -> Code:
        yield touches(40)
        for _ in range(50):
            yield SystemCall("call-other-space")
        yield touches(40)

    def alone() -> Code:
        yield touches(40)
        yield SystemCall("call-same-space")
        yield touches(40)

    pages = SHEET.integer("l4.native.partner_pages")
    assert count(run(main), "PPC_DTLB_MISS") == count(run(alone), "PPC_DTLB_MISS") + pages
    assert count(run(main), "SYSCALL_IPC") == 100


def test_the_fast_path_of_ipc_is_a_switch_of_threads() -> None:
    fast = SHEET.with_values({"l4.ipc.fast_path": True})

    def main() -> Code:
        yield SystemCall("call-same-space")

    (row,) = [row for row in run(main, fast).exits() if row.cause == "SYSCALL_IPC"]
    assert row.cycles_l4 == 2 * Paths(fast).cycles("irq.vmm_block_redispatch")


@pytest.mark.parametrize(("platform", "guest"), [("bare-metal", "cnk"), ("virtual-machine", "zeptoos")])
def test_only_a_program_of_the_microkernel_calls_it(platform: str, guest: str) -> None:
    workload = {"kind": "micro", "operation": "l4-call-same-space"}
    with pytest.raises(ExperimentError, match=f"under {guest}: only a program that runs on the microkernel"):
        plan.load(
            {
                "name": "n",
                "partition": {"topology": "pair"},
                "platforms": [platform],
                "guest": guest,
                "workload": workload,
            }
        )


def test_a_page_fault_is_a_message_to_the_pager_a_mapping_and_then_a_miss() -> None:
    config = MicroConfig(kind="micro", operation="page-fault-touch", iterations=100)
    one = Partition("one", (1, 1, 1), (False, False, False))
    outcome = micro.run(ResolvedRun(SHEET, SHEET, one, "l4-native", "l4-app", config, 1, 0))
    cpi = SHEET.quantity("l4.map_fpage_cpi").value
    own = ("l4.native.fault_instructions", "l4.native.pager_instructions", "l4.map_fpage_instructions")
    fault = sum(round(SHEET.integer(name) * cpi) for name in own) + Paths(SHEET).reply("ram_fault_map4m")
    each = fault + SHEET.cycles("vmm.tlb_miss_cycles")
    assert outcome.metrics["exits_per_operation"] == 2
    # Behind a page fault the VMM's lines of the mapping's reply may be fetched for the first time.
    assert each <= outcome.metrics["cycles_per_operation"] < each + 20

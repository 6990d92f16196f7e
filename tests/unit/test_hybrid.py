"""A guest's program that moves to a native library: the move counted by hand, and what stays in the guest."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import simpy

from bgsim.datasheet import Datasheet
from bgsim.guests.cnk import Cnk
from bgsim.guests.hybrid import move
from bgsim.guests.messaging import Messenger
from bgsim.hardware import dma_registers as reg
from bgsim.hardware.node import build_nodes
from bgsim.l4.hybrid import device_of
from bgsim.l4.vcpu import CROSSING
from bgsim.platforms.baremetal import BareMetal
from bgsim.platforms.hybrid import Hybrid, HybridDevices
from bgsim.platforms.seam import Code, Load, Move, Now, ReadDcr
from bgsim.platforms.virtualmachine import VirtualMachine
from bgsim.units import parse
from bgsim.workloads import dcmf
from bgsim.workloads.configs import DcmfConfig
from bgsim.workloads.detailed_job import Job, Process
from bgsim.workloads.outcome import Outcome
from bgsim.workloads.resolved import Partition, ResolvedRun
from bgsim.workloads.window import Window

SHEET = Datasheet.load()
PAIR = Partition("pair", (2, 1, 1), (False, False, False))
SYSTEM_CALL_EXITS = 10
"""The exception and nine privileged instructions of CNK's sequence."""

Program = Callable[[Cnk, Messenger, Callable[[], None]], Code]


def run(program: Program, platform: Any = Hybrid, machine: Datasheet = SHEET) -> tuple[Any, list[Window]]:
    """Run a CNK program with a messaging library on the first of two nodes; windows open where it says."""
    environment = simpy.Environment()
    node = build_nodes(environment, machine, (2, 1, 1), (False, False, False)).nodes[0]
    windows: list[Window] = []
    core: Any = None

    def main() -> Code:
        yield from program(guest, messenger, lambda: windows.append(Window(core, int(environment.now))))

    guest = Cnk(machine, main)
    messenger = Messenger(machine, guest, 0, (2, 1, 1), (False, False, False))
    core = platform(environment, machine, guest, node)
    environment.run(core.process)
    core.attribution()  # adds up
    return core, windows


def counts(window: Window) -> dict[str, int]:
    return {row["cause"]: row["count"] for row in window.exits()}


def put(platform: str, machine: Datasheet = SHEET, guest: str = "cnk") -> Outcome:
    """Blocking puts of 8 bytes between two neighbours."""
    config = DcmfConfig(kind="dcmf", operation="put", size=parse("8 B", "bytes"), messages=8, warmup=4)
    return dcmf.run(ResolvedRun(machine, machine, PAIR, platform, guest, config, 1, 0))


def chosen(**devices: str) -> Datasheet:
    return SHEET.with_values({f"hybrid.{name}": where for name, where in devices.items()})


def test_the_move_by_hand() -> None:
    """One message to the VMM; then the library sets the torus up, with no more of the guest in it."""

    def program(guest: Cnk, messenger: Messenger, look: Callable[[], None]) -> Code:
        yield from messenger.initialise()
        yield messenger.code.cycles(1000)
        yield Now()
        look()
        devices = yield from move(messenger)
        yield Now()
        assert devices == ("torus", "collective", "barrier")

    core, (window,) = run(program)
    # 12 injection FIFOs: read and write of the map and of the enable word. One reception FIFO: two words of
    # its map, and the enable word read and written.
    control_registers = 12 * 4 + 4
    assert {name: n for name, n in counts(window).items() if not name.endswith("TLB_MISS")} == {
        CROSSING: 1,
        "PPC_EXCEPT_PROG": control_registers,
    }
    devices = core.server.devices[core.vcpu]
    assert isinstance(devices, HybridDevices)
    assert devices.mappings == 512 // 4 + 4 + 1  # memory in 4 MiB, four groups of the torus, one channel
    cost = core.vcpu.account.causes[CROSSING]
    work = devices.mappings * SHEET.integer("l4.map_fpage_instructions")
    work += SHEET.integer("hybrid.move_instructions")
    paths = core.kernel.paths
    cpi = Fraction(SHEET.quantity("vmm.cpi").value)
    assert cost.cycles_vmm == paths.cycles("fwd_dcr.vmm") + work * cpi.numerator // cpi.denominator
    pass_through = SHEET.cycles(
        "vmm.dcr_pass_through_cycles"
    )  # the VMM leaves the first channel to the library
    messages = paths.cycles("mmio_load_bic_status.send") + paths.cycles("mmio_load_bic_status.reply")
    assert cost.cycles_l4 == messages + pass_through


def test_a_system_call_takes_the_program_there_and_back() -> None:
    """File access and whatever else needs the guest's kernel stays: two messages around each such call."""
    calls = 3

    def program(guest: Cnk, messenger: Messenger, look: Callable[[], None]) -> Code:
        yield from messenger.initialise()
        yield from move(messenger)
        yield from guest.system_call()  # touches what it needs for the first time
        yield Load(reg.BASE)
        yield Now()
        look()
        for _ in range(calls):
            yield from guest.system_call()
            yield Load(reg.BASE)
        yield Now()

    _, (window,) = run(program)
    seen = counts(window)
    assert seen.pop(CROSSING) == 2 * calls
    assert sum(seen.values()) == calls * SYSTEM_CALL_EXITS
    assert window.counters()["exits_ipc"] == 2 * calls


def test_each_device_is_where_it_was_put() -> None:
    everywhere = ("torus", "collective", "barrier")
    requests = {name: request for request in _requests() if (name := device_of(request))}
    assert set(requests) == set(everywhere)
    for name in everywhere:

        def program(guest: Cnk, messenger: Messenger, look: Callable[[], None], name: str = name) -> Code:
            moved = yield Move()
            assert set(moved) == set(everywhere) - {name}
            for other in everywhere:
                yield requests[other]
            yield Now()

        core, _ = run(program, machine=chosen(**{name: "vm"}))
        causes = {row.cause: row.count for row in core.exits()}
        # There, to the device left behind and, unless that is the last one, to the next that has moved.
        assert causes[CROSSING] == {"torus": 3, "collective": 3, "barrier": 2}[name]
        forwarded = "PPC_HVM_EXCEPT_PROG_DCR" if name == "barrier" else "PPC_HVM_DTLB_MISS_DEVICE"
        assert causes[forwarded] == 1


def _requests() -> tuple[Load | ReadDcr, ...]:
    from bgsim.hardware import barrier_device, collective_device

    status = collective_device.BASES[0] + collective_device.Register.STATUS
    files = collective_device.BASES[1] + collective_device.Register.STATUS
    assert device_of(Load(files)) is None  # file access is on the second channel
    return (Load(reg.BASE), Load(status), ReadDcr(barrier_device.DCR_BASE))


def test_a_put_beside_the_guest_is_a_put_on_the_bare_machine() -> None:
    hybrid, bare = put("hybrid"), put("bare-metal")
    assert hybrid.metrics["latency_us"] == bare.metrics["latency_us"]
    assert hybrid.metrics["exits_total"] == 3  # the library's pages, first touched
    assert hybrid.metrics["exits_ipc"] == 0
    moved = hybrid.details["moved"]
    assert isinstance(moved, dict)
    assert moved["devices"] == ["torus", "collective", "barrier"]
    assert moved["move_us"] == pytest.approx(584.3, abs=1)  # of which 133 mappings take 520
    assert "moved" not in bare.details


def test_a_torus_that_stays_costs_what_it_costs_in_a_virtual_machine() -> None:
    left, virtual = put("hybrid", chosen(torus="vm")), put("virtual-machine")
    ipc = left.metrics["exits_ipc"] - virtual.metrics["exits_ipc"]
    assert ipc == 1  # back into the guest, for good
    assert left.metrics["operation_us_min"] == pytest.approx(virtual.metrics["operation_us_min"], rel=0.002)


def test_a_program_that_does_not_ask_runs_as_in_any_virtual_machine() -> None:
    def program(guest: Cnk, messenger: Messenger, look: Callable[[], None]) -> Code:
        yield from messenger.initialise()
        yield from guest.system_call()
        yield messenger.code.cycles(5_000_000)
        yield Load(reg.BASE)
        yield Now()

    (hybrid, _), (virtual, _) = (run(program, platform) for platform in (Hybrid, VirtualMachine))
    assert hybrid.exits() == virtual.exits()
    assert hybrid.attribution() == virtual.attribution()


@pytest.mark.parametrize("platform", [BareMetal, VirtualMachine])
def test_where_there_is_nothing_to_move_to_nothing_happens(platform: Any) -> None:
    def program(guest: Cnk, messenger: Messenger, look: Callable[[], None]) -> Code:
        begun = yield Now()
        assert (yield from move(messenger)) == ()
        assert (yield Now()) == begun

    run(program, platform)


def test_the_guests_timer_waits_until_the_program_is_back() -> None:
    outcome = put("hybrid", guest="zeptoos-bigmemory")
    assert outcome.metrics["exits_ipc"] == 0
    assert "PPC_HVM_EMUL_RFI" not in {row["cause"] for row in outcome.exits}


@pytest.mark.parametrize("collective", ["native", "vm"])
def test_collective_operations_between_two_nodes(collective: str) -> None:
    times: list[int] = []

    def program(process: Process) -> Code:
        for _ in range(8):
            begun = yield Now()
            yield from process.collectives.allreduce(8)
            times.append((yield Now()) - begun)

    machine = chosen(collective=collective)
    found = {}
    for platform in ("hybrid", "bare-metal" if collective == "native" else "virtual-machine"):
        times.clear()
        job = Job(machine, platform, PAIR, program)
        job.run()
        found[platform] = sum(times[-8:]) / 8  # of both nodes, when they have fallen into step
    one, other = found.values()
    assert one == pytest.approx(other, rel=0.05)  # ticks

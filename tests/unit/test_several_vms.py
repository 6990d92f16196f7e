"""Several virtual machines on a node: slices, flushes, placement, messages between cores, isolation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import simpy

from bgsim.datasheet import Datasheet
from bgsim.guests.cnk import Cnk
from bgsim.guests.kittyhawk import KittyhawkLinux
from bgsim.hardware import bic as bic_registers
from bgsim.hardware import collective_device as collective
from bgsim.hardware import dma_registers as reg
from bgsim.hardware.bic import GroupRegister, group_register, interrupt_bit, target
from bgsim.hardware.dma_descriptor import Descriptor, Transfer
from bgsim.hardware.dma_registers import FifoRegister, Interrupt
from bgsim.hardware.node import Node, build_nodes
from bgsim.hardware.tlb import Tlb, TlbEntry
from bgsim.l4.remote import REMOTE_IPC
from bgsim.l4.residency import VM_SWITCH
from bgsim.l4.vtlb import GUEST_SPACE
from bgsim.platforms import layout
from bgsim.platforms.baremetal import BareMetal
from bgsim.platforms.seam import (
    Code,
    GuestDiedError,
    Load,
    MachineCheckError,
    Now,
    ReadMemory,
    Run,
    Store,
    Wait,
    WriteMemory,
)
from bgsim.platforms.virtual_node import VirtualNode, VirtualNodeError, VmSettings, split_memory
from bgsim.platforms.virtualmachine import VirtualMachine
from bgsim.profiles import program as ops
from bgsim.profiles.program import kernel_program, operation
from bgsim.workloads.neighbours_programs import packets

MACHINE = Datasheet.load()
SMP = MACHINE.with_values({"l4.smp": True})
TICK = MACHINE.cycles("l4.tick")
SLICE_TICKS = 6
"""Ticks of 1.953 ms until 10 ms are used up."""
MIB = 1 << 20
Main = Callable[[], Code]


def turn(touched: int = 3, instructions: int = 200_000) -> Run:
    """Computation that touches so many MiB of the guest's static memory."""
    words = [operation(ops.LOWMEM_INSTRUCTION, 16)]
    words += [operation(ops.LOWMEM_DATA, 16 + number) for number in range(1, touched)]
    return Run(kernel_program("turn", [*words, operation(ops.WORK_USER, instructions)]))


def computing(turns: int, touched: int = 3) -> Main:
    def main() -> Code:
        for _ in range(turns):
            yield turn(touched)

    return main


def cnk(main: Main, machine: Datasheet = MACHINE) -> Cnk:
    return Cnk(machine, main)


def built(
    machine: Datasheet, settings: Sequence[VmSettings], shape: tuple[int, int, int] = (1, 1, 1)
) -> tuple[simpy.Environment, dict[int, Node], VirtualNode]:
    environment = simpy.Environment()
    nodes = build_nodes(environment, machine, shape, (False, False, False)).nodes
    return environment, nodes, VirtualNode(environment, machine, nodes[0], settings)


def run(machine: Datasheet, *settings: VmSettings) -> VirtualNode:
    environment, _, node = built(machine, settings)
    environment.run(node.process)
    return node


# -- slices ------------------------------------------------------------------------------------------


def test_equal_virtual_machines_take_turns_of_six_ticks() -> None:
    environment, _, node = built(MACHINE, [VmSettings(cnk(computing(600))) for _ in range(2)])
    turns = 10
    environment.run(turns * SLICE_TICKS * TICK + TICK // 2)
    assert node.kernels[0].residency.switches == turns
    held = [machine.held_cycles() for machine in node.machines]
    assert sum(held) == int(environment.now)
    assert held[0] - held[1] == pytest.approx(TICK // 2, abs=TICK // 100)


def test_every_cycle_of_each_virtual_machine_has_a_cause() -> None:
    guests = [KittyhawkLinux(MACHINE, kernel_program("p", []), computing(120)) for _ in range(3)]
    node = run(MACHINE, *[VmSettings(guest) for guest in guests])
    elapsed = node.kernels[0].ended
    own = 0
    for machine in node.machines:
        attribution = machine.attribution()
        assert sum(attribution.values()) == elapsed
        assert min(attribution.values()) >= 0
        own += elapsed - attribution["other_vms"]
        switches = machine.vcpu.account.causes[VM_SWITCH].count
        assert switches == machine.vcpu.account.entered > 0
        assert machine.counters()["timer_interrupts"] > 10
    assert own == elapsed


def test_with_a_kernel_that_costs_nothing_each_has_its_native_time(free_machine: Datasheet) -> None:
    costs = ("l4.vm_switch.dcache_lines", "l4.icache.switch_lines", "l4.fpu_switch_cycles")
    free = free_machine.with_values(dict.fromkeys(costs, 0))
    native: list[int] = []

    def main() -> Code:
        yield from computing(120)()
        native.append((yield Now()))

    environment = simpy.Environment()
    bare = build_nodes(environment, free, (1, 1, 1), (False, False, False)).nodes[0]
    environment.run(BareMetal(environment, free, cnk(main, free), bare).process)
    node = run(free, *[VmSettings(cnk(computing(120), free)) for _ in range(3)])
    assert [machine.held_cycles() for machine in node.machines] == native * 3
    assert node.kernels[0].residency.switches > 6


def test_an_idle_guest_spins_its_slices_away() -> None:
    def idle() -> Code:
        while True:
            yield Wait()

    environment, _, node = built(MACHINE, [VmSettings(cnk(computing(100))), VmSettings(cnk(idle))])
    busy, lazy = node.machines
    while not busy.finished():
        environment.step()
    assert busy.held_cycles() / int(environment.now) == pytest.approx(0.5, abs=0.05)
    assert lazy.vcpu.account.idle_cycles > 0.95 * lazy.held_cycles()


def test_a_higher_priority_never_leaves_the_core() -> None:
    high, low = VmSettings(cnk(computing(60)), priority=11), VmSettings(cnk(computing(1)))
    environment, _, node = built(MACHINE, [low, high])
    while not node.machines[1].finished():
        environment.step()
    assert not node.machines[0].finished()
    assert node.kernels[0].residency.switches <= 2
    environment.run(node.process)
    assert node.machines[0].finished()


def test_who_has_the_vmm_at_work_at_the_end_of_a_slice_goes_on_with_another() -> None:
    """As the round-robin source has it; a scheduler that is strict about slices shares evenly."""

    def reading() -> Code:
        while True:
            yield Load(bic_registers.BASE)

    shares = []
    for strict in (False, True):
        machine = MACHINE.with_values({"l4.strict_slices": strict})
        environment, _, node = built(machine, [VmSettings(cnk(computing(240))), VmSettings(cnk(reading))])
        while not node.machines[0].finished():
            environment.step()
        shares.append(node.machines[0].held_cycles() / int(environment.now))
    assert shares[0] < 0.35
    assert shares[1] == pytest.approx(0.5, abs=0.06)


# -- the hardware TLB ----------------------------------------------------------------------------------


@pytest.mark.parametrize("touched", [2, 20])
def test_a_switch_drops_the_other_guests_entries_and_no_others(touched: int) -> None:
    plain = computing(120, touched)

    def main() -> Code:
        yield Load(bic_registers.BASE)  # brings the VMM's own pages in
        yield from plain()

    node = run(MACHINE, *[VmSettings(cnk(main)) for _ in range(2)])
    residency = node.kernels[0].residency
    # The interrupt controller's page is no entry of the guest's: every access to it leaves.
    assert residency.entries_flushed == touched * residency.switches
    for machine in node.machines:
        account, count = machine.vcpu.account, machine.processor.state.count
        first = machine is node.machines[0]
        # Loaded when first touched, and after each time the space was entered again.
        assert int(count[layout.COUNT_INSERT]) == touched * (account.entered + first)
    assert node.machines[0].server.tlb_misses == MACHINE.integer("vmm.tlb_pages")


def test_handing_the_core_over_is_a_scan_of_the_readable_tlb() -> None:
    environment, _, node = built(MACHINE, [VmSettings(cnk(computing(120, 25))) for _ in range(2)])
    environment.run(TICK)
    before, after = (machine.processor for machine in node.machines)
    before.touch_foreign(4)
    keys = before.state.entry[layout.HARDWARE_KEY, : before.hardware_entries].tolist()
    readable = Tlb(len(keys))
    for slot, key in enumerate(keys):
        if key != layout.NO_KEY:
            space = GUEST_SPACE if key >= 0 else 0
            readable.entries[slot] = TlbEntry(abs(key), 1, space)
    expected = readable.valid, readable.invalidate_range(GUEST_SPACE, 0, 1 << 62)
    assert before.hand_core_over(after) == expected == (29, 25)
    left = after.state.entry[layout.HARDWARE_KEY, : len(keys)].tolist()
    assert [key != layout.NO_KEY for key in left] == [entry is not None for entry in readable.entries]
    assert after.touch_foreign(4) == 0
    assert (before.state.slot[layout.HARDWARE_SLOT] == -1).all()


def test_one_virtual_machine_is_never_flushed() -> None:
    node = run(MACHINE, VmSettings(cnk(computing(60))))
    assert node.kernels[0].residency.switches == 0
    assert VM_SWITCH not in node.machines[0].vcpu.account.causes


# -- cores -------------------------------------------------------------------------------------------


def test_on_cores_of_their_own_they_take_what_they_take_alone() -> None:
    ended: list[int] = []

    def main() -> Code:
        yield from computing(60)()
        ended.append((yield Now()))

    run(SMP, VmSettings(cnk(main), core=2, memory_bytes=256 * MIB))
    together = run(SMP, *[VmSettings(cnk(main), core=core) for core in (2, 0, 1, 3)])
    assert len(ended) == 5
    assert len(set(ended)) == 1
    assert together.remote is not None
    assert together.remote.messages == 0


def test_a_kernel_for_one_core_has_one() -> None:
    with pytest.raises(VirtualNodeError, match=r"core 1 needs .* set machine.set.l4.smp to true"):
        built(MACHINE, [VmSettings(cnk(computing(1)), core=1)])
    with pytest.raises(VirtualNodeError, match="there is no core 4"):
        built(SMP, [VmSettings(cnk(computing(1)), core=4)])


@pytest.mark.parametrize("flag", ["vmm.pass_through", "vmm.own_core"])
def test_cures_for_one_guest_are_refused_for_two(flag: str) -> None:
    machine = MACHINE.with_values({flag: True})
    with pytest.raises(VirtualNodeError, match=flag):
        built(machine, [VmSettings(cnk(computing(1))), VmSettings(cnk(computing(1)))])


# -- interrupts ---------------------------------------------------------------------------------------

IRQ = int(Interrupt.RECEPTION_FIFO_THRESHOLD)


class Listener:
    """A guest that takes one interrupt, and clears it."""

    def __init__(self, machine: Datasheet, number: int = IRQ) -> None:
        self.number = number
        self.taken = 0
        self.guest = KittyhawkLinux(
            machine, kernel_program("p", []), self.main, external_interrupt=self.handler, timer=False
        )

    def main(self) -> Code:
        """Direct the interrupt to the virtual core, and wait for it."""
        word = 0
        for nibble in range(8):
            word = word << 4 | (target(0) if nibble == self.number % 8 else 0)
        offset = group_register(self.number, GroupRegister.TARGET, (self.number & 31) // 8)
        yield Store(bic_registers.BASE + offset, word)
        for _ in range(400):
            yield turn()

    def handler(self) -> Code:
        """Clear it."""
        self.taken += 1
        offset = group_register(self.number, GroupRegister.STATUS_CLEAR)
        yield Store(bic_registers.BASE + offset, interrupt_bit(self.number))


@pytest.mark.parametrize(("fan_out", "taken"), [(False, [1, 0]), (True, [1, 1])])
def test_torus_interrupts_reach_the_first_or_all(fan_out: bool, taken: list[int]) -> None:
    machine = MACHINE.with_values({"vmm.torus_fan_out": fan_out})
    listeners = [Listener(machine), Listener(machine)]
    environment, nodes, node = built(machine, [VmSettings(each.guest) for each in listeners])
    environment.run(3 * SLICE_TICKS * TICK)
    nodes[0].bic.raise_interrupt(IRQ)
    environment.run(7 * SLICE_TICKS * TICK)
    assert [each.taken for each in listeners] == taken
    assert not node.kernels[0].masks(IRQ)


def test_a_message_between_cores_is_three_interrupts() -> None:
    machine = SMP.with_values({"vmm.torus_fan_out": True})
    other = Listener(machine)
    settings = [VmSettings(cnk(computing(600)), core=0), VmSettings(other.guest, core=1)]
    environment, nodes, node = built(machine, settings)
    remote = node.remote
    assert remote is not None
    environment.run(2 * TICK)
    nodes[0].bic.raise_interrupt(IRQ)
    environment.run(4 * TICK)  # the guest is told of an event at an exit or a tick
    # A kick of the other core's VMM thread, and its acknowledgement to the core that keeps interrupts masked.
    assert other.taken == 1
    assert remote.messages == 2
    assert remote.interrupts == {0: 1 + 2, 1: 2 + 1}
    assert not node.kernels[0].masks(IRQ)
    counts = [each.vcpu.account.causes[REMOTE_IPC].count for each in node.machines]
    assert counts == [1, 1]


def test_collective_packets_are_drained_once_and_queued_for_all() -> None:
    settings = [VmSettings(cnk(computing(600))), VmSettings(cnk(computing(600)))]
    environment, nodes, node = built(MACHINE, settings, (2, 1, 1))
    environment.process(packets(nodes[1], 0, TICK // 3))
    environment.run(2 * TICK)
    first, second = (node.devices_of(machine).collective for machine in node.machines)
    assert first is not None
    assert second is not None
    assert first.packets_received == second.packets_received == 5
    hardware = nodes[0].collective
    assert hardware is not None
    assert nodes[0].bus.load(collective.BASES[0] + collective.Register.STATUS) & 0xF == 0
    # All of it is charged to who was running.
    causes = [machine.vcpu.account.causes for machine in node.machines]
    assert causes[0]["PPC_HVM_EXCEPT_EXTERNAL"].count == 5
    assert "PPC_HVM_EXCEPT_EXTERNAL" not in causes[1]


# -- isolation ----------------------------------------------------------------------------------------

RING = 0x10_0000


def ring(register: FifoRegister) -> int:
    return reg.group_address(reg.KERNEL_GROUP, reg.injection_fifo(reg.KERNEL_INJECTION_FIFO, register))


def test_a_forbidden_descriptor_is_denied_and_raises_the_fatal_interrupt() -> None:
    listener = Listener(MACHINE, int(Interrupt.FATAL))
    seen: list[int] = []

    def main() -> Code:
        for register, value in (
            (FifoRegister.START, RING >> 4),
            (FifoRegister.END, (RING >> 4) + 16),
            (FifoRegister.HEAD, RING >> 4),
            (FifoRegister.TAIL, RING >> 4),
        ):
            yield Store(ring(register), value)
        for slot, destination in enumerate((0, 1)):
            yield WriteMemory(RING + 32 * slot, Descriptor(Transfer.MEMORY_FIFO, destination, 64))
        yield from listener.main()

    def posting() -> Code:
        yield from main()
        for tail in (2, 4):  # the first one is allowed, the second is not
            yield Store(ring(FifoRegister.TAIL), (RING >> 4) + tail)
            seen.append((yield Load(ring(FifoRegister.TAIL))) - (RING >> 4))

    guest = KittyhawkLinux(
        MACHINE, kernel_program("p", []), posting, external_interrupt=listener.handler, timer=False
    )
    settings = [VmSettings(guest, destinations=frozenset({0})), VmSettings(cnk(computing(10)))]
    environment, nodes, node = built(MACHINE, settings, (2, 1, 1))
    environment.run(node.process)
    torus = node.devices_of(node.machines[0]).torus
    assert seen == [2, 2]
    assert (torus.descriptors_copied, torus.descriptors_denied) == (2, 1)
    assert nodes[0].bus.load(ring(FifoRegister.TAIL)) == nodes[0].bus.load(ring(FifoRegister.START)) + 2
    assert listener.taken == 1
    assert node.machines[1].counters()["external_interrupts"] == 0


def test_memory_beyond_the_segment_is_a_machine_check() -> None:
    found: list[int] = []

    def careful() -> Code:
        for request in (
            Run(kernel_program("beyond", [operation(ops.LOWMEM_DATA, 65)])),
            ReadMemory(64 * MIB),
            WriteMemory(-16, None),
        ):
            try:
                yield request
            except MachineCheckError as error:
                found.append(error.address)
        yield turn()
        yield ReadMemory(64 * MIB - 16)

    def careless() -> Code:
        yield ReadMemory(64 * MIB)
        raise AssertionError("the guest is dead")

    settings = [VmSettings(cnk(main), memory_bytes=64 * MIB) for main in (careful, careless, computing(60))]
    environment, _, node = built(MACHINE, settings)
    node.machines[1].process.defused = True
    environment.run(node.process)
    assert found == [65 * MIB, 64 * MIB, -MIB]
    assert [machine.processor.machine_checks for machine in node.machines] == [3, 1, 0]
    assert [machine.processor.died_of is not None for machine in node.machines] == [False, True, False]
    assert node.machines[0].vcpu.account.causes["PPC_HVM_EXCEPT_MCHECK"].count == 3


def test_a_guest_that_dies_ends_the_simulation_and_says_what_it_lacked() -> None:
    def careless() -> Code:
        yield ReadMemory(64 * MIB)

    settings = [VmSettings(cnk(main), memory_bytes=64 * MIB) for main in (computing(60), careless)]
    with pytest.raises(
        GuestDiedError, match=r"vcpu1 died .* 0x4000000, .* has 64 MiB; set workload\.memory, .* 65 MiB"
    ):
        run(MACHINE, *settings)
    environment = simpy.Environment()
    node = build_nodes(environment, MACHINE, (1, 1, 1), (False, False, False)).nodes[0]
    alone = VirtualMachine(environment, MACHINE, cnk(careless), node, 64 * MIB)
    with pytest.raises(GuestDiedError, match=r"vcpu0 died .* 64 MiB; set machine\.set\.vmm\.vm_memory"):
        environment.run(alone.process)


def test_what_one_writes_to_memory_no_other_finds() -> None:
    found: list[object] = []

    def writes() -> Code:
        for address in (0, 64 * MIB - 16):
            yield WriteMemory(address, "mine")

    def reads() -> Code:
        yield turn()
        found.append((yield ReadMemory(0)))
        found.append((yield ReadMemory(64 * MIB - 16)))

    run(MACHINE, *[VmSettings(cnk(main), memory_bytes=64 * MIB) for main in (reads, writes, reads)])
    assert found == [None] * 4


def test_memory_is_split_evenly_in_whole_mappings() -> None:
    base = MACHINE.integer("vmm.vm_base")
    assert split_memory(MACHINE, [None, None]) == [(base, 512 * MIB), (base + 512 * MIB, 512 * MIB)]
    sizes = [size // MIB for _, size in split_memory(MACHINE, [None, 256 * MIB, None, None])]
    assert sizes == [256, 256, 256, 256]
    assert [size // MIB for _, size in split_memory(MACHINE, [None] * 3)] == [340, 340, 340]
    for wrong, said in (
        ([3 * MIB], "no multiple of 4 MiB"),
        ([1024 * MIB, None], "and 1 more want a share"),
        ([600 * MIB, 600 * MIB], "want 1200 MiB"),
    ):
        with pytest.raises(VirtualNodeError, match=said):
            split_memory(MACHINE, wrong)

"""Every cure changes a mechanism: what is executed and how often, counted by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
import pytest

from bgsim import cures
from bgsim.datasheet import Datasheet
from bgsim.guests.linux import SEQUENCES
from bgsim.l4.emulation import Emulation
from bgsim.l4.paths import Paths
from bgsim.platforms import layout
from bgsim.platforms.accounting import Accounting
from bgsim.platforms.prices import native_tables, virtual_tables
from bgsim.platforms.walk import walk
from bgsim.profiles import program as ops
from bgsim.profiles.program import Program, operation
from bgsim.workloads.configs import MicroConfig
from bgsim.workloads.micro import priced_by_instructions
from bgsim.workloads.micro import run as run_micro
from bgsim.workloads.resolved import Partition, ResolvedRun

GUEST_ENTRIES, PINS = 64, 2


def machine(*names: str) -> Datasheet:
    """The machine with some cures."""
    assert not list(cures.problems(names))
    return Datasheet.load().with_values(cures.settings(names))


def circle(pages: int, passes: int) -> list[int]:
    """References to one page after another, round and round."""
    return [operation(ops.DATA, key) for _ in range(passes) for key in range(pages)]


def program_of(words: Sequence[int], pids: Sequence[int], executable: bool = True) -> Program:
    """A program over one page per entry of ``pids``; its page tables are all in MiB 0."""
    pages = len(pids)
    zeros = np.zeros(pages, dtype=np.uint8)
    return Program(
        name="generated",
        operations=np.array(words, dtype=np.uint32),
        key_page=np.arange(pages, dtype=np.uint32) + 0x10000,
        key_pid=np.array(pids, dtype=np.uint8),
        key_executable=np.full(pages, executable),
        key_kernel=np.zeros(pages, dtype=np.bool_),
        key_directory=zeros,
        key_table=zeros,
        key_thread=zeros,
        instructions=0,
        instructions_removed=0,
    )


class Counted:
    """Exits by the kernel's counter and counts of the walk over the second half of a program."""

    def __init__(self, sheet: Datasheet, program: Program, virtual: bool = True) -> None:
        hardware = sheet.integer("tlb.entries") - sheet.integer("l4.tlb.pinned_entries")
        if virtual:
            self.tables = virtual_tables(sheet, SEQUENCES, Fraction(0), Fraction(0), hardware)
        else:
            self.tables = native_tables(sheet, SEQUENCES, Fraction(0))
        self.tables.price[layout.HANDLER_AT + 1] = 0  # the handler's index in the MiB of everything else
        state = layout.new_state(program.keys, GUEST_ENTRIES, PINS, hardware, len(SEQUENCES))
        state.entry[layout.MAPPED] = 1
        state.register[layout.DEADLINE] = 1 << 62
        accounting = Accounting(sheet, SEQUENCES, virtual)
        facts = layout.page_facts(program)
        taken = []
        for end in (len(program.operations) // 2, len(program.operations)):
            walk(program.operations, facts, self.tables, state, end)
            taken.append((accounting.counts(state), state.count.copy(), int(state.register[layout.NOW])))
            assert sum(accounting.cycles(state).values()) == taken[-1][2]
        (exits, count, now), (exits_after, count_after, now_after) = taken
        self.exits: Mapping[str, int] = {name: exits_after[name] - exits.get(name, 0) for name in exits_after}
        self.count = count_after - count
        self.cycles = now_after - now

    @property
    def total(self) -> int:
        return sum(self.exits.values())


REFILLS = 20 * 70


def refills(*names: str) -> Counted:
    """Twenty rounds over 70 pages, more than the guest's TLB holds: every reference is a refill.

    The hardware TLB holds all the guest's entries, so that the kernel's own page stays in it.
    """
    roomy = machine(*names).with_values({"tlb.entries": 72})
    return Counted(roomy, program_of(circle(70, 40), [0] * 70))


def test_a_refill_of_the_real_kernel_is_eighteen_exits() -> None:
    found = refills()
    assert {name: exits / REFILLS for name, exits in found.exits.items() if exits} == {
        "PPC_HVM_DTLB_MISS": 2,
        "PPC_HVM_EMUL_MTSPR": 6,
        "PPC_HVM_EMUL_MFSPR": 6,
        "PPC_HVM_EMUL_TLBWE": 3,
        "PPC_HVM_EMUL_RFI": 1,
    }


def test_batches_make_nine_traps_of_sixteen() -> None:
    """SPRG0 1 4 5 | SPRG7 DEAR | SPRG3 | MMUCR PID | MMUCR | XLAT | PAGEID | ATTRIB | SPRG1 0 rfi."""
    found = refills("batch-emulation")
    assert found.total == (2 + 9) * REFILLS
    assert found.count[layout.COUNT_GUEST_MISS_D] == REFILLS


@pytest.mark.parametrize(
    ("sequences", "alone", "batched"),
    [
        (("tlb_save_user", "tlb_walk_user", "tlb_restore"), 15, 8),
        (("tlb_save_kernel", "tlb_walk_kernel", "tlb_restore"), 13, 7),
        (("system_call",), 17, 12),
        (("tlbie",), 5, 3),
        (("irq_pair",), 3, 2),
        (("timer_tick",), 19, 15),
    ],
)
def test_traps_of_sequences(sequences: tuple[str, ...], alone: int, batched: int) -> None:
    """The tlbwe that scans and the tlbsx stand outside their sequences."""
    chosen = [sequence for sequence in SEQUENCES if sequence.name in sequences]
    for sheet, expected in ((machine(), alone), (machine("batch-emulation"), batched)):
        emulation = Emulation(sheet, Paths(sheet))
        assert sum(step.trap for sequence in chosen for step in emulation.steps(sequence)) == expected


def test_a_batch_ends_at_its_limit() -> None:
    """With one further instruction a run of four is two traps."""
    sheet = Datasheet.load().with_values({"l4.emulation.further_instructions": 1})
    save = SEQUENCES[layout.SEQ_REFILL_SAVE_KERNEL]
    traps = [step.trap for step in Emulation(sheet, Paths(sheet)).steps(save)]
    assert traps == [True, False, True, False, True, False]


def test_a_batch_saves_what_a_trap_has_once_and_pays_for_looking_ahead() -> None:
    """SPRG1, SPRG0 and rfi to user mode in one trap: no probe, for the guest's kernel has ended."""
    sheet = priced_by_instructions(machine("batch-emulation"))
    plain = priced_by_instructions(machine())
    back = SEQUENCES[layout.SEQ_REFILL_RETURN]
    batched = sum(step.cycles for step in Emulation(sheet, Paths(sheet)).steps(back))
    alone = sum(step.cycles for step in Emulation(plain, Paths(plain)).steps(back))
    assert alone == 337 + 337 + 311
    assert alone - batched == 2 * (74 + 75 - 12)


def test_tlbsx_is_emulated_in_the_trap_before_it() -> None:
    words = circle(10, 1) + [operation(ops.TLBIE, key) for key in range(10)]
    program = program_of(words * 2, [0] * 10)
    assert Counted(machine(), program).exits["PPC_HVM_EMUL_TLBSX"] == 10
    assert Counted(machine("batch-emulation"), program).exits["PPC_HVM_EMUL_TLBSX"] == 0


def test_an_entry_loaded_at_its_write_is_not_missed_again() -> None:
    found = refills("load-at-write")
    assert found.exits["PPC_HVM_DTLB_MISS"] == REFILLS
    assert found.total == 17 * REFILLS
    assert found.count[layout.COUNT_INSERT] == found.count[layout.COUNT_WRITE_INSERT] == REFILLS


def test_a_hash_takes_the_same_time_for_every_entry() -> None:
    tables = refills("hashed-vtlb").tables
    assert all(len(set(row)) == 1 for row in tables.scan[: layout.SCANS].tolist())
    assert refills("hashed-vtlb").total == refills().total
    plain = Paths(priced_by_instructions(machine()))
    hashed = Paths(priced_by_instructions(machine("hashed-vtlb")))
    assert plain.reflect_by_valid(False, 64)[64] == 2436
    assert hashed.reflect_by_valid(False, 64)[64] == 2436 - 64 * 35 + 30


def test_the_release_build_runs_the_paths_compiled_for_speed() -> None:
    assert Paths(machine("release-build")).instructions("dtlb_miss_reflect") == 1726


def test_a_kept_instruction_cache_is_emptied_at_pid_writes_only() -> None:
    assert refills().count[layout.COUNT_INSERT_EXECUTABLE] == REFILLS
    kept = refills("keep-icache")
    assert kept.count[layout.COUNT_INSERT_EXECUTABLE] == kept.count[layout.COUNT_ICACHE_SWITCH] == 0
    assert kept.count[layout.COUNT_LINES_KERNEL] == 0, "the guest runs nothing that would push lines out"
    words = [operation(ops.PID, 1 + number % 2) for number in range(20)]
    switches = program_of(words, [1, 2])
    found = Counted(machine("keep-icache"), switches).count
    assert found[layout.COUNT_ICACHE_SWITCH] == 10
    tagged = Counted(machine("keep-icache", "guest-pid-tags"), switches).count
    assert tagged[layout.COUNT_ICACHE_SWITCH] == 0


def test_kernel_lines_in_a_kept_cache_get_old() -> None:
    """A guest that brings in 1,024 lines pushes out every kernel line: first in, first out."""
    misses_per_kiloinstruction = 6.56
    enough = round(1024 / misses_per_kiloinstruction * 1000) + 1000
    for instructions, refetches in ((enough // 2, False), (enough, True)):
        turn = [operation(ops.WORK_USER, instructions), operation(ops.ENTER, ops.EXCEPTION_SYSCALL)]
        found = Counted(machine("keep-icache"), program_of(turn * 2, [0]))
        assert bool(found.count[layout.COUNT_LINES_KERNEL]) == refetches


@pytest.mark.parametrize(("cure", "entries"), [(None, 64), ("host-pages-16m", 4), ("host-pages-256m", 1)])
def test_larger_host_pages_keep_the_kernel_in_fewer_entries(cure: str | None, entries: int) -> None:
    words = [operation(ops.PID, 1)] + [operation(ops.LOWMEM_DATA, mib) for mib in range(64)]
    found = Counted(machine(*([cure] if cure else [])), program_of(words * 2, [0]))
    assert found.count[layout.COUNT_INSERT_KERNEL] == entries


def ping_pong() -> Program:
    """Two processes of five pages each that take turns."""
    words = []
    for turn in range(20):
        first = 5 * (turn % 2)
        words.append(operation(ops.PID, 1 + turn % 2))
        words += [operation(ops.DATA, first + page) for page in range(5)]
    return program_of(words, [1] * 5 + [2] * 5)


def test_tagged_entries_survive_a_process_switch() -> None:
    assert Counted(machine(), ping_pong()).count[layout.COUNT_INSERT] == 50
    tagged = Counted(machine("guest-pid-tags"), ping_pong())
    assert tagged.count[layout.COUNT_INSERT] == tagged.count[layout.COUNT_FLUSH_ALL] == 0
    assert tagged.exits["PPC_HVM_EMUL_MTSPR"] == 2 * 10, "SPRG3 and PID: each is a trap as before"


def test_a_larger_hardware_tlb_ends_capacity_misses() -> None:
    """62 pages fit the guest's TLB but not 60 hardware entries, which are replaced in turn."""
    program = program_of(circle(62, 4), [0] * 62)
    assert Counted(machine(), program).exits["PPC_HVM_DTLB_MISS"] == 2 * 62
    assert Counted(machine("tlb-128"), program).exits["PPC_HVM_DTLB_MISS"] == 0


def test_paravirtual_calls() -> None:
    """A refill writes its entry in one trap; a page and all pages are invalidated in one."""
    assert refills("paravirtual-tlb").total == 16 * REFILLS
    page = program_of([operation(ops.DATA, 0), operation(ops.TLBIE, 0)] * 2, [0])
    everything = program_of([operation(ops.DATA, 0), operation(ops.TLBIA)] * 2, [0])
    for program, real, cured in ((page, 18 + 7, 16 + 1), (everything, 18 + 62, 16 + 1)):
        assert Counted(machine(), program).total == real
        assert Counted(machine("paravirtual-tlb"), program).total == cured
    assert Counted(machine("paravirtual-tlb"), everything).exits["PPC_HVM_HYPERCALL"] == 1


def test_a_light_stub_moves_fewer_words_at_each_miss() -> None:
    words = (38 - 17) * 2
    assert refills().cycles - refills("light-miss-stub").cycles == words * 2 * REFILLS


def test_a_page_table_walker_leaves_no_refill() -> None:
    """The kernel fills its shadow table at the first touch of a page; after that nobody leaves the guest."""
    program = program_of(circle(70, 40), [0] * 70)
    walked = Counted(machine("hardware-page-walk"), program)
    assert walked.total == walked.count[layout.COUNT_GUEST_MISS_D] == 0
    assert walked.count[layout.COUNT_TABLE_WALK] == REFILLS
    first = Counted(machine("hardware-page-walk"), program_of(circle(70, 1) * 2, [0] * 70))
    assert first.count[layout.COUNT_SHADOW_FILL] == 0
    native = Counted(machine("hardware-page-walk"), program, virtual=False)
    assert native.count[layout.COUNT_TABLE_WALK] == REFILLS
    assert native.cycles == REFILLS * machine().cycles("tlb.walk_cycles")


def test_invalidations_trap_where_the_guest_walks_a_shadow() -> None:
    program = program_of([operation(ops.DATA, 0), operation(ops.TLBIE, 0)] * 2, [0])
    shadow = Counted(machine("hardware-page-walk"), program)
    assert shadow.total == 1 + 1, "filling the shadow again, and the invalidation"
    nested = Counted(machine("hardware-page-walk", "nested-translation"), program)
    assert nested.total == 1
    both = Counted(machine("hardware-page-walk", "nested-translation", "hypervisor-mode"), program)
    assert both.total == 0


def test_registers_of_its_own_leave_the_misses_and_the_tlb_writes() -> None:
    found = refills("hypervisor-mode")
    assert {name: exits / REFILLS for name, exits in found.exits.items() if exits} == {
        "PPC_HVM_DTLB_MISS": 2,
        "PPC_HVM_EMUL_TLBWE": 3,
    }
    calls = program_of([operation(ops.ENTER, ops.EXCEPTION_SYSCALL)] * 20, [0])
    assert Counted(machine("hypervisor-mode"), calls).total == 0
    assert Counted(machine("hypervisor-mode"), ping_pong()).count[layout.COUNT_INSERT] == 0


def test_the_fast_path_moves_words_one_by_one() -> None:
    paths = Paths(priced_by_instructions(machine("ipc-fast-path")))
    assert paths.send("fwd_dcr") == 522 + 46 * 3
    assert paths.send("mmio_load_bic_status") == 522 + 50 * 3 + (4409 - 3654)
    assert paths.reply("fwd_dcr") == 398 + 39 * 3
    assert Paths(priced_by_instructions(machine())).send("fwd_dcr") == 3654


def device_access(*names: str) -> dict[str, float]:
    """Metrics of one access to the interrupt controller, among twenty."""
    resolved = ResolvedRun(
        machine=machine(*names),
        reference_machine=Datasheet.load(),
        partition=Partition("node", (1, 1, 1), (False, False, False)),
        platform="virtual-machine",
        guest="kittyhawk-linux",
        workload=MicroConfig(kind="micro", operation="device-register-access", iterations=20),
        seed=1,
        replication=0,
        cures=names,
    )
    return dict(run_micro(resolved).metrics)


def test_device_accesses_that_need_no_vmm() -> None:
    real = device_access()
    assert (real["exits_per_operation"], real["exits_ipc"]) == (1, 20)
    remote = device_access("vmm-own-core")
    assert (remote["exits_per_operation"], remote["exits_ipc"]) == (1, 20)
    # What stays on the guest's core: both ways of the message, two requests, and the registers of the FPU.
    assert remote["kernel_instructions_per_operation"] == 4409 + 3639 + 2 * 450 + 190
    own = device_access("bic-in-kernel")
    assert (own["exits_per_operation"], own["exits_ipc"]) == (1, 0)
    # A miss that finds entry 20, one emulated instruction without its trap, and the controller's model.
    assert own["kernel_instructions_per_operation"] == pytest.approx(
        483 + 20 * 35 + (337 - 74 - 75) + (5688 - 5527), abs=2
    )
    direct = device_access("pass-through")
    assert direct["exits_per_operation"] == 0
    assert direct["cycles_per_operation"] == machine().cycles("mmio.latency")


def test_the_catalogue() -> None:
    sheet = Datasheet.load()
    for cure in cures.CURES.values():
        changed = sheet.with_values(cure.sets)
        assert all(changed[name].text != sheet[name].text for name in cure.sets), cure.name
        for guess in cure.guesses:
            assert sheet[guess].confidence == "G"
            assert sheet[guess].low is not None, guess
        assert all(other in cures.CURES for other in (*cure.needs, *cure.excludes)), cure.name
        assert all(cure.name in cures.CURES[other].excludes for other in cure.excludes), cure.name
    for names in cures.GROUPS.values():
        assert not list(cures.problems(names))


def test_names_of_cures() -> None:
    assert cures.expanded(["tlb-256", "batch-emulation"]) == ("batch-emulation", "tlb-256")
    assert [said for _, said in cures.problems(["batch-emulaton"])] == [
        "unknown cure 'batch-emulaton'; did you mean 'batch-emulation'? (see 'bgsim cures')"
    ]
    assert [said for _, said in cures.problems(["nested-translation"])] == [
        "'nested-translation' needs 'hardware-page-walk' too"
    ]
    assert len(list(cures.problems(["tlb-128", "tlb-256"]))) == 2


def test_coalescing_asks_for_fewer_interrupts() -> None:
    """The threshold is free space: all slots but eight, instead of all but one."""
    from types import SimpleNamespace
    from typing import Any

    from bgsim.guests.ethernet_torus import TorusEthernet
    from bgsim.hardware.dma_registers import DCR_BASE, PACKET_SLOT_BYTES, Dcr
    from bgsim.platforms.seam import WriteDcr

    def threshold(sheet: Datasheet) -> int:
        paths: Any = SimpleNamespace()
        code = TorusEthernet(sheet, paths).initialise()
        request = next(code)
        while not (isinstance(request, WriteDcr) and request.number == DCR_BASE + Dcr.RECEPTION_THRESHOLD):
            request = code.send(0)
        return request.value // (PACKET_SLOT_BYTES >> 4)

    slots = machine().integer("guest.bgnet.receive_ring")
    assert threshold(machine()) == slots - 1
    assert threshold(machine("coalesce-interrupts")) == slots - 8

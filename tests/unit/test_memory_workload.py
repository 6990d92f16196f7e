"""The memory workload: paged tables miss the TLB as counting says, static ones do not."""

from fractions import Fraction

import numpy as np
import pytest

from bgsim.datasheet import Datasheet
from bgsim.guests.application_memory import PagedMemory, StaticMemory
from bgsim.guests.zeptoos import ZeptoOsBigMemory
from bgsim.hardware.load_latency import random_load_cycles, stream_line_cycles
from bgsim.platforms.processor import PinnedEntriesError
from bgsim.profiles import program as ops
from bgsim.profiles.program import operation
from bgsim.workloads import execute
from bgsim.workloads.configs import MemoryConfig
from bgsim.workloads.memory import access_cycles
from bgsim.workloads.outcome import Outcome
from bgsim.workloads.resolved import Partition, ResolvedRun

SHEET = Datasheet.load()
NODE = Partition("node", (1, 1, 1), (False, False, False))
MIB = 1 << 20


def memory(guest: str, platform: str = "bare-metal", **settings: object) -> Outcome:
    config = MemoryConfig.model_validate({"kind": "memory", "accesses": 20_000, **settings})
    return execute(ResolvedRun(SHEET, SHEET, NODE, platform, guest, config, 1, 0))


@pytest.mark.parametrize("guest", ["cnk", "zeptoos-bigmemory"])
@pytest.mark.parametrize("pattern", ["random", "stream"])
def test_static_memory_takes_no_miss_on_bare_metal(guest: str, pattern: str) -> None:
    outcome = memory(guest, pattern=pattern, size="128 MiB")
    assert outcome.metrics["tlb_misses"] == outcome.metrics["guest_refills"] == 0
    assert "guest_tlb_refill" not in outcome.attribution


@pytest.mark.parametrize(
    ("guest", "platform", "parameter", "pins"),
    [
        ("cnk", "bare-metal", "cnk.page", "2,048"),
        ("cnk", "virtual-machine", "cnk.page", "512"),
        ("zeptoos-bigmemory", "bare-metal", "zeptoos.bigmemory_page", "1,793"),
        ("kittyhawk-linux", "bare-metal", "guest.pinned_page", "768"),
    ],
)
def test_a_mapping_that_the_tlb_cannot_hold_is_refused(
    guest: str, platform: str, parameter: str, pins: str
) -> None:
    sheet = SHEET.with_values({parameter: "1 MiB"})
    config = MemoryConfig.model_validate({"kind": "memory", "accesses": 1000})
    with pytest.raises(PinnedEntriesError, match=f"{pins} pinned TLB entries.* 64 .*{parameter}"):
        execute(ResolvedRun(sheet, SHEET, NODE, platform, guest, config, 1, 0))


def test_only_paged_memory_needs_an_entry_that_is_not_pinned() -> None:
    def run(guest: str, entries: int) -> float:
        sheet = SHEET.with_values({"tlb.entries": entries})
        config = MemoryConfig.model_validate({"kind": "memory", "accesses": 1000})
        return execute(ResolvedRun(sheet, SHEET, NODE, "bare-metal", guest, config, 1, 0)).metrics[
            "tlb_misses"
        ]

    assert run("cnk", 8) == 0, "2 GiB in pages of 256 MiB"
    with pytest.raises(PinnedEntriesError, match="8 pinned TLB entries, needs one more"):
        run("zeptoos-bigmemory", 8)


def test_a_random_walk_misses_for_every_page_that_is_not_in_the_tlb() -> None:
    entries = SHEET.integer("tlb.entries") - 3  # pinned for the kernel's linear mapping
    pages = 8 * MIB // SHEET.integer("guest.user_page")
    expected = 1 - entries / pages
    outcome = memory("zeptoos", size="8 MiB")
    assert outcome.metrics["tlb_misses_per_operation"] == pytest.approx(expected, abs=0.01)
    assert outcome.metrics["tlb_misses"] == outcome.metrics["guest_refills"]


def test_a_stream_misses_once_a_page() -> None:
    outcome = memory("zeptoos", pattern="stream", size="8 MiB", accesses=512 * 40)
    assert outcome.metrics["tlb_misses"] == 40


def test_a_table_within_the_tlb_misses_nothing() -> None:
    outcome = memory("zeptoos", size="128 KiB")
    assert outcome.metrics["tlb_misses_per_operation"] < 0.005


def test_every_miss_in_a_virtual_machine_is_two_of_the_hardware_and_eighteen_exits() -> None:
    outcome = memory("zeptoos", "virtual-machine", size="8 MiB")
    refills = outcome.metrics["guest_refills"]
    assert outcome.metrics["vtlb_misses"] == refills
    assert outcome.metrics["tlb_misses"] / refills == pytest.approx(2, abs=0.15)
    privileged = sum(row["count"] for row in outcome.exits if "EMUL" in row["cause"])
    of_timers = privileged - 16 * refills
    assert 0 <= of_timers <= 40 * (outcome.details["timer_interrupts"] + 1)


def test_static_memory_shatters_in_a_virtual_machine() -> None:
    """The microkernel maps 1 MiB at a time: 128 of them do not fit in the hardware's 60 entries."""
    assert memory("cnk", "virtual-machine", size="32 MiB").metrics["tlb_misses"] == 0
    assert memory("cnk", "virtual-machine", size="128 MiB").metrics["tlb_misses_per_operation"] > 0.4


def test_time_is_the_loops_and_the_misses() -> None:
    outcome = memory("cnk", size="8 MiB")
    expected = access_cycles(SHEET, "random", 8 * MIB)
    assert outcome.metrics["cycles_per_operation"] == pytest.approx(float(expected), rel=1e-3)
    paged = memory("zeptoos", size="8 MiB")
    assert paged.attribution["guest_user"] == pytest.approx(outcome.attribution["guest_user"], abs=2)


def test_all_guests_walk_the_same_addresses() -> None:
    one, other = memory("zeptoos", size="1 MiB"), memory("kittyhawk-linux", size="1 MiB")
    assert one.metrics["tlb_misses"] == other.metrics["tlb_misses"]


def test_latencies_are_those_of_the_levels() -> None:
    l1, l3, ddr = (SHEET.cycles(name) for name in ("cache.l1_latency", "cache.l3_latency", "memory.latency"))
    assert random_load_cycles(SHEET, 16 << 10) == l1
    assert random_load_cycles(SHEET, 64 << 10) == Fraction(l1 + l3, 2)
    assert random_load_cycles(SHEET, 16 * MIB) == Fraction(l1, 512) + (
        Fraction(1, 2) - Fraction(1, 512)
    ) * l3 + Fraction(ddr, 2)
    assert stream_line_cycles(SHEET, 16 << 10) == 0
    assert stream_line_cycles(SHEET, 64 << 10) == SHEET.cycles("cache.l2_latency")
    slow = SHEET.with_values({"memory.bandwidth": "0.85 GB/s"})
    assert stream_line_cycles(slow, 64 * MIB) == SHEET.integer("cache.l1_line")


def test_paged_and_static_references() -> None:
    paged, static = PagedMemory(SHEET, 3 * MIB), StaticMemory(SHEET, 3 * MIB)
    where = np.array([0, 4095, 4096, 3 * MIB - 1], dtype=np.int64)
    assert (paged.words(where) & 0xFFFFFFF).tolist() == [2, 2, 3, 2 + 767]
    assert paged.program.keys == 2 + 768
    assert (static.words(where) >> 28 == ops.LOWMEM_DATA).all()
    assert static.first_touch(0) == []
    assert paged.first_touch(0)[0] == operation(ops.ENTER, ops.EXCEPTION_DTLB)
    with pytest.raises(ValueError, match="static memory holds 224 MiB"):
        StaticMemory(SHEET, 256 * MIB)


def test_big_memory_pins_what_the_kernel_leaves() -> None:
    guest = ZeptoOsBigMemory(SHEET, StaticMemory(SHEET, MIB).program, lambda: iter(()))
    assert guest.pinned_entries(2048 * MIB) == 8
    assert guest.pinned_entries(512 * MIB) == 2

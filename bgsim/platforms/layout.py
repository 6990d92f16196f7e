"""The arrays a walk works on: prices, page facts and processor state.

The compiled walk and its readable reference share this layout. Cycles are integers; a price that
is not a whole number of cycles per event is kept in thousandths and carried.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bgsim.l4.paths import GROUPS
from bgsim.profiles.program import Program

Int = NDArray[np.int64]

# -- state.register -----------------------------------------------------------------------------
NOW = 0  # core cycles
DEADLINE = 1  # the walk stops when NOW reaches it
POSITION = 2  # next operation
WORK_LEFT = 3  # cycles of an interrupted stretch of work
WORK_CAUSE = 4
CARRY_USER = 5  # thousandths of a cycle
CARRY_KERNEL = 6
CARRY_LINES = 7
CARRY_GUEST_LINES = 8
CARRY_PAIRS = 9  # thousandths of an irq-flag pair
GUEST_INDEX = 10  # next guest TLB entry to replace
GUEST_TOP = 11  # guest replaces entries 0..GUEST_TOP
HARDWARE_INDEX = 12  # L4's round-robin index
HARDWARE_ENTRIES = 13  # L4 uses entries 0..HARDWARE_ENTRIES-1
FAULT_MIB = 14  # MiB of guest memory L4 has no mapping for
GUEST_VALID = 15  # number of valid guest TLB entries
HARDWARE_VALID = 16  # number of valid hardware entries among those L4 manages
LINES_PRESENT = 17  # bit per group of kernel instruction lines in the L1I
EXITS = 18  # times the guest left for the kernel
EXIT_LIMIT = 19  # the walk stops after an operation in which EXITS passed this
GUEST_ENTRIES = 20  # entries of the TLB the guest manages
KEYS = 21  # page keys of the program; fragments of the linear mapping come behind them
PROGRAM_EXITS = 22  # those of EXITS that brought the virtual timers up to date: not TLB misses
PROGRAM_EXIT_LIMIT = 23  # the walk also stops after an operation in which PROGRAM_EXITS passed this
LINES_BROUGHT = 24  # lines brought into the L1I so far, in millionths; counted where lines get old in it
LINES_EXPIRY = 25  # LINES_BROUGHT at which the oldest group of kernel lines is pushed out
CARRY_EVICTED = 26  # thousandths of a cycle
LINES_BROUGHT_AT = 27  # LINES_BROUGHT when each group of kernel lines was last fetched
REGISTERS = LINES_BROUGHT_AT + len(GROUPS)

# -- state.count --------------------------------------------------------------------------------
COUNT_GUEST_MISS_D = 0  # misses the guest's TLB handler saw
COUNT_GUEST_MISS_I = 1
COUNT_HARDWARE_MISS_D = 2  # hardware TLB misses while the guest ran
COUNT_HARDWARE_MISS_I = 3
COUNT_INSERT = 4  # hardware entries loaded by L4
COUNT_INSERT_EXECUTABLE = 5  # of them with iccci
COUNT_INSERT_KERNEL = 6  # of them fragments of the guest kernel's linear mapping
COUNT_FLUSH_RANGE = 7  # range scans after tlbwe to a touched entry
COUNT_TLBWE_XLAT_UNTOUCHED = 8
COUNT_FLUSH_ALL = 9  # mtspr PID
COUNT_TLBSX = 10
COUNT_TLBWE_INVALIDATE = 11
COUNT_INSTRUCTIONS_USER = 12
COUNT_INSTRUCTIONS_KERNEL = 13
COUNT_HANDLER_USER = 14  # TLB handler runs, user address
COUNT_HANDLER_KERNEL = 15
COUNT_LINES_KERNEL = 16  # kernel instruction lines refetched
COUNT_REFERENCES = 17
COUNT_PID_WRITES = 18
COUNT_ENTER = 19  # + exception number, 16 of them
COUNT_WRITE_INSERT = 35  # of the inserts, those at an emulated tlbwe
COUNT_ICACHE_SWITCH = 36  # iccci at an address space switch
COUNT_HYPERCALL = 37  # whole-TLB invalidations in one call
COUNT_TABLE_WALK = 38  # by the hardware
COUNT_SHADOW_FILL = 39
COUNT_WALKED_TLBIE = 40  # invalidating instructions of a machine that walks page tables
COUNT_WALKED_TLBIA = 41
COUNTS = 42

# -- state.cycle: causes charged while walking (sequences are priced from their counts) ----------
CAUSE_USER = 0
CAUSE_KERNEL = 1
CAUSE_REFILL = 2  # the guest's own TLB handler
CAUSE_DTLB = 3
CAUSE_ITLB = 4
CAUSE_TLBWE = 5
CAUSE_PID = 6
CAUSE_TLBSX = 7
CAUSE_SYSCALL = 8
CAUSE_DSI = 9
CAUSE_ISI = 10
CAUSE_FP = 11
CAUSE_PROGRAM = 12
CAUSE_ICACHE_KERNEL = 13
CAUSE_ICACHE_GUEST = 14
CAUSE_DCACHE_KERNEL = 15
CAUSE_HYPERCALL = 16
CAUSE_TABLE_WALK = 17
CAUSES = 18

CAUSE_NAMES = (
    "guest_user",
    "guest_kernel",
    "guest_tlb_refill",
    "PPC_HVM_DTLB_MISS",
    "PPC_HVM_ITLB_MISS",
    "PPC_HVM_EMUL_TLBWE",
    "PPC_HVM_EMUL_MTSPR",
    "PPC_HVM_EMUL_TLBSX",
    "PPC_HVM_EXCEPT_SYSCALL",
    "PPC_HVM_EXCEPT_DSI",
    "PPC_HVM_EXCEPT_ISI",
    "PPC_HVM_EXCEPT_FPU",
    "PPC_HVM_EXCEPT_PROG",
    "icache_refill_l4",
    "icache_refill_guest",
    "dcache_refill_l4",
    "PPC_HVM_HYPERCALL",
    "page_table_walk",
)

CURED_CAUSES = frozenset({"PPC_HVM_HYPERCALL", "page_table_walk"})
"""Causes that only a cured system has."""

# -- tables.price -------------------------------------------------------------------------------
PRICE_USER_MILLI = 0  # thousandths of a cycle per guest user instruction
PRICE_KERNEL_MILLI = 1
PRICE_HANDLER_USER = 2  # the guest's TLB handler, its own instructions
PRICE_HANDLER_KERNEL = 3
PRICE_LINE_MILLI = 4  # per kernel instruction line refetched
PRICE_GUEST_LINES_MILLI = 5  # guest lines refetched per iccci, in thousandths of a cycle
PRICE_TLBWE_INVALIDATE = 6  # native cost, or untouched emulation
PRICE_TLBWE_XLAT_UNTOUCHED = 7
PRICE_NATIVE_TLBSX = 8
PRICE_IRQ_PAIRS_MILLI = 9  # irq-flag pairs per thousand kernel instructions, in thousandths
PRICE_DCACHE_REFILL = 10  # kernel data lines refetched per refill
PRICE_FREE_SLOT = 11  # saving of an insert that finds a free hardware entry
PRICE_INVALID_ENTRY = 12  # visiting an invalid virtual TLB entry
PRICE_ICACHE_TAIL = 13  # iccci: refetching the handler's own tail
PRICE_NATIVE_PID = 14
PRICE_WRITE_INSERT = 15  # loading the hardware entry within an emulated tlbwe
PRICE_PID_TAGGED = 16  # mtspr PID that flushes nothing
PRICE_SWITCH_LINES_MILLI = 17  # guest lines refetched after an iccci at an address space switch
PRICE_MISS_MICRO = 18  # lines a guest instruction brings into the L1I, in millionths; 0: not counted
PRICE_CAPACITY_MICRO = 19  # lines the L1I holds, in millionths
PRICE_EVICTED_MILLI = 20  # guest cycles per kernel line brought in
PRICE_INDEX_UPDATE = 21  # tlbwe of word 0 where the virtual TLB has an index
PRICE_JOINED = 22  # saving of an operation that runs within the trap of the one before
PRICE_TABLE_WALK = 23
PRICE_SHADOW_FILL = 24
PRICE_SHADOW_FAULT = 25  # a miss for which the guest's page table has no entry either
PRICE_WALKED_TLBIE = 26
PRICE_WALKED_TLBIA = 27
MODE_WRITE_INSERT = 28  # 1: hardware entries are loaded at the guest's tlbwe
MODE_ICACHE = 29  # ICACHE_*
MODE_FRAGMENT_SHIFT = 30  # fragments of the guest kernel's mapping, log2 of their MiB
MODE_PID_TAGS = 31  # 1: hardware entries carry the guest's PID
MODE_PARAVIRTUAL = 32  # 1: the guest calls the kernel to write and invalidate TLB entries
MODE_TABLE_WALK = 33  # WALK_*
PRICES = 34

ICACHE_AT_INSERT = 0  # the L1I is emptied at every executable insert
ICACHE_AT_SWITCH = 1  # at every write of the guest's PID
ICACHE_NEVER = 2

WALK_BY_SOFTWARE = 0
WALK_OF_SHADOW = 1  # on bare metal: of the guest's own page table
WALK_NESTED = 2

# -- tables.scan: int64[8, n + 1], price by number of valid entries visited --------------------------
SCAN_REFLECT_D = 0
SCAN_REFLECT_I = 1
SCAN_INSERT_D = 2
SCAN_INSERT_I = 3
SCAN_INSERT_LOWMEM_D = 4
SCAN_INSERT_LOWMEM_I = 5
SCAN_TLBSX = 6
SCAN_TLBSX_MISS = 7  # by number of valid entries, all of which it visits
SCANS = 8

# -- tables.flush: int64[3, n + 1], price by number of valid hardware entries -----------------------
FLUSH_RANGE_MISS = 0
FLUSH_RANGE_MATCH = 1
FLUSH_ALL = 2
FLUSH_HYPERCALL = 3  # all pages in one call
FLUSHES = 4

# -- tables.lines: groups of kernel instruction lines ---------------------------------------------
LINES_REFLECT = 0  # masks by kind of exit
LINES_INSERT = 1
LINES_AFTER_ICCCI = 2
LINES_TLBWE_FLUSH = 3
LINES_TLBWE = 4
LINES_PID = 5
LINES_TLBSX = 6
LINES_ENTER = 7
LINES_WRITE_INSERT = 8
LINES_PID_TAGGED = 9
LINES_HYPERCALL = 10
LINES_SHADOW_FILL = 11
LINES_WALKED = 12  # invalidation on a machine that walks page tables
LINE_MASKS = 13

# -- sequences every Linux has, by number ---------------------------------------------------------
SEQ_REFILL_SAVE_USER = 0
SEQ_REFILL_SAVE_KERNEL = 1
SEQ_REFILL_WALK_USER = 2
SEQ_REFILL_WALK_KERNEL = 3
SEQ_REFILL_RESTORE = 4
SEQ_SYSCALL = 5
SEQ_PAGE_FAULT = 6
SEQ_STORAGE_FAULT = 7
SEQ_FP_UNAVAILABLE = 8
SEQ_PROGRAM = 9
SEQ_SWITCH = 10
SEQ_TLBIE = 11
SEQ_IRQ_PAIR = 12
SEQ_TICK = 13
SEQ_EXTERNAL = 14
SEQ_REFILL_SAVE_USER_INSTRUCTION = 15
SEQ_REFILL_SAVE_KERNEL_INSTRUCTION = 16
SEQ_REFILL_WRITE = 17  # SEQ_REFILL_RESTORE in two halves, where something happens between
SEQ_REFILL_RETURN = 18
SEQ_WALKED_FAULT = 19  # page fault on a machine that walks page tables
FIRST_FREE_SEQUENCE = 20

# -- why a walk stopped -----------------------------------------------------------------------------
STOP_END = 0
STOP_DEADLINE = 1
STOP_RAM_FAULT = 2
STOP_EXIT = 3
STOP_PRIVILEGED = 4  # a program that has no kernel of its own meets a privileged instruction

NEVER = 1 << 62
FRAGMENTS = 256  # MiB of the guest kernel's linear mapping that programs touch
NO_KEY = -1
FOREIGN_KEY = -2  # a hardware entry of the VMM: valid, of another translation space
NATIVE_KEY = -1_000  # less the page's number: a hardware entry of a program that runs on L4 itself
DEVICE_PAGES = 16  # pages of device registers that such a program may have mapped


# -- state.number: registers, then counts, then cycles, then sequence counts ------------------------
COUNTS_AT = REGISTERS
CYCLES_AT = COUNTS_AT + COUNTS
SEQUENCES_AT = CYCLES_AT + CAUSES

# -- rows of state.entry ------------------------------------------------------------------------------
GUEST_KEY = 0  # page key by guest TLB entry
GUEST_IS_VALID = 1
GUEST_TOUCHED = 2  # the virtual TLB entry was loaded into hardware
HARDWARE_KEY = 3  # page key by hardware entry
MAPPED = 4  # by MiB of guest memory: L4 has a mapping for it
ENTRY_ROWS = 5

# -- rows of state.slot, by page key -------------------------------------------------------------------
GUEST_SLOT = 0
HARDWARE_SLOT = 1
NATIVE_SLOT = 2  # of pages of a program that runs on L4 itself: where it was last put, or:
NATIVE_UNMAPPED = -2  # its pager has not mapped it
NATIVE_MAPPED = -1  # it has, and the page has not been used yet

# -- tables.price: single prices, then by exception, then line groups ---------------------------------
ENTER_AT = PRICES  # [16] price of reflecting each exception
LINE_MASKS_AT = ENTER_AT + 16  # groups of lines by LINES_*, a bit each
HANDLER_AT = LINE_MASKS_AT + LINE_MASKS  # MiB of the TLB handler's text, and of its round-robin index
VIRTUAL_AT = HANDLER_AT + 2  # 1 in a virtual machine
GROUPS_AT = VIRTUAL_AT + 1  # lines of each group

# -- rows of tables.scan: the scans by visited entries, then the flushes by valid ones ----------------
FLUSHES_AT = SCANS

# -- rows of tables.sequence ---------------------------------------------------------------------------
SEQUENCE_CYCLES = 0
SEQUENCE_LINES = 1  # 0 where nothing in it traps

# -- rows of pages, by page key ------------------------------------------------------------------------
PAGE_EXECUTABLE = 0
PAGE_KERNEL = 1
PAGE_DIRECTORY = 2
PAGE_TABLE = 3
PAGE_THREAD = 4


def page_facts(program: Program) -> NDArray[np.uint8]:
    """Facts of a program's pages, uint8[5, keys]."""
    return np.array(
        [
            program.key_executable,
            program.key_kernel,
            program.key_directory,
            program.key_table,
            program.key_thread,
        ],
        dtype=np.uint8,
    )


class Tables(NamedTuple):
    """Prices of everything a walk can meet, in cycles.

    ``cured`` is None where no mode is set: the walk of the real system is compiled by itself.
    """

    price: Int
    scan: Int
    sequence: Int
    cured: int | None = None

    @property
    def virtual(self) -> bool:
        """Whether a microkernel stands between guest and core."""
        return bool(self.price[VIRTUAL_AT])


def made_tables(price: Int, scan: Int, sequence: Int) -> Tables:
    """Tables that say themselves whether they are those of a cured system."""
    modes = price[MODE_WRITE_INSERT:PRICES]
    aged = price[PRICE_MISS_MICRO] or price[PRICE_INDEX_UPDATE]
    silent = price[VIRTUAL_AT] and (sequence[SEQUENCE_CYCLES][sequence[SEQUENCE_LINES] == 0] > 0).any()
    return Tables(price, scan, sequence, 1 if modes.any() or aged or silent else None)


class State(NamedTuple):
    """State of one guest processor.

    ``number`` holds registers, counts and cycles; ``entry`` what is in the TLBs; ``slot`` where each
    page is in them.
    """

    number: Int
    entry: NDArray[np.int32]
    slot: NDArray[np.int16]

    def duplicate(self) -> State:
        """An independent copy."""
        return State(self.number.copy(), self.entry.copy(), self.slot.copy())

    def assign(self, other: State) -> None:
        """Take over everything of another state."""
        self.number[:] = other.number
        self.entry[:] = other.entry
        self.slot[:] = other.slot

    @property
    def register(self) -> Int:
        """View of the registers."""
        return self.number[:REGISTERS]

    @property
    def count(self) -> Int:  # type: ignore[override]
        """View of the counts."""
        return self.number[COUNTS_AT:CYCLES_AT]

    @property
    def cycle(self) -> Int:
        """View of the cycles by cause."""
        return self.number[CYCLES_AT:SEQUENCES_AT]

    @property
    def sequence_count(self) -> Int:
        """View of how often each privileged sequence ran."""
        return self.number[SEQUENCES_AT:]


def new_state(keys: int, guest_entries: int, guest_pins: int, hardware_entries: int, sequences: int) -> State:
    """A processor just started: empty TLBs, the guest's pinned kernel entries in place.

    Parameters
    ----------
    keys
        Number of distinct pages of the program.
    guest_entries, guest_pins
        Entries of the TLB the guest manages, and how many of them (from the top) it pins.
    hardware_entries
        Hardware entries that L4 may use; not looked at on bare metal.
    sequences
        Number of privileged sequences of the guest.
    """
    number = np.zeros(SEQUENCES_AT + sequences, dtype=np.int64)
    number[GUEST_ENTRIES] = guest_entries
    number[GUEST_TOP] = guest_entries - guest_pins - 1
    number[GUEST_VALID] = guest_pins
    number[HARDWARE_ENTRIES] = hardware_entries
    number[HARDWARE_INDEX] = -1
    number[EXIT_LIMIT] = 1 << 62
    number[PROGRAM_EXIT_LIMIT] = 1 << 62
    number[LINES_EXPIRY] = 1 << 62
    number[KEYS] = keys
    entry = np.zeros((ENTRY_ROWS, max(FRAGMENTS, guest_entries, hardware_entries)), dtype=np.int32)
    entry[GUEST_KEY] = NO_KEY
    entry[HARDWARE_KEY] = NO_KEY
    entry[GUEST_IS_VALID, guest_entries - guest_pins : guest_entries] = 1
    slot = np.full((3, keys + FRAGMENTS + DEVICE_PAGES), -1, dtype=np.int16)
    slot[NATIVE_SLOT] = NATIVE_UNMAPPED
    return State(number, entry, slot)

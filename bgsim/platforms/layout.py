"""The arrays a walk works on: prices, page facts and processor state.

The compiled walk and its readable reference share this layout. Cycles are integers; a price that
is not a whole number of cycles per event is kept in thousandths and carried.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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
REGISTERS = 20

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
COUNTS = 35

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
CAUSES = 16

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
)

# -- tables.price -------------------------------------------------------------------------------
PRICE_USER_MILLI = 0  # thousandths of a cycle per guest user instruction
PRICE_KERNEL_MILLI = 1
PRICE_HANDLER_USER = 2  # the guest's TLB handler, its own instructions
PRICE_HANDLER_KERNEL = 3
PRICE_LINE_MILLI = 4  # per kernel instruction line refetched
PRICE_GUEST_LINES_MILLI = 5  # guest lines refetched per iccci, in thousandths of a cycle
PRICE_TLBWE_INVALIDATE = 6  # native cost, or untouched emulation
PRICE_TLBWE_XLAT_UNTOUCHED = 7
PRICE_TLBSX_MISS = 8
PRICE_IRQ_PAIRS_MILLI = 9  # irq-flag pairs per thousand kernel instructions, in thousandths
PRICE_DCACHE_REFILL = 10  # kernel data lines refetched per refill
PRICE_FREE_SLOT = 11  # saving of an insert that finds a free hardware entry
PRICE_INVALID_ENTRY = 12  # visiting an invalid virtual TLB entry
PRICE_ICACHE_TAIL = 13  # iccci: refetching the handler's own tail
PRICE_NATIVE_PID = 14
PRICES = 15

# -- tables.scan: int64[7, n + 1], price by number of valid entries visited --------------------------
SCAN_REFLECT_D = 0
SCAN_REFLECT_I = 1
SCAN_INSERT_D = 2
SCAN_INSERT_I = 3
SCAN_INSERT_LOWMEM_D = 4
SCAN_INSERT_LOWMEM_I = 5
SCAN_TLBSX = 6
SCANS = 7

# -- tables.flush: int64[3, n + 1], price by number of valid hardware entries -----------------------
FLUSH_RANGE_MISS = 0
FLUSH_RANGE_MATCH = 1
FLUSH_ALL = 2
FLUSHES = 3

# -- tables.lines: groups of kernel instruction lines ---------------------------------------------
LINES_REFLECT = 0  # masks by kind of exit
LINES_INSERT = 1
LINES_AFTER_ICCCI = 2
LINES_TLBWE_FLUSH = 3
LINES_TLBWE = 4
LINES_PID = 5
LINES_TLBSX = 6
LINES_ENTER = 7
LINES_FORWARD = 8
LINES_TICK = 9
LINES_INTERRUPT = 10
LINE_MASKS = 11

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
FIRST_FREE_SEQUENCE = 15

# -- why a walk stopped -----------------------------------------------------------------------------
STOP_END = 0
STOP_DEADLINE = 1
STOP_RAM_FAULT = 2
STOP_EXIT = 3

FRAGMENTS = 256  # MiB of the guest kernel's linear mapping that programs touch
NO_KEY = -1
FOREIGN_KEY = -2  # a hardware entry of the VMM: valid, of another translation space


class Pages(NamedTuple):
    """Facts of a program's pages, by page key."""

    executable: NDArray[np.bool_]
    kernel: NDArray[np.bool_]
    directory: NDArray[np.uint8]
    table: NDArray[np.uint8]
    thread: NDArray[np.uint8]


class Tables(NamedTuple):
    """Prices of everything a walk can meet, in cycles."""

    virtual: bool
    price: Int
    scan: Int
    flush: Int
    enter: Int  # [16] price of reflecting each exception
    line_mask: Int  # groups of lines by LINES_*, a bit each
    line_group_size: Int  # lines per group
    sequence_cycles: Int
    sequence_lines: Int  # groups of lines, a bit each
    handler_fragment: Int  # [2] MiB holding the TLB handler's text and its round-robin index


class State(NamedTuple):
    """State of one guest processor."""

    register: Int
    guest_key: NDArray[np.int32]  # page key by guest TLB entry
    guest_valid: NDArray[np.bool_]
    guest_touched: NDArray[np.bool_]  # the virtual TLB entry was loaded into hardware
    guest_slot: NDArray[np.int16]  # [keys] guest TLB entry by page key
    hardware_key: NDArray[np.int32]
    hardware_slot: NDArray[np.int16]  # [keys + FRAGMENTS]
    mapped: NDArray[np.bool_]  # [256] MiB of guest memory that L4 has a mapping for
    count: Int
    cycle: Int
    sequence_count: Int


def new_state(
    keys: int, guest_entries: int, guest_pins: int, hardware_entries: int, sequences: int
) -> State:
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
    register = np.zeros(REGISTERS, dtype=np.int64)
    register[GUEST_TOP] = guest_entries - guest_pins - 1
    register[GUEST_VALID] = guest_pins
    register[HARDWARE_ENTRIES] = hardware_entries
    register[HARDWARE_INDEX] = -1
    register[EXIT_LIMIT] = 1 << 62
    valid = np.zeros(guest_entries, dtype=np.bool_)
    valid[guest_entries - guest_pins :] = True
    return State(
        register=register,
        guest_key=np.full(guest_entries, NO_KEY, dtype=np.int32),
        guest_valid=valid,
        guest_touched=np.zeros(guest_entries, dtype=np.bool_),
        guest_slot=np.full(max(keys, 1), -1, dtype=np.int16),
        hardware_key=np.full(max(hardware_entries, 1), NO_KEY, dtype=np.int32),
        hardware_slot=np.full(keys + FRAGMENTS, -1, dtype=np.int16),
        mapped=np.zeros(FRAGMENTS, dtype=np.bool_),
        count=np.zeros(COUNTS, dtype=np.int64),
        cycle=np.zeros(CAUSES, dtype=np.int64),
        sequence_count=np.zeros(sequences, dtype=np.int64),
    )

"""Causes of time: their order, their place and their name in a figure.

Tables use the kernel's own counter names (``PPC_HVM_...``); figures use words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

Place = Literal["guest", "L4", "VMM", "device", "idle", "other"]

EXIT_PREFIX = "PPC_HVM_"
EMULATION_PREFIX = "PPC_HVM_EMUL_"

NATIVE_EXITS = (
    "PPC_DTLB_MISS",
    "PPC_ITLB_MISS",
    "PPC_EXCEPT_PROG",
    "PPC_EXCEPT_DECR",
    "PPC_EXCEPT_EXTINT",
    "PAGEFAULT_USER",
    "SYSCALL_IPC",
    "SYSCALL_THREAD_SWITCH",
    "HYBRID_CROSSING",
)
"""Counters of exits of programs that run on L4 itself, and of the ways between one and its guest."""

_PLACES: dict[str, Place] = {
    "guest_user": "guest",
    "guest_kernel": "guest",
    "guest_tlb_refill": "guest",
    "icache_refill_guest": "guest",
    "page_table_walk": "guest",
    "icache_refill_l4": "L4",
    "dcache_refill_l4": "L4",
    "vmm_tlb_miss": "L4",
    "ipc": "L4",
    "vmm": "VMM",
    "device": "device",
    "idle": "idle",
    "vm_switch": "L4",
    "remote_ipc": "L4",
    "vm_switch_refill": "guest",
    "other_vms": "other",
}

_LABELS = {
    "guest_user": "guest user",
    "guest_kernel": "guest kernel",
    "guest_tlb_refill": "guest TLB refill",
    "icache_refill_guest": "I-cache refill, guest",
    "page_table_walk": "page table walk",
    "PPC_HVM_HYPERCALL": "TLB call",
    "PPC_HVM_DTLB_MISS_BIC": "interrupt controller in L4",
    "icache_refill_l4": "I-cache refill, L4",
    "dcache_refill_l4": "D-cache refill, L4",
    "vmm_tlb_miss": "TLB misses of the VMM",
    "ipc": "IPC",
    "vmm": "VMM",
    "device": "device",
    "idle": "idle",
    "PPC_HVM_DTLB_MISS": "data TLB miss",
    "PPC_HVM_ITLB_MISS": "instruction TLB miss",
    "PPC_HVM_DTLB_MISS_DEVICE": "device access",
    "PPC_HVM_DTLB_MISS_RAM": "first touch of memory",
    "PPC_HVM_EXCEPT_SYSCALL": "system call",
    "PPC_HVM_EXCEPT_DECREMENTER": "decrementer",
    "PPC_HVM_EXCEPT_EXTERNAL": "external interrupt",
    "PPC_HVM_EXCEPT_PROG": "program exception",
    "PPC_HVM_EXCEPT_PROG_DCR": "DCR access",
    "PPC_HVM_EXCEPT_DSI": "data storage fault",
    "PPC_HVM_EXCEPT_ISI": "instruction storage fault",
    "PPC_HVM_EXCEPT_FPU": "FP unavailable",
    "HYBRID_CROSSING": "guest to library and back",
    "PAGEFAULT_USER": "page fault, to the pager",
    "SYSCALL_IPC": "messages between threads",
    "SYSCALL_THREAD_SWITCH": "thread switch",
    "PPC_DTLB_MISS": "data TLB miss, native",
    "PPC_ITLB_MISS": "instruction TLB miss, native",
    "PPC_EXCEPT_DECR": "decrementer, native",
    "PPC_EXCEPT_EXTINT": "external interrupt, native",
    "PPC_EXCEPT_PROG": "DCR access, native",
    "vm_switch": "switch of virtual machines",
    "vm_switch_refill": "cache refill after a switch",
    "remote_ipc": "IPC between cores",
    "other_vms": "other virtual machines",
    "PPC_HVM_EXCEPT_MCHECK": "machine check",
    "other": "other",
}

_ORDER = (
    "guest_user",
    "guest_kernel",
    "guest_tlb_refill",
    "icache_refill_guest",
    "PPC_HVM_DTLB_MISS",
    "PPC_HVM_ITLB_MISS",
    "PPC_HVM_EMUL_MTSPR",
    "PPC_HVM_EMUL_MFSPR",
    "PPC_HVM_EMUL_TLBWE",
    "PPC_HVM_EMUL_RFI",
    "PPC_HVM_EMUL_MFMSR",
    "PPC_HVM_EMUL_MTMSR",
)
_AFTER_EXITS = (
    "icache_refill_l4",
    "dcache_refill_l4",
    "ipc",
    "vmm_tlb_miss",
    "vmm",
    "vm_switch",
    "remote_ipc",
    "vm_switch_refill",
    "device",
    "idle",
    "other_vms",
    "other",
)


def is_exit(cause: str) -> bool:
    """Whether a cause is a counter of exits."""
    return cause.startswith(EXIT_PREFIX) or cause in NATIVE_EXITS


def place(cause: str) -> Place:
    """Where the cycles of a cause are spent."""
    if is_exit(cause):
        return "L4"
    return _PLACES.get(cause, "other")


def label(cause: str) -> str:
    """Words for a figure: ``PPC_HVM_EMUL_TLBWE`` becomes ``emulate tlbwe``."""
    if cause in _LABELS:
        return _LABELS[cause]
    if cause.startswith(EMULATION_PREFIX):
        return "emulate " + cause.removeprefix(EMULATION_PREFIX).lower()
    if cause.startswith(EXIT_PREFIX):
        return cause.removeprefix(EXIT_PREFIX).lower().replace("_", " ")
    return cause.replace("_", " ")


def ordered(causes: Iterable[str]) -> list[str]:
    """Causes from the guest outwards: guest, exits, L4's caches and IPC, VMM, devices, idle."""

    def rank(cause: str) -> tuple[int, int, str]:
        if cause in _ORDER:
            return (0, _ORDER.index(cause), cause)
        if cause in _AFTER_EXITS:
            return (2, _AFTER_EXITS.index(cause), cause)
        return (1, 0, cause)

    return sorted(dict.fromkeys(causes), key=rank)


def fold_small(shares: Iterable[Mapping[str, float]], least: float = 0.01, most: int = 12) -> list[str]:
    """Causes worth a colour of their own in a figure of several bars.

    Parameters
    ----------
    shares
        For each bar, cause to its share of the bar.
    least
        A cause is kept when it reaches this share in some bar.
    most
        At most so many are kept, the largest ones.

    Returns
    -------
    list of str
        Kept causes in display order, without ``other``.
    """
    peak: dict[str, float] = {}
    for bar in shares:
        for cause, share in bar.items():
            peak[cause] = max(peak.get(cause, 0.0), share)
    kept = sorted((c for c, s in peak.items() if s >= least and c != "other"), key=lambda c: (-peak[c], c))
    return ordered(kept[:most])

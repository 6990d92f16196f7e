"""The cures: changes of kernel, VMM, guest or hardware that would make virtualisation cheaper.

Each is a named switch that changes a mechanism: it sets datasheet records (``cures.yaml`` and others), and
what that brings follows from what is then executed. No cure is a factor.

An experiment names them under ``cures``: ``[batch-emulation, host-pages-256m]``, ``all``, ``software`` or
``hardware``. See ``docs/cures.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from bgsim.plugins import CURE_GROUP, Registry
from bgsim.spelling import did_you_mean

__all__ = ["CURES", "GROUPS", "PLACES", "Cure", "expanded", "problems", "settings"]

Place = Literal["kernel", "vmm", "guest", "hardware"]

PLACES: Mapping[Place, str] = {
    "kernel": "the microkernel",
    "vmm": "the user-level VMM",
    "guest": "the guest's kernel or driver",
    "hardware": "the core",
}


@dataclass(frozen=True)
class Cure:
    """One change and what it means for a simulation.

    Attributes
    ----------
    name
        As written in an experiment.
    mechanism
        What happens differently, in one or two sentences.
    sets
        Datasheet records and the values they take.
    guesses
        Records that only matter with this cure and that nobody has measured; each has a low and a high value.
    needs
        Cures without which this one can not be built.
    excludes
        Cures that can not be there at the same time.
    better
        A stronger form of the same thing, which stands for it in ``all``.
    apart
        Why the words for several cures leave it out; empty where they do not.
    """

    name: str
    title: str
    place: Place
    mechanism: str
    sets: Mapping[str, str | int | bool]
    guesses: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    excludes: tuple[str, ...] = field(default=())
    better: str = ""
    apart: str = ""


def _tlb(entries: int) -> Cure:
    sizes = (128, 256, 512, 1024)
    return Cure(
        f"tlb-{entries}",
        f"hardware TLB of {entries} entries",
        "hardware",
        "The microkernel has that many hardware entries to fill before it replaces one; its flush scans "
        "visit them all. The guest still sees the 64 entries of its own TLB.",
        {"tlb.entries": entries},
        excludes=tuple(f"tlb-{other}" for other in sizes if other != entries),
        better="" if entries == sizes[-1] else f"tlb-{sizes[-1]}",
    )


_EMULATION_GUESSES = (
    "l4.emulation.once_instructions",
    "l4.emulation.loop_instructions",
    "l4.emulation.probe_instructions",
    "l4.emulation.probe_cycles",
)
_AGE_GUESSES = ("l4.icache.switch_lines", "cache.l1i_useful_share")

_CATALOGUE = (
    Cure(
        "batch-emulation",
        "a run of privileged instructions in one trap",
        "kernel",
        "After emulating an instruction the kernel goes on with the next, up to ten, as long as that is "
        "privileged too: the loop that the real kernel has compiled out. The 16 privileged instructions of a"
        " refill stand in 9 runs.",
        {"l4.emulation.further_instructions": 10},
        guesses=_EMULATION_GUESSES,
    ),
    Cure(
        "load-at-write",
        "hardware entry loaded at the guest's tlbwe",
        "kernel",
        "The trap of the last tlbwe of an entry loads the hardware entry too, so that the access does not "
        "miss a second time.",
        {"l4.vtlb.load_at_write": True},
        guesses=("l4.vtlb.miss_once_instructions",),
    ),
    Cure(
        "hashed-vtlb",
        "virtual TLB found by hash",
        "kernel",
        "A miss, a tlbsx and a device access look an address up in a hash table instead of comparing up to "
        "64 entries; every write of an entry's page keeps the table.",
        {"l4.vtlb.hashed": True},
        guesses=("l4.vtlb.hash_instructions", "l4.vtlb.hash_update_instructions"),
    ),
    Cure(
        "release-build",
        "kernel built for speed",
        "kernel",
        "The virtualisation and IPC files are compiled at -O2 instead of -Os: the same code paths, executed,"
        " with fewer instructions.",
        {"l4.build": "o2"},
    ),
    Cure(
        "keep-icache",
        "no instruction-cache invalidation at inserts",
        "kernel",
        "The cache is emptied where its tags become wrong, at a write of the guest's PID, and never where "
        "hardware entries carry the PID. Kernel lines then get old: the cache is first in, first out, and "
        "what guest and kernel bring in pushes out the rest.",
        {"l4.icache.invalidate_at_insert": False},
        guesses=_AGE_GUESSES,
    ),
    Cure(
        "host-pages-16m",
        "16 MB host pages",
        "vmm",
        "The VMM maps 16 MB at a time, so the guest's 256 MB kernel entry becomes 16 MB hardware entries "
        "instead of 1 MB ones (there is no 4 MB page in hardware).",
        {"l4.map_size": "16 MiB"},
        excludes=("host-pages-256m",),
        better="host-pages-256m",
    ),
    Cure(
        "host-pages-256m",
        "256 MB host pages",
        "vmm",
        "The VMM maps 256 MB at a time: the guest's kernel mapping is one hardware entry, as on bare metal.",
        {"l4.map_size": "256 MiB"},
        excludes=("host-pages-16m",),
    ),
    Cure(
        "guest-pid-tags",
        "guest PIDs in hardware tags",
        "kernel",
        "A write of the guest's PID loads another hardware PID and flushes nothing. User mode runs in the "
        "other translation space, so that kernel pages stay protected; the second entry for a user page that"
        " the guest's kernel touches itself is left out.",
        {"l4.tlb.guest_pid_tags": True},
        guesses=("l4.tlb.tag_instructions",),
    ),
    Cure(
        "light-miss-stub",
        "light stub for TLB misses",
        "kernel",
        "The vectors of TLB misses save only the registers that their C code may overwrite instead of all 38"
        " words.",
        {"l4.miss_stub.light": True},
        guesses=("l4.miss_stub.light_words", "core.multiword_cycles"),
    ),
    *(_tlb(entries) for entries in (128, 256, 512, 1024)),
    Cure(
        "hardware-page-walk",
        "hardware page table walk",
        "hardware",
        "The core loads TLB entries from page tables by itself, on bare metal too, so no TLB handler runs. "
        "In a virtual machine it walks a shadow table that the microkernel fills at the first miss of a "
        "page.",
        {"tlb.hardware_walk": True},
        guesses=(
            "tlb.walk_cycles",
            "l4.shadow.fill_instructions",
            "l4.shadow.drop_instructions",
            *_AGE_GUESSES,
        ),
    ),
    Cure(
        "nested-translation",
        "nested translation",
        "hardware",
        "The walk goes through the guest's table and the host's: no shadow, no miss exits, and tags that "
        "carry the guest's PID.",
        {"tlb.nested_translation": True},
        guesses=("tlb.nested_walk_cycles",),
        needs=("hardware-page-walk",),
    ),
    Cure(
        "hypervisor-mode",
        "hypervisor mode with registers of its own",
        "hardware",
        "The guest's kernel has its own privileged registers and exception vectors; only TLB instructions "
        "and the timer trap. Its PID is one of those registers, so the hardware's tags carry it.",
        {"core.hypervisor_mode": True},
    ),
    Cure(
        "ipc-fast-path",
        "IPC fast path",
        "kernel",
        "Fault messages and replies are copied word by word between the guest's frame and the VMM's message "
        "registers, and the kernel switches at once, as it does for an interrupt message.",
        {"l4.ipc.fast_path": True},
        guesses=("l4.ipc.fast_word_instructions",),
    ),
    Cure(
        "inject-on-resume",
        "pending interrupts looked at when a guest resumes",
        "kernel",
        "After the VMM has handled a device interrupt, the kernel raises it in the guest it resumes. The "
        "real kernel looks for them at other exits only, so an idle guest waits for the next timer tick.",
        {"l4.inject_on_resume": True},
    ),
    Cure(
        "bic-in-kernel",
        "interrupt controller emulated in the kernel",
        "kernel",
        "The kernel itself answers accesses to the virtual interrupt controller, and raises and acknowledges"
        " the torus's interrupts, without the VMM.",
        {"l4.bic_in_kernel": True},
        guesses=("l4.bic_acknowledge_instructions",),
        excludes=("pass-through",),
        better="pass-through",
    ),
    Cure(
        "pass-through",
        "interrupt controller and torus mapped to the guest",
        "vmm",
        "A single guest accesses both devices' registers directly. Its memory lies at its own physical "
        "addresses, so descriptors need no translation, and the controller's interrupts are raised in it by "
        "the kernel.",
        {"vmm.pass_through": True},
        excludes=("bic-in-kernel",),
    ),
    Cure(
        "paravirtual-tlb",
        "paravirtual TLB operations",
        "guest",
        "The guest calls the kernel to write a whole TLB entry, to invalidate a page, or to invalidate all "
        "pages: one trap each instead of three, seven and 62.",
        {"guest.paravirtual_tlb": True},
        guesses=(
            "l4.hypercall.entry_instructions",
            "l4.emulation.once_instructions",
            "l4.emulation.loop_instructions",
        ),
    ),
    Cure(
        "vmm-own-core",
        "VMM on another core",
        "vmm",
        "The VMM's server runs on a second core. The guest's core waits for its replies, but loses no cache "
        "lines and TLB entries to it, and runs the guest while the VMM handles a device interrupt.",
        {"vmm.own_core": True},
        guesses=("l4.remote_ipc_instructions", "l4.remote_interrupt_cycles"),
    ),
    Cure(
        "coalesce-interrupts",
        "interrupt coalescing in the driver",
        "guest",
        "The torus driver sets the reception threshold so that an interrupt comes with eight packets. The "
        "DMA engine has no timer for fewer: those are fetched at the next timer interrupt.",
        {"guest.torus_coalesce_packets": 8},
        apart="it saves core time, and makes whoever waits for a small message wait for the timer",
    ),
)

CURES: Registry[Cure] = Registry(
    {cure.name: cure for cure in _CATALOGUE}, CURE_GROUP, Cure, name_of=lambda cure: cure.name
)
"""By name, in the order of the documentation; packages add more under ``bgsim.cures``."""

GROUPS: Mapping[str, tuple[str, ...]] = {
    "all": tuple(cure.name for cure in _CATALOGUE if not (cure.better or cure.apart)),
    "software": tuple(c.name for c in _CATALOGUE if not (c.better or c.apart) and c.place != "hardware"),
    "hardware": tuple(c.name for c in _CATALOGUE if not (c.better or c.apart) and c.place == "hardware"),
}
"""Words that stand for several cures of bgsim's own; of alternatives, the stronger one."""


def expanded(names: Iterable[str]) -> tuple[str, ...]:
    """Names with the words for groups written out, each once; ours in the catalogue's order, then others."""
    wanted = [one for name in names for one in GROUPS.get(name, (name,))]
    known = [name for name in CURES.built_in if name in wanted]
    return (*known, *dict.fromkeys(name for name in sorted(wanted) if name not in CURES.built_in))


def problems(names: Sequence[str]) -> Iterator[tuple[int, str]]:
    """What is wrong with a list of names: the position in it, and a sentence."""
    chosen = expanded(names)
    for position, name in enumerate(names):
        if name in GROUPS:
            continue
        if name not in CURES:
            yield (
                position,
                f"unknown cure '{name}'{did_you_mean(name, [*CURES, *GROUPS])} (see 'bgsim cures')",
            )
            continue
        if name in names[:position]:
            yield position, f"'{name}' is listed twice"
        missing = [need for need in CURES[name].needs if need not in chosen]
        if missing:
            yield position, f"'{name}' needs '{missing[0]}' too"
        clash = [other for other in CURES[name].excludes if other in chosen]
        if clash:
            yield position, f"'{name}' and '{clash[0]}' exclude each other"


def settings(names: Iterable[str]) -> dict[str, str | int | bool]:
    """Datasheet records that a set of cures sets, with their values."""
    found: dict[str, str | int | bool] = {}
    for name in expanded(names):
        found |= CURES[name].sets
    return found

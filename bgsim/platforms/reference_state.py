"""A readable walk that goes on where the compiled one stands.

The compiled walk remembers in which entry each page is; the readable one has lists of entries that it
searches. Whoever wants to see what a stretch of guest work does inside (a timeline) sets a readable walk to
the state before that stretch, runs both, and compares them at the end.
"""

from __future__ import annotations

import numpy as np

from bgsim.hardware.tlb import EVERY_PID, TlbEntry
from bgsim.l4.paths import GROUPS
from bgsim.l4.vtlb import FIRST_PID_TAG, GUEST_SPACE, TAG_KERNEL, VirtualEntry
from bgsim.platforms import layout
from bgsim.platforms.layout import State
from bgsim.platforms.reference import ReferenceWalk
from bgsim.platforms.reference_core import LINEAR_PAGE, BareCore, VirtualCore
from bgsim.platforms.reference_walked import WalkedBareCore, WalkedVirtualCore
from bgsim.profiles import program as ops
from bgsim.profiles.program import Program


def set_state(reference: ReferenceWalk, state: State, pid: int) -> None:
    """Put a readable walk into the state of a compiled one.

    Parameters
    ----------
    reference
        A walk that has not run yet, of the same program, prices and TLB sizes.
    state
        The compiled walk's state.
    pid
        Address space the guest is in; see :func:`address_space`.
    """
    ledger = reference.ledger
    ledger.register[:] = [int(value) for value in state.register]
    ledger.count[:] = [int(value) for value in state.count]
    ledger.cycle[:] = [int(value) for value in state.cycle]
    ledger.sequence_count[:] = [int(value) for value in state.sequence_count]
    present = ledger.register[layout.LINES_PRESENT]
    ledger.lines_present = {group for group in range(len(GROUPS)) if present >> group & 1}
    reference.replacement.index = ledger.register[layout.GUEST_INDEX]
    reference.mapped = {int(mib) for mib in np.flatnonzero(state.entry[layout.MAPPED])}
    core = reference.core
    core.pid = pid
    if isinstance(core, BareCore | WalkedBareCore):
        if isinstance(core, WalkedBareCore):
            core.replacement.index = ledger.register[layout.GUEST_INDEX]
        for index in range(reference.replacement.top + 1):
            key = int(state.entry[layout.GUEST_KEY, index])
            core.tlb.entries[index] = None if key < 0 else _bare_entry(reference, key)
        return
    if isinstance(core, VirtualCore):
        for index in range(reference.replacement.top + 1):
            core.virtual.entries[index] = _virtual_entry(reference, state, index)
    else:
        core.shadow = _shadow(reference, state)
    for index in range(len(core.hardware)):
        core.hardware.entries[index] = _hardware_entry(
            reference, int(state.entry[layout.HARDWARE_KEY, index])
        )
    core.replacement.index = ledger.register[layout.HARDWARE_INDEX]


def address_space(program: Program, position: int, written: bool) -> int:
    """PID that a program has loaded before its operation ``position``.

    Parameters
    ----------
    program
        The guest's program, run from its beginning and over again.
    position
        Operation it has come to.
    written
        Whether it has written the PID at all.
    """
    words = program.operations
    writes = np.flatnonzero(words >> np.uint32(ops.KIND_SHIFT) == ops.PID)
    if not len(writes):
        # Every user page is in the one address space there is.
        user = program.key_pid[~program.key_kernel]
        return int(user[0]) if len(user) else EVERY_PID
    before = int(np.searchsorted(writes, position))
    if not before and not written:
        return EVERY_PID
    return int(words[writes[before - 1]] & np.uint32(ops.ARGUMENT_MASK))


def _owner(reference: ReferenceWalk, key: int) -> int:
    program = reference.program
    return EVERY_PID if program.key_kernel[key] else int(program.key_pid[key])


def _bare_entry(reference: ReferenceWalk, key: int) -> TlbEntry:
    return TlbEntry(reference.page_of(key), 1, tag=_owner(reference, key))


def _virtual_entry(reference: ReferenceWalk, state: State, index: int) -> VirtualEntry:
    key = int(state.entry[layout.GUEST_KEY, index])
    touched = bool(state.entry[layout.GUEST_TOUCHED, index])
    if key < 0:
        return VirtualEntry(touched=touched)
    program = reference.program
    return VirtualEntry(
        valid=bool(state.entry[layout.GUEST_IS_VALID, index]),
        page=reference.page_of(key),
        pid=_owner(reference, key),
        executable=bool(program.key_executable[key]),
        kernel=bool(program.key_kernel[key]),
        touched=touched,
    )


def _shadow(reference: ReferenceWalk, state: State) -> set[tuple[int, int]]:
    """Pages that the shadow table has, with their address spaces."""
    core, keys = reference.core, reference.program.keys
    assert isinstance(core, WalkedVirtualCore)
    found = set()
    for key in np.flatnonzero(state.slot[layout.GUEST_SLOT] >= 0).tolist():
        if key < keys:
            found.add((reference.page_of(key), _owner(reference, key)))
        else:
            found.add((LINEAR_PAGE + (key - keys) * core.fragment_pages, EVERY_PID))
    return found


def _hardware_entry(reference: ReferenceWalk, key: int) -> TlbEntry | None:
    core, program = reference.core, reference.program
    assert isinstance(core, VirtualCore | WalkedVirtualCore)
    if key == layout.NO_KEY:
        return None
    if key < 0:  # a page of the VMM, in the kernel's translation space
        return TlbEntry(layout.FOREIGN_KEY - key, 1)
    if key >= program.keys:
        pages = core.virtual.fragment_pages if isinstance(core, VirtualCore) else core.fragment_pages
        return TlbEntry(LINEAR_PAGE + (key - program.keys) * pages, pages, GUEST_SPACE, TAG_KERNEL)
    user = FIRST_PID_TAG + _owner(reference, key) if core.tags else EVERY_PID
    return TlbEntry(reference.page_of(key), 1, GUEST_SPACE, TAG_KERNEL if program.key_kernel[key] else user)

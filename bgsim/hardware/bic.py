"""The Blue Gene interrupt controller (BIC): 15 groups of 32 interrupts for four cores.

Each interrupt has a status bit and a target: nobody, all cores, or one core, at one of three levels
(non-critical, critical, machine check). A core finds what is pending from the hierarchy word of its level
(which groups) and the group's mask word (which interrupts). Bits count from the left: interrupt 0 of a
group, and group 0 of the hierarchy, is the most significant bit. Devices drive level-sensitive lines: while
a line is up, clearing its status bit has no lasting effect. Source: register layout of L4Ka::Pistachio
bic.h and khvmm vbic.{h,cc}.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

BASE = 0x7_3000_0000
SIZE = 0x800
GROUP_SIZE = 0x80
GROUPS = 15
CORES = 4
INTERRUPTS = GROUPS * 32

_FIRST = 0x8000_0000
_ALL = 0xFFFF_FFFF


class GroupRegister(IntEnum):
    """Registers of a group, as offsets from ``group * GROUP_SIZE``."""

    STATUS = 0x00  # load; store replaces all bits
    STATUS_READ_CLEAR = 0x04  # load, then clear
    STATUS_CLEAR = 0x08  # store: clear these bits
    STATUS_SET = 0x0C  # store: set these bits
    TARGET = 0x10  # + 4 * word, words 0 to 3, eight interrupts each
    NON_CRITICAL = 0x20  # + 4 * core, load only
    CRITICAL = 0x30  # + 4 * core, load only
    MACHINE_CHECK = 0x40  # + 4 * core, load only


class HierarchyRegister(IntEnum):
    """Which groups have something pending for a core, as offsets from the base; load only."""

    NON_CRITICAL = 0x780  # + 4 * core
    CRITICAL = 0x790
    MACHINE_CHECK = 0x7A0


class Level(IntEnum):
    """How an interrupt is delivered."""

    NON_CRITICAL = 0
    CRITICAL = 1
    MACHINE_CHECK = 2


TARGET_OFF = 0


def target(core: int, level: Level = Level.NON_CRITICAL) -> int:
    """The target nibble that delivers an interrupt to one core."""
    return 4 * (level + 1) + core


def broadcast(level: Level = Level.NON_CRITICAL) -> int:
    """The target nibble that delivers an interrupt to all cores."""
    return level + 1


def interrupt_bit(number: int) -> int:
    """The bit of an interrupt in its group's words."""
    return _FIRST >> (number & 31)


def group_register(number: int, register: GroupRegister, index: int = 0) -> int:
    """Offset of a register of an interrupt's group; `index` selects the core or target word."""
    return (number >> 5) * GROUP_SIZE + register + 4 * index


class BicError(LookupError):
    """An access that the controller does not answer."""


class Bic:
    """The interrupt controller of a node.

    Parameters
    ----------
    on_change
        Called with a core's number whenever the set of interrupts pending for it changes.
    """

    def __init__(self, on_change: Callable[[int], None] | None = None) -> None:
        self.on_change = on_change
        self.raised = 0
        self._status = [0] * GROUPS
        self._lines = [0] * GROUPS
        self._targets = [[TARGET_OFF] * 32 for _ in range(GROUPS)]
        # Interrupts of each group that go to each core at each level: [group][level][core].
        self._selected = [[[0] * CORES for _ in Level] for _ in range(GROUPS)]
        # Groups with something pending: [level][core], a bit per group. Cores ask this all the time.
        self._pending_groups = [[0] * CORES for _ in Level]

    # -- devices

    def raise_interrupt(self, number: int) -> None:
        """Set an interrupt's status bit once."""
        self._check(number)
        self._change(number >> 5, self._status[number >> 5] | interrupt_bit(number))

    def set_line(self, number: int, up: bool) -> None:
        """Drive an interrupt's line: while it is up the status bit stays set, or sets itself again."""
        self._check(number)
        group, bit = number >> 5, interrupt_bit(number)
        if up:
            self._lines[group] |= bit
            self._change(group, self._status[group] | bit)
        else:
            self._lines[group] &= ~bit

    # -- cores

    def pending(self, core: int, level: Level = Level.NON_CRITICAL) -> bool:
        """Whether anything is pending for a core at a level."""
        return self._pending_groups[level][core] != 0

    def pending_interrupt(self, core: int, level: Level = Level.NON_CRITICAL) -> int | None:
        """The pending interrupt with the lowest number, which hierarchy and mask words lead to."""
        for group, status in enumerate(self._status):
            pending = status & self._selected[group][level][core]
            if pending:
                return group * 32 + 32 - pending.bit_length()
        return None

    def is_set(self, number: int) -> bool:
        """Whether an interrupt's status bit is set."""
        self._check(number)
        return bool(self._status[number >> 5] & interrupt_bit(number))

    def clear(self, number: int) -> None:
        """Clear an interrupt's status bit."""
        self.store(group_register(number, GroupRegister.STATUS_CLEAR), interrupt_bit(number))

    def target_of(self, number: int) -> int:
        """An interrupt's target nibble."""
        self._check(number)
        return self._targets[number >> 5][number & 31]

    def set_target(self, number: int, nibble: int) -> None:
        """Direct an interrupt: 0 off, 1 to 3 all cores, 4 and up one core (see :func:`target`)."""
        self._check(number)
        if not 0 <= nibble <= 15:
            raise ValueError(f"a target is 0 to 15, not {nibble}")
        self._retarget(number >> 5, {number & 31: nibble})

    # -- registers

    def load(self, offset: int) -> int:
        """Read a register.

        Raises
        ------
        BicError
            If there is no such register or it cannot be read.
        """
        if offset >= HierarchyRegister.NON_CRITICAL:
            level, core = divmod((offset - HierarchyRegister.NON_CRITICAL) >> 2, CORES)
            if level > Level.MACHINE_CHECK:
                raise BicError(f"the interrupt controller has no register at {offset:#x}")
            return self._hierarchy(Level(level), core)
        group, register = divmod(offset, GROUP_SIZE)
        if register == GroupRegister.STATUS:
            return self._status[group]
        if register == GroupRegister.STATUS_READ_CLEAR:
            status = self._status[group]
            self._change(group, 0)
            return status
        if GroupRegister.TARGET <= register < GroupRegister.NON_CRITICAL:
            first = 2 * (register - GroupRegister.TARGET)
            word = 0
            for nibble in self._targets[group][first : first + 8]:
                word = word << 4 | nibble
            return word
        if GroupRegister.NON_CRITICAL <= register < GroupRegister.MACHINE_CHECK + 4 * CORES:
            level, core = divmod((register - GroupRegister.NON_CRITICAL) >> 2, CORES)
            return self._status[group] & self._selected[group][level][core]
        raise BicError(f"interrupt controller register {offset:#x} cannot be read")

    def store(self, offset: int, value: int) -> None:
        """Write a register.

        Raises
        ------
        BicError
            If there is no such register or it cannot be written.
        """
        group, register = divmod(offset, GROUP_SIZE)
        if group < GROUPS:
            if register == GroupRegister.STATUS:
                return self._change(group, value)
            if register == GroupRegister.STATUS_CLEAR:
                return self._change(group, self._status[group] & ~value)
            if register == GroupRegister.STATUS_SET:
                return self._change(group, self._status[group] | value)
            if GroupRegister.TARGET <= register < GroupRegister.NON_CRITICAL:
                first = 2 * (register - GroupRegister.TARGET)
                return self._retarget(group, {first + i: value >> (28 - 4 * i) & 0xF for i in range(8)})
        raise BicError(f"interrupt controller register {offset:#x} cannot be written")

    # -- internals

    @staticmethod
    def _check(number: int) -> None:
        if not 0 <= number < INTERRUPTS:
            raise ValueError(f"there is no interrupt {number:#x}; they are 0 to {INTERRUPTS - 1:#x}")

    def _hierarchy(self, level: Level, core: int) -> int:
        word = 0
        for group, status in enumerate(self._status):
            if status & self._selected[group][level][core]:
                word |= _FIRST >> group
        return word

    def _change(self, group: int, status: int) -> None:
        before = self._status[group]
        after = (status | self._lines[group]) & _ALL
        if after == before:
            return
        self.raised += (after & ~before).bit_count()
        self._status[group] = after
        self._note_pending(group)
        self._tell(before, self._selected[group], after, self._selected[group])

    def _retarget(self, group: int, nibbles: dict[int, int]) -> None:
        targets = self._targets[group]
        for index, nibble in nibbles.items():
            targets[index] = nibble
        before = self._selected[group]
        after = [[0] * CORES for _ in Level]
        for index, nibble in enumerate(targets):
            level, core = divmod(nibble, 4)
            cores = range(CORES) if level == 0 else range(core, core + 1)
            level = level or core
            if level:
                for each in cores:
                    after[level - 1][each] |= _FIRST >> index
        self._selected[group] = after
        self._note_pending(group)
        self._tell(self._status[group], before, self._status[group], after)

    def _note_pending(self, group: int) -> None:
        status = self._status[group]
        for groups, selected in zip(self._pending_groups, self._selected[group], strict=True):
            for core in range(CORES):
                if status & selected[core]:
                    groups[core] |= 1 << group
                else:
                    groups[core] &= ~(1 << group)

    def _tell(
        self, status_before: int, before: list[list[int]], status_after: int, after: list[list[int]]
    ) -> None:
        if self.on_change is None:
            return
        for core in range(CORES):
            if any(
                status_before & before[level][core] != status_after & after[level][core] for level in Level
            ):
                self.on_change(core)

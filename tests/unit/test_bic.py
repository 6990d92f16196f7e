"""The interrupt controller: register layout, targets, levels, lines."""

import pytest

from bgsim.hardware import bic
from bgsim.hardware.bic import Bic, GroupRegister, HierarchyRegister, Level


def test_an_untargeted_interrupt_sets_status_and_reaches_nobody() -> None:
    controller = Bic()
    controller.raise_interrupt(0x60)
    assert controller.load(bic.group_register(0x60, GroupRegister.STATUS)) == 0x8000_0000
    assert not any(controller.pending(core) for core in range(bic.CORES))


@pytest.mark.parametrize("level", list(Level))
@pytest.mark.parametrize("core", range(4))
def test_a_target_nibble_selects_core_and_level(core: int, level: Level) -> None:
    controller = Bic()
    controller.set_target(0x5C, bic.target(core, level))
    controller.raise_interrupt(0x5C)
    mask = (GroupRegister.NON_CRITICAL, GroupRegister.CRITICAL, GroupRegister.MACHINE_CHECK)[level]
    hierarchy = list(HierarchyRegister)[level]
    for other in range(4):
        assert controller.pending(other, level) == (other == core)
        expected = bic.interrupt_bit(0x5C) if other == core else 0
        assert controller.load(bic.group_register(0x5C, mask, other)) == expected
        assert controller.load(hierarchy + 4 * other) == (0x8000_0000 >> 2 if other == core else 0)
    assert controller.pending_interrupt(core, level) == 0x5C


def test_target_words_hold_eight_nibbles_leftmost_first() -> None:
    controller = Bic()
    offset = bic.group_register(0x60, GroupRegister.TARGET, 1)
    controller.store(offset, 0x4500_000F)
    assert controller.load(offset) == 0x4500_000F
    assert controller.target_of(0x68) == bic.target(0)
    assert controller.target_of(0x69) == bic.target(1)
    assert controller.target_of(0x6F) == bic.target(3, Level.MACHINE_CHECK)
    assert controller.load(bic.group_register(0x60, GroupRegister.TARGET, 0)) == 0


def test_a_broadcast_reaches_every_core() -> None:
    controller = Bic()
    controller.set_target(5, bic.broadcast(Level.CRITICAL))
    controller.raise_interrupt(5)
    assert all(controller.pending(core, Level.CRITICAL) for core in range(4))
    assert not controller.pending(0)


def test_status_registers_set_clear_replace_and_read_clear() -> None:
    controller = Bic()
    status = bic.group_register(0x20, GroupRegister.STATUS)
    controller.store(status, 0xF0)
    controller.store(bic.group_register(0x20, GroupRegister.STATUS_SET), 0x0F)
    controller.store(bic.group_register(0x20, GroupRegister.STATUS_CLEAR), 0x81)
    assert controller.load(status) == 0x7E
    assert controller.load(bic.group_register(0x20, GroupRegister.STATUS_READ_CLEAR)) == 0x7E
    assert controller.load(status) == 0


def test_a_line_that_is_up_sets_its_status_again() -> None:
    controller = Bic()
    controller.set_target(0xB5, bic.target(2))
    controller.set_line(0xB5, True)
    controller.clear(0xB5)
    assert controller.pending(2)
    controller.set_line(0xB5, False)
    assert controller.pending(2)  # latched until software clears it
    controller.clear(0xB5)
    assert not controller.pending(2)


def test_masking_takes_a_pending_interrupt_away_and_unmasking_brings_it_back() -> None:
    changes: list[int] = []
    controller = Bic(changes.append)
    controller.set_target(0x60, bic.target(1))
    controller.raise_interrupt(0x60)
    controller.raise_interrupt(0x60)
    controller.set_target(0x60, bic.TARGET_OFF)
    controller.set_target(0x60, bic.target(1))
    controller.clear(0x60)
    assert changes == [1, 1, 1, 1]


def test_moving_an_interrupt_tells_both_cores() -> None:
    changes: list[int] = []
    controller = Bic(changes.append)
    controller.set_target(0x60, bic.target(0))
    controller.raise_interrupt(0x60)
    changes.clear()
    controller.set_target(0x60, bic.target(3))
    assert changes == [0, 3]


@pytest.mark.parametrize("number", [-1, 480, 0x1000])
def test_there_are_480_interrupts(number: int) -> None:
    with pytest.raises(ValueError, match="there is no interrupt"):
        Bic().raise_interrupt(number)


@pytest.mark.parametrize("offset", [0x8, 0xC, 0x50, 0x7B0])
def test_registers_that_cannot_be_read(offset: int) -> None:
    with pytest.raises(bic.BicError):
        Bic().load(offset)


@pytest.mark.parametrize("offset", [0x4, 0x20, 0x780])
def test_registers_that_cannot_be_written(offset: int) -> None:
    with pytest.raises(bic.BicError):
        Bic().store(offset, 1)

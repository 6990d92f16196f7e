"""Buses, shared memory and timers of a node."""

import pytest
import simpy

from bgsim.datasheet import Datasheet
from bgsim.hardware import bic, dma_registers
from bgsim.hardware.bus import Bus, BusError
from bgsim.hardware.dcr import DcrBlock, DcrBus, DcrError
from bgsim.hardware.decrementer import NEVER, Decrementer
from bgsim.hardware.memory import ObjectMemory, Ring
from bgsim.hardware.node import TORUS_DCR_BASE, TORUS_DCR_COORDINATES, build_nodes


class Scratch:
    def __init__(self) -> None:
        self.words: dict[int, int] = {}

    def load(self, offset: int) -> int:
        return self.words.get(offset, 0)

    def store(self, offset: int, value: int) -> None:
        self.words[offset] = value


def test_accesses_go_to_the_device_whose_window_holds_the_address() -> None:
    bus, first, second = Bus(), Scratch(), Scratch()
    bus.attach(0x2000, 0x1000, second, 100)
    bus.attach(0x1000, 0x1000, first, 100)
    bus.store(0x1FFC, 0x1_2345_6789)
    bus.store(0x2000, 7)
    assert first.words == {0xFFC: 0x2345_6789}
    assert bus.load(0x2000) == 7
    assert bus.has_device(0x2FFF)
    assert not bus.has_device(0x3000)


@pytest.mark.parametrize("address", [0, 0xFFF, 0x3000])
def test_nobody_answers_elsewhere(address: int) -> None:
    bus = Bus()
    bus.attach(0x1000, 0x2000, Scratch(), 100)
    with pytest.raises(BusError, match="no device"):
        bus.load(address)


def test_windows_do_not_overlap_and_words_are_not_quads() -> None:
    bus = Bus()
    bus.attach(0x1000, 0x1000, Scratch(), 100)
    for base in (0x800, 0x1800):
        with pytest.raises(ValueError, match="overlaps"):
            bus.attach(base, 0x1000, Scratch(), 100)
    with pytest.raises(BusError, match="no quad accesses"):
        bus.store_quad(0x1000, ())


def test_dcrs() -> None:
    dcr = DcrBus()
    dcr.attach(0x100, 0x10, DcrBlock({2: 5}))
    dcr.write(0x101, 9)
    assert (dcr.read(0x101), dcr.read(0x102), dcr.read(0x103)) == (9, 5, 0)
    with pytest.raises(DcrError):
        dcr.read(0x110)
    with pytest.raises(ValueError, match="taken"):
        dcr.attach(0x10F, 1, DcrBlock())


def test_a_node_has_its_devices_at_their_addresses() -> None:
    environment = simpy.Environment()
    built = build_nodes(environment, Datasheet.load(), (2, 3, 1), (False, False, False), numbers=(3,))
    node = built.nodes[3]
    assert node.coordinates == (1, 1, 0)
    assert node.dcr.read(TORUS_DCR_BASE + TORUS_DCR_COORDINATES) == 0x01_0100
    assert node.bus.load(bic.BASE) == 0
    assert node.bus.load(dma_registers.group_address(3, dma_registers.Register.INJECTION_ACTIVE)) == 0
    assert len(node.decrementers) == 4


def test_a_virtual_machine_sees_its_memory_from_zero() -> None:
    memory = ObjectMemory()
    guest = memory.window(0x1000_0000, 0x2000)
    ring = Ring(guest, 0x1000, 4, 32)
    ring.write(2, "descriptor")
    assert memory.read(0x1000_1040) == "descriptor"
    assert ring.slot(ring.pointer(2)) == 2
    assert ring.next(3) == 0
    with pytest.raises(IndexError):
        guest.read(0x2000)
    memory.write(0x1000_1040, None)
    assert memory.contents() == {}


def test_the_decrementer_keeps_to_its_grid() -> None:
    timer = Decrementer()
    assert not timer.expired(10**12)
    timer.start(10, 100)
    assert timer.deadline == 110
    assert not timer.expired(109)
    assert timer.expired(110)
    assert timer.rearm(115) == 0
    assert timer.deadline == 210
    assert timer.rearm(455) == 2
    assert timer.deadline == 510
    timer.start(600, 0)
    assert timer.deadline == NEVER

"""Buses, shared memory and timers of a node."""

import pytest
import simpy

from bgsim.datasheet import Datasheet
from bgsim.hardware import bic, dma_registers
from bgsim.hardware.bus import Bus, BusError
from bgsim.hardware.dcr import DcrBlock, DcrBus, DcrError
from bgsim.hardware.decrementer import Decrementer
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
    bus.attach(0x2000, 0x1000, second)
    bus.attach(0x1000, 0x1000, first)
    bus.store(0x1FFC, 0x1_2345_6789)
    bus.store(0x2000, 7)
    assert first.words == {0xFFC: 0x2345_6789}
    assert bus.load(0x2000) == 7
    assert bus.has_device(0x2FFF)
    assert not bus.has_device(0x3000)


@pytest.mark.parametrize("address", [0, 0xFFF, 0x3000])
def test_nobody_answers_elsewhere(address: int) -> None:
    bus = Bus()
    bus.attach(0x1000, 0x2000, Scratch())
    with pytest.raises(BusError, match="no device"):
        bus.load(address)


def test_windows_do_not_overlap_and_words_are_not_quads() -> None:
    bus = Bus()
    bus.attach(0x1000, 0x1000, Scratch())
    for base in (0x800, 0x1800):
        with pytest.raises(ValueError, match="overlaps"):
            bus.attach(base, 0x1000, Scratch())
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


def test_the_decrementer_stops_at_zero_or_reloads() -> None:
    environment = simpy.Environment()
    times: list[float] = []
    timer = Decrementer(environment)
    timer.on_change = lambda: times.append(environment.now) if timer.pending else None
    timer.enable_interrupt()
    timer.write(100)
    environment.run(until=60)
    assert timer.read() == 40
    timer.write(50)
    environment.run(until=1000)
    assert times == [110]
    assert timer.read() == 0
    timer.acknowledge()
    timer.reload_value, timer.auto_reload = 200, True
    timer.write(200)
    environment.run(until=1700)
    assert times == [110, 1200, 1400, 1600]
    timer.set_timebase(5)
    environment.run(until=1800)
    assert timer.timebase == 105

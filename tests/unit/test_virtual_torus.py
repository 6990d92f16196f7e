"""The virtual DMA engine: what it passes on, translates and copies."""

from __future__ import annotations

import pytest
import simpy

from bgsim.datasheet import Datasheet
from bgsim.hardware import dma_registers as reg
from bgsim.hardware.bic import Bic
from bgsim.hardware.dma_descriptor import Descriptor, Transfer
from bgsim.hardware.dma_registers import CounterRegister, Dcr, FifoRegister
from bgsim.hardware.memory import MemoryWindow
from bgsim.hardware.node import Node, build_nodes
from bgsim.platforms.seam import Load, ReadDcr, Store, WriteDcr
from bgsim.vmm.server import Handled
from bgsim.vmm.virtual_torus import SHADOW_BASE, GuestDescriptorError, VirtualTorus

BASE = 0x1000_0000
RING = 0x10_0000
GROUP, FIFO = 3, 31


@pytest.fixture
def parts() -> tuple[Node, MemoryWindow, VirtualTorus]:
    machine = Datasheet.load()
    node = build_nodes(simpy.Environment(), machine, (2, 1, 1), (False, False, False)).nodes[0]
    window = node.memory.window(BASE, 512 << 20)
    return node, window, VirtualTorus(machine, node.bus, node.dcr, node.bic, window, node.memory, Bic())


def injection(register: FifoRegister) -> int:
    return reg.group_address(GROUP, reg.injection_fifo(FIFO, register))


def set_up(torus: VirtualTorus) -> None:
    for register, value in (
        (FifoRegister.START, RING >> 4),
        (FifoRegister.END, (RING >> 4) + 256 * 2),
        (FifoRegister.HEAD, RING >> 4),
        (FifoRegister.TAIL, RING >> 4),
    ):
        torus.access(Store(injection(register), value))


def descriptor() -> Descriptor:
    return Descriptor(Transfer.MEMORY_FIFO, 1, 100, injection_counter=GROUP * 64 + 63, reception_group=3)


def test_a_tail_store_copies_each_new_descriptor_and_moves_the_real_tail(
    parts: tuple[Node, MemoryWindow, VirtualTorus],
) -> None:
    node, window, torus = parts
    set_up(torus)
    for slot in range(3):
        window.write(RING + 32 * slot, descriptor())
    one = torus.access(Store(injection(FifoRegister.TAIL), (RING >> 4) + 2))
    two = torus.access(Store(injection(FifoRegister.TAIL), (RING >> 4) + 6))
    assert torus.descriptors_copied == 3
    assert one.device_accesses == two.device_accesses == 1
    assert two.instructions - one.instructions == 150
    shadow = SHADOW_BASE + (GROUP * 32 + FIFO) * 256 * 32
    assert all(node.memory.read(shadow + 32 * slot) == descriptor() for slot in range(3))
    assert node.bus.load(injection(FifoRegister.TAIL)) == (shadow >> 4) + 6
    assert torus.access(Load(injection(FifoRegister.HEAD))).answer == RING >> 4
    assert torus.access(Load(injection(FifoRegister.TAIL))) == Handled(
        (RING >> 4) + 6, instructions=150, device_accesses=0
    )


def test_the_tail_wraps(parts: tuple[Node, MemoryWindow, VirtualTorus]) -> None:
    _, window, torus = parts
    set_up(torus)
    for slot in range(256):
        window.write(RING + 32 * slot, descriptor())
    torus.access(Store(injection(FifoRegister.TAIL), (RING >> 4) + 510))
    torus.access(Store(injection(FifoRegister.TAIL), (RING >> 4) + 2))
    assert torus.descriptors_copied == 257


def test_a_tail_over_nothing_is_refused(parts: tuple[Node, MemoryWindow, VirtualTorus]) -> None:
    torus = parts[2]
    set_up(torus)
    with pytest.raises(GuestDescriptorError):
        torus.access(Store(injection(FifoRegister.TAIL), (RING >> 4) + 2))


def test_reception_pointers_and_counter_bases_are_moved_into_the_guest(
    parts: tuple[Node, MemoryWindow, VirtualTorus],
) -> None:
    node, _, torus = parts
    start = reg.group_address(GROUP, reg.reception_fifo(7, FifoRegister.START))
    tail = reg.group_address(GROUP, reg.reception_fifo(7, FifoRegister.TAIL))
    base = reg.group_address(GROUP, reg.injection_counter(63, CounterRegister.BASE))
    for address in (start, tail, base):
        torus.access(Store(address, RING >> 4))
        assert node.bus.load(address) == (BASE + RING) >> 4
    assert torus.access(Load(start)).device_accesses == 0
    assert torus.access(Load(tail)) == Handled(RING >> 4, instructions=150, device_accesses=1)
    assert torus.access(Load(base)).answer == RING >> 4


def test_address_ranges_are_clamped_and_the_last_one_is_the_servers(
    parts: tuple[Node, MemoryWindow, VirtualTorus],
) -> None:
    node, _, torus = parts
    first = reg.DCR_BASE + Dcr.INJECTION_RANGE
    torus.control(WriteDcr(first, 0))
    torus.control(WriteDcr(first + 1, 0xFFFF_FFFF))
    assert node.dcr.read(first) == BASE >> 4
    assert node.dcr.read(first + 1) == (BASE + (512 << 20) - 1) >> 4
    assert torus.control(ReadDcr(first + 1)).answer == 0xFFFF_FFFF
    assert torus.control(WriteDcr(first + 14, 5)).dcr_accesses == 0
    assert node.dcr.read(first + 14) == 0
    enable = reg.injection_enable_dcr(GROUP)
    assert torus.control(WriteDcr(enable, 1)).dcr_accesses == 1
    assert node.dcr.read(enable) == 1

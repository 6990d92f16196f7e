"""The virtual collective device: 18 accesses of the guest make one real packet, and back."""

from __future__ import annotations

import pytest
import simpy

from bgsim.datasheet import Datasheet
from bgsim.hardware import collective_device as hw
from bgsim.hardware.bic import Bic, target
from bgsim.hardware.collective_device import Dcr, Interrupt, ReceptionFlag, Register
from bgsim.hardware.collective_header import point_to_point_header
from bgsim.hardware.node import Nodes, build_nodes
from bgsim.platforms.seam import Load, LoadQuad, ReadDcr, Store, StoreQuad, WriteDcr
from bgsim.vmm.virtual_collective import VirtualCollective

BASE = hw.BASES[0]


class Pair:
    """Two nodes with a virtual device each."""

    def __init__(self) -> None:
        machine = Datasheet.load()
        self.environment = simpy.Environment()
        self.nodes: Nodes = build_nodes(self.environment, machine, (2, 1, 1), (False, False, False))
        self.bics = [Bic(), Bic()]
        self.devices = [
            VirtualCollective(machine, node.bus, node.dcr, node.bic, bic)
            for node, bic in zip(self.nodes.nodes.values(), self.bics, strict=True)
        ]
        for device, bic in zip(self.devices, self.bics, strict=True):
            device.control(WriteDcr(hw.DCR_BASE + Dcr.RECEPTION_ENABLE, ReceptionFlag.WATERMARK))
            bic.set_target(Interrupt.RECEPTION, target(0))

    def send(self, name: str) -> list[int]:
        """Send a packet from node 0 to node 1; real accesses of each of the guest's."""
        device = self.devices[0]
        header = point_to_point_header(1)
        accesses = [device.access(Store(BASE + Register.INJECTION_HEADER, header)).collective_accesses]
        for quad in range(16):
            handled = device.access(StoreQuad(BASE + Register.INJECTION_DATA, (name, quad)))
            accesses.append(handled.collective_accesses)
        return accesses


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_the_last_quad_sends_the_packet_with_eighteen_accesses(pair: Pair) -> None:
    assert pair.send("a") == [0] * 16 + [18]
    assert pair.devices[0].packets_sent == 1
    status = pair.devices[0].access(Load(BASE + Register.STATUS)).answer
    assert status == 0


def test_the_interrupt_drains_the_hardware_and_raises_the_virtual_one(pair: Pair) -> None:
    pair.send("a")
    pair.send("b")
    pair.environment.run()
    receiver, bic = pair.devices[1], pair.bics[1]
    node = pair.nodes.nodes[1]
    assert node.bic.pending_interrupt(0) == Interrupt.RECEPTION
    handled = receiver.interrupt(Interrupt.RECEPTION)
    assert handled.collective_accesses == 1 + 2 * 18
    assert handled.dcr_accesses == 2
    assert handled.acknowledged == (Interrupt.RECEPTION,)
    node.bic.clear(Interrupt.RECEPTION)
    assert not node.bic.pending(0)
    assert bic.pending_interrupt(0) == Interrupt.RECEPTION
    flags = receiver.control(ReadDcr(hw.DCR_BASE + Dcr.RECEPTION_FLAGS)).answer
    assert flags == ReceptionFlag.WATERMARK
    assert receiver.access(Load(BASE + Register.STATUS)).answer & 0xF == 2
    for name in "ab":
        receiver.access(Load(BASE + Register.RECEPTION_HEADER))
        quads = [receiver.access(LoadQuad(BASE + Register.RECEPTION_DATA)) for _ in range(16)]
        assert [each.answer for each in quads] == [(name, quad) for quad in range(16)]
        assert all(each.collective_accesses == 0 for each in quads)
    bic.clear(Interrupt.RECEPTION)
    receiver.raise_interrupts()
    assert not bic.pending(0)
    assert pair.devices[0].packets_sent == receiver.packets_received == 2
    pair.nodes.check()


def test_packets_left_behind_raise_the_interrupt_again(pair: Pair) -> None:
    pair.send("a")
    pair.environment.run()
    pair.devices[1].interrupt(Interrupt.RECEPTION)
    pair.bics[1].clear(Interrupt.RECEPTION)
    pair.devices[1].raise_interrupts()
    assert pair.bics[1].pending(0)


def test_reading_an_empty_fifo_raises_the_underflow_flag(pair: Pair) -> None:
    pair.devices[0].access(LoadQuad(BASE + Register.RECEPTION_DATA))
    flags = pair.devices[0].control(ReadDcr(hw.DCR_BASE + Dcr.RECEPTION_FLAGS)).answer
    assert flags == ReceptionFlag.DATA_UNDERFLOW

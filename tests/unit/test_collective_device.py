"""The collective device: a packet as 18 accesses, FIFOs, watermarks, flags."""

import pytest
import simpy

from bgsim.datasheet import Datasheet
from bgsim.hardware import bic
from bgsim.hardware import collective_device as tree
from bgsim.hardware.collective_device import Dcr, InjectionFlag, ReceptionFlag, Register
from bgsim.hardware.node import Node, Nodes, build_nodes

SHEET = Datasheet.load()


def pair() -> tuple[simpy.Environment, Nodes]:
    environment = simpy.Environment()
    built = build_nodes(environment, SHEET, (2, 1, 1), (False, False, False))
    for node in built.nodes.values():
        node.bic.set_target(tree.Interrupt.RECEPTION, bic.target(0))
        node.bic.set_target(tree.Interrupt.INJECTION, bic.target(0))
        node.dcr.write(tree.DCR_BASE + Dcr.CHANNEL_CONFIGURATION, 4)
        node.dcr.write(tree.DCR_BASE + Dcr.RECEPTION_ENABLE, 0x3F)
    return environment, built


def send(node: Node, destination: int, name: str, channel: int = 0) -> None:
    base = tree.BASES[channel]
    assert node.bus.load(base + Register.STATUS) >> 16 & 0xF < 8
    node.bus.store(base + Register.INJECTION_HEADER, tree.point_to_point_header(destination))
    for quad in range(tree.QUADS):
        node.bus.store_quad(base + Register.INJECTION_DATA, (name, quad))


def drain(node: Node, channel: int = 0) -> list[str]:
    base, names = tree.BASES[channel], []
    while node.bus.load(base + Register.STATUS) & 0xF:
        header = node.bus.load(base + Register.RECEPTION_HEADER)
        assert tree.destination_of(header) == node.number
        quads = [node.bus.load_quad(base + Register.RECEPTION_DATA) for _ in range(tree.QUADS)]
        name = quads[0][0]  # type: ignore[index]
        assert quads == [(name, quad) for quad in range(tree.QUADS)]
        names.append(name)
    return names


def test_a_packet_crosses_and_raises_the_reception_interrupt() -> None:
    environment, built = pair()
    send(built.nodes[0], 1, "hello")
    environment.run()
    assert environment.now == built.collective.packet_latency_cycles(1)
    receiver = built.nodes[1]
    assert receiver.bic.pending_interrupt(0) == tree.Interrupt.RECEPTION
    assert receiver.dcr.read(tree.DCR_BASE + Dcr.RECEPTION_FLAGS) == ReceptionFlag.WATERMARK
    assert receiver.bus.load(tree.BASES[0] + Register.STATUS) == 0x1001
    assert drain(receiver) == ["hello"]
    receiver.bic.clear(tree.Interrupt.RECEPTION)
    assert not receiver.bic.pending(0)
    built.check()


def test_channels_are_separate() -> None:
    environment, built = pair()
    send(built.nodes[0], 1, "zero", channel=0)
    send(built.nodes[0], 1, "one", channel=1)
    environment.run()
    other = built.nodes[1].bus.load(tree.BASES[0] + Register.STATUS_OTHER)
    assert other == built.nodes[1].bus.load(tree.BASES[1] + Register.STATUS)
    assert drain(built.nodes[1], 1) == ["one"]
    assert drain(built.nodes[1], 0) == ["zero"]


def test_a_full_reception_fifo_holds_the_sender_and_loses_nothing() -> None:
    environment, built = pair()
    sent = 0
    for _ in range(30):
        if built.nodes[0].bus.load(tree.BASES[0] + Register.STATUS) >> 16 & 0xF == 8:
            break
        send(built.nodes[0], 1, str(sent))
        sent += 1
        environment.run()
    assert sent == 8 + 2 + 8  # reception FIFO, on the link, injection FIFO
    received: list[str] = []
    while built.nodes[1].bus.load(tree.BASES[0] + Register.STATUS) & 0xF:
        received += drain(built.nodes[1])
        environment.run()
    assert received == [str(number) for number in range(sent)]
    built.check()


def test_the_injection_watermark_fires_when_room_returns() -> None:
    environment, built = pair()
    sender = built.nodes[0]
    for number in range(8):
        send(sender, 1, str(number))
    sender.dcr.write(tree.DCR_BASE + Dcr.INJECTION_ENABLE, InjectionFlag.WATERMARK)
    assert not sender.bic.pending(0)
    fired: list[float] = []
    sender.bic.on_change = lambda core: fired.append(environment.now)
    environment.run()
    serialization = built.collective.serialization_cycles(built.collective.packet_link_bytes)
    assert fired[0] == 3 * serialization  # packets 2 to 4 have left behind the first: four wait
    assert sender.bic.pending_interrupt(0) == tree.Interrupt.INJECTION


def test_overrun_and_underrun_set_flags() -> None:
    environment, built = pair()
    node = built.nodes[0]
    assert node.bus.load(tree.BASES[1] + Register.RECEPTION_HEADER) == 0
    node.bus.load_quad(tree.BASES[0] + Register.RECEPTION_DATA)
    flags = node.dcr.read(tree.DCR_BASE + Dcr.RECEPTION_FLAGS)
    assert flags == ReceptionFlag.HEADER_UNDERFLOW >> 1 | ReceptionFlag.DATA_UNDERFLOW
    assert node.dcr.read(tree.DCR_BASE + Dcr.RECEPTION_FLAGS) == 0
    for _ in range(9):
        node.bus.store(tree.BASES[0] + Register.INJECTION_HEADER, tree.point_to_point_header(1))
    assert node.dcr.read(tree.DCR_BASE + Dcr.INJECTION_FLAGS) & InjectionFlag.HEADER_OVERFLOW
    environment.run()


def test_only_point_to_point_is_modelled() -> None:
    with pytest.raises(ValueError, match="not point to point"):
        tree.destination_of(0xF000_0000)

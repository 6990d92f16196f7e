"""The collective device: a packet as 18 accesses, FIFOs, watermarks, flags."""

import numpy as np
import pytest
import simpy

from bgsim.datasheet import Datasheet
from bgsim.hardware import bic
from bgsim.hardware import collective_device as tree
from bgsim.hardware.collective_device import Dcr, InjectionFlag, ReceptionFlag, Register
from bgsim.hardware.collective_header import class_header, decoded, destination_of, point_to_point_header
from bgsim.hardware.node import Node, Nodes, build_nodes
from bgsim.network.collective import CollectiveError
from bgsim.network.collective_packet import Operation

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
    node.bus.store(base + Register.INJECTION_HEADER, point_to_point_header(destination))
    for quad in range(tree.QUADS):
        node.bus.store_quad(base + Register.INJECTION_DATA, (name, quad))


def drain(node: Node, channel: int = 0) -> list[str]:
    base, names = tree.BASES[channel], []
    while node.bus.load(base + Register.STATUS) & 0xF:
        header = node.bus.load(base + Register.RECEPTION_HEADER)
        assert destination_of(header) == node.number
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
    assert sent == 8 + 4 + 8  # reception FIFO, receive buffer of the link, injection FIFO
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
    assert (
        fired[0] == 3 * built.collective.parameters.packet_cycles
    )  # packets 2 to 4 have left behind the first: four wait
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
        node.bus.store(tree.BASES[0] + Register.INJECTION_HEADER, point_to_point_header(1))
    assert node.dcr.read(tree.DCR_BASE + Dcr.INJECTION_FLAGS) & InjectionFlag.HEADER_OVERFLOW
    environment.run()


def packet(node: Node, header: int, quads: list[bytes | None], channel: int = 0) -> None:
    base = tree.BASES[channel]
    node.bus.store(base + Register.INJECTION_HEADER, header)
    for quad in quads:
        node.bus.store_quad(base + Register.INJECTION_DATA, quad)


def received(node: Node, channel: int = 0) -> tuple[int, list[object]]:
    base = tree.BASES[channel]
    header = node.bus.load(base + Register.RECEPTION_HEADER)
    return header, [node.bus.load_quad(base + Register.RECEPTION_DATA) for _ in range(tree.QUADS)]


def words(*values: int) -> list[bytes | None]:
    """A payload of 8-byte operands, the rest zero."""
    data = b"".join(value.to_bytes(8) for value in values).ljust(tree.PACKET_PAYLOAD_BYTES, b"\0")
    return [data[start : start + 16] for start in range(0, len(data), 16)]


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (Operation.ADD, [6 + 28, 4 * (2**64 - 1) % 2**64]),
        (Operation.MAX, [10, 2**64 - 1]),
        (Operation.OR, [7 | 8 | 9 | 10, 2**64 - 1]),
        (Operation.AND, [7 & 8 & 9 & 10, 2**64 - 1]),
        (Operation.XOR, [7 ^ 8 ^ 9 ^ 10, 0]),
    ],
)
def test_four_nodes_combine_operand_by_operand_and_all_have_the_result(
    operation: Operation, expected: list[int]
) -> None:
    environment = simpy.Environment()
    built = build_nodes(environment, SHEET, (2, 2, 1), (False,) * 3)
    header = class_header(operation, 8, tag=77)
    for number, node in built.nodes.items():
        packet(node, header, words(7 + number, 2**64 - 1))
    environment.run()
    built.check()
    for node in built.nodes.values():
        assert received(node) == (header, words(*expected))
        assert node.bus.load(tree.BASES[0] + Register.STATUS) == 0


def test_a_result_waits_for_the_last_contribution() -> None:
    environment, built = pair()
    packet(built.nodes[0], class_header(Operation.ADD, 4), [None] * 16)
    environment.run()
    assert not built.nodes[0].bic.pending(0)
    environment.run(until=5_000)
    packet(built.nodes[1], class_header(Operation.ADD, 4), [None] * 16)
    environment.run()
    # the root adds when the other's head is there; the result has one link back
    assert environment.now == 5_000 + built.collective.packet_latency_cycles(2)
    assert received(built.nodes[1])[1] == [None] * 16
    assert built.collective.in_flight == 0


def test_a_packet_without_operation_goes_to_all_from_any_node() -> None:
    environment = simpy.Environment()
    built = build_nodes(environment, SHEET, (4, 1, 1), (False,) * 3)
    header = class_header(Operation.NONE, tag=3, interrupt=True)
    packet(built.nodes[3], header, words(1, 2))
    environment.run()
    for node in built.nodes.values():
        node.bic.set_target(tree.Interrupt.CHANNEL, bic.target(0))
        assert node.bic.pending_interrupt(0) == tree.Interrupt.CHANNEL
        assert received(node) == (header, words(1, 2))


def test_contributions_that_do_not_fit_together_are_an_error() -> None:
    environment, built = pair()
    packet(built.nodes[0], class_header(Operation.ADD, 4), [None] * 16)
    packet(built.nodes[1], class_header(Operation.ADD, 8), [None] * 16)
    with pytest.raises(CollectiveError, match="ADD of 4 B, ADD of 8 B"):
        environment.run()
    _, built = pair()
    with pytest.raises(ValueError, match="a quad to be combined is 16 bytes"):
        packet(built.nodes[0], class_header(Operation.ADD, 4), [*([None] * 15), b"x"])
    with pytest.raises(ValueError, match="class 3 has no route"):
        packet(built.nodes[0], class_header(Operation.ADD, 4, route=3), [None] * 16, channel=1)


def test_classes_describe_themselves_in_control_registers() -> None:
    environment = simpy.Environment()
    built = build_nodes(environment, SHEET, (4, 4, 2), (False,) * 3)
    network = built.collective.tree
    for number, node in built.nodes.items():
        descriptor = node.dcr.read(tree.DCR_BASE + Dcr.CLASS_ROUTES) >> 16
        assert descriptor & 3 == 3  # contributes and receives
        ports = 1 + np.count_nonzero(network.children[number] >= 0) - (network.parent[number] < 0)
        assert (descriptor >> 12 & 7).bit_count() == (descriptor >> 8 & 7).bit_count() == ports
        assert node.dcr.read(tree.DCR_BASE + 1) == 0  # class 2 is not used here, nor is 3
    with pytest.raises(LookupError, match="before a job starts"):
        built.nodes[0].dcr.write(tree.DCR_BASE + Dcr.CLASS_ROUTES, 1)


def test_a_sub_block_class_leaves_the_others_alone() -> None:
    environment = simpy.Environment()
    built = build_nodes(environment, SHEET, (4, 4, 2), (False,) * 3)
    network = built.collective.tree
    network.define(3, network.box_route((0, 0, 0), (2, 2, 2)))
    inside = np.flatnonzero(network.classes[3].contributes).tolist()
    header = class_header(Operation.ADD, 8, route=3)
    for number in inside:
        packet(built.nodes[number], header, words(1))
    environment.run()
    for number, node in built.nodes.items():
        if number in inside:
            assert received(node) == (header, words(len(inside)))
        else:
            assert node.bus.load(tree.BASES[0] + Register.STATUS) == 0
            with pytest.raises(ValueError, match="does not contribute to class 3"):
                packet(node, header, words(1))


def test_headers_come_apart_as_they_were_made() -> None:
    header = class_header(Operation.MAX, 256, route=2, tag=16383, interrupt=True)
    assert decoded(header) == (2, -1, True, Operation.MAX, 256, 16383)
    assert decoded(point_to_point_header(5))[:3] == (15, 5, False)
    assert destination_of(point_to_point_header(2**24 - 1)) == 2**24 - 1
    with pytest.raises(ValueError, match="not point to point"):
        destination_of(header)
    for size in (0, 3, 258):
        with pytest.raises(ValueError, match="even number of bytes"):
            class_header(Operation.ADD, size)
    with pytest.raises(ValueError, match="classes are 0 to 15"):
        class_header(Operation.ADD, route=16)
    with pytest.raises(ValueError, match="a tag is"):
        class_header(Operation.ADD, tag=1 << 14)

"""The DMA engine, through its registers as a driver uses it and through its typed methods."""

from dataclasses import replace

import pytest
import simpy

from bgsim.datasheet import Datasheet
from bgsim.hardware import bic
from bgsim.hardware import dma_registers as reg
from bgsim.hardware.dma import DmaError
from bgsim.hardware.dma_descriptor import Descriptor, DmaPacket, Transfer
from bgsim.hardware.dma_registers import CounterControl, CounterRegister, Dcr, FifoRegister, Register
from bgsim.hardware.memory import Ring
from bgsim.hardware.node import Node, Nodes, build_nodes
from bgsim.network.topology import Direction

SHEET = Datasheet.load()
L3 = SHEET.cycles("cache.l3_latency")
DDR = SHEET.cycles("memory.latency")
ONE_PACKET = 544 + SHEET.cycles("torus.hop_latency") + SHEET.cycles("torus.endpoint_latency")
GROUP, INJECTION, RECEPTION, COUNTER = 3, 31, 7, 63
CORE = 0


class Driver:
    """Sets a node up and works it as the Ethernet driver does: only bus and DCR accesses, and memory."""

    def __init__(self, node: Node, receive_slots: int = 512) -> None:
        self.node = node
        self.tx = Ring(node.memory, 0x10_0000, 256, reg.DESCRIPTOR_BYTES)
        self.rx = Ring(node.memory, 0x20_0000, receive_slots, reg.PACKET_SLOT_BYTES)
        self.tail = self.head = 0
        for ring, offset in (
            (self.tx, reg.injection_fifo(INJECTION, FifoRegister.START)),
            (self.rx, reg.reception_fifo(RECEPTION, FifoRegister.START)),
        ):
            for register, value in (
                (FifoRegister.START, ring.start_pointer),
                (FifoRegister.END, ring.end_pointer),
                (FifoRegister.HEAD, ring.start_pointer),
                (FifoRegister.TAIL, ring.start_pointer),
            ):
                self.store(offset + register, value)
        fifo = (GROUP << 3 | RECEPTION) * 0x0101_0101
        for word in range(8):
            self.dcr(Dcr.RECEPTION_FIFO_MAP + word, fifo)
        control = Register.INJECTION_COUNTER_CONTROL + 4
        self.store(control + CounterControl.ENABLE, reg.bit(COUNTER))
        self.dcr(Dcr.INJECTION_COUNTER_INTERRUPT, reg.counter_interrupt_bit(GROUP, COUNTER))
        self.dcr(Dcr.RECEPTION_THRESHOLD, (receive_slots - 1) * 256 // 16)
        self.dcr(Dcr.RECEPTION_FIFO_INTERRUPT, reg.bit(GROUP * 8 + RECEPTION))
        self.dcr(Dcr.INJECTION_FIFO_ENABLE + GROUP, reg.bit(INJECTION))
        self.store(Register.INJECTION_ACTIVATE, reg.bit(INJECTION))
        self.dcr(Dcr.RECEPTION_FIFO_ENABLE, reg.bit(GROUP * 8 + RECEPTION))
        for number in (reg.Interrupt.INJECTION_COUNTER_ZERO, reg.Interrupt.RECEPTION_FIFO_THRESHOLD):
            node.bic.set_target(number, bic.target(CORE))

    def load(self, offset: int) -> int:
        return self.node.bus.load(reg.group_address(GROUP, offset))

    def store(self, offset: int, value: int) -> None:
        self.node.bus.store(reg.group_address(GROUP, offset), value)

    def dcr(self, offset: int, value: int) -> None:
        self.node.dcr.write(reg.DCR_BASE + offset, value)

    def transmit(self, destination: int, length: int, frame: object = None) -> None:
        descriptor = Descriptor(
            Transfer.MEMORY_FIFO,
            destination,
            length,
            injection_counter=GROUP * 64 + COUNTER,
            reception_group=GROUP,
            payload=frame,
        )
        self.tx.write(self.tail, descriptor)
        self.tail = self.tx.next(self.tail)
        self.store(reg.injection_counter(COUNTER, CounterRegister.INCREMENT), length)
        self.store(reg.injection_fifo(INJECTION, FifoRegister.TAIL), self.tx.pointer(self.tail))

    def receive(self) -> list[DmaPacket]:
        """The receive interrupt's accesses; its six device accesses, however many packets wait."""
        packets = []
        self.store(Register.RECEPTION_THRESHOLD_CLEAR, 0xFFFF_FFFF)
        if self.load(Register.RECEPTION_NOT_EMPTY) & reg.bit(GROUP * 8 + RECEPTION):
            tail = self.rx.slot(self.load(reg.reception_fifo(RECEPTION, FifoRegister.TAIL)))
            while self.head != tail:
                packet = self.rx.read(self.head)
                assert isinstance(packet, DmaPacket)
                packets.append(packet)
                self.head = self.rx.next(self.head)
            self.store(reg.reception_fifo(RECEPTION, FifoRegister.HEAD), self.rx.pointer(self.head))
        return packets

    def transmit_done(self) -> int:
        """The hit-zero interrupt's accesses; returns the slot the engine has reached."""
        control = Register.INJECTION_COUNTER_CONTROL + 4
        hits = self.load(control + CounterControl.HIT_ZERO)
        assert hits == reg.bit(COUNTER)
        self.store(control + CounterControl.HIT_ZERO_CLEAR, hits)
        return self.tx.slot(self.load(reg.injection_fifo(INJECTION, FifoRegister.HEAD)))


def pair() -> tuple[simpy.Environment, Nodes]:
    environment = simpy.Environment()
    return environment, build_nodes(environment, SHEET, (2, 1, 1), (False, False, False))


def test_a_frame_crosses_with_its_interrupts() -> None:
    environment, built = pair()
    sender, receiver = Driver(built.nodes[0]), Driver(built.nodes[1])
    sender.transmit(1, 1526, frame="frame")
    environment.run()
    assert built.nodes[0].bic.pending_interrupt(CORE) == reg.Interrupt.INJECTION_COUNTER_ZERO
    assert sender.transmit_done() == 1
    built.nodes[0].bic.clear(reg.Interrupt.INJECTION_COUNTER_ZERO)
    assert not built.nodes[0].bic.pending(CORE)
    assert built.nodes[1].bic.pending_interrupt(CORE) == reg.Interrupt.RECEPTION_FIFO_THRESHOLD
    packets = receiver.receive()
    assert [packet.payload_bytes for packet in packets] == [240] * 6 + [86]
    assert [packet.offset for packet in packets] == [240 * n for n in range(7)]
    assert all(packet.chunks == 8 and packet.descriptor.payload == "frame" for packet in packets)
    assert packets[-1].last
    assert not packets[0].last
    built.nodes[1].bic.clear(reg.Interrupt.RECEPTION_FIFO_THRESHOLD)
    assert not built.nodes[1].bic.pending(CORE)
    assert receiver.load(Register.RECEPTION_NOT_EMPTY) == 0
    built.check()


def test_the_first_packet_raises_the_interrupt_after_its_exact_time() -> None:
    environment, built = pair()
    sender, _ = Driver(built.nodes[0]), Driver(built.nodes[1])
    times: list[float] = []
    built.nodes[1].bic.on_change = lambda core: times.append(environment.now)
    sender.transmit(1, 240)
    environment.run()
    assert times == [L3 + DDR + ONE_PACKET + L3]


def test_a_packet_that_comes_after_the_threshold_was_cleared_raises_it_again() -> None:
    environment, built = pair()
    sender, receiver = Driver(built.nodes[0]), Driver(built.nodes[1])
    sender.transmit(1, 240)
    environment.run()
    receiver.receive()
    built.nodes[1].bic.clear(reg.Interrupt.RECEPTION_FIFO_THRESHOLD)
    sender.transmit(1, 240)
    environment.run()
    assert built.nodes[1].bic.pending(CORE)
    assert len(receiver.receive()) == 1


def test_a_full_reception_fifo_holds_the_network_and_loses_nothing() -> None:
    environment, built = pair()
    sender, receiver = Driver(built.nodes[0]), Driver(built.nodes[1], receive_slots=8)
    for _ in range(10):
        sender.transmit(1, 720)
    environment.run()
    assert built.torus.in_flight > 0
    assert built.nodes[0].dma.injection_counters.value[GROUP * 64 + COUNTER] > 0
    received = 0
    while True:
        packets = receiver.receive()
        if not packets:
            break
        assert len(packets) <= 7
        received += len(packets)
        environment.run()
    assert received == 30
    assert built.torus.in_flight == 0
    built.check()


def test_rings_wrap() -> None:
    environment, built = pair()
    sender, receiver = Driver(built.nodes[0]), Driver(built.nodes[1], receive_slots=8)
    lengths = []
    for number in range(600):
        sender.transmit(1, 240 + number % 100)
        environment.run()
        lengths.append(sum(packet.payload_bytes for packet in receiver.receive()))
    assert lengths == [240 + number % 100 for number in range(600)]


def user_level(built: Nodes, **changes: object) -> tuple[Node, Node, Descriptor]:
    for node in built.nodes.values():
        node.dma.setup_injection_fifo(0, 0, Ring(node.memory, 0x1000, 64, reg.DESCRIPTOR_BYTES))
        node.dma.enable_counters(0)
    put = Descriptor(
        Transfer.DIRECT_PUT, destination=1, length=1000, injection_counter=1, reception_counter=2
    )
    return built.nodes[0], built.nodes[1], replace(put, **changes)  # type: ignore[arg-type]


def test_a_direct_put_counts_bytes_at_both_ends_and_places_the_data() -> None:
    environment, built = pair()
    source, target, put = user_level(built, payload="data", offset=0x40)
    source.dma.arm_injection_counter(1, 1000)
    target.dma.arm_reception_counter(2, 1000)
    target.bus.store(reg.group_address(0, reg.reception_counter(2, CounterRegister.BASE)), 0x300)
    source.memory.write(0x1000, put)
    injected, received = source.dma.when_injected(1), target.dma.when_received(2)
    source.dma.advance_tail(0, 0)
    environment.run(until=injected)
    interval = SHEET.cycles("dma.packet_interval")
    assert environment.now == L3 + DDR + 4 * interval  # all five fit: four wait, the first has left
    environment.run(until=received)
    assert environment.now == L3 + DDR + 4 * 544 + ONE_PACKET + L3
    assert target.memory.read(0x3040) == "data"
    assert target.dma.reception_counters.hit_zero(2)
    word = target.bus.load(reg.group_address(0, Register.RECEPTION_COUNTER_CONTROL + CounterControl.HIT_ZERO))
    assert word == reg.bit(2)
    status = Register.RECEPTION_COUNTER_CONTROL + CounterControl.GROUP_STATUS
    assert target.bus.load(reg.group_address(3, status)) == reg.bit(0)


def test_small_packets_when_the_message_is_one_packet_and_not_padded() -> None:
    environment, built = pair()
    source, _, put = user_level(built, length=48, full_packets=False)
    source.memory.write(0x1000, put)
    source.dma.advance_tail(0, 0)
    environment.run()
    assert built.torus.link(0, Direction.X_PLUS).busy_cycles == 2 * (2 * 32 + 16)


def test_a_remote_get_makes_the_other_engine_send() -> None:
    environment, built = pair()
    source, _, put = user_level(built, destination=0, length=2400)
    request = Descriptor(Transfer.REMOTE_GET, 1, reg.DESCRIPTOR_BYTES, payload=(put,), full_packets=False)
    source.dma.arm_reception_counter(2, 2400)
    source.memory.write(0x1000, request)
    received = source.dma.when_received(2)
    source.dma.advance_tail(0, 0)
    environment.run(until=received)
    request_cycles = 2 * (2 * 32 + 16) + ONE_PACKET - 544
    assert environment.now == L3 + DDR + request_cycles + L3 + L3 + DDR + 9 * 544 + ONE_PACKET + L3


def test_a_local_copy_uses_no_link() -> None:
    environment, built = pair()
    source, _, put = user_level(built, destination=0, local=True)
    source.dma.arm_reception_counter(2, 1000)
    source.memory.write(0x1000, put)
    received = source.dma.when_received(2)
    source.dma.advance_tail(0, 0)
    environment.run(until=received)
    assert built.torus.injected == 0


def test_fifos_take_turns_packet_by_packet() -> None:
    environment, built = pair()
    source, target, put = user_level(built, length=2400)
    other = Ring(source.memory, 0x2000, 64, reg.DESCRIPTOR_BYTES)
    source.dma.setup_injection_fifo(0, 1, other, network_fifos=0x40)
    source.memory.write(0x1000, put)
    other.write(0, replace(put, reception_counter=3))
    order: list[float] = []
    for counter in (2, 3):
        target.dma.arm_reception_counter(counter, 2400)
        target.dma.when_received(counter).callbacks.append(lambda _: order.append(environment.now))
    source.dma.advance_tail(0, 0)
    source.dma.advance_tail(0, 1)
    environment.run()
    assert built.torus.delivered == 20
    assert 0 < order[1] - order[0] <= 2 * 544  # neither had to wait for the other's last packet


def test_a_fifo_that_is_not_enabled_waits() -> None:
    environment, built = pair()
    source, _, put = user_level(built)
    source.memory.write(0x1000, put)
    source.dma.dcr_write(Dcr.INJECTION_FIFO_ENABLE, 0)
    source.dma.advance_tail(0, 0)
    environment.run()
    assert built.torus.injected == 0
    source.dma.dcr_write(Dcr.INJECTION_FIFO_ENABLE, reg.bit(0))
    environment.run()
    assert built.torus.delivered == 5


def test_misuse_is_an_error_that_says_where() -> None:
    environment, built = pair()
    source, _, put = user_level(built, injection_counter=70)
    source.dma.advance_tail(0, 0)
    with pytest.raises(DmaError, match="no descriptor at 0x1000"):
        environment.run()
    environment, built = pair()
    source, _, put = user_level(built, injection_counter=70)
    source.memory.write(0x1000, put)
    source.dma.advance_tail(0, 0)
    with pytest.raises(DmaError, match="injection counter 70 is used while it is disabled"):
        environment.run()
    with pytest.raises(ValueError, match="at least one byte"):
        Descriptor(Transfer.MEMORY_FIFO, 1, 0)


def test_status_words_and_unreadable_registers() -> None:
    _, built = pair()
    driver = Driver(built.nodes[0])
    assert driver.load(Register.INJECTION_ACTIVE) == reg.bit(INJECTION)
    assert driver.load(Register.INJECTION_NOT_EMPTY) == 0
    assert driver.load(Register.INJECTION_AVAILABLE) == reg.bit(INJECTION)
    assert driver.load(Register.RECEPTION_AVAILABLE) == reg.bit(GROUP * 8 + RECEPTION)
    driver.store(reg.reception_fifo(reg.HEADER_FIFO, FifoRegister.START), 5)
    assert driver.load(reg.reception_fifo(reg.HEADER_FIFO, FifoRegister.START)) == 5
    assert driver.load(reg.reception_counter(9, CounterRegister.LIMIT)) == 0xFFFF_FFFF
    with pytest.raises(LookupError):
        driver.load(Register.INJECTION_ACTIVATE)
    with pytest.raises(LookupError):
        driver.store(Register.INJECTION_NOT_EMPTY, 1)

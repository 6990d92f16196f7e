"""The Ethernet driver: its device accesses one by one, the same on every platform."""

from __future__ import annotations

import inspect
from collections import Counter
from typing import Any

import pytest

from bgsim.datasheet import Datasheet
from bgsim.guests import ethernet, ethernet_collective, ethernet_torus, network, network_paths, tcp, udp
from bgsim.guests.ethernet import Frame, end_interrupt, find_interrupt
from bgsim.guests.ethernet_collective import CollectiveEthernet, FragmentHeader
from bgsim.guests.ethernet_torus import RECEIVED_INTERRUPT, SENT_INTERRUPT, TorusEthernet
from bgsim.guests.network_paths import NetworkPaths
from bgsim.hardware.dma_descriptor import Descriptor, DmaPacket
from bgsim.hardware.dma_registers import FifoRegister
from bgsim.platforms.seam import (
    Code,
    Load,
    LoadQuad,
    ReadDcr,
    ReadMemory,
    Store,
    StoreQuad,
    WriteDcr,
    WriteMemory,
)

MACHINE = Datasheet.load()
ACCESSES = (Load, Store, LoadQuad, StoreQuad, ReadDcr, WriteDcr)


def drive(code: Code, answers: dict[int, Any] | None = None, quads: list[Any] | None = None) -> list[Any]:
    """Run guest code, answering device loads by address; returns its requests."""
    requests: list[Any] = []
    answer: Any = None
    answers = answers or {}
    try:
        while True:
            request = code.send(answer)
            requests.append(request)
            answer = None
            if isinstance(request, Load | ReadMemory):
                answer = answers.get(request.address, 0)
            elif isinstance(request, ReadDcr):
                answer = answers.get(request.number, 0)
            elif isinstance(request, LoadQuad):
                answer = quads.pop(0) if quads else None
    except StopIteration:
        return requests


def accesses(requests: list[Any]) -> Counter[str]:
    return Counter(type(each).__name__ for each in requests if isinstance(each, ACCESSES))


def torus() -> TorusEthernet:
    return TorusEthernet(MACHINE, NetworkPaths(MACHINE))


def test_a_frame_is_one_descriptor_and_two_stores() -> None:
    driver = torus()
    requests = drive(driver.transmit(Frame(1, 1500, "packet")))
    assert accesses(requests) == {"Store": 2}
    (written,) = [each for each in requests if isinstance(each, WriteMemory)]
    assert isinstance(written.value, Descriptor)
    assert written.value.length == 16 + 14 + 1500
    assert driver.frames_sent == 1


def test_a_full_ring_drops_the_frame() -> None:
    driver = torus()
    for _ in range(255):
        drive(driver.transmit(Frame(1, 100, None)))
    assert accesses(drive(driver.transmit(Frame(1, 100, None)))) == {}
    assert (driver.frames_sent, driver.frames_dropped) == (255, 1)


def test_the_completion_interrupt_makes_five_accesses_and_frees_the_frames() -> None:
    driver = torus()
    freed: list[Frame] = []
    driver.on_sent = freed.append
    drive(driver.transmit(Frame(1, 100, None)))
    drive(driver.transmit(Frame(1, 100, None)))
    head = ethernet_torus._INJECTION[FifoRegister.HEAD]
    word = ethernet_torus._register(ethernet_torus._CONTROL + 0x20 + 4)
    requests = drive(
        driver.interrupt(SENT_INTERRUPT), {word: 1, head: (ethernet_torus.TRANSMIT_RING >> 4) + 2 * 2}
    )
    assert accesses(requests) == {"Load": 3, "Store": 2}
    assert len(freed) == 2


def test_the_receive_interrupt_makes_six_accesses_whatever_came() -> None:
    driver = torus()
    got: list[Frame] = []
    driver.on_receive = got.append
    frame = Frame(1, 1500, "packet")
    (written,) = [each for each in drive(torus().transmit(frame)) if isinstance(each, WriteMemory)]
    descriptor = written.value
    offsets = range(0, descriptor.length, 240)
    memory = {
        ethernet_torus.RECEIVE_RING + slot * 256: DmaPacket(
            descriptor, 0, offset, min(240, descriptor.length - offset), 8
        )
        for slot, offset in enumerate(offsets)
    }
    tail = (ethernet_torus.RECEIVE_RING >> 4) + len(offsets) * 16
    answers = memory | {
        ethernet_torus._register(0xA00): 1,
        ethernet_torus._RECEPTION[FifoRegister.TAIL]: tail,
    }
    requests = drive(driver.interrupt(RECEIVED_INTERRUPT), answers)
    assert accesses(requests) == {"Store": 3, "Load": 3}
    assert got == [frame]
    assert driver.bytes_received == 1500


def test_the_interrupt_controller_costs_two_loads_and_three_accesses() -> None:
    hierarchy, group = 0x7_3000_0780, 0x7_3000_0000 + 3 * 0x80 + 0x20
    found: list[int | None] = []

    def find() -> Code:
        found.append((yield from find_interrupt()))

    assert accesses(drive(find(), {hierarchy: 0x8000_0000 >> 3, group: 1})) == {"Load": 2}
    assert found == [3 * 32 + 31]
    assert accesses(drive(end_interrupt(0x5C))) == {"Store": 2, "Load": 1}


@pytest.mark.parametrize(("ip_bytes", "fragments"), [(40, 1), (226, 1), (227, 2), (1500, 7), (9000, 38)])
def test_a_collective_frame_costs_eighteen_accesses_per_fragment(ip_bytes: int, fragments: int) -> None:
    driver = CollectiveEthernet(MACHINE, NetworkPaths(MACHINE), 0)
    requests = drive(driver.transmit(Frame(1, ip_bytes, None)))
    assert accesses(requests) == {"Load": fragments, "Store": fragments, "StoreQuad": 16 * fragments}
    assert driver.fragments_sent == fragments


def test_a_full_collective_fifo_makes_the_frame_wait_for_its_interrupt() -> None:
    driver = CollectiveEthernet(MACHINE, NetworkPaths(MACHINE), 0)
    status = 0x6_1000_0040
    full = drive(driver.transmit(Frame(1, 100, None)), {status: 8 << 16})
    assert accesses(full) == {"Load": 1, "WriteDcr": 1}
    assert driver.frames_sent == 0
    drive(driver.interrupt(ethernet_collective.SENT_INTERRUPT))
    assert driver.frames_sent == 1
    assert driver.frames_dropped == 0


def test_collective_reception_reads_flags_status_and_seventeen_words_per_fragment() -> None:
    driver = CollectiveEthernet(MACHINE, NetworkPaths(MACHINE), 0)
    got: list[Frame] = []
    driver.on_receive = got.append
    frame = Frame(1, 400, None)
    quads = [
        quad for fragment in range(2) for quad in [FragmentHeader(0, 7, fragment, 2, frame), *[None] * 15]
    ]
    requests = drive(
        driver.interrupt(ethernet_collective.RECEIVED_INTERRUPT), {0xC44: 2, 0x6_1000_0040: 2}, quads
    )
    assert accesses(requests) == {"ReadDcr": 1, "Load": 1 + 2, "LoadQuad": 32}
    assert got == [frame]


@pytest.mark.parametrize(
    "module", [ethernet, ethernet_collective, ethernet_torus, network, network_paths, tcp, udp]
)
def test_the_guest_never_asks_what_it_runs_on(module: Any) -> None:
    source = inspect.getsource(module)
    for word in ("BareMetal", "VirtualMachine", "bare-metal", "virtual-machine", "virtual ="):
        assert word not in source

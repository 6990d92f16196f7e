"""The Ethernet driver over the collective network: every 16 bytes through the processor.

Each 240-byte fragment costs a status load, a header store and 16 quad stores to send, and a header
load and 16 quad loads to receive, after one status load and one control register read per interrupt.
When the injection FIFO is full the frame waits, and the injection watermark interrupt goes on with it.

Source: Kittyhawk Linux ``tree.c`` and ``bgnet.c``. The handler reads as many packets as its one
status load reported, as the original does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from bgsim.datasheet import Datasheet
from bgsim.guests.ethernet import Counted, Frame, enable_interrupt
from bgsim.guests.network_paths import NetworkPaths
from bgsim.hardware import collective_device as hw
from bgsim.hardware.collective_device import Dcr, InjectionFlag, Interrupt, ReceptionFlag, Register
from bgsim.hardware.collective_header import point_to_point_header
from bgsim.platforms.seam import (
    Code,
    Load,
    LoadQuad,
    ReadDcr,
    Request,
    SetInterrupts,
    Store,
    StoreQuad,
    WriteDcr,
)

CHANNEL = 0
INJECTION_WATERMARK = 4
SENT_INTERRUPT = int(Interrupt.INJECTION)
RECEIVED_INTERRUPT = int(Interrupt.RECEPTION)
_BASE = hw.BASES[CHANNEL]


@dataclass(frozen=True)
class FragmentHeader:
    """The link header: first quad of a fragment."""

    source: int
    connection: int
    fragment: int
    fragments: int
    frame: Frame


@dataclass
class _Outgoing:
    """A frame on its way out."""

    frame: Frame
    connection: int
    fragments: int
    next: int = 0


class CollectiveEthernet(Counted):
    """The collective part of the driver on one node.

    Parameters
    ----------
    node
        Node number, the source key of its fragments.
    """

    interrupts = (SENT_INTERRUPT, RECEIVED_INTERRUPT)

    def __init__(self, datasheet: Datasheet, paths: NetworkPaths, node: int) -> None:
        super().__init__(datasheet, paths)
        self.node = node
        self.fragments_sent = 0
        self.fragments_received = 0
        self._fifo_packets = datasheet.integer("collective.fifo_packets")
        self._pending_max = datasheet.integer("guest.bgnet.pending_frames")
        self._pending: deque[_Outgoing] = deque()
        self._watching = False
        self._connection = 0
        self._partial: dict[tuple[int, int], int] = {}

    def initialise(self) -> Code:
        """Set watermarks, enable the reception interrupt, clear flags."""
        configuration = Dcr.CHANNEL_CONFIGURATION + CHANNEL
        yield WriteDcr(hw.DCR_BASE + configuration, INJECTION_WATERMARK)
        yield WriteDcr(hw.DCR_BASE + Dcr.INJECTION_ENABLE, 0)
        yield WriteDcr(hw.DCR_BASE + Dcr.RECEPTION_ENABLE, ReceptionFlag.WATERMARK >> CHANNEL)
        yield ReadDcr(hw.DCR_BASE + Dcr.INJECTION_FLAGS)
        yield ReadDcr(hw.DCR_BASE + Dcr.RECEPTION_FLAGS)
        for number in self.interrupts:
            yield from enable_interrupt(number)

    def transmit(self, frame: Frame) -> Generator[Request, Any, bool]:
        """Send a frame fragment by fragment, or queue it while the FIFO is full."""
        yield self.paths.lock()
        yield SetInterrupts(False)
        length = self.ethernet_header + frame.ip_bytes
        outgoing = _Outgoing(frame, self._connection, -(-length // self.fragment_payload))
        self._connection += 1
        queued = True
        if self._pending:
            queued = len(self._pending) <= self._pending_max
            if queued:
                self._pending.append(outgoing)
        else:
            finished = yield from self._send(outgoing)
            if not finished:
                self._pending.append(outgoing)
                yield from self._watch(True)
        if not queued:
            self.frames_dropped += 1
            self.on_sent(frame)
        yield SetInterrupts(True)
        return queued

    def _send(self, outgoing: _Outgoing) -> Generator[Request, Any, bool]:
        """Send the fragments of a frame that fit; whether it is all gone."""
        frame = outgoing.frame
        while outgoing.next < outgoing.fragments:
            status = yield Load(_BASE + Register.STATUS)
            if status >> 16 & 0xF >= self._fifo_packets:
                return False
            header = FragmentHeader(self.node, outgoing.connection, outgoing.next, outgoing.fragments, frame)
            yield self.paths.work(self.paths.collective_fragment)
            yield Store(_BASE + Register.INJECTION_HEADER, point_to_point_header(frame.destination))
            yield StoreQuad(_BASE + Register.INJECTION_DATA, header)
            for _ in range(hw.QUADS - 1):
                yield StoreQuad(_BASE + Register.INJECTION_DATA, None)
            outgoing.next += 1
            self.fragments_sent += 1
        self._sent(frame)
        self.on_sent(frame)
        return True

    def _watch(self, on: bool) -> Code:
        """Enable or disable the interrupt that the FIFO has room."""
        if self._watching != on:
            self._watching = on
            enable = InjectionFlag.WATERMARK >> CHANNEL if on else 0
            yield WriteDcr(hw.DCR_BASE + Dcr.INJECTION_ENABLE, enable)

    def interrupt(self, number: int) -> Code:
        """Room in the injection FIFO, or packets in the reception FIFO."""
        if number == SENT_INTERRUPT:
            yield ReadDcr(hw.DCR_BASE + Dcr.INJECTION_FLAGS)
            while self._pending:
                finished = yield from self._send(self._pending[0])
                if not finished:
                    return
                self._pending.popleft()
            yield from self._watch(False)
            return
        flags = yield ReadDcr(hw.DCR_BASE + Dcr.RECEPTION_FLAGS)
        if flags & ReceptionFlag.WATERMARK >> CHANNEL:
            yield from self._receive()

    def _receive(self) -> Code:
        status = yield Load(_BASE + Register.STATUS)
        for _ in range(status & 0xF):
            yield Load(_BASE + Register.RECEPTION_HEADER)
            header = yield LoadQuad(_BASE + Register.RECEPTION_DATA)
            for _ in range(hw.QUADS - 1):
                yield LoadQuad(_BASE + Register.RECEPTION_DATA)
            assert isinstance(header, FragmentHeader), "a packet starts with its link header"
            self.fragments_received += 1
            key = header.source, header.connection
            got = self._partial.pop(key, 0) + 1
            instructions = self.paths.collective_fragment
            if got < header.fragments:
                self._partial[key] = got
                yield self.paths.work(instructions)
            else:
                yield self.paths.work(instructions + self.paths.frame)
                self._received(header.frame)

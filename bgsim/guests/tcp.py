"""A TCP connection of the guest, established when the simulation starts.

Every write is sent at once (TCP_NODELAY); what cannot be sent yet is collected into full segments.
The receiver acknowledges every second segment, or after 40 ms, or with its own data, and when a read
has doubled the window. The flow is limited by the receiver's window. Three equal acknowledgements, or
200 ms without progress, make the sender start again at the first unacknowledged byte, by duplicates once
for what it had sent until then, by the timeout after twice as long each time; the receiver keeps nothing
that is out of order.

Left out: congestion window, selective acknowledgement, round-trip estimation, zero-window probes.
The networks below lose nothing by themselves, so none of these would act.

Source: Linux ``net/ipv4/tcp*.c`` in outline; path lengths ``guest.tcp.*``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol

from bgsim.datasheet import Datasheet
from bgsim.guests.ethernet import Frame
from bgsim.guests.network import Socket
from bgsim.guests.network_paths import NetworkPaths
from bgsim.platforms.seam import Code, Now, Request

HEADER_BYTES = 52
"""IP and TCP headers with the timestamp option; the largest segment is the MTU less this."""

SEGMENTS_PER_ACKNOWLEDGEMENT = 2
"""A receiver that has nothing to send acknowledges so many segments together."""

DUPLICATES = 3


class Kernel(Protocol):
    """What a connection asks of the kernel."""

    paths: NetworkPaths
    mtu_bytes: int
    socket: Socket | None

    def transmit(self, ip_bytes: int, packet: Any) -> Generator[Request, Any, bool]:
        """Hand a packet for the other end to the driver; whether it was taken."""

    def block(self, condition: Callable[[], bool]) -> Code:
        """Put the process to sleep until something holds."""


@dataclass(frozen=True)
class Segment:
    """One TCP segment; sequence numbers count bytes from 0 and do not wrap."""

    sequence: int
    length: int
    acknowledgement: int
    window: int


class TcpSocket:
    """One end of the connection."""

    def __init__(self, datasheet: Datasheet, kernel: Kernel) -> None:
        self.kernel = kernel
        self.paths = kernel.paths
        kernel.socket = self
        self.segment_max = kernel.mtu_bytes - HEADER_BYTES
        self.window_max = datasheet.integer("guest.tcp.window")
        self.send_buffer = datasheet.integer("guest.tcp.send_buffer")
        self._delay = datasheet.cycles("guest.tcp.delayed_acknowledgement")
        self._timeout = datasheet.cycles("guest.tcp.retransmission_timeout")
        self.written = 0  # bytes the program has given
        self.next = 0  # next byte to send
        self.acknowledged = 0
        self.window_end = self.window_max
        self.received = 0  # bytes received in order
        self.read = 0  # bytes the program has taken
        self.advertised = self.window_max
        self.retransmissions = 0
        self.out_of_order = 0
        self.acknowledgements_sent = 0
        self._unacknowledged = 0  # segments received since the last acknowledgement
        self._acknowledge_by: int | None = None
        self._progress_at = 0
        self._timeouts = 0  # since something was acknowledged
        self._duplicates = 0
        self._recovered = 0  # up to here duplicates tell of what has been sent again already
        self._owned = False
        self._waiting: deque[Segment] = deque()

    # -- system calls

    def send(self, size: int) -> Code:
        """Write ``size`` bytes."""
        yield self.paths.system_call(self.paths.call["tcp"])
        yield from self.write(size)

    def write(self, size: int) -> Code:
        """Copy ``size`` bytes into the send buffer, as the kernel does for a program or for itself."""
        self._owned = True
        left = size
        while left:
            room = self.room()
            if room <= 0:
                yield from self._release()
                yield from self.kernel.block(self.has_room)
                self._owned = True
                continue
            part = min(left, room, self.segment_max)
            yield self.paths.work(0, part)
            self.written += part
            left -= part
            if self.written - self.next >= self.segment_max or not left:
                yield from self._push()
        yield from self._release()

    def receive(self, most: int) -> Generator[Request, Any, int]:
        """Read at most so many bytes, waiting for the first."""
        yield self.paths.system_call(self.paths.call["tcp"])
        self._owned = True
        while self.received == self.read:
            yield from self._release()
            yield from self.kernel.block(lambda: self.received > self.read)
            self._owned = True
        size = min(most, self.received - self.read)
        yield self.paths.work(0, size)
        self.read += size
        known = self.advertised - self.received
        if 2 * known <= self.window_max and self._window() >= max(2 * known, self.segment_max):
            yield from self._transmit(0)
        yield from self._release()
        return size

    def room(self) -> int:
        """Bytes that the send buffer can take."""
        return self.send_buffer - (self.written - self.acknowledged)

    def has_room(self) -> bool:
        """Whether a third of the send buffer is free, at which a sleeping writer is woken."""
        return 3 * (self.written - self.acknowledged) <= 2 * self.send_buffer

    def _release(self) -> Code:
        while self._waiting:
            yield from self._process(self._waiting.popleft())
        self._owned = False

    # -- softirq

    def arrived(self, packet: Segment) -> Code:
        """Take a segment; while the process holds the socket it waits for that."""
        yield self.paths.work(self.paths.receive["tcp"])
        if self._owned:
            self._waiting.append(packet)
        else:
            yield from self._process(packet)

    def sent(self, frame: Frame) -> None:
        """Buffers of sent segments are kept until acknowledged, whatever the driver does."""

    def timer(self, now: int) -> Code:
        """Delayed acknowledgement and retransmission."""
        if self._owned:
            return
        if self._acknowledge_by is not None and now >= self._acknowledge_by:
            yield from self._transmit(0)
        if self.next > self.acknowledged and now - self._progress_at >= self._timeout << self._timeouts:
            self._progress_at = now
            self._timeouts += 1
            yield from self._start_again()

    def _process(self, segment: Segment) -> Code:
        now = yield Now()
        if segment.acknowledgement > self.acknowledged:
            self.acknowledged = segment.acknowledgement
            self.next = max(self.next, self.acknowledged)
            self._duplicates = self._timeouts = 0
            self._progress_at = now
        elif not segment.length and self.next > self.acknowledged == segment.acknowledgement:
            end = segment.acknowledgement + segment.window
            self._duplicates = self._duplicates + 1 if end == self.window_end else 0
        self.window_end = max(self.window_end, segment.acknowledgement + segment.window)
        at_once = False
        if segment.length:
            at_once = self._accept(segment, now)
        if self._duplicates == DUPLICATES and self.acknowledged >= self._recovered:
            yield from self._start_again()
        else:
            yield from self._push()
        if at_once and self._unacknowledged:
            yield from self._transmit(0)

    def _accept(self, segment: Segment, now: int) -> bool:
        """Take the data of a segment; whether it must be acknowledged at once."""
        self._unacknowledged += 1
        end = segment.sequence + segment.length
        if segment.sequence > self.received:
            self.out_of_order += 1
            return True
        if end <= self.received:
            return True
        self.received = end
        if self._acknowledge_by is None:
            self._acknowledge_by = now + self._delay
        return self._unacknowledged >= SEGMENTS_PER_ACKNOWLEDGEMENT

    # -- output

    def _window(self) -> int:
        return self.window_max - (self.received - self.read)

    def _push(self) -> Code:
        """Send what the window allows; a piece cut short by the window waits while others are out."""
        while self.next < self.written:
            length = min(self.segment_max, self.written - self.next)
            allowed = self.window_end - self.next
            if allowed < length and (allowed <= 0 or self.next > self.acknowledged):
                return
            yield from self._transmit(min(length, allowed))

    def _transmit(self, length: int) -> Code:
        now = yield Now()
        if self.next == self.acknowledged:
            self._progress_at = now
        window = self._window()
        segment = Segment(self.next, length, self.received, window)
        self.next += length
        self.advertised = self.received + window
        self._unacknowledged = 0
        self._acknowledge_by = None
        self.acknowledgements_sent += not length
        yield self.paths.work(self.paths.send["tcp"])
        yield from self.kernel.transmit(length + HEADER_BYTES, segment)

    def _start_again(self) -> Code:
        self.retransmissions += 1
        self._duplicates = 0
        self._recovered = max(self._recovered, self.next)
        self.next = self.acknowledged
        yield from self._push()

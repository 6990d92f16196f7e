"""A UDP socket of the guest.

A datagram above the MTU is fragmented by IP. The sender waits while its buffers wait in the driver;
the receiver's socket drops what does not fit into its buffer, and a datagram that lost a fragment is
never completed.

Source: Linux ``net/ipv4/{udp,ip_output,ip_fragment}.c`` in outline; path lengths ``guest.udp.*``, the
full path for every fragment.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from bgsim.datasheet import Datasheet
from bgsim.guests.ethernet import Frame
from bgsim.guests.limits import DATAGRAM_BYTES_MAX
from bgsim.guests.network import NetworkLinux
from bgsim.platforms.seam import Code, Request

IP_HEADER_BYTES = 20
UDP_HEADER_BYTES = 8


@dataclass(frozen=True)
class Datagram:
    """A datagram; ``number`` counts those of its sender."""

    number: int
    size: int


@dataclass(frozen=True)
class DatagramFragment:
    """One IP packet of a datagram."""

    datagram: Datagram
    bytes: int
    total_bytes: int


class UdpSocket:
    """One end."""

    def __init__(self, datasheet: Datasheet, kernel: NetworkLinux) -> None:
        self.kernel = kernel
        self.paths = kernel.paths
        kernel.socket = self
        self.buffer = datasheet.integer("guest.udp.buffer")
        self._overhead = datasheet.integer("guest.udp.buffer_overhead")
        self._sending = 0  # bytes in the driver
        self._queued = 0  # bytes in the receive queue
        self._queue: deque[Datagram] = deque()
        self._partial: dict[int, int] = {}
        self._number = 0
        self.dropped = 0
        self.sent_datagrams = 0

    # -- system calls

    def send(self, size: int) -> Code:
        """Send one datagram.

        Raises
        ------
        ValueError
            If it is longer than IP allows.
        """
        if size > DATAGRAM_BYTES_MAX:
            raise ValueError(f"a datagram carries at most {DATAGRAM_BYTES_MAX} bytes")
        yield self.paths.system_call(self.paths.call["udp"])
        yield from self.kernel.block(lambda: self._sending < self.buffer)
        yield self.paths.work(0, size)
        datagram = Datagram(self._number, size)
        self._number += 1
        total = left = size + UDP_HEADER_BYTES
        most = self.kernel.mtu_bytes - IP_HEADER_BYTES
        while left:
            part = left if left <= most else most // 8 * 8
            left -= part
            self._sending += part + IP_HEADER_BYTES + self._overhead
            yield self.paths.work(self.paths.send["udp"])
            fragment = DatagramFragment(datagram, part, total)
            yield from self.kernel.transmit(part + IP_HEADER_BYTES, fragment)
        self.sent_datagrams += 1

    def receive(self, give_up: Callable[[], bool]) -> Generator[Request, Any, Datagram | None]:
        """Take one datagram, or None once ``give_up`` holds."""
        yield self.paths.system_call(self.paths.call["udp"])
        yield from self.kernel.block(lambda: bool(self._queue) or give_up())
        if not self._queue:
            return None
        datagram = self._queue.popleft()
        self._queued -= datagram.size + self._overhead
        yield self.paths.work(0, datagram.size)
        return datagram

    # -- softirq

    def arrived(self, packet: DatagramFragment) -> Code:
        """Take a fragment; queue the datagram it completes."""
        yield self.paths.work(self.paths.receive["udp"])
        datagram = packet.datagram
        got = self._partial.pop(datagram.number, 0) + packet.bytes
        if got < packet.total_bytes:
            self._partial[datagram.number] = got
            return
        size = datagram.size + self._overhead
        if self._queued + size > self.buffer and self._queue:
            self.dropped += 1
            return
        self._queued += size
        self._queue.append(datagram)

    def sent(self, frame: Frame) -> None:
        """The driver has freed a fragment's buffer."""
        self._sending -= frame.ip_bytes + self._overhead

    def timer(self, now: int) -> Code:
        """UDP has no timers."""
        yield from ()

"""netperf's programs: what the client and the server do, and what they note.

Each pair is one test. A program is guest code over a socket; the recorder it tells belongs to the
measurement, not to the guest, and takes no simulated time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bgsim.guests.network import NetworkLinux
from bgsim.guests.tcp import TcpSocket
from bgsim.guests.udp import UdpSocket
from bgsim.platforms.seam import Code, Now, Wait

READ_BYTES = 87_380
"""What netperf's receiver asks for in one call: its socket buffer."""


@dataclass
class Recorder:
    """What the two programs note while they run."""

    sizes: tuple[int, int, int]  # bytes of a message, messages before measuring, messages measured
    on_mark: Callable[[], None]
    started: list[int] = field(default_factory=list)
    arrivals: list[tuple[int, int]] = field(default_factory=list)  # message and time, in order of time
    latencies: list[int] = field(default_factory=list)
    received_bytes: int = 0
    received_messages: int = 0
    delivered: int = 0
    begin: int = -1
    end: int = -1
    finished: bool = False
    all_sent: bool = False
    by_time: bool = False  # a stream that may lose messages: all that arrive from ``begin`` on count
    server_ready: bool = False

    @property
    def size(self) -> int:
        """Bytes of a message."""
        return self.sizes[0]

    @property
    def total(self) -> int:
        """Messages altogether."""
        return self.sizes[1] + self.sizes[2]

    def sending(self, now: int) -> None:
        """A send call begins."""
        if len(self.started) == self.sizes[1]:
            self.begin = now
            self.on_mark()
        self.started.append(now)

    def arrived(self, number: int, now: int) -> None:
        """Message ``number`` has reached the program it was for."""
        self.delivered += 1
        self.arrivals.append((number, now))
        if number >= self.sizes[1] or (self.by_time and self.begin >= 0):
            self.latencies.append(now - self.started[number])
            self.received_messages += 1
            self.received_bytes += self.size
            self.end = now

    def waiting(self) -> list[int]:
        """Messages under way, whenever one is sent."""
        times = [now for _, now in self.arrivals]
        return [number + 1 - bisect_right(times, now) for number, now in enumerate(self.started)]

    def finish(self) -> None:
        """The last message has arrived."""
        self.finished = True
        self.on_mark()


def _stream_client(socket: Any, recorder: Recorder, guest: NetworkLinux, give_up: int) -> Code:
    for _ in range(recorder.total):
        recorder.sending((yield Now()))
        yield from socket.send(recorder.size)
    recorder.all_sent = True
    while not recorder.finished:
        yield Wait()


def _tcp_stream_server(socket: TcpSocket, recorder: Recorder, guest: NetworkLinux, give_up: int) -> Code:
    done = got = 0
    while done < recorder.total:
        got += yield from socket.receive(READ_BYTES)
        now = yield Now()
        while got >= (done + 1) * recorder.size:
            recorder.arrived(done, now)
            done += 1
    recorder.finish()


def _udp_stream_server(socket: UdpSocket, recorder: Recorder, guest: NetworkLinux, give_up: int) -> Code:
    got = 0
    last = yield Now()

    def nothing_comes() -> bool:
        return recorder.all_sent and guest.time - last > give_up

    while got < recorder.total:
        datagram = yield from socket.receive(nothing_comes)
        if datagram is None:
            break
        last = yield Now()
        recorder.arrived(datagram.number, last)
        got += 1
        if datagram.number == recorder.total - 1:
            break
    recorder.finish()


def _tcp_rr_client(socket: TcpSocket, recorder: Recorder, guest: NetworkLinux, give_up: int) -> Code:
    for number in range(recorder.total):
        recorder.sending((yield Now()))
        yield from socket.send(recorder.size)
        yield from _receive_all(socket, recorder.size)
        recorder.arrived(number, (yield Now()))
    recorder.finish()


def _tcp_rr_server(socket: TcpSocket, recorder: Recorder, guest: NetworkLinux, give_up: int) -> Code:
    for _ in range(recorder.total):
        yield from _receive_all(socket, recorder.size)
        yield from socket.send(recorder.size)
    while not recorder.finished:
        yield Wait()


def _receive_all(socket: TcpSocket, size: int) -> Code:
    left = size
    while left:
        left -= yield from socket.receive(left)


def _udp_rr_client(socket: UdpSocket, recorder: Recorder, guest: NetworkLinux, give_up: int) -> Code:
    for number in range(recorder.total):
        recorder.sending((yield Now()))
        yield from socket.send(recorder.size)
        yield from socket.receive(lambda: False)
        recorder.arrived(number, (yield Now()))
    recorder.finish()


def _udp_rr_server(socket: UdpSocket, recorder: Recorder, guest: NetworkLinux, give_up: int) -> Code:
    for _ in range(recorder.total):
        yield from socket.receive(lambda: False)
        yield from socket.send(recorder.size)
    while not recorder.finished:
        yield Wait()


PROGRAMS: dict[str, tuple[Callable[..., Code], Callable[..., Code]]] = {
    "tcp_stream": (_stream_client, _tcp_stream_server),
    "udp_stream": (_stream_client, _udp_stream_server),
    "tcp_rr": (_tcp_rr_client, _tcp_rr_server),
    "udp_rr": (_udp_rr_client, _udp_rr_server),
}
"""Client and server of each test."""

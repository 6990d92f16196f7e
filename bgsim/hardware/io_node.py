"""An I/O node: a daemon at the collective network, what makes the calls for it, and 10 GbE behind them.

CIOD has one of the four cores. It takes packets out of the reception FIFO one by one, hands a complete
request to the process's proxy, and puts answers into the injection FIFO; while both wait it takes turns. The
proxies share the other cores. A proxy makes the system call: it keeps the process's descriptors, goes to the
file server over the Ethernet where it must, and hands the result to the daemon. Data that a proxy has read of
a shared file serves the other processes of the pset (``io_node.file_cache``); while it is still on its way
they wait for it.

ZOID, the daemon of ZeptoOS, is one process with threads. A request passes from thread to thread instead of
from process to process (``zoid.message_cycles``), and answers are put into the injection FIFO by another
thread than takes requests out, on another core; for the rest it is modelled like CIOD.

Unlike a compute node it is not executed instruction by instruction: its software costs are times
(``ciod.*``, ``io_node.*``). Left out: its own interrupts and noise, TCP windows, and memory for the cache.

Sources: one daemon, a proxy per process and shared memory between them are recalled from descriptions of BG/P
(Mm); the rates at which a core empties and fills the collective FIFOs were read in IBM's Linux driver.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Generator
from typing import Any, cast

from simpy import Environment, Event

from bgsim.hardware.collective_device import QUADS
from bgsim.hardware.collective_header import point_to_point_header
from bgsim.hardware.file_server import FileServer, IoParameters
from bgsim.hardware.io_protocol import (
    CHANNEL,
    METADATA,
    Answer,
    Call,
    Fragment,
    Layer,
    Request,
    answer_packets,
)
from bgsim.hardware.station import Station
from bgsim.network.collective import CollectiveNetwork
from bgsim.network.collective_packet import CollectivePacket
from bgsim.network.tree import CLASS_POINT_TO_POINT

FIRST_DESCRIPTOR = 3
"""0 to 2 are the process's standard streams."""

Steps = Generator[Event, Any, None]


class _OpenFile:
    """What a descriptor stands for."""

    __slots__ = ("path", "position", "shared")

    def __init__(self, path: str, shared: bool) -> None:
        self.path = path
        self.shared = shared
        self.position = 0


class IoNode:
    """The I/O node of one pset.

    Parameters
    ----------
    environment
        Simulation environment in core cycles.
    address
        On the collective network; :func:`bgsim.network.psets.io_node_address`.
    network
        The collective network.
    server
        What is behind the Ethernet.

    Attributes
    ----------
    packets_received, packets_sent
        Of the collective network.
    """

    def __init__(
        self,
        environment: Environment,
        address: int,
        network: CollectiveNetwork,
        server: FileServer,
        parameters: IoParameters,
    ) -> None:
        self.environment = environment
        self.address = address
        self.parameters = parameters
        self.packets_received = self.packets_sent = 0
        self._network = network
        self._server = server
        self._fifo_packets = network.parameters.fifo_packets
        self._waiting: deque[CollectivePacket] = deque()  # in the reception FIFO
        self._outgoing: deque[tuple[Answer, int, int]] = deque()  # answer, its next packet, its packets
        self._in_fifo = 0  # of the injection FIFO
        self._wake = environment.event()
        self._wake_sender = environment.event()
        self._proxies = Station(parameters.proxy_cores)
        self._ethernet_out, self._ethernet_in = Station(), Station()
        self._files: dict[tuple[int, int], list[_OpenFile | None]] = {}  # by process
        self._cache: dict[tuple[str, int, int], Event | None] = {}  # None: it is there
        network.attach(address, self._arrived, self._room)
        if parameters.threads:
            environment.process(self._receiver())
            environment.process(self._sender())
        else:
            environment.process(self._daemon())

    # -- the daemon

    def _room(self, channel: int) -> int:
        return self._fifo_packets - len(self._waiting)

    def _arrived(self, packet: CollectivePacket) -> None:
        self._waiting.append(packet)
        content = packet.content
        assert isinstance(content, tuple)
        assert isinstance(content[0], Fragment)
        request = content[0].message
        if content[0].last and isinstance(request, Request):
            request.charge(Layer.COMPUTE, packet.injected_at)
            request.charge(Layer.COLLECTIVE, int(self.environment.now))
        self._awake()

    def _awake(self) -> None:
        for event in (self._wake, self._wake_sender):
            if not event.triggered:
                event.succeed()

    def _daemon(self) -> Steps:
        while True:
            if self._waiting:
                yield from self._take()
            sends = bool(self._outgoing) and self._in_fifo < self._fifo_packets
            if sends:
                yield from self._send()
            elif not self._waiting:
                self._wake = self.environment.event()
                yield self._wake

    def _receiver(self) -> Steps:
        """The thread that takes packets out of the reception FIFO."""
        while True:
            while self._waiting:
                yield from self._take()
            self._wake = self.environment.event()
            yield self._wake

    def _sender(self) -> Steps:
        """Whoever of the other threads puts answers into the injection FIFO, one at a time."""
        while True:
            while self._outgoing and self._in_fifo < self._fifo_packets:
                yield from self._send()
            self._wake_sender = self.environment.event()
            yield self._wake_sender

    def _take(self) -> Steps:
        fragment = cast("tuple[Fragment, ...]", self._waiting[0].content)[0]
        yield self.environment.timeout(self.parameters.receive_cycles)
        self._waiting.popleft()
        self._network.resume(self.address)
        self.packets_received += 1
        request = fragment.message
        assert isinstance(request, Request), "a compute node sends requests"
        if fragment.last:
            yield self.environment.timeout(self.parameters.message_cycles)
            self.environment.process(self._proxy(request))

    def _send(self) -> Steps:
        answer, number, count = self._outgoing.popleft()
        cycles = self.parameters.send_cycles + (0 if number else self.parameters.message_cycles)
        yield self.environment.timeout(cycles)
        last = number == count - 1
        if last:
            answer.request.charge(Layer.CIOD, int(self.environment.now))
        else:
            self._outgoing.appendleft((answer, number + 1, count))
        node = answer.request.node
        self._in_fifo += 1
        self.packets_sent += 1
        self._network.inject(
            CollectivePacket(
                source=self.address,
                destination=node,
                route=CLASS_POINT_TO_POINT,
                content=(Fragment(answer, number, last), *((None,) * (QUADS - 1))),
                channel=CHANNEL,
                header=point_to_point_header(node),
                on_departure=self._departed,
            )
        )

    def _departed(self) -> None:
        self._in_fifo -= 1
        self._awake()

    # -- the proxies

    def _proxy(self, request: Request) -> Steps:
        value = self._result(request)
        written = value if request.call == Call.WRITE else 0
        work = self.parameters.proxy_cycles + self.parameters.copied_cycles(max(0, written))
        yield from self._until(self._proxies.serve(self._now, work))
        request.charge(Layer.CIOD, self._now)
        if value >= 0 and (request.call in METADATA or request.call in (Call.READ, Call.WRITE)):
            yield from self._data(request, value)
        elif request.call in METADATA:
            yield from self._remote(request, request.path, 0)  # the server knows that there is no such file
        answer = Answer(request, value)
        count = answer_packets(request.call, value, self.parameters.payload_bytes)
        self._outgoing.append((answer, 0, count))
        self._awake()

    def _result(self, request: Request) -> int:
        """What the call gives; descriptors and positions change at once."""
        files = self._files.setdefault((request.node, request.process), [])
        sizes = self._server.sizes
        if request.call in METADATA:
            if request.create:
                sizes.setdefault(request.path, 0)
            if request.path not in sizes:
                return -errno.ENOENT
            if request.call == Call.STAT:
                return sizes[request.path]
            files.append(_OpenFile(request.path, request.shared))
            return FIRST_DESCRIPTOR + len(files) - 1
        number = request.descriptor - FIRST_DESCRIPTOR
        file = files[number] if 0 <= number < len(files) else None
        if file is None:
            return -errno.EBADF
        if request.call == Call.CLOSE:
            files[number] = None
            return 0
        if request.call == Call.LSEEK:
            if request.offset < 0:
                return -errno.EINVAL
            file.position = request.offset
            return file.position
        if request.call == Call.READ:
            length = max(0, min(request.length, sizes[file.path] - file.position))
        else:
            length = request.length
            sizes[file.path] = max(sizes[file.path], file.position + length)
        request.path, request.shared, request.offset = file.path, file.shared, file.position
        file.position += length
        return length

    def _data(self, request: Request, value: int) -> Steps:
        """Go to the server, or find the data in the node's memory."""
        if request.call != Call.READ:
            yield from self._remote(request, request.path, value if request.call == Call.WRITE else 0)
            return
        if request.shared and self.parameters.file_cache:
            yield from self._cached(request, value)
        else:
            yield from self._remote(request, request.path, value)
        copied = self.parameters.copied_cycles(value)
        if copied:
            yield from self._until(self._proxies.serve(self._now, copied))
            request.charge(Layer.CIOD, self._now)

    def _cached(self, request: Request, value: int) -> Steps:
        key = (request.path, request.offset, value)
        if key not in self._cache:
            coming = self._cache[key] = self.environment.event()
            yield from self._remote(request, request.path, value)
            self._cache[key] = None
            coming.succeed()
        elif (waited := self._cache[key]) is not None:
            yield waited
            request.charge(Layer.SERVER, self._now)

    def _remote(self, request: Request, path: str, length: int) -> Steps:
        """Over the Ethernet to the file server and back."""
        parameters = self.parameters
        out, back = (
            (length, 0) if request.call == Call.WRITE else (0, length if request.call == Call.READ else 0)
        )
        there = parameters.latency_cycles // 2
        yield from self._until(self._ethernet_out.serve(self._now, parameters.wire_cycles(out)) + there)
        request.charge(Layer.ETHERNET, self._now)
        yield from self._until(self._server.serve(self._now, request.call, path, length))
        request.charge(Layer.SERVER, self._now)
        yield from self._until(self._now + parameters.latency_cycles - there)
        yield from self._until(self._ethernet_in.serve(self._now, parameters.wire_cycles(back)))
        request.charge(Layer.ETHERNET, self._now)

    @property
    def _now(self) -> int:
        return int(self.environment.now)

    def _until(self, cycles: int) -> Steps:
        if cycles > self.environment.now:
            yield self.environment.timeout(cycles - self._now)

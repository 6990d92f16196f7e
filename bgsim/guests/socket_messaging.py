"""Messages between programs through TCP: the library of a guest whose kernel works the network itself.

A program under Linux does not see the torus. Its MPI library writes a message, behind a short envelope, into
the connection to the other process, and learns of arrivals by ``poll``; the kernel's Ethernet driver does
the rest (:mod:`bgsim.guests.network`). A process that has nothing to do sleeps. All messages take this
way whatever their size: there is no rendezvous, since the receiver's window limits what is under way.

Connections exist from the beginning, one for each pair that talks. A write that finds the send buffer full
goes on reading what has arrived meanwhile, so that two processes which write to each other cannot
block. Left out: messages nobody expects, several threads, and the shared memory of processes of one node but
for its copies.

Source: MPICH2's sockets channel in outline; software costs ``bgsim datasheet 'mpi.socket_*'`` and those of
:mod:`bgsim.guests.tcp`.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bgsim.datasheet import Datasheet
from bgsim.guests.application_memory import ApplicationMemory
from bgsim.guests.ethernet import Frame
from bgsim.guests.messages import Costs, Message, Send
from bgsim.guests.network import NetworkLinux, Socket
from bgsim.guests.tcp import Segment, TcpSocket
from bgsim.guests.user_code import UserCode
from bgsim.platforms.seam import Code, Now, Request, Run
from bgsim.profiles import program as ops
from bgsim.profiles.program import kernel_program, operation

READ_BYTES = 65_536
"""What one read asks for at most."""

BUFFER_BYTES = 65_536
"""Memory that the messages of a process are read into and written from, again and again."""


class ProgramCode(UserCode):
    """A program's code in memory of its own, which is mapped as the guest maps it."""

    def __init__(self, datasheet: Datasheet, memory: ApplicationMemory) -> None:
        super().__init__(datasheet, (), ())
        self._touched = [*memory.code]
        self._memory = memory
        self._through: dict[tuple[int, int], Run] = {}

    def through(self, count: int, size: int) -> Run:
        """Instructions that go through so many bytes of a buffer."""
        step = self._memory.touch_bytes
        places = -(-min(max(size, 1), BUFFER_BYTES) // step)
        run = self._through.get((count, places))
        if run is None:
            addresses = np.arange(places, dtype=np.int64) * step
            words = [*self._touched, *self._memory.words(addresses).tolist()]
            words.append(operation(ops.WORK_USER, count))
            run = self._through[count, places] = Run(kernel_program("message", words))
        return run

    def first_touches(self) -> Code:
        """Touch the buffer for the first time, place by place."""
        step = self._memory.touch_bytes
        for address in range(0, BUFFER_BYTES, step):
            words = self._memory.words(np.array([address], dtype=np.int64)).tolist()
            yield Run(kernel_program("first touch", [*self._memory.first_touch(address), *words]))


LINGER_CYCLES = 100_000
"""How often a process that is done looks whether all are."""


@dataclass(frozen=True)
class _Packet:
    """A segment and the node it comes from."""

    source: int
    segment: Segment


class _Route:
    """The kernel as one connection sees it."""

    def __init__(self, kernel: NetworkLinux, node: int, peer: int) -> None:
        self.paths = kernel.paths
        self.mtu_bytes = kernel.mtu_bytes
        self.socket: Socket | None = None
        self.block = kernel.block
        self._driver = kernel.driver
        self._node = node
        self._peer = peer

    def transmit(self, ip_bytes: int, packet: Any) -> Generator[Request, Any, bool]:
        """Hand a segment to the driver; whether it was taken."""
        return self._driver.transmit(Frame(self._peer, ip_bytes, _Packet(self._node, packet)))


class Connections:
    """The connections of one process, as the kernel's one socket."""

    def __init__(self, datasheet: Datasheet, kernel: NetworkLinux, node: int) -> None:
        self.sockets: dict[int, TcpSocket] = {}
        self._datasheet = datasheet
        self._kernel = kernel
        self._node = node
        kernel.socket = self

    def to(self, peer: int) -> TcpSocket:
        """The connection to a node."""
        if peer not in self.sockets:
            self.sockets[peer] = TcpSocket(self._datasheet, _Route(self._kernel, self._node, peer))
        return self.sockets[peer]

    def readable(self) -> int | None:
        """A node whose data waits to be read."""
        for peer, socket in self.sockets.items():
            if socket.received > socket.read:
                return peer
        return None

    def arrived(self, packet: _Packet) -> Code:
        """A segment, in the softirq."""
        yield from self.to(packet.source).arrived(packet.segment)

    def sent(self, frame: Frame) -> None:
        """Buffers of sent segments are kept until acknowledged."""

    def timer(self, now: int) -> Code:
        """Look at the timers of all connections."""
        for socket in tuple(self.sockets.values()):
            yield from socket.timer(now)


Streams = defaultdict[tuple[int, int], deque[Message]]
"""Messages under way by source and destination, in order: TCP carries their bytes."""


def streams() -> Streams:
    """The streams of a job, empty."""
    return defaultdict(deque)


class SocketMessenger:
    """The library of one process.

    Parameters
    ----------
    kernel
        The kernel it runs on.
    memory
        The program's memory; the first `BUFFER_BYTES` of its data are the library's.
    under_way
        The job's streams.

    Attributes
    ----------
    arrived
        Messages received and not yet taken, in order of their completion.
    driver
        The kernel's Ethernet driver, for its counts.
    on_mark
        Told ``noticed packets`` when a poll has found something and ``handled packets`` when that has been
        read, with the time. For instruments.
    """

    def __init__(
        self,
        datasheet: Datasheet,
        kernel: NetworkLinux,
        node: int,
        memory: ApplicationMemory,
        under_way: Streams,
    ) -> None:
        self.node = node
        self.code = ProgramCode(datasheet, memory)
        self.arrived: deque[Message] = deque()
        self.on_mark: Callable[[str, int], None] | None = None
        self.connections = Connections(datasheet, kernel, node)
        self.driver = kernel.driver
        self._kernel = kernel
        self._under_way = under_way
        self._read_bytes: dict[int, int] = defaultdict(int)  # of the message that comes next, by source
        self._envelope = datasheet.integer("mpi.socket_envelope")
        self._send = datasheet.integer("mpi.socket_send_instructions")
        self._receive = datasheet.integer("mpi.socket_receive_instructions")
        self._poll = datasheet.integer("mpi.socket_poll_instructions")
        self._local = Costs(datasheet)

    def initialise(self) -> Code:
        """Touch the buffers; the driver has been set up by the kernel."""
        yield from self.code.first_touches()

    def linger(self, over: Callable[[], bool]) -> Code:
        """Stay until the job is over: what the kernel has to acknowledge does not wait for the program."""
        while not over():
            yield self.code.cycles(LINGER_CYCLES)

    # -- messages

    def send(
        self, target: int, size: int, content: Any = None, eager: bool | None = None
    ) -> Generator[Request, Any, Send]:
        """Write a message into a connection; `eager` changes nothing, there is one way."""
        yield self.code.through(self._send, size)
        message = Message(self.node, size, content)
        self._under_way[self.node, target].append(message)
        socket = self.connections.to(target)
        left = self._envelope + size
        while left:
            room = socket.send_buffer - (socket.written - socket.acknowledged)
            if room > 0:
                part = min(left, room)
                yield from socket.send(part)
                left -= part
            else:
                yield from self._kernel.block(lambda: self._may_go_on(socket))
                peer = self.connections.readable()
                if peer is not None:
                    yield from self._take(peer)
        return Send(message, done=True)

    def _may_go_on(self, socket: TcpSocket) -> bool:
        return socket.has_room() or self.connections.readable() is not None

    def receive(self, source: int | None = None) -> Generator[Request, Any, Message]:
        """Wait for a message, of one node or of any."""
        while True:
            for message in self.arrived:
                if source is None or message.source == source:
                    self.arrived.remove(message)
                    return message
            yield from self.progress()

    def finish(self, send: Send) -> Code:
        """Nothing is left to do: the kernel has the data."""
        assert send.done
        yield from ()

    def look(self) -> Code:
        """Ask whether something can be read, and go on."""
        yield self._kernel.paths.system_call(self._poll)

    def progress(self) -> Code:
        """Sleep until something can be read, and read it."""
        yield self._kernel.paths.system_call(self._poll)
        yield from self._kernel.block(lambda: self.connections.readable() is not None)
        yield from self.mark("noticed packets")
        peer = self.connections.readable()
        assert peer is not None
        yield from self._take(peer)
        yield from self.mark("handled packets")

    def _take(self, peer: int) -> Code:
        """Read what a connection has, and complete the messages that are whole."""
        self._read_bytes[peer] += yield from self.connections.to(peer).receive(READ_BYTES)
        coming = self._under_way[peer, self.node]
        while coming and self._read_bytes[peer] >= self._envelope + coming[0].size:
            message = coming.popleft()
            self._read_bytes[peer] -= self._envelope + message.size
            yield self.code.through(self._receive, message.size)
            self.arrived.append(message)

    # -- within the node

    def send_local(self, size: int, content: Any = None) -> Generator[Request, Any, Message]:
        """Copy a message into the shared memory of the node's processes."""
        yield self.code.through(self._local.local_send + round(size * self._local.per_byte), size)
        return Message(self.node, size, content)

    def receive_local(self, message: Message) -> Code:
        """Copy a message out of shared memory."""
        work = self._local.receive + round(message.size * self._local.per_byte)
        yield self.code.through(work, message.size)
        self.arrived.append(message)

    def mark(self, what: str) -> Code:
        """Tell an instrument, if there is one, what the library has come to."""
        if self.on_mark is not None:
            self.on_mark(what, (yield Now()))

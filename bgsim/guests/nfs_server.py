"""The NFS server at the other end of the Ethernet: connections and calls before the file server's queues.

Every compute node has one connection. Its end here is the same TCP and the same calls as in the nodes, but
what they execute takes no time: the server's software is in the file server's times
(:mod:`bgsim.hardware.file_server`). A LOOKUP, GETATTR, ACCESS or CREATE is an operation on metadata; READ,
WRITE and COMMIT keep a data server busy, a COMMIT without bytes. Neither a stable WRITE nor a COMMIT waits
for a disk, as no write does there.

Left out: directories (any path's exist), threads of the server, and its cache of answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from typing import Any

from simpy import Environment

from bgsim.datasheet import Datasheet
from bgsim.guests.ethernet import Frame
from bgsim.guests.network import Socket
from bgsim.guests.network_paths import NetworkPaths
from bgsim.guests.nfs_protocol import AnswerMessage, Attributes, CallMessage, Procedure, Rpc
from bgsim.guests.rpc import RpcSocket, Stream
from bgsim.hardware.file_server import FileServer
from bgsim.hardware.io_protocol import Call
from bgsim.network.callout import call_after
from bgsim.platforms.seam import Code, Now, Request

SERVED_AS = {
    Procedure.LOOKUP: Call.OPEN,
    Procedure.CREATE: Call.OPEN,
    Procedure.GETATTR: Call.STAT,
    Procedure.ACCESS: Call.STAT,
    Procedure.READ: Call.READ,
    Procedure.WRITE: Call.WRITE,
    Procedure.COMMIT: Call.WRITE,
}
"""What a procedure is to the file server."""


class _Kernel:
    """What a connection's end at the server asks for; see :class:`bgsim.guests.tcp.Kernel`."""

    def __init__(self, paths: NetworkPaths, mtu_bytes: int, send: Callable[[int, Any], None]) -> None:
        self.paths = paths
        self.mtu_bytes = mtu_bytes
        self.socket: Socket | None = None
        self._send = send

    def transmit(self, ip_bytes: int, packet: Any) -> Generator[Request, Any, bool]:
        """Hand a packet to the Ethernet."""
        yield from ()
        self._send(ip_bytes, packet)
        return True

    def block(self, condition: Callable[[], bool]) -> Code:
        """Nobody sleeps here."""
        yield from ()
        assert condition(), "messages are written into a buffer that has room"


class NfsServer:
    """The server, with a connection for every compute node.

    Parameters
    ----------
    environment
        Simulation environment in core cycles.
    files
        The queues and files behind it.
    send
        Sends a frame on its way to a compute node.

    Attributes
    ----------
    on_served
        Told of every call when its answer is ready, with the time. For instruments.
    """

    def __init__(
        self, environment: Environment, datasheet: Datasheet, files: FileServer, send: Callable[[Frame], None]
    ) -> None:
        self.on_served: Callable[[Rpc, int], None] = lambda rpc, now: None
        self._environment = environment
        self._datasheet = datasheet
        self._files = files
        self._send = send
        self._mtu_bytes = datasheet.integer("guest.nfs.mtu")
        self._paths = NetworkPaths(datasheet)
        self._changes: Counter[str] = Counter()
        self._sockets: dict[int, RpcSocket] = {}

    def connect(self, node: int, calls: Stream, answers: Stream) -> None:
        """The connection of a compute node, established from the beginning."""
        kernel = _Kernel(
            self._paths, self._mtu_bytes, lambda size, packet: self._send(Frame(node, size, packet))
        )
        self._sockets[node] = RpcSocket(self._datasheet, kernel, answers, calls, self._starting, self._called)

    @property
    def retransmissions(self) -> int:
        """Of all connections."""
        return sum(socket.retransmissions for socket in self._sockets.values())

    def arrived(self, node: int, frame: Frame) -> None:
        """A frame from a compute node."""
        self._execute(self._sockets[node].arrived(frame.content))

    def tick(self) -> None:
        """Look at the timers of all connections."""
        for socket in self._sockets.values():
            self._execute(socket.timer(int(self._environment.now)))

    # -- calls

    def _starting(self, message: AnswerMessage) -> Code:
        """An answer is going to be written."""
        yield from ()

    def _called(self, message: CallMessage) -> Code:
        """A call has arrived."""
        yield from ()
        rpc = message.rpc
        now = int(self._environment.now)
        length = rpc.length if rpc.procedure in (Procedure.READ, Procedure.WRITE) else 0
        done = self._files.serve(now, SERVED_AS[rpc.procedure], rpc.path, length)
        self._perform(rpc)
        call_after(self._environment, done - now, self._answer, rpc)

    def _perform(self, rpc: Rpc) -> None:
        """What a call does to the files, in the order in which calls come."""
        sizes = self._files.sizes
        if rpc.procedure == Procedure.CREATE:
            sizes.setdefault(rpc.path, 0)
        elif rpc.procedure == Procedure.WRITE:
            sizes[rpc.path] = max(sizes[rpc.path], rpc.offset + rpc.length)
            self._changes[rpc.path] += 1
        if rpc.path in sizes:
            rpc.exists, rpc.found = True, Attributes(sizes[rpc.path], self._changes[rpc.path])
        else:
            rpc.exists = rpc.directory

    def _answer(self, rpc: Rpc) -> None:
        self.on_served(rpc, int(self._environment.now))
        socket = self._sockets[rpc.node]
        socket.post(AnswerMessage(rpc))
        self._execute(socket.send_posted())

    def _execute(self, code: Code) -> None:
        """Run guest code to its end, in no time."""
        answer: int | None = None
        try:
            while True:
                request = code.send(answer)
                answer = int(self._environment.now) if isinstance(request, Now) else None
        except StopIteration:
            return

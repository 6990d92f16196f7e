"""Remote procedure calls over a TCP connection that kernels work by themselves.

Either end puts whole messages into the connection, one behind the other, each with a record mark; the other
takes the bytes out as they come in the softirq, without a system call, and knows a message by its last
byte. An end sends while TCP's buffer has room; when that is full, arriving acknowledgements make it go on.
There is no other flow control: what limits calls under way is the client's slots
(:mod:`bgsim.guests.nfs_client`).

Left out: retransmission of calls (TCP repeats what is lost, and a server that does not answer is not
modelled), reconnection, and authentication other than by user number.

Source: Linux 2.6 ``net/sunrpc/xprtsock.c`` in outline; RFC 1831.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from bgsim.datasheet import Datasheet
from bgsim.guests.tcp import Kernel, Segment, TcpSocket
from bgsim.platforms.seam import Code


class Message(Protocol):
    """What goes through a connection."""

    @property
    def bytes(self) -> int:
        """Length with its record mark."""


class Stream:
    """The messages that go one way through a connection, and at which byte each ends."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.ends: list[int] = []

    def append(self, message: Message) -> None:
        """A message is going to be sent behind the others."""
        self.messages.append(message)
        self.ends.append(message.bytes + (self.ends[-1] if self.ends else 0))


class Reader:
    """Takes the messages of a stream, in order, as their last bytes pass a place."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._next = 0

    def passed(self, byte: int) -> list[Any]:
        """Messages that are complete with the stream's bytes up to this one."""
        first, ends = self._next, self._stream.ends
        while self._next < len(ends) and ends[self._next] <= byte:
            self._next += 1
        return self._stream.messages[first : self._next]


class RpcSocket(TcpSocket):
    """One end of a connection that carries messages.

    Parameters
    ----------
    outgoing, incoming
        The streams of the connection, of which the other end has the same, the other way round.
    starting
        Called as guest code before a message's first byte is written.
    arrived_whole
        Called as guest code for every message that has arrived.
    """

    def __init__(
        self,
        datasheet: Datasheet,
        kernel: Kernel,
        outgoing: Stream,
        incoming: Stream,
        starting: Callable[[Any], Code],
        arrived_whole: Callable[[Any], Code],
    ) -> None:
        super().__init__(datasheet, kernel)
        self._outgoing = outgoing
        self._incoming = Reader(incoming)
        self._starting = starting
        self._arrived_whole = arrived_whole
        self._unsent: deque[Message] = deque()
        self._left = 0  # bytes of the message that is being written
        self._sending = False
        self._full = False
        self._fresh = 0  # bytes taken from TCP and not yet copied

    def post(self, message: Message) -> None:
        """Queue a message; :meth:`send_posted` sends it."""
        self._unsent.append(message)

    def send_posted(self) -> Code:
        """Write what is queued until the send buffer is full; nothing, if somebody is writing."""
        if self._sending:
            return
        self._sending = True
        while (self._unsent or self._left) and not self._stalled():
            if not self._left:
                message = self._unsent.popleft()
                self._outgoing.append(message)
                self._left = message.bytes
                yield from self._starting(message)
            part = min(self._left, self.room())
            self._left -= part
            yield from self.write(part)
        self._sending = False

    def _stalled(self) -> bool:
        """Whether the send buffer is full, or has been and a third of it is not yet free."""
        self._full = not self.has_room() if self._full else self.room() <= 0
        return self._full

    def timer(self, now: int) -> Code:
        """TCP's timers."""
        yield from super().timer(now)
        yield from self.send_posted()

    def _accept(self, segment: Segment, now: int) -> bool:
        """The kernel takes data at once: the window stays open."""
        at_once = super()._accept(segment, now)
        self._fresh += self.received - self.read
        self.read = self.received
        return at_once

    def _process(self, segment: Segment) -> Code:
        yield from super()._process(segment)
        fresh, self._fresh = self._fresh, 0
        if fresh:
            yield self.paths.work(0, fresh)
            for message in self._incoming.passed(self.read):
                yield from self._arrived_whole(message)
        yield from self.send_posted()

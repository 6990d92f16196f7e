"""Kittyhawk Linux's files: an NFS client over the guest's own TCP and Ethernet driver.

Opening a file looks up every part of its path that the client does not know (LOOKUP) and asks once for
every part whether it may be used (ACCESS); a known file is asked for its attributes again (GETATTR), and
what is cached of it goes if it has changed: close-to-open. A read takes pages from the page cache; those
that are not there, and some ahead of the program, come by READs of ``guest.nfs.read_size``, several under
way. A write goes into the page cache. Closing a file that was written sends it in WRITEs of
``guest.nfs.write_size``, several under way, and a COMMIT; a single WRITE is asked to be stable and needs
none. Closing a file that was only read sends nothing. ``guest.nfs.slots`` calls are under way at most;
others wait in order.

Calls are sent by whoever finds room in the send buffer, the process or the softirq; Linux has a thread for
it (rpciod), whose hand-overs are in ``guest.nfs.request_instructions`` and ``answer_instructions``.

Left out: writing back before the file is closed (after some seconds, or when a tenth of the memory is
dirty), the growth of the read-ahead window, giving pages up when memory is short, directories' attributes
after their first use, and other processes.

Source: Linux 2.6 ``fs/nfs`` in outline, recalled; path lengths ``guest.nfs.*`` are guesses.
"""

from __future__ import annotations

import errno
from collections import Counter, deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from bgsim.datasheet import Datasheet
from bgsim.guests.network import NetworkLinux
from bgsim.guests.nfs_protocol import AnswerMessage, Attributes, CallMessage, Procedure, Rpc
from bgsim.guests.rpc import RpcSocket, Stream
from bgsim.platforms import seam
from bgsim.platforms.seam import Code, Now

PAGE_BYTES = 4096
FIRST_DESCRIPTOR = 3
"""0 to 2 are the process's standard streams."""

NAME_BYTES_MAX = 255
"""Of one part of a path."""

Result = Generator[seam.Request, Any, int]


@dataclass(eq=False)
class _Inode:
    """What the client knows of a file.

    Attributes
    ----------
    pages
        By number, of those in the page cache: the READ that brings it, or None when it is there.
    dirty
        Stretches not yet sent, by first byte and length.
    """

    path: str
    attributes: Attributes
    known_at: int
    pages: dict[int, Rpc | None] = field(default_factory=dict)
    dirty: list[tuple[int, int]] = field(default_factory=list)


@dataclass(eq=False)
class _OpenFile:
    """What a descriptor stands for."""

    inode: _Inode
    position: int = 0


class NfsFiles:
    """The file system calls of one process under Kittyhawk Linux.

    Parameters
    ----------
    kernel
        The kernel it runs on; its one socket becomes the connection to the server.
    node
        The client.
    calls, answers
        The streams of the connection.

    Attributes
    ----------
    rpcs
        Calls that were sent, by procedure.
    under_way
        Calls without an answer.
    on_waited
        Told of every time the process slept: the call whose answer ended it, from when, until when. For
        instruments.
    """

    def __init__(
        self, datasheet: Datasheet, kernel: NetworkLinux, node: int, calls: Stream, answers: Stream
    ) -> None:
        self.rpcs: Counter[str] = Counter()
        self.under_way = 0
        self.on_waited: Callable[[Rpc, int, int], None] = lambda rpc, began, ended: None
        self.socket = RpcSocket(datasheet, kernel, calls, answers, self._starting, self._answered)
        self._kernel = kernel
        self._paths = kernel.paths
        self._node = node
        self._read_bytes = datasheet.integer("guest.nfs.read_size")
        self._write_bytes = datasheet.integer("guest.nfs.write_size")
        self._ahead_bytes = datasheet.integer("guest.nfs.read_ahead") * self._read_bytes
        self._slots = datasheet.integer("guest.nfs.slots")
        self._believed = datasheet.cycles("guest.nfs.attribute_cache")
        self._open = datasheet.integer("guest.nfs.open_instructions")
        self._call = datasheet.integer("guest.nfs.call_instructions")
        self._page = datasheet.integer("guest.nfs.page_instructions")
        self._request = datasheet.integer("guest.nfs.request_instructions")
        self._answer = datasheet.integer("guest.nfs.answer_instructions")
        self._waiting: deque[Rpc] = deque()  # for a slot
        self._directories: set[str] = set()  # looked up and allowed
        self._inodes: dict[str, _Inode] = {}
        self._files: list[_OpenFile | None] = []

    # -- the calls

    def open(self, path: str, shared: bool = False, create: bool = False) -> Result:
        """Open a file; a descriptor, or an error number below zero. That it is shared changes nothing."""
        yield self._paths.system_call(self._open)
        inode = yield from self._found(path, create, asked=True)
        if isinstance(inode, int):
            return inode
        self._files.append(_OpenFile(inode))
        return FIRST_DESCRIPTOR + len(self._files) - 1

    def stat(self, path: str) -> Result:
        """Size of a file, or an error number below zero."""
        yield self._paths.system_call(self._open)
        inode = yield from self._found(path, create=False, asked=False)
        return inode if isinstance(inode, int) else inode.attributes.size

    def close(self, descriptor: int) -> Result:
        """Close a file; what was written is at the server then."""
        yield self._paths.system_call(self._call)
        file = self._file(descriptor)
        if file is None:
            return -errno.EBADF
        yield from self._flush(file.inode)
        self._files[descriptor - FIRST_DESCRIPTOR] = None
        return 0

    def lseek(self, descriptor: int, offset: int) -> Result:
        """Move to a position from the beginning."""
        yield self._paths.system_call(self._call)
        file = self._file(descriptor)
        if file is None or offset < 0:
            return -errno.EBADF if file is None else -errno.EINVAL
        file.position = offset
        return offset

    def read(self, descriptor: int, length: int) -> Result:
        """Read; the bytes there were."""
        yield self._paths.system_call(self._call)
        file = self._file(descriptor)
        if file is None:
            return -errno.EBADF
        inode = file.inode
        yield from self._revalidate(inode, asked=False)
        length = max(0, min(length, inode.attributes.size - file.position))
        if not length:
            return 0
        numbers = _pages(file.position, length)
        if inode.dirty and any(number not in inode.pages for number in numbers):
            yield from self._flush(inode)
        yield from self._read_ahead(inode, file.position, length)
        end = file.position + length
        for rpc, pages in _runs(inode, numbers):
            if rpc is not None:
                yield from self._sleep(rpc)
            first, last = pages[0] * PAGE_BYTES, (pages[-1] + 1) * PAGE_BYTES
            copied = min(last, end) - max(first, file.position)
            yield self._paths.work(self._page * len(pages), copied)
        file.position = end
        return length

    def write(self, descriptor: int, length: int) -> Result:
        """Write; the bytes written."""
        yield self._paths.system_call(self._call)
        file = self._file(descriptor)
        if file is None:
            return -errno.EBADF
        if not length:
            return 0
        inode, begin, end = file.inode, file.position, file.position + length
        size = inode.attributes.size
        numbers = _pages(begin, length)
        yield self._paths.work(self._page * len(numbers), length)
        for number in numbers:
            whole = begin <= number * PAGE_BYTES and end >= min((number + 1) * PAGE_BYTES, max(size, end))
            if whole:
                inode.pages[number] = None
        inode.attributes = Attributes(max(size, end), inode.attributes.change)
        inode.dirty = _merged(inode.dirty, begin, length)
        file.position = end
        return length

    # -- names and attributes

    def _found(self, path: str, create: bool, asked: bool) -> Generator[seam.Request, Any, _Inode | int]:
        """A file by its path; `asked` whether the server must confirm what is known of it."""
        parts = path.strip("/").split("/")
        if any(len(part.encode()) > NAME_BYTES_MAX for part in parts):
            return -errno.ENAMETOOLONG
        for directory in accumulate(parts[:-1], "{}/{}".format, initial=""):
            if directory not in self._directories:
                if directory:  # the root's handle came when it was mounted
                    yield from self._ask(Procedure.LOOKUP, directory, directory=True)
                yield from self._ask(Procedure.ACCESS, directory, directory=True)
                self._directories.add(directory)
        path = "/" + "/".join(parts)
        inode = self._inodes.get(path)
        if inode is not None:
            yield from self._revalidate(inode, asked)
            return inode
        rpc = yield from self._ask(Procedure.LOOKUP, path)
        if rpc.exists:
            yield from self._ask(Procedure.ACCESS, path)
        elif create:
            rpc = yield from self._ask(Procedure.CREATE, path)
        else:
            return -errno.ENOENT
        assert rpc.found is not None, "a file has attributes"
        inode = self._inodes[path] = _Inode(path, rpc.found, (yield Now()))
        return inode

    def _revalidate(self, inode: _Inode, asked: bool) -> Code:
        """Ask for attributes that are not believed any more, or in any case; drop a changed file's pages."""
        now = yield Now()
        if inode.dirty or not (asked or now - inode.known_at > self._believed):
            return
        rpc = yield from self._ask(Procedure.GETATTR, inode.path)
        assert rpc.found is not None, "files are not removed"
        if rpc.found.change != inode.attributes.change:
            inode.pages.clear()
        inode.attributes, inode.known_at = rpc.found, (yield Now())

    # -- data

    def _read_ahead(self, inode: _Inode, offset: int, length: int) -> Code:
        """Ask for what a read needs and what is behind it, as far as it is not here or on its way."""
        size, last = inode.attributes.size, offset + length
        if self._ahead_bytes:
            last = -(-last // self._read_bytes) * self._read_bytes + self._ahead_bytes
        last = min(last, size)
        missing = [number for number in _pages(offset, last - offset) if number not in inode.pages]
        most = self._read_bytes // PAGE_BYTES
        asked: list[list[int]] = []
        for number in missing:
            if asked and asked[-1][-1] == number - 1 and len(asked[-1]) < most:
                asked[-1].append(number)
            else:
                asked.append([number])
        for pages in asked:
            first = pages[0] * PAGE_BYTES
            data = min((pages[-1] + 1) * PAGE_BYTES, size) - first
            rpc = Rpc(self._node, Procedure.READ, inode.path, offset=first, length=data)
            for number in pages:
                inode.pages[number] = rpc
            yield self._paths.work(self._page * len(pages))
            yield from self._send(rpc)

    def _flush(self, inode: _Inode) -> Code:
        """Send what was written, and wait until the server has it."""
        pieces = [
            (start, min(self._write_bytes, first + length - start))
            for first, length in inode.dirty
            for start in range(first, first + length, self._write_bytes)
        ]
        if not pieces:
            return
        inode.dirty = []
        alone = len(pieces) == 1
        sent = []
        for first, length in pieces:
            rpc = Rpc(self._node, Procedure.WRITE, inode.path, offset=first, length=length, stable=alone)
            sent.append(rpc)
            yield self._paths.work(self._page * len(_pages(first, length)))
            yield from self._send(rpc)
        for rpc in sent:
            yield from self._sleep(rpc)
        if not alone:
            sent.append((yield from self._ask(Procedure.COMMIT, inode.path)))
        found = sent[-1].found
        assert found is not None, "files are not removed"
        if found.change != inode.attributes.change + len(pieces):
            inode.pages.clear()  # somebody else has written, too
        inode.attributes, inode.known_at = found, (yield Now())

    # -- calls to the server

    def _ask(
        self, procedure: Procedure, path: str, directory: bool = False
    ) -> Generator[seam.Request, Any, Rpc]:
        """Make a call and wait for its answer."""
        rpc = Rpc(self._node, procedure, path, directory)
        yield from self._send(rpc)
        yield from self._sleep(rpc)
        return rpc

    def _send(self, rpc: Rpc) -> Code:
        """Send a call as soon as there is a slot."""
        self.rpcs[rpc.procedure.value] += 1
        self._waiting.append(rpc)
        self._fill_slots()
        yield from self.socket.send_posted()

    def _fill_slots(self) -> None:
        while self._waiting and self.under_way < self._slots:
            self.under_way += 1
            self.socket.post(CallMessage(self._waiting.popleft()))

    def _starting(self, message: CallMessage) -> Code:
        """Everything before the first byte of a call is written."""
        yield self._paths.work(self._request)

    def _answered(self, message: AnswerMessage) -> Code:
        """An answer, in the softirq."""
        yield self._paths.work(self._answer)
        rpc = message.rpc
        inode = self._inodes.get(rpc.path)
        if inode is not None and rpc.found == inode.attributes:
            inode.known_at = yield Now()  # nearly every answer brings attributes along
        self.under_way -= 1
        rpc.done = True
        self._fill_slots()

    def _sleep(self, rpc: Rpc) -> Code:
        """Let the process sleep until a call is answered."""
        if rpc.done:
            return
        began = yield Now()
        yield from self._kernel.block(lambda: rpc.done)
        self.on_waited(rpc, began, (yield Now()))

    def _file(self, descriptor: int) -> _OpenFile | None:
        number = descriptor - FIRST_DESCRIPTOR
        return self._files[number] if 0 <= number < len(self._files) else None


def _pages(offset: int, length: int) -> range:
    """Numbers of the pages that some bytes, at least one, are in."""
    return range(offset // PAGE_BYTES, (offset + length - 1) // PAGE_BYTES + 1)


def _runs(inode: _Inode, numbers: range) -> list[tuple[Rpc | None, list[int]]]:
    """Pages one behind the other, in stretches that come by the same call."""
    runs: list[tuple[Rpc | None, list[int]]] = []
    for number in numbers:
        rpc = inode.pages[number]
        if runs and runs[-1][0] is rpc:
            runs[-1][1].append(number)
        else:
            runs.append((rpc, [number]))
    return runs


def _merged(stretches: list[tuple[int, int]], first: int, length: int) -> list[tuple[int, int]]:
    """Stretches of a file with one more; those that touch become one."""
    merged: list[tuple[int, int]] = []
    for begin, size in sorted([*stretches, (first, length)]):
        if merged and begin <= sum(merged[-1]):
            start = merged[-1][0]
            merged[-1] = start, max(sum(merged[-1]), begin + size) - start
        else:
            merged.append((begin, size))
    return merged

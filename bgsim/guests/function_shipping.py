"""File system calls of a compute node: each becomes packets to the pset's I/O node, and the core waits.

Under CNK the kernel does it (:class:`ShippedCalls`); ZeptoOS has a daemon for it
(:mod:`bgsim.guests.io_forwarding`). CNK has no file system. Its kernel marshals a call into a packet, puts
the data of a write behind it, and polls the network's reception FIFO until the answer has come; the
process does nothing meanwhile. Reads and writes longer than the daemon's buffer are shipped in pieces. What
neither the kernel nor its I/O node can do fails with ENOSYS: there is one process on a core for its whole
life, so there is no fork and no exec.

Sources: the structure is recalled from descriptions of CNK and CIOD (Mm); the packets are those of the
device (:mod:`bgsim.hardware.collective_device`); software costs ``cnk.ship_*`` are guesses.
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from typing import Any

from bgsim.datasheet import Datasheet
from bgsim.guests.cnk import KERNEL_MIB, Cnk
from bgsim.hardware import collective_device
from bgsim.hardware.collective_device import QUADS, Register
from bgsim.hardware.collective_header import point_to_point_header
from bgsim.hardware.io_protocol import (
    CHANNEL,
    PATH_BYTES_MAX,
    Answer,
    Call,
    Fragment,
    Layer,
    Request,
    answer_packets,
    request_packets,
)
from bgsim.platforms import seam
from bgsim.platforms.seam import Code, Load, LoadQuad, Now, Poll, Run, Store, StoreQuad, poll
from bgsim.profiles import program as ops
from bgsim.profiles.program import kernel_program, operation

UNSUPPORTED = (
    "fork", "vfork", "clone", "execve", "waitpid", "pipe", "kill", "mount", "ptrace", "poll", "select",
)  # fmt: skip
"""Calls of POSIX programs that CNK does not have, for messages; every unknown call fails the same way."""

_BASE = collective_device.BASES[CHANNEL]
_STATUS = Load(_BASE + Register.STATUS)

Result = Generator[seam.Request, Any, int]


class FileCalls(ABC):
    """The file system calls of one process: what does not depend on who ships them.

    Parameters
    ----------
    node, io_node
        Addresses of the compute node and of its I/O node on the collective network.
    process
        Number of the process on its node.

    Attributes
    ----------
    shipped
        Calls shipped so far; a long read is several.
    packets_sent, packets_received
        Of the collective network.
    on_answer
        Told of every request that has been answered and unmarshalled. For instruments.
    read_bytes, write_bytes
        Longer reads and writes are shipped in pieces of this size.
    """

    read_bytes: int
    write_bytes: int
    _marshal: Run
    _packet: Run
    _pause: Run

    def __init__(self, datasheet: Datasheet, node: int, io_node: int, process: int = 0) -> None:
        self.shipped = self.packets_sent = self.packets_received = 0
        self.on_answer: Callable[[Request], None] = lambda request: None
        self._node = node
        self._process = process
        self._header = point_to_point_header(io_node)
        self._payload_bytes = datasheet.integer("ciod.packet_payload")
        self._window = datasheet.integer("collective.fifo_packets")

    @abstractmethod
    def _enter(self) -> Code:
        """Enter the kernel for a call of the program."""

    def _handed_over(self, size: int) -> Code:
        """What comes before a request is shipped, with so much data; nothing where the kernel ships it."""
        yield from ()

    def _returned(self, size: int) -> Code:
        """What comes after its answer, with so much data."""
        yield from ()

    # -- the calls

    def open(self, path: str, shared: bool = False, create: bool = False) -> Result:
        """Open a file; a descriptor, or an error number below zero."""
        return self._named(Call.OPEN, path, shared, create)

    def stat(self, path: str) -> Result:
        """Size of a file, or an error number below zero."""
        return self._named(Call.STAT, path)

    def close(self, descriptor: int) -> Result:
        """Close a file."""
        return self._one(Request(self._node, self._process, Call.CLOSE, descriptor=descriptor))

    def lseek(self, descriptor: int, offset: int) -> Result:
        """Move to a position from the beginning."""
        return self._one(Request(self._node, self._process, Call.LSEEK, "", descriptor, offset=offset))

    def read(self, descriptor: int, length: int) -> Result:
        """Read; the bytes there were."""
        return self._pieces(Call.READ, descriptor, length)

    def write(self, descriptor: int, length: int) -> Result:
        """Write; the bytes written."""
        return self._pieces(Call.WRITE, descriptor, length)

    # -- what is behind them

    def _named(self, call: Call, path: str, shared: bool = False, create: bool = False) -> Result:
        if len(path.encode()) > PATH_BYTES_MAX:
            yield from self._enter()
            return -errno.ENAMETOOLONG
        request = Request(self._node, self._process, call, path, shared=shared, create=create)
        return (yield from self._one(request))

    def _one(self, request: Request) -> Result:
        request.since = yield Now()
        yield from self._enter()
        return (yield from self._ship(request))

    def _pieces(self, call: Call, descriptor: int, length: int) -> Result:
        since = yield Now()
        yield from self._enter()
        done = 0
        most = self.read_bytes if call == Call.READ else self.write_bytes
        while done < length or length == 0:
            piece = min(length - done, most)
            request = Request(self._node, self._process, call, "", descriptor, piece, since=since)
            value = yield from self._ship(request)
            if value < 0:
                return done or value
            done += value
            if value < piece or length == 0:
                break
            since = yield Now()
        return done

    def _ship(self, request: Request) -> Result:
        self.shipped += 1
        yield from self._handed_over(request.length if request.call == Call.WRITE else 0)
        yield self._marshal
        count = request_packets(request.call, request.length, self._payload_bytes)
        for number in range(count):
            yield self._packet
            yield from poll(Poll(((_STATUS, self._has_room),), self._pause))
            yield Store(_BASE + Register.INJECTION_HEADER, self._header)
            yield StoreQuad(_BASE + Register.INJECTION_DATA, Fragment(request, number, number == count - 1))
            for _ in range(QUADS - 1):
                yield StoreQuad(_BASE + Register.INJECTION_DATA, None)
        self.packets_sent += count
        answer = yield from self._receive(request)
        yield self._marshal
        yield from self._returned(answer.value if request.call == Call.READ else 0)
        request.charge(Layer.COMPUTE, (yield Now()))
        self.on_answer(request)
        return answer.value

    def _receive(self, request: Request) -> Generator[seam.Request, Any, Answer]:
        received, answer = 0, None
        while answer is None or received < answer_packets(request.call, answer.value, self._payload_bytes):
            yield from poll(Poll(((_STATUS, _has_packet),), self._pause))
            yield Load(_BASE + Register.RECEPTION_HEADER)
            fragment = yield LoadQuad(_BASE + Register.RECEPTION_DATA)
            for _ in range(QUADS - 1):
                yield LoadQuad(_BASE + Register.RECEPTION_DATA)
            yield self._packet
            assert isinstance(fragment, Fragment), "only the I/O node sends on this channel"
            assert isinstance(fragment.message, Answer)
            assert fragment.message.request is request
            assert fragment.number == received, "packets of one sender stay in order"
            answer, received = fragment.message, received + 1
        self.packets_received += received
        return answer

    def _has_room(self, status: int) -> bool:
        return status >> 16 & 0xF < self._window


class ShippedCalls(FileCalls):
    """The file system calls of a process under CNK, whose kernel ships them.

    Parameters
    ----------
    kernel
        The kernel it runs on.
    node, io_node, process
        As of :class:`FileCalls`.
    """

    def __init__(self, datasheet: Datasheet, kernel: Cnk, node: int, io_node: int, process: int = 0) -> None:
        super().__init__(datasheet, node, io_node, process)
        self.read_bytes = self.write_bytes = datasheet.integer("ciod.buffer")
        self._kernel = kernel
        self._marshal = _kernel_work(datasheet.integer("cnk.ship_instructions"))
        self._packet = _kernel_work(datasheet.integer("cnk.ship_packet_instructions"))
        self._pause = _kernel_work(datasheet.integer("dcmf.poll_instructions"))

    def unsupported(self, name: str) -> Result:
        """A call CNK does not have, such as one of `UNSUPPORTED`: enters the kernel and fails."""
        yield from self._kernel.system_call()
        return -errno.ENOSYS

    def _enter(self) -> Code:
        return self._kernel.system_call()


def _has_packet(status: int) -> bool:
    return bool(status & 0xF)


def _kernel_work(instructions: int) -> Run:
    return Run(
        kernel_program(
            "function shipping",
            [
                operation(ops.LOWMEM_INSTRUCTION, KERNEL_MIB),
                operation(ops.LOWMEM_DATA, KERNEL_MIB),
                operation(ops.WORK_KERNEL, instructions),
            ],
        )
    )

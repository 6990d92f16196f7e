"""Collective operations of the messaging library over the collective and the barrier network.

Every node puts its packets into the collective network's injection FIFO, quad by quad, and takes the
results out of the reception FIFO; combining is the network's. An operation has a window of as many packets
as a FIFO holds, so that neither side can overrun the other. In a broadcast only the root sends, and all
receive, the root too; in a reduce all receive and all but the root drop what they get, for the partition's
class delivers to everyone.

A barrier is the protocol of the global interrupts: wait until the channel is up, clear, arm, send, wait for
the sticky bit.

Left out: double-precision sums (two passes over the network in reality), and trees of part of the nodes.
Source: the device's registers; IBM ``spi/GlobInt.h`` (2007). Software costs: ``dcmf.collective_*``,
``dcmf.barrier_instructions``.
"""

from __future__ import annotations

from bgsim.datasheet import Datasheet
from bgsim.guests.messaging import Messenger
from bgsim.hardware import barrier_device, collective_device
from bgsim.hardware.barrier_device import ARM_AND, Dcr, Status
from bgsim.hardware.collective_device import QUADS, Register
from bgsim.hardware.collective_header import class_header
from bgsim.network.collective_packet import Operation
from bgsim.platforms.seam import Code, Load, LoadQuad, Poll, ReadDcr, Store, StoreQuad, WriteDcr, poll

_BASE = collective_device.BASES[0]
_STATUS = Load(_BASE + Register.STATUS)
_BARRIER = ReadDcr(barrier_device.DCR_BASE)
_BARRIER_CHANNEL = 0
OPERAND_BYTES = 8


class Collectives:
    """Collective operations of one process.

    Parameters
    ----------
    messenger
        The library they belong to.
    """

    def __init__(self, datasheet: Datasheet, messenger: Messenger) -> None:
        self.messenger = messenger
        self._code = messenger.code
        self._call = datasheet.integer("dcmf.collective_call_instructions")
        self._packet = datasheet.integer("dcmf.collective_packet_instructions")
        self._enter = datasheet.integer("dcmf.barrier_instructions")
        self._payload_bytes = datasheet.integer("collective.packet_payload")
        self._window = datasheet.integer("collective.fifo_packets")
        self._pause = self._code.instructions(datasheet.integer("dcmf.poll_instructions"))

    def packets(self, size: int) -> int:
        """Packets of a vector of so many bytes."""
        return max(1, -(-size // self._payload_bytes))

    def allreduce(self, size: int) -> Code:
        """Combine the vectors of all nodes and give everyone the result."""
        yield from self._operate(size, Operation.ADD, sends=True)

    def reduce(self, size: int) -> Code:
        """Combine the vectors of all nodes for the root."""
        yield from self._operate(size, Operation.ADD, sends=True)

    def broadcast(self, size: int, root: int) -> Code:
        """Give everyone the root's vector."""
        yield from self._operate(size, Operation.NONE, sends=self.messenger.node == root)

    def barrier(self) -> Code:
        """Wait until all nodes have come here."""
        yield from self.messenger.mark("begun barrier")
        yield self._code.instructions(self._enter)
        yield from poll(Poll(((_BARRIER, _is_up),), self._pause))
        register = barrier_device.DCR_BASE + _BARRIER_CHANNEL
        yield WriteDcr(register + Dcr.SEND, 0)
        yield WriteDcr(register + Dcr.ARM, ARM_AND)
        yield WriteDcr(register + Dcr.SEND, 1)
        yield from self.messenger.mark("entered barrier")
        yield from poll(Poll(((_BARRIER, _is_sticky),), self._pause))
        yield from self.messenger.mark("noticed barrier")
        yield self._code.instructions(self._enter)
        yield from self.messenger.mark("handled barrier")

    def _operate(self, size: int, operation: Operation, sends: bool) -> Code:
        yield from self.messenger.mark("called collective")
        yield self._code.instructions(self._call)
        yield from self.messenger.mark("begun collective")
        total = self.packets(size)
        header = class_header(operation, OPERAND_BYTES)
        to_send = total if sends else 0
        received = 0
        while received < total:
            sent = total - to_send
            may_send = to_send > 0 and sent - received < self._window
            wanted = self._is_usable if may_send else _has_packet
            _, status = yield from poll(Poll(((_STATUS, wanted),), self._pause))
            if _has_packet(status):
                yield from self._receive()
                received += 1
            else:
                yield from self._inject(header)
                to_send -= 1
                yield from self.messenger.mark("injected packet")

    def _inject(self, header: int) -> Code:
        yield self._code.instructions(self._packet)
        yield Store(_BASE + Register.INJECTION_HEADER, header)
        for _ in range(QUADS):
            yield StoreQuad(_BASE + Register.INJECTION_DATA, None)

    def _receive(self) -> Code:
        yield from self.messenger.mark("noticed packet")
        yield Load(_BASE + Register.RECEPTION_HEADER)
        for _ in range(QUADS):
            yield LoadQuad(_BASE + Register.RECEPTION_DATA)
        yield self._code.instructions(self._packet)
        yield from self.messenger.mark("handled packet")

    def _is_usable(self, status: int) -> bool:
        return _has_packet(status) or status >> 16 & 0xF < self._window


def _has_packet(status: int) -> bool:
    return bool(status & 0xF)


def _is_up(status: int) -> bool:
    return bool(status & Status.STATE >> _BARRIER_CHANNEL)


def _is_sticky(status: int) -> bool:
    return bool(status & Status.STICKY >> _BARRIER_CHANNEL)

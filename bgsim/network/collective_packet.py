"""Packets of the collective network: what they carry, how they are combined, how long they take.

A packet goes to one node (point to point) or belongs to a class. Packets of a class with an operation are
combined on the way up, operand by operand, by the integer unit of each node; there is no minimum: software
complements its operands and takes the maximum. Without an operation they are passed on as they are. Source:
``bpcore/collective.h`` (IBM, 2007).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import reduce
from math import ceil

from bgsim.datasheet import Datasheet

OPERAND_UNIT_BYTES = 2


class Operation(IntEnum):
    """What the integer unit does with two operands; the numbers are those of the packet header."""

    NONE = 0
    OR = 1
    AND = 2
    XOR = 3
    MAX = 5
    ADD = 6


_UNIT: dict[Operation, Callable[[int, int], int]] = {
    Operation.OR: int.__or__,
    Operation.AND: int.__and__,
    Operation.XOR: int.__xor__,
    Operation.MAX: max,
    Operation.ADD: int.__add__,
}


def combine(operation: Operation, operand_bytes: int, payloads: Sequence[bytes | None]) -> bytes | None:
    """Combine payloads of equal length, operand by operand.

    Operands are unsigned and big-endian; a sum that does not fit is cut off. Bytes after the last whole
    operand are combined as an operand of their own.

    Parameters
    ----------
    operation
        What is done.
    operand_bytes
        Length of an operand: an even number, 2 to 256.
    payloads
        One per contribution; None for data that is not modelled, which makes the result None too.

    Raises
    ------
    ValueError
        If there is nothing to do with two packets (``Operation.NONE``), or lengths differ.
    """
    known = [payload for payload in payloads if payload is not None]
    if len(known) < len(payloads):
        return None
    if operation not in _UNIT:
        raise ValueError(f"packets without an operation cannot be combined: {operation.name}")
    if len(set(map(len, known))) != 1:
        raise ValueError("only payloads of equal length can be combined")
    pieces = []
    for start in range(0, len(known[0]), operand_bytes):
        operands = [payload[start : start + operand_bytes] for payload in known]
        length = len(operands[0])
        value = reduce(_UNIT[operation], (int.from_bytes(operand) for operand in operands))
        pieces.append((value % (1 << 8 * length)).to_bytes(length))
    return b"".join(pieces)


@dataclass(slots=True, eq=False)
class CollectivePacket:
    """One packet of the collective network.

    Attributes
    ----------
    source
        Node number.
    destination
        Node number of a point-to-point packet; -1 for a packet of a class.
    route
        Class, 0 to 15.
    operation, operand_bytes
        What is done with it on the way up.
    content
        Point to point, anything; of a class, the payload, or None when no data is modelled.
    channel
        Virtual channel, 0 or 1.
    header
        The header word the device wrote, for its receivers.
    on_departure
        Called when its first byte leaves the source's injection FIFO.
    injected_at, delivered_at
        Times in core cycles; -1 before they are known.
    hops
        Links passed; of a combined packet, by the contribution that passed most.
    """

    source: int
    destination: int = -1
    route: int = 0
    operation: Operation = Operation.NONE
    operand_bytes: int = OPERAND_UNIT_BYTES
    content: object = None
    channel: int = 0
    header: int = 0
    on_departure: Callable[[], None] | None = None
    injected_at: int = -1
    delivered_at: int = -1
    hops: int = 0


@dataclass(frozen=True, slots=True)
class CollectiveParameters:
    """What the time of packets depends on.

    Attributes
    ----------
    packet_cycles
        Time a packet occupies a link, in core cycles.
    hop_cycles
        From a packet's head entering a link to its being ready to enter the next.
    link_packets
        Packets of one virtual channel that the receiving end of a link holds.
    fifo_packets
        Packets in each of a node's injection and reception FIFOs.
    packet_interval_cycles
        Time software takes to inject a packet.
    reception_interval_cycles
        Time software takes to take a packet from the reception FIFO.
    window_packets
        How many packets software that receives, too, injects at most beyond those that it has taken; 0: as
        many as the FIFO holds.
    injection_cycles
        Time from a packet's having been taken to the injection of the one that the window held back.
    """

    packet_cycles: int
    hop_cycles: int
    link_packets: int
    fifo_packets: int
    packet_interval_cycles: int = 0
    reception_interval_cycles: int = 0
    window_packets: int = 0
    injection_cycles: int = 0

    @classmethod
    def from_datasheet(
        cls, datasheet: Datasheet, packet_interval_cycles: int = 0, reception_interval_cycles: int = 0
    ) -> CollectiveParameters:
        """The machine's, with what software adds."""
        link_bytes = sum(
            datasheet.integer(f"collective.packet_{part}") for part in ("payload", "header", "link_overhead")
        )
        latency = datasheet.cycles("collective.latency_72_racks")
        return cls(
            packet_cycles=ceil(8 * link_bytes / datasheet.integer("collective.bits_per_cycle")),
            hop_cycles=round(latency / datasheet.integer("collective.levels_72_racks")),
            link_packets=datasheet.integer("collective.link_buffer_packets"),
            fifo_packets=datasheet.integer("collective.fifo_packets"),
            packet_interval_cycles=packet_interval_cycles,
            reception_interval_cycles=reception_interval_cycles,
        )

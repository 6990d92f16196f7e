"""The header word of a collective packet, and the words that describe a class: formats of the device.

Source: khvmm ``tree.h``; ``bpcore/collective.h`` (IBM, 2007), whose names are beside the fields.
"""

from __future__ import annotations

from typing import NamedTuple

from bgsim.network.collective_packet import OPERAND_UNIT_BYTES, Operation
from bgsim.network.tree import CLASSES, CollectiveTree

HEADER_POINT_TO_POINT = 1 << 27
HEADER_INTERRUPT = 1 << 26

OPERAND_BYTES_MAX = 256
TAG_MAX = (1 << 14) - 1
ADDRESS_MAX = (1 << 24) - 1


class Header(NamedTuple):
    """A header word taken apart.

    Attributes
    ----------
    route
        Class (``CLASS``).
    destination
        Node address of a point-to-point packet (``NADDR``); -1 for a packet of a class.
    interrupt
        Whether the receivers are interrupted (``IRQ``).
    operation, operand_bytes
        What the network does with it (``OPCODE``, ``OPSIZE``).
    tag
        For software (``TAG``); the hardware keeps it for packets without an operation.
    """

    route: int
    destination: int
    interrupt: bool
    operation: Operation
    operand_bytes: int
    tag: int


def point_to_point_header(node: int, route: int = 15, interrupt: bool = False) -> int:
    """The header of a packet for one node.

    Parameters
    ----------
    node
        Address, 24 bits.
    route
        Class; it does not affect the route here.
    interrupt
        Whether its arrival raises an interrupt.
    """
    return route << 28 | HEADER_POINT_TO_POINT | interrupt << 26 | (node & ADDRESS_MAX) << 2


def class_header(
    operation: Operation,
    operand_bytes: int = OPERAND_UNIT_BYTES,
    *,
    route: int = 0,
    tag: int = 0,
    interrupt: bool = False,
) -> int:
    """The header of a packet of a class: combined on the way up, and given to all receivers.

    Parameters
    ----------
    operation
        What the network's integer unit does; ``Operation.NONE`` for a packet that is passed on as it is.
    operand_bytes
        Length of an operand: even, 2 to 256.
    route
        Class, 0 to 15; 0 spans the partition.
    tag
        For software, 14 bits.
    interrupt
        Whether its arrival raises interrupts.

    Raises
    ------
    ValueError
        If a field does not fit.
    """
    if operand_bytes % OPERAND_UNIT_BYTES or not OPERAND_UNIT_BYTES <= operand_bytes <= OPERAND_BYTES_MAX:
        raise ValueError(f"an operand has an even number of bytes, 2 to {OPERAND_BYTES_MAX}: {operand_bytes}")
    if not 0 <= route < CLASSES:
        raise ValueError(f"classes are 0 to {CLASSES - 1}, not {route}")
    if not 0 <= tag <= TAG_MAX:
        raise ValueError(f"a tag is 0 to {TAG_MAX}, not {tag}")
    size = operand_bytes // OPERAND_UNIT_BYTES - 1
    return route << 28 | interrupt << 26 | operation << 23 | size << 16 | tag << 2


def decoded(header: int) -> Header:
    """A header word taken apart.

    Raises
    ------
    ValueError
        If the integer unit has no such operation.
    """
    route, interrupt = header >> 28, bool(header & HEADER_INTERRUPT)
    if header & HEADER_POINT_TO_POINT:
        destination = header >> 2 & ADDRESS_MAX
        return Header(route, destination, interrupt, Operation.NONE, OPERAND_UNIT_BYTES, 0)
    operand_bytes = ((header >> 16 & 0x7F) + 1) * OPERAND_UNIT_BYTES
    operation = Operation(header >> 23 & 7)
    return Header(route, -1, interrupt, operation, operand_bytes, header >> 2 & TAG_MAX)


def destination_of(header: int) -> int:
    """Node address in a point-to-point header.

    Raises
    ------
    ValueError
        If the packet is of a class.
    """
    if not header & HEADER_POINT_TO_POINT:
        raise ValueError(f"header {header:#010x} is not point to point")
    return decoded(header).destination


def class_descriptor(tree: CollectiveTree, number: int, node: int) -> int:
    """The 16 bits that describe a class at a node; 0 where it has no part in it.

    Ports are numbered in the order of :meth:`bgsim.network.tree.CollectiveTree.ports`. Sources are the ports
    from which packets of the class come: contributions from below, results from above.
    """
    route = tree.classes.get(number)
    if route is None:
        return 0
    above = int(route.parent[node])
    descriptor = int(route.contributes[node]) << 1 | int(route.receives[node])
    for port, other in enumerate(tree.ports(node)):
        if other >= tree.nodes:
            continue  # an I/O node takes part in no class here
        if route.parent[other] == node:
            descriptor |= int(route.sends_up[other]) << 12 + port | int(route.sends_down[other]) << 8 + port
        elif other == above:
            descriptor |= int(route.sends_down[node]) << 12 + port | int(route.sends_up[node]) << 8 + port
    return descriptor

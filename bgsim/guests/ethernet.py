"""Kittyhawk's Ethernet driver (bgnet): frames, interrupts, and what its two networks share.

A frame leaves through ``transmit`` and arrives through the interrupt handler, which passes it on to
the kernel's receive queue. The handler's traffic with the interrupt controller is that of Linux'
fasteoi flow: two loads find the interrupt (hierarchy word, group word), and a status-clear store, a
target load and a target store end it.

Left out: broadcast and multicast, MAC addresses (a frame names its node), and the bridge.

Source: Kittyhawk Linux ``drivers/bluegene`` (``bgnet.c``, ``torus.c``, ``tree.c``) and its
interrupt controller code.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol

from bgsim.datasheet import Datasheet
from bgsim.guests.network_paths import NetworkPaths
from bgsim.hardware import bic
from bgsim.hardware.bic import GroupRegister, HierarchyRegister, group_register, interrupt_bit
from bgsim.platforms.seam import Code, Load, Request, Store

CORE = 0


@dataclass(frozen=True)
class Frame:
    """An Ethernet frame.

    Attributes
    ----------
    destination
        Node number.
    ip_bytes
        Length of the IP packet in it.
    content
        The packet, for the protocol that receives it.
    """

    destination: int
    ip_bytes: int
    content: Any


class EthernetDriver(Protocol):
    """The device part of the driver, for one network."""

    frames_sent: int
    frames_received: int
    frames_dropped: int
    bytes_sent: int
    bytes_received: int
    on_receive: Callable[[Frame], None]
    on_sent: Callable[[Frame], None]

    @property
    def interrupts(self) -> tuple[int, ...]:
        """Interrupts it handles."""

    def initialise(self) -> Code:
        """Set the device up."""

    def transmit(self, frame: Frame) -> Generator[Request, Any, bool]:
        """Send a frame, or drop it (answer False) if there is no room."""

    def gather(self) -> Code:
        """Fetch frames that no interrupt has announced, at a timer interrupt."""

    def interrupt(self, number: int) -> Code:
        """The device part of an interrupt."""


class Counted:
    """Frames and bytes that went through a driver, and who is told of them."""

    def __init__(self, datasheet: Datasheet, paths: NetworkPaths) -> None:
        self.paths = paths
        self.ethernet_header = datasheet.integer("guest.ethernet_header")
        self.link_header = datasheet.integer("guest.bgnet.link_header")
        self.fragment_payload = datasheet.integer("guest.bgnet.fragment_payload")
        self.frames_sent = 0
        self.frames_received = 0
        self.frames_dropped = 0
        self.bytes_sent = 0
        self.bytes_received = 0
        self.on_receive: Callable[[Frame], None] = lambda frame: None
        self.on_sent: Callable[[Frame], None] = lambda frame: None

    def gather(self) -> Code:
        """Nothing to fetch: an interrupt comes with the first packet."""
        yield from ()

    def _sent(self, frame: Frame) -> None:
        self.frames_sent += 1
        self.bytes_sent += frame.ip_bytes

    def _received(self, frame: Frame) -> None:
        self.frames_received += 1
        self.bytes_received += frame.ip_bytes
        self.on_receive(frame)


def enable_interrupt(number: int) -> Code:
    """Direct an interrupt to this core."""
    word, nibble = divmod(number & 31, 8)
    register = bic.BASE + group_register(number, GroupRegister.TARGET, word)
    targets = yield Load(register)
    shift = 28 - 4 * nibble
    yield Store(register, targets & ~(0xF << shift) | bic.target(CORE) << shift)


def find_interrupt() -> Generator[Request, Any, int | None]:
    """Number of the pending interrupt: two loads; None if there is none after all."""
    groups = yield Load(bic.BASE + HierarchyRegister.NON_CRITICAL + 4 * CORE)
    if not groups:
        return None
    first = (32 - groups.bit_length()) * 32
    pending = yield Load(bic.BASE + group_register(first, GroupRegister.NON_CRITICAL, CORE))
    if not pending:
        return None
    return int(first) + 32 - int(pending).bit_length()


def end_interrupt(number: int) -> Code:
    """Acknowledge a handled interrupt: three accesses."""
    yield Store(bic.BASE + group_register(number, GroupRegister.STATUS_CLEAR), interrupt_bit(number))
    register = bic.BASE + group_register(number, GroupRegister.TARGET, (number & 31) // 8)
    targets = yield Load(register)
    yield Store(register, targets)

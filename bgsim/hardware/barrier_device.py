"""The global interrupt device of a node: four channels, one bit each, in sixteen control registers.

A channel is driven directly, or armed: then sending lets the line go (AND) or raises it (OR), the next change
of the line is latched as a sticky interrupt, and the output returns to rest. A barrier is

1. read until the channel's state is up (the last barrier is over),
2. write 0 to ``SEND`` (clear), ``ARM_AND`` to ``ARM``, 1 to ``SEND``,
3. read until the channel's sticky bit is set.

After boot all channels are armed for AND and at rest. Left out: user enables (kept, without effect), parity,
interrupts to the processor. Source: ``bpcore/bgp_global_ints.h`` and ``spi/GlobInt.h`` (IBM, 2007).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from bgsim.network.barrier import CHANNELS, BarrierNetwork

DCR_BASE = 0x660
DCR_COUNT = 0x10

ARM_OR, ARM_AND = 0, 1


class Dcr(IntEnum):
    """Control registers to write, as offsets from `DCR_BASE`; every one reads as the status."""

    ASSERT = 0x0  # + channel: drive directly
    RESETS = 0x5
    USER_ENABLE = 0x6
    SEND = 0x8  # + channel: 1 send as armed, 0 clear
    ARM = 0xC  # + channel: ARM_OR or ARM_AND


class Status(IntEnum):
    """Fields of the status, for channel 0; shift right by the channel."""

    MODE = 1 << 31  # sticky
    STICKY = 1 << 27
    ARMED = 1 << 23
    TYPE = 1 << 19  # AND
    STATE = 1 << 11  # what comes down
    USER_ENABLE = 1 << 7
    OUTPUT = 1 << 3


@dataclass(slots=True)
class _Channel:
    sticky_mode: bool = True
    sticky: bool = False
    armed: bool = False
    type_and: bool = True
    output: bool = True
    user: bool = False


class BarrierDevice:
    """The device of one node.

    Parameters
    ----------
    node
        Node number.
    network
        The barrier network.

    Attributes
    ----------
    on_activity
        Called when something changes that a read could see.
    """

    def __init__(self, node: int, network: BarrierNetwork) -> None:
        self.node = node
        self.network = network
        self.on_activity: Callable[[], None] = lambda: None
        self._channels = [_Channel() for _ in range(CHANNELS)]
        network.attach(node, self._changed)

    def dcr_read(self, offset: int) -> int:
        """The status, whatever the register."""
        del offset
        status = 0
        for number, channel in enumerate(self._channels):
            fields = (
                (Status.MODE, channel.sticky_mode),
                (Status.STICKY, channel.sticky),
                (Status.ARMED, channel.armed),
                (Status.TYPE, channel.type_and),
                (Status.STATE, self.network.state(number)),
                (Status.USER_ENABLE, channel.user),
                (Status.OUTPUT, channel.output),
            )
            status |= sum(field >> number for field, holds in fields if holds)
        return status

    def dcr_write(self, offset: int, value: int) -> None:
        """Write a control register.

        Raises
        ------
        LookupError
            For a register that does not exist.
        """
        if offset in (Dcr.RESETS, Dcr.USER_ENABLE):
            for number, channel in enumerate(self._channels):
                chosen = bool(value & 1 << CHANNELS - 1 - number)
                if offset == Dcr.USER_ENABLE:
                    channel.user = chosen
                elif chosen:
                    self._channels[number] = _Channel(user=channel.user)
                    self._drive(number, True)
            return
        register, number = offset & ~(CHANNELS - 1), offset % CHANNELS
        if register not in (Dcr.ASSERT, Dcr.SEND, Dcr.ARM):
            raise LookupError(f"global interrupt register {offset:#x} cannot be written")
        channel, bit = self._channels[number], bool(value & 1)
        if register == Dcr.ASSERT:
            channel.sticky_mode = False
            self._drive(number, bit)
        elif register == Dcr.ARM:
            channel.sticky_mode, channel.type_and = True, bit
            self._drive(number, bit)
        elif bit:
            channel.armed = True
            self._drive(number, not channel.type_and)
        else:
            channel.sticky = channel.armed = False
        self.on_activity()

    def _changed(self, number: int, up: bool) -> None:
        channel = self._channels[number]
        awaited = channel.armed and not up if channel.type_and else up
        if channel.sticky_mode and awaited:
            channel.sticky, channel.armed = True, False
            self._drive(number, channel.type_and)
        self.on_activity()

    def _drive(self, number: int, up: bool) -> None:
        self._channels[number].output = up
        self.network.drive(number, self.node, up)

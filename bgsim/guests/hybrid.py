"""A program that takes its communication out of its guest, to a native library beside it.

The program starts in its guest and gets its FIFOs and counters from the guest's kernel as ever. Then it
asks to move. Where there is something to move to, the library there sets the devices up anew, with drivers
of its own: the FIFOs of the torus get rings in the library's memory. Where there is not, nothing happens,
in no time.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from bgsim.guests.l4_app import OwnDrivers
from bgsim.guests.messaging import Messenger
from bgsim.platforms.seam import Move, Request


def move(messenger: Messenger) -> Generator[Request, Any, tuple[str, ...]]:
    """Move a program's communication, if that can be done; returns the devices that have moved."""
    devices: tuple[str, ...] = yield Move()
    if "torus" in devices:
        yield from messenger.initialise(OwnDrivers())
    return devices

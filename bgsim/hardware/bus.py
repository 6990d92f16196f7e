"""The physical address space of a node, as far as device registers live in it.

A load or store takes effect at the present simulated time. What the access costs, which depends on the
device, is charged by whoever executes it. Quad accesses, 16 bytes through the floating-point unit, carry any
Python object: data contents are not modelled as bytes.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Protocol, cast, runtime_checkable

WORD_MASK = 0xFFFF_FFFF


class Device(Protocol):
    """Something with 32-bit registers."""

    def load(self, offset: int) -> int:
        """Read the register at a byte offset."""

    def store(self, offset: int, value: int) -> None:
        """Write the register at a byte offset."""


@runtime_checkable
class QuadDevice(Protocol):
    """A device that also takes 16-byte accesses."""

    def load_quad(self, offset: int) -> object:
        """Read 16 bytes."""

    def store_quad(self, offset: int, quad: object) -> None:
        """Write 16 bytes."""


class BusError(LookupError):
    """No device answers at an address, or not to this kind of access."""


class Bus:
    """Devices by physical address."""

    def __init__(self) -> None:
        self._bases: list[int] = []
        self._windows: list[tuple[int, int, Device, int]] = []
        self._quad_devices: set[Device] = set()

    def attach(self, base: int, size: int, device: Device, access_cycles: int) -> None:
        """Give a device a range of addresses.

        Parameters
        ----------
        base
            First physical address.
        size
            Bytes.
        device
            Is handed offsets from `base`.
        access_cycles
            Cycles that a core is held by one load or store.

        Raises
        ------
        ValueError
            If the range is empty or overlaps another device's.
        """
        if size <= 0:
            raise ValueError(f"a device window of {size} bytes")
        index = bisect_right(self._bases, base)
        before = self._windows[index - 1] if index else None
        after = self._windows[index] if index < len(self._windows) else None
        if (before and before[0] + before[1] > base) or (after and base + size > after[0]):
            raise ValueError(f"the window at {base:#x} overlaps another device's")
        self._bases.insert(index, base)
        self._windows.insert(index, (base, size, device, access_cycles))

    def has_device(self, address: int) -> bool:
        """Whether a device answers at an address."""
        index = bisect_right(self._bases, address) - 1
        return index >= 0 and address - self._bases[index] < self._windows[index][1]

    def access_cycles(self, address: int) -> int:
        """Cycles that a core is held by one load or store at an address.

        Raises
        ------
        BusError
            If no device answers.
        """
        return self._window(address)[3]

    def load(self, address: int) -> int:
        """Read a 32-bit register.

        Raises
        ------
        BusError
            If no device answers.
        """
        device, offset = self._find(address)
        return device.load(offset)

    def store(self, address: int, value: int) -> None:
        """Write a 32-bit register.

        Raises
        ------
        BusError
            If no device answers.
        """
        device, offset = self._find(address)
        device.store(offset, value & WORD_MASK)

    def load_quad(self, address: int) -> object:
        """Read 16 bytes through the floating-point unit.

        Raises
        ------
        BusError
            If no device answers, or not to quads.
        """
        device, base = self._find_quad(address)
        return device.load_quad(address - base)

    def store_quad(self, address: int, quad: object) -> None:
        """Write 16 bytes through the floating-point unit.

        Raises
        ------
        BusError
            If no device answers, or not to quads.
        """
        device, base = self._find_quad(address)
        device.store_quad(address - base, quad)

    def _find(self, address: int) -> tuple[Device, int]:
        base, _, device, _ = self._window(address)
        return device, address - base

    def _window(self, address: int) -> tuple[int, int, Device, int]:
        index = bisect_right(self._bases, address) - 1
        if index >= 0 and address - self._windows[index][0] < self._windows[index][1]:
            return self._windows[index]
        raise BusError(f"no device at physical address {address:#x}")

    def _find_quad(self, address: int) -> tuple[QuadDevice, int]:
        device, offset = self._find(address)
        if device not in self._quad_devices and not self._takes_quads(device):
            raise BusError(f"the device at physical address {address:#x} takes no quad accesses")
        return cast(QuadDevice, device), address - offset

    def _takes_quads(self, device: Device) -> bool:
        # Looking a protocol up is slow, and quads come in sixteens.
        if isinstance(device, QuadDevice):
            self._quad_devices.add(device)
            return True
        return False

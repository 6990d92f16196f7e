"""The device control register (DCR) bus of a node: registers by number, apart from the address space.

An access takes effect at the present simulated time; its cost (``dcr.latency``) is charged by whoever
executes it.
"""

from __future__ import annotations

from typing import Protocol

WORD_MASK = 0xFFFF_FFFF


class DcrDevice(Protocol):
    """Something with device control registers."""

    def dcr_read(self, offset: int) -> int:
        """Read a register, by offset from the device's first number."""

    def dcr_write(self, offset: int, value: int) -> None:
        """Write a register, by offset from the device's first number."""


class DcrError(LookupError):
    """No device has a register of this number."""


class DcrBlock:
    """A block of registers that only hold what was written: configuration the model does not use.

    Parameters
    ----------
    initial
        Values after reset, by offset; all others are 0.
    """

    def __init__(self, initial: dict[int, int] | None = None) -> None:
        self._values = dict(initial or {})

    def dcr_read(self, offset: int) -> int:
        """The value last written."""
        return self._values.get(offset, 0)

    def dcr_write(self, offset: int, value: int) -> None:
        """Keep a value."""
        self._values[offset] = value


class DcrBus:
    """Devices by register number."""

    def __init__(self) -> None:
        self._windows: list[tuple[int, int, DcrDevice]] = []

    def attach(self, first: int, count: int, device: DcrDevice) -> None:
        """Give a device a range of register numbers.

        Raises
        ------
        ValueError
            If the range is empty or overlaps another device's.
        """
        if count <= 0 or any(first < base + size and base < first + count for base, size, _ in self._windows):
            raise ValueError(f"registers {first:#x} to {first + count - 1:#x} are taken, or none")
        self._windows.append((first, count, device))

    def read(self, number: int) -> int:
        """Read a register (mfdcr, mfdcrx).

        Raises
        ------
        DcrError
            If no device has it.
        """
        device, offset = self._find(number)
        return device.dcr_read(offset)

    def write(self, number: int, value: int) -> None:
        """Write a register (mtdcr, mtdcrx).

        Raises
        ------
        DcrError
            If no device has it.
        """
        device, offset = self._find(number)
        device.dcr_write(offset, value & WORD_MASK)

    def _find(self, number: int) -> tuple[DcrDevice, int]:
        for first, count, device in self._windows:
            if first <= number < first + count:
                return device, number - first
        raise DcrError(f"no device control register {number:#x}")

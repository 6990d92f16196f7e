"""Memory shared between processors and the DMA engine, holding objects instead of bytes.

Only what hardware reads or writes in memory needs a place: descriptors in injection FIFOs, packets in
reception FIFOs, data of direct puts. Each is one Python object at the address where its first byte would
stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


class Memory(Protocol):
    """Objects by address."""

    def read(self, address: int) -> object:
        """The object at an address; None if there is none."""

    def write(self, address: int, value: object) -> None:
        """Put an object at an address."""


class ObjectMemory:
    """Physical memory of a node."""

    def __init__(self) -> None:
        self._objects: dict[int, object] = {}

    def read(self, address: int) -> object:
        """The object at an address; None if there is none."""
        return self._objects.get(address)

    def write(self, address: int, value: object) -> None:
        """Put an object at an address, or remove it with None."""
        if value is None:
            self._objects.pop(address, None)
        else:
            self._objects[address] = value

    def contents(self) -> Mapping[int, object]:
        """All objects by address."""
        return dict(self._objects)

    def window(self, base: int, size: int) -> MemoryWindow:
        """The part of memory that a virtual machine sees from address 0."""
        return MemoryWindow(self, base, size)


@dataclass(frozen=True, slots=True)
class MemoryWindow:
    """A range of memory under other addresses.

    Attributes
    ----------
    memory
        The memory it is part of.
    base
        Address there of this window's address 0.
    size
        Bytes.
    """

    memory: Memory
    base: int
    size: int

    def translate(self, address: int) -> int:
        """The address in the underlying memory.

        Raises
        ------
        IndexError
            If the window does not reach that far.
        """
        if not 0 <= address < self.size:
            raise IndexError(f"address {address:#x} is outside a window of {self.size:#x} bytes")
        return self.base + address

    def read(self, address: int) -> object:
        """The object at an address; None if there is none."""
        return self.memory.read(self.translate(address))

    def write(self, address: int, value: object) -> None:
        """Put an object at an address."""
        self.memory.write(self.translate(address), value)


@dataclass(frozen=True, slots=True)
class Ring:
    """A ring of equal slots in memory: a FIFO between software and the DMA engine.

    Attributes
    ----------
    memory
        Where it lives.
    base
        Address of slot 0, a multiple of 16 bytes.
    entries
        Slots; one of them always stays free, so that a full ring differs from an empty one.
    slot_bytes
        32 for descriptors, 256 for packets.
    """

    memory: Memory
    base: int
    entries: int
    slot_bytes: int

    def __post_init__(self) -> None:
        """Refuse what FIFO registers cannot express."""
        if self.base % 16 or self.slot_bytes % 16 or self.entries < 2:
            raise ValueError("a ring has at least two slots and is aligned to 16 bytes")

    @property
    def start_pointer(self) -> int:
        """What the FIFO's start register holds, in units of 16 bytes."""
        return self.base >> 4

    @property
    def end_pointer(self) -> int:
        """What the FIFO's end register holds: one past the last slot, in units of 16 bytes."""
        return self.pointer(self.entries)

    def pointer(self, slot: int) -> int:
        """The value of a head or tail register that stands at a slot, in units of 16 bytes."""
        return (self.base + slot * self.slot_bytes) >> 4

    def slot(self, pointer: int) -> int:
        """The slot a head or tail register stands at."""
        return (((pointer << 4) - self.base) // self.slot_bytes) % self.entries

    def next(self, slot: int) -> int:
        """The slot after a slot."""
        return (slot + 1) % self.entries

    def write(self, slot: int, value: object) -> None:
        """Put an object into a slot."""
        self.memory.write(self.base + slot * self.slot_bytes, value)

    def read(self, slot: int) -> object:
        """The object in a slot."""
        return self.memory.read(self.base + slot * self.slot_bytes)

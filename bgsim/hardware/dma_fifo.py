"""The pointers of one DMA FIFO: a ring in memory, given by four registers in units of 16 bytes."""

from __future__ import annotations

from dataclasses import dataclass

from bgsim.hardware.dma_registers import FifoRegister


@dataclass(slots=True, eq=False)
class Fifo:
    """Start, end, head and tail of a ring; head equal to tail means empty.

    Attributes
    ----------
    index
        ``group * 32 + fifo`` for injection, ``group * 8 + fifo`` for reception, in one number space each.
    """

    index: int
    start: int = 0
    end: int = 0
    head: int = 0
    tail: int = 0

    @property
    def size(self) -> int:
        """Capacity in units of 16 bytes; 0 before it is set up."""
        return max(0, self.end - self.start)

    @property
    def used(self) -> int:
        """Waiting contents in units of 16 bytes."""
        return (self.tail - self.head) % self.size if self.size else 0

    @property
    def holds(self) -> bool:
        """Whether anything waits; a program that polls asks this of all FIFOs again and again."""
        return self.head != self.tail and self.used > 0

    @property
    def free(self) -> int:
        """Free space in units of 16 bytes; a completely filled ring would look empty and does not occur."""
        return self.size - self.used

    def advance(self, pointer: int, amount: int) -> int:
        """A pointer moved on by an amount, wrapped at the end."""
        return self.start + (pointer - self.start + amount) % self.size

    def load(self, register: int) -> int:
        """Read one of the four registers."""
        return (self.start, self.end, self.head, self.tail)[register >> 2]

    def store(self, register: int, value: int) -> None:
        """Write one of the four registers."""
        if register == FifoRegister.START:
            self.start = value
        elif register == FifoRegister.END:
            self.end = value
        elif register == FifoRegister.HEAD:
            self.head = value
        else:
            self.tail = value

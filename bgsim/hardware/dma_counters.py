"""The byte counters of the DMA engine: 256 for injection, 256 for reception.

Software adds the length of a message, the engine takes off the bytes it has moved; reaching zero sets a
sticky bit that software clears. Word arithmetic is modulo 2^32, as in the hardware.
"""

from __future__ import annotations

from collections.abc import Callable

from bgsim.hardware.dma_registers import COUNTERS, GROUPS, CounterControl, CounterRegister, bit

_WORD = 0xFFFF_FFFF


class CounterFile:
    """All counters of one direction.

    Parameters
    ----------
    on_hit_zero
        Called with ``group * 64 + counter`` when that counter reaches zero.
    on_change
        Called when a hit-zero bit was set or cleared.
    """

    def __init__(self, on_hit_zero: Callable[[int], None], on_change: Callable[[], None]) -> None:
        self._on_hit_zero = on_hit_zero
        self._on_change = on_change
        count = GROUPS * COUNTERS
        self.value = [0] * count
        self.base = [0] * count
        self.limit = [_WORD] * count
        self._enabled = [0] * (count // 32)  # word per 32 counters
        self._hit_zero = [0] * (count // 32)

    def enabled(self, counter: int) -> bool:
        """Whether a counter counts."""
        return bool(self._enabled[counter >> 5] & bit(counter))

    def enable(self, counter: int, on: bool = True) -> None:
        """Let a counter count, or not."""
        if on:
            self._enabled[counter >> 5] |= bit(counter)
        else:
            self._enabled[counter >> 5] &= ~bit(counter)

    def hit_zero(self, counter: int) -> bool:
        """Whether a counter has reached zero since the bit was cleared."""
        return bool(self._hit_zero[counter >> 5] & bit(counter))

    def increment(self, counter: int, amount: int) -> None:
        """Add bytes that are going to be moved."""
        self.value[counter] = (self.value[counter] + amount) & _WORD

    def decrement(self, counter: int, amount: int) -> None:
        """Take off bytes that have been moved."""
        before = self.value[counter]
        self.value[counter] = after = (before - amount) & _WORD
        if after == 0 and before:
            self._hit_zero[counter >> 5] |= bit(counter)
            self._on_hit_zero(counter)
            self._on_change()

    def clear_hit_zero(self, counter: int) -> None:
        """Clear a counter's sticky bit."""
        self._clear(counter >> 5, bit(counter))

    def subgroups(self) -> int:
        """Word with one bit for each eight counters of which one has hit zero."""
        word = 0
        for index, hits in enumerate(self._hit_zero):
            for byte in range(4):
                if hits >> (24 - 8 * byte) & 0xFF:
                    word |= bit(4 * index + byte)
        return word

    def load(self, group: int, counter: int, register: int) -> int:
        """Read one of a counter's registers."""
        index = group * COUNTERS + counter
        if register == CounterRegister.VALUE:
            return self.value[index]
        if register == CounterRegister.BASE:
            return self.base[index]
        if register == CounterRegister.LIMIT:
            return self.limit[index]
        raise LookupError(f"counter register {register:#x} cannot be read")

    def store(self, group: int, counter: int, register: int, value: int) -> None:
        """Write one of a counter's registers."""
        index = group * COUNTERS + counter
        if register == CounterRegister.VALUE:
            self.value[index] = value
        elif register == CounterRegister.INCREMENT:
            self.increment(index, value)
        elif register == CounterRegister.BASE:
            self.base[index] = value
        else:
            self.limit[index] = value

    def load_control(self, group: int, offset: int) -> int:
        """Read a register over all counters of a group."""
        if offset == CounterControl.GROUP_STATUS:
            return self.subgroups()
        register, word = offset & ~7, offset >> 2 & 1
        if register == CounterControl.ENABLED:
            return self._enabled[2 * group + word]
        if register == CounterControl.HIT_ZERO:
            return self._hit_zero[2 * group + word]
        raise LookupError(f"counter control register {offset:#x} cannot be read")

    def store_control(self, group: int, offset: int, value: int) -> None:
        """Write a register over all counters of a group."""
        register, word = offset & ~7, 2 * group + (offset >> 2 & 1)
        if register == CounterControl.ENABLE:
            self._enabled[word] |= value
        elif register == CounterControl.DISABLE:
            self._enabled[word] &= ~value
        elif register == CounterControl.HIT_ZERO_CLEAR:
            self._clear(word, value)
        else:
            raise LookupError(f"counter control register {offset:#x} cannot be written")

    def _clear(self, word: int, bits: int) -> None:
        if self._hit_zero[word] & bits:
            self._hit_zero[word] &= ~bits
            self._on_change()

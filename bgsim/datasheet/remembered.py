"""Answers that were computed from a machine, kept while the process lives.

A record says which settings a run never read, and an analysis takes what a run reads for its factors. An
answer that is found here must therefore leave the same traces on the machine as one that is computed: what
was read the first time counts as read again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from bgsim.datasheet.sheet import Datasheet

__all__ = ["Remembered"]

Answer = TypeVar("Answer")


class Remembered(Generic[Answer]):
    """The latest answers, each with the names of the parameters that were read to compute it.

    Parameters
    ----------
    size
        How many are kept; of more the one that was asked for longest ago is forgotten.
    """

    def __init__(self, size: int = 64) -> None:
        self._size = size
        self._kept: OrderedDict[Hashable, tuple[Answer, frozenset[str]]] = OrderedDict()

    def get(self, machine: Datasheet, key: Hashable, compute: Callable[[Datasheet], Answer]) -> Answer:
        """The answer for a machine; what it depends on counts as read by the machine, kept or not.

        Parameters
        ----------
        machine
            The machine; equal machines have the same answer.
        key
            What else the answer depends on.
        compute
            Computes it from a copy of the machine. Its errors pass through, and nothing is kept.
        """
        whole = (machine.digest(), key)
        found = self._kept.pop(whole, None)
        if found is None:
            copy = machine.with_values({})  # knows what was read for this answer and for nothing else
            found = compute(copy), copy.read
        self._kept[whole] = found
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)
        answer, names = found
        machine.count_as_read(names)
        return answer

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()

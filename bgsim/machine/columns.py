"""Tables of integers that grow by whole columns at a time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from bgsim.network.traffic import Ints


class Columns:
    """Named integer columns of one length.

    Parameters
    ----------
    defaults
        Name of each column, and the value of rows that are not given one.
    """

    def __init__(self, defaults: Mapping[str, int]) -> None:
        self._defaults = dict(defaults)
        self._columns = {name: np.zeros(0, np.int64) for name in defaults}
        self.size = 0

    def add(self, count: int, **values: ArrayLike) -> Ints:
        """Append rows; return their numbers."""
        first, self.size = self.size, self.size + count
        if self.size > len(next(iter(self._columns.values()))):
            room = max(1024, 2 * self.size)
            for name, column in self._columns.items():
                grown = np.empty(room, np.int64)
                grown[:first] = column[:first]
                self._columns[name] = grown
        for name, column in self._columns.items():
            column[first : self.size] = np.asarray(values.get(name, self._defaults[name]))
        return np.arange(first, self.size)

    def __getitem__(self, name: str) -> Ints:
        """A column; a view, valid until rows are added."""
        return self._columns[name][: self.size]

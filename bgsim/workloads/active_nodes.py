"""Conditions on nodes, such as ``x % 2 == 0``: which nodes of a partition take part in a workload.

An expression is parsed once with :mod:`ast`, checked completely (every name, operator and type) and turned
into functions of arrays; nothing is ever handed to ``eval``. The checks need no partition, so a wrong
expression is refused when the experiment is read, with a pointer to the wrong part.

=========  =================================================
``x y z``   coordinates of the node
``X Y Z``   extents of the partition
``node``    number of the node, x + X (y + Y z)
``nodes``   number of nodes of the partition
=========  =================================================

There are whole and decimal numbers, ``+ - * / // %``, comparisons (also chained: ``2 <= x < 4``), ``and``,
``or``, ``not``, parentheses, and the word ``all`` alone.
"""

from __future__ import annotations

from typing import Any, Final

from bgsim.expressions import ExpressionError, Reader, Term, parsed

NAMES: Final = ("x", "y", "z", "node", "X", "Y", "Z", "nodes")
ALL: Final = "all"


class ActiveError(ExpressionError):
    """An expression that is not a condition on nodes; the message points to the wrong part."""


class ActiveNodes:
    """A parsed condition.

    Parameters
    ----------
    text
        The expression.

    Raises
    ------
    ActiveError
        With one message of three lines: what is wrong, the expression, and a caret below the wrong part.

    Examples
    --------
    >>> ActiveNodes("x % 2 == 0 and not z >= Z / 2").text
    'x % 2 == 0 and not z >= Z / 2'
    >>> ActiveNodes("x % 2 == w")
    Traceback (most recent call last):
    bgsim.workloads.active_nodes.ActiveError: unknown name 'w' (expected x, y, z, node, X, Y, Z, nodes)
        x % 2 == w
                 ^
    """

    def __init__(self, text: str) -> None:
        self.text = text
        if text.strip() == ALL:
            self._condition: Term | None = None
            return
        if not text.strip():
            raise ActiveError(f"an empty expression names no nodes; '{ALL}' means all of them")
        line, tree = parsed(text, ActiveError)
        try:
            self._condition = Reader(line, NAMES, "a condition on nodes", ActiveError).condition(tree)
        except RecursionError:
            raise ActiveError("the expression is nested too deeply") from None

    def select(self, shape: tuple[int, int, int]) -> Any:
        """Which nodes satisfy the condition.

        Parameters
        ----------
        shape
            Extents of the partition.

        Returns
        -------
        numpy.ndarray
            Numbers of the nodes, ascending, int64.

        Raises
        ------
        ActiveError
            No node does, or the expression divides by zero on this partition.
        """
        import numpy as np

        X, Y, Z = shape
        node = np.arange(X * Y * Z)
        if self._condition is None:
            return node
        columns: dict[str, Any] = {"x": node % X, "y": node // X % Y, "z": node // (X * Y), "node": node}
        columns |= {"X": X, "Y": Y, "Z": Z, "nodes": node.size}
        try:
            with np.errstate(divide="raise", invalid="raise"):
                chosen = np.flatnonzero(np.broadcast_to(self._condition(columns), node.shape))
        except (ZeroDivisionError, FloatingPointError):
            size = "x".join(map(str, shape))
            raise ActiveError(f"'{self.text}' divides by zero on a partition of {size}") from None
        if not chosen.size:
            raise ActiveError(f"no node of {'x'.join(map(str, shape))} satisfies '{self.text}'")
        return chosen

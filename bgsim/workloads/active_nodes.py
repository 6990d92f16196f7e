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

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from bgsim.spelling import did_you_mean

NAMES: Final = ("x", "y", "z", "node", "X", "Y", "Z", "nodes")
ALL: Final = "all"
LENGTH_MAX: Final = 1000
NUMBER_MAX: Final = 2**31

Columns = Mapping[str, Any]
"""By name: arrays of shape (nodes,) for ``x y z node``, numbers for the others."""

_Term = Callable[[Columns], Any]

_ARITHMETIC: Final[dict[type[ast.operator], tuple[str, Callable[[Any, Any], Any]]]] = {
    ast.Add: ("+", operator.add),
    ast.Sub: ("-", operator.sub),
    ast.Mult: ("*", operator.mul),
    ast.Div: ("/", operator.truediv),
    ast.FloorDiv: ("//", operator.floordiv),
    ast.Mod: ("%", operator.mod),
}
_COMPARISONS: Final[dict[type[ast.cmpop], Callable[[Any, Any], Any]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


_FOREIGN: Final = (
    (re.compile(r"(?<![=!<>:])=(?!=)"), "numbers are compared with '==', not with '='"),
    (re.compile(r"&&|\|\||!(?!=)"), "conditions are joined by the words 'and', 'or', 'not'"),
)
"""Ways of other languages to write what is meant."""


class ActiveError(ValueError):
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
        if len(text) > LENGTH_MAX:
            raise ActiveError(f"an expression has at most {LENGTH_MAX} characters, and this one {len(text)}")
        if text.strip() == ALL:
            self._condition: _Term | None = None
            return
        if not text.strip():
            raise ActiveError(f"an empty expression names no nodes; '{ALL}' means all of them")
        line = " ".join(text.splitlines())
        try:
            tree = ast.parse(f"({line})", mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise _unreadable(line, error) from None
        try:
            self._condition = _Reader(line).condition(tree.body)
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


class _Reader:
    """Turns a syntax tree into functions, number by number and condition by condition."""

    def __init__(self, line: str) -> None:
        self._line = line

    def condition(self, tree: ast.expr) -> _Term:
        if isinstance(tree, ast.BoolOp):
            parts = [self.condition(value) for value in tree.values]
            both = operator.and_ if isinstance(tree.op, ast.And) else operator.or_
            return _chain(parts, both)
        if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not):
            inner = self.condition(tree.operand)
            return lambda columns: inner(columns) ^ True
        if isinstance(tree, ast.Compare):
            terms = [self.number(part) for part in (tree.left, *tree.comparators)]
            parts = []
            for index, sign in enumerate(tree.ops):
                compare = _COMPARISONS.get(type(sign))
                if compare is None:
                    raise self._wrong(tree.comparators[index], "only == != < <= > >= compare numbers, not")
                parts.append(_applied(compare, terms[index], terms[index + 1]))
            return _chain(parts, operator.and_)
        if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.BitAnd | ast.BitOr | ast.BitXor):
            raise self._wrong(tree, "conditions are joined by 'and' and 'or', not by '&' and '|', in")
        self.number(tree)  # says what else may be wrong with it
        raise self._wrong(tree, "this is a number; a condition compares it, such as '... == 0':")

    def number(self, tree: ast.expr) -> _Term:
        if isinstance(tree, ast.Name):
            name = tree.id
            if name not in NAMES:
                near = did_you_mean(name, NAMES) or f" (expected {', '.join(NAMES)})"
                raise _pointed(self._line, self._column(tree), f"unknown name '{name}'{near}")
            return lambda columns: columns[name]
        if isinstance(tree, ast.Constant):
            value = tree.value
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise self._wrong(tree, "not a number:")
            if not abs(value) <= NUMBER_MAX:
                raise self._wrong(tree, f"numbers go up to {NUMBER_MAX}:")
            return lambda columns: value
        if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub | ast.UAdd):
            inner, sign = self.number(tree.operand), -1 if isinstance(tree.op, ast.USub) else 1
            return lambda columns: sign * inner(columns)
        if isinstance(tree, ast.BinOp):
            known = _ARITHMETIC.get(type(tree.op))
            if known is None:
                signs = " ".join(sign for sign, _ in _ARITHMETIC.values())
                raise self._wrong(tree, f"the operators on numbers are {signs}:")
            return _applied(known[1], self.number(tree.left), self.number(tree.right))
        if isinstance(tree, ast.Compare | ast.BoolOp) or (
            isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not)
        ):
            raise self._wrong(tree, "a condition stands where a number belongs:")
        if isinstance(tree, ast.Call):
            raise self._wrong(tree, "there are no functions:")
        raise self._wrong(tree, "not part of a condition on nodes:")

    @staticmethod
    def _column(tree: ast.expr) -> int:
        return tree.col_offset - 1

    def _wrong(self, tree: ast.expr, message: str) -> ActiveError:
        # Offsets count bytes of UTF-8, and one opening parenthesis stands before the line.
        written = f"({self._line}".encode()[tree.col_offset : tree.end_col_offset].decode()
        return _pointed(self._line, self._column(tree), f"{message} '{written}'", len(written))


def _applied(function: Callable[[Any, Any], Any], left: _Term, right: _Term) -> _Term:
    return lambda columns: function(left(columns), right(columns))


def _chain(parts: list[_Term], function: Callable[[Any, Any], Any]) -> _Term:
    whole = parts[0]
    for part in parts[1:]:
        whole = _applied(function, whole, part)
    return whole


def _unreadable(line: str, error: BaseException) -> ActiveError:
    for pattern, message in _FOREIGN:
        found = pattern.search(line)
        if found:
            return _pointed(line, found.start(), message, len(found.group()))
    column = getattr(error, "offset", None) or 2
    return _pointed(line, min(column - 2, len(line)), "cannot be read from here on")


def _pointed(line: str, column: int, message: str, width: int = 1) -> ActiveError:
    return ActiveError(f"{message}\n    {line}\n    {' ' * max(0, column)}{'^' * max(1, width)}")

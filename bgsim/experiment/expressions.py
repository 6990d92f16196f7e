"""Expressions of a sweep: derived values, and conditions that say which points are run.

They know numbers (exact, so that ``0.1 * 3 == 0.3``), texts, true and false, lists, and every setting of the
experiment by its dotted path or, where that is unambiguous among the swept paths, by its last part. A text
with a unit counts as its number of base units (B, s, B/s, Hz) where it is compared or calculated with:
``message_size >= '4 KiB'``, ``4 * message_size``. Nothing is ever handed to ``eval``.

There are ``+ - * / // % **``, comparisons (also chained), ``in`` and ``not in``, ``and``, ``or``, ``not``,
``A if CONDITION else B``, and the functions of :data:`FUNCTIONS`.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Collection, Mapping
from fractions import Fraction
from typing import Any, Final

from bgsim.experiment.order import quantity_of
from bgsim.expressions import ExpressionError, Reader, Term, Values, applied, parsed

EXPONENT_MAX: Final = 64

FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "min": min,
    "max": max,
    "abs": abs,
    "round": round,
    "floor": math.floor,
    "ceil": math.ceil,
    "sqrt": math.sqrt,
    "log2": math.log2,
    "log10": math.log10,
    "len": len,
}
"""Functions of numbers; ``len`` also of lists and texts."""


class Expression:
    """A parsed expression.

    Parameters
    ----------
    text
        The expression.
    names
        The names it may use.
    condition
        Whether it has to be true or false.

    Raises
    ------
    ExpressionError
        With one message of three lines: what is wrong, the expression, and a caret below the wrong part.

    Attributes
    ----------
    used
        The names it uses.

    Examples
    --------
    >>> Expression("max(10, 4 * ranks)", ["ranks"]).value({"ranks": 16})
    64
    >>> Expression("size >= '4 KiB' and not lazy", ["size", "lazy"]).value({"size": "1 MiB", "lazy": False})
    True
    """

    def __init__(self, text: str, names: Collection[str], condition: bool = False) -> None:
        self.text = text
        line, tree = parsed(text)
        reader = _SweepReader(line, names)
        try:
            self._term = reader.condition(tree) if condition else reader.value(tree)
        except RecursionError:
            raise ExpressionError("the expression is nested too deeply") from None
        self._condition = condition
        self.used = frozenset(reader.used)

    def value(self, values: Values) -> Any:
        """The value of the expression.

        Parameters
        ----------
        values
            Of the names; a name whose value is missing raises KeyError with the name.

        Returns
        -------
        bool, int, float, str or list
            A number is an `int` when it is whole.

        Raises
        ------
        ExpressionError
            If it cannot be evaluated with these values; one line.
        """
        try:
            found = self._term(values)
        except KeyError as missing:
            raise ExpressionError(f"'{missing.args[0]}' is not set here") from None
        except ZeroDivisionError:
            raise ExpressionError(f"'{self.text}' divides by zero here") from None
        except (TypeError, ValueError, OverflowError) as refusal:
            raise ExpressionError(f"'{self.text}' cannot be evaluated here: {refusal}") from None
        if self._condition and not isinstance(found, bool):
            raise ExpressionError(f"'{self.text}' is {_plain(found)!r} here, neither true nor false")
        return _plain(found)


class _SweepReader(Reader):
    """Adds texts, lists, dotted names, functions and choices to what conditions on nodes know."""

    def __init__(self, line: str, names: Collection[str]) -> None:
        super().__init__(line, names, "an expression of a sweep")
        self.used: set[str] = set()

    def value(self, tree: ast.expr) -> Term:
        """Whatever has a value: a number, a text, a list, true or false, or a choice between two."""
        if isinstance(tree, ast.Constant) and isinstance(tree.value, str):
            return lambda values: tree.value
        if isinstance(tree, ast.List | ast.Tuple):
            terms = [self.value(item) for item in tree.elts]
            return lambda values: [term(values) for term in terms]
        if isinstance(tree, ast.IfExp):
            asked, yes, no = self.condition(tree.test), self.value(tree.body), self.value(tree.orelse)
            return lambda values: yes(values) if asked(values) else no(values)
        if _is_condition(tree):
            return self.condition(tree)
        return self.name_of(tree) or self.number(tree)

    def condition(self, tree: ast.expr) -> Term:
        """A part that is true or false; a setting may be."""
        named = self.name_of(tree)
        if named is not None:
            return lambda values: _truth(named(values), self.written(tree))
        if isinstance(tree, ast.Constant) and isinstance(tree.value, bool):
            return lambda values: tree.value
        if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not):
            inner = self.condition(tree.operand)
            return lambda values: not inner(values)
        return super().condition(tree)

    def joined(self, parts: list[Term], both: bool) -> Term:
        """Conditions joined; what the first decides, the others are not asked for."""
        if both:
            return lambda values: all(part(values) for part in parts)
        return lambda values: any(part(values) for part in parts)

    def compared(self, tree: ast.expr) -> Term:
        """One side of a comparison: texts with units count as numbers."""
        term = self.value(tree)
        return lambda values: _number(term(values))

    def comparison(self, tree: ast.Compare, index: int, left: Term, right: Term) -> Term:
        """One link of a chain of comparisons, or membership in a list."""
        sign = tree.ops[index]
        if isinstance(sign, ast.In | ast.NotIn):
            wanted = isinstance(sign, ast.In)
            return lambda values: (left(values) in right(values)) == wanted
        return super().comparison(tree, index, left, right)

    def number(self, tree: ast.expr) -> Term:
        """A part that is calculated with."""
        if isinstance(tree, ast.Constant) and isinstance(tree.value, str):
            amount = quantity_of(tree.value)
            if amount is None:
                raise self.wrong(tree, "not a number:")
            return lambda values: amount.value
        if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Pow):
            return applied(_power, self.number(tree.left), self.number(tree.right))
        named = self.name_of(tree)
        if named is not None:
            return lambda values: _number(named(values))
        return super().number(tree)

    def constant(self, tree: ast.Constant) -> Term:
        """A number that is written out, exactly as written."""
        value = tree.value
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            exact = Fraction(repr(value))
            return lambda values: exact
        return super().constant(tree)

    def call(self, tree: ast.Call) -> Term:
        """A function of :data:`FUNCTIONS`."""
        name = tree.func.id if isinstance(tree.func, ast.Name) else self.written(tree.func)
        if name not in FUNCTIONS:
            raise self.wrong(tree.func, f"there are the functions {', '.join(FUNCTIONS)}, not")
        if tree.keywords or not tree.args or any(isinstance(item, ast.Starred) for item in tree.args):
            raise self.wrong(tree, "a function is called with values alone:")
        of_numbers = name != "len"
        terms = [self.number(item) if of_numbers else self.value(item) for item in tree.args]
        function = FUNCTIONS[name]
        return lambda values: _exact(function(*(term(values) for term in terms)))

    def name_of(self, tree: ast.expr) -> Term | None:
        """The value of a name or of a dotted path, or None for anything else."""
        steps, here = [], tree
        while isinstance(here, ast.Attribute):
            steps.append(here.attr)
            here = here.value
        if not isinstance(here, ast.Name):
            return None
        name = ".".join([here.id, *reversed(steps)])
        if name in ("true", "false"):
            return lambda values: name == "true"
        self.used.add(name)
        return self.name(tree, name)


def _is_condition(tree: ast.expr) -> bool:
    return (
        isinstance(tree, ast.Compare | ast.BoolOp)
        or (isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not))
        or (isinstance(tree, ast.Constant) and isinstance(tree.value, bool))
    )


def _number(value: Any) -> Any:
    """A text with a unit as its number of base units, a number exactly, anything else as it is."""
    if isinstance(value, str):
        amount = quantity_of(value)
        return value if amount is None else amount.value
    if isinstance(value, list | tuple):
        return [_number(item) for item in value]
    return _exact(value)


def _exact(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if not math.isfinite(value):
        raise ValueError("the number is not finite")
    return Fraction(repr(value))


def _power(base: Any, exponent: Any) -> Any:
    if abs(exponent) > EXPONENT_MAX:
        raise ValueError(f"exponents go up to {EXPONENT_MAX}")
    found = operator.pow(base, exponent)
    if isinstance(found, complex):
        raise ValueError("a root of a negative number")
    return _exact(found)


def _truth(value: Any, text: str) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{text} is {value!r}, neither true nor false")
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Fraction):
        return int(value) if value.denominator == 1 else float(value)
    return [_plain(item) for item in value] if isinstance(value, list) else value

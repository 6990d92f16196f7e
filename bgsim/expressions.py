"""Small expressions that researchers write in experiments, checked completely and never handed to ``eval``.

An expression is parsed with :mod:`ast`, every name, operator and type is checked, and what comes out is a
function of the names' values. What may stand in one is said by a :class:`Reader`: this one knows numbers and
conditions on them, over plain numbers and arrays alike; :mod:`bgsim.workloads.active_nodes` uses it for
conditions on nodes, and :mod:`bgsim.experiment.expressions` extends it for sweeps.

A wrong expression is refused with a message of three lines: what is wrong, the expression, and a caret below
the wrong part.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from bgsim.spelling import did_you_mean

__all__ = ["ExpressionError", "Reader", "Term", "Values", "parsed"]

LENGTH_MAX: Final = 1000
NUMBER_MAX: Final = 2**31

Values = Mapping[str, Any]
"""The values of the names, when an expression is evaluated."""

Term = Callable[[Values], Any]
"""A part of an expression, as a function of the names' values."""

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


class ExpressionError(ValueError):
    """An expression that cannot be read; the message points to the wrong part."""


def parsed(text: str, error: type[ExpressionError] = ExpressionError) -> tuple[str, ast.expr]:
    """The line and the syntax tree of an expression.

    Columns of the tree count one more than those of the line: a parenthesis stands before it.

    Parameters
    ----------
    text
        The expression; line breaks count as spaces.
    error
        What is raised.

    Raises
    ------
    ExpressionError
        If it is too long or is no expression.
    """
    if len(text) > LENGTH_MAX:
        raise error(f"an expression has at most {LENGTH_MAX} characters, and this one {len(text)}")
    line = " ".join(text.splitlines())
    try:
        return line, ast.parse(f"({line})", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as refusal:
        raise _unreadable(line, refusal, error) from None


class Reader:
    """Turns a syntax tree into functions, number by number and condition by condition.

    Parameters
    ----------
    line
        The expression, as :func:`parsed` returns it.
    names
        The names that may stand in it.
    subject
        What the expression is, for messages: ``a condition on nodes``.
    error
        What is raised for whatever is wrong.
    """

    def __init__(
        self,
        line: str,
        names: Collection[str],
        subject: str,
        error: type[ExpressionError] = ExpressionError,
    ) -> None:
        self.line = line
        self.names = names
        self.subject = subject
        self.error = error

    def condition(self, tree: ast.expr) -> Term:
        """A part that is true or false.

        Raises
        ------
        ExpressionError
            If it is not.
        """
        if isinstance(tree, ast.BoolOp):
            return self.joined([self.condition(value) for value in tree.values], isinstance(tree.op, ast.And))
        if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not):
            inner = self.condition(tree.operand)
            return lambda values: inner(values) ^ True
        if isinstance(tree, ast.Compare):
            terms = [self.compared(part) for part in (tree.left, *tree.comparators)]
            parts = [
                self.comparison(tree, index, terms[index], terms[index + 1])
                for index in range(len(tree.comparators))
            ]
            return self.joined(parts, True)
        if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.BitAnd | ast.BitOr | ast.BitXor):
            raise self.wrong(tree, "conditions are joined by 'and' and 'or', not by '&' and '|', in")
        self.number(tree)  # says what else may be wrong with it
        raise self.wrong(tree, "this is a number; a condition compares it, such as '... == 0':")

    def joined(self, parts: list[Term], both: bool) -> Term:
        """Conditions joined by ``and`` (`both`) or ``or``; all are evaluated, for they may be arrays."""
        whole = parts[0]
        for part in parts[1:]:
            whole = applied(operator.and_ if both else operator.or_, whole, part)
        return whole

    def compared(self, tree: ast.expr) -> Term:
        """One side of a comparison."""
        return self.number(tree)

    def comparison(self, tree: ast.Compare, index: int, left: Term, right: Term) -> Term:
        """One link of a chain of comparisons."""
        compare = _COMPARISONS.get(type(tree.ops[index]))
        if compare is None:
            raise self.wrong(tree.comparators[index], "only == != < <= > >= compare numbers, not")
        return applied(compare, left, right)

    def number(self, tree: ast.expr) -> Term:
        """A part that is a number.

        Raises
        ------
        ExpressionError
            If it is not.
        """
        if isinstance(tree, ast.Name):
            return self.name(tree, tree.id)
        if isinstance(tree, ast.Constant):
            return self.constant(tree)
        if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub | ast.UAdd):
            inner, sign = self.number(tree.operand), -1 if isinstance(tree.op, ast.USub) else 1
            return lambda values: sign * inner(values)
        if isinstance(tree, ast.BinOp):
            known = _ARITHMETIC.get(type(tree.op))
            if known is None:
                signs = " ".join(sign for sign, _ in _ARITHMETIC.values())
                raise self.wrong(tree, f"the operators on numbers are {signs}:")
            return applied(known[1], self.number(tree.left), self.number(tree.right))
        if isinstance(tree, ast.Compare | ast.BoolOp) or (
            isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not)
        ):
            raise self.wrong(tree, "a condition stands where a number belongs:")
        if isinstance(tree, ast.Call):
            return self.call(tree)
        return self.other(tree)

    def name(self, tree: ast.expr, name: str) -> Term:
        """The value of a name."""
        if name not in self.names:
            near = did_you_mean(name, self.names) or f" (expected {', '.join(self.names)})"
            raise self.pointed(self.column(tree), f"unknown name '{name}'{near}")
        return lambda values: values[name]

    def constant(self, tree: ast.Constant) -> Term:
        """A number that is written out."""
        value = tree.value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(tree, "not a number:")
        if not abs(value) <= NUMBER_MAX:
            raise self.wrong(tree, f"numbers go up to {NUMBER_MAX}:")
        return lambda values: value

    def call(self, tree: ast.Call) -> Term:
        """A function of numbers."""
        raise self.wrong(tree, "there are no functions:")

    def other(self, tree: ast.expr) -> Term:
        """What no rule knows."""
        raise self.wrong(tree, f"not part of {self.subject}:")

    @staticmethod
    def column(tree: ast.expr) -> int:
        """Where a part begins in the line."""
        return tree.col_offset - 1

    def written(self, tree: ast.expr) -> str:
        """A part as it was written."""
        # Offsets count bytes of UTF-8, and one opening parenthesis stands before the line.
        return f"({self.line}".encode()[tree.col_offset : tree.end_col_offset].decode()

    def wrong(self, tree: ast.expr, message: str) -> ExpressionError:
        """The error that shows a part behind the message and points to it."""
        text = self.written(tree)
        return self.pointed(self.column(tree), f"{message} '{text}'", len(text))

    def pointed(self, column: int, message: str, width: int = 1) -> ExpressionError:
        """The error that points to a column."""
        return _pointed(self.line, column, message, width, self.error)


def applied(function: Callable[[Any, Any], Any], left: Term, right: Term) -> Term:
    """A function of two terms as a term."""
    return lambda values: function(left(values), right(values))


def _unreadable(line: str, refusal: BaseException, error: type[ExpressionError]) -> ExpressionError:
    for pattern, message in _FOREIGN:
        found = pattern.search(line)
        if found:
            return _pointed(line, found.start(), message, len(found.group()), error)
    column = getattr(refusal, "offset", None) or 2
    return _pointed(line, min(column - 2, len(line)), "cannot be read from here on", 1, error)


def _pointed(
    line: str, column: int, message: str, width: int, error: type[ExpressionError]
) -> ExpressionError:
    return error(f"{message}\n    {line}\n    {' ' * max(0, column)}{'^' * max(1, width)}")

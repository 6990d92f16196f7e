"""Conditions on nodes: what they select, and what is said about those that cannot be read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgsim.workloads.active_nodes import NAMES, ActiveError, ActiveNodes

SHAPE = (4, 3, 2)


def nodes_of(shape):
    """Names and values for each node, the slow way."""
    X, Y, Z = shape
    for node in range(X * Y * Z):
        yield {
            "x": node % X, "y": node // X % Y, "z": node // (X * Y), "node": node,
            "X": X, "Y": Y, "Z": Z, "nodes": X * Y * Z,
        }  # fmt: skip


NUMBERS = st.recursive(
    st.sampled_from(NAMES) | st.integers(0, 9).map(str),
    lambda inner: (
        st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})")
        | st.tuples(inner, st.sampled_from(["%", "//", "/"]), st.integers(1, 9)).map(
            lambda t: f"({t[0]} {t[1]} {t[2]})"
        )
        | inner.map(lambda t: f"-{t}")
    ),
    max_leaves=6,
)
SIGNS = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
CONDITIONS = st.recursive(
    st.tuples(NUMBERS, SIGNS, NUMBERS, SIGNS, NUMBERS).map(" ".join)
    | st.tuples(NUMBERS, SIGNS, NUMBERS).map(" ".join),
    lambda inner: (
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(" ".join)
        | inner.map(lambda t: f"not ({t})")
    ),
    max_leaves=4,
)


@given(CONDITIONS)
def test_conditions_mean_what_python_means(text):
    expected = [values["node"] for values in nodes_of(SHAPE) if eval(text, {"__builtins__": {}}, values)]
    if not expected:
        with pytest.raises(ActiveError, match="no node of 4x3x2"):
            ActiveNodes(text).select(SHAPE)
    else:
        assert ActiveNodes(text).select(SHAPE).tolist() == expected


def test_all_means_all():
    assert ActiveNodes(" all ").select((2, 2, 2)).tolist() == list(range(8))


def test_a_condition_without_coordinates_holds_for_all_or_none():
    assert ActiveNodes("X == 4").select(SHAPE).size == 24
    with pytest.raises(ActiveError, match="no node of 4x3x2 satisfies 'X == 5'"):
        ActiveNodes("X == 5").select(SHAPE)


@pytest.mark.parametrize(
    ("text", "message", "pointer"),
    [
        ("x % 2 == w", "unknown name 'w' (expected x, y, z, node, X, Y, Z, nodes)", "         ^"),
        ("nod < 3", "unknown name 'nod'; did you mean 'node'?", "^"),
        ("x % 2", "this is a number; a condition compares it, such as '... == 0': 'x % 2'", "^^^^^"),
        ("x < 2 and y", "this is a number; a condition compares it, such as '... == 0': 'y'", "          ^"),
        ("(x < 2) + 1 == 1", "a condition stands where a number belongs: 'x < 2'", " ^^^^^"),
        ("x = 2", "numbers are compared with '==', not with '='", "  ^"),
        ("x < 1 && y < 1", "conditions are joined by the words 'and', 'or', 'not'", "      ^^"),
        ("x & 1 == 0 & 1", "the operators on numbers are + - * / // %: 'x & 1'", "^^^^^"),
        ("x == ", "cannot be read from here on", "    ^"),
        ("x == 1)", "cannot be read from here on", "       ^"),
        ("x ** 2 == 4", "the operators on numbers are + - * / // %: 'x ** 2'", "^^^^^^"),
        ("abs(x) == 1", "there are no functions: 'abs(x)'", "^^^^^^"),
        ("x is 3", "only == != < <= > >= compare numbers, not '3'", "     ^"),
        ("x in (1, 2)", "not part of a condition on nodes: '(1, 2)'", "     ^^^^^^"),
        ("x == 'a'", "not a number: ''a''", "     ^^^"),
        ("x.real == 1", "not part of a condition on nodes: 'x.real'", "^^^^^^"),
        ("x == 1e400", "numbers go up to 2147483648: '1e400'", "     ^^^^^"),
    ],
)
def test_what_is_wrong_is_pointed_at(text, message, pointer):
    with pytest.raises(ActiveError) as caught:
        ActiveNodes(text)
    first, line, below = str(caught.value).split("\n")
    assert first == message
    assert line == f"    {text}"
    assert below.rstrip() in (f"    {pointer}", f"    {' ' * len(pointer)}^")


NESTED = "(" * 500 + "x == 1" + ")" * 500


@pytest.mark.parametrize(
    "text", ["", "  ", NESTED, "x == 1 " * 500, "__import__('os').getcwd()", "lambda: 1"]
)
def test_nothing_else_gets_through(text):
    with pytest.raises(ActiveError):
        ActiveNodes(text)


def test_division_by_zero_names_the_partition():
    with pytest.raises(ActiveError, match="'x % y == 0' divides by zero on a partition of 4x3x2"):
        ActiveNodes("x % y == 0").select(SHAPE)


def test_numbers_are_ascending_node_numbers():
    chosen = ActiveNodes("x % 2 == 0 and z == 1").select((4, 2, 2))
    assert chosen.dtype == np.int64
    assert chosen.tolist() == [8, 10, 12, 14]

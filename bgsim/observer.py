"""Who watches a simulation while it runs: nobody, unless a timeline is made.

Parts that an observer may want to follow (nodes, cores, networks) say once, when they are built, that they
exist. An observer then puts itself between the methods of those parts and their callers. Without one a part
pays one comparison in its life, and nothing while it works.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Observer = Callable[[object], None]
"""Told of every part once it is built."""

_observer: Observer | None = None


def built(part: object) -> None:
    """Say that a part exists; the last thing its constructor does."""
    if _observer is not None:
        _observer(part)


@contextmanager
def observing(observer: Observer | None) -> Iterator[None]:
    """Have an observer told of all parts built in this context; None for a simulation on the side.

    Such a simulation is the search for the job of a compile run, which is not the run itself.
    """
    global _observer
    before, _observer = _observer, observer
    try:
        yield
    finally:
        _observer = before

"""What can be wrong with a message trace: every problem with its file, line and column, all at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

SHOWN_MAX = 20
"""Problems spelled out in an error's text; how many more there are is said, too."""


class TraceProblem(NamedTuple):
    """One thing wrong with a trace.

    Attributes
    ----------
    place
        ``file:line:column``, ``file:line``, or the file alone.
    message
        One sentence without a full stop; it says what to do where that is not plain.
    """

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class TraceError(ValueError):
    """A message trace that cannot be read or replayed as it stands.

    Attributes
    ----------
    problems
        All of them, in the order of the file.
    """

    def __init__(self, problems: Iterable[TraceProblem]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        lines = [str(problem) for problem in self.problems[:SHOWN_MAX]]
        more = len(self.problems) - SHOWN_MAX
        if more > 0:
            lines.append(f"and {more} more")
        super().__init__("\n".join(lines))


def refused(place: str, message: str) -> TraceError:
    """An error with a single problem."""
    return TraceError([TraceProblem(place, message)])

"""What can go wrong for the researcher, each kind with its own type and one clear text.

Bad input is collected, not thrown one by one: a :class:`Problem` is one line of the form
``file:line:column: path: message``, and an :class:`ExperimentError` carries all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

EXIT_OK = 0
EXIT_INTERNAL = 1
EXIT_BAD_INPUT = 2
EXIT_RUN_FAILED = 3
EXIT_STORE = 4
EXIT_EXECUTOR = 5
EXIT_CHANGED = 6
EXIT_INTERRUPTED = 130


class Problem(NamedTuple):
    """One thing wrong with an experiment.

    Attributes
    ----------
    place
        Where it was written: ``file:line:column``, or the command-line option.
    path
        The dotted path inside the experiment; empty when the whole file is meant.
    message
        One sentence, without a full stop.
    """

    place: str
    path: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, self.path, self.message) if part)


class ExperimentError(ValueError):
    """The experiment cannot be run as written; nothing has been simulated.

    Attributes
    ----------
    problems
        All of them, in the order in which they stand in the file.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class StoreError(Exception):
    """The study's directory cannot be used: in use by another driver, not writable, disk full."""


class UnwritableError(StoreError):
    """The study's directory, or a file in it, may not be written to."""


class ExecutorError(Exception):
    """The cluster cannot be used, or was lost; everything computed is on disk."""


class OutcomeError(Exception):
    """A workload handed back a result that breaks a promise, such as causes that do not add up."""


class StudyInterrupted(KeyboardInterrupt):
    """Stopped by the researcher; everything computed is on disk. The text says how to continue."""


def quoted(names: Iterable[str]) -> str:
    """Names for a message: ``a, b or c``."""
    words = list(names)
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} or {words[-1]}"


def shown(value: object, limit: int = 60) -> str:
    """A value as a message shows it: short, on one line."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."

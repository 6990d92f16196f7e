"""What the researcher sees when something goes wrong: one message, one documented exit code.

0 all is well; 1 a fault of bgsim itself, or a generated file that drifted; 2 bad input, nothing
was simulated; 3 a run failed; 4 the study's directory cannot be used (locked, not writable, disk
full); 5 the cluster cannot be used or was lost; 130 stopped with Ctrl-C.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import NoReturn, ParamSpec, TypeVar

from bgsim.experiment.errors import (
    EXIT_BAD_INPUT,
    EXIT_EXECUTOR,
    EXIT_INTERNAL,
    EXIT_INTERRUPTED,
    EXIT_STORE,
    ExecutorError,
    ExperimentError,
    StoreError,
    StudyInterrupted,
)
from bgsim.extras import MissingExtraError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def say(text: str) -> None:
    """One message on standard error."""
    print(text, file=sys.stderr, flush=True)


def leave(code: int, text: str) -> NoReturn:
    """Say why, and end with that exit code."""
    say(text)
    raise SystemExit(code)


def guarded(command: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Wrap a command so that no traceback reaches the researcher."""

    @functools.wraps(command)
    def wrapped(*positional: Parameters.args, **named: Parameters.kwargs) -> Result:
        try:
            return command(*positional, **named)
        except ExperimentError as error:
            count = len(error.problems)
            ending = f"\n{count} problems; nothing was simulated" if count > 1 else ""
            leave(EXIT_BAD_INPUT, f"{error}{ending}")
        except StoreError as error:
            leave(EXIT_STORE, f"bgsim: {error}")
        except ExecutorError as error:
            leave(EXIT_EXECUTOR, f"bgsim: {error}")
        except MissingExtraError as error:
            leave(EXIT_BAD_INPUT, f"bgsim: {error}")
        except StudyInterrupted as error:
            leave(EXIT_INTERRUPTED, f"bgsim: {error}")
        except KeyboardInterrupt:
            leave(EXIT_INTERRUPTED, "bgsim: stopped")
        except BrokenPipeError:
            # The reader of our output (head, less) has gone. Point the stream elsewhere, or the
            # interpreter complains when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(EXIT_INTERNAL) from None
        except ValueError as error:
            if not _is_refusal(error):
                _internal(error)
            leave(EXIT_BAD_INPUT, f"bgsim: {error}")
        except Exception as error:  # noqa: BLE001 -- the last resort: a fault of ours, told without a traceback
            _internal(error)

    return wrapped


def _is_refusal(error: ValueError) -> bool:
    """Whether an error is a sentence written for the researcher."""
    from bgsim.datasheet import DatasheetError
    from bgsim.machine.cost_reader import CostModelError
    from bgsim.plugins import PluginError
    from bgsim.report.results import ReportError
    from bgsim.traces.errors import TraceError
    from bgsim.units import UnitError

    return isinstance(
        error, (DatasheetError, UnitError, ReportError, TraceError, PluginError, CostModelError)
    )


def _internal(error: Exception) -> NoReturn:
    if os.environ.get("BGSIM_TRACEBACK"):
        raise error
    leave(
        EXIT_INTERNAL,
        f"bgsim: internal error, please report it: {type(error).__name__}: {error}\n"
        "(set BGSIM_TRACEBACK=1 to see where it happened)",
    )

"""Calling a function later in simulated time, without a process.

A SimPy process costs a generator and two events; most of what hardware does is one action after a
known delay. Equal times keep the order in which the calls were made, as all SimPy events do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec

from simpy import Environment, Event
from simpy.events import Timeout

P = ParamSpec("P")


def call_after(
    environment: Environment,
    delay_cycles: int,
    function: Callable[P, object],
    *args: P.args,
    **kwargs: P.kwargs,
) -> None:
    """Call a function after a delay.

    Parameters
    ----------
    environment
        Simulation environment; its unit of time is one core cycle.
    delay_cycles
        Cycles from now, zero or more.
    function
        Called with the remaining arguments; what it returns is dropped.
    """
    timeout = Timeout(environment, delay_cycles)
    assert timeout.callbacks is not None

    def call(_: Event) -> None:
        function(*args, **kwargs)

    timeout.callbacks.append(call)

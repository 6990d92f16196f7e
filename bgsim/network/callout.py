"""Calling a function later in simulated time, without a process.

A SimPy process costs a generator and two events; most of what hardware does is one action after a
known delay. Equal times keep the order in which the calls were made, as all SimPy events do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simpy import Environment, Event


class _Call(Event):
    """An event that calls a function when its time has come."""

    def __init__(
        self, environment: Environment, function: Callable[..., object], args: tuple[Any, ...]
    ) -> None:
        self.env = environment
        self.callbacks = [_call]
        self._ok = True
        self._value = None
        self.function = function
        self.args = args


def _call(event: Event) -> None:
    assert isinstance(event, _Call)
    event.function(*event.args)


def call_after(
    environment: Environment, delay_cycles: int, function: Callable[..., object], *args: Any
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
    environment.schedule(_Call(environment, function, args), delay=delay_cycles)

"""Calling a function later in simulated time, without a process.

A SimPy process costs a generator and two events; most of what hardware does is one action after a
known delay. Equal times keep the order in which the calls were made, as all SimPy events do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simpy import Environment, Event
from simpy.events import NORMAL


class _Call(Event):
    """An event that calls a function when its time has come.

    Networks make a few for every packet: what all calls have in common is kept in the class, and
    :func:`call_after` fills the rest in.
    """

    _ok = True
    _value = None
    function: Callable[..., object]
    args: tuple[Any, ...]


def _call(event: Any) -> None:
    event.function(*event.args)


_CALLBACKS: Any = (_call,)


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
    call = _Call.__new__(_Call)
    call.env = environment
    call.callbacks = _CALLBACKS
    call.function = function
    call.args = args
    environment.schedule(call, NORMAL, delay_cycles)

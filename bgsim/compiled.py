"""Compiling kernels once: machine code is kept between processes wherever there is room for it.

The cache lies beside the module, in the user's cache directory where the installation is read-only,
and nowhere at all where neither can be written; then each process compiles for itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numba as nb

Function = Callable[..., Any]


def compiled(function: Function) -> Function:
    """Compile a function of numbers and arrays that allocates nothing.

    Array arguments are not reference-counted, which is worth a factor of twenty where small functions
    call each other; so the function must not create arrays.
    """
    return _compile(function, cache=True, _nrt=False)


def compiled_unlocked(function: Function) -> Function:
    """Compile a function like :func:`compiled` that lets other Python threads run meanwhile."""
    return _compile(function, cache=True, _nrt=False, nogil=True)


def compiled_inner(function: Function) -> Function:
    """Compile a function like :func:`compiled` that only compiled functions call."""
    return _compile(function, _nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def _compile(function: Function, cache: bool = False, **options: Any) -> Function:
    try:
        kernel: Function = nb.njit(cache=cache, **options)(function)
    except RuntimeError as refusal:  # numba found no directory it may write its cache to
        warnings.warn(f"compiled code cannot be kept between processes: {refusal}", stacklevel=3)
        kernel = nb.njit(**options)(function)
    return kernel

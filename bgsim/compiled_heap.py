"""A binary heap of numbers ordered by time, for compiled kernels; equal times come out by number.

The heap is two arrays of the caller's, times and numbers, and a count of how many places are in use.
"""

# The compiled functions take arrays by position, and numba's decorators hide their types.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from bgsim.compiled import compiled_inner


@compiled_inner
def push(times, numbers, size, time, number):
    """Put a number into a heap of ``size``; returns the new size."""
    place = size
    while place > 0:
        above = (place - 1) >> 1
        other = times[above]
        if other < time or (other == time and numbers[above] < number):
            break
        times[place] = other
        numbers[place] = numbers[above]
        place = above
    times[place] = time
    numbers[place] = number
    return size + 1


@compiled_inner
def drop_first(times, numbers, size):
    """Drop the first of a heap of ``size``; returns the new size."""
    size -= 1
    time, number = times[size], numbers[size]
    place = 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size:
            left, right = times[child], times[child + 1]
            if right < left or (right == left and numbers[child + 1] < numbers[child]):
                child += 1
        below = times[child]
        if below > time or (below == time and numbers[child] > number):
            break
        times[place] = below
        numbers[place] = numbers[child]
        place = child
    times[place] = time
    numbers[place] = number
    return size

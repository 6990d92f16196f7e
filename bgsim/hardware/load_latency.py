"""How long loads of a table in memory take on one core, caches as they are and translation apart.

Random loads: as much of the table as fits is in the L1 and in the L3, and a load finds its word in either
with the probability of its share; the prefetching L2 knows no address in advance and is left out.
Streaming: the prefetcher is ahead of the program, so a line comes from the L2, or at the pace of memory where
that is slower and the table exceeds the L3.

Left out: other cores' use of L3 and memory, DDR pages and banks, associativity, the lines that page
tables and the kernel take, and several loads in flight: a random load's address waits for the last load.

Source: ``bgsim datasheet 'cache.*'`` and ``memory.*``; no number here is fitted.
"""

from __future__ import annotations

from fractions import Fraction

from bgsim.datasheet import Datasheet


def random_load_cycles(datasheet: Datasheet, size: int) -> Fraction:
    """Mean cycles from a load's address to its word, for addresses spread evenly over ``size`` bytes."""
    in_l1 = min(Fraction(1), Fraction(datasheet.integer("cache.l1d_size"), size))
    in_l3 = min(Fraction(1), Fraction(datasheet.integer("cache.l3_size"), size))
    return (
        in_l1 * datasheet.cycles("cache.l1_latency")
        + (in_l3 - in_l1) * datasheet.cycles("cache.l3_latency")
        + (1 - in_l3) * datasheet.cycles("memory.latency")
    )


def stream_line_cycles(datasheet: Datasheet, size: int) -> Fraction:
    """Cycles for which a program that streams over ``size`` bytes waits for each L1 line."""
    if size <= datasheet.integer("cache.l1d_size"):
        return Fraction(0)
    cycles = Fraction(datasheet.cycles("cache.l2_latency"))
    if size <= datasheet.integer("cache.l3_size"):
        return cycles
    bandwidth = Fraction(datasheet.quantity("memory.bandwidth").value)
    line = datasheet.integer("cache.l1_line")
    return max(cycles, line * datasheet.integer("core.frequency") / bandwidth)

"""The readable twin of :mod:`bgsim.machine.node_loops`: one node at a time, in plain Python."""

from __future__ import annotations

from bgsim.machine.node_loops import NodeWork
from bgsim.network.detours import Detours


def enter_node(
    clock: list[int], cores: list[int], work: NodeWork, root: int, detours: Detours
) -> tuple[list[int], int]:
    """The ranks of one node enter an operation.

    Parameters
    ----------
    clock, cores
        Time and core of each rank of the node, the master first.
    root
        Which of them is the operation's root, or -1 where none is.

    Returns
    -------
    tuple
        The ranks' times, and when the master is ready for the network.
    """
    after = list(clock)
    master = clock[0]
    for member in range(1, len(clock)):
        gives = work.gathers or member == root
        after[member] = detours.finish(cores[member], clock[member], work.member_enter if gives else 0)
        if gives:
            told = max(master, after[member])
            master = detours.finish(cores[0], told, work.master_take)
    injects = work.gathers or 0 <= root < len(clock)
    entering = work.master_enter + (work.master_inject if injects else 0)
    after[0] = detours.finish(cores[0], master, entering)
    return after, after[0]


def leave_node(
    clock: list[int], cores: list[int], work: NodeWork, root: int, detours: Detours, wait: int, done: int
) -> list[int]:
    """The ranks of one node leave an operation; return their times."""
    after = list(clock)
    master = detours.finish(cores[0], max(done + wait, clock[0]), work.master_leave)
    for member in range(1, len(clock)):
        if work.scatters != (member == root):  # all but the root, or the root alone
            master = detours.finish(cores[0], master, work.master_give)
            after[member] = detours.finish(cores[member], max(clock[member], master), work.member_leave)
    after[0] = master
    return after

"""All nodes' software around an operation of the collective or barrier network, compiled.

The ranks of a node meet in shared memory before and after: each *member* tells the node's first rank, the
*master*, which takes their contributions in order of their cores, and then uses the network for all of them.
A broadcast or reduce has a *root*; where that is a member, it gives the master what is broadcast, or gets the
sum from it, and the other members' part is as ever.
"""

# The compiled functions take arrays by position.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import NamedTuple

from bgsim.compiled import compiled_unlocked
from bgsim.machine.delivery import wait_cycles
from bgsim.network.detours import finish_watched


class NodeWork(NamedTuple):
    """Core time of the software around one operation, in whole cycles.

    Attributes
    ----------
    gathers, scatters
        Whether the master waits for the members' contributions, and members for their result: all members
        but the root, which does the opposite.
    member_enter
        A member that contributes: giving its contribution to the master.
    master_take
        The master, for each member: taking it.
    master_enter
        The master: its call, or until its signal is with the network.
    master_inject
        The master of a node that has packets: from there until the first of them is with the network. All
        nodes that gather have some; where none does, only the root's.
    master_leave
        The master: from the network's last packet, or its signal, to the end of its call.
    master_give
        The master, for each member, after its own result is complete: handing it out.
    member_leave
        A member: taking the result.
    """

    gathers: bool
    scatters: bool
    member_enter: int
    master_take: int
    master_enter: int
    master_inject: int
    master_leave: int
    master_give: int
    member_leave: int


@compiled_unlocked
def compute(cores, clock, work, detours, quiet):
    """Each rank computes; `clock` holds its time, shape (ranks,)."""
    for rank in range(len(clock)):
        clock[rank] = finish_watched(detours, quiet, cores[rank], clock[rank], work)


@compiled_unlocked
def enter(begins, cores, clock, work, root, detours, quiet, ready):
    """All ranks enter an operation: when each node's master is ready to send, or to receive.

    Parameters
    ----------
    begins
        Where the ranks of each node begin, shape (nodes + 1,).
    cores
        Core of each rank, shape (ranks,).
    clock
        Time of each rank, shape (ranks,); brought forward.
    work
        A :class:`NodeWork`.
    root
        Which rank is the root, by position, or -1 where there is none.
    ready
        Filled in, shape (nodes,).
    """
    for node in range(len(begins) - 1):
        master = begins[node]
        now = clock[master]
        for member in range(master + 1, begins[node + 1]):
            gives = work.gathers or member == root
            giving = work.member_enter if gives else 0
            clock[member] = finish_watched(detours, quiet, cores[member], clock[member], giving)
            if gives:
                now = max(now, clock[member])
                now = finish_watched(detours, quiet, cores[master], now, work.master_take)
        injects = work.gathers or begins[node] <= root < begins[node + 1]
        entering = work.master_enter + (work.master_inject if injects else 0)
        clock[master] = ready[node] = finish_watched(detours, quiet, cores[master], now, entering)


@compiled_unlocked
def leave(begins, cores, clock, work, root, detours, quiet, waits, number, done):
    """All ranks leave an operation, masters first; see :func:`enter`.

    Parameters
    ----------
    waits, number
        Wait until a master notices the network, and the operation's number, from which it follows.
    done
        When the network has served each node, shape (nodes,).
    """
    for node in range(len(begins) - 1):
        master = begins[node]
        now = done[node] + wait_cycles(waits, cores[master], number)
        now = finish_watched(detours, quiet, cores[master], max(now, clock[master]), work.master_leave)
        for member in range(master + 1, begins[node + 1]):
            # Of a broadcast all members but the root get the packets, of a reduce the root alone the sum.
            if work.scatters != (member == root):
                now = finish_watched(detours, quiet, cores[master], now, work.master_give)
                begin = max(clock[member], now)
                clock[member] = finish_watched(detours, quiet, cores[member], begin, work.member_leave)
        clock[master] = now

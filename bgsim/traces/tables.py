"""The tables of a message graph, from columns and from which gate counts which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bgsim.machine.columns import Columns
from bgsim.machine.program import Placement
from bgsim.network.traffic import NEVER, Gates, Ints, Messages, first_fifo


def message_table(columns: Columns, placement: Placement) -> Messages:
    """Messages, each in the injection FIFO of its first direction unless its column names another one.

    Parameters
    ----------
    columns
        source, destination (nodes), packets, last (chunks), dynamic, fifo, gate, then, sent_then.
    placement
        Knows the partition.
    """
    source, destination = columns["source"], columns["destination"]
    towards = first_fifo(source, destination, placement.shape, placement.torus)
    return Messages.make(
        source,
        destination,
        columns["packets"],
        last_chunks=columns["last"],
        dynamic=columns["dynamic"],
        fifo=np.where(columns["fifo"] >= 0, columns["fifo"], towards),
        post_cycles=NEVER,
        gate=columns["gate"],
        then=columns["then"],
        sent_then=columns["sent_then"],
    )


def gate_table(columns: Columns, edges: Sequence[tuple[Ints, Ints]], messages: Messages) -> Gates:
    """Gates that wait for all that counts them.

    Parameters
    ----------
    columns
        core and work.
    edges
        Pairs of columns: gates, and gates that they count.
    messages
        Count gates, too.
    """
    earlier = np.concatenate([pair[0] for pair in edges])
    later = np.concatenate([pair[1] for pair in edges])
    order = np.argsort(earlier, kind="stable")
    earlier, later = earlier[order], later[order]
    first = np.ones(len(earlier), np.bool_)
    first[1:] = earlier[1:] != earlier[:-1]
    then = np.full(columns.size, NEVER)
    then[earlier[first]] = later[first]
    needs = np.bincount(later, minlength=columns.size)
    for column in (messages.then, messages.sent_then):
        needs += np.bincount(column[column >= 0], minlength=columns.size)
    return Gates.make(
        needs,
        core=columns["core"],
        work_cycles=columns["work"],
        then=then,
        also=np.stack([earlier[~first], later[~first]], axis=1),
    )

"""What an operation of the traffic workload costs the core that posts, serves or completes it.

The sections are those of the cost models that the detailed tier makes for a platform and a guest. On the
native platform they come from the datasheet, where measurements stand behind them.
"""

from __future__ import annotations

from dataclasses import dataclass

from bgsim.datasheet import Datasheet
from bgsim.machine.cost_model import Eager, OneSided, Rendezvous


@dataclass(frozen=True, slots=True)
class OperationCosts:
    """Core time of the steps of an operation, in core cycles.

    Attributes
    ----------
    put, get
        Call up to the store that hands the descriptor to the DMA engine; seeing the counter at zero.
    eager
        A message through the memory FIFOs: the call; handling it at its receiver, packet by packet.
    rendezvous
        Announcing a message; handling the announcement, up to the remote get that fetches the message;
        seeing that it is there and telling the sender, and the sender's handling of that.
    serve_cycles
        From a remote get's arrival to the DMA engine's first packet; no core takes part.
    source
        Where the numbers are from.
    """

    put: OneSided
    get: OneSided
    eager: Eager
    rendezvous: Rendezvous
    serve_cycles: int
    source: str

    @classmethod
    def native(cls, datasheet: Datasheet) -> OperationCosts:
        """Costs on the bare machine.

        A one-sided call has two device accesses, the arming of a counter and the moving of a FIFO's tail;
        seeing its completion is a third. The dcmf workload spends them in the same way. A two-sided call is
        taken to cost what a put does.
        """
        access = datasheet.cycles("mmio.latency")
        post = datasheet.cycles("dcmf.operation") + 2 * access
        receive, packet = datasheet.cycles("dcmf_send.receive"), datasheet.cycles("dcmf_send.packet")
        return cls(
            put=OneSided(post, access),
            get=OneSided(post + datasheet.cycles("dcmf.get_extra"), access),
            eager=Eager(post, 0, receive, packet),
            rendezvous=Rendezvous(post, receive, access),
            serve_cycles=serve_cycles(datasheet),
            source="datasheet",
        )


def serve_cycles(datasheet: Datasheet) -> int:
    """Time from a remote get's arrival to its data's first packet: its descriptor through L3, then memory."""
    return 2 * datasheet.cycles("cache.l3_latency") + datasheet.cycles("memory.latency")

"""What an operation of the traffic workload costs the core that posts, serves or completes it.

The sections are those of the cost models that the detailed tier makes for a platform and a guest. On the bare
machine they come from the datasheet, where measurements stand behind them. What another platform adds is the
difference of two cost models, its own and the bare machine's, section by section: forwarded device accesses.
What a receiver does once for all eager packets that it finds together is charged for every message, an upper
bound; the rounds of polling until an arrival is noticed are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bgsim.datasheet import Datasheet
from bgsim.machine.cost_model import Eager, OneSided, Rendezvous, needed

if TYPE_CHECKING:
    from bgsim.workloads.resolved import ResolvedRun
    from bgsim.workloads.traffic_messages import Kind

BARE = "bare-metal"


def needs_cost_models(resolved: ResolvedRun) -> bool:
    """Whether a run's platform adds costs to the bare one's; else a changed machine is not characterised."""
    return replace(resolved, platform=BARE) != resolved


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

    @classmethod
    def of(cls, resolved: ResolvedRun) -> OperationCosts:
        """Costs of a run: those on the bare machine, and what the run's platform adds."""
        from bgsim.workloads.characterize import cost_model_for

        native = cls.native(resolved.machine)
        if not needs_cost_models(resolved):
            return native
        bare = replace(resolved, platform=BARE)
        (here, _), (there, _) = cost_model_for(resolved), cost_model_for(bare)
        put, put_there = needed(here.put, "puts"), needed(there.put, "puts")
        get, get_there = needed(here.get, "gets"), needed(there.get, "gets")
        meet, meet_there = (needed(model.rendezvous, "rendezvous") for model in (here, there))
        mail, mail_there = here.eager, there.eager
        batch = mail.batch_cycles - mail_there.batch_cycles
        return cls(
            put=OneSided(
                native.put.post_cycles + put.post_cycles - put_there.post_cycles,
                native.put.complete_cycles + put.complete_cycles - put_there.complete_cycles,
            ),
            get=OneSided(
                native.get.post_cycles + get.post_cycles - get_there.post_cycles,
                native.get.complete_cycles + get.complete_cycles - get_there.complete_cycles,
            ),
            eager=Eager(
                native.eager.send_cycles + mail.send_cycles - mail_there.send_cycles,
                native.eager.send_packet_cycles,
                native.eager.receive_cycles + mail.receive_cycles - mail_there.receive_cycles + batch,
                native.eager.receive_packet_cycles,
            ),
            rendezvous=Rendezvous(
                native.rendezvous.send_cycles + meet.send_cycles - meet_there.send_cycles,
                native.rendezvous.receive_cycles + meet.receive_cycles - meet_there.receive_cycles,
                native.rendezvous.complete_cycles + meet.complete_cycles - meet_there.complete_cycles,
            ),
            serve_cycles=native.serve_cycles,
            source=f"datasheet, and {here.name} less {there.name}",
        )

    def core_cycles(self, kind: Kind, packets: int) -> float:
        """Core time of all steps of an operation, at its origin and its partner together."""
        if kind == "eager":
            per_packet = self.eager.send_packet_cycles + self.eager.receive_packet_cycles
            calls = self.eager.send_cycles + self.eager.receive_cycles + self.put.complete_cycles
            return calls + packets * per_packet
        if kind == "rendezvous":
            meet = self.rendezvous
            return meet.send_cycles + meet.receive_cycles + 2 * meet.complete_cycles
        one_sided = self.get if kind == "get" else self.put
        return one_sided.post_cycles + one_sided.complete_cycles

    def announce_cycles(self, kind: Kind) -> float:
        """Core time of an operation before any node fetches data: of announcements, which all come first."""
        return self.rendezvous.send_cycles if kind == "rendezvous" else 0


def serve_cycles(datasheet: Datasheet) -> int:
    """Time from a remote get's arrival to its data's first packet: its descriptor through L3, then memory."""
    return 2 * datasheet.cycles("cache.l3_latency") + datasheet.cycles("memory.latency")

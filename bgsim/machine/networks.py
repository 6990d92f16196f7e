"""The networks that execute message graphs, by name."""

from __future__ import annotations

from typing import Literal

from bgsim.machine.uncontended import Executed, execute, packet_hops
from bgsim.network.detours import Detours
from bgsim.network.flow_engine import FlowEngine
from bgsim.network.packet_engine import PacketEngine
from bgsim.network.router import RouterParameters
from bgsim.network.topology import Closed, Shape
from bgsim.network.traffic import Gates, Ints, Messages

Network = Literal["uncontended", "flow", "packet"]


class DepositError(ValueError):
    """Only the uncontended network leaves copies on the way."""


def run_graph(
    network: Network,
    shape: Shape,
    torus: Closed,
    router: RouterParameters,
    messages: Messages,
    gates: Gates,
    detours: Detours,
    rides: Ints | None = None,
) -> Executed:
    """Run a message graph on one of the networks.

    Parameters
    ----------
    network
        ``uncontended``, ``flow`` or ``packet``.
    shape, torus, router, messages, gates, detours, rides
        As :func:`bgsim.machine.uncontended.execute` takes them.

    Raises
    ------
    DepositError
        If messages ride on others and the network is not the uncontended one.
    """
    if network == "uncontended":
        return execute(shape, torus, router, messages, gates, detours, rides)
    if rides is not None:
        raise DepositError(f"the {network} network has no deposit bit; use the uncontended one")
    kind = PacketEngine if network == "packet" else FlowEngine
    engine = kind(shape, torus, router, messages, gates, detours)
    engine.run()
    none_ride = messages.gate * 0 - 1
    hops = packet_hops(shape, torus, messages, none_ride)
    return Executed(engine.opened_cycles, engine.sent_cycles, engine.done_cycles, hops)

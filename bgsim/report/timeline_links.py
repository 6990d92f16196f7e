"""The networks of a running simulation in a timeline: every packet on every link.

Methods of the networks are wrapped on these objects alone; what they do stays the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bgsim.network.collective import LOCAL, CollectiveNetwork
from bgsim.network.collective_packet import CollectivePacket
from bgsim.network.links import Link, LinkNetwork, Packet
from bgsim.network.torus import TorusNetwork
from bgsim.report.timeline import Timeline

Method = Callable[..., Any]


def interpose(part: object, name: str, wrapped: Callable[[Method], Method]) -> None:
    """Put a function in the place of a method of one object.

    Parameters
    ----------
    part, name
        The object and its method.
    wrapped
        From the method to what is called instead.
    """
    setattr(part, name, wrapped(getattr(part, name)))


class LinksWatch:
    """The links of the torus: each packet on each link, and one flow from its source to its destination."""

    def __init__(self, timeline: Timeline, network: LinkNetwork) -> None:
        self.timeline = timeline
        self.network = network
        self._flows: dict[Packet, int] = {}
        self._names: dict[int, str] = {}  # by the identity of a link
        for name in ("inject", "_start", "_taken"):
            interpose(network, name, getattr(self, f"_watch{name if name[0] == '_' else '_' + name}"))

    def _moment(self, node: int, name: str, packet: Packet) -> None:
        """A packet leaves or reaches a node: one cycle, so that it can be seen and has an arrow."""
        now = int(self.network.environment.now)
        track = self.timeline.track(f"node {node}", "torus")
        self.timeline.slice(track, now, now + 1, name, self._details(packet), self._flows[packet])

    @staticmethod
    def _details(packet: Packet) -> dict[str, int]:
        return {"source": packet.source, "destination": packet.destination, "bytes": packet.link_bytes}

    def _watch_inject(self, original: Method) -> Method:
        def inject(packet: Packet) -> None:
            self._flows[packet] = self.timeline.new_flow()
            self._moment(packet.source, "inject a packet", packet)
            original(packet)

        return inject

    def _watch_start(self, original: Method) -> Method:
        def start(packet: Packet, link: Link) -> None:
            begin = int(self.network.environment.now)
            original(packet, link)
            track = self.timeline.track("torus links", self._name(link))
            words = f"packet {packet.source} to {packet.destination}"
            flow = self._flows.get(packet, 0)
            self.timeline.slice(track, begin, link.free_at, words, self._details(packet), flow)

        return start

    def _watch_taken(self, original: Method) -> Method:
        def taken(packet: Packet, link: Link) -> None:
            original(packet, link)
            if packet in self._flows:
                self._moment(packet.destination, "receive a packet", packet)
                del self._flows[packet]

        return taken

    def _name(self, link: Link) -> str:
        if id(link) not in self._names and isinstance(self.network, TorusNetwork):
            self._names = {
                id(known): f"node {node}, {direction.name.lower().replace('_', ' ')}"
                for (node, direction), known in self.network.links()
            }
        return self._names.get(id(link), f"to node {link.target}")


class CollectiveWatch:
    """The tree's links. What is combined on the way up goes on under the first contribution's flow."""

    def __init__(self, timeline: Timeline, network: CollectiveNetwork) -> None:
        self.timeline = timeline
        self.network = network
        self._flows: dict[tuple[int, ...], int] = {}
        interpose(network, "inject", self._watch_inject)
        interpose(network, "_grant", self._watch_grant)
        interpose(network, "_deliver", self._watch_deliver)

    def _flow(self, packet: CollectivePacket) -> int:
        key = (packet.source, packet.destination, packet.injected_at, packet.channel)
        if key not in self._flows:
            self._flows[key] = self.timeline.new_flow()
        return self._flows[key]

    def _moment(self, node: int, name: str, packet: CollectivePacket) -> None:
        now = int(self.network.environment.now)
        track = self.timeline.track(f"node {node}", "collective network")
        self.timeline.slice(track, now, now + 1, name, {"source": packet.source}, self._flow(packet))

    def _watch_inject(self, original: Method) -> Method:
        def inject(packet: CollectivePacket) -> None:
            packet.injected_at = int(self.network.environment.now)
            self._moment(packet.source, "inject a packet", packet)
            original(packet)

        return inject

    def _watch_grant(self, original: Method) -> Method:
        def grant(router: Any, inputs: list[Any], ports: list[int]) -> None:
            now = int(self.network.environment.now)
            packet = inputs[0].packets[0]
            words = f"packet of node {packet.source}"
            if len(inputs) > 1:
                words += f" and {len(inputs) - 1} more, combined"
            end = now + self.network.parameters.packet_cycles
            for port in ports:
                if port != LOCAL:
                    track = self.timeline.track("tree links", f"node {router.node} to {port}")
                    self.timeline.slice(
                        track, now, end, words, {"channel": packet.channel}, self._flow(packet)
                    )
            original(router, inputs, ports)

        return grant

    def _watch_deliver(self, original: Method) -> Method:
        def deliver(router: Any, packet: CollectivePacket) -> None:
            original(router, packet)
            self._moment(router.node, "receive a packet", packet)

        return deliver

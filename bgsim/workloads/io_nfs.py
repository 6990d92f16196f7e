"""The I/O workload under Kittyhawk Linux: NFS clients on compute nodes, frames forwarded by I/O nodes.

The program of calls, the file server and its queues are those of the other guests
(:mod:`bgsim.workloads.io_detailed`); between them there are the guest's own file system, TCP and Ethernet
driver, and an I/O node that knows nothing of files. Several calls of a process are under way at once. The
time that a process sleeps is given to the layers that the call was in whose answer woke it; while it runs,
it is the compute core's. So is the time that an answer waits at the server until TCP's window, which the
client opens, lets its last byte go.

All processes start together, and stay until all are done, since a kernel acknowledges after its program's
end.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Generator, Sequence

from simpy.events import Event

from bgsim.datasheet import Datasheet
from bgsim.guests.ethernet import Frame
from bgsim.guests.ethernet_bridge import BridgeParameters, EthernetBridge
from bgsim.guests.ethernet_collective import CollectiveEthernet, FragmentHeader
from bgsim.guests.network import NETWORK_LINUX
from bgsim.guests.network_paths import NetworkPaths
from bgsim.guests.nfs_client import NfsFiles
from bgsim.guests.nfs_protocol import Rpc
from bgsim.guests.nfs_server import NfsServer
from bgsim.guests.rpc import Reader, Stream
from bgsim.guests.tcp import Segment
from bgsim.hardware.io_node import IoNode
from bgsim.hardware.io_protocol import Layer
from bgsim.network.collective_packet import CollectivePacket
from bgsim.platforms.seam import Code, Wait
from bgsim.workloads.io_detailed import IoJob, IoProcess, packets_lost
from bgsim.workloads.outcome import Json


class _Journeys:
    """Charges the messages of a stream to layers as their last bytes leave one for the next."""

    def __init__(self) -> None:
        self.stream = Stream()
        self._readers: defaultdict[Layer, Reader] = defaultdict(lambda: Reader(self.stream))

    def left(self, layer: Layer, frame: Frame, until: int) -> None:
        """A frame has left a layer."""
        segment = frame.content
        assert isinstance(segment, Segment)
        if segment.length:
            for message in self._readers[layer].passed(segment.sequence + segment.length):
                message.rpc.charge(layer, until)


class NfsJob(IoJob):
    """A program of file system calls on all nodes of a partition, each an NFS client.

    Parameters are those of :class:`bgsim.workloads.io_detailed.IoJob`; there is no daemon.

    Attributes
    ----------
    drivers
        The Ethernet drivers by compute node.
    """

    def _io_nodes(
        self, machine: Datasheet, daemon: str, addresses: list[int]
    ) -> Sequence[IoNode | EthernetBridge]:
        self.drivers: dict[int, CollectiveEthernet] = {}
        self._clients: dict[int, NfsFiles] = {}
        self._calls: defaultdict[int, _Journeys] = defaultdict(_Journeys)
        self._answers: defaultdict[int, _Journeys] = defaultdict(_Journeys)
        self._bridge_of: dict[int, EthernetBridge] = {}
        self._tick_cycles = round(
            machine.integer("core.frequency") / machine.quantity("guest.timer_frequency").value
        )
        self._nfs = NfsServer(self.environment, machine, self.server, self._to_client)
        self._nfs.on_served = lambda rpc, now: rpc.charge(Layer.SERVER, now)
        forwarding = BridgeParameters.from_datasheet(machine)
        bridges = [
            EthernetBridge(self.environment, address, self.nodes.collective, forwarding)
            for address in addresses
        ]
        for bridge in bridges:
            bridge.on_outside = self._nfs.arrived
            bridge.on_out = lambda layer, node, frame, until: self._calls[node].left(layer, frame, until)
            bridge.on_in = lambda layer, node, frame, until: self._answers[node].left(layer, frame, until)
        self._bridges = {bridge.address: bridge for bridge in bridges}
        return bridges

    def _to_client(self, frame: Frame) -> None:
        """The server's window lets a frame go."""
        node = frame.destination
        self._answers[node].left(Layer.COMPUTE, frame, int(self.environment.now))
        self._bridge_of[node].send(frame)

    def _process(self, machine: Datasheet, name: str, node: int, io_node: int) -> IoProcess:
        def main() -> Code:
            yield from self._program(process)
            while not self._over():
                yield Wait()

        def received(packet: CollectivePacket) -> None:
            header = packet.content[0] if isinstance(packet.content, tuple) else None
            if isinstance(header, FragmentHeader) and header.fragment == header.fragments - 1:
                answers.left(Layer.COLLECTIVE, header.frame, int(self.environment.now))

        def waited(rpc: Rpc, began: int, ended: int) -> None:
            for layer, cycles in enumerate(rpc.layers_between(began, ended)):
                process.layers[layer] += cycles

        paths = NetworkPaths(machine)
        driver = self.drivers[node] = CollectiveEthernet(machine, paths, node)
        kernel = NETWORK_LINUX[name](machine, driver, paths, io_node, machine.integer("guest.nfs.mtu"), main)
        calls, answers = self._calls[node], self._answers[node]
        files = self._clients[node] = NfsFiles(machine, kernel, node, calls.stream, answers.stream)
        files.on_waited = waited
        self._bridge_of[node] = self._bridges[io_node]
        self._nfs.connect(node, calls.stream, answers.stream)
        process = IoProcess(node, files, kernel)
        device = self.nodes.nodes[node].collective
        assert device is not None
        device.on_received = received
        return process

    def _over(self) -> bool:
        """Whether all programs have ended and nothing is on its way to a client."""
        ended = all(process.finished >= 0 for process in self.processes)
        return ended and not any(client.under_way for client in self._clients.values())

    def _watch(self) -> Generator[Event, None, None]:
        """The server's timer interrupts; packets that a virtual device loses are TCP's to repeat."""
        while not self._over():
            yield self.environment.timeout(self._tick_cycles)
            self._nfs.tick()

    def counts(self) -> dict[str, Json]:
        """RPCs by procedure, and what went through the drivers."""
        rpcs: Counter[str] = Counter()
        for client in self._clients.values():
            rpcs.update(client.rpcs)
        return {
            "rpcs": dict(sorted(rpcs.items())),
            "frames": {
                "from_compute_nodes": sum(driver.frames_sent for driver in self.drivers.values()),
                "to_compute_nodes": sum(driver.frames_received for driver in self.drivers.values()),
            },
            "packets_lost": sum(packets_lost(process.core) for process in self.processes),
            "retransmissions": self._nfs.retransmissions
            + sum(client.socket.retransmissions for client in self._clients.values()),
        }

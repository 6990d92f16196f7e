"""Function-shipped I/O in the detailed tier: every packet, and every instruction path of the compute nodes.

Each node runs one process that makes the program's calls, under CNK or ZeptoOS; each pset has its I/O node,
and all share one file server. All start at time 0. From such a job on one node come the costs of a compute
node's software that the machine tier takes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import simpy
from simpy.events import Event

from bgsim.datasheet import Datasheet
from bgsim.datasheet.remembered import Remembered
from bgsim.guests.cnk import Cnk
from bgsim.guests.ethernet_bridge import EthernetBridge
from bgsim.guests.function_shipping import FileCalls, Result, ShippedCalls
from bgsim.guests.io_forwarding import ForwardedCalls, ForwardingMemory
from bgsim.guests.zeptoos import LINUX, ZeptoOsBigMemory
from bgsim.hardware.file_server import FileServer, IoParameters, ServerParameters
from bgsim.hardware.io_node import IoNode
from bgsim.hardware.io_protocol import Answer, Call, Fragment, Layer, Request
from bgsim.hardware.node import build_nodes
from bgsim.machine.io_program import NodeCosts
from bgsim.network.collective_packet import CollectivePacket
from bgsim.network.psets import io_node_address
from bgsim.network.topology import Shape
from bgsim.platforms import PLATFORMS
from bgsim.platforms.seam import Code, Guest, Move, Now
from bgsim.workloads.io_programs import ProgramCall, file_bytes
from bgsim.workloads.outcome import Json
from bgsim.workloads.quantities import DETAILED_NODES_MAX
from bgsim.workloads.resolved import Partition

WATCH_CYCLES = 8_500_000
"""How often it is looked whether a virtual device has lost a packet."""


class IoError(ValueError):
    """The workload cannot be run as configured, or a packet of it was lost."""


class Files(Protocol):
    """The file system calls of one process; each gives a result, or an error number below zero."""

    def open(self, path: str, shared: bool = False, create: bool = False) -> Result:
        """Open a file; a descriptor."""

    def stat(self, path: str) -> Result:
        """Size of a file."""

    def close(self, descriptor: int) -> Result:
        """Close a file."""

    def lseek(self, descriptor: int, offset: int) -> Result:
        """Move to a position from the beginning."""

    def read(self, descriptor: int, length: int) -> Result:
        """Read; the bytes there were."""

    def write(self, descriptor: int, length: int) -> Result:
        """Write; the bytes written."""


@dataclass(eq=False)
class Shipped:
    """What was seen of one shipped call, in core cycles.

    Attributes
    ----------
    send_cycles
        From the call to its last packet's entering the network.
    first_at, last_at
        When the answer's first and last packet were at the node.
    returned_at
        When the answer was unmarshalled.
    """

    request: Request
    send_cycles: int = 0
    first_at: int = 0
    last_at: int = 0
    returned_at: int = 0


@dataclass(eq=False)
class IoProcess:
    """One process.

    Attributes
    ----------
    latencies
        Time of each call of the program.
    layers
        Time by layer.
    shipped
        Every shipped call.
    """

    node: int
    files: Files
    guest: Guest
    latencies: list[int] = field(default_factory=list)
    layers: list[int] = field(default_factory=lambda: [0] * len(Layer))
    shipped: list[Shipped] = field(default_factory=list)
    finished: int = -1
    bytes_moved: int = 0
    core: Any = None


class IoJob:
    """A program of file system calls on all nodes of a partition.

    Life cycle: construct, :meth:`run`, read the processes.

    Parameters
    ----------
    machine, platform, partition
        What it runs on.
    calls
        The program.
    processes
        How many nodes take part, the first ones; all when None.
    guest, daemon
        Names of the compute nodes' guest, and of what serves its calls on the I/O nodes.
    """

    def __init__(
        self,
        machine: Datasheet,
        platform: str,
        partition: Partition,
        calls: Sequence[ProgramCall],
        processes: int | None = None,
        guest: str = "cnk",
        daemon: str = "ciod",
    ) -> None:
        count = partition.nodes if processes is None else processes
        if count > DETAILED_NODES_MAX:
            raise IoError(f"workload.tier: detailed takes up to {DETAILED_NODES_MAX} nodes, not {count:,}")
        self.environment = simpy.Environment()
        self.calls = list(calls)
        self._open_to_write = {call.file for call in calls if call.call == Call.WRITE}
        self.nodes = build_nodes(
            self.environment, machine, partition.shape, partition.torus, tuple(range(count)), partition.pset
        )
        network = self.nodes.collective
        tree = network.tree
        self.server = FileServer(ServerParameters.from_datasheet(machine), self._files(count))
        psets = sorted(set(tree.pset_of[:count].tolist()))
        self.io_nodes = self._io_nodes(machine, daemon, [io_node_address(tree, pset) for pset in psets])
        self.processes: list[IoProcess] = []
        for node in range(count):
            self.processes.append(
                self._process(machine, guest, node, io_node_address(tree, int(tree.pset_of[node])))
            )
        for process in self.processes:
            process.core = PLATFORMS[platform](
                self.environment, machine, process.guest, self.nodes.nodes[process.node]
            )
        self.environment.process(self._watch())

    def run(self) -> None:
        """Run the program to its end in all processes.

        Raises
        ------
        IoError
            If a packet was lost on the way.
        """
        for process in self.processes:
            if process.core.process.is_alive:
                self.environment.run(until=process.core.process)
        self.environment.run()
        self.nodes.collective.check()
        assert self.nodes.collective.in_flight == 0, "all packets have arrived"

    def counts(self) -> dict[str, Json]:
        """What a record says of this kind of job besides; known after the run."""
        return {}

    def _io_nodes(
        self, machine: Datasheet, daemon: str, addresses: list[int]
    ) -> Sequence[IoNode | EthernetBridge]:
        """The I/O nodes of the psets that take part."""
        parameters, network = IoParameters.from_datasheet(machine, daemon), self.nodes.collective
        return [IoNode(self.environment, address, network, self.server, parameters) for address in addresses]

    def _files(self, count: int) -> dict[str, int]:
        sizes = file_bytes(self.calls)
        shared = {call.file for call in self.calls if call.shared}
        readers = range(count)
        found: dict[str, int] = {}
        for file, size in sizes.items():
            if file in self._open_to_write:
                continue
            if file in shared:
                found[f"/shared/{file}"] = size
            else:
                found |= {f"/{node}/{file}": size for node in readers}
        return found

    def _process(self, machine: Datasheet, name: str, node: int, io_node: int) -> IoProcess:
        def main() -> Code:
            yield from self._program(process)

        guest, files = made(machine, name, node, io_node, main)
        process = IoProcess(node, files, guest)
        seen: dict[int, Shipped] = {}

        def received(packet: CollectivePacket) -> None:
            content = packet.content
            if not isinstance(content, tuple) or not isinstance(content[0], Fragment):
                return
            fragment = content[0]
            assert isinstance(fragment.message, Answer)
            request, now = fragment.message.request, int(self.environment.now)
            call = seen.setdefault(id(request), Shipped(request))
            if fragment.number == 0:
                call.first_at = now
            if fragment.last:
                call.last_at = now
                call.send_cycles = request.layers[Layer.COMPUTE]
                request.charge(Layer.COLLECTIVE, now)

        def answered(request: Request) -> None:
            call = seen.pop(id(request))
            call.returned_at = request.since
            process.shipped.append(call)
            for layer, cycles in enumerate(request.layers):
                process.layers[layer] += cycles

        device = self.nodes.nodes[node].collective
        assert device is not None
        device.on_received = received
        files.on_answer = answered
        return process

    def _program(self, process: IoProcess) -> Code:
        files, descriptors = process.files, dict[int, int]()
        yield Move()  # its files stay with its guest, if its communication does not
        began = yield Now()
        for call in self.calls:
            path = f"/shared/{call.file}" if call.shared else f"/{process.node}/{call.file}"
            if call.call == Call.OPEN:
                value = yield from files.open(path, call.shared, call.file in self._open_to_write)
                descriptors[call.file] = value
            elif call.call == Call.STAT:
                value = yield from files.stat(path)
            elif call.call == Call.READ:
                value = yield from files.read(descriptors[call.file], call.length)
            elif call.call == Call.WRITE:
                value = yield from files.write(descriptors[call.file], call.length)
            elif call.call == Call.LSEEK:
                value = yield from files.lseek(descriptors[call.file], 0)
            else:
                value = yield from files.close(descriptors[call.file])
            assert value >= 0, f"{call.call.name.lower()} of {path} gave {value}"
            if call.call in (Call.READ, Call.WRITE):
                assert value == call.length, "the file is as long as the program reads"
                process.bytes_moved += value
            now = yield Now()
            process.latencies.append(now - began)
            began = now
        process.finished = began
        process.layers[Layer.COMPUTE] += began - sum(process.layers)  # between two calls, and two pieces

    def _watch(self) -> Generator[Event, Any, None]:
        while any(process.finished < 0 for process in self.processes):
            yield self.environment.timeout(WATCH_CYCLES)
            lost = sum(packets_lost(process.core) for process in self.processes)
            if lost:
                raise IoError(
                    f"{lost} packets found the hardware's FIFO full and were dropped by the virtual "
                    "collective device; the calls they belong to never return"
                )


def packets_lost(core: Any) -> int:
    """Packets that a core's virtual collective device has lost."""
    server = getattr(core, "server", None)
    if server is None:
        return 0
    return sum(int(devices.collective.packets_lost) for devices in server.devices.values())


PAIR: Shape = (2, 1, 1)
LONG_PACKETS = 120
"""Packets of a read and a write by which the costs per packet are measured."""


def made(
    machine: Datasheet, name: str, node: int, io_node: int, main: Callable[[], Code]
) -> tuple[Guest, FileCalls]:
    """A guest by name, and the file system calls of its process."""
    if name == "cnk":
        kernel = Cnk(machine, main)
        return kernel, ShippedCalls(machine, kernel, node, io_node)
    linux = LINUX[name]
    memory = ForwardingMemory(machine, static=linux is ZeptoOsBigMemory)
    return linux(machine, memory.program, main), ForwardedCalls(machine, memory, node, io_node)


def piece_bytes(machine: Datasheet, guest: str) -> tuple[int, int]:
    """Bytes of the longest read and of the longest write that a guest ships in one piece."""

    def nothing() -> Code:
        yield from ()

    _, files = made(machine, guest, 0, 0, nothing)
    return files.read_bytes, files.write_bytes


_costs: Remembered[NodeCosts] = Remembered()


def node_costs(machine: Datasheet, platform: str, guest: str = "cnk") -> NodeCosts:
    """Costs of a compute node's software, measured in the detailed tier on one node; kept while in memory."""
    return _costs.get(machine, (platform, guest), lambda copy: _measured(copy, platform, guest))


def _measured(machine: Datasheet, platform: str, guest: str) -> NodeCosts:
    payload = machine.integer("ciod.packet_payload")
    read_packets, write_packets = (
        min(LONG_PACKETS - 1, most // payload) for most in piece_bytes(machine, guest)
    )
    calls = [
        ProgramCall(Call.OPEN, 0, 0),
        ProgramCall(Call.READ, read_packets * payload, 0),
        ProgramCall(Call.LSEEK, 0, 0),
        ProgramCall(Call.LSEEK, 0, 0),
        ProgramCall(Call.OPEN, 0, 1),
        ProgramCall(Call.WRITE, write_packets * payload, 1),
        ProgramCall(Call.CLOSE, 0, 1),
    ]
    job = IoJob(machine, platform, Partition("pair", PAIR, (False,) * 3), calls, processes=1, guest=guest)
    job.run()
    shipped = job.processes[0].shipped
    read, seek, write = shipped[1], shipped[3], shipped[5]
    receive = seek.returned_at - seek.last_at
    drain = (read.last_at - read.first_at) / read_packets
    take = (read.returned_at - receive - read.first_at) / read_packets
    fifo = machine.integer("collective.fifo_packets")
    return NodeCosts(
        send=seek.send_cycles,
        inject=round((write.send_cycles - seek.send_cycles) / write_packets),
        receive=receive,
        take=round(take),
        drain=round(drain),
        buffered=fifo,
    )


def times_of(job: IoJob) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Finish of each process, its layers, and the latencies of all calls, in core cycles."""
    finished = np.array([process.finished for process in job.processes], np.int64)
    layers = np.array([process.layers for process in job.processes], np.int64)
    latencies = np.array([each for process in job.processes for each in process.latencies], np.int64)
    return finished, layers, latencies

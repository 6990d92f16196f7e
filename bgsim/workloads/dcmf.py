"""One-sided put and get between two neighbours, as the DCMF messaging layer does them on the DMA engine.

Every packet is simulated. A put is a direct-put descriptor; local completion is its injection counter at
zero. For remote completion a remote get follows the data on the same, deterministic route, and makes the
target put one byte back. A get is a remote get whose message is a put descriptor for the target to inject.
An operation arms the counter it waits for, moves the FIFO's tail, and polls the counter: three device
accesses. Data packets are of full size, the last one included (``torus.put_full_packets``); requests and
acknowledgements have the size they need.

``latency`` repeats one blocking DCMF operation. ``bandwidth`` streams non-blocking operations through the
A1 library, as the benchmark behind the measured table does; it is the rate at which operations complete from
the completion of the last warm-up operation to that of the last one, so that neither the filling of the
pipeline nor the final wait is in it. The benchmark posts thousands of operations and divides by the
whole time, in which both are lost. At most `OUTSTANDING_MAX` operations are under way.

What is left out: other traffic, the target's processor (it takes no part), memory bandwidth, and the spread
of real operations; each operation here takes its exact time. Software costs: ``bgsim datasheet 'dcmf.*'``
and ``a1.operation``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import simpy
from simpy import Event

from bgsim.datasheet import Datasheet
from bgsim.hardware import dma_registers as reg
from bgsim.hardware.dma_descriptor import Descriptor, Transfer, VirtualChannel
from bgsim.hardware.memory import Ring
from bgsim.hardware.node import Node, build_nodes
from bgsim.network.topology import Direction, neighbour
from bgsim.units import from_cycles
from bgsim.validation_data import two_node
from bgsim.workloads.configs import DcmfConfig
from bgsim.workloads.outcome import Outcome
from bgsim.workloads.resolved import Partition, ResolvedRun

GROUP = 0
FIFO = 0
RING_BASE = 0x10_0000
RING_ENTRIES = 4 * reg.COUNTERS
UNWATCHED_COUNTER = reg.COUNTERS - 1
"""Counter of descriptors whose completion nobody waits for."""

OUTSTANDING_MAX = 8
"""Operations of a stream under way, each with a counter of its own. Two keep the link busy; more only make
the stream take longer to reach its steady rate."""

ACKNOWLEDGEMENT_BYTES = 1
"""The least a direct put can carry."""

Process = Generator[Event, Any, None]


class DcmfError(ValueError):
    """The workload cannot be run as configured."""


@dataclass(slots=True)
class _Clock:
    """Core cycles of the calling processor, by what they went to."""

    dcmf_software: int = 0
    a1_software: int = 0
    device_access: int = 0
    polling: int = 0


class Endpoint:
    """The user-level library of one node.

    Parameters
    ----------
    node
        The node it runs on.
    datasheet
        The machine.
    """

    def __init__(self, node: Node, datasheet: Datasheet) -> None:
        self.node = node
        self.dma = node.dma
        self.ring = Ring(node.memory, RING_BASE, RING_ENTRIES, reg.DESCRIPTOR_BYTES)
        self.full_packets = datasheet.flag("torus.put_full_packets")
        self._tail = 0
        self.dma.setup_injection_fifo(GROUP, FIFO, self.ring)
        self.dma.enable_counters(GROUP)

    def post(self, *descriptors: Descriptor) -> None:
        """Write descriptors into the FIFO and move its tail."""
        for descriptor in descriptors:
            self.ring.write(self._tail, descriptor)
            self._tail = self.ring.next(self._tail)
        self.dma.advance_tail(GROUP, FIFO, len(descriptors))

    def put(self, target: int, length: int, counter: int, remote: bool) -> Event:
        """Start a put.

        Parameters
        ----------
        target
            Node number.
        length
            Bytes.
        counter
            Counter that tells of completion: injection counter, or reception counter if `remote`.
        remote
            Whether to wait until the data is at the target.

        Returns
        -------
        simpy.Event
            Happens when the counter reaches zero.
        """
        data = self._data(target, length, UNWATCHED_COUNTER, UNWATCHED_COUNTER if remote else counter)
        if not remote:
            self.dma.arm_injection_counter(counter, length)
            self.post(data)
            return self.dma.when_injected(counter)
        self.dma.arm_reception_counter(counter, ACKNOWLEDGEMENT_BYTES)
        acknowledgement = Descriptor(
            Transfer.DIRECT_PUT,
            destination=self.node.number,
            length=ACKNOWLEDGEMENT_BYTES,
            injection_counter=UNWATCHED_COUNTER,
            reception_counter=counter,
            full_packets=False,
        )
        self.post(data, self._request(target, acknowledgement, dynamic=False))
        return self.dma.when_received(counter)

    def get(self, target: int, length: int, counter: int) -> Event:
        """Start a get; the event happens when the data has arrived."""
        self.dma.arm_reception_counter(counter, length)
        data = Descriptor(
            Transfer.DIRECT_PUT,
            destination=self.node.number,
            length=length,
            injection_counter=UNWATCHED_COUNTER,
            reception_counter=counter,
            full_packets=self.full_packets,
        )
        self.post(self._request(target, data, dynamic=True))
        return self.dma.when_received(counter)

    def _data(self, target: int, length: int, reception_counter: int, injection_counter: int) -> Descriptor:
        return Descriptor(
            Transfer.DIRECT_PUT,
            destination=target,
            length=length,
            injection_counter=injection_counter,
            reception_counter=reception_counter,
            full_packets=self.full_packets,
            dynamic=False,
            channel=VirtualChannel.BUBBLE,
        )

    @staticmethod
    def _request(target: int, message: Descriptor, dynamic: bool) -> Descriptor:
        return Descriptor(
            Transfer.REMOTE_GET,
            destination=target,
            length=reg.DESCRIPTOR_BYTES,
            injection_counter=UNWATCHED_COUNTER,
            remote_fifo=GROUP * reg.INJECTION_FIFOS + FIFO,
            payload=(message,),
            full_packets=False,
            dynamic=dynamic,
            channel=VirtualChannel.DYNAMIC_0 if dynamic else VirtualChannel.BUBBLE,
        )


class Benchmark:
    """A process on one node that puts to, or gets from, its neighbour.

    Parameters
    ----------
    environment
        Simulation environment in core cycles.
    origin
        The endpoint whose processor does it.
    target
        Node number of the neighbour.
    config
        What to do.
    datasheet
        The machine.
    """

    def __init__(
        self,
        environment: simpy.Environment,
        origin: Endpoint,
        target: int,
        config: DcmfConfig,
        datasheet: Datasheet,
    ) -> None:
        self.clock = _Clock()
        self.operation_cycles: list[int] = []
        self.completed_at: list[int] = []
        self._environment = environment
        self._origin = origin
        self._target = target
        self._config = config
        self._size = int(config.size.value)
        self._operations = config.warmup + config.messages
        self._access = datasheet.cycles("mmio.latency")
        self._dcmf = datasheet.cycles("dcmf.operation")
        if config.operation == "get":
            self._dcmf += datasheet.cycles("dcmf.get_extra")
        self._a1 = datasheet.cycles("a1.operation") if config.measure == "bandwidth" else 0

    def run(self, progress: Callable[[int], None]) -> Process:
        """The benchmark as a process; `progress` is told the number of operations done."""
        return self._stream(progress) if self._config.measure == "bandwidth" else self._block(progress)

    def _block(self, progress: Callable[[int], None]) -> Process:
        for number in range(self._operations):
            started = int(self._environment.now)
            yield from self._call()
            yield from self._poll(self._start(counter=0))
            if number >= self._config.warmup:
                self.operation_cycles.append(int(self._environment.now) - started)
            progress(number + 1)

    def _stream(self, progress: Callable[[int], None]) -> Process:
        outstanding: deque[Event] = deque()
        for number in range(self._operations):
            if len(outstanding) == OUTSTANDING_MAX:
                yield from self._poll(outstanding.popleft())
            yield from self._call()
            outstanding.append(self._start(counter=number % OUTSTANDING_MAX))
            outstanding[-1].callbacks.append(self._note_completion)
            progress(number + 1)
        while outstanding:
            yield from self._poll(outstanding.popleft())

    def _note_completion(self, _: Event) -> None:
        self.completed_at.append(int(self._environment.now))

    def stream_cycles(self) -> int:
        """Time from the completion of the last warm-up operation to that of the last one, in core cycles."""
        warmup = self._config.warmup
        return self.completed_at[-1] - (self.completed_at[warmup - 1] if warmup else 0)

    def _call(self) -> Process:
        """The library call, up to the store that moves the FIFO's tail."""
        self.clock.dcmf_software += self._dcmf
        self.clock.a1_software += self._a1
        self.clock.device_access += 2 * self._access
        yield self._environment.timeout(self._dcmf + self._a1 + 2 * self._access)

    def _start(self, counter: int) -> Event:
        if self._config.operation == "get":
            return self._origin.get(self._target, self._size, counter)
        return self._origin.put(self._target, self._size, counter, self._config.completion == "remote")

    def _poll(self, completed: Event) -> Process:
        """Poll until the counter has been seen at zero; the read that sees it starts when it is."""
        before = int(self._environment.now)
        yield completed
        self.clock.polling += int(self._environment.now) - before
        self.clock.device_access += self._access
        yield self._environment.timeout(self._access)


def run(resolved: ResolvedRun, progress: Callable[[float, str], None] | None = None) -> Outcome:
    """Run the dcmf workload.

    Parameters
    ----------
    resolved
        The run; its platform must be native, its partition needs two nodes.
    progress
        Called now and then with the simulated seconds so far and a note.

    Returns
    -------
    Outcome
        Metrics ``latency_us`` and its spread, or ``bandwidth_MiBps``; details ``measured``, the value
        measured on the real machine at this size, where there is one, in the unit of the metric.

    Raises
    ------
    DcmfError
        If the workload makes no sense on this platform or partition.
    """
    config, machine = resolved.workload, resolved.machine
    assert isinstance(config, DcmfConfig)
    _check(resolved, config)
    target = _neighbour_of_origin(resolved.partition)
    environment = simpy.Environment()
    built = build_nodes(environment, machine, resolved.partition.shape, resolved.partition.torus, (0, target))
    origin = Endpoint(built.nodes[0], machine)
    Endpoint(built.nodes[target], machine)
    benchmark = Benchmark(environment, origin, target, config, machine)
    frequency = machine.integer("core.frequency")

    def tell(done: int) -> None:
        operations = config.warmup + config.messages
        if progress is not None and (done % 64 == 0 or done == operations):
            seconds = float(from_cycles(int(environment.now), frequency).value)
            progress(seconds, f"{done} of {operations} operations")

    environment.run(until=environment.process(benchmark.run(tell)))
    total = int(environment.now)
    environment.run()  # what nobody waits for, such as data behind a local completion
    built.check()
    assert built.torus.in_flight == 0, "all packets have arrived"
    clock = benchmark.clock
    attribution = {
        "dcmf_software": clock.dcmf_software,
        "a1_software": clock.a1_software,
        "device_access": clock.device_access,
        "polling": clock.polling,
    }
    assert sum(attribution.values()) == total, "causes sum to total"
    metrics = _metrics(config, benchmark, total, frequency)
    metrics["cpu_utilisation"] = 1 - clock.polling / total
    metrics["packet_hops"] = built.torus.packet_hops
    size = int(config.size.value)
    measured = two_node(config.operation, config.completion, config.measure, size)
    return Outcome(
        metrics=metrics,
        attribution={cause: cycles for cause, cycles in attribution.items() if cycles},
        details={"measured": measured, "packets": built.torus.injected, "target_node": target},
    )


def _metrics(config: DcmfConfig, benchmark: Benchmark, total: int, frequency: int) -> dict[str, int | float]:
    def microseconds(cycles: float) -> float:
        return cycles * 1e6 / frequency

    metrics: dict[str, int | float] = {
        "elapsed_s": total / frequency,
        "cycles_total": total,
        "messages": config.messages,
    }
    if config.measure == "bandwidth":
        moved = config.messages * int(config.size.value)
        metrics["bandwidth_MiBps"] = moved / 2**20 * frequency / benchmark.stream_cycles()
    else:
        operation_cycles = benchmark.operation_cycles
        metrics["latency_us"] = microseconds(sum(operation_cycles) / len(operation_cycles))
        metrics["operation_us_min"] = microseconds(min(operation_cycles))
        metrics["operation_us_max"] = microseconds(max(operation_cycles))
    return metrics


def _check(resolved: ResolvedRun, config: DcmfConfig) -> None:
    if resolved.platform == "virtual-machine":
        raise DcmfError(
            "the dcmf workload drives the DMA engine from user level and runs on a native platform"
        )
    if config.size.value < 1:
        raise DcmfError("workload.size: an operation moves at least one byte")
    if config.operation == "get" and config.completion == "remote":
        raise DcmfError(
            "workload.completion: a get is complete when its data has arrived; only a put has two kinds"
        )


def _neighbour_of_origin(partition: Partition) -> int:
    for direction in (Direction.X_PLUS, Direction.Y_PLUS, Direction.Z_PLUS):
        target = neighbour(0, direction, partition.shape, partition.torus)
        if target is not None:
            return target
    raise DcmfError(f"partition {partition.name}: the dcmf workload needs two nodes")

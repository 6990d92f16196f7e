"""One-sided put and get between two neighbours, as the DCMF messaging layer does them on the DMA engine.

The program is guest code (:mod:`bgsim.guests.messaging`) under CNK or Linux with Big Memory: it runs on any
platform, and every packet and every register access is simulated. A put is a direct-put descriptor; local
completion is its injection counter at zero. For remote completion a remote get follows the data on the
same, deterministic route, and makes the target put one byte back. A get is a remote get whose
message is a put descriptor for the target to inject. An operation arms the counter it waits
for, moves the FIFO's tail, and polls the counter. Data packets are of full size, the last one included
(``torus.put_full_packets``); requests and acknowledgements have the size they need.

``latency`` repeats one blocking DCMF operation. ``bandwidth`` streams non-blocking operations through the
A1 library, as the benchmark behind the measured table does; it is the rate at which operations complete from
the completion of the last warm-up operation to that of the last one, so that neither the filling of the
pipeline nor the final wait is in it. Without warm-up operations it counts from the beginning of the first
one, the filling included. The benchmark posts thousands of operations and divides by the
whole time, in which both are lost. At most `OUTSTANDING_MAX` operations are under way.

What is left out: other traffic, the target's processor (it takes no part), memory bandwidth, and the spread
of real operations; each operation here takes its exact time. Software costs: ``bgsim datasheet 'dcmf.*'``
and ``a1.operation``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import simpy

from bgsim.guests.catalogue import GUESTS
from bgsim.guests.dma_calls import DmaCalls
from bgsim.guests.hybrid import move
from bgsim.guests.messaging import Messenger
from bgsim.hardware.node import Nodes, build_nodes
from bgsim.network.topology import Direction, neighbour
from bgsim.platforms import PLATFORMS
from bgsim.platforms.seam import Code, Guest, Now
from bgsim.units import from_cycles
from bgsim.validation_data import two_node
from bgsim.workloads.configs import DcmfConfig
from bgsim.workloads.outcome import Json, Outcome
from bgsim.workloads.resolved import Partition, ResolvedRun
from bgsim.workloads.window import Window

OUTSTANDING_MAX = 8
"""Operations of a stream under way, each with a counter of its own. Two keep the link busy; more only make
the stream take longer to reach its steady rate."""


MIB = 1 << 20


class DcmfError(ValueError):
    """The workload cannot be run as configured."""


class Benchmark:
    """The program of one node that puts to, or gets from, its neighbour.

    Parameters
    ----------
    resolved
        The run; its workload is a :class:`DcmfConfig`.
    target
        Node number of the neighbour.

    Attributes
    ----------
    operation_cycles
        Time of each measured blocking operation.
    completed_at
        When the hardware completed each operation.
    moved, move_cycles
        Devices whose communication has moved to a native library, and the time that took.
    begun
        When the first operation began.
    on_begin
        Called when the library is ready and the first operation begins.
    """

    def __init__(self, resolved: ResolvedRun, target: int, progress: Callable[[int], None]) -> None:
        config, machine, partition = resolved.workload, resolved.machine, resolved.partition
        assert isinstance(config, DcmfConfig)
        self.guest, calls = messaging_guest(resolved, self.main)
        self.messenger = Messenger(machine, calls, 0, partition.shape, partition.torus)
        self.operation_cycles: list[int] = []
        self.completed_at: list[int] = []
        self.waiting_cycles = 0
        self.moved: tuple[str, ...] = ()
        self.move_cycles = 0
        self.begun = -1
        self.on_begin: Callable[[], None] = lambda: None
        self._target = target
        self._config = config
        self._progress = progress
        self._size = int(config.size.value)
        self._operations = config.warmup + config.messages
        self._remote = config.operation == "get" or config.completion == "remote"
        self._a1 = machine.cycles("a1.operation")

    def watch(self, nodes: Nodes) -> None:
        """Note when the hardware completes an operation."""
        dma = nodes.nodes[0].dma

        def armed(reception: bool, counter: int) -> None:
            done = dma.when_received(counter) if reception else dma.when_injected(counter)
            done.callbacks.append(lambda event: self.completed_at.append(int(event.env.now)))

        self.messenger.on_armed = armed

    def main(self) -> Code:
        """Get ready, then run the operations."""
        yield from self.messenger.initialise()
        initialised = yield Now()
        self.moved = yield from move(self.messenger)
        self.begun = yield Now()
        self.move_cycles = self.begun - initialised
        self.on_begin()
        yield from (self._stream() if self._config.measure == "bandwidth" else self._block())

    def _block(self) -> Code:
        for number in range(self._operations):
            started = yield Now()
            yield from self._start(0)
            yield from self._wait(0)
            ended = yield Now()
            if number >= self._config.warmup:
                self.operation_cycles.append(ended - started)
            self._progress(number + 1)

    def _stream(self) -> Code:
        outstanding: deque[int] = deque()
        for number in range(self._operations):
            if len(outstanding) == OUTSTANDING_MAX:
                yield from self._wait(outstanding.popleft())
            yield self.messenger.code.cycles(self._a1)
            counter = number % OUTSTANDING_MAX
            yield from self._start(counter)
            outstanding.append(counter)
            self._progress(number + 1)
        while outstanding:
            yield from self._wait(outstanding.popleft())

    def _start(self, counter: int) -> Code:
        if self._config.operation == "get":
            return self.messenger.get(self._target, self._size, counter)
        return self.messenger.put(self._target, self._size, counter, self._remote)

    def _wait(self, counter: int) -> Code:
        before = yield Now()
        yield from self.messenger.wait(self._remote, counter)
        self.waiting_cycles += (yield Now()) - before

    def stream_cycles(self) -> int:
        """Time from the completion of the last warm-up operation to that of the last one, in core cycles.

        Without warm-up it begins with the first operation.
        """
        warmup = self._config.warmup
        return self.completed_at[-1] - (self.completed_at[warmup - 1] if warmup else self.begun)


def messaging_guest(resolved: ResolvedRun, main: Callable[[], Code]) -> tuple[Guest, DmaCalls]:
    """A guest of the run's kind, and the same as the kernel that hands out DMA resources."""
    kind = GUESTS[resolved.guest]
    guest = kind.build(resolved.machine, kind.memory(resolved.machine, MIB), main)
    assert isinstance(guest, DmaCalls), f"{resolved.guest} has no user-level messaging"
    return guest, guest


def run(resolved: ResolvedRun, progress: Callable[[float, str], None] | None = None) -> Outcome:
    """Run the dcmf workload.

    Parameters
    ----------
    resolved
        The run; its partition needs two nodes.
    progress
        Called now and then with the simulated seconds so far and a note.

    Returns
    -------
    Outcome
        Metrics ``latency_us`` and its spread, or ``bandwidth_MiBps``, exits and times from the first
        operation on; details ``measured``, the value measured on the real machine at this size, where there
        is one, in the unit of the metric, and ``moved``, the devices that a native library works and what
        the move there took, where the program has moved.

    Raises
    ------
    DcmfError
        If the partition has no two neighbours.
    """
    config, machine = resolved.workload, resolved.machine
    assert isinstance(config, DcmfConfig)
    target = _neighbour_of_origin(resolved.partition)
    environment = simpy.Environment()
    built = build_nodes(environment, machine, resolved.partition.shape, resolved.partition.torus, (0, target))
    frequency = machine.integer("core.frequency")
    operations = config.warmup + config.messages

    def tell(done: int) -> None:
        if progress is not None and (done % 64 == 0 or done == operations):
            seconds = float(from_cycles(int(environment.now), frequency).value)
            progress(seconds, f"{done} of {operations} operations")

    _prepare(resolved, built, target)
    benchmark = Benchmark(resolved, target, tell)
    benchmark.watch(built)
    windows: list[Window] = []
    benchmark.on_begin = lambda: windows.append(Window(platform, int(environment.now)))
    platform = PLATFORMS[resolved.platform](environment, machine, benchmark.guest, built.nodes[0])
    environment.run(until=platform.process)
    total = int(environment.now) - windows[0].opened
    environment.run()  # what nobody waits for, such as data behind a local completion
    built.check()
    assert built.torus.in_flight == 0, "all packets have arrived"
    attribution = windows[0].attribution()
    assert sum(attribution.values()) == total, "causes sum to total"
    metrics = _metrics(config, benchmark, total, frequency)
    counters = windows[0].counters()
    counted = ("exits_total", "exits_ipc", "cycles_l4", "cycles_vmm", "instructions", "tlb_misses")
    metrics |= {name: counters.get(name, 0) for name in counted}
    metrics["cpu_utilisation"] = 1 - benchmark.waiting_cycles / total
    metrics["packet_hops"] = built.torus.packet_hops
    size = int(config.size.value)
    known = two_node(config.operation, config.completion, config.measure, size)
    posting = benchmark.messenger.accesses.posting
    moved: dict[str, Json] = {}
    if benchmark.moved:
        move_us = benchmark.move_cycles * 1e6 / frequency
        moved = {"moved": {"devices": list(benchmark.moved), "move_us": move_us}}
    return Outcome(
        metrics=metrics,
        exits=windows[0].exits(),
        attribution=attribution,
        details={
            "measured": known if resolved.like_measured else None,
            "packets": built.torus.injected,
            "target_node": target,
            "device_accesses": {"posting": posting, "polling": counters["device_accesses"] - posting},
            **moved,
        },
    )


def _prepare(resolved: ResolvedRun, built: Nodes, target: int) -> None:
    """Let the target's program get its FIFOs and counters ready, and end."""

    def main() -> Code:
        yield from messenger.initialise()
        yield from move(messenger)

    guest, calls = messaging_guest(resolved, main)
    partition = resolved.partition
    messenger = Messenger(resolved.machine, calls, target, partition.shape, partition.torus)
    environment = built.torus.environment
    platform = PLATFORMS[resolved.platform](environment, resolved.machine, guest, built.nodes[target])
    environment.run(until=platform.process)


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


def _neighbour_of_origin(partition: Partition) -> int:
    for direction in (Direction.X_PLUS, Direction.Y_PLUS, Direction.Z_PLUS):
        target = neighbour(0, direction, partition.shape, partition.torus)
        if target is not None:
            return target
    raise DcmfError(f"partition {partition.name}: the dcmf workload needs two nodes")

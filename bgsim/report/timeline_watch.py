"""Puts itself between the parts of a running simulation and writes down what they do.

Parts say that they exist (:mod:`bgsim.observer`); their methods are then wrapped, on these objects alone.
Nothing here changes what is simulated: the same cycles pass, and guest work is still done by the compiled
walk, whose result the recorded one has to match.

Watched are guest processors, the microkernel and the VMM of each core, the torus and the collective network.
Left out: the DMA engine's own steps, the barrier network, and the machine tier, which has no such parts.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import Any

import numpy as np
import simpy

from bgsim.datasheet import Datasheet
from bgsim.hardware.bic import Bic
from bgsim.hardware.node import Node
from bgsim.l4.kernel import Kernel
from bgsim.l4.thread import Message, Thread
from bgsim.l4.vcpu import Vcpu
from bgsim.network.collective import CollectiveNetwork
from bgsim.network.links import LinkNetwork
from bgsim.platforms import layout
from bgsim.platforms.accounting import Accounting
from bgsim.platforms.baremetal import BareMetal
from bgsim.platforms.processor import Processor
from bgsim.platforms.reference_state import address_space, set_state
from bgsim.platforms.seam import Run
from bgsim.platforms.walk import walk
from bgsim.report import causes
from bgsim.report.timeline import Slice, Timeline
from bgsim.report.timeline_links import CollectiveWatch, LinksWatch, Method, interpose
from bgsim.report.timeline_walk import RecordedLedger, RecordedWalk, Recorder


class WindowClosed(Exception):  # noqa: N818 -- nothing has gone wrong
    """Simulated time has reached the end of the window: the run may stop."""


class Watch:
    """Watches every part of one simulation.

    Parameters
    ----------
    timeline
        Where it all goes.

    Attributes
    ----------
    parts
        Number of cores and networks watched.
    """

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        timeline.on_full = self._stop_at
        self.parts = 0
        self._nodes: dict[int, int] = {}  # by the identity of a node's interrupt controller
        self._environment: simpy.Environment | None = None
        self._recorders: list[Recorder] = []
        self._alive: list[object] = []  # identities stay unique as long as their objects live

    def __call__(self, part: object) -> None:
        """A part has been built."""
        environment = getattr(part, "environment", None)
        if isinstance(part, Node):
            self._nodes[id(part.bic)] = part.number
            self._alive.append(part.bic)
            return
        if self._environment is None and environment is not None:
            self._environment = environment
            self._stop_at(self.timeline.end)
        if environment is not self._environment:
            return  # a simulation of another moment; the first one is the run
        self.parts += 1
        if isinstance(part, BareMetal):
            self._watch_bare(part)
        elif isinstance(part, Kernel):
            self._watch_kernel(part)
        elif isinstance(part, LinkNetwork):
            LinksWatch(self.timeline, part)
        elif isinstance(part, CollectiveNetwork):
            CollectiveWatch(self.timeline, part)

    def finish(self) -> None:
        """The simulation has stopped: take what is still held back."""
        self.timeline.close_all()
        for recorder in self._recorders:
            recorder.commit()

    def _stop_at(self, cycles: int) -> None:
        """Have the simulation end when it gets there."""
        environment = self._environment
        if environment is None:
            return

        def stop(event: simpy.Event) -> None:
            raise WindowClosed

        stopping = environment.timeout(max(0, cycles - int(environment.now)))
        assert stopping.callbacks is not None
        stopping.callbacks.append(stop)

    def _group(self, bic: Bic) -> str:
        return f"node {self._nodes.get(id(bic), 0)}"

    def _watch_processor(
        self, processor: Processor, datasheet: Datasheet, guest_track: int, kernel_track: int
    ) -> None:
        accounting = Accounting(datasheet, processor.guest.sequences, processor.tables.virtual)
        recorder = Recorder(self.timeline, guest_track, kernel_track, accounting)
        self._recorders.append(recorder)
        ProcessorWatch(recorder, processor)

    def _watch_bare(self, platform: BareMetal) -> None:
        timeline, environment = self.timeline, platform.environment
        group = self._group(platform.node.bic)
        guest = timeline.track(group, f"core {platform.core}: guest")
        device = timeline.track(group, f"core {platform.core}: device access")
        self._watch_processor(platform.processor, platform.datasheet, guest, guest)
        interpose(platform, "_pass_device_time", timed(timeline, environment, device, "device access"))
        interpose(platform, "_wait", timed(timeline, environment, guest, "wait for an interrupt"))
        interpose(platform, "_poll", timed(timeline, environment, device, "poll"))

    def _watch_kernel(self, kernel: Kernel) -> None:
        group = self._group(kernel.bic)
        watch = KernelWatch(self.timeline, kernel, group)

        def started(original: Method) -> Method:
            def start() -> Any:
                for vcpu in kernel.vcpus:
                    guest = self.timeline.track(group, f"core {kernel.core}: {vcpu.name}")
                    self._watch_processor(vcpu.processor, kernel.datasheet, guest, watch.l4)
                watch.begin()
                return original()

            return start

        interpose(kernel, "start", started)


def timed(
    timeline: Timeline, environment: simpy.Environment, track: int, name: str
) -> Callable[[Method], Method]:
    """Wrap a generator method: a slice from its first step to its last."""

    def wrapped(original: Method) -> Method:
        def method(*arguments: Any) -> Generator[simpy.Event, Any, Any]:
            timeline.open(track, int(environment.now), name)
            result = yield from original(*arguments)
            timeline.close(track, int(environment.now))
            return result

        return method

    return wrapped


class ProcessorWatch:
    """Runs a recorded walk beside the compiled one, inside the window."""

    def __init__(self, recorder: Recorder, processor: Processor) -> None:
        self.recorder = recorder
        self.timeline = recorder.timeline
        self.processor = processor
        interpose(processor, "walk", lambda original: lambda *given: self._walk(original, *given))
        interpose(processor, "take_back", self._taking_back)
        interpose(processor, "push", self._pushing)

    def _taking_back(self, original: Method) -> Method:
        def take_back() -> None:
            self.recorder.take_back()
            original()

        return take_back

    def _pushing(self, original: Method) -> Method:
        def push(code: Any, interrupt: bool = True) -> None:
            now = int(self.processor.environment.now)
            name = getattr(code, "__name__", "handler").replace("_", " ")
            self.recorder.commit()
            self.timeline.slice(self.recorder.guest_track, now, now + 1, f"{name} begins")
            original(code, interrupt)

        return push

    def _walk(self, original: Method, deadline: int, begin: int | None = None) -> int:
        """The compiled walk, cut where the window begins and ends."""
        self.recorder.commit()
        window = self.timeline
        now = int(self.processor.environment.now) if begin is None else begin
        reason = layout.STOP_DEADLINE
        for until in (*(cut for cut in (window.begin, window.end) if now < cut < deadline), deadline):
            inside = window.begin <= now < window.end
            run = self._run_of(original) if inside else original
            reason = int(run(until, now))
            if reason != layout.STOP_DEADLINE:
                break
            now = self.processor.walked_to
        return reason

    def _run_of(self, original: Method) -> Method:
        """How a stretch in the window is run: trap by trap, or, of a native program, as one slice."""
        of_guest = self.processor.walker is walk
        return partial(self._recorded if of_guest else self._summarised, original)

    def _summarised(self, original: Method, deadline: int, begin: int) -> int:
        """A program on the microkernel has no kernel of its own: there is little inside a stretch."""
        processor, count = self.processor, self.processor.state.count
        before = int(count[layout.COUNT_INSERT])
        reason = int(original(deadline, begin))
        inserts = int(count[layout.COUNT_INSERT]) - before
        details = {"TLB misses, answered by L4": inserts} if inserts else {}
        found = Slice(self.recorder.guest_track, begin, processor.walked_to, "program", details)
        self.recorder.slices.append(found)
        return reason

    def _recorded(self, original: Method, deadline: int, begin: int) -> int:
        processor = self.processor
        request = processor.request
        assert isinstance(request, Run)
        program = processor.guest.program
        state, register = processor.state, processor.state.register
        pins = int(register[layout.GUEST_ENTRIES] - register[layout.GUEST_TOP]) - 1
        reference = RecordedWalk(
            self.recorder,
            program=program,
            tables=processor.tables,
            guest_entries=int(register[layout.GUEST_ENTRIES]),
            guest_pins=pins,
            hardware_entries=int(register[layout.HARDWARE_ENTRIES]),
            sequences=len(processor.guest.sequences),
        )
        written = bool(state.count[layout.COUNT_PID_WRITES])
        set_state(reference, state, address_space(program, processor.main_position, written))
        assert isinstance(reference.ledger, RecordedLedger)
        reference.ledger.set_seen()
        reference.register[layout.NOW] = begin
        end = len(request.program.operations) if request.end is None else request.end
        found = reference.walk(request.program.operations, end, deadline)
        reason = int(original(deadline, begin))
        same = found == reason and np.array_equal(reference.numbers(), state.number)
        assert same, f"the recorded walk and the compiled one disagree at {begin:,} cycles"
        return reason


class KernelWatch:
    """The microkernel of one core and the VMM's server: what is charged outside the walk, and messages."""

    def __init__(self, timeline: Timeline, kernel: Kernel, group: str) -> None:
        self.timeline = timeline
        self.kernel = kernel
        self.group = group
        core = f"core {kernel.core}"
        self.l4 = timeline.track(group, f"{core}: L4")
        self.device = timeline.track(group, f"{core}: device access")
        self._vmm = f"{core}: VMM"
        self._flow = 0  # of the message that is being handled
        self._flows: dict[int, int] = {}  # by the identity of a message
        self._messages: list[Message] = []
        self._last: Slice | None = None  # of the kernel

    def begin(self) -> None:
        """The core starts: everything on it is known."""
        kernel, own = self.kernel, self.kernel.server_core
        servers: dict[int, Thread] = {id(vcpu.pager): vcpu.pager for vcpu in kernel.vcpus}
        if kernel.interrupt_handler is not None:
            servers[id(kernel.interrupt_handler)] = kernel.interrupt_handler
        for server in servers.values():
            interpose(server, "deliver", self._delivering)
        self._watch_charges(
            kernel, self.l4, self.timeline.track(self.group, self._vmm) if servers else self.l4
        )
        if own is not None:
            track = self.timeline.track(self.group, "VMM on its own core")
            self._watch_charges(own, track, track)
        interpose(kernel, "fetch_kernel_lines", self._fetching)
        interpose(kernel, "owe_device_time", self._owing_device_time)
        interpose(kernel, "call", self._calling)
        interpose(kernel, "sleep_until", self._sleeping)

    def _watch_charges(self, core: Any, l4_track: int, vmm_track: int) -> None:
        def charging(original: Method) -> Method:
            def charge(cause: str, l4: int = 0, vmm: int = 0, count: int = 0) -> None:
                begin, name = core.now, causes.label(cause)
                details = {"counter": cause} if count and cause.startswith(causes.EXIT_PREFIX) else {}
                self.timeline.slice(vmm_track, begin, begin + vmm, name, None, self._flow)
                begin += vmm
                self._last = self.timeline.slice(l4_track, begin, begin + l4, name, details, self._flow)
                original(cause, l4=l4, vmm=vmm, count=count)

            return charge

        def answering(original: Method) -> Method:
            def answer(*given: Any, **named: Any) -> None:
                original(*given, **named)
                self._rename("IPC reply: ")
                self._flow = 0

            return answer

        interpose(core, "charge", charging)
        interpose(core, "answer", answering)

    def _rename(self, beginning: str) -> None:
        if self._last is not None:
            self._last.name = beginning + self._last.name
            self._last = None

    def _calling(self, original: Method) -> Method:
        def call(caller: Thread, server: Thread, message: Message) -> None:
            flow = self._message(message)
            if self._last is not None:
                self._last.flow = flow
                self._last.details = {**self._last.details, "message": _words(message)}
            self._rename("IPC call: ")
            original(caller, server, message)

        return call

    def _message(self, message: Message) -> int:
        self._messages.append(message)  # kept, so that its identity stays its own
        flow = self._flows[id(message)] = self.timeline.new_flow()
        return flow

    def _delivering(self, original: Method) -> Method:
        def deliver(message: Message) -> None:
            if message.sender is None:  # an interrupt
                self._message(message)
                if self._last is not None:
                    self._last.flow = self._flows[id(message)]
            self._flow = self._flows.get(id(message), 0)
            original(message)

        return deliver

    def _fetching(self, original: Method) -> Method:
        def fetch_kernel_lines(*given: Any) -> None:
            begin = self.kernel.now
            original(*given)
            name = causes.label("icache_refill_l4")
            self.timeline.slice(self.l4, begin, self.kernel.now, name, None, self._flow)

        return fetch_kernel_lines

    def _owing_device_time(self, original: Method) -> Method:
        def owe_device_time(*given: Any, **named: Any) -> None:
            begin = self.kernel.now
            original(*given, **named)
            self.timeline.slice(self.device, begin, self.kernel.now, "device access", None, self._flow)

        return owe_device_time

    def _sleeping(self, original: Method) -> Method:
        def sleep_until(*given: Any) -> Generator[simpy.Event, Any, None]:
            current = self.kernel.scheduler.current
            waits = isinstance(current, Vcpu)
            name = current.name if current is not None and waits else "L4"
            track = self.timeline.track(self.group, f"core {self.kernel.core}: {name}")
            self.timeline.open(track, self.kernel.now, "wait for an interrupt" if waits else "idle")
            yield from original(*given)
            self.timeline.close(track, int(self.kernel.environment.now))

        return sleep_until


def _words(message: Message) -> str:
    """What a guest's fault asks of the VMM."""
    if message.label == "ram":
        return f"MiB {message.content} of the guest's memory"
    access = type(message.content).__name__
    place = getattr(message.content, "address", None)
    if place is None:
        place = getattr(message.content, "number", 0)
    return f"{access} {place:#x}"

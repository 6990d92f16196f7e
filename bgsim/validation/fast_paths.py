"""Fast paths against the readable references that stand beside them: how much of what both say is equal."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from bgsim.datasheet import Datasheet
from bgsim.guests.linux import SEQUENCES
from bgsim.hardware.file_server import IoParameters
from bgsim.hardware.io_protocol import Call
from bgsim.machine.io_engine import run_queues
from bgsim.machine.io_program import NodeCosts, Places, Step, Times, columns
from bgsim.machine.io_reference import run_reference
from bgsim.machine.uncontended import execute
from bgsim.machine.uncontended_reference import UncontendedReference
from bgsim.network.collective_packet import CollectiveParameters
from bgsim.network.detours import Detours
from bgsim.network.packet_engine import PacketEngine
from bgsim.network.packet_reference import PacketReference
from bgsim.network.router import RouterParameters
from bgsim.network.traffic import Gates, Messages
from bgsim.platforms import layout
from bgsim.platforms.prices import native_tables, virtual_tables
from bgsim.platforms.reference import ReferenceWalk
from bgsim.platforms.walk import walk
from bgsim.profiles.program import TRACES, load
from bgsim.validation.case import Case, Row

SEED = 20110531
SHAPE, CLOSED = (4, 4, 4), (True, True, True)
MESSAGES = 400
WALK_OPERATIONS = 20_000
FOREVER = 1 << 62


def walk_numbers(virtual: bool) -> tuple[int, int]:
    """Registers and counters after the beginning of a build, and how many the reference agrees with."""
    machine, program = Datasheet.load(), load(TRACES["lcc"])
    pairs = Fraction(machine.quantity("guest.irq_pairs_per_kiloinstruction").value)
    hardware = machine.integer("tlb.entries") - machine.integer("l4.tlb.pinned_entries")
    if virtual:
        tables = virtual_tables(machine, SEQUENCES, pairs, Fraction(0), hardware)
        entries, pins = machine.integer("l4.vtlb.entries"), 2
    else:
        tables = native_tables(machine, SEQUENCES, pairs)
        entries, pins = machine.integer("tlb.entries"), 3
    state = layout.new_state(program.keys, entries, pins, hardware, len(SEQUENCES))
    state.entry[layout.MAPPED] = 1
    state.register[layout.DEADLINE] = FOREVER
    walk(program.operations, layout.page_facts(program), tables, state, WALK_OPERATIONS)
    reference = ReferenceWalk(program, tables, entries, pins, hardware, len(SEQUENCES))
    reference.mapped.update(range(layout.FRAGMENTS))
    reference.walk(program.operations, WALK_OPERATIONS, FOREVER)
    return state.number.size, int((state.number == reference.numbers()).sum())


def random_messages() -> tuple[Messages, Gates]:
    """Messages between random nodes at random times, half of them adaptive, some released by others."""
    random = np.random.default_rng(SEED)
    nodes = int(np.prod(SHAPE))
    half = MESSAGES // 2
    gate = np.concatenate([np.full(half, -1), np.arange(half)])
    messages = Messages.make(
        random.integers(0, nodes, MESSAGES),
        random.integers(0, nodes, MESSAGES),
        random.integers(1, 9, MESSAGES),
        last_chunks=random.integers(1, 9, MESSAGES),
        dynamic=random.integers(0, 2, MESSAGES),
        post_cycles=random.integers(0, 5000, MESSAGES),
        gate=gate,
        then=np.concatenate([np.arange(half), np.full(half, -1)]),
    )
    return messages, Gates.make(np.ones(half, np.int64), work_cycles=random.integers(0, 2000, half))


def torus_times() -> tuple[int, int]:
    """Times at which messages leave and arrive, packet by packet."""
    messages, gates = random_messages()
    router = RouterParameters()
    fast = PacketEngine(SHAPE, CLOSED, router, messages, gates)
    fast.run()
    slow = PacketReference(SHAPE, CLOSED, router, messages, gates)
    slow.run()
    return _equal(
        np.concatenate([fast.sent_cycles, fast.done_cycles]),
        np.concatenate([slow.sent_cycles, slow.done_cycles]),
    )


def uncontended_times() -> tuple[int, int]:
    """The same in the network whose links are shared at the ends only."""
    messages, gates = random_messages()
    rides = np.full(MESSAGES, -1)
    case = (SHAPE, CLOSED, RouterParameters(), messages, gates, Detours.none(), rides)
    fast, slow = execute(*case), UncontendedReference(*case).run()
    return _equal(
        np.concatenate([fast.sent_cycles, fast.done_cycles]),
        np.concatenate([slow.sent_cycles, slow.done_cycles]),
    )


def queue_times() -> tuple[int, int]:
    """Times at which processes have finished their file system calls."""
    machine = Datasheet.load()
    io, network = IoParameters.from_datasheet(machine), CollectiveParameters.from_datasheet(machine)
    node = NodeCosts(send=3000, inject=1800, receive=2700, take=1800, drain=1750, buffered=8)
    steps = columns([Step(Call.OPEN), Step(Call.WRITE, 5000), Step(Call.READ, 87_600), Step(Call.CLOSE)], io)
    number = np.arange(48, dtype=np.int64)
    places = Places(number % 12, number // 24, 1 + number % 4)
    times = Times.of(node, io, network)
    return _equal(run_queues(steps, times, places).finished, run_reference(steps, times, places).finished)


def _equal(fast: NDArray[np.int64], slow: NDArray[np.int64]) -> tuple[int, int]:
    return len(fast), int((fast == slow).sum())


def rows(fast: bool) -> Iterator[Row]:
    """Each fast path on one case; the tests of the same pairs generate thousands."""
    after = f"registers and counters after {WALK_OPERATIONS:,} operations"
    if not fast:
        for word, virtual in (("native", False), ("virtualised", True)):
            total, equal = walk_numbers(virtual)
            yield Row("all", f"walk of lcc, {word}: {after}", total, equal, 0.0)
    for point, (total, equal) in (
        (f"torus packet by packet: times of {MESSAGES} messages", torus_times()),
        (f"torus uncontended: times of {MESSAGES} messages", uncontended_times()),
        ("input and output: times of 48 processes", queue_times()),
    ):
        yield Row("all", point, total, equal, 0.0)


CASE = Case(
    name="fast-paths-against-references",
    compares="how many numbers of a compiled path its readable reference agrees with, to the last cycle",
    kind="reference",
    unit="numbers",
    source="the same rules, written to be read, in Python and SimPy",
    conditions="One case each; property tests generate more of them. Equality says that the fast path does "
    "what the reference says, not that either is right.",
    binding=True,
    rows=rows,
)

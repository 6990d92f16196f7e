"""Rounds of polling pass in one go; the guest's own loop is what that must agree with."""

from collections.abc import Callable
from typing import Any

import pytest
import simpy
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bgsim.datasheet import Datasheet
from bgsim.guests.cnk import Cnk
from bgsim.guests.l4_app import L4App, program_memory
from bgsim.guests.user_code import UserCode
from bgsim.hardware.activity import Activity
from bgsim.hardware.node import Node, build_nodes
from bgsim.platforms.baremetal import BareMetal
from bgsim.platforms.l4native import L4Native
from bgsim.platforms.seam import Code, Load, Now, Poll, poll
from bgsim.platforms.virtualmachine import VirtualMachine

SHEET = Datasheet.load()
BASE = 0x7_0000_0000


class Register:
    """A device of some words that change at given times."""

    def __init__(self, environment: simpy.Environment, activity: Activity) -> None:
        self.words: dict[int, int] = {}
        self.read_at: list[tuple[int, int]] = []
        self._environment = environment
        self._activity = activity

    def load(self, offset: int) -> int:
        self.read_at.append((offset, int(self._environment.now)))
        return self.words.get(offset, 0)

    def store(self, offset: int, value: int) -> None:
        raise AssertionError(f"nothing stores {value} at {offset}")

    def change_at(self, time: int, offset: int, value: int) -> None:
        def process() -> Any:
            yield self._environment.timeout(time)
            self.words[offset] = value
            self._activity.happened()

        self._environment.process(process())


def nothing() -> Code:
    """Before polling."""
    yield from ()


def read_loop(request: Poll) -> Any:
    """The guest's loop, whatever the platform offers."""
    while True:
        for position, (read, wanted) in enumerate(request.reads):
            value = yield read
            if wanted(value):
                return position, value
        yield request.pause


def run(
    how: Callable[[Poll], Any],
    changes: list[tuple[int, int, int]],
    pause: int,
    registers: int,
    platform: Any,
    sheet: Datasheet = SHEET,
    build: Callable[..., Any] = Cnk,
    loaded: Callable[[], Code] = nothing,
) -> tuple[list[Any], dict[str, int], Register]:
    """Poll twice; what was found when, the platform's attribution, and the device."""
    environment = simpy.Environment()
    node: Node = build_nodes(environment, sheet, (1, 1, 1), (False, False, False)).nodes[0]
    device = Register(environment, node.activity)
    node.bus.attach(BASE, 0x100, device, SHEET.cycles("mmio.latency"))
    for time, register, value in [*changes, (40_000, 0, 1), (40_001, 0, 9)]:
        device.change_at(time, 16 * register, value)
    found: list[Any] = []

    def main() -> Code:
        code = UserCode(sheet, (1,), (2,))
        yield from loaded()
        for least in (1, 5):
            loads = tuple(
                (Load(BASE + 16 * number), lambda word, least=least: word >= least)
                for number in range(registers)
            )
            found.append((yield from how(Poll(loads, code.instructions(pause)))))
            found.append((yield Now()))

    core = platform(environment, sheet, build(sheet, main), node)
    environment.run(core.process)
    return found, {**core.attribution(), **core.counters()}, device


# Odd times: no load ends in the very cycle of a change, where the order of events would decide.
CHANGE = st.tuples(
    st.integers(0, 15_000).map(lambda half: 2 * half + 1), st.integers(0, 2), st.integers(0, 7)
)


@given(st.lists(CHANGE, max_size=6), st.integers(0, 150), st.integers(1, 3))
@example([(1, 0, 5)], 0, 1)
def test_in_one_go_is_load_by_load(changes: list[tuple[int, int, int]], pause: int, registers: int) -> None:
    quick, spent, device = run(poll, changes, pause, registers, BareMetal)
    slow, expected, reference = run(read_loop, changes, pause, registers, BareMetal)
    ends = {time for _, time in reference.read_at}
    if any(time in ends for time, *_ in changes) or {40_000, 40_001} & ends:
        return  # a change in the very cycle in which a load ends: either may come first
    assert quick == slow
    for name in ("events", "walks"):
        del spent[name], expected[name]
    assert spent == expected
    assert len(device.read_at) <= len(reference.read_at)


SHORT_TICKS = SHEET.with_values({"l4.tick": "9 us"})


def touch() -> Code:
    """What polling needs in the hardware TLB."""
    yield Load(BASE)
    yield UserCode(SHORT_TICKS, (1,), (2,)).instructions(10)


def l4_app(sheet: Datasheet, main: Callable[[], Code]) -> L4App:
    return L4App(sheet, program_memory(sheet, 1 << 20).program, main)


@settings(deadline=None, max_examples=40)
@given(st.lists(CHANGE, max_size=6), st.integers(0, 150), st.integers(1, 3), st.booleans())
def test_ticks_of_the_microkernel_come_in_between(
    changes: list[tuple[int, int, int]], pause: int, registers: int, warm: bool
) -> None:
    before = touch if warm else nothing
    quick, spent, device = run(
        poll, changes, pause, registers, L4Native, SHORT_TICKS, build=l4_app, loaded=before
    )
    slow, expected, reference = run(
        read_loop, changes, pause, registers, L4Native, SHORT_TICKS, build=l4_app, loaded=before
    )
    ends = {time for _, time in reference.read_at}
    if any(time in ends for time, *_ in changes) or {40_000, 40_001} & ends:
        return
    assert quick == slow
    for name in ("events", "walks"):
        del spent[name], expected[name]
    assert spent == expected
    assert len(device.read_at) <= len(reference.read_at)


def test_long_waits_on_the_microkernel_are_cheap() -> None:
    _, spent, device = run(poll, [], 35, 1, L4Native, SHORT_TICKS, build=l4_app, loaded=touch)
    assert spent["device_accesses"] > 3 * len(device.read_at)  # which are some at each tick


def test_long_waits_are_cheap() -> None:
    _, spent, device = run(poll, [], 35, 1, BareMetal)
    assert spent["device_accesses"] > 250
    assert len(device.read_at) < 10


@pytest.mark.parametrize("platform", [BareMetal])
def test_every_cycle_of_polling_has_a_cause(platform: Any) -> None:
    found, spent, _ = run(poll, [(501, 0, 3)], 35, 1, platform)
    assert spent["guest_user"] + spent["device"] + spent["guest_kernel"] == found[-1]


def test_a_virtual_machine_leaves_for_each_load() -> None:
    environment = simpy.Environment()
    node = build_nodes(environment, SHEET, (1, 1, 1), (False, False, False)).nodes[0]

    def main() -> Code:
        code = UserCode(SHEET, (1,), (2,))
        address = 0x6_0000_0A00  # the DMA engine's reception FIFOs that are not empty
        tries = iter(range(6))
        yield from poll(Poll(((Load(address), lambda word: next(tries) == 5),), code.instructions(10)))

    core = VirtualMachine(environment, SHEET, Cnk(SHEET, main), node)
    environment.run(core.process)
    assert {row.cause: row.count for row in core.exits()}["PPC_HVM_DTLB_MISS_DEVICE"] == 6

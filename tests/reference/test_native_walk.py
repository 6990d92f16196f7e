"""The walk of a program on the microkernel: compiled and readable agree in all registers and entries."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bgsim.datasheet import Datasheet
from bgsim.platforms import layout
from bgsim.platforms.native_walk import native_walk
from bgsim.platforms.prices import program_tables
from bgsim.platforms.reference_native import ReferenceNativeWalk
from bgsim.profiles import program as ops
from bgsim.profiles.program import Program, kernel_program, operation

TABLES = program_tables(Datasheet.load())
KEYS, MIB, ENTRIES = 6, 6, 7
USER = (ops.DATA, ops.INSTRUCTION, ops.LOWMEM_DATA, ops.LOWMEM_INSTRUCTION, ops.WORK_USER)
PRIVILEGED = (ops.WORK_KERNEL, ops.ENTER, ops.PID, ops.TLBIE, ops.TLBIA, ops.SEQUENCE)


def with_pages(words: list[int]) -> Program:
    """A program with some 4 KiB pages of its own."""
    nothing = np.zeros(KEYS, dtype=np.uint8)
    return replace(
        kernel_program("generated", words),
        key_page=np.arange(0x10000, 0x10000 + KEYS, dtype=np.uint32),
        key_pid=nothing,
        key_executable=nothing.astype(np.bool_),
        key_kernel=nothing.astype(np.bool_),
        key_directory=nothing,
        key_table=nothing,
        key_thread=nothing,
    )


@st.composite
def programs(draw: st.DrawFn) -> Program:
    words = []
    for kind in draw(st.lists(st.sampled_from(USER), max_size=60)):
        most = 5_000 if kind == ops.WORK_USER else (KEYS if kind <= ops.INSTRUCTION else MIB) - 1
        words.append(operation(kind, draw(st.integers(0, most))))
    return with_pages(words)


@settings(max_examples=60, deadline=None)
@given(programs(), st.lists(st.integers(1, 20_000), min_size=1, max_size=6))
def test_the_walks_agree(program: Program, steps: list[int]) -> None:
    state = layout.new_state(program.keys, 1, 0, ENTRIES, 0)
    reference = ReferenceNativeWalk(program, TABLES, ENTRIES)
    pages = layout.page_facts(program)
    end = len(program.operations)
    deadline, faults = 0, 0
    for step in [*steps, 1 << 40]:
        deadline += step
        while True:
            state.number[layout.DEADLINE] = deadline
            stopped = native_walk(program.operations, pages, TABLES, state, end)
            assert reference.walk(program.operations, end, deadline) == stopped
            assert reference.register[layout.FAULT_MIB] == state.register[layout.FAULT_MIB]
            if stopped != layout.STOP_RAM_FAULT:
                break
            faults += 1
            page = int(state.register[layout.FAULT_MIB])
            state.slot[layout.NATIVE_SLOT, page] = layout.NATIVE_MAPPED
            reference.map(page)
    assert stopped == layout.STOP_END
    assert faults == len(reference.page_table) <= KEYS + MIB
    there = {each: slot for slot, each in enumerate(reference.hardware.entries) if each is not None}
    for number in range(KEYS + layout.FRAGMENTS):
        first, _ = reference.page_of(number)
        slot = reference.hardware.lookup(first, 0)
        held = np.flatnonzero(state.entry[layout.HARDWARE_KEY, :ENTRIES] == layout.NATIVE_KEY - number)
        assert held.tolist() == ([] if slot is None else [slot])
    assert len(there) == state.register[layout.HARDWARE_VALID]
    numbers = reference.numbers()
    differ = np.flatnonzero(numbers != state.number)
    known = {layout.GUEST_ENTRIES, layout.EXIT_LIMIT, layout.PROGRAM_EXIT_LIMIT, layout.WORK_CAUSE}
    assert set(differ.tolist()) <= known, differ


@pytest.mark.parametrize("kind", PRIVILEGED)
def test_a_privileged_instruction_is_not_run(kind: int) -> None:
    program = with_pages([operation(ops.WORK_USER, 10), operation(kind, 1)])
    state = layout.new_state(program.keys, 1, 0, ENTRIES, 0)
    state.number[layout.DEADLINE] = 1 << 40
    pages = layout.page_facts(program)
    assert native_walk(program.operations, pages, TABLES, state, 2) == layout.STOP_PRIVILEGED
    assert state.register[layout.POSITION] == 1
    reference = ReferenceNativeWalk(program, TABLES, ENTRIES)
    assert reference.walk(program.operations, 2, 1 << 40) == layout.STOP_PRIVILEGED

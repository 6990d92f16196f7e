"""How far a prediction rests on parameters that are not measured.

Each uncertain parameter that priced the run is moved to its low and its high value, alone, and the
beginning of the job is walked again on both platforms; the change of the slowdown carries over to
the whole job. Last, all of them are moved together in the direction that makes the slowdown small,
and in the one that makes it large: bounds, not confidence limits.

The walk is the whole machine here except timer ticks, which move the result by less than 1 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TypedDict

from bgsim.datasheet import Datasheet
from bgsim.guests.kittyhawk import KittyhawkLinux
from bgsim.platforms import layout
from bgsim.platforms.prices import native_tables, virtual_tables
from bgsim.platforms.seam import Code
from bgsim.platforms.walk import walk
from bgsim.profiles.program import Program
from bgsim.workloads.resolved import ResolvedRun

SAMPLE_OPERATIONS = 400_000
"""Operations of the job that are walked again for each value."""

CHOICES = {"core.timing": ("low", "high"), "l4.build": ("o2", "os")}
"""Parameters without numeric bounds that the prediction rests on, and what they are moved to."""


class SensitivityRow(TypedDict):
    """One parameter moved alone."""

    parameter: str
    unit: str
    confidence: str
    low: str
    central: str
    high: str
    elapsed_low_s: float
    elapsed_high_s: float


def sample_slowdown(machine: Datasheet, program: Program, build: str) -> float:
    """Slowdown of a stretch of a program, walked on both platforms."""
    guest = KittyhawkLinux(machine, program, _no_main, build)
    pages = layout.page_facts(program)
    pairs = Fraction(guest.irq_pairs_milli, 1000)
    hardware = machine.integer("tlb.entries") - machine.integer("l4.tlb.pinned_entries")
    lines = Fraction(guest.lines_per_iccci_milli, 1000)
    cycles = []
    for tables, entries, memory in (
        (native_tables(machine, guest.sequences, pairs), machine.integer("tlb.entries"), "memory.size"),
        (
            virtual_tables(machine, guest.sequences, pairs, lines, hardware),
            machine.integer("l4.vtlb.entries"),
            "vmm.vm_memory",
        ),
    ):
        pins = guest.pinned_entries(machine.integer(memory))
        state = layout.new_state(program.keys, entries, pins, hardware, len(guest.sequences))
        state.entry[layout.MAPPED] = 1
        state.register[layout.DEADLINE] = 1 << 62
        begin = len(program.operations) // 2
        state.register[layout.POSITION] = begin
        end = min(begin + SAMPLE_OPERATIONS, len(program.operations))
        walk(program.operations, pages, tables, state, end)
        cycles.append(int(state.register[layout.NOW]))
    return cycles[1] / cycles[0]


def _no_main() -> Code:
    yield from ()


def uncertain_parameters(machine: Datasheet, program: Program, build: str) -> list[str]:
    """Parameters with a range that the prices of this build depend on."""
    probe = machine.with_values({})
    sample_slowdown(probe, program, build)
    return [
        name
        for name in sorted(probe.read)
        if probe[name].low is not None and not name.startswith(("l4.os.", "l4.o2."))
    ]


def sensitivity(
    resolved: ResolvedRun, program: Program, build: str, elapsed_s: float
) -> tuple[list[SensitivityRow], tuple[float, float]]:
    """Elapsed time with each uncertain parameter at its bounds, and with all of them together.

    Parameters
    ----------
    elapsed_s
        The prediction with every parameter at its value.

    Returns
    -------
    rows
        Largest effect first.
    bounds
        Elapsed seconds with all parameters at their favourable, and at their unfavourable bound.
    """
    machine = resolved.machine
    central = sample_slowdown(machine, program, build)

    def elapsed(values: Mapping[str, object]) -> float:
        return elapsed_s * sample_slowdown(machine.with_values(values), program, build) / central

    rows = []
    least: dict[str, object] = {}
    most: dict[str, object] = {}
    trials: list[tuple[str, object, object]] = [
        (name, machine[name].low, machine[name].high)
        for name in uncertain_parameters(machine, program, build)
    ]
    trials += [(name, favourable, unfavourable) for name, (favourable, unfavourable) in CHOICES.items()]
    for name, low, high in trials:
        at_low = elapsed({name: _with_unit(machine, name, low)})
        at_high = elapsed({name: _with_unit(machine, name, high)})
        rows.append(
            SensitivityRow(
                parameter=name,
                unit=machine[name].unit,
                confidence=machine[name].confidence,
                low=str(low),
                central=str(machine[name].value),
                high=str(high),
                elapsed_low_s=at_low,
                elapsed_high_s=at_high,
            )
        )
        small, large = (low, high) if at_low <= at_high else (high, low)
        least[name] = _with_unit(machine, name, small)
        most[name] = _with_unit(machine, name, large)
    rows.sort(key=lambda row: -abs(row["elapsed_high_s"] - row["elapsed_low_s"]))
    return rows, (elapsed(least), elapsed(most))


def _with_unit(machine: Datasheet, name: str, value: object) -> object:
    unit = machine[name].unit
    if unit in ("count", "ratio", "cycles", "instructions", "enum", "bool"):
        return value
    return f"{value} {unit}"

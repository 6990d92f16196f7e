"""How fast guest execution is simulated: the compiled walk against the readable one, and SimPy's share.

Both walks run the same operations of the lcc build in this process, one after the other, each with
a processor that has just started; the ratio is what counts, the rates are of this host under its
present load. CPU time is measured, the best of several repetitions. Then a longer piece of the build
runs through the SimPy platforms, to see how many events an exit costs.

    python benchmarks/walk.py [--operations N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import simpy
from rich.console import Console
from rich.table import Table

from bgsim.datasheet import Datasheet
from bgsim.guests.kittyhawk import KittyhawkLinux
from bgsim.guests.linux import SEQUENCES
from bgsim.hardware.node import build_nodes
from bgsim.platforms import PLATFORMS, layout
from bgsim.platforms.accounting import Accounting
from bgsim.platforms.prices import native_tables, virtual_tables
from bgsim.platforms.reference import ReferenceWalk
from bgsim.platforms.seam import Code, Run
from bgsim.platforms.walk import walk
from bgsim.profiles.program import TRACES, Program, load

BUILD = "lcc"
FOREVER = 1 << 62
REPETITIONS = 5
PLATFORM_OPERATIONS = 4_000_000


def cpu_seconds(work: Callable[[], None]) -> float:
    """CPU time of one call."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def compare(machine: Datasheet, program: Program, virtual: bool, operations: int) -> dict[str, float]:
    """Rates of both walks on the same operations; they must agree in every count.

    Returns
    -------
    dict
        References and exits, the rates of each walk per second, and the ratio of the two.
    """
    pairs = Fraction(machine.quantity("guest.irq_pairs_per_kiloinstruction").value)
    hardware = machine.integer("tlb.entries") - machine.integer("l4.tlb.pinned_entries")
    if virtual:
        lines = KittyhawkLinux(machine, program, _nothing, BUILD).lines_per_iccci_milli
        tables = virtual_tables(machine, SEQUENCES, pairs, Fraction(lines, 1000), hardware)
        entries, pins = machine.integer("l4.vtlb.entries"), 2
    else:
        tables = native_tables(machine, SEQUENCES, pairs)
        entries, pins = machine.integer("tlb.entries"), 3
    pages = layout.page_facts(program)

    def new_state() -> layout.State:
        state = layout.new_state(program.keys, entries, pins, hardware, len(SEQUENCES))
        state.entry[layout.MAPPED] = 1
        state.register[layout.DEADLINE] = FOREVER
        return state

    state = new_state()
    walk(program.operations, pages, tables, state, operations)  # the first call loads compiled code
    compiled_s = FOREVER * 1.0
    for _ in range(REPETITIONS):
        states = [new_state() for _ in range(20)]

        def run_compiled(states: list[layout.State] = states) -> None:
            for fresh in states:
                walk(program.operations, pages, tables, fresh, operations)

        compiled_s = min(compiled_s, cpu_seconds(run_compiled) / len(states))

    reference = ReferenceWalk(program, tables, entries, pins, hardware, len(SEQUENCES))
    reference.mapped.update(range(layout.FRAGMENTS))
    reference_s = cpu_seconds(lambda: _run_reference(reference, program, operations))
    assert (reference.numbers() == state.number).all(), "the two walks disagree"

    references = int(state.count[layout.COUNT_REFERENCES])
    exits = sum(Accounting(machine, SEQUENCES, virtual).counts(state).values())
    return {
        "references": references,
        "exits": exits,
        "compiled_references_per_s": references / compiled_s,
        "reference_references_per_s": references / reference_s,
        "compiled_exits_per_s": exits / compiled_s,
        "reference_exits_per_s": exits / reference_s,
        "ratio": reference_s / compiled_s,
    }


def _run_reference(reference: ReferenceWalk, program: Program, operations: int) -> None:
    reference.walk(program.operations, operations, FOREVER)


def _nothing() -> Code:
    yield from ()


def through_simpy(machine: Datasheet, program: Program, platform: str, operations: int) -> dict[str, float]:
    """A piece of the build on a platform: SimPy events, exits, and host time."""

    def main() -> Code:
        yield Run(program, 0, operations)

    environment = simpy.Environment()
    node = build_nodes(environment, machine, (1, 1, 1), (False, False, False)).nodes[0]
    guest = KittyhawkLinux(machine, program, main, BUILD)
    core: Any = PLATFORMS[platform](environment, machine, guest, node)
    host_s = cpu_seconds(lambda: environment.run(core.process))
    counters = core.counters()
    exits = counters.get("exits_total", 0)
    return {
        "references": counters["references"],
        "exits": exits,
        "events": counters["events"],
        "events_per_exit": counters["events"] / exits if exits else 0.0,
        "references_per_s": counters["references"] / host_s,
        "exits_per_s": exits / host_s,
        "simulated_s": environment.now / machine.integer("core.frequency"),
        "host_s": host_s,
    }


def measure(operations: int) -> dict[str, dict[str, float]]:
    """All figures of one run, by what was measured."""
    machine = Datasheet.load()
    program = load(TRACES[BUILD])
    results = {}
    for platform, virtual in (("bare-metal", False), ("virtual-machine", True)):
        results[f"walk {platform}"] = compare(machine, program, virtual, operations)
        results[f"simpy {platform}"] = through_simpy(machine, program, platform, PLATFORM_OPERATIONS)
    return results


def show(results: dict[str, dict[str, float]]) -> None:
    """Print the figures as a table, one column for each platform."""
    platforms = ("bare-metal", "virtual-machine")
    table = Table("", *platforms, title=f"Simulated guest execution, {BUILD} build")
    rows = {
        "walk": {
            "compiled: references/s": "compiled_references_per_s",
            "readable: references/s": "reference_references_per_s",
            "compiled: exits/s": "compiled_exits_per_s",
            "readable: exits/s": "reference_exits_per_s",
            "compiled / readable": "ratio",
        },
        "simpy": {
            "SimPy platform: references/s": "references_per_s",
            "SimPy platform: exits/s": "exits_per_s",
            "SimPy events": "events",
            "exits": "exits",
            "SimPy events per exit": "events_per_exit",
        },
    }
    for part, names in rows.items():
        for title, name in names.items():
            table.add_row(title, *(f"{results[f'{part} {platform}'][name]:,.4g}" for platform in platforms))
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--operations", type=int, default=200_000, help="operations both walks run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as well")
    arguments = parser.parse_args()
    results = measure(arguments.operations)
    show(results)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

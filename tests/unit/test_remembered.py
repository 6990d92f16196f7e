"""Answers kept from one run for the next: what a run reads must not depend on what the process did before."""

from collections.abc import Callable

import pytest

from bgsim.datasheet import Datasheet
from bgsim.datasheet.remembered import Remembered
from bgsim.profiles.program import WORK_USER, kernel_program, operation
from bgsim.workloads import compile as build
from bgsim.workloads.io import server_ends
from bgsim.workloads.io_detailed import node_costs

SHEET = Datasheet.load()


def hop(machine: Datasheet) -> int:
    return machine.cycles("torus.hop_latency")


def test_a_kept_answer_counts_the_same_parameters_as_read() -> None:
    kept: Remembered[int] = Remembered()
    first, second = SHEET.with_values({}), SHEET.with_values({})
    assert kept.get(first, "hop", hop) == kept.get(second, "hop", hop) == hop(SHEET)
    assert first.read == second.read == {"torus.hop_latency", "core.frequency"}


def test_only_what_the_answer_depends_on_is_counted() -> None:
    kept: Remembered[int] = Remembered()
    machine, other = SHEET.with_values({}), SHEET.with_values({})
    machine.integer("tlb.entries")
    kept.get(machine, "hop", hop)
    kept.get(other, "hop", hop)
    assert "tlb.entries" not in other.read


def test_machines_and_keys_are_told_apart_and_the_oldest_is_forgotten() -> None:
    calls: list[str] = []
    kept: Remembered[int] = Remembered(size=2)

    def ask(machine: Datasheet, key: str) -> None:
        def compute(copy: Datasheet) -> int:
            calls.append(key)
            return len(calls)

        kept.get(machine, key, compute)

    slow = SHEET.with_values({"torus.hop_latency": "60 ns"})
    for machine, key in ((SHEET, "a"), (SHEET, "b"), (SHEET, "a"), (slow, "a"), (SHEET, "a"), (SHEET, "b")):
        ask(machine, key)
    assert calls == ["a", "b", "a", "b"]


def test_nothing_is_kept_of_a_failure() -> None:
    kept: Remembered[int] = Remembered()

    def fails(copy: Datasheet) -> int:
        raise ValueError("no answer")

    with pytest.raises(ValueError, match="no answer"):
        kept.get(SHEET, "hop", fails)
    assert kept.get(SHEET, "hop", hop) == hop(SHEET)


def test_names_that_a_machine_lacks_are_not_counted() -> None:
    machine = SHEET.with_values({})
    machine.count_as_read(("tlb.entries", "gone.parameter"))
    assert machine.read == {"tlb.entries"}


def a_job(machine: Datasheet) -> object:
    return build.find_job("lcc", 100_000, machine)


def costs_of_a_node(machine: Datasheet) -> object:
    return node_costs(machine, "bare-metal")


@pytest.mark.parametrize("ask", [a_job, costs_of_a_node])
def test_the_second_run_of_a_process_reads_what_the_first_read(
    ask: Callable[[Datasheet], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Unpacking a real trace takes seconds, and what it holds does not matter here.
    monkeypatch.setattr(build, "load", lambda stem: kernel_program(stem, [operation(WORK_USER, 500)]))
    changed = {"core.mfspr_cycles": 5}
    first, second = SHEET.with_values(changed), SHEET.with_values(changed)
    assert ask(first) is ask(second)
    assert first.read == second.read
    assert len(first.read) > 20


def test_the_servers_range_reads_the_server_only() -> None:
    machine = SHEET.with_values({})
    server_ends(machine)
    assert {name.split(".")[0] for name in machine.read} == {"file_server", "startup"}

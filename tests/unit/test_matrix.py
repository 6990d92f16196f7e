"""Guests, platforms and workloads: what runs, what is refused, and how the matrix shows it."""

from typing import Any

import pytest

from bgsim.datasheet import Datasheet
from bgsim.experiment.errors import ExperimentError
from bgsim.experiment.plan import load
from bgsim.guests.function_shipping import FileCalls
from bgsim.hardware.file_server import IoParameters
from bgsim.hardware.io_protocol import Call
from bgsim.platforms import layout
from bgsim.report.matrix_figures import Column, Headline, Row, draw, row_label, why_empty
from bgsim.report.results import Cell, Group, Point
from bgsim.report.style import paper_style
from bgsim.workloads import characterize, execute
from bgsim.workloads.configs import MicroConfig
from bgsim.workloads.io_config import IoConfig
from bgsim.workloads.io_detailed import IoJob, piece_bytes
from bgsim.workloads.io_programs import ProgramCall
from bgsim.workloads.resolved import Partition, ResolvedRun
from bgsim.workloads.traffic_config import TrafficConfig
from bgsim.workloads.traffic_costs import OperationCosts

SHEET = Datasheet.load()
PAIR = Partition("pair", (2, 1, 1), (False, False, False), 8)


def resolved(guest: str, platform: str, workload: Any) -> ResolvedRun:
    return ResolvedRun(SHEET, SHEET, PAIR, platform, guest, workload, 1, 0)


# -- what runs


def system_call(guest: str, platform: str) -> Any:
    config = MicroConfig(kind="micro", operation="null-system-call", iterations=20)
    return execute(resolved(guest, platform, config)).metrics


def test_a_system_call_of_every_linux_costs_the_same_and_cnk_traps_less() -> None:
    linux, zepto = (system_call(guest, "virtual-machine") for guest in ("kittyhawk-linux", "zeptoos"))
    assert linux["exits_per_operation"] == zepto["exits_per_operation"] > 15
    assert system_call("cnk", "virtual-machine")["exits_per_operation"] == 10  # 9 instructions, 1 system call
    assert system_call("cnk", "bare-metal")["exits_per_operation"] == 0


@pytest.mark.parametrize(
    ("guest", "workload", "why"),
    [
        ("cnk", {"kind": "compile"}, "no fork and no exec"),
        ("cnk", {"kind": "netperf"}, "no network driver"),
        ("cnk", {"kind": "micro", "operation": "timer-tick"}, "no timer tick"),
        ("zeptoos", {"kind": "dcmf"}, "contiguous"),
        ("kittyhawk-linux", {"kind": "io"}, "several calls under way.*tier: detailed"),
        ("kittyhawk-linux", {"kind": "io", "tier": "detailed", "daemon": "zoid"}, "forwards frames"),
        ("kittyhawk-linux", {"kind": "halo", "protocol": "put"}, "sockets"),
        ("kittyhawk-linux", {"kind": "collectives", "operation": "alltoall"}, "puts"),
        ("zeptoos", {"kind": "collectives", "algorithm": "collective-network"}, "binomial, ring"),
        ("zeptoos-bigmemory", {"kind": "halo", "ranks_per_node": 4}, "one process of a job"),
    ],
)
def test_what_a_guest_lacks_is_said_before_anything_runs(
    guest: str, workload: dict[str, Any], why: str
) -> None:
    with pytest.raises(ExperimentError, match=why):
        load(
            {
                "name": "refused",
                "partition": {"topology": "pair"},
                "platforms": ["bare-metal"],
                "guest": guest,
                "workload": workload,
            }
        )


def test_the_matrix_is_one_experiment_with_every_guest() -> None:
    plan = load("matrix")
    guests = {run.config["guest"] for run in plan.runs}
    assert guests == {"kittyhawk-linux", "zeptoos", "zeptoos-bigmemory", "cnk", "l4-app"}
    assert plan.skipped > 0
    cells = {
        (run.config["guest"], run.config["platform"], run.config["workload"]["kind"]) for run in plan.runs
    }
    assert ("zeptoos", "virtual-machine", "io") in cells
    assert ("cnk", "virtual-machine", "compile") not in cells


# -- files under ZeptoOS


def io_job(guest: str, calls: list[ProgramCall], daemon: str = "zoid") -> IoJob:
    job = IoJob(SHEET, "bare-metal", PAIR, calls, 1, guest, daemon)
    job.run()
    return job


@pytest.mark.parametrize(("guest", "switches"), [("zeptoos", 2), ("zeptoos-bigmemory", 2), ("cnk", 0)])
def test_a_forwarded_call_has_two_switches_of_the_address_space(guest: str, switches: int) -> None:
    process = io_job(guest, [ProgramCall(Call.OPEN), ProgramCall(Call.CLOSE)]).processes[0]
    assert process.files.shipped == 2
    assert process.core.processor.state.count[layout.COUNT_PID_WRITES] == 2 * switches


@pytest.mark.parametrize(("guest", "writes", "reads"), [("cnk", 1, 1), ("zeptoos", 3, 1)])
def test_fuse_cuts_writes_into_pages(guest: str, writes: int, reads: int) -> None:
    job = io_job(guest, [ProgramCall(Call.OPEN), ProgramCall(Call.WRITE, 10_000), ProgramCall(Call.CLOSE)])
    files: FileCalls = job.processes[0].files
    assert files.shipped == 2 + writes
    read_bytes, _ = piece_bytes(SHEET, guest)
    assert -(-10_000 // read_bytes) == reads


def test_zoid_answers_from_another_core_than_it_receives_on() -> None:
    ciod, zoid = (IoParameters.from_datasheet(SHEET, daemon) for daemon in ("ciod", "zoid"))
    assert (ciod.threads, zoid.threads) == (False, True)
    assert zoid.message_cycles < ciod.message_cycles
    assert (zoid.receive_cycles, zoid.send_cycles) == (ciod.receive_cycles, ciod.send_cycles)


def test_each_guest_has_its_daemon_unless_told() -> None:
    auto, told = IoConfig(kind="io"), IoConfig(kind="io", daemon="ciod")
    assert [auto.served_by(guest) for guest in ("cnk", "zeptoos")] == ["ciod", "zoid"]
    assert told.served_by("zeptoos") == "ciod"


# -- how it is shown


def test_numbers_have_a_unit_of_their_own() -> None:
    assert Headline("time", 2.59e-6).text == "2.59 µs"
    assert Headline("rate", 2.99e9).text == "2.99 Gb/s"
    assert Headline("share", 0.0015).text == "0.15 %"
    assert Headline("share", 0.0).text == "0"


def test_the_best_of_a_row_is_the_shortest_time_or_the_highest_rate() -> None:
    slow, fast = Headline("time", 2.0), Headline("time", 0.5)
    row = Row("x", {}, {Column("cnk", "bare-metal"): slow, Column("cnk", "hybrid"): fast})
    assert row.best == fast
    assert slow.behind(fast) == 4
    few, many = Headline("rate", 1.0), Headline("rate", 3.0)
    assert Row("x", {}, {Column("a", "b"): few, Column("c", "d"): many}).best == many
    assert few.behind(many) == 3


def test_colours_of_a_row_whose_best_is_0_go_by_the_least_value_above_it() -> None:
    none, tick, timer = (Headline("share", share) for share in (0.0, 0.00029, 0.0078))
    row = Row(
        "noise fwq",
        {},
        {Column("cnk", name): each for name, each in zip("abc", (none, tick, timer), strict=True)},
    )
    assert (row.best, row.compared_with) == (none, tick)
    assert [row.times_worse(each) for each in (none, tick)] == [1, 1]
    assert row.times_worse(timer) == pytest.approx(26.9, abs=0.01)
    quiet = Row("noise fwq", {}, {Column("cnk", "a"): none})
    assert quiet.times_worse(none) == 1
    stopped, running = Headline("rate", 0.0), Headline("rate", 1.0)
    rates = Row("x", {}, {Column("a", "b"): stopped, Column("c", "d"): running})
    assert rates.times_worse(stopped) == float("inf")


def test_the_figure_says_what_a_row_whose_best_is_0_is_compared_with() -> None:
    def labels(*shares: float) -> tuple[str, str]:
        points = []
        for share, platform in zip(shares, ("bare-metal", "virtual-machine"), strict=True):
            section = {"kind": "noise", "probe": "fwq"}
            record = {"config": {"guest": "cnk", "workload": section}}
            cells = {"noise_ratio": Cell(share, None, None, 1, "ratio")}
            group = Group({"workload": section}, platform, (record,), cells)
            points.append(Point(group.point, {platform: group}))
        with paper_style():
            figure = draw(points)
        matrix, bar = figure.axes
        return matrix.get_yticklabels()[0].get_text(), bar.get_xlabel()

    assert labels(0.0, 0.00029) == (
        "noise fwq*",
        "times the best of its row (bold); *best is 0: times the least value above 0",
    )
    assert labels(0.0001, 0.00029) == ("noise fwq", "times the best of its row (bold)")


def test_empty_cells_say_why() -> None:
    row = Row(row_label({"kind": "compile", "program": "lcc"}), {"kind": "compile", "program": "lcc"}, {})
    assert row.label == "compile lcc"
    assert "no fork" in why_empty(row, Column("cnk", "bare-metal"))
    assert "without processes" in why_empty(row, Column("l4-app", "l4-native"))


# -- traffic beside a virtual machine


def test_posting_in_a_virtual_machine_costs_its_forwarded_accesses() -> None:
    config = TrafficConfig(kind="traffic")
    bare, virtual = (
        OperationCosts.of(resolved("cnk", platform, config)) for platform in ("bare-metal", "virtual-machine")
    )
    assert bare == OperationCosts.native(SHEET)
    models = [
        characterize.shipped_characterisation(name, "cnk") for name in ("bare-metal", "virtual-machine")
    ]
    native, here = (kept.model.put for kept in models if kept is not None)
    assert native is not None
    assert here is not None
    added = virtual.put.post_cycles - bare.put.post_cycles
    assert added == pytest.approx(here.post_cycles - native.post_cycles)
    assert added > 30_000
    assert virtual.put.complete_cycles == pytest.approx(bare.put.complete_cycles, abs=1)
    assert virtual.eager.receive_packet_cycles == bare.eager.receive_packet_cycles

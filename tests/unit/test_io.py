"""Function-shipped I/O: packets by hand, bytes conserved, error numbers, queues and tiers."""

import errno
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import simpy

from bgsim.datasheet import Datasheet
from bgsim.experiment.resolve import support_findings
from bgsim.guests.cnk import Cnk
from bgsim.guests.function_shipping import UNSUPPORTED, ShippedCalls
from bgsim.hardware.file_server import FileServer, IoParameters
from bgsim.hardware.io_node import IoNode
from bgsim.hardware.io_protocol import Call, answer_packets, request_packets
from bgsim.hardware.node import build_nodes
from bgsim.hardware.station import Station
from bgsim.network.psets import io_hops, io_node_address
from bgsim.network.tree import CollectiveTree
from bgsim.platforms import PLATFORMS
from bgsim.platforms.seam import Code
from bgsim.validation import io_cases
from bgsim.workloads.io import run
from bgsim.workloads.io_config import IoConfig
from bgsim.workloads.io_detailed import IoJob
from bgsim.workloads.io_programs import ProgramCall, program, shipped
from bgsim.workloads.outcome import Outcome
from bgsim.workloads.resolved import Partition, ResolvedRun

SHEET = Datasheet.load()
IO = IoParameters.from_datasheet(SHEET)


class OneNode:
    """A node that runs one program of file calls, and its I/O node."""

    def __init__(self, files: dict[str, int], body: Callable[[ShippedCalls], Code], platform: str) -> None:
        environment = simpy.Environment()
        built = build_nodes(environment, SHEET, (2, 1, 1), (False,) * 3, (0,), 8)
        self.server = FileServer(IO.server, files)
        address = io_node_address(built.collective.tree, 0)
        self.io_node = IoNode(environment, address, built.collective, self.server, IO)
        guest = Cnk(SHEET, lambda: body(self.calls))
        self.calls = ShippedCalls(SHEET, guest, 0, address)
        core = PLATFORMS[platform](environment, SHEET, guest, built.nodes[0])
        environment.run(until=core.process)
        built.check()


def values_of(
    files: dict[str, int], *made: Callable[[ShippedCalls], Any], platform: str = "bare-metal"
) -> tuple[list[int], OneNode]:
    found: list[int] = []

    def body(calls: ShippedCalls) -> Code:
        for make in made:
            value = yield from make(calls)
            found.append(value)

    node = OneNode(files, body, platform)
    return found, node


@pytest.mark.parametrize("platform", ["bare-metal", "virtual-machine"])
def test_packets_of_each_call_are_those_counted_by_hand(platform: str) -> None:
    values, node = values_of(
        {"/a": 700},
        lambda calls: calls.open("/a"),  # 1 up, 1 down
        lambda calls: calls.read(3, 1000),  # 1 up; 700 B in 3 packets of 240 B, 1 + 3 down
        lambda calls: calls.lseek(3, 100),  # 1, 1
        lambda calls: calls.write(3, 481),  # 1 + 3 up, 1 down
        lambda calls: calls.stat("/a"),  # 1, 1
        lambda calls: calls.close(3),  # 1, 1
        platform=platform,
    )
    assert values == [3, 700, 100, 481, 700, 0]
    assert (node.calls.packets_sent, node.calls.packets_received) == (9, 9)
    assert (node.io_node.packets_received, node.io_node.packets_sent) == (9, 9)
    assert (node.server.bytes_read, node.server.bytes_written) == (700, 481)
    assert node.server.operations == 4  # open, read, write, stat


def test_a_long_read_is_shipped_in_pieces_of_the_daemons_buffer() -> None:
    values, node = values_of(
        {"/a": 100_000}, lambda calls: calls.open("/a"), lambda calls: calls.read(3, 100_000)
    )
    assert values == [3, 100_000]
    assert node.calls.shipped == 3
    assert node.calls.packets_received == 1 + (1 + 365) + (1 + 52)  # 87,600 B and 12,400 B


def test_a_file_ends_and_can_grow() -> None:
    values, node = values_of(
        {},
        lambda calls: calls.open("/new", create=True),
        lambda calls: calls.write(3, 10),
        lambda calls: calls.read(3, 10),
        lambda calls: calls.lseek(3, 4),
        lambda calls: calls.read(3, 10),
    )
    assert values == [3, 10, 0, 4, 6]
    assert node.server.sizes == {"/new": 10}


def test_calls_fail_as_posix_says() -> None:
    values, node = values_of(
        {},
        lambda calls: calls.open("/none"),
        lambda calls: calls.read(9, 10),
        lambda calls: calls.close(3),
        lambda calls: calls.open("x" * 300),
    )
    assert values == [-errno.ENOENT, -errno.EBADF, -errno.EBADF, -errno.ENAMETOOLONG]
    assert node.calls.shipped == 3


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_cnk_does_not_have_fails_without_a_packet(name: str) -> None:
    values, node = values_of({}, lambda calls: calls.unsupported(name))
    assert values == [-errno.ENOSYS]
    assert node.calls.packets_sent == 0


def test_packets_by_formula() -> None:
    assert request_packets(Call.WRITE, 240, 240) == 2
    assert request_packets(Call.READ, 10_000, 240) == 1
    assert answer_packets(Call.READ, 241, 240) == 3
    assert answer_packets(Call.READ, -errno.EBADF, 240) == 1


def test_a_station_serves_in_order() -> None:
    station = Station(2)
    assert [station.serve(0, 10) for _ in range(5)] == [10, 10, 20, 20, 30]
    assert station.serve(100, 10) == 110
    assert station.serve(100, 10, not_before=150) == 160
    assert station.busy_cycles == 50 + 10 + 60


@pytest.mark.parametrize(("shape", "pset"), [((2, 2, 2), 8), ((4, 4, 4), 8), ((8, 8, 8), 64)])
def test_the_way_to_the_io_node_is_the_same_in_both_forms(shape: tuple[int, int, int], pset: int) -> None:
    network = build_nodes(simpy.Environment(), SHEET, shape, (False,) * 3, (), pset).collective
    tree = CollectiveTree(shape, pset)
    hops = io_hops(tree)
    for node in range(0, tree.nodes, 3):
        address = io_node_address(tree, int(tree.pset_of[node]))
        assert network.hops(node, address) == network.hops(address, node) == hops[node]


def test_a_shared_file_crosses_each_ethernet_once_and_comes_from_disk_once() -> None:
    config = IoConfig.model_validate({"kind": "io", "pattern": "read", "size": "20 KiB", "shared": True})
    for cache, times in ((True, 2), (False, 16)):
        machine = SHEET.with_values({"io_node.file_cache": cache})
        job = IoJob(
            machine, "bare-metal", Partition("p", (4, 2, 2), (False,) * 3, 8), program(config, machine)
        )
        job.run()
        assert len(job.io_nodes) == 2
        assert job.server.bytes_read == times * 20 * 1024
        assert sum(process.bytes_moved for process in job.processes) == 16 * 20 * 1024


def test_layers_of_a_detailed_process_add_up_to_its_time() -> None:
    calls = [ProgramCall(Call.OPEN), ProgramCall(Call.READ, 1000), ProgramCall(Call.CLOSE)]
    job = IoJob(SHEET, "virtual-machine", Partition("p", (2, 1, 1), (False,) * 3, 8), calls)
    job.run()
    for process in job.processes:
        assert sum(process.layers) == process.finished == sum(process.latencies)
        assert min(process.layers) > 0


def outcome(tier: str, platform: str = "bare-metal", pset: int = 8, **settings: Any) -> Outcome:
    config = IoConfig.model_validate({"kind": "io", "tier": tier, **settings})
    partition = Partition("p", (2, 2, 2), (False,) * 3, pset)
    return run(ResolvedRun(SHEET, SHEET, partition, platform, "cnk", config, 1, 0))


@pytest.mark.parametrize(
    ("platform", "settings", "tolerance"),
    [
        ("bare-metal", {"pattern": "open-close", "iterations": 3}, 0.01),
        ("bare-metal", {"pattern": "write", "size": "20 KiB"}, 0.05),
        ("bare-metal", {"pattern": "read", "size": "20 KiB", "shared": True}, 0.1),
        ("virtual-machine", {"pattern": "open-close", "iterations": 1}, 0.1),
    ],
)
def test_the_tiers_agree(platform: str, settings: dict[str, Any], tolerance: float) -> None:
    detailed, queues = (outcome(tier, platform, **settings) for tier in ("detailed", "machine"))
    assert queues.metrics["elapsed_s"] == pytest.approx(detailed.metrics["elapsed_s"], rel=tolerance)
    assert queues.metrics["messages"] == detailed.metrics["messages"]
    assert queues.metrics.get("bytes") == detailed.metrics.get("bytes")
    for found in (detailed, queues):
        assert sum(found.attribution.values()) == found.metrics["cycles_total"]
    assert (detailed.metrics["exits_ipc"] > 0) == (platform == "virtual-machine")


def test_a_virtual_machine_pays_an_exit_for_every_access_to_a_packet() -> None:
    short, long = (
        outcome("detailed", "virtual-machine", processes=1, pattern="write", size=size).metrics["exits_ipc"]
        for size in ("240 B", "480 B")
    )
    polls = 1  # whether there is room
    assert long - short == polls + 1 + 16  # header and 16 quads


def test_files_of_a_program_that_moved_its_communication_stay_with_its_guest() -> None:
    """Calls cost what they do in a virtual machine; the move itself comes before the first."""
    calls = [ProgramCall(Call.OPEN), ProgramCall(Call.CLOSE)] * 3
    partition = Partition("pair", (2, 1, 1), (False,) * 3, 8)
    hybrid, virtual = (
        IoJob(SHEET, platform, partition, calls, processes=1) for platform in ("hybrid", "virtual-machine")
    )
    for job in (hybrid, virtual):
        job.run()
    moved, stayed = hybrid.processes[0], virtual.processes[0]
    assert hybrid.processes[0].core.counters()["crossings"] >= 1
    assert moved.latencies == pytest.approx(stayed.latencies, rel=0.05)
    assert sum(moved.layers) == moved.finished > sum(moved.latencies)
    assert sum(stayed.latencies) == stayed.finished


def test_queues_equal_their_closed_forms() -> None:
    for row in io_cases.queue_rows(fast=True):
        assert not row.missed, row


def test_the_band_contains_the_run_and_the_server_limits_a_storm() -> None:
    found = outcome("machine", pattern="image-startup", server_range=True, processes_per_node=4)
    band = found.details["elapsed_s_range"]
    assert isinstance(band, list)
    low, high = (float(end) for end in band if isinstance(end, float))
    assert low < found.metrics["elapsed_s"] < high
    # 32 opens at one server that takes 100 us for each
    assert found.metrics["elapsed_s"] > 32 * 100e-6


def test_programs_are_cut_where_the_daemon_cuts() -> None:
    config = IoConfig.model_validate(
        {"kind": "io", "pattern": "read", "size": "300 KiB", "transfer_size": "200 KiB"}
    )
    steps = shipped(program(config, SHEET), SHEET.integer("ciod.buffer"), SHEET.integer("ciod.buffer"))
    reads = [step for step in steps if step.call == Call.READ]
    assert [step.length for step in reads] == [87_600, 87_600, 29_600, 87_600, 14_800]
    assert [step.ends for step in reads] == [False, False, True, False, True]
    assert sum(step.length for step in reads) == 300 * 1024
    assert len({step.piece for step in reads}) == 5


def test_python_makes_the_calls_that_were_traced() -> None:
    calls = program(IoConfig.model_validate({"kind": "io", "pattern": "python-startup"}), SHEET)
    counts = np.bincount([call.call for call in calls], minlength=len(Call))
    assert counts[Call.STAT] == SHEET.integer("startup.python_lookups")
    assert counts[Call.OPEN] == counts[Call.CLOSE] == SHEET.integer("startup.python_files")


@pytest.mark.parametrize(
    ("kind", "guest", "said"),
    [("compile", "cnk", "no fork and no exec"), ("io", "l4-app", "it has no files")],
)
def test_a_refusal_says_why(kind: str, guest: str, said: str) -> None:
    (finding,) = support_findings(kind, ["bare-metal"], guest, None, {})
    assert said in finding.message


@pytest.mark.parametrize(
    "settings",
    [
        {"pattern": "open-close", "shared": True},
        {"pattern": "open-close", "size": "2 MiB"},
        {"pattern": "read", "size": "0 B"},
        {"pattern": "read", "processes_per_node": 4, "tier": "detailed"},
    ],
)
def test_settings_that_change_nothing_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"changes nothing|at least one byte|one process per node"):
        IoConfig.model_validate({"kind": "io", **settings})

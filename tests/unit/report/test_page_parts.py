"""Parts of a report page by themselves: keys of sorting, captions, heatmaps, load of the tree, commands."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from bgsim.datasheet import Datasheet
from bgsim.experiment.plan import load
from bgsim.network.collective_packet import CollectiveParameters
from bgsim.report.captions import caption
from bgsim.report.headlines import headlines
from bgsim.report.heatmap import LEVELS, heatmap
from bgsim.report.page import failure
from bgsim.report.page_tables import cause_page_table, sort_key
from bgsim.report.reproduce import reproduction
from bgsim.report.results import Results
from bgsim.report.tree_load import tree_load


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("1,024", 1024.0),
        ("3 KiB", 3072.0),
        ("117.6 [110, 120]", 117.6),
        ("15.7x", 15.7),
        ("-0.11", -0.11),
        ("gcc346", "gcc346"),
        ("2d halo", "2d halo"),
        ("-", "-"),
    ],
)
def test_texts_are_sorted_by_what_they_mean(text: str, key: float | str) -> None:
    assert sort_key(text) == key


def test_failed_replications_are_told_apart() -> None:
    record = {
        "run_id": "0123456789abcdef",
        "point": {"workload.size": "1 KiB"},
        "platform": "virtual-machine",
    }
    record |= {"replication": 2, "error": {"type": "RuntimeError", "message": ""}}
    where = "size=1 KiB virtualised, replication 2 (run 0123456789abcdef)"
    assert failure(record) == (where, "RuntimeError")


def test_captions_say_what_is_in_the_name() -> None:
    assert (
        caption("netperf-latency-mtu-9000-B")
        == "Time of a message or transaction against its size. (mtu 9000 B)"
    )
    assert caption("sweep-points") == "The metrics of every point, a row for each."
    assert caption("unheard-of") == "unheard of"


def group(workload: dict[str, Any], details: dict[str, Any], time_us: float = 0.0) -> Any:
    partition = {"shape": [2, 2, 1], "torus": [False] * 3, "pset": 4}
    config = {"machine": {"base": "bgp", "set": {}}, "assume": {}, "partition": partition}
    means = {"operation_us_avg": time_us}
    return SimpleNamespace(workload=workload, details=details, records=[{"config": config}], mean=means.get)


def test_a_heatmap_has_each_link_at_the_place_of_its_node() -> None:
    found = heatmap(group({}, {"link_load": {"x_plus": [0.5, 0.0, 0.25, 0.0]}}), "run")
    assert found is not None
    (row,) = found.rows
    assert row.values == (500, 0, 250, 0)
    assert (row.mean, row.most, found.most) == ("18.8", "50.0", "50.0")
    steps = dict(row.paths)
    assert steps[LEVELS - 1].startswith("M0 0h")  # node 0
    assert steps[LEVELS // 2].startswith("M0 1h")  # node 2 is below it
    assert steps[0].count("M") == 2
    assert heatmap(group({}, {}), "run") is None


def test_the_load_of_the_tree_follows_from_the_operation() -> None:
    details = {"algorithm": "collective-network", "ranks": 4}
    found = tree_load(
        group({"kind": "collectives", "operation": "allreduce", "size": "512 B"}, details, 10.0), "run"
    )
    assert found is not None
    assert (found.packets, found.wires, found.wires_up) == (2, 3, 3)
    assert found.up_percent == found.down_percent
    busy = 2 * CollectiveParameters.from_datasheet(Datasheet.load()).packet_cycles / 8500  # 10 us
    assert float(found.up_percent) == pytest.approx(100 * busy, rel=0.01)
    down = tree_load(
        group({"kind": "collectives", "operation": "broadcast", "size": "512 B"}, details, 10.0), "run"
    )
    assert down is not None
    assert down.wires_up < down.wires
    assert tree_load(group({"kind": "halo"}, details, 10.0), "run") is None


def test_a_shipped_experiment_is_recognised_by_its_runs() -> None:
    runs = [{"run_id": run.run_id} for run in load("micro", smoke=True).runs]
    assert reproduction("micro", "here", runs).commands == ("bgsim run micro --smoke -o here",)
    some = reproduction("micro", "here", runs[:4])
    assert some.commands[0] == f"bgsim rerun here/{runs[0]['run_id']}"
    assert "1 more in the same way" in some.remark
    assert reproduction("no-such-experiment", "here", runs[:1]).commands[0].startswith("bgsim rerun")


def test_headlines_of_many_points_are_the_median_and_the_extremes(study_of: Callable[[str], Any]) -> None:
    found = headlines(Results(study_of("netperf")))
    assert [each.label for each in found] == [
        "median slowdown, virtualised",
        "least slowdown, virtualised",
        "greatest slowdown, virtualised",
    ]
    assert found[0].notes == ("over 96 points",)


def test_causes_of_a_run_add_up(compile_study: Any) -> None:
    record = next(each for each in compile_study.records if each["platform"] == "virtual-machine")
    table = cause_page_table(record)
    assert sum(row[3].key for row in table.rows) == table.total[3].key == sum(record["attribution"].values())
    assert sum(round(100 * float(row[5].text)) for row in table.rows) == 10_000

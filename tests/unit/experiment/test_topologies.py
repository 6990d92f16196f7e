import json
import math
from dataclasses import replace

import numpy as np
import pytest

from bgsim.datasheet import CONFIDENCE, Datasheet
from bgsim.experiment import partition, shipped
from bgsim.experiment.errors import ExperimentError
from bgsim.experiment.identity import run_id
from bgsim.experiment.partition import load_topology
from bgsim.experiment.plan import load
from bgsim.experiment.resolve import resolved_run
from bgsim.network.tree import CollectiveTree
from bgsim.workloads import support
from bgsim.workloads.catalogue import WORKLOADS

NODES = {
    "pair": 2,
    "node-card": 32,
    "nodes-64": 64,
    "nodes-128": 128,
    "nodes-256": 256,
    "midplane": 512,
    "rack": 1024,
    **{f"racks-{racks}": racks * 1024 for racks in (2, 4, 8, 16, 32, 40, 72)},
}


def test_all_are_listed_here():
    assert set(shipped.names("topologies")) == set(NODES)


@pytest.mark.parametrize("name", NODES)
def test_shape_agrees_with_the_number_of_nodes(name):
    topology = load_topology(shipped.find("topologies", name))
    assert topology.name == name
    assert math.prod(topology.shape) == NODES[name]


@pytest.mark.parametrize("name", NODES)
def test_only_whole_midplanes_close_to_a_torus(name):
    topology = load_topology(shipped.find("topologies", name))
    assert all(topology.torus) == (NODES[name] >= 512)
    assert any(topology.torus) == all(topology.torus)


@pytest.mark.parametrize("name", NODES)
def test_each_says_its_psets_mapping_and_where_it_is_from(name):
    topology = load_topology(shipped.find("topologies", name))
    assert topology.mapping == "XYZT"
    assert topology.source
    assert topology.confidence in CONFIDENCE
    assert NODES[name] % topology.pset == 0
    tree = CollectiveTree(topology.shape, topology.pset)
    assert set(np.bincount(tree.pset_of)) == {topology.pset}


def test_bounds_of_psets_are_the_datasheets():
    sheet = Datasheet.load()
    assert sheet.integer("pset.compute_nodes_min") == partition.PSET_MIN
    assert sheet.integer("pset.compute_nodes_max") == partition.PSET_MAX


FILE = {"name": "mine", "shape": [8, 8, 8], "torus": [True] * 3, "pset": 64}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pset": 4}, "pset: 4 is not understood: expected 8 to 128"),
        ({"io_nodes": 7}, "io_nodes: 7 is not one for each pset: 512 nodes are halved into 8 of up to 64"),
        ({"io_nodes": True}, "io_nodes: True is not one for each pset"),
        (
            {"shape": [9, 8, 8], "io_nodes": 9},
            "each pset: 576 nodes are halved into 12",
        ),
        ({"mapping": "XYTX"}, "mapping: no mapping 'XYTX'"),
        ({"mapping": 3}, "mapping: 3 is not understood"),
        ({"confidence": "X"}, "confidence: 'X' is no mark"),
        ({"psets": 3}, "psets: unknown key; did you mean 'pset'?"),
        ({"source": 3}, "source: expected text"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, change, said):
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps(FILE | change))
    with pytest.raises(ExperimentError) as refused:
        load_topology(path)
    assert said in str(refused.value)


def test_a_mapping_file_lies_beside_the_topology(tmp_path):
    (tmp_path / "ranks.txt").write_text("0 0 0 0\n")
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps(FILE | {"mapping": "ranks.txt"}))
    assert set(load_topology(path).mapping) == {"file", "sha256"}


def experiment(partition, workload):
    return {
        "name": "study",
        "partition": partition,
        "platforms": ["bare-metal"],
        "workload": workload,
    }


NETPERF = {"kind": "netperf"}


def test_a_setting_of_the_partition_that_changes_nothing_is_refused():
    micro = {"kind": "micro", "operation": "null-system-call"}
    with pytest.raises(ExperimentError, match="changes nothing: the micro workload places no ranks"):
        load(experiment({"topology": "rack", "mapping": "TXYZ"}, micro))
    with pytest.raises(ExperimentError, match="does not use the collective network"):
        load(experiment({"topology": "rack", "pset": 32}, micro))


def test_what_cannot_change_the_answer_does_not_change_the_run_id():
    base = load(experiment({"topology": "rack"}, {"kind": "micro", "operation": "null-system-call"}))
    config = base.runs[0].config
    other = config | {"partition": config["partition"] | {"pset": 32, "mapping": "TXYZ", "topology": "x"}}
    assert run_id(other) == run_id(config)


def test_what_can_change_the_answer_does(monkeypatch, tmp_path):
    netperf = WORKLOADS["netperf"]
    both = replace(netperf, support=netperf.support._replace(uses=("pset", "mapping")))
    monkeypatch.setitem(WORKLOADS.built_in, "netperf", both)
    monkeypatch.setitem(support.SUPPORT, "netperf", both.support)
    (tmp_path / "a.txt").write_text("0 0 0 0\n1 0 0 0\n")
    (tmp_path / "b.txt").write_text("0 0 0 0\n1 0 0 0\n")
    (tmp_path / "c.txt").write_text("1 0 0 0\n0 0 0 0\n")
    ids = []
    for choice in (
        {},
        {"mapping": "TXYZ"},
        {"pset": 32},
        *({"mapping": str(tmp_path / f"{name}.txt")} for name in "abc"),
    ):
        plan = load(experiment({"topology": "rack", **choice}, NETPERF))
        ids.append(run_id(plan.runs[0].config))
        resolved = resolved_run(plan.runs[0].config)
        assert resolved.partition.pset == choice.get("pset", 64)
    assert ids[3] == ids[4]
    assert len(set(ids)) == len(ids) - 1
    assert resolved.partition.rank_mapping(1).nodes.tolist() == [1, 0]

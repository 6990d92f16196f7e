import math

import pytest

from bgsim.experiment import shipped
from bgsim.experiment.partition import load_topology

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

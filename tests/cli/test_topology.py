import json

import pytest

from bgsim.experiment import shipped


def test_help_names_both_commands(bgsim):
    assert "topology" in bgsim("--help").out
    done = bgsim("topology", "--help")
    assert "  list " in done.out
    assert "  show " in done.out


def test_list_names_every_shipped_topology_by_size(bgsim):
    done = bgsim("topology", "list")
    assert done.code == 0
    names = [line.split()[0] for line in done.out.splitlines()[1:]]
    assert sorted(names) == shipped.names("topologies")
    assert names[0] == "pair"
    assert names[-1] == "racks-72"


def test_show_prints_the_measures(bgsim):
    done = bgsim("topology", "show", "midplane")
    assert done.code == 0
    said = {line[:17].strip(): line[17:] for line in done.out.splitlines()}
    assert said["nodes"] == "512 (2,048 cores), 8x8x8 in X, Y, Z"
    assert said["network"] == "torus"
    assert said["links"] == "3,072, each 425 MB/s one way"
    assert said["bisection"] == "128 links, 54.4 GB/s one way"
    assert said["diameter"] == "12 hops"
    assert said["mean distance"] == "6.01 hops"
    assert said["collective tree"].startswith("depth 9 hops")
    assert said["psets"] == "8 of up to 64 compute nodes"
    assert said["I/O nodes"] == "8, one per pset, 10 Gbit/s Ethernet each"


@pytest.mark.parametrize("name", ["pair", "racks-72"])
def test_show_does_the_smallest_and_the_largest(bgsim, name):
    assert bgsim("topology", "show", name).code == 0


def test_show_takes_a_file(bgsim, tmp_path):
    path = tmp_path / "mine.yaml"
    text = {"name": "mine", "shape": [5, 3, 9], "torus": [True, False, False], "pset": 20}
    path.write_text(json.dumps(text))
    done = bgsim("topology", "show", path)
    assert done.code == 0
    assert "closed in X" in done.out


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("midplain", "no such topology; did you mean 'midplane'?"),
        ("rack-72", "no such topology; did you mean 'racks-72'?"),
        ("mine.yaml", "no such topology"),
        ("zzz", "(shipped: midplane, node-card,"),
    ],
)
def test_a_wrong_name_is_bad_input_with_a_suggestion(bgsim, name, said):
    done = bgsim("topology", "show", name)
    assert done.code == 2
    assert said in done.err


@pytest.mark.parametrize("name", ["pair", "midplane", "rack", "racks-40"])
def test_show_draws(bgsim, tmp_path, name):
    path = tmp_path / "deep" / f"{name}.png"
    done = bgsim("topology", "show", name, "--figure", path)
    assert done.code == 0
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_figure_of_an_unknown_kind_is_refused(bgsim, tmp_path):
    done = bgsim("topology", "show", "pair", "--figure", tmp_path / "x.gif")
    assert done.code == 2
    assert "pdf, svg, png" in done.err

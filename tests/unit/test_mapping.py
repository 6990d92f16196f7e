"""Rank mappings: permutations of XYZT and mapping files."""

from pathlib import Path

import numpy as np
import pytest

from bgsim.network.mapping import MAPPINGS, MappingError, from_file, from_text, named
from bgsim.network.topology import node_coordinates
from bgsim.workloads.resolved import Partition

SHAPE = (2, 3, 4)


def test_xyzt_fills_first_cores_of_all_nodes_before_second_ones():
    mapping = named("XYZT", SHAPE, 4)
    assert mapping.nodes.dtype == np.int32
    assert mapping.cores.dtype == np.int8
    assert mapping.nodes[:24].tolist() == list(range(24))
    assert mapping.nodes[24:48].tolist() == list(range(24))
    assert set(mapping.cores[:24].tolist()) == {0}
    assert mapping.ranks == 96


def test_txyz_fills_node_after_node():
    mapping = named("TXYZ", SHAPE, 4)
    assert mapping.nodes[:9].tolist() == [0] * 4 + [1] * 4 + [2]
    assert mapping.cores[:5].tolist() == [0, 1, 2, 3, 0]


@pytest.mark.parametrize("order", MAPPINGS)
def test_every_permutation_runs_its_first_letter_fastest_and_takes_every_place_once(order):
    mapping = named(order, SHAPE, 2)
    places = set(zip(mapping.nodes.tolist(), mapping.cores.tolist(), strict=True))
    assert len(places) == 48
    extents = dict(zip("XYZT", (*SHAPE, 2), strict=True))
    for rank in range(48):
        position = (*node_coordinates(int(mapping.nodes[rank]), SHAPE), int(mapping.cores[rank]))
        number, stride = 0, 1
        for letter in order:
            number += stride * position["XYZT".index(letter)]
            stride *= extents[letter]
        assert number == rank


def test_fewer_ranks_take_the_first_places_and_more_are_refused():
    assert named("ZYXT", SHAPE, 1, ranks=5).nodes.tolist() == [0, 6, 12, 18, 2]
    with pytest.raises(MappingError, match="97 ranks do not fit 96 places"):
        named("XYZT", SHAPE, 4, ranks=97)


def test_a_wrong_name_gets_a_suggestion():
    with pytest.raises(MappingError, match="unknown mapping 'XYTT'; did you mean"):
        named("XYTT", SHAPE, 1)


def test_a_file_has_one_line_per_rank(tmp_path: Path):
    path = tmp_path / "ranks.txt"
    path.write_text("1 2 3 0  # rank 0\n\n0 0 0 1\n")
    mapping = from_file(path, SHAPE, 2)
    assert mapping.nodes.tolist() == [1 + 2 * (2 + 3 * 3), 0]
    assert mapping.cores.tolist() == [0, 1]


def test_a_file_says_all_permutations_can():
    expected = named("TZYX", SHAPE, 4)
    rows = [
        f"{' '.join(map(str, node_coordinates(node, SHAPE)))} {core}"
        for node, core in zip(expected.nodes.tolist(), expected.cores.tolist(), strict=True)
    ]
    read = from_text("\n".join(rows), SHAPE, 4)
    assert read.nodes.tolist() == expected.nodes.tolist()
    assert read.cores.tolist() == expected.cores.tolist()


def test_all_that_is_wrong_with_a_file_is_said_with_its_line():
    with pytest.raises(MappingError) as refused:
        from_text("0 0 0 0\n0 0 0\n2 0 0 0\n0 0 0 2\n0 0 0 0\n-1 0 0 0\n", SHAPE, 2, "ranks.txt")
    assert str(refused.value).splitlines() == [
        "ranks.txt:2: expected four whole numbers, x y z t, got '0 0 0'",
        "ranks.txt:3: x is 2, but the partition has 2 there: 0 to 1",
        "ranks.txt:4: t is 2, but the partition has 2 there: 0 to 1",
        "ranks.txt:5: place 0 0 0 0 is taken already, on line 1",
        "ranks.txt:6: expected four whole numbers, x y z t, got '-1 0 0 0'",
    ]


def test_an_empty_file_and_a_long_list_of_problems():
    with pytest.raises(MappingError, match=r"ranks\.txt: no ranks"):
        from_text("# nothing\n", SHAPE, 2, "ranks.txt")
    with pytest.raises(MappingError, match="and 3 more lines like these"):
        from_text("x\n" * 8, SHAPE, 2)


def test_a_partition_reads_the_file_it_was_planned_with(tmp_path: Path):
    path = tmp_path / "ranks.txt"
    path.write_text("0 0 0 0\n")
    partition = Partition("p", SHAPE, (False,) * 3, 64, {"file": str(path), "sha256": "0" * 64})
    with pytest.raises(MappingError, match="has changed since the run was planned"):
        partition.rank_mapping(1)
    assert Partition("p", SHAPE, (False,) * 3).rank_mapping(2).ranks == 48
    with pytest.raises(MappingError, match="cannot be read"):
        from_file(tmp_path / "none.txt", SHAPE, 1)

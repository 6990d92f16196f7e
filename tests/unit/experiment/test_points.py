"""Points of studies: equal settings are one point, unlike ones are two with two labels, however written."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from bgsim.experiment.diff import compare
from bgsim.experiment.errors import ExperimentError
from bgsim.experiment.identity import canonical, run_id, seed_of_replication
from bgsim.experiment.matching import Places, matched
from bgsim.experiment.plan import load
from bgsim.experiment.points import labelled
from bgsim.experiment.record import settings_of
from bgsim.experiment.resolved_setting import setting
from bgsim.experiment.study import Study

PAIR = {"topology": "pair", "shape": [2, 1, 1], "torus": [False] * 3, "pset": 2, "mapping": "XYZT"}
MEMORY = {"kind": "memory", "pattern": "random", "size": "256 KiB", "accesses": 1000}
SHARED = {**MEMORY, "neighbour": "idle", "cores": [0, 0]}


def record(point, replication=0, cures=(), entries=None, workload=MEMORY, partition=PAIR):
    changed = {} if entries is None else {"tlb.entries": entries}
    drawn = {
        "platform": "bare-metal",
        "replication": replication,
        "seed": seed_of_replication(1, replication),
    }
    config = {
        "model_version": 6, "machine": {"base": "bgp", "set": changed}, "cures": list(cures), "assume": {},
        "partition": partition, "guest": "zeptoos", "workload": workload, **drawn,
    }  # fmt: skip
    return {
        "run_id": run_id(config), "point": point, "guest": "zeptoos", **drawn, "config": config,
        "metrics": {"elapsed_s": 1.0}, "status": "ok",
    }  # fmt: skip


def told(records):
    """The labels of some records, in the order of the columns."""
    paths, found = labelled(records)
    labels = [each["point"] for each in found]
    assert all(tuple(label) == paths for label in labels)
    return [tuple(label.values()) for label in labels]


def test_a_cure_and_the_value_it_stands_for_are_one_point_and_no_other_one():
    without, cured, changed = (
        record({"cures": []}),
        record({"cures": ["tlb-256"]}, cures=["tlb-256"]),
        record({"cures": []}, 1, entries=256),
    )
    for order in ([without, cured, changed], [changed, cured, without]):
        labels = dict(zip((each["run_id"] for each in order), told(order), strict=True))
        assert [labels[each["run_id"]] for each in (without, cured, changed)] == [
            ([],),
            (["tlb-256"],),
            (["tlb-256"],),
        ]
    assert labelled([without, changed])[0] == ("cures", "machine.set.tlb.entries")
    assert told([without, changed]) == [([], 64), ([], 256)]


def test_what_differs_below_a_swept_section_tells_points_apart():
    """A trace with other content is another point, though the sweep's words are the same."""
    section = {"kind": "replay", "trace": "a.trace"}
    records = [
        record({"workload": written}, workload={**section, "trace_digest": digest, "ranks_per_node": ranks})
        for ranks, written in ((1, section), (2, {**section, "ranks_per_node": 2}))
        for digest in "ab"
    ]
    assert labelled(records)[0] == ("workload", "workload.trace_digest")
    assert [digest for _, digest in told(records)] == ["a", "b", "a", "b"]


def test_a_setting_that_is_not_written_out_has_its_default():
    """A record does without ``neighbour: none``, and with it without the cores of neighbours."""
    silent, said, other = (
        record({}),
        record({"workload.neighbour": "none"}, 1),
        record({"workload.neighbour": "idle"}, workload=SHARED),
    )
    assert told([silent, said, other]) == [("none",), ("none",), ("idle",)]
    assert labelled([silent, record({}, workload=SHARED)])[0] == ("workload.neighbour",)
    assert setting(settings_of(silent), "workload.cores").value == [0, 0]
    assert setting(settings_of(silent), "workload.no_such_key") is None


def test_points_that_nothing_shows_apart_are_numbered():
    one, other = record({}, workload={**MEMORY, "extra": {}}), record({}, workload=MEMORY)
    assert labelled([one, other])[0] == ("point",)
    assert sorted(told([one, other])) == [(1,), (2,)]
    assert told([one, other]) == told([other, one])[::-1]


WRITINGS = [
    ({"cures": []}, {}),
    ({"cures": ["tlb-256"]}, {"cures": ["tlb-256"]}),
    ({"cures": "tlb-256"}, {"cures": ["tlb-256"]}),
    ({"cures": []}, {"entries": 256}),
    ({"machine.set.tlb.entries": "256"}, {"entries": "256"}),
    ({"machine.set.tlb.entries": 128}, {"entries": 128}),
    ({"workload": {"kind": "memory"}}, {}),
    ({"workload": {"kind": "memory"}}, {"workload": SHARED}),
    ({"workload.neighbour": "none"}, {}),
    ({"workload.neighbour": "idle"}, {"workload": SHARED}),
    ({"workload.neighbour": "idle"}, {"workload": SHARED, "entries": 256}),
    ({}, {"workload": {**MEMORY, "size": "1 MiB"}}),
    ({"workload.size": "1024 KiB"}, {"workload": {**MEMORY, "size": "1 MiB"}}),
    ({"partition": {"shape": [2, 1, 1]}}, {"partition": {**PAIR, "topology": "2x1x1"}}),
    ({"partition.shape": [4, 1, 1]}, {"partition": {**PAIR, "topology": "4x1x1", "shape": [4, 1, 1]}}),
]


@limits(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(range(len(WRITINGS))), min_size=1, max_size=8), st.randoms())
def test_labels_are_equal_where_runs_are(chosen: list[int], chance: random.Random):
    """In any study that was extended in any way: two labels are the same when two run ids would be."""
    records = [record(WRITINGS[each][0], **WRITINGS[each][1]) for each in chosen]
    labels = [each["point"] for each in labelled(records)[1]]
    texts = [canonical(label) for label in labels]
    ids = [each["run_id"] for each in records]
    assert len(set(zip(ids, texts, strict=True))) == len(set(ids)) == len(set(texts))
    order = chance.sample(range(len(records)), len(records))
    shuffled = labelled([records[place] for place in order])[1]
    assert [each["point"] for each in shuffled] == [labels[place] for place in order]


def pairs(one, other):
    (first, one), (second, other) = labelled(one), labelled(other)
    places = Places(list(dict.fromkeys([*first, *second])), one, other)
    sides = [{(places.own(each), "bare-metal"): each for each in side} for side in (one, other)]
    found = matched(*({key: places.of(each) for key, each in side.items()} for side in sides))
    return {(sides[0][key]["run_id"], sides[1][partner]["run_id"]) for key, partner in found.items()}


@pytest.mark.parametrize("number", range(len(WRITINGS)))
def test_equal_points_of_two_studies_are_matched_however_written(number):
    written, settings = WRITINGS[number]
    others = [record({}, workload={**MEMORY, "size": size}) for size in ("2 MiB", "3 MiB")]
    same, plain = record(written, **settings), record({}, **settings)
    for one, other in (([], []), (others[:1], []), (others[:1], others[1:])):
        assert pairs([same, *one], [plain, *other]) == {(same["run_id"], plain["run_id"])}


def test_variants_are_matched_by_what_is_swept_in_any_spelling():
    """The second study has another TLB: no point is equal, all have a partner."""
    one = [record({"cures": cures}, cures=cures) for cures in ([], ["hashed-vtlb"])]
    other = [
        record({"cures": words}, cures=cures, entries=512)
        for words, cures in (([], []), ("hashed-vtlb", ["hashed-vtlb"]))
    ]
    assert pairs(one, other) == {
        (before["run_id"], after["run_id"]) for before, after in zip(one, other, strict=True)
    }
    assert len(pairs(one, [record({}, cures=["hashed-vtlb"], entries=512)])) == 1
    section = {"kind": "memory", "size": "0.25 MiB"}
    swept = [record({"workload": section}), record({"workload": SHARED}, workload=SHARED)]
    variant = [record({}, entries=512)]
    assert pairs(swept[:1], variant) == {(swept[0]["run_id"], variant[0]["run_id"])}


def test_how_equal_points_are_written_is_no_variant():
    one = [record({"cures": []}), record({"cures": ["tlb-256"]}, cures=["tlb-256"])]
    found = compare(Study(Path("one"), one), Study(Path("other"), [record({}, entries=256)]))
    assert (found.settings, found.counts, found.only_before) == ({}, {"same": 1}, 1)
    other = compare(Study(Path("one"), one), Study(Path("other"), [record({}, entries=512)]))
    assert other.settings == {"machine.set.tlb.entries": (64, 512)}


@pytest.mark.parametrize(
    "sweep",
    [
        {"machine.set.memory.latency": ["104 cycles", "0.104 k cycles"]},
        {"workload.size": ["256 KiB", "0.25 MiB"]},
        {"partition": [{"topology": "pair"}, {"shape": [2, 1, 1], "torus": [False] * 3}]},
        {"cures": ["hashed-vtlb", ["hashed-vtlb"]]},
    ],
)
def test_two_spellings_of_one_point_are_refused(sweep):
    experiment = {
        "name": "twice", "partition": {"topology": "pair"}, "platforms": ["bare-metal", "virtual-machine"],
        "guest": "zeptoos", "workload": {"kind": "memory"}, "sweep": sweep,
    }  # fmt: skip
    with pytest.raises(ExperimentError, match="two points are the same run") as refused:
        load(experiment)
    assert len(refused.value.problems) == 1

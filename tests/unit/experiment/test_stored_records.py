"""Records are read quickly from their lines, and a summary of them is that of the records read plainly."""

import csv
import io
import json
import random

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from scipy.special import stdtrit

from bgsim.experiment.record import StoredRecord, from_line, to_line
from bgsim.experiment.study import Study
from bgsim.experiment.summary import summarise
from bgsim.steady import t_quantile

MARKS = [
    ',"exits":[',
    ',"config":{',
    '},"metrics":{',
    ',"status":"failed"',
    ',"platform":"cnk","replication":0,"seed":1},"metrics":{',
    "ä\n\\",
]
TEXTS = st.sampled_from(MARKS) | st.text(max_size=8)
NUMBERS = st.integers(-(2**80), 2**80) | st.floats(allow_nan=False, allow_infinity=False)
KEYS = st.sampled_from(["config", "metrics", "exits", "platform", "replication", "seed", "status", "a"])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner),
    max_leaves=6,
)
SECTIONS = st.dictionaries(
    st.sampled_from(["workload", "machine", "platform", "metrics", "seed"]) | TEXTS, VALUES, max_size=3
)


def made(
    number=0, platform="bare-metal", replication=0, seed=1, point=None, settings=None, metrics=None, **more
):
    config = {"model_version": 3, "guest": "cnk", "workload": {"kind": "dcmf"}, **(settings or {})}
    drawn = {"platform": platform, "replication": replication, "seed": seed}
    return {
        "schema": 1, "run_id": f"{number:016x}", "experiment": "e", "point": point or {},
        "platform": platform, "guest": "cnk", "replication": replication, "seed": seed,
        "config": {**{key: value for key, value in config.items() if key not in drawn}, **drawn},
        "metrics": metrics or {"elapsed_s": 1.5}, "exits": [], "attribution": {}, "details": {},
        "warnings": [], "provenance": {}, "status": "ok", **more,
    }  # fmt: skip


@limits(max_examples=30)
@given(SECTIONS, SECTIONS, SECTIONS, st.integers(0, 2**70), st.booleans())
def test_a_line_says_the_same_read_quickly_and_read_plainly(point, settings, details, seed, moved):
    record = made(seed=seed, point=point, settings=settings, details=details)
    if moved:  # as another program might write it
        record = {**record, "config": dict(reversed(record["config"].items()))}
    line = to_line(record)
    found = from_line(line)
    assert found["config"] == record["config"]
    assert found["metrics"] == record["metrics"]
    assert dict(found) == json.loads(line)
    assert to_line(found) == line


@pytest.mark.parametrize("fields", [{}, {"guest": 1}, {"status": "failed", "error": {}}])
@pytest.mark.parametrize(
    "damage",
    [
        ('"metrics":{"elapsed_s":1.5}', '"metrics":{"elapsed_s":"x"}'),
        ('"metrics":{"elapsed_s":1.5}', '"metrics":{"elapsed_s":null}'),
        ('"metrics":{"elapsed_s":1.5}', '"metrics":{"elapsed_s":true}'),
        ('"metrics":{"elapsed_s":1.5}', '"metrics":{"elapsed_s":NaN}'),
        ('"attribution":{}', '"attribution":{"guest_user":[1]}'),
        ('"details":{}', '"details":{"wait":Infinity}'),
    ],
)
def test_a_line_with_something_else_for_a_number_is_no_record(fields, damage):
    line = to_line(made() | fields)
    assert from_line(line) is not None
    before, after = map(str.encode, damage)
    assert line.count(before) == 1
    assert from_line(line.replace(before, after)) is None


def test_runs_of_a_point_share_what_they_have_in_common():
    one, other = (from_line(to_line(made(number, replication=number, seed=number))) for number in (0, 1))
    assert isinstance(one, StoredRecord)
    assert one.settings is other.settings
    assert one["point"] is other["point"]
    assert (one["config"]["seed"], other["config"]["seed"]) == (0, 1)


@pytest.mark.parametrize(
    "change", [{"config": {"platform": "cnk"}}, {"config": {"seed": 2}}, {"guest": 1}, {"schema": 2}]
)
def test_what_is_not_written_as_always_is_read_as_it_stands(change):
    record = made()
    record = {**record, **change, "config": {**record["config"], **change.get("config", {})}}
    assert dict(from_line(to_line(record))) == record


def test_a_summary_of_stored_records_is_that_of_plain_ones(tmp_path):
    draw = random.Random(5)
    records, number = [], 0
    for size in ("1 KiB", "64 B", "16 B"):
        for flag in (True, 1, None):
            for platform in ("virtual-machine", "bare-metal"):
                for replication in range(4):
                    metrics = {"elapsed_s": 1 + draw.random(), "cycles_total": draw.randrange(10**18)}
                    if draw.random() < 0.5:
                        metrics = {"core_utilisation": draw.random(), **metrics, "unknown": 0.1}
                    point = {"workload.size": size, "workload.flag": flag, "cures": [size, "x,y"]}
                    records.append(made(number, platform, replication, replication, point, metrics=metrics))
                    number += 1
    plain = summarise(records)
    stored = [from_line(to_line(record)) for record in records]
    assert all(isinstance(record, StoredRecord) for record in stored)
    assert Study(tmp_path, stored).tidy == plain
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(plain.columns)
    words = {"True": "true", "False": "false"}
    writer.writerows([words.get(str(value), value) for value in row] for row in plain.rows)
    assert plain.to_csv() == text.getvalue()
    assert len(plain.rows) == sum(
        len({name for record in group for name in record["metrics"]}) + (platform != "bare-metal")
        for platform in ("bare-metal", "virtual-machine")
        for group in _groups(records, platform)
    )


def _groups(records, platform):
    groups = {}
    for record in records:
        if record["platform"] == platform:
            groups.setdefault(json.dumps(record["point"]), []).append(record)
    return groups.values()


def test_quantiles_of_students_t_are_those_of_scipy():
    assert [t_quantile(n) for n in range(1, 40)] == [float(stdtrit(n, 0.975)) for n in range(1, 40)]
    assert t_quantile(5, 0.9) == float(stdtrit(5, 0.95))

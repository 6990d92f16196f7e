import math
import random

import pytest
import scipy.stats

from bgsim.experiment.metrics import METRICS, slowdown
from bgsim.experiment.statistics import mean_interval, t_quantile
from bgsim.experiment.summary import column_names, summarise


def record(point, platform, elapsed, replication=0, **config):
    return {
        "run_id": repr((point, platform, replication, config)),
        "experiment": "e",
        "point": point,
        "platform": platform,
        "guest": "kittyhawk-linux",
        "replication": replication,
        "seed": 100 + replication,
        "config": {
            "machine": {"base": "bgp", "set": {}},
            "partition": {"topology": "pair", "shape": [2, 1, 1]},
            "platform": platform,
            "replication": replication,
            "seed": 100 + replication,
            **config,
        },
        "metrics": {"elapsed_s": elapsed, "exits_total": 3},
        "status": "ok",
    }


def rows(records):
    summary = summarise(records)
    return [dict(zip(summary.columns, row, strict=True)) for row in summary.rows]


def test_columns_and_rows():
    point = {"workload.program": "lcc"}
    summary = summarise([record(point, "bare-metal", 3.0), record(point, "virtual-machine", 126.0)])
    assert summary.columns == ("program", "platform", "metric", "unit", "mean", "ci_low", "ci_high", "n")
    assert summary.to_csv() == (
        "program,platform,metric,unit,mean,ci_low,ci_high,n\n"
        "lcc,bare-metal,elapsed_s,s,3.0,,,1\n"
        "lcc,bare-metal,exits_total,count,3.0,,,1\n"
        "lcc,virtual-machine,elapsed_s,s,126.0,,,1\n"
        "lcc,virtual-machine,slowdown,ratio,42.0,,,1\n"
        "lcc,virtual-machine,exits_total,count,3.0,,,1\n"
    )


def test_the_order_of_records_does_not_matter():
    records = [
        record({"workload.size": size, "workload.mtu": mtu}, platform, elapsed, replication)
        for size in ("1 B", "64 B", "1 KiB")
        for mtu in (9000, 1500)
        for platform in ("virtual-machine", "bare-metal")
        for replication, elapsed in enumerate((1.1, 1.7, 1e-9))
    ]
    text = summarise(records).to_csv()
    random.Random(1).shuffle(records)
    assert summarise(records).to_csv() == text
    assert [row["size"] for row in rows(records) if row["mtu"] == 1500][::5] == ["1 B", "64 B", "1 KiB"]


def test_slowdown_is_paired_by_seed():
    point = {"workload.program": "lcc"}
    times = [(2.0, 4.0), (4.0, 9.0), (8.0, 17.0)]
    records = []
    for replication, (native, virtual) in enumerate(times):
        records.append(record(point, "bare-metal", native, replication))
        records.insert(0, record(point, "virtual-machine", virtual, replication))
    (found,) = [row for row in rows(records) if row["metric"] == "slowdown"]
    ratios = [virtual / native for native, virtual in times]
    assert found["mean"] == math.fsum(ratios) / 3
    low, high = scipy.stats.t.interval(0.95, 2, loc=found["mean"], scale=scipy.stats.sem(ratios))
    assert (found["ci_low"], found["ci_high"]) == pytest.approx((low, high))
    assert found["n"] == 3


def test_no_slowdown_without_the_partner():
    records = [record({"a.x": 1}, "bare-metal", 1.0), record({"a.x": 2}, "virtual-machine", 2.0)]
    assert "slowdown" not in {row["metric"] for row in rows(records)}


def test_failed_runs_and_second_copies_are_left_out():
    good = record({}, "bare-metal", 1.0)
    failed = {**record({}, "bare-metal", 0.0, 1), "status": "failed", "metrics": {}}
    assert [row["n"] for row in rows([good, failed, good])] == [1, 1]


def test_unlike_runs_are_never_averaged():
    """A study extended by other settings gets a column for each that differs."""
    first = record({"workload.program": "lcc"}, "bare-metal", 3.0, workload={"program": "lcc", "time": "3 s"})
    second = record(
        {"workload.program": "lcc"}, "bare-metal", 1.0, workload={"program": "lcc", "time": "1 s"}
    )
    changed = record({}, "bare-metal", 2.0, workload={"program": "lcc", "time": "3 s"})
    changed["config"]["machine"] = {"base": "bgp", "set": {"tlb.entries": 256}}
    found = [row for row in rows([first, second, changed]) if row["metric"] == "elapsed_s"]
    assert [(row["program"], row["time"], row["entries"], row["mean"]) for row in found] == [
        ("lcc", "1 s", 64, 1.0),  # what the datasheet says
        ("lcc", "3 s", 64, 3.0),
        ("lcc", "3 s", 256, 2.0),
    ]


def test_the_sweep_s_words_only_name_a_point():
    """Runs of one size are one point in whichever unit their sweeps wrote it, and in any order."""
    section = {"workload": {"kind": "memory", "size": "256 KiB"}}
    records = [
        record({"workload.size": words}, platform, elapsed + number, number, **section)
        for number, words in enumerate(("262144 B", "0.25 MiB", "256 KiB"))
        for platform, elapsed in (("bare-metal", 1.0), ("virtual-machine", 2.0))
    ]
    records += [record({}, "bare-metal", 4.0, 3, **section)]
    text = summarise(records).to_csv()
    assert text == summarise(records[::-1]).to_csv()
    found = [row for row in rows(records) if row["metric"] in ("elapsed_s", "slowdown")]
    assert [(row["platform"], row["metric"], row["size"], row["n"]) for row in found] == [
        ("bare-metal", "elapsed_s", "256 KiB", 4),
        ("virtual-machine", "elapsed_s", "256 KiB", 3),
        ("virtual-machine", "slowdown", "256 KiB", 3),
    ]


def test_psets_chosen_beside_a_topology_are_a_column():
    """A topology's name says its shape and psets, until an experiment chooses others."""
    parts = [{"topology": "pair", "shape": [2, 1, 1], "torus": [False] * 3, "pset": pset} for pset in (2, 1)]
    records = [
        record({}, "bare-metal", 1.0 + part["pset"], partition=part, workload={"kind": "io"})
        for part in parts
    ]
    found = [row for row in rows(records) if row["metric"] == "elapsed_s"]
    assert [(row["pset"], row["mean"]) for row in found] == [(1, 2.0), (2, 3.0)]
    same = [record({}, "bare-metal", 1.0, partition=part, workload={"kind": "memory"}) for part in parts]
    assert "pset" not in summarise(same).columns  # it does not matter there


def test_what_is_not_known_any_more_is_compared_as_written():
    changes = [{}, {"no.such_parameter": 1}, {"no.such_parameter": 2}]
    records = [
        record({}, "bare-metal", 1.0, machine={"base": base, "set": change}, cures=["gone"])
        for change in changes
        for base in ("bgp", "no-such-machine")
    ]
    assert len([row for row in rows(records) if row["metric"] == "elapsed_s"]) == 6


def test_ambiguous_columns_keep_their_path():
    assert column_names(["a.size", "b.size", "a.mtu", "c.platform", "d.n"]) == [
        "a.size",
        "b.size",
        "mtu",
        "c.platform",
        "d.n",
    ]


def test_intervals():
    assert mean_interval([2.0]).low is None
    found = mean_interval([1.0, 2.0, 4.0])
    low, high = scipy.stats.t.interval(0.95, 2, loc=7 / 3, scale=scipy.stats.sem([1, 2, 4]))
    assert (found.low, found.high) == pytest.approx((low, high))
    equal = mean_interval([0.1] * 10)
    assert equal.mean == pytest.approx(0.1)
    assert (equal.low, equal.high) == (equal.mean, equal.mean)
    assert t_quantile(9) == pytest.approx(scipy.stats.t.ppf(0.975, 9))


def test_the_interval_covers_what_it_promises():
    """95 % of intervals hold the true mean; 5 sigma of 2000 draws is 2.4 %: one false alarm in a million."""
    draw = random.Random(2011)
    found = (mean_interval([draw.gauss(10, 3) for _ in range(5)]) for _ in range(2000))
    held = sum(interval.low <= 10 <= interval.high for interval in found)
    assert abs(held / 2000 - 0.95) < 0.0244


def test_metric_names_end_in_their_unit():
    microseconds = ("_us", "_us_min", "_us_avg", "_us_mean", "_us_p99", "_us_max", "_us_per_message")
    endings = {"s": "_s", "us": microseconds, "bps": "_bps"}
    for metric in METRICS.values():
        if metric.unit in endings and metric.name != "cpu_us_per_message":
            assert metric.name.endswith(endings[metric.unit]), metric.name
        assert metric.meaning


def test_slowdown_prefers_time_and_inverts_rates():
    assert slowdown({"elapsed_s": 2, "throughput_bps": 4}, {"elapsed_s": 3, "throughput_bps": 1}) == 1.5
    assert slowdown({"throughput_bps": 4}, {"throughput_bps": 1}) == 4
    assert slowdown({"elapsed_s": 2}, {"latency_us": 3}) is None
    assert slowdown({"elapsed_s": 0}, {"elapsed_s": 3}) is None

"""Sensitivity, calibration, overlays, differences and overheads on a workload whose answers are known."""

import csv
import json
import math

import numpy as np
import pytest

import bgsim
from bgsim.experiment import calibrate, diff, overheads, overlay, sensitivity
from bgsim.experiment.driver import run_experiment
from bgsim.experiment.errors import ExperimentError, OutcomeError
from bgsim.experiment.executors.local import Local
from bgsim.experiment.factors import Moved, factors_of
from bgsim.experiment.morris import effects
from bgsim.experiment.plan import load
from bgsim.experiment.watch import Watch
from bgsim.report import calibration_tables, diff_tables, sensitivity_tables, statistics_tables
from bgsim.workloads.outcome import Outcome


def priced(resolved, progress):
    """A time made of four parameters: two that matter, one that matters with another, one that does not."""
    sheet = resolved.machine
    latency, mmio = sheet.number("memory.latency"), sheet.number("mmio.latency")
    sheet.number("dcr.latency")
    cpi = sheet.number("vmm.cpi")
    draw = resolved.seed % 7 if resolved.workload.iterations > 1 else 0
    cycles = 1000 + 10 * latency + 2 * mmio + latency * cpi + draw
    if resolved.platform == "virtual-machine":
        cycles *= 3
    return Outcome(metrics={"elapsed_s": cycles / 850e6, "latency_us": cycles / 850}, details={})


@pytest.fixture
def known(experiment, workload):
    workload.run = priced
    del experiment["sweep"]
    experiment |= {"replications": 1, "platforms": ["virtual-machine"]}
    return experiment


def finished(plan, directory):
    study = run_experiment(plan, directory, watch=Watch(), executor=Local(1))
    assert not study.failed
    return {record["run_id"]: record for record in study.records}


def factors(plan):
    chosen = sensitivity.checked(plan.sensitivity, plan)
    return factors_of(chosen, plan, sensitivity.starts(chosen, plan)[0])


def explored(known, directory, **section):
    known["sensitivity"] = {"metric": "latency_us", **section}
    plan = load(known)
    chosen = sensitivity.checked(plan.sensitivity, plan)
    (runs,) = sensitivity.starts(chosen, plan)
    design = sensitivity.drawn(chosen, factors_of(chosen, plan, runs), plan.seed)
    wanted = sensitivity.to_run(plan, "e-s", [(design, runs)])
    records = finished(wanted, directory)
    return wanted, chosen, sensitivity.analysed("e-s", design, runs, records, plan.seed)


def test_morris_finds_the_parameters_that_matter(known, tmp_path):
    pytest.importorskip("SALib")
    wanted, section, found = explored(known, tmp_path, trajectories=3)
    order = [row["factor"] for row in found["factors"]]
    assert order[:2] == ["memory.latency", "mmio.latency"]
    assert set(order) == {"memory.latency", "mmio.latency", "vmm.cpi", "dcr.latency"}
    by_name = {row["factor"]: row for row in found["factors"]}
    assert by_name["dcr.latency"]["mu_star"] == 0
    mmio = next(one for one in by_name["mmio.latency"]["parameters"])
    assert by_name["mmio.latency"]["mu_star"] == pytest.approx(
        3 * 2 * (mmio["high"] - mmio["low"]) / 850, rel=0.02
    )
    assert by_name["mmio.latency"]["sigma"] < 1e-3 < by_name["vmm.cpi"]["sigma"]
    assert len(wanted.runs) <= 1 + 3 * 5
    text = sensitivity_tables.text(result_of(section, found, tmp_path))
    assert "memory.latency" in text
    assert "85 to 130 cycles" in text


@pytest.mark.parametrize(("ends", "width"), [((1, 2), 1), ((1, 5), 4), ((2, 13), 11), ((3, 12), 9)])
def test_an_effect_of_whole_cycles_is_that_of_the_step_that_was_made(known, tmp_path, ends, width):
    pytest.importorskip("SALib")
    ranges = {"mmio.latency": [f"{end} cycles" for end in ends], "dcr.latency": ["30 cycles", "120 cycles"]}
    _, _, found = explored(known, tmp_path, trajectories=4, parameters=list(ranges), ranges=ranges)
    row = next(row for row in found["factors"] if row["factor"] == "mmio.latency")
    assert row["mu_star"] == row["mu"] == pytest.approx(3 * 2 * width / 850)
    assert row["sigma"] == pytest.approx(0, abs=1e-9)
    assert (row["steps"], row["steps_lost"]) == (4, 0)


def test_steps_that_round_to_nothing_are_left_out_and_told(known, tmp_path):
    pytest.importorskip("SALib")
    narrow = Moved("mmio.latency", 1000.0, 1000.004, 1000.011, "cycles", "G", False)
    assert [narrow.number(share) for share in (0, 1 / 3, 2 / 3, 1)] == [1000.0, 1000.01, 1000.01, 1000.01]
    drawn = np.array([[0, 0], [2 / 3, 0], [2 / 3, 2 / 3], [1 / 3, 1], [1, 1], [1, 1 / 3]])
    made = np.array([[narrow.made(one), other] for one, other in drawn])
    first, second = effects(drawn, made, 5 * made[:, 0] + 2 * drawn[:, 1], 1)
    assert (first.steps, first.steps_lost) == (1, 1)
    assert first.mu_star == pytest.approx(5)
    assert (second.steps, second.steps_lost) == (2, 0)
    assert second.mu == second.mu_star == pytest.approx(2)

    _, section, found = explored(known, tmp_path, trajectories=2)
    found["factors"][0] |= {"steps": 1, "steps_lost": 1}
    text = sensitivity_tables.text(result_of(section, found, tmp_path))
    assert "memory.latency: 1 of 2 steps are left out" in text


def test_choices_are_stepped_from_the_first_to_the_last(known):
    one = Moved("tlb.ways", 6.0, 2.0, 9.0, "count", "G", True, (4.0, 6.0, 8.0))
    assert [one.at(share) for share in (0, 1 / 3, 2 / 3, 1)] == [4, 6, 8, 8]
    assert [one.made(share) for share in (0, 1 / 3, 2 / 3, 1)] == [0, 0.5, 1, 1]


def result_of(section, found, directory):
    sensitivity.write(directory, section, [found])
    return sensitivity.read(directory)


def test_a_sensitivity_study_is_resumed(known, tmp_path):
    pytest.importorskip("SALib")
    wanted, _, found = explored(known, tmp_path, trajectories=2)
    before = (tmp_path / "records.jsonl").read_bytes()
    again, _, same = explored(known, tmp_path, trajectories=2)
    assert [run.run_id for run in again.runs] == [run.run_id for run in wanted.runs]
    assert (tmp_path / "records.jsonl").read_bytes() == before
    assert json.dumps(found, sort_keys=True) == json.dumps(same, sort_keys=True)


def test_sobol_shares_add_up_and_groups_move_together(known, tmp_path):
    pytest.importorskip("SALib")
    section = {"method": "sobol", "samples": 8, "together": ["m*.latency"]}
    _, _, found = explored(known, tmp_path, **section)
    first = found["factors"][0]
    assert first["factor"] == "m*.latency"
    assert {one["name"] for one in first["parameters"]} == {"memory.latency", "mmio.latency"}
    assert first["ST"] == pytest.approx(1, abs=0.4)
    assert sum(row["S1"] for row in found["factors"]) == pytest.approx(1, abs=0.4)
    assert found["low"] < found["nominal"] < found["high"]


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"metric": "latency"}, "unknown metric 'latency'; did you mean"),
        ({"method": "sobol", "samples": 60}, "60 is no power of two"),
        ({"platform": "bare-metal"}, "'bare-metal' is not among the platforms"),
        ({"parameters": ["memory.latencies"]}, "did you mean 'memory.latency'?"),
        ({"ranges": {"memory.latency": ["90 cycles"]}}, "expected [low, high]"),
        ({"ranges": {"memory.latency": ["90 cycles", "90 cycles"]}}, "low is not below high by so much"),
    ],
)
def test_sensitivity_that_cannot_be(known, section, said):
    known["sensitivity"] = section
    with pytest.raises(ExperimentError) as caught:
        factors(load(known))
    assert said in str(caught.value)


def fitted(known, directory, parameters, data, **more):
    known["calibrate"] = {"parameters": parameters, "data": data, **more}
    calibration = calibrate.Calibration(load(known))
    steps = []
    fit = calibration.fit(lambda plan: finished(plan, directory), steps.append)
    assert steps
    return calibrate.written(calibration, fit)


def truth(known, workload_set):
    """What the workload answers with other parameters: the data of a twin experiment."""
    plan = load(known, {f"assume.{name}": value for name, value in workload_set.items()})
    record = {}
    for run in plan.runs:
        from bgsim.experiment.execute import execute_run

        record[run.point.get("workload.iterations"), run.config["platform"]] = execute_run(run)["metrics"]
    return record


def test_calibration_finds_what_made_the_data(known, tmp_path):
    known["platforms"] = ["bare-metal", "virtual-machine"]
    metrics = truth(known, {"mmio.latency": 150})
    data = [
        {"name": f"twin {where}", "metric": "latency_us", "platform": where, "error": 0.01}
        | {"value": each["latency_us"]}
        for (_, where), each in metrics.items()
    ]
    found = fitted(known, tmp_path, {"mmio.latency": None, "dcr.latency": None}, data)
    mmio, dcr = found["parameters"]
    assert mmio["fitted"] == 150
    assert dcr["fitted"] == dcr["start"]
    assert found["identifiability"]["without_effect"] == ["dcr.latency"]
    assert found["sum_of_squares_after"] < 0.01 < found["sum_of_squares_before"]
    assert mmio["error"] == pytest.approx(0.01 * 850 / 2 / math.sqrt(1 + 9), rel=0.02)
    text = calibration_tables.text(found)
    assert "dcr.latency: the data do not move with it" in text
    path = calibrate.write(tmp_path, found)
    read = overlay.load(path)
    assert read.values == {"mmio.latency": 150}
    assert read.calibrated_on == ("twin bare-metal", "twin virtual-machine")
    known.pop("calibrate")
    plain = load(known).runs[0]
    assumed = load(known, {"assume.mmio.latency": 150}).runs[0]
    used = load({**known, "machine": {"base": "bgp", "overlay": str(path)}}).runs[0]
    assert used.run_id == assumed.run_id != plain.run_id
    assert used.config["machine"]["overlay"]["calibrated_on"] == ["twin bare-metal", "twin virtual-machine"]


def test_what_is_known_together_only_is_said(known, tmp_path):
    data = [{"name": "one number", "metric": "latency_us", "value": 20.0}]
    found = fitted(known, tmp_path, {"mmio.latency": None, "memory.latency": None}, data)
    known_of = found["identifiability"]
    assert known_of["identified"] == 1
    assert known_of["errors"] == [None, None]
    assert "not identified: " in calibration_tables.text(found)
    pulled = fitted(known, tmp_path, {"mmio.latency": None, "memory.latency": None}, data, prior=True)
    assert "the datasheet's values counted as data too" in calibration_tables.text(pulled)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"parameters": {"mmio.latencies": None}}, "did you mean 'mmio.latency'?"),
        (
            {"parameters": {"mmio.latency": ["150 cycles", "200 cycles"]}},
            "where the search begins, is outside",
        ),
        ({"parameters": {"mmio.latency": [1]}}, "expected [low, high]"),
        ({"data": [{"name": "x", "metric": "latensy_us", "value": 1.0}]}, "unknown metric 'latensy_us'"),
        (
            {"data": [{"name": "x", "metric": "latency_us", "value": 1.0, "at": {"guest": "cnk"}}]},
            "is not swept",
        ),
        ({"data": [{"name": "x", "metric": "latency_us", "valu": 1.0}]}, "did you mean 'value'?"),
    ],
)
def test_calibrations_that_cannot_be(known, section, said):
    good = {
        "data": [{"name": "x", "metric": "latency_us", "value": 1.0}],
        "parameters": {"mmio.latency": None},
    }
    known["calibrate"] = good | section
    with pytest.raises(ExperimentError) as caught:
        calibrate.Calibration(load(known))
    assert said in str(caught.value)


RECORD = (
    "overlay: 1\nbase: bgp\nrecords:\n"
    "  - {name: mmio.latency, value: 1, unit: cycles, source: me, confidence: G}\n"
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("overlay: 1\nbase: bgp\n", "an overlay is a mapping with base and records"),
        (
            RECORD.replace("overlay: 1", "overlay: 2"),
            "o.yaml:1:10: overlay: expected version 1 of this format",
        ),
        (RECORD.replace("bgp", "bgl"), "o.yaml:2:7: base: unknown machine 'bgl'; did you mean 'bgp'?"),
        (RECORD.replace("source: me, ", ""), "o.yaml:4:5: records.0: mmio.latency: has no source"),
        (RECORD.replace(": G", ": C"), "names the data it was calibrated on"),
        (RECORD.replace("latency", "latensy"), "did you mean 'mmio.latency'?"),
    ],
)
def test_overlays_that_cannot_be_read(known, tmp_path, text, said):
    path = tmp_path / "o.yaml"
    path.write_text(text)
    with pytest.raises(ExperimentError) as caught:
        load({**known, "machine": {"base": "bgp", "overlay": str(path)}})
    assert said in str(caught.value)


def test_a_missing_overlay_is_said_in_the_experiment(known):
    with pytest.raises(ExperimentError, match=r"machine\.overlay: no such file: nowhere\.yaml"):
        load({**known, "machine": {"base": "bgp", "overlay": "nowhere.yaml"}})


@pytest.fixture
def pair(known, tmp_path):
    """Two studies of 6 replications: with other memory, and with other seeds."""
    known |= {"replications": 6, "platforms": ["bare-metal", "virtual-machine"]}
    known["sweep"] = {"workload.iterations": [1, 2]}

    def make(name, overrides=(), **more):
        return bgsim.run(known, tmp_path / name, overrides=overrides, workers=1, **more)

    return make


def test_equal_studies_do_not_differ(pair):
    found = diff.compare(pair("a"), pair("b"))
    assert not found.changed
    assert set(found.counts) == {"same"}
    assert found.settings == {}
    assert "equal" in diff_tables.text(found)


def test_a_variant_is_compared_pair_by_pair(pair, tmp_path):
    found = diff.compare(pair("a"), pair("b", ["assume.mmio.latency=101"]), metrics=["latency_us"])
    assert found.settings == {"assume.mmio.latency": ("100 cycles", 101)}
    assert {row.test for row in found.rows} == {"exact"}
    assert {row.verdict for row in found.rows} == {"changed"}
    assert len(found.rows) == 4
    assert found.rows[0].difference.mean == pytest.approx(2 / 850)
    with_least = diff.compare(pair("a"), pair("b"), least=0.5)
    assert not with_least.changed
    rows = list(csv.DictReader(found.to_csv().splitlines()))
    assert rows[0]["verdict"] == "changed"
    text = diff_tables.text(found, 2)
    assert "assume.mmio.latency: 100 cycles -> 101" in text
    assert "2 more changed" in text


def test_other_seeds_are_no_change(pair):
    found = diff.compare(pair("a"), pair("b", seed=99))
    noisy = [row for row in found.rows if row.point["workload.iterations"] == 2]
    assert {row.test for row in noisy if row.metric == "latency_us"} == {"welch"}
    assert not found.changed


def test_points_that_only_one_has_and_metrics_nobody_knows(pair, tmp_path):
    found = diff.compare(pair("a"), pair("b", ["workload.iterations=1"]))
    assert (found.only_before, found.only_after) == (2, 0)
    with pytest.raises(ExperimentError, match="unknown metric; did you mean 'latency_us'"):
        diff.compare(pair("a"), pair("a"), metrics=["latensy_us"])


def test_corrections():
    values = [0.01, 0.04, 0.03, 0.005]
    assert diff.corrected_p(values, "none") == values
    assert diff.corrected_p(values, "holm") == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert diff.corrected_p(values, "bh") == pytest.approx([0.02, 0.04, 0.04, 0.02])
    from scipy.stats import false_discovery_control

    assert diff.corrected_p(values, "bh") == pytest.approx(false_discovery_control(values))


def test_overheads_are_paired(pair):
    rows = overheads.overheads(pair("a"), ["latency_us"])
    assert [row.point["workload.iterations"] for row in rows] == [1, 2]
    still, moving = rows
    assert still.ratio.mean == pytest.approx(3)
    assert moving.difference.n == 6
    assert moving.difference.low < moving.difference.mean < moving.difference.high
    assert moving.ratio.low <= 3 <= moving.ratio.high
    assert moving.variance_reduction == pytest.approx((1 + 9) / 4)
    table = overheads.to_csv(rows).splitlines()
    assert table[0].startswith("iterations,platform,metric,unit,n,native,mean,difference")
    assert "1/2.5" in statistics_tables.overheads(rows)


def test_a_share_of_time_has_one_mean_everywhere(pair, known, workload, tmp_path):
    def sharing(resolved, progress):
        draw = resolved.seed % 7 + 3 * (resolved.platform == "virtual-machine")
        busy = {"cpu_utilisation": (1 + draw) / 12, "latency_us": 1.0 + draw}
        return Outcome(metrics={"elapsed_s": 1e-3 * (1 + draw), **busy}, details={})

    workload.run = sharing
    del known["sweep"]
    studies = pair("a"), pair("b", seed=99)
    shown = []
    for study in studies:
        frame = study.summary()
        means = frame[frame.metric == "cpu_utilisation"].set_index("platform")["mean"]
        shown.append(means)
        (row,) = overheads.overheads(study, ["cpu_utilisation"])
        assert (row.native.mean, row.mean.mean) == (means["bare-metal"], means["virtual-machine"])
        assert row.difference.mean == pytest.approx(row.mean.mean - row.native.mean)
        assert row.ratio.mean == pytest.approx(row.mean.mean / row.native.mean)
        assert row.variance_reduction > 1
    for row in diff.compare(*studies, metrics=["cpu_utilisation"]).rows:
        before, after = (means[row.platform] for means in shown)
        assert (row.before.mean, row.after.mean) == (before, after)
        assert row.difference.mean == pytest.approx(after - before)
        assert row.test == "welch"


def test_a_failed_run_stops_a_fit(known):
    known["calibrate"] = {
        "data": [{"name": "x", "metric": "latency_us", "value": 1.0}], "parameters": {"mmio.latency": None},
    }  # fmt: skip
    with pytest.raises(OutcomeError, match="the run failed, so the fit cannot go on"):
        calibrate.Calibration(load(known)).fit(lambda plan: {}, print)

import pytest

from bgsim.experiment.errors import ExperimentError
from bgsim.experiment.plan import load


def refusals(experiment, overrides=(), **options):
    with pytest.raises(ExperimentError) as caught:
        load(experiment, overrides, **options)
    return [str(problem) for problem in caught.value.problems]


@pytest.fixture
def written(tmp_path):
    def write(text, name="e.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


GOOD = """\
name: e
machine: bgp
partition: {topology: pair}
platforms: [bare-metal, virtual-machine]
workload: {kind: compile, program: gcc346}
"""


def test_the_grid_in_order(experiment):
    experiment["sweep"]["workload.operation"] = ["getpid-loop", "timer-tick"]
    plan = load(experiment)
    assert len(plan.runs) == 3 * 2 * 2 * 2
    first, second = plan.runs[0], plan.runs[4]
    assert first.point == {"workload.iterations": 1, "workload.operation": "getpid-loop"}
    assert second.point == {"workload.iterations": 1, "workload.operation": "timer-tick"}
    assert [run.config["platform"] for run in plan.runs[:4]] == ["bare-metal"] * 2 + ["virtual-machine"] * 2
    assert [run.config["replication"] for run in plan.runs[:4]] == [0, 1, 0, 1]
    assert len({run.run_id for run in plan.runs}) == len(plan.runs)


def test_native_and_virtualised_share_seeds_and_replications_do_not(experiment):
    plan = load(experiment)
    seeds = {}
    for run in plan.runs:
        seeds.setdefault(run.config["replication"], set()).add(run.config["seed"])
    assert [len(found) for found in seeds.values()] == [1, 1]
    assert seeds[0] != seeds[1]
    assert load(experiment, seed=2).runs[0].config["seed"] not in seeds[0]


def test_defaults_are_written_out(experiment):
    config = load(experiment).runs[0].config
    assert config["workload"] == {"kind": "micro", "operation": "null-system-call", "iterations": 1}
    assert config["guest"] == "kittyhawk-linux"
    assert config["partition"] == {
        "topology": "pair", "shape": [2, 1, 1], "torus": [False] * 3, "pset": 2, "mapping": "XYZT",
    }  # fmt: skip


def test_one_platform_may_be_written_plainly(experiment):
    experiment["platform"] = "virtual-machine"
    del experiment["platforms"]
    assert load(experiment).platforms == ("virtual-machine",)
    assert load(experiment, ["platform=bare-metal"]).platforms == ("bare-metal",)
    assert load(experiment, ["platforms=[bare-metal]"]).platforms == ("bare-metal",)


def test_overrides_reach_through_shorthand(experiment):
    plan = load(experiment, ["machine.set.tlb.entries=256", "workload.operation=timer-tick"])
    assert plan.runs[0].config["machine"] == {"base": "bgp", "set": {"tlb.entries": 256}}
    assert plan.runs[0].config["workload"]["operation"] == "timer-tick"
    assert load(experiment, {"workload.operation": "timer-tick"}).runs[0].config == (
        load(experiment, ["workload.operation=timer-tick"]).runs[0].config
    )


def test_an_override_of_a_swept_path_fixes_the_axis_and_says_so(experiment):
    plan = load(experiment, ["workload.iterations=7"])
    assert [axis.rows for axis in plan.axes] == [((7,),)]
    assert plan.remarks == ("--set workload.iterations=7: workload.iterations is swept; it is fixed at 7",)
    plan = load(experiment, ["sweep.workload.iterations=[7, 8]"])
    assert [axis.rows for axis in plan.axes] == [((7,), (8,))]


def test_smoke_reduces(experiment):
    experiment["smoke"] = {"sweep": {"workload.iterations": [1]}, "replications": 1}
    assert len(load(experiment).runs) == 12
    assert len(load(experiment, smoke=True).runs) == 2
    assert load(experiment, smoke=True).directory.name == "study-smoke"
    del experiment["smoke"]
    assert refusals(experiment, smoke=True) == [
        "experiment: smoke: there is no smoke section, so --smoke would change nothing"
    ]


def test_all_problems_at_once_with_their_places(written):
    path = written(
        "nam: e\n"
        "machine: {base: bgp, set: {tlb.entrys: 4}}\n"
        "partition: {topology: nodecard}\n"
        "platforms: [bare-metal, virtual]\n"
        "workload: {kind: compile, profil: 3}\n"
        "sweep:\n"
        "  workload.program: [lcc, gcc13]\n"
        "  workload.native_time: [3 s, 3]\n"
    )
    found = [line.removeprefix(f"{path}:") for line in refusals(path, ["workload.kindd=3", "seed=x"])]
    assert found[:2] == [
        "1:1: name: missing: names the study and its directory",
        "1:1: nam: unknown key; did you mean 'name'?",
    ]
    starts = [
        "2:28: machine.set.tlb.entrys: unknown parameter; did you mean 'tlb.entries'?",
        "3:23: partition.topology: no topology 'nodecard'; did you mean 'node-card'?",
        "4:25: platforms[1]: 'virtual' is not known; did you mean 'virtual-machine'?",
        "5:27: workload.profil: unknown key",
        "7:27: workload.program: 'gcc13' is not known; did you mean 'gcc12'?",
        "8:31: workload.native_time: '3' has no unit",
        "--set seed=x: seed: expected a whole number, got 'x'",
        "--set workload.kindd=3: workload.kindd: unknown key",
    ]
    assert len(found) == 2 + len(starts)
    for line, start in zip(found[2:], starts, strict=True):
        assert line.startswith(start)


@pytest.mark.parametrize(
    ("sweep", "said"),
    [
        ("{workload.program: []}", "an empty list leaves no point to run"),
        ("{workload.program: lcc}", "expected a list of values or a range, got 'lcc'"),
        ("{workload.program: [lcc, lcc]}", "'lcc' is listed twice"),
        ("{platforms: [bare-metal]}", "cannot be swept: platforms are compared at every point"),
        ("{seed: [1, 2]}", "cannot be swept"),
        ("{worload.program: [lcc]}", "unknown path; did you mean 'workload'?"),
        (
            "{workload: [{kind: compile}], workload.program: [lcc]}",
            "is part of 'workload', which is swept too",
        ),
        ("{workload.native_time: [1 s, 1000 ms]}", "two points are the same run"),
        ("{workload.native_time: [1 s, 2]}", "'2' has no unit"),
        ("[a]", "expected paths with lists of values"),
        ("{zip: [a]}", "expected paths with lists of values"),
        ("{zip: {seed: [1]}}", "cannot be swept"),
        (
            "{zip: {workload.program: [lcc], workload.native_time: [1 s, 2 s]}}",
            "equally many values, and these have 1 and 2",
        ),
        ("{zip: {workload.program: [lcc]}, workload.program: [gcc12]}", "workload.program: is swept twice"),
        ("{zip: {workload.program: [lcc, lcc], workload.native_time: [1 s, 1 s]}}", "is listed twice"),
        ("{zip: {workload.program: [lcc, gcc13]}}", "'gcc13' is not known; did you mean 'gcc12'?"),
        ("{workload..program: [lcc]}", "an empty name between dots"),
    ],
)
def test_bad_sweeps(written, sweep, said):
    found = refusals(written(GOOD + f"sweep: {sweep}\n"))
    assert len(found) == 1
    assert said in found[0]


def test_zipped_paths_vary_together(written):
    path = written(
        GOOD.replace("platforms: [bare-metal, virtual-machine]", "platforms: bare-metal") + "sweep:\n"
        "  zip:\n"
        "    - workload.program: [lcc, gcc12]\n"
        "      workload.native_time: [1 s, 2 s]\n"
        "    - {machine.set.tlb.entries: [32, 64], assume.core.frequency: [1 GHz, 2 GHz]}\n"
    )
    points = [tuple(run.point.values()) for run in load(path).runs]
    assert points == [
        ("lcc", "1 s", 32, "1 GHz"),
        ("lcc", "1 s", 64, "2 GHz"),
        ("gcc12", "2 s", 32, "1 GHz"),
        ("gcc12", "2 s", 64, "2 GHz"),
    ]
    points = [tuple(run.point.values()) for run in load(path, ["workload.native_time=3 s"]).runs]
    assert points == [
        ("lcc", "3 s", 32, "1 GHz"),
        ("lcc", "3 s", 64, "2 GHz"),
        ("gcc12", "3 s", 32, "1 GHz"),
        ("gcc12", "3 s", 64, "2 GHz"),
    ]
    assert len(load(path, ["sweep.zip={workload.program: [lcc]}"]).runs) == 1
    wrong = written(path.read_text().replace("2 s]", "2]"))
    assert refusals(wrong)[0].startswith(f"{wrong}:9:35: workload.native_time: '2' has no unit")


def test_a_huge_grid_is_refused_before_it_is_built(experiment):
    values = list(range(1, 2001))
    experiment["sweep"] = {"workload.iterations": values, "machine.set.tlb.entries": values}
    assert refusals(experiment) == ["experiment: sweep: 4000000 points are more than 1000000"]


@pytest.mark.parametrize(
    ("partition", "said"),
    [
        ("{}", "needs 'topology' (a name) or 'shape'"),
        ("{topology: pair, torus: [true, true, true]}", "'topology' says this already"),
        ("{shape: [4, 4]}", "is not the shape of a torus or mesh"),
        ("{shape: [4, 4, 0]}", "is not the shape of a torus or mesh"),
        ("{shape: [4, 4, 1.5]}", "is not the shape of a torus or mesh"),
        ("{shape: [8, 8, 8], torus: [true]}", "is not understood"),
        ("{shape: [8, 8, 2], torus: [true, true, true]}", "Z has 2 nodes: no ring, say false"),
        ("{shape: [8, 8, 300]}", "is not the shape of a torus or mesh"),
        ("4", "expected a mapping of keys to values"),
    ],
)
def test_bad_partitions(written, partition, said):
    text = GOOD.replace("{topology: pair}", partition)
    assert any(said in line for line in refusals(written(text)))


def test_whole_midplanes_are_a_torus_and_less_is_a_mesh(experiment):
    def torus(partition):
        return load({**experiment, "partition": partition}).runs[0].config["partition"]

    assert torus({"shape": [8, 8, 16]}) == {
        "topology": "8x8x16-torus",
        "shape": [8, 8, 16],
        "torus": [True] * 3,
        "pset": 64,
        "mapping": "XYZT",
    }
    assert torus({"shape": [4, 4, 2]})["torus"] == [False] * 3
    plan = load({**experiment, "partition": {"shape": [4, 4, 4], "torus": [True, False, False]}})
    assert plan.runs[0].config["partition"]["topology"] == "4x4x4-torus-X"
    assert "only whole midplanes of 8 close a ring" in plan.remarks[0]


def test_topology_files_of_the_researcher(written, tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "name: mine\nshape: [4, 4, 4]\ntorus: [false, false, false]\npset: 64\n"
    )
    path = written(GOOD.replace("{topology: pair}", "{topology: mine.yaml}"))
    assert load(path).runs[0].config["partition"]["topology"] == "mine"
    (tmp_path / "broken.yaml").write_text("name: mine\nshape: [4, 4]\npse: 64\n")
    path = written(GOOD.replace("{topology: pair}", "{topology: broken.yaml}"))
    found = refusals(path)
    assert any("broken.yaml:3:1: pse: unknown key; did you mean 'pset'?" in line for line in found)
    assert any("broken.yaml:2:8: shape: [4, 4] is not the shape of a torus or mesh" in line for line in found)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("platforms=[bare-metal, bare-metal]", "a platform is listed twice"),
        (
            "platforms=[l4-native]",
            "the compile workload runs on bare-metal or virtual-machine, not on 'l4-native'",
        ),
        (
            "guest=cnk",
            "the compile workload runs under kittyhawk-linux, zeptoos or zeptoos-bigmemory, not under 'cnk'",
        ),
        ("smoke.seed=3", "only --smoke reads the smoke section"),
        ("replications=0", "0 should be greater than or equal to 1"),
        ("seed=-1", "-1 should be greater than or equal to 0"),
        ("name=a/b", "cannot name a directory"),
        ("machine.base=bgq", "unknown machine 'bgq'; did you mean 'bgp'?"),
        ("machine.set.tlb.entries=4 KiB", "machine.set.tlb.entries: '4 KiB'"),
        ("machine.set.tlb.entries=", "machine.set.tlb.entries: None"),
        ("workload=compile", "workload: expected a mapping of keys to values, got 'compile'"),
        ("workload.program.x=3", "has no parts"),
        ("workload..x=3", "an empty name between dots"),
        ("workload.kind=build", "unknown workload 'build'"),
    ],
)
def test_bad_overrides(written, change, said):
    found = refusals(written(GOOD), [change])
    assert any(said in line and line.startswith((f"--set {change}", "e.yaml")) for line in found), found


def test_an_override_that_is_no_override(written):
    assert refusals(written(GOOD), ["a", "=3", "b=[1"]) == [
        "--set a: write --set path=value, such as --set workload.program=gcc12",
        "--set =3: write --set path=value, such as --set workload.program=gcc12",
        "--set b=[1: not YAML: expected ',' or ']', but got '<stream end>'",
    ]


def test_a_setting_that_changes_nothing_is_remarked(written):
    plan = load(written(GOOD), ["machine.set.tlb.entries=64"])
    said = "machine.set.tlb.entries: the datasheet says 64 already; this changes nothing"
    assert plan.remarks == (f"--set machine.set.tlb.entries=64: {said}",)


def test_names_are_suggested():
    assert refusals("compil") == [
        "compil: no such file, and no shipped experiment of this name; did you mean 'compile'?"
    ]
    assert refusals("no/such.yaml") == ["no/such.yaml: no such file"]
    assert "is a directory" in refusals("/")[0]
    assert refusals("a" * 5000)[0].endswith("a: not a file name")


@pytest.mark.parametrize("name", ["compile", "micro", "netperf", "two-node"])
def test_shipped_experiments_are_good_in_both_forms(name):
    plan = load(name)
    assert plan.name == name
    assert plan.remarks == ()
    assert plan.has_smoke
    assert len(load(name, smoke=True).runs) <= len(plan.runs)


# -- combinations that nothing runs on

MATRIX = {
    "name": "matrix",
    "partition": {"topology": "pair"},
    "platforms": ["bare-metal", "virtual-machine"],
    "workload": {"kind": "noise"},
    "sweep": {
        "guest": ["kittyhawk-linux", "cnk"],
        "workload": [{"kind": "compile"}, {"kind": "micro", "operation": "timer-tick"}, {"kind": "noise"}],
    },
}


def test_unsupported_combinations_are_refused_together() -> None:
    with pytest.raises(ExperimentError) as caught:
        load(MATRIX)
    said = [problem.message for problem in caught.value.problems]
    assert any("CNK has no fork and no exec" in message for message in said)
    assert any("CNK has no timer tick" in message for message in said)


def test_unsupported_combinations_can_be_skipped_with_their_reasons() -> None:
    plan = load({**MATRIX, "unsupported": "skip"})
    assert len(plan.runs) == 8
    assert plan.skipped == 4
    cnk = {run.config["workload"]["kind"] for run in plan.runs if run.config["guest"] == "cnk"}
    assert cnk == {"noise"}
    assert sum("no timer tick" in remark for remark in plan.remarks) == 2


def test_skipping_everything_is_an_error() -> None:
    with pytest.raises(ExperimentError, match="every combination is skipped"):
        load(
            {**MATRIX, "unsupported": "skip", "sweep": {"guest": ["cnk"], "workload": [{"kind": "compile"}]}}
        )


TORUS = {"name": "e", "platforms": ["bare-metal"], "guest": "cnk", "partition": {"topology": "pair"}}
ALLREDUCE = {"kind": "collectives", "ranks_per_node": 4}


@pytest.mark.parametrize("workload", [{"kind": "traffic"}, {"kind": "collectives"}, {"kind": "halo"}])
@pytest.mark.parametrize(
    ("name", "value"),
    [("torus.packet_size_max", "128 B"), ("torus.packet_header", "32 B"), ("torus.packet_chunk", "16 B")],
)
def test_message_graphs_have_packets_of_one_format(workload, name, value) -> None:
    found = refusals({**TORUS, "machine": {"set": {name: value}}, "workload": workload})
    assert len(found) == 1
    assert f"machine.set.{name}: {value}, and packets of the machine tier have" in found[0]
    found = refusals({**TORUS, "assume": {name: value}, "workload": workload})
    assert f"assume.{name}: {value}" in found[0]


def test_the_detailed_tier_has_packets_of_any_format() -> None:
    machine = {"set": {"torus.packet_size_max": "128 B", "torus.packet_header": "32 B"}}
    for workload in ({"kind": "dcmf"}, {"kind": "halo", "tier": "detailed"}):
        assert load({**TORUS, "machine": machine, "workload": workload}).runs


@pytest.mark.parametrize("workload", [{"kind": "collectives"}, {"kind": "halo", "tier": "detailed"}])
def test_collective_packets_of_another_size_are_told_when_planned(workload) -> None:
    machine = {"set": {"collective.packet_payload": "128 B"}}
    (found,) = refusals({**TORUS, "machine": machine, "workload": workload})
    assert "machine.set.collective.packet_payload: 128 B, and packets of the collective device" in found
    traffic = {**TORUS, "machine": machine, "workload": {"kind": "traffic"}}
    assert load(traffic).runs  # nothing is characterised for the bare machine
    assert len(refusals({**traffic, "platforms": ["virtual-machine"]})) == 1


def test_a_node_has_at_least_a_core_for_each_rank() -> None:
    machine = {"set": {"node.cores": 2}}
    (found,) = refusals({**TORUS, "machine": machine, "workload": ALLREDUCE})
    assert "workload.ranks_per_node: 4 processes on a node of 2 cores (node.cores)" in found
    assert load({**TORUS, "machine": machine, "workload": {**ALLREDUCE, "ranks_per_node": 2}}).runs
    swept = {"machine.set.node.cores": [2, 4]}
    assert len(refusals({**TORUS, "workload": ALLREDUCE, "sweep": swept})) == 1

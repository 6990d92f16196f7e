"""What is wrong only on a partition or machine, or inside a file: told when planned, where it was written."""

import pytest

from bgsim.experiment.errors import ExperimentError
from bgsim.experiment.plan import load


@pytest.fixture
def refusals(tmp_path):
    """Problems of a workload on a partition, without the file's name."""

    def plan(workload, partition="{topology: pair}", more=""):
        path = tmp_path / "e.yaml"
        path.write_text(
            f"name: e\npartition: {partition}\nplatforms: [bare-metal]\nworkload: {workload}\n{more}"
        )
        try:
            load(path)
        except ExperimentError as error:
            return [str(problem).removeprefix(f"{path}:") for problem in error.problems]
        return []

    return plan


@pytest.mark.parametrize(
    ("workload", "problem"),
    [
        ("{kind: traffic, pattern: hotspot, target: ^17}", "workload.target: 17 is not one of the 2 nodes"),
        (
            "{kind: traffic, pattern: hotspot, active: ^x >= 0}",
            "workload.active: node 0 is the hot spot and cannot send to itself",
        ),
        (
            "{kind: traffic, pattern: shift, displacement: ^[2, 0, -1]}",
            "workload.displacement: by [2, 0, -1] a node of 2x1x1 reaches itself",
        ),
        (
            "{kind: traffic, pattern: random-permutation, permutation: ^8x8x8}",
            "workload.permutation: 8x8x8: permutes 512 nodes, and the partition has 2",
        ),
        ("{kind: traffic, active: ^x > 5}", "workload.active: no node of 2x1x1 satisfies 'x > 5'"),
        (
            "{kind: collectives, noise: {period: ^0 s, durations: [1 us]}}",
            "workload.noise.period: a period is above zero",
        ),
        (
            "{kind: collectives, noise: {period: 1 us, durations: ^[10 us]}}",
            "workload.noise.durations: 10 us is not shorter than the time between two",
        ),
        (
            "{kind: collectives, noise: {period: 10 us, jitter: 0.9, durations: ^[2 us]}}",
            "workload.noise.durations: 2 us is not shorter than",
        ),
        (
            "{kind: collectives, noise: {period: ^1000 s, durations: [1 us]}}",
            "workload.noise.period: 1000 s is not 1 to 2^39 cycles of a core, at 850 MHz",
        ),
        (
            "{kind: collectives, operation: barrier, iterations: 130000, compute: ^86400 s}",
            "workload.compute: 130,000 iterations of computing alone take some 9.5e+18 cycles, and clocks go",
        ),
        (
            "{kind: halo, iterations: 20000, compute: ^86400 s, noise: {period: 1 ms, durations: [400 us]}}",
            "workload.compute: 20,000 iterations of computing alone take some 2.4e+18 cycles",
        ),
        (
            "{kind: halo, grid: ^[100000, 100000, 100000], compute_per_cell: 1 s}",
            "workload.grid: 20 iterations of computing alone take some 1.7e+25 cycles",
        ),
        (
            "{kind: halo, grid: ^[30000, 30000, 30000], cell: 4 GiB, compute: 1 us, iterations: 1}",
            "workload.grid: an iteration of faces alone take some 1.9e+20 cycles",
        ),
        (
            "{kind: collectives, noise: {period: 1 ms, durations: [10 us], weights: ^[-1]}}",
            "workload.noise.weights: weights are numbers of at least 0",
        ),
        (
            "{kind: collectives, noise: {period: 1 ms, durations: [10 us], weights: ^[1, 2]}}",
            "workload.noise.weights: expected 1 weights, one per duration, got 2",
        ),
        (
            "{kind: collectives, noise: ^loud}",
            "workload.noise: 'loud' is not known (expected cost-model or none)",
        ),
        ("{kind: collectives, noise: ^5}", "workload.noise: 5 is not known (expected cost-model or none)"),
        (
            "{kind: halo, process_grid: ^[3, 1, 1]}",
            "workload.process_grid: 3 x 1 x 1 places for 2 ranks",
        ),
        (
            "{kind: halo, scaling: strong, grid: ^[1, 8, 8]}",
            "workload.grid: (1, 8, 8) cells cannot be divided among (2, 1, 1) ranks",
        ),
        ("{kind: halo, tier: detailed, protocol: ^put}", "workload.protocol: the detailed tier sends faces"),
        ("{kind: io, processes: ^3}", "workload.processes: 3 do not fit 2"),
        (
            "{kind: netperf, test: udp_rr, message_size: ^64 KiB}",
            "workload.message_size: 64 KiB is too much for udp_rr: a datagram carries at most 65507 B",
        ),
        ("{kind: compile, native_time: ^0 s}", "workload.native_time: 0 s is too short"),
        ("{kind: compile, native_time: ^1e30 s}", "workload.native_time: "),
        ("{kind: compile, native_time: ^1e400 s}", "workload.native_time: '1e400 s' is too large"),
        ("{kind: dcmf, size: ^1 TiB}", "workload.size: 1 TiB is too much; at most 4 GiB"),
        ("{kind: io, size: ^2 TiB}", "workload.size: 2 TiB is too much; at most 1 TiB"),
        ("{kind: halo, compute: ^2e5 s}", "workload.compute: 200000 s is too much; at most 86400 s"),
        ("{kind: replay, trace: ^absent.trace}", "workload.trace: no such file: "),
        ("{kind: replay, trace: ^.}", "workload.trace: a directory, not a trace: "),
        ("{kind: replay, trace: ^binary.trace}", "workload.trace: "),
        (
            "{kind: replay, trace: one.trace, cost_model: ^absent.yaml}",
            "workload.cost_model: absent.yaml: no such file",
        ),
    ],
)
def test_one_problem_at_its_place(refusals, tmp_path, workload, problem):
    (tmp_path / "binary.trace").write_bytes(b"\xff\xfe\0\xff")
    (tmp_path / "one.trace").write_text("bgsim-messages 1\nranks 1\nend 0\n")
    column = len("workload: ") + workload.index("^") + 1  # the mark stands before the value that is wrong
    found = refusals(workload.replace("^", ""))
    assert len(found) == 1, found
    assert found[0].startswith(f"4:{column}: {problem}")


def test_a_hot_spot_does_not_post_unless_a_condition_says_so(refusals):
    assert refusals("{kind: traffic, pattern: hotspot}") == []
    assert refusals("{kind: traffic, pattern: hotspot, target: 1, active: node == 0}") == []


def test_every_swept_value_that_does_not_fit_is_told(refusals):
    sweep = "sweep:\n  workload.target: [17, 1, 18]\n"
    found = refusals("{kind: traffic, pattern: hotspot}", more=sweep)
    assert [problem.split(" is ")[0] for problem in found] == [
        "6:21: workload.target: 17",
        "6:28: workload.target: 18",
    ]


def test_a_mapping_file_with_too_few_lines_is_named(refusals, tmp_path):
    (tmp_path / "two.trace").write_text("bgsim-messages 1\nranks 2\nend 0\n")
    (tmp_path / "m.map").write_text("0 0 0 0\n")
    pair = "{topology: pair, mapping: m.map}"
    found = refusals("{kind: replay, trace: two.trace}", pair)
    assert len(found) == 1
    assert found[0].startswith(f"2:38: partition.mapping: {tmp_path / 'm.map'}: 1 rank, and the trace")
    (tmp_path / "m.map").write_text("0 0 0 0\n7 0 0 0\n")
    found = refusals("{kind: collectives}", pair)
    assert len(found) == 1
    assert found[0].startswith(f"2:38: partition.mapping: {tmp_path / 'm.map'}:2: x is 7")


def place(shape, count):
    return "".join(f"{node % shape[0]} {node // shape[0]} 0 0\n" for node in range(count))


@pytest.mark.parametrize(
    ("workload", "said"),
    [
        (
            "operation: barrier",
            "the barrier network needs a rank on all 8 nodes, and 2 have none",
        ),
        ("operation: allreduce", "the collective network needs a rank on all 8 nodes"),
        ("algorithm: rectangle", "the algorithm rectangle needs a rank on the first core of all 8 nodes"),
        ("algorithm: ring, synchronised: true", "the barrier network needs a rank on all 8 nodes"),
        ("algorithm: ring", None),
    ],
)
def test_a_mapping_file_that_leaves_nodes_empty(refusals, tmp_path, workload, said):
    (tmp_path / "six.map").write_text(place((4, 2), 6))
    found = refusals(f"{{kind: collectives, {workload}}}", "{shape: [4, 2, 1], pset: 8, mapping: six.map}")
    assert len(found) == (said is not None)
    assert all(each.startswith(f"2:49: partition.mapping: {said}") for each in found)


@pytest.mark.parametrize(
    ("workload", "topology", "problem"),
    [
        (
            "operation: ^alltoall",
            "racks-72",
            "workload.operation: alltoall by torus: 5,435,744,256 mess",
        ),
        (
            "operation: broadcast, algorithm: ring, size: ^4 GiB",
            "midplane",
            "workload.size: broadcast by ring: 803,733,504 messages, more than 20,000,000; use fewer ranks",
        ),
        (
            "operation: allgather, size: ^4 GiB",
            "midplane",
            "workload.size: allgather by collective-network: 8,589,934,592 packets through 512 nodes, and at",
        ),
    ],
)
def test_operations_that_would_not_end(refusals, workload, topology, problem):
    text = f"{{kind: collectives, {workload}}}"
    found = refusals(text.replace("^", ""), f"{{topology: {topology}}}")
    assert len(found) == 1, found
    assert found[0].startswith(f"4:{len('workload: ') + text.index('^') + 1}: {problem}")


@pytest.mark.parametrize(
    "workload",
    [
        "kind: collectives",
        "kind: halo",
        "kind: dcmf",
        "kind: io, tier: detailed",
        "kind: collectives, tier: detailed",
    ],
)
def test_the_collective_device_has_one_length_of_packets(refusals, workload):
    more = "machine: {set: {collective.packet_payload: 128 B}}\n"
    found = refusals(f"{{{workload}}}", more=more)
    said = "128 B, and packets of the collective device have 256 B, 16 quads"
    assert found == [f"5:44: machine.set.collective.packet_payload: {said}"]


def test_a_trace_must_fit(refusals, tmp_path):
    alltoall = "".join(f"rank {rank}\nalltoall 8B\n" for rank in range(5000))
    (tmp_path / "a.trace").write_text(f"bgsim-messages 1\nranks 5000\n{alltoall}end 5000\n")
    (tmp_path / "c.trace").write_text("bgsim-messages 1\nranks 1\nrank 0\ncompute 1000h\nend 1\n")
    for workload, topology, said in (
        (
            "trace: a.trace",
            "racks-8",
            "a.trace: its ranks exchange 24,995,000 messages, more than",
        ),
        (
            "trace: c.trace, compute_scale: 1e6",
            "pair",
            "c.trace:4: rank 0 computes and sleeps 3.06e+21",
        ),
    ):
        found = refusals(f"{{kind: replay, {workload}}}", f"{{topology: {topology}}}")
        assert len(found) == 1
        assert f"workload.trace: {tmp_path}/{said}" in found[0]


def test_directories_are_called_directories(refusals):
    workload = "{kind: collectives}"
    assert refusals(workload, "{topology: pair, mapping: ./}") == [
        "2:38: partition.mapping: './' is a directory, not a mapping file"
    ]
    assert refusals(workload, "{topology: ./}") == [
        "2:23: partition.topology: './' is a directory, not a topology file"
    ]


def test_a_directory_does_not_suggest_itself(tmp_path):
    (tmp_path / "dir.yaml").mkdir()
    with pytest.raises(ExperimentError, match=r"is a directory, not an experiment file$"):
        load(tmp_path / "dir.yaml")


@pytest.mark.parametrize("kind", ["halo", "io"])
def test_the_detailed_tier_ends_at_512_nodes(refusals, kind):
    assert refusals(f"{{kind: {kind}, tier: detailed}}", "{shape: [8, 8, 8]}") == []
    found = refusals(f"{{kind: {kind}, tier: detailed}}", "{shape: [16, 8, 8]}")
    assert len(found) == 1
    assert "workload.tier: the detailed tier has up to 512 nodes, not 1,024" in found[0]

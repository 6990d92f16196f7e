"""``bgsim messages`` and replays from the command line."""

import json

import pytest

TRACE = "bgsim-messages 1\nranks 2\nrank 0\ncompute 1us\nsend 1 8B\nrank 1\nrecv 0 8B\nend 3\n"
GOAL = """\
num_ranks 2
rank 0 {
l1: calc 100
l2: send 8b to 1 tag 3
l2 requires l1
}
rank 1 {
recv 8b from 0 tag 3
}
"""

COSTS = """\
schema: 1
name: bare-metal/cnk
platform: bare-metal
guest: cnk
machine: {base: bgp, set: {}, assume: {}}
datasheet_digest: '0'
model_version: 1
created_by: a test
put: {post_cycles: 900.0, complete_cycles: 75.0}
get: {post_cycles: 1200.0, complete_cycles: 75.0}
eager: {send_cycles: 1000.0, send_packet_cycles: 100.0, receive_cycles: 500.0, receive_packet_cycles: 200.0,
  batch_cycles: 0.0}
rendezvous: {send_cycles: 700.0, receive_cycles: 600.0, complete_cycles: 300.0}
local: {send_cycles: 110.0, receive_cycles: 90.0, byte_cycles: 0.5}
collective: {call_cycles: 0.0, inject_packet_cycles: 0.0, receive_packet_cycles: 0.0}
barrier: {enter_cycles: 10.0, leave_cycles: 20.0}
delivery: {values_cycles: [0.0], weights: [1.0]}
detours: []
measured: []
"""


@pytest.fixture
def trace(tmp_path):
    path = tmp_path / "small.trace"
    path.write_text(TRACE)
    return path


@pytest.fixture
def replay(tmp_path, trace):
    (tmp_path / "costs.yaml").write_text(COSTS)
    path = tmp_path / "small.yaml"
    path.write_text(
        "name: small\n"
        "partition: {topology: pair}\n"
        "platforms: [bare-metal]\n"
        f"workload: {{kind: replay, trace: {trace.name}, cost_model: {tmp_path / 'costs.yaml'}}}\n"
    )
    return path


def test_check_and_show(bgsim, trace):
    done = bgsim("messages", "check", trace)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{trace}: good; 2 ranks, 3 operations, 1 messages of 8 B together, 0 collectives\n"
    shown = bgsim("messages", "show", trace)
    assert [line.split()[:2] for line in shown.out.splitlines()[3:6]] == [
        ["compute", "1"], ["send", "1"], ["recv", "1"]
    ]  # fmt: skip
    assert shown.out.splitlines()[-1].split() == ["8", "B", "1", "8"]


def test_import_writes_what_check_accepts(bgsim, tmp_path):
    goal, out = tmp_path / "s.goal", tmp_path / "s.trace.gz"
    goal.write_text(GOAL)
    assert bgsim("messages", "import", goal, "-o", out, "--calc-unit", "2 ns").code == 0
    assert "2 ranks, 3 operations" in bgsim("messages", "check", out).out


def test_problems_end_with_2(bgsim, trace):
    trace.write_text(TRACE.replace("send 1 8B", "sned 1 8B"))
    done = bgsim("messages", "check", trace)
    assert (done.code, done.out) == (2, "")
    assert done.err == f"bgsim: {trace}:5:1: unknown operation 'sned'; did you mean 'send'?\n"
    trace.write_text(
        TRACE.replace("send 1 8B", "recv 1 8B\nsend 1 8B")
        .replace("recv 0 8B\n", "recv 0 8B\nsend 0 8B\n")
        .replace("end 3", "end 5")
    )
    assert "deadlock: rank 0 waits for ever for rank 1" in bgsim("messages", "check", trace).err
    assert bgsim("messages", "check", trace, "--format", "pcap").code == 2
    assert bgsim("messages", "check", trace.with_name("absent")).code == 2


def test_replay_runs(bgsim, replay, tmp_path):
    done = bgsim("run", replay, "-o", tmp_path / "study", "--no-figures", "-q")
    assert done.code == 0
    (record,) = map(json.loads, (tmp_path / "study" / "records.jsonl").read_text().splitlines()[-1:])
    assert record["metrics"]["messages"] == 1
    # Computation, a send with one packet, the wire, its receive.
    assert record["metrics"]["elapsed_s"] * 850e6 == pytest.approx(850 + 1100 + 544 + 136 + 700, abs=5)
    assert sum(record["attribution"].values()) == record["metrics"]["cycles_total"]
    assert record["details"]["message_sizes"] == [{"bytes_max": 8, "messages": 1, "bytes": 8}]
    assert [row["rank"] for row in record["details"]["rank_account"]] == [0, 1]
    drawn = bgsim("plot", tmp_path / "study", "-o", tmp_path, "--format", "png").out.split()
    assert [path.rsplit("/", 1)[1] for path in drawn] == ["replay-ranks.png", "replay-messages.png"]


def test_a_trace_is_its_content_and_not_its_place(replay, trace, tmp_path):
    from bgsim.experiment.plan import load

    before = load(replay).runs[0]
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for path in (replay, trace):
        (moved / path.name).write_bytes(path.read_bytes())
    assert load(moved / replay.name).runs[0].run_id == before.run_id
    trace.write_text(TRACE.replace("1us", "2us"))
    assert load(replay).runs[0].run_id != before.run_id


def test_problems_of_the_trace_are_found_when_planned(bgsim, replay, trace):
    trace.write_text(TRACE.replace("send 1 8B", "send 1 8B tag 4"))
    done = bgsim("check", replay)
    assert done.code == 2
    assert f"{trace}:5: rank 0 sends what nobody receives" in done.err
    trace.unlink()
    assert "no such file" in bgsim("check", replay).err


def test_settings_of_another_format_are_refused(bgsim, replay):
    done = bgsim("check", replay, "--set", "workload.flops_per_s=1e9")
    assert (done.code, "only a simgrid trace has a use for this" in done.err) == (2, True)


def test_a_deadlock_is_told_before_anything_runs(bgsim, replay, trace):
    trace.write_text(
        "bgsim-messages 1\nranks 2\nrank 0\nsend 1 8KiB\nrecv 1 8KiB\n"
        "rank 1\nsend 0 8KiB\nrecv 0 8KiB\nend 4\n"
    )
    done = bgsim("check", replay)
    assert (done.code, done.err.count(f"{replay}:")) == (2, 1)
    assert done.err.startswith(f"{replay}:4:33: workload.trace: {trace}:4: deadlock")
    assert f"{trace}:4: deadlock: rank 0 waits for ever for rank 1, in 'send to rank 1" in done.err


def test_too_many_ranks(bgsim, replay, trace, tmp_path):
    trace.write_text("bgsim-messages 1\nranks 3\nend 0\n")
    done = bgsim("check", replay)
    assert (done.code, done.err.count(f"{replay}:4:33: workload.trace: ")) == (2, 1)
    assert "3 ranks, and pair has places for 2 with 1 on each node" in done.err

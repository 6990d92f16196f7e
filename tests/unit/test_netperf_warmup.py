"""netperf's warm-up found instead of fixed, and streams that are offered faster than they are served."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from bgsim.datasheet import Datasheet
from bgsim.steady import grows
from bgsim.workloads import netperf
from bgsim.workloads.configs import NetperfConfig
from bgsim.workloads.netperf import NetperfError
from bgsim.workloads.netperf_programs import Recorder
from bgsim.workloads.netperf_warmup import WatchedRecorder
from bgsim.workloads.outcome import Outcome
from bgsim.workloads.resolved import Partition, ResolvedRun

SLOW = 30
PAIR = Partition("pair", (2, 1, 1), (False, False, False))


def run(platform: str, **config: Any) -> Outcome:
    machine, workload = Datasheet.load(), NetperfConfig(kind="netperf", **config)
    return netperf.run(ResolvedRun(machine, machine, PAIR, platform, "kittyhawk-linux", workload, 1, 0))


def told(recorder: Recorder, messages: int = 100) -> None:
    """A stream whose first messages take longer; a message is under way while the next one is sent."""
    random = Random(1)
    now = 0
    for number in range(messages):
        recorder.sending(now)
        now += random.randrange(90, 110) + (400 - 10 * number if number < SLOW else 0)
        recorder.arrived(number, now + 50)
    recorder.finish()


def test_what_follows_the_warmup_is_measured_as_with_that_fixed_warmup() -> None:
    marks: list[str] = []
    watched = WatchedRecorder((10, 0, 100), lambda: marks.append("watched"))
    told(watched)
    assert len(marks) == 21  # at every fifth message, and at the end
    begin, found = watched.settle()
    warmup = watched.sizes[1]
    assert SLOW - 10 <= warmup <= SLOW + 5
    assert found == {"found": "MSER-5", "messages": warmup, "settled": True}
    assert begin * 5 == warmup
    fixed = Recorder((10, warmup, 100 - warmup), lambda: None)
    told(fixed)
    assert watched.latencies == fixed.latencies
    assert (watched.begin, watched.end) == (fixed.begin, fixed.end)
    assert (watched.received_messages, watched.received_bytes) == (
        fixed.received_messages,
        fixed.received_bytes,
    )


@pytest.mark.parametrize("test", ["tcp_stream", "tcp_rr"])
def test_a_run_finds_its_own_warmup(test: str) -> None:
    asked: dict[str, Any] = {"test": test, "message_size": "200 B", "messages": 40, "data": "64 KiB"}
    outcome = run("bare-metal", warmup="auto", **asked)
    found = outcome.details["warmup"]
    assert isinstance(found, dict)
    assert found["messages"] == outcome.details["warmup_messages"]
    assert outcome.metrics["messages"] + found["messages"] == 40
    assert found["messages"] <= 20
    assert "warmup" not in run("bare-metal", **asked).details


def test_a_run_with_the_found_warmup_fixed_measures_the_same() -> None:
    """Both begin at the same moments: the phases are drawn from the seed, not from the settings."""
    asked: dict[str, Any] = {"test": "tcp_rr", "message_size": "200 B", "data": "64 KiB"}
    found = run("bare-metal", warmup="auto", messages=40, **asked)
    warmup = found.details["warmup_messages"]
    assert isinstance(warmup, int)
    fixed = run("bare-metal", warmup=warmup, messages=40 - warmup, **asked)
    assert found.metrics == fixed.metrics


@pytest.mark.parametrize("seed", range(40))
def test_lost_messages_leave_something_behind_the_warmup(seed: int) -> None:
    """At most half of what arrived is cut, so later messages follow, whichever were lost."""
    random = Random(seed)
    messages = random.randrange(20, 60)
    got = sorted(random.sample(range(messages), 20))
    if seed % 2:  # nothing but the end arrives, the first half of that late
        got = list(range(messages - 20, messages))
    marks: list[int] = []
    watched = WatchedRecorder((10, 0, messages), lambda: marks.append(1))
    for number in range(messages):
        watched.sending(100 * number)
    for place, number in enumerate(got):
        watched.arrived(number, 10_000 + 100 * number + (5000 - 10 * place if place < 10 else 0))
    begin, _ = watched.settle()
    assert begin < len(marks)
    assert watched.begin == watched.started[5 * begin]
    assert watched.latencies


def test_too_few_messages_show_no_warmup() -> None:
    with pytest.raises(NetperfError, match="8 messages arrived; to find the warm-up takes 20 at least"):
        run("bare-metal", test="tcp_rr", message_size="1 B", messages=8, warmup="auto")


def test_a_stream_of_datagrams_that_is_not_served_is_saturated() -> None:
    asked: dict[str, Any] = {"test": "udp_stream", "message_size": "1 KiB", "messages": 40, "data": "64 KiB"}
    outcome = run("bare-metal", **asked)
    assert outcome.details["messages_lost_whole_run"] == 0
    assert "were under way when the last one was sent" in str(outcome.details["saturated"])
    assert "saturated" not in run("virtual-machine", **asked).details
    assert "saturated" not in run("bare-metal", **{**asked, "test": "tcp_stream"}).details


def test_a_queue_that_stays_bounded_does_not_grow() -> None:
    random = Random(2)
    bounded = [sum(random.random() < 0.5 for _ in range(8)) for _ in range(400)]
    assert not grows(bounded)
    assert grows([number // 3 + random.randrange(3) for number in range(60)])
    assert not grows([1.0] * 19)
    assert not grows(range(19))
    assert not grows([100.0 + number / 10 for number in range(100)])  # it rises, but by a tenth only

"""What is shown while a study runs."""

import io

import pytest
from rich.console import Console

from bgsim.cli.progress import Display, Lines, seconds
from bgsim.cli.tally import Tally
from bgsim.experiment.plan import Run


def run(operation, platform):
    config = {"platform": platform, "replication": 0, "guest": "kittyhawk-linux"}
    made = Run("small", config, {"workload.operation": operation})
    made.__dict__["run_id"] = f"{operation}-{platform}"
    return made


def record(of, elapsed_s, status="ok"):
    return {
        "run_id": of.run_id,
        "status": status,
        "platform": of.config["platform"],
        "guest": of.config["guest"],
        "seed": 1,
        "replication": 0,
        "point": of.point,
        "metrics": {"elapsed_s": elapsed_s},
        "provenance": {"wall_s": 0.5},
        "error": {"message": "the link is down", "type": "RuntimeError"},
    }


NATIVE, VIRTUAL, OTHER = run("tick", "bare-metal"), run("tick", "virtual-machine"), run("tock", "bare-metal")


def test_rate_and_time_left():
    now = [0.0]
    tally = Tally(clock=lambda: now[0])
    tally.begin(10, 4, 2)
    assert tally.line(seconds) == "4 of 10 runs, 2 workers"
    for _ in range(2):
        now[0] += 0.5
        tally.add(record(NATIVE, 1.0))
    assert tally.rate_per_s() == 2
    assert tally.line(seconds) == "6 of 10 runs, 2 runs/s, 2 s left, 2 workers"
    tally.add(record(OTHER, 1.0, "failed"))
    assert tally.line(seconds).endswith(", 1 failed")


def test_the_slowdown_is_told_once_the_native_run_is_there():
    tally = Tally()
    tally.begin(3, 0, 1)
    virtual = tally.add(record(VIRTUAL, 6.0))
    assert virtual[:3] == ("operation=tick", "virtual-machine", "6 s")
    assert tally.slowdown(virtual) is None
    native = tally.add(record(NATIVE, 2.0))
    assert tally.slowdown(native) is None
    assert tally.slowdown(virtual) == 3
    assert tally.add(record(OTHER, 6.0, "failed")) is None


@pytest.mark.parametrize("kind", [Lines, Display])
def test_a_study_as_it_is_shown(kind, capsys):
    page = io.StringIO()
    console = Console(file=page, force_terminal=True, width=100, color_system=None)
    watch = kind("small", "out") if kind is Lines else kind("small", "out", console)
    watch.planned(3, 0, 0)
    watch.crew(2)
    for started in (NATIVE, VIRTUAL, OTHER):
        watch.started(started)
    watch.progressed(VIRTUAL, 0.25, "half way")
    if kind is Display:
        console.print(watch.view())
        assert "operation=tick virtual-machine: 250 ms simulated" in page.getvalue()
    watch.finished(record(NATIVE, 2.0))
    watch.finished(record(VIRTUAL, 6.0))
    watch.finished(record(OTHER, 0.0, "failed"))
    if kind is Display:
        console.print(watch.view())
        assert "operation=tick    virtual-machine    6 s               3" in page.getvalue()
    watch.ended()
    text = capsys.readouterr().err + page.getvalue()
    assert "small: 3 runs, no workers yet, into out" in text
    assert "operation=tock bare-metal: FAILED: the link is down" in text
    if kind is Lines:
        assert "[2/3] operation=tick virtual-machine: 6 s simulated in 500 ms, 3x bare-metal" in text
        assert "  2 workers now" in text
    else:
        assert "small: 3 of 3 runs, " in text

"""Single kernel operations: what is reported is of the iterations, whatever goes before and after them."""

from functools import cache

import pytest

from bgsim.datasheet import Datasheet
from bgsim.experiment.metrics import slowdown
from bgsim.workloads import micro
from bgsim.workloads.configs import MicroConfig
from bgsim.workloads.outcome import Outcome
from bgsim.workloads.resolved import Partition, ResolvedRun

SHEET = Datasheet.load()
PAIR = Partition("pair", (2, 1, 1), (False, False, False), 8)
BOTH = ("bare-metal", "virtual-machine")
TRACED = ("getpid-loop", "tlb-miss-walk", "page-fault-touch", "context-switch-ping-pong")
REPEATED = ("null-system-call", "ipc-round-trip", "device-register-access")


@cache
def measured(operation: str, platform: str, iterations: int = 20, guest: str = "kittyhawk-linux") -> Outcome:
    config = MicroConfig.model_validate({"kind": "micro", "operation": operation, "iterations": iterations})
    return micro.run(ResolvedRun(SHEET, SHEET, PAIR, platform, guest, config, 1, 0))


@pytest.mark.parametrize(
    ("operation", "platform", "guest"),
    [
        *((operation, platform, "kittyhawk-linux") for operation in TRACED + REPEATED for platform in BOTH),
        *(("timer-tick", platform, "kittyhawk-linux") for platform in BOTH),
        ("l4-call-other-space", "l4-native", "l4-app"),
        ("page-fault-touch", "l4-native", "l4-app"),
    ],
)
def test_causes_and_exits_add_up_to_the_measured_part(operation: str, platform: str, guest: str) -> None:
    outcome = measured(operation, platform, guest=guest)
    metrics, rows = outcome.metrics, outcome.exits
    frequency = SHEET.integer("core.frequency")
    idle = outcome.attribution.get("idle", 0)
    assert sum(outcome.attribution.values()) == metrics["cycles_total"]
    assert metrics["cycles_total"] - idle == 20 * metrics["cycles_per_operation"]
    assert metrics["latency_us"] == pytest.approx(metrics["cycles_per_operation"] / frequency * 1e6)
    departures = [row["count"] for row in rows if guest == "l4-app" or row["cause"].startswith("PPC_HVM")]
    assert sum(departures) == metrics["exits_total"]
    assert sum(row["cycles_vmm"] for row in rows) == metrics["cycles_vmm"]
    if operation == "timer-tick":
        assert idle > 0.9 * metrics["cycles_total"]
        assert "elapsed_s" not in metrics
    else:
        assert idle == 0
        assert metrics["elapsed_s"] == metrics["cycles_total"] / frequency


@pytest.mark.parametrize("operation", [*REPEATED, "getpid-loop", "context-switch-ping-pong", "timer-tick"])
def test_the_slowdown_is_that_of_the_operation(operation: str) -> None:
    native, virtual = (measured(operation, platform).metrics for platform in BOTH)
    assert slowdown(native, virtual) == pytest.approx(virtual["latency_us"] / native["latency_us"])


@pytest.mark.parametrize("operation", ["null-system-call", "device-register-access"])
def test_twice_the_iterations_have_twice_the_exits(operation: str) -> None:
    """Neither start-up nor warm-up is in the exit table; a rare tick of the kernel may be."""
    exits = {
        count: {row["cause"]: row["count"] for row in measured(operation, "virtual-machine", count).exits}
        for count in (20, 40)
    }
    for cause in exits[20].keys() | exits[40].keys():
        assert abs(exits[40].get(cause, 0) - 2 * exits[20].get(cause, 0)) <= 1, cause

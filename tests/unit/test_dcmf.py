"""The dcmf workload against the measured two-node tables, and what it says about itself.

Calibrated on: put with local completion, 8 to 256 B; streamed get 8 to 512 B and put 256 and 512 B. All
other rows are predictions.
"""

import pytest

from bgsim.datasheet import Datasheet
from bgsim.hardware.core import guest_cpi
from bgsim.validation_data import table, two_node
from bgsim.workloads import dcmf
from bgsim.workloads.configs import DcmfConfig
from bgsim.workloads.outcome import Outcome
from bgsim.workloads.resolved import Partition, ResolvedRun

SHEET = Datasheet.load()
MESH = (False, False, False)
PAIR = Partition("pair", (2, 1, 1), MESH)


def simulate(
    operation: str = "put",
    completion: str = "local",
    measure: str = "latency",
    size: int = 1024,
    messages: int = 10,
    warmup: int = 0,
    sheet: Datasheet = SHEET,
    partition: Partition = PAIR,
    platform: str = "bare-metal",
) -> Outcome:
    config = DcmfConfig.model_validate(
        {
            "kind": "dcmf",
            "operation": operation,
            "completion": completion,
            "measure": measure,
            "size": f"{size} B",
            "messages": messages,
            "warmup": warmup,
        }
    )
    return dcmf.run(ResolvedRun(sheet, sheet, partition, platform, "cnk", config, 1, 0))


def sizes(measure: str, column: str) -> list[int]:
    return [int(row["bytes"]) for row in table(f"two_node_{measure}") if row[column]]


def steady(size: int) -> dict[str, int]:
    """Operations enough for the steady state: large ones fill the pipeline at once."""
    return {"messages": 16, "warmup": 16} if size <= 4096 else {"messages": 2, "warmup": 3}


LATENCY = [
    (operation, completion, size)
    for operation, completion, column in (
        ("get", "local", "dcmf_get_us"),
        ("put", "local", "dcmf_put_local_us"),
        ("put", "remote", "dcmf_put_remote_us"),
    )
    for size in sizes("latency", column)
]
BANDWIDTH = [(op, size) for op in ("get", "put") for size in sizes("bandwidth", f"a1_{op}_MiBps")]


@pytest.mark.parametrize(("operation", "completion", "size"), LATENCY)
def test_latency_within_ten_percent(operation: str, completion: str, size: int) -> None:
    outcome = simulate(operation, completion, "latency", size, **steady(size))
    measured = outcome.details["measured"]
    assert outcome.metrics["latency_us"] == pytest.approx(measured, rel=0.10)


@pytest.mark.parametrize(("operation", "size"), BANDWIDTH)
def test_bandwidth_within_one_percent(operation: str, size: int) -> None:
    outcome = simulate(operation, "local", "bandwidth", size, **steady(size))
    measured = outcome.details["measured"]
    assert outcome.metrics["bandwidth_MiBps"] == pytest.approx(measured, rel=0.01)


@pytest.mark.parametrize("size", [8, 512, 1024, 4096])
@pytest.mark.parametrize("operation", ["get", "put"])
def test_bandwidth_does_not_depend_on_how_long_it_is_measured(operation: str, size: int) -> None:
    short = simulate(operation, "local", "bandwidth", size, messages=8, warmup=16)
    long = simulate(operation, "local", "bandwidth", size, messages=150, warmup=70)
    assert short.metrics["bandwidth_MiBps"] == pytest.approx(long.metrics["bandwidth_MiBps"], rel=1e-3)


def test_without_warm_up_the_filling_of_the_pipeline_is_measured() -> None:
    filling = simulate("get", "local", "bandwidth", 1024, messages=20)
    rate = simulate("get", "local", "bandwidth", 1024, messages=20, warmup=16)
    assert filling.metrics["bandwidth_MiBps"] < 0.97 * rate.metrics["bandwidth_MiBps"]
    assert filling.metrics["messages"] == rate.metrics["messages"] == 20
    assert rate.details["packets"] == 36 * 6


@pytest.mark.parametrize("platform", ["bare-metal", "virtual-machine"])
@pytest.mark.parametrize("operation", ["get", "put"])
def test_what_goes_before_the_first_operation_is_not_in_the_bandwidth(operation: str, platform: str) -> None:
    """Neither the library's start-up nor the target's: only the end of the last wait is not streamed."""
    metrics = simulate(operation, "local", "bandwidth", 4096, messages=16, platform=platform).metrics
    whole = 16 * 4096 / 2**20 / metrics["elapsed_s"]
    assert whole <= metrics["bandwidth_MiBps"] < 1.2 * whole


def test_warm_up_operations_are_not_in_the_latency() -> None:
    cold = simulate("put", size=2048, messages=1)
    warm = simulate("put", size=2048, messages=1, warmup=16)
    assert cold.metrics["operation_us_min"] < warm.metrics["operation_us_min"]


def test_every_row_of_the_tables_is_covered() -> None:
    assert len(LATENCY) == 18 + 17 + 17
    assert len(BANDWIDTH) == 19 + 14


def test_four_constants_are_calibrated_and_say_on_what() -> None:
    fitted = [name for name in SHEET if name.startswith(("dcmf.", "a1.")) and SHEET[name].confidence == "C"]
    assert sorted(fitted) == ["a1.operation", "dcmf.get_extra", "dcmf.operation", "dcmf.poll_instructions"]
    assert all("two_node_" in SHEET[name].calibrated_on for name in fitted)


def test_one_get_takes_the_sum_of_its_parts() -> None:
    l3, ddr, access = (SHEET.cycles(name) for name in ("cache.l3_latency", "memory.latency", "mmio.latency"))
    flight = SHEET.cycles("torus.hop_latency") + SHEET.cycles("torus.endpoint_latency")
    software = SHEET.cycles("dcmf.operation") + SHEET.cycles("dcmf.get_extra") + 2 * access
    request = l3 + ddr + 160 + flight
    answer = l3 + l3 + ddr + 3 * 544 + flight + l3
    outcome = simulate("get", size=512, messages=1)
    noticing = outcome.metrics["cycles_total"] - software - request - answer
    # The load that sees the counter at zero ends at most one round of polling later.
    assert -2 <= noticing <= access + SHEET.integer("dcmf.poll_instructions") * guest_cpi(SHEET) + 2


@pytest.mark.parametrize("measure", ["latency", "bandwidth"])
@pytest.mark.parametrize(("operation", "completion"), [("get", "local"), ("put", "local"), ("put", "remote")])
def test_causes_sum_to_the_total(operation: str, completion: str, measure: str) -> None:
    outcome = simulate(operation, completion, measure, 2000, 70)
    assert sum(outcome.attribution.values()) == outcome.metrics["cycles_total"]
    accesses = outcome.details["device_accesses"]
    assert isinstance(accesses, dict)
    assert accesses["posting"] == 2 * 70
    assert accesses["polling"] >= 70
    total = accesses["posting"] + accesses["polling"]
    assert outcome.attribution["device"] == total * SHEET.cycles("mmio.latency")


def test_the_same_run_gives_the_same_outcome() -> None:
    assert simulate("get", size=3000) == simulate("get", size=3000)


def test_packets_and_hops_are_counted() -> None:
    outcome = simulate("put", "remote", size=1000, messages=4)
    assert outcome.details["packets"] == 4 * (5 + 1 + 1)
    assert outcome.metrics["packet_hops"] == 4 * 7
    far = simulate("get", size=100, partition=Partition("column", (1, 1, 4), MESH))
    assert far.details["target_node"] == 1


def test_link_rate_and_hop_latency_matter() -> None:
    slow = SHEET.with_values({"torus.link_rate": "212.5 MB/s"})
    assert simulate(size=65536, sheet=slow).metrics["latency_us"] == pytest.approx(2 * 175.36, rel=0.01)
    longer = SHEET.with_values({"torus.hop_latency": "154 ns"})
    added = (
        simulate("get", sheet=longer, messages=1).metrics["cycles_total"]
        - simulate("get", messages=1).metrics["cycles_total"]
    )
    further = 2 * (longer.cycles("torus.hop_latency") - SHEET.cycles("torus.hop_latency"))
    round_ = SHEET.cycles("mmio.latency") + SHEET.integer("dcmf.poll_instructions") * guest_cpi(SHEET)
    assert abs(added - further) <= round_ + 1


def test_what_was_not_measured_has_no_measured_value() -> None:
    assert simulate(size=1000).details["measured"] is None
    assert simulate(size=8).details["measured"] == 1.62
    assert simulate(size=8, messages=1, platform="virtual-machine").details["measured"] is None
    assert two_node("put", "remote", "bandwidth", 1024) is None
    assert two_node("put", "local", "bandwidth", 8) is None
    assert two_node("get", "local", "latency", 8) == 3.29


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"operation": "get", "completion": "remote"}, "only a put has two kinds"),
        ({"size": 0}, "at least one byte"),
        ({"partition": Partition("one", (1, 1, 1), MESH)}, "needs two nodes"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simulate(**change)  # type: ignore[arg-type]


def test_progress_is_told() -> None:
    told: list[tuple[float, str]] = []
    config = DcmfConfig.model_validate({"kind": "dcmf", "messages": 100, "warmup": 30})
    run = ResolvedRun(SHEET, SHEET, PAIR, "bare-metal", "cnk", config, 1, 0)
    dcmf.run(run, lambda seconds, note: told.append((seconds, note)))
    assert [note for _, note in told] == [f"{done} of 130 operations" for done in (64, 128, 130)]
    assert [seconds for seconds, _ in told] == sorted(seconds for seconds, _ in told)


# -- the same program in a virtual machine ----------------------------------------------------------


@pytest.mark.parametrize(("operation", "completion"), [("get", "local"), ("put", "local"), ("put", "remote")])
def test_each_device_access_is_one_exit_to_the_vmm(operation: str, completion: str) -> None:
    outcome = simulate(operation, completion, size=64, messages=20, platform="virtual-machine")
    accesses = outcome.details["device_accesses"]
    assert isinstance(accesses, dict)
    exits = {row["cause"]: row["count"] for row in outcome.exits}
    assert exits["PPC_HVM_DTLB_MISS_DEVICE"] == accesses["posting"] + accesses["polling"]
    # Two to post it, and one to see it done: the answer is there before the first poll can ask.
    assert accesses == {"posting": 2 * 20, "polling": 20}


def test_there_are_no_tlb_misses_in_the_steady_state() -> None:
    few, many = (
        simulate("get", size=64, messages=messages, platform="virtual-machine").metrics["tlb_misses"]
        for messages in (5, 40)
    )
    assert few == many < 10
    assert simulate("get", size=64, messages=5).metrics["tlb_misses"] == 0


def test_a_virtual_machine_pays_for_its_exits() -> None:
    native, virtual = (simulate("put", size=64, platform=name) for name in ("bare-metal", "virtual-machine"))
    spent = (virtual.metrics["cycles_l4"] + virtual.metrics["cycles_vmm"]) / 850
    assert 10 * virtual.metrics["latency_us"] == pytest.approx(10 * 1.62 + spent, rel=0.05)
    assert native.exits == []


@pytest.mark.parametrize(("operation", "completion"), [("get", "local"), ("put", "local"), ("put", "remote")])
@pytest.mark.parametrize("size", [8, 3000])
def test_a_virtual_machine_that_costs_nothing_takes_the_native_time(
    operation: str, completion: str, size: int, free_machine: Datasheet
) -> None:
    native, virtual = (
        simulate(operation, completion, size=size, sheet=free_machine, platform=name)
        for name in ("bare-metal", "virtual-machine")
    )
    assert virtual.metrics["cycles_total"] == native.metrics["cycles_total"]
    assert virtual.details["device_accesses"] == native.details["device_accesses"]
    assert virtual.metrics["exits_total"] > 0

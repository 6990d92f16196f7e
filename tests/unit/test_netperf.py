"""netperf: what the counted mechanism gives, on both platforms."""

from __future__ import annotations

from typing import Any

import pytest

from bgsim.datasheet import Datasheet
from bgsim.profiles.program import counts
from bgsim.workloads import netperf
from bgsim.workloads.configs import NetperfConfig
from bgsim.workloads.netperf import NetperfError
from bgsim.workloads.outcome import Outcome
from bgsim.workloads.resolved import Partition, ResolvedRun

PAIR = Partition("pair", (2, 1, 1), (False, False, False))
BOTH = ("bare-metal", "virtual-machine")


def run(platform: str, *, values: dict[str, object] | None = None, **config: Any) -> Outcome:
    machine = Datasheet.load()
    if values:
        machine = machine.with_values(values)
    partition = config.pop("partition", PAIR)
    seed, replication = config.pop("seed", 1), config.pop("replication", 0)
    workload = NetperfConfig(kind="netperf", **{"messages": 4, "warmup": 2, **config})
    return netperf.run(
        ResolvedRun(machine, machine, partition, platform, "kittyhawk-linux", workload, seed, replication)
    )


@pytest.mark.parametrize("platform", BOTH)
@pytest.mark.parametrize("network", ["torus", "collective"])
@pytest.mark.parametrize("test", ["tcp_stream", "udp_stream", "tcp_rr", "udp_rr"])
def test_every_test_moves_its_messages_and_adds_up(test: str, network: str, platform: str) -> None:
    outcome = run(platform, test=test, network=network, message_size="2000 B")
    metrics, details = outcome.metrics, outcome.details
    assert details["messages_lost_whole_run"] == 0
    assert details["retransmissions"] == 0
    assert details["frames_dropped_by_driver"] == details["frames_dropped_by_backlog"] == 0
    assert metrics["messages"] >= 4
    assert sum(outcome.attribution.values()) == metrics["cycles_total"]
    assert 0 < metrics["cpu_utilisation"] <= 1
    assert metrics["latency_p50_us"] <= metrics["latency_p99_us"]
    l4 = sum(row["cycles_l4"] for row in outcome.exits)
    vmm = sum(row["cycles_vmm"] for row in outcome.exits)
    assert vmm == metrics["cycles_vmm"]
    assert l4 <= metrics["cycles_l4"]
    if platform == "bare-metal":
        assert not outcome.exits
        assert metrics["exits_per_frame"] == 0


def test_a_one_byte_round_trip_over_the_torus_pays_every_access_once_per_frame() -> None:
    outcome = run("virtual-machine", test="tcp_rr", message_size="1 B", messages=16, warmup=4)
    # 2 to send, 6 + 5 for the receive interrupt, 5 + 5 for the completion interrupt.
    assert outcome.details["exits_ipc_per_frame"] == pytest.approx(23, abs=0.5)
    assert outcome.metrics["interrupts_per_frame"] == pytest.approx(2, abs=0.1)


def test_a_one_byte_round_trip_over_the_collective_network_pays_every_quad() -> None:
    outcome = run(
        "virtual-machine", network="collective", test="tcp_rr", message_size="1 B", messages=16, warmup=4
    )
    # 18 to send; to receive a flag register, a status, a header and 16 quads, and 5 for the interrupt.
    assert outcome.details["exits_ipc_per_frame"] == pytest.approx(18 + 19 + 5, abs=0.1)
    assert outcome.metrics["interrupts_per_frame"] == pytest.approx(1)


def test_an_idle_guest_sees_a_packet_at_the_next_tick_of_the_kernel() -> None:
    slow = run("virtual-machine", test="tcp_rr", message_size="1 B", messages=8)
    quick = run(
        "virtual-machine", values={"l4.inject_on_resume": True}, test="tcp_rr", message_size="1 B", messages=8
    )
    assert slow.metrics["latency_p50_us"] == pytest.approx(1953, abs=60)
    assert quick.metrics["latency_p50_us"] < slow.metrics["latency_p50_us"]
    delays = [each.details["interrupt_to_vector_us_mean"] for each in (quick, slow)]
    assert isinstance(delays[0], float)
    assert isinstance(delays[1], float)
    assert delays[0] < delays[1]


def test_the_virtual_machine_is_slower_and_bulk_amortises_interrupts() -> None:
    native, virtual = (run(each, test="tcp_stream", message_size="16 KiB") for each in BOTH)
    assert virtual.metrics["throughput_bps"] < native.metrics["throughput_bps"] / 5
    assert native.metrics["throughput_bps"] < 3.4e9  # a torus link


def test_larger_packets_need_less_processor_time() -> None:
    small, large = (
        run("bare-metal", test="tcp_stream", message_size="16 KiB", mtu=mtu) for mtu in ("1500 B", "9000 B")
    )
    assert large.metrics["cpu_us_per_message"] < small.metrics["cpu_us_per_message"]
    assert large.metrics["frames"] < small.metrics["frames"]


def test_a_run_repeats_to_the_digit_and_replications_differ() -> None:
    config = {"test": "tcp_stream", "message_size": "4 KiB"}
    first, again = (run("virtual-machine", **config) for _ in range(2))
    other = run("virtual-machine", replication=1, **config)
    assert first == again
    assert first.metrics["elapsed_s"] != other.metrics["elapsed_s"]


def test_what_cannot_be_run_is_refused() -> None:
    with pytest.raises(NetperfError, match="two nodes"):
        run("bare-metal", partition=Partition("one", (1, 1, 1), (False, False, False)))
    with pytest.raises(ValueError, match="576 to 9330 B"):
        run("bare-metal", mtu="16 KiB")


def test_a_datagram_is_as_large_as_ip_carries_and_no_larger() -> None:
    with pytest.raises(ValueError, match="at most 65507 B"):
        run("bare-metal", test="udp_rr", message_size="65508 B")
    outcome = run("bare-metal", test="udp_rr", message_size="65507 B", mtu="9000 B", messages=2)
    assert outcome.details["message_bytes"] == 65_507


@pytest.mark.parametrize(
    ("test", "size", "used", "allowed"),
    [("tcp_stream", "8 KiB", 1, "messages: 4"), ("tcp_rr", "16 KiB", 0, "transactions: 1")],
)
def test_a_warm_up_that_was_cut_short_is_told(test: str, size: str, used: int, allowed: str) -> None:
    cut = run("bare-metal", test=test, message_size=size, data="32 KiB", warmup=4)
    (warning,) = cut.warnings
    assert warning.startswith(f"workload.warmup: {used} used, not 4: ")
    assert allowed in warning
    assert cut.details["warmup_messages"] == used
    assert not run("bare-metal", test=test, message_size="64 B", data="32 KiB", warmup=4).warnings


def test_stack_path_lengths_follow_from_the_counts() -> None:
    sheet = Datasheet.load()
    measured = counts()
    packet = sheet.integer("guest.tcp.packet_instructions")
    call = sheet.integer("guest.tcp.call_instructions")
    wake = sheet.integer("guest.block_and_wake_instructions")
    per_byte = 2 * sheet.number("guest.copy_instructions_per_byte")

    def predicted(name: str, data_bytes: int) -> float:
        each = measured[name]
        packets = each["derived"]["insn_total"] / each["derived"]["per_packet_tx_plus_rx"]["insn"]
        calls = each["exceptions"]["syscall"]["user"]
        total = packets * packet + calls * call + each["pid_writes"] * wake + data_bytes * per_byte
        return total / each["insn_kernel"]

    assert predicted("W5_tcp_rr_1B_mtu1500", 10_000) == pytest.approx(1, abs=0.01)
    assert predicted("W5_tcp_stream_1448B_mtu1500_nodelay", 4096 * 1448) == pytest.approx(1, abs=0.02)
    assert predicted("W5_tcp_stream_64K_mtu65536", 256 * 65_536) == pytest.approx(1, abs=0.03)

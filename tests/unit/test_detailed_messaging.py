"""Collective operations and halo exchanges in the detailed tier, and beside the machine tier."""

from typing import Any

import numpy as np
import pytest

from bgsim.datasheet import Datasheet
from bgsim.machine.halo_exchange import HaloExchange
from bgsim.workloads import collectives, halo
from bgsim.workloads.detailed_messaging import DetailedError, run_detailed_collective, run_detailed_halo
from bgsim.workloads.machine_configs import CollectivesConfig, HaloConfig
from bgsim.workloads.outcome import Outcome
from bgsim.workloads.resolved import Partition, ResolvedRun

SHEET = Datasheet.load()
EIGHT = Partition("eight", (2, 2, 2), (False, False, False))
BOTH = ["bare-metal", "virtual-machine"]


def resolved(config: Any, platform: str, partition: Partition = EIGHT, guest: str = "cnk") -> ResolvedRun:
    return ResolvedRun(SHEET, SHEET, partition, platform, guest, config, 7, 0)


def collective(platform: str, tier: str, **settings: Any) -> Outcome:
    config = CollectivesConfig.model_validate(
        {"kind": "collectives", "iterations": 4, "tier": tier, **settings}
    )
    return collectives.run(resolved(config, platform))


def exchange(platform: str, tier: str, **settings: Any) -> Outcome:
    config = HaloConfig.model_validate({"kind": "halo", "iterations": 4, "tier": tier, **settings})
    return halo.run(resolved(config, platform))


@pytest.mark.parametrize("platform", BOTH)
@pytest.mark.parametrize(
    ("settings", "tolerance"),
    [
        ({"operation": "barrier"}, 0.2),
        ({"operation": "allreduce"}, 0.05),  # 0.1 us: half a round of polling
        ({"operation": "allreduce", "size": "1 KiB"}, 0.05),
    ],
)
def test_the_tiers_agree_on_collectives(platform: str, settings: dict[str, str], tolerance: float) -> None:
    detailed, machine = (collective(platform, tier, **settings) for tier in ("detailed", "machine"))
    assert detailed.metrics["operation_us_avg"] == pytest.approx(
        machine.metrics["operation_us_avg"], rel=tolerance
    )
    assert detailed.details["tier"] == "detailed"
    assert (detailed.metrics["exits_ipc"] > 0) == bool(detailed.exits)


@pytest.mark.parametrize("cells", [[8, 8, 8], [32, 32, 32]])
def test_the_tiers_agree_on_a_native_halo(cells: list[int]) -> None:
    detailed, machine = (
        exchange("bare-metal", tier, grid=cells, compute="10 us", periodic=False)
        for tier in ("detailed", "machine")
    )
    assert detailed.metrics["operation_us_avg"] == pytest.approx(
        machine.metrics["operation_us_avg"], rel=0.15
    )
    assert detailed.metrics["packet_hops"] == machine.metrics["packet_hops"] or cells != [8, 8, 8]


def test_a_native_halo_takes_as_long_in_every_iteration() -> None:
    """A library that makes progress only for a program that waits handles no face between two sends."""
    sixteen = Partition("sixteen", (4, 2, 2), (False, False, False))
    settings = {"grid": [8, 8, 8], "compute": "10 us", "periodic": False, "network": "packet"}
    one, many = (
        halo.run(
            resolved(
                HaloConfig.model_validate({"kind": "halo", "iterations": n, **settings}),
                "bare-metal",
                sixteen,
            )
        ).metrics["elapsed_s"]
        / n
        for n in (1, 20)
    )
    assert many == pytest.approx(one, rel=0.01)


def test_announcements_wait_for_a_rank_that_computes_or_sends() -> None:
    """The middle one of three has two announcements when it comes to computing, and answers none before."""
    three = Partition("three", (3, 1, 1), (False, False, False))
    settings = {"grid": [16, 16, 16], "compute": "10 us", "periodic": False, "overlap": True}
    detailed, machine = (
        halo.run(
            resolved(
                HaloConfig.model_validate({"kind": "halo", "iterations": 5, "tier": tier, **settings}),
                "bare-metal",
                three,
            )
        ).metrics["elapsed_s"]
        for tier in ("detailed", "machine")
    )
    assert machine == pytest.approx(detailed, rel=0.05)


def test_requests_do_not_wait_for_all_data_before_them() -> None:
    """A request whose torus FIFO is full of data keeps its turn at the DMA engine, whatever others there are.

    Nodes in the middle of an edge send data three ways and ask a neighbour for some on one of them.
    """
    nine = Partition("nine", (3, 3, 1), (False, False, False))
    settings = {"grid": [32, 32, 32], "compute": "10 us", "periodic": False, "network": "packet"}
    detailed, machine = (
        halo.run(
            resolved(
                HaloConfig.model_validate({"kind": "halo", "iterations": 1, **settings, **tier}),
                "bare-metal",
                nine,
            )
        ).metrics["operation_us_max"]
        for tier in ({"tier": "detailed", "network": "auto"}, {"tier": "machine"})
    )
    assert detailed == pytest.approx(machine, rel=0.05)


def test_the_tiers_agree_on_a_halo_in_virtual_machines() -> None:
    """Faces that arrive together are found together: one load of the FIFO's tail for all, each an exit."""
    detailed, machine = (
        exchange("virtual-machine", tier, grid=[8, 8, 8], compute="10 us") for tier in ("detailed", "machine")
    )
    assert detailed.metrics["operation_us_avg"] == pytest.approx(machine.metrics["operation_us_avg"], rel=0.2)


def test_each_process_has_its_times() -> None:
    times = run_detailed_collective(resolved(None, "bare-metal"), "allreduce", 8, 3, compute_cycles=1000)
    assert times.begins.shape == times.ends.shape == (3, 8)
    assert (times.ends > times.begins).all()
    assert (times.begins[1:] >= times.ends[:-1] + 990).all()
    assert times.begins[0].min() >= 990


def test_the_same_run_gives_the_same_times() -> None:
    first, second = (
        run_detailed_collective(resolved(None, "virtual-machine"), "barrier", 0, 2) for _ in range(2)
    )
    assert np.array_equal(first.begins, second.begins)
    assert np.array_equal(first.ends, second.ends)


@pytest.mark.parametrize("guest", ["cnk", "kittyhawk-linux"])
def test_counts_are_of_the_iterations(guest: str) -> None:
    """Starting up, spinning until all are ready and lingering are in none of them."""
    pair = Partition("pair", (2, 1, 1), (False, False, False))

    def barriers(platform: str, iterations: int) -> Outcome:
        config = CollectivesConfig.model_validate(
            {"kind": "collectives", "operation": "barrier", "tier": "detailed", "iterations": iterations}
        )
        return collectives.run(resolved(config, platform, pair, guest))

    one, four = (barriers("bare-metal", count).metrics["instructions"] for count in (1, 4))
    assert four == 4 * one
    outcome = barriers("virtual-machine", 2)
    metrics, rows = outcome.metrics, outcome.exits
    counted = sum(row["count"] for row in rows if row["cause"].startswith("PPC_HVM"))
    assert counted == metrics["exits_total"] > 0
    assert sum(row["cycles_vmm"] for row in rows) == metrics["cycles_vmm"]
    assert sum(row["cycles_l4"] for row in rows) <= metrics["cycles_l4"]
    assert metrics["cycles_l4"] + metrics["cycles_vmm"] < 2 * metrics["cycles_total"]


def test_what_each_core_did_adds_up_to_its_time() -> None:
    times = run_detailed_collective(resolved(None, "virtual-machine"), "allreduce", 8, 2)
    for rank, spent in enumerate(times.spent):
        assert spent.opened == times.begins[0, rank] + times.job.start_cycles
        assert spent.closed == times.ends[-1, rank] + times.job.start_cycles
        assert sum(spent.attribution.values()) == spent.cycles


@pytest.mark.parametrize("protocol", ["eager", "rendezvous"])
@pytest.mark.parametrize("overlap", [False, True])
def test_halo_protocols(protocol: Any, overlap: bool) -> None:
    work = HaloExchange((2, 2, 2), True, (600, 600, 600), 20_000, overlap, (protocol,) * 3)
    times = run_detailed_halo(resolved(None, "bare-metal"), work, 3, np.arange(8))
    spent = times.ends - times.begins
    assert (spent >= 20_000).all()
    messengers = [process.messenger for process in times.job.processes]
    assert all(not messenger.arrived for messenger in messengers)
    # Six messages an iteration; a rendezvous arms and posts, and is answered by a get that does so too.
    accesses = {messenger.accesses.posting for messenger in messengers}
    assert accesses == {3 * 6 * (1 if protocol == "eager" else 4)}


def test_what_the_detailed_tier_does_not_have() -> None:
    with pytest.raises(DetailedError, match="alltoall"):
        run_detailed_collective(resolved(None, "bare-metal"), "alltoall", 8, 1)
    work = HaloExchange((2, 2, 2), True, (600, 600, 600), 0, False, ("put",) * 3)
    with pytest.raises(DetailedError, match="does not put"):
        run_detailed_halo(resolved(None, "bare-metal"), work, 1, np.arange(8))
    large = Partition("rack", (8, 8, 16), (True, True, True))
    with pytest.raises(DetailedError, match="up to 512 nodes"):
        run_detailed_collective(resolved(None, "bare-metal", large), "barrier", 0, 1)
    four = {"kind": "collectives", "tier": "detailed", "ranks_per_node": 4, "operation": "barrier"}
    with pytest.raises(ValueError, match="one process on each node"):
        CollectivesConfig.model_validate(four)

"""Cost models come out of the detailed tier; the shipped ones hold as long as the machine is the same."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bgsim.datasheet import Datasheet
from bgsim.machine.cost_model import CostModelError
from bgsim.workloads import characterize, cost_drift, probe_collective, probe_messaging, probe_noise
from bgsim.workloads.characterize import Characterisation, cost_model_for, machine_digest
from bgsim.workloads.configs import DcmfConfig
from bgsim.workloads.resolved import Partition, ResolvedRun
from bgsim.workloads.samples import BINS, Samples, cost, histogram

SHEET = Datasheet.load()
PAIR = Partition("pair", (2, 1, 1), (False, False, False))
TICK_CYCLES = SHEET.cycles("l4.tick")


def run_on(machine: Datasheet, platform: str = "bare-metal") -> ResolvedRun:
    config = DcmfConfig.model_validate({"kind": "dcmf"})
    return ResolvedRun(machine, machine, PAIR, platform, "cnk", config, 1, 0)


# -- probes


def test_bare_metal_has_no_detours_under_cnk() -> None:
    samples = Samples()
    assert probe_noise.detours(SHEET, "bare-metal", "cnk", samples) == ()
    seen = probe_noise.fixed_work_quanta(SHEET, "bare-metal", "cnk", 200)
    assert set(seen.detour) == {0}


def test_the_microkernels_tick_is_all_that_interrupts_cnk_in_a_virtual_machine() -> None:
    (source,) = probe_noise.detours(SHEET, "virtual-machine", "cnk", Samples())
    assert source.name == "l4_tick"
    assert source.period_cycles == TICK_CYCLES
    # A tick with nothing to do, and every sixth one a time slice that has run out.
    assert len(source.durations_cycles) == 2
    assert source.weights[0] / sum(source.weights) == pytest.approx(5 / 6, abs=0.02)


def test_a_tick_that_costs_nothing_is_no_detour(free_machine: Datasheet) -> None:
    assert probe_noise.detours(free_machine, "virtual-machine", "cnk", Samples()) == ()


def test_linux_is_interrupted_by_its_timer_on_both_platforms() -> None:
    period = SHEET.integer("core.frequency") // SHEET.integer("guest.timer_frequency")
    (native,) = probe_noise.detours(SHEET, "bare-metal", "kittyhawk-linux", Samples())
    assert (native.name, native.period_cycles, native.jitter) == ("guest_timer", period, 0)
    tick, timer = probe_noise.detours(SHEET, "virtual-machine", "kittyhawk-linux", Samples())
    assert (tick.name, timer.name, timer.period_cycles) == ("l4_tick", "guest_timer", period)
    assert 0.3 < timer.jitter <= TICK_CYCLES / period  # it waits for a tick
    assert min(timer.durations_cycles) > 3 * max(native.durations_cycles)


@pytest.mark.parametrize("platform", ["bare-metal", "virtual-machine"])
def test_eager_costs_are_linear_in_packets(platform: str) -> None:
    samples = Samples()
    probe_messaging.eager(SHEET, platform, samples)
    fixed, each = samples.per_unit("eager receive", 1, 5)
    assert samples.mean("eager receive 2") == pytest.approx(fixed + 2 * each, abs=3)
    assert samples.mean("eager send 5") == pytest.approx(samples.mean("eager send 1"), abs=1)


@pytest.mark.parametrize("limit", ["0 B", "16 KiB"])
def test_probes_say_the_protocol_themselves(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, few in (("ROUNDS", 2), ("WARM_UP", 1), ("DELIVERIES", 8)):
        monkeypatch.setattr(probe_messaging, name, few)
    machine = SHEET.with_values({"mpi.eager_limit": limit})
    taken = []
    for sheet in (machine, SHEET.with_values({})):
        samples = Samples()
        probe_messaging.eager(sheet, "bare-metal", samples)
        probe_messaging.rendezvous(sheet, "bare-metal", samples)
        probe_messaging.delivery(sheet, "bare-metal", samples)
        taken.append(samples.measured())
        assert "mpi.eager_limit" not in sheet.read  # a cost model holds for every limit
    assert taken[0] == taken[1]


def test_a_machine_that_cannot_be_characterised_is_refused() -> None:
    with pytest.raises(
        CostModelError, match=r"packet_payload: 128 B, and packets of the collective device have"
    ):
        characterize.characterize(
            SHEET.with_values({"collective.packet_payload": "128 B"}), "bare-metal", "cnk"
        )
    with pytest.raises(CostModelError, match="of 'barrier enter' no sample is without an interruption"):
        Samples().mean("barrier enter")


def test_waits_are_those_of_a_polling_round() -> None:
    samples = Samples()
    probe_messaging.delivery(SHEET, "bare-metal", samples)
    values = samples.cycles["delivery"]
    assert 140 < max(values) <= 156  # a load and the pause behind it
    assert min(values) < 12
    assert sum(values) / len(values) == pytest.approx(77, abs=5)


def network_costs(machine: Datasheet) -> tuple[object, ...]:
    samples = Samples()
    probe_collective.barriers(machine, "bare-metal", samples)
    probe_collective.allreduces(machine, "bare-metal", samples, 256)
    probe_collective.waits(machine, "bare-metal", samples)
    return (*probe_collective.costs(machine, samples), samples.measured())


def test_networks_without_memory_mapped_registers_do_not_see_their_latency(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, few in (("ROUNDS", 3), ("SHORT", 1), ("LONG", 1), ("LONG_ROUNDS", 1), ("WAITS", 16)):
        monkeypatch.setattr(probe_collective, name, few)
    slow = network_costs(SHEET.with_values({"mmio.latency": "1000 cycles"}))
    assert slow == network_costs(SHEET)
    collective, barrier, measured = slow
    means = {each.what: each.mean_cycles for each in measured}
    # Not less than what a core works from the poll that sees a packet, and the parts make up the whole.
    assert collective.receive_packet_cycles >= means["collective receive"] > 300
    assert barrier.leave_cycles >= means["barrier leave"]
    assert 20 < means["collective delivery"] < 60  # half a round: a load of 20 cycles and the pause


def test_a_difference_of_a_cycle_is_no_cost_and_a_larger_one_is_kept() -> None:
    assert [cost(cycles) for cycles in (-0.05, 0.0, 267.80049, -3.2)] == [0.0, 0.0, 267.8, -3.2]


def test_histograms_keep_the_mean() -> None:
    values = [float(value * value % 97) for value in range(75)]
    found = histogram(values)
    assert len(found.values_cycles) == BINS
    assert sum(found.weights) == len(values)
    assert found.mean_cycles == pytest.approx(sum(values) / len(values), abs=0.01)
    assert histogram([-3.0]).values_cycles == (0.0,)


# -- which model a run gets


@pytest.mark.parametrize("platform", ["bare-metal", "virtual-machine"])
def test_the_default_machine_has_a_shipped_model(platform: str) -> None:
    kept = characterize.shipped_characterisation(platform, "cnk")
    assert kept is not None
    assert kept.fits(SHEET), "bgsim characterize --update"
    model, source = cost_model_for(run_on(SHEET.with_values({}), platform))
    assert (model.name, source) == (f"{platform}/cnk", "shipped")


def test_parameters_that_were_not_read_do_not_matter() -> None:
    kept = characterize.shipped_characterisation("bare-metal", "cnk")
    assert kept is not None
    assert kept.fits(SHEET.with_values({"vmm.cpi": 1.5}))
    assert not kept.fits(SHEET.with_values({"mmio.latency": 120}))
    assert "mmio.latency" in kept.parameters
    assert "l4.map_size" not in kept.parameters


def test_the_parameters_of_a_model_count_as_read() -> None:
    machine = SHEET.with_values({"dcmf.operation": SHEET.integer("dcmf.operation"), "vmm.cpi": 1.4})
    cost_model_for(run_on(machine))
    assert machine.overridden_unread == ("vmm.cpi",)


def test_the_digest_tells_values_and_names_apart() -> None:
    names = ("l4.tick", "mmio.latency")
    digest = machine_digest(SHEET, names)
    assert machine_digest(SHEET, reversed(names)) == digest
    assert machine_digest(SHEET.with_values({"mmio.latency": 101}), names) != digest
    assert machine_digest(SHEET, (*names, "gone.parameter")) != digest


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """An empty cache; the platforms that a model was made for, which takes no time here."""
    made: list[str] = []
    kept = characterize.shipped_characterisation("bare-metal", "cnk")
    assert kept is not None

    def measure(machine: Datasheet, platform: str, guest: str) -> Characterisation:
        made.append(platform)
        model = replace(kept.model, datasheet_digest=machine_digest(machine, kept.parameters))
        return Characterisation(model, kept.parameters)

    monkeypatch.setattr(characterize, "characterize", measure)
    monkeypatch.setattr(characterize, "cache_directory", lambda: tmp_path / "cache")
    characterize._made.clear()
    yield made
    characterize._made.clear()


def test_another_machine_is_characterised_once(measured: list[str]) -> None:
    changed = SHEET.with_values({"mmio.latency": 137})
    for _ in range(2):
        assert cost_model_for(run_on(changed))[1] == "characterised"
    characterize._made.clear()
    again = SHEET.with_values({"mmio.latency": 137})
    model, source = cost_model_for(run_on(again))
    assert (source, measured) == ("characterised", ["bare-metal"])  # the second time from the disk
    assert model.datasheet_digest == machine_digest(changed, changed.read)
    assert changed.read == again.read


def test_a_model_that_another_source_made_is_not_taken(
    measured: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = SHEET.with_values({"mmio.latency": 137})
    for source in ("before", "after"):
        monkeypatch.setattr(characterize, "source_digest", lambda source=source: source)
        characterize._made.clear()
        cost_model_for(run_on(changed))
        entries = sorted((tmp_path / "cache").iterdir())
        assert len(entries) == 2  # the model and its parameters; those of the other source are gone
        assert all(f"-{source}." in entry.name for entry in entries)
    assert len(measured) == 2
    default = SHEET.with_values({})
    assert cost_model_for(run_on(default))[1] == "shipped"  # whatever the source


def test_differences_name_the_field() -> None:
    kept = characterize.shipped_characterisation("bare-metal", "cnk")
    assert kept is not None
    assert cost_drift.differences(kept.model, kept.model) == []
    other = characterize.shipped_characterisation("virtual-machine", "cnk")
    assert other is not None
    said = cost_drift.differences(other.model, kept.model)
    assert any(line.startswith("put.post_cycles: ") for line in said)


def test_a_guest_nobody_can_characterise_is_refused() -> None:
    with pytest.raises(CostModelError, match="cost models are made for"):
        characterize.characterize(SHEET, "bare-metal", "plan9")

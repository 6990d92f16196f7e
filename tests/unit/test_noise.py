"""Noise probes: what they find is what the model put there, no more and no less."""

import numpy as np
import pytest

from bgsim.datasheet import Datasheet
from bgsim.workloads import execute
from bgsim.workloads.configs import NoiseConfig
from bgsim.workloads.outcome import Outcome
from bgsim.workloads.quanta import Probe, sources
from bgsim.workloads.resolved import Partition, ResolvedRun
from bgsim.workloads.spectrum import peaks, spectrum

SHEET = Datasheet.load()
NODE = Partition("node", (1, 1, 1), (False, False, False))
FREQUENCY = SHEET.integer("core.frequency")
TICK_HZ = FREQUENCY / SHEET.cycles("l4.tick")
TIMER_HZ = SHEET.integer("guest.timer_frequency")


def noise(guest: str, platform: str, **settings: str) -> Outcome:
    config = NoiseConfig.model_validate({"kind": "noise", "duration": "100 ms", **settings})
    return execute(ResolvedRun(SHEET, SHEET, NODE, platform, guest, config, 1, 0))


def amplitude_at(outcome: Outcome, wanted_hz: float) -> tuple[float, float]:
    """Amplitude of a fixed-time probe's spectrum at a frequency, and its median."""
    hertz, amplitude = spectrum(outcome.details["work_us"], outcome.details["quantum_us"] * 1e-6)
    return float(amplitude[np.abs(hertz - wanted_hz) <= 1.5 * hertz[0]].max()), float(np.median(amplitude))


@pytest.mark.parametrize("probe", ["fwq", "ftq"])
@pytest.mark.parametrize("samples", ["touched", "fresh"])
def test_cnk_is_silent_on_bare_metal(probe: str, samples: str) -> None:
    outcome = noise("cnk", "bare-metal", probe=probe, samples=samples)
    assert outcome.metrics["detours"] == outcome.metrics["noise_ratio"] == outcome.metrics["tlb_misses"] == 0
    assert outcome.details["causes_us"] == {}
    assert set(outcome.attribution) == {"guest_user"}


@pytest.mark.parametrize("probe", ["fwq", "ftq"])
def test_the_microkernels_tick_is_counted_under_cnk_in_a_virtual_machine(probe: str) -> None:
    outcome = noise("cnk", "virtual-machine", probe=probe)
    ticks = outcome.metrics["elapsed_s"] * TICK_HZ
    assert outcome.metrics["detours"] == pytest.approx(ticks, abs=1)
    assert outcome.details["rates_hz"] == {"l4_tick": pytest.approx(TICK_HZ, rel=0.03)}
    assert [row["name"] for row in outcome.details["sources"]] == ["l4_tick"]
    lost = sum(count for cause, count in outcome.attribution.items() if cause != "guest_user")
    rounded = outcome.metrics["detours"]  # a cycle each
    found = outcome.metrics["noise_ratio"] * outcome.metrics["cycles_total"]
    assert found == pytest.approx(lost, abs=rounded)


def test_the_microkernels_tick_stands_at_512_hz_in_the_spectrum() -> None:
    outcome = noise("cnk", "virtual-machine", probe="ftq")
    assert pytest.approx(512.0, abs=0.1) == TICK_HZ
    line, floor = amplitude_at(outcome, TICK_HZ)
    assert line > 10 * floor
    between, _ = amplitude_at(outcome, 1.4 * TICK_HZ)
    assert line > 10 * between


@pytest.mark.parametrize("guest", ["kittyhawk-linux", "zeptoos", "zeptoos-bigmemory"])
def test_linux_ticks_at_its_frequency(guest: str) -> None:
    native = noise(guest, "bare-metal", probe="ftq")
    assert native.metrics["detours"] == pytest.approx(TIMER_HZ * native.metrics["elapsed_s"], abs=1)
    line, floor = amplitude_at(native, TIMER_HZ)
    assert line > 20 * max(floor, 1e-6)
    assert native.details["peaks"][0][0] % TIMER_HZ == pytest.approx(0, abs=0.1)


def test_linux_in_a_virtual_machine_has_both_ticks() -> None:
    outcome = noise("kittyhawk-linux", "virtual-machine", probe="ftq")
    assert outcome.details["rates_hz"]["l4_tick"] == pytest.approx(TICK_HZ, rel=0.03)
    assert outcome.details["rates_hz"]["guest_timer"] == pytest.approx(TIMER_HZ, rel=0.05)
    for frequency in (TICK_HZ, TIMER_HZ):
        line, floor = amplitude_at(outcome, frequency)
        assert line > 5 * floor
    # The guest's timer is only looked at on a tick of the microkernel.
    assert {row["name"] for row in outcome.details["sources"]} == {"l4_tick", "l4_tick+guest_timer"}


@pytest.mark.parametrize("platform", ["bare-metal", "virtual-machine"])
def test_fresh_memory_faults_once_a_page_under_linux_and_never_with_big_memory(platform: str) -> None:
    per_page = SHEET.integer("guest.user_page") // 16
    probe = Probe(SHEET, platform, "zeptoos", 4 * per_page, 0, 85_000, fresh=True)
    seen = probe.run()
    assert sum(happened.get("page_fault", 0) for happened in seen.events) == 4
    assert [n for n, happened in enumerate(seen.events) if "page_fault" in happened] == [
        per_page * page for page in range(4)
    ]
    static = Probe(SHEET, platform, "zeptoos-bigmemory", 4 * per_page, 20, 85_000, fresh=True).run()
    assert not any("page_fault" in happened or "tlb_refill" in happened for happened in static.events)


def test_time_and_work_make_up_every_quantum() -> None:
    probe = Probe(SHEET, "virtual-machine", "kittyhawk-linux", 300, 20, 85_000, fixed_time=True)
    seen = probe.run()
    spans = np.diff(seen.begun)
    assert (spans - seen.work[:-1] - seen.detour[:-1] <= 2).all()
    # A quantum ends at its point of the grid, within a unit of work or a detour begun before.
    assert abs(seen.begun[-1] - seen.begun[0] - 299 * 85_000) <= 50_000
    assert sum(len(each) for _, each in sources(seen)) == sum(1 for each in seen.detour if each)
    assert sum(seen.causes.values()) == pytest.approx(sum(seen.detour), abs=2 * len(seen.detour))


def test_the_reaper_runs_every_other_second() -> None:
    busy = SHEET.with_values({"guest.reaper_period": "20 ms"})
    config = NoiseConfig.model_validate({"kind": "noise", "duration": "100 ms"})
    with_it = execute(ResolvedRun(busy, busy, NODE, "bare-metal", "zeptoos", config, 1, 0))
    without = noise("kittyhawk-linux", "bare-metal")
    longer = [row for row in with_it.details["trace"] if row[1] > 1.5 * without.metrics["detour_us_max"]]
    assert len(longer) == 5
    assert with_it.metrics["detours"] == without.metrics["detours"]


def test_a_spectrum_has_the_amplitude_of_a_sine() -> None:
    times = np.arange(1000) * 1e-3
    hertz, amplitude = spectrum((3 + 2 * np.sin(2 * np.pi * 100 * times)).tolist(), 1e-3)
    ((at, size),) = peaks(hertz, amplitude, 1)
    assert at == pytest.approx(100)
    assert size == pytest.approx(2, rel=1e-3)
    assert peaks(hertz[:0], amplitude[:0], 3) == []

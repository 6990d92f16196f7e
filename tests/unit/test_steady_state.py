"""Jobs simulated in part: when they may be, and how far the answer is from that of the whole job."""

import numpy as np
import pytest

from bgsim.datasheet import Datasheet
from bgsim.workloads import traffic
from bgsim.workloads.active_nodes import ActiveNodes
from bgsim.workloads.resolved import Partition, ResolvedRun
from bgsim.workloads.steady_state import alike, scaled_job, steady_rate
from bgsim.workloads.traffic_config import TrafficConfig

TORUS = (True, True, True)
SHEET = Datasheet.load()


@pytest.mark.parametrize(
    ("active", "expected"),
    [
        ("all", True),
        ("x % 2 == 0", True),
        ("(x + y + z) % 2 == 0", True),
        ("x == 3", True),
        ("node == 7", True),
        ("x % 8 == 0 or x % 8 == 4", True),
        ("x < 4", False),
        ("node < 100", False),
        ("x % 4 < 2", False),
    ],
)
def test_nodes_are_alike_if_translations_make_them_so(active, expected):
    assert alike((8, 8, 8), TORUS, ActiveNodes(active).select((8, 8, 8))) is expected


def test_a_mesh_has_no_translations():
    assert not alike((4, 4, 4), (True, True, False), np.arange(64))
    assert alike((4, 4, 1), (True, True, False), np.arange(16))


class Pretended:
    """A job of nodes whose progress is known: a start-up, a rate, and a random walk or lasting leads."""

    def __init__(self, nodes, packets, cycles_per_packet, noise=0.0, lasting=0.0, seed=1):
        random = np.random.default_rng(seed)
        self.packets = packets
        steps = packets * cycles_per_packet // 5000 + 2
        walk = np.cumsum(random.normal(0, noise, (steps, nodes)), axis=0)
        lead = lasting * random.normal(0, 1, nodes) * np.arange(1, steps + 1)[:, None]
        self.ahead, self.cycles_per_packet = walk + lead, cycles_per_packet
        self.now = 0

    def run(self, until_cycles=None):
        self.now = until_cycles
        return until_cycles

    def moved(self):
        ahead = self.ahead[min(int(self.now // 5000), len(self.ahead) - 1)]
        moved = np.maximum((self.now - 3000) / self.cycles_per_packet + ahead, 0)
        return np.minimum(moved, self.packets).astype(np.int64)

    def end_cycles(self):
        return np.where(self.moved() >= self.packets, self.now, -1)


def test_steady_rate_finds_rate_and_start():
    job = Pretended(200, 100_000, 500, noise=1.0)
    found = steady_rate(job, 100_000, np.zeros(200, np.int64), 0.01, 512)
    assert found.details["extrapolated"]
    assert found.details["simulated_share"] < 0.02
    assert found.end_cycles.mean() == pytest.approx(100_000 * 500 + 3000, rel=0.01)
    # A walk of 1 packet per 5000 cycles is 100 packets after 10,000 steps.
    assert found.end_cycles.std() == pytest.approx(100 * 500, rel=0.4)


def test_lasting_leads_are_noticed():
    job = Pretended(200, 100_000, 500, lasting=1.0)
    assert steady_rate(job, 100_000, np.zeros(200, np.int64), 0.01, 512) == "leads last"


def test_a_short_job_runs_out():
    job = Pretended(20, 300, 500)
    assert steady_rate(job, 300, np.zeros(20, np.int64), 0.01, 512) == "ran out"


def test_scaled_job_adds_the_rest_at_the_same_pace():
    speed = np.linspace(1, 2, 50)
    asked = []

    def simulate(packets):
        asked.append(packets)
        return packets, 1000 + packets * 700 * speed

    found = scaled_job(simulate, 50_000, 0.01, 0)
    assert asked == [128, 256, 512]
    assert found.end_cycles == pytest.approx(50_000 * 700 * speed, rel=0.01)
    assert found.details["simulated_share"] == pytest.approx(512 / 50_000)


def test_scaled_job_without_agreement_runs_to_the_end():
    def simulate(packets):
        return packets, np.full(4, float(packets) ** 1.5)

    found = scaled_job(simulate, 3000, 0.01, 0)
    assert not found.details["extrapolated"]
    assert found.end_cycles == pytest.approx(np.full(4, 3000.0**1.5))


def job(shape, monkeypatch, whole, platform="bare-metal", **workload):
    """The same run simulated in part, or as a whole."""
    monkeypatch.setattr(traffic, "COMPLETE_HOPS", 0)
    monkeypatch.setattr(traffic, "WATCHED_HOPS", 0)
    settings = {"kind": "traffic", "extrapolate": not whole, **workload}
    config = TrafficConfig.model_validate(settings)
    run = ResolvedRun(SHEET, SHEET, Partition("p", shape, TORUS), platform, "cnk", config, 1, 0)
    return traffic.run(run)


CUBE, SIX = (4, 4, 4), (6, 6, 6)
ANTIPODAL_GET = {"pattern": "antipodal", "operation": "get"}
ANTIPODAL_SEND = {"pattern": "antipodal", "operation": "send"}
SHIFT = {"pattern": "shift", "displacement": [1, 2, 1]}
FAR_SHIFT = {"pattern": "shift", "displacement": [2, 1, 2]}
PERMUTATION = {"pattern": "random-permutation", "operation": "get"}


@pytest.mark.parametrize(
    ("shape", "workload", "tolerance", "method"),
    [
        (SIX, {**FAR_SHIFT, "operation": "get"}, 0.02, "steady rate"),
        (SIX, {**FAR_SHIFT, "operation": "send"}, 0.02, "steady rate"),
        (CUBE, SHIFT, 0.02, "steady rate"),
        (CUBE, {**ANTIPODAL_GET, "active": "x < 2"}, 0.03, "scaled job"),
        (CUBE, PERMUTATION, 0.05, "scaled job"),
    ],
)
def test_a_part_tells_the_whole(shape, workload, tolerance, method, monkeypatch):
    part, whole = (job(shape, monkeypatch, size="8 KiB", whole=whole, **workload) for whole in (False, True))
    assert part.details["steady_state"]["method"] == method
    assert part.details["steady_state"]["simulated_share"] < 0.7
    assert not whole.details["steady_state"]["extrapolated"]
    for name in ("operation_us_avg", "bandwidth_MiBps"):
        assert part.metrics[name] == pytest.approx(whole.metrics[name], rel=tolerance)
    slowest = part.metrics["operation_us_max"]
    assert slowest == pytest.approx(whole.metrics["operation_us_max"], rel=2 * tolerance)
    assert part.metrics["packet_hops"] == whole.metrics["packet_hops"]


ONE_HOP_EACH = {"pattern": "shift", "displacement": [1, 1, 1]}


def test_announcements_that_a_part_leaves_out_take_their_time(monkeypatch):
    monkeypatch.setattr(traffic, "WATCHED_OPERATIONS", 0)
    sends = {**ONE_HOP_EACH, "operation": "send", "size": "2 KiB", "posted": 600}
    part, whole = (job(CUBE, monkeypatch, whole, **sends) for whole in (False, True))
    assert part.details["steady_state"]["method"] == "steady rate"
    name = "operation_us_avg"
    assert part.metrics[name] == pytest.approx(whole.metrics[name], rel=0.03)


@pytest.mark.parametrize(("operation", "size"), [("send", "4 KiB"), ("put", "1 KiB"), ("send", "1 KiB")])
def test_cores_that_fall_behind_the_packets_are_waited_for(operation, size, monkeypatch):
    posts = {**ONE_HOP_EACH, "operation": operation, "size": size, "posted": 300}
    part, whole = (job(CUBE, monkeypatch, whole, "virtual-machine", **posts) for whole in (False, True))
    assert part.details["steady_state"]["method"] == "scaled job"
    assert part.details["steady_state"]["simulated_share"] < 1
    name = "operation_us_avg"
    assert part.metrics[name] == pytest.approx(whole.metrics[name], rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workload", "tolerance"),
    [
        (ANTIPODAL_GET, 0.02),
        (ANTIPODAL_SEND, 0.08),  # the last tenth of the job goes at half the rate, which a part does not see
        ({"pattern": "shift", "displacement": [1, 1, 3]}, 0.05),
        ({**ANTIPODAL_GET, "active": "x < 4"}, 0.03),
        (PERMUTATION, 0.05),
    ],
)
def test_a_part_tells_the_whole_of_a_midplane(workload, tolerance, monkeypatch):
    part, whole = (
        job((8, 8, 8), monkeypatch, size="16 KiB", whole=whole, **workload) for whole in (False, True)
    )
    # Without agreement of the paces the job is run to its end, which is as good.
    assert part.metrics["operation_us_avg"] == pytest.approx(whole.metrics["operation_us_avg"], rel=tolerance)

"""Timelines: nothing missing, nothing twice, the run unchanged, and both formats readable."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bgsim.experiment.plan import load
from bgsim.experiment.resolve import resolved_run
from bgsim.observer import observing
from bgsim.report.results import ReportError
from bgsim.report.timeline import Slice, Timeline, nested
from bgsim.report.timeline_files import PERFETTO_MODULE, chrome_json, ordered_tracks, perfetto, write
from bgsim.report.timeline_run import record_timeline
from bgsim.report.timeline_watch import Watch
from bgsim.workloads import execute

FOREVER = 1 << 60


def planned(platform: str, **workload: Any) -> dict[str, Any]:
    return (
        load(
            {
                "name": "seen",
                "machine": "bgp",
                "partition": {"shape": [2, 1, 1]},
                "platforms": [platform],
                "workload": workload,
                "seed": 3,
            }
        )
        .runs[0]
        .config
    )  # type: ignore[return-value]


def test_a_cured_machine_and_a_program_on_the_microkernel_can_be_watched() -> None:
    for options in (
        {"platforms": ["virtual-machine"], "cures": ["all"]},
        {"platforms": ["virtual-machine"], "cures": ["guest-pid-tags", "load-at-write", "paravirtual-tlb"]},
        {"platforms": ["l4-native"], "guest": "l4-app", "workload.operation": "ipc-round-trip"},
    ):
        workload = {"kind": "micro", "operation": "tlb-miss-walk", "iterations": 5}
        plan = {"name": "seen", "machine": "bgp", "partition": {"shape": [2, 1, 1]}, "workload": workload}
        config = load(plan | {"platforms": ["bare-metal"]}, options).runs[0].config
        assert record_timeline(config, "run", 0, 200_000).finished()


def micro(
    platform: str = "virtual-machine", operation: str = "tlb-miss-walk", iterations: int = 5
) -> dict[str, Any]:
    return planned(platform, kind="micro", operation=operation, iterations=iterations)


def tracks(timeline: Timeline, end: str) -> list[int]:
    return [number for number, track in enumerate(timeline.tracks) if track.name.endswith(end)]


@pytest.mark.parametrize("operation", ["tlb-miss-walk", "ipc-round-trip", "null-system-call"])
def test_watching_changes_nothing_and_sees_every_exit(operation: str) -> None:
    """The record counts those of the iterations; start-up and warm-up, seen too, are the same in both."""
    seen, counted = [], []
    for iterations in (5, 8):
        config = micro(operation=operation, iterations=iterations)
        expected = execute(resolved_run(config))
        timeline = Timeline(850_000_000, 0, FOREVER)
        watch = Watch(timeline)
        with observing(watch):
            outcome = execute(resolved_run(config))
        watch.finish()
        assert outcome.attribution == expected.attribution
        assert outcome.exits == expected.exits
        parts = (part.details for part in timeline.finished())
        seen.append(Counter(str(details["counter"]) for details in parts if "counter" in details))
        rows = (row for row in outcome.exits if "PPC_HVM" in row["cause"])
        counted.append(Counter({row["cause"]: row["count"] for row in rows}))
    assert counted[0]
    assert seen[1] - seen[0] == counted[1] - counted[0]
    assert not counted[0] - seen[0]


@pytest.mark.parametrize("platform", ["bare-metal", "virtual-machine"])
@pytest.mark.parametrize("operation", ["tlb-miss-walk", "device-register-access", "timer-tick"])
def test_no_cycle_is_left_out_or_drawn_twice(platform: str, operation: str) -> None:
    timeline = record_timeline(micro(platform, operation), "run", 0, 400_000)
    parts = sorted(
        (part.begin, part.end)
        for part in timeline.finished()
        if part.depth
        and timeline.tracks[part.track].group == "node 0"
        and not part.name.endswith("begins")  # an interrupt: one cycle, so that it can be seen
    )
    reached = 0
    for begin, end in parts:
        assert begin == reached
        reached = end
    assert reached == min(400_000, parts[-1][1])


def test_one_tlb_miss_can_be_followed_trap_by_trap() -> None:
    timeline = record_timeline(micro(), "run", 250_000, 400_000)
    slices = timeline.finished()
    miss = next(
        part
        for part in slices
        if part.name == "data TLB miss" and len(timeline.flows(slices).get(part.flow, ())) > 15
    )
    first, *traps = timeline.flows(slices)[miss.flow]
    assert first is miss
    names = [part.name for part in traps if "counter" in part.details]
    assert names[0] == "data TLB miss: reflect to the guest"
    assert names[-1] == "data TLB miss: load the hardware entry"
    assert names.index("mtspr SPRG0") < names.index("tlbwe w0 untouched") < names.index("rfi to user")
    assert miss.details["traps"] == len(names)
    assert all(miss.begin <= part.begin and part.end <= miss.end for part in traps)


def test_an_ipc_is_one_flow_from_the_guest_to_the_vmm_and_back() -> None:
    timeline = record_timeline(micro(operation="ipc-round-trip"), "run", 0, 400_000)
    slices = timeline.finished()
    (vmm,) = tracks(timeline, "VMM")
    call = next(part for part in slices if part.name == "IPC call: DCR access")
    flow = timeline.flows(slices)[call.flow]
    assert flow[0] is call
    assert any(part.track == vmm for part in flow)
    assert flow[-1].name == "IPC reply: DCR access"
    assert str(call.details["message"]).startswith("ReadDcr 0x")


def test_a_packet_is_one_flow_over_its_links() -> None:
    config = planned("bare-metal", kind="dcmf", operation="put", measure="latency", size="64 B", messages=1)
    timeline = record_timeline(config, "run", 0, FOREVER)
    slices = timeline.finished()
    flows = timeline.flows(slices).values()
    (flow, *_) = [flow for flow in flows if flow[0].name == "inject a packet"]
    groups = [timeline.tracks[part.track].group for part in flow]
    assert groups == ["node 0", "torus links", "node 1"] or groups == ["node 1", "torus links", "node 0"]
    assert timeline.tracks[flow[1].track].name.startswith(groups[0])


def test_the_window_is_closed_when_it_is_full() -> None:
    timeline = record_timeline(micro(), "run", 0, FOREVER, events_max=50)
    assert timeline.full
    assert len(timeline.finished()) <= 51
    assert timeline.end < 400_000


def test_what_cannot_be_watched_is_refused() -> None:
    with pytest.raises(ReportError, match=r"--set workload\.tier=detailed"):
        record_timeline(planned("bare-metal", kind="collectives", operation="barrier"), "run", 0, 1000)
    with pytest.raises(ReportError, match="the run ends before it"):
        record_timeline(micro(), "run", FOREVER - 1, FOREVER)


def test_slices_are_cut_to_the_one_they_stand_in() -> None:
    outer, inner, after = (
        Slice(0, 0, 10, "outer", depth=0),
        Slice(0, 2, 12, "inner"),
        Slice(0, 10, 11, "after"),
    )
    assert [part.name for part in nested([after, inner, outer])] == ["outer", "inner", "after"]
    assert inner.end == 10


@pytest.fixture(scope="module")
def recorded() -> Timeline:
    return record_timeline(micro(), "seen, tlb-miss-walk", 250_000, 300_000)


def test_chrome_json_names_every_track_and_pairs_its_flows(recorded: Timeline) -> None:
    events = json.loads(chrome_json(recorded, recorded.finished()))["traceEvents"]
    named = {(event["pid"], event["tid"]) for event in events if event["name"] == "thread_name"}
    drawn = [event for event in events if event["ph"] == "X"]
    assert {(event["pid"], event["tid"]) for event in drawn} <= named
    assert all(event["dur"] > 0 for event in drawn)
    phases: dict[int, str] = {}
    for event in events:
        if event["ph"] in "stf":
            phases[event["id"]] = phases.get(event["id"], "") + event["ph"]
    assert phases
    assert all(word == f"s{word[1:-1]}f" and set(word[1:-1]) <= {"t"} for word in phases.values())


def test_tracks_go_from_the_guest_outwards(recorded: Timeline) -> None:
    names = [track.name for _, track in ordered_tracks(recorded)]
    assert names == ["micro", "core 0: vcpu0", "core 0: L4", "core 0: VMM", "core 0: device access"]


def test_perfetto_slices_begin_and_end_properly(recorded: Timeline, tmp_path: Path) -> None:
    format_ = pytest.importorskip(PERFETTO_MODULE, reason="needs bgsim[trace]")
    count = write(recorded, tmp_path / "run.pftrace")
    trace = format_.Trace()
    trace.ParseFromString((tmp_path / "run.pftrace").read_bytes())
    tracks = {packet.track_descriptor.uuid for packet in trace.packet if packet.HasField("track_descriptor")}
    depth: Counter[int] = Counter()
    began, before = 0, 0
    for packet in trace.packet:
        if not packet.HasField("track_event"):
            continue
        event = packet.track_event
        assert event.track_uuid in tracks
        assert packet.timestamp >= before
        before = packet.timestamp
        begins = event.type == format_.TrackEvent.Type.TYPE_SLICE_BEGIN
        began += begins
        depth[event.track_uuid] += 1 if begins else -1
        assert depth[event.track_uuid] >= 0
    assert began == count
    assert not any(depth.values())
    assert perfetto(recorded, recorded.finished()) == (tmp_path / "run.pftrace").read_bytes()


def test_a_short_timeline_is_a_figure(recorded: Timeline, tmp_path: Path) -> None:
    write(recorded, tmp_path / "run.svg")
    assert "<svg" in (tmp_path / "run.svg").read_text(encoding="utf-8")
    with pytest.raises(ReportError, match="slices are more than a figure can show"):
        write(record_timeline(micro(), "run", 0, FOREVER), tmp_path / "all.svg")


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on file sizes")
@pytest.mark.parametrize("suffix", [".json", ".svg"])
def test_a_failed_write_leaves_no_broken_timeline(recorded: Timeline, tmp_path: Path, suffix: str) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write(recorded, tmp_path / f"run{suffix}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_a_file_says_by_its_name_what_it_is(recorded: Timeline, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"run\.txt: a timeline is written as \.pftrace .*, \.json"):
        write(recorded, tmp_path / "run.txt")

"""Timelines as files: Chrome's JSON, Perfetto's own protobuf with the extra ``trace``, or a figure.

The first two open in the Perfetto viewer and in any other that reads them. Times are in nanoseconds there,
rounded from core cycles, so neighbours stay neighbours; the exact cycles stand in each slice's details.

Source: the Trace Event Format of Chrome, and Perfetto's ``track_event.proto`` and ``track_descriptor.proto``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bgsim.experiment.order import natural_key
from bgsim.extras import need
from bgsim.report.results import ReportError
from bgsim.report.timeline import Slice, Timeline, Track
from bgsim.whole import whole

JSON_SUFFIX = ".json"
FIGURE_SUFFIXES = (".pdf", ".svg", ".png")
PERFETTO_SUFFIXES = (".pftrace", ".perfetto-trace", ".pb")

_LINES = ("vcpu", "guest", "L4", "VMM", "device")
"""Order of the tracks of one core, from the guest outwards."""

_GROUPS = ("run", "node", "torus links", "tree links")
_SEQUENCE = 1

PERFETTO_MODULE = "perfetto.protos.perfetto.trace.perfetto_trace_pb2"


def check_suffix(path: Path) -> None:
    """Refuse a file whose name does not say which format it is in.

    Raises
    ------
    ReportError
        With the suffixes that do.
    """
    if path.suffix not in (JSON_SUFFIX, *PERFETTO_SUFFIXES, *FIGURE_SUFFIXES):
        raise ReportError(
            f"{path.name}: a timeline is written as {PERFETTO_SUFFIXES[0]} (Perfetto), {JSON_SUFFIX} "
            f"(Chrome) or a figure ({', '.join(FIGURE_SUFFIXES)}), not as '{path.suffix}'"
        )


def write(timeline: Timeline, path: Path) -> int:
    """Write a timeline in the format its suffix names; returns the number of slices.

    Raises
    ------
    ReportError
        The suffix names no format, or a figure cannot show so many slices.
    bgsim.extras.MissingExtraError
        Perfetto's format without the library.
    OSError
        The file cannot be written.
    """
    check_suffix(path)
    slices = timeline.finished()
    if path.suffix in FIGURE_SUFFIXES:
        from bgsim.report import style
        from bgsim.report.timeline_figure import timeline_figure

        with style.paper_style():
            style.save_as(timeline_figure(timeline), path)
    elif path.suffix == JSON_SUFFIX:
        with whole(path) as part:
            part.write_text(chrome_json(timeline, slices), encoding="utf-8")
    else:
        with whole(path) as part:
            part.write_bytes(perfetto(timeline, slices))
    return len(slices)


def ordered_tracks(timeline: Timeline) -> list[tuple[int, Track]]:
    """Numbered tracks in the order in which a reader wants them: the run, nodes, links."""

    def rank(entry: tuple[int, Track]) -> tuple[Any, ...]:
        group, name = entry[1].group, entry[1].name
        place = next((index for index, word in enumerate(_GROUPS) if group.startswith(word)), len(_GROUPS))
        core, _, what = name.rpartition(": ")
        line = next((index for index, word in enumerate(_LINES) if what.startswith(word)), len(_LINES))
        return place, natural_key(group), not core, natural_key(core), line, natural_key(name)

    return sorted(enumerate(timeline.tracks), key=rank)


def nanoseconds(timeline: Timeline, cycles: int) -> int:
    """Core cycles as whole nanoseconds, to the nearest."""
    return (2 * cycles * 10**9 + timeline.frequency_hz) // (2 * timeline.frequency_hz)


def details_of(part: Slice) -> dict[str, Any]:
    """What a viewer shows of a selected slice."""
    return {**part.details, "cycles": part.end - part.begin, "begins at cycle": part.begin}


def chrome_json(timeline: Timeline, slices: list[Slice]) -> str:
    """A timeline in the Trace Event Format, one event on a line."""
    lines = [json.dumps(event, ensure_ascii=False) for event in _chrome_events(timeline, slices)]
    return '{"displayTimeUnit":"ns","traceEvents":[\n' + ",\n".join(lines) + "\n]}\n"


def _chrome_events(timeline: Timeline, slices: list[Slice]) -> Iterator[dict[str, Any]]:
    process: dict[str, int] = {}
    places: dict[int, dict[str, int]] = {}
    for number, track in ordered_tracks(timeline):
        if track.group not in process:
            process[track.group] = len(process) + 1
            pid = process[track.group]
            yield {"ph": "M", "name": "process_name", "pid": pid, "tid": 0, "args": {"name": track.group}}
            yield {"ph": "M", "name": "process_sort_index", "pid": pid, "tid": 0, "args": {"sort_index": pid}}
        place = places[number] = {"pid": process[track.group], "tid": len(places) + 1}
        yield {"ph": "M", "name": "thread_name", **place, "args": {"name": track.name}}
        yield {"ph": "M", "name": "thread_sort_index", **place, "args": {"sort_index": place["tid"]}}
    for part in slices:
        begin, end = nanoseconds(timeline, part.begin), nanoseconds(timeline, part.end)
        time = {"ts": begin / 1000, "dur": (end - begin) / 1000}
        yield {
            "ph": "X",
            "name": part.name,
            "cat": "bgsim",
            **places[part.track],
            **time,
            "args": details_of(part),
        }
    for flow, parts in timeline.flows(slices).items():
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            phase: dict[str, Any] = {"ph": "s" if not number else "f" if last else "t"}
            if last:
                phase["bp"] = "e"  # the arrow ends at the slice around it, not at the next one
            time = {"ts": nanoseconds(timeline, part.begin) / 1000}
            yield {**phase, "id": flow, "name": "flow", "cat": "bgsim", **places[part.track], **time}


def perfetto(timeline: Timeline, slices: list[Slice]) -> bytes:
    """A timeline as a serialised Perfetto trace.

    Raises
    ------
    bgsim.extras.MissingExtraError
        The library is not installed.
    """
    format_ = need(PERFETTO_MODULE, "trace", "a timeline in Perfetto's format")
    trace = format_.Trace()
    groups: dict[str, int] = {}
    uuids: dict[int, int] = {}
    for number, track in ordered_tracks(timeline):
        if track.group not in groups:
            groups[track.group] = len(groups) + 1
            packet = trace.packet.add()
            descriptor = packet.track_descriptor
            descriptor.uuid = groups[track.group]
            descriptor.name = track.group  # no process: viewers order the children of those by themselves
            descriptor.child_ordering = format_.TrackDescriptor.EXPLICIT
            descriptor.sibling_order_rank = groups[track.group]
        uuids[number] = len(timeline.tracks) + len(uuids) + 1
        descriptor = trace.packet.add().track_descriptor
        descriptor.uuid = uuids[number]
        descriptor.parent_uuid = groups[track.group]
        descriptor.name = track.name
        descriptor.sibling_order_rank = len(uuids)
    flows = timeline.flows(slices)
    event_type = format_.TrackEvent.Type
    for number, (cycles, _, _, part, begins) in enumerate(_edges(slices)):
        packet = trace.packet.add()
        packet.timestamp = nanoseconds(timeline, cycles)
        packet.trusted_packet_sequence_id = _SEQUENCE
        if not number:
            packet.sequence_flags = format_.TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
        event = packet.track_event
        event.track_uuid = uuids[part.track]
        event.type = event_type.TYPE_SLICE_BEGIN if begins else event_type.TYPE_SLICE_END
        if not begins:
            continue
        event.name = part.name
        if part.flow in flows:
            event.flow_ids.append(part.flow)
        for name, value in details_of(part).items():
            note = event.debug_annotations.add()
            note.name = name
            if isinstance(value, str):
                note.string_value = value
            elif isinstance(value, float):
                note.double_value = value
            else:
                note.int_value = int(value)
    return bytes(trace.SerializeToString())


def _edges(slices: list[Slice]) -> list[tuple[int, int, int, Slice, bool]]:
    """Begins and ends in order of time; on a track, what ends comes before what begins then.

    Slices come as :func:`bgsim.report.timeline.nested` orders them: of two that begin together the outer one
    first, and of two that end together the inner one has to end first.
    """
    edges = []
    for place, part in enumerate(slices):
        edges.append((part.begin, 1, place, part, True))
        edges.append((part.end, 0, -place, part, False))
    return sorted(edges, key=lambda edge: edge[:3])

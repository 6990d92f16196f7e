"""``bgsim plan``: what a study consists of, how much of it is done, and what the rest will cost."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bgsim.cli.listing import aligned
from bgsim.cli.progress import seconds
from bgsim.experiment import merge, store
from bgsim.experiment.errors import StoreError
from bgsim.experiment.estimate import Estimator, Need, forecast
from bgsim.experiment.executors.shard import Shard
from bgsim.experiment.identity import canonical
from bgsim.experiment.labels import brief
from bgsim.experiment.pool import processors
from bgsim.experiment.record import Record
from bgsim.units import format_bytes

UNKNOWN: Final = "unknown"
BESIDE_BYTES_MAX: Final = 30_000_000
"""Larger files of records of other studies are not read: that would take seconds."""

if TYPE_CHECKING:
    from bgsim.experiment.plan import Experiment, Run


def planned(
    plan: Experiment,
    directory: Path,
    others: Sequence[Path],
    workers: int | None,
    shard: Shard | None,
    points: bool,
) -> str:
    """The text of ``bgsim plan``.

    Parameters
    ----------
    plan
        The experiment.
    directory
        Its study, which need not exist.
    others
        Further studies whose host timings count.
    workers
        How many will compute; by default one per processor.
    shard
        Look at this part only.
    points
        List every point.
    """
    records = _records(directory)
    for part in merge.shards_of(directory):
        records += _records(part)
    others_records = [record for other in others for record in _records(other, True)]
    estimator = Estimator([*records, *others_records])
    done = {record["run_id"] for record in records if record["status"] == "ok"}
    failed = {record["run_id"] for record in records if record["status"] != "ok"} - done
    runs = plan.runs if shard is None else shard.of(plan.runs, whole_points=plan.precision is not None)
    needs = {run.run_id: estimator.need(run) for run in runs if run.run_id not in done}
    if None in needs.values():
        # A second choice: studies beside this one are often another form of it, such as the smoke form.
        beside = Estimator(_beside(directory, [*others, directory]))
        needs = {run.run_id: needs[run.run_id] or beside.need(run) for run in runs if run.run_id in needs}
    parts = [_points(plan, runs, done, needs)] if points else []
    parts.append(_rest(runs, done, failed & needs.keys(), list(needs.values()), workers or processors()))
    if plan.precision is not None:
        parts.append(
            "runs counted here are those to begin with: replications are added until the precision is "
            f"reached, at most {plan.precision.at_most} of each point"
        )
    if plan.greedy is not None:
        parts.append("the search for cures adds runs; how many depends on what it finds")
    return "\n\n".join(parts)


def _records(directory: Path, needed: bool = False) -> list[Record]:
    if not needed and not store.records_file(directory).exists():
        return []
    with store.collector_paused():
        return list(store.read_records(directory, lambda text: None))


def _beside(directory: Path, known: Sequence[Path]) -> Iterator[Record]:
    """Records of the studies in the same directory; what is large or cannot be read is passed over."""
    taken = {path.resolve() for path in known}
    for file in sorted(directory.parent.glob(f"*/{store.RECORDS}")):
        with contextlib.suppress(OSError, StoreError):
            if file.parent.resolve() not in taken and file.stat().st_size <= BESIDE_BYTES_MAX:
                yield from _records(file.parent)


def _points(plan: Experiment, runs: Sequence[Run], done: set[str], needs: dict[str, Need | None]) -> str:
    """A table with a row per point: done of all runs by platform, and the time of the rest."""
    rows: dict[str, list[Run]] = {}
    for run in runs:
        rows.setdefault(canonical(run.point), []).append(run)
    paths = list(dict.fromkeys(path for run in runs for path in run.point))
    lines = [("point", *(path.split(".")[-1] for path in paths), *plan.platforms, "time left")]
    for number, group in enumerate(rows.values(), 1):
        cells = [str(number), *(brief(group[0].point.get(path, "")) for path in paths)]
        for platform in plan.platforms:
            mine = [run.run_id for run in group if run.config["platform"] == platform]
            cells.append(f"{sum(run_id in done for run_id in mine)} of {len(mine)}" if mine else "-")
        left = [needs[run.run_id] for run in group if run.run_id in needs]
        known = [need.wall_s for need in left if need is not None]
        time = UNKNOWN if len(known) < len(left) else seconds(sum(known))
        lines.append((*cells, time if left else "done"))
    return aligned(lines)


def _rest(
    runs: Sequence[Run], done: set[str], failed: set[str], needs: Sequence[Need | None], workers: int
) -> str:
    count = sum(run.run_id in done for run in runs)
    points = len({canonical(run.point) for run in runs})
    words = f"{points} point{'s' if points != 1 else ''}, {len(runs)} run{'s' if len(runs) != 1 else ''}"
    rows = [("study", f"{words}: {count} done, {len(needs)} to do")]
    if failed:
        rows.append(("failed", f"{len(failed)} of those to do have failed before and are tried again"))
    if needs:
        crew = min(workers, len(needs))
        coming = forecast(needs, crew)
        if coming.bases:
            without = f", and {coming.unknown} runs of which nothing is known" if coming.unknown else ""
            on = f"with {crew} worker{'s' if crew > 1 else ''}"
            rows.append(("time", f"about {seconds(coming.wall_s)} {on}{without}"))
            rows.append(("processors", f"about {seconds(coming.processor_s)} of one{without}"))
        else:
            rows.append(
                ("time", f"{UNKNOWN}: no record of a run like these; --like DIR names a study with some")
            )
        if coming.memory_bytes is not None:
            rows.append(("memory", f"about {format_bytes(coming.memory_bytes, digits=3)} in all"))
        for basis, number in coming.bases.items():
            rows.append(("estimated", f"{number} run{'s' if number != 1 else ''} from {basis}"))
    return aligned(rows)

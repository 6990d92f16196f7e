"""What the harness itself costs: the speed of a sweep, of the command line, and of summarising.

``sweep`` runs 200 points on one worker and on two and prints the speed-up and the overhead per point: the
time of the workers that was not spent in runs, starting them included. With ``--sleep`` a run only waits,
which shows the harness alone also on a computer that is busy with other work. ``start`` times ``--help``
and ``check``; ``summary`` makes a study of many records and loads and summarises it. Goals: 1.8 times,
50 ms, 0.4 s, and 10 s for 100,000 records.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FAKE = ROOT / "tests" / "cli" / "fake"
POINTS = 200
COMMAND = [sys.executable, "-c", "from bgsim.cli import main; main()"]


def environment(*paths: Path) -> dict[str, str]:
    """Of a child that finds bgsim in this tree."""
    path = os.pathsep.join(map(str, (*paths, ROOT)))
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": path}


def sweep(sleep_s: float | None) -> None:
    """Time 200 points on one worker and on two."""
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        experiment = {
            "name": "sweep",
            "partition": {"topology": "pair"},
            "platforms": ["virtual-machine"],
            "workload": {"kind": "micro", "operation": "tlb-miss-walk"},
            "sweep": {"workload.iterations": list(range(2000, 2000 + POINTS))},
        }
        file = here / "sweep.yaml"
        file.write_text(json.dumps(experiment))
        fake = (FAKE,) if sleep_s is not None else ()
        around = environment(*fake) | {"FAKE_SECONDS": str(sleep_s or 0)}
        took = {}
        for workers in (1, 2):
            out = here / str(workers)
            words = ["run", str(file), "-o", str(out), "--workers", str(workers), "--no-figures", "--quiet"]
            begun = time.perf_counter()
            subprocess.run([*COMMAND, *words], env=around, check=True, capture_output=True)
            took[workers] = time.perf_counter() - begun
            records = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
            inside = sum(record["provenance"]["wall_s"] for record in records)
            overhead = (took[workers] * workers - inside) / len(records)
            print(
                f"{len(records)} points, workers {workers}: {took[workers]:.2f} s, "
                f"{inside / len(records) * 1e3:.1f} ms in a run, {overhead * 1e3:.1f} ms beside it"
            )
        print(f"speed-up of two workers: {took[1] / took[2]:.2f}")


def start(repeats: int) -> None:
    """Time the answers of the command line: best and median of several, wall clock and processor."""
    for words in (["--help"], ["check", "compile"], ["version"]):
        times = []
        for _ in range(repeats + 1):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            begun = time.perf_counter()
            subprocess.run([*COMMAND, *words], env=environment(), check=True, capture_output=True)
            wall = time.perf_counter() - begun
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            times.append((wall, spent))
        walls = sorted(wall for wall, _ in times[1:])  # the first one may have to compile
        spent = min(spent for _, spent in times[1:])
        print(
            f"bgsim {' '.join(words)}: best {walls[0]:.2f} s, median {walls[len(walls) // 2]:.2f} s, "
            f"processor {spent:.2f} s"
        )


def summary(count: int) -> None:
    """Make a study of many records from one of few; time loading, summarising and writing it."""
    sys.path.insert(0, str(ROOT))
    import bgsim
    from bgsim.experiment.record import to_line
    from bgsim.experiment.study import load_study

    with tempfile.TemporaryDirectory() as scratch:
        few = bgsim.run("micro", Path(scratch) / "few", smoke=True, workers=1)
        many = Path(scratch) / "many"
        many.mkdir()
        with (many / "records.jsonl").open("wb") as stream:
            for number in range(count):
                like = few.records[number % len(few.records)]
                replication, point = number % 10, number // len(few.records) // 10
                config = {**like["config"], "replication": replication, "seed": replication}
                config["workload"] = {**config["workload"], "iterations": 20 + point}
                swept = {**like["point"], "workload.iterations": 20 + point}
                metrics = {name: value + number % 7 for name, value in like["metrics"].items()}
                changes = {"run_id": f"{number:016x}", "replication": replication, "seed": replication}
                stream.write(
                    to_line({**like, **changes, "config": config, "point": swept, "metrics": metrics})
                )
        size = (many / "records.jsonl").stat().st_size
        begun, processor = time.perf_counter(), time.process_time()
        study = load_study(many)
        loaded, loaded_cpu = time.perf_counter() - begun, time.process_time() - processor
        path = study.write_summary()
        total, total_cpu = time.perf_counter() - begun, time.process_time() - processor
        rows = path.read_text().count("\n") - 1
        print(
            f"{count} records, {size / 1e6:.0f} MB: loaded in {loaded:.1f} s (processor {loaded_cpu:.1f} s), "
            f"summarised into {rows} rows in {total:.1f} s in all (processor {total_cpu:.1f} s)"
        )


def main() -> None:
    """Run what is asked for; everything by default."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", choices=["sweep", "start", "summary"], default=[])
    parser.add_argument("--sleep", type=float, metavar="S", help="runs of the sweep only wait so long")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--records", type=int, default=100_000)
    chosen = parser.parse_args()
    for what in chosen.what or ("sweep", "start", "summary"):
        print(f"-- {what}")
        if what == "sweep":
            sweep(chosen.sleep)
        elif what == "start":
            start(chosen.repeats)
        else:
            summary(chosen.records)


if __name__ == "__main__":
    main()

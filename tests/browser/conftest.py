"""A small study with everything a report can show, and a browser without a screen."""

from __future__ import annotations

import hashlib
import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bgsim.experiment.study import Study
from bgsim.report.page import write_report

HARNESS = Path(__file__).with_name("harness.js")
WIDTHS = (390, 1280)


def record(
    kind: str, point: dict[str, Any], platform: str, replication: int = 0, **fields: Any
) -> dict[str, Any]:
    workload = {"kind": kind, **fields.pop("workload", {})}
    identity = json.dumps([kind, point, platform, replication], sort_keys=True)
    return {
        "schema": 1,
        "run_id": hashlib.sha256(identity.encode()).hexdigest()[:16],
        "experiment": "seen",
        "point": point,
        "platform": platform,
        "guest": "cnk",
        "replication": replication,
        "seed": 7 + replication,
        "config": {
            "model_version": 1,
            "machine": {"base": "bgp", "set": {}},
            "assume": {},
            "partition": {"topology": "cube", "shape": [4, 4, 4], "torus": [True] * 3, "pset": 64},
            "guest": "cnk",
            "workload": workload,
            "platform": platform,
            "replication": replication,
            "seed": 7 + replication,
        },
        "exits": [],
        "attribution": {},
        "details": {},
        "warnings": [],
        "provenance": {"bgsim": "0.1.0", "python": "3.11", "libraries": {"numpy": "2"}, "wall_s": 1.5},
        "status": "ok",
        **fields,
    }


def compile_run(program: str, platform: str, replication: int) -> dict[str, Any]:
    seconds = (3.0 if platform == "bare-metal" else 117.0) * (
        2 if program == "lcc" else 1
    ) + 0.1 * replication
    cycles = round(seconds * 850e6)
    causes = {"guest_user": cycles // 30, "guest_kernel": cycles // 60}
    exits = []
    if platform != "bare-metal":
        for cause, share in (("PPC_HVM_DTLB_MISS", 3), ("PPC_HVM_EMUL_MTSPR", 4), ("PPC_HVM_EMUL_TLBWE", 5)):
            causes[cause] = cycles // share
            exits.append(
                {"cause": cause, "count": 100 * share, "cycles_l4": cycles // share, "cycles_vmm": 0}
            )
    causes["guest_tlb_refill"] = cycles - sum(causes.values())
    metrics = {"elapsed_s": seconds, "cycles_total": cycles, "tlb_misses": cycles // 900, "exits_total": 1200}
    return record(
        "compile",
        {"workload.program": program},
        platform,
        replication,
        workload={"program": program, "native_time": "3 s"},
        metrics=metrics,
        attribution=causes,
        exits=exits,
    )


def traffic_run(size: int) -> dict[str, Any]:
    loads = {
        f"{axis}_{sign}": [round((node * (number + 1)) % 64 / 100, 6) for node in range(64)]
        for number, (axis, sign) in enumerate((a, s) for a in "xyz" for s in ("plus", "minus"))
    }
    return record(
        "traffic",
        {"workload.size": f"{size} B"},
        "bare-metal",
        workload={"pattern": "antipodal", "operation": "put", "displacement": None, "size": f"{size} B"},
        metrics={
            "operation_us_avg": size / 100,
            "operation_us_min": size / 120,
            "operation_us_max": size / 80,
        },
        details={"link_load": loads},
    )


def collective_run(operation: str) -> dict[str, Any]:
    return record(
        "collectives",
        {"workload.operation": operation},
        "bare-metal",
        workload={"operation": operation, "size": "4 KiB"},
        metrics={"operation_us_avg": 20.0, "elapsed_s": 0.1},
        details={"algorithm": "collective-network", "ranks": 64},
    )


def written(folder: Path, name: str, records: list[dict[str, Any]]) -> Path:
    path = folder / f"{name}.html"
    write_report(Study(folder / name, records), path)
    return path


@pytest.fixture(scope="session")
def write_trees() -> Callable[[Path], Path]:
    """Writes the page of a study over the collective network into a folder."""
    return lambda folder: written(
        folder, "collectives", [collective_run(o) for o in ("allreduce", "broadcast")]
    )


@pytest.fixture(scope="session")
def reports(write_trees: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages of three studies by kind of workload."""
    folder = tmp_path_factory.mktemp("reports")
    platforms = ("bare-metal", "virtual-machine")
    builds = [compile_run(p, on, n) for p in ("gcc346", "lcc", "gcc12") for on in platforms for n in range(3)]
    return {
        "compile": written(folder, "compile", builds),
        "traffic": written(folder, "traffic", [traffic_run(size) for size in (64, 1024, 65536)]),
        "collectives": write_trees(folder),
    }


@pytest.fixture(scope="session")
def seen(reports: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What a browser says of every page at every width: one start of it for all."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    listener = "window.complaints=[];addEventListener('error',e=>complaints.push(String(e.message)))"
    frames = []
    for name, path in reports.items():
        text = path.read_text(encoding="utf-8").replace("<head>", f"<head><script>{listener}</script>", 1)
        for width in WIDTHS:
            source = html.escape(text, quote=True)
            frames.append(
                f'<iframe id="{name}-{width}" width="{width}" height="900" srcdoc="{source}"></iframe>'
            )
    page = tmp_path_factory.mktemp("browser") / "harness.html"
    script = HARNESS.read_text(encoding="utf-8")
    page.write_text(
        f"<!DOCTYPE html><meta charset=utf-8>{''.join(frames)}<pre></pre><script>{script}</script>"
    )
    done = subprocess.run(
        [
            browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-extensions",
            "--enable-logging=stderr", "--log-level=0", "--virtual-time-budget=5000", "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    answer = re.search(r"<pre>(.*?)</pre>", done.stdout, re.DOTALL)
    assert answer, done.stdout[-2000:]
    found: dict[str, dict[str, Any]] = json.loads(html.unescape(answer[1]))
    found["console"] = {"lines": [line for line in done.stderr.splitlines() if "CONSOLE" in line]}
    return found

"""Speed and memory of the machine tier: the cases with a promise, after compilation.

``python benchmarks/machine.py`` runs each case twice in this process (the first run compiles where nothing is
in numba's cache) and prints the second: host seconds, processor seconds, and the peak memory so far.
``--cost-model`` names another cost model than the shipped one.
"""

from __future__ import annotations

import argparse
import resource
import time
from typing import Any

from bgsim.datasheet import Datasheet
from bgsim.workloads import execute
from bgsim.workloads.machine_configs import AUTO, CollectivesConfig, HaloConfig
from bgsim.workloads.resolved import Partition, ResolvedRun

CLOSED = (True, True, True)
RACKS_72, RACKS_32, RACKS_4, MIDPLANE = (72, 32, 32), (32, 32, 32), (16, 16, 16), (8, 8, 8)

CASES: dict[str, tuple[tuple[int, int, int], dict[str, Any], str]] = {
    "1,000 barrier + allreduce 8 B, 294,912 ranks": (
        RACKS_72,
        {"operation": "allreduce", "synchronised": True, "ranks_per_node": 4, "iterations": 1000},
        "30 s, 4 GiB",
    ),
    "allreduce 8 B, 32,768 ranks, collective network": (
        RACKS_32,
        {"operation": "allreduce", "iterations": 1},
        "0.1 s",
    ),
    "allreduce 8 B, 32,768 ranks, binomial on the torus": (
        RACKS_32,
        {"operation": "allreduce", "algorithm": "binomial", "iterations": 1},
        "",
    ),
    "all-to-all 1 KiB, 512 ranks, packets": (
        MIDPLANE,
        {"operation": "alltoall", "size": "1 KiB", "iterations": 1},
        "3 s",
    ),
    "halo of 4 racks, 10 iterations, packets": (
        RACKS_4,
        {"kind": "halo", "iterations": 10, "network": "packet"},
        "60 s",
    ),
    "halo of 72 racks, 5 iterations, uncontended": (
        RACKS_72,
        {"kind": "halo", "iterations": 5, "network": "uncontended"},
        "",
    ),
}


def resolved(
    shape: tuple[int, int, int], section: dict[str, Any], platform: str, cost_model: str
) -> ResolvedRun:
    """The run of a case."""
    machine = Datasheet.load()
    full = {"kind": "collectives", "cost_model": cost_model, **section}
    kind = HaloConfig if full["kind"] == "halo" else CollectivesConfig
    partition = Partition("benchmark", shape, CLOSED, 128)
    return ResolvedRun(machine, machine, partition, platform, "cnk", kind.model_validate(full), 1, 0)


def main() -> None:
    """Run what is named, or everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("only", nargs="?", default="", help="only cases with this in their name")
    parser.add_argument("--platform", default="virtual-machine")
    parser.add_argument("--cost-model", default=AUTO)
    options = parser.parse_args()
    for name, (shape, section, promise) in CASES.items():
        if options.only not in name:
            continue
        short = {**section, "iterations": 1}
        execute(resolved(shape, short, options.platform, options.cost_model))
        began, spent = time.perf_counter(), time.process_time()
        outcome = execute(resolved(shape, section, options.platform, options.cost_model))
        wall, processor = time.perf_counter() - began, time.process_time() - spent
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"{name}: {wall:.2f} s, {processor:.2f} s of processor, {memory:.2f} GiB"
            f"{', promised ' + promise if promise else ''}; "
            f"simulated {outcome.metrics['latency_us']:.2f} us per operation",
            flush=True,
        )


if __name__ == "__main__":
    main()

"""Stands in for the micro workload: answers from its configuration, behaves as the environment says."""

import hashlib
import os
import time

from bgsim.workloads.outcome import ExitRow, Outcome


def run(resolved, progress):
    config = resolved.workload
    print("a library talks to standard output")
    time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))
    if progress is not None:
        progress(0.25, "half way")
    if os.environ.get("FAKE_DIES_AT") == config.operation:
        os.kill(os.getpid(), 9)
    if os.environ.get("FAKE_FAILS_AT") == config.operation:
        raise RuntimeError("the link is down")
    text = f"{config.operation} {config.iterations} {resolved.seed}"
    cycles = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
    factor = 3 if resolved.platform == "virtual-machine" else 1
    extra = cycles * (factor - 1)
    return Outcome(
        metrics={
            "elapsed_s": factor * cycles / 850e6,
            "operation_us_avg": factor * cycles / 850 / config.iterations,
            "cycles_total": factor * cycles,
            "exits_total": factor - 1,
        },
        exits=[ExitRow(cause="PPC_HVM_DTLB_MISS", count=factor - 1, cycles_l4=extra, cycles_vmm=0)],
        attribution={"guest_user": cycles, "PPC_HVM_DTLB_MISS": extra},
        details={},
    )

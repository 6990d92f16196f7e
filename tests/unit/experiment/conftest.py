"""A workload that takes no time, so that the harness is tested and nothing else."""

import copy
import dataclasses
import hashlib
import sys
from types import ModuleType

import pytest

from bgsim.workloads.catalogue import WORKLOADS
from bgsim.workloads.outcome import ExitRow, Outcome

EXPERIMENT = {
    "name": "study",
    "machine": "bgp",
    "partition": {"topology": "pair"},
    "platforms": ["bare-metal", "virtual-machine"],
    "workload": {"kind": "micro"},
    "sweep": {"workload.iterations": [1, 2, 10]},
    "replications": 2,
}


def simulate(resolved, progress):
    """Cycles from the iterations and the seed; a virtual machine needs three times as many."""
    digits = hashlib.sha256(str(resolved.seed).encode()).digest()
    cycles = 1000 * resolved.workload.iterations + digits[0]
    factor = 3 if resolved.platform == "virtual-machine" else 1
    if progress is not None:
        progress(0.5, "half way")
    extra = cycles * (factor - 1)
    return Outcome(
        metrics={
            "elapsed_s": factor * cycles / 850e6,
            "cycles_total": factor * cycles,
            "exits_total": factor - 1,
        },
        exits=[ExitRow(cause="PPC_HVM_DTLB_MISS", count=factor - 1, cycles_l4=extra, cycles_vmm=0)],
        attribution={"guest_user": cycles, "PPC_HVM_DTLB_MISS": extra},
        details={"clock": resolved.machine.integer("core.frequency")},
    )


@pytest.fixture
def workload(monkeypatch):
    """The micro workload is replaced; tests may put another function in ``module.run``."""
    module = ModuleType("workload_of_the_tests")
    module.run = simulate
    monkeypatch.setitem(sys.modules, module.__name__, module)
    replaced = dataclasses.replace(WORKLOADS["micro"], module=module.__name__)
    monkeypatch.setitem(WORKLOADS.built_in, "micro", replaced)
    return module


@pytest.fixture
def experiment():
    return copy.deepcopy(EXPERIMENT)

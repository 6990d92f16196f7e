"""Kernel and VMM instructions per operation against counting by hand in the sources."""

from __future__ import annotations

from collections.abc import Iterator

from bgsim.datasheet import Datasheet
from bgsim.validation.case import Case, Row
from bgsim.workloads import micro
from bgsim.workloads.configs import MicroConfig, MicroOperation
from bgsim.workloads.resolved import Partition, ResolvedRun

ITERATIONS = 1000
TOLERANCE_PERCENT = 10.0


def instructions(operation: MicroOperation) -> float:
    """Simulated instructions of microkernel and VMM per operation."""
    machine = Datasheet.load()
    config = MicroConfig(kind="micro", operation=operation, iterations=ITERATIONS)
    partition = Partition("node", (1, 1, 1), (False, False, False))
    resolved = ResolvedRun(machine, machine, partition, "virtual-machine", "kittyhawk-linux", config, 0, 0)
    return float(micro.run(resolved).metrics["kernel_instructions_per_operation"])


def rows(fast: bool) -> Iterator[Row]:
    """Every operation that was counted by hand; all are done in seconds."""
    for operation, expected in micro.HAND_COUNT_INSTRUCTIONS.items():
        simulated = instructions(
            MicroConfig.model_validate({"kind": "micro", "operation": operation}).operation
        )
        yield Row("all", operation, expected, simulated, TOLERANCE_PERCENT)


CASE = Case(
    name="kernel-instructions-against-hand-count",
    compares="instructions of microkernel and VMM per micro operation with the ordered privileged "
    "instructions "
    "of the guest's sources, each at its executed length",
    kind="hand count",
    unit="instructions",
    source="L4Ka::Pistachio, khvmm and Kittyhawk Linux, their paths executed instruction by instruction",
    conditions="Virtual machine, kernel built with -Os. Hand counts are rounded, and assume typical "
    "TLB states: a page "
    "fault is given as 20,000 to 22,000. Operations replayed from traces take what state the trace brings.",
    binding=False,
    rows=rows,
)

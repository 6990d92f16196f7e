"""Costs of single kernel operations, native beside virtualised, read from micro runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bgsim.experiment.statistics import Interval, mean_interval
from bgsim.report.results import Group, Record, core_frequency_hz, details, workload

_MEANS = ("cycles", "instructions", "kernel_instructions", "exits", "hand_count_instructions")


@dataclass(frozen=True)
class OperationCost:
    """Cost of one operation on one platform, all per operation.

    ``instructions`` are the guest's; ``kernel_instructions`` those of microkernel and VMM, and
    ``hand_count_instructions`` what reading their sources gives, where somebody has counted.
    ``intervals`` are theirs over replications, by name, where they are known.
    """

    operation: str
    platform: str
    cycles: float
    microseconds: float
    instructions: float | None
    kernel_instructions: float | None
    exits: float | None
    hand_count_instructions: float | None
    intervals: Mapping[str, Interval] = field(default_factory=dict)


def costs_of(groups: Iterable[Group]) -> list[OperationCost]:
    """Operation costs of micro runs, averaged over replications, in the order of the groups."""
    costs = []
    for group in groups:
        frequency_hz = core_frequency_hz(group.records[0])
        listed = [_listed(record, frequency_hz) for record in group.records]
        for replications in zip(*listed, strict=False):
            first: Mapping[str, Any] = replications[0]
            known = {name: _interval(replications, name) for name in _MEANS}
            means = {name: None if found is None else found.mean for name, found in known.items()}
            cycles = means["cycles"]
            if cycles is None:
                continue
            costs.append(
                OperationCost(
                    operation=str(first["operation"]),
                    platform=group.platform,
                    cycles=cycles,
                    microseconds=cycles / frequency_hz * 1e6,
                    instructions=means["instructions"],
                    kernel_instructions=means["kernel_instructions"],
                    exits=means["exits"],
                    hand_count_instructions=means["hand_count_instructions"],
                    intervals={name: found for name, found in known.items() if found is not None},
                )
            )
    return costs


def _listed(record: Record, frequency_hz: int) -> list[Mapping[str, Any]]:
    """The operations a record lists, or the one operation it is all about."""
    listed = details(record).get("operations")
    if listed:
        return list(listed)
    average_us = record["metrics"].get("operation_us_avg")
    if average_us is None:
        return []
    return [{"operation": workload(record)["operation"], "cycles": average_us * frequency_hz / 1e6}]


def _interval(rows: Iterable[Mapping[str, Any]], name: str) -> Interval | None:
    values = [float(row[name]) for row in rows if row.get(name) is not None]
    return mean_interval(values) if values else None


def by_operation(costs: Iterable[OperationCost]) -> dict[str, dict[str, OperationCost]]:
    """Operation to platform to cost; operations in order of their largest cost."""
    table: dict[str, dict[str, OperationCost]] = {}
    for cost in costs:
        table.setdefault(cost.operation, {})[cost.platform] = cost
    return dict(sorted(table.items(), key=lambda item: (max(c.cycles for c in item[1].values()), item[0])))

"""What was measured on the real machine for a run of the traffic workload, if it was."""

from __future__ import annotations

from collections.abc import Mapping

from bgsim.validation_data import table
from bgsim.workloads.resolved import Partition
from bgsim.workloads.traffic_config import TrafficConfig

SHAPE = (8, 8, 8)
POSTED = 100


def measured(config: TrafficConfig, partition: Partition, protocol: str) -> dict[str, float] | None:
    """Measured values of the same pattern, operation and size on the same partition, all nodes active.

    Returns
    -------
    dict or None
        ``operation_us_min``, ``_avg``, ``_max`` (the mean of both routing labels, the least and the largest
        value of either), or ``bandwidth_MiBps_min`` and ``_max`` over signs of the displacement.
    """
    same = partition.shape == SHAPE and all(partition.torus) and config.posted == POSTED
    if not same or config.active.strip() != "all":
        return None
    size = int(config.size.value)
    if config.pattern == "antipodal" and config.operation in ("get", "send"):
        return antipodal(config.operation, size)
    if config.operation != "put" or protocol != "put":
        return None
    if config.pattern == "shift" and config.displacement is not None:
        return shift(ring_distances(config.displacement, partition.shape), size)
    return None


def ring_distances(displacement: list[int], shape: tuple[int, int, int]) -> tuple[int, ...]:
    """Minimal hops in each dimension."""
    pairs = zip(displacement, shape, strict=True)
    return tuple(min(step % extent, -step % extent) for step, extent in pairs)


def deviation(metrics: Mapping[str, int | float], known: Mapping[str, float]) -> float:
    """Simulated over measured, less one: of an operation's mean time, or of the middle of measured rates."""
    if "operation_us_avg" in known:
        return metrics["operation_us_avg"] / known["operation_us_avg"] - 1
    middle = (known["bandwidth_MiBps_min"] + known["bandwidth_MiBps_max"]) / 2
    return metrics["bandwidth_MiBps"] / middle - 1


def antipodal(operation: str, size_bytes: int) -> dict[str, float] | None:
    """Microseconds per antipodal operation of 512 nodes."""
    rows = [row for row in table(f"antipodal_512_{operation}_all_active") if int(row["bytes"]) == size_bytes]
    if not rows:
        return None
    return {
        "operation_us_min": min(float(row["min_us"]) for row in rows),
        "operation_us_avg": sum(float(row["avg_us"]) for row in rows) / len(rows),
        "operation_us_max": max(float(row["max_us"]) for row in rows),
    }


def shift(distances: tuple[int, ...], size_bytes: int) -> dict[str, float] | None:
    """MiB/s of puts to a distance class of 512 nodes."""
    for row in table("shift_512_put"):
        there = tuple(int(row[f"abs_d{axis}"]) for axis in "xyz")
        if there == distances and int(row["bytes"]) == size_bytes:
            return {
                "bandwidth_MiBps_min": float(row["min_MiBps"]),
                "bandwidth_MiBps_max": float(row["max_MiBps"]),
            }
    return None

"""Whether a collective operation fits its partition and machine, told when planned.

Apart from :mod:`bgsim.workloads.collectives` so that an experiment is checked without the networks; what is
imported here inside functions is needed for large operations and mapping files only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from bgsim.machine.limits import MESSAGES_MAX, NODE_PACKETS_MAX
from bgsim.workloads.machine_configs import WITHOUT_TORUS, CollectivesConfig
from bgsim.workloads.support import SOCKET_GUESTS, PlannedRun, Refusal

if TYPE_CHECKING:
    from bgsim.machine.cost_model import CostModel
    from bgsim.machine.program import Placement
    from bgsim.workloads.resolved import ResolvedRun

_PIECE_BYTES = 200
"""No segment and no packet of the shipped machine is shorter."""

_CUT_BY = ("collective.packet_payload", "mpi.pipeline_segment")
"""Parameters that say what an operation is cut into."""


def misfits(config: CollectivesConfig, planned: PlannedRun, costs: CostModel | None) -> Iterator[Refusal]:
    """What makes a collective operation of the machine tier impossible, each with the key that says it.

    Parameters
    ----------
    config, planned
        The workload, and its run.
    costs
        The cost model of a file; None stands for that of the guest.
    """
    if isinstance(planned.partition.mapping, str) and _is_small(config, planned):
        return  # the machine's datasheet need not be read
    from bgsim.machine.program import TooManyMessagesError
    from bgsim.machine.tree_runs import TooManyPacketsError, TreeOperation, check_packets
    from bgsim.workloads.machine_tier import placement_of

    resolved = planned.resolve()
    chosen = config.chosen(resolved.guest in SOCKET_GUESTS)
    placement = placement_of(resolved.partition, config.ranks_per_node)
    yield from _idle(config, chosen, placement)
    if chosen == "collective-network":
        try:
            check_packets(
                cast(TreeOperation, config.operation), int(config.size.value), placement, resolved.machine
            )
        except TooManyPacketsError as error:
            yield Refusal("workload.size", str(error))
    elif chosen not in WITHOUT_TORUS:
        rendezvous = resolved.guest not in SOCKET_GUESTS if costs is None else costs.rendezvous is not None
        try:
            check_messages(resolved, config, chosen, placement, rendezvous)
        except TooManyMessagesError as error:
            by_size = chosen in ("ring", "rectangle") and config.operation != "allgather"
            yield Refusal("workload.size" if by_size else "workload.operation", str(error))


def check_messages(
    resolved: ResolvedRun, config: CollectivesConfig, chosen: str, placement: Placement, rendezvous: bool
) -> None:
    """Refuse an algorithm over the torus whose messages do not fit, before any of them is made.

    Parameters
    ----------
    resolved, config
        The run, and its workload.
    chosen
        The algorithm.
    placement
        Where the ranks run.
    rendezvous
        Whether long messages have a handshake.

    Raises
    ------
    bgsim.machine.program.TooManyMessagesError
        If they are too many.
    """
    from bgsim.machine.message_counts import messages_of, refuse_many
    from bgsim.machine.program import Settings

    settings = Settings.from_datasheet(resolved.machine)
    size = int(config.size.value)
    messages = messages_of(config.operation, chosen, size, placement, settings, rendezvous)
    refuse_many(messages, f"{config.operation} by {chosen}: ")


def _is_small(config: CollectivesConfig, planned: PlannedRun) -> bool:
    """Whether an operation certainly fits, by bounds that need no datasheet."""
    if any(name in planned.changed for name in _CUT_BY):
        return False
    nodes, pieces = planned.partition.nodes, int(config.size.value) // _PIECE_BYTES + 1
    ranks, rounds = nodes * config.ranks_per_node, 20
    to_all = config.operation in ("alltoall", "allgather")
    if to_all or config.algorithm in ("ring", "rectangle"):
        rounds = 2 * max(ranks, 1 if to_all else pieces)
    packets = pieces * (ranks if config.operation == "allgather" else 1)
    return 3 * ranks * rounds <= MESSAGES_MAX and nodes * packets <= NODE_PACKETS_MAX


def _idle(config: CollectivesConfig, chosen: str, placement: Placement) -> Iterator[Refusal]:
    """Nodes that a mapping file leaves without a rank that the operation needs."""
    from bgsim.machine.algorithms import without_master
    from bgsim.machine.tree_runs import without_rank

    if chosen == "rectangle":
        spans, nodes = "algorithm rectangle needs a rank on the first core of", without_master(placement)
    elif chosen in WITHOUT_TORUS:
        spans, nodes = f"{chosen.replace('-', ' ')} needs a rank on", without_rank(placement)
    elif config.synchronised:
        spans, nodes = "barrier network needs a rank on", without_rank(placement)
    else:
        return
    if nodes.size:
        x, y, z = placement.shape
        first = int(nodes[0])
        said = f"the {spans} all {x * y * z:,} nodes, and {nodes.size:,} have none"
        where = f"the first of them is ({first % x}, {first // x % y}, {first // (x * y)})"
        yield Refusal("partition.mapping", f"{said}; {where}")

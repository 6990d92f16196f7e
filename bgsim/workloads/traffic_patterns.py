"""Who sends to whom: the communication patterns of the traffic workload.

A pattern gives each active node the list of its operations' partners, in the order in which they are posted.

====================  ==========================================================================
shift                 the node at a displacement, round the partition
antipodal             the node half way round in every dimension: the longest way a torus has
random-permutation    one node for each, all different and none itself; drawn, or from a file
uniform-random        a node drawn anew for every operation
all-to-all            every other node in turn, each node beginning with the one after itself
nearest-neighbour     each neighbour in turn, along a link; in a closed dimension of two nodes twice the
                      same, and both times along the one that the hint bits choose
hotspot               one node for all
====================  ==========================================================================

Random patterns are drawn over the whole partition, whatever nodes are active, so that nodes which take part
have the same partners whoever else does.
"""

from __future__ import annotations

import csv
import hashlib

import numpy as np

from bgsim.network.topology import Closed, Shape, node_count
from bgsim.network.traffic import Ints, shifted
from bgsim.workloads.traffic_config import TrafficConfig, permutation_bytes


class PatternError(ValueError):
    """The pattern does not fit the partition."""


def random_stream(seed: int, replication: int, name: str) -> np.random.Generator:
    """Random numbers for one purpose of one run, the same on every machine."""
    text = f"traffic/{seed}/{replication}/{name}"
    return np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16])))


def partners(
    config: TrafficConfig, shape: Shape, torus: Closed, active: Ints, random: np.random.Generator
) -> Ints:
    """Partners of each active node's operations; what :mod:`bgsim.workloads.traffic_fit` refuses is left out.

    Parameters
    ----------
    config
        The workload; its ``posted`` counts operations to each partner where a pattern has several.
    shape, torus
        The partition.
    active
        Nodes that post, ascending.
    random
        For the patterns that draw.

    Returns
    -------
    numpy.ndarray
        Node numbers, shape (active nodes, operations per node); -1 where a node at the edge of a mesh lacks
        a neighbour.

    Raises
    ------
    PatternError
        A file of a permutation does not fit.
    """
    nodes, posted = node_count(shape), config.posted
    pattern = config.pattern
    if pattern == "uniform-random":
        drawn = random.integers(1, nodes, (posted, nodes)).T
        return np.ascontiguousarray((drawn[active] + active[:, None]) % nodes)
    if pattern == "all-to-all":
        once = (active[:, None] + np.arange(1, nodes)) % nodes
        return np.tile(once, (1, posted))
    if pattern == "nearest-neighbour":
        return np.tile(_neighbours(shape, torus)[active], (1, posted))
    if pattern == "hotspot":
        one = np.full(nodes, config.target, dtype=np.int64)
    elif pattern == "random-permutation":
        one = permutation_of(config, nodes) if config.permutation else derangement(nodes, random)
    else:
        x, y, z = config.displacement or (0, 0, 0)
        if pattern == "antipodal":
            x, y, z = (extent // 2 for extent in shape)
        one = shifted(shape, (x, y, z))
    return np.repeat(one[active][:, None], posted, axis=1)


def derangement(nodes: int, random: np.random.Generator) -> Ints:
    """A random permutation without fixed points, all equally likely."""
    everyone = np.arange(nodes)
    if nodes < 2:
        raise PatternError("a permutation without fixed points needs two nodes")
    while True:
        drawn = random.permutation(nodes)
        if (drawn != everyone).all():
            return drawn


def read_permutation(name: str) -> tuple[Ints, str]:
    """Read a permutation: a CSV file with the columns ``source`` and ``destination``.

    Parameters
    ----------
    name
        A path; or a shape such as ``8x8x8``, which names the shipped permutation of that partition.

    Returns
    -------
    destination
        By source, shape (nodes,).
    digest
        SHA-256 of the file, hexadecimal.

    Raises
    ------
    ValueError
        There is no such file, or (as PatternError) it does not hold a permutation without fixed points.
    """
    data = permutation_bytes(name)
    pairs: list[tuple[int, int]] = []
    reader = csv.DictReader(data.decode("utf-8", "replace").splitlines())
    for number, row in enumerate(reader, start=2):
        try:
            pairs.append((int(row["source"]), int(row["destination"])))
        except (KeyError, TypeError, ValueError):
            raise PatternError(
                f"{name}:{number}: expected two node numbers under 'source,destination'"
            ) from None
    source, destination = np.array(pairs, np.int64).reshape(-1, 2).T
    everyone = np.arange(source.size)
    if not source.size or (np.sort(source) != everyone).any() or (np.sort(destination) != everyone).any():
        raise PatternError(f"{name}: not a permutation of the nodes 0 to {max(source.size - 1, 0)}")
    if (source == destination).any():
        raise PatternError(f"{name}: node {source[source == destination][0]} is sent to itself")
    return destination[np.argsort(source)], hashlib.sha256(data).hexdigest()


def permutation_of(config: TrafficConfig, nodes: int) -> Ints:
    """The permutation that a workload names.

    Parameters
    ----------
    config
        A workload with a permutation.
    nodes
        Of the partition.

    Returns
    -------
    numpy.ndarray
        Destination by source, shape (nodes,).

    Raises
    ------
    PatternError
        It holds no permutation, is of another number of nodes, or has changed since the run was planned.
    """
    assert config.permutation is not None
    destination, digest = read_permutation(config.permutation)
    if config.permutation_digest and digest != config.permutation_digest:
        raise PatternError(f"{config.permutation}: the file has changed since the run was planned")
    if destination.size != nodes:
        raise PatternError(
            f"{config.permutation}: permutes {destination.size} nodes, and the partition has {nodes}"
        )
    return destination


def _neighbours(shape: Shape, torus: Closed) -> Ints:
    """Neighbours of each node, shape (nodes, partners): both ways in each dimension, -1 past an edge."""
    nodes = np.arange(node_count(shape))
    columns: list[Ints] = []
    stride = 1
    for extent, closed in zip(shape, torus, strict=True):
        position = nodes // stride % extent
        if extent > 1:
            for step in (1, -1):
                there = position + step
                neighbour = nodes + (there % extent - position) * stride
                exists = closed | ((there >= 0) & (there < extent))
                columns.append(np.where(exists, neighbour, -1))
        stride *= extent
    if not columns:
        raise PatternError("a single node has no neighbours")
    return np.stack(columns, axis=1)

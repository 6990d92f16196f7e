"""Pictures of a partition: the torus plane by plane, and the collective tree.

Up to 512 nodes each node is drawn; above, each cell is a node card or a midplane, and the tree ends at the
psets. Colours are the same in both: the sub-trees three hops below the root, eight at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bgsim.network.implicit import coordinate_table
from bgsim.network.topology import Closed, Shape
from bgsim.report import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bgsim.network.tree import CollectiveTree

NODES_DRAWN_MAX = 512
CARDS_DRAWN_MAX = 256
COLOURS = (
    style.SKY_BLUE, style.ORANGE, style.GREEN, style.PURPLE,
    style.BLUE, style.YELLOW, style.VERMILLION, style.GREY,
)  # fmt: skip
CELL_IN_MIN, CELL_IN_MAX = 0.16, 0.34
"""Size of a cell in print, with the space around it."""
GROUP_LEVEL = 3
EDGED_MAX = 300
"""More marks than this get no edge: it would be all one sees."""
STUB = 0.42
"""Length of a link that leads round, in cells."""


class Cells(NamedTuple):
    """What is drawn as one square.

    Attributes
    ----------
    name
        Of one cell, such as ``node card``.
    extents
        Nodes of a cell in x, y and z.
    shape
        Cells in x, y and z.
    """

    name: str
    extents: Shape
    shape: Shape


def cells_of(shape: Shape) -> Cells:
    """Nodes, node cards or midplanes, whichever can still be told apart."""
    choices = (("node", (1, 1, 1)), ("node card", (4, 4, 2)), ("midplane", (8, 8, 8)))
    bounds = (NODES_DRAWN_MAX, CARDS_DRAWN_MAX, None)
    for (name, extents), most in zip(choices, bounds, strict=True):
        x, y, z = (-(-size // extent) for size, extent in zip(shape, extents, strict=True))
        if most is None or x * y * z <= most:
            return Cells(name, extents, (x, y, z))
    raise AssertionError("midplanes are always drawn")


def partition_figure(name: str, tree: CollectiveTree, torus: Closed) -> Figure:
    """Slices of the torus above, the collective tree below.

    Parameters
    ----------
    name
        For the title.
    tree
        The collective network, with the shape.
    torus
        Whether each dimension is closed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    cells = cells_of(tree.shape)
    X, Y, Z = cells.shape
    columns = _columns(X, Z)
    rows = -(-Z // columns)
    cell_in = min(CELL_IN_MAX, style.DOUBLE_COLUMN_IN / columns / (X + 1))
    slices_in = rows * (cell_in * (Y + 2 * STUB) + 0.2) + 0.5
    whole = tree.nodes <= NODES_DRAWN_MAX
    drawn = tree.depth if whole else int(tree.level[tree.pset_roots].max())
    tree_in = min(3.0, 0.7 + 0.35 * drawn)
    figure = Figure(figsize=(style.DOUBLE_COLUMN_IN, slices_in + tree_in), layout="constrained")
    FigureCanvasAgg(figure)
    parts: Any = figure.subfigures(2, 1, height_ratios=[slices_in, tree_in])
    group = groups_of(tree)
    _slices(parts[0], rows, columns, cells, tree, torus, group)
    _tree(parts[1].subplots(), tree, group, whole=whole)
    parts[0].suptitle(_title(name, cells, torus), fontsize=7.5)
    return figure


def groups_of(tree: CollectiveTree) -> NDArray[np.int64]:
    """Which of the sub-trees three hops below the root each node is in, from 0, shape (nodes,).

    A node further up counts where its pset does.
    """
    place = np.full(tree.nodes, -1)
    heads = tree.order[tree.level[tree.order] == min(GROUP_LEVEL, tree.depth)]
    heads = heads[np.argsort(tree.pset_of[heads], kind="stable")]
    place[heads] = np.arange(heads.size)
    for node in tree.order.tolist():
        if place[node] < 0 and tree.level[node] > GROUP_LEVEL:
            place[node] = place[tree.parent[node]]
    for node in np.flatnonzero(place < 0).tolist():
        below = int(tree.pset_roots[tree.pset_of[node]])
        while place[below] < 0 and tree.children[below, 0] >= 0:
            below = int(tree.children[below, 0])
        place[node] = max(0, place[below])
    return place


def _columns(X: int, Z: int) -> int:
    """Panels side by side: as many as leave the cells large enough, in full rows."""
    fitting = [
        columns
        for columns in range(1, Z + 1)
        if Z % columns == 0 and style.DOUBLE_COLUMN_IN / columns / (X + 1) >= CELL_IN_MIN
    ]
    return max(fitting, default=1)


def _title(name: str, cells: Cells, torus: Closed) -> str:
    closed = "".join(axis for axis, flag in zip("XYZ", torus, strict=True) if flag)
    square = "node" if cells.name == "node" else f"{cells.name} ({'x'.join(map(str, cells.extents))} nodes)"
    ends = (
        f"closed in {', '.join(closed)}: short ends lead round" if closed else "a mesh: nothing leads round"
    )
    return f"{name}: each square is a {square}, each panel a plane in Z; {ends}"


def _slices(
    figure: Any,
    rows: int,
    columns: int,
    cells: Cells,
    tree: CollectiveTree,
    torus: Closed,
    group: NDArray[np.int64],
) -> None:
    X, Y, Z = cells.shape
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    first = coordinate_table(cells.shape) * np.array(cells.extents)
    corner = first[:, 0] + tree.shape[0] * (first[:, 1] + tree.shape[1] * first[:, 2])
    rooted = np.zeros(tree.nodes, np.bool_)
    rooted[tree.pset_roots] = True
    for number, panel in enumerate(np.ravel(panels)):
        _plane(panel, X, Y, torus)
        here = slice(number * X * Y, (number + 1) * X * Y)
        x, y = np.meshgrid(np.arange(X), np.arange(Y))
        single = cells.name == "node"
        _squares(panel, x.ravel(), y.ravel(), group[corner[here]], rooted[corner[here]] & single)
        panel.set_title(_plane_name(number, cells), pad=2)
        panel.set_aspect("equal")
        panel.set_xlim(-0.5 - STUB, X - 0.5 + STUB)
        panel.set_ylim(-0.5 - STUB, Y - 0.5 + STUB)
        panel.grid(visible=False)
        for spine in panel.spines.values():
            spine.set_visible(False)
        panel.tick_params(length=0, pad=1)
        _ticks(panel, X, Y, cells.extents)
    for panel in panels[:, 0]:
        panel.set_ylabel("y")
    for number in range(max(0, Z - columns), Z):
        panels[number // columns, number % columns].set_xlabel("x")
        panels[number // columns, number % columns].tick_params(labelbottom=True)


def _plane_name(number: int, cells: Cells) -> str:
    first = number * cells.extents[2]
    last = first + cells.extents[2] - 1
    return f"z = {first}" if first == last else f"z = {first} to {last}"


def _ticks(panel: Axes, X: int, Y: int, extents: Shape) -> None:
    for size, extent, set_ticks in ((X, extents[0], panel.set_xticks), (Y, extents[1], panel.set_yticks)):
        places = range(0, size, max(1, -(-size // 9)))
        set_ticks(list(places), [str(place * extent) for place in places])


def _plane(panel: Axes, X: int, Y: int, torus: Closed) -> None:
    """Links of a plane, under the squares."""
    look: dict[str, Any] = {"color": style.DARK_GREY, "linewidth": 0.7, "zorder": 1}
    panel.hlines(range(Y), 0, X - 1, **look)
    panel.vlines(range(X), 0, Y - 1, **look)
    look |= {"color": style.VERMILLION, "linewidth": 0.9}
    if torus[0]:
        panel.hlines(
            list(range(Y)) * 2, [-0.5 - STUB] * Y + [X - 1] * Y, [0] * Y + [X - 0.5 + STUB] * Y, **look
        )
    if torus[1]:
        panel.vlines(
            list(range(X)) * 2, [-0.5 - STUB] * X + [Y - 1] * X, [0] * X + [Y - 0.5 + STUB] * X, **look
        )


def _squares(
    panel: Axes, x: NDArray[Any], y: NDArray[Any], group: NDArray[Any], rooted: NDArray[np.bool_]
) -> None:
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    squares = [Rectangle((a - 0.34, b - 0.34), 0.68, 0.68) for a, b in zip(x, y, strict=True)]
    faces = [COLOURS[number % len(COLOURS)] for number in group.tolist()]
    edges = [style.BLACK if root else "white" for root in rooted.tolist()]
    widths = [1.3 if root else 0.4 for root in rooted.tolist()]
    panel.add_collection(
        PatchCollection(squares, facecolors=faces, edgecolors=edges, linewidths=widths, zorder=2)
    )


def _tree(panel: Axes, tree: CollectiveTree, group: NDArray[np.int64], *, whole: bool) -> None:
    """The tree from the root down; without the inside of psets when they are many."""
    from matplotlib.collections import LineCollection
    from matplotlib.lines import Line2D

    shown = np.ones(tree.nodes, np.bool_)
    roots = np.zeros(tree.nodes, np.bool_)
    roots[tree.pset_roots] = True
    junction = _junctions(tree)
    if not whole:
        shown = junction | roots
    place = _places(tree, shown)
    below = np.flatnonzero(shown & (tree.parent >= 0))
    ends = np.stack([tree.parent[below], below], axis=1)
    lines = np.stack([place[ends], -tree.level[ends]], axis=2)
    panel.add_collection(LineCollection(list(lines), colors=style.GREY, linewidths=0.5, zorder=1))
    size = float(np.clip(2600 / np.count_nonzero(shown), 3.0, 40.0))
    colours = np.array(COLOURS)[group % len(COLOURS)]
    edge = 0.5 if np.count_nonzero(shown) <= EDGED_MAX or whole else 0.0
    kinds = (
        ("compute node", shown & ~junction & ~roots, "o", size, 0.0),
        ("joins two halves of the machine", junction, "D", 1.3 * size, edge),
        ("root of a pset, at its I/O node", roots, "s", 1.5 * size, edge),
    )
    handles: dict[str, Any] = {}
    for label, which, marker, area, width in kinds:
        if not which.any():
            continue
        panel.scatter(
            place[which], -tree.level[which], s=area, c=list(colours[which]), marker=marker,
            linewidths=width, edgecolors=style.BLACK, zorder=2,
        )  # fmt: skip
        look: dict[str, Any] = {"markerfacecolor": style.LIGHT_GREY, "markeredgecolor": style.BLACK}
        handles[label] = Line2D([], [], linestyle="none", marker=marker, markersize=4, **look)
    end = "" if whole else "; insides of psets are left out"
    io = f"{tree.pset_roots.size:,} I/O node{'s'[: tree.pset_roots.size - 1]}"
    panel.set_title(
        f"collective tree: depth {tree.depth} hop{'s'[: tree.depth - 1]}, {tree.nodes:,} nodes, {io}{end}"
    )
    panel.set_ylabel("hops from the root")
    levels = int(tree.level[shown].max())
    step = max(1, -(-levels // 8))
    panel.set_yticks([-level for level in range(0, levels + 1, step)])
    panel.set_yticklabels([str(level) for level in range(0, levels + 1, step)])
    panel.set_xticks([])
    panel.grid(visible=False, axis="x")
    panel.spines["bottom"].set_visible(False)
    panel.legend(handles.values(), handles, loc="upper left", ncols=1, borderaxespad=0.0)


def _junctions(tree: CollectiveTree) -> NDArray[np.bool_]:
    """Nodes above the psets' roots."""
    above = np.zeros(tree.nodes, np.bool_)
    nodes = tree.parent[tree.pset_roots]
    while (nodes >= 0).any():
        nodes = np.unique(nodes[nodes >= 0])
        above[nodes] = True
        nodes = tree.parent[nodes]
    return above


def _places(tree: CollectiveTree, shown: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Where a node stands from left to right: between what hangs from it, ends one apart."""
    children = np.where(tree.children >= 0, tree.children, -1)
    place = np.full(tree.nodes, np.nan)
    count = 0
    stack = [(int(tree.order[0]), False)]
    while stack:
        node, seen = stack.pop()
        kids = [child for child in children[node].tolist() if child >= 0 and shown[child]]
        if seen:
            place[node] = np.mean([place[kid] for kid in kids])
        elif kids:
            stack.append((node, True))
            kids.sort(key=lambda kid: int(tree.pset_of[kid]))
            stack.extend((kid, False) for kid in reversed(kids))
        else:
            place[node] = count
            count += 1
    return place

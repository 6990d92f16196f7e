"""``bgsim topology``: the partitions there are, and what one of them looks like."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bgsim.cli import completing
from bgsim.cli.failures import guarded, say

app = typer.Typer(
    help="List and show partitions: torus or mesh, collective tree, psets.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command("list")
@guarded
def list_() -> None:
    """List the shipped topologies."""
    from bgsim.cli.topology_text import listing

    print(listing())


@app.command()
@guarded
def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            autocompletion=completing.topologies,
            help="A shipped topology, or the path of a YAML file.",
        ),
    ],
    figure: Annotated[
        Path | None,
        typer.Option(
            "--figure", metavar="FILE", help="Draw it too: slices and the tree, as pdf, svg or png."
        ),
    ] = None,
    base: Annotated[str, typer.Option("--base", help="Which machine's datasheet.")] = "bgp",
) -> None:
    """Print a partition's measures, and draw it."""
    from bgsim.cli.topology_text import described, found
    from bgsim.datasheet import Datasheet
    from bgsim.network.tree import CollectiveTree

    topology = found(name)
    tree = CollectiveTree(topology.shape, topology.pset)
    print(described(topology, tree, Datasheet.load(base)))
    if figure is not None:
        from bgsim.experiment.store import told
        from bgsim.report import style
        from bgsim.report.topology_figures import partition_figure

        with style.paper_style(), told(figure):
            style.save_as(partition_figure(topology.name, tree, topology.torus), figure)
        say(f"figure: {figure}")

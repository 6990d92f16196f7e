"""``bgsim messages``: check, show and import message traces."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bgsim.cli.failures import guarded, leave, say
from bgsim.cli.outputs import output_path
from bgsim.experiment.errors import EXIT_BAD_INPUT

if TYPE_CHECKING:
    from bgsim.traces.files import ImportOptions
    from bgsim.traces.program import Program

FORMATS = ("auto", "bgsim", "goal", "simgrid")
DIALECTS = ("auto", "old", "new")

app = typer.Typer(
    help="Message traces: what the replay workload runs.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _rate(text: str) -> float:
    """A number above zero."""
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise typer.BadParameter(f"{text!r} is not a number above 0")
    return rate


TraceArgument = Annotated[Path, typer.Argument(metavar="TRACE", help="A trace file.")]
FormatOption = Annotated[
    str, typer.Option("--format", metavar="|".join(FORMATS), help="What the trace is written in.")
]
CalcOption = Annotated[
    str, typer.Option("--calc-unit", metavar="TIME", help="Of a GOAL schedule: one unit of calc.")
]
FlopsOption = Annotated[
    float | None,
    typer.Option(
        "--flops-per-s", parser=_rate, metavar="FLOAT", help="Of a SimGrid trace: how fast a core computes."
    ),
]
DialectOption = Annotated[
    str,
    typer.Option("--dialect", metavar="|".join(DIALECTS), help="Of a SimGrid trace: new has tags."),
]


@app.command()
@guarded
def check(
    trace: TraceArgument,
    trace_format: FormatOption = "auto",
    calc_unit: CalcOption = "1 ns",
    flops_per_s: FlopsOption = None,
    dialect: DialectOption = "auto",
) -> None:
    """Read a trace, match its messages, and see whether its ranks can run to their ends."""
    from bgsim.datasheet import Datasheet
    from bgsim.traces.deadlock import check_program

    program = _checked(trace, trace_format, _options(calc_unit, flops_per_s, dialect))
    limit = int(Datasheet.load("bgp").quantity("mpi.eager_limit").value)
    check_program(program, limit)
    print(f"{trace}: good; {_summary(program)}")


@app.command()
@guarded
def show(
    trace: TraceArgument,
    trace_format: FormatOption = "auto",
    calc_unit: CalcOption = "1 ns",
    flops_per_s: FlopsOption = None,
    dialect: DialectOption = "auto",
) -> None:
    """Print what is in a trace: operations by kind, and messages by size."""
    import numpy as np

    from bgsim.cli.listing import aligned
    from bgsim.traces.accounts import histogram
    from bgsim.traces.program import WORDS, Kind, is_send

    program = _checked(trace, trace_format, _options(calc_unit, flops_per_s, dialect))
    print(f"{trace}: {_summary(program)}\n")
    rows = [("operation", "count", "of a rank, least", "most")]
    for kind in Kind:
        mine = program.kind == kind
        if mine.any():
            per_rank = np.bincount(program.rank[mine], minlength=program.ranks)
            word = WORDS[kind] + (" (cycles)" if kind == Kind.COMPUTE_CYCLES else "")
            rows.append((word, str(int(mine.sum())), str(int(per_rank.min())), str(int(per_rank.max()))))
    print(aligned(rows))
    sizes = histogram(program.amount[is_send(program.kind)])
    if sizes:
        table = [("message size, to", "messages", "bytes")]
        table += [(f"{row['bytes_max']} B", str(row["messages"]), str(row["bytes"])) for row in sizes]
        print("\n" + aligned(table))


@app.command("import")
@guarded
def import_(
    trace: TraceArgument,
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", parser=output_path, metavar="FILE", help="The trace to write; .gz packs it."
        ),
    ],
    trace_format: FormatOption = "auto",
    calc_unit: CalcOption = "1 ns",
    flops_per_s: FlopsOption = None,
    dialect: DialectOption = "auto",
) -> None:
    """Write a trace of LogGOPSim or SimGrid in bgsim's own format."""
    from bgsim.traces import text

    program = _checked(trace, trace_format, _options(calc_unit, flops_per_s, dialect))
    text.write(program, output)
    say(f"{output}: {_summary(program)}")


def _options(calc_unit: str, flops_per_s: float | None, dialect: str) -> ImportOptions:
    from typing import cast

    from bgsim.traces.files import Dialect, ImportOptions
    from bgsim.units import parse

    if dialect not in DIALECTS:
        leave(EXIT_BAD_INPUT, f"bgsim: --dialect {dialect}: expected {', '.join(DIALECTS)}")
    return ImportOptions(parse(calc_unit, "time").value, flops_per_s, cast(Dialect, dialect))


def _checked(trace: Path, trace_format: str, options: ImportOptions) -> Program:
    from typing import cast

    from bgsim.traces.files import TraceFormat
    from bgsim.traces.loaded import checked

    if trace_format not in FORMATS:
        leave(EXIT_BAD_INPUT, f"bgsim: --format {trace_format}: expected {', '.join(FORMATS)}")
    return checked(trace, cast(TraceFormat, trace_format), options, "")


def _summary(program: Program) -> str:
    from bgsim.traces.accounts import total_bytes
    from bgsim.traces.program import FIRST_COLLECTIVE, is_send

    collectives = int((program.kind >= FIRST_COLLECTIVE).sum()) // program.ranks
    size = total_bytes(program.amount[is_send(program.kind)])
    return (
        f"{program.ranks} ranks, {program.size} operations, {program.sends} messages of {size} B together, "
        f"{collectives} collectives"
    )

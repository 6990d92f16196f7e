"""``bgsim characterize``: cost models measured, written, and compared with the shipped ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bgsim.cli.failures import leave, say
from bgsim.datasheet import Datasheet
from bgsim.experiment.errors import EXIT_BAD_INPUT, EXIT_INTERNAL
from bgsim.experiment.settings import settings
from bgsim.experiment.store import told
from bgsim.machine.cost_model import shipped_path
from bgsim.spelling import did_you_mean
from bgsim.workloads import characterize, cost_drift
from bgsim.workloads.characterize import Characterisation


def command(
    platform: str | None,
    guest: str | None,
    changes: Sequence[str],
    output: Path | None,
    check: bool,
    update: bool,
) -> None:
    """Measure the cost models of the chosen platforms and guests; see the command's help."""
    platforms = _chosen("platform", platform, characterize.PLATFORMS)
    guests = _chosen("guest", guest, tuple(characterize.GUESTS))
    made_together = characterize.pairs(platforms, guests)
    one = len(platforms) == len(guests) == 1
    if one and not made_together:
        leave(EXIT_BAD_INPUT, f"bgsim: --guest: {guests[0]} does not run on {platforms[0]}")
    if not (check or update or one):
        leave(EXIT_BAD_INPUT, "bgsim: --platform and --guest say which cost model to make")
    if (check or update) and (changes or output):
        leave(
            EXIT_BAD_INPUT,
            "bgsim: --check and --update are about the shipped cost models, without --set or -o",
        )
    values = {change.path.removeprefix("machine.set."): change.value for change in settings(changes)}
    machine = Datasheet.load().with_values(values)
    complaints: list[str] = []
    for each, under in made_together:
        if (check or update) and each in characterize.NOT_SHIPPED:
            continue
        made = characterize.characterize(machine, each, under, _teller(f"{each}/{under}"))
        if check:
            complaints += cost_drift.shipped_drift(made)
        elif update:
            _ship(made)
        else:
            _write(made, output)
    for complaint in complaints:
        say(f"bgsim: {complaint}")
    if complaints:
        leave(EXIT_INTERNAL, "bgsim: the shipped cost models have drifted; bgsim characterize --update")


def _chosen(what: str, name: str | None, known: tuple[str, ...]) -> tuple[str, ...]:
    if name is None:
        return known
    if name not in known:
        expected = did_you_mean(name, known) or f"; there are {', '.join(known)}"
        leave(EXIT_BAD_INPUT, f"bgsim: --{what}: {name} is not known{expected}")
    return (name,)


def _teller(name: str) -> characterize.Progress:
    return lambda what: say(f"{name}: {what} ...")


def _write(made: Characterisation, output: Path | None) -> None:
    if output is None:
        with TemporaryDirectory() as directory:
            path = Path(directory) / "cost-model.yaml"
            made.model.save(path)
            print(path.read_text(encoding="utf-8"), end="")
        return
    with told(output):
        made.model.save(output)
    say(f"cost model: {output}")


def _ship(made: Characterisation) -> None:
    path = shipped_path(made.model.platform, made.model.guest)
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save(path)
    say(f"cost model: {path}")

"""``bgsim check`` reads its own command line, as the whole command line would, and imports little."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from bgsim.cli import checking, starting
from bgsim.cli.app import app

PLAIN = (
    "compile",
    "compile --smoke",
    "--smoke compile",
    "compile --seed 7",
    "compile --set seed=2 --set workload.program=lcc",
    "--set workload.program=lcc compile --smoke --seed 0",
    "compile --seed 1 --seed 2",
    "compile --set ä=b",
)
LEFT = (
    "",
    "--help",
    "-h",
    "compile lcc",
    "compile --smok",
    "compile --seed=7",
    "compile --seed -1",
    "compile --seed seven",
    "compile --set",
    "compile --set -x",
    "-- compile",
)


@pytest.mark.parametrize("line", PLAIN)
def test_what_is_read_here_is_what_the_whole_command_line_reads(
    line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[checking.Wanted] = []
    monkeypatch.setattr(checking, "check", found.append)
    words = ["check", *line.split()]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert [checking.plainly(words)] == found


@pytest.mark.parametrize("line", LEFT)
def test_anything_else_is_left_to_the_whole_command_line(line: str) -> None:
    assert checking.plainly(["check", *line.split()]) is None


@pytest.mark.parametrize("words", [[], ["run", "compile"], ["checks", "compile"]])
def test_other_commands_are_not_read_here(words: list[str]) -> None:
    assert checking.plainly(words) is None


def test_a_check_does_not_build_the_whole_command_line() -> None:
    program = (
        "import sys; from bgsim.cli import main; sys.argv = ['bgsim', 'check', 'compile']; main();"
        "print([name for name in ('typer', 'bgsim.cli.app') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_pydantic_finds_its_own_loader_when_it_asks_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    real = __import__(starting.LOADER, fromlist=["get_plugins"])
    monkeypatch.setenv("PYDANTIC_DISABLE_PLUGINS", "__all__")
    monkeypatch.delitem(sys.modules, starting.LOADER)
    starting.without_pydantic_plugins()
    instead = sys.modules[starting.LOADER]
    assert instead.get_plugins() == ()
    assert instead.PYDANTIC_ENTRY_POINT_GROUP == real.PYDANTIC_ENTRY_POINT_GROUP
    assert sys.modules[starting.LOADER] is not instead


def test_who_names_plugins_of_pydantic_gets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYDANTIC_DISABLE_PLUGINS", "one")
    monkeypatch.delitem(sys.modules, starting.LOADER, raising=False)
    starting.without_pydantic_plugins()
    assert starting.LOADER not in sys.modules

"""What the tutorial and the how-tos tell a reader to type is typed here, page by page, in a new directory."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import bgsim
from bgsim.cli.app import app

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(
    [
        *(DOCS / "tutorial").glob("*.md"),
        *(DOCS / "howto").glob("*.md"),
        DOCS / "explanation/trust.md",
        DOCS / "studies.md",
    ]
)


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of each fenced block; `console` is for what is not run here."""
    found = re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return [(language, text) for language, text in found if language in ("yaml", "python", "sh")]


def typed(line: str) -> None:
    words = shlex.split(line, comments=True)
    if words[0] == "bgsim":
        here = ["--workers", "1"] if words[1] == "run" else []  # in this process, where all is loaded already
        answer = CliRunner().invoke(app, [*words[1:], *here])
        assert answer.exit_code == 0, f"{line}\n{answer.output}\n{answer.stderr}"
    else:
        assert words[0] == "python", line
        path = {**os.environ, "PYTHONPATH": str(Path(bgsim.__file__).parents[1])}
        subprocess.run([sys.executable, *words[1:]], check=True, capture_output=True, env=path, timeout=120)


def commands(page: Path) -> list[str]:
    """Commands that any page of the documentation shows in a block of its own."""
    found = re.findall(r"^```(?:sh|console)\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    lines = [line.removeprefix("$ ") for text in found for line in text.replace("\\\n", " ").splitlines()]
    return [re.split(r"\s[|>#&]", line)[0] for line in lines if line.startswith("bgsim ")]


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: str(page.relative_to(DOCS)))
def test_commands_and_options_exist(page: Path) -> None:
    for line in commands(page):
        command, words = typer.main.get_command(app), shlex.split(line)[1:]
        while hasattr(command, "commands"):
            assert words[0] in command.commands, line
            command, words = command.commands[words[0]], words[1:]
        command.make_context(command.name, words)  # fails at an option that does not exist


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.stem)
def test_a_page_does_what_it_says(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for language, text in blocks(page):
        named = re.match(r"# (\S+\.(?:yaml|py))\n", text)
        if named:
            target = tmp_path / named[1]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text[named.end() :], encoding="utf-8")
        elif language == "python":
            exec(compile(text, page.name, "exec"), {})  # our own page
        elif language == "sh":
            for line in text.splitlines():
                typed(line)


def test_the_plan_on_the_page_is_what_a_plan_prints(tmp_path: Path) -> None:
    text = (DOCS / "studies.md").read_text(encoding="utf-8")
    shown = text.split("$ bgsim plan micro\n")[1].split("\n```")[0].splitlines()
    answer = CliRunner().invoke(app, ["plan", "micro", "-o", str(tmp_path / "nothing")])
    table, _, rest = answer.stdout.partition("\n\n")
    at = shown.index("")
    assert [line.split()[:2] for line in shown[:at]] == [line.split()[:2] for line in table.splitlines()]
    assert shown[0].split() == table.splitlines()[0].split()
    labels = [line.split()[0] for line in rest.splitlines()]
    # Of runs without records no more than this is known.
    assert [line.split()[0] for line in shown[at + 1 :]][: len(labels)] == labels == ["study", "time"]
    assert shown[at + 1].split(":")[0].split() == rest.split(":")[0].split()  # how many points and runs

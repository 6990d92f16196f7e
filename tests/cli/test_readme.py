"""The README's own examples: commands are well-formed, files are valid, code runs."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

import bgsim

ROOT = Path(__file__).parents[2]


def blocks(language: str) -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that looks like the repository to a user's commands."""
    for folder in ("experiments", "topologies"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_commands() -> list[list[str]]:
    commands = [
        shlex.split(part, comments=True) for block in blocks("sh") for part in re.split(r"&&|\n", block)
    ]
    return [words for words in commands if words[:2] == ["bgsim", "run"]]


@pytest.mark.parametrize("words", run_commands(), ids=" ".join)
def test_run_commands_name_valid_experiments(words: list[str], checkout: Path) -> None:
    overrides = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    bgsim.check(words[2], overrides)


def test_there_are_commands_to_check() -> None:
    assert len(run_commands()) >= 3


@pytest.mark.parametrize("text", blocks("yaml"))
def test_the_experiment_shown_is_valid(text: str, checkout: Path) -> None:
    (checkout / "experiments" / "shown.yaml").write_text(text, encoding="utf-8")
    bgsim.check("experiments/shown.yaml")


@pytest.mark.parametrize("code", blocks("python"))
def test_the_python_shown_runs(code: str, checkout: Path) -> None:
    exec(compile(code, "README.md", "exec"), {})  # the README is ours
    assert list(checkout.glob("results/*/records.jsonl"))

"""What a shell is told at a Tab: as it asks, through the environment, and by kind of word."""

import shutil
import subprocess

import pytest

from bgsim.cli import completing
from bgsim.datasheet import Datasheet


@pytest.fixture
def asked(bgsim, monkeypatch):
    """What the script of a shell gets from bgsim for a line that ends where the cursor stands."""

    def ask(shell, line):
        monkeypatch.setenv("_BGSIM_COMPLETE", f"complete_{shell}")
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
        monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
        done = bgsim()
        assert (done.code, done.err) == (0, "")
        return done.out

    return ask


def test_every_shell_completes_commands_and_experiments(asked):
    assert asked("bash", "bgsim run co").split() == ["compile", "contention"]
    assert asked("bash", "bgsim compare DIR --format l").split() == ["latex"]
    assert '"contention"' in asked("zsh", "bgsim run co")
    assert asked("fish", "bgsim datash").startswith("datasheet\t")


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_the_script_is_good_bash(child):
    script = child(_BGSIM_COMPLETE="source_bash").out
    assert "complete -o default -F" in script
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


def test_files_of_experiments_beside_the_shipped_ones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    for name in ("study.yaml", "notes.txt", "mine/one.yml", "mine/two.yaml"):
        (tmp_path / name).touch()
    found = completing.experiments("")
    assert found[0] == "calibrate"
    assert found[-1] == "study.yaml"
    assert "notes.txt" not in found
    assert completing.experiments("mine/o") == ["mine/one.yml"]
    assert completing.experiments("none/") == []


def test_a_beginning_never_stands_alone():
    assert len(completing.changes("machine.s")) == len(Datasheet.load())
    assert completing.changes("machine.set.tlb.entr") == ["machine.set.tlb.entries="]
    assert completing.changes("assume.tlb.entr") == ["assume.tlb.entries="]
    assert completing.changes("gue") == ["guest="]
    assert "machine.set." in completing.changes("")


def test_words_of_every_kind():
    assert completing.parameters("tlb.entr") == ["tlb.entries"]
    assert completing.changed_parameters("tlb.entr") == ["tlb.entries="]
    assert completing.marks("G,M") == ["G,M", "G,Mh", "G,Mm", "G,Ml"]
    assert completing.cures("hashed") == ["hashed-vtlb"]
    assert completing.topologies("node-c") == ["node-card"]
    assert completing.forms("l") == ["latex"]
    assert completing.schemas("rec") == ["record"]
    assert "matrix" in completing.figures("ma")

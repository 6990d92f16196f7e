"""Report, plot and trace as they are typed: the examples of their pages, and what is refused."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def commands(page: str) -> list[list[str]]:
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    found = re.findall(r"^```sh\n(.*?)^```", text, flags=re.M | re.S)
    return [shlex.split(line)[1:] for block in found for line in block.splitlines()]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One directory for all pages: a study that is there is not run again."""
    return tmp_path_factory.mktemp("seeing")


@pytest.mark.parametrize("page", ["report", "plots", "timeline"])
def test_the_examples_of_a_page(bgsim: Any, page: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    for words in commands(page):
        answer = bgsim(*words, *(["--workers", "1"] if words[0] == "run" else []))
        assert answer.code == 0, (words, answer.err)
    if page == "report":
        assert "<title>micro: bgsim report</title>" in (place / "micro.html").read_text(encoding="utf-8")
    elif page == "plots":
        assert (place / "cycles.pdf").read_bytes().startswith(b"%PDF")
    else:
        events = json.loads((place / "miss.json").read_text(encoding="utf-8"))["traceEvents"]
        assert any(event["name"] == "data TLB miss" for event in events)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["report", "nowhere"], "nowhere: no such directory"),
        (["plot", "nowhere", "--list"], "nowhere: no such directory"),
        (["trace", "micro", "--smoke", "-o", "t.txt"], "a timeline is written as .pftrace"),
        (["trace", "micro", "--smoke", "--from", "2 ms", "--to", "1 ms"], "the window has no length"),
        (["trace", "micro", "--smoke", "--from", "2"], "2"),
        (
            ["trace", "contention", "--smoke"],
            "in the machine tier, traffic has no cores and packets to watch",
        ),
        (["trace", "micro", "zzz", "--smoke"], "no run of this study has an id that begins with 'zzz'"),
    ],
)
def test_what_cannot_be_shown_is_said_in_one_sentence(
    bgsim: Any, words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = bgsim(*words)
    assert answer.code != 0
    assert message in answer.err
    assert "Traceback" not in answer.err
    assert not list(tmp_path.iterdir())


def test_options_of_a_chosen_figure_need_its_columns(bgsim: Any, place: Path) -> None:
    study = place / "results" / "micro"
    if not study.is_dir():
        pytest.skip("the page's examples have not been run")
    assert "belong to --x and --y" in bgsim("plot", study, "--group", "operation").err
    assert "needs both --x and --y" in bgsim("plot", study, "--x", "operation").err
    assert (
        "expected COLUMN=VALUE"
        in bgsim("plot", study, "--x", "operation", "--y", "latency_us", "--where", "a").err
    )
    assert "names one of the study's figures" in bgsim("plot", study, "--x", "a", "--figure", "b").err


def test_figures_are_listed_and_drawn_by_name(bgsim: Any, place: Path, tmp_path: Path) -> None:
    study = place / "results" / "micro"
    if not study.is_dir():
        pytest.skip("the page's examples have not been run")
    assert "micro-operations  Cycles of single kernel operations." in bgsim("plot", study, "--list").out
    drawn = bgsim("plot", study, "--figure", "micro-operations", "--format", "svg", "-o", tmp_path).out
    assert drawn.split() == [str(tmp_path / "micro-operations.svg")]
    missing = bgsim("plot", study, "--figure", "micro-operation", "-o", tmp_path)
    assert missing.code == 2
    assert "did you mean 'micro-operations'" in missing.err


def test_all_figures_are_listed_without_a_study(bgsim: Any) -> None:
    assert "scaling" in bgsim("plot", "--list").out
    assert "needs the directory of a study" in bgsim("plot").err

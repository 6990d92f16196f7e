"""A report in a real browser: nothing breaks, everything is there, at the width of a phone and of a desk."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Seen = dict[str, dict[str, Any]]
PAGES = ("compile", "traffic", "collectives")
EVERYWHERE = [f"{name}-{width}" for name in PAGES for width in (390, 1280)]


def test_nothing_is_loaded_from_anywhere(reports: dict[str, Path]) -> None:
    for path in reports.values():
        text = path.read_text(encoding="utf-8")
        assert not re.search(
            r"@import|<link(?! rel=\"icon\" href=\"data:,\")|<script[^>]+src|url\((?!#)", text
        )
        assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', text)


def test_the_same_study_gives_the_same_bytes(
    reports: dict[str, Path], write_trees: Callable[[Path], Path], tmp_path: Path
) -> None:
    assert write_trees(tmp_path).read_bytes() == reports["collectives"].read_bytes()


@pytest.mark.parametrize("place", EVERYWHERE)
def test_a_browser_has_no_complaint(seen: Seen, place: str) -> None:
    assert seen[place]["errors"] == []
    assert seen["console"]["lines"] == []


@pytest.mark.parametrize("place", EVERYWHERE)
def test_the_page_is_no_wider_than_the_window(seen: Seen, place: str) -> None:
    found = seen[place]
    assert found["scrolled"] <= found["width"]
    assert found["outside"] == []


@pytest.mark.parametrize("place", EVERYWHERE)
def test_every_figure_is_there_and_can_be_read(seen: Seen, place: str) -> None:
    for figure in seen[place]["figures"]:
        assert figure["width"] > 200, figure
        assert figure["height"] > 80, figure
        assert figure["letters"] >= 8, figure
    names = [figure["id"] for figure in seen[place]["figures"]]
    if place.startswith("compile"):
        assert names == ["figure-compile-elapsed", "figure-where-the-time-goes"]
    elif place.startswith("traffic"):
        assert names == ["figure-traffic-operations"]


def test_numbers_come_first(seen: Seen) -> None:
    assert seen["compile-1280"]["cards"][0] == "37.8×"
    assert seen["traffic-1280"]["cards"] == ["0.640 µs", "10.2 µs", "655 µs"]


@pytest.mark.parametrize("place", EVERYWHERE)
def test_a_heading_sorts_its_column_both_ways(seen: Seen, place: str) -> None:
    found = seen[place]
    (first, falling), (second, rising) = found["down"], found["up"]
    assert (first, second) == ("descending", "ascending")
    assert len(falling) > 1
    assert falling == sorted(falling, reverse=True)
    assert rising == sorted(rising)
    assert found["focused"]


def test_rows_can_be_chosen_by_their_words(seen: Seen) -> None:
    assert 0 < seen["compile-1280"]["filtered"] < len(seen["compile-1280"]["up"][1])


@pytest.mark.parametrize("place", ["compile-390", "compile-1280"])
def test_values_are_shown_to_pointer_and_keyboard(seen: Seen, place: str) -> None:
    found = seen[place]
    assert "elapsed time" in found["hovered"]
    assert found["escaped"]
    assert "elapsed time" in found["arrowed"]


@pytest.mark.parametrize("place", ["traffic-390", "traffic-1280"])
def test_every_link_says_how_busy_it_was(seen: Seen, place: str) -> None:
    found = seen[place]
    assert found["maps"] == 3 * 6
    assert found["link"] == "node 1 at (1, 0, 0), x plus\nbusy 1.0 % of the run"
    assert found["corner"] == "node 63 at (3, 3, 3), x plus\nbusy 63.0 % of the run"


@pytest.mark.parametrize("place", EVERYWHERE)
def test_light_and_dark(seen: Seen, place: str) -> None:
    assert sorted(seen[place]["themes"]) == ["rgb(21, 24, 29)", "rgb(255, 255, 255)"]


@pytest.mark.parametrize("place", EVERYWHERE)
def test_the_keyboard_can_skip_to_the_numbers_and_no_name_is_used_twice(seen: Seen, place: str) -> None:
    assert seen[place]["skips"]
    assert seen[place]["ids"] == 0


def test_sections_follow_the_study(seen: Seen) -> None:
    assert "Where the time goes" in seen["compile-1280"]["headings"]
    assert "Load of the torus links" in seen["traffic-1280"]["headings"]
    assert "Load of the collective network" in seen["collectives-1280"]["headings"]
    assert "Load of the torus links" not in seen["compile-1280"]["headings"]

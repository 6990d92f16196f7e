"""Figures as SVG inside a page: colours that follow the page's theme, and values to hover over.

A figure is drawn as for print, with letters left as text. What is black, grey or white in it becomes a
variable of the page's style sheet, so that one drawing serves light and dark; so do the series' colours,
which are lighter on dark. Marks of lines, bars and scattered points carry their values.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from bgsim.report import style
from bgsim.report.numbers import significant

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

SVG = "http://www.w3.org/2000/svg"
XLINK = "{http://www.w3.org/1999/xlink}href"
PIXELS_PER_POINT = 1.9
"""Size on a screen: letters of 7 points in print become 13 pixels."""

READABLE = 0.72
"""A figure shrinks so far with its page, and is scrolled beyond that."""

TIP = "data-tip"
_HEX = re.compile(r"#[0-9a-fA-F]{6}\b")
_PAPER, _INK, _GRID = "#ffffff", "#000000", "#d9d9d9"

THEME: dict[str, tuple[str, str]] = {
    _PAPER: (_PAPER, "#15181d"),
    _INK: ("#1b1e23", "#e6e8eb"),
    _GRID: ("#dfe2e6", "#343a42"),
    style.LIGHT_GREY.lower(): ("#dddddd", "#4a5059"),
    style.GREY.lower(): ("#8a8f96", "#8d939b"),
    style.DARK_GREY.lower(): ("#555b63", "#aab0b8"),
    style.BLUE.lower(): (style.BLUE, "#4aa8e0"),
    style.VERMILLION.lower(): (style.VERMILLION, "#f0814a"),
    style.GREEN.lower(): (style.GREEN, "#2cc295"),
    style.ORANGE.lower(): (style.ORANGE, style.ORANGE),
    style.SKY_BLUE.lower(): (style.SKY_BLUE, "#7cc4ec"),
    style.PURPLE.lower(): (style.PURPLE, "#d98fb6"),
    style.YELLOW.lower(): (style.YELLOW, "#d9ce3f"),
    "#f2f2f2": ("#eef0f2", "#262b32"),
}
"""Colour as drawn to what it is on a light and on a dark page."""

_FONT = "'DejaVu Sans', Verdana, 'Segoe UI', system-ui, sans-serif"


def variable(colour: str) -> str:
    """Name of the style sheet's variable for a colour of :data:`THEME`."""
    return f"--c{colour.removeprefix('#')}"


def theme_variables(dark: bool) -> str:
    """Declarations of all variables for one theme."""
    return "".join(f"{variable(colour)}:{pair[dark]};" for colour, pair in THEME.items())


def inline(figure: Figure, name: str, description: str) -> str:
    """A figure as an SVG element.

    Parameters
    ----------
    figure
        Drawn, not closed; gets identifiers.
    name
        Unique on the page: a prefix of all identifiers.
    description
        What is seen, for those who cannot.

    Returns
    -------
    str
        Markup. The same figure gives the same.
    """
    from matplotlib import rc_context

    tips = _tips(figure)
    buffer = io.BytesIO()
    with rc_context({"svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK[1:].split("}", maxsplit=1)[0])
    root = ElementTree.fromstring(buffer.getvalue())
    for metadata in root.findall(f"{{{SVG}}}metadata"):
        root.remove(metadata)
    _tip(root, tips)
    width, height = (float(value) for value in root.attrib["viewBox"].split()[2:])
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    root.set("role", "img")
    root.set("aria-label", description)
    root.set("class", "figure")
    wide = width * PIXELS_PER_POINT
    least = wide * READABLE
    root.set("style", f"width:{wide:.0f}px;min-width:{least:.0f}px;aspect-ratio:{width:g}/{height:g}")
    return _themed(_renamed(ElementTree.tostring(root, encoding="unicode"), name))


def _renamed(text: str, name: str) -> str:
    """Identifiers with a prefix, so that figures on one page do not mix."""
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = text.replace("url(#", f"url(#{name}-")
    return re.sub(r'href="#', f'href="#{name}-', text)


def _themed(text: str) -> str:
    def replaced(match: re.Match[str]) -> str:
        colour = match[0].lower()
        return f"var({variable(colour)})" if colour in THEME else match[0]

    # Attributes take no variables; matplotlib writes most colours as style, and the rest is turned here.
    text = re.sub(r' (fill|stroke)="(#[0-9a-fA-F]{6})"', r' style="\1:\2"', text)
    text = _HEX.sub(replaced, text)
    return re.sub(
        r"font:([^;\"]*?)'DejaVu Sans'[^;\"]*", lambda m: f"font:{m[1]}{_FONT}".replace('"', "'"), text
    )


# -- values ------------------------------------------------------------------------------------------


def _tips(figure: Figure) -> dict[str, list[str]]:
    """Give every mark that stands for a number an identifier; identifier to the texts of its marks."""
    from matplotlib.collections import PathCollection
    from matplotlib.container import BarContainer

    found: dict[str, list[str]] = {}

    def take(artist: Artist, texts: list[str]) -> None:
        identifier = f"tip{len(found)}"
        artist.set_gid(identifier)
        found[identifier] = texts

    for axes in figure.axes:
        for container in axes.containers:
            if isinstance(container, BarContainer):
                horizontal = container.orientation == "horizontal"
                for patch in container.patches:
                    take(patch, [_bar_text(axes, patch, horizontal, str(container.get_label()))])
        for line in axes.lines:
            if line.get_marker() not in (None, "None", "", " "):
                take(line, _point_texts(axes, line, line.get_xydata()))
        for points in axes.collections:
            if isinstance(points, PathCollection):
                take(points, _point_texts(axes, points, points.get_offsets()))
    return found


def _bar_text(axes: Axes, patch: Rectangle, horizontal: bool, label: str) -> str:
    if horizontal:
        place, length = patch.get_y() + patch.get_height() / 2, patch.get_width()
        words, locations, labels = axes.get_xlabel(), axes.get_yticks(), axes.get_yticklabels()
    else:
        place, length = patch.get_x() + patch.get_width() / 2, patch.get_height()
        words, locations, labels = axes.get_ylabel(), axes.get_xticks(), axes.get_xticklabels()
    ticks = zip(locations, labels, strict=False)
    near = min((abs(float(tick) - place), text.get_text()) for tick, text in ticks)
    return _joined([label, near[1].replace("\n", ", "), f"{_quantity(words)}: {_number(length)}"])


def _point_texts(axes: Axes, artist: Artist, places: Any) -> list[str]:
    x_words, y_words = _quantity(axes.get_xlabel()), _quantity(axes.get_ylabel())
    return [
        _joined([str(artist.get_label()), f"{x_words}: {_number(x)}", f"{y_words}: {_number(y)}"])
        for x, y in np.asarray(places, dtype=float).reshape(-1, 2)
    ]


def _joined(lines: Iterable[str]) -> str:
    return "\n".join(line for line in lines if line and not line.startswith("_"))


def _quantity(label: str) -> str:
    return label.split(";", maxsplit=1)[0].replace("\n", " ") or "value"


def _number(value: float) -> str:
    if value != value or abs(value) == float("inf"):
        return "-"
    return f"{value:,.0f}" if value == int(value) and abs(value) >= 1000 else significant(float(value), 4)


def _tip(root: ElementTree.Element, tips: dict[str, list[str]]) -> None:
    """Write the texts to the marks: a mark of its own, or each use of a line's marker."""
    for element in root.iter():
        texts = tips.get(element.attrib.get("id", ""))
        if texts is None:
            continue
        marks = list(element.iter(f"{{{SVG}}}use"))
        if len(texts) == 1 and not marks:
            element.set(TIP, texts[0])
        elif len(marks) == len(texts):
            for mark, text in zip(marks, texts, strict=True):
                mark.set(TIP, text)

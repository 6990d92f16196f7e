"""The bibliography of a study: what the models and data it used come from.

Literature is in ``references.yaml``, each entry with the platforms, guests, workloads or libraries it
stands behind. What a study changed or assumed of the machine, and the data of its runs (traces), are
named beside it with what identifies them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any

from bgsim.experiment.record import Record
from bgsim.kept import plain_yaml

FIELDS = (
    "title",
    "journal",
    "booktitle",
    "howpublished",
    "volume",
    "number",
    "pages",
    "year",
    "version",
    "doi",
)
"""Of a BibTeX entry, in this order, beside its authors."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One entry of a bibliography.

    Attributes
    ----------
    key, kind
        BibTeX's key and type of entry.
    authors
        As BibTeX wants them, joined by ``and``.
    fields
        BibTeX field to text.
    why
        What in the study it stands behind.
    conditions
        When it is cited; see ``references.yaml``.
    """

    key: str
    kind: str
    authors: str
    fields: Mapping[str, str]
    why: str
    conditions: tuple[str, ...] = ("always",)

    def bibtex(self) -> str:
        """The entry in BibTeX."""
        rows = [
            ("author", self.authors),
            *((name, self.fields[name]) for name in FIELDS if name in self.fields),
        ]
        body = "".join(f"  {name} = {{{_tex(name, text)}}},\n" for name, text in rows)
        return f"@{self.kind}{{{self.key},\n{body}}}\n"

    def text(self) -> str:
        """The entry as a line of a list of references."""
        field = self.fields.get
        where = field("journal") or field("booktitle") or field("howpublished") or ""
        volume = field("volume", "") + (f"({field('number')})" if field("number") else "")
        pages = field("pages", "").replace("--", "-")
        where = " ".join(part for part in (where, volume) if part)
        parts = [_names(self.authors), self.fields["title"], where, pages, field("version"), field("year")]
        parts.append(f"doi:{field('doi')}" if field("doi") else None)
        return ", ".join(part for part in parts if part)


@cache
def catalogue() -> tuple[Reference, ...]:
    """All references, the most general first."""
    text = (files("bgsim.experiment") / "references.yaml").read_text(encoding="utf-8")
    return tuple(_reference(entry) for entry in plain_yaml(text))


def _reference(entry: Mapping[str, Any]) -> Reference:
    fields = {name: entry[name] for name in FIELDS if name in entry}
    return Reference(entry["key"], entry["type"], entry["authors"], fields, entry["why"], tuple(entry["for"]))


def references(records: Iterable[Record]) -> list[Reference]:
    """What the records of a study rest on: the program first, then literature."""
    used: dict[str, None] = {"always": None}
    programs: dict[tuple[str, str], str] = {}
    for record in records:
        config, program = record["config"], record.get("provenance", {})
        used[f"platform {config['platform']}"] = None
        used[f"guest {config['guest']}"] = None
        used[f"workload {config['workload']['kind']}"] = None
        used |= {f"library {name}": None for name, version in program.get("libraries", {}).items() if version}
        if "bgsim" in program:
            programs[program["bgsim"], program.get("source", "")] = str(record["config"]["model_version"])
    found = [_program(version, source, model) for (version, source), model in programs.items()]
    return found + [entry for entry in catalogue() if _cited(entry, used)]


def _cited(entry: Reference, used: Iterable[str]) -> bool:
    return any(fnmatchcase(name, condition) for name in used for condition in entry.conditions)


def _program(version: str, source: str, model: str) -> Reference:
    title = "bgsim: a simulator of Blue Gene/P with the L4 microkernel and its virtual machine monitor"
    exact = f"{version} (model version {model}, source {source or 'unknown'})"
    key = f"bgsim{re.sub(r'[^0-9a-z]', '', version)}-{source[:6]}"
    return Reference(key, "misc", "{bgsim contributors}", {"title": title, "version": exact}, "the simulator")


def data_of(records: Sequence[Record]) -> list[str]:
    """The data of a study in words: its machine with all changes, its traces and other inputs."""
    found: dict[str, None] = {}
    for record in records:
        config = record["config"]
        machine, workload = config["machine"], config["workload"]
        found[f"datasheet {machine['base']}: every value with its source in docs/reference/parameters.md"] = (
            None
        )
        for name, value in machine["set"].items():
            found[f"changed: {name} = {value}"] = None
        for name, value in config["assume"].items():
            found[f"assumed: {name} = {value}"] = None
        for name in config.get("cures", ()):
            found[f"cure: {name}"] = None
        if "trace_digest" in workload:
            found[f"trace {workload['trace']}, SHA-256 {workload['trace_digest']}"] = None
        if workload["kind"] == "compile":
            found[f"page-reference trace of the program {workload['program']}, shipped with bgsim"] = None
    return list(found)


def bibtex(records: Sequence[Record]) -> str:
    """The bibliography of a study as a BibTeX file."""
    return "\n".join(entry.bibtex() for entry in references(records))


def text(records: Sequence[Record]) -> str:
    """The bibliography of a study to be read: each reference with what it stands behind, then the data."""
    lines = [f"- {entry.text()}.\n  For {entry.why}." for entry in references(records)]
    data = [f"- {line}" for line in data_of(records)]
    return "\n".join(["References", "", *lines, "", "Data and settings", "", *data, ""])


def _tex(name: str, text: str) -> str:
    if name in ("author", "doi"):
        return text
    for character in "&%#_":
        text = text.replace(character, f"\\{character}")
    # Capitals inside a title are names; BibTeX would make them small.
    return re.sub(r"(?<=[\s(:])([\w/']*[A-Z][\w/']*)", r"{\1}", text) if name == "title" else text


def _names(authors: str) -> str:
    people = [person.strip("{}") for person in authors.split(" and ")]
    return "; ".join(person if person != "others" else "et al." for person in people)

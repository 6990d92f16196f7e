"""Writes into pages what the program itself knows, each time the site is built.

A line ``<!-- generated: NAME -->`` in a page is replaced by a table made from the command line, the schema of
experiments, the metrics or the fields of a record; ``<!-- pages: NAME -->`` by a table of contents.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent.parent

GROUPS: Mapping[str, Sequence[str]] = {
    "Studies": (
        "experiments",
        "studies",
        "sweeps",
        "executors",
        "cluster",
        "clusters",
        "statistics",
        "sensitivity",
        "calibration",
        "report",
        "timeline",
        "plots",
    ),
    "Guests and virtual machines": ("matrix", "several-vms", "l4-native", "cures", "noise", "memory"),
    "Networks, input and output": ("netperf", "two-node", "contention", "topologies", "io", "replay"),
    "The whole machine": ("machine-tier", "cost-models"),
    "Explanation": ("explanation/trust", "mechanism", "architecture", "validation"),
}
"""Pages by where the table of contents has them; pages of docs/ named nowhere come under the last."""


def pages(group: str) -> str:
    """A table of contents of the pages of a group that exist."""
    named = [name for name in GROUPS[group] if (DOCS / f"{name}.md").is_file()]
    if group == list(GROUPS)[-1]:
        there = {path.stem for path in DOCS.glob("*.md")} - {"index"}
        named += sorted(there - {name for names in GROUPS.values() for name in names})
    return "\n".join(["```{toctree}", f":caption: {group}", ":maxdepth: 1", "", *named, "```"])


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [titles, ["---"] * len(titles), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def cli() -> str:
    """Every command with its arguments and options."""
    import typer

    from bgsim.cli.app import app

    return "\n\n".join(_command(typer.main.get_command(app), "bgsim", None))


def _command(command: Any, name: str, parent: Any) -> Iterator[str]:
    context = command.context_class(command, info_name=name.rsplit(maxsplit=1)[-1], parent=parent)
    if parent is not None:
        yield f"## {name}"
        yield command.help or ""
    words, rows = [], []
    for each in command.get_params(context):
        said = each.get_help_record(context)
        if each.param_type_name == "argument":
            metavar = each.metavar or each.human_readable_name
            words.append(metavar)
            rows.append((f"`{metavar}`", said[1] if said else ""))
        elif said and "--help" not in each.opts:
            rows.append((f"`{said[0]}`", said[1]))
    if parent is not None:
        yield "```text\n" + " ".join([name, *words, "[OPTION]..."]) + "\n```"
    if rows and parent is not None:
        yield table(("Argument or option", "Meaning"), rows)
    for word in command.list_commands(context) if hasattr(command, "list_commands") else ():
        yield from _command(command.get_command(context, word), f"{name} {word}", context)


def experiment() -> str:
    """The keys of an experiment file, section by section, then those of every kind of workload."""
    from bgsim.experiment.schema import json_schema

    schema = json_schema(plugins=False)
    models = schema["$defs"]
    parts = [_keys(schema, models)]
    for name, title in (("Machine", "machine"), ("Partition", "partition"), ("GreedySection", "greedy")):
        parts += [f"## {title}", _keys(models[name], models)]
    kinds = schema["properties"]["workload"]["discriminator"]["mapping"]
    shown = {"workload", "machine", "partition", "greedy"}
    for key, form in schema["properties"].items():
        target = _target(form, models)
        if target is not None and key not in shown:
            parts += [f"## {key}", _keys(target, models)]
    for kind, reference in kinds.items():
        model = models[reference.rsplit("/", 1)[-1]]
        parts += [f"## workload: {kind}", model.get("description", ""), _keys(model, models)]
        for key, form in model["properties"].items():
            target = _target(form, models)
            if target is not None:
                parts += [f"### {kind}: {key}", target.get("description", ""), _keys(target, models)]
    return "\n\n".join(parts)


def _target(form: Mapping[str, Any], models: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The model with keys of its own that a key refers to, if it does."""
    for one in (form, *form.get("anyOf", ()), *form.get("allOf", ())):
        if "$ref" in one:
            model: Mapping[str, Any] = models[one["$ref"].rsplit("/", 1)[-1]]
            return model if "properties" in model else None
    return None


def _keys(model: Mapping[str, Any], models: Mapping[str, Any]) -> str:
    if "anyOf" in model:
        model = next(one for one in model["anyOf"] if "properties" in one)
    required = model.get("required", ())
    rows = []
    for key, form in model["properties"].items():
        if key in ("kind", "platform"):
            continue
        default = "required" if key in required else _default(form)
        rows.append((f"`{key}`", _form(form, models), default, form.get("description", "")))
    return table(("Key", "Value", "Default", "Meaning"), rows)


def _default(form: Mapping[str, Any]) -> str:
    default = form.get("default")
    if default is None or default in ("", [], {}):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _form(form: Mapping[str, Any], models: Mapping[str, Any]) -> str:
    """What a key takes, in words."""
    if "$ref" in form:
        model = models[form["$ref"].rsplit("/", 1)[-1]]
        return "a mapping, see below" if "properties" in model else _form(model, models)
    for several in ("anyOf", "oneOf", "allOf"):
        if several in form:
            if "discriminator" in form:
                return "a mapping with `kind`, see below"
            words = [_form(one, models) for one in form[several] if one.get("type") != "null"]
            return " or ".join(dict.fromkeys(words))
    if "enum" in form or "const" in form:
        return ", ".join(f"`{value}`" for value in form.get("enum", [form.get("const")]))
    if form.get("type") == "array":
        return f"a list of: {_form(form.get('items', {}), models)}"
    if form.get("type") == "string" and "examples" in form:
        return f"a quantity such as `{form['examples'][0]}`"
    words = {
        "string": "text",
        "integer": "a whole number",
        "number": "a number",
        "boolean": "`true` or `false`",
        "object": "a mapping",
    }
    return words.get(form.get("type", ""), "any value") + _bounds(form)


def _bounds(form: Mapping[str, Any]) -> str:
    low = form.get("minimum", form.get("exclusiveMinimum"))
    high = form.get("maximum", form.get("exclusiveMaximum"))
    if low is None and high is None:
        return ""
    if high is None or high >= 2**62:
        return f", {'from' if 'minimum' in form else 'above'} {low:,}"
    return f", {low:,} to {high:,}" if low is not None else f", up to {high:,}"


def metrics() -> str:
    """All metrics."""
    from bgsim.experiment.metrics import METRICS

    rows = [(f"`{each.name}`", each.unit, each.better, each.meaning) for each in METRICS.values()]
    return table(("Metric", "Unit", "Better", "Meaning"), rows)


def record() -> str:
    """The fields of a record."""
    from bgsim.experiment.record import FIELDS

    return table(("Field", "Meaning"), [(f"`{name}`", meaning) for name, (_, meaning) in FIELDS.items()])


GENERATED: Mapping[str, Callable[[], str]] = {
    "cli": cli,
    "experiment": experiment,
    "metrics": metrics,
    "record": record,
}


def filled(text: str) -> str:
    """A page with everything written out that is generated."""
    text = re.sub(r"^<!-- generated: (\S+) -->$", lambda found: GENERATED[found[1]](), text, flags=re.M)
    return re.sub(r"^<!-- pages: (.+) -->$", lambda found: pages(found[1]), text, flags=re.M)


def setup(app: Any) -> dict[str, bool]:
    """Connect to Sphinx."""

    def read(app: Any, name: str, source: list[str]) -> None:
        source[0] = filled(source[0])

    def skip(app: Any, what: str, name: str, member: Any, skipped: bool, options: Any) -> bool | None:
        # The fields of a named tuple stand in the docstring of their class, with their meanings.
        return True if type(member).__name__ == "_tuplegetter" else None

    app.setup_extension("sphinx.ext.autodoc")
    app.connect("source-read", read)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

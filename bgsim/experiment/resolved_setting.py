"""One setting of a resolved configuration, by its dotted path: as a reader wants it, and exactly.

A configuration does not write out everything: of the machine it has what was set, of a workload some settings
are left out at their default. What it does not say is looked up in the datasheet and in the workload's form.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from bgsim.cures import settings as cured
from bgsim.experiment.identity import canonical, exact_value, sheet_parameter
from bgsim.experiment.locate import split_path

OF_MACHINE: Final = ("machine.set.", "assume.")

_MISSING: Final = "no such setting"
"""In place of a setting that a configuration does not have; None is a value of its own."""


class Setting(NamedTuple):
    """One setting of a point.

    Attributes
    ----------
    value
        As a reader wants to see it.
    exact
        The same text for every spelling of a value.
    """

    value: Any
    exact: str


def setting(settings: Mapping[str, Any], path: str) -> Setting | None:
    """A setting of a resolved configuration; by default what the datasheet or the workload's form says.

    Parameters
    ----------
    settings
        The configuration, with or without what the runs of a point differ in.
    path
        Dotted, as in a sweep.

    Returns
    -------
    Setting or None
        None where a configuration has no such setting.
    """
    value = _looked_up(settings, path)
    if value is _MISSING:
        return None
    text = canonical(value)
    if path.startswith(OF_MACHINE):
        base = settings.get("machine", {}).get("base", "")
        text = exact_value(base, str(split_path(path)[-1]), text) or text
    return Setting(value, text)


def has(settings: Mapping[str, Any], path: str) -> bool:
    """Whether a resolved configuration says a setting, or it has a default."""
    return _looked_up(settings, path) is not _MISSING


def flat(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted path and value of everything in a section that is no section itself."""
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _looked_up(settings: Mapping[str, Any], path: str) -> Any:
    """The value of a setting, or that it is missing."""
    steps = split_path(path)
    if path.startswith(OF_MACHINE):
        return _of_machine(settings, str(steps[-1]), assumed=steps[0] == "assume")
    here: Any = settings
    for depth, step in enumerate(steps):
        if not isinstance(here, Mapping):
            return _MISSING
        if step not in here:
            rest = ".".join(map(str, steps[depth:]))  # a plug-in's name may have dots
            if rest in here:
                return here[rest]
            is_of_workload = len(steps) == 2 and steps[0] == "workload"
            return _default(str(here.get("kind", "")), str(step)) if is_of_workload else _MISSING
        here = here[step]
    return here


def _of_machine(settings: Mapping[str, Any], name: str, assumed: bool) -> Any:
    section = settings.get("machine", {})
    if not assumed:
        with contextlib.suppress(KeyError, ValueError):  # a cure may not be installed any more
            values = cured(settings.get("cures", ()))
            if name in values:
                return values[name]
        if name in section.get("set", {}):
            return section["set"][name]
    if name in settings.get("assume", {}):
        return settings["assume"][name]
    parameter = sheet_parameter(section.get("base", ""), name)
    if parameter is None:
        return _MISSING
    return parameter.value if parameter.unit in ("count", "ratio", "bool") else parameter.text


@lru_cache(maxsize=512)
def _default(kind: str, key: str) -> Any:
    """What a workload does where its section says nothing of a key, as a record would have it."""
    from pydantic import TypeAdapter

    from bgsim.workloads.catalogue import WORKLOADS

    try:
        field = WORKLOADS[kind].config.model_fields.get(key)
    except (KeyError, ValueError):  # this kind may not be installed any more
        return _MISSING
    if field is None or field.is_required():
        return _MISSING
    form: TypeAdapter[Any] = TypeAdapter(field.rebuild_annotation())
    return form.dump_python(field.get_default(call_default_factory=True), mode="json")

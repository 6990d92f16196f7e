"""What a run is: the exact text of everything that affects its answer, and the hash of that text.

Two runs with the same text have the same answer, so a study never computes one twice. The text
holds the whole datasheet of both machines (with every change applied), the partition, the
platform, the guest, the workload with all its defaults, the seed, bgsim's model version, and the
versions of the plug-ins it uses. It does not hold the name of the experiment, the sweep it belongs
to, or anything of the host.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from bgsim.cures import settings as cured
from bgsim.machine.shipped import shipped_sha256

if TYPE_CHECKING:
    from bgsim.datasheet import Datasheet
    from bgsim.datasheet.parameter import Parameter
    from bgsim.workloads.support import Support

MODEL_VERSION = 7
"""Raised by hand when a change of the program may change an answer; older records then do not count."""

RUN_ID_DIGITS = 16


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: one text for one value.

    Raises
    ------
    ValueError
        For infinities and not-a-number.
    """
    return _ENCODER.encode(value)


@lru_cache(maxsize=512)
def _sheets(base: str, assume: str, changes: str) -> tuple[Datasheet, Datasheet]:
    from bgsim.datasheet import Datasheet

    reference = Datasheet.load(base).with_values(json.loads(assume))
    return reference.with_values(json.loads(changes)), reference


def machines(config: Mapping[str, Any]) -> tuple[Datasheet, Datasheet]:
    """The machine of a resolved configuration and its reference machine, as fresh sheets.

    The sheets share nothing that remembers which parameters were read.

    Raises
    ------
    bgsim.datasheet.DatasheetError
        For parameters that do not exist or values that do not fit.
    """
    base, assume, changes = _machine_key(config)
    machine, reference = _sheets(base, assume, changes)
    return machine.with_values({}), reference.with_values({})


def _machine_key(config: Mapping[str, Any]) -> tuple[str, str, str]:
    """The base machine of a configuration, what is assumed of it, and what is changed, by cures too."""
    section = config["machine"]
    changes = {**section["set"], **cured(config.get("cures", ()))}
    return section["base"], canonical(config["assume"]), canonical(changes)


@lru_cache(maxsize=512)
def _machine_texts(base: str, assume: str, changes: str) -> tuple[str, str]:
    machine, reference = _sheets(base, assume, changes)
    return canonical(_values(machine)), canonical(_values(reference))


def _values(sheet: Datasheet) -> dict[str, str]:
    """Every parameter as its exact value and how it is rounded to cycles."""
    return {name: _value(parameter) for name, parameter in sheet.items()}


def _value(parameter: Parameter) -> str:
    amount = parameter.quantity
    text = parameter.text if amount is None else f"{amount.value} {amount.dimension}"
    return f"{text}, rounded {parameter.round}" if parameter.round else text


def identity_text(config: Mapping[str, Any]) -> str:
    """The exact text that identifies a run; most of it, the datasheets, is made only once.

    Parameters
    ----------
    config
        A resolved configuration, as it stands in a record.

    Returns
    -------
    str
        One JSON object, keys sorted, no spaces.
    """
    partition = config["partition"]
    rest = {
        "model_version": config["model_version"],
        "partition": _partition(partition, config["workload"]["kind"]),
        "platform": config["platform"],
        "guest": config["guest"],
        "workload": _workload(config["workload"]),
        "seed": config["seed"],
        "replication": config["replication"],
    }
    if models := _cost_models(config):
        rest["cost_models"] = models
    if config.get("plugins"):
        rest["plugins"] = config["plugins"]
    pieces = {key: canonical(value) for key, value in rest.items()}
    pieces["machine"], pieces["reference_machine"] = _machine_texts(*_machine_key(config))
    return "{" + ",".join(f"{json.dumps(key)}:{pieces[key]}" for key in sorted(pieces)) + "}"


def _partition(section: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """What of a partition can affect this kind of workload: not its name, and the text of a mapping file."""
    part = {"shape": section["shape"], "torus": section["torus"]}
    for key in _support(kind).uses:
        part[key] = section.get(key)
    if isinstance(part.get("mapping"), dict):
        part["mapping"] = part["mapping"]["sha256"]
    return part


def _support(kind: str) -> Support:
    """What a kind of workload can run on; of bgsim's own kinds without building their models."""
    from bgsim.workloads.support import SUPPORT

    if kind in SUPPORT:
        return SUPPORT[kind]
    from bgsim.workloads.catalogue import WORKLOADS

    return WORKLOADS[kind].support


def _cost_models(config: Mapping[str, Any]) -> dict[str, str | None]:
    """Hashes of the shipped cost models that the answer may come from; None for one that is not shipped."""
    platforms = _support(config["workload"]["kind"]).cost_models(config["workload"], config["platform"])
    return {platform: shipped_sha256(platform, config["guest"]) for platform in platforms}


def _workload(section: Mapping[str, Any]) -> dict[str, Any]:
    """What of a workload affects its answer: of a trace its content, not where it lies."""
    return {key: value for key, value in section.items() if key != "trace" or "trace_digest" not in section}


def settings_text(settings: Mapping[str, Any]) -> str:
    """What of the settings of a point affects its answer, as one text, however they are written.

    Parameters
    ----------
    settings
        A resolved configuration without platform, replication and seed; some sections may be missing.

    Returns
    -------
    str
        Equal for settings that differ only in names, in the spelling of values, or in saying what the
        datasheet says anyway. What this version of bgsim no longer knows is compared as it was written.
    """
    rest = dict(settings)
    section, assumed = dict(rest.pop("machine", {})), rest.pop("assume", {})
    changed = section.pop("set", {})
    section.pop("overlay", None)  # its values are among those assumed
    with contextlib.suppress(KeyError, ValueError):  # a cure may not be installed any more
        changed = {**changed, **cured(rest.get("cures", ()))}
        rest.pop("cures", None)
    kind = rest.get("workload", {}).get("kind")
    with contextlib.suppress(KeyError, ValueError):  # nor this kind of workload
        rest["partition"] = _partition(rest["partition"], kind)
    rest["workload"] = _workload(rest.get("workload", {}))
    base = section.get("base", "")
    sheets = [
        {name: exact_value(base, name, canonical(value)) for name, value in values.items()}
        for values in ({**assumed, **changed}, assumed)
    ]
    said = [
        {name: value for name, value in sheet.items() if value != exact_value(base, name)} for sheet in sheets
    ]
    return canonical([section, *said, rest])


@lru_cache(maxsize=1 << 16)
def exact_value(base: str, name: str, written: str | None = None) -> str | None:
    """A datasheet value as an identity has it: exactly, however it is written.

    Parameters
    ----------
    base, name
        The machine and the parameter.
    written
        The value in canonical JSON; the datasheet's own when None.

    Returns
    -------
    str or None
        A value that the datasheet does not take comes back as it is written; None where there is no such
        parameter.
    """
    parameter = sheet_parameter(base, name)
    if written is None or parameter is None:
        return written if parameter is None else _value(parameter)
    try:
        return _value(parameter.with_value(json.loads(written)))
    except ValueError:
        return written


def sheet_parameter(base: str, name: str) -> Parameter | None:
    """A parameter of a machine's datasheet; None where there is none."""
    try:
        return _sheets(base, "{}", "{}")[1][name]
    except (KeyError, ValueError):
        return None


def run_id(config: Mapping[str, Any]) -> str:
    """The run's id: the first 16 hexadecimal digits of the SHA-256 of its identity text."""
    return hashlib.sha256(identity_text(config).encode()).hexdigest()[:RUN_ID_DIGITS]


def seed_of_replication(seed: int, replication: int) -> int:
    """The seed of one replication, a number below 2^63.

    It depends on the experiment's seed and the replication only, so all platforms and all points
    of a study draw the same random streams and their differences are paired.
    """
    name = f"bgsim/seed={seed}/replication={replication}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1

"""Whether the shipped cost models are what this program makes."""

from __future__ import annotations

from bgsim.machine.cost_model import CostModel, shipped_path
from bgsim.workloads.characterize import Characterisation

__all__ = ["differences", "shipped_drift"]


def differences(made: CostModel, kept: CostModel) -> list[str]:
    """Fields in which two cost models differ, the program that wrote them apart."""
    old, new = _fields(kept), _fields(made)
    return [
        f"{name}: {_short(old.get(name))} is kept, {_short(new.get(name))} is made"
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    ]


def _fields(model: CostModel) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in model.as_dict().items():
        if isinstance(value, dict) and name != "machine":
            found |= {f"{name}.{key}": part for key, part in value.items()}
        elif name != "created_by":
            found[name] = value
    return found


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) < 60 else f"{text[:57]}..."


def shipped_drift(made: Characterisation) -> list[str]:
    """How the shipped cost model of a platform and guest differs from one just made."""
    model = made.model
    path = shipped_path(model.platform, model.guest)
    kept = Characterisation.load(path)
    if kept is None:
        return [f"{path.name}: there is none"]
    found = differences(model, kept.model)
    if kept.parameters != made.parameters:
        found.append("the parameters that are read have changed")
    return [f"{path.name}: {said}" for said in found]

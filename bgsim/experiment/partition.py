"""Partitions: the box of nodes a job gets, from a topology file or written in the experiment.

A topology file names a shape (nodes in X, Y, Z), which dimensions are closed to a ring, and how
many compute nodes share an I/O node. On the real machine a block smaller than a midplane
(8x8x8) is a mesh, because only the link chips at the edges of midplanes close a ring (KAUST
Shaheen documentation); a torus smaller than that is possible here, and remarked on.
Left out: sub-blocks of other form than a box, and which physical midplanes a job lands on.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bgsim.experiment import shipped
from bgsim.experiment.errors import ExperimentError, Problem, shown
from bgsim.experiment.locate import Document, read_file
from bgsim.spelling import did_you_mean

MIDPLANE = 8
EXTENT_MAX = 256  # a packet header has eight bits for each coordinate

FILE_KEYS = ("name", "description", "shape", "torus", "pset", "source")


class Topology(NamedTuple):
    """A checked partition.

    Attributes
    ----------
    name
        Name of the topology file, or a name made from the shape.
    shape
        Nodes in X, Y, Z.
    torus
        Whether X, Y, Z are closed to rings.
    """

    name: str
    shape: tuple[int, int, int]
    torus: tuple[bool, bool, bool]

    def resolved(self) -> dict[str, Any]:
        """As it stands in a record's configuration."""
        return {"topology": self.name, "shape": list(self.shape), "torus": list(self.torus)}


class Finding(NamedTuple):
    """A complaint about one key of a partition; a remark does not stop the run."""

    key: str
    message: str
    remark: bool = False


def shape_findings(section: Mapping[str, Any]) -> list[Finding]:
    """What is wrong, or remarkable, with a shape and its torus flags."""
    shape, torus = section.get("shape"), section.get("torus")
    if not (isinstance(shape, list) and len(shape) == 3 and all(_extent(extent) for extent in shape)):
        wanted = f"three whole numbers of nodes, 1 to {EXTENT_MAX}, in X, Y, Z, such as [8, 8, 8]"
        return [Finding("shape", f"{shown(shape)} is not the shape of a torus or mesh: expected {wanted}")]
    if torus is None:
        return []
    if not (isinstance(torus, list) and len(torus) == 3 and all(isinstance(flag, bool) for flag in torus)):
        wanted = "three of true and false: whether X, Y, Z close to a ring"
        return [Finding("torus", f"{shown(torus)} is not understood: expected {wanted}")]
    findings = []
    for axis, extent, closed in zip("XYZ", shape, torus, strict=True):
        if closed and extent < 3:
            findings.append(
                Finding("torus", f"{axis} has {extent} node{'s'[: extent - 1]}: no ring, say false")
            )
        elif closed and extent % MIDPLANE:
            rule = f"on the real machine only whole midplanes of {MIDPLANE} close a ring"
            findings.append(Finding("torus", f"{axis} has {extent} nodes; {rule}", remark=True))
    return findings


def from_shape(shape: list[int], torus: list[bool] | None) -> Topology:
    """A topology from a checked shape; whole midplanes are a torus unless said otherwise."""
    whole = all(extent % MIDPLANE == 0 for extent in shape)
    closed = [whole] * 3 if torus is None else torus
    ends = "".join(axis for axis, flag in zip("XYZ", closed, strict=True) if flag)
    kind = "torus" if all(closed) else f"torus-{ends}" if ends else "mesh"
    name = f"{'x'.join(str(extent) for extent in shape)}-{kind}"
    return Topology(name, (shape[0], shape[1], shape[2]), (closed[0], closed[1], closed[2]))


def find_topology(name: str, beside: Path | None) -> Path | None:
    """The file of a named topology.

    Parameters
    ----------
    name
        A path ending in ``.yaml``, taken relative to the experiment file; or a name, looked for
        in ``topologies/`` beside the experiment's directory, then among those shipped.
    beside
        Directory of the experiment file, or None.
    """
    if name.endswith((".yaml", ".yml")):
        path = (beside or Path()) / name
        return path if path.is_file() else None
    if beside is not None and name in {path.stem for path in beside.parent.glob("topologies/*.yaml")}:
        return beside.parent / "topologies" / f"{name}.yaml"
    return shipped.find("topologies", name)


def load_topology(path: Path) -> Topology:
    """Read and check one topology file.

    Raises
    ------
    ExperimentError
        All that is wrong with it, with line and column.
    """
    document: Document = read_file(path)
    section = document.value
    if not isinstance(section, dict):
        raise ExperimentError([Problem(str(path), "", "a topology is a mapping with name, shape and torus")])

    def problem(key: str, message: str, unknown: bool = False) -> Problem:
        place = document.place_of_key((key,)) if unknown else document.place_of_value((key,))
        return Problem(str(place), key, message)

    problems = [
        problem(key, f"unknown key{did_you_mean(key, FILE_KEYS)}", unknown=True)
        for key in section
        if key not in FILE_KEYS
    ]
    problems += [problem(key, "missing") for key in ("name", "shape", "torus", "pset") if key not in section]
    if "shape" in section:
        problems += [problem(f.key, f.message) for f in shape_findings(section) if not f.remark]
    if "name" in section and not isinstance(section["name"], str):
        problems.append(problem("name", f"expected text, got {shown(section['name'])}"))
    if "pset" in section and not _extent(section["pset"]):
        wanted = f"compute nodes behind one I/O node, 1 to {EXTENT_MAX}"
        problems.append(problem("pset", f"{shown(section['pset'])} is not understood: expected {wanted}"))
    if problems:
        raise ExperimentError(problems)
    x, y, z = section["shape"]
    closed_x, closed_y, closed_z = section["torus"]
    return Topology(section["name"], (x, y, z), (closed_x, closed_y, closed_z))


def _extent(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= EXTENT_MAX

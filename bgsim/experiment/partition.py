"""Partitions: the box of nodes a job gets, from a topology file or written in the experiment.

A topology file names a shape (nodes in X, Y, Z), which dimensions are closed to a ring, how many
compute nodes share an I/O node, and where ranks are placed. On the real machine a block smaller
than a midplane (8x8x8) is a mesh, because only the link chips at the edges of midplanes close a
ring (KAUST Shaheen documentation); a torus smaller than that is possible here, and remarked on.
Left out: sub-blocks of other form than a box, and which physical midplanes a job lands on.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

from bgsim.datasheet.parameter import CONFIDENCE
from bgsim.experiment import shipped
from bgsim.experiment.errors import ExperimentError, Problem, quoted, shown
from bgsim.experiment.locate import Document, read_file
from bgsim.network.pset_boxes import pset_count
from bgsim.spelling import did_you_mean

MIDPLANE = 8
EXTENT_MAX = 256  # a packet header has eight bits for each coordinate

PSET_MIN, PSET_MAX = 8, 128
"""Compute nodes behind one I/O node; the datasheet's pset.compute_nodes_min and _max."""
PSET_DEFAULT = 64
MAPPING_DEFAULT = "XYZT"

FILE_KEYS = (
    "name", "description", "shape", "torus", "pset", "io_nodes", "mapping", "source", "confidence",
)  # fmt: skip
FILE_KEYS_REQUIRED = ("name", "shape", "torus", "pset")

MappingName = str | dict[str, str]
"""A permutation of XYZT; or of a mapping file its path (``file``) and the hash of its text (``sha256``)."""


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
    pset
        Most compute nodes behind one I/O node.
    mapping
        Where ranks are placed.
    description, source, confidence
        What the file says of itself.
    """

    name: str
    shape: tuple[int, int, int]
    torus: tuple[bool, bool, bool]
    pset: int = PSET_DEFAULT
    mapping: MappingName = MAPPING_DEFAULT
    description: str = ""
    source: str = ""
    confidence: str = ""

    def resolved(self) -> dict[str, Any]:
        """As it stands in a record's configuration."""
        return {
            "topology": self.name,
            "shape": list(self.shape),
            "torus": list(self.torus),
            "pset": self.pset,
            "mapping": self.mapping,
        }


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


def pset_findings(pset: object, nodes: int) -> list[Finding]:
    """What is wrong with the number of compute nodes behind an I/O node."""
    wanted = f"{PSET_MIN} to {PSET_MAX} compute nodes behind one I/O node, or all of a smaller partition"
    if (
        isinstance(pset, int)
        and not isinstance(pset, bool)
        and max(1, min(PSET_MIN, nodes)) <= pset <= PSET_MAX
    ):
        return []
    return [Finding("pset", f"{shown(pset)} is not understood: expected {wanted}")]


def mapping_of(value: object, beside: Path | None) -> tuple[MappingName, list[Finding]]:
    """A mapping as written (a permutation of XYZT, or a file), as resolved; and what is wrong with it.

    Whether a file's places fit the partition depends on the ranks of a node, and shows when it is used.
    """
    if not isinstance(value, str):
        wanted = "a permutation of XYZT, the fastest first, or a file of lines 'x y z t'"
        return MAPPING_DEFAULT, [Finding("mapping", f"{shown(value)} is not understood: expected {wanted}")]
    if sorted(value) == sorted(MAPPING_DEFAULT):
        return value, []
    path = (beside or Path()) / value
    if path.is_dir():
        return MAPPING_DEFAULT, [Finding("mapping", f"'{value}' is a directory, not a mapping file")]
    if not path.is_file():
        permutations_ = ["".join(letters) for letters in permutations(MAPPING_DEFAULT)]
        near = did_you_mean(value, permutations_) or " (expected a permutation of XYZT, or a file)"
        return MAPPING_DEFAULT, [Finding("mapping", f"no mapping '{value}'{near}")]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"file": str(path), "sha256": digest}, []


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
    problems += [problem(key, "missing") for key in FILE_KEYS_REQUIRED if key not in section]
    findings = [found for found in shape_findings(section) if "shape" in section and not found.remark]
    mapping, wrong = mapping_of(section.get("mapping", MAPPING_DEFAULT), path.parent)
    findings += wrong
    if "pset" in section and not findings:
        nodes = math.prod(section["shape"]) if "shape" in section else 1
        findings += pset_findings(section["pset"], nodes)
        if not findings and "io_nodes" in section and "shape" in section:
            count = pset_count(tuple(section["shape"]), section["pset"])
            if section["io_nodes"] != count or isinstance(section["io_nodes"], bool):
                said = f"{shown(section['io_nodes'])} is not one for each pset: {nodes:,} nodes are halved "
                findings.append(Finding("io_nodes", f"{said}into {count:,} of up to {section['pset']}"))
    texts = ("name", "description", "source")
    for key in texts:
        if key in section and not isinstance(section[key], str):
            findings.append(Finding(key, f"expected text, got {shown(section[key])}"))
    if section.get("confidence", "G") not in CONFIDENCE:
        said = f"{shown(section['confidence'])} is no mark (expected {quoted(CONFIDENCE)})"
        findings.append(Finding("confidence", said))
    problems += [problem(found.key, found.message) for found in findings]
    if problems:
        raise ExperimentError(problems)
    x, y, z = section["shape"]
    closed_x, closed_y, closed_z = section["torus"]
    return Topology(
        section["name"],
        (x, y, z),
        (closed_x, closed_y, closed_z),
        section["pset"],
        mapping,
        **{key: section.get(key, "") for key in ("description", "source", "confidence")},
    )


def json_schema() -> dict[str, Any]:
    """The JSON schema of a topology file, for editors."""
    extent = {"type": "integer", "minimum": 1, "maximum": EXTENT_MAX}
    three = {"type": "array", "minItems": 3, "maxItems": 3}
    text = {"type": "string"}
    forms: dict[str, tuple[dict[str, Any], str]] = {
        "name": (text, "as experiments write it"),
        "description": (text, "one line for readers"),
        "shape": ({**three, "items": extent}, "nodes in X, Y, Z"),
        "torus": ({**three, "items": {"type": "boolean"}}, "whether X, Y, Z close to a ring"),
        "pset": (
            {"type": "integer", "minimum": 1, "maximum": PSET_MAX},
            "most compute nodes behind one I/O node",
        ),
        "io_nodes": ({"type": "integer", "minimum": 1}, "one for each pset"),
        "mapping": (text, "a permutation of XYZT, the fastest first; or a file of lines 'x y z t'"),
        "source": (text, "where this is known from"),
        "confidence": ({"enum": list(CONFIDENCE)}, "mark of the source"),
    }
    assert tuple(forms) == FILE_KEYS
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": "generated by: bgsim schema topology",
        "title": "bgsim topology",
        "description": "The nodes one job gets.",
        "type": "object",
        "additionalProperties": False,
        "required": list(FILE_KEYS_REQUIRED),
        "properties": {key: {**form, "description": meaning} for key, (form, meaning) in forms.items()},
    }


def _extent(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= EXTENT_MAX

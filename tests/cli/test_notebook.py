"""The example notebook runs from its first cell to its last and shows what it promises."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import bgsim

NOTEBOOK = Path(__file__).parents[2] / "examples" / "first-study.ipynb"


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient", reason="notebooks are run with the extra 'docs'")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    tree = str(Path(bgsim.__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [tree, os.environ.get("PYTHONPATH", "")])))
    monkeypatch.delenv("MPLBACKEND", raising=False)  # a notebook's kernel chooses its own
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "kept without outputs"
    nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    printed = "".join(output.get("text", "") for output in outputs if output.output_type == "stream")
    assert len(pictures) >= 1
    assert "±" in printed
    assert "times slower in the virtual machine" in printed
    assert any("ci_low" in output.get("data", {}).get("text/html", "") for output in outputs)
    keep = os.environ.get("BGSIM_NOTEBOOK_OUTPUT")
    if keep:
        nbformat.write(notebook, keep)

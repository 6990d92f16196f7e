"""The examples of docs/replay.md do what the page says."""

import re
from pathlib import Path

from bgsim.traces import text
from bgsim.traces.deadlock import check_program

PAGE = (Path(__file__).parents[3] / "docs" / "replay.md").read_text()


def test_the_trace_on_the_page_is_one():
    (example,) = re.findall(r"^```\n(bgsim-messages.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    program = text.read_text(example)
    assert (program.ranks, program.sends) == (2, 2)
    check_program(program, 1200)


def test_the_program_on_the_page_writes_a_trace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    exec(example, {})
    check_program(text.read(tmp_path / "ring.trace"), 1200)


def test_the_shipped_trace_is_good():
    trace = Path(__file__).parents[3] / "experiments" / "traces" / "stencil.trace"
    program = text.read(trace)
    assert (program.ranks, program.sends) == (32, 640)
    check_program(program, 1200)

"""Whatever stands in an experiment file, the answer is a plan or a list of problems, never another error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgsim.experiment.errors import ExperimentError
from bgsim.experiment.locate import read_text
from bgsim.experiment.plan import load
from bgsim.experiment.settings import settings as read_settings

GOOD = """\
name: x
description: all the sections there are
machine: {base: bgp, set: {tlb.entries: 64}}
assume: {core.frequency: 850 MHz}
partition: {shape: [8, 8, 8], torus: [true, true, false]}
platforms: [bare-metal, virtual-machine]
guest: kittyhawk-linux
workload: {kind: compile, program: gcc346, native_time: 3 s}
sweep:
  workload.program: [lcc, gcc12]
  machine.set.tlb.entries: [32, 64]
replications: 2
seed: 3
smoke: {workload.native_time: 10 ms}
"""

WORDS = """
3 | -1 | 1e9 | x | '' | null | true | [1, [2]] | {a: {b: 1}} | 3 s | 4 KiB | bgp | compile | kind | 0x10 | .5
999999999999999999999999999999 | 2011-05-31 | ~ | [] | {} | '\u00b5s' | &a [1] | !!str 3 | << | *a
"""
PATHS = """
name machine machine.base machine.set machine.set.tlb.entries assume assume.x partition partition.shape
partition.torus partition.topology platforms platform guest workload workload.kind workload.program
workload.native_time sweep sweep.workload.program sweep.a replications seed smoke smoke.a . a.b
machine.set. workload.program.x
"""
words = st.sampled_from([word.strip() for word in WORDS.replace("\n", "|").split("|")])
paths = st.sampled_from(PATHS.split())


def accept(function, *positional, **named):
    """The function returns, or raises an ExperimentError whose every problem is one line."""
    problems = None
    try:
        function(*positional, **named)
    except ExperimentError as error:
        problems = error.problems
    assert problems is None or len(problems) > 0
    for problem in problems or ():
        assert problem.message
        assert "\n" not in problem.message


@given(data=st.data())
def test_lines_exchanged_doubled_and_lost(data, tmp_path_factory):
    lines = GOOD.splitlines()
    for _ in range(data.draw(st.integers(1, 3))):
        where = data.draw(st.integers(0, len(lines) - 1))
        what = data.draw(st.sampled_from(["drop", "double", "indent", "value", "swap", "cut"]))
        line = lines[where]
        if what == "drop" and len(lines) > 1:
            del lines[where]
        elif what == "double":
            lines.insert(where, line)
        elif what == "indent":
            lines[where] = "  " + line
        elif what == "value":
            lines[where] = line.partition(":")[0] + ": " + data.draw(words)
        elif what == "swap":
            other = data.draw(st.integers(0, len(lines) - 1))
            lines[where], lines[other] = lines[other], lines[where]
        else:
            lines[where] = line[: data.draw(st.integers(0, len(line)))]
    path = tmp_path_factory.getbasetemp() / "mutated.yaml"
    path.write_text("\n".join(lines))
    accept(load, path)
    accept(load, path, smoke=True)


@given(text=st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_any_text(text):
    accept(read_text, text, "f")


@given(text=st.text(alphabet="{}[]:,-&*!|>'\"%@`#? \n\tab01.~", max_size=40))
def test_text_made_of_yaml_punctuation(text):
    accept(read_text, text, "f")


@given(data=st.binary(max_size=60))
def test_any_bytes(data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "bytes.yaml"
    path.write_bytes(data)
    accept(load, path)


@given(path=paths, word=words)
def test_any_override(path, word, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "good.yaml"
    file.write_text(GOOD)
    accept(load, file, [f"{path}={word}"])


@given(text=st.text(max_size=30))
def test_any_text_as_an_override(text):
    accept(read_settings, [text])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(section=st.sampled_from(sorted(read_text(GOOD, "f").value)), value=JSON)
def test_any_value_of_any_section(section, value):
    accept(load, {**read_text(GOOD, "f").value, section: value})


@given(value=JSON)
def test_any_python_value(value):
    accept(load, value if isinstance(value, dict) else {"name": value})


def test_the_good_one_is_good(tmp_path):
    path = tmp_path / "good.yaml"
    path.write_text(GOOD)
    assert len(load(path).runs) == 16
    with pytest.raises(ExperimentError):
        load(path, ["workload.program=gcc13"])

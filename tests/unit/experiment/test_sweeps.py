"""Ranges, derived values, conditions and platforms in sweeps; and where a mistake is said to be."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgsim.experiment.derived import shorter_names
from bgsim.experiment.errors import ExperimentError
from bgsim.experiment.expressions import Expression
from bgsim.experiment.plan import load
from bgsim.experiment.ranges import RangeError, values_of
from bgsim.expressions import ExpressionError

HEAD = """\
name: e
machine: bgp
partition: {topology: pair}
platforms: [bare-metal, virtual-machine]
workload: {kind: netperf, messages: 16, warmup: 4}
"""


@pytest.fixture
def plan(tmp_path):
    def make(sweep, head=HEAD, overrides=()):
        path = tmp_path / "e.yaml"
        path.write_text(head + "sweep:\n" + sweep)
        return load(path, overrides)

    return make


@pytest.fixture
def said(plan):
    def problems(*arguments):
        with pytest.raises(ExperimentError) as caught:
            plan(*arguments)
        return str(caught.value).split("e.yaml:", 1)[1]

    return problems


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"from": 1, "to": 7, "step": 2}, [1, 3, 5, 7]),
        ({"from": 1, "to": 8, "step": 2}, [1, 3, 5, 7]),
        ({"from": 0.1, "to": 0.3, "step": 0.1}, [0.1, 0.2, 0.3]),
        ({"from": "64 B", "to": "16 KiB", "factor": 4}, ["64 B", "256 B", "1 KiB", "4 KiB", "16 KiB"]),
        ({"from": 0, "to": 1, "points": 5}, [0, 0.25, 0.5, 0.75, 1]),
        ({"from": 1, "to": 100, "points": 3, "scale": "log"}, [1, 10, 100]),
        ({"from": "1 us", "to": "1 ms", "points": 4, "scale": "log"}, ["1 us", "10 us", "100 us", "1 ms"]),
        ({"from": "8 B", "to": "1 KiB", "points": 4, "scale": "log"}, ["8 B", "40 B", "203 B", "1 KiB"]),
        ({"from": "100 ns", "to": "1 us", "points": 3, "scale": "log"}, ["100 ns", "316.2 ns", "1 us"]),
    ],
)  # fmt: skip
def test_ranges(section, expected):
    assert values_of(section) == expected


@pytest.mark.parametrize(
    ("section", "message", "key"),
    [
        ({"from": 1, "to": 2}, "one of 'step', 'factor' and 'points'", ""),
        ({"to": 2, "step": 1}, "a range needs 'from'", ""),
        ({"from": 1, "to": 2, "setp": 1}, "did you mean 'step'?", "setp"),
        ({"from": 2, "to": 1, "step": 1}, "is not above 'from'", "to"),
        ({"from": "1 s", "to": "1 KiB", "step": 1}, "are not of one kind", "to"),
        ({"from": 1, "to": 2, "step": 0}, "no step above zero", "step"),
        ({"from": 1, "to": 2, "factor": 1}, "a factor is above 1", "factor"),
        ({"from": 0, "to": 2, "points": 3, "scale": "log"}, "begins above zero", "from"),
        ({"from": 1, "to": 3, "points": 9, "scale": "log"}, "take fewer points", "points"),
        ({"from": 1, "to": 2, "points": 1}, "at least 2", "points"),
        ({"from": 1, "to": 2, "step": 1, "scale": "log"}, "only 'points' are spread", "scale"),
        ({"from": 1, "to": 2, "points": 3, "scale": "ln"}, "no scale", "scale"),
        ({"from": 1, "to": 10**9, "step": 1}, "are more than", "step"),
        ({"from": True, "to": 2, "step": 1}, "expected a number", "from"),
    ],
)
def test_ranges_that_make_no_sense(section, message, key):
    with pytest.raises(RangeError) as caught:
        values_of(section)
    assert message in str(caught.value)
    assert caught.value.key == key


NAMES = {"a": 3, "b": 0.5, "size": "4 KiB", "time": "2 us", "word": "get", "yes": True, "cures": ["x", "y"]}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a + 1", 4),
        ("0.1 * 3 == 0.3", True),
        ("size * 2", 8192),
        ("size >= '4 KiB' and time < '1 ms'", True),
        ("1 < a < 3", False),
        ("word == 'get' or nothing", True),
        ("'x' in cures", True),
        ("word not in ['put', 'send']", True),
        ("len(cures)", 2),
        ("max(10, 100 // a)", 33),
        ("2 ** 10", 1024),
        ("round(log2(size))", 12),
        ("'slow' if yes else 'fast'", "slow"),
        ("not yes", False),
        ("cures", ["x", "y"]),
        ("a / 2", 1.5),
        ("ceil(a / 2) - floor(a / 2)", 1),
        ("word", "get"),
        ("yes == true", True),
    ],
)
def test_expressions(text, value):
    found = Expression(text, [*NAMES, "nothing"]).value(NAMES)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a +", "cannot be read from here on"),
        ("aa", "unknown name 'aa'; did you mean 'a'?"),
        ("a = 3", "numbers are compared with '=='"),
        ("a && yes", "conditions are joined by the words"),
        ("exp(a)", "there are the functions min, max,"),
        ("max(a, key=a)", "a function is called with values alone"),
        ("(lambda: 1)()", "there are the functions"),
        ("[x for x in cures]", "not part of an expression of a sweep"),
        ("a if b", "cannot be read from here on"),
        ("word.upper()", "there are the functions"),
        ("'a' + 1", "not a number"),
        ("1e999", "numbers go up to"),
    ],
)
def test_expressions_that_cannot_be_read(text, message):
    with pytest.raises(ExpressionError) as caught:
        Expression(text, NAMES)
    first, line, caret = str(caught.value).split("\n")
    assert message in first
    assert line.strip() == text
    assert caret.strip("^ ") == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a / 0", "divides by zero"),
        ("word < 3", "cannot be evaluated"),
        ("2 ** a ** 9", "exponents go up to 64"),
        ("missing", "'missing' is not set here"),
        ("sqrt(0 - a)", "cannot be evaluated"),
        ("a and yes", "neither true nor false"),
        ("(0 - 8) ** 0.5", "root of a negative number"),
    ],
)
def test_expressions_without_a_value(text, message):
    with pytest.raises(ExpressionError, match=r"^[^\n]*$") as caught:
        Expression(text, [*NAMES, "missing"]).value(NAMES)
    assert message in str(caught.value)


@given(st.text(alphabet="ab0123456789.+-*/%<>=!()[]' \"andorifelse,_", max_size=40))
def test_no_text_does_anything_but_evaluate(text):
    with contextlib.suppress(ExpressionError):
        Expression(text, ["a", "b"]).value({"a": 2, "b": 3})


def test_names_end_where_they_are_unambiguous():
    names = shorter_names(["workload.size", "machine.set.cache.size", "guest"])
    assert "size" not in names
    assert names["cache.size"] == "machine.set.cache.size"
    assert names["guest"] == "guest"


def test_a_sweep_with_everything(plan):
    found = plan(
        "  workload.test: [tcp_stream, udp_rr]\n"
        "  workload.message_size: {from: 64 B, to: 4 KiB, factor: 8}\n"
        "  derive:\n"
        "    workload.messages: max(8, 1024 // message_size)\n"
        "    workload.data: {value: messages * message_size, unit: B}\n"
        "  where:\n"
        "    - test == 'udp_rr' or message_size > '64 B'\n"
        "    - not (platform == 'bare-metal' and message_size == '4 KiB')\n"
    )
    points = [dict(run.point, platform=run.config["platform"]) for run in found.runs]
    assert len(points) == 8
    assert found.excluded == 3
    assert found.points == 5
    assert points[0] == {
        "workload.test": "tcp_stream", "workload.message_size": "512 B", "workload.messages": 8,
        "workload.data": "4 KiB", "platform": "bare-metal",
    }  # fmt: skip
    assert {run.config["workload"]["messages"] for run in found.runs} == {8, 16}
    assert points[-1]["platform"] == "virtual-machine"


def test_the_identity_is_that_of_the_same_sweep_written_out(plan):
    short = plan("  workload.message_size: {from: 64 B, to: 1 KiB, factor: 4}\n")
    long = plan("  workload.message_size: [64 B, 256 B, 1 KiB]\n")
    assert [run.run_id for run in short.runs] == [run.run_id for run in long.runs]
    assert [run.point for run in short.runs] == [run.point for run in long.runs]


def test_platforms_and_cures_vary_together(plan):
    head = HEAD.replace("platforms: [bare-metal, virtual-machine]\n", "")
    found = plan(
        "  zip:\n"
        "    platform: [bare-metal, virtual-machine, virtual-machine]\n"
        "    cures: [[], [], [hashed-vtlb]]\n",
        head,
    )
    assert [(run.config["platform"], run.config["cures"]) for run in found.runs] == [
        ("bare-metal", []), ("virtual-machine", []), ("virtual-machine", ["hashed-vtlb"]),
    ]  # fmt: skip
    assert found.platforms == ("bare-metal", "virtual-machine")
    assert all("platform" not in run.point for run in found.runs)
    assert found.runs[0].config["seed"] == found.runs[2].config["seed"]
    assert [run.config["platform"] for run in plan("  platform: [bare-metal]\n", head).runs] == ["bare-metal"]


def test_conditions_know_the_partition(plan):
    found = plan(
        "  partition:\n    - {shape: [2, 1, 1]}\n    - {shape: [4, 1, 1]}\n  where: nodes < 4\n",
    )
    assert {tuple(run.config["partition"]["shape"]) for run in found.runs} == {(2, 1, 1)}


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        (
            "  zip:\n    workload.test: [udp_rr, tcp_rr]\n    workload.messages: [1, 2, 3]\n",
            "7:3: sweep.zip: the paths of a zip need equally many values, and these have 2 and 3: 'w",
        ),
        (
            "  workload.messages: {from: 1, to: 2, stop: 1}\n",
            "7:39: sweep.workload.messages.stop: unknown key; did you mean 'step'?",
        ),
        (
            "  workload.test: [udp_rr]\n  where: tset == 'udp_rr'\n",
            "8:10: sweep.where: unknown name 'tset'; did you mean 'test'?\n    tset == 'udp_rr'\n    ^^^^"[
                :-3
            ],
        ),
        (
            "  workload.test: [udp_rr]\n  where:\n    - test == 'udp_rr'\n    - test +\n",
            "10:7: sweep.where[1]: cannot be read from here on",
        ),
        (
            "  workload.test: [udp_rr]\n  where: test == 'tcp_rr'\n",
            "8:3: sweep.where: no point satisfies the conditions",
        ),
        (
            "  workload.test: [udp_rr]\n  where: test\n",
            "8:10: sweep.where: at (workload.test=udp_rr): 'test' cannot be evaluated here",
        ),
        (
            "  derive: {workload.messages: 3}\n",
            "7:31: sweep.derive.workload.messages: expected an expression (a text), got 3",
        ),
        (
            "  workload.messages: [1]\n  derive: {workload.messages: '2'}\n",
            "8:12: sweep.derive.workload.messages: is part of 'workload.messages', or the same",
        ),
        (
            "  derive: {workload.data: {value: '3', unit: KB}}\n",
            "7:46: sweep.derive.workload.data.unit: unknown unit 'KB'",
        ),
        (
            "  derive: {workload.mesages: '3'}\n",
            "7:30: sweep.derive.workload.mesages: derived by '3': unknown key; did you mean 'messages'?",
        ),
        (
            "  derive: {workload.messages: workload.warmup * b}\n",
            "7:31: sweep.derive.workload.messages: unknown name 'b'",
        ),
        (
            "  derive:\n    workload.messages: workload.warmup - 9\n",
            "8:24: sweep.derive.workload.messages: derived by 'workload.warmup - 9'",
        ),
        ("  platform: [bare-metal]\n", "4:1: platforms: 'platform' is swept, which says this already"),
        ("  platforms: [[bare-metal]]\n", "cannot be swept: platforms are compared at every point"),
    ],
)
def test_mistakes_are_said_where_they_are(said, sweep, message):
    assert message in said(sweep)


@pytest.mark.parametrize(
    ("messages", "warmup"),
    [("max(8, 99 // message_size)", "mesage_size * 2"), ("mesage_size * 2", "messages * 2")],
)
def test_a_mistake_in_one_derived_value_is_one_problem(said, messages, warmup):
    """Values that are right beside it are not told to be wrong, nor what names the wrong one."""
    derive = f"  derive:\n    workload.messages: {messages}\n    workload.warmup: {warmup}\n"
    text = said(f"  workload.message_size: [64 B]\n{derive}  where: messages > 4\n")
    assert text.count("sweep.derive.") == 1
    assert "unknown name 'mesage_size'; did you mean 'message_size'?" in text
    assert "e.yaml" not in text

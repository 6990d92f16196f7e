"""The page about experiments says what the program does."""

import re
from pathlib import Path

import bgsim
from bgsim.experiment import errors
from bgsim.experiment.plan import load

PAGE = (Path(__file__).parents[3] / "docs" / "experiments.md").read_text()


def test_the_example_is_a_good_experiment(tmp_path):
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "example.yaml"
    path.write_text(example)
    assert len(load(path).runs) == 3 * 2 * 2 * 3
    assert load(path, smoke=True).smoke


def test_exit_codes_are_those_of_the_program():
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
    assert listed == {value for name, value in vars(errors).items() if name.startswith("EXIT_")}


def test_python_names_exist():
    for name in re.findall(r"\bbgsim\.(\w+)\(", PAGE):
        assert name in bgsim.__all__


HEAD = """\
name: page
machine: bgp
partition: {topology: pair}
workload: {kind: netperf, messages: 16, warmup: 4}
"""


def fragments(page):
    """The blocks of a page that are a part of an experiment."""
    text = (Path(__file__).parents[3] / "docs" / page).read_text()
    return re.findall(r"```yaml\n((?:sweep|replications|sensitivity):.*?)```", text, re.DOTALL)


def test_parts_of_experiments_on_other_pages_are_good(tmp_path):
    found = [*fragments("sweeps.md"), *fragments("sensitivity.md")]
    assert len(found) == 4
    for fragment in found:
        swept = "    platform: [" in fragment
        platforms = "" if swept else "platforms: [bare-metal, virtual-machine]\n"
        path = tmp_path / "page.yaml"
        path.write_text(HEAD + platforms + fragment)
        plan = load(path)
        assert plan.runs
        assert plan.platforms == ("bare-metal", "virtual-machine")


def test_the_page_on_sweeps_names_every_reason():
    from bgsim.experiment.stops import _WORST

    text = (Path(__file__).parents[3] / "docs" / "sweeps.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \| [a-z`]", text, re.MULTILINE)) == set(_WORST)

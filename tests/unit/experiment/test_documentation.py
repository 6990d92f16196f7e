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

"""The public surface is frozen: adding to it or taking from it is a decision, made here."""

import subprocess
import sys

import bgsim

SURFACE = {
    "Datasheet",
    "DatasheetError",
    "Experiment",
    "ExperimentError",
    "Parameter",
    "Problem",
    "Quantity",
    "StoreError",
    "Study",
    "StudyInterrupted",
    "UnitError",
    "Watch",
    "__version__",
    "check",
    "load_study",
    "run",
}


def test_the_surface_is_exactly_this():
    assert set(bgsim.__all__) == SURFACE
    assert set(dir(bgsim)) == SURFACE


def test_every_public_name_exists_and_is_documented():
    for name in SURFACE - {"__version__"}:
        assert getattr(bgsim, name).__doc__, name


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(bgsim, "simulate")


def test_importing_bgsim_loads_nothing_heavy():
    code = "import sys, bgsim; print(sorted({'numpy', 'pandas', 'pydantic', 'simpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_checking_loads_no_numbers():
    code = (
        "import sys, bgsim; bgsim.check('compile'); "
        "print(sorted({'numpy', 'pandas', 'scipy', 'simpy', 'numba', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

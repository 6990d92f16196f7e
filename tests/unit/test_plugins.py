"""The registries that plug-ins add to: what is looked through when, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest

from bgsim import plugins
from bgsim.plugins import PluginError, Registry
from bgsim.workloads.any_config import WorkloadConfig
from bgsim.workloads.catalogue import WORKLOADS, Workload
from bgsim.workloads.configs import MemoryConfig
from bgsim.workloads.support import SUPPORT

GROUP = "bgsim.fruits"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Make a package with one module ``NAME`` and its entry points, as if it were installed."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(name: str, entry_points: str, source: str = "apple = 'apple'\npear = 3\n") -> None:
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
        metadata = tmp_path / f"{name}-1.2.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (metadata / "entry_points.txt").write_text(f"[{GROUP}]\n{entry_points}\n")
        plugins.entries.cache_clear()

    plugins.entries.cache_clear()
    yield make
    plugins.entries.cache_clear()


def fruits() -> Registry[str]:
    return Registry({"cherry": "ours"}, GROUP, str)


def test_names_of_plugins_follow_ours(package: Callable[..., None]) -> None:
    package("orchard", "b-apple = orchard:apple\na-apple = orchard:apple")
    registry = fruits()
    assert list(registry) == ["cherry", "a-apple", "b-apple"]
    assert len(registry) == 3
    assert "b-apple" in registry
    assert "plum" not in registry
    assert registry["a-apple"] == "apple"
    assert registry.added() == ("a-apple", "b-apple")
    assert registry.origin("cherry") is None
    assert registry.origin("a-apple") == ("orchard", "1.2")
    with pytest.raises(KeyError):
        registry["plum"]


def test_what_cannot_be_used_is_told_by_name_and_version(package: Callable[..., None]) -> None:
    package("orchard", "pear = orchard:pear\nplum = orchard:plum")
    with pytest.raises(PluginError, match=r"the fruit 'pear' of orchard 1\.2 \(orchard:pear\) is int, not a"):
        fruits()["pear"]
    with pytest.raises(PluginError, match=r"'plum' of orchard 1\.2 .* cannot be loaded: AttributeError"):
        fruits()["plum"]


def test_a_name_is_the_same_on_both_sides(package: Callable[..., None]) -> None:
    package("orchard", "apple = orchard:apple\npear = orchard:apple")
    registry = Registry({"cherry": "ours"}, GROUP, str, name_of=lambda fruit: fruit)
    assert registry["apple"] == "apple"
    with pytest.raises(PluginError, match=r"the fruit 'pear' of orchard 1\.2 .* calls itself 'apple'"):
        registry["pear"]


def test_a_name_is_taken_once(package: Callable[..., None]) -> None:
    package("orchard", "apple = orchard:apple")
    package("garden", "apple = garden:apple")
    with pytest.raises(PluginError, match=r"is added by .* 1\.2 too; uninstall one of them"):
        list(fruits())


def test_our_names_stay_ours(package: Callable[..., None]) -> None:
    package("orchard", "cherry = orchard:apple")
    assert fruits()["cherry"] == "ours"
    with pytest.raises(PluginError, match="takes a name that bgsim has itself"):
        fruits()["apple"]


def test_our_own_names_do_not_look_through_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(group: str) -> None:
        raise AssertionError(group)

    monkeypatch.setattr(plugins, "entries", never)
    assert fruits()["cherry"] == "ours"
    assert WORKLOADS.origin("compile") is None


def test_every_workload_has_a_module_a_model_and_its_support() -> None:
    assert set(WORKLOADS.built_in) == set(SUPPORT)
    assert len(WORKLOADS.built_in) == len(get_args(get_args(WorkloadConfig)[0]))


def test_a_workload_needs_a_kind() -> None:
    from pydantic import BaseModel

    with pytest.raises(TypeError, match="has no literal field 'kind'"):
        Workload(BaseModel, SUPPORT["memory"], "nowhere")
    assert Workload(MemoryConfig, SUPPORT["memory"], "nowhere").kind == "memory"


def test_checking_a_shipped_experiment_reads_no_entry_points() -> None:
    code = (
        "import bgsim; from bgsim import plugins; bgsim.check('compile'); "
        "print(plugins.entries.cache_info().misses)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"

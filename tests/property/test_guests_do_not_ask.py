"""Nothing above the seam asks which platform it runs on.

A guest or a workload may name a platform to build it, through ``PLATFORMS``, and may refuse one; it
may not behave differently on one.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import bgsim
from bgsim.guests.kittyhawk import KittyhawkLinux
from bgsim.platforms import PLATFORMS

ROOT = Path(bgsim.__file__).parent
MODULES = sorted([*(ROOT / "guests").glob("*.py"), *(ROOT / "workloads").glob("*.py")])
GUESTS = [module for module in MODULES if module.parent.name == "guests"]

NAMES = {*PLATFORMS, "l4-native"}
CLASSES = {"BareMetal", "VirtualMachine", "L4Native", "Kernel", "Vcpu", "Server", "Platform"}
VARIABLES = {"platform", "platform_name"}
SEAM = {"bgsim.platforms", "bgsim.platforms.seam", "bgsim.platforms.layout"}


def mentions(node: ast.AST) -> bool:
    """Whether an expression contains a platform's name, class, or the variable that holds one."""
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and part.value in NAMES:
            return True
        if isinstance(part, ast.Attribute) and part.attr in VARIABLES | CLASSES:
            return True
        if isinstance(part, ast.Name) and part.id in VARIABLES | CLASSES:
            return True
    return False


def only_refuses(statement: ast.stmt) -> bool:
    """Whether a statement is an ``if`` that raises and does nothing else."""
    return (
        isinstance(statement, ast.If)
        and len(statement.body) == 1
        and isinstance(statement.body[0], ast.Raise)
        and not statement.orelse
    )


def questions(tree: ast.AST) -> Iterator[str]:
    """Places that ask which platform this is, as source."""
    allowed = {
        id(part)
        for statement in ast.walk(tree)
        if isinstance(statement, ast.If) and only_refuses(statement)
        for part in ast.walk(statement.test)
    }
    for node in ast.walk(tree):
        if id(node) in allowed:
            continue
        asked: list[ast.AST] = []
        if isinstance(node, ast.Compare):
            asked = [node]
        elif isinstance(node, ast.Match):
            asked = [node.subject, *(case.pattern for case in node.cases)]
        elif isinstance(node, ast.Dict):
            asked = [key for key in node.keys if isinstance(key, ast.Constant)]
        elif isinstance(node, ast.Call):
            function = ast.unparse(node.func)
            if function in ("isinstance", "issubclass", "hasattr", "getattr", "type"):
                asked = list(node.args)
            elif function.endswith((".startswith", ".endswith")):
                asked = [node.func]
        if any(mentions(part) for part in asked):
            yield ast.unparse(node)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_no_module_asks(module: Path) -> None:
    assert list(questions(ast.parse(module.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize("module", GUESTS, ids=lambda path: path.stem)
def test_guests_know_the_seam_only(module: Path) -> None:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        imported = []
        if isinstance(node, ast.ImportFrom):
            imported = [node.module or ""]
        elif isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        for name in imported:
            assert not name.startswith(("bgsim.l4", "bgsim.vmm"))
            assert not name.startswith("bgsim.platforms") or name in SEAM


def test_a_guest_is_not_told() -> None:
    parameters = inspect.signature(KittyhawkLinux).parameters
    assert not any("platform" in name or "virtual" in name for name in parameters)


@pytest.mark.parametrize(
    "source",
    [
        "if resolved.platform == 'virtual-machine': cycles = 0",
        "exits = 0 if platform.name == 'bare-metal' else 1",
        "if resolved.platform in ('virtual-machine',): pass",
        "fast = isinstance(platform, BareMetal)",
        "price = {'bare-metal': 1, 'virtual-machine': 2}[resolved.platform]",
        "match resolved.platform:\n    case 'bare-metal': pass",
        "if type(core) is VirtualMachine: pass",
        "if resolved.platform.startswith('bare'): pass",
        "if platform == 'x':\n    raise ValueError\nelse:\n    cycles = 0",
        "n = getattr(platform, 'exits', None)",
    ],
)
def test_questions_are_found(source: str) -> None:
    assert list(questions(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        "core = PLATFORMS[resolved.platform](environment, machine, guest, node)",
        "support = ('bare-metal', 'virtual-machine')",
        "if resolved.platform == 'virtual-machine':\n    raise ValueError('it cannot')",
        "exits = platform.exits()",
        "native = BareMetal(environment, machine, guest, node)",
    ],
)
def test_what_may_be_done(source: str) -> None:
    assert not list(questions(ast.parse(source)))

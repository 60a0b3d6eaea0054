"""The layout: arrows go one way, and nothing is imported before it is needed."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import mia_helpers

PACKAGE = Path(mia_helpers.__file__).parent
FORBIDDEN = {"": ("mia_helpers.course", "mia_helpers.audit"), "audit": ("mia_helpers.course",)}


def imported(source: str, package: str) -> set[str]:
    """Full names of all that a module of `package` imports, wherever in it; of `from a import b` both a and a.b."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found


def wrong(names: set[str], part: str) -> set[str]:
    return {name for name in names for bad in FORBIDDEN[part] if name == bad or name.startswith(bad + ".")}


@pytest.mark.parametrize("part", FORBIDDEN)
def test_arrows_go_one_way(part):
    files = sorted((PACKAGE / part).glob("*.py"))
    assert files
    package = ".".join(["mia_helpers", *([part] if part else [])])
    found = {file.name: wrong(imported(file.read_text("utf-8"), package), part) for file in files}
    assert not {name: names for name, names in found.items() if names}


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("from mia_helpers.audit import audit", ""),
        ("import mia_helpers.course.checks as c", ""),
        ("def f():\n    from mia_helpers import course", ""),
        ("from . import audit", ""),
        ("from .audit.run import audit", ""),
        ("from mia_helpers.course.trees import path", "audit"),
        ("from .. import course", "audit"),
        ("from ..course import trees", "audit"),
    ],
)
def test_the_walk_sees_every_kind_of_import(source, part):
    assert wrong(imported(source, "mia_helpers.audit" if part else "mia_helpers"), part)
    assert not wrong(imported("from mia_helpers import coursework, metrics\nfrom . import auditing", "mia_helpers"), part)


def modules_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split())


HEAVY = {"torch", "matplotlib.pyplot", "torchvision"}


@pytest.mark.parametrize(
    "module", ["ask", "inputs", "masks", "metrics", "signals", "audit.files", "audit.inputs", "audit.report"]
)
def test_the_numpy_side_imports_no_torch(module):
    code = (
        f"import types, mia_helpers\nfor name in ('audit',):\n    made = types.ModuleType('mia_helpers.' + name)\n"
        f"    made.__path__ = [mia_helpers.__path__[0] + '/' + name]\n    sys.modules[made.__name__] = made\n"
        f"import mia_helpers.{module}"
    )  # without the package's own __init__, which imports all of the audit
    assert not (HEAVY | {"pandas", "sklearn.ensemble"}) & modules_after(code)


def test_importing_the_audit_imports_neither_torch_nor_pyplot():
    assert not HEAVY & modules_after("import mia_helpers.audit")


def test_an_audit_of_a_file_never_imports_torch(tmp_path):
    code = """
import numpy as np
from mia_helpers.audit import main
rng = np.random.default_rng(0)
y, z, mask = rng.integers(0, 3, 300), rng.normal(size=(300, 3)), rng.random((4, 300)) < 0.5
np.savez(sys.argv[1], labels=y, is_member=np.arange(300) < 150, logits=z, features=z, shadow_logits=np.stack([z] * 4),
         member_mask=mask, group=y)
assert main([sys.argv[1], "--at-fpr", "0.1"]) == 0
""".replace("sys.argv[1]", repr(str(tmp_path / "outputs.npz")))
    assert not HEAVY & modules_after(code)


def test_every_folder_of_modules_is_installed():
    listed = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"]
    there = {".".join(file.parent.relative_to(PACKAGE.parent).parts) for file in PACKAGE.rglob("*.py")} - {
        "mia_helpers.assets"
    }
    assert set(listed) == there


def test_test_modules_have_names_of_their_own():
    """Pytest takes two test modules of one name, in whatever folders, for one another, and collects only the first."""
    names = [file.name for file in Path(__file__).parent.rglob("test_*.py")]
    assert len(names) > 50
    assert len(names) == len(set(names))

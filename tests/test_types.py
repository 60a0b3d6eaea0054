"""What tools see in the code: types, and one dialect."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import mypy.api
import pytest

ROOT = Path(__file__).resolve().parents[1]


# What NumPy says of its types differs: 2.0 leaves arguments out, and from what 2.5 says mypy concludes that max() needs an
# axis. Python 3.11, the lowest that is supported and that the project is checked with, gets 2.4.
@pytest.mark.skipif(version("numpy").rsplit(".", 1)[0] not in ("2.3", "2.4"), reason="types are told by NumPy 2.3 and 2.4")
def test_mypy_finds_nothing(tmp_path):
    found, trouble, code = mypy.api.run(
        ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(tmp_path), str(ROOT / "mia_helpers")]
    )
    assert code == 0, found + trouble


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff_finds_nothing(command):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--no-cache", "."], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr

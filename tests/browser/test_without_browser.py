"""Where there is no browser its tests are skipped and say so; where one is required they fail."""

import importlib.util
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("required", "outcome"), [(None, pytest.skip), ("required", pytest.fail)])
def test_a_missing_browser_is_said(monkeypatch, required, outcome):
    spec = importlib.util.spec_from_file_location("tests_conftest", ROOT / "tests" / "conftest.py")
    conftest = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conftest)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("MIA_BROWSER", raising=False)
    if required:
        monkeypatch.setenv("MIA_BROWSER", required)
    with pytest.raises(outcome.Exception, match="^no browser: needs "):
        conftest.path_of_chromium()


def test_the_test_command_of_the_project_requires_a_browser():
    assert "export MIA_BROWSER=required" in (ROOT / ".ci" / "run").read_text("utf-8")

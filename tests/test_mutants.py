"""The planted mistakes can still be planted, and a sample of them, another one each day, is still caught."""

import ast
import datetime
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

RUNNER = Path(__file__).with_name("mutants") / "run.py"


@pytest.fixture(scope="module")
def runner():
    spec = importlib.util.spec_from_file_location("mutants_run", RUNNER)
    sys.modules["mutants_run"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def code(mutant, text):
    if mutant.module is not None:
        return text
    return "\n".join(cell.source for cell in nbformat.reads(text, as_version=4).cells if cell.cell_type == "code")


def test_each_mutant_is_another_program_and_says_its_harm(runner):
    everybody = runner.mutants()
    assert len(everybody) >= 100
    for mutant in everybody.values():
        before = code(mutant, (runner.ROOT / mutant.file).read_text(encoding="utf-8"))
        after = code(mutant, mutant.planted())
        assert ast.dump(ast.parse(after)) != ast.dump(ast.parse(before)), mutant.name
        assert mutant.harm.endswith("."), mutant.name
        assert all((runner.ROOT / test.split("::")[0]).exists() for test in mutant.fitting), mutant.name


def test_mutants_are_everywhere(runner):
    files = {mutant.file for mutant in runner.mutants().values()}
    assert {path.relative_to(runner.ROOT).as_posix() for path in runner.ROOT.glob("notebooks/[0-9][0-9]_*.ipynb")} <= files
    assert sum("/audit/" in file for file in files) >= 6 and sum("/course/" in file for file in files) >= 10


@pytest.mark.parametrize("old", ["no such text", "return"])
def test_a_text_that_is_gone_or_stands_several_times_is_an_error(runner, old):
    mutant = runner.Mutant(name="x", file="mia_helpers/signals.py", harm="", old=old, new="", written="aimed")
    with pytest.raises(
        ValueError, match=r"x: the old text stands \d+ times in mia_helpers/signals.py; it must stand there once"
    ):
        mutant.planted()


def test_the_record_says_that_nearly_all_are_caught(runner):
    record, everybody = json.loads(runner.RECORD.read_text(encoding="utf-8")), runner.mutants()
    told = {name: entry for name, entry in record.items() if name in everybody}
    assert len(told) >= 100, "plant the new ones: python tests/mutants/run.py"
    assert all(entry["digest"] == everybody[name].digest for name, entry in told.items()), "some were changed since"
    assert sum(bool(entry["by"]) for entry in told.values()) >= 0.95 * len(told)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="mutants are tried in forked processes")
def test_the_mutants_of_today_are_caught():
    today = datetime.date.today().isoformat()
    done = subprocess.run([sys.executable, RUNNER, "--sample", today], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": caught by ") == 10

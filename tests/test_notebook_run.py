"""notebooks/conftest.py, on a project of one tiny notebook in a folder of its own."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

CONFTEST = Path(__file__).resolve().parents[1] / "notebooks" / "conftest.py"
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
WORKERS = ("-n", str(CORES), "--dist", "loadfile")


def run(
    folder: Path, code: str, printed: str, *options: str, stated: int = 30, **environment: str
) -> subprocess.CompletedProcess:
    """Run pytest on a notebook whose one checked cell holds `code` and is stored as having printed `printed`."""
    notebooks = folder / "notebooks"
    notebooks.mkdir()
    shutil.copy(CONFTEST, notebooks)
    (notebooks.parent / "tests").mkdir(exist_ok=True)
    shutil.copy(Path(__file__).with_name("refresh_notebooks.py"), notebooks.parent / "tests")  # whose sockets conftest takes
    (folder / "pytest.ini").write_text(
        "[pytest]\ntestpaths = notebooks\nfilterwarnings =\n    error\n"
        "    ignore::DeprecationWarning\n    ignore::PendingDeprecationWarning\n"
    )
    opening = new_markdown_cell(f"# Tiny\n\n**Time:** 5 minutes to read, about {stated} s of\ncompute on two CPU cores.")
    cell = new_code_cell(
        "# NBVAL_CHECK_OUTPUT\nimport os, pathlib, sys, time\n" + code,
        execution_count=1,
        outputs=[new_output("stream", name="stdout", text=printed)],
    )
    nbformat.write(new_notebook(cells=[opening, cell]), notebooks / "01_tiny.ipynb")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MIA_", "OMP_", "PYTEST_"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider", *options],
        cwd=folder,
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=1800,
    )


@pytest.mark.parametrize("options", [(), ("-n", "1", "--dist", "loadfile")], ids=["one process", "workers"])
def test_a_notebook_slower_than_it_states_is_reported_and_does_not_fail(tmp_path, options):
    result = run(tmp_path, "time.sleep(2.5)\nprint('fine')", "fine\n", *options, stated=1)
    assert result.returncode == 0, result.stdout + result.stderr
    found = re.search(r"notebooks/01_tiny.ipynb: (\d+) s \(states about 1 s, ratio ([\d.]+)\)", result.stdout)
    assert int(found[1]) >= 2 and float(found[2]) >= 2.5
    assert "Beyond a ratio of 2, measure on an idle machine" in result.stdout


def test_a_time_that_is_kept_is_reported_without_advice(tmp_path):
    result = run(tmp_path, "print('fine')", "fine\n", stated=100_000)
    assert "(states about 100000 s, ratio 0.0)" in result.stdout and "Beyond a ratio" not in result.stdout


def test_kernels_of_all_workers_share_a_cold_cache_and_the_cores_and_stderr_is_not_compared(tmp_path):
    noted = tmp_path / "noted"
    result = run(
        tmp_path,
        f"pathlib.Path({str(noted)!r}).write_text(os.environ['MIA_CACHE_DIR'])\n"
        "assert not list(pathlib.Path(os.environ['MIA_CACHE_DIR']).iterdir())\n"
        "print('a bar', file=sys.stderr)\n"
        "print(os.environ['MIA_SWEEP_SLIDERS'], os.environ['OMP_NUM_THREADS'])",
        "1 1\n",
        *WORKERS,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "notebooks/01_tiny.ipynb: " in result.stdout and "s (states about 30 s, ratio " in result.stdout
    assert not Path(noted.read_text()).exists()  # the temporary cache is removed at the end


def test_a_cache_folder_given_from_outside_is_kept_and_a_lone_kernel_gets_all_cores(tmp_path):
    result = run(
        tmp_path,
        "print(os.environ['MIA_CACHE_DIR'], os.environ['OMP_NUM_THREADS'])",
        f"{tmp_path} {CORES}\n",
        MIA_CACHE_DIR=str(tmp_path),
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert tmp_path.is_dir()


def test_a_checked_cell_that_prints_something_else_fails(tmp_path):
    assert run(tmp_path, "print('other')", "fine\n").returncode == 1


def test_unit_tests_come_first_and_then_the_longest_notebook(tmp_path):
    spec = importlib.util.spec_from_file_location("notebooks_conftest", CONFTEST)
    conftest = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conftest)
    for name, time in (
        ("01.ipynb", "about 5 s of compute on two CPU cores"),
        ("02.ipynb", "not stated"),
        ("03.ipynb", "about 40 s of compute on two CPU cores"),
    ):
        nbformat.write(new_notebook(cells=[new_markdown_cell(f"# Title\n\n**Time:** {time}")]), tmp_path / name)
    collected = [("01.ipynb", 0), ("01.ipynb", 1), ("02.ipynb", 0), ("03.ipynb", 0), ("03.ipynb", 1), ("test_a.py", 0)]
    items = [SimpleNamespace(path=tmp_path / name, cell=cell) for name, cell in collected]
    conftest.pytest_collection_modifyitems(None, items)
    assert [(item.path.name, item.cell) for item in items] == [
        ("test_a.py", 0),
        ("03.ipynb", 0),
        ("03.ipynb", 1),
        ("01.ipynb", 0),
        ("01.ipynb", 1),
        ("02.ipynb", 0),
    ]


def test_pytest_without_arguments_runs_unit_tests_and_notebooks(request):
    assert request.config.getini("testpaths") == ["tests", "notebooks"]
    options = request.config.getini("addopts")
    assert "--nbval-lax" in options and "--no-loadscope-reorder" in options

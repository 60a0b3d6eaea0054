"""How pytest runs the notebooks: from a cold cache, with every slider swept, and against the time each one states."""

import os
import re
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path

import nbformat
import pytest

STATED = re.compile(r"\bTime\b.{0,200}?\babout (\d+) s of compute on two CPU cores")
FACTOR, KERNEL_START_S = 2, 10  # what is allowed on top: noise, and seconds for a kernel to come up

_seconds: defaultdict[str, float] = defaultdict(float)  # notebook -> what its cells took so far
_temporary_cache: list[str] = []


def stated_seconds(notebook: nbformat.NotebookNode) -> int | None:
    """The compute time in the opening cell: `Time … about N s of compute on two CPU cores`."""
    opening = notebook.cells[0].source if notebook.cells else ""
    found = STATED.search(" ".join(opening.split()).replace("*", ""))
    return int(found[1]) if found else None


def pytest_configure(config):
    """Set the environment that the workers, and the kernels below them, inherit."""
    os.environ.setdefault("MIA_SWEEP_SLIDERS", "1")
    if "MIA_CACHE_DIR" not in os.environ:  # workers find it set: one cold cache for the whole run
        _temporary_cache.append(tempfile.mkdtemp(prefix="mia-cache-"))
        os.environ["MIA_CACHE_DIR"] = _temporary_cache[0]
    # Kernels side by side share the cores, else their threads fight and times mean nothing.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = getattr(config.option, "numprocesses", None) or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // workers)))


def pytest_unconfigure():
    for folder in _temporary_cache:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Unit tests first, then the notebooks from the longest to the shortest, so that no worker waits long for the other."""
    stated: dict[Path, int] = {}
    for path in {item.path for item in items if item.path.suffix == ".ipynb"}:
        stated[path] = stated_seconds(nbformat.read(path, as_version=4)) or 0
    items.sort(key=lambda item: (item.path in stated, -stated.get(item.path, 0)))


def pytest_collectstart(collector):
    if hasattr(collector, "skip_compare"):  # an nbval file; progress bars write to stderr and differ from run to run
        collector.skip_compare += ("stderr",)


def pytest_runtest_logreport(report):
    path = report.nodeid.split("::")[0]
    if path.endswith(".ipynb"):
        _seconds[path] += report.duration


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session):
    """Report a notebook that took too long as one more failed test."""
    config = session.config
    if hasattr(config, "workerinput"):
        return  # the controller has all the reports
    for path, took, stated in _times(config):
        if stated is not None and took > FACTOR * stated + KERNEL_START_S:
            message = (f"{path} took {took:.0f} s, but states about {stated} s of compute (allowed: {FACTOR} × {stated} s + "
                       f"{KERNEL_START_S} s). Make it faster, or measure it again and mend its Time line.")
            config.hook.pytest_runtest_logreport(report=pytest.TestReport(
                f"{path}::stated compute time", (path, 0, f"{path}::stated compute time"), {}, "failed", message, "call"))
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    times = _times(terminalreporter.config)
    if times:
        terminalreporter.section("notebook times")
    for path, took, stated in times:
        statement = "no time" if stated is None else f"about {stated} s"
        terminalreporter.write_line(f"{path}: {took:.0f} s (states {statement})")


def _times(config) -> list[tuple[str, float, int | None]]:
    """(notebook, seconds it took, seconds it states) for what has run."""
    return [(path, took, stated_seconds(nbformat.read(Path(config.rootpath, path), as_version=4)))
            for path, took in sorted(_seconds.items())]

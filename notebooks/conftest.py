"""How pytest runs the notebooks: from a cold cache, every slider swept, each one timed."""

import atexit
import os
import re
import shutil
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import nbformat
import nbval.kernel
import pytest
from jupyter_client.manager import KernelManager

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from refresh_notebooks import sockets_in  # noqa: E402 (found only now)

STATED = re.compile(r"\bTime\b.{0,200}?\babout (\d+) s of compute on two CPU cores")
RESTATE = 2  # a ratio of measured to stated seconds from which the report suggests another look

_sockets = tempfile.mkdtemp(prefix="mia-kernels-")
atexit.register(shutil.rmtree, _sockets, ignore_errors=True)
nbval.kernel.KernelManager = lambda **options: KernelManager(
    config=sockets_in(tempfile.mkdtemp(dir=_sockets)), **options
)

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
    os.environ["MIA_READER"] = "nobody"  # what somebody predicted must not be in the outputs
    os.environ["MIA_STRICT_EXERCISES"] = "1"  # a solution that does not pass its check is an error
    if "MIA_CACHE_DIR" not in os.environ:  # workers find it set: one cold cache for the whole run
        _temporary_cache.append(tempfile.mkdtemp(prefix="mia-cache-"))
        os.environ["MIA_CACHE_DIR"] = _temporary_cache[0]
    # Kernels side by side share the cores, else their threads fight and times mean nothing.
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    workers = getattr(config.option, "numprocesses", None) or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // workers)))


def pytest_unconfigure():
    for folder in _temporary_cache:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Unit tests first, then the notebooks, longest first: no worker waits long for the other."""
    stated: dict[Path, int] = {}
    for path in {item.path for item in items if item.path.suffix == ".ipynb"}:
        stated[path] = stated_seconds(nbformat.read(path, as_version=4)) or 0
    items.sort(key=lambda item: (item.path in stated, -stated.get(item.path, 0)))


def pytest_collectstart(collector):
    if hasattr(
        collector, "skip_compare"
    ):  # an nbval file; progress bars write to stderr and differ from run to run
        collector.skip_compare += ("stderr",)


def pytest_runtest_logreport(report):
    path = report.nodeid.split("::")[0]
    if path.endswith(".ipynb"):
        _seconds[path] += report.duration


def pytest_terminal_summary(terminalreporter):
    """A table of times. A busy or slow machine is not a defect, so nothing here can fail."""
    times = _times(terminalreporter.config)
    if times:
        terminalreporter.section("notebook times")
    for path, took, stated in times:
        compared = (
            "states no time"
            if not stated
            else f"states about {stated} s, ratio {took / stated:.1f}"
        )
        terminalreporter.write_line(f"{path}: {took:.0f} s ({compared})")
    if any(stated and took > RESTATE * stated for _, took, stated in times):
        terminalreporter.write_line(
            f"Beyond a ratio of {RESTATE}, measure on an idle machine (python "
            "benchmarks/notebooks.py) and, if it is so there, restate the time."
        )


def _times(config) -> list[tuple[str, float, int | None]]:
    """(notebook, seconds it took, seconds it states) for what has run."""
    return [
        (path, took, stated_seconds(nbformat.read(Path(config.rootpath, path), as_version=4)))
        for path, took in sorted(_seconds.items())
    ]

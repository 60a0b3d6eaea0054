"""How long does each notebook take, and how much memory? `python benchmarks/notebooks.py [NN …]` (default: all).

Each notebook is executed twice, alone, with all cores: with an empty cache, and again with what the first run trained. Both
times are printed beside the one in its Time line; beyond a ratio of 2, on an idle machine, restate it (and the README's
table). CPU time and memory are those of the kernel and all processes below it, looked up ten times a second: the peak is the
largest sum of what each holds at one time. What they share, libraries above all, counts for each of them, so less will do.
"""

import contextlib
import importlib.util
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import nbformat
import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from refresh_notebooks import Client, sockets_in  # noqa: E402 (found only now)

_spec = importlib.util.spec_from_file_location("notebooks_conftest", ROOT / "notebooks" / "conftest.py")
_conftest = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_conftest)


class Watch(threading.Thread):
    """Looks at this process's descendants until told to stop.

    Attributes:
        cpu: process -> its CPU-seconds when last seen. peak: bytes that all held together, at most.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.done, self.cpu, self.peak = threading.Event(), {}, 0

    def run(self) -> None:
        while not self.done.wait(0.1):
            together = 0
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess), process.oneshot():
                    times, together = process.cpu_times(), together + process.memory_info().rss
                    self.cpu[process] = times.user + times.system
            self.peak = max(self.peak, together)


def execute(path: Path, cache: str) -> tuple[float, float, float]:
    """Seconds from the start of a kernel to the last cell, CPU-minutes, and gigabytes at the peak."""
    with tempfile.TemporaryDirectory() as folder:
        client = Client(
            nbformat.read(path, as_version=4),
            timeout=7200,
            kernel_name="python3",
            config=sockets_in(folder),
            resources={"metadata": {"path": path.parent}},
        )
        watch, start = Watch(), time.perf_counter()
        watch.start()
        try:
            client.execute(env=os.environ | {"MIA_CACHE_DIR": cache})
            return time.perf_counter() - start, sum(watch.cpu.values()) / 60, watch.peak / 1e9
        finally:
            watch.done.set()
            watch.join()


def main(numbers: list[str]) -> None:
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    print(f"{os.cpu_count()} cores, load before the start {load} (should be near 0)")
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        if numbers and path.name[:2] not in numbers:
            continue
        stated = _conftest.stated_seconds(nbformat.read(path, as_version=4))
        with tempfile.TemporaryDirectory() as cache:
            runs = [execute(path, cache) for _ in range(2)]
        shown = ("{} {:4.0f} s, {:4.1f} CPU min, {:.1f} GB".format(name, *run) for name, run in zip(("cold", "warm"), runs))
        compared = f"stated {stated} s, ratio {runs[0][0] / stated:.1f}" if stated else "no time stated"
        print(f"{path.stem:24} {'; '.join(shown)}; {compared}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

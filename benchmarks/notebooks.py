"""How long does each notebook take? `python benchmarks/notebooks.py [NN …]` (default: all), on an otherwise idle machine.

Each notebook is executed twice, alone, with all cores: with an empty cache, and again with what the first run trained. Both
times are printed beside the one in its Time line; beyond a ratio of 2, restate it (and the README's table).
"""

import importlib.util
import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from refresh_notebooks import Client, sockets_in  # noqa: E402 (found only now)

_spec = importlib.util.spec_from_file_location("notebooks_conftest", ROOT / "notebooks" / "conftest.py")
_conftest = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_conftest)


def seconds(path: Path, cache: str) -> float:
    """From the start of a kernel to the last cell."""
    with tempfile.TemporaryDirectory() as folder:
        client = Client(
            nbformat.read(path, as_version=4),
            timeout=7200,
            kernel_name="python3",
            config=sockets_in(folder),
            resources={"metadata": {"path": path.parent}},
        )
        start = time.perf_counter()
        client.execute(env=os.environ | {"MIA_CACHE_DIR": cache})
        return time.perf_counter() - start


def main(numbers: list[str]) -> None:
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    print(f"{os.cpu_count()} cores, load before the start {load} (should be near 0)")
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        if numbers and path.name[:2] not in numbers:
            continue
        stated = _conftest.stated_seconds(nbformat.read(path, as_version=4))
        with tempfile.TemporaryDirectory() as cache:
            cold, warm = (seconds(path, cache) for _ in range(2))
        compared = f"stated {stated} s, ratio {cold / stated:.1f}" if stated else "no time stated"
        print(f"{path.stem:24} cold {cold:5.0f} s, warm {warm:5.0f} s; {compared}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

"""Which claims of the notebooks hold for other seeds and on other machines?

    python tests/shake.py [NN …] [--shakes N]    run the notebooks under N shakes (default 8) and write the record
    python tests/shake.py --check [--strict]     judge the record

A **shake** is a run under other training seeds (`MIA_SEED_SHIFT`), with other instructions of the CPU, or with another
number of threads. It collects the value of every claim (`mia_helpers.course.checks`); one that fails does not stop the run.
A claim is *shaken* if it held each time and its mean lies at least 4 standard deviations inside its band. Ends that a claim
leaves open (`at_least`, `at_most`) are not looked at; a claim that is true by construction (`holds`) only has to hold.

A run that is finished is not repeated; what it trained stays in the cache, so that a notebook is soon shaken again after an
edit of its claims. The record is `tests/shaken.json`; `tests/shaken.md` shows the same as a table.
"""

import argparse
import ast
import hashlib
import importlib.metadata
import io
import json
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import threading
import time
import tokenize
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import nbformat
from filelock import FileLock
from refresh_notebooks import Client, sockets_in

from mia_helpers.cache import atomic_path, cache_dir

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS, RECORD = ROOT / "notebooks", ROOT / "tests" / "shaken.json"
MARGIN, N_SHAKES, CELL_TIMEOUT_S = 4, 8, 7200
# Modules that show something and give nothing back (without a reader, predictions are not kept): no claim comes from them.
SHOWN_ONLY = {"progress", "course/widgets", "course/predictions", "course/star"}
# By what the CPU must have: the settings that hold PyTorch, oneDNN and MKL back to it ("plain": PyTorch's own kernels only).
INSTRUCTIONS = {
    "all": (None, {}),
    "AVX2": ("avx2", {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}),
    "AVX-512 without AMX": ("amx_tile", {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}),
    "plain": (None, {"ATEN_CPU_CAPABILITY": "default"}),
}


@dataclass(frozen=True)
class Shake:
    """One way to run a notebook: what is added to all seeds, which instructions, how many threads."""

    seed_shift: int
    instructions: str
    threads: int

    def __str__(self) -> str:
        return f"seeds +{self.seed_shift}, {self.instructions} instructions, {self.threads} thread{'s'[: self.threads - 1]}"

    @property
    def folder(self) -> Path:
        """Its own cache: models trained with other instructions must not be taken for its own."""
        name = f"{self.seed_shift}-{self.instructions}-{self.threads}".replace(" ", "-")
        return cache_dir().resolve() / "shaken" / name

    @property
    def environment(self) -> dict[str, str]:
        held_back = {name for _, settings in INSTRUCTIONS.values() for name in settings}
        kept = {name: value for name, value in os.environ.items() if name not in held_back}
        return (
            kept
            | INSTRUCTIONS[self.instructions][1]
            | {
                "MIA_SEED_SHIFT": str(self.seed_shift),
                "OMP_NUM_THREADS": str(self.threads),
                # Two runs share the cores: threads that wait for work must not spin.
                "OMP_WAIT_POLICY": "PASSIVE",
                "OPENBLAS_NUM_THREADS": "1",
                "MIA_CACHE_DIR": str(self.folder),
                "MIA_SWEEP_SLIDERS": "",
                "MIA_READER": "nobody",
                "MIA_DATA_SOURCE": "bundled",
                "CUDA_VISIBLE_DEVICES": "",
                "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            }
        )


def shakes(n: int) -> list[Shake]:
    """The first as the reader runs it; then other seeds each time, instructions in turn, and two threads once in eight."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux: what the CPU has is unknown, so it is not held back
        flags = ""
    sets = [name for name, (needed, _) in INSTRUCTIONS.items() if needed is None or needed in flags]
    return [Shake(1000 * i, sets[i % len(sets)], 2 if i % 8 == 2 else 1) for i in range(n)]


# ------------------------------------------------------------------------------------------------------- one shaken run


def fingerprint(notebook: Path) -> str:
    """A hash of the code cells and of the modules that they use, without comments, docstrings and what is only shown."""
    cells = [cell.source for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"]
    texts, seen, waiting = [_code(cell) for cell in cells], set(SHOWN_ONLY), _imported("\n".join(cells))
    while waiting:
        if (name := waiting.pop()) not in seen:
            seen.add(name)
            source = (ROOT / "mia_helpers" / f"{name}.py").read_text(encoding="utf-8")
            texts.append(f"{name}\n{_code(source)}")
            waiting |= _imported(source)
    return hashlib.sha256("\n".join(texts[: len(cells)] + sorted(texts[len(cells) :])).encode()).hexdigest()[:16]


def _code(source: str) -> str:
    """The lines that hold code, without comments and docstrings; the same text under every version of Python."""
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            docstring = node.body[0]
            lines[docstring.lineno - 1 : docstring.end_lineno] = [""] * (docstring.end_lineno - docstring.lineno + 1)
    return "\n".join(line.rstrip() for line in lines if line.strip())


def _imported(source: str) -> set[str]:
    """The modules of the package that a piece of code names in its imports."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mia_helpers":
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    found = {"/".join(name.split(".")[1:]) for name in names if name.startswith("mia_helpers.")}
    return {file for name in found for file in (name, f"{name}/__init__") if (ROOT / "mia_helpers" / f"{file}.py").exists()}


def run(notebook: Path, shake: Shake) -> dict:
    """Execute the notebook under the shake; its claims in order, and what raised, if anything did."""
    content = nbformat.read(notebook, as_version=4)
    start, claims = time.perf_counter(), []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "claims.jsonl")
        path.touch()
        file = path.open(encoding="utf-8")

        def collect(cell, cell_index, **_):
            for line in file:
                claims.append({"cell": cell_index, "section": _section(content.cells, cell_index), **json.loads(line)})

        client = Client(
            content,
            timeout=CELL_TIMEOUT_S,
            kernel_name="python3",
            allow_errors=True,
            config=sockets_in(folder),
            on_cell_executed=collect,
            resources={"metadata": {"path": notebook.parent}},
        )
        stopped = []
        with file:
            try:
                client.execute(env=shake.environment | {"MIA_CLAIMS_FILE": str(path)})
            except (RuntimeError, TimeoutError) as error:  # the kernel died or did not answer
                stopped.append(f"{type(error).__name__}: {error}")
    errors = stopped + [
        f"cell {i}: {output.ename}: {output.evalue}"
        for i, cell in enumerate(content.cells)
        for output in cell.get("outputs", ())
        if output.output_type == "error"
    ]
    return {"claims": claims, "errors": errors, "seconds": round(time.perf_counter() - start), "on": _machine()}


def _section(cells: list, index: int) -> str:
    """The last heading before a cell."""
    lines = "\n".join(cell.source for cell in cells[:index] if cell.cell_type == "markdown").splitlines()
    return next((line.lstrip("# ") for line in reversed(lines) if line.startswith("#")), "")


def _machine() -> str:
    try:
        cpu = next(
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        )
    except (OSError, StopIteration):
        cpu = platform.processor() or platform.machine()
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("torch", "numpy", "scikit-learn")]
    return ", ".join([cpu, f"Python {platform.python_version()}", *versions])


def run_once(notebook: Path, shake: Shake, code: str) -> tuple[Path, Shake, dict]:
    """`run`, or what it found before, if the code (a fingerprint), the versions and the CPU were the same.

    A run with errors is not kept: the next call tries again.
    """
    machine = hashlib.sha256(_machine().encode()).hexdigest()[:8]
    path = shake.folder / f"{notebook.stem}-{code}-{machine}.json"
    with FileLock(path.with_suffix(".lock")):
        if path.exists():
            return notebook, shake, json.loads(path.read_text(encoding="utf-8"))
        result = run(notebook, shake)
        if fingerprint(notebook) != code:
            result["errors"].append("the notebook or the package was edited while it was shaken")
        if not result["errors"]:
            with atomic_path(path) as temporary:
                temporary.write_text(json.dumps(result), encoding="utf-8")
        return notebook, shake, result


# ------------------------------------------------------------------------------------------------------- the record


def summary(runs: list[tuple[Shake, dict]]) -> list[dict]:
    """One row a claim; the same words in the same section again are another claim."""
    rows: dict[tuple, dict] = {}
    for _, result in runs:
        times = defaultdict(int)
        for claim in result["claims"]:
            key = claim["section"], claim["words"]
            times[key] += 1
            row = rows.setdefault(
                (*key, times[key]),
                {name: claim[name] for name in ("section", "words", "low", "high")}
                | {"cell": claim["cell"], "values": [], "held": 0, "one_band": True},
            )
            row["one_band"] &= (claim["low"], claim["high"]) == (row["low"], row["high"])
            row["held"] += claim["held"]
            row["values"].append(claim["value"])
    for row in rows.values():
        row["missing"] = len(runs) - len(row["values"])
        row["margin"] = margin(row["values"], row["low"], row["high"])
    return sorted(rows.values(), key=lambda row: row["cell"])


def margin(values: list[float | None], low: float | None, high: float | None) -> float | None:
    """Distance of the mean from the nearer end, in standard deviations; None if there is no end or nothing varies."""
    if None in values or len(values) < 2 or (low is None and high is None):
        return None
    mean, spread = statistics.fmean(values), statistics.stdev(values)
    distance = min(mean - low if low is not None else float("inf"), high - mean if high is not None else float("inf"))
    return distance / spread if spread > 1e-12 else 0.0 if distance < 0 else None


def complaint(row: dict, n_shakes: int) -> str | None:
    """What is wrong with a claim, or None."""
    if row["held"] < n_shakes:
        absent = f", was not reached in {row['missing']}" if row["missing"] else ""
        return f"held in {row['held']} of {n_shakes} shakes{absent}"
    if not row["one_band"]:
        return "has another band in another shake"
    if None in row["values"] and (row["low"], row["high"]) != (None, None):
        return "is not finite in every shake"
    if row["margin"] is not None and row["margin"] < MARGIN:
        return f"has a margin of {row['margin']:.1f} standard deviations"
    return None


def write_record(record: dict, path: Path = RECORD) -> None:
    """The record as JSON and as a table to read."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    lines = [
        "# Shaken claims",
        "",
        "Written by `python tests/shake.py`, which says what the columns mean. SD: standard "
        "deviation; margin: distance of the mean from the nearer end of the band, in SD; **bold**: not shaken.",
        "",
    ]
    for name, entry in sorted(record.items()):
        n = len(entry["shakes"])
        lines += [
            f"## {name}",
            "",
            *(f"- {shake} ({on})" for shake, on in entry["shakes"].items()),
            "",
            *(f"- **{error}**" for error in entry["errors"]),
            "",
            "| section | claim | band | min | mean | max | SD | margin | held |",
            "|---" * 9 + "|",
        ]
        for row in entry["claims"]:
            cells = [row["section"], row["words"], _band(row), *_figures(row), f"{row['held']} of {n}"]
            cells = [str(cell).replace("|", r"\|") for cell in cells]
            if complaint(row, n):
                cells = [f"**{cell}**" if cell else "" for cell in cells]
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    path.with_suffix(".md").write_text("\n".join(lines), encoding="utf-8")


def _band(row: dict) -> str:
    low, high = row["low"], row["high"]
    if low is None or high is None:
        return "" if low is high else f"≥ {low:g}" if high is None else f"≤ {high:g}"
    return f"{low:g} … {high:g}"


def _figures(row: dict) -> list[str]:
    values = row["values"]
    if None in values:
        return [""] * 5
    spread = statistics.stdev(values) if len(values) > 1 else 0
    shown = [f"{x:.3g}" for x in (min(values), statistics.fmean(values), max(values), spread)]
    return [*shown, "" if row["margin"] is None else f"{row['margin']:.1f}"]


def _end_with_parent() -> None:
    """Let this worker end when its parent does, however that ended: else it would wait for another task for ever."""
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def shake_all(notebooks: list[Path], n_shakes: int, record_path: Path = RECORD) -> dict:
    """Run everything that is missing, two runs side by side on two cores, and bring the record up to date."""
    for shake in shakes(n_shakes):
        shake.folder.mkdir(parents=True, exist_ok=True)
    codes = {notebook: fingerprint(notebook) for notebook in notebooks}
    # One notebook after the other: two of the same shake would wait for each other's models.
    tasks = [(notebook, shake, codes[notebook]) for notebook in notebooks for shake in shakes(n_shakes)]
    results = defaultdict(dict)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ProcessPoolExecutor(cores, initializer=_end_with_parent) as pool:
        running = [pool.submit(run_once, *task) for task in tasks]
        for i, finished in enumerate(as_completed(running), start=1):
            try:
                notebook, shake, result = finished.result()
            except BaseException:  # Ctrl-C, a notebook that cannot be read: do not go on with what waits
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            results[notebook.stem][shake] = result
            n_failed = sum(not claim["held"] for claim in result["claims"])
            print(
                f"[{i}/{len(tasks)}] {notebook.stem}, {shake}: {result['seconds']} s, {len(result['claims'])} claims, "
                f"{n_failed} did not hold, {len(result['errors'])} errors",
                flush=True,
            )
    record = json.loads(record_path.read_text(encoding="utf-8")) if record_path.exists() else {}
    record = {name: entry for name, entry in record.items() if (notebooks[0].parent / f"{name}.ipynb").exists()}
    for notebook in notebooks:
        runs = sorted(results[notebook.stem].items(), key=lambda item: item[0].seed_shift)
        record[notebook.stem] = {
            "fingerprint": codes[notebook],
            "shakes": {str(shake): result["on"] for shake, result in runs},
            "errors": [f"{shake}: {error}" for shake, result in runs for error in result["errors"]],
            "claims": summary(runs),
        }
    write_record(record, record_path)
    return record


def check(record: dict, notebooks: list[Path], n_shakes: int = N_SHAKES) -> tuple[list[str], list[str]]:
    """(what is wrong with the record, which notebooks are not as they were when they were shaken)."""
    problems, stale = [], []
    for notebook in notebooks:
        entry = record.get(notebook.stem)
        if entry is None:
            stale.append(f"{notebook.stem} has not been shaken")
            continue
        if entry["fingerprint"] != fingerprint(notebook):
            stale.append(f"{notebook.stem} or its modules have changed since it was shaken")
        problems += [f"{notebook.stem}: {error}" for error in entry["errors"]]
        if len(entry["shakes"]) < n_shakes:
            problems.append(f"{notebook.stem}: {len(entry['shakes'])} shakes, fewer than {n_shakes}")
        if not entry["claims"]:
            problems.append(f"{notebook.stem}: no claims were found")
        for row in entry["claims"]:
            if wrong := complaint(row, len(entry["shakes"])):
                problems.append(f"{notebook.stem}, {row['section']}: {row['words']!r} {wrong}")
    return problems, stale


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("numbers", nargs="*", metavar="NN", help="numbers of notebooks (default: all)")
    parser.add_argument("--shakes", type=int, default=N_SHAKES, help=f"how many runs of each notebook (default: {N_SHAKES})")
    parser.add_argument("--check", action="store_true", help="judge the record instead of running anything")
    parser.add_argument("--strict", action="store_true", help="with --check: a notebook that has changed fails, too")
    options = parser.parse_args(arguments)
    notebooks = [
        path
        for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
        if not options.numbers or path.name[:2] in options.numbers
    ]
    if not notebooks or options.shakes < 1:
        parser.error(f"nothing to do: no notebook begins with {', '.join(options.numbers)}, or --shakes below 1")
    if options.check and not RECORD.exists():
        parser.error(f"there is no record, {RECORD.name}; shake first")
    record = json.loads(RECORD.read_text(encoding="utf-8")) if options.check else shake_all(notebooks, options.shakes)
    problems, stale = check(record, notebooks)
    n_claims = sum(len(record[path.stem]["claims"]) for path in notebooks if path.stem in record)
    print("\n".join([*problems, *stale, f"{n_claims} claims, {len(problems)} problems, {len(stale)} to shake again"]))
    return int(bool(problems or (stale and options.strict)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

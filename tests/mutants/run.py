"""Do the tests notice a mistake? Planted mistakes, one at a time, each in a copy of the course.

    python tests/mutants/run.py [NAME …]    plant those that no test has caught yet (or these), and write the record
    python tests/mutants/run.py --again     all, whatever the record says
    python tests/mutants/run.py --fitting   with their fitting tests only; what passes these stays open
    python tests/mutants/run.py --sample 2026-01-31    ten quick ones, another choice each day, as the unit tests do

A **mutant** is an entry of `aimed.toml` (written with the tests in view, at holes) or `blind.toml` (from the code alone): a
file, the exact text of a place in it (of a notebook: in a code cell), what stands there instead, and the harm. Optional:
`tests`, the files (or "file::test") that should notice, and `notebooks`, numbers of those to run if none does.

Fitting tests run first, then all other unit tests, then notebooks; the first failure ends it. It counts only if the same
test passes without the mutant. Notebooks start from the cache at hand (MIA_CACHE_DIR), but from a cold one if the mutated
module might be missing in the keys. A mutant on which tests hang, or Python dies, counts as caught, and is marked so.

`record.json` says for each mutant which test caught it, in which phase and how many seconds of CPU that phase took.
"""

import argparse
import contextlib
import dataclasses
import datetime
import hashlib
import importlib
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import nbformat
from filelock import FileLock

HERE = Path(__file__).resolve().parent
ROOT, RECORD = HERE.parents[1], HERE / "record.json"
LISTS = ("aimed", "blind")
LIMIT_S = {"fitting": 600, "rest": 3600, "notebooks": 3600}  # of CPU; four times as much by the clock, on a busy machine
SAMPLE, QUICK_S = 10, 8
HANGS = "hangs"
UNUSED = ("nbval", "xdist", "xdist.looponfail", "playwright", "anyio", "benchmark")  # plugins that unit tests need not
PHASES = ("fitting", "rest", "notebooks", "survived", "open", "not run")
COPIED = ("mia_helpers", "tests", "notebooks", "site", "benchmarks", "*.md", "*.cff", "*.toml", "*.txt", ".gitignore", ".ci")
# A forked child has these already; nothing of the course, and nothing that pytest wants to rewrite.
PRELOADED = (
    "_pytest.config",
    "nbformat",
    "torch",
    "torch.func",
    "torchvision",
    "pandas",
    "matplotlib.pyplot",
    "scipy.stats",
    "sklearn.ensemble",
    "sklearn.pipeline",
    "sklearn.linear_model",
    "ipywidgets",
    "joblib",
    "safetensors.torch",
)
COLD = {"cache", "keys", "seeds", "shadows", "training", "weights", "private"}  # not all that they do is in a key
AUDIT_PARTS = ("_numbers", "_slips", "_copies", "_likeness", "_gates", "_inputs", "_report", "_people", "", "_truth")
AUDIT = [f"test_audit{part}" for part in AUDIT_PARTS]
FITTING = {  # of modules without test files of their own name, or with several
    "attack_network": ["test_attacks"],
    "attacks": ["test_protocol", "test_many_shadow_attacks", "test_attacks", "test_quantile"],
    "bank": ["test_protocol", "test_many_shadow_attacks", "test_attacks"],
    "label_only": ["test_label_only_white_box"],
    "masks": ["test_defences"],
    "models": ["test_models_training"],
    "plots": ["test_view", "test_patients"],
    "private": ["test_defences"],
    "seeds": ["test_shake"],
    "shadows": ["test_shadows_any_training", "test_shadows"],
    "training": ["test_models_training"],
    "white_box": ["test_label_only_white_box"],
    "audit/command": ["test_audit", "test_audit_files"],
    "audit/files": ["test_audit_files"],
    "audit/page": ["test_audit_numbers", "test_audit_report", "test_audit"],
    "audit/pictures": ["test_audit_report"],
    "audit/tables": ["test_audit_files"],
    "course/broken_audit": ["test_own_audit_lesson", "test_exercises"],
    "course/canaries": ["test_own_audit_lesson"],
    "course/checks": ["test_view", "test_shake", "test_scores"],
    "course/classic": ["test_models_training"],
    "course/game": ["test_played"],
    "course/predictions": ["test_played"],
    "course/set_ups": ["test_own_audit_lesson"],
    "course/warm": ["test_warm_cache"],
    "course/widgets": ["test_played", "test_view"],
}


@dataclasses.dataclass(frozen=True)
class Mutant:
    """A small mistake: in `file` there stands `new` where `old` stood."""

    name: str
    file: str
    harm: str
    old: str
    new: str
    written: str  # which list it is in
    tests: tuple[str, ...] = ()
    notebooks: tuple[str, ...] = ()

    @property
    def module(self) -> str | None:
        """As in `from mia_helpers.… import`; None for a notebook."""
        return self.file.removeprefix("mia_helpers/").removesuffix(".py") if self.file.endswith(".py") else None

    @property
    def digest(self) -> str:
        """By which a record is known to be about this mutant as it is now."""
        return hashlib.sha256("\0".join((self.file, self.old, self.new)).encode()).hexdigest()[:12]

    @property
    def fitting(self) -> list[str]:
        """Files of tests that should notice."""
        if self.tests:
            names = list(self.tests)
        elif self.module is None:
            names = ["test_notebook_code"]
        elif self.module in FITTING:
            names = FITTING[self.module]
        elif self.module.startswith("audit/"):
            names = AUDIT
        elif self.module.startswith("course/exercises/"):
            names = ["test_exercises"]
        else:
            names = [f"test_{self.module.rpartition('/')[2]}"]
        parts = (name.partition("::") for name in names)
        return [f"tests/{file}.py{colons}{test}" for file, colons, test in parts]

    def planted(self, root: Path = ROOT) -> str:
        """The file's content with the mistake in it.

        Raises:
            ValueError: the text is not there, or more than once.
        """
        content = (root / self.file).read_text(encoding="utf-8")
        if self.module is not None:
            return self._replaced(content)
        notebook = nbformat.reads(content, as_version=4)
        cells = [cell for cell in notebook.cells if cell.cell_type == "code" and self.old in cell.source]
        if len(cells) != 1:
            raise ValueError(f"{self.name}: {len(cells)} code cells of {self.file} hold the old text; one must")
        cells[0].source = self._replaced(cells[0].source)
        return nbformat.writes(notebook)

    def _replaced(self, text: str) -> str:
        if (n := text.count(self.old)) != 1:
            raise ValueError(f"{self.name}: the old text stands {n} times in {self.file}; it must stand there once")
        return text.replace(self.old, self.new)


def mutants() -> dict[str, Mutant]:
    """All of the lists, by name.

    Raises:
        ValueError: two have the same name.
    """
    found: dict[str, Mutant] = {}
    for written in LISTS:
        for name, entry in tomllib.loads((HERE / f"{written}.toml").read_text(encoding="utf-8")).items():
            if name in found:
                raise ValueError(f"there are two mutants {name!r}")
            found[name] = Mutant(
                name=name, written=written, **{k: tuple(v) if type(v) is list else v for k, v in entry.items()}
            )
    return found


# ------------------------------------------------------------------------------------------------------ tests in a copy


@contextlib.contextmanager
def copied() -> Iterator[Path]:
    """A copy of the course that may be spoilt. Compiled files in it are known by time and size: none is a mutant's."""
    with tempfile.TemporaryDirectory(prefix="mia-mutants-") as folder:
        root = Path(folder, "course")
        root.mkdir()
        for source in (path for pattern in COPIED for path in ROOT.glob(pattern)):
            if source.is_dir():
                shutil.copytree(source, root / source.name, ignore=shutil.ignore_patterns(".ipynb*"))
            else:
                shutil.copy2(source, root)
        (root / "tests" / "test_mutants.py").unlink(missing_ok=True)  # would say that the text of the mutant is gone
        yield root


@contextlib.contextmanager
def planted(mutant: Mutant | None, root: Path) -> Iterator[None]:
    """The mutant is in the copy inside the block."""
    if mutant is None:
        yield
        return
    path = root / mutant.file
    before = path.read_text(encoding="utf-8")
    path.write_text(mutant.planted(root), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(before, encoding="utf-8")


@contextlib.contextmanager
def cache(cold: bool) -> Iterator[Path]:
    """A cache folder for one run; unless `cold`, with links to the entries of the one at hand, which stay as they are."""
    with tempfile.TemporaryDirectory(prefix="mia-mutant-cache-", ignore_cleanup_errors=True) as folder:
        warm, here = os.environ.get("MIA_CACHE_DIR"), Path(folder, "cache")
        if cold or not warm or not Path(warm).is_dir():
            here.mkdir()
        else:
            shutil.copytree(
                warm, here, copy_function=_link, ignore=shutil.ignore_patterns("shaken", "course", "*.lock", ".*")
            )
        yield here


def _link(source: str, target: str) -> None:
    with contextlib.suppress(FileNotFoundError):  # moved away meanwhile
        try:
            os.link(source, target)
        except OSError:  # another file system
            shutil.copy(source, target)


def first_failure(root: Path, tests: list[str], limit_s: float, *, cold: bool = False) -> tuple[str | None, float]:
    """Run tests in the copy up to the first that fails; its name, `HANGS` after too long, or None; and seconds of CPU."""
    with cache(cold) as folder, tempfile.TemporaryFile("w+") as output:
        pid = os.fork()
        if pid == 0:
            try:
                os.setsid()
                resource.setrlimit(resource.RLIMIT_CPU, (int(limit_s), int(limit_s)))
                for number in (1, 2):
                    os.dup2(output.fileno(), number)
                code = _pytest(root, tests, folder)
                sys.stdout.flush()
                sys.stderr.flush()
            except BaseException as error:  # noqa: BLE001 (this process must not go on in the parent's place)
                os.write(2, f"\nERROR {type(error).__name__}: {error}\n".encode())
                code = 4
            finally:
                os._exit(int(code))
        try:
            hangs, seconds = _wait(pid, limit_s)
        except BaseException:  # this process is stopped: nothing it started goes on
            os.killpg(pid, signal.SIGKILL)
            raise
        output.seek(0)
        text = output.read()
    if hangs:
        return HANGS, seconds
    if found := re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", text, re.M):
        return found[1], seconds
    if not re.search(r"^\d+ (passed|skipped)|no tests ran", text, re.M):
        raise RuntimeError(f"pytest said neither that a test failed nor that all passed:\n{text[-2000:]}")
    return None, seconds


def _pytest(root: Path, tests: list[str], folder: Path) -> int:
    """In the child: pytest's exit code for the copy at `root`."""
    os.chdir(root)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MIA_", "PYTEST_"))}
    os.environ.clear()
    os.environ |= kept | {
        "PYTHONPATH": str(root),
        "PYTHONDONTWRITEBYTECODE": "1",
        "MIA_CACHE_DIR": str(folder),
        "OMP_NUM_THREADS": "1",
    }
    sys.dont_write_bytecode = True
    sys.path[:] = [str(root), *(path for path in sys.path if Path(path or ".").resolve() not in (ROOT, HERE))]
    sys.argv = ["pytest"]
    import pytest

    import mia_helpers

    assert Path(mia_helpers.__file__).is_relative_to(root)
    options = ["-x", "-q", "--tb=no", "-p", "no:cacheprovider", "-rfE", "--hypothesis-seed=0"]
    if tests[0].startswith("tests/"):  # no notebooks, so neither what runs them nor what shares them out
        options += ["-o", "addopts=", *(part for name in UNUSED for part in ("-p", f"no:{name}"))]
    else:
        options += ["-n", "0"]
    return pytest.main([*options, *tests])


def _wait(pid: int, limit_s: float) -> tuple[bool, float]:
    """Wait for the child; whether it had to be killed, with all that it started, and the CPU seconds that it took."""
    end, hangs = time.monotonic() + 4 * limit_s, False
    while (ended := os.wait4(pid, os.WNOHANG))[0] == 0:
        if not hangs and time.monotonic() > end:
            hangs = True
            os.killpg(pid, signal.SIGKILL)
        time.sleep(0.05)
    return hangs or os.WIFSIGNALED(ended[1]), ended[2].ru_utime + ended[2].ru_stime


# ------------------------------------------------------------------------------------------------------ one after another


def rest(mutant: Mutant, root: Path) -> list[str]:
    """All other unit tests; first those that name the module."""
    word = f"{mutant.module or mutant.file}".rpartition("/")[2]
    others = [path for path in sorted((root / "tests").glob("test_*.py")) if f"tests/{path.name}" not in mutant.fitting]
    named = {path: bool(re.search(rf"\b{re.escape(word)}\b", path.read_text(encoding="utf-8"))) for path in others}
    return [f"tests/{path.name}" for path in sorted(others, key=lambda path: not named[path])]


def notebooks(mutant: Mutant, root: Path) -> list[str]:
    """The notebook that was mutated; or those that the mutant names; or those that import the module."""
    if mutant.module is None:
        return [mutant.file]
    found = []
    package, _, name = f"mia_helpers/{mutant.module}".replace("/", ".").rpartition(".")
    imported = re.compile(rf"from {package}\.{name} import|from {package} import .*\b{name}\b")
    for path in sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        if path.name[:2] in mutant.notebooks or (
            not mutant.notebooks and any(c.cell_type == "code" and imported.search(c.source) for c in cells)
        ):
            found.append(f"notebooks/{path.name}")
    return found


def judge(mutant: Mutant, root: Path, only_fitting: bool) -> dict:
    """What catches the mutant: an entry of the record."""
    phases = {"fitting": mutant.fitting}
    if not only_fitting:
        phases |= {"rest": rest(mutant, root), "notebooks": notebooks(mutant, root)}
    for phase, tests in phases.items():
        if not tests:
            continue
        with planted(mutant, root):
            cold = mutant.module in COLD and phase == "notebooks"
            by, seconds = first_failure(root, tests, LIMIT_S[phase], cold=cold)
        if by is not None:
            return {"by": by, "digest": mutant.digest, "phase": phase, "seconds": round(seconds)}
    return {"by": None, "digest": mutant.digest, "phase": "open" if only_fitting else "survived", "seconds": 0}


def run(chosen: list[Mutant], again: bool, only_fitting: bool) -> int:
    """Judge them, and bring the record up to date after each; 1 if one survives, or a test fails without any mutant."""
    found: dict[str, dict] = {}
    with copied() as root:
        for mutant in chosen:
            known = read().get(mutant.name, {})
            if known.get("by") and known["digest"] == mutant.digest and not again:
                continue
            found[mutant.name] = entry = judge(mutant, root, only_fitting)
            keep(mutant.name, entry)
            print(f"{mutant.name}: {entry['by'] or 'NOT CAUGHT'} ({entry['phase']}, {entry['seconds']} s)", flush=True)
        catching = {entry["by"] for entry in found.values()} - {None, HANGS}
        unsound = _failing(root, sorted(_files(catching)))
    for name, entry in found.items():  # a test that fails anyway shows nothing
        if unsound & _files({entry["by"]} - {None}):
            keep(name, entry | {"by": None, "phase": "open"})
            print(f"{name}: does not count, since {entry['by']} fails without any mutant, too")
    record = read()
    entries = [record.get(mutant.name, {"phase": "not run"}) for mutant in chosen]
    counts = {phase: sum(entry["phase"] == phase for entry in entries) for phase in PHASES}
    print(f"{len(chosen)} mutants: {', '.join(f'{n} {phase}' for phase, n in counts.items() if n)}")
    return int(bool(counts["survived"] or unsound))


def _failing(root: Path, tests: list[str]) -> set[str]:
    """Which of these tests, or notebooks, fail without any mutant."""
    failing: set[str] = set()
    for folder in ("tests/", "notebooks/"):
        left = [test for test in tests if test.startswith(folder)]
        while left and (bad := first_failure(root, left, LIMIT_S["rest"])[0]):
            failing |= _files({bad})
            left = [test for test in left if test not in failing]
    return failing


def _files(tests: set[str]) -> set[str]:
    """Tests by name; of notebooks, whose cells cannot be run alone, the files."""
    return {test.split("::")[0] if test.startswith("notebooks/") else test for test in tests}


def read() -> dict:
    """The record, without mutants that are gone."""
    record, known = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}, mutants()
    return {name: entry for name, entry in record.items() if name in known}


def keep(name: str, entry: dict) -> None:
    """Write an entry into the record: sorted, one mutant a line. Several runs may do so at once."""
    with FileLock(Path(tempfile.gettempdir(), f"mia-mutants-{os.getuid()}.lock")):
        lines = [
            f" {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in sorted((read() | {name: entry}).items())
        ]
        temporary = RECORD.with_suffix(".tmp")
        temporary.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
        os.replace(temporary, RECORD)


def sample(day: datetime.date) -> list[tuple[Mutant, str]]:
    """Ten mutants that a quick unit test catches, and that test; another ten each day."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    quick = [
        (mutant, record[name]["by"])
        for name, mutant in sorted(mutants().items())
        if name in record
        and record[name]["phase"] == "fitting"
        and record[name]["seconds"] <= QUICK_S
        and record[name]["by"] != HANGS
    ]
    return random.Random(day.toordinal()).sample(quick, min(SAMPLE, len(quick)))


def run_sample(day: datetime.date) -> int:
    """Do the tests of the record still catch today's sample? 1 if one does not."""
    missed = 0
    with copied() as root:
        for mutant, test in sample(day):
            with planted(mutant, root):
                caught, _ = first_failure(root, [test], LIMIT_S["fitting"])
            missed += caught is None
            print(f"{mutant.name}: {'caught' if caught else 'NOT CAUGHT'} by {test}", flush=True)
    return int(missed > 0)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="mutants (default: all)")
    parser.add_argument("--again", action="store_true", help="also those of which the record says that they are caught")
    parser.add_argument("--fitting", action="store_true", help="run the fitting tests only")
    parser.add_argument("--sample", type=datetime.date.fromisoformat, metavar="DAY", help="the quick ones of that day")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    everybody = mutants()
    if unknown := [name for name in options.names if name not in everybody]:
        parser.error(f"there is no mutant {unknown[0]!r}")
    for mutant in everybody.values():
        mutant.planted()  # an error if its text is gone
    for module in PRELOADED:
        importlib.import_module(module)
    if options.sample:
        return run_sample(options.sample)
    return run(
        [everybody[name] for name in options.names or everybody], options.again or bool(options.names), options.fitting
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

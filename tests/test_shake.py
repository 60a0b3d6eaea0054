"""tests/shake.py: on tiny notebooks with claims of known strength, and the record of the last shake."""

import ast
import json
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

import nbformat
import psutil
import pytest
import shake
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from mia_helpers import cache, seeds
from mia_helpers.bank import draw_halves
from mia_helpers.course import checks
from mia_helpers.course.patients import draw_patients
from mia_helpers.data import load_digits
from mia_helpers.shadows import train_shadows

IMPORTS = """import torch
from mia_helpers.course import checks
from mia_helpers.data import load_digits
from mia_helpers.models import SmallClassifier
from mia_helpers.training import load_or_train, seeded"""
DRAWS = """with seeded(0):
    draws = torch.randn(1000)
checks.holds("a thousand draws are a thousand", len(draws) == 1000)
checks.between("their mean", draws.mean(), -1, 1)
checks.at_least("how many are above zero", (draws > 0).float().mean(), 0.3)"""
FRAGILE = """checks.between("the first draw", draws[0], -1.13, -1.12)"""  # what torch's seed 0 gives
NARROW = """checks.at_most("the largest draw", draws.max(), 100)
checks.at_most("the mean again", draws.mean(), 0.045)"""  # seeds 0, 1000 and 2000 give 0.029, 0.021 and 0.034
WEIGHTS = """digits = load_digits("target", source="bundled").subset(range(64))
model = load_or_train(SmallClassifier(), digits, epochs=1, lr=1e-3, seed=0, progress=False).model
checks.between("sum of the weights", sum(float(p.sum()) for p in model.parameters()), -1e6, 1e6)"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A cache of its own, in which shaken runs are kept."""
    monkeypatch.setenv("MIA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("MIA_CLAIMS_FILE", raising=False)
    return tmp_path


def tiny(folder, *cells: str):
    path = folder / "01_tiny.ipynb"
    cells = [new_markdown_cell("# Title\n\n## Draws"), *map(new_code_cell, (IMPORTS, *cells))]
    nbformat.write(new_notebook(cells=cells), path)
    return path


def test_exactly_the_fragile_claim_is_found_and_the_run_goes_on_after_it(folder, capsys):
    path = tiny(folder, DRAWS, FRAGILE, WEIGHTS)
    record = shake.shake_all([path], 3, folder / "record.json")
    problems, stale = shake.check(record, [path], 1)
    assert problems == ["01_tiny, Draws: 'the first draw' held in 1 of 3 shakes"] and not stale
    entry = record["01_tiny"]
    assert [row["words"] for row in entry["claims"]] == [
        "a thousand draws are a thousand",
        "their mean",
        "how many are above zero",
        "the first draw",
        "sum of the weights",
    ]
    assert len(entry["shakes"]) == 3 and not entry["errors"]
    weights = entry["claims"][-1]["values"]
    assert len(set(weights)) == 3, "a shake changes what is trained"
    assert "[3/3] 01_tiny" in capsys.readouterr().out
    table = (folder / "record.md").read_text()
    assert "| **Draws** | **the first draw** | **-1.13 … -1.12** |" in table and "| Draws | their mean | -1 … 1 |" in table


def rounded(value):
    """Numbers to four digits: on some CPUs the same training differs in the eighth from run to run."""
    if isinstance(value, dict):
        return {key: rounded(inside) for key, inside in value.items()}
    if isinstance(value, list):
        return [rounded(inside) for inside in value]
    return f"{value:.4g}" if isinstance(value, float) else value


def test_a_resumed_shake_repeats_only_what_is_missing_and_gives_the_same_record(folder):
    path = tiny(folder, DRAWS, WEIGHTS)
    first = shake.shake_all([path], 2, folder / "record.json")
    results = sorted((folder / "cache" / "shaken").glob("*/*.json"))
    assert len(results) == 2
    kept, lost = results
    before = kept.stat().st_mtime_ns
    lost.unlink()  # as if the second run had been killed
    again = shake.shake_all([path], 2, folder / "record.json")
    assert rounded(again) == rounded(first) == rounded(json.loads((folder / "record.json").read_text("utf-8")))
    assert kept.stat().st_mtime_ns == before and lost.exists()


def test_a_band_too_narrow_for_its_spread_is_found_although_it_held(folder):
    path = tiny(folder, DRAWS, NARROW)
    record = shake.shake_all([path], 3, folder / "record.json")
    problems, _ = shake.check(record, [path], 1)
    assert len(problems) == 1 and "'the mean again' has a margin of" in problems[0], problems


def test_what_raises_is_a_problem_and_so_is_a_claim_that_is_not_reached(folder):
    path = tiny(
        folder, DRAWS, "from mia_helpers import seeds\nif seeds.seed_shift():\n    1 / 0\nchecks.at_least('reached', 1, 0)"
    )
    record = shake.shake_all([path], 2, folder / "record.json")
    problems, _ = shake.check(record, [path], 1)
    assert len(problems) == 2
    assert "cell 3: ZeroDivisionError" in problems[0]
    assert problems[1].endswith("'reached' held in 1 of 2 shakes, was not reached in 1")
    kept = [file.parent.name for file in (folder / "cache" / "shaken").glob("*/*.json")]
    assert kept == ["0-all-1"], "a run with errors is tried again by the next call"


def test_a_run_during_which_the_notebook_was_edited_is_a_problem_and_is_not_kept(folder, monkeypatch):
    path = tiny(folder, DRAWS)
    one = shake.Shake(0, "all", 1)

    def run_and_edit(notebook, which):
        tiny(folder, DRAWS, "pass")
        return {"claims": [], "errors": [], "seconds": 0, "on": ""}

    monkeypatch.setattr(shake, "run", run_and_edit)
    result = shake.run_once(path, one, shake.fingerprint(path))[2]
    assert result["errors"] == ["the notebook or the package was edited while it was shaken"]
    assert not list((folder / "cache").rglob("*.json"))


@pytest.mark.parametrize(
    ("values", "low", "high", "margin"),
    [
        ([1.0, 2.0, 3.0], 0, 10, 2.0),
        ([1.0, 2.0, 3.0], None, 10, 8.0),
        ([1.0, 2.0, 3.0], 0, None, 2.0),
        ([1.0, 2.0, 3.0], 4, 10, -2.0),
        ([1.0, 2.0, 3.0], None, None, None),
        ([2.0, 2.0], 0, 3, None),
        ([2.0, 2.0], 2, None, None),
        ([2.0, 2.0], 3, None, 0.0),
        ([None, None], None, None, None),
        ([1.0], 0, 3, None),
        ([1.0, 3.0], 0, 4, 2 / 2**0.5),
    ],
)
def test_margin(values, low, high, margin):
    assert shake.margin(values, low, high) == (None if margin is None else pytest.approx(margin))


def test_a_notebook_that_was_edited_or_whose_modules_were_is_stale_but_not_one_whose_prose_was(folder, monkeypatch):
    path = tiny(folder, DRAWS)
    record = {
        "01_tiny": {
            "fingerprint": shake.fingerprint(path),
            "errors": [],
            "shakes": {"one": ""},
            "claims": [
                {
                    "section": "",
                    "words": "",
                    "held": 1,
                    "margin": None,
                    "missing": 0,
                    "values": [None],
                    "low": None,
                    "high": None,
                    "one_band": True,
                }
            ],
        }
    }
    assert shake.check(record, [path], 1) == ([], [])
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].source += "\n\nMore prose."
    notebook.cells[2].source = "# a comment\n" + notebook.cells[2].source
    nbformat.write(notebook, path)
    assert shake.check(record, [path], 1) == ([], [])
    notebook.cells[2].source += "\nchecks.at_least('one', 1, 0)"
    nbformat.write(notebook, path)
    assert shake.check(record, [path], 1) == ([], ["01_tiny or its modules have changed since it was shaken"])
    tiny(folder, DRAWS)
    assert shake.check(record, [path], 1) == ([], [])
    original = shake._code
    monkeypatch.setattr(shake, "_code", lambda source: original(source).replace("weight_decay", "decay"))  # in training.py
    assert shake.check(record, [path], 1)[1]
    assert shake.check({}, [path], 1)[1] == ["01_tiny has not been shaken"]


def test_the_fingerprint_follows_imports_of_imports():
    assert {"course/__init__", "course/checks", "training", "data"} <= shake._imported(IMPORTS)
    assert "cache" in shake._imported((shake.ROOT / "mia_helpers" / "training.py").read_text())


def test_what_is_only_shown_makes_no_notebook_stale_and_anything_else_does(tmp_path, monkeypatch):
    root = shake.ROOT
    monkeypatch.setattr(shake, "ROOT", tmp_path)
    shutil.copytree(root / "mia_helpers", tmp_path / "mia_helpers", ignore=shutil.ignore_patterns("assets", "__pycache__"))
    path = root / "notebooks" / "04_attack.ipynb"
    before = shake.fingerprint(path)
    for module, stale in {**dict.fromkeys(shake.SHOWN_ONLY, False), "signals": True}.items():
        with (tmp_path / "mia_helpers" / f"{module}.py").open("a", encoding="utf-8") as file:
            file.write("\nEDITED = True\n")
        assert (shake.fingerprint(path) != before) == stale, module
    assert {"progress", "course/widgets", "course/predictions", "course/star"} == shake.SHOWN_ONLY


def test_modules_that_only_show_give_a_claim_nothing():
    """Their public functions return nothing, without a reader (as in a shake) also `recall`, or what is shown."""
    given = {
        (name, function.name)
        for name in shake.SHOWN_ONLY
        for function in ast.parse((shake.ROOT / "mia_helpers" / f"{name}.py").read_text("utf-8")).body
        if isinstance(function, ast.FunctionDef)
        and not function.name.startswith("_")
        and ast.unparse(function.returns) != "None"
    }
    shown = {("course/predictions", f) for f in ("recall", "spoken", "nobody")} | {("course/widgets", "described")}
    assert given == shown | {("progress", "tqdm")}


def test_code_is_hashed_without_comments_docstrings_and_blank_lines():
    with_prose = 'def f(x):  # why\n    """What.\n\n    More."""\n\n    return "# no comment"  # end\n'
    assert shake._code(with_prose) == 'def f(x):\n    return "# no comment"'


def test_a_killed_kernel_is_a_problem_and_the_other_runs_go_on(folder):
    path = tiny(folder, DRAWS, "import os\nfrom mia_helpers import seeds\nif seeds.seed_shift():\n    os._exit(1)")
    record = shake.shake_all([path], 2, folder / "record.json")
    problems, _ = shake.check(record, [path], 1)
    assert len(problems) == 1 and "DeadKernelError" in problems[0]
    assert record["01_tiny"]["claims"][0]["held"] == 2, "what was claimed before is kept"


def test_a_killed_shake_leaves_no_worker_behind(folder):
    path = tiny(folder, "open('running', 'w').close()\nimport time\ntime.sleep(3600)")
    code = "import sys, shake; from pathlib import Path; shake.shake_all([Path(sys.argv[1])], 2, Path(sys.argv[2]))"
    command = [sys.executable, "-c", code, str(path), str(folder / "record.json")]
    parent = subprocess.Popen(command, cwd=shake.ROOT / "tests", start_new_session=True)
    try:
        while not (folder / "running").exists():
            assert parent.poll() is None
            time.sleep(0.1)
        started = psutil.Process(parent.pid).children(recursive=True)
        assert len(started) >= 2  # workers and their kernels
    finally:
        parent.kill()
        parent.wait()
    _, alive = psutil.wait_procs(started, timeout=300)
    for process in alive:
        process.kill()
    assert not alive


def test_too_few_shakes_and_claims_that_differ_are_problems(folder):
    path = tiny(
        folder,
        DRAWS,
        "from mia_helpers import seeds\n"
        "checks.at_least('ratio', float('inf') if seeds.seed_shift() else 2.0, 1)\n"
        "checks.between('moved', 0, -1 - seeds.seed_shift(), 1)",
    )
    record = shake.shake_all([path], 2, folder / "record.json")
    assert shake.check(record, [path])[0] == [
        "01_tiny: 2 shakes, fewer than 8",
        "01_tiny, Draws: 'ratio' is not finite in every shake",
        "01_tiny, Draws: 'moved' has another band in another shake",
    ]


def test_a_record_without_claims_is_a_problem(folder):
    path = tiny(folder, "pass")
    record = shake.shake_all([path], 1, folder / "record.json")
    assert shake.check(record, [path], 1)[0] == ["01_tiny: no claims were found"]


def test_eight_shakes_are_enough_of_each_kind():
    plan = shake.shakes(8)
    assert plan[0] == shake.Shake(0, "all", 1), "one is as the reader runs it"
    assert len({one.seed_shift for one in plan}) == 8 and {one.threads for one in plan} == {1, 2}
    cpu = Path("/proc/cpuinfo")
    if cpu.exists() and "avx2" in cpu.read_text():
        assert {"all", "AVX2"} <= {one.instructions for one in plan}


def test_what_is_held_back_is_held_back(monkeypatch):
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    assert shake.Shake(0, "AVX2", 1).environment["ATEN_CPU_CAPABILITY"] == "avx2"
    assert "ATEN_CPU_CAPABILITY" not in shake.Shake(0, "all", 2).environment
    assert shake.Shake(7, "all", 2).environment["OMP_NUM_THREADS"] == "2"


# ------------------------------------------------------------------------------------------------------- the switch


def test_the_shift_changes_every_draw_and_every_key_and_nothing_else(monkeypatch, tmp_path):
    monkeypatch.setenv("MIA_CACHE_DIR", str(tmp_path))
    digits = load_digits("target", source="bundled")

    def draws():
        halves = draw_halves(1, 50, seed=3)
        members = digits.split(20, 20, seed=3)[0].fingerprint
        bank = train_shadows(
            2,
            [[0.0]] * 8,
            [0, 1] * 4,
            fit=lambda x, y, seed: seed,
            progress=False,
            n_jobs=1,
            answer=lambda seed, x: [[seed % 1000, 0]] * len(x),
        )
        return [
            halves.tobytes(),
            members,
            draw_patients(5, seed=3)[0].tobytes(),
            bank.member_mask.tobytes(),
            bank.logits.tobytes(),
            cache.name_of({"key": 1}),
        ]

    plain = draws()
    monkeypatch.setenv("MIA_SEED_SHIFT", "0")
    assert draws() == plain
    monkeypatch.setenv("MIA_SEED_SHIFT", "1000")
    assert all(a != b for a, b in zip(draws(), plain))
    assert load_digits("target", source="bundled").fingerprint == digits.fingerprint


def test_workers_get_the_callers_shift(monkeypatch):
    inputs, labels = [[0.0]] * 8, [0, 1] * 4

    def shift(x, y, seed):
        return seeds.seed_shift()

    for text in ("0", "1000", "0"):  # loky keeps its processes, and what they have in their environment
        monkeypatch.setenv("MIA_SEED_SHIFT", text)
        bank = train_shadows(
            2, inputs, labels, fit=shift, progress=False, n_jobs=2, answer=lambda shift, x: [[shift, 0]] * len(x)
        )
        assert set(bank.logits[..., 0].ravel()) == {int(text)}


@pytest.mark.parametrize("text", ["many", "-1", "1.5"])
def test_a_shift_that_cannot_be_added_is_refused(monkeypatch, text):
    monkeypatch.setenv("MIA_SEED_SHIFT", text)
    with pytest.raises(ValueError, match=f"must be a whole number of 0 or more, for instance 1000; got '{text}'"):
        seeds.shifted(0)


# ------------------------------------------------------------------------------------------------------- claims


def test_claims_are_written_down_and_do_not_stop(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("MIA_CLAIMS_FILE", str(tmp_path / "claims"))
    checks.between("a", 0.3, 0, 1)
    checks.at_least("b", 0.3, 0.5)
    checks.at_most("  c", float("nan"), 0.5)
    checks.holds("d", False)
    checks.exercise("2.1", lambda: checks.NOT_ATTEMPTED, "")
    checks.exercise("2.1", lambda: "no", "")
    claims = [json.loads(line) for line in (tmp_path / "claims").read_text().splitlines()]
    assert claims == [
        {"words": "a", "value": 0.3, "low": 0, "high": 1, "held": True},
        {"words": "b", "value": 0.3, "low": 0.5, "high": None, "held": False},
        {"words": "c", "value": None, "low": None, "high": 0.5, "held": False},
        {"words": "d", "value": None, "low": None, "high": None, "held": False},
        {"words": "the solution of exercise 2.1 passes its check", "value": None, "low": None, "high": None, "held": False},
    ]
    assert "✗ b: 0.3 outside [0.5, ∞]\n✗ c: nan outside [-∞, 0.5]\n✗ d: not so\n" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------------- the record


@pytest.mark.filterwarnings("default:shake again:UserWarning")
def test_the_course_is_shaken():
    record = json.loads(shake.RECORD.read_text(encoding="utf-8"))
    problems, stale = shake.check(record, sorted(shake.NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")))
    assert not problems, "\n".join(problems)
    if stale:
        warnings.warn("shake again: " + "; ".join(stale), stacklevel=1)

"""Editions of the course: what is in them, what is not, that links hold, and what pytest and nbconvert make of them."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbconvert import SlidesExporter
from traitlets.config import Config, JSONFileConfigLoader

from mia_helpers.course import editions

ROOT = Path(__file__).resolve().parents[1]
NAMES = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb") if editions.NOTEBOOK.fullmatch(path.name))
EXERCISES = sum(
    len(re.findall(r"^#+ Exercise ", cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"]), re.M))
    for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")
    for cell in json.loads(path.read_text("utf-8"))["cells"]
    if cell["cell_type"] == "markdown"
)
LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Each edition once."""
    folder = tmp_path_factory.mktemp("editions")
    for name, flags in {
        "student": {"student": True},
        "blank": {"student": True, "blank": True},
        "slides": {"slides": True},
        "solutions": {"solutions": True},
    }.items():
        assert editions.make(folder / name, **flags) == len(NAMES)
    return folder


def notebooks(folder: Path) -> dict:
    return {path.name: nbformat.read(path, as_version=4) for path in sorted((folder / "notebooks").glob("*.ipynb"))}


def cells(folder: Path) -> list:
    return [cell for notebook in notebooks(folder).values() for cell in notebook.cells]


def tagged(folder: Path, tag: str) -> list:
    return [cell for cell in cells(folder) if tag in cell.metadata.get("tags", [])]


def stubs(folder: Path) -> list:
    return [c for c in cells(folder) if editions._exercise(c) and "solution" not in c.metadata.get("tags", [])]


def printed(cell) -> str:
    return "".join(output.get("text", "") for output in cell.outputs)


@pytest.mark.parametrize("edition", ["student", "blank", "slides", "solutions"])
def test_all_notebooks_are_there_under_their_names_valid_and_with_links_that_hold(made, edition):
    found = notebooks(made / edition)
    assert sorted(found) == NAMES and len(NAMES) == 12
    for notebook in found.values():
        nbformat.validate(notebook)
        assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    texts = {
        made / edition / "notebooks" / name: [c.source for c in n.cells if c.cell_type == "markdown"]
        for name, n in found.items()
    }
    texts |= {path: [path.read_text("utf-8")] for path in (made / edition).rglob("*.md")}
    targets = {(path, t) for path, parts in texts.items() for part in parts for t in LINK.findall(part) if ":" not in t}
    assert targets
    assert not [f"{path.name}: {target}" for path, target in targets if not (path.parent / target).exists()]


def test_a_students_edition_has_no_solution_and_every_exercise_is_open(made):
    assert not tagged(made / "student", "solution") and len(tagged(ROOT, "solution")) == EXERCISES
    numbers = [editions._exercise(cell) for cell in stubs(made / "student")]
    assert len(set(numbers)) == len(numbers) == EXERCISES
    assert [printed(cell) for cell in stubs(made / "student")] == [f"… exercise {n} not attempted yet\n" for n in numbers]
    own = {cell.source for cell in tagged(ROOT, "solution")}
    names = {name for source in own for name in re.findall(r"^(?:def )?(\w+_solution)\b", source, re.M)}
    assert names and not [n for n in names for cell in cells(made / "student") if re.search(rf"\b{n}\b", cell.source)]
    assert len(tagged(made / "student", "checkpoint")) == len(tagged(ROOT, "checkpoint")) > 100
    for notebook in notebooks(made / "student").values():
        counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
        assert counts == list(range(1, len(counts) + 1))


def test_apart_from_solutions_and_answers_to_predictions_a_students_edition_is_the_course(made):
    n_answers = 0
    for name, notebook in notebooks(made / "student").items():
        course = [
            c
            for c in nbformat.read(ROOT / "notebooks" / name, as_version=4).cells
            if "solution" not in c.metadata.get("tags", [])
        ]
        assert [(c.id, c.source) for c in notebook.cells] == [(c.id, c.source) for c in course]
        for ours, whole in zip(notebook.cells, course):
            if ours.cell_type == "code" and "predictions.reveal" in ours.source:
                alone = ours.source.startswith("predictions.reveal")
                assert not ours.outputs and ours.metadata.get("jupyter", {}).get("source_hidden", False) == alone
                assert not {"solution", editions.COMPARED} & {*ours.metadata.get("tags", [])}
                n_answers += 1
            else:
                assert ours.metadata == whole.metadata and (ours.cell_type != "code" or printed(ours) == printed(whole))
    assert n_answers > 40
    assert not (made / "student" / "TEACHING.md").exists() and "TEACHING" not in (made / "student" / "README.md").read_text(
        "utf-8"
    )
    assert "MIT licence" in (made / "student" / "README.md").read_text("utf-8")
    assert (made / "slides" / "TEACHING.md").exists()


def test_the_package_goes_along_whole_and_clean(made):
    def package(folder):
        return {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (folder / "mia_helpers").rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }

    for edition in ("student", "blank", "slides"):
        assert package(made / edition) == package(ROOT)
        there = {path.name for path in (made / edition).rglob("*")}
        assert not there & {"__pycache__", ".git", ".cache", ".ipynb_checkpoints", "shaken.json", "test_exercises.py"}
        assert {"requirements.txt", "pyproject.toml", "LICENSE"} <= there
    code = "import mia_helpers.cache as c; print(c.cache_dir())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=made / "student", env={}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(made / "student" / ".cache"), "it keeps what it trains in a folder of its own"


def test_no_cell_of_a_students_edition_needs_a_name_that_was_in_a_solution(made):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--no-cache", "--select", "F821,F822,F823", "notebooks"],
        cwd=made / "student",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_blank_edition_has_no_outputs_and_nothing_to_compare(made):
    code = [cell for cell in cells(made / "blank") if cell.cell_type == "code"]
    assert len(code) > 500 and all(not cell.outputs and cell.execution_count is None for cell in code)
    assert not tagged(made / "blank", "nbval-check-output") and not tagged(made / "blank", "solution")
    assert len(tagged(made / "blank", "checkpoint")) > 100


def test_solutions_stand_alone_each_with_the_text_of_its_exercise(made):
    found = tagged(made / "solutions", "solution")
    assert [cell.source for cell in found] == [cell.source for cell in tagged(ROOT, "solution")]
    assert not any(cell.metadata.get("jupyter") for cell in found) and not stubs(made / "solutions")
    for name, notebook in notebooks(made / "solutions").items():
        if name == "glossary.ipynb":
            continue
        headings = [
            c.source.splitlines()[0] for c in notebook.cells if c.cell_type == "markdown" and c.source.startswith("#")
        ]
        numbers = [editions._exercise(c) for c in notebook.cells if c.cell_type == "code" and editions._exercise(c)]
        assert headings[0].startswith("# ") and headings[0].endswith(": solutions")
        assert [editions.EXERCISE.search(h)[1] for h in headings[1:]] == numbers
        assert numbers == [f"{int(name[:2])}.{i}" for i in range(1, len(numbers) + 1)]
    attack = "".join(cell.source for cell in notebooks(made / "solutions")["04_attack.ipynb"].cells)
    assert "def threshold_rule_solution(" in attack and "threshold_rule(" not in attack  # nobody's answer is used
    assert {path.name for path in (made / "solutions").iterdir()} == {"LICENSE", "conftest.py", "notebooks"}


# --------------------------------------------------------------------------------------------------------------- slides


def test_slides_follow_the_sections(made):
    for name, notebook in notebooks(made / "slides").items():
        kinds = {cell.id: cell.metadata.slideshow.slide_type for cell in notebook.cells}
        for cell in notebook.cells:
            depths = [len(m) for m in re.findall(r"^(#+) ", cell.source, re.M)] if cell.cell_type == "markdown" else []
            expected = ["slide"] if min(depths, default=9) < 3 else ["subslide"] if depths else ["subslide", "-"]
            if depths or cell.cell_type == "markdown":
                assert kinds[cell.id] in expected, cell.source[:60]
            else:
                assert kinds[cell.id] != "slide"
            tags = cell.metadata.get("tags", [])
            assert ("solution" in tags) == (kinds[cell.id] == "notes")
            assert "checkpoint" not in tags or kinds[cell.id] == "skip"
        if name != "glossary.ipynb":
            assert next(kinds[cell.id] for cell in notebook.cells if cell.cell_type == "code") == "skip", "the imports"


def test_what_follows_a_question_is_not_on_the_same_slide(made):
    questions = 0
    for notebook in notebooks(made / "slides").values():
        visible = [cell for cell in notebook.cells if cell.metadata.slideshow.slide_type not in ("skip", "notes")]
        for cell, after in zip(visible, visible[1:]):
            if cell.source.startswith(("predictions.predict(", "predictions.rank(", "predictions.tick(")):
                questions += 1
                assert after.metadata.slideshow.slide_type in ("slide", "subslide", "fragment"), after.source[:60]
    assert questions > 50


def test_nbconvert_makes_slides_that_ask_no_foreign_host(made):
    """With the edition's settings and local copies of what the page loads; by default it would load six."""
    folder = made / "slides" / "notebooks"
    config = Config(JSONFileConfigLoader("slides.json", str(folder)).load_config())
    config.SlidesExporter.extra_template_basedirs = [str(folder / "templates")]  # nbconvert is started in the folder
    config.SlidesExporter.update(
        {"reveal_url_prefix": "reveal.js", "require_js_url": "require.js", "mathjax_url": "mathjax/MathJax.js?config=x"}
    )
    notebook = nbformat.read(folder / "11_challenge.ipynb", as_version=4)
    page, _ = SlidesExporter(config=config).from_notebook_node(notebook)
    loaded = re.findall(r"<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=\"([^\"]+)\"", page)
    loaded += re.findall(r"@import[^;]*|\burl\([^)]*\)|\bimport\b[^;\n]*\bfrom\b[^;\n]*", page)
    assert not [what[:80] for what in loaded if "//" in what and "data:" not in what]
    assert "reveal.js/dist/reveal.css" in loaded and "reveal.js/dist/theme/white.css" in loaded
    kinds = [cell.metadata.slideshow.slide_type for cell in notebook.cells]
    assert len(re.findall(r"<section\b", page)) == 2 * kinds.count("slide") + kinds.count("subslide")
    original = nbformat.read(ROOT / "notebooks" / "11_challenge.ipynb", as_version=4)
    n_solutions = sum("solution" in cell.metadata.get("tags", ()) for cell in original.cells)
    assert page.count('<aside class="notes">') == kinds.count("notes") == n_solutions > 2
    assert "Checkpoint" not in page and "scores.index" not in page
    assert "11.noise" not in page, "the code of a question and of its answer is hidden"


# ----------------------------------------------------------------------------------------------------------------- pytest


def collected(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n", "0", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)


def test_pytest_in_a_students_edition_finds_its_notebooks(made):
    done = collected(made / "student")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {line.split("::")[0] for line in done.stdout.splitlines() if "::" in line} == {
        f"notebooks/{name}"
        for name in NAMES
        if name != "glossary.ipynb"  # which has no code
    }


def test_a_copy_inside_another_project_is_not_collected_there(made, tmp_path):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_one.py").write_text("def test_one(): ...\n")
    for place in (tmp_path / "copy", tmp_path / "tests" / "copy"):
        shutil.copytree(made / "student", place, ignore=shutil.ignore_patterns("mia_helpers", "0[2-9]*", "1*"))
    shutil.copytree(made / "solutions", tmp_path / "tests" / "solved")
    for arguments in ((), (".",)):
        done = collected(tmp_path, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        assert [line for line in done.stdout.splitlines() if "::" in line] == ["tests/test_one.py::test_one"]
    assert "01_theory.ipynb" in collected(tmp_path / "copy").stdout


# ----------------------------------------------------------------------------------------------------------- what is refused


def test_what_is_refused(tmp_path, made, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for arguments, message in (
        ([tmp_path / "new"], "which edition"),
        ([tmp_path / "new", "--solutions", "--student"], "goes with no other"),
        ([tmp_path / "full", "--student"], "not an empty folder"),
        ([tmp_path / "file", "--student"], "not an empty folder"),
        ([ROOT, "--student"], "inside the course"),
        ([ROOT / "notebooks" / "new", "--blank"], "inside the course"),
        ([ROOT / "tests" / ".." / "new", "--blank"], "inside the course"),
    ):
        assert editions.main([str(a) for a in arguments]) == 2
        assert message in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full"]
    assert (tmp_path / "full" / "mine.txt").read_text() == "mine" and not (ROOT / "new").exists()


def course_of(tmp_path: Path, monkeypatch, change) -> None:
    """A course whose notebook 01 was changed."""
    course = tmp_path / "course"
    (course / "notebooks").mkdir(parents=True)
    notebook = nbformat.read(ROOT / "notebooks" / "01_theory.ipynb", as_version=4)
    change(next(cell for cell in notebook.cells if editions._exercise(cell)))
    nbformat.write(notebook, course / "notebooks" / "01_theory.ipynb")
    nbformat.write(notebook, course / "notebooks" / "01_theory-Copy1.ipynb")
    monkeypatch.setattr(editions, "_course", lambda: course)
    monkeypatch.setattr(editions, "COPIED", ())
    monkeypatch.setattr(editions, "_for_students", lambda folder: None)


def test_an_exercise_that_was_answered_is_not_handed_out(tmp_path, monkeypatch):
    course_of(tmp_path, monkeypatch, lambda stub: stub.outputs[0].update(text="✓ exercise 1.1: done\n"))
    with pytest.raises(ValueError, match=r"in 01_theory exercise 1\.1 was answered \('✓ exercise 1\.1: done'\)"):
        editions.make(tmp_path / "out", student=True)
    assert [path.name for path in tmp_path.iterdir()] == ["course"], "nothing half-made is left"


def test_a_stub_without_output_gets_the_words_of_the_check_and_scratch_copies_stay_at_home(tmp_path, monkeypatch):
    course_of(tmp_path, monkeypatch, lambda stub: stub.update(outputs=[], execution_count=None))
    (tmp_path / "out").mkdir()
    assert editions.make(tmp_path / "out", student=True) == 1
    assert [path.name for path in (tmp_path / "out" / "notebooks").iterdir()] == ["01_theory.ipynb"]
    assert printed(stubs(tmp_path / "out")[0]) == "… exercise 1.1 not attempted yet\n"


def test_the_command_line_says_what_was_written(tmp_path, monkeypatch, capsys):
    course_of(tmp_path, monkeypatch, lambda stub: None)
    assert editions.main([str(tmp_path / "out"), "--student", "--blank"]) == 0
    assert capsys.readouterr().out == "wrote 1 notebooks (student, blank)\n"
    text = (tmp_path / "out" / "notebooks" / "01_theory.ipynb").read_text("utf-8")
    assert not any(cell.get("outputs") for cell in json.loads(text)["cells"])


def test_the_page_for_teachers_lists_every_exercise_and_notebooks_readme_and_page_state_the_same_minutes():
    page, readme = ((ROOT / name).read_text("utf-8") for name in ("TEACHING.md", "README.md"))
    minutes, numbers = {}, []
    for name in NAMES:
        cells = nbformat.read(ROOT / "notebooks" / name, as_version=4).cells
        texts = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        found = re.findall(r"^#+ Exercise (\d+\.\d+) .*\((\d+) minutes\)", texts, re.M)
        numbers += [number for number, _ in found]
        if found:
            reading, exercises = re.search(r"\*\*Time:\*\* (\d+) minutes of reading.*? (\d+) of exercises", texts).groups()
            assert int(exercises) == sum(int(m) for _, m in found), name
            minutes[name] = reading, exercises
    row = r"^\| \[.*?\]\(notebooks/(\d.*?)\) \| "
    assert {name: tuple(found) for name, *found in re.findall(row + r"(\d+)[^|]* \| (\d+) \|", page, re.M)} == minutes
    assert dict(re.findall(row + r"[^|]+ \| (\d+) min \|", readme, re.M)) == {
        name: found[0] for name, found in minutes.items()
    }
    rows = re.findall(r"^\| (\d+\.\d+(?:, \d+\.\d+)*) ", page, re.M)
    assert [number for row in rows for number in row.split(", ")] == numbers

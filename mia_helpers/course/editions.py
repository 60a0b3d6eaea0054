"""Copies of the whole course for a class: `python -m mia_helpers.course.editions OUT --student`, and other editions.

`--student`: without solutions. `--blank`: without outputs, to step through in front of a class. `--slides`: with slide
metadata, for `jupyter nbconvert --to slides`. These three go together in any choice. `--solutions`: the solutions alone,
each with the text of its exercise. Names stay as they are, so links hold; a copy runs as the course does.
"""

import argparse
import re
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from nbconvert.preprocessors import ClearOutputPreprocessor, Preprocessor, TagRemovePreprocessor
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_output

from mia_helpers.course.checks import NOT_YET

COPIED = (
    ".gitignore",
    "CITATION.cff",
    "LICENSE",
    "README.md",
    "TEACHING.md",
    "mia_helpers",
    "notebooks/conftest.py",
    "notebooks/key_result.png",
    "notebooks/game.png",
    "notebooks/report.png",
    "notebooks/ruff.toml",
    "pyproject.toml",
    "requirements.txt",
    "tests/refresh_notebooks.py",  # conftest.py needs it
    "tests/shaken.md",  # README links to it
)
NOTEBOOK = re.compile(r"(?:[0-9]{2}_[a-z_]+|glossary)\.ipynb")  # and no scratch copy that lies beside them
COMPARED = "nbval-check-output"
HEADING = re.compile(r"^(#{1,6}) ", re.M)
EXERCISE = re.compile(r"^#+ Exercise (\d+\.\d+)\b", re.M)
CHECK = re.compile(r"\bexercise_(\d+)_(\d+)\(")
GUARD = '''"""Pytest looks at this folder only when it is started for it; inside another project it is no test of that."""

from pathlib import Path


def pytest_ignore_collect(collection_path, config):
    return True if {here} else None
'''
LECTURE = {  # for `jupyter nbconvert --config slides.json --to slides …`, started in the folder of the notebooks
    "slides.json": """{
 "SlidesExporter": {
  "extra_template_basedirs": ["templates"], "template_name": "lecture", "reveal_theme": "white", "reveal_scroll": true,
  "reveal_width": "1280", "reveal_height": "800"
 },
 "TagRemovePreprocessor": {"enabled": true, "remove_input_tags": ["hide-input"]}
}
""",
    "templates/lecture/conf.json": '{"base_template": "reveal"}\n',
    "templates/lecture/index.html.j2": """{%- extends 'reveal/index.html.j2' -%}
{# the course needs neither, and the first has no setting that keeps it from being fetched #}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block html_head_js_jquery -%}{%- endblock -%}
{%- block html_head_css -%}<style>.reveal :is(h1, h2, h3, h4) { text-transform: none !important; }</style>{%- endblock -%}
""",
}


def make(out: Path, *, student: bool = False, blank: bool = False, slides: bool = False, solutions: bool = False) -> int:
    """Write an edition of the course into a new or empty folder; returns the number of notebooks in it.

    Raises:
        ValueError: no edition was named, `solutions` with another one, a folder inside the course, a package without the
            course around it, or, for students, a notebook in which an exercise was answered.
        FileExistsError: the folder is not empty, or no folder.
        OSError: it cannot be written.
    """
    if not (student or blank or slides or solutions):
        raise ValueError("which edition? --student, --blank, --slides or --solutions")
    if solutions and (student or blank or slides):
        raise ValueError("--solutions is an edition of its own, and goes with no other")
    course, out = _course(), Path(out).resolve()
    if out == course or course in out.parents:
        raise ValueError(f"{out} is inside the course; name a folder elsewhere")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} is there already, and not an empty folder")
    steps: list[Preprocessor] = [OnlySolutions()] if solutions else _steps(student, blank, slides)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:  # all of it, or nothing
        made = Path(temporary, "edition")
        (made / "notebooks").mkdir(parents=True)
        n = _write_notebooks(course / "notebooks", made / "notebooks", steps)
        here = "True" if solutions else "config.rootpath != Path(__file__).parent"
        (made / "conftest.py").write_text(GUARD.format(here=here), encoding="utf-8")
        for name in ("LICENSE",) if solutions else COPIED:
            _copy(course / name, made / name)
        if student:
            _for_students(made)
        for name, text in LECTURE.items() if slides else ():
            (made / "notebooks" / name).parent.mkdir(parents=True, exist_ok=True)
            (made / "notebooks" / name).write_text(text, encoding="utf-8")
        if out.exists():
            out.rmdir()  # it is empty
        made.rename(out)
    return n


def _course() -> Path:
    course = Path(__file__).resolve().parents[2]
    if not (course / "notebooks" / "01_theory.ipynb").is_file():
        raise ValueError(f"{course} is not the folder of the course; install it from there with `pip install -e .`")
    return course


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".*"))
    else:
        shutil.copy(source, target)


def _for_students(folder: Path) -> None:
    """Without what is written for teachers: a page, and the README's section that points to it."""
    (folder / "TEACHING.md").unlink()
    readme = folder / "README.md"
    parts = re.split(r"^(?=## )", readme.read_text(encoding="utf-8"), flags=re.M)
    readme.write_text("".join(p for p in parts if not p.startswith("## For teachers")), encoding="utf-8")


# -------------------------------------------------------------------------------------------------------- the notebooks


def _steps(student: bool, blank: bool, slides: bool) -> list[Preprocessor]:
    steps: list[Preprocessor] = [Slides()] if slides else []  # first: it looks at outputs
    if student:
        steps += [TagRemovePreprocessor(enabled=True, remove_cell_tags={"solution"}), NotAttempted(), NotRevealed()]
    if blank:
        steps += [ClearOutputPreprocessor(enabled=True), NotCompared()]
    return [*steps, Numbered()]


def _write_notebooks(source: Path, target: Path, steps: list[Preprocessor]) -> int:
    paths = [path for path in sorted(source.iterdir()) if NOTEBOOK.fullmatch(path.name)]
    for path in paths:
        notebook, resources = nbformat.read(path, as_version=4), {"metadata": {"name": path.stem}}
        for step in steps:
            if path.stem != "glossary" or not isinstance(step, OnlySolutions):
                notebook, resources = step.preprocess(notebook, resources)
        nbformat.validate(notebook)
        nbformat.write(notebook, target / path.name)
    return len(paths)


def _tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def _exercise(cell: NotebookNode) -> str | None:
    """The number of the exercise that a code cell checks, "4.1", if it does."""
    found = CHECK.search(cell.source) if cell.cell_type == "code" else None
    return f"{found[1]}.{found[2]}" if found else None


def _not_compared(cell: NotebookNode) -> NotebookNode:
    if COMPARED in _tags(cell):
        cell.metadata.tags = [tag for tag in cell.metadata.tags if tag != COMPARED]
    return cell


class NotAttempted(Preprocessor):
    """Stubs of exercises say that nothing was attempted; one that somebody has answered is refused."""

    def preprocess_cell(self, cell: NotebookNode, resources: dict, index: int) -> tuple[NotebookNode, dict]:
        """Put the words of the check under a stub.

        Raises:
            ValueError: the cell was run with an answer in it.
        """
        if (number := _exercise(cell)) is None:
            return cell, resources
        expected = NOT_YET.format(number)
        found = "".join(output.get("text", "") for output in cell.outputs).strip()
        if cell.outputs and found != expected:
            raise ValueError(
                f"in {resources['metadata']['name']} exercise {number} was answered ({found[:60]!r}); hand out a fresh copy"
            )
        cell.outputs = [new_output("stream", name="stdout", text=expected + "\n")]
        return cell, resources


class NotRevealed(Preprocessor):
    """What was predicted is answered when the reader runs the cell; code that does nothing else is collapsed."""

    def preprocess_cell(self, cell: NotebookNode, resources: dict, index: int) -> tuple[NotebookNode, dict]:
        """Take the output away, and with it what nbval would compare."""
        if cell.cell_type == "code" and (at := cell.source.find("predictions.reveal")) >= 0:
            cell.outputs = []
            if at == 0:
                cell.metadata["jupyter"] = {"source_hidden": True}
            cell = _not_compared(cell)
        return cell, resources


class NotCompared(Preprocessor):
    """Where outputs are gone, nbval runs the cells and compares nothing."""

    def preprocess_cell(self, cell: NotebookNode, resources: dict, index: int) -> tuple[NotebookNode, dict]:
        """Take the tag away."""
        return _not_compared(cell), resources


class Numbered(Preprocessor):
    """Code cells that have been executed are numbered from 1 without gaps."""

    def preprocess(self, notebook: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        """Number the cells, and their results with them."""
        executed = [cell for cell in notebook.cells if cell.get("execution_count")]
        for number, cell in enumerate(executed, start=1):
            cell.execution_count = number
            for output in cell.outputs:
                if "execution_count" in output:
                    output.execution_count = number
        return notebook, resources


class OnlySolutions(Preprocessor):
    """Of each exercise its text, what it shows before the stub, and the solution, which is not collapsed."""

    def preprocess(self, notebook: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        """Keep the title and the exercises."""
        title = notebook.cells[0].source.splitlines()[0]
        kept = [new_markdown_cell(f"{title}: solutions\n\nThey run in the notebook that they are from.", id="solutions")]
        for i, cell in enumerate(notebook.cells):
            if "solution" not in _tags(cell):
                continue
            number = _exercise(cell)
            start = max(k for k in range(i) if number in EXERCISE.findall(notebook.cells[k].source))
            text = notebook.cells[start].copy()
            text.source = text.source[next(m.start() for m in EXERCISE.finditer(text.source) if m[1] == number) :]
            cell.metadata.pop("jupyter", None)
            stub = next(k for k in range(start + 1, i + 1) if _exercise(notebook.cells[k]) == number)
            kept += [text, *notebook.cells[start + 1 : stub], cell]  # what follows the stub uses the reader's answer
        notebook.cells = kept
        return notebook, resources


class Slides(Preprocessor):
    """Slides from the sections, as a lecturer wants them.

    A slide for each title and section, a sub-slide for each smaller heading and exercise, and whenever the text goes on
    after something was shown. What follows a question is a sub-slide, too, so that the class answers first; the answer to it
    appears as a fragment. Imports, checkpoints, and sliders, which need a kernel, are skipped; solutions are speaker notes.
    The code of questions and answers is no lesson: it gets the tag `hide-input`.
    """

    def preprocess(self, notebook: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        """Give each cell its `slideshow` metadata."""
        shown, imported = False, False
        for cell in notebook.cells:
            kind = self._fixed(cell) or ("skip" if cell.cell_type == "code" and not imported else None)
            imported = imported or cell.cell_type == "code"
            if kind is None:
                caption = cell.source.startswith(("*Figure", "*Table"))
                kind = "subslide" if shown and not caption else "-"
                shown = bool(cell.get("outputs")) or (shown and caption)
            elif kind in ("slide", "subslide"):
                shown = False
            cell.metadata["slideshow"] = {"slide_type": kind}
            if cell.cell_type == "code" and cell.source.startswith("predictions."):
                cell.metadata["tags"] = [*_tags(cell), "hide-input"]
        return notebook, resources

    @staticmethod
    def _fixed(cell: NotebookNode) -> str | None:
        """What does not depend on the cells around it."""
        if cell.cell_type == "markdown":
            depth = min((len(marks) for marks in HEADING.findall(cell.source)), default=None)
            return None if depth is None else ("slide" if depth < 3 else "subslide")
        if "solution" in _tags(cell):
            return "notes"
        if {"checkpoint", "explore-star"} & {*_tags(cell)} or (not cell.outputs and cell.source.startswith("widgets.")):
            return "skip"
        return "fragment" if cell.source.startswith("predictions.reveal(") else None


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0: done, 2: refused, or it could not be written."""
    parser = argparse.ArgumentParser(prog="python -m mia_helpers.course.editions", description="Copies of the course.")
    parser.add_argument("out", type=Path, metavar="OUT", help="a new or empty folder outside the course")
    for name, what in (
        ("student", "without solutions, with all exercises not attempted"),
        ("blank", "without outputs"),
        ("slides", "with slide metadata, for jupyter nbconvert --to slides"),
        ("solutions", "the solutions alone, with the text of their exercises"),
    ):
        parser.add_argument(f"--{name}", action="store_true", help=what)
    given = vars(parser.parse_args(arguments))
    try:
        n = make(given.pop("out"), **given)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"wrote {n} notebooks ({', '.join(name for name, on in given.items() if on)})")
    return 0


if __name__ == "__main__":
    sys.exit(main())

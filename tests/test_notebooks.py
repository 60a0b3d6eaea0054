"""Hygiene of the notebooks: each rule is a function from a notebook to a list of complaints.

The rules are tried on a good notebook and on bad ones too, so that a rule that cannot fail is noticed.
"""

import ast
import copy
import importlib.util
import io
import json
import re
import subprocess
import sys
import tokenize
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
MAX_BYTES, MAX_CODE_LINES, MAX_ROWS, MAX_WIDTH, MAX_VERDICTS = 1_000_000, 12, 24, 100, 5
MAX_WORDS = {"05": 2500}  # of markdown; all others:
MAX_WORDS_ELSE = 3500
MIN_ALT, MAX_ALT = 60, 500  # characters of an alternative text

FIRST_AUTHORS = {  # arXiv id -> surname of the first author
    "1412.6980": "Kingma",
    "1607.00133": "Abadi",
    "1610.05820": "Shokri",
    "1702.05373": "Cohen",
    "1709.01604": "Yeom",
    "1711.05101": "Loshchilov",
    "1806.01246": "Salem",
    "1807.09173": "Truex",
    "1812.00910": "Nasr",
    "1909.10594": "Jia",
    "2003.10595": "Song",
    "2005.10881": "Jayaraman",
    "2005.13702": "Rezaei",
    "2007.14321": "Choquette-Choo",
    "2111.09679": "Ye",
    "2112.03570": "Carlini",
    "2305.08846": "Steinke",
    "2307.03694": "Bertran",
    "2312.03262": "Zarifzadeh",
    "2404.17399": "Aerni",
    "2406.16201": "Das",
    "2406.17975": "Meeus",
    "2409.19798": "Zhang",
    "2007.14191": "Papernot",
    "2011.11660": "Tramèr",
    "2207.05801": "Chen",
    "2007.15528": "Li",
}

_spec = importlib.util.spec_from_file_location("notebooks_conftest", ROOT / "notebooks" / "conftest.py")
_conftest = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_conftest)
stated_seconds = _conftest.stated_seconds

Rule = Callable[[NotebookNode, Path], list[str]]
RULES: list[Rule] = []


def rule(function: Rule) -> Rule:
    RULES.append(function)
    return function


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def markdown_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "markdown"]


def tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def output_text(cell: NotebookNode) -> str:
    """What the cell printed or displayed, as text."""
    return "".join(
        o.get("text", "") + "".join(v for k, v in o.get("data", {}).items() if k.startswith("text/")) for o in cell.outputs
    )


def label(cell: NotebookNode) -> str:
    first = next((line for line in cell.source.splitlines() if line.strip()), "(empty)")
    return f"cell {first[:60]!r}"


@rule
def name_is_numbered(notebook, path):
    return [] if re.fullmatch(r"\d\d_[a-z0-9_]+\.ipynb", path.name) else [f"{path.name}: want NN_lower_case.ipynb"]


@rule
def executed_in_order(notebook, path):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    problems = [] if counts == list(range(1, len(counts) + 1)) else [f"execution counts are {counts}"]
    return problems + [
        f"{label(cell)}: a result is numbered {o.execution_count}"
        for cell in code_cells(notebook)
        for o in cell.outputs
        if o.get("execution_count", cell.execution_count) != cell.execution_count
    ]


@rule
def kernel_is_python3(notebook, path):
    name = notebook.metadata.get("kernelspec", {}).get("name")
    return [] if name == "python3" else [f"kernel is {name!r}"]


@rule
def no_widget_state(notebook, path):
    problems = ["widget state in the metadata"] if "widgets" in notebook.metadata else []
    return problems + [
        f"{label(cell)}: stored widget view"
        for cell in code_cells(notebook)
        for o in cell.outputs
        if any("widget" in mime for mime in o.get("data", {}))
    ]


@rule
def no_session_metadata(notebook, path):
    return [
        f"{label(cell)}: metadata {sorted(cell.metadata)}"
        for cell in notebook.cells
        if not set(cell.metadata) <= {"tags", "jupyter", "alt"}
    ]


@rule
def no_stderr(notebook, path):
    return [
        f"{label(cell)}: stderr output" for cell in code_cells(notebook) for o in cell.outputs if o.get("name") == "stderr"
    ]


@rule
def no_errors(notebook, path):
    return [
        f"{label(cell)}: error output" for cell in code_cells(notebook) for o in cell.outputs if o.output_type == "error"
    ]


@rule
def no_svg(notebook, path):
    return [
        f"{label(cell)}: SVG output"
        for cell in code_cells(notebook)
        for o in cell.outputs
        if "image/svg+xml" in o.get("data", {}) or "<svg" in o.get("data", {}).get("text/html", "")
    ]


ABSOLUTE_PATH = re.compile(r"(?<![\w./:<~])/[A-Za-z][\w.-]*/[\w.-]+|\b[A-Z]:\\\w+|file://")


@rule
def no_absolute_paths(notebook, path):
    texts = [(cell, cell.source + (output_text(cell) if cell.cell_type == "code" else "")) for cell in notebook.cells]
    texts = [(cell, re.sub(r"data:image/png;base64,[\w+/=]+", "", text)) for cell, text in texts]
    return [f"{label(cell)}: absolute path {found[0]!r}" for cell, text in texts for found in ABSOLUTE_PATH.finditer(text)]


@rule
def no_memory_addresses(notebook, path):
    return [
        f"{label(cell)}: prints {found[0]}"
        for cell in code_cells(notebook)
        for found in re.finditer(r"\bat 0x[0-9a-fA-F]{6,}", output_text(cell))
    ]


@rule
def no_trailing_semicolons(notebook, path):
    return [
        f"{label(cell)}: {line.strip()!r}"
        for cell in code_cells(notebook)
        for line in cell.source.splitlines()
        if line.rstrip().endswith(";")
    ]


@rule
def file_is_small(notebook, path):
    size = len(json.dumps(notebook, ensure_ascii=False, indent=1).encode())
    return [] if size < MAX_BYTES else [f"{size:,} bytes"]


@rule
def has_outputs(notebook, path):
    mimes = {mime for cell in code_cells(notebook) for o in cell.outputs for mime in o.get("data", {})}
    return ([] if "image/png" in mimes else ["no figure"]) + (
        [] if any(output_text(cell) for cell in code_cells(notebook)) else ["no text output"]
    )


def said_in(source: str) -> list[str]:
    """What a cell prints, asks, reveals or checks in so many words: the literal pieces of its messages, in order.

    What stands in functions and under conditions is left out: it need not have been said.
    """
    found, waiting = [], list(ast.parse(source).body)
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda | ast.If | ast.IfExp):
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called == "print" or called.startswith("checks."):
                arguments = node.args
            elif called in ("predictions.predict", "predictions.rank", "predictions.tick", "predictions.reveal"):
                arguments = node.args[1:]
            else:
                continue
            for argument in arguments:
                pieces = argument.elts if isinstance(argument, ast.List | ast.Tuple) else [argument]
                pieces = [part for piece in pieces for part in getattr(piece, "values", [piece])]
                found += [part.value for part in pieces if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    return found


@rule
def outputs_are_of_the_code(notebook, path):
    """Whoever edits what a cell says, and does not run it again, leaves an output of other code."""
    problems = []
    for cell in code_cells(notebook):
        shown = " ".join(output_text(cell).split())
        said = [] if "solution" in tags(cell) else said_in(cell.source)  # of solutions no output is kept
        if missing := [piece for piece in said if " ".join(piece.split()) not in shown]:
            problems.append(f"{label(cell)}: does not show {missing[0]!r}; refresh the notebook")
    return problems


@rule
def figures_can_be_heard(notebook, path):
    """A text for each figure in the cell's metadata (`alt`), and on the figure itself; it says more than a title."""
    problems = []
    for cell in code_cells(notebook):
        figures = [o for o in cell.outputs if "image/png" in o.get("data", {})]
        texts = cell.metadata.get("alt", [])
        if len(texts) != len(figures):
            problems.append(f"{label(cell)}: {len(figures)} figures, {len(texts)} alternative texts")
        elif [o.get("metadata", {}).get("image/png", {}).get("alt") for o in figures] != texts:
            problems.append(f"{label(cell)}: the texts are not on the figures; refresh the notebook")
        problems += [f"{label(cell)}: {text!r} says too little" for text in texts if not MIN_ALT <= len(text) <= MAX_ALT]
    return problems


@rule
def opening_is_complete(notebook, path):
    if not notebook.cells or notebook.cells[0].cell_type != "markdown":
        return ["the first cell must be markdown"]
    opening = notebook.cells[0].source
    problems = [] if re.match(r"# \S", opening) else ["the first line must be the title, `# …`"]
    problems += [
        f"the opening lacks {words!r}"
        for words in ("You will be able to", "Needs", "Time")
        if not re.search(rf"\b{words}\b", opening)
    ]
    if stated_seconds(notebook) is None:
        problems.append("the Time line must say `about N s of compute on two CPU cores`")
    return problems


@rule
def has_a_checkpoint(notebook, path):
    found = any("checkpoint" in tags(cell) and "✓" in output_text(cell) for cell in code_cells(notebook))
    return [] if found else ["no cell tagged `checkpoint` prints a ✓"]


@rule
def verdicts_are_compared(notebook, path):
    return [
        f"{label(cell)}: prints a verdict, lacks the tag `nbval-check-output`"
        for cell in code_cells(notebook)
        if re.search(r"^[✓…✗]", output_text(cell), re.M) and COMPARED not in tags(cell)
    ]


COMPARED = "nbval-check-output"
HEADING = re.compile(r"^#+ ", re.M)


def sections(notebook):
    """Lists of cells, each from one heading, of whatever level, to the next."""
    parts = [[]]
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and HEADING.search(cell.source):
            parts.append([])
        parts[-1].append(cell)
    return parts


@rule
def checkpoints_are_quiet(notebook, path):
    """All claims of a section in one collapsed cell at its end, five sentences at most."""
    problems = []
    for section in sections(notebook):
        code = [cell for cell in section if cell.cell_type == "code"]
        checkpoints = [cell for cell in code if "checkpoint" in tags(cell)]
        if len(checkpoints) > 1:
            problems.append(f"{label(checkpoints[1])}: a second checkpoint in a section")
        for cell in checkpoints:
            if not cell.source.startswith("# Checkpoint\n") or not cell.metadata.get("jupyter", {}).get("source_hidden"):
                problems.append(f"{label(cell)}: a checkpoint starts with `# Checkpoint` and is collapsed (source_hidden)")
            if code[-1] is not cell:
                problems.append(f"{label(cell)}: a checkpoint is the last code cell of its section")
            if (n := len(output_text(cell).splitlines())) > MAX_VERDICTS:
                problems.append(f"{label(cell)}: {n} verdicts, want {MAX_VERDICTS} at most")
    return problems + [
        f"{label(cell)}: a claim outside a checkpoint"
        for cell in code_cells(notebook)
        if not {"checkpoint", "solution"} & set(tags(cell)) and re.search(r"\bchecks\.\w+\(", cell.source)
    ]


@rule
def verdicts_are_sentences(notebook, path):
    return [
        f"{label(cell)}: {line!r} is not what a reader would say"
        for cell in code_cells(notebook)
        for line in output_text(cell).splitlines()
        if line.startswith("✓") and (len(line.split()) < 5 or re.search(r"\[[-\d]|\d\.\d{4}|_", line))
    ]


@rule
def the_tick_is_explained(notebook, path):
    return [] if "✓" in "".join(cell.source for cell in markdown_cells(notebook)[:2]) else ["the opening does not explain ✓"]


@rule
def it_is_not_too_long(notebook, path):
    n, most = (
        sum(len(cell.source.split()) for cell in markdown_cells(notebook)),
        MAX_WORDS.get(path.name[:2], MAX_WORDS_ELSE),
    )
    return [f"{n} words of markdown, want {most} at most"] if n > most else []


def logical_lines(source):
    """Lines as Python counts them: in how many rows one is laid out is the formatter's business."""
    return sum(token.type == tokenize.NEWLINE for token in tokenize.generate_tokens(io.StringIO(source).readline))


@rule
def cells_are_small(notebook, path):
    problems = []
    for cell in code_cells(notebook):
        rows = [line for line in cell.source.splitlines() if line.strip() and not line.strip().startswith("#")]
        for n, what, most in ((logical_lines(cell.source), "lines of code", MAX_CODE_LINES), (len(rows), "rows", MAX_ROWS)):
            if n > most * (1 + ("checkpoint" in tags(cell))) and "solution" not in tags(cell):
                problems.append(f"{label(cell)}: {n} {what}, want {most} at most")
        problems += [
            f"{label(cell)}: {len(line)} characters in {line[:40]!r}…"
            for line in cell.source.splitlines()
            if len(line) > MAX_WIDTH
        ]
    return problems


@rule
def markdown_outweighs_code(notebook, path):
    prose, code = (
        sum(len(cell.source.split()) for cell in cells) for cells in (markdown_cells(notebook), code_cells(notebook))
    )
    return [] if prose > code else [f"{prose} words of markdown, {code} of code"]


@rule
def solutions_are_hidden(notebook, path):
    """Collapsed, and without output, which would give the answer away; that they pass is tested where they run."""
    problems = []
    for cell in code_cells(notebook):
        says_so = cell.source.startswith("# Solution\n")
        if says_so != ("solution" in tags(cell)):
            problems.append(f"{label(cell)}: a solution has the tag `solution` and starts with `# Solution`")
        if "solution" in tags(cell):
            if not cell.metadata.get("jupyter", {}).get("source_hidden"):
                problems.append(f"{label(cell)}: not collapsed (metadata.jupyter.source_hidden)")
            if cell.outputs:
                problems.append(f"{label(cell)}: a solution is shipped without output")
    return problems


def bound_names(source):
    """Names that a cell binds at its top level."""
    return {
        name
        for node in ast.parse(source).body
        for name in (
            [node.name]
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
            else [n.id for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name)]
            if isinstance(node, ast.Assign)
            else []
        )
    }


EXERCISE = re.compile(r"^#+ .*\bExercise (\d+\.\d+)\b(.*)$", re.M)


@rule
def exercises_are_complete(notebook, path):
    """Each heading `Exercise N.M` has minutes, a hint, a stub that is not attempted yet, a solution with other names."""
    starts = [
        (i, found)
        for i, cell in enumerate(notebook.cells)
        if cell.cell_type == "markdown"
        for found in EXERCISE.finditer(cell.source)
    ]
    problems = [] if 2 <= len(starts) <= 6 else [f"{len(starts)} exercises, want 2 to 6"]
    wanted = [f"{int(path.name[:2])}.{m}" for m in range(1, len(starts) + 1)] if path.name[:2].isdigit() else []
    if [found[1] for _, found in starts] != wanted:
        problems.append(f"exercises are numbered {[found[1] for _, found in starts]}, want {wanted}")
    for (start, found), (end, _) in zip(starts, starts[1:] + [(len(notebook.cells), None)]):
        cells, number = notebook.cells[start:end], found[1]
        text = "".join(cell.source for cell in cells if cell.cell_type == "markdown")
        code = [cell for cell in cells if cell.cell_type == "code"]
        check = f"exercise_{number.replace('.', '_')}("
        stubs = [k for k, cell in enumerate(code) if f"… exercise {number} not attempted yet" in output_text(cell)]
        solutions = [k for k, cell in enumerate(code) if "solution" in tags(cell) and check in cell.source]
        taken = {name for k in stubs for name in bound_names(code[k].source)} & {
            name for k in solutions for name in bound_names(code[k].source)
        }
        if not re.search(r"\d+ minutes", found[2]):
            problems.append(f"exercise {number}: the heading lacks its minutes")
        if "<details>" not in text:
            problems.append(f"exercise {number}: no hint in <details>")
        if not stubs:
            problems.append(f"exercise {number}: no stub cell prints 'not attempted yet'")
        if not solutions or (stubs and min(solutions) < min(stubs)):
            problems.append(f"exercise {number}: no solution cell after the stub calls {check}…)")
        if taken:
            problems.append(f"exercise {number}: the solution overwrites the reader's {', '.join(sorted(taken))}")
    return problems


@rule
def links_resolve(notebook, path):
    targets = [
        (cell, target.split("#")[0])
        for cell in markdown_cells(notebook)
        for target in re.findall(r"\]\(([^)\s]+)\)", cell.source)
        if not re.match(r"https?://|mailto:|#", target)
    ]
    return [f"{label(cell)}: {target} does not exist" for cell, target in targets if not (path.parent / target).exists()]


@rule
def sources_have_the_right_author(notebook, path):
    """The first author's surname stands before each arXiv id, after the id before it."""
    problems = []
    for cell in markdown_cells(notebook):
        end, before = 0, None
        for found in re.finditer(r"(?<![\d.])(\d{4}\.\d{4,5})(?![\d.]*\d)", cell.source):
            paper, text = found[1], cell.source[end : found.start()]
            end = found.end()
            if paper == before and re.fullmatch(r"[\])(\s]*https?://arxiv\.org/\w+/", text):
                continue  # `[arXiv:ID](https://arxiv.org/abs/ID)`
            before = paper
            author = FIRST_AUTHORS.get(paper)
            if author is None and (len(paper) == 10 or "arxiv" in text[-40:].lower()):
                problems.append(f"{label(cell)}: arXiv {paper} is not in the list of known papers (FIRST_AUTHORS)")
            elif author and not re.search(rf"\b{author}\b", text[-300:]):
                problems.append(f"{label(cell)}: arXiv {paper} is by {author} et al.; that name does not stand before it")
    return problems


@rule
def ruff_finds_nothing(notebook, path):
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "ruff",
            "check",
            "--quiet",
            "--no-cache",
            "--output-format",
            "concise",
            "--stdin-filename",
            f"notebooks/{path.name}",
            "-",
        ],
        cwd=ROOT,
        input=nbformat.writes(notebook),
        capture_output=True,
        text=True,
    )
    return [line for line in (result.stdout + result.stderr).splitlines() if line.strip()] if result.returncode else []


# ---------------------------------------------------------------------------------------------- the notebooks themselves


@pytest.mark.parametrize("check", RULES, ids=lambda check: check.__name__)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook(path, check):
    problems = check(nbformat.read(path, as_version=4), path)
    assert not problems, "\n".join([f"{path.name}:", *problems])


def test_notebooks_are_numbered_from_01_without_gaps():
    assert [path.name[:2] for path in NOTEBOOKS] == [f"{n:02d}" for n in range(1, len(NOTEBOOKS) + 1)]
    assert NOTEBOOKS


GLOSSARY = ROOT / "notebooks" / "glossary.ipynb"
LINK = re.compile(r"\[\*\*([^*\]]+)\*\*\]\(glossary\.ipynb#([^)]+)\)")


def test_each_term_of_the_glossary_is_linked_once_where_it_is_introduced():
    """And the other way round: no link leads nowhere, and an entry names the notebook that has its link."""
    linked = [
        (path.stem, found[2])
        for path in NOTEBOOKS
        for cell in markdown_cells(nbformat.read(path, as_version=4))
        for found in LINK.finditer(cell.source)
    ]
    entries = [cell.source for cell in nbformat.read(GLOSSARY, as_version=4).cells if cell.source.startswith("### ")]
    headings = [text.splitlines()[0][4:] for text in entries]
    where = [re.search(r"\(\[(\w+)\]\(\1\.ipynb\)\)$", text)[1] for text in entries]
    assert len(headings) > 50 and headings == sorted(headings, key=str.lower)
    assert sorted(linked) == sorted(zip(where, (heading.replace(" ", "-") for heading in headings)))


def test_no_term_stands_in_bold_before_its_link():
    """Bold marks the place where a term is introduced, so its first bold use is the one with the link."""
    entries = [cell.source for cell in nbformat.read(GLOSSARY, as_version=4).cells if cell.source.startswith("### ")]
    waiting, early = {text.splitlines()[0][4:].replace(" ", "-") for text in entries}, []
    for path in NOTEBOOKS:
        for cell in markdown_cells(nbformat.read(path, as_version=4)):
            for bold in re.finditer(r"\*\*([^*\n]+)\*\*(?:\]\(glossary\.ipynb#([^)]+)\))?", cell.source):
                if not bold[2] and bold[1].replace(" ", "-") in waiting:
                    early.append(f"{path.stem}: {bold[1]}")
                waiting.discard(bold[2])
    assert not early


# ----------------------------------------------------------------------------------------------------- the rules themselves

GOOD_PATH = ROOT / "notebooks" / "07_synthetic.ipynb"
OPENING = (
    "# A title\n\nA question. You will be able to\n\n- do this and that and more of it\n\n**Needs** nothing.\n\n"
    "**Time** 10 minutes to read, about 12 s of compute on two CPU cores. A ✓ says that a sentence held."
)


def stdout(text: str) -> NotebookNode:
    return new_output("stream", name="stdout", text=text)


ALT = "A line from 0 at the left to 1 at the right; both axes are plain numbers, and the line is straight all the way."


def picture() -> NotebookNode:
    data = {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure size 640x480 with 1 Axes>"}
    return new_output("display_data", data, metadata={"image/png": {"alt": ALT}})


def good() -> NotebookNode:
    """A notebook to which no rule objects: opening, figure, checkpoint, two exercises with solutions, sources."""
    cells = [
        new_markdown_cell(OPENING),
        new_code_cell(
            "import matplotlib.pyplot as plt\n\nfrom mia_helpers.course import checks\n"
            "from mia_helpers.course.exercises import theory as exercises"
        ),
        new_code_cell("_ = plt.plot([0, 1])\nplt.show()", outputs=[picture()], metadata={"alt": [ALT]}),
        new_code_cell(
            "# Checkpoint\nchecks.holds('all is as it was', True)",
            outputs=[stdout("✓ all is as it was\n")],
            metadata={"tags": ["checkpoint", COMPARED], "jupyter": {"source_hidden": True}},
        ),
    ]
    for number in ("7.1", "7.2"):
        cells += [
            new_markdown_cell(f"## Exercise {number}: add (5 minutes)\n\nAdd.\n\n<details>use plus</details>"),
            new_code_cell(
                f"def add(): ...\n\n\nexercises.exercise_{number.replace('.', '_')}(add)",
                outputs=[stdout(f"… exercise {number} not attempted yet\n")],
                metadata={"tags": [COMPARED]},
            ),
            new_code_cell(
                f"# Solution\ndef add_solution(): ...\n\n\nexercises.exercise_{number.replace('.', '_')}(add_solution)",
                metadata={"tags": ["solution"], "jupyter": {"source_hidden": True}},
            ),
        ]
    cells.append(
        new_markdown_cell(
            "Sources: Shokri et al. 2017 ([arXiv:1610.05820](https://arxiv.org/abs/1610.05820)) · Yeom et al. 2018 "
            "(1709.01604). See [the tests](../tests/test_notebooks.py#top) and [elsewhere](https://example.org/a/b), "
            "and/or scores of 0.1234. And a few more words, so that the markdown outweighs the code."
        )
    )
    for number, cell in enumerate((cell for cell in cells if cell.cell_type == "code"), start=1):
        cell.execution_count = number
    return new_notebook(
        cells=cells,
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python"},
        },
    )


def set_source(position: int, source: str) -> Callable[[NotebookNode], None]:
    return lambda notebook: notebook.cells[position].update(source=source)


def add_source(position: int, source: str) -> Callable[[NotebookNode], None]:
    return lambda notebook: notebook.cells[position].update(source=notebook.cells[position].source + source)


def replace(position: int, old: str, new: str) -> Callable[[NotebookNode], None]:
    def change(notebook):
        assert old in notebook.cells[position].source
        notebook.cells[position].source = notebook.cells[position].source.replace(old, new)

    return change


def set_outputs(position: int, *outputs: NotebookNode) -> Callable[[NotebookNode], None]:
    return lambda notebook: notebook.cells[position].update(outputs=list(outputs))


def display(mime: str, content: str = "x") -> NotebookNode:
    return new_output("display_data", {mime: content})


IMPORTS, FIGURE, CHECK, EXERCISE_CELL, STUB, SOLUTION, SOURCES = 1, 2, 3, 4, 5, 6, -1
BAD: list[tuple[Rule, Callable[[NotebookNode], object]]] = [
    (executed_in_order, lambda n: n.cells[FIGURE].update(execution_count=7)),
    (executed_in_order, lambda n: n.cells[FIGURE].update(execution_count=None)),
    (executed_in_order, set_outputs(CHECK, new_output("execute_result", {"text/plain": "1"}, execution_count=9))),
    (kernel_is_python3, lambda n: n.metadata.kernelspec.update(name="conda-env")),
    (kernel_is_python3, lambda n: n.metadata.pop("kernelspec")),
    (no_widget_state, lambda n: n.metadata.update(widgets={})),
    (no_widget_state, set_outputs(FIGURE, display("application/vnd.jupyter.widget-view+json"))),
    (no_session_metadata, lambda n: n.cells[FIGURE].metadata.update(execution={"iopub.execute_input": "2026-01-01"})),
    (no_stderr, set_outputs(FIGURE, new_output("stream", name="stderr", text="100%"))),
    (no_errors, set_outputs(FIGURE, new_output("error", ename="ValueError", evalue="", traceback=[]))),
    (no_svg, set_outputs(FIGURE, display("image/svg+xml"))),
    (no_svg, set_outputs(FIGURE, display("text/html", "<svg width='1'>"))),
    (no_absolute_paths, set_outputs(CHECK, stdout("saved to /home/me/x.png"))),
    (no_absolute_paths, add_source(FIGURE, "\nopen('/etc/passwd')")),
    (no_absolute_paths, add_source(SOURCES, r" See C:\Users\me.")),
    (no_memory_addresses, set_outputs(CHECK, stdout("<function f at 0x7f8a1c2b3d40>"))),
    (no_trailing_semicolons, add_source(FIGURE, ";")),
    (file_is_small, set_outputs(FIGURE, display("image/png", "A" * MAX_BYTES))),
    (has_outputs, set_outputs(FIGURE)),
    (has_outputs, lambda n: [cell.update(outputs=[display("image/png")]) for cell in code_cells(n)]),
    (figures_can_be_heard, lambda n: n.cells[FIGURE].metadata.pop("alt")),
    (figures_can_be_heard, lambda n: n.cells[FIGURE].outputs[0].metadata.clear()),
    (figures_can_be_heard, lambda n: n.cells[FIGURE].metadata.update(alt=[ALT.upper()])),
    (figures_can_be_heard, lambda n: n.cells[FIGURE].outputs.append(picture())),
    (figures_can_be_heard, lambda n: n.cells[CHECK].metadata.update(alt=[ALT])),
    (
        figures_can_be_heard,
        lambda n: n.cells[FIGURE].update(
            outputs=[new_output("display_data", {"image/png": "x"}, metadata={"image/png": {"alt": "A plot."}})],
            metadata={"alt": ["A plot."]},
        ),
    ),
    (outputs_are_of_the_code, replace(CHECK, "as it was", "as it is")),
    (outputs_are_of_the_code, add_source(FIGURE, "\nfor n in range(2):\n    print(f'{n} lines', n)")),
    (outputs_are_of_the_code, add_source(FIGURE, "\npredictions.predict('07.x', 'How many?', ('one', 'two'))")),
    (outputs_are_of_the_code, add_source(FIGURE, "\npredictions.reveal('07.x', 'one', 'Count them.')")),
    (opening_is_complete, replace(0, "# A title", "A title")),
    (opening_is_complete, replace(0, "You will be able to", "You will")),
    (opening_is_complete, replace(0, "Needs", "Wants")),
    (opening_is_complete, replace(0, "about 12 s of compute", "a few seconds of compute")),
    (opening_is_complete, lambda n: n.cells.pop(0)),
    (has_a_checkpoint, set_outputs(CHECK, stdout("0.71\n"))),
    (has_a_checkpoint, lambda n: n.cells[CHECK].metadata.tags.remove("checkpoint")),
    (verdicts_are_compared, lambda n: n.cells[STUB].metadata.pop("tags")),
    (verdicts_are_compared, lambda n: n.cells[CHECK].metadata.tags.remove(COMPARED)),
    (checkpoints_are_quiet, lambda n: n.cells.insert(FIGURE, copy.deepcopy(n.cells[CHECK]))),
    (checkpoints_are_quiet, lambda n: n.cells.insert(FIGURE, n.cells.pop(CHECK))),
    (checkpoints_are_quiet, lambda n: n.cells[CHECK].metadata.pop("jupyter")),
    (checkpoints_are_quiet, replace(CHECK, "# Checkpoint\n", "")),
    (checkpoints_are_quiet, set_outputs(CHECK, stdout("✓ this one is well\n" * (MAX_VERDICTS + 1)))),
    (checkpoints_are_quiet, lambda n: n.cells[CHECK].metadata.tags.remove("checkpoint")),
    (verdicts_are_sentences, set_outputs(CHECK, stdout("✓ all of it lies in [0.1, 0.2]\n"))),
    (verdicts_are_sentences, set_outputs(CHECK, stdout("✓ AUC of LiRA\n"))),
    (the_tick_is_explained, replace(0, "✓", "tick")),
    (it_is_not_too_long, add_source(SOURCES, " word" * MAX_WORDS_ELSE)),
    (cells_are_small, set_source(FIGURE, "x = 1\n" * (MAX_CODE_LINES + 1))),
    (cells_are_small, set_source(FIGURE, "x = [\n" + "    1,\n" * MAX_ROWS + "]")),
    (cells_are_small, set_source(FIGURE, f"x = {'1' * MAX_WIDTH}")),
    (markdown_outweighs_code, add_source(FIGURE, "\nx = 1" * 200)),
    (solutions_are_hidden, lambda n: n.cells[SOLUTION].metadata.pop("jupyter")),
    (solutions_are_hidden, lambda n: n.cells[SOLUTION].metadata.pop("tags")),
    (solutions_are_hidden, replace(SOLUTION, "# Solution", "# Sum")),
    (solutions_are_hidden, set_outputs(SOLUTION, stdout("✓ exercise 7.1: added"))),
    (exercises_are_complete, replace(SOLUTION, "def add_solution", "def add")),
    (exercises_are_complete, replace(SOLUTION, "exercise_7_1", "exercise_7_2")),
    (exercises_are_complete, set_outputs(STUB, stdout("✓ exercise 7.1: added"))),
    (exercises_are_complete, replace(EXERCISE_CELL, "<details>", "")),
    (exercises_are_complete, replace(EXERCISE_CELL, "5 minutes", "short")),
    (exercises_are_complete, replace(EXERCISE_CELL, "7.1", "7.3")),
    (exercises_are_complete, lambda n: n.cells.pop(SOLUTION)),
    (exercises_are_complete, lambda n: n.cells.insert(SOLUTION, n.cells.pop(STUB))),
    (exercises_are_complete, lambda n: [n.cells.pop(EXERCISE_CELL) for _ in range(3)]),
    (links_resolve, add_source(SOURCES, " [next](08_not_there.ipynb)")),
    (sources_have_the_right_author, replace(SOURCES, "Yeom", "Salem")),
    (sources_have_the_right_author, replace(SOURCES, "1709.01604", "1709.01605")),
    (sources_have_the_right_author, replace(SOURCES, "1709.01604", "1610.05820")),
    (ruff_finds_nothing, add_source(IMPORTS, "\nimport os")),
    (ruff_finds_nothing, add_source(FIGURE, "\nprint(undefined_name)")),
]


@pytest.mark.parametrize("check", RULES, ids=lambda check: check.__name__)
def test_rule_accepts_a_good_notebook(check):
    notebook = good()
    nbformat.validate(notebook)
    assert check(notebook, GOOD_PATH) == []


@pytest.mark.parametrize(("check", "spoil"), BAD, ids=[f"{check.__name__}-{i}" for i, (check, _) in enumerate(BAD)])
def test_rule_catches_a_bad_notebook(check, spoil):
    notebook = copy.deepcopy(good())
    spoil(notebook)
    assert check(notebook, GOOD_PATH)


def test_names_must_be_numbered():
    for name in ("theory.ipynb", "1_theory.ipynb", "01-theory.ipynb", "01_Theory.ipynb"):
        assert name_is_numbered(good(), Path(name))


def test_every_rule_can_fail():
    assert {check for check, _ in BAD} | {name_is_numbered} == set(RULES)

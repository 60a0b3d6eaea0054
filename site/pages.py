"""What the site does to its pages beyond Sphinx and MyST-NB. A Sphinx extension, listed in `conf.py`."""

import hashlib
import json
import re
import shutil
from binascii import a2b_base64
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path

import explorables
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util import logging

log = logging.getLogger(__name__)

CONTENTS = """
```{toctree}
:hidden:
:glob:
:caption: The course
notebooks/0[1-5]_*
```
```{toctree}
:hidden:
:glob:
:caption: Further
notebooks/0[6-9]_*
notebooks/1*
```
```{toctree}
:hidden:
:glob:
:caption: To look up
notebooks/glossary
site/bibliography
*
tests/shaken
mia_helpers/assets/ASSETS
```
"""

FONTS = "output/chtml/fonts/woff-v2"  # where MathJax looks for them, beside itself
ARXIV = re.compile(r"https://arxiv\.org/abs/(\d{4}\.\d{4,5})")
COLLAPSED = {"solution": "Solution", "checkpoint": "Checkpoint: what is checked, and its bands"}  # tag: what the bar says


def anchor(heading: str) -> str:
    """Anchor of a heading as in JupyterLab, so that a link between notebooks leads to the same place on the site."""
    return heading.replace(" ", "-")


def add_contents(app: Sphinx, docname: str, source: list[str]) -> None:
    """The README is the front page, and holds the table of contents."""
    if docname == app.config.root_doc == "README":
        source[0] += CONTENTS


def add_uses(app: Sphinx, docname: str, source: list[str]) -> None:
    """The bibliography says in which notebooks a paper is used; each paper is in it, and each in it is used."""
    if docname != "site/bibliography":
        return
    users = defaultdict(list)  # arXiv id -> names of notebooks
    for path in sorted(Path(app.srcdir, "notebooks").glob("*.ipynb")):
        app.env.note_dependency(str(path))
        for paper in set(ARXIV.findall(path.read_text("utf-8"))):
            users[paper].append(path.name)
    lines = source[0].splitlines()
    for i, line in enumerate(lines):
        for paper in ARXIV.findall(line):
            links = [f"[{name[:2]}](../notebooks/{name})" for name in users.pop(paper, [])]
            if not links:
                log.warning("no notebook uses arXiv %s", paper, location=docname, type="course", subtype="bibliography")
            lines[i] += f" In {', '.join(links)}."
    for paper, names in users.items():
        log.warning("arXiv %s of %s is missing", paper, names, location=docname, type="course", subtype="bibliography")
    source[0] = "\n".join(lines)


def collapse(app: Sphinx, doctree: nodes.document) -> None:
    """The source of solutions and checkpoints is a drop-down."""
    for cell in doctree.findall(nodes.container):
        for tag, words in COLLAPSED.items():
            if f"tag_{tag}" in cell["classes"]:
                cell["hide_mode"] = "input"
                cell["prompt_show"] = cell["prompt_hide"] = words


def explore(app: Sphinx, doctree: nodes.document) -> None:
    """Below a cell tagged `explore-star` or `explore-threshold` stands what can be moved without a kernel."""
    for cell in list(doctree.findall(nodes.container)):
        for name in ("star", "threshold"):
            if f"tag_explore-{name}" in cell["classes"]:
                for output in [n for n in cell.findall(nodes.container) if "cell_output" in n["classes"]]:
                    output.parent.remove(output)  # the words that stand for it elsewhere
                notebook = json.loads(Path(app.env.doc2path(app.env.docname)).read_text("utf-8"))
                cell.parent.insert(
                    cell.parent.index(cell) + 1, nodes.raw("", explorables.html(name, notebook), format="html")
                )
                for path in explorables.SOURCES:
                    app.env.note_dependency(str(path))


def name_by_what_is_seen(app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document | None) -> None:
    """A drop-down is named by the words on its bar, for those who hear the page, too."""
    context["body"] = context.get("body", "").replace('<summary aria-label="Toggle hidden content">', "<summary>")


def described(notebook: dict) -> dict[str, str]:
    """SHA-256 of each picture in the outputs that has an alternative text -> that text.

    Figures carry it in `output.metadata["image/png"]["alt"]`; MyST-NB reads only their size there, and names the file of a
    picture by its hash.
    """
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    texts = {}
    for output in outputs:
        for kind, about in output.get("metadata", {}).items():
            if isinstance(about, dict) and about.get("alt") and kind in output.get("data", {}):
                content = "".join(output["data"][kind])
                texts[hashlib.sha256(a2b_base64(content)).hexdigest()] = about["alt"]
    return texts


def describe(app: Sphinx, doctree: nodes.document) -> None:
    """Put the alternative texts of figures onto the images; with `require_alt_text` warn where there is none."""
    path = Path(app.env.doc2path(app.env.docname))
    texts = described(json.loads(path.read_text("utf-8"))) if path.suffix == ".ipynb" else {}
    for image in doctree.findall(nodes.image):
        text = texts.get(Path(image["uri"]).stem) or image.get("alt")
        if not text and app.config.require_alt_text:
            log.warning("an image has no alternative text", location=image, type="course", subtype="alt")
        image["alt"] = text or "a figure without a description"


def add_mathjax(app: Sphinx) -> None:
    """MathJax and its fonts come from an installed package, so that no page asks another host for them."""
    found = find_spec("mathjax")
    if found is None or found.origin is None:
        raise ExtensionError('the site needs MathJax: pip install -e ".[site]"')
    package = Path(found.origin).parent / "static" / "mathjax" / "es5"
    target = Path(app.outdir, "_static", "mathjax")
    shutil.copytree(package / FONTS, target / FONTS, dirs_exist_ok=True)
    shutil.copy(package / app.config.mathjax_path.split("/")[-1], target)


def add_index(app: Sphinx, error: Exception | None) -> None:
    """Whoever opens the folder gets the front page."""
    if error is None and app.builder.format == "html":
        shutil.copy(Path(app.outdir, f"{app.config.root_doc}.html"), Path(app.outdir, "index.html"))


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_config_value("require_alt_text", False, "env", bool)
    app.connect("builder-inited", add_mathjax)
    app.connect("source-read", add_contents)
    app.connect("source-read", add_uses)
    app.connect("doctree-read", collapse)
    app.connect("doctree-read", describe)
    app.connect("doctree-read", explore)
    app.connect("html-page-context", name_by_what_is_seen)
    app.connect("build-finished", add_index)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

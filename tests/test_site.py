"""The site, built once from the notebooks as they are: every page, link, drop-down and picture, then in a browser.

Skipped where `pip install -e ".[site]"` has not been run; what needs a browser, also without one.
"""

import base64
import functools
import http.server
import importlib
import json
import re
import subprocess
import sys
import threading
import zlib
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

for _needed in ("sphinx", "myst_nb", "sphinx_book_theme", "mathjax"):
    pytest.importorskip(_needed, reason='the site needs: pip install -e ".[site]"', exc_type=ImportError)
from bs4 import BeautifulSoup  # noqa: E402 (comes with the theme)

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ORDER = ["README", *(f"notebooks/{p.stem}" for p in NOTEBOOKS), "site/bibliography"]  # then what stands behind the course
EXPLORED = {"star": "01_theory", "threshold": "04_attack"}  # what can be moved: in which notebook
NOT_PAGES = {"index", "search", "genindex"}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def build(sources: Path, out: Path, *settings: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", ROOT / "site", *settings, sources, out]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("built") / "site"
    done = build(ROOT, out)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def pages(site) -> dict[str, BeautifulSoup]:
    """Name of each page, without its ending -> the page."""
    files = {path.relative_to(site).with_suffix("").as_posix(): path for path in sorted(site.rglob("*.html"))}
    return {n: BeautifulSoup(p.read_text("utf-8"), "html.parser") for n, p in files.items() if not n.startswith("_")}


def follow(pages, start: str, direction: str) -> list[str]:
    """Names of the pages that one sees by pressing `next` (`prev`) again and again."""
    seen = [start]
    while (link := pages[seen[-1]].select_one(f"a.{direction}-page, a.{direction}")) is not None:
        seen.append(urljoin(seen[-1] + ".html", link["href"]).split("#")[0].removesuffix(".html"))
        assert len(seen) <= len(pages), seen
    return seen


def test_next_and_previous_walk_through_all_pages_the_notebooks_first(pages):
    there = follow(pages, "README", "right-next")
    assert there[: len(ORDER)] == ORDER
    assert sorted(there) == sorted(set(pages) - NOT_PAGES)
    assert follow(pages, there[-1], "left-prev") == there[::-1]


def test_every_page_is_in_the_contents_and_has_a_field_to_search(pages):
    for name, page in pages.items():
        here = {urljoin(name + ".html", a["href"]) for a in page.select(".bd-sidebar-primary nav a[href]")}
        here |= {name + ".html"}
        assert {f"{n}.html" for n in ORDER[1:]} <= here, name
        assert page.select_one(".bd-sidebar-primary .search-button__button"), name


def test_every_link_within_the_site_leads_somewhere(site, pages):
    anchors = {name: {tag["id"] for tag in page.find_all(id=True)} for name, page in pages.items()}
    broken, anchored = [], 0
    for name, page in pages.items():
        for tag, attribute in ((t, a) for t in page.find_all(True) for a in ("href", "src") if t.get(a)):
            url = urlsplit(urljoin(f"{name}.html", tag[attribute]))
            if url.scheme or tag[attribute] == "#":
                continue
            target = url.path.removesuffix(".html")
            if not (site / unquote(url.path)).is_file() or (url.fragment and unquote(url.fragment) not in anchors[target]):
                broken.append((name, tag[attribute]))
            anchored += bool(url.fragment and target == "notebooks/glossary" != name)
    assert not broken
    assert anchored >= 50  # the glossary's links are links


def test_solutions_and_the_source_of_checkpoints_are_shut_drop_downs(pages):
    for path in NOTEBOOKS:
        page = pages[f"notebooks/{path.stem}"]
        cells = [c for c in nbformat.read(path, 4).cells if {"solution", "checkpoint"} & {*c.metadata.get("tags", [])}]
        shown = page.select(".cell.tag_solution, .cell.tag_checkpoint")
        assert len(shown) == len(cells)
        for cell, source in zip(shown, cells, strict=True):
            (drop_down,) = cell.select(":scope > details.hide")
            assert not drop_down.has_attr("open") and cell.select_one(".cell_input") in drop_down.find_all("div")
            assert drop_down.select_one("summary p").text.startswith(source.source.splitlines()[0].removeprefix("# "))
            assert not drop_down.select(".cell_output"), "what a checkpoint said is seen"


def test_the_index_finds_rmia(site):
    index = json.loads((site / "searchindex.js").read_text("utf-8").removeprefix("Search.setIndex(").rstrip(");\n"))
    found = [index[part].get("rmia", []) for part in ("terms", "titleterms")]
    names = {index["docnames"][i] for which in found for i in (which if isinstance(which, list) else [which])}
    assert {"notebooks/06_many_shadows", "notebooks/10_audit_your_model"} <= names


def test_no_page_loads_anything_from_another_host(site, pages):
    loaded = [
        (name, url)
        for name, page in pages.items()
        for tag in page.find_all(["script", "link", "img", "source", "iframe", "video", "audio", "object", "embed", "use"])
        for url in (tag.get(a, "") for a in ("src", "href", "srcset", "data"))
        if urlsplit(url).netloc
    ]
    styles = [*site.rglob("*.css")] + [*site.rglob("*.html")]
    asked = [
        (p.name, m) for p in styles for m in re.findall(r"(?:@import|url\()[\s\"']*(?:https?:)?//\S+", p.read_text("utf-8"))
    ]
    assert not loaded and not asked


def test_pictures_of_notebooks_carry_the_alternative_texts_that_they_came_with(pages):
    for path in NOTEBOOKS:
        images = pages[f"notebooks/{path.stem}"].select(".cell_output img")
        outputs = [
            o for cell in nbformat.read(path, 4).cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {})
        ]
        texts = [o.metadata.get("image/png", {}).get("alt") for o in outputs]
        assert len(images) >= len(texts)
        assert [i["alt"] for i in images if i["alt"] in texts] == [text for text in texts if text]


def tiny(folder: Path, *, alt: str | None = "a blue dot", text: str = "", more: str = "") -> Path:
    """A folder with a front page and one notebook that shows a picture."""
    (folder / "notebooks").mkdir(parents=True)
    front = f"# Front\n\n[01](notebooks/01_tiny.ipynb#Blue-dots)\n\n```{{toctree}}\nnotebooks/01_tiny\n{more}\n```\n"
    (folder / "front.md").write_text(front, "utf-8")
    metadata = {"image/png": {"alt": alt}} if alt else {}
    shown = new_output("display_data", data={"image/png": PIXEL, "text/plain": "<Figure>"}, metadata=metadata)
    cells = [new_markdown_cell(f"# 01\n\n## Blue dots\n\n{text}"), new_code_cell("plot()", outputs=[shown])]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=cells, metadata=kernel), folder / "notebooks" / "01_tiny.ipynb")
    return folder


def build_tiny(folder: Path, *settings: str) -> subprocess.CompletedProcess:
    return build(folder, folder / "built" / "site", "-D", "root_doc=front", *settings)


def test_a_figure_without_an_alternative_text_stops_the_build_where_one_is_required(tmp_path):
    done = build_tiny(tiny(tmp_path / "without", alt=None))
    assert done.returncode != 0 and "01_tiny.ipynb" in done.stderr and "an image has no alternative text" in done.stderr
    done = build_tiny(tmp_path / "without", "-E", "-D", "require_alt_text=0")
    assert done.returncode == 0, done.stderr
    done = build_tiny(tiny(tmp_path / "with"))
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "with" / "built" / "site" / "notebooks" / "01_tiny.html").read_text("utf-8")
    assert [image["alt"] for image in BeautifulSoup(page, "html.parser").select(".cell_output img")] == ["a blue dot"]


@pytest.mark.parametrize("link", ["02_missing.ipynb", "01_tiny.ipynb#Red-dots", "../mia_helpers/missing.py"])
def test_a_broken_link_stops_the_build(tmp_path, link):
    done = build_tiny(tiny(tmp_path, text=f"[there]({link})"))
    assert done.returncode != 0 and "01_tiny.ipynb" in done.stderr and "[myst." in done.stderr


def test_a_paper_that_the_bibliography_lacks_stops_the_build(tmp_path):
    cited = "[arXiv 1234.56789](https://arxiv.org/abs/1234.56789)"
    (tiny(tmp_path, text=cited, more="site/bibliography") / "site").mkdir()
    listed = "# Bibliography\n\n- One, [arXiv {0}](https://arxiv.org/abs/{0}).\n"
    (tmp_path / "site" / "bibliography.md").write_text(listed.format("1234.56780"), "utf-8")
    done = build_tiny(tmp_path)
    assert done.returncode != 0
    assert "no notebook uses arXiv 1234.56780" in done.stderr and "arXiv 1234.56789 of ['01_tiny.ipynb']" in done.stderr
    (tmp_path / "site" / "bibliography.md").write_text(listed.format("1234.56789"), "utf-8")
    done = build_tiny(tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def served(site):
    """The site's address on this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_no_page_scrolls_sideways_complains_or_asks_another_host(open_page, served, pages):
    tab, complaints = open_page(served)
    for name in sorted(set(pages) - {"index"}):
        tab.goto(f"{served}{name}.html")
        for width in (1280, 390):
            tab.set_viewport_size({"width": width, "height": 900})
            wide = tab.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{name} is {wide} pixels wide"
        assert not complaints, (name, complaints)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_formulae_are_set_and_a_solution_opens_when_it_is_pressed(open_page, served, scheme):
    tab, complaints = open_page(served, scheme=scheme)
    tab.goto(f"{served}notebooks/06_many_shadows.html")
    assert tab.evaluate("document.documentElement.dataset.theme") == scheme
    tab.wait_for_selector("mjx-container mjx-math")
    source = tab.locator(".tag_solution .cell_input").first
    assert not source.is_visible()
    tab.locator(".tag_solution summary").first.click()
    assert source.is_visible()
    assert not complaints


# ------------------------------------------------------------------------------------- what can be moved without a kernel


@pytest.fixture(scope="module")
def explorables():
    """The module of the site that makes them."""
    sys.path.insert(0, str(ROOT / "site"))
    try:
        return importlib.import_module("explorables")
    finally:
        sys.path.remove(str(ROOT / "site"))


def read(notebook: str) -> dict:
    return json.loads((ROOT / "notebooks" / f"{notebook}.ipynb").read_text("utf-8"))


def test_the_threshold_is_of_the_run_that_the_notebook_shows(explorables):
    kept = json.loads(explorables.THRESHOLD.read_text("utf-8"))
    assert kept["of"] == explorables.stands_for(read("04_attack")), "stale: python site/explorables.py"
    for name, shares in kept["shown"]["shares"].items():
        assert sum(shares) == pytest.approx(100, abs=0.01)
        called = [stop["called"][name] for stop in kept["shown"]["stops"]]
        assert called == sorted(called, reverse=True) and 0 <= called[-1] <= called[0] <= 1
        above = {0.8: 20}  # thresholds that are edges of bins: from this bin on
        for stop in kept["shown"]["stops"]:
            if stop["threshold"] in above:
                assert 100 * stop["called"][name] == pytest.approx(sum(shares[above[stop["threshold"]] :]), abs=0.01)


@pytest.mark.parametrize("change", ["a figure", "the stops"])
def test_the_threshold_is_stale_when_the_notebook_changes(explorables, change):
    notebook = read("04_attack")
    before = explorables.stands_for(notebook)
    if change == "a figure":
        _, outputs = explorables.cell_with(notebook, "for value in (0.5, 0.9, 0.999)")
        outputs[0]["data"]["image/png"] = PIXEL
    else:
        (cell,) = [c for c in notebook["cells"] if "widgets.stops(plot_threshold" in "".join(c["source"])]
        cell["source"] = "".join(cell["source"]).replace("0.9999,", "")
    assert explorables.stands_for(notebook) != before


def test_the_star_s_places_hold_what_models_trained_there_say(explorables):
    made = explorables.star(read("01_theory"))
    assert len(made["places"]) == 81 and made["start"] in [place["at"] for place in made["places"]]
    steps = zlib.decompress(base64.b64decode(made["maps"]))
    half, n = len(steps) // 2, 3600
    numbers = [low + 256 * high - 65_536 * (high > 127) for low, high in zip(steps[:half], steps[half:])]
    assert len(numbers) == 82 * n
    names = explorables.defined(read("01_theory"), explorables.FIRST_OF_01)
    without, k = np.cumsum(numbers[:n]), 17
    x, y = made["places"][k]["at"]
    model = names["train_with_star"](x, y)
    grid = [(a, b) for b in np.linspace(-3.5, 3.5, 60) for a in np.linspace(-3.5, 3.5, 60)]
    there = (without + np.cumsum(numbers[(k + 1) * n : (k + 2) * n])) / made["most"]
    np.testing.assert_allclose(there, model.predict_proba(grid)[:, 1], atol=0.6 / made["most"])
    np.testing.assert_allclose(
        without / made["most"], names["without_star"].predict_proba(grid)[:, 1], atol=0.6 / made["most"]
    )
    assert made["places"][k]["with"] == pytest.approx(model.predict_proba([(x, y)])[0, 1], abs=1e-4)


@pytest.mark.parametrize(("name", "notebook"), EXPLORED.items())
@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (390, "light")])
def test_what_can_be_moved_answers_the_keyboard(open_page, served, name, notebook, width, scheme):
    tab, complaints = open_page(served, width=width, scheme=scheme)
    tab.goto(f"{served}notebooks/{notebook}.html")
    root, says = (tab.locator(f"#explore-{name}{part}") for part in ("", " [role=status]"))
    says.filter(has_text=re.compile(r"\d")).wait_for()
    words, picture = says.inner_text(), "name => document.querySelector(`#explore-${name} canvas`)?.toDataURL()"
    seen = tab.evaluate(picture, name), root.locator("figcaption").all_inner_texts()
    root.locator("[tabindex='0'], input").first.focus()
    for _ in range(2):
        tab.keyboard.press("ArrowLeft")
    assert says.inner_text() != words
    assert (tab.evaluate(picture, name), root.locator("figcaption").all_inner_texts()) != seen
    assert tab.evaluate("document.documentElement.scrollWidth") <= width and not complaints


@pytest.mark.parametrize("notebook", EXPLORED.values())
def test_a_page_with_something_to_move_stays_light(site, notebook):
    assert (site / "notebooks" / f"{notebook}.html").stat().st_size < 500_000


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index", "notebooks/01_theory", "notebooks/04_attack", "notebooks/glossary"])
def test_axe_finds_nothing_grave(open_page, served, faults_of_access, name, scheme):
    tab, _ = open_page(served, scheme=scheme)  # axe-core asks for style sheets where there are none: not the page
    tab.goto(f"{served}{name}.html")
    assert faults_of_access(tab, "html") == []


@pytest.mark.parametrize(("start", "end", "faults"), [("#ccc", "black", 0), ("black", "#ccc", 1)])
def test_a_colour_on_its_way_is_judged_by_where_it_ends(open_page, faults_of_access, start, end, faults):
    tab, _ = open_page("about:blank")
    tab.set_content(f"<html lang='en'><p style='background: white; color: {start}; transition: color 9999s'>Search</p>")
    tab.evaluate(f"p = document.querySelector('p'); getComputedStyle(p).color; p.style.color = '{end}'")
    assert len(tab.evaluate("document.getAnimations()")) == 1
    assert len([fault for fault in faults_of_access(tab, "p") if "color-contrast" in fault]) == faults


@pytest.mark.parametrize("width", [1280, 390])
def test_a_search_for_rmia_finds_its_notebook(open_page, served, width):
    tab, complaints = open_page(served, width=width)
    tab.goto(f"{served}index.html")
    tab.locator(".search-button__button:visible").first.click()
    tab.keyboard.type("RMIA")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#search-results li a[href*='06_many_shadows']")
    tab.wait_for_selector(".search-summary:has-text('found')")  # it has come to its end
    assert not complaints

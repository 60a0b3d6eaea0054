"""The course in the program that it is made for: JupyterLab, driven by mouse and keyboard."""

import json
import re
import sys

import pytest

DIGEST = """async image => {
  const png = await (await fetch(image.src)).arrayBuffer();
  return [...new Uint8Array(await crypto.subtle.digest("SHA-1", png))].join();
}"""


class Slider:
    """A slider of ours in an output of `cell`."""

    def __init__(self, cell, number: int = 0) -> None:
        self.range, self.readout = (
            cell.locator(".mia-slider input").nth(number),
            cell.locator(".mia-slider output").nth(number),
        )
        self.image, self.said, self.error = (cell.locator(f".mia-{what}") for what in ("figures img", "said", "error"))

    def drawn(self, text: str) -> str:
        """Wait until the figure of this place is there; returns a digest of it."""
        self.range.page.wait_for_function(
            "([readout, text]) => readout.textContent === text", arg=[self.readout.element_handle(), text]
        )
        assert self.range.get_attribute("aria-valuetext") == text
        self.image.evaluate("image => image.decode()")
        return self.image.evaluate(DIGEST)

    def click_at(self, share: float) -> None:
        box = self.range.bounding_box()
        self.range.click(position={"x": box["width"] * share, "y": box["height"] / 2})


@pytest.fixture(scope="module")
def training(lab, open_page):
    """Notebook 02, opened and not run."""
    return lab.open(open_page, "02_target_training.ipynb")


@pytest.fixture(scope="module")
def theory(lab, open_page, training):
    """Notebook 01 after Run All; 02 is run meanwhile, on the other core."""
    training.start_all()
    book = lab.open(open_page, "01_theory.ipynb")
    book.run_all()
    return book


def finished(book) -> None:
    """The notebook has run to its end, every cell of it."""
    assert not book.errors() and not book.complaints
    cells = [cell for cell in book.save()["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert "error" not in {output["output_type"] for cell in cells for output in cell["outputs"]}


def test_a_notebook_that_is_merely_opened_has_no_changes_to_be_saved(training):
    shipped = json.loads(training.path.read_text("utf-8"))
    same = shipped["metadata"]["language_info"]["version"] == ".".join(map(str, sys.version_info[:3]))
    assert not (same and training.dirty())
    saved = training.save()
    for notebook in (saved, shipped):  # the reader's Python may be another, and JupyterLab notes which it is
        del notebook["metadata"]["language_info"]["version"]
    assert saved == shipped


def test_solutions_are_shut_and_have_no_output(training):
    cells = json.loads(training.path.read_text("utf-8"))["cells"]
    solutions = [i for i, cell in enumerate(cells) if "solution" in cell["metadata"].get("tags", [])]
    assert solutions and training.tab.locator(".jp-Notebook-cell").count() == len(cells)
    for i in solutions:
        cell = training.tab.locator(".jp-Notebook-cell").nth(i)
        assert cell.locator(".jp-InputPlaceholder").inner_text().startswith("# Solution")
        assert not cell.locator(".cm-content").is_visible() and cell.locator(".jp-OutputArea-output").count() == 0


def test_the_contents_panel_shows_sections_and_exercises(training):
    training.menu("View", "Table of Contents")
    items = training.tab.locator(".jp-TableOfContents-content:visible .jp-tocItem-content")
    items.last.wait_for()
    shown = [" ".join(text.split()) for text in items.all_inner_texts()]
    markdown = [
        "".join(c["source"]) for c in json.loads(training.path.read_text("utf-8"))["cells"] if c["cell_type"] == "markdown"
    ]
    headings = [h for source in markdown for h in re.findall(r"^#+ (.+)", source, flags=re.MULTILINE)]
    assert [h for h in headings if h.startswith("Exercise")] and shown == headings


def test_notebook_01_runs_from_start_to_end(theory):
    finished(theory)


def test_a_slider_is_moved_by_keyboard_and_by_mouse_and_the_figure_follows(theory):
    slider = Slider(theory.cell("widgets.stops("))
    before = slider.drawn("0.8")
    slider.range.focus()
    theory.tab.keyboard.press("ArrowRight")
    right = slider.drawn("0.9")
    theory.tab.keyboard.press("End")
    last = slider.drawn("0.99999")
    slider.click_at(0.001)
    first = slider.drawn("0.1")
    assert len({before, right, last, first}) == 4
    assert slider.image.get_attribute("alt").startswith("threshold 0.1. ")
    theory.tab.keyboard.press("ArrowDown")  # at the end of the track, where it must not become JupyterLab's
    theory.tab.keyboard.press("ArrowRight")
    slider.drawn("0.2")
    assert not slider.error.is_visible() and not theory.complaints


def test_a_round_of_the_game_is_won(theory):
    game = theory.cell("game.play()")
    status = game.locator("[role=status]")
    game.get_by_role("button", name="3", exact=True).click()
    for round_ in range(1, 11):
        assert game.locator(".mia-figures img").get_attribute("alt")
        game.get_by_role("button", name="was a member", exact=True).click()
        status.get_by_text(f"After {round_} of 10 cards").wait_for()
        if "Right: you" in status.inner_text():
            break
    points = int(re.search(r"you ([+-]\d+)", status.inner_text())[1])
    assert points == 3 - 3 * (round_ - 1) and not theory.complaints


def test_an_exercise_is_answered_wrongly_and_then_rightly(theory):
    stub = theory.cell("def area(members")
    verdict = stub.locator(".jp-OutputArea-output")
    assert "not attempted" in verdict.inner_text()
    begin = "def area(members, non_members):\n    "
    check = "\n\n\nexercises.exercise_1_2(area)"
    theory.write(stub, begin + "return (members > non_members.mean()).mean()" + check)
    theory.run(stub)
    assert verdict.inner_text().startswith("✗ exercise 1.2")
    theory.write(stub, begin + "a, b = members[:, None], non_members\n    return ((a > b) + (a == b) / 2).mean()" + check)
    theory.run(stub)
    assert verdict.inner_text().startswith("✓ exercise 1.2")


def test_nobody_is_kept_from_what_the_course_shows(theory, faults_of_access):
    assert not faults_of_access(theory.tab, ".mia-drawing", ".jupyter-widgets")


def test_a_notebook_that_was_saved_opens_with_its_last_pictures(lab, open_page, theory):
    drawn = Slider(theory.cell("widgets.stops(")).drawn("0.2")
    points = theory.cell("game.play()").locator("[role=status]").inner_text()
    theory.save()
    theory.close()
    lab.stop_kernel(theory.path.name)
    again = lab.open(open_page, theory.path.name)
    slider = Slider(again.cell("widgets.stops("))
    assert slider.drawn("0.2") == drawn
    assert again.cell("game.play()").locator("[role=status]").inner_text() == points
    assert again.tab.get_by_text("model not found").count() == 0 and not again.dirty() and not again.complaints
    slider.range.press("ArrowLeft")
    assert slider.readout.inner_text() == "drawing 0.1 …", "nothing claims to be drawn where nobody draws"


def test_notebook_02_runs_from_start_to_end(training):
    training.wait()
    finished(training)
    slider = Slider(training.cell("widgets.slider("))
    before = slider.drawn("4.5")
    slider.range.press("PageDown")
    assert re.fullmatch(r"-?\d+\.\d", slider.readout.inner_text().removeprefix("drawing ").removesuffix(" …"))
    slider.range.press("Home")
    assert slider.drawn("−10.0") != before


def test_what_a_slider_prints_and_what_it_raises(lab, open_page, faults_of_access):
    book = lab.open(
        open_page,
        lab.write(
            "sliders.ipynb",
            "import matplotlib.pyplot as plt\nfrom mia_helpers.course import widgets",
            "def draw(x):\n    plt.subplots(figsize=(3, 2))[0].suptitle(f'{1 / x}')\n    print('said', x)\n\n\n"
            "widgets.slider(draw, low=-1.0, high=1.0, step=0.5, start=1.0, name='ex')",
        ),
    )
    book.run_all()
    assert not book.errors()
    slider = Slider(book.cell("widgets.slider("))
    assert slider.range.page.get_by_label("ex", exact=True).count() == 1
    slider.range.press("ArrowLeft")
    slider.drawn("0.5")
    assert slider.said.inner_text() == "said 0.5\n" and slider.image.get_attribute("alt") == "ex 0.5. 2.0"
    slider.range.press("ArrowLeft")
    slider.error.get_by_text("ZeroDivisionError: float division by zero").wait_for()
    assert slider.image.count() == 0
    slider.range.press("ArrowLeft")
    slider.drawn("−0.5")
    assert not slider.error.is_visible() and not book.complaints
    assert not faults_of_access(book.tab, ".mia-drawing")


def test_a_notebook_that_was_not_opened_is_opened_again(lab, open_page):
    name, loads = lab.write("lost.ipynb", "1 + 1"), []

    def pages(home, **how):
        tab, complaints = open_page(home, **how)
        goto = tab.goto
        tab.goto = lambda address: loads.append(address) or goto(address)
        # All answers of the first load are lost, however long it takes; no answer of the second is.
        tab.route(f"**/api/contents/{name}*", lambda route: route.abort() if len(loads) == 1 else route.continue_())
        return tab, complaints

    book = lab.open(pages, name, patience=(3_000, 600_000))
    assert len(loads) == 2 and not book.complaints
    book.run(book.cell("1 + 1"))
    with pytest.raises(AssertionError, match=r"(?s)lost.* was not shown.* complained .*log ends:.*Kernel started"):
        lab.open(open_page, "nothing_lost.ipynb", patience=(1_000,))

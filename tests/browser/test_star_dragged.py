"""The star of notebook 01, moved by mouse and keyboard: in JupyterLab, and before a kernel that dawdles."""

import json
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from mia_helpers.course.patients import draw_patients
from mia_helpers.course.star import Star

ROOT = Path(__file__).resolve().parents[2]
SAYS, HANDLE, LATE = ".mia-star .says", ".mia-star .handle", ".mia-star .late"
PICTURE = "document.querySelector('.mia-star canvas').toDataURL()"


def cells_of_01() -> list[str]:
    """What the star needs, from the notebook itself."""
    sources = [cell.source for cell in nbformat.read(ROOT / "notebooks" / "01_theory.ipynb", 4).cells]
    needed = ("import matplotlib.pyplot", "def fit(", "def train_with_star(", "star.drag(")
    return [next(source for source in sources if words in source) for words in needed]


@pytest.fixture(scope="module")
def book(lab, open_page):
    book = lab.open(open_page, lab.write("star.ipynb", *cells_of_01()))
    book.run_all()
    book.tab.wait_for_selector(HANDLE)
    return book


def says(tab, words: str) -> str:
    """Wait until the live text has these words; returns it."""
    tab.locator(SAYS).filter(has_text=words).wait_for()
    return tab.locator(SAYS).inner_text()


def middle(tab, selector: str) -> tuple[float, float]:
    tab.locator(selector).scroll_into_view_if_needed()
    box = tab.locator(selector).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def answers(text: str) -> list[float]:
    """The two probabilities that the live text ends with."""
    return [float(number) for number in re.findall(r"(?:probability|without,) (\d\.\d\d)", text)]


def test_the_star_is_dragged_with_the_mouse_and_the_picture_follows(book):
    tab = book.tab
    before, first = tab.evaluate(PICTURE), says(tab, "stands at −1.00 and −0.40")
    x, y = middle(tab, HANDLE)
    width = tab.locator(".mia-star .plane").first.bounding_box()["width"]
    tab.mouse.move(x + 5, y + 5)  # beside the middle: it does not jump
    tab.mouse.down()
    tab.mouse.move(x - width / 14, y, steps=5)
    tab.mouse.move(x + 5 - width / 7, y + 5, steps=5)
    tab.mouse.up()
    moved = says(tab, "stands at −2.00 and −0.40")
    assert tab.evaluate(PICTURE) != before
    with_star, without = answers(moved)
    assert with_star - without > 0.5 and answers(first) != answers(moved)
    titles = tab.locator(".mia-star figcaption").all_inner_texts()
    assert [title.split()[-1] for title in titles] == [f"{with_star:.2f}", f"{without:.2f}"]
    assert not book.errors() and not book.complaints


def test_arrow_keys_move_the_star_and_not_the_selection_of_cells(book):
    tab = book.tab
    old = says(tab, "Trained with")
    tab.locator(".mia-star canvas").last.click(position={"x": 150, "y": 150})  # about the middle; it takes the focus
    tab.wait_for_function(
        """([says, old]) => { const text = document.querySelector(says).innerText;
                              return text !== old && text.includes("Trained with"); }""",
        arg=[SAYS, old],
    )
    assert tab.evaluate(f"document.activeElement === document.querySelector('{HANDLE}')")
    active = tab.locator(".jp-Cell.jp-mod-active .jp-InputPrompt").inner_text
    before, here = active(), tab.locator(SAYS).inner_text()
    x, y = (float(n.replace("−", "-")) for n in re.search(r"at (\S+) and (\S+)\.", here).groups())
    for keys, step in ((("ArrowRight", "ArrowUp"), 0.2), (("Shift+ArrowLeft", "Shift+ArrowDown"), -0.05)):
        x, y = (round(value + step, 2) + 0.0 for value in (x, y))  # + 0.0: no minus before a zero
        for key in keys:
            tab.keyboard.press(key)
        says(tab, f"at {x:+.2f} and {y:+.2f}".replace("-", "−"))
    assert active() == before
    outline = tab.evaluate(f"getComputedStyle(document.querySelector('{HANDLE}')).outlineStyle")
    assert outline == "solid", "one sees where the focus is"
    tab.keyboard.press("Escape")  # and the keyboard is the notebook's again
    tab.keyboard.press("ArrowUp")
    tab.wait_for_function(
        "before => document.querySelector('.jp-Cell.jp-mod-active .jp-InputPrompt')?.innerText !== before", arg=before
    )
    assert not book.errors() and not book.complaints


def test_axe_finds_nothing_grave_in_the_star(book, faults_of_access):
    assert faults_of_access(book.tab, ".mia-star") == []


def test_when_the_kernel_is_gone_the_star_does_not_pretend(book):
    tab = book.tab
    book.menu("Kernel", "Shut Down Kernel")
    tab.locator("#jp-main-statusbar", has_text="No Kernel").wait_for()
    tab.locator(HANDLE).focus()
    tab.keyboard.press("ArrowLeft")
    says(tab, "There is no answer yet")
    assert tab.locator(LATE).count() == 1
    assert [t.split("\n")[-1] for t in tab.locator(".mia-star figcaption").all_inner_texts()] == ["drawing …"] * 2


# --- before a kernel of our own


def as_numbers(values: dict) -> dict:
    return {k: np.frombuffer(v, "<u2").tolist() if isinstance(v, bytes) else v for k, v in values.items()}


@pytest.fixture(scope="module")
def kernel():
    points, ill = draw_patients(60, seed=0)

    def train(x, y):
        return LogisticRegression().fit(np.vstack([points, (x, y)]), np.append(ill, 1))

    return Star(train, LogisticRegression().fit(points, ill), points, ill, start=(0.0, 0.0))


@pytest.fixture
def page(open_page, kernel):
    """A tab with the star in it, whose questions go to `asked`, and which waits for `reply`."""
    tab, complaints = open_page("about:")
    tab.set_content(f"""<!doctype html><html lang="en"><title>star</title><main id="here"></main><script type="module">
      {(ROOT / "mia_helpers" / "assets" / "star.js").read_text("utf-8")}
      window.asked = [];
      const setting = {json.dumps(as_numbers(kernel.setting))};
      const view = mount(document.getElementById("here"), setting, (place) => asked.push(place));
      window.reply = (answer) => view.answered(answer);
    </script></html>""")
    tab.wait_for_selector(HANDLE)
    kernel.asked = [0.0, 0.0]
    reply(tab, kernel)
    yield tab
    assert not complaints


def reply(tab, kernel):
    tab.evaluate("answer => reply(answer)", as_numbers(kernel.answer))


def test_while_one_answer_is_awaited_only_the_newest_place_is_kept(page, kernel):
    page.locator(HANDLE).focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "ArrowUp"):
        page.keyboard.press(key)
    assert page.evaluate("asked") == [[0.2, 0]]
    page.wait_for_selector(LATE)
    assert page.locator(SAYS).inner_text() == "drawing …"
    kernel.asked = page.evaluate("asked[0]")
    reply(page, kernel)
    assert page.evaluate("asked") == [[0.2, 0], [0.4, 0.4]], "those in between are never asked about"
    assert "stands at" not in page.locator(SAYS).inner_text(), "what was said is about another place"
    kernel.asked = [0.4, 0.4]
    reply(page, kernel)
    says(
        page,
        f"stands at +0.40 and +0.40. Trained with its record, the model says: ill with probability "
        f"{kernel.answer['with']:.2f}; without, {kernel.answer['without']:.2f}.",
    )
    assert page.locator(LATE).count() == 0


def test_an_answer_to_an_old_question_is_not_shown(page, kernel):
    page.locator(HANDLE).focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(LATE)
    reply(page, kernel)  # about the place where it was
    assert page.locator(LATE).count() == 1 and page.evaluate("asked") == [[0.2, 0]]


def test_the_star_stays_on_its_map(page):
    page.locator(HANDLE).focus()
    for _ in range(20):
        page.keyboard.press("ArrowDown")
    plane = page.locator(".mia-star .plane").first.bounding_box()
    x, y = middle(page, HANDLE)
    assert y == pytest.approx(plane["y"] + plane["height"] * 6.5 / 7, abs=1.5)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 2 * plane["width"], y)
    page.mouse.up()
    assert middle(page, HANDLE)[0] == pytest.approx(plane["x"] + plane["width"] * 6.5 / 7, abs=1.5)


def test_colours_on_the_canvas_are_those_of_the_setting(page, kernel):
    """In the lower left-hand corner everybody is healthy, in the upper right-hand one ill."""
    corners = page.evaluate(
        """() => [[3, 596], [596, 3]].map(([x, y]) =>
             [...document.querySelector(".mia-star canvas").getContext("2d").getImageData(x, y, 1, 1).data])"""
    )
    ends = [[int(c[k : k + 2], 16) for k in (1, 3, 5)] + [255] for c in (kernel.setting["colours"][i] for i in (0, -1))]
    assert corners == ends

"""The README's two screenshots. `MIA_SCREENSHOTS=write pytest -n 0 tests/browser/test_pictures.py` takes them anew.

Without the variable the pictures are taken all the same, and what the README shows must be small and described.
"""

import io
import os
import re
from pathlib import Path

import nbformat
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier

from mia_helpers import audit

ROOT = Path(__file__).resolve().parents[2]
MOST_BYTES, MOST_WORDS = 150_000, 100


def keep(name: str, picture: bytes) -> None:
    """With `MIA_SCREENSHOTS=write`: write the PNG to where the README shows it, in at most 128 colours."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    assert len(image.getcolors(image.width * image.height)) > 100, "a picture of something"
    if os.environ.get("MIA_SCREENSHOTS") == "write":
        small = image.quantize(128, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        small.save(ROOT / "notebooks" / name, optimize=True)


def test_the_game_in_jupyterlab(lab, open_page):
    sources = [cell.source for cell in nbformat.read(ROOT / "notebooks" / "01_theory.ipynb", 4).cells]
    needed = ("import matplotlib.pyplot", "def fit(", "def draw_people(", "target = fit(", "game.play()")
    *before, play = [next(source for source in sources if words in source) for words in needed]
    book = lab.open(open_page, lab.write("the_game.ipynb", *before, play))
    book.run_all()
    tab = book.tab
    tab.set_viewport_size({"width": 1280, "height": 760})
    game = book.cell("game.play()")
    picture = game.locator(".mia-drawing img")
    for bet, stake in (("was a member", "2"), ("was not a member", "3")):
        before = picture.get_attribute("src")
        tab.get_by_role("button", name=stake, exact=True).click()
        tab.get_by_role("button", name=bet, exact=True).click()
        tab.wait_for_function("old => document.querySelector('.mia-drawing img')?.src !== old", arg=before)
    tab.locator("[role=status]").filter(has_text="After 2 of 10 cards").wait_for()
    tab.keyboard.press("Control+b")  # the list of files is no part of it
    game.evaluate("cell => cell.scrollIntoView()")
    tab.mouse.move(5, 5)
    tab.wait_for_timeout(1000)  # until the mark under the mouse is gone
    keep("game.png", tab.screenshot())
    assert not book.errors() and not book.complaints


def answers_of_forests(folder: Path) -> Path:
    """Forests on scikit-learn's digits: one that is audited, sixteen for reference, each on its own half."""
    images, labels = load_digits(return_X_y=True)
    mask = np.random.default_rng(0).random((17, len(labels))) < 0.5
    models = (
        RandomForestClassifier(30, random_state=i).fit(images[inside], labels[inside]) for i, inside in enumerate(mask)
    )
    logits = np.log(np.stack([model.predict_proba(images) for model in models]) + 1e-3)
    arrays = {"labels": labels, "is_member": mask[0], "logits": logits[0], "features": images}
    np.savez(folder / "forest.npz", shadow_logits=logits[1:], member_mask=mask[1:], **arrays)
    return folder / "forest.npz"


def test_the_page_of_the_audit_s_report(tmp_path, open_page, capsys):
    code = audit.main(
        [str(answers_of_forests(tmp_path)), "--coins", "--at-fpr", "0.02", "--html", str(tmp_path / "report.html")]
    )
    assert code == 0, capsys.readouterr().err
    tab, complaints = open_page(tmp_path.as_uri(), width=900)
    tab.goto((tmp_path / "report.html").as_uri())
    keep("report.png", tab.screenshot())
    assert not complaints


def test_the_readme_s_pictures_are_small_and_described():
    text = (ROOT / "README.md").read_text("utf-8")
    pictures = dict(re.findall(r"!\[([^]]*)\]\(notebooks/(game|report)\.png\)", text))
    assert sorted(pictures.values()) == ["game", "report"]
    for words, name in pictures.items():
        assert 15 <= len(words.split()) <= MOST_WORDS
        path = ROOT / "notebooks" / f"{name}.png"
        assert path.stat().st_size < MOST_BYTES
        with Image.open(path) as image:
            assert image.width in (900, 1280)

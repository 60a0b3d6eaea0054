"""The market of notebook 09: what may be bought, what it is worth, and what the reader is told."""

import ipywidgets
import matplotlib.pyplot as plt
import pytest

from mia_helpers.course import predictions, widgets
from mia_helpers.course.ledger import AUC, TPR
from mia_helpers.course.market import Market, bought, buy
from mia_helpers.metrics import Estimate

PRICES = {"answers": 3, "shadows": 6, "file": 7}


@pytest.fixture(autouse=True)
def own_answers(monkeypatch, tmp_path):
    monkeypatch.setenv("MIA_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("MIA_READER", raising=False)
    monkeypatch.setattr(predictions, "_in_memory", {})
    yield
    plt.close("all")


@pytest.fixture
def shown(monkeypatch):
    found = []
    monkeypatch.setattr(predictions, "show_either", lambda widget, text: found.append((widget, text)))
    return found


@pytest.fixture
def stall():
    def found(auc, tpr):
        return {AUC: Estimate(auc, auc - 0.01, auc + 0.01), TPR: Estimate(tpr, tpr, tpr)}

    rows = {"gap": found(0.54, 0.0), "threshold": found(0.56, 0.01), "LiRA": found(0.65, 0.08), "norm": found(0.55, 0.01)}
    needs = {"gap": (), "threshold": ("answers",), "LiRA": ("answers", "shadows"), "norm": ("file",)}
    return Market(PRICES, needs, rows, included={"file": ("answers",)})


def parts(widget):
    _, rows = widget.children  # below the question
    boxes = {box.description: box for box in rows.children if isinstance(box, ipywidgets.Checkbox)}
    *_, row, status = rows.children
    (button,) = row.children
    return boxes, button, status


def test_nothing_is_kept_before_it_is_paid_for_and_nothing_dearer_than_the_purse(shown):
    buy("a", "What?", PRICES)
    ((widget, text),) = shown
    assert text == "What? (10 coins)\n□ answers (3)\n□ shadows (6)\n□ file (7)"
    boxes, button, status = parts(widget)
    boxes["file (7)"].value = True
    assert boxes["shadows (6)"].disabled and not boxes["answers (3)"].disabled and "3 of 10 coins left" in status.value
    boxes["file (7)"].value = False
    boxes["shadows (6)"].value = boxes["answers (3)"].value = True
    assert bought("a", PRICES) is None and not boxes["answers (3)"].disabled
    button.click()
    assert bought("a", PRICES) == ["answers", "shadows"] and "Bought: answers, shadows." in status.value
    buy("a", "What?", PRICES)
    assert [box.value for box in parts(shown[-1][0])[0].values()] == [True, True, False]


def test_each_tick_is_told_what_it_is_worth(shown, stall):
    buy("a", "What?", PRICES, tell=stall.tell)
    boxes, _, status = parts(shown[0][0])
    assert "Best attack: gap" in status.value
    boxes["answers (3)"].value = True
    assert "Best attack: threshold, AUC 0.560; at 1 % false positives it names 1.0 of 100" in status.value


def test_without_widgets_the_purchase_is_an_argument(shown):
    buy("a", "What?", PRICES, answer=["file"])
    assert bought("a", PRICES) == ["file"]
    assert bought("a", {"file": 11}) is None and bought("b", PRICES) is None  # too dear by now; never asked
    with pytest.raises(ValueError, match="'gold' is not for sale; there are answers, shadows, file"):
        buy("a", "What?", PRICES, answer=["gold"])
    with pytest.raises(ValueError, match="costs 13 coins, and the purse holds 10"):
        buy("a", "What?", PRICES, answer=["shadows", "file"])


def test_goods_are_worth_the_best_attack_that_they_allow(stall):
    best = {goods: stall.best(goods) for goods in stall.baskets()}
    assert best == {
        (): "gap",
        ("answers",): "threshold",
        ("shadows",): "gap",
        ("file",): "threshold",  # answers come with it
        ("answers", "shadows"): "LiRA",
        ("answers", "file"): "threshold",
    }
    assert stall.best(PRICES) == "LiRA"
    assert stall.frontier() == [(), ("answers",), ("answers", "shadows")]


def test_of_two_that_cost_the_same_only_the_better_is_on_the_frontier():
    rows = {"a": {AUC: Estimate(0.6, 0.6, 0.6)}, "b": {AUC: Estimate(0.7, 0.7, 0.7)}, "none": {AUC: Estimate(0.5, 0.5, 0.5)}}
    one = Market({"x": 2, "y": 2, "z": 3}, {"none": (), "a": ("x",), "b": ("y",)}, rows, {}, purse=4)
    assert one.frontier() == [(), ("y",)]


def test_the_receipt_names_the_readers_purchase_beside_the_best(stall, capsys):
    stall.receipt("a")
    assert capsys.readouterr().out.startswith("Best for the purse: answers, shadows (9 coins). Best attack: LiRA")
    predictions.keep("a", [])
    stall.receipt("a")
    mine, most = capsys.readouterr().out.splitlines()
    assert mine.startswith("You bought: nothing (0 coins). Best attack: gap") and most.startswith("Best for the purse")


def test_table_and_figure_show_every_price(stall):
    table = stall.table()
    assert list(table["coins"]) == [0, 3, 7, 9] and list(table["goods"])[::3] == ["—", "answers, shadows"]
    assert len(stall.plot("a").axes[0].lines) + 1 == len(_with_a_purchase(stall).axes[0].lines)
    rings, steps = stall.plot("a").axes[0].lines[:2]
    assert set(zip(*rings.get_data())) == {(0, 0.54), (3, 0.56), (6, 0.54), (7, 0.56), (9, 0.65), (10, 0.56)}
    assert list(zip(*steps.get_data())) == [(0, 0.54), (3, 0.56), (9, 0.65), (10, 0.65)]
    named = [text.get_text() for text in stall.plot("a").axes[0].texts if text.get_text() != "chance"]
    assert named == ["answers", "answers,\nshadows"]
    small = stall.rows | {"threshold": stall.rows["threshold"] | {AUC: Estimate(0.545, 0.5, 0.6)}}
    stall = Market(PRICES, stall.needs, small, stall.included)
    assert [text.get_text() for text in stall.plot("a").axes[0].texts][1:] == ["answers,\nshadows"]


def _with_a_purchase(stall):
    predictions.keep("a", ["file"])
    figure = stall.plot("a")
    (x,), (y,) = figure.axes[1].lines[2].get_data()
    assert (x, y) == (7, 0.01)
    predictions.keep("a", ["gold"])
    return figure


def test_in_print_the_list_of_prices_stands_for_the_widget(monkeypatch):
    found = []
    monkeypatch.setattr(widgets, "display", lambda bundle, raw: found.append(bundle["text/html"]))
    buy("a", "What?", PRICES)
    assert "□ shadows (6)" in found[0]

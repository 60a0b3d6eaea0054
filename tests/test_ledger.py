"""The ledger of attacks: its numbers are the metrics', and its figures show what was entered."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from mia_helpers import metrics
from mia_helpers.attacks import lira_online
from mia_helpers.bank import draw_halves
from mia_helpers.course.ledger import AUC, TPR, Ledger, plot_blocks, plot_series


@pytest.fixture(scope="module")
def ledger():
    rng, members = np.random.default_rng(0), draw_halves(2, 2000, seed=0)
    book = Ledger(members)
    for name, leak in (("weak", 0.2), ("strong", 2.0)):
        book.enter(name, rng.normal(size=members.shape) + leak * members, rng.normal(size=members.shape), 7, trained=3)
    return book


def test_a_row_holds_the_metrics_and_the_costs(ledger):
    row, members = ledger.rows["strong"], ledger.member_mask
    report = metrics.attack_report(ledger.on_targets["strong"], members, fprs=(0.01,))
    assert (row[AUC], row[TPR]) == (report.auc, report.tpr_at_fpr[0.01])
    assert row["blind"] == metrics.attack_report(ledger.on_blind["strong"], members, fprs=()).auc
    assert (row["queries"], row["models trained"]) == (7, 3)
    assert list(ledger.table().index) == ["weak", "strong"]


def test_a_quiet_entry_prints_nothing(ledger, capsys):
    book, members = Ledger(ledger.member_mask), ledger.member_mask
    book.enter("loud", members, ~members, 1)
    assert capsys.readouterr().out.startswith("loud: AUC 1.000")
    book.enter("quiet", members, ~members, 1, quiet=True)
    assert not capsys.readouterr().out and book.rows["quiet"] == book.rows["loud"]


def test_lira_compares_each_example_with_itself(capsys):
    rng, n = np.random.default_rng(0), 4000
    members, had = draw_halves(2, n, seed=0), draw_halves(40, n, seed=1)
    had[:, 0], had[:, 1] = True, False  # of these two nothing is known
    ease = rng.normal(0, 5, n)
    signal = {"targets": ease + members + rng.normal(0, 0.5, members.shape), "blind": ease + rng.normal(size=members.shape)}
    shadow = ease + had + rng.normal(0, 0.5, had.shape)
    book = Ledger(members)
    book.enter_lira("LiRA", lira_online, signal, (shadow, had), queries=2)
    row = book.rows["LiRA"]
    assert (row["queries"], row["models trained"]) == (2, 40) and "LiRA: AUC" in capsys.readouterr().out
    assert row[AUC].value > 0.8 and abs(row["blind"].value - 0.5) < 0.1
    for t, one in enumerate(signal["targets"]):
        expected = lira_online(one[2:], shadow[:, 2:], had[:, 2:])
        np.testing.assert_allclose(book.on_targets["LiRA"][t, 2:], expected)
        np.testing.assert_allclose(book.on_targets["LiRA"][t, :2], np.median(expected))


def test_a_folded_table_is_whole_and_closed(ledger):
    fold = ledger.folded("all & more")
    assert fold._repr_html_().startswith("<details><summary>all &amp; more</summary><table")
    for text in (fold._repr_html_(), repr(fold)):
        assert all(name in text for name in ("weak", "strong", "queries", str(ledger.rows["strong"][AUC])))


def test_the_difference_is_one_minus_the_other(ledger):
    auc = {name: row[AUC].value for name, row in ledger.rows.items()}
    assert ledger.difference("strong", "weak").value == pytest.approx(auc["strong"] - auc["weak"])
    assert ledger.difference("strong", "weak").low > 0.2
    assert abs(ledger.difference("strong", "weak", blind=True).value) < 0.1


def test_series_leave_out_what_was_not_entered(ledger):
    figure = plot_series(ledger.rows, {"a": ["weak", "strong"], "b": ["strong", "missing"]}, ["first", "second"])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["first", "second"]
    for ax, column in zip(figure.axes, (AUC, TPR)):
        marks = [line for line in ax.lines if line.get_marker() not in ("None", None)]
        assert [x for line in marks for x in line.get_xdata()] == [
            ledger.rows[n][column].value for n in ("weak", "strong", "strong")
        ]
    plt.close("all")


def test_blocks_have_a_mark_for_each_kind(ledger):
    figure = plot_blocks(ledger.rows, {"one": {"none": ["weak"]}, "two": {"right": ["strong"]}}, ("none", "wrong", "right"))
    left = figure.axes[0]
    assert [label.get_text() for label in left.get_yticklabels()] == ["weak", "strong"]
    assert {"s", "o", "|"} <= {line.get_marker() for line in left.lines}
    assert [text.get_text() for text in figure.axes[1].texts if text.get_text() != "chance"] == ["one", "two"]
    plt.close("all")


def test_the_legend_of_blocks_shows_the_marks_as_they_are_drawn(ledger):
    figure = plot_blocks(ledger.rows, {"one": {"none": ["weak"]}, "two": {"right": ["strong"]}}, ("none", "wrong", "right"))
    look = {(line.get_marker(), line.get_markerfacecolor()) for line in figure.legends[0].get_lines()}
    drawn = {(line.get_marker(), line.get_markerfacecolor()) for line in figure.axes[0].lines if len(line.get_xdata()) == 1}
    assert drawn and drawn <= look and "|" in {mark for mark, _ in look}
    assert len({mark for mark, _ in look}) == len(look) == 4
    plt.close("all")

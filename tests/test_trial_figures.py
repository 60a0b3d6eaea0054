"""What notebook 07 draws, read back from the axes."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from mia_helpers import metrics
from mia_helpers.course import trial_figures


def test_the_picture_shows_each_defence_and_masks_a_little_aside():
    leak = metrics.Estimate(0.6, 0.58, 0.62)
    picture = {
        "none": (metrics.Estimate(0.9, 0.88, 0.92), leak),
        "labels only": (metrics.Estimate(0.9, 0.88, 0.92), metrics.Estimate(0.55, 0.54, 0.56)),
    }
    ax = trial_figures.trade_off(picture)
    assert {"none", "labels only"} <= {text.get_text() for text in ax.texts}
    dots = [tuple(np.ravel(line.get_data())) for line in ax.lines if len(line.get_xdata()) == 1]
    assert (0.9, 0.6) in dots and [y for x, y in dots if 0.88 < x < 0.9] == [0.55]
    assert ax.figure.get_figwidth() <= 7
    plt.close("all")


@pytest.mark.parametrize(("least", "left"), [(0.86, 0.81), (0.5, 0.47)])
def test_the_picture_is_as_wide_as_its_defences_lie_apart(least, left):
    some = metrics.Estimate(0.6, 0.58, 0.62)
    ax = trial_figures.trade_off(
        {name: (metrics.Estimate(x, x, x), some) for name, x in (("none", 0.9), ("RelaxLoss", least))}
    )
    low, high = ax.get_xlim()
    assert low == left < least < 0.9 < high
    plt.close("all")


def test_the_exposed_stand_beside_the_average_the_worst_first():
    def around(x):
        return metrics.Estimate(x, x - 0.02, x + 0.03)

    rows = {"some": (around(0.55), around(0.7)), "none": (around(0.63), around(0.95))}
    ax = trial_figures.on_average_and_exposed(rows)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["none", "some"]
    assert ax.yaxis_inverted()
    dots = [(round(line.get_xdata()[0], 3), line.get_ydata()[0]) for line in ax.lines if len(line.get_xdata()) == 1]
    assert dots == [(0.63, 0), (0.95, 0), (0.55, 1), (0.7, 1)]
    bars = {(*np.round(line.get_xdata(), 3), line.get_ydata()[0]) for line in ax.lines if line.get_linewidth() == 2}
    assert bars >= {(0.61, 0.66, 0), (0.93, 0.98, 0), (0.53, 0.58, 1), (0.68, 0.73, 1)}
    names = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert names == ["on average", "most exposed"]
    hollow = [line.get_markerfacecolor() == "none" for line in ax.lines if line.get_marker() == "o"]
    assert hollow == [True, False] * 2
    plt.close("all")


@pytest.mark.parametrize(("epsilon", "delta"), [(0.1, 0.0), (1.0, 0.001), (4.0, 0.001), (8.0, 0.05)])
def test_what_is_hatched_is_what_the_promise_forbids(epsilon, delta):
    ax = trial_figures.left_by_promise(epsilon, delta)
    hatched = [path for shape in ax.collections for path in shape.get_paths()]
    rng, seen = np.random.default_rng(0), set()
    for fpr, tpr in rng.random((3000, 2)):
        over = max(  # by how much a rate breaks the promise: in both directions, of claims and of their opposites
            more - np.exp(epsilon) * less - delta
            for more, less in ((tpr, fpr), (fpr, tpr), (1 - tpr, 1 - fpr), (1 - fpr, 1 - tpr))
        )
        if abs(over) > 0.02:
            forbidden = any(path.contains_point((fpr, tpr)) for path in hatched)
            assert forbidden == (over > 0)
            seen.add(forbidden)
    assert seen == {True, False} or epsilon == 8
    most = min(1, np.exp(epsilon) * 0.01 + delta, 1 - (1 - delta - 0.01) * np.exp(-epsilon))
    assert ax.get_title() == f"ε = {epsilon:g}: at an FPR of 1 % at most {most:.1%}"
    plt.close("all")

"""The figures of families: who stands where, and with which marks."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from mia_helpers.course.families import WEAKER, plot_ranking
from mia_helpers.metrics import Estimate


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def estimate(value):
    return Estimate(value, value - 0.01, value + 0.01)


AUCS = {"tree": 0.6, "forest": 0.9, "Bayes": 0.5}


def test_the_leakiest_stands_on_top_and_the_gaps_beside_it():
    aucs = {attack: {f: estimate(v - i / 100) for f, v in AUCS.items()} for i, attack in enumerate(("LiRA", *WEAKER))}
    figure = plot_ranking(aucs, {"tree": estimate(0.25), "forest": estimate(0.07), "Bayes": estimate(0.1)}, "digits")
    left, right = figure.axes
    assert [text.get_text() for text in left.get_yticklabels()] == ["forest", "tree", "Bayes"]
    marks = {line.get_label(): line.get_xdata() for line in left.lines}
    for i, attack in enumerate(WEAKER, start=1):
        np.testing.assert_allclose(marks[attack], np.array([0.9, 0.6, 0.5]) - i / 100)
    assert [line.get_xdata()[0] for line in right.lines[:3]] == pytest.approx([0.06, 0.24, 0.09])
    assert figure.get_suptitle() == "digits"

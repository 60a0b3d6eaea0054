"""The figures of the other adversaries: what is drawn where."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from mia_helpers.course.adversaries import plot_against, plot_draws, plot_hump


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_a_hump_is_drawn_over_the_same_range_as_the_histograms():
    rng = np.random.default_rng(0)
    members = rng.random((2, 50)) < 0.5
    left, right = plot_hump(rng.normal(5, 3, (2, 50)), members, lambda phi: -((phi - 5) ** 2)).axes
    line = right.lines[0]
    assert len(line.get_xdata()) == 50 and abs(line.get_xdata()[np.argmax(line.get_ydata())] - 5) < 0.5
    assert right.get_xlim() == (-10, 35) and left.get_legend()


def test_two_signals_are_drawn_for_members_and_others_apart():
    x, members = np.arange(6.0), np.array([True, False] * 3)
    ax = plot_against(x, 2 * x, members, labels=("one", "other")).axes[0]
    drawn = {line.get_label(): list(line.get_xdata()) for line in ax.lines}
    assert drawn == {"members": [0, 2, 4], "non-members": [1, 3, 5]}
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("one", "other")


def test_each_attack_has_a_hill_and_the_draw_at_hand():
    figure = plot_draws({"a": [0.5, 0.5, 0.51], "b": [0.49, 0.5, 0.5]}, {"a": 0.505, "b": 0.495, "c": 0.6})
    assert [ax.get_title() for ax in figure.axes] == ["a", "b"]
    assert [ax.lines[0].get_xdata()[0] for ax in figure.axes] == [0.505, 0.495]
    assert [sum(bar.get_height() for bar in ax.patches) for ax in figure.axes] == [3, 3]

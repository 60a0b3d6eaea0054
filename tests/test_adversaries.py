"""The other adversaries: their network, and what is drawn where."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from mia_helpers import metrics
from mia_helpers.course.adversaries import attack_network, plot_against, plot_draws


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.mark.parametrize("shape", [(3, 200), (3, 200, 2)])
def test_an_attack_network_learns_from_the_shadows_whatever_the_scale(shape):
    rng = np.random.default_rng(0)
    members = rng.random(shape[:2]) < 0.5
    is_in = members.reshape(*members.shape, *[1] * (len(shape) - 2))
    features = 1000 + 100 * (is_in + rng.normal(0, 0.3, shape))
    scores = attack_network(features, members)(features[:2])
    assert [one.shape for one in scores] == [(200,), (200,)]
    assert metrics.auc(np.ravel(scores), members[:2].ravel()).value > 0.9


def test_two_signals_are_drawn_for_members_and_others_apart():
    x, members = np.arange(6.0), np.array([True, False] * 3)
    given = plt.subplots(1, 2)[1][1]
    for ax in (plot_against(x, 2 * x, members, labels=("one", "other"), ax=where) for where in (None, given)):
        drawn = {line.get_label(): list(line.get_xdata()) for line in ax.lines}
        assert drawn == {"members": [0, 2, 4], "non-members": [1, 3, 5]}
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("one", "other")
    assert ax is given


def test_each_attack_has_a_hill_and_the_draw_at_hand():
    figure = plot_draws({"a": [0.5, 0.5, 0.51], "b": [0.49, 0.5, 0.5]}, {"a": 0.505, "b": 0.495, "c": 0.6})
    assert [ax.get_title() for ax in figure.axes] == ["a", "b"]
    assert [ax.lines[0].get_xdata()[0] for ax in figure.axes] == [0.505, 0.495]
    assert [sum(bar.get_height() for bar in ax.patches) for ax in figure.axes] == [3, 3]

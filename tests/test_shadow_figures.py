"""What notebook 06 draws shows the numbers that it was given."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats

from mia_helpers.course import shadow_figures as figures
from mia_helpers.metrics import Estimate


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def heights(ax):
    return np.array([bar.get_height() for bar in ax.patches])


def test_every_shadow_is_counted_once_up_or_down():
    values, inside = np.array([-99, 0.5, 0.7, 3, 99]), np.array([True, True, True, False, False])
    ax = figures.answers(values, inside, 5.0, ax=plt.subplots()[1])
    found = heights(ax)
    assert found[found > 0].sum() == 3 and found[found < 0].sum() == -2
    assert found.max() == 2  # the two that fall into one bar
    (line,) = [line for line in ax.lines if len(set(line.get_xdata())) == 1]
    assert list(line.get_xdata()) == [5, 5]


def test_a_target_beyond_the_axis_is_drawn_at_its_end():
    ax = figures.answers([1.0, 2.0], np.array([True, False]), 1e4, ax=plt.subplots()[1])
    assert max(line.get_xdata()[0] for line in ax.lines[1:]) == figures.LIMITS[1]


@pytest.mark.parametrize(("values", "inside"), [([1.0, 2.0], [True]), ([[1.0]], [[True]]), ([1.0, 2.0], [1, 0])])
def test_a_value_and_a_bool_for_each_shadow(values, inside):
    with pytest.raises(ValueError, match="a value and a bool for each shadow"):
        figures.answers(values, np.array(inside), ax=plt.subplots()[1])


def test_downwards_too_shadows_are_counted_and_the_scale_is_the_same_for_most():
    ax = figures.answers([1.0, 2.0, 2.5], np.array([True, False, False]), ax=plt.subplots()[1])
    ax.figure.canvas.draw()
    shown = [label.get_text() for label in ax.get_yticklabels()]
    assert shown == shown[::-1] and "0" in shown and ax.get_ylabel() == "shadows"
    assert max(ax.get_ylim()) > figures.FEWEST


def test_what_bars_mean_is_written_beside_them_not_on_them():
    ax = figures.answers([-99.0] * 16, np.arange(16) < 8, ax=plt.subplots()[1])
    ax.figure.canvas.draw()
    inside = ax.get_window_extent()
    assert {text.get_text() for text in ax.texts} == {"had it", "had it not"}
    assert all(text.get_window_extent().x0 >= inside.x1 for text in ax.texts)


def test_cards_have_one_scale():
    values = np.array([[1.0, 5.0]] * 9 + [[9.0, -5.0]] * 9)
    inside = np.tile(np.arange(18)[:, None] < 9, (1, 2))
    figure = figures.cards(np.zeros((2, 28, 28)), values, inside, ["hard", "easy"])
    first, second = figure.axes[1], figure.axes[3]
    assert first.get_ylim() == second.get_ylim() and first.get_xlim() == second.get_xlim()
    assert [figure.axes[i].get_title() for i in (0, 2)] == ["hard", "easy"] and max(heights(second)) == 9
    assert figure.get_figwidth() <= 7


def test_a_card_shows_the_digit_and_the_answers():
    image = np.random.default_rng(0).random((1, 28, 28))
    figure = figures.card(image, [1.0, 2.0], np.array([True, False]), 3.0, "a 7")
    left, right = figure.axes
    assert np.array_equal(left.images[0].get_array(), image[0]) and right.get_title() == "a 7"


def test_normal_values_lie_on_the_line_and_others_do_not():
    rng = np.random.default_rng(0)
    ax = figures.quantiles(
        {"normal": 3 + 2 * rng.normal(size=9000), "skew": rng.exponential(size=9000)}, ax=plt.subplots()[1]
    )
    normal, skew = (np.abs(np.subtract(*line.get_data()))[5:-5].max() for line in ax.lines[:2])
    assert normal < 0.15 < 0.5 < skew


def test_groups_of_quantiles_differ_without_colours_and_none_is_cut_off():
    rng = np.random.default_rng(0)
    groups = {name: rng.standard_cauchy(20_000) for name in ("in-shadows", "out-shadows")}
    ax = figures.quantiles(groups, ax=plt.subplots()[1])
    points = ax.lines[:2]
    assert len({line.get_marker() for line in points}) == 2
    for line in points:
        x, y = line.get_data()
        assert min(ax.get_xlim()) < x.min() and x.max() < max(ax.get_xlim())
        assert min(ax.get_ylim()) < y.min() and y.max() < max(ax.get_ylim()) and x.max() > 3.8


def test_curves_show_each_estimate():
    some = {n: Estimate(n / 10, n / 10 - 0.1, n / 10 + 0.2) for n in (1, 2, 4)}
    (ax,) = figures.strength({"one": some, "other": {2: some[2]}}).axes
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "2", "4"]
    points = [container[0].get_ydata() for container in ax.containers]
    assert [list(y) for y in points] == [[0.1, 0.2, 0.4], [0.2]]
    assert len({container[0].get_marker() for container in ax.containers}) == 2
    assert ax.get_ylim()[0] < 0.1 and "chance" in [text.get_text() for text in ax.texts]
    whiskers = figures.strength({"one": {2: Estimate(0.6, 0.57, 0.7)}}).axes[0].containers[0].lines[2][0].get_segments()[0]
    np.testing.assert_allclose(whiskers[:, 1], [0.57, 0.7])


def test_the_chance_line_has_room_below_the_curves():
    (ax,) = figures.strength({"one": {n: Estimate(0.6, 0.58, 0.62) for n in (1, 2)}}).axes
    assert ax.get_ylim()[0] < 0.5


def test_exposure_has_two_bars_a_group():
    (ax,) = figures.exposure([0.0, 0.5], [0.1, 0.2]).axes
    assert list(heights(ax)) == [0.0, 0.5, 0.1, 0.2]
    assert [bool(bar.get_hatch()) for bar in ax.patches] == [False, False, True, True]


def test_one_law_is_shaded_up_to_the_answer_two_are_marked_at_their_heights():
    out, inside = stats.norm(2, 1.5), stats.norm(6, 1)
    ax = figures.laws({"out-shadows": out}, 5.0)
    (shaded,) = ax.collections
    edge = shaded.get_paths()[0].vertices
    assert 4.9 < edge[:, 0].max() <= 5 and edge[:, 1].max() == pytest.approx(out.pdf(2), rel=1e-2)
    ax = figures.laws({"out-shadows": out, "in-shadows": inside}, 5.0)
    named = [text.get_text() for text in ax.get_legend().get_texts()]
    assert not ax.collections and named == ["out-shadows: 0.036", "in-shadows: 0.242"]
    marked = [line.get_ydata()[0] for line in ax.lines if line.get_marker() == "o"]
    assert marked == pytest.approx([out.pdf(5), inside.pdf(5)])

"""The made-up patients of notebook 01."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from mia_helpers.course.patients import (
    CENTRES,
    draw_patients,
    own_rates,
    plot_card,
    plot_cards,
    plot_own_rates,
    plot_regions,
    plot_shares,
    plot_sweep,
    plot_threshold,
    plot_with_and_without,
)
from mia_helpers.plots import MEMBER, NON_MEMBER


def test_patients_follow_their_centres_and_the_seed():
    points, ill = draw_patients(4000, seed=3)
    assert points.shape == (4000, 2) and set(ill) == {0, 1}
    for label in (0, 1):
        np.testing.assert_allclose(points[ill == label].mean(0), CENTRES[label], atol=0.1)
        np.testing.assert_allclose(points[ill == label].std(0), 1, atol=0.1)
    np.testing.assert_array_equal(points, draw_patients(4000, seed=3)[0])
    assert not np.array_equal(points, draw_patients(4000, seed=4)[0])


def test_regions_show_every_patient_and_the_person():
    points, ill = draw_patients(30, seed=0)
    ax = plot_regions(LogisticRegression().fit(points, ill), points, ill, person=(1.0, 2.0))
    drawn = sum(len(c.get_offsets()) for c in ax.collections if hasattr(c, "get_sizes") and len(c.get_sizes()))
    assert drawn == 30
    assert ax.lines[-1].get_xydata().tolist() == [[1.0, 2.0]]
    assert ax.lines[-1].get_color() not in (MEMBER, NON_MEMBER), "the star is a member on one map, and not on the other"
    plt.close("all")


def test_the_point_lies_on_the_roc_curve_where_the_threshold_puts_it():
    members, non_members = np.array([0.2, 0.6, 0.8, 0.9]), np.array([0.1, 0.3, 0.6, 0.7])
    plot_threshold(members, non_members, 0.6)
    right = plt.gcf().axes[1]
    ((fpr, tpr),) = right.lines[-1].get_xydata()
    assert (fpr, tpr) == pytest.approx((0.5, 0.75))
    assert [fpr, tpr] in right.lines[0].get_xydata().tolist()
    plt.close("all")


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.98, 1.0])
def test_the_two_groups_differ_in_line_style_and_no_title_is_wider_than_the_figure(threshold):
    plot_threshold(np.linspace(0.5, 1, 30), np.linspace(0, 1, 30), threshold)
    figure = plt.gcf()
    left, right = figure.axes
    solid = {patch.get_label(): patch.get_linestyle() in ("-", (0, None)) for patch in left.patches}
    assert solid["members"] and not solid["non-members"]
    figure.canvas.draw()
    assert right.title.get_window_extent().x1 <= figure.bbox.x1
    assert "chance" in [text.get_text() for text in right.texts]
    assert not right.lines[-1].get_clip_on(), "the dot is whole at the edge"
    plt.close("all")


@pytest.fixture
def model():
    points, ill = draw_patients(30, seed=0)
    yield LogisticRegression().fit(points, ill)
    plt.close("all")


def test_own_rates_are_counted_over_the_models_with_and_without_each_person():
    was_in = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 1, 0]], dtype=bool)
    accused = np.array([[1, 0, 1], [1, 1, 0], [1, 0, 0], [0, 1, 0]], dtype=bool)
    tpr, fpr = own_rates(accused, was_in)
    np.testing.assert_array_equal(tpr, [1, 0.5, np.nan])
    np.testing.assert_array_equal(fpr, [0.5, 0.5, 0.25])
    assert np.isnan(own_rates(accused, np.ones_like(was_in))[1]).all()


def test_with_and_without_shows_each_model_s_own_answer_about_the_star(model):
    points, ill = draw_patients(30, seed=0)
    other = LogisticRegression(C=0.01).fit(points, 1 - ill)
    plot_with_and_without(model, other, points, ill, (1.0, 2.0))
    left, right = plt.gcf().axes
    for ax, shown in ((left, model), (right, other)):
        assert ax.get_title().endswith(f"{shown.predict_proba([(1.0, 2.0)])[0, 1]:.2f}")
        assert ax.lines[-1].get_xydata().tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize(("ill", "marker", "word"), [(0, "o", "healthy"), (1, "^", "ill")])
def test_a_card_shows_and_prints_the_diagnosis_and_how_sure_the_model_is_of_it(model, ill, marker, word, capsys):
    ax = plot_card(model, np.array([0.5, -1.0]), ill)
    assert ax.lines[-1].get_xydata().tolist() == [[0.5, -1.0]] and ax.lines[-1].get_marker() == marker
    assert ax.lines[-1].get_color() not in (MEMBER, NON_MEMBER), "it is to be guessed"
    sure = f"{model.predict_proba([[0.5, -1.0]])[0, ill]:.2f}"
    assert ax.get_title() == f"{word}: {sure}"
    assert capsys.readouterr().out == f"{word.capitalize()}; probability {sure}.\n"


def test_who_stands_beyond_the_map_is_drawn_whole_at_its_edge(model):
    ax = plot_card(model, np.array([9.0, 0.5]), 1)
    ((x, y),) = ax.lines[-1].get_xydata()
    assert y == 0.5 and 3 < x < ax.get_xlim()[1]
    radius = ax.lines[-1].get_markersize() / 2 / 72 * ax.figure.dpi
    assert ax.transData.transform((x, y))[0] + radius <= ax.get_window_extent().x1


def test_cards_are_numbered_and_free_places_stay_empty(model):
    records, ill = draw_patients(7, seed=5)
    plot_cards(model, records, ill)
    axes = plt.gcf().axes
    assert len(axes) == 8 and [ax.axison for ax in axes] == [True] * 7 + [False]
    assert [ax.get_title().split(" ·")[0] for ax in axes[:7]] == [str(i) for i in range(7)]


def test_bars_of_shares_tell_more_than_half_from_less():
    plot_shares(np.array([0.0, 0.5, 0.75]))
    bars, texts = plt.gca().patches, [text.get_text() for text in plt.gca().texts]
    assert texts == ["0", "one half"], "a bin without members is not one without data"
    assert [tick.get_text() for tick in plt.gca().get_xticklabels()] == ["1", "2", "3"]
    assert [bar.get_height() for bar in bars] == [0.0, 0.5, 0.75]
    assert bars[2].get_facecolor()[:3] == pytest.approx(tuple(int(MEMBER[k : k + 2], 16) / 255 for k in (1, 3, 5)))
    assert bars[1].get_facecolor() == (1, 1, 1, 1) and bars[1].get_edgecolor()[:3] == (0, 0, 0)
    plt.close("all")


def test_the_sweep_shows_means_over_targets_with_student_s_intervals():
    results = np.array([[[1.0, 0.8, 0.6], [1.0, 0.6, 0.8]], [[1.0, 0.5, 0.9], [1.0, 0.5, 0.9]]])
    plot_sweep((0.1, 1.0), results)
    left, right = plt.gcf().axes
    members, non_members = left.containers
    styles = [(group.lines[0].get_marker(), group.lines[0].get_linestyle()) for group in (members, non_members)]
    assert styles == [("o", "-"), ("s", "--")]
    for ax in (left, right):
        assert ax.get_xticks().tolist() == [0.1, 1.0] and ax.get_xticks(minor=True).size == 0
    assert [text.get_text() for text in right.texts] == ["chance"]
    np.testing.assert_allclose(members.lines[0].get_ydata(), [1, 1])
    np.testing.assert_allclose(non_members.lines[0].get_ydata(), [0.7, 0.5])
    np.testing.assert_allclose(right.containers[0].lines[0].get_ydata(), [0.7, 0.9])
    (first, _) = right.containers[0].lines[2][0].get_segments()
    assert first[1][1] - 0.7 == pytest.approx(12.706 * 0.1, rel=1e-3)  # SD 0.1414 over sqrt(2), t with one degree of freedom
    plt.close("all")


def test_own_rates_are_shown_for_everybody_where_they_stand():
    records, ill = draw_patients(40, seed=2)
    records[3] = 9.0, 0.0  # beyond the map, and not left out
    plot_own_rates(records, ill, np.linspace(0, 1, 40))
    left, right = plt.gcf().axes[:2]
    assert sum(bar.get_height() for bar in left.patches) == 40
    places = np.concatenate([dots.get_offsets() for dots in right.collections])
    assert len(places) == 40 and (abs(places) < right.get_xlim()[1]).all()
    plt.close("all")

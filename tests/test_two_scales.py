"""The pictures of notebooks 02 and 03: what a threshold gets is counted by hand, and it stands in the right place."""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from mia_helpers.course.two_scales import (
    LIMITS,
    SPREAD,
    advantages,
    compared,
    cut,
    moved,
    thresholds_on_curve,
    two_scales,
    worth_of_shadows,
)
from mia_helpers.plots import MEMBER, NON_MEMBER


@pytest.fixture
def phi():
    rng = np.random.default_rng(0)
    return rng.normal(9, 3, 300), rng.normal(6, 6, 200)


def test_advantages_counted_by_hand():
    found = advantages([1.0, 2.0, 3.0, 4.0], [2.0, 0.0], [0.0, 1.0, 2.0, 2.5, 5.0])
    np.testing.assert_allclose(found, [0.0, 0.5, 0.25, 0.5, 0.0])  # "member" from the threshold on


def test_advantages_are_those_of_each_threshold(phi):
    thresholds = np.linspace(-5, 20, 37)
    by_hand = [(phi[0] >= t).mean() - (phi[1] >= t).mean() for t in thresholds]
    np.testing.assert_allclose(advantages(*phi, thresholds), by_hand, atol=1e-12)


def test_both_columns_reach_the_same_advantage(phi):
    figure = two_scales(*phi, threshold=4.0)
    left, right = (ax.lines[0].get_ydata() for ax in (figure.axes[2], figure.axes[3]))
    assert max(right) == pytest.approx(max(advantages(*phi, np.concatenate(phi))), abs=0.02)
    assert max(left) == pytest.approx(max(right), abs=0.03)  # its grid is coarser in φ
    plt.close(figure)


@pytest.mark.parametrize("threshold", [None, *LIMITS])
def test_a_threshold_is_drawn_in_every_panel_or_in_none(phi, threshold):
    figure = two_scales(*phi, threshold=threshold)
    dashed = [sum(line.get_linestyle() == "--" for line in ax.lines) for ax in figure.axes[:4]]
    assert dashed == [int(threshold is not None)] * 4
    plt.close(figure)


def test_the_band_is_hatched_the_tail_is_not_and_neither_has_the_colour_of_a_group(phi):
    figure = two_scales(*phi)
    for ax in figure.axes[:4]:
        tail, band = ax.patches[-2:]
        assert not tail.get_hatch() and band.get_hatch()
        assert not {to_hex(tail.get_facecolor()), to_hex(band.get_edgecolor())} & {MEMBER.lower(), NON_MEMBER.lower()}
    assert figure.get_figwidth() <= 7
    plt.close(figure)


def test_no_two_labels_above_the_axis_of_phi_touch(phi):
    figure = two_scales(*phi)
    figure.canvas.draw()
    (above,) = figure.axes[1].child_axes
    words = [text for text in figure.axes[1].texts if text.get_text() == "probability"]
    boxes = [text.get_window_extent() for text in (*words, *above.get_xticklabels())]
    assert len(boxes) == 4 and all(a.x1 < b.x0 for a, b in pairwise(boxes))
    plt.close(figure)


def test_the_advantage_is_seen_to_its_top(phi):
    figure = two_scales(*phi)
    for ax in figure.axes[2:4]:
        assert ax.get_ylim()[1] > ax.lines[0].get_ydata().max()
    plt.close(figure)


@pytest.fixture
def confidences(phi):
    return tuple(1 / (1 + np.exp(-values)) for values in phi)


@pytest.mark.parametrize(("threshold", "place"), [(0.5, 0.0), (0.9, np.log(9)), (0.0, SPREAD[0]), (1.0, SPREAD[1])])
def test_a_cut_stands_where_its_threshold_is_and_at_the_end_where_that_is_beyond(confidences, threshold, place):
    ax = cut(*confidences, threshold).axes[0]
    np.testing.assert_allclose(ax.lines[-1].get_xdata(), place)
    assert ax.get_xlim() == pytest.approx(SPREAD)
    plt.close("all")


def test_all_answers_are_in_the_histograms_of_a_cut_sure_ones_too(confidences):
    ax = cut(np.append(confidences[0], [1.0, 1.0]), confidences[1], 0.9).axes[0]
    for outline in ax.patches[1::2]:  # a filled and a drawn one for each group
        corners = outline.get_path().vertices
        steps = [(b[0] - a[0]) * a[1] for a, b in pairwise(corners) if a[1] == b[1] and b[0] > a[0]]
        assert sum(steps) == pytest.approx(100 * (SPREAD[1] - SPREAD[0]) / 24)
    plt.close("all")


def test_thresholds_of_others_fall_on_the_curve_of_the_target(confidences):
    thresholds = [0.5, 0.99, 1.0]
    ax = thresholds_on_curve(*confidences, thresholds).axes[0]
    curve, dots = ax.lines[0].get_xydata(), [line for line in ax.lines if line.get_marker() == "o"]
    worth = [(confidences[0] >= t).mean() - (confidences[1] >= t).mean() for t in thresholds]
    assert [dot.get_ydata()[0] for dot in dots] == pytest.approx(worth)
    assert dots[0].get_ydata()[0] == pytest.approx(np.interp(0.0, *curve.T), abs=0.01)
    plt.close("all")


def test_an_arrow_goes_from_the_network_without_a_digit_to_the_one_with_it():
    before, after, others = [-40.0, 3.0], [2.0, 1.0], np.arange(101.0)
    figure = moved(np.zeros((2, 1, 28, 28)), before, after, ["a 3", "a 7"], others)
    (ax,) = figure.axes
    crosses, dots = ax.lines
    np.testing.assert_allclose(crosses.get_xdata(), [ax.get_xlim()[0], 3.0])  # what lies beyond the axis, at its end
    np.testing.assert_allclose(dots.get_xdata(), after)
    assert (crosses.get_label(), dots.get_label()) == ("trained without it", "trained with it")
    tips = [(text.xyann[0], text.xy[0]) for text in ax.texts]
    assert tips == [(ax.get_xlim()[0], 2.0), (3.0, 1.0)]
    (region,) = ax.patches
    assert (region.get_x(), region.get_width()) == (pytest.approx(5), pytest.approx(90))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a 3", "a 7"]
    plt.close(figure)


def test_each_shadow_has_a_dot_at_its_worth_and_the_readers_a_star():
    columns = ["shadow", "worth, confidence", "worth, φ"]
    rows = [("good", 0.07, 0.11), ("good", 0.07, 0.12), ("early", 0.01, 0.09), ("yours", 0.03, 0.08)]
    figure = worth_of_shadows(
        pd.DataFrame(rows, columns=columns).set_index("shadow"), 0.076, {"confidence": 0.11, "φ": 0.135}
    )
    for ax, column, best in zip(figure.axes, (1, 2), (0.11, 0.135), strict=True):
        gap, highest, *kinds = ax.lines
        assert (gap.get_xdata()[0], highest.get_xdata()[0]) == (0.076, best)
        for kind, line in zip(("good", "early", "yours"), kinds, strict=True):
            np.testing.assert_allclose(line.get_xdata(), [row[column] for row in rows if row[0] == kind])
            assert line.get_marker() == ("*" if kind == "yours" else "o")
        assert len(set(zip(kinds[0].get_xdata(), kinds[0].get_ydata()))) == 2  # equal ones do not hide each other
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["good", "early", "yours"]
    plt.close(figure)


def test_two_models_are_compared_on_one_axis_with_one_legend():
    rng = np.random.default_rng(0)
    panels = {name: (rng.random(50), rng.random(60)) for name in ("members", "non-members")}
    figure = compared(panels, names=("target", "shadow"))
    assert [ax.get_xlabel() for ax in figure.axes] == ["members", "non-members"]
    assert all(ax.get_xlim() == SPREAD for ax in figure.axes)
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["target", "shadow"]
    assert figure.axes[1].get_legend() is None and figure.get_figwidth() <= 7
    plt.close(figure)

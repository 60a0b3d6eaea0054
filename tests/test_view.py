"""What the reader sees: figures, sliders, and the lines that checkpoints and exercises print."""

import json
import linecache
import re

import matplotlib

matplotlib.use("Agg")

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from ipywidgets.widgets.widget import _instances
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from mia_helpers import plots
from mia_helpers.course import checks, widgets
from mia_helpers.metrics import Estimate, roc_curve


@pytest.fixture(autouse=True)
def no_figures_left(monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: None)  # this backend has no window to show and would warn
    yield
    plt.close("all")


def rendered(figure: Figure) -> Figure:
    """Draw it for real: some mistakes only show then."""
    figure.canvas.draw()
    return figure


def shares(polygon) -> list[float]:
    """Heights of the bins of a histogram drawn as an outline."""
    return polygon.get_xy()[1:-1:2, 1].tolist()


# --- histograms


@pytest.mark.parametrize("log", [True, False])
def test_histogram_heights_are_per_cent_of_each_group(log):
    members, non_members = [0.05, 0.15, 0.16, 0.95], [0.05] * 9 + [0.55]
    ax = plots.confidence_histograms(members, non_members, bins=10, log=log)
    assert isinstance(ax, Axes) and len(ax.patches) == 4
    outlines = {patch.get_label(): patch for patch in ax.patches if patch.get_label() in ("members", "non-members")}
    assert shares(outlines["members"]) == pytest.approx([25, 50, 0, 0, 0, 0, 0, 0, 0, 25])
    assert shares(outlines["non-members"]) == pytest.approx([90, 0, 0, 0, 0, 10, 0, 0, 0, 0])
    assert to_rgb(outlines["members"].get_edgecolor()) == to_rgb(plots.MEMBER)
    assert to_rgb(outlines["non-members"].get_edgecolor()) == to_rgb(plots.NON_MEMBER)
    solid = [outlines[name].get_linestyle() in ("-", (0, None)) for name in ("members", "non-members")]
    assert solid == [True, False], "not by colour alone"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("confidence", "share of the group (%)")
    assert ax.get_yscale() == ("log" if log else "linear") and ax.get_xlim() == (0, 1)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["members", "non-members"]
    rendered(ax.figure)


def test_histogram_keeps_values_beyond_the_limits_in_the_last_bins():
    ax = plots.confidence_histograms([-9.0, -1.5, 0.5, 99.0], [1.9], bins=4, limits=(-2, 2), label="score", names=("a", "b"))
    first, second = [patch for patch in ax.patches if patch.get_label() in ("a", "b")]
    assert shares(first) == pytest.approx([50, 0, 25, 25]) and shares(second) == pytest.approx([0, 0, 0, 100])
    assert ax.get_xlabel() == "score" and ax.get_xlim() == (-2, 2)


def test_figures_can_be_drawn_into_given_axes():
    figure, (left, right) = plt.subplots(1, 2)
    assert plots.confidence_histograms([0.1], [0.2], ax=left) is left
    assert plots.estimates({"a": Estimate(0.5, 0.4, 0.6)}, label="AUC", ax=right) is right
    assert plt.get_fignums() == [figure.number]


# --- ROC


def curves(n: int, n_non_members: int = 100) -> dict:
    rng = np.random.default_rng(n)
    is_member = np.arange(150 + n_non_members) < 150
    return {f"attack {i}": (rng.normal(is_member * (i + 1) / 2, 1), is_member) for i in range(n)}


@pytest.mark.parametrize("n", [1, 8])
def test_roc_has_every_curve_and_the_chance_line_on_both_axes(n):
    scores = curves(n)
    figure = plots.roc(scores)
    assert isinstance(figure, Figure) and len(figure.axes) == 2
    for ax in figure.axes:
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("false-positive rate", "true-positive rate")
        lines = {line.get_label(): line for line in ax.lines}
        assert list(lines) == [*scores, "chance"]
        assert lines["chance"].get_xydata().tolist() == [[0, 0], [1, 1]] and lines["chance"].get_linestyle() == ":"
        for name, data in scores.items():
            fpr, tpr, _ = roc_curve(*data)
            np.testing.assert_array_equal(lines[name].get_xydata(), np.column_stack([fpr, tpr]))
            assert lines[name].get_drawstyle() == "steps-post"
        assert len({(line.get_color(), line.get_linestyle()) for line in ax.lines}) == n + 1
    linear, loglog = figure.axes
    assert (linear.get_xscale(), linear.get_yscale()) == ("linear", "linear")
    assert (loglog.get_xscale(), loglog.get_yscale()) == ("log", "log")
    assert loglog.get_xlim() == loglog.get_ylim() == (0.1, 1)
    (legend,) = figure.legends  # one for both, of which it hides neither
    assert [text.get_text() for text in legend.get_texts()] == [*scores, "chance"]
    box = legend.get_window_extent(rendered(figure).canvas.get_renderer())
    assert all(box.y1 <= ax.xaxis.label.get_window_extent().y0 + 1 for ax in figure.axes)


def test_roc_starts_where_it_is_told_or_where_the_fewest_non_members_allow():
    both = {**curves(1, 1000), "few": curves(1, 50)["attack 0"]}
    assert plots.roc(both).axes[1].get_xlim()[0] == pytest.approx(10 / 50)
    assert plots.roc(both, smallest_fpr=0.001).axes[1].get_xlim()[0] == pytest.approx(0.001)


def test_roc_of_several_targets_pools_them_and_counts_people():
    rng = np.random.default_rng(0)
    scores, is_member = rng.normal(size=(3, 200)), np.tile(np.arange(200) < 100, (3, 1))
    figure = plots.roc({"one": (scores, is_member)})
    fpr, tpr, _ = roc_curve(scores.ravel(), is_member.ravel())
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_xydata(), np.column_stack([fpr, tpr]))
    assert figure.axes[1].get_xlim()[0] == pytest.approx(10 / 100)


def test_one_roc_in_given_axes():
    scores = curves(2)
    ax = plt.subplots()[1]
    assert plots.roc_axes(scores, ax=ax, log=True, smallest_fpr=0.01) is ax
    assert [line.get_label() for line in ax.lines] == [*scores, "chance"]
    assert (ax.get_xscale(), ax.get_yscale(), ax.get_xlim(), ax.get_ylim()) == ("log", "log", (0.01, 1), (0.01, 1))


# --- the others


def test_learning_curves():
    history = {
        "loss": [2.0, 1.0, 0.5],
        "accuracy": [0.3, 0.6, 0.9],
        "validation_loss": [2.1, 1.5, 1.2],
        "validation_accuracy": [0.2, 0.5, 0.6],
    }
    figure = plots.learning_curves(history, names=("seen", "unseen"))
    assert isinstance(figure, Figure)
    assert [(ax.get_xlabel(), ax.get_ylabel()) for ax in figure.axes] == [
        ("epoch", "cross-entropy (nats)"),
        ("epoch", "accuracy"),
    ]
    for ax, quantity in zip(figure.axes, ("loss", "accuracy")):
        seen, unseen = ax.lines
        assert seen.get_xdata().tolist() == [1, 2, 3] and seen.get_ydata().tolist() == history[quantity]
        assert unseen.get_ydata().tolist() == history[f"validation_{quantity}"]
        assert (seen.get_label(), unseen.get_label()) == ("seen", "unseen")
        assert (seen.get_color(), unseen.get_color()) == (plots.MEMBER, plots.NON_MEMBER)
        assert (seen.get_linestyle(), unseen.get_linestyle()) == ("-", "--")
    assert figure.axes[0].get_ylim()[0] == 0
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["seen", "unseen"]
    rendered(figure)


@pytest.mark.parametrize("shape", [(7, 1, 28, 28), (7, 28, 28)])
@pytest.mark.parametrize("titles", [(), list("abcdefg")])
def test_image_grid(shape, titles):
    images = np.random.default_rng(0).random(shape, dtype=np.float32)
    figure = plots.image_grid(images, titles, columns=3)
    assert isinstance(figure, Figure) and len(figure.axes) == 9  # three rows, the last with two empty places
    shown = [ax for ax in figure.axes if ax.images]
    assert len(shown) == 7 and not any(ax.axison for ax in figure.axes)
    for i, ax in enumerate(shown):
        np.testing.assert_array_equal(ax.images[0].get_array(), images.reshape(-1, 28, 28)[i])
        assert ax.images[0].get_clim() == (0, 1)
        assert ax.get_title() == (titles[i] if titles else "")
    assert shown[0].images[0].get_cmap().name == "gray_r", "ink on paper"
    rendered(figure)


def test_rows_of_images_can_have_names_to_the_left_of_them():
    figure = plots.image_grid(np.zeros((4, 28, 28)), list("abcd"), columns=2, scale=1.2, rows=("first", "second"))
    rendered(figure)
    for ax, name in zip(figure.axes[::2], ("first", "second")):
        (text,) = ax.texts
        assert text.get_text() == name and text.get_window_extent().x1 <= ax.get_window_extent().x0
        assert text.get_window_extent().x0 >= 0
    assert not figure.axes[1].texts and not figure.axes[3].texts


@pytest.mark.parametrize("horizontal", [False, True])
def test_the_chance_line_has_a_name_that_stands_outside_the_axes(horizontal):
    ax = plt.subplots(layout="constrained")[1]
    ax.set(xlim=(0, 1), ylim=(0, 1))
    plots.chance_line(ax, 0.5, horizontal=horizontal, name="one half")
    x, y = ax.lines[0].get_data()
    assert set(y if horizontal else x) == {0.5} and ax.lines[0].get_linestyle() == ":"
    (text,) = ax.texts
    rendered(ax.figure)
    place, frame = text.get_window_extent(), ax.get_window_extent()
    assert text.get_text() == "one half"
    assert place.x0 >= frame.x1 if horizontal else place.y0 > frame.y1 - 4, "but for the room under a g"
    assert ax.figure.bbox.contains(*text.get_window_extent().max), "nothing is cut off"


@pytest.mark.parametrize("draw", [lambda: plots.roc(curves(2)), lambda: plots.image_grid(np.zeros((20, 28, 28)), "a" * 20)])
def test_figures_are_narrow_enough_for_a_telephone(draw):
    assert draw().get_figwidth() <= 7.3


@pytest.mark.parametrize("chance", [None, 0.5])
def test_estimates(chance):
    rows = {"first": Estimate(0.6, 0.55, 0.66), "second": Estimate(0.5, 0.4, 0.7), "third": Estimate(0.9, 0.8, 1.0)}
    ax = plots.estimates(rows, label="AUC", chance=chance)
    assert isinstance(ax, Axes) and ax.get_xlabel() == "AUC"
    assert len(ax.lines) == len(rows) + 1 + (chance is not None)
    for y, (estimate, bar) in enumerate(zip(rows.values(), ax.lines)):
        assert bar.get_xydata().tolist() == [[estimate.low, y], [estimate.high, y]]
    assert ax.lines[3].get_xydata().tolist() == [[estimate.value, y] for y, estimate in enumerate(rows.values())]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == list(rows)
    assert ax.get_ylim()[0] > ax.get_ylim()[1], "the first row is at the top"
    if chance is not None:
        assert set(ax.lines[-1].get_xdata()) == {chance}
        assert [text.get_text() for text in ax.texts] == ["chance"]
    rendered(ax.figure)


def test_estimates_of_several_kinds_are_told_apart_without_colour_and_found_by_name():
    some = {n: Estimate(n / 10, n / 10 - 0.1, n / 10 + 0.2) for n in (1, 2, 4)}
    rows = {"x": {"naive": some[1], "adaptive": some[2]}, "y": {"adaptive": some[4]}}
    ax = plots.estimates(rows, label="AUC")
    marks = {line.get_label(): line for line in ax.lines if line.get_marker() != "None"}
    assert list(marks) == ax.get_legend_handles_labels()[1] == ["naive", "adaptive"]
    assert list(marks["naive"].get_xdata()) == [0.1] and list(marks["adaptive"].get_xdata()) == [0.2, 0.4]
    heights = [*marks["naive"].get_ydata(), *marks["adaptive"].get_ydata()]
    assert np.round(heights).tolist() == [0, 0, 1] and heights[0] < heights[1]
    assert len({line.get_marker() for line in marks.values()}) == len({line.get_color() for line in marks.values()}) == 2
    assert [t.get_text() for t in ax.get_yticklabels()] == ["x", "y"]
    with pytest.raises(ValueError, match="marks for 4 kinds, got 5"):
        plots.estimates({"x": dict.fromkeys("abcde", some[1])}, label="AUC")


def test_members_and_non_members_have_colours_of_their_own():
    assert len({plots.MEMBER, plots.NON_MEMBER, plots.NEUTRAL}) == 3
    assert len(set(plots.SERIES)) == len(plots.SERIES) >= 6
    assert plots.NON_MEMBER not in plots.SERIES and "#E69F00" not in plots.SERIES, "orange means non-members, nothing else"


# --- sliders


@pytest.fixture
def shown(monkeypatch):
    """The sliders that were displayed."""
    found = []
    monkeypatch.setattr(widgets, "display", lambda bundle, raw: found.append(_instances[bundle[widgets.WIDGET]["model_id"]]))
    monkeypatch.delenv("MIA_SWEEP_SLIDERS", raising=False)
    return found


def test_sweep_draws_at_both_ends_and_at_the_start(monkeypatch, shown):
    monkeypatch.setenv("MIA_SWEEP_SLIDERS", "1")
    calls = []

    def draw(value):
        calls.append(value)
        plt.figure()

    widgets.slider(draw, low=1, high=9, step=2, start=3, name="n")
    assert calls == [1, 3, 9, 3], "and at the start once more, to be seen"
    assert plt.get_fignums() == [], "no figures are left"


@pytest.mark.parametrize("bad", [0.0, 0.25, 1.0])
def test_an_error_anywhere_in_the_sweep_is_raised(monkeypatch, shown, bad):
    def draw(value):
        if value == bad:
            raise ZeroDivisionError(f"at {value}")

    monkeypatch.setenv("MIA_SWEEP_SLIDERS", "1")
    with pytest.raises(ZeroDivisionError, match=f"at {bad}"):
        widgets.slider(draw, low=0.0, high=1.0, step=0.25, start=0.25, name="x")
    assert not shown
    monkeypatch.delenv("MIA_SWEEP_SLIDERS")
    widgets.slider(draw, low=0.0, high=1.0, step=0.25, start=0.5, name="x")
    assert shown
    with pytest.raises(ZeroDivisionError, match=f"at {bad}"):
        widgets.slider(draw, low=0.0, high=1.0, step=0.25, start=bad, name="x")


@pytest.mark.parametrize(
    ("numbers", "texts", "values"),
    [
        ((1, 9, 4, 5), ["1", "5", "9"], [1, 5, 9]),
        ((0.0, 0.4, 0.1, 0.1), ["0.0", "0.1", "0.2", "0.3", "0.4"], [0.0, 0.1, 0.2, 0.3, 0.4]),
        ((0, 1, 0.5, 0), ["0.0", "0.5", "1.0"], [0.0, 0.5, 1.0]),
        ((-1.0, 1.0, 0.75, 0.1), ["−1.00", "−0.25", "0.10", "0.50", "1.00"], [-1.0, -0.25, 0.1, 0.5, 1.0]),
        ((200, 4000, 1900, 200), ["200", "2100", "4000"], [200, 2100, 4000]),
        ((3, 3, 1, 3), ["3"], [3]),
    ],
)
def test_a_slider_has_its_steps_with_the_digits_that_they_need(shown, numbers, texts, values):
    calls, (low, high, step, start) = [], numbers
    widgets.slider(calls.append, low=low, high=high, step=step, start=start, name="threshold")
    (slider,) = shown
    assert slider.names == ["threshold"] and slider.stops == [texts]
    assert calls == [start] and slider.shown == slider.asked == [values.index(start)]
    for place in reversed(range(len(values))):
        slider.asked = [place]
    assert calls[-1] == values[0] and {*calls} == {*values} and {*map(type, calls)} == {type(values[0])}


def test_moving_the_slider_draws_says_and_describes(shown, capsys):
    def draw(value):
        _, ax = plt.subplots()
        ax.plot([0, value], label="a line")
        ax.set(title="A rise", xlabel="to the right", ylabel="up")
        ax.legend()
        print("said", value)

    other = plt.figure().number
    widgets.slider(draw, low=0, high=5, step=1, start=2, name="n")
    (slider,) = shown
    first = slider.pictures
    slider.asked = [4]
    assert slider.shown == [4] and slider.drawn == 2 and slider.said == "said 4\n" and slider.error == ""
    (png,) = slider.pictures
    assert png.startswith(b"\x89PNG") and [png] != first
    assert slider.alts == ["n 4. A rise: up against to the right: a line"]
    assert capsys.readouterr().out == "" and plt.get_fignums() == [other]


def test_what_draw_raises_is_shown_and_the_next_move_draws_again(shown):
    def draw(value):
        plt.figure().suptitle(f"{1 / value:g}")
        plt.gca().set_title("inverse")

    widgets.slider(draw, low=0, high=2, step=1, start=1, name="n")
    (slider,) = shown
    slider.asked = [0]
    assert "ZeroDivisionError" in slider.error and slider.shown == [0] and slider.pictures == slider.alts == []
    slider.asked = [2]
    assert slider.error == "" and slider.alts == ["n 2. 0.5. inverse"] and slider.drawn == 3
    assert plt.get_fignums() == []


def test_a_figure_that_was_open_before_is_drawn_upon_if_draw_opens_none(shown):
    plt.subplots()
    widgets.slider(lambda value: plt.title(f"at {value}"), low=0, high=1, step=1, start=0, name="n")
    assert shown[0].alts == ["n 0. at 0"]


@pytest.mark.parametrize("start", [-0.01, 1.01, float("nan")])
def test_start_must_lie_on_the_slider(shown, start):
    with pytest.raises(ValueError, match=f"start must lie between 0 and 1, got {start}"):
        widgets.slider(print, low=0, high=1, step=0.1, start=start, name="x")
    with pytest.raises(ValueError, match="step must be above 0, got 0"):
        widgets.slider(print, low=0, high=1, step=0, start=0, name="x")
    assert not shown


def test_axes_stay_where_they_are_as_long_as_what_is_written_needs_no_other_room(shown, monkeypatch):
    laid_out = []
    execute = ConstrainedLayoutEngine.execute

    def counted(self, figure):
        laid_out.append(figure)
        return execute(self, figure)

    monkeypatch.setattr(ConstrainedLayoutEngine, "execute", counted)

    def draw(place):
        figure, (left, right) = plt.subplots(1, 2, figsize=(5, 2), layout="constrained")
        left.plot([0, place], [0, 1])
        left.set(xlim=(0, 9), title=f"at {place}", xlabel="x\nand more" if place == 4 else "x")
        right.plot([0, 10_000 if place == 5 else 1], [0, 10_000 if place == 5 else 1])

    for start in (1, 3, 4, 5):  # each from the start: what the pictures are to be
        widgets.slider(draw, low=1, high=5, step=1, start=start, name="n")
    fresh = {slider.shown[0] + 1: list(slider.pictures) for slider in shown}
    (slider, *_), n = shown, len(laid_out)
    for place, layouts in ((3, 0), (4, 1), (5, 2), (1, 2), (4, 2), (5, 2)):
        slider.asked = [place - 1]
        assert slider.pictures == fresh[place], place
        assert len(laid_out) == n + layouts, place


def test_two_sliders_on_one_figure(shown):
    calls = []
    widgets.Drawing(
        lambda *places: calls.append(places), {"a": {"1": 1, "2": 2}, "b": {"x": "x", "y": "y"}}, (2, "x")
    ).show()
    (both,) = shown
    assert calls == [(2, "x")] and both.names == ["a", "b"] and both.stops == [["1", "2"], ["x", "y"]]
    both.asked = [0, 1]
    assert calls[-1] == (1, "y") and both.shown == [0, 1]


def test_a_slider_over_stops_tries_all_of_them_and_shows_their_names(monkeypatch, shown):
    drawn = []
    monkeypatch.setenv("MIA_SWEEP_SLIDERS", "1")
    widgets.stops(drawn.append, options=("ε = 1", "ε = 8", "none"), start="ε = 8", name="stop")
    assert drawn == ["ε = 1", "ε = 8", "none", "ε = 8"]
    assert shown[0].stops == [["ε = 1", "ε = 8", "none"]] and shown[0].shown == [1]
    widgets.stops(drawn.append, options=[1, 0.5, -0.00001, 0.1 + 0.2], start=0.5, name="level")
    assert shown[1].stops == [["1", "0.5", "−1e−05", "0.3"]]
    shown[1].asked = [2]
    assert drawn[-1] == -0.00001
    with pytest.raises(ValueError, match="start must be one of a, b, got 'c'"):
        widgets.stops(drawn.append, options=("a", "b"), start="c", name="x")


def test_in_print_nothing_is_left_of_a_slider_and_a_text_of_what_shows_either(monkeypatch):
    bundles = []
    monkeypatch.setattr(widgets, "display", lambda bundle, raw: bundles.append(bundle))
    widgets.slider(print, low=0, high=1, step=1, start=0, name="n")
    widgets.show_either(ipywidgets.HTML(), "a < b")
    assert [set(bundle) - {widgets.WIDGET} for bundle in bundles] == [{"text/plain"}, {"text/plain", "text/html"}]
    assert "a &lt; b" in bundles[1]["text/html"]


# --- checkpoints


STOPS_HERE = "\n(The run stops at this cell: nothing below it has been run.)"


@pytest.mark.parametrize("value", [0.25, 0.3, 0.5, np.float32(0.5), Estimate(0.3, 0.1, 0.9)])
def test_between_prints_the_sentence_and_neither_band_nor_value(capsys, value):
    checks.between("some are read", value, 0.25, 0.5)
    assert capsys.readouterr().out == "✓ some are read\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.51237, "0.5124"), (0.1, "0.1"), (float("nan"), "nan"), (float("inf"), "inf"), (Estimate(0.6, 0.3, 0.7), "0.6")],
)
def test_between_says_what_was_measured(capsys, value, text):
    with pytest.raises(AssertionError) as error:
        checks.between("accuracy", value, 0.25, 0.5)
    assert str(error.value) == f"✗ accuracy: {text} outside [0.25, 0.5]{STOPS_HERE}"
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("check", "good", "bad", "band"),
    [
        (checks.at_least, 2, 1.9, "[2, ∞]"),
        (checks.at_most, 2, 2.1, "[-∞, 2]"),
        (checks.at_most, -1e9, float("nan"), "[-∞, 2]"),
    ],
)
def test_a_band_with_one_end(capsys, check, good, bad, band):
    check("few", good, 2)
    assert capsys.readouterr().out == "✓ few\n"
    with pytest.raises(AssertionError, match=re.escape(f"✗ few: {bad:.4g} outside {band}")):
        check("few", bad, 2)


def test_a_sentence_about_several_numbers_names_those_that_do_not_hold(capsys, monkeypatch, tmp_path):
    several = {"trees": 0.3, "forest": Estimate(0.7, 0.6, 0.8), "boosting": 0.4, "bayes": 0.8}
    checks.between("all are near", several, 0.3, 0.8)
    assert capsys.readouterr().out == "✓ all are near\n"
    with pytest.raises(AssertionError) as error:
        checks.at_most("all are small", several, 0.5)
    assert str(error.value) == f"✗ all are small: forest 0.7, bayes 0.8 outside [-∞, 0.5]{STOPS_HERE}"
    with pytest.raises(ValueError, match="about nothing"):
        checks.at_most("all are small", {}, 0.5)
    monkeypatch.setenv("MIA_CLAIMS_FILE", str(tmp_path / "claims"))
    checks.at_most("all are small", several, 0.5)
    assert capsys.readouterr().out == "✗ all are small: forest 0.7, bayes 0.8 outside [-∞, 0.5]\n"
    claims = [json.loads(line) for line in (tmp_path / "claims").read_text().splitlines()]
    assert [(c["words"], c["value"], c["low"], c["high"], c["held"]) for c in claims] == [
        ("all are small: trees", 0.3, None, 0.5, True),
        ("all are small: forest", 0.7, None, 0.5, False),
        ("all are small: boosting", 0.4, None, 0.5, True),
        ("all are small: bayes", 0.8, None, 0.5, False),
    ]


def test_an_exercise_that_is_not_passed_stops_the_tests_and_nobody_else(capsys, monkeypatch):
    checks.exercise("2.1", lambda: "the sign is wrong", "done")
    monkeypatch.setenv("MIA_STRICT_EXERCISES", "1")
    with pytest.raises(AssertionError, match="✗ exercise 2.1: the sign is wrong"):
        checks.exercise("2.1", lambda: "the sign is wrong", "done")
    checks.exercise("2.1", lambda: checks.NOT_ATTEMPTED, "done")
    checks.exercise("2.1", lambda: None, "done")


def test_holds(capsys):
    checks.holds("members are seen", np.True_)
    assert capsys.readouterr().out == "✓ members are seen\n"
    with pytest.raises(AssertionError, match=f"^✗ members are seen: not so{re.escape(STOPS_HERE)}$"):
        checks.holds("members are seen", np.False_)
    assert capsys.readouterr().out == ""


def stop():
    raise KeyError("n_members")


@pytest.mark.parametrize(
    ("check", "line"),
    [
        (lambda: None, "✓ exercise 2.1: the gap grows"),
        (lambda: checks.NOT_ATTEMPTED, "… exercise 2.1 not attempted yet"),
        (lambda: "the sign is wrong", "✗ exercise 2.1, not yet: the sign is wrong"),
        (stop, "✗ exercise 2.1, not yet: it stops with KeyError: 'n_members'"),
        (lambda: [][0], "✗ exercise 2.1, not yet: it stops with IndexError: list index out of range"),
        (
            lambda: checks.holds("x", False),
            f"✗ exercise 2.1, not yet: it stops with AssertionError: ✗ x: not so{STOPS_HERE}",
        ),
        (
            lambda: print("0.3") or checks.NOT_ATTEMPTED,
            "✗ exercise 2.1, not yet: it prints, but returns None; return what it prints",
        ),
        (lambda: print("seen") or "the sign is wrong", "seen\n✗ exercise 2.1, not yet: the sign is wrong"),
        (lambda: print("seen"), "seen\n✓ exercise 2.1: the gap grows"),
    ],
)
def test_exercise_verdicts(capsys, check, line):
    assert checks.exercise("2.1", check, "the gap grows") is None
    assert capsys.readouterr().out == line + "\n"


def test_an_exercise_that_stops_names_the_readers_line(capsys):
    cell = "def gap(a, b):\n    half = a / 2\n    return half / b\n"
    linecache.cache["cell"] = (len(cell), None, cell.splitlines(keepends=True), "cell")
    reader = {"__name__": "__main__"}
    exec(compile(cell, "cell", "exec"), reader)
    checks.exercise("2.1", lambda: str(reader["gap"](1, 0)), "done")
    assert "it stops in line 3 of its cell, `return half / b`, with ZeroDivisionError" in capsys.readouterr().out
    mine = "def own(a):\n    return gap(a, 0)\n"  # which calls what another cell holds
    linecache.cache["mine"] = (len(mine), None, mine.splitlines(keepends=True), "mine")
    exec(compile(mine, "mine", "exec"), reader)
    checks.exercise("2.1", lambda: str(reader["own"](1)), "done")
    assert "it stops in line 2 of its cell, `return gap(a, 0)`, with ZeroDivisionError" in capsys.readouterr().out
    checks.exercise("2.1", lambda: str(np.stack([reader["gap"](1, 1), np.zeros(2)])), "done")  # raised by what uses it
    assert "it stops with ValueError" in capsys.readouterr().out


def test_exercise_does_not_swallow_the_stop_button():
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checks.exercise("2.1", interrupted, "done")


def test_a_fold_hides_the_page_behind_its_line_and_is_text_elsewhere(monkeypatch):
    shown = []
    monkeypatch.setattr(widgets, "display", lambda bundle, raw: shown.append(bundle))
    widgets.fold("all of it <here>", pd.DataFrame({"a": [1]}))
    (bundle,) = shown
    assert bundle["text/html"].startswith("<details><summary>all of it &lt;here&gt;</summary><div>")
    assert bundle["text/html"].endswith("</div></details>") and "<table" in bundle["text/html"]
    assert bundle["text/plain"].splitlines()[0] == "all of it <here>" and "0  1" in bundle["text/plain"]

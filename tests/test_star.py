"""The star of notebook 01: what the kernel answers about a place. How it is shown, and in a browser: tests/browser."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import traitlets
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from sklearn.linear_model import LogisticRegression

from mia_helpers.course import star, widgets
from mia_helpers.course.patients import EDGE, N_GRID, draw_patients, plot_regions

POINTS, ILL = draw_patients(30, seed=0)
PERSON = np.array([[-2.0, 1.0]])


@pytest.fixture(autouse=True)
def a_reader(monkeypatch):
    monkeypatch.delenv("MIA_SWEEP_SLIDERS", raising=False)


@pytest.fixture
def trained():
    """Where models were trained."""
    return []


@pytest.fixture
def widget(trained):
    def train(x, y):
        trained.append((x, y))
        return LogisticRegression().fit(np.vstack([POINTS, (x, y)]), np.append(ILL, 1))

    return star.Star(train, LogisticRegression().fit(POINTS, ILL), POINTS, ILL, start=(-1.0, 0.5))


def as_probabilities(content: bytes) -> np.ndarray:
    """The slow way back: two bytes each, the lower one first."""
    pairs = [content[k] + 256 * content[k + 1] for k in range(0, len(content), 2)]
    return np.array(pairs).reshape(N_GRID, N_GRID) / 65_535


def asked_one_by_one(model) -> np.ndarray:
    step = 2 * EDGE / (N_GRID - 1)
    places = [[(-EDGE + step * column, -EDGE + step * row) for column in range(N_GRID)] for row in range(N_GRID)]
    return np.array([[model.predict_proba([place])[0, 1] for place in row] for row in places])


def test_maps_are_what_the_models_say_asked_point_by_point(widget):
    with_star = LogisticRegression().fit(np.vstack([POINTS, (-1.0, 0.5)]), np.append(ILL, 1))
    without = LogisticRegression().fit(POINTS, ILL)
    for content, model in ((widget.answer["map"], with_star), (widget.setting["without"], without)):
        np.testing.assert_allclose(as_probabilities(content), asked_one_by_one(model), atol=0.5 / 65_535 + 1e-9)
    assert widget.answer["with"] == pytest.approx(with_star.predict_proba([[-1.0, 0.5]])[0, 1], abs=1e-12)
    assert widget.answer["without"] == pytest.approx(without.predict_proba([[-1.0, 0.5]])[0, 1], abs=1e-12)
    assert np.ptp(as_probabilities(widget.answer["map"]) - as_probabilities(widget.setting["without"])) > 0.01


def test_the_newest_place_is_what_is_answered_and_each_answer_names_its_question(widget, trained):
    answers = []
    widget.observe(lambda change: answers.append(change["new"]), "answer")
    for place in ([0.0, 1.0], [0.2, 1.0], [2.0, -2.0]):
        widget.asked = place
    assert widget.answer["asked"] == widget.answer["at"] == [2.0, -2.0]
    assert [answer["asked"] for answer in answers] == [[0.0, 1.0], [0.2, 1.0], [2.0, -2.0]]
    assert trained == [(-1.0, 0.5), (0.0, 1.0), (0.2, 1.0), (2.0, -2.0)]


def test_a_place_outside_is_drawn_back_to_the_edge(widget, trained):
    widget.asked = [-9.0, 3.5]
    assert widget.answer["asked"] == [-9.0, 3.5] and widget.answer["at"] == [-3.0, 3.0] == list(trained[-1])


@pytest.mark.parametrize("nowhere", [[float("nan"), 0.0], [float("inf"), 0.0], [1.0], [1.0, 1.0, 1.0], ["1", "1"], None])
def test_what_is_no_place_is_refused_and_what_was_shown_stays(widget, trained, nowhere):
    before = widget.answer
    with pytest.raises(traitlets.TraitError):
        widget.asked = nowhere
    assert widget.answer is before and len(trained) == 1


def test_colours_and_people_are_those_of_the_figure_in_print(widget):
    ax = plot_regions(LogisticRegression().fit(POINTS, ILL), POINTS, ILL)
    filled = next(c for c in ax.collections if not isinstance(c, PathCollection) and len(c.get_facecolor()) > 1)
    *colours, alpha = filled.get_facecolor().T
    on_white = np.transpose(colours) * alpha[:, None] + 1 - alpha[:, None]
    assert widget.setting["colours"] == [to_hex(colour) for colour in on_white]
    assert len(set(widget.setting["colours"])) == 10
    assert widget.setting["points"] == POINTS.tolist() and widget.setting["ill"] == ILL.tolist()
    assert (-widget.setting["edge"], widget.setting["edge"]) == ax.get_xlim() == ax.get_ylim()
    plt.close("all")


def test_drag_shows_the_widget_or_a_text_and_returns_nothing(monkeypatch):
    shown, trained = [], []
    monkeypatch.setattr(widgets, "display", lambda bundle, raw: shown.append(bundle))
    model = LogisticRegression().fit(POINTS, ILL)
    show = (lambda x, y: trained.append((x, y)) or model), model, POINTS, ILL
    assert star.drag(*show, start=(0.0, 0.0)) is None
    (bundle,) = shown
    assert "needs a running kernel" in bundle["text/plain"] and "application/vnd.jupyter.widget-view+json" in bundle
    assert trained == [(0.0, 0.0)]


def test_a_sweep_tries_the_corners_and_finds_an_error_there(monkeypatch):
    monkeypatch.setattr(widgets, "display", lambda bundle, raw: None)
    monkeypatch.setenv("MIA_SWEEP_SLIDERS", "1")
    model, trained = LogisticRegression().fit(POINTS, ILL), []

    def train(x, y):
        trained.append((x, y))
        if (x, y) == (3.0, 3.0):
            raise ZeroDivisionError
        return model

    with pytest.raises(ZeroDivisionError):
        star.drag(train, model, POINTS, ILL, start=(0.0, 0.0))
    assert trained == [(0.0, 0.0), (-3.0, -3.0), (-3.0, 3.0), (3.0, -3.0), (3.0, 3.0)]

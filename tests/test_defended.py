"""The eight models of notebook 05: who attacks whom, what is compared with what, and the knobs."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from mia_helpers.attacks import ThresholdAttack
from mia_helpers.course import defended
from mia_helpers.course.defended import (
    Models,
    attacked,
    lead,
    own,
    plot_bargains,
    plot_knobs,
    plot_leads,
    train,
    with_wrong_labels,
)
from mia_helpers.metrics import Estimate, auc, best_threshold

SMALL = {"n_models": 2, "n_members": 40, "epochs": 1}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIA_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def plain():
    return train(**SMALL)


def by_hand(n_models=4):
    """Two classes, four digits each, the first two members: right about them with certainty, wrong about the others."""
    logits = np.tile(np.array([[9.0, 0.0], [9.0, 0.0], [-1.0, 0.0], [-2.0, 0.0]]), (n_models, 1, 1))
    labels = np.zeros((n_models, 4), dtype=int)
    mask = np.tile([True, True, False, False], (n_models, 1))
    return Models(logits, mask, labels, labels)


def test_owners_alternate_and_each_model_has_its_own_members(plain):
    assert plain.logits.shape == (2, *plain.labels.shape[1:], 10) and plain.labels.shape == plain.member_mask.shape
    assert plain.member_mask.sum(1).tolist() == [40, 40]
    pools = [defended.load_digits(owner).labels.numpy()[: plain.labels.shape[1]] for owner in ("target", "shadow")]
    np.testing.assert_array_equal(plain.truth, pools)
    four = train(**SMALL | {"n_models": 4})
    np.testing.assert_array_equal(four.truth, [*pools, *pools])
    np.testing.assert_array_equal(four.member_mask[:2], plain.member_mask)  # the first are the same, however many follow
    assert not (four.member_mask[0] == four.member_mask[2]).all()


def test_recipes_are_compared_on_the_same_members(plain):
    other = train(**SMALL, dropout=0.5)
    np.testing.assert_array_equal(other.member_mask, plain.member_mask)
    assert not np.allclose(other.logits, plain.logits)


def test_the_spare_digits_are_asked_about_by_nobody(plain):
    assert plain.labels.shape[1] == len(defended.load_digits("target")) - defended.N_SPARE


def test_every_knob_turns_something(plain):
    for knob in ({"width": 0.5}, {"weight_decay": 5.0}, {"label_smoothing": 0.3}, {"epochs": 2}, {"wrong_labels": 0.5}):
        assert not np.allclose(train(**SMALL | knob).logits, plain.logits), knob


def test_patience_stops_early():
    knobs = {"n_models": 2, "n_members": 20, "epochs": 12}
    stopped, on = train(**knobs, patience=1), train(**knobs)
    assert not np.allclose(stopped.logits, on.logits)


def test_the_shadow_is_the_next_model():
    models = by_hand(4)
    models.logits[:, 0, 0] = [1, 2, 3, 4]
    found = [(target.logits[0, 0, 0], shadow.logits[0, 0, 0]) for target, shadow in models.pairs()]
    assert found == [(1, 2), (2, 3), (3, 4), (4, 1)]


def test_accuracy_and_gap_counted_by_hand():
    models = by_hand()
    np.testing.assert_array_equal(models.accuracy, 0)
    np.testing.assert_array_equal(models.gap, 1)
    recorded = Models(models.logits, models.member_mask, 1 - models.labels, models.truth)
    np.testing.assert_array_equal(recorded.accuracy, 0)  # by what the digits are
    np.testing.assert_array_equal(recorded.gap, -1)  # by what the records say


def test_attacked_is_the_attack_pair_by_pair():
    found = attacked(by_hand(), ThresholdAttack())
    np.testing.assert_array_equal(found["AUC"], 1)
    np.testing.assert_array_equal(found["advantage"], 1)
    models = by_hand(2)
    models.logits[1] -= 100 * np.array([1.0, 0.0])  # a shadow that is sure of nothing: everybody passes its threshold
    assert attacked(models, ThresholdAttack())["advantage"][0] == 0


def test_the_threshold_comes_from_the_shadows_given():
    models, shadows = by_hand(2), by_hand(2)
    shadows.logits[:, :, 0] += 100
    found = attacked(models, ThresholdAttack(), shadows)
    np.testing.assert_array_equal(found["AUC"], 1)
    assert (found["advantage"] < 1).all()


def test_the_figure_shows_every_setting_of_every_knob():
    line = {x: Estimate(0.5, 0.5 - x / 10, 0.5 + x / 10) for x in (0.25, 1, 2)}
    figure = plot_knobs(
        {"width": {"": line}, "share": {"one": line, "other": line}}, label="AUC", chance=0.5, linear=["share"]
    )
    first, second = figure.axes
    assert (first.get_xlabel(), second.get_xlabel()) == ("width, log scale", "share")
    assert (first.get_xscale(), second.get_xscale()) == ("log", "linear")
    assert [tick.get_text() for tick in first.get_xticklabels()] == ["0.25", "1", "2"]
    assert first.get_legend() is None and [t.get_text() for t in second.get_legend().get_texts()] == ["one", "other"]
    assert first.get_ylabel() == "AUC"
    marks = [(group.lines[0].get_marker(), group.lines[0].get_linestyle()) for group in second.containers]
    assert marks == [("o", "-"), ("s", "--")]
    assert [text.get_text() for text in second.texts] == ["chance"]
    plt.close(figure)


@pytest.mark.parametrize("n", [1, 3, 4])
def test_knobs_stand_two_in_a_row_and_lines_on_both_sides_of_a_setting(n):
    line = {x: Estimate(0.5, 0.4, 0.6) for x in (1, 10)}
    figure = plot_knobs({f"knob {i}": {"one": line, "other": line} for i in range(n)}, label="AUC", chance=0.5)
    assert figure.get_figwidth() <= 7 and sum(ax.axison for ax in figure.axes) == n
    one, other = (group.lines[0].get_xdata() for group in figure.axes[0].containers)
    np.testing.assert_allclose(one * other, [1, 100])  # a step left, a step right
    assert (one < other).all() and (other / one < 1.07).all()
    plt.close(figure)


def test_the_leads_peak_is_the_best_advantage_and_its_mean_the_auc_minus_one_half():
    rng = np.random.default_rng(0)
    mask = np.tile(np.arange(2000) < 1000, (2, 1))
    logits = np.zeros((2, 2000, 10))
    logits[..., 0] = rng.normal(0, 1, (2, 2000)) + 0.7 * mask
    models = Models(logits, mask, np.zeros((2, 2000), int), np.zeros((2, 2000), int))
    curves = lead(models, 2001)
    assert curves.shape == (2, 2001)
    for curve, values, member in zip(curves, logits[..., 0], mask):
        best = best_threshold(values, member)
        assert curve.max() == pytest.approx((values >= best)[member].mean() - (values >= best)[~member].mean(), abs=1e-3)
        assert curve.mean() == pytest.approx(auc(values, member).value - 0.5, abs=1e-3)
        assert curve[0] >= 0 and curve[-1] == 0
    ax = plot_leads({"one": curves, "other": -curves})
    lines = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_allclose(lines["one"], curves.mean(0))
    np.testing.assert_allclose(lines["other"], -curves.mean(0))
    plt.close("all")


def test_a_readers_own_recipe_is_trained_or_it_goes_on_without(monkeypatch, capsys):
    monkeypatch.setattr(defended, "train", lambda **knobs: knobs)
    assert own(lambda: {"epochs": 3}) == {"epochs": 3}
    assert own(lambda: None) is None and "No recipe of your own yet" in capsys.readouterr().out
    assert own(lambda: 1 / 0) is None and "stops with ZeroDivisionError" in capsys.readouterr().out
    assert own(lambda: 3) is None and "stops with TypeError" in capsys.readouterr().out


@pytest.mark.parametrize("least", [0.7, 0.85, 0.9])
def test_what_is_not_accurate_enough_is_shaded(least):
    picture = {
        name: (Estimate(accuracy, accuracy - 0.01, accuracy + 0.01), Estimate(leak, leak - 0.01, leak + 0.01))
        for name, accuracy, leak in (
            ("no defence", 0.9, 0.58),
            ("rounded confidences", 0.9, 0.57),
            ("early stopping", 0.8, 0.54),
        )
    }
    ax = plot_bargains(picture, least)
    (shade,), (left, right) = ax.patches, ax.get_xlim()
    box = shade.get_bbox()
    assert left < 0.8 and right > 0.9 and box.x0 == left and box.x1 == pytest.approx(max(left, least))
    texts = [text.get_text() for text in ax.texts]
    assert "early stopping" in texts and "no defence and\nrounded confidences" in texts and "no defence" not in texts
    assert ax.figure.get_figwidth() <= 7
    plt.close("all")


def test_without_the_masks_no_defence_stands_for_itself():
    some = Estimate(0.9, 0.89, 0.91)
    texts = [text.get_text() for text in plot_bargains({"no defence": (some, some), "dropout": (some, some)}, 0.0).texts]
    assert "no defence" in texts
    plt.close("all")


def test_wrong_labels_are_wrong_and_as_many_as_asked_for():
    labels = np.arange(20_000) % 10
    few, many = with_wrong_labels(labels, 0.1), with_wrong_labels(labels, 0.2)
    assert np.mean(few != labels) == pytest.approx(0.1, abs=0.01) and np.mean(many != labels) == pytest.approx(0.2, abs=0.01)
    assert set(many) == set(range(10)) and (many[few != labels] == few[few != labels]).all()
    np.testing.assert_array_equal(with_wrong_labels(labels, 0), labels)


@pytest.mark.parametrize(
    ("knobs", "error", "why"),
    [
        ({"n_models": 3}, ValueError, "n_models must be even"),
        ({"wrong_labels": 1.0}, ValueError, r"wrong_labels must lie in \[0, 1\)"),
        ({"colour": 3}, TypeError, "unknown knob colour"),
    ],
)
def test_what_cannot_be_trained_is_refused(knobs, error, why):
    with pytest.raises(error, match=why):
        train(**SMALL | knobs)

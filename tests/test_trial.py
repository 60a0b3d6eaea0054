"""The trial of notebook 07: trainings, attackers and judges, against values counted by hand."""

import matplotlib

matplotlib.use("Agg")

import math
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn

from mia_helpers import metrics
from mia_helpers.bank import ShadowBank
from mia_helpers.course import trial
from mia_helpers.data import load_digits
from mia_helpers.defences import RandomShift


@pytest.fixture(autouse=True)
def quiet(monkeypatch, tmp_path):
    monkeypatch.setenv("MIA_CACHE_DIR", str(tmp_path))
    yield
    plt.close("all")


def untrained(images, labels, seed):
    torch.manual_seed(seed % 2**31)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


IMAGES, LABELS = np.random.default_rng(0).random((20, 1, 28, 28), dtype=np.float32), np.arange(20) % 10


# --- trainings


def test_each_knob_does_what_it_says():
    plain, shifted = (trial.train_one(IMAGES, LABELS, 0, epochs=1, **knobs) for knobs in ({}, {"shift": 2}))
    assert not any(isinstance(m, RandomShift) for m in plain.modules()) and isinstance(shifted[0], RandomShift)
    assert not shifted.training
    dropped = trial.train_one(IMAGES, LABELS, 0, epochs=1, dropout=0.5)
    assert [m.p for m in dropped.modules() if isinstance(m, nn.Dropout)] == [0.5]
    weights = torch.cat([p.flatten() for p in plain.parameters()])
    for knobs in ({"smoothing": 0.2}, {"alpha": 0.5}, {"weight_decay": 5.0}):
        other = trial.train_one(IMAGES, LABELS, 0, epochs=2, **knobs)
        assert not torch.equal(weights, torch.cat([p.flatten() for p in other.parameters()]))


def test_a_recipe_with_epsilon_is_trained_privately_and_a_function_as_it_is():
    assert trial.fit_of({"epsilon": 1.0}).func is trial.train_privately
    assert trial.fit_of({"shift": 1}).func is trial.train_one
    assert trial.fit_of(untrained) is untrained


def test_private_networks():
    kinds = [type(m) for m in trial.private_network("tanh").modules()]
    assert nn.ReLU not in kinds and kinds.count(nn.Tanh) == 3
    assert nn.ReLU in [type(m) for m in trial.private_network("relu").modules()]
    assert sum(p.numel() for p in trial.private_network("linear").parameters()) == 7850
    with pytest.raises(ValueError, match="'relu', 'tanh' or 'linear', got 'cnn'"):
        trial.private_network("cnn")


def test_the_account_is_the_private_trainings():
    candidates = trial.pool()[0].subset(range(500))
    found = trial.private_training(candidates.images, candidates.labels, 0, epsilon=math.inf, kind="linear", lr=0.1)
    assert found.epsilon == math.inf and found.noise_multiplier == 0 and found.delta == trial.DELTA


# --- the farm


def test_copies_are_shifted_down_and_right():
    class Corners(nn.Linear):  # ten logits: the top left pixels
        def forward(self, images):
            return images[:, 0, 0, :10]

    answers = trial.ask_shifted(Corners(1, 1), IMAGES, ((0, 0), (1, 0), (0, 2)))
    assert answers.shape == (20, 30)
    np.testing.assert_array_equal(answers[:, :10], IMAGES[:, 0, 0, :10])
    np.testing.assert_array_equal(answers[:, 10:20], IMAGES[:, 0, -1, :10])
    np.testing.assert_array_equal(answers[:, 22:], IMAGES[:, 0, 0, :8])


def test_who_was_trained_on_shifted_digits_is_asked_about_the_same_shifts():
    assert trial.copies_for({}) == trial.copies_for(untrained) == trial.NEAR
    found = trial.copies_for({"shift": 3})
    assert found[:5] == trial.NEAR and len(set(found)) == 25 and max(map(max, found)) == -min(map(min, found)) == 3
    assert len(trial.copies_for({"shift": 1})) == 9


def test_a_farm_of_a_readers_own_defence():
    case = trial.own(untrained, n_models=2)
    assert case.mask.shape == case.read[:, :1000].shape == (2, 1000) and (case.mask.sum(1) == 500).all()
    assert case.phi.shape == case.right.shape == (2, 1000, 25) and case.read.shape == case.trained_on.shape == (2, 1250)
    assert case.logits.shape == (2, 1000, 10) and not case.trained_on[:, 1000:].any()
    np.testing.assert_array_equal(case.right[..., 0], case.logits.argmax(-1) == case.labels)
    z = case.logits[1, 7].astype(float)
    y = case.labels[7]
    assert case.phi[1, 7, 0] == pytest.approx(z[y] - np.log(np.exp(np.delete(z, y)).sum()), abs=1e-5)
    other = trial.own(lambda *a: untrained(*a), n_models=2)
    np.testing.assert_array_equal(case.mask, other.mask)


@pytest.mark.parametrize(
    ("fit", "said"),
    [(lambda *a: None, "No defence of your own yet"), (lambda *a: 1 / 0, "stops with ZeroDivisionError")],
)
def test_without_a_defence_of_ones_own_it_goes_on(fit, said, capsys):
    assert trial.own(fit) is None
    assert said in capsys.readouterr().out


# --- attackers

MASK = np.array([[1, 0, 1, 0], [0, 1, 1, 0], [1, 1, 0, 1], [0, 0, 1, 0]], dtype=bool)


def test_lira_knows_nothing_where_all_shadows_are_of_one_kind():
    phi = np.where(MASK, 3.0, 0.0) + np.random.default_rng(0).normal(0, 0.1, MASK.shape)
    scores = trial.lira(phi, MASK)
    assert scores.shape == MASK.shape and (scores[2, 3] == 0) and (scores[2, 2] == 0)
    assert (scores[:, :2][MASK[:, :2]] > 0).all() and (scores[:, :2][~MASK[:, :2]] < 0).all()
    hidden = trial.lira(phi - 100, MASK, phi)  # a target that shows another scale than the shadows
    assert not np.allclose(hidden, scores)
    np.testing.assert_allclose(trial.lira(phi - 100, MASK, phi - 100), scores)


def test_advantage_of_a_threshold_from_ones_own_and_from_others_shadows():
    values = np.where(MASK, 2.0, 1.0)
    assert trial.advantage(values, MASK, values).value == 1
    assert trial.advantage(values, MASK, values + 10).value == 0  # nobody reaches it


def test_exposure_is_counted_over_the_other_models():
    phi = np.arange(16.0).reshape(4, 4)
    case = trial.Case(MASK, np.zeros((4, 4, 10)), np.zeros(4, int), phi[..., None], MASK[..., None], MASK, MASK)
    found = trial.exposure(case)
    assert found[0, 0] == phi[2, 0] - (phi[1, 0] + phi[3, 0]) / 2
    assert found[3, 1] == (phi[1, 1] + phi[2, 1]) / 2 - phi[0, 1]
    few = trial.most_exposed(leaking_case(2), 0.05)
    assert (few.sum(1) == 50).all()


# --- the judge


def leaking_case(strength, n_models=16, n=1000):
    rng = np.random.default_rng(1)
    mask = rng.random((n_models, n)).argsort(1) < n // 2
    phi = rng.normal(0, 1, (n_models, n, 1)) + strength * mask[..., None] + 5 * rng.normal(0, 1, (1, n, 1))
    right = phi > 0
    read = np.concatenate([right[..., 0], np.ones((n_models, 250), bool)], axis=1)
    trained_on = np.concatenate([mask, np.zeros((n_models, 250), bool)], axis=1)
    return trial.Case(mask, np.zeros((n_models, n, 10)), np.zeros(n, int), phi, right, read, trained_on)


def test_the_judge_finds_a_leak_where_there_is_one_and_names_the_strongest():
    leaks, tight = (trial.judge(leaking_case(strength)) for strength in (2, 0))
    assert leaks.strongest == "LiRA" and leaks.auc["LiRA"][0] > 0.85 and leaks.tpr["LiRA"][0] > 0.1
    assert leaks.auc["loss threshold"][0] < 0.65
    assert all(0.46 < draws[0] < 0.54 for draws in tight.auc.values())
    case = leaking_case(2)
    shares = [[row[kind].mean() for row, kind in zip(case.read, kinds)] for kinds in (case.trained_on, ~case.trained_on)]
    assert leaks.gap[0] == pytest.approx(np.mean(shares[0]) - np.mean(shares[1]))
    assert leaks.accuracy[0] == pytest.approx(np.mean(shares[1]))
    assert leaks.accuracy.shape == leaks.auc["LiRA"].shape == (200,)
    assert trial.shown_epsilon(leaks.scores["LiRA"], leaking_case(2).mask) > 1
    assert trial.shown_epsilon(tight.scores["LiRA"], leaking_case(0).mask) < 0.3


def test_pairs_of_a_ranking_are_counted():
    noise = np.random.default_rng(0).normal(0, 0.001, 200)
    leaks = {"a": 0.5 + noise, "b": 0.6 + noise, "c": 0.6 + noise + noise[::-1], "d": 0.7 + noise}
    assert trial.agreement(["a", "b", "c", "d"], leaks) == (5, 0, 1)
    assert trial.agreement(["d", "c", "b", "a"], leaks) == (0, 5, 1)
    assert trial.agreement(["b", "a", "d"], leaks) == (2, 1, 0)
    with pytest.raises(ValueError, match="nothing is known about 'e'; known are a, b, c, d"):
        trial.agreement(["a", "e"], leaks)


def test_a_bank_is_cut_into_pieces():
    logits = np.random.default_rng(0).normal(size=(2, 6, 20)).astype(np.float32)
    mask = np.zeros((2, 6), bool)
    mask[:, :2] = True
    case = trial.Case.of(ShadowBank(logits, mask, np.arange(6), settings={"n_candidates": 4}))
    assert case.phi.shape == (2, 4, 2) and case.read.shape == (2, 6)
    np.testing.assert_array_equal(case.logits, logits[:, :4, :10])
    np.testing.assert_array_equal(case.right[:, :, 1], logits[:, :4, 10:].argmax(-1) == np.arange(4))


# --- whose digits


def test_blind_models_are_trained_on_the_other_owners_digits_and_asked_about_the_candidates(monkeypatch):
    trained, candidates = [], trial.pool()[0]
    monkeypatch.setattr(trial, "train_one", lambda images, labels, seed: trained.append(images) or untrained(0, 0, seed))
    trial._train_blind(IMAGES, LABELS, 5)
    trial._train_blind(IMAGES, LABELS, 6)
    owners = {x.numpy().tobytes() for x in load_digits("target").images}
    for images in trained:
        assert len(images) == trial.N_MEMBERS and not owners & {x.tobytes() for x in images}
    assert not np.array_equal(*trained)

    def farm(n, images, labels, **rest):
        return SimpleNamespace(logits=np.tile(np.eye(10)[labels], (n, 1, 5)), labels=labels)

    monkeypatch.setattr(trial, "train_shadows", farm)
    assert trial.blind_phi().shape == (4, len(candidates)) and (trial.blind_phi() < 0).all()


def test_a_recipe_is_tuned_by_its_accuracy_on_others(monkeypatch):
    mask, labels = np.arange(40)[None] < 10, np.zeros(40, int)
    answers = np.where(mask[0], 0, 1)  # members are read rightly, and nobody else
    bank = ShadowBank(np.eye(10)[answers][None], mask, labels)
    monkeypatch.setattr(trial, "train_shadows", lambda *_, **__: bank)
    assert trial.tried({}) == 0
    monkeypatch.setattr(trial, "train_shadows", lambda *_, **__: ShadowBank(bank.logits, ~mask, labels))
    assert trial.tried({}) == 1


def test_epsilon_is_counted_on_other_digits_than_the_threshold_is_chosen_on():
    rng = np.random.default_rng(0)
    mask = rng.random((4, 400)) < 0.5
    told = np.where(np.arange(400) % 2 == 0, 5.0 * mask, rng.random((4, 400)))  # half of the digits give all away
    assert trial.shown_epsilon(told, mask) < 0.2 < 3 < trial.shown_epsilon(5.0 * mask, mask)


def test_thresholds_come_from_the_others_and_epsilon_is_at_delta():
    rng = np.random.default_rng(0)
    mask = rng.random((5, 300)) < 0.5
    values = rng.normal(size=(5, 300)) + mask + 2 * np.arange(5)[:, None]  # each model on a scale of its own
    by_hand = []
    for t in range(5):
        others = np.arange(5) != t
        claimed = values[t] >= metrics.best_threshold(values[others].ravel(), mask[others].ravel())
        by_hand.append(claimed[mask[t]].mean() - claimed[~mask[t]].mean())
    assert trial.advantage(values, mask, values) == metrics.mean_over_models(by_hand)
    scores = 3 * mask + rng.normal(size=mask.shape)
    halves = [(scores[:, k::2].ravel(), mask[:, k::2].ravel()) for k in (0, 1)]
    found = trial.shown_epsilon(scores, mask)
    assert found == metrics.epsilon_lower_bound(*halves[0], *halves[1], delta=trial.DELTA)
    assert found < metrics.epsilon_lower_bound(*halves[0], *halves[1])

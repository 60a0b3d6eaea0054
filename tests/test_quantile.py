"""The attack by quantile regression: against a slow cross-fit, without a leak, and with one that was planted."""

from typing import Self

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from mia_helpers import attacks, signals
from mia_helpers.attacks import QuantileAttack
from mia_helpers.bank import ShadowBank
from mia_helpers.metrics import auc


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


def logits_of(phi: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Two-class logits whose logit confidence is phi: `[..., N]` to `[..., N, 2]`."""
    return np.where(np.arange(2) == labels[:, None], phi[..., None], 0.0)


class Data:
    """n examples of a target, half of them members, whose φ depends on three of five features; members have `leak` more."""

    def __init__(self, n: int, seed: int, leak: float = 0.0, n_models: int = 1):
        rng = np.random.default_rng(seed)
        self.x, self.y = rng.normal(size=(n, 5)), rng.integers(0, 2, n)
        self.mask = rng.random((n_models, n)).argsort(1) < n // 2
        spread = 1 + (self.x[:, 2] > 0)
        self.phi = (
            3 * self.x[:, 0] + 2 * np.sin(3 * self.x[:, 1]) + spread * rng.normal(size=(n_models, n)) + leak * self.mask
        )
        self.bank = ShadowBank(logits_of(self.phi, self.y), self.mask, self.y)

    def scores(self, attack: QuantileAttack) -> np.ndarray:
        return attack.fit(self.bank).score(self.bank.logits[0], self.y)


class BinnedQuantile(RegressorMixin, BaseEstimator):
    """The quantile of φ on either side of the first feature's 0: small, and quick to do again by hand."""

    def __init__(self, quantile: float = 0.95):
        self.quantile = quantile

    def fit(self, x, y) -> Self:
        self.values_ = [np.quantile(y[(x[:, 0] > 0) == side], self.quantile) for side in (False, True)]
        return self

    def predict(self, x):
        return np.where(x[:, 0] > 0, self.values_[1], self.values_[0])


def slow_scores(data: Data, folds: np.ndarray, fpr: float, learn, target: np.ndarray) -> np.ndarray:
    """Example by example; learn: (rows of features, their φ) to a function of one row."""
    n, quantiles = len(data.y), np.empty(len(data.y))
    for fold in set(folds.tolist()):
        pairs = [(s, j) for s in range(len(data.mask)) for j in range(n) if not data.mask[s, j] and folds[j] != fold]
        predict = learn(np.array([data.x[j] for _, j in pairs]), np.array([data.phi[s, j] for s, j in pairs]))
        for i in range(n):
            if folds[i] == fold:
                quantiles[i] = predict(data.x[i])
    margins = sorted(data.phi[s, j] - quantiles[j] for s, j in zip(*np.nonzero(~data.mask)))
    n_claimed = int(fpr * (len(margins) + 1) + 1e-9)
    return target - quantiles - margins[len(margins) - n_claimed]


@pytest.mark.parametrize(("n_models", "fpr"), [(1, 0.05), (1, 0.2), (3, 0.1)])
def test_scores_are_those_of_the_slow_cross_fit(n_models, fpr):
    data, folds = Data(120, seed=1, leak=1.0, n_models=n_models), np.random.default_rng(2).integers(-1, 3, 120)

    def by_bins(rows, phi):
        values = {side: np.quantile([p for x, p in zip(rows, phi) if (x[0] > 0) == side], 1 - fpr) for side in (True, False)}
        return lambda x: values[x[0] > 0]

    def by_trees(rows, phi):
        fitted = HistGradientBoostingRegressor(
            loss="quantile",
            quantile=1 - fpr,
            max_iter=40,
            max_leaf_nodes=15,
            min_samples_leaf=20,
            early_stopping=False,
        ).fit(rows, phi)
        return lambda x: fitted.predict(x[None])[0]

    target = np.random.default_rng(3).normal(size=120)
    for learn, estimator in ((by_bins, BinnedQuantile(1 - fpr)), (by_trees, None)):
        attack = QuantileAttack(data.x, fpr, estimator, folds).fit(data.bank)
        found = attack.score(logits_of(target, data.y), data.y)
        np.testing.assert_allclose(found, slow_scores(data, folds, fpr, learn, target), atol=1e-9)


def test_nothing_is_learnt_from_members_nor_from_the_same_fold():
    data, folds = Data(200, seed=4), np.arange(200) % 4
    quantiles = QuantileAttack(data.x, 0.1, folds=folds).fit(data.bank).quantiles_
    others = np.where(data.mask[0], -50.0, data.phi[0])  # whatever members answer …
    changed = ShadowBank.single(logits_of(others, data.y), data.y, data.mask[0])
    np.testing.assert_allclose(QuantileAttack(data.x, 0.1, folds=folds).fit(changed).quantiles_, quantiles)
    mine = ~data.mask[0] & (folds == 1)
    others = np.where(mine, data.phi[0] + 50 * data.x[:, 3], data.phi[0])  # … and however this fold's depend on x
    changed = ShadowBank.single(logits_of(others, data.y), data.y, data.mask[0])
    after = QuantileAttack(data.x, 0.1, folds=folds).fit(changed).quantiles_
    np.testing.assert_allclose(after[folds == 1], quantiles[folds == 1])
    assert np.ptp((after - quantiles)[folds != 1]) > 1


@pytest.fixture(scope="module")
def without_a_leak():
    """AUC, members claimed and non-members claimed, for 200 targets that do not remember, of 160 examples each."""
    with threadpool_limits(1):
        found = []
        for seed in range(200):
            data = Data(160, seed)
            scores = data.scores(QuantileAttack(data.x, 0.1, seed=seed))
            found.append(
                (auc(scores, data.mask[0]).value, *((scores[kind] >= 0).mean() for kind in (data.mask[0], ~data.mask[0])))
            )
    return np.array(found)


def test_without_a_leak_members_are_not_told_apart(without_a_leak):
    aucs = without_a_leak[:, 0]
    assert abs(aucs.mean() - 0.5) < 3 * aucs.std(ddof=1) / np.sqrt(200)
    assert aucs.std() == pytest.approx(np.sqrt(161 / (12 * 80 * 80)), rel=0.2)  # Mann & Whitney's, so nothing else varies


def test_folds_have_equally_many_non_members_each():
    """Random folds would not: with 50 non-members, AUC 0.52 without any leak (900 simulated targets; now 0.50)."""
    data, learnt_from = Data(100, seed=16), []

    class Counting(BinnedQuantile):
        def fit(self, x, y) -> Self:
            learnt_from.append(len(y))
            return super().fit(x, y)

    QuantileAttack(data.x, 0.1, Counting()).fit(data.bank)
    assert learnt_from == [40] * 5


def test_without_a_leak_false_alarms_are_as_stated(without_a_leak):
    """Members that leave no trace stand for other non-members: the bank's own are at fpr by construction."""
    members, own = without_a_leak[:, 1], without_a_leak[:, 2]
    assert members.mean() == pytest.approx(8 / 81, abs=3 * members.std() / np.sqrt(200))
    np.testing.assert_allclose(own, 8 / 80)


@pytest.mark.parametrize("fpr", [0.05, 0.01])
def test_false_alarms_are_as_stated_with_many_examples(fpr):
    data = Data(6000, seed=5)
    claimed = (data.scores(QuantileAttack(data.x, fpr)) >= 0)[data.mask[0]]
    low, high = binom.ppf([0.0005, 0.9995], 3000, fpr)
    assert low <= claimed.sum() <= high
    wide = data.x[data.mask[0], 2] > 0  # here φ is spread more widely: one threshold for all would claim too many
    assert fpr < 0.05 or max(claimed[wide].mean(), claimed[~wide].mean()) < 2 * fpr


def test_a_planted_leak_is_found_where_the_loss_sees_little():
    """A member's φ is higher by 1, and φ varies by 2.6 from example to example: by the loss, AUC 0.61."""
    better = []
    for seed in range(3):
        data = Data(3000, seed, leak=1.0)
        found, loss = auc(data.scores(QuantileAttack(data.x)), data.mask[0]), auc(data.phi[0], data.mask[0])
        assert found.low > loss.high
        better.append(found.value - loss.value)
    assert np.mean(better) > 0.04


def test_with_features_that_say_nothing_it_is_no_worse_than_the_loss_by_more_than_noise():
    lost = []
    for seed in range(6):
        data = Data(1500, seed, leak=2.0)
        data.x = np.random.default_rng(seed + 100).normal(size=data.x.shape)
        lost.append(auc(data.phi[0], data.mask[0]).value - auc(data.scores(QuantileAttack(data.x)), data.mask[0]).value)
    assert np.mean(lost) < 0.03


def test_shadows_answers_may_stand_for_the_targets():
    data = Data(600, seed=6, leak=1.5, n_models=5)
    attack = QuantileAttack(data.x).fit(data.bank.without(0))
    found = auc(attack.score(data.bank.logits[0], data.y), data.mask[0])
    assert found.low > auc(data.phi[0], data.mask[0]).value
    np.testing.assert_array_equal(
        attacks.leave_one_out(QuantileAttack(data.x), data.bank)[0], attack.score(data.bank.logits[0], data.y)
    )


def test_the_attack_keeps_the_protocol():
    data = Data(200, seed=7, leak=2.0)
    attack = QuantileAttack(data.x, 0.1)
    before = dict(vars(attack))
    fitted = clone(attack)
    assert fitted.fit(data.bank) is fitted and dict(vars(attack)) == before
    assert all(word.endswith("_") for word in set(vars(fitted)) - set(attack.get_params()))
    scores = fitted.score(data.bank.logits[0], data.y)
    assert scores.shape == (200,) and scores.dtype == np.float64 and fitted.threshold == 0 and fitted.needs == ("out",)
    np.testing.assert_array_equal(clone(fitted).fit(data.bank).score(data.bank.logits[0], data.y), scores)
    assert not np.array_equal(data.scores(QuantileAttack(data.x, 0.1, seed=1)), scores)
    single = ShadowBank.single(data.bank.logits[0], data.y, data.mask[0])
    np.testing.assert_array_equal(QuantileAttack(data.x, 0.1).fit(single).score(data.bank.logits[0], data.y), scores)


def test_it_is_listed_only_with_features():
    data = Data(60, seed=8)
    assert "quantile regression" not in attacks.standard(0)
    listed = attacks.standard(3, features=data.x)
    assert list(listed)[:-1] == list(attacks.standard(3)) and list(listed)[-1] == "quantile regression"
    assert listed["quantile regression"].features is data.x and listed["quantile regression"].seed == 3


def test_the_order_of_examples_does_not_matter_with_folds_of_ones_own():
    data, folds = Data(300, seed=9, leak=1.0), np.arange(300) % 3
    scores, order = data.scores(QuantileAttack(data.x, folds=folds)), np.random.default_rng(0).permutation(300)
    moved = data.bank.for_examples(order)
    again = QuantileAttack(data.x[order], folds=folds[order]).fit(moved).score(moved.logits[0], moved.labels)
    np.testing.assert_allclose(again, scores[order], atol=1e-9)
    other_names = QuantileAttack(data.x, folds=7 - 2 * folds)
    np.testing.assert_allclose(data.scores(other_names), scores)


def test_images_are_rows_and_missing_values_are_allowed():
    data = Data(200, seed=10)
    scores = data.scores(QuantileAttack(data.x[:, :4]))
    np.testing.assert_array_equal(data.scores(QuantileAttack(data.x[:, :4].reshape(200, 2, 2))), scores)
    data.x[:20, 1] = np.nan
    assert np.isfinite(data.scores(QuantileAttack(data.x))).all()


def test_at_most_so_many_rows_are_learnt_from(monkeypatch):
    seen = []

    class Counting(BinnedQuantile):
        def fit(self, x, y):
            seen.append(len(y))
            return super().fit(x, y)

    monkeypatch.setattr(attacks, "MAX_LEARNT", 100)
    data = Data(400, seed=11, n_models=2)
    scores = data.scores(QuantileAttack(data.x, estimator=Counting()))
    assert seen == [100] * 5
    np.testing.assert_array_equal(data.scores(QuantileAttack(data.x, estimator=Counting())), scores)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"fpr": 0.0}, ValueError, "fpr must lie between 0 and 1"),
        ({"fpr": 0.005}, ValueError, "fpr=0.005 needs at least 199 answers about non-members, got 100; take a larger fpr"),
        ({"features": np.zeros((199, 5))}, ValueError, r"features must have shape \[200, …\].*got \[199, 5\]"),
        ({"features": np.zeros((200, 0))}, ValueError, "features must have shape"),
        ({"features": np.array(["a"] * 200)}, TypeError, "features must be numbers.*encode categories"),
        ({"folds": np.zeros(200, int)}, ValueError, r"at least two different values, got \[200\] and 1"),
        ({"folds": np.arange(199)}, ValueError, r"folds must have shape \[200\]"),
        ({"folds": np.arange(200) / 7}, TypeError, "folds must be integers"),
    ],
)
def test_what_cannot_be_used_is_refused(settings, error, message):
    data = Data(200, seed=12)
    with pytest.raises(error, match=message):
        QuantileAttack(**{"features": data.x} | settings).fit(data.bank)


def test_non_members_must_lie_in_two_folds():
    data = Data(200, seed=13)
    with pytest.raises(ValueError, match="all non-members are in one fold"):
        QuantileAttack(data.x, folds=data.mask[0].astype(int)).fit(data.bank)
    nobody = ShadowBank(data.bank.logits, np.ones_like(data.mask), data.y)
    with pytest.raises(ValueError, match="needs at least 19 answers about non-members, got 0"):
        QuantileAttack(data.x).fit(nobody)


def test_other_examples_are_refused():
    data = Data(100, seed=14)
    fitted = QuantileAttack(data.x, 0.1).fit(data.bank)
    with pytest.raises(ValueError, match="99 examples, but the bank holds 100; each example has a quantile of its own"):
        fitted.score(data.bank.logits[0, 1:], data.y[1:])
    with pytest.raises(ValueError, match=r"100 of 100 labels differ .* so ask about the bank's examples, in their order"):
        fitted.score(data.bank.logits[0], 1 - data.y)


def test_the_signal_is_the_logit_confidence():
    data = Data(100, seed=15)
    np.testing.assert_allclose(signals.logit_confidence(data.bank.logits[0], data.y), data.phi[0])

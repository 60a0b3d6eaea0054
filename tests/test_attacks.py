"""Attacks: thresholds against brute force; the attack network on problems that can, and cannot, be learnt."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from mia_helpers import signals
from mia_helpers.attack_network import AttackNetwork
from mia_helpers.attacks import ClassifierAttack, ThresholdAttack, probabilities, sorted_probabilities
from mia_helpers.bank import ShadowBank
from mia_helpers.metrics import auc

SIGNALS = [
    signals.max_confidence,
    signals.true_class_confidence,
    signals.negative_loss,
    signals.negative_entropy,
    signals.negative_modified_entropy,
    signals.logit_confidence,
    signals.hinge,
    signals.correctness,
]
QUICK = {"epochs": 5, "lr": 1e-3, "progress": False}


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("MIA_CACHE_DIR", str(tmp_path))


def outputs(n: int, seed: int, sharper: float = 3.0, n_classes: int = 4):
    """Logits, labels and memberships (half of them), members' logits `sharper` times as large; in random order."""
    rng = np.random.default_rng(seed)
    labels, is_member = rng.integers(0, n_classes, n), rng.permutation(n) < n // 2
    logits = rng.normal(0, 0.7, (n, n_classes))
    logits[np.arange(n), labels] += 1.5
    return logits * np.where(is_member, sharper, 1.0)[:, None], labels, is_member


def one_shadow(*args) -> ShadowBank:
    return ShadowBank.single(*args)


def network(seed: int, sort: bool = False, **options) -> ClassifierAttack:
    return ClassifierAttack(AttackNetwork(seed, **options), sorted_probabilities if sort else probabilities)


def advantage(claimed, is_member) -> float:
    return claimed[is_member].mean() - claimed[~is_member].mean()


# --- threshold attack


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda f: f.__name__)
def test_the_threshold_is_the_best_there_is(signal):
    logits, labels, is_member = outputs(120, seed=1)
    attack = ThresholdAttack(signal).fit(one_shadow(logits, labels, is_member))
    values = signal(logits, labels)
    best = max(advantage(values >= threshold, is_member) for threshold in [np.inf, *values])
    assert best > 0 or signal is signals.correctness
    assert attack.thresholds_.shape == (4,) and len(set(attack.thresholds_)) == 1
    assert advantage(values >= attack.thresholds_[0], is_member) == pytest.approx(best, abs=1e-12)
    assert advantage(attack.score(logits, labels) >= attack.threshold, is_member) == pytest.approx(best, abs=1e-12)


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_the_threshold_is_the_best_there_is_with_ties(seed):
    rng = np.random.default_rng(seed)
    logits, labels = rng.integers(0, 3, (30, 3)), rng.integers(0, 3, 30)
    is_member = rng.permutation(30) < rng.integers(1, 30)
    values = signals.hinge(logits, labels)
    best = max(advantage(values >= threshold, is_member) for threshold in [np.inf, *values])
    found = ThresholdAttack(signals.hinge).fit(one_shadow(logits, labels, is_member)).score(logits, labels) >= 0
    assert advantage(found, is_member) == pytest.approx(best, abs=1e-12)


def test_scores_are_margins_on_data_not_seen_before():
    attack = ThresholdAttack(signals.logit_confidence).fit(one_shadow(*outputs(200, seed=2)))
    logits, labels, _ = outputs(150, seed=3)
    expected = signals.logit_confidence(logits, labels) - attack.thresholds_[0]
    np.testing.assert_array_equal(attack.score(logits, labels), expected)
    assert attack.threshold == 0.0
    assert (attack.score(logits, labels) > 0).any() and (attack.score(logits, labels) < 0).any()


def test_members_score_higher():
    attack = ThresholdAttack().fit(one_shadow(*outputs(400, seed=4)))
    assert attack.signal is signals.negative_loss
    logits, labels, is_member = outputs(400, seed=5)
    assert auc(attack.score(logits, labels), is_member).low > 0.6


def test_one_threshold_for_each_class_is_as_good_as_separate_attacks():
    logits, labels, is_member = outputs(300, seed=6)
    logits = logits * (1 + labels)[:, None]  # classes that need thresholds of their own
    attack = ThresholdAttack(signals.logit_confidence, per_class=True).fit(one_shadow(logits, labels, is_member))
    fresh, fresh_labels, _ = outputs(100, seed=7)
    for c in range(4):
        mine, fresh_mine = labels == c, fresh_labels == c
        alone = ThresholdAttack(signals.logit_confidence).fit(one_shadow(logits[mine], labels[mine], is_member[mine]))
        assert attack.thresholds_[c] == alone.thresholds_[c]
        np.testing.assert_array_equal(
            attack.score(fresh, fresh_labels)[fresh_mine], alone.score(fresh[fresh_mine], fresh_labels[fresh_mine])
        )
    assert len(set(attack.thresholds_)) == 4


@pytest.mark.parametrize("kind", ["members only", "non-members only", "absent"])
def test_a_class_without_both_kinds_gets_no_threshold_of_its_own(kind):
    logits, labels, is_member = outputs(200, seed=8)
    keep = {
        "members only": (labels != 2) | is_member,
        "non-members only": (labels != 2) | ~is_member,
        "absent": labels != 2,
    }[kind]
    n, n_members = (keep & (labels == 2)).sum(), (keep & (labels == 2) & is_member).sum()
    data = logits[keep], labels[keep], is_member[keep]
    with pytest.raises(ValueError, match=f"class 2 has {n_members} members among {n} shadow examples.*per_class=False"):
        ThresholdAttack(per_class=True).fit(one_shadow(*data))
    ThresholdAttack(per_class=False).fit(one_shadow(*data))


def test_a_class_that_the_shadow_did_not_have_is_an_error():
    attack = ThresholdAttack(per_class=True).fit(one_shadow(*outputs(200, seed=9)))
    logits, labels, _ = outputs(20, seed=10, n_classes=6)
    with pytest.raises(ValueError, match="6 classes.*4"):
        attack.score(logits, labels)
    for label in (-1, 4):
        with pytest.raises(ValueError, match="labels must lie in 0 … 3"):
            attack.score(np.zeros((1, 4)), [label])


@pytest.mark.parametrize("attack", [ThresholdAttack(), ThresholdAttack(per_class=True), network(seed=0)])
def test_memberships_must_be_booleans_of_the_right_length(attack):
    logits, labels, is_member = outputs(40, seed=11)
    with pytest.raises(TypeError, match="is_member must be boolean"):
        attack.fit(one_shadow(logits, labels, is_member.astype(int)))
    with pytest.raises(ValueError, match=r"\[39\]"):
        attack.fit(one_shadow(logits, labels, is_member[:-1]))


def test_threshold_attack_refuses_one_sided_shadows_and_bad_logits():
    logits, labels, is_member = outputs(40, seed=12)
    with pytest.raises(ValueError, match="need members and non-members"):
        ThresholdAttack().fit(one_shadow(logits, labels, np.ones(40, dtype=bool)))
    logits[3, 1] = np.nan
    with pytest.raises(ValueError, match="1 logits are NaN"):
        ThresholdAttack().fit(one_shadow(logits, labels, is_member))


# --- attack network


def test_the_network_learns_what_can_be_learnt_and_does_so_again_with_the_same_seed(monkeypatch, tmp_path):
    shadow, target = outputs(500, seed=13, sharper=8.0), outputs(400, seed=14, sharper=8.0)
    attack = network(seed=1, **QUICK).fit(one_shadow(*shadow))
    scores = attack.score(*target[:2])
    assert scores.shape == (400,) and scores.dtype == np.float64
    assert auc(scores, target[2]).low > 0.85
    assert ((scores >= attack.threshold) == target[2]).mean() > 0.8
    assert len(attack.estimator_.history_["loss"]) == QUICK["epochs"]

    monkeypatch.setenv("MIA_CACHE_DIR", str(tmp_path / "other"))  # so that it is trained again, not read
    again = network(seed=1, **QUICK).fit(one_shadow(*shadow))
    np.testing.assert_array_equal(again.score(*target[:2]), scores)
    other = network(seed=2, **QUICK | {"epochs": 1}).fit(one_shadow(*shadow))
    assert not np.array_equal(other.score(*target[:2]), scores)


@pytest.mark.parametrize("sort", [False, True])
def test_the_network_finds_nothing_where_there_is_nothing(sort):
    rng = np.random.default_rng(15)
    logits, labels, is_member = outputs(600, seed=15, sharper=8.0)
    fresh, fresh_labels, truth = outputs(1000, seed=16, sharper=8.0)
    low, high = binom.ppf([0.0005, 0.9995], 1000, 0.5)
    attack = network(seed=3, sort=sort, **QUICK).fit(one_shadow(logits, labels, rng.permutation(is_member)))
    right = (attack.score(fresh, fresh_labels) >= 0) == rng.permutation(truth)
    assert low <= right.sum() <= high
    attack = network(seed=3, sort=sort, **QUICK).fit(one_shadow(logits, labels, is_member))
    assert ((attack.score(fresh, fresh_labels) >= 0) == truth).sum() > high


def test_members_first_is_no_problem_since_batches_are_shuffled():
    """Read in order, the last batches would hold non-members only, and the network would end up answering "no"."""
    logits, labels, is_member = outputs(1000, seed=17, sharper=1.5)
    order = np.argsort(~is_member, kind="stable")
    attack = network(seed=4, **QUICK).fit(one_shadow(logits[order], labels[order], is_member[order]))
    fresh, fresh_labels, _ = outputs(1000, seed=18, sharper=1.5)
    assert 0.3 < (attack.score(fresh, fresh_labels) >= 0).mean() < 0.7


def test_sorting_hides_the_classes():
    logits, labels, is_member = outputs(200, seed=19)
    order = np.array([2, 0, 3, 1])
    quick = QUICK | {"epochs": 2}
    hidden = network(seed=5, sort=True, **quick).fit(one_shadow(logits, labels, is_member))
    np.testing.assert_allclose(hidden.score(logits[:, order], labels), hidden.score(logits, labels), atol=1e-5)
    refitted = network(seed=5, sort=True, **quick).fit(one_shadow(logits[:, order], labels, is_member))
    np.testing.assert_allclose(refitted.score(logits, labels), hidden.score(logits, labels), atol=1e-3)
    plain = network(seed=5, **quick).fit(one_shadow(logits, labels, is_member))
    assert np.abs(plain.score(logits[:, order], labels) - plain.score(logits, labels)).max() > 0.01


def test_the_network_sees_probabilities_largest_first():
    logits = np.log([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]]) + 7.0
    np.testing.assert_allclose(sorted_probabilities(logits, [0, 0]), [[0.5, 0.3, 0.2], [0.6, 0.3, 0.1]], rtol=1e-12)
    np.testing.assert_allclose(probabilities(logits, [0, 0]), [[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]], rtol=1e-12)


def test_labels_are_not_used_by_the_network():
    logits, labels, is_member = outputs(100, seed=20)
    quick = QUICK | {"epochs": 1}
    attack = network(seed=6, **quick).fit(one_shadow(logits, labels, is_member))
    other = network(seed=6, **quick).fit(one_shadow(logits, labels[::-1], is_member))
    np.testing.assert_array_equal(attack.score(logits, labels), other.score(logits, labels[::-1]))


@pytest.mark.parametrize("n_classes", [2, 7])
def test_the_network_takes_any_number_of_classes_and_extreme_logits(n_classes):
    logits, labels, is_member = outputs(64, seed=21, n_classes=n_classes)
    attack = network(seed=7, **QUICK | {"epochs": 1}).fit(one_shadow(logits * 5e3, labels, is_member))
    assert np.isfinite(attack.score(logits * 5e3, labels)).all()


@pytest.mark.parametrize(("name", "value"), [("epochs", 0), ("lr", -1.0), ("batch_size", 0)])
def test_bad_settings_of_the_network(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a positive number, got {value}"):
        network(seed=0, **QUICK | {name: value}).fit(one_shadow(*outputs(20, seed=22)))

"""The protocol of attacks, the bank they learn from, and estimates over several models: against slow references."""

import numpy as np
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.tree import DecisionTreeClassifier

from mia_helpers import attacks, metrics, signals
from mia_helpers.bank import ShadowBank


def a_bank(n_models: int = 9, n: int = 80, n_population: int = 20, seed: int = 0, leak: float = 2.0) -> ShadowBank:
    """Members' true class gets a bonus; half of the first n − n_population examples are members of each model."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n)
    mask = np.zeros((n_models, n), dtype=bool)
    mask[:, : n - n_population] = rng.random((n_models, n - n_population)).argsort(1) < (n - n_population) // 2
    logits = rng.normal(0, 1, (n, 4)) + rng.normal(0, 0.5, (n_models, n, 4))
    logits[:, np.arange(n), labels] += 1 + leak * mask
    return ShadowBank(logits.astype(np.float32), mask, labels, 0, {})


ATTACKS = attacks.standard(seed=0)


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_keeps_the_protocol(name):
    bank, attack = a_bank(), ATTACKS[name]
    before = dict(vars(attack))
    fitted = clone(attack)
    assert fitted.fit(bank.without(0)) is fitted and dict(vars(attack)) == before  # the list is never fitted itself
    learnt = set(vars(fitted)) - set(attack.get_params())
    assert learnt and all(word.endswith("_") for word in learnt)
    scores = fitted.score(bank.logits[0], bank.labels)
    assert scores.shape == (80,) and scores.dtype == np.float64
    members = bank.member_mask[0]
    seen = ~np.isnan(scores)
    assert metrics.auc(scores[seen], members[seen]).value > 0.6
    np.testing.assert_array_equal(clone(fitted).fit(bank.without(0)).score(bank.logits[0], bank.labels), scores)
    assert fitted.threshold in (0.0, None) and fitted.needs in (None, (), ("out",), ("in", "out"))


@pytest.mark.parametrize("name", ATTACKS)
def test_leave_one_out_is_each_model_against_all_others_by_hand(name):
    bank = a_bank(4)
    found = attacks.leave_one_out(ATTACKS[name], bank)
    for i in range(4):
        rest = [j for j in range(4) if j != i]
        others = ShadowBank(bank.logits[rest], bank.member_mask[rest], bank.labels)
        np.testing.assert_array_equal(found[i], clone(ATTACKS[name]).fit(others).score(bank.logits[i], bank.labels))


def test_what_no_shadow_covers_is_nan_and_the_rest_is_the_kernel():
    bank = a_bank(5)
    mask = bank.member_mask
    mask[:, 0], mask[:, 1] = True, False
    phi, p = bank.phi, bank.signal(signals.true_class_confidence)
    target, labels = a_bank(1, seed=1).logits[0], bank.labels
    for online in (True, False):
        known = ~mask.all(0) & (mask.any(0) if online else True)
        assert not known[0] and known[1] == (not online)
        lira = attacks.LiRAAttack(online=online).fit(bank).score(target, labels)
        np.testing.assert_array_equal(np.isnan(lira), ~known)
        kernel = attacks.lira_online if online else attacks.lira_offline
        np.testing.assert_array_equal(
            lira[known], kernel(signals.logit_confidence(target, labels)[known], phi[:, known], mask[:, known])
        )
        rmia = attacks.RMIAAttack(1.3, 0.5, online, population=slice(60, None)).fit(bank).score(target, labels)
        q = signals.true_class_confidence(target, labels)
        kernel = attacks.rmia(
            q[known], p[:, known], mask[:, known], q[60:], p[:, 60:], 1.3, 0.5, "online" if online else "offline"
        )
        np.testing.assert_array_equal(rmia[known], kernel)


def test_the_population_is_nobodys_members_unless_told_otherwise():
    bank, target = a_bank(), a_bank(1, seed=1).logits[0]
    nobodys = np.flatnonzero(~bank.member_mask.any(0))
    np.testing.assert_array_equal(
        attacks.RMIAAttack().fit(bank).score(target, bank.labels),
        attacks.RMIAAttack(population=nobodys).fit(bank).score(target, bank.labels),
    )
    everybody = bank.for_examples(bank.member_mask.any(0))
    z = target[bank.member_mask.any(0)]
    np.testing.assert_array_equal(
        attacks.RMIAAttack().fit(everybody).score(z, everybody.labels),
        attacks.RMIAAttack(population=slice(None)).fit(everybody).score(z, everybody.labels),
    )


def test_an_attack_that_compares_examples_with_themselves_wants_the_same_examples():
    bank = a_bank()
    fitted = attacks.LiRAAttack().fit(bank)
    with pytest.raises(ValueError, match="79 examples, but the shadows were asked about 80"):
        fitted.score(bank.logits[0, 1:], bank.labels[1:])
    for other in (np.roll(bank.labels, 1), 3 - bank.labels):  # rows out of step, classes renumbered
        with pytest.raises(ValueError, match=f"{(other != bank.labels).sum()} of 80 labels differ from those of the bank"):
            fitted.score(bank.logits[0], other)
    with pytest.raises(ValueError, match="none of the 80 examples has in and out-shadows among 1"):
        attacks.LiRAAttack().fit(bank.first(1)).score(bank.logits[0], bank.labels)


def test_a_classifier_learns_from_all_shadows_at_equal_priors():
    bank = a_bank(3)
    few = ShadowBank(bank.logits, bank.member_mask & (np.arange(80) < 20), bank.labels)  # one in eight is a member
    tree = attacks.ClassifierAttack(_Odds(max_leaf_nodes=4, random_state=0), attacks.sorted_log_probabilities).fit(few)
    x = np.concatenate([attacks.sorted_log_probabilities(z, few.labels) for z in few.logits])
    alone, share = _Odds(max_leaf_nodes=4, random_state=0).fit(x, few.member_mask.ravel()), few.member_mask.mean()
    np.testing.assert_allclose(
        tree.score(few.logits[0], few.labels), alone.decision_function(x[:80]) - np.log(share / (1 - share))
    )
    with pytest.raises(ValueError, match="members and non-members, got 0 members of 80"):
        tree.fit(ShadowBank.single(bank.logits[0], bank.labels, np.zeros(80, bool)))


class _Odds(DecisionTreeClassifier):
    def decision_function(self, x):
        p = np.clip(self.predict_proba(x)[:, 1], 1e-6, 1 - 1e-6)
        return np.log(p / (1 - p))


def test_what_a_classifier_sees():
    logits, labels = np.log([[0.1, 0.2, 0.7], [0.5, 0.3, 0.2]]) + 4, np.array([1, 0])
    np.testing.assert_allclose(attacks.sorted_log_probabilities(logits, labels), np.log([[0.2, 0.7, 0.1], [0.5, 0.3, 0.2]]))
    assert attacks.sorted_log_probabilities(np.zeros((2, 40)), labels).shape == (2, 10)


# --- the bank


def test_parts_of_a_bank_are_the_same_models_and_examples():
    bank = a_bank(6)
    bank = ShadowBank(bank.logits, bank.member_mask, bank.labels, models=[*"abcdef"])
    phi, rows = bank.phi, np.array([5, 3, 70])
    for part, models, examples in (
        (bank.first(2), [0, 1], slice(None)),
        (bank.without(0), [1, 2, 3, 4, 5], slice(None)),
        (bank.without(3), [0, 1, 2, 4, 5], slice(None)),
        (bank.without(5), [0, 1, 2, 3, 4], slice(None)),
        (bank.for_models(np.array([4, 2])), [4, 2], slice(None)),
        (bank.for_examples(slice(10, 30)), [*range(6)], slice(10, 30)),
        (bank.for_examples(rows), [*range(6)], rows),
    ):
        np.testing.assert_array_equal(part.logits, bank.logits[models][:, examples])
        np.testing.assert_array_equal(part.member_mask, bank.member_mask[models][:, examples])
        np.testing.assert_array_equal(part.labels, bank.labels[examples])
        np.testing.assert_array_equal(part.phi, phi[models][:, examples])
        fresh = ShadowBank(part.logits, part.member_mask, part.labels)
        np.testing.assert_array_equal(part.phi, fresh.phi)  # handed on, and right
        assert part.models == ["abcdef"[i] for i in models]
    for bad in (-1, 6):
        with pytest.raises(ValueError, match=f"without model {bad}"):
            bank.without(bad)
    with pytest.raises(ValueError, match="one must be left"):
        bank.first(1).without(0)


def test_a_signal_is_computed_once_and_cannot_be_spoilt():
    calls = []

    def counted(logits, labels):
        calls.append(len(labels))
        return signals.hinge(logits, labels)

    bank = a_bank(3)
    np.testing.assert_array_equal(bank.signal(counted), [signals.hinge(z, bank.labels) for z in bank.logits])
    bank.without(1).signal(counted), bank.signal(counted)
    assert calls == [80] * 3
    with pytest.raises(ValueError, match="read-only"):
        bank.signal(counted)[0] = 0


# --- several models, several draws


def test_the_mean_over_models_has_students_interval():
    values = np.random.default_rng(0).normal(0.6, 0.1, 7)
    found, low_high = metrics.mean_over_models(values), stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.value, found.low, found.high) == pytest.approx((values.mean(), *low_high))
    other = values + np.random.default_rng(1).normal(0.02, 0.001, 7)
    difference, both = metrics.paired_difference(other, values), stats.ttest_rel(other, values).confidence_interval(0.95)
    assert (difference.low, difference.high) == pytest.approx(tuple(both))
    assert difference.low > 0 and metrics.mean_over_models(other).low < found.value  # pairing is what shows it
    for bad in ([0.5], [0.5, np.nan], [[0.5, 0.6]]):
        with pytest.raises(ValueError, match="one finite number for each of at least two models"):
            metrics.mean_over_models(bad)
    with pytest.raises(ValueError, match=r"got \[7\] and \[1\]"):
        metrics.paired_difference(values, values[:1])


def test_students_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(2)
    found = [metrics.mean_over_models(rng.normal(0.5, 0.1, 5)) for _ in range(1000)]
    covered = sum(e.low <= 0.5 <= e.high for e in found)
    assert 920 <= covered <= 975  # binomial, 4 standard deviations


def test_unknown_scores_are_neither_accused_nor_cleared():
    scores = np.array([[3.0, np.nan, 1.0, 2.0], [1.0, 5.0, np.nan, np.nan]])
    np.testing.assert_array_equal(metrics.known(scores), [[3, 2, 1, 2], [1, 5, 3, 3]])
    assert np.isnan(scores).sum() == 3
    with pytest.raises(ValueError, match="all scores are NaN"):
        metrics.known([[1.0, 2.0], [np.nan, np.nan]])


def slow_auc(models, examples, scores, is_member):
    """Members above non-members of the same model, every pair counted as often as it was drawn."""
    right = pairs = 0.0
    for s, times in enumerate(models):
        for i in np.flatnonzero(is_member[s]):
            for j in np.flatnonzero(~is_member[s]):
                weight = times * examples[i] * examples[j]
                pairs += weight
                right += weight * (scores[s, i] > scores[s, j])
    return right / pairs


def test_draws_against_loops():
    rng = np.random.default_rng(3)
    scores, is_member, event = rng.normal(size=(3, 12)), rng.random((3, 12)) < 0.5, rng.random((3, 12)) < 0.6
    draws = metrics.Draws(3, 12, n_draws=5, seed=4)
    assert (draws.models.sum(1) == 3).all() and (draws.examples.sum(1) == 12).all()
    assert len(np.unique(draws.models, axis=0)) > 1
    found = draws.auc(scores, is_member)
    for k in range(5):
        assert found[k] == pytest.approx(slow_auc(draws.models[k], draws.examples[k], scores, is_member))
        shares = [draws.examples[k] @ (e & m) / (draws.examples[k] @ m) for e, m in zip(event, is_member)]
        assert draws.rate(event, is_member)[k] == pytest.approx(draws.models[k] @ shares / 3)
    group = np.arange(12) < 9
    np.testing.assert_allclose(
        draws.auc(scores, is_member, np.tile(group, (3, 1)))[0], slow_auc([1] * 3, group.astype(int), scores, is_member)
    )
    assert draws.rate(event, is_member)[0] == pytest.approx(np.mean([e[m].mean() for e, m in zip(event, is_member)]))


def test_the_two_way_interval_is_wider_than_one_over_examples_when_models_differ():
    rng = np.random.default_rng(5)
    is_member = rng.random((8, 400)) < 0.5
    scores = rng.normal(size=(8, 400)) + is_member * rng.normal(1, 0.8, (8, 1))  # some models leak more than others
    draws = metrics.Draws(8, 400)
    found = draws.estimate(draws.auc(scores, is_member))
    alone = metrics.Draws(8, 400)
    alone.models[:] = 1
    fixed = alone.estimate(alone.auc(scores, is_member))
    assert found.value == fixed.value and found.high - found.low > 2 * (fixed.high - fixed.low)
    over_models = metrics.mean_over_models(metrics.aucs(scores, is_member))
    assert 0.4 < (found.high - found.low) / (over_models.high - over_models.low) < 1.6


def test_the_pooled_threshold_needs_ten_false_positives():
    draws = metrics.Draws(2, 40)
    is_member = np.tile(np.arange(40) < 20, (2, 1))
    with pytest.raises(ValueError, match="with 20 non-members"):
        draws.tpr_at_fpr(np.random.default_rng(0).normal(size=(2, 40)), is_member, 0.01)


def test_the_difference_of_two_attacks_is_paired():
    rng = np.random.default_rng(6)
    is_member = rng.random((4, 150)).argsort(1) < 75
    difficulty = rng.normal(0, 2, 150)
    one = difficulty + is_member + rng.normal(0, 0.5, (4, 150))
    other = one + rng.normal(0, 0.3, (4, 150)) - 0.5 * is_member
    found = metrics.auc_difference(one, other, is_member)
    pooled = [metrics.attack_report(scores, is_member, fprs=()).auc for scores in (one, other)]
    assert found.value == pytest.approx(pooled[0].value - pooled[1].value)
    assert found.low > 0 and found.high - found.low < 0.5 * (pooled[0].high - pooled[0].low)
    back = metrics.auc_difference(other, one, is_member)
    assert (back.value, back.low, back.high) == pytest.approx((-found.value, -found.high, -found.low))
    nothing = metrics.auc_difference(one, 3 * one + 1, is_member)
    assert (nothing.value, nothing.low, nothing.high) == (0, 0, 0)


def test_a_target_may_answer_otherwise_than_the_shadows():
    bank = a_bank(5)
    masked = np.round(bank.logits)
    found = attacks.leave_one_out(attacks.LiRAAttack(online=False), bank, masked)
    alone = attacks.LiRAAttack(online=False).fit(bank.without(2)).score(masked[2], bank.labels)
    np.testing.assert_array_equal(found[2], alone)
    with pytest.raises(ValueError, match=r"answers must be \[5, 80, C\], as the bank's, got \[4, 80, 4\]"):
        attacks.leave_one_out(attacks.LiRAAttack(), bank, masked[:4])


def test_a_signal_in_pieces_is_the_signal(monkeypatch):
    whole = a_bank(3).phi
    monkeypatch.setattr("mia_helpers.bank.CHUNK", 7)
    np.testing.assert_array_equal(a_bank(3).phi, whole)


def test_signals_of_the_same_name_are_told_apart():
    rng = np.random.default_rng(0)
    bank = ShadowBank(rng.normal(size=(2, 5, 3)), rng.random((2, 5)) < 0.5, rng.integers(0, 3, 5))
    scaled = [lambda z, y, k=k: k * signals.hinge(z, y) for k in (1, 2)]
    one, other = (bank.signal(signal) for signal in scaled)
    np.testing.assert_array_equal(other, 2 * one)


def test_thresholds_for_each_class_are_those_of_the_class_over_all_shadows():
    """Three shadows and three classes on scales of their own: each threshold is the best for its class's answers."""
    rng = np.random.default_rng(0)
    labels, mask = rng.integers(0, 3, 200), rng.random((3, 200)) < 0.5
    logits = np.zeros((3, 200, 3))
    logits[:, np.arange(200), labels] = 10 * labels + mask + rng.normal(size=(3, 200)) / 2
    bank = ShadowBank(logits, mask, labels)
    attack = attacks.ThresholdAttack(signals.hinge, per_class=True).fit(bank)
    for c in range(3):
        values, truth = bank.signal(signals.hinge)[:, labels == c].ravel(), mask[:, labels == c].ravel()
        assert attack.thresholds_[c] == metrics.best_threshold(values, truth)

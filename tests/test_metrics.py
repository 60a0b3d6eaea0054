"""Metrics: against brute force, slow versions of the published definitions, tabulated values and simulation."""

import dataclasses
import math
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom, norm
from sklearn.metrics import accuracy_score, roc_auc_score

from mia_helpers import metrics
from mia_helpers.metrics import (
    Estimate,
    attack_report,
    auc,
    best_threshold,
    checked_scores,
    epsilon_lower_bound,
    proportion,
    roc_curve,
    threshold_at_fpr,
)


@st.composite
def tied_scores(draw):
    """Few distinct scores, so that ties are the rule, and at least two of each kind."""
    n = draw(st.integers(4, 30))
    scores = draw(st.lists(st.integers(-3, 3), min_size=n, max_size=n))
    is_member = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    return np.array(scores + [0, 1, -1, 0], dtype=float), np.array(is_member + [True, True, False, False])


def simulated(n_members: int, n_non_members: int, seed: int, gap: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = np.concatenate([rng.normal(gap, 1, n_members), rng.normal(0, 1, n_non_members)])
    order = rng.permutation(len(scores))
    return scores[order], (np.arange(len(scores)) < n_members)[order]


def slow_auc(scores, is_member) -> Fraction:
    wins = [Fraction(2 * int(x > y) + int(x == y), 2) for x in scores[is_member] for y in scores[~is_member]]
    return sum(wins) / len(wins)


def slow_delong(scores, is_member, confidence: float) -> tuple[float, float]:
    """DeLong, DeLong & Clarke-Pearson (1988), straight from the definition: variances of the placement values."""
    members, non_members = scores[is_member].tolist(), scores[~is_member].tolist()
    psi = [[1.0 if x > y else 0.5 if x == y else 0.0 for y in non_members] for x in members]
    m, n = len(members), len(non_members)
    v10 = [sum(row) / n for row in psi]
    v01 = [sum(psi[i][j] for i in range(m)) / m for j in range(n)]
    theta = sum(v10) / m
    s10 = sum((v - theta) ** 2 for v in v10) / (m - 1)
    s01 = sum((v - theta) ** 2 for v in v01) / (n - 1)
    half = NormalDist().inv_cdf((1 + confidence) / 2) * math.sqrt(s10 / m + s01 / n)
    return max(0.0, theta - half), min(1.0, theta + half)


# --- AUC


@given(tied_scores())
@settings(max_examples=40, deadline=None)
def test_auc_counts_pairs(data):
    scores, is_member = data
    assert auc(scores, is_member).value == pytest.approx(float(slow_auc(scores, is_member)), abs=1e-12)
    assert auc(scores, is_member).value == pytest.approx(roc_auc_score(is_member, scores), abs=1e-12)


def test_auc_worked_out_by_hand():
    # Members 3, 1; non-members 1, 0, 2: the 3 beats all three, the 1 ties once and wins once. (3 + 1.5) / 6.
    assert auc([3, 1, 1, 0, 2], np.array([True, True, False, False, False])).value == pytest.approx(0.75)


@given(tied_scores(), st.sampled_from([0.8, 0.95, 0.99]))
@settings(max_examples=40, deadline=None)
def test_delong_interval_follows_its_definition(data, confidence):
    scores, is_member = data
    found = auc(scores, is_member, confidence)
    if found.value not in (0.0, 1.0):
        low, high = slow_delong(scores, is_member, confidence)
        assert found.low == pytest.approx(low, abs=1e-9)
        assert found.high == pytest.approx(high, abs=1e-9)


def test_delong_interval_of_unequal_groups():
    scores, is_member = simulated(40, 15, seed=3)
    found = auc(scores, is_member, 0.9)
    assert (found.low, found.high) == pytest.approx(slow_delong(scores, is_member, 0.9), abs=1e-12)


def test_delong_interval_covers_the_truth_as_often_as_it_says():
    gap, repetitions = 0.5, 400
    truth = NormalDist().cdf(gap / math.sqrt(2))
    found = [auc(*simulated(60, 90, seed, gap)) for seed in range(repetitions)]
    coverage = np.mean([f.low <= truth <= f.high for f in found])
    assert 0.91 <= coverage <= 0.985
    assert np.mean([f.value for f in found]) == pytest.approx(truth, abs=0.01)


@pytest.mark.parametrize(("n_members", "n_non_members"), [(2, 2), (5, 20), (20, 5), (100, 100)])
def test_complete_separation_leaves_one_end_open(n_members, n_non_members):
    scores = np.concatenate([np.ones(n_members), np.zeros(n_non_members)])
    is_member = scores == 1
    end = 0.025 ** (1 / min(n_members, n_non_members))
    assert dataclasses.astuple(auc(scores, is_member)) == pytest.approx((1, end, 1))
    assert dataclasses.astuple(auc(-scores, is_member)) == pytest.approx((0, 0, 1 - end))


def test_constant_scores_are_worth_a_half():
    found = auc(np.full(10, 3.0), np.arange(10) < 4)
    assert found.value == 0.5
    assert found.low <= 0.5 <= found.high


@given(tied_scores(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_invariances_of_the_auc(data, random):
    scores, is_member = data
    found = dataclasses.astuple(auc(scores, is_member))
    order = list(range(len(scores)))
    random.shuffle(order)
    assert dataclasses.astuple(auc(scores[order], is_member[order])) == pytest.approx(found, abs=1e-12)
    for transformed in (3 * scores - 7, np.exp(scores), scores**3, np.arctan(scores)):
        assert dataclasses.astuple(auc(transformed, is_member)) == pytest.approx(found, abs=1e-12)
    value, low, high = dataclasses.astuple(auc(-scores, is_member))
    assert (1 - value, 1 - high, 1 - low) == pytest.approx(found, abs=1e-12)
    value, low, high = dataclasses.astuple(auc(scores, ~is_member))
    assert (1 - value, 1 - high, 1 - low) == pytest.approx(found, abs=1e-12)


def test_infinite_scores_only_count_by_rank():
    is_member = np.array([True, True, False, False])
    assert auc([np.inf, 0, -np.inf, 1], is_member) == auc([9, 0, -9, 1], is_member)


# --- proportions and differences


# Newcombe (1998), Statistics in Medicine 17, 857-872, table I, method 5 (Clopper-Pearson).
@pytest.mark.parametrize(
    ("k", "n", "low", "high"), [(81, 263, 0.2527, 0.3676), (0, 20, 0.0000, 0.1684), (1, 29, 0.0009, 0.1776)]
)
def test_proportion_has_the_published_interval(k, n, low, high):
    found = proportion(k, n)
    assert found.value == k / n
    assert (found.low, found.high) == pytest.approx((low, high), abs=5.1e-5)


@pytest.mark.parametrize(
    ("k", "n", "confidence"), [(3, 17, 0.95), (9, 10, 0.8), (500, 1000, 0.99), (0, 7, 0.95), (7, 7, 0.9)]
)
def test_proportion_has_the_tails_it_should(k, n, confidence):
    found, tail = proportion(k, n, confidence), (1 - confidence) / 2

    def at_least(count, p):
        return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(count, n + 1))

    if k > 0:
        assert at_least(k, found.low) == pytest.approx(tail, rel=1e-6)
        assert found.low == pytest.approx(beta.ppf(tail, k, n - k + 1), rel=1e-6)
    if k < n:
        assert 1 - at_least(k + 1, found.high) == pytest.approx(tail, rel=1e-6)
    assert (found.low == 0) == (k == 0) and (found.high == 1) == (k == n)


# Newcombe (1998), Statistics in Medicine 17, 873-890, table II, method 10.
@pytest.mark.parametrize(
    ("k1", "n1", "k2", "n2", "low", "high"),
    [
        (56, 70, 48, 80, 0.0524, 0.3339),
        (9, 10, 3, 10, 0.1705, 0.8090),
        (5, 56, 0, 29, -0.0381, 0.1926),
        (0, 10, 0, 10, -0.2775, 0.2775),
    ],
)
def test_advantage_has_the_published_interval(k1, n1, k2, n2, low, high):
    scores = np.concatenate([np.arange(n1) < k1, np.arange(n2) < k2]).astype(float)
    is_member = np.arange(n1 + n2) < n1
    found = attack_report(scores, is_member, threshold=1.0, fprs=()).advantage
    assert found.value == pytest.approx(k1 / n1 - k2 / n2)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5.1e-5)


@pytest.mark.parametrize("confidence", [0.8, 0.99])
def test_advantage_follows_newcombes_formula(confidence):
    z = NormalDist().inv_cdf((1 + confidence) / 2)

    def wilson(k, n):
        centre, half = k + z**2 / 2, z * math.sqrt(k * (n - k) / n + z**2 / 4)
        return (centre - half) / (n + z**2), (centre + half) / (n + z**2)

    scores, is_member = simulated(50, 30, seed=1)
    k1, k2 = int((scores[is_member] >= 0.2).sum()), int((scores[~is_member] >= 0.2).sum())
    p1, p2, (l1, u1), (l2, u2) = k1 / 50, k2 / 30, wilson(k1, 50), wilson(k2, 30)
    expected = (
        p1 - p2,
        p1 - p2 - math.sqrt((p1 - l1) ** 2 + (u2 - p2) ** 2),
        p1 - p2 + math.sqrt((u1 - p1) ** 2 + (p2 - l2) ** 2),
    )
    found = attack_report(scores, is_member, threshold=0.2, fprs=(), confidence=confidence).advantage
    assert dataclasses.astuple(found) == pytest.approx(expected, abs=1e-9)


# --- TPR at a FPR, with the luck of the threshold


@given(tied_scores(), st.integers(1, 20), st.sampled_from([0.5, 0.95, 0.999]))
@settings(max_examples=40, deadline=None)
def test_tpr_interval_holds_the_value_and_the_interval_at_a_fixed_threshold(data, twentieths, confidence):
    scores, is_member = data
    found = metrics.tpr_at_fpr(scores, is_member, twentieths / 20, confidence)
    caught, n = metrics.true_positives_at_fpr(scores, is_member, twentieths / 20), int(is_member.sum())
    fixed = proportion(caught, n, confidence)
    assert found.value == caught / n and found.low <= fixed.low and fixed.high <= found.high


def test_tpr_interval_worked_out_by_hand():
    """The non-members are 0 … 99.

    At 10 %, Binomial(100, 0.1) is at least 4, and at most 17, each with a probability of more than 1 − 5 % / 4: the
    thresholds are above the 4th non-member from the top, and above the 18th.
    """
    at = binom(100, 0.1)
    assert at.sf(3) > 0.9875 > at.sf(4) and at.cdf(17) > 0.9875 > at.cdf(16)
    members = np.array([98.5] * 10 + [90.5] * 5 + [82.5] * 7 + [82.0] * 18)
    scores, is_member = np.concatenate([np.arange(100.0), members]), np.arange(140) >= 100
    found = metrics.tpr_at_fpr(scores, is_member, 0.1)
    assert found == Estimate(15 / 40, proportion(10, 40, 0.975).low, proportion(22, 40, 0.975).high)


def test_tpr_interval_where_the_highest_score_is_shared_by_too_many():
    """No threshold accuses 5 % of the non-members or fewer, so nobody can be named; more members would not change that."""
    scores, is_member = np.ones(400), np.arange(400) < 200
    scores[150:300] = 0.5
    assert metrics.tpr_at_fpr(scores, is_member, 0.05) == Estimate(0.0, 0.0, proportion(0, 200, 0.975).high)


@pytest.mark.parametrize("decimals", [6, 0])
def test_tpr_interval_covers_the_truth_at_least_as_often_as_it_says(decimals):
    """Normal scores, members shifted by 1; rounded to whole numbers, with many ties. Fixed thresholds cover far less."""
    rng = np.random.default_rng(0)
    limit = norm.isf(0.05) if decimals else 2.5  # whole numbers: 3 is the lowest threshold with a true FPR of at most 5 %
    truth, is_member, held, held_fixed = norm.sf(limit - 1), np.arange(400) < 200, 0, 0
    for _ in range(400):
        scores = np.round(rng.normal(size=400) + is_member, decimals)
        found = metrics.tpr_at_fpr(scores, is_member, 0.05, 0.9)
        fixed = proportion(metrics.true_positives_at_fpr(scores, is_member, 0.05), 200, 0.9)
        held += found.low <= truth <= found.high
        held_fixed += fixed.low <= truth <= fixed.high
    assert held >= 0.9 * 400 and (held_fixed < 0.85 * 400 or decimals == 0)


# --- thresholds


def slow_true_positives_at_fpr(scores, is_member, fpr: Fraction) -> int:
    best = 0
    for threshold in [math.inf, *scores]:
        claimed = [score >= threshold for score in scores]
        false_positives = sum(c and not m for c, m in zip(claimed, is_member))
        if Fraction(false_positives) <= fpr * int((~is_member).sum()):
            best = max(best, sum(c and m for c, m in zip(claimed, is_member)))
    return int(best)


@given(tied_scores(), st.integers(0, 20))
@settings(max_examples=40, deadline=None)
def test_true_positives_at_fpr_against_every_threshold(data, twentieths):
    scores, is_member = data
    expected = slow_true_positives_at_fpr(scores, is_member, Fraction(twentieths, 20))
    assert metrics.true_positives_at_fpr(scores, is_member, twentieths / 20) == expected


def test_true_positives_at_fprs_that_are_no_exact_floats():
    """k / n must allow k false positives, however the division rounds, and not one more."""
    for n in (10, 30, 49, 100):
        scores = np.concatenate([np.arange(n), np.arange(n) + 0.5])  # above the k best non-members lie k members
        is_member = np.arange(2 * n) >= n
        for k in range(n):
            assert metrics.true_positives_at_fpr(scores, is_member, k / n) == k + 1, (k, n)


@pytest.mark.parametrize(("fpr", "expected"), [(0.5, 0.0), (0.999, 0.0), (1.0, 1.0)])
def test_constant_scores_catch_nobody_before_everybody(fpr, expected):
    report = attack_report(np.zeros(60), np.arange(60) < 20, fprs=(fpr,))
    assert report.tpr_at_fpr[fpr].value == expected


def test_no_interpolation_within_ties():
    """A tie of one non-member with two members comes as a whole or not at all."""
    scores, is_member = np.array([2.0, 2, 2, 1, 1, 0]), np.array([True, True, False, True, False, False])
    assert [metrics.true_positives_at_fpr(scores, is_member, fpr) for fpr in (0.3, 1 / 3, 0.6, 2 / 3)] == [0, 2, 2, 3]


@given(tied_scores(), st.integers(0, 20))
@settings(max_examples=40, deadline=None)
def test_threshold_at_fpr_is_the_lowest_score_allowed(data, twentieths):
    scores, is_member = data

    def allowed(threshold):
        return Fraction(int((scores[~is_member] >= threshold).sum())) <= Fraction(twentieths, 20) * int((~is_member).sum())

    expected = min([t for t in scores if allowed(t)], default=math.inf)
    assert threshold_at_fpr(scores, is_member, twentieths / 20) == expected


def test_threshold_at_fpr_worked_out_by_hand():
    scores, is_member = np.array([5.0, 4, 3, 2, 1]), np.array([False, True, False, True, False])
    assert [threshold_at_fpr(scores, is_member, fpr) for fpr in (0, 0.33, 1 / 3, 0.66, 2 / 3, 1)] == [
        math.inf,
        math.inf,
        4,
        4,
        2,
        1,
    ]


@given(tied_scores())
@settings(max_examples=40, deadline=None)
def test_roc_curve_has_every_threshold(data):
    scores, is_member = data
    fpr, tpr, thresholds = roc_curve(scores, is_member)
    assert thresholds[1:].tolist() == sorted(set(scores.tolist()), reverse=True)
    np.testing.assert_allclose(fpr, [np.mean(scores[~is_member] >= t) for t in thresholds])
    np.testing.assert_allclose(tpr, [np.mean(scores[is_member] >= t) for t in thresholds])


@given(tied_scores())
@settings(max_examples=40, deadline=None)
def test_best_threshold_against_every_threshold(data):
    scores, is_member = data

    def advantage(threshold):
        claimed = scores >= threshold
        return Fraction(int(claimed[is_member].sum()), int(is_member.sum())) - Fraction(
            int(claimed[~is_member].sum()), int((~is_member).sum())
        )

    best = max(advantage(t) for t in [math.inf, *scores])
    assert float(advantage(best_threshold(scores, is_member))) == pytest.approx(float(best), abs=1e-12)


def test_best_threshold_of_a_clear_case():
    assert best_threshold([0.1, 0.4, 0.7, 0.9], np.array([False, False, True, True])) == 0.7


# --- the report


def test_report_at_a_threshold_worked_out_by_hand():
    scores = np.concatenate([np.arange(40), np.arange(20) * 2.0])
    is_member = np.arange(60) < 40
    report = attack_report(scores, is_member, threshold=10, fprs=(0.5, 1.0))  # 10 itself counts as "member"
    assert report.accuracy == proportion(30 + 5, 60)
    assert report.accuracy.value == pytest.approx(accuracy_score(is_member, scores >= 10))
    assert report.advantage.value == pytest.approx(30 / 40 - 15 / 20)
    assert report.tpr_at_fpr == {
        0.5: proportion(slow_true_positives_at_fpr(scores, is_member, Fraction(1, 2)), 40),
        1.0: proportion(40, 40),
    }
    assert report.auc == auc(scores, is_member)
    assert (report.n_members, report.n_non_members, report.smallest_supported_fpr) == (40, 20, 0.5)
    assert (report.threshold, report.confidence) == (10, 0.95)


@pytest.mark.parametrize("field", ["auc", "accuracy", "advantage", "tpr"])
def test_every_figure_takes_the_confidence_it_is_asked_for(field):
    scores, is_member = simulated(80, 60, seed=2)
    widths = []
    for confidence in (0.5, 0.8, 0.95, 0.99):
        report = attack_report(scores, is_member, threshold=0.0, fprs=(0.25,), confidence=confidence)
        estimate = report.tpr_at_fpr[0.25] if field == "tpr" else getattr(report, field)
        assert estimate.low < estimate.value < estimate.high
        widths.append(estimate.high - estimate.low)
    assert widths == sorted(set(widths))


def test_report_without_a_threshold():
    report = attack_report(*simulated(50, 50, seed=0), fprs=(0.2,))
    assert report.accuracy is None and report.advantage is None and report.threshold is None
    assert report._repr_html_().count("no threshold given") == 2


def test_unsupported_fpr_is_refused_and_the_smallest_is_named():
    scores, is_member = simulated(500, 400, seed=0)
    with pytest.raises(ValueError, match=r"rate of 0\.01 .* 400 non-members: one would expect 4\.0 false.*here is 0\.025$"):
        attack_report(scores, is_member, fprs=(0.01,))
    assert list(attack_report(scores, is_member, fprs=(0.025,)).tpr_at_fpr) == [0.025]
    for fpr in (0.0249, 0.0, -0.1, 1.01):
        with pytest.raises(ValueError, match="smallest FPR supported here is 0.025"):
            attack_report(scores, is_member, fprs=(0.5, fpr))
    scores, is_member = simulated(20, 1000, seed=0)
    report = attack_report(scores, is_member)
    assert list(report.tpr_at_fpr) == [0.01]  # exactly ten expected; of the default limits, 0.001 is left out
    with pytest.raises(KeyError, match=r"1000 non-members: one would expect 1\.0 false positives"):
        report.tpr_at_fpr[0.001]
    with pytest.raises(KeyError, match="use fprs="):
        report.tpr_at_fpr[0.05]


@given(tied_scores(), st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_report_does_not_depend_on_the_order_of_the_examples(data, random):
    scores, is_member = (np.tile(part, 5) for part in data)
    order = list(range(len(scores)))
    random.shuffle(order)
    found = attack_report(scores[order], is_member[order], threshold=0.0, fprs=(1.0,)).to_dict()
    for name, estimate in attack_report(scores, is_member, threshold=0.0, fprs=(1.0,)).to_dict().items():
        assert dataclasses.astuple(found[name]) == pytest.approx(dataclasses.astuple(estimate), abs=1e-12)


def test_report_as_a_dictionary_and_as_a_table():
    scores, is_member = simulated(1500, 1200, seed=4)
    report = attack_report(scores, is_member, threshold=0.25, fprs=(0.01, 0.1))
    table = report.to_dict()
    assert list(table) == ["accuracy", "AUC", "advantage", "TPR at 0.01 FPR", "TPR at 0.1 FPR"]
    assert list(table.values()) == [report.accuracy, report.auc, report.advantage, *report.tpr_at_fpr.values()]
    html = report._repr_html_()
    assert "1,500 members, 1,200 non-members, 95% intervals" in html
    for name, estimate in table.items():
        assert f"<tr><th>{name}</th><td>{estimate}</td></tr>" in html
    assert html.startswith("<table>") and html.endswith("</table>") and html.count("<tr>") == html.count("</tr>") == 5


def test_estimate_as_text():
    assert str(Estimate(0.51251, 0.4996, 1)) == "0.513 [0.500, 1.000]"
    assert f"{Estimate(-0.01, -0.2, 0.1)}" == "-0.010 [-0.200, 0.100]"


@pytest.mark.parametrize("n_targets", [None, 4])
def test_looking_up_a_rate_says_why_it_is_not_there(n_targets):
    scores, is_member = simulated(300, 500, seed=5) if n_targets is None else pooled(n_targets, 200, seed=5)
    n_non_members = int((~np.atleast_2d(is_member)).any(0).sum())  # people, not answers
    rates = attack_report(scores, is_member, fprs=(0.1,)).tpr_at_fpr
    assert list(rates) == [0.1] and isinstance(rates[0.1], Estimate)
    with pytest.raises(KeyError, match=rf"{n_non_members} non-members: one would expect 0\.\d false .* here is 0\.0\d+"):
        rates[0.001]
    with pytest.raises(KeyError, match=r"no TPR at 0\.2 FPR was asked for; use fprs=\(0\.2,\)"):
        rates[0.2]
    with pytest.raises(KeyError, match="cannot be claimed"):
        rates[1.5]
    assert rates.get(0.2) is None and 0.2 not in rates


# --- errors


def test_checked_scores_converts():
    scores, is_member = checked_scores([1, 2], [True, False])
    assert scores.dtype == np.float64 and is_member.dtype == bool
    assert scores.tolist() == [1, 2] and is_member.tolist() == [True, False]


BAD = {
    "numbers for booleans": ([1.0, 2.0], [1, 0], TypeError, r"is_member must be boolean, got int64; convert"),
    "lengths": ([1.0, 2.0, 3.0], [True, False], ValueError, r"got \[3\] and \[2\]"),
    "a dimension too many": ([[1.0, 2.0]], [[True, False]], ValueError, r"got \[1, 2\] and \[1, 2\]"),
    "NaN": ([np.nan, 2.0, np.nan], [True, False, True], ValueError, "2 scores are NaN"),
    "members only": ([1.0, 2.0], [True, True], ValueError, "need members and non-members, got 2 members of 2"),
    "non-members only": ([1.0, 2.0], [False, False], ValueError, "got 0 members of 2"),
    "empty": ([], np.zeros(0, dtype=bool), ValueError, "got 0 members of 0"),
}


@pytest.mark.parametrize("function", [checked_scores, auc, roc_curve, best_threshold, attack_report])
@pytest.mark.parametrize("case", BAD)
def test_errors_say_what_is_wrong(function, case):
    scores, is_member, error, message = BAD[case]
    if function is attack_report and case == "a dimension too many":  # two dimensions are several targets
        scores, is_member, message = [scores], [is_member], r"got \[1, 1, 2\] and \[1, 1, 2\]"
    with pytest.raises(error, match=message):
        function(np.asarray(scores), np.asarray(is_member))


def test_a_single_member_says_nothing_about_precision():
    estimate = metrics.auc([0.3, 0.1, 0.9], np.array([True, False, False]))
    assert (estimate.value, estimate.low, estimate.high) == (0.5, 0.0, 1.0)


@pytest.mark.parametrize("confidence", [0, 1, 95, -0.1])
def test_confidence_outside_0_and_1_is_refused(confidence):
    with pytest.raises(ValueError, match="between 0 and 1"):
        metrics.auc([0.1, 0.2, 0.3, 0.4], np.array([True, False, True, False]), confidence)
    with pytest.raises(ValueError, match="between 0 and 1"):
        attack_report([0.1, 0.2, 0.3, 0.4], np.array([True, False, True, False]), 0.2, (), confidence)


# --- several targets


def pooled(n_targets: int, n: int, seed: int, gap: float = 0.7, same: float = 0.6) -> tuple[np.ndarray, np.ndarray]:
    """Scores of n examples on several targets; a share of each score is the example's own, on every target."""
    rng = np.random.default_rng(seed)
    is_member = rng.random((n_targets, n)) < 0.5
    noise = math.sqrt(same) * rng.normal(size=n) + math.sqrt(1 - same) * rng.normal(size=(n_targets, n))
    return gap * is_member + noise, is_member


def values_of(report) -> dict[str, float]:
    return {name: estimate.value for name, estimate in report.to_dict().items() if estimate}


@pytest.mark.parametrize("threshold", [None, 0.4])
@pytest.mark.parametrize("decimals", [0, 1, 12])
def test_pooled_values_are_those_of_all_scores_together(threshold, decimals):
    scores, is_member = pooled(3, 150, seed=0)
    scores = scores.round(decimals)  # ties within and between targets
    report = attack_report(scores, is_member, threshold=threshold, fprs=(0.08, 0.3))
    flat = attack_report(scores.ravel(), is_member.ravel(), threshold=threshold, fprs=(0.08, 0.3))
    assert values_of(report) == pytest.approx(values_of(flat), abs=1e-12)
    assert len(values_of(report)) == (3 if threshold is None else 5)
    assert (report.n_members, report.n_non_members) == (flat.n_members, flat.n_non_members)
    assert report.n_members + report.n_non_members == 450
    assert report.threshold == threshold
    assert report.smallest_supported_fpr == 10 / (~is_member).any(0).sum() > flat.smallest_supported_fpr


def test_a_rate_asked_for_twice_moves_no_other():
    scores, is_member = pooled(3, 150, seed=0)
    once, twice = (attack_report(scores, is_member, fprs=fprs) for fprs in ((0.3, 0.08), (0.3, 0.3, 0.08)))
    assert twice.tpr_at_fpr == once.tpr_at_fpr


def test_asking_many_targets_about_the_same_people_supports_no_lower_rate():
    rng = np.random.default_rng(0)
    is_member = np.tile(np.arange(40) < 20, (50, 1))  # 20 non-members, asked about at 50 targets
    scores = rng.normal(size=is_member.shape)
    report = attack_report(scores, is_member, fprs=())
    assert (report.n_non_members, report.smallest_supported_fpr) == (1000, 0.5)
    with pytest.raises(ValueError, match="with 20 non-members: one would expect 0.2 false positives"):
        attack_report(scores, is_member, fprs=(0.01,))
    assert metrics.n_non_member_people(is_member) == metrics.n_non_member_people(is_member[0]) == 20
    with pytest.raises(ValueError, match=r"999 non-members: one would expect 9.9 false .* supported here is 0\.01002$"):
        attack_report(np.arange(1009.0), np.arange(1009) < 10, fprs=(0.01,))
    is_member[0] = ~is_member[0]  # now everybody is a non-member somewhere
    assert metrics.n_non_member_people(is_member) == 40


@given(tied_scores(), st.integers(1, 4), st.randoms(use_true_random=False))
@settings(max_examples=8, deadline=None)
def test_pooled_values_with_many_ties(data, n_targets, random):
    orders = [random.sample(range(len(data[0])), len(data[0])) for _ in range(n_targets)]
    scores, is_member = (np.array([part[order] for order in orders]) for part in data)
    report = attack_report(scores, is_member, threshold=0.5, fprs=())
    flat = attack_report(scores.ravel(), is_member.ravel(), threshold=0.5, fprs=())
    assert values_of(report) == pytest.approx(values_of(flat), abs=1e-12)
    for estimate in report.to_dict().values():
        assert estimate.low <= estimate.high


def widths(report) -> dict[str, float]:
    return {name: estimate.high - estimate.low for name, estimate in report.to_dict().items() if estimate}


def test_the_same_target_many_times_is_worth_no_more_than_once():
    scores, is_member = pooled(1, 300, seed=1)
    settings = {"threshold": 0.3, "fprs": (0.1,), "seed": 7}
    once = attack_report(scores, is_member, **settings).to_dict()
    often = attack_report(np.tile(scores, (9, 1)), np.tile(is_member, (9, 1)), **settings).to_dict()
    for name, estimate in once.items():
        assert dataclasses.astuple(often[name]) == pytest.approx(dataclasses.astuple(estimate), abs=1e-12), name
    single = attack_report(scores[0], is_member[0], **settings)  # formulae instead of the bootstrap
    for name, width in widths(attack_report(scores, is_member, **settings)).items():
        assert width == pytest.approx(widths(single)[name], rel=0.15), name
    pretending = attack_report(np.tile(scores[0], 9), np.tile(is_member[0], 9), **settings)
    assert widths(pretending)["AUC"] < 0.36 * widths(single)["AUC"]


def test_independent_targets_narrow_the_interval_as_they_should():
    many = widths(attack_report(*pooled(9, 300, seed=2, same=0.0), threshold=0.3, fprs=(0.1,)))
    one = widths(attack_report(*pooled(1, 300, seed=2, same=0.0), threshold=0.3, fprs=(0.1,)))
    for name in one:
        assert many[name] == pytest.approx(one[name] / 3, rel=0.25), name


def test_pooled_interval_covers_the_truth_as_often_as_it_says(monkeypatch):
    monkeypatch.setattr(metrics, "N_RESAMPLES", 200)
    truth, repetitions = NormalDist().cdf(0.7 / math.sqrt(2)), 200
    found = [attack_report(*pooled(4, 120, seed), fprs=()).auc for seed in range(repetitions)]
    assert 0.90 <= np.mean([f.low <= truth <= f.high for f in found]) <= 0.985
    assert np.mean([f.value for f in found]) == pytest.approx(truth, abs=0.01)


def test_pooled_reports_repeat_themselves_and_do_not_touch_the_global_seed():
    data = pooled(3, 100, seed=3)
    np.random.seed(5)
    before = np.random.get_state()[1].copy()
    assert attack_report(*data, threshold=0.0, seed=1) == attack_report(*data, threshold=0.0, seed=1)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    first, other = (attack_report(*data, threshold=0.0, seed=seed) for seed in (1, 2))
    assert values_of(first) == values_of(other)
    assert first.auc.low != other.auc.low
    assert widths(first)["AUC"] == pytest.approx(widths(other)["AUC"], rel=0.15)


def test_the_order_of_the_targets_does_not_matter():
    scores, is_member = pooled(4, 120, seed=4)
    order = [2, 0, 3, 1]
    settings = {"threshold": 0.3, "fprs": (0.1,)}
    expected = attack_report(scores, is_member, **settings).to_dict()
    for name, found in attack_report(scores[order], is_member[order], **settings).to_dict().items():
        assert dataclasses.astuple(found) == pytest.approx(dataclasses.astuple(expected[name]), abs=1e-12), name


@pytest.mark.parametrize("kind", [True, False])
def test_draws_without_members_or_without_non_members_are_drawn_again(kind):
    is_member = np.array([[kind, not kind, not kind, not kind]] * 2)  # a third of the draws lack the first example
    report = attack_report(np.arange(8.0).reshape(2, 4), is_member, threshold=3.0, fprs=())
    assert all(np.isfinite(dataclasses.astuple(estimate)).all() for estimate in report.to_dict().values())


def test_pooled_confidence():
    data, found = pooled(2, 150, seed=6), []
    for confidence in (0.5, 0.8, 0.95, 0.99):
        report = attack_report(*data, threshold=0.3, fprs=(0.1,), confidence=confidence)
        assert report.confidence == confidence
        found.append(list(widths(report).values()))
    assert (np.diff(found, axis=0) > 0).all()


POOLED_BAD = {
    "three dimensions": (np.zeros((2, 2, 2)), np.ones((2, 2, 2), bool), {}, ValueError, r"got \[2, 2, 2\] and \[2, 2, 2\]"),
    "one membership for all targets": (
        np.zeros((2, 3)),
        np.array([True, False, True]),
        {},
        ValueError,
        r"got \[2, 3\] and \[3\]",
    ),
    "transposed": (np.zeros((2, 3)), np.ones((3, 2), bool), {}, ValueError, r"got \[2, 3\] and \[3, 2\]"),
    "flat scores": (np.zeros(6), np.ones((2, 3), bool), {}, ValueError, r"got \[6\] and \[2, 3\]"),
    "integers": (np.zeros((2, 2)), np.eye(2, dtype=int), {}, TypeError, "must be boolean, got int64"),
    "NaN": (np.array([[0, np.nan], [1, 2]]), np.eye(2, dtype=bool), {}, ValueError, "1 scores are NaN"),
    "members only": (np.zeros((2, 2)), np.ones((2, 2), bool), {}, ValueError, "got 4 members of 4"),
    "empty": (np.zeros((0, 2)), np.zeros((0, 2), bool), {}, ValueError, "got 0 members of 0"),
    "confidence": (np.zeros((2, 2)), np.eye(2, dtype=bool), {"confidence": 95}, ValueError, "between 0 and 1"),
    "unsupported": (
        np.zeros((2, 20)),
        np.eye(2, 20, dtype=bool),
        {"fprs": (0.1,)},
        ValueError,
        "20 non-members: one would expect 2.0 false positives",
    ),
}


@pytest.mark.parametrize("case", POOLED_BAD)
def test_errors_of_pooled_reports(case):
    scores, is_member, settings, error, message = POOLED_BAD[case]
    with pytest.raises(error, match=message):
        attack_report(scores, is_member, **settings)


# --- empirical epsilon


def claims(true_positives: int, n_in: int, false_positives: int, n_out: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores 1 for so many members and non-members, 0 for the rest."""
    scores = np.concatenate([np.arange(n_in) < true_positives, np.arange(n_out) < false_positives]).astype(float)
    return scores, np.arange(n_in + n_out) < n_in


CLEAR = claims(40, 40, 0, 40)  # calibration that puts the threshold at 1


# Clopper-Pearson limits from Newcombe (1998), Statistics in Medicine 17, 857-872, table I, method 5:
# 81/263: 0.2527 … 0.3676; 15/148: 0.0579 … 0.1617; 0/20: 0 … 0.1684; 1/29: 0.0009 … 0.1776; complements by symmetry.
@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((20, 20, 0, 20), math.log(0.8316 / 0.1684)),
        ((81, 263, 15, 148), math.log(0.2527 / 0.1617)),
        ((81, 263, 1, 29), math.log(0.2527 / 0.1776)),
        ((148 - 15, 148, 263 - 81, 263), math.log(0.2527 / 0.1617)),  # the other inequality, on those not claimed
        ((15, 148, 81, 263), 0.0),
        ((0, 20, 0, 20), 0.0),
        ((20, 20, 20, 20), 0.0),
    ],
)
def test_epsilon_from_published_limits(counts, expected):
    assert epsilon_lower_bound(*CLEAR, *claims(*counts)) == pytest.approx(expected, abs=0.002)


@pytest.mark.parametrize("delta", [0.0, 0.01, 0.1])
@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.99])
@pytest.mark.parametrize(("n_in", "n_out"), [(50, 50), (10, 200), (200, 10)])
def test_epsilon_of_perfect_separation(n_in, n_out, confidence, delta):
    tail = (1 - confidence) / 2
    tpr, fpr = tail ** (1 / n_in), 1 - tail ** (1 / n_out)  # all n, or none of n: closed forms
    expected = max(0.0, math.log((tpr - delta) / fpr), math.log((1 - fpr - delta) / (1 - tpr)))
    assert expected > 0
    assert epsilon_lower_bound(*CLEAR, *claims(n_in, n_in, 0, n_out), delta, confidence) == pytest.approx(expected)


@given(st.integers(0, 30), st.integers(0, 25), st.sampled_from([0.0, 0.05, 0.3]))
@settings(max_examples=60, deadline=None)
def test_epsilon_against_binomial_tails(k1, k2, delta):
    """The limits, found by bisection on the binomial tails, in each of the two inequalities."""
    n1, n2, tail = 30, 25, 0.025

    def solve(excess):
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (low, middle) if excess(middle) else (middle, high)
        return low

    tpr = solve(lambda p: binom.sf(k1 - 1, n1, p) > tail) if k1 else 0.0
    fpr = solve(lambda p: binom.cdf(k2, n2, p) < tail) if k2 < n2 else 1.0
    bounds = [math.log((a - delta) / b) for a, b in ((tpr, fpr), (1 - fpr, 1 - tpr)) if a > delta]
    found = epsilon_lower_bound(*CLEAR, *claims(k1, n1, k2, n2), delta)
    assert found == pytest.approx(max([0.0, *bounds]), abs=1e-9)


def test_epsilon_chooses_its_threshold_on_the_calibration_examples_alone():
    scores, is_member = claims(20, 20, 0, 20)
    assert epsilon_lower_bound(scores, is_member, scores, is_member) > 1.5
    assert epsilon_lower_bound(*CLEAR, scores - 1, is_member) == 0  # no test score reaches the threshold
    assert epsilon_lower_bound(-scores, is_member, scores, is_member) == 0  # a sign learnt wrong is not put right


def test_epsilon_of_constant_scores_and_of_noise():
    constant = np.ones(200), np.arange(200) < 100
    assert epsilon_lower_bound(*constant, *constant) == 0
    shown = [
        epsilon_lower_bound(*simulated(200, 200, 2 * seed, gap=0), *simulated(200, 200, 2 * seed + 1, gap=0)) > 0
        for seed in range(200)
    ]
    assert np.mean(shown) <= 0.05


def randomised_response(epsilon: float, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The truth about a membership with probability e^ε / (1 + e^ε), else its opposite: (ε, 0)-private and no better."""
    rng = np.random.default_rng(seed)
    is_member = np.arange(n) < n // 2
    told = is_member ^ (rng.random(n) >= math.exp(epsilon) / (1 + math.exp(epsilon)))
    return told.astype(float), is_member


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_epsilon_stays_below_the_truth(epsilon):
    found = [
        epsilon_lower_bound(*randomised_response(epsilon, 400, 2 * seed), *randomised_response(epsilon, 400, 2 * seed + 1))
        for seed in range(400)
    ]
    assert np.mean(np.array(found) <= epsilon) >= 0.95
    assert np.mean(np.array(found) > 0) > 0.9  # and shows something


@pytest.mark.parametrize("epsilon", [0.5, 2.0, 4.0])
def test_epsilon_comes_close_with_many_examples(epsilon):
    n = 2_000_000
    found = epsilon_lower_bound(*randomised_response(epsilon, n, 1), *randomised_response(epsilon, n, 2))
    assert 0.97 * epsilon < found < epsilon + 0.01


def test_delta_lowers_the_bound():
    data = [part for seed in (1, 2) for part in randomised_response(2.0, 2000, seed)]
    found = [epsilon_lower_bound(*data, delta=delta) for delta in (0.0, 1e-5, 0.1, 0.3, 0.9)]
    assert found[0] == pytest.approx(found[1], abs=1e-3)
    assert found == sorted(found, reverse=True) and found[0] > found[2] > found[3] > found[4] == 0


def test_a_stricter_confidence_lowers_the_bound():
    data = [part for seed in (1, 2) for part in randomised_response(1.0, 1000, seed)]
    found = [epsilon_lower_bound(*data, confidence=confidence) for confidence in (0.5, 0.9, 0.95, 0.999)]
    assert found == sorted(set(found), reverse=True) and found[-1] > 0


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_epsilon_only_uses_the_order_of_the_scores(seed):
    data = [*simulated(60, 80, seed, gap=1.5), *simulated(70, 50, seed + 1, gap=1.5)]
    expected = epsilon_lower_bound(*data)
    for transform in (lambda s: 3 * s - 7, np.exp, np.arctan):
        assert epsilon_lower_bound(transform(data[0]), data[1], transform(data[2]), data[3]) == expected
    order = np.random.default_rng(seed).permutation(len(data[0]))
    assert epsilon_lower_bound(data[0][order], data[1][order], *data[2:]) == expected


INFINITE = np.array([np.inf, -np.inf, *range(38)]), np.arange(40) % 2 == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda: roc_curve(*INFINITE),
        lambda: best_threshold(*INFINITE),
        lambda: threshold_at_fpr(*INFINITE, 0.5),
        lambda: attack_report(*INFINITE, fprs=(0.5,)),
        lambda: attack_report(*(part[None] for part in INFINITE), fprs=(0.5,)),
        lambda: epsilon_lower_bound(*INFINITE, *CLEAR),
    ],
)
def test_infinite_scores_have_no_threshold(call):
    with pytest.raises(ValueError, match="2 scores are infinite, and thresholds must be finite; clip the scores"):
        call()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"delta": 1.0}, r"delta must lie in \[0, 1\), got 1"),
        ({"delta": -0.1}, "delta"),
        ({"delta": math.nan}, "delta"),
        ({"confidence": 0}, "between 0 and 1"),
        ({"confidence": 1}, "between 0 and 1"),
        ({"confidence": 95}, "between 0 and 1"),
        ({"confidence": math.nan}, "between 0 and 1"),
    ],
)
def test_epsilon_refuses_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        epsilon_lower_bound(*CLEAR, *CLEAR, **settings)


@pytest.mark.parametrize("part", ["calibration", "test"])
@pytest.mark.parametrize("case", BAD)
def test_epsilon_refuses_scores_that_do_not_fit(part, case):
    scores, is_member, error, message = BAD[case]
    bad = np.asarray(scores), np.asarray(is_member)
    with pytest.raises(error, match=message):
        epsilon_lower_bound(*(bad + CLEAR if part == "calibration" else CLEAR + bad))


@pytest.mark.parametrize(
    ("rates", "names"),
    [
        ((0.1, 0.01, 0.25), ["0.1", "0.01", "0.25"]),
        ((0.0101, 0.01009, 0.1), ["0.0101", "0.01009", "0.1"]),
        ((0.123456,), ["0.123"]),
        ((0.05, 0.050001, 0.0500001), ["0.05", "0.050001", "0.0500001"]),
    ],
)
def test_columns_of_near_rates_have_names_of_their_own(rates, names):
    scores, is_member = np.random.default_rng(0).normal(size=4000), np.arange(4000) < 2000
    report = attack_report(scores, is_member, fprs=rates)
    table = report.to_dict()
    assert list(table)[3:] == [f"TPR at {name} FPR" for name in names]
    assert [table[f"TPR at {name} FPR"] for name in names] == [report.tpr_at_fpr[rate] for rate in rates]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(0, 3))
def test_drawn_aucs_count_ties_half(seed, n_models, n_values):
    """Draw by draw the AUC of all that was drawn, repeated as often; a constant (one value) is at one half exactly."""
    rng = np.random.default_rng(seed)
    scores, is_member = rng.integers(0, n_values + 1, (n_models, 30)) / 7, np.tile(np.arange(30) % 2 == 0, (n_models, 1))
    draws = metrics.Draws(n_models, 30, n_draws=5, seed=seed % 7)
    found = draws.auc(scores, is_member)
    for i in range(5):
        right = pairs = 0.0
        for s in range(n_models):
            rows = np.repeat(np.arange(30), draws.examples[i])
            inside, outside = scores[s, rows[is_member[s, rows]]], scores[s, rows[~is_member[s, rows]]]
            wins = (inside[:, None] > outside).sum() + (inside[:, None] == outside).sum() / 2
            right += draws.models[i, s] * wins
            pairs += draws.models[i, s] * len(inside) * len(outside)
        assert found[i] == pytest.approx(right / pairs)
    if n_values == 0:
        assert np.all(found == 0.5)


def test_draws_are_of_models_and_of_examples():
    """Models that differ, with examples that do not, and the other way round: both are seen in the interval."""
    group = np.ones((6, 50), bool)
    of_models, of_examples = (np.arange(6)[:, None] < 3) & group, (np.arange(50) < 20) & group
    draws = metrics.Draws(6, 50)
    for event in (of_models, of_examples):
        found = draws.estimate(draws.rate(event, group))
        assert found.low < found.value - 0.05 and found.high > found.value + 0.05
    assert draws.models.sum(1).tolist() == [6] * 200 and draws.examples.sum(1).tolist() == [50] * 200
    assert (draws.models[0] == 1).all() and len({tuple(row) for row in draws.models}) > 50

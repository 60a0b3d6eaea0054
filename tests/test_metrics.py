"""Metrics: against brute force, slow versions of the published definitions, tabulated values and simulation."""

import dataclasses
import math
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta
from sklearn.metrics import accuracy_score, roc_auc_score

from mia_helpers import metrics
from mia_helpers.metrics import Estimate, attack_report, auc, best_threshold, checked_scores, proportion, roc_curve


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


@pytest.mark.parametrize("n_members, n_non_members", [(2, 2), (5, 20), (20, 5), (100, 100)])
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
    for transformed in (3 * scores - 7, np.exp(scores), scores ** 3, np.arctan(scores)):
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
@pytest.mark.parametrize("k, n, low, high", [(81, 263, 0.2527, 0.3676), (0, 20, 0.0000, 0.1684),
                                             (1, 29, 0.0009, 0.1776)])
def test_proportion_has_the_published_interval(k, n, low, high):
    found = proportion(k, n)
    assert found.value == k / n
    assert (found.low, found.high) == pytest.approx((low, high), abs=5.1e-5)


@pytest.mark.parametrize("k, n, confidence", [(3, 17, 0.95), (9, 10, 0.8), (500, 1000, 0.99), (0, 7, 0.95), (7, 7, 0.9)])
def test_proportion_has_the_tails_it_should(k, n, confidence):
    found, tail = proportion(k, n, confidence), (1 - confidence) / 2

    def at_least(count, p):
        return sum(math.comb(n, i) * p ** i * (1 - p) ** (n - i) for i in range(count, n + 1))

    if k > 0:
        assert at_least(k, found.low) == pytest.approx(tail, rel=1e-6)
        assert found.low == pytest.approx(beta.ppf(tail, k, n - k + 1), rel=1e-6)
    if k < n:
        assert 1 - at_least(k + 1, found.high) == pytest.approx(tail, rel=1e-6)
    assert (found.low == 0) == (k == 0) and (found.high == 1) == (k == n)


# Newcombe (1998), Statistics in Medicine 17, 873-890, table II, method 10.
@pytest.mark.parametrize("k1, n1, k2, n2, low, high", [
    (56, 70, 48, 80, 0.0524, 0.3339), (9, 10, 3, 10, 0.1705, 0.8090), (5, 56, 0, 29, -0.0381, 0.1926),
    (0, 10, 0, 10, -0.2775, 0.2775)])
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
        centre, half = k + z ** 2 / 2, z * math.sqrt(k * (n - k) / n + z ** 2 / 4)
        return (centre - half) / (n + z ** 2), (centre + half) / (n + z ** 2)

    scores, is_member = simulated(50, 30, seed=1)
    k1, k2 = int((scores[is_member] >= 0.2).sum()), int((scores[~is_member] >= 0.2).sum())
    p1, p2, (l1, u1), (l2, u2) = k1 / 50, k2 / 30, wilson(k1, 50), wilson(k2, 30)
    expected = (p1 - p2, p1 - p2 - math.sqrt((p1 - l1) ** 2 + (u2 - p2) ** 2),
                p1 - p2 + math.sqrt((u1 - p1) ** 2 + (p2 - l2) ** 2))
    found = attack_report(scores, is_member, threshold=0.2, fprs=(), confidence=confidence).advantage
    assert dataclasses.astuple(found) == pytest.approx(expected, abs=1e-9)


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


@pytest.mark.parametrize("fpr, expected", [(0.5, 0.0), (0.999, 0.0), (1.0, 1.0)])
def test_constant_scores_catch_nobody_before_everybody(fpr, expected):
    report = attack_report(np.zeros(60), np.arange(60) < 20, fprs=(fpr,))
    assert report.tpr_at_fpr[fpr].value == expected


def test_no_interpolation_within_ties():
    """A tie of one non-member with two members comes as a whole or not at all."""
    scores, is_member = np.array([2.0, 2, 2, 1, 1, 0]), np.array([True, True, False, True, False, False])
    assert [metrics.true_positives_at_fpr(scores, is_member, fpr) for fpr in (0.3, 1 / 3, 0.6, 2 / 3)] == [0, 2, 2, 3]


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
            int(claimed[~is_member].sum()), int((~is_member).sum()))

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
    assert report.tpr_at_fpr == {0.5: proportion(slow_true_positives_at_fpr(scores, is_member, Fraction(1, 2)), 40),
                                 1.0: proportion(40, 40)}
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
    if function is attack_report and case == "a dimension too many":
        scores, is_member = np.expand_dims(scores, 0), np.expand_dims(is_member, 0)  # two are several targets
    with pytest.raises(error, match=message):
        function(np.asarray(scores), np.asarray(is_member))


def test_a_single_member_says_nothing_about_precision():
    estimate = metrics.auc([0.3, 0.1, 0.9], np.array([True, False, False]))
    assert (estimate.value, estimate.low, estimate.high) == (0.5, 0.0, 1.0)


@pytest.mark.parametrize("confidence", [0, 1, 95, -0.1])
def test_confidence_outside_0_and_1_is_refused(confidence):
    with pytest.raises(ValueError, match="between 0 and 1"):
        metrics.auc([0.1, 0.2, 0.3, 0.4], np.array([True, False, True, False]), confidence)

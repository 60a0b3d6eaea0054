"""LiRA and RMIA: against slow references with Python loops, values worked out by hand, invariances, noise, every error."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from mia_helpers import signals
from mia_helpers.attacks import lira_offline, lira_online, rmia
from mia_helpers.metrics import auc

VARIANCES = ["global", "per-example"]


def some_mask(rng, n_shadows: int, n: int, at_least: int = 1, share: float = 0.5) -> np.ndarray:
    """Random memberships [S, N] with `at_least` shadows of each kind for every example."""
    mask = rng.random((n_shadows, n)) < share
    for i in range(n):
        rows = rng.permutation(n_shadows)[: 2 * at_least]
        mask[rows, i] = np.arange(len(rows)) < at_least
    return mask


def problem(seed: int, n_shadows: int, n: int, at_least: int = 1, share: float = 0.5):
    """(target φ [N], shadows' φ [S, N], mask [S, N]): examples of unequal difficulty, members surer by 1."""
    rng = np.random.default_rng(seed)
    mask = some_mask(rng, n_shadows, n, at_least, share)
    difficulty = rng.normal(0, 3, n)
    return difficulty + rng.normal(0.5, 1.5, n), difficulty + mask + rng.normal(size=mask.shape), mask


def confidences(seed: int, n_shadows: int, n: int, n_population: int):
    """The five arrays of `rmia`, from φ."""
    target, shadows, mask = problem(seed, n_shadows, n)
    population, population_shadows, _ = problem(seed + 1, n_shadows, n_population)
    p, shadow_p, q, shadow_q = (1 / (1 + np.exp(-phi)) for phi in (target, shadows, population, population_shadows))
    return p, shadow_p, mask, q, shadow_q


sizes = {"seed": st.integers(0, 10_000), "n_shadows": st.integers(4, 9), "n": st.integers(1, 25)}
problems = st.builds(problem, **sizes, at_least=st.just(2), share=st.sampled_from([0.2, 0.5, 0.8]))
confidence_problems = st.builds(confidences, **sizes, n_population=st.integers(1, 25))
rmia_settings = st.sampled_from(
    [{}, {"gamma": 1.0, "a": 1.0}, {"gamma": 1.3, "a": 0.0}, {"mode": "online"}, {"mode": "online", "gamma": 0.7}]
)


# --- slow references


def slow_variances(shadows, chosen, variance: str) -> list[float]:
    """For each example the variance of its chosen shadows; globally, of all residuals from the examples' own means."""
    n_shadows, n = len(shadows), len(shadows[0])
    groups = [[shadows[s][i] for s in range(n_shadows) if chosen[s][i]] for i in range(n)]
    if variance == "per-example":
        return [sum((v - sum(g) / len(g)) ** 2 for v in g) / (len(g) - 1) for g in groups]
    squares = sum((v - sum(g) / len(g)) ** 2 for g in groups for v in g)
    freedom = sum(len(g) - 1 for g in groups)
    return [squares / freedom if freedom else 1.0] * n


def slow_means(shadows, chosen) -> list[float]:
    rows = range(len(shadows))
    return [
        sum(shadows[s][i] for s in rows if chosen[s][i]) / sum(bool(chosen[s][i]) for s in rows)
        for i in range(len(shadows[0]))
    ]


def slow_lira_online(target, shadows, mask, variance: str) -> list[float]:
    moments = []
    for chosen in (mask, ~mask):
        moments.append(list(zip(slow_means(shadows, chosen), slow_variances(shadows, chosen, variance))))
    return [
        norm.logpdf(target[i], moments[0][i][0], math.sqrt(moments[0][i][1]))
        - norm.logpdf(target[i], moments[1][i][0], math.sqrt(moments[1][i][1]))
        for i in range(len(target))
    ]


def slow_lira_offline(target, shadows, mask, variance: str) -> list[float]:
    moments = zip(slow_means(shadows, ~mask), slow_variances(shadows, ~mask, variance))
    return [norm.logcdf(target[i], mean, math.sqrt(var)) for i, (mean, var) in enumerate(moments)]


def slow_rmia(p, shadow_p, mask, q, shadow_q, gamma=2.0, a=0.3, mode="offline") -> list[float]:
    out, population = slow_means(shadow_p, ~mask), slow_means(shadow_q, np.ones(shadow_q.shape, dtype=bool))
    if mode == "online":
        average = [(i + o) / 2 for i, o in zip(slow_means(shadow_p, mask), out)]
    else:
        average = [((1 + a) * mean + (1 - a)) / 2 for mean in out]
        population = [((1 + a) * mean + (1 - a)) / 2 for mean in population]
    scores = []
    for x in range(len(p)):
        beaten = 0
        for z in range(len(q)):
            beaten += (p[x] / average[x]) / (q[z] / population[z]) >= gamma
        scores.append(beaten / len(q))
    return scores


@given(problems, st.sampled_from(VARIANCES))
@settings(max_examples=40, deadline=None)
def test_lira_against_loops(data, variance):
    for attack, slow in ((lira_online, slow_lira_online), (lira_offline, slow_lira_offline)):
        np.testing.assert_allclose(attack(*data, variance=variance), slow(*data, variance), rtol=1e-8, atol=1e-10)


@given(confidence_problems, rmia_settings)
@settings(max_examples=40, deadline=None)
def test_rmia_against_all_pairs(data, options):
    found = rmia(*data, **options)
    assert found.dtype == np.float64 and found.shape == data[0].shape
    np.testing.assert_allclose(found, slow_rmia(*data, **options), atol=1e-12)


@pytest.mark.parametrize(("attack", "slow"), [(lira_online, slow_lira_online), (lira_offline, slow_lira_offline)])
def test_auto_takes_a_variance_for_each_example_from_64_shadows_on(attack, slow):
    for n_shadows, variance in ((63, "global"), (64, "per-example")):
        data = problem(1, n_shadows, 12, at_least=5)
        np.testing.assert_allclose(attack(*data), slow(*data, variance), rtol=1e-9)
        assert np.abs(attack(*data, variance=VARIANCES[n_shadows == 63]) - attack(*data)).max() > 1e-3


# --- worked out by hand


IN_OUT = np.array([[True, False], [True, False], [False, True], [False, True]])
PHI = np.array([[3.0, -1], [5, -3], [0, 1], [2, 1]])  # example 0: in 3, 5, out 0, 2; example 1: in 1, 1, out −1, −3
TARGET = np.array([4.0, -2.0])


def test_lira_with_global_variances_worked_out_by_hand():
    # Means in 4 and 1, out 1 and −2. Squared residuals in 1 + 1 + 0 + 0, out 1 + 1 + 1 + 1, each over 2 degrees of freedom.
    online = [9 / 4 + math.log(2) / 2, -9 / 2 + math.log(2) / 2]
    np.testing.assert_allclose(lira_online(TARGET, PHI, IN_OUT), online, rtol=1e-12)
    np.testing.assert_allclose(lira_online(TARGET, PHI, IN_OUT, variance="global"), online, rtol=1e-12)
    np.testing.assert_allclose(lira_offline(TARGET, PHI, IN_OUT), [norm.logcdf(3 / math.sqrt(2)), math.log(0.5)], rtol=1e-12)


def test_lira_with_a_variance_for_each_example_worked_out_by_hand():
    # All variances are 2, but that of example 1 among its in-shadows, which is 0 and held at 1e-12.
    found = lira_online(TARGET, PHI, IN_OUT, variance="per-example")
    assert found[0] == pytest.approx(9 / 4)
    assert found[1] == pytest.approx(-9 / 2e-12 + math.log(2e12) / 2)
    np.testing.assert_allclose(
        lira_offline(TARGET, PHI, IN_OUT, variance="per-example"), [norm.logcdf(3 / math.sqrt(2)), math.log(0.5)]
    )


def test_a_single_shadow_of_each_kind_has_variance_1():
    shadows, mask = np.array([[2.0, 0.0], [-1.0, 5.0]]), np.array([[True, False], [False, True]])
    # Distances to the in- and out-shadow: 1 and 2 for example 0, 4 and 1 for example 1.
    np.testing.assert_allclose(lira_online([1.0, 1.0], shadows, mask), [(4 - 1) / 2, (1 - 16) / 2])
    np.testing.assert_allclose(lira_offline([1.0, 1.0], shadows, mask), norm.logcdf([2, 1]))


def test_offline_with_one_shadow_that_had_nothing():
    nobody = np.zeros((1, 3), dtype=bool)
    np.testing.assert_allclose(lira_offline([1.0, 0, -2], [[1.0, 1, 1]], nobody), norm.logcdf([0, -1, -3]))
    # r(x) is 1, 2 and 1/2; r(z) is 1/2 and 1.
    found = rmia([0.5, 0.5, 0.25], [[0.5, 0.25, 0.5]], nobody, [0.25, 0.5], [[0.5, 0.5]], a=1.0)
    assert found.tolist() == [0.5, 1.0, 0.0]


def test_rmia_offline_worked_out_by_hand():
    mask = np.array([[False, False], [False, False], [True, False]])
    shadows = np.array([[0.25, 0.5], [0.75, 0.5], [1.0, 0.5]])  # mean of the out-shadows: 1/2 for both
    population, population_shadows = np.array([0.5, 0.25, 0.125, 1.0]), np.full((3, 4), 0.5)
    # a = 1: r(x) = 3/2 and 1; r(z) = 1, 1/2, 1/4, 2.
    for gamma, expected in (
        (1, [0.75, 0.75]),
        (1.5, [0.75, 0.5]),
        (2, [0.5, 0.5]),
        (4, [0.25, 0.25]),
        (4.1, [0.25, 0]),
        (0.5, [1, 1]),
        (6, [0.25, 0]),
        (6.1, [0, 0]),
    ):
        assert rmia([0.75, 0.5], shadows, mask, population, population_shadows, gamma=gamma, a=1.0).tolist() == expected
    # a = 0: p̄ = (1/2 + 1) / 2 = 3/4 for all, a = 0.5: (3/4 + 1/2) / 2 = 5/8, where it cancels too.
    for a in (0.0, 0.3, 0.5):
        assert rmia([0.75, 0.5], shadows, mask, population, population_shadows, gamma=1.4, a=a).tolist() == [0.75, 0.5]


def test_a_stands_in_for_the_in_shadows():
    """p̄ = ½ ((1 + a) m + 1 − a): for a = 0 hard examples gain less, so r differs between m = 0.1 and m = 0.9."""
    nobody = np.zeros((1, 2), dtype=bool)
    # p̄ is 0.55 and 0.95 (a = 0) or 0.1 and 0.9 (a = 1) for x; for z, m = 1, it is 1. r(x) = 0.5 / p̄ against r(z) = 0.5.
    for a, ratios in ((0.0, (1 / 0.55, 1 / 0.95)), (1.0, (1 / 0.1, 1 / 0.9)), (0.3, (1 / 0.415, 1 / 0.935))):
        for x, ratio in enumerate(ratios):
            for gamma, expected in ((ratio * 0.999, 1.0), (ratio * 1.001, 0.0)):
                assert rmia([0.5, 0.5], [[0.1, 0.9]], nobody, [0.5], [[1.0]], gamma=gamma, a=a)[x] == expected


def test_rmia_online_worked_out_by_hand():
    # In-shadow 3/4, out-shadows 1/8 and 3/8, mean 1/4: p̄ = 1/2, not the mean of all three. r(x) = 3/2.
    mask = np.array([[True], [False], [False]])
    population, population_shadows = [0.75, 0.5, 0.25], [[0.25] * 3, [0.5] * 3, [0.75] * 3]  # r(z) = 3/2, 1, 1/2
    for gamma, expected in ((1, 1), (1.5, 2 / 3), (1.6, 1 / 3), (3, 1 / 3), (3.1, 0)):
        found = rmia([0.75], [[0.75], [0.125], [0.375]], mask, population, population_shadows, gamma=gamma, mode="online")
        assert found.tolist() == [expected]


# --- properties


def permuted(data, examples=slice(None), shadows=slice(None)):
    target, values, mask = data
    return target[examples], values[shadows][:, examples], mask[shadows][:, examples]


@given(problems, st.sampled_from(VARIANCES), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_lira_does_not_depend_on_the_order_of_examples_or_shadows(data, variance, seed):
    rng = np.random.default_rng(seed)
    examples, shadows = rng.permutation(len(data[0])), rng.permutation(len(data[1]))
    for attack in (lira_online, lira_offline):
        expected = attack(*data, variance=variance)
        np.testing.assert_allclose(attack(*permuted(data, examples), variance), expected[examples], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(attack(*permuted(data, shadows=shadows), variance), expected, rtol=1e-9, atol=1e-9)


@given(confidence_problems, rmia_settings, st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_rmia_does_not_depend_on_the_order_of_examples_shadows_or_population(data, options, seed):
    rng = np.random.default_rng(seed)
    *examples, q, shadow_q = data
    order, rows, points = (rng.permutation(len(part)) for part in (data[0], shadow_q, q))
    expected = rmia(*data, **options)
    np.testing.assert_array_equal(rmia(*permuted(examples, order), q, shadow_q, **options), expected[order])
    np.testing.assert_array_equal(rmia(*examples, q[points], shadow_q[:, points], **options), expected)
    np.testing.assert_array_equal(rmia(*permuted(examples, shadows=rows), q, shadow_q[rows], **options), expected)


@given(problems, st.sampled_from(VARIANCES), st.floats(0.1, 10), st.floats(-5, 5))
@settings(max_examples=25, deadline=None)
def test_lira_does_not_depend_on_unit_and_origin_of_phi(data, variance, factor, shift):
    target, shadows, mask = data
    for attack in (lira_online, lira_offline):
        np.testing.assert_allclose(
            attack(factor * target + shift, factor * shadows + shift, mask, variance),
            attack(*data, variance),
            rtol=1e-6,
            atol=1e-6,
        )


@given(problems, st.sampled_from(VARIANCES))
@settings(max_examples=25, deadline=None)
def test_with_members_and_non_members_exchanged_lira_changes_its_sign(data, variance):
    target, shadows, mask = data
    np.testing.assert_allclose(lira_online(target, shadows, ~mask, variance), -lira_online(*data, variance), atol=1e-12)


@given(problems, st.sampled_from(VARIANCES), st.floats(0.01, 20))
@settings(max_examples=25, deadline=None)
def test_offline_lira_is_one_sided(data, variance, step):
    target, shadows, mask = data
    scores = [lira_offline(target + k * step, shadows, mask, variance) for k in (-1, 0, 1)]
    assert (np.diff(scores, axis=0) >= 0).all() and (scores[2] <= 0).all()
    below = scores[1] < -1e-9  # at the very top log Φ rounds to 0
    assert (scores[0] < scores[1])[below].all()


def test_an_unusually_low_phi_is_no_sign_of_membership():
    rng = np.random.default_rng(0)
    shadows, nobody = rng.normal(size=(20, 3)), np.zeros((20, 3), dtype=bool)
    scores = lira_offline(np.array([-8.0, 0.0, 8.0]), shadows, nobody)
    assert scores[0] < -10 < scores[1] < -0.1 < scores[2]


@given(confidence_problems, rmia_settings)
@settings(max_examples=25, deadline=None)
def test_rmia_scores_are_shares_that_fall_with_gamma(data, options):
    scores = [rmia(*data, **{**options, "gamma": gamma}) for gamma in (1e-6, 0.5, 0.9, 1.0, 1.5, 3.0, 1e6)]
    assert np.min(scores) >= 0 and np.max(scores) <= 1
    assert (np.diff(scores, axis=0) <= 0).all()
    counts = np.array(scores) * len(data[3])
    np.testing.assert_allclose(counts, counts.round(), atol=1e-9)
    assert (scores[0] == 1).all() and (scores[-1] == 0).all()


@given(confidence_problems, rmia_settings)
@settings(max_examples=25, deadline=None)
def test_rmia_rises_with_the_targets_confidence(data, options):
    p, *rest = data
    scores = [rmia(values, *rest, **options) for values in (p / 2, p, np.sqrt(p))]
    assert (np.diff(scores, axis=0) >= 0).all()


@pytest.mark.parametrize("attack", ["lira_online", "lira_offline", "rmia"])
def test_monotone_transforms_of_the_scores_leave_the_auc_alone(attack):
    data, is_member = confidences(3, 8, 200, 100), np.arange(200) % 2 == 0
    scores = rmia(*data) if attack == "rmia" else globals()[attack](*problem(3, 8, 200))
    expected = auc(scores, is_member)
    assert expected.low < expected.value < expected.high
    for transformed in (5 * scores, scores**3, np.cbrt(scores), np.unique(scores, return_inverse=True)[1]):
        found = auc(transformed, is_member)
        assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))


def simulated_world(
    seed: int, n_shadows: int, n: int, effect: float, share: float = 0.5, balanced: bool = False, n_population: int = 200
):
    """A target and shadows trained alike: φ = difficulty + effect · member + noise; without examples that lack a kind."""
    rng = np.random.default_rng(seed)
    if balanced:  # every example in exactly half of all models, of which one is then called the target
        members = rng.permuted(np.tile(np.arange(n_shadows + 1) % 2 == 0, (n, 1)), axis=1).T
    else:
        members = rng.random((n_shadows + 1, n)) < share
        members[0] = rng.random(n) < 0.5
    kept = members[1:].any(0) & ~members[1:].all(0)
    members, difficulty = members[:, kept], rng.normal(0, 3, kept.sum())
    phi = difficulty + effect * members + rng.normal(size=members.shape)
    population = rng.normal(0, 3, n_population) + rng.normal(size=(n_shadows + 1, n_population))
    return phi, members, population


def aucs_of(attack: str, **world) -> list[float]:
    def score(phi, members, population):
        if attack != "rmia":
            return globals()[attack](phi[0], phi[1:], members[1:])
        p, q = (1 / (1 + np.exp(-values)) for values in (phi, population))
        return rmia(p[0], p[1:], members[1:], q[0], q[1:], mode="online")

    found = []
    for seed in range(60):
        phi, members, population = simulated_world(seed, **world)
        found.append(auc(score(phi, members, population), members[0]))
    return found


@pytest.mark.parametrize(("n_shadows", "share"), [(2, 0.5), (3, 0.3), (5, 0.75), (16, 0.1), (70, 0.2)])
@pytest.mark.parametrize("attack", ["lira_online", "lira_offline", "rmia"])
def test_noise_is_worth_a_half_however_few_shadows(attack, n_shadows, share):
    found = aucs_of(attack, n_shadows=n_shadows, n=300 if n_shadows < 70 else 100, effect=0.0, share=share)
    assert np.mean([f.value for f in found]) == pytest.approx(0.5, abs=0.02)
    assert np.mean([f.low <= 0.5 <= f.high for f in found]) >= 0.85


def test_a_balanced_design_leaks_through_the_number_of_shadows():
    """What the test above could find.

    If the target comes from a design in which each example is in exactly half of the models, then members have one in-shadow
    less. On noise that alone takes the AUC away from a half (here to 0.46).
    """
    found = aucs_of("lira_online", n_shadows=5, n=300, effect=0.0, balanced=True)
    assert np.mean([f.value for f in found]) < 0.48


def test_lira_reaches_the_best_auc_there_is():
    """Two normal distributions with variance 1, their means 1 apart: no attack can do better than Φ(1 / √2) = 0.760."""
    phi, members, _ = simulated_world(0, n_shadows=100, n=6000, effect=1.0)
    best = norm.cdf(1 / math.sqrt(2))
    for attack in (lira_online, lira_offline):
        for variance in VARIANCES:
            assert auc(attack(phi[0], phi[1:], members[1:], variance), members[0]).value == pytest.approx(best, abs=0.02)
    assert auc(phi[0], members[0]).value < 0.6  # a threshold for all examples cannot tell difficulty from membership


def test_rmia_finds_members_that_a_threshold_does_not():
    found = [np.mean([f.value for f in aucs_of("rmia", n_shadows=16, n=300, effect=effect)]) for effect in (0.0, 1.0, 2.0)]
    assert found[1] > 0.65 and found[2] > 0.78
    assert found == sorted(found)


# --- numbers


@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize("offset", [0.0, 3000.0])
def test_float32_is_computed_in_float64(variance, offset):
    target, shadows, mask = problem(5, 8, 40, at_least=2)
    single = (target + offset).astype(np.float32), (shadows + offset).astype(np.float32), mask
    double = single[0].astype(np.float64), single[1].astype(np.float64), mask
    for attack in (lira_online, lira_offline):
        found = attack(*single, variance=variance)
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found, attack(*double, variance=variance))
    data = [part if part.dtype == bool else part.astype(np.float32) for part in confidences(5, 8, 40, 30)]
    expected = rmia(*(part if part.dtype == bool else part.astype(np.float64) for part in data))
    np.testing.assert_array_equal(rmia(*data), expected)


def test_lists_and_integer_logits_are_welcome():
    rng = np.random.default_rng(0)
    logits, labels, mask = rng.integers(-9, 9, (7, 10, 4)), rng.integers(0, 4, 10), some_mask(rng, 6, 10)
    phi = signals.logit_confidence(logits, labels)
    np.testing.assert_array_equal(phi, signals.logit_confidence(logits.astype(float), labels))
    expected = lira_online(phi[0], phi[1:], mask)
    np.testing.assert_array_equal(lira_online(phi[0].tolist(), phi[1:].tolist(), mask.tolist()), expected)
    rounded = phi.round().astype(int)
    np.testing.assert_array_equal(
        lira_offline(rounded[0], rounded[1:], mask), lira_offline(rounded[0].astype(float), rounded[1:].astype(float), mask)
    )


@pytest.mark.parametrize("seed", range(3))
def test_huge_logits_give_finite_scores(seed):
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-2, 4, (30, 1))
    logits = np.clip(rng.normal(size=(9, 30, 5)) * scale, -1e4, 1e4)
    logits[:, :2] = 1e4 * np.sign(logits[:, :2])
    labels, mask = rng.integers(0, 5, 30), some_mask(rng, 8, 30, at_least=2)
    phi, p = signals.logit_confidence(logits, labels), signals.true_class_confidence(logits, labels)
    assert np.abs(phi).max() > 1e4 and p.min() == 0 and p.max() == 1
    for attack in (lira_online, lira_offline):
        for variance in VARIANCES:
            assert np.isfinite(attack(phi[0], phi[1:], mask, variance)).all()
    for mode in ("offline", "online"):
        for a in (0.0, 1.0):
            scores = rmia(p[0, :20], p[1:, :20], mask[:, :20], p[0, 20:], p[1:, 20:], a=a, mode=mode)
            assert np.isfinite(scores).all() and scores.min() >= 0 and scores.max() <= 1


@pytest.mark.parametrize("value", [0.0, 0.1, 1e4, -1e4])
@pytest.mark.parametrize("variance", VARIANCES)
def test_identical_shadows_give_finite_scores(value, variance):
    mask = np.arange(6)[:, None] < np.array([2, 3, 4])
    shadows, target = np.full((6, 3), value), value + np.array([-1.0, 0.0, 1.0])
    assert lira_online(target, shadows, mask, variance) == pytest.approx(0, abs=1e-3)  # in and out agree
    low, same, high = lira_offline(target, shadows, mask, variance)
    assert -math.inf < low < -1e10 and same == pytest.approx(math.log(0.5)) and high == 0


@pytest.mark.parametrize("mode", ["offline", "online"])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_identical_confidences_beat_each_other_exactly_up_to_gamma_1(mode, value):
    shadows, mask = np.full((4, 3), value), np.arange(4)[:, None] < np.array([1, 2, 3])
    for gamma, expected in ((1.0, 1.0), (1.001, 0.0)):
        found = rmia(shadows[0], shadows, mask, shadows[0], shadows, gamma=gamma, a=1.0, mode=mode)
        assert found.tolist() == [expected] * 3


def test_arguments_are_left_as_they_are():
    data = confidences(0, 5, 10, 10)
    copies = [part.copy() for part in data]
    rmia(*data)
    lira_online(*data[:3])
    lira_offline(*data[:3])
    for part, copy in zip(data, copies):
        np.testing.assert_array_equal(part, copy)


# --- errors


def run(attack: str, target, shadows, mask, **options):
    if attack.startswith("rmia"):
        population = {"population_target_confidence": [0.5, 0.7], "population_shadow_confidence": np.full((4, 2), 0.6)}
        return rmia(target, shadows, mask, **population, mode=attack.removeprefix("rmia "), **options)
    return {"lira_online": lira_online, "lira_offline": lira_offline}[attack](target, shadows, mask, **options)


ATTACKS = ["lira_online", "lira_offline", "rmia online", "rmia offline"]
FINE = (
    np.array([0.2, 0.5, 0.8]),
    np.linspace(0.1, 0.9, 12).reshape(4, 3),
    np.array([[True, False, True], [False, True, True], [True, True, False], [False, False, False]]),
)


def changed(position: int, change):
    parts = [part.copy() for part in FINE]
    parts[position] = change(parts[position])
    return parts


def put(row, column, value):
    def change(part):
        part[row, column] = value
        return part

    return change


BAD = {
    "an integer mask": (changed(2, lambda m: m.astype(int)), TypeError, r"member_mask must be boolean, got int64; convert"),
    "fewer target values": (changed(0, lambda t: t[:2]), ValueError, r"\[N\].* got \[2\], \[4, 3\] and \[4, 3\]"),
    "two targets": (changed(0, lambda t: np.stack([t, t])), ValueError, r"got \[2, 3\], \[4, 3\] and \[4, 3\]"),
    "flat shadows": (changed(1, lambda s: s[0]), ValueError, r"got \[3\], \[3\] and \[4, 3\]"),
    "logits": (changed(1, lambda s: s[..., None]), ValueError, r"got \[3\], \[4, 3, 1\] and \[4, 3\]"),
    "a mask transposed": (changed(2, lambda m: m.T), ValueError, r"got \[3\], \[4, 3\] and \[3, 4\]"),
    "a mask of other shadows": (changed(2, lambda m: m[:3]), ValueError, r"got \[3\], \[4, 3\] and \[3, 3\]"),
    "NaN in the target": (changed(0, lambda t: np.where(t > 0.4, np.nan, t)), ValueError, "^2 values are NaN or infinite"),
    "infinity among the shadows": (changed(1, put(1, 1, np.inf)), ValueError, "^1 values are NaN or infinite"),
    "minus infinity": (changed(1, put(0, slice(None), -np.inf)), ValueError, "^3 values are NaN or infinite"),
    "no shadows": ((FINE[0], FINE[1][:0], FINE[2][:0]), ValueError, r"no shadows or no examples: .* are \[0, 3\]"),
    "no examples": ((FINE[0][:0], FINE[1][:, :0], FINE[2][:, :0]), ValueError, r"no shadows or no examples: .* \[4, 0\]"),
    "no out-shadow": (
        changed(2, put(slice(None), slice(2), True)),
        ValueError,
        r"2 of 3 examples have no out-shadow.* train more shadows \(now 4\)",
    ),
    "no in-shadow": (changed(2, put(slice(None), 1, False)), ValueError, r"1 of 3 examples have no in-shadow.* \(now 4\)"),
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("case", BAD)
def test_errors_say_what_is_wrong(attack, case):
    arguments, error, message = BAD[case]
    assert np.isfinite(run(attack, *FINE)).all()
    if case == "no in-shadow" and attack in ("lira_offline", "rmia offline"):
        assert np.isfinite(run(attack, *arguments)).all()
        return
    with pytest.raises(error, match=message):
        run(attack, *arguments)


def test_nan_is_an_error_also_where_offline_attacks_do_not_look():
    arguments = changed(1, put(0, 0, np.nan))
    assert arguments[2][0, 0]
    for attack in ATTACKS:
        with pytest.raises(ValueError, match="1 values are NaN"):
            run(attack, *arguments)


@pytest.mark.parametrize("is_in", [True, False])
def test_one_shadow_cannot_do_for_an_online_attack(is_in):
    mask = np.full((1, 3), is_in)
    with pytest.raises(ValueError, match=rf"3 of 3 examples have no {'out' if is_in else 'in'}-shadow.*\(now 1\)"):
        lira_online(FINE[0], FINE[1][:1], mask)
    with pytest.raises(ValueError, match="3 of 3 examples have no"):
        rmia(FINE[0], FINE[1][:1], mask, [0.5], [[0.5]], mode="online")


@pytest.mark.parametrize("attack", [lira_online, lira_offline])
@pytest.mark.parametrize("variance", ["", "Global", "per_example", None])
def test_an_unknown_variance_is_refused(attack, variance):
    with pytest.raises(ValueError, match="variance must be 'auto', 'global' or 'per-example', got"):
        attack(*FINE, variance=variance)


def test_one_shadow_has_no_variance_of_its_own():
    """FINE's examples have 2 in-shadows and 2 out-shadows; one more in leaves a single out."""
    target, shadows, mask = changed(2, put(3, slice(2), True))
    for attack in (lira_online, lira_offline):
        assert np.isfinite(attack(*FINE, variance="per-example")).all()
        with pytest.raises(ValueError, match=r"2 of 3 examples have a single shadow of a kind.*variance='global'"):
            attack(target, shadows, mask, variance="per-example")
        many = target, np.tile(shadows, (16, 1)), np.concatenate([mask, np.ones((60, 3), dtype=bool)])
        with pytest.raises(ValueError, match="2 of 3 examples have a single shadow of a kind"):
            attack(*many)  # 64 shadows: "auto" is per example
        assert np.isfinite(attack(*many, variance="global")).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "both"}, "mode must be 'offline' or 'online', got 'both'"),
        ({"mode": None}, "mode must be"),
        ({"gamma": 0}, "gamma must be positive .* got gamma=0, a=0.3"),
        ({"gamma": -1.0}, "gamma=-1.0"),
        ({"gamma": math.nan}, "gamma=nan"),
        ({"gamma": math.inf}, "gamma=inf"),
        ({"a": -0.01}, r"a lie in \[0, 1\], got gamma=2.0, a=-0.01"),
        ({"a": 1.01}, "a=1.01"),
        ({"a": math.nan}, "a=nan"),
    ],
)
def test_rmia_refuses_settings_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        rmia(*confidences(0, 4, 5, 5), **options)


@pytest.mark.parametrize(("position", "name"), [(0, "target"), (1, "shadow"), (3, "population"), (4, "population shadow")])
@pytest.mark.parametrize("value", [-0.001, 1.001])
def test_rmia_refuses_what_is_no_probability(position, name, value):
    data = list(confidences(0, 4, 5, 6))
    data[position].flat[2] = value
    message = rf"^{name} confidences must lie in \[0, 1\], got .*{value}.*; pass probabilities of the true class, not logits"
    with pytest.raises(ValueError, match=message):
        rmia(*data)


@pytest.mark.parametrize(
    ("q", "shadow_q", "message"),
    [
        ([], np.zeros((4, 0)), r"^population: no shadows or no examples: .* \[4, 0\]"),
        ([0.5, 0.6], np.full((3, 2), 0.5), "4 shadows for the examples, but 3 for the population"),
        ([0.5], np.full((4, 2), 0.5), r"^population: expected .* got \[1\], \[4, 2\]"),
        ([0.5, 0.6], [0.5, 0.6], r"^population: expected .* got \[2\], \[2\]"),
        ([0.5, np.nan], np.full((4, 2), 0.5), "^population: 1 values are NaN or infinite"),
        ([0.5, 0.6], np.full((4, 2), np.inf), "^population: 8 values are NaN or infinite"),
    ],
)
def test_rmia_refuses_a_population_that_does_not_fit(q, shadow_q, message):
    with pytest.raises(ValueError, match=message):
        rmia(*FINE, q, shadow_q)

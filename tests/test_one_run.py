"""The bound on ε from one run: against exact fractions, the worst training there is, and simulated private mechanisms."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, linprog
from scipy.sparse import csr_array
from scipy.stats import binom, norm

from mia_helpers.metrics import best_guesses, one_run_epsilon
from mia_helpers.one_run import _largest_mean, one_run_p_value


def told(r: int, v: int, m: int | None = None) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Scores of m examples, memberships and guesses, of which r are made, all "member", and v are right."""
    scores = -np.arange(m or r, dtype=float)
    return scores, np.arange(len(scores)) < v, (r, 0)


# --- the inequality


def slow_p_value(m: int, r: int, v: int, odds: int, delta: Fraction) -> Fraction:
    """The theorem, word by word, with e^ε = odds, in fractions."""
    right = Fraction(odds, 1 + odds)
    chance = [math.comb(r, w) * right**w * (1 - right) ** (r - w) for w in range(r + 1)]
    at_least = sum(p for w, p in enumerate(chance) if w >= v)
    terms = [sum(p for w, p in enumerate(chance) if v > w >= v - i) / i for i in range(1, m + 1)]
    return min(Fraction(1), at_least + 2 * m * delta * max(terms))


@pytest.mark.parametrize("delta", [Fraction(0), Fraction(1, 100_000), Fraction(1, 100), Fraction(1, 5)])
@pytest.mark.parametrize("odds", [1, 2, 20, 1000])
def test_the_inequality_against_fractions(odds, delta):
    for m in (1, 2, 3, 7, 12):
        for r in range(1, m + 1):
            for v in range(r + 1):
                expected = float(slow_p_value(m, r, v, odds, delta))
                assert one_run_p_value(m, r, v, math.log(odds), float(delta)) == pytest.approx(expected, rel=1e-9, abs=1e-13)


@pytest.mark.parametrize(("m", "delta", "confidence"), [(9, 0.0, 0.8), (9, 0.002, 0.8), (40, 0.0, 0.95), (40, 1e-4, 0.95)])
def test_the_bound_is_the_largest_epsilon_that_is_rejected(m, delta, confidence):
    shown = 0
    for r in {1, m // 2, m - 1, m}:
        for v in range(r + 1):
            found = one_run_epsilon(*told(r, v, m), delta, confidence)

            def p(epsilon, r=r, v=v):
                terms = [binom.pmf(range(v - i, v), r, 1 / (1 + math.exp(-epsilon))).sum() / i for i in range(1, m + 1)]
                return binom.sf(v - 1, r, 1 / (1 + math.exp(-epsilon))) + 2 * m * delta * max(terms)

            if found == 0:
                assert p(1e-6) > 1 - confidence
            else:
                assert p(found - 1e-6) < 1 - confidence < p(found + 1e-6)
                assert all(p(smaller) < 1 - confidence for smaller in np.linspace(0, found - 1e-6, 20))
                shown += 1
    assert shown > 5


@pytest.mark.parametrize("r", [1, 5, 30, 400])
@pytest.mark.parametrize("budget", [0.0, 0.02, 1.0])
def test_more_right_guesses_or_a_smaller_epsilon_are_never_less_surprising(r, budget):
    """Where it matters, up to ½; r guesses of r examples with m δ = budget."""
    epsilons, rights = np.linspace(0, 6, 61), np.unique(np.linspace(1, r, 40).astype(int))
    p = np.array([[one_run_p_value(r, r, v, epsilon, budget / r) for epsilon in epsilons] for v in rights])
    matters = p < 0.5
    assert (np.diff(p, axis=1)[matters[:, :-1]] >= -1e-12).all()
    assert (np.diff(p, axis=0)[matters[:-1]] <= 1e-12).all()


def worst_chance(m: int, epsilon: float, delta: float, rejected: set[tuple[int, int]]) -> float:
    """The largest chance that (guesses, right ones) is in `rejected`, over all (ε, δ)-private trainings and attacks.

    A linear program: its unknowns are the chances of each vector of guesses (−1, 0 for none, 1) given each of the 2^m
    memberships, and by how much each exceeds e^ε times that of a neighbour.
    """
    truths, vectors = list(itertools.product([-1, 1], repeat=m)), list(itertools.product([-1, 0, 1], repeat=m))
    place, n = {truth: i for i, truth in enumerate(truths)}, len(vectors)
    pairs = [(place[s], place[s[:k] + (-s[k],) + s[k + 1 :]]) for s in truths for k in range(m)]
    n_chances = len(truths) * n
    goal = np.zeros(n_chances + len(pairs) * n)
    for (i, s), (j, t) in itertools.product(enumerate(truths), enumerate(vectors)):
        hits = sum(map(abs, t)), sum(a == b for a, b in zip(s, t))
        goal[i * n + j] = -(hits in rejected) / len(truths)
    entries, limits = [], []
    for k, (one, other) in enumerate(pairs):
        for j in range(n):
            excess = n_chances + k * n + j
            entries += [(len(limits), one * n + j, 1), (len(limits), other * n + j, -math.exp(epsilon))]
            entries += [(len(limits), excess, -1)]
            limits.append(0.0)
        entries += [(len(limits), n_chances + k * n + j, 1) for j in range(n)]
        limits.append(delta)
    rows, columns, values = zip(*entries)
    excesses = csr_array((values, (rows, columns)), shape=(len(limits), len(goal)))
    sums = csr_array((np.ones(n_chances), (np.repeat(range(len(truths)), n), range(n_chances))), (len(truths), len(goal)))
    found = linprog(goal, excesses, limits, sums, np.ones(len(truths)), (0, None))
    assert found.status == 0
    return -found.fun


def sharp(r: int, v: int, epsilon: float, budget: float) -> tuple[float, float]:
    """The two terms of the sharp limit in `one_run_p_value`, with m δ = budget."""
    right = 1 / (1 + math.exp(-epsilon))
    first = binom.sf(v - 1, r, right)
    return first, budget * first * (1 - first) / (v * binom.pmf(v, r, right))


@pytest.mark.parametrize(("m", "epsilon", "delta"), [(1, 0.5, 0.02), (2, 0.0, 0.01), (2, 1.5, 0.03), (3, 0.5, 0.01)])
def test_no_private_training_exceeds_the_inequality(m, epsilon, delta):
    for r in range(1, m + 1):
        for v in range(1, r + 1):
            worst = worst_chance(m, epsilon, delta, {(r, right) for right in range(v, r + 1)})
            assert worst == pytest.approx(sum(sharp(r, v, epsilon, m * delta)), abs=1e-7)
            if sharp(r, v, epsilon, 0)[0] <= 0.5:
                assert worst <= one_run_p_value(m, r, v, epsilon, delta)


def test_few_right_guesses_may_exceed_the_inequality_which_is_why_confidence_is_above_a_half():
    assert worst_chance(2, 1.5, 0.1, {(2, 1), (2, 2)}) > one_run_p_value(2, 2, 1, 1.5, 0.1) + 0.005


def test_where_it_is_used_the_sharp_second_term_is_at_most_half_of_it():
    """So, with a number of guesses that depends on the scores, the error is at most 1.5 times as likely."""
    largest = 0.0
    for r in (1, 2, 3, 5, 10, 40, 200, 1000):
        for epsilon in (0.0, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0):
            rate = 1 / (1 + math.exp(epsilon))
            for v in np.unique(np.linspace(1, r, 60).astype(int)):
                if 1e-12 < binom.cdf(r - v, r, rate) <= 0.5:
                    second = sharp(r, v, epsilon, 1.0)[1]
                    largest = max(largest, second / (2 * _largest_mean(r - v, r, rate)))
    assert 0.45 < largest <= 0.5 + 1e-9


# --- the guesses


def slow_guesses(scores: list, is_member: list, n_high: int, n_low: int) -> tuple[int, int]:
    """(made, right): an example is guessed if all that score like it, and all beyond, may be guessed."""
    made = right = 0
    for score, member in zip(scores, is_member):
        if sum(other >= score for other in scores) <= n_high:
            made, right = made + 1, right + member
        elif sum(other <= score for other in scores) <= n_low:
            made, right = made + 1, right + (not member)
    return made, right


@given(st.lists(st.tuples(st.integers(-2, 2), st.booleans()), min_size=1, max_size=14), st.data())
@settings(max_examples=100, deadline=None)
def test_ties_at_a_cut_are_abstained_from(pairs, data):
    scores, is_member = np.array([s for s, _ in pairs], dtype=float), np.array([m for _, m in pairs])
    high = data.draw(st.integers(0, len(pairs)))
    low = data.draw(st.integers(0 if high else 1, len(pairs) - high))
    made, right = slow_guesses(scores.tolist(), is_member.tolist(), high, low)
    expected = one_run_epsilon(*told(made, right), 0.0, 0.6) if made else 0.0
    assert one_run_epsilon(scores, is_member, (high, low), confidence=0.6) == expected
    order = data.draw(st.permutations(range(len(pairs))))
    assert one_run_epsilon(scores[order], is_member[order], (high, low), confidence=0.6) == expected
    for transformed in (3 * scores - 7, np.exp(scores), scores**3, np.where(scores == scores.max(), np.inf, scores)):
        assert one_run_epsilon(transformed, is_member, (high, low), confidence=0.6) == expected


def test_ties_favour_nobody():
    """Ten are sure; 30 tie at the cut, members first: whoever breaks ties by place, or by the truth, sees 20 of 20 right."""
    scores, is_member = np.repeat([2.0, 1.0, 0.0], [10, 30, 40]), np.arange(80) < 25
    assert one_run_epsilon(scores, is_member, (20, 0)) == one_run_epsilon(*told(10, 10))
    assert one_run_epsilon(scores, is_member, (40, 0)) == one_run_epsilon(*told(40, 25))
    assert one_run_epsilon(-scores, ~is_member, (0, 20)) == one_run_epsilon(*told(10, 10))
    assert one_run_epsilon(np.ones(80), is_member, 80) == one_run_epsilon(np.ones(80), is_member, 79) == 0


def test_one_number_is_halved():
    rng = np.random.default_rng(0)
    is_member = rng.random(200) < 0.5
    scores = is_member + rng.normal(0, 0.4, 200)
    assert one_run_epsilon(scores, is_member, 60) == one_run_epsilon(scores, is_member, (30, 30)) > 0
    assert one_run_epsilon(scores, is_member, 61) == one_run_epsilon(scores, is_member, (30, 31))
    assert one_run_epsilon(scores, is_member, (0, 30)) == one_run_epsilon(-scores, ~is_member, (30, 0)) > 0


# --- mechanisms whose ε is known


def randomised_response(epsilon: float, m: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Bits that are right with probability e^ε / (1 + e^ε), then mixed: each score depends on all bits.

    What is done to the bits afterwards cannot make them less private: the neighbours' mean is taken off and the sum is
    added. With odd weights the sign of a bit can still be read from its score.
    """
    is_member = rng.random(m) < 0.5
    bits = np.where(is_member ^ (rng.random(m) >= 1 / (1 + math.exp(-epsilon))), 1.0, -1.0)
    mixed = bits - 0.3 * (np.roll(bits, 1) + np.roll(bits, -1)) / 2 + 0.01 * bits.sum()
    return mixed, is_member


def noise_for(epsilon: float, delta: float) -> float:
    """The least σ with which a sum of vectors of norm 1 is (ε, δ)-private (Balle & Wang 2018, 1805.06530, theorem 8)."""

    def excess(sigma):
        shift, slope = 1 / (2 * sigma), epsilon * sigma
        return norm.cdf(shift - slope) - math.exp(epsilon + norm.logcdf(-shift - slope)) - delta

    return brentq(excess, 0.05, 100)


def gaussian(epsilon: float, delta: float, m: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One noisy sum of the members' vectors, which overlap: scores are inner products with what was released."""
    vectors = rng.normal(size=(m, 4 * m)) + 0.5 * rng.normal(size=4 * m)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    is_member = rng.random(m) < 0.5
    released = is_member @ vectors + noise_for(epsilon, delta) * rng.normal(size=4 * m)
    return vectors @ (released - vectors.sum(0) / 2), is_member


def found_in_runs(mechanism, n_runs: int, m: int, choose: bool, delta: float) -> np.ndarray:
    """The bound of each run; choose: the guesses on one half of the examples, the bound on the other."""
    found = []
    for seed in range(n_runs):
        scores, is_member = mechanism(np.random.default_rng([seed, m]))
        first = np.arange(m) % 2 == 0 if choose else np.zeros(m, dtype=bool)
        guesses = best_guesses(scores[first], is_member[first], delta) if choose else max(1, m // 2)
        found.append(one_run_epsilon(scores[~first], is_member[~first], guesses, delta))
    return np.array(found)


RUNS = 500
MOST_ERRORS = binom.ppf(0.999, RUNS, 0.05)  # if an error has the chance that is allowed, more are a thousand to one


@pytest.mark.parametrize(("m", "choose"), [(1, False), (10, False), (1000, False), (1000, True)])
@pytest.mark.parametrize("epsilon", [1.0, 2.0, 4.0])
def test_the_bound_stays_below_the_epsilon_of_randomised_response(epsilon, m, choose):
    found = found_in_runs(lambda rng: randomised_response(epsilon, m, rng), RUNS, m, choose, 0.0)
    assert (found > epsilon).sum() <= MOST_ERRORS
    assert m < 1000 or np.median(found) > 0.6 * epsilon  # and shows something


@pytest.fixture(scope="module")
def gaussian_runs():
    """(ε, m) -> the scores and memberships of one release for each run; the vectors of 1,000 canaries are drawn once."""
    made = {}
    for m in (1, 10):
        for epsilon in (1.0, 4.0):
            made[epsilon, m] = [gaussian(epsilon, 1e-5, m, np.random.default_rng([seed, m])) for seed in range(RUNS)]
    rng, m = np.random.default_rng(0), 1000
    vectors = rng.normal(size=(m, m)) + 0.3 * rng.normal(size=m)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    products, root = vectors @ vectors.T, np.linalg.cholesky(vectors @ vectors.T + 1e-9 * np.eye(m))
    for epsilon in (1.0, 4.0):
        is_member = rng.random((RUNS, m)) < 0.5
        scores = (is_member - 0.5) @ products + noise_for(epsilon, 1e-5) * rng.normal(size=(RUNS, m)) @ root.T
        made[epsilon, m] = list(zip(scores, is_member))
    return made


@pytest.mark.parametrize(("m", "choose"), [(1, False), (10, False), (1000, False), (1000, True)])
@pytest.mark.parametrize("epsilon", [1.0, 4.0])
def test_the_bound_stays_below_the_epsilon_of_the_gaussian_mechanism(epsilon, m, choose, gaussian_runs):
    runs = iter(gaussian_runs[epsilon, m])
    found = found_in_runs(lambda rng: next(runs), RUNS, m, choose, 1e-5)
    assert (found > epsilon).sum() <= MOST_ERRORS


def test_the_noise_of_the_gaussian_mechanism_is_the_published_one():
    sigma = noise_for(1.0, 1e-5)
    assert sigma == pytest.approx(3.730632, abs=1e-5)  # the classical √(2 ln(1.25/δ))/ε would be 4.84
    x = np.linspace(-40, 41, 2_000_001)  # δ as an integral of the excess of one density over e^ε times the other
    excess = np.maximum(norm.pdf(x, 1, sigma) - math.e * norm.pdf(x, 0, sigma), 0)
    assert np.trapezoid(excess, x) == pytest.approx(1e-5, rel=1e-4)


@pytest.mark.parametrize("r", [1, 3, 20, 101])
@pytest.mark.parametrize("epsilon", [0.0, 1.0, 2.0, 4.0])
def test_the_chance_of_an_error_is_exactly_what_it_should_be(epsilon, r):
    """Randomised response, summed over all that can happen: at most 5 %, and one right guess fewer would be more."""
    chance = binom.pmf(np.arange(r + 1), r, 1 / (1 + math.exp(-epsilon)))
    errors = np.array([one_run_epsilon(*told(r, v)) > epsilon + 1e-12 for v in range(r + 1)])
    assert (np.diff(errors.astype(int)) >= 0).all()
    assert chance[errors].sum() <= 0.05 + 1e-12 < chance[errors].sum() + chance[~errors][-1]


@pytest.mark.parametrize("epsilon", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("delta", [0.0, 1e-8])
def test_the_bound_comes_close_with_many_examples(epsilon, delta):
    """The estimated log-odds of m answers vary by 1/√(m q (1 − q)); the bound lies 1.645 of that below, and luck 4."""
    m, right, rng = 100_000, 1 / (1 + math.exp(-epsilon)), np.random.default_rng(int(epsilon))
    is_member = rng.random(m) < 0.5
    bits = is_member ^ (rng.random(m) >= right)
    found = one_run_epsilon(bits + 0.5 * rng.random(m), is_member, (int(bits.sum()), m - int(bits.sum())), delta)
    spread = 1 / math.sqrt(m * right * (1 - right))
    assert (1.645 + 4) * spread < 0.05 * epsilon
    assert epsilon - (1.645 + 4 + 0.1) * spread < found < epsilon + (4 - 1.645) * spread


def test_a_single_example_shows_nothing_at_95_percent_and_a_little_at_60():
    for member in (True, False):
        assert one_run_epsilon([1.0], np.array([member]), 1) == one_run_epsilon([1.0], np.array([member]), (1, 0)) == 0
    assert one_run_epsilon([1.0], np.array([True]), (1, 0), confidence=0.6) == 0  # P[W ≥ 1] is at least ½
    assert one_run_epsilon([1.0, 0.0], np.array([True, False]), 2, confidence=0.7) == pytest.approx(
        math.log(math.sqrt(0.3) / (1 - math.sqrt(0.3)))
    )


def test_a_stricter_claim_lowers_the_bound():
    case = told(200, 190, 400)
    for found in (
        [one_run_epsilon(*case, confidence=c) for c in (0.6, 0.9, 0.95, 0.999)],
        [one_run_epsilon(*case, delta=d) for d in (0.0, 1e-6, 1e-4, 1e-3)],
        [one_run_epsilon(*told(200, 190, m), delta=1e-4) for m in (200, 400, 1000)],  # those abstained from count, too
    ):
        assert found == sorted(set(found), reverse=True) and found[-1] > 0
    assert one_run_epsilon(*case, delta=0.5) == 0


def test_the_chosen_guesses_are_the_best_of_the_grid():
    rng = np.random.default_rng(3)
    is_member = rng.random(300) < 0.5
    scores = np.round(is_member * (1 + rng.normal(0, 0.5, 300)) + rng.normal(0, 0.5, 300), 1)
    for delta in (0.0, 1e-4):
        chosen = best_guesses(scores, is_member, delta)
        assert all(type(n) is int for n in chosen)
        best = one_run_epsilon(scores, is_member, chosen, delta)
        sizes = [0, *2 ** np.arange(9)]
        others = [(int(a), int(b)) for a in sizes for b in sizes if 1 <= a + b <= 300]
        assert best >= 0.9 * max(one_run_epsilon(scores, is_member, pair, delta) for pair in others) > 0
    assert best_guesses([1.0], np.array([True])) in ((1, 0), (0, 1))
    assert sum(best_guesses(np.ones(9), np.arange(9) < 4)) in range(1, 10)  # nothing to be chosen, but a valid answer


def test_a_million_examples_take_no_time():
    import time

    m, rng = 1_000_000, np.random.default_rng(0)
    is_member = rng.random(m) < 0.5
    scores, start = is_member + rng.normal(0, 1, m), time.process_time()
    assert one_run_epsilon(scores, is_member, 500_000, 1e-9) > 1
    assert time.process_time() - start < 2  # 0.2 on an idle core


SIX = np.arange(6.0), np.arange(6) < 3


@pytest.mark.parametrize(
    ("guesses", "settings", "error", "message"),
    [
        (0, {}, ValueError, "guesses must be from 1 to 6, got 0"),
        (7, {}, ValueError, "guesses must be from 1 to 6, got 7"),
        ((4, 3), {}, ValueError, r"guesses\[0\] \+ guesses\[1\] must be from 1 to 6, got 7"),
        ((0, 0), {}, ValueError, r"guesses\[0\] \+ guesses\[1\] must be from 1 to 6, got 0"),
        ((-1, 3), {}, ValueError, r"guesses\[0\] must be from 0 to 6, got -1"),
        ((1, 2, 3), {}, ValueError, r"one number or \(r₊, r₋\)"),
        (2.5, {}, TypeError, "guesses must be a whole number, got 2.5"),
        ((1.5, 2), {}, TypeError, r"guesses\[0\] must be a whole number"),
        (2, {"delta": 1.0}, ValueError, r"delta must lie in \[0, 1\)"),
        (2, {"delta": math.nan}, ValueError, "delta"),
        (2, {"confidence": 0.5}, ValueError, "confidence must lie between 0.5 and 1"),
        (2, {"confidence": 95}, ValueError, "confidence must lie between 0.5 and 1"),
    ],
)
def test_what_cannot_be_used_is_refused(guesses, settings, error, message):
    with pytest.raises(error, match=message):
        one_run_epsilon(*SIX, guesses, **settings)
    if settings:
        with pytest.raises(error, match=message):
            best_guesses(*SIX, **settings)


@pytest.mark.parametrize("function", [best_guesses, lambda *data: one_run_epsilon(*data, 1)])
def test_scores_that_do_not_fit_are_refused(function):
    for scores, is_member, message in (
        (SIX[0], SIX[1].astype(int), "is_member must be boolean"),
        (SIX[0][:5], SIX[1], r"both have shape \[N\]"),
        ([*SIX[0][:5], np.nan], SIX[1], "1 scores are NaN"),
        ([], np.array([], bool), "from 1 to 0, got|at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            function(scores, is_member)

"""A lower bound on ε from one training run (Steinke, Nasr & Jagielski 2023, 2305.08846).

NumPy side: scores `[m]` (higher = more likely a member) and true memberships, a boolean array `[m]`. A fair coin of its own
put each of the m examples in or left it out; then one model was trained, and some memberships are guessed from its scores.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, expit
from scipy.stats import beta

from mia_helpers.inputs import InputError, between, checked_scores, delta_below_1, whole_number

PRECISION = 1e-9  # of ε; what is returned is always the lower end


def one_run_epsilon(
    scores: ArrayLike,
    is_member: ArrayLike,
    guesses: int | tuple[int, int],
    delta: float = 0.0,
    confidence: float = 0.95,
) -> float:
    """A lower bound on ε, given δ, from the examples of one training run, however they influence each other.

    The largest ε at which so many right guesses are rejected by `one_run_p_value`. It holds with probability `confidence`
    if a fair coin of its own decided about each example. Then whatever is learnt from other examples (which attack is the
    best, how many guesses to make) leaves these coins fair, and may be used.

    An example whose score equals one at which no more guess may be made is abstained from, with all that tie with it:
    neither its place nor the truth decides. So there may be fewer guesses than asked for. With δ = 0 their number may depend
    on the scores in any way. With δ > 0 the inequality is for a number fixed beforehand; with one that ties or
    `best_guesses` chose, the chance of error is at most 1.5 (1 − confidence), see `one_run_p_value`.

    Args:
        scores: `[m]`, higher = more likely a member; only their order counts. is_member: bool `[m]`, perhaps all alike.
        guesses: (r₊, r₋), of the r₊ highest scores "member" is guessed and of the r₋ lowest "not a member"; or one number
            r ≤ m for the two together, r // 2 of them "member".
        delta: the δ of the claim, in [0, 1). confidence: above ½.

    Returns:
        ε ≥ 0 in nats; 0 if nothing is shown.

    Raises:
        ValueError: guesses, delta or confidence out of range, or scores and memberships that do not fit together.
        TypeError: guesses that are not whole numbers.
    """
    _check(delta, confidence)
    scores, is_member = checked_scores(scores, is_member, both_kinds=False)
    made, right = _made_and_right(scores, is_member, *_two_numbers(guesses, len(scores)))
    return _bound(len(scores), int(made), int(right), delta, confidence)


def best_guesses(scores: ArrayLike, is_member: ArrayLike, delta: float = 0.0, confidence: float = 0.95) -> tuple[int, int]:
    """The numbers of guesses (r₊, r₋) that give the largest `one_run_epsilon`, from a grid in steps of about √2.

    For calibration examples only: the bound itself must be counted on others, at least as many. Arguments and errors as
    there.
    """
    _check(delta, confidence)
    scores, is_member = checked_scores(scores, is_member, both_kinds=False)
    m = len(scores)
    whole_number("the number of examples", m, 1)
    steps = np.geomspace(1, m, 1 + int(np.ceil(2 * np.log2(max(m, 2)))))
    sizes = np.concatenate([[0], np.unique(np.round(steps).astype(int))])
    high, low = (part.ravel() for part in np.meshgrid(sizes, sizes))
    high, low = (part[(high + low >= 1) & (high + low <= m)] for part in (high, low))
    made, right = _made_and_right(scores, is_member, high, low)
    at_most = _bound_without_delta(made, right, confidence)
    order = np.argsort(-at_most, kind="stable")
    best, place = 0.0, order[0]
    for i in order:
        if at_most[i] <= best:
            break  # δ only lowers a bound
        case = m, int(made[i]), int(right[i])
        if one_run_p_value(*case, best, delta) <= 1 - confidence and (found := _bound(*case, delta, confidence)) > best:
            best, place = found, i
    return int(high[place]), int(low[place])


def one_run_p_value(m: int, r: int, v: int, epsilon: float, delta: float = 0.0) -> float:
    """The most likely that v of r guesses are right under (ε, δ)-DP: the theorem of Steinke et al. (2023, 2305.08846).

    With W ~ Binomial(r, e^ε / (1 + e^ε)) it is P[W ≥ v] + 2 m δ max over i of (1/i) P[v > W ≥ v − i].

    It is meant for v so large that P[W ≥ v] ≤ ½. For smaller v (from P[W ≥ v] = 0.875 on) there are trainings that exceed
    it: the sharp limit for r fixed guesses is P[W ≥ v] + m δ P[W ≥ v] P[W < v] / (v P[W = v]). Where it is meant to be used
    the sharp second term is at most half of the one above. If r depends on the scores, the first terms of all r are averaged
    and the largest of the sharp second terms counts, so that the chance of a p-value of at most p is at most 1.5 p.

    Args:
        m: examples with a coin each. r: of how many a membership was guessed. v: how many guesses were right, 0 ≤ v ≤ r ≤ m.
        epsilon: ≥ 0, in nats.
    """
    if v == 0:
        return 1.0
    wrong, rate = r - v, expit(-epsilon)  # wrong guesses are counted: their rate loses no digits if ε is large
    p = bdtr(wrong, r, rate)
    return float(min(1.0, p + 2 * m * delta * _largest_mean(wrong, r, rate))) if delta else float(p)


def _largest_mean(wrong: int, r: int, rate: float) -> float:
    """max over i of (1/i) P[wrong < X ≤ wrong + i] with X = r − W ~ Binomial(r, rate).

    A mean over the first i of probabilities that rise to one peak and fall rises to a peak itself. So the best i is found by
    bisection, and a million guesses cost twenty steps.
    """

    def mean(i: int) -> float:
        return (bdtr(wrong + i, r, rate) - bdtr(wrong, r, rate)) / i

    low, high = 1, r - wrong
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if mean(middle + 1) > mean(middle) else (low, middle)
    return mean(low)


def _bound(m: int, r: int, v: int, delta: float, confidence: float) -> float:
    """The largest ε that v right ones of r guesses reject, by bisection between 0 and the bound without δ.

    Any ε that is rejected is a valid bound, whether or not all smaller ones are rejected too: a training that is private at
    a smaller ε is private at this one.
    """
    if r == 0:
        return 0.0
    low, high = 0.0, float(_bound_without_delta(r, v, confidence))
    if delta == 0 or one_run_p_value(m, r, v, low, delta) > 1 - confidence:
        return high if delta == 0 else 0.0
    while high - low > PRECISION:
        middle = (low + high) / 2
        low, high = (middle, high) if one_run_p_value(m, r, v, middle, delta) <= 1 - confidence else (low, middle)
    return low


def _bound_without_delta(r: np.ndarray | int, v: np.ndarray | int, confidence: float) -> np.ndarray:
    """The ε at which P[W ≥ v] = 1 − confidence: Clopper–Pearson's limit of the share of right guesses, in closed form."""
    r, v = np.asarray(r), np.asarray(v)
    wrong = np.where(v > 0, beta.isf(1 - confidence, r - v + 1, np.maximum(v, 1)), 1.0)
    return np.maximum(0.0, np.log1p(-np.minimum(wrong, 0.5)) - np.log(np.minimum(wrong, 0.5)))


def _made_and_right(
    scores: np.ndarray, is_member: np.ndarray, n_high: np.ndarray | int, n_low: np.ndarray | int
) -> tuple[np.ndarray, np.ndarray]:
    """How many guesses are made, and how many are right, if of the highest and lowest scores so many may be guessed."""
    order, m = np.argsort(scores), len(scores)
    ranked, members = scores[order], np.concatenate([[0], np.cumsum(is_member[order])])
    n_high, n_low = np.asarray(n_high), np.asarray(n_low)
    # "Member" begins above the highest score that may not be guessed, "not a member" ends below the lowest such one.
    first = np.where(n_high < m, np.searchsorted(ranked, ranked[np.maximum(m - 1 - n_high, 0)], "right"), 0)
    end = np.where(n_low < m, np.searchsorted(ranked, ranked[np.minimum(n_low, m - 1)], "left"), m)
    return m - first + end, members[m] - members[first] + end - members[end]


def _two_numbers(guesses: int | tuple[int, int], m: int) -> tuple[int, int]:
    """(r₊, r₋), of which at least one is positive and which are at most m together."""
    if isinstance(guesses, tuple):
        if len(guesses) != 2:
            raise InputError(f"guesses must be one number or (r₊, r₋), got {guesses}")
        high, low = (whole_number(f"guesses[{i}]", n, 0, m) for i, n in enumerate(guesses))
        whole_number("guesses[0] + guesses[1]", high + low, 1, m)
        return high, low
    r = whole_number("guesses", guesses, 1, m)
    return r // 2, r - r // 2


def _check(delta: float, confidence: float) -> None:
    delta_below_1(delta)
    between("confidence", confidence, 0.5, 1, ", for instance 0.95")

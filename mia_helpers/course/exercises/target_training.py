"""Checks for the exercises of notebook 02."""

from collections.abc import Callable
from math import e, isclose, log

import numpy as np
from scipy.special import logsumexp

from mia_helpers.course.checks import NOT_ATTEMPTED, exercise


def exercise_2_1(lots: Callable[[np.ndarray, int, int], tuple[np.ndarray, np.ndarray]]) -> None:
    """Members and non-members by lot, class by class: `lots(labels, n, seed)` gives positions, n of each class twice."""

    def check() -> str | None:
        n, labels = (
            20,
            np.random.default_rng(5).permutation(np.repeat(np.arange(10), [40, 45, 50, 55, 60, 40, 45, 50, 55, 60])),
        )
        drawn = [lots(labels, n, seed) for seed in range(5)]
        if drawn[0] is None:
            return NOT_ATTEMPTED
        if any(not isinstance(pair, tuple | list) or len(pair) != 2 for pair in drawn):
            return "it should return two arrays of positions: the members', then the non-members'"
        pairs = [(np.asarray(members), np.asarray(others)) for members, others in drawn]
        if problem := _unfair(labels, n, *pairs[0]):
            return problem
        if any(set(pairs[0][0]) == set(members) for members, _ in pairs[1:]):
            return "with another seed the members are the same; draw with np.random.default_rng(seed)"
        if set(pairs[0][0]) != set(np.asarray(lots(labels, n, 0)[0])):
            return "the same seed gives other members the second time; draw with np.random.default_rng(seed)"
        if all(_in_front(labels, *pair) for pair in pairs):
            return "members always stand before the non-members of their class; shuffle before you cut"
        return None

    exercise("2.1", check, "members and non-members differ in nothing but the lot that was drawn")


def _unfair(labels: np.ndarray, n: int, members: np.ndarray, others: np.ndarray) -> str | None:
    """What is wrong with one draw of positions, or None."""
    if both := len(set(members) & set(others)):
        return f"digits in both groups: {both}; whoever is a member must not be a non-member, too"
    if len(set(members)) < len(members) or len(set(others)) < len(others):
        return "a digit is drawn twice; draw without putting it back"
    counts = np.array([np.bincount(labels[positions], minlength=10) for positions in (members, others)])
    why = f"take no more than {n} for each group" if (counts >= n).all() else "draw class by class"
    for c, (inside, outside) in enumerate(counts.T):
        if (inside, outside) != (n, n):
            return f"class {c} has {inside} members and {outside} non-members, want {n} each: {why}"
    return None


def _in_front(labels: np.ndarray, members: np.ndarray, others: np.ndarray) -> bool:
    return all(members[labels[members] == c].max() < others[labels[others] == c].min() for c in range(10))


def exercise_2_2(gap_of: Callable[[int], float]) -> None:
    """The generalisation gap as a function of the number of members."""

    def check() -> str | None:
        few = gap_of(250)
        if few is None:
            return NOT_ATTEMPTED
        if few > 0.7:
            return f"gap_of(250) is {few:.3f}: that is an accuracy; the gap is a difference of two"
        if few < -0.05:
            return f"gap_of(250) is {few:.3f}; members are read better, so is it members minus non-members?"
        if not 0.05 < few < 0.3:
            return f"gap_of(250) is {few:.3f}; members should be read better than non-members by 0.05 to 0.3"
        many = gap_of(1000)
        return None if many < few else f"gap_of(1000) is {many:.3f}, not smaller than gap_of(250), {few:.3f}"

    exercise("2.2", check, "the gap grows as members get fewer")


def exercise_2_3(phi: Callable[[np.ndarray, int], float]) -> None:
    """The logit confidence of one answer, for logits `[C]` and the true class, without overflow."""

    def check() -> str | None:
        z = np.array([2.0, -1.0, 0.5, 1.5])
        if (found := phi(z, 0)) is None:
            return NOT_ATTEMPTED
        others = logsumexp(z[1:])
        told = {
            z[0] - logsumexp(z): "that is log p; the sum leaves the true class out",
            z[0] - z[1:].max(): "that takes the largest of the other logits; φ takes all of them, as log Σ exp",
            z[0] - z[1:].sum(): "the other logits are added up as they are; φ takes log Σ exp of them",
            others - z[0]: "the sign is turned: a sure and right answer should come out high",
        }
        if slip := next((why for value, why in told.items() if isclose(found, value, rel_tol=1e-6)), None):
            return slip
        for true_class in range(4):
            expected = z[true_class] - logsumexp(np.delete(z, true_class))
            if not isclose(phi(z, true_class), expected, rel_tol=1e-6, abs_tol=1e-9):
                return f"for logits {z.tolist()} and class {true_class}, φ is {expected:.3f}, got {phi(z, true_class):.3f}"
        return _at_the_limits(phi)

    exercise("2.3", check, "φ tells sure answers apart that a probability rounds to 1")


def _at_the_limits(phi: Callable[[np.ndarray, int], float]) -> str | None:
    """Answers so sure that p rounds to 1, then logits so large that exp overflows."""
    for scale, why in (
        (60.0, "p rounds to 1 there; work with the logits and form no probability"),
        (2000.0, "exp overflows there; take the largest of the others off first, or let scipy.special.logsumexp do it"),
    ):
        z = np.array([scale, 0.0, 0.0, scale / 2])
        expected = z[0] - logsumexp(z[1:])
        try:
            with np.errstate(all="ignore"):
                found = float(phi(z, 0))
        except (ZeroDivisionError, OverflowError, ValueError):
            found = float("nan")
        if found == np.inf and scale == 2000:
            why = "exp of all the others rounds to 0 there; take off the largest of the others, not of all"
        if not isclose(found, expected, rel_tol=1e-6):
            return f"for logits {z.tolist()} φ is {expected:g}, got {found:g}: {why}"
    return None


def exercise_2_4(floor: Callable[[int], float]) -> None:
    """The lowest loss of a double softmax, for any number of classes."""

    def check() -> str | None:
        if (found := floor(10)) is None:
            return NOT_ATTEMPTED
        told = {
            e / (e + 9): "that is the probability of the true class; the loss is minus its logarithm",
            -log(e + 9) + 1: "the sign is turned: a loss is not below 0",
            log(10): "that is the loss of a network that knows nothing; the floor is that of one that is certain",
            (log(e + 9) - 1) / log(2): "that is in bits; the loss takes the natural logarithm",
            log(e + 10) - 1: "there are n_classes - 1 other classes, each with e to the power of 0",
        }
        if slip := next((why for value, why in told.items() if isclose(found, value, rel_tol=1e-3)), None):
            return f"floor(10) gives {found:.4g}: {slip}"
        for n_classes in (2, 10, 100):
            expected = log(e + n_classes - 1) - 1
            if not isclose(floor(n_classes), expected, rel_tol=1e-3):
                return f"floor({n_classes}) gives {floor(n_classes):.4g}, which is not the loss at probability 1"
        return None

    exercise("2.4", check, "the floor is 1.461 for 10 classes and rises with their number")

"""Checks for the exercises of notebook 05."""

from collections.abc import Callable
from math import e, isclose, log

import numpy as np
from scipy.stats import ttest_rel

from mia_helpers.course.checks import NOT_ATTEMPTED, exercise


def exercise_5_1(paired_interval: Callable[[list[float], list[float]], tuple[float, float]]) -> None:
    """The interval of a mean paired difference, against scipy's."""

    def check() -> str | None:
        rng = np.random.default_rng(0)
        for n in (4, 7):
            old = rng.normal(0.55, 0.02, n)
            new = old - 0.01 + rng.normal(0, 0.004, n)
            found = paired_interval(list(new), list(old))
            if found is None:
                return NOT_ATTEMPTED
            expected = ttest_rel(new, old).confidence_interval(0.95)
            if not np.allclose(found, (expected.low, expected.high), atol=1e-6):
                return (
                    f"of {n} pairs it gives {np.round(found, 4).tolist()}, expected "
                    f"{np.round((expected.low, expected.high), 4).tolist()}; is it new minus old, pair by pair?"
                )
        return None

    exercise("5.1", check, "what the pairs have in common drops out, and the interval gets narrower")


def exercise_5_2(aim: Callable[[float, int], float]) -> None:
    """The logit confidence at which the label-smoothed loss is lowest."""

    def check() -> str | None:
        if aim(0.2, 10) is None:
            return NOT_ATTEMPTED
        for epsilon, n_classes in ((0.2, 10), (0.1, 100), (0.5, 2)):
            right, others = 1 - epsilon + epsilon / n_classes, epsilon * (n_classes - 1) / n_classes
            if not isclose(aim(epsilon, n_classes), log(right / others), rel_tol=1e-6):
                return f"aim({epsilon}, {n_classes}) gives {aim(epsilon, n_classes):.4g}, expected {log(right / others):.4g}"
        return None

    exercise("5.2", check, "smoothing puts a target where there was none, and members are pulled to it")


def exercise_5_3(best_tpr: Callable[[float, float, float], float]) -> None:
    """The most that any attack can catch in a differentially private model."""

    def check() -> str | None:
        if best_tpr(1.0, 0.0, 0.01) is None:
            return NOT_ATTEMPTED
        for arguments, expected in (
            ((1.0, 0.001, 0.01), 0.01 * e + 0.001),
            ((8.0, 0.0, 0.01), 1 - 0.99 * e**-8),
            ((1.0, 0.0, 0.9), 1 - 0.1 / e),
            ((0.0, 0.0, 0.3), 0.3),
            ((2.0, 0.5, 0.9), 1.0),
        ):
            if not isclose(found := best_tpr(*arguments), expected, rel_tol=1e-9):
                return f"best_tpr{arguments} gives {found:.4g}, expected {expected:.4g}; the smaller of both limits counts"
        return None

    exercise("5.3", check, "at ε = 1 and an FPR of 1 % nobody catches more than 3 % of the members; at ε = 8 almost all")

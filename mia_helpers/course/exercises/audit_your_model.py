"""Checks for the exercises of notebook 10."""

from collections.abc import Callable
from math import isclose

import numpy as np

from mia_helpers.course.checks import NOT_ATTEMPTED, exercise


def exercise_10_1(some_alarm: Callable[[int, float], float]) -> None:
    """The chance of a false alarm among many slices."""

    def check() -> str | None:
        if some_alarm(20, 0.95) is None:
            return NOT_ATTEMPTED
        for n_slices, level in ((1, 0.95), (20, 0.95), (20, 0.9975), (100, 0.99)):
            expected = 1 - ((1 + level) / 2) ** n_slices
            if not isclose(found := some_alarm(n_slices, level), expected, rel_tol=1e-6):
                return f"some_alarm({n_slices}, {level}) gives {found:.4g}, expected {expected:.4g}; one end alarms"
        return None

    exercise("10.1", check, "with 20 slices at 95 % four audits in ten raise an alarm by luck; at 99.75 % one in forty")


def exercise_10_2(blind_auc: Callable[[np.ndarray, np.ndarray], float]) -> None:
    """A cross-validated classifier that tells members from non-members without the model."""

    def check() -> str | None:
        rng = np.random.default_rng(0)
        is_member, noise = rng.permutation(np.arange(600) < 300), rng.normal(size=(600, 3))
        alike = blind_auc(noise, is_member)
        if alike is None:
            return NOT_ATTEMPTED
        if not 0.38 < alike < 0.62:
            return f"on groups that are alike it gives {alike:.2f}; is it scored on examples that it did not learn from?"
        shifted, spread = noise.copy(), noise.copy()
        shifted[is_member, 0] += 1.5
        spread[is_member, 0] *= 5
        for what, features in (("the mean", shifted), ("the spread", spread)):
            if not (found := blind_auc(features, is_member)) > 0.68:
                return f"it gives {found:.2f} for groups that differ in {what}; at least 0.68 is within reach"
        return None

    exercise(
        "10.2",
        check,
        "it sees a shift, and a spread (which a logistic regression would miss), and nothing where there is nothing",
    )

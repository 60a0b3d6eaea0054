"""Checks for the exercises of notebook 01."""

from collections.abc import Callable
from math import isclose

import numpy as np

from mia_helpers.course.checks import NOT_ATTEMPTED, exercise
from mia_helpers.metrics import auc


def exercise_1_1(accuracy: Callable[[float, float, float], float]) -> None:
    """Accuracy of an attack at any prior."""

    def check() -> str | None:
        if accuracy(0.6, 0.4, 0.5) is None:
            return NOT_ATTEMPTED
        for arguments, expected in (((0.6, 0.4, 0.5), 0.6), ((1.0, 0.01, 0.001), 0.99001), ((0.0, 0.0, 0.001), 0.999)):
            if not isclose(accuracy(*arguments), expected, rel_tol=1e-9):
                return f"accuracy{arguments} gives {accuracy(*arguments):.4g}, and {expected} is right"
        return None

    exercise("1.1", check, "at a prior of 1 in 1,000 the lazy adversary wins: 0.999 against 0.990 at best")


def exercise_1_2(area: Callable[[np.ndarray, np.ndarray], float]) -> None:
    """AUC from its definition, with ties."""

    def check() -> str | None:
        rng = np.random.default_rng(0)
        for decimals in (8, 1):  # without ties and with many
            members, non_members = rng.normal(0.3, 1, 40).round(decimals), rng.normal(0, 1, 30).round(decimals)
            if (found := area(members, non_members)) is None:
                return NOT_ATTEMPTED
            expected = auc(np.concatenate([members, non_members]), np.arange(70) < 40).value
            if not isclose(found, expected, rel_tol=1e-9):
                ties = " (do ties count half?)" if decimals == 1 else ""
                return f"the area is {found:.4f} where {expected:.4f} is expected{ties}"
        return None

    exercise("1.2", check, "the area under the ROC curve is the share of pairs in the right order")

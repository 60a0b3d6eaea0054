"""Checks for the exercises of notebook 06."""

from collections.abc import Callable
from math import isclose

import numpy as np

from mia_helpers.course.checks import NOT_ATTEMPTED, exercise


def exercise_6_1(sigmas: Callable[[np.ndarray, np.ndarray], tuple[float, float]]) -> None:
    """LiRA's shared standard deviations, from the residuals of the in-shadows and of the out-shadows."""

    def check() -> str | None:
        rng = np.random.default_rng(0)
        mask = rng.random((12, 4000)) < 0.5
        mask[:4] = [[True], [True], [False], [False]]  # two of each kind at least
        phi = rng.normal(0, 5, 4000) + np.where(mask, 3, 1) * rng.normal(size=mask.shape)  # σ_in = 3, σ_out = 1
        if (found := sigmas(phi, mask)) is None:
            return NOT_ATTEMPTED
        sigma_in, sigma_out = (float(value) for value in found)
        if sigma_in > 4:
            return f"σ_in is {sigma_in:.2f} where 3 is expected; are the examples' own means taken off?"
        if sigma_out > 2:
            return f"σ_out is {sigma_out:.2f} where 1 is expected; does it come from the out-shadows?"
        if not (isclose(sigma_in, 3, rel_tol=0.02) and isclose(sigma_out, 1, rel_tol=0.02)):
            return f"σ_in and σ_out are {sigma_in:.3f} and {sigma_out:.3f}, not 3 and 1; is one taken off for each mean?"
        return None

    exercise("6.1", check, "each σ comes from its own shadows, and the differences between digits are not in it")


def exercise_6_2(rmia_by_pairs: Callable[[np.ndarray, np.ndarray, float], np.ndarray]) -> None:
    """RMIA's score from all pairs, ties included."""

    def check() -> str | None:
        rng = np.random.default_rng(0)
        for gamma in (1.0, 2.0):
            ratio, population = (rng.integers(1, 9, n) / 4 for n in (30, 50))
            if (found := rmia_by_pairs(ratio, population, gamma)) is None:
                return NOT_ATTEMPTED
            expected = [sum(r / z >= gamma for z in population) / 50 for r in ratio]
            if np.shape(found) != (30,):
                return f"one score for each of 30 candidates is expected, got shape {list(np.shape(found))}"
            if not np.allclose(found, expected):
                return f"with gamma = {gamma:g} the first scores are {found[:3]}, not {expected[:3]}"
        return None

    exercise("6.2", check, "the score is a share of the population, between 0 and 1")

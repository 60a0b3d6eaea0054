"""Checks for the exercises of notebook 03."""

from collections.abc import Callable
from math import isclose

import numpy as np
import torch
from torch import Tensor

from mia_helpers.course.checks import NOT_ATTEMPTED, exercise
from mia_helpers.metrics import best_threshold


def exercise_3_1(upright: Callable[[Tensor], Tensor]) -> None:
    """Transposed images turned back."""

    def check() -> str | None:
        image = torch.zeros(1, 1, 28, 28)
        image[0, 0, 2, 20] = 1
        found = upright(image.transpose(2, 3))
        if found is None:
            return NOT_ATTEMPTED
        if tuple(found.shape) != tuple(image.shape):
            return f"images come back as {list(found.shape)}, want {list(image.shape)}: swap the last two axes only"
        row, column = divmod(int(found.argmax()), 28)
        if (row, column) == (2, 20):
            return None
        why = {
            (20, 2): "it is as it was",
            **dict.fromkeys([(25, 20), (2, 7)], "upright, but still mirrored: a rotation does not undo a transposition"),
            **dict.fromkeys([(7, 2), (20, 25)], "no longer mirrored, but turned by 90 degrees: a flip alone is not enough"),
        }
        slip = why.get((row, column), "which way does a transposition go?")
        return f"a pixel from row 2, column 20 comes back at {row}, {column}: {slip}"

    exercise("3.1", check, "transposing twice gives the image back; a rotation would not")


def exercise_3_2(cost_of: Callable[[np.ndarray, np.ndarray, np.ndarray], float]) -> None:
    """What a threshold from a shadow loses on the target, for values of both `[N]` and the truth, bool `[N]`."""

    def check() -> str | None:
        is_member = np.arange(1000) < 500
        for shadow_is_off_by, decimals in ((0.0, 8), (2.0, 8), (-3.0, 8), (-2.0, 0)):  # with ties at the threshold last
            on_shadow, on_target = (_confidences(seed, is_member).round(decimals) for seed in (3, 4))
            on_shadow = on_shadow + shadow_is_off_by
            found = cost_of(on_shadow, on_target, is_member)
            if found is None:
                return NOT_ATTEMPTED
            if np.ndim(found) or not np.isfinite(found):
                return f"it should return one number, got {found}"
            if wrong := _what_is_wrong(float(found), on_shadow, on_target, is_member):
                return wrong
        return None

    exercise("3.2", check, "never below 0: no threshold beats the target's own best, which only the referee knows")


def _what_is_wrong(found: float, on_shadow: np.ndarray, on_target: np.ndarray, is_member: np.ndarray) -> str | None:
    """What is wrong with the cost `found` of a threshold from values `on_shadow` `[N]`, if anything is."""
    from_shadow, from_target = (best_threshold(values, is_member) for values in (on_shadow, on_target))
    reached, possible = (_advantage(on_target, is_member, threshold) for threshold in (from_shadow, from_target))
    promised, cost = _advantage(on_shadow, is_member, from_shadow), possible - reached
    if isclose(found, cost, abs_tol=1e-9):
        return None
    above, best_above = (_advantage(on_target, is_member, np.nextafter(t, np.inf)) for t in (from_shadow, from_target))
    why = {
        **dict.fromkeys((possible - above, best_above - above), "who is just at a threshold is called a member: ≥, not >"),
        reached: "that is what the threshold from the shadow reaches on the target; how far is it below the best there?",
        -cost: "the sign is turned: it is what the best threshold on the target has, minus what the shadow's has there",
        cost / 2: "that is the loss of accuracy; the advantage is true-positive rate minus false-positive rate",
        promised - reached: "that takes what the shadow promised for the best that was possible on the target",
        promised - possible: "both advantages are counted on the target: the shadow lends its threshold, no more",
        from_target - from_shadow: "that compares the two thresholds; compare the advantages that they have on the target",
        0.0: "are both thresholds chosen on the target? One comes from shadow_values",
    }
    slip = next((words for slip, words in why.items() if isclose(found, slip, abs_tol=1e-9)), None)
    slip = slip or f"on the target the best threshold has an advantage of {possible:.3f}, the shadow's {reached:.3f}"
    return f"it gives {found:.3f}, expected {cost:.3f}; {slip}"


def _confidences(seed: int, is_member: np.ndarray) -> np.ndarray:
    """Values `[N]` in which members are a little surer."""
    rng = np.random.default_rng(seed)
    return np.where(is_member, rng.normal(9, 2, len(is_member)), rng.normal(7.5, 4, len(is_member)))


def _advantage(values: np.ndarray, is_member: np.ndarray, threshold: float) -> float:
    claimed = values >= threshold
    return float(claimed[is_member].mean() - claimed[~is_member].mean())

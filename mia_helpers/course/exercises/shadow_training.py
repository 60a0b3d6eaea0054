"""Checks for the exercises of notebook 03."""

from collections.abc import Callable
from math import isclose

import numpy as np
import torch
from sklearn.metrics import cohen_kappa_score
from torch import Tensor

from mia_helpers.course.checks import NOT_ATTEMPTED, exercise
from mia_helpers.metrics import best_threshold


def exercise_3_1(kappa: Callable[[np.ndarray, np.ndarray], float]) -> None:
    """Cohen's kappa, against scikit-learn's."""

    def check() -> str | None:
        rng = np.random.default_rng(0)
        for noise in (0.0, 0.1, 0.7):
            a = rng.choice(10, 500, p=np.arange(1, 11) / 55)
            b = np.where(rng.random(500) < noise, rng.choice(10, 500, p=np.arange(1, 11) / 55), a)
            if (found := kappa(a, b)) is None:
                return NOT_ATTEMPTED
            expected, observed = cohen_kappa_score(a, b), (a == b).mean()
            if isclose(found, expected, abs_tol=1e-6):
                continue
            if isclose(found, observed, abs_tol=1e-6):
                return f"{found:.3f} is the agreement itself; take off what chance would give: is e computed as in the text?"
            if isclose(found, (observed - 0.1) / 0.9, abs_tol=1e-6):
                return "e is not always a tenth: it is the sum over the classes of both shares, multiplied"
            return f"kappa is {found:.3f} where {expected:.3f} is expected; is e computed as in the text?"
        return None

    exercise("3.1", check, "kappa counts only the agreement beyond chance")


def exercise_3_2(upright: Callable[[Tensor], Tensor]) -> None:
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

    exercise("3.2", check, "transposing twice gives the image back; a rotation would not")


def exercise_3_3(threshold_of: Callable[[np.ndarray, np.ndarray], float]) -> None:
    """The threshold with the largest TPR − FPR, for values `[N]` and the truth about them, bool `[N]`."""

    def check() -> str | None:
        rng = np.random.default_rng(3)
        is_member = np.arange(1000) < 500
        for scale in (1.0, 8.0):
            phi = np.where(is_member, rng.normal(9, 2, 1000), rng.normal(7.5, 4, 1000)) / scale
            values = 1 / (1 + np.exp(-phi))
            if (found := threshold_of(values, is_member)) is None:
                return NOT_ATTEMPTED
            if np.ndim(found) or not np.isfinite(found):
                return f"it should return one number, got {found}"
            best = _advantage(values, is_member, best_threshold(values, is_member))
            reached = _advantage(values, is_member, float(found))
            if reached > best - 1e-9:
                continue
            if isclose(found, best, rel_tol=1e-6):
                return f"{found:.3f} is the largest advantage itself; return the threshold that reaches it"
            if found > 1:
                return f"{found:g} is no confidence; is it the position of the best candidate? Return the candidate itself"
            if isclose(found, values[is_member].min()):
                return "that catches every member, and accuses nearly everybody else"
            return (
                f"threshold {found:.4f} has an advantage of {reached:.3f} on the shadow, the best one {best:.3f}: try every "
                "value that occurs (a grid of hundredths is too coarse where values crowd at 1), and say member from it on"
            )
        return None

    exercise("3.3", check, "the threshold comes from the shadow, whose members you know")


def _advantage(values: np.ndarray, is_member: np.ndarray, threshold: float) -> float:
    claimed = values >= threshold
    return float(claimed[is_member].mean() - claimed[~is_member].mean())

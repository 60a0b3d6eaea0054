"""Checks for the exercises of notebook 03."""

from collections.abc import Callable
from math import isclose

import numpy as np
import torch
from sklearn.metrics import cohen_kappa_score
from torch import Tensor

from mia_helpers.course.checks import NOT_ATTEMPTED, exercise


def exercise_3_1(kappa: Callable[[np.ndarray, np.ndarray], float]) -> None:
    """Cohen's kappa, against scikit-learn's."""

    def check() -> str | None:
        rng = np.random.default_rng(0)
        for noise in (0.0, 0.1, 0.7):
            a = rng.integers(0, 10, 500)
            b = np.where(rng.random(500) < noise, rng.integers(0, 10, 500), a)
            if (found := kappa(a, b)) is None:
                return NOT_ATTEMPTED
            if not isclose(found, cohen_kappa_score(a, b), abs_tol=1e-6):
                return f"kappa is {found:.3f} where {cohen_kappa_score(a, b):.3f} is expected; is e computed as in the text?"
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
        row, column = divmod(int(found.argmax()), 28)
        return None if (row, column) == (2, 20) else f"a pixel from row 2, column 20 comes back at {row}, {column}"

    exercise("3.2", check, "transposing twice gives the image back; a rotation would not")

"""Checks for the exercises of notebook 04."""

from collections.abc import Callable
from math import isclose

import numpy as np

from mia_helpers import signals
from mia_helpers.course.checks import NOT_ATTEMPTED, exercise


def exercise_4_1(precision: Callable[[float, float, float], float]) -> None:
    """Precision of an attack at any prior."""

    def check() -> str | None:
        if precision(0.6, 0.4, 0.5) is None:
            return NOT_ATTEMPTED
        # Counted in people: (members accused, all accused) of 1,000,000.
        for arguments, accused_members, accused in (
            ((0.6, 0.4, 0.5), 300_000, 500_000),
            ((0.6, 0.4, 0.001), 600, 400_200),
            ((0.1, 0.0, 0.01), 1_000, 1_000),
        ):
            if not isclose(precision(*arguments), accused_members / accused, rel_tol=1e-6):
                return (
                    f"precision{arguments} gives {precision(*arguments):.4g}; of a million people {accused:,} are "
                    f"accused, {accused_members:,} of them members"
                )
        return None

    exercise(
        "4.1",
        check,
        "at a prior of 1 in 1,000, an attack that is right 60 % of the time accuses 666 innocents for each member",
    )


def exercise_4_2(beyond_blind: Callable[[Callable], float]) -> None:
    """What is left of the max-confidence AUC against letters after the blind model's is taken off."""

    def check() -> str | None:
        left = beyond_blind(signals.max_confidence)
        if left is None:
            return NOT_ATTEMPTED
        noise = beyond_blind(lambda logits, labels: np.zeros(len(labels)))
        if abs(noise) > 1e-9:
            return f"a constant signal should leave 0, not {noise:.3f}; is it the same pool for both models?"
        if not -0.05 <= left <= 0.12:
            return f"it leaves {left:.3f}; is it target minus blind, against letters on both?"
        return None

    exercise("4.2", check, "of the AUC above chance, most is there on the blind model too")

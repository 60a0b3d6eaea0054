"""Checks for the exercises of notebook 01."""

from collections.abc import Callable
from math import isclose

import numpy as np

from mia_helpers.course.checks import NOT_ATTEMPTED, exercise
from mia_helpers.course.patients import own_rates
from mia_helpers.metrics import auc

People = tuple[np.ndarray, np.ndarray]


def exercise_1_1(
    my_rule: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    draw_people: Callable[[int], People],
    play: Callable[[int], np.ndarray],
) -> None:
    """A rule that wins more points a card than the fixed threshold of 0.8, over twenty targets.

    Args:
        my_rule: from records `[400, 2]`, diagnoses `[400]` and how sure the target is `[400]` to "member?", bool `[400]`.
        draw_people, play: as in the notebook: people, members first, and how sure a target is of them.
    """

    def check() -> str | None:
        yours: list[float] = []
        fixed: list[float] = []
        for seed in range(700, 720):
            order = np.random.default_rng(seed).permutation(400)  # a place in the list must not betray anybody
            (records, ill), sure, is_member = draw_people(seed), play(seed)[order], order < 200
            if (said := my_rule(records[order], ill[order], sure)) is None:
                return NOT_ATTEMPTED
            if np.shape(said) != (400,) or not set(np.unique(said)) <= {0, 1}:
                return f"it must say True or False of each of the 400 people; it returns values of shape {np.shape(said)}"
            for points, says in ((yours, np.asarray(said, dtype=bool)), (fixed, sure >= 0.8)):
                points.append(says[is_member].mean() - says[~is_member].mean())
        if not np.any(yours):
            return "it wins nothing: who says the same of everybody catches members and accuses others equally often"
        if np.mean(yours) < np.mean(fixed) + 0.02:
            return (
                f"points a card on twenty targets: yours {np.mean(yours):+.3f}, the rule's {np.mean(fixed):+.3f}, and "
                "0.02 more are wanted; does what you ask for depend on where the person stands?"
            )
        return None

    exercise("1.1", check, "who asks more of usual people and less of unusual ones beats the fixed threshold")


def exercise_1_2(area: Callable[[np.ndarray, np.ndarray], float]) -> None:
    """AUC from its definition, with ties."""

    def check() -> str | None:
        rng = np.random.default_rng(0)
        for decimals in (8, 1):  # without ties and with many
            members, non_members = rng.normal(0.3, 1, 40).round(decimals), rng.normal(0, 1, 30).round(decimals)
            if (found := area(members, non_members)) is None:
                return NOT_ATTEMPTED
            if np.ndim(found):
                return f"it must return one number, the share over all pairs; it returns values of shape {np.shape(found)}"
            expected = auc(np.concatenate([members, non_members]), np.arange(70) < 40).value
            if not isclose(found, expected, rel_tol=1e-9):
                why = " (do ties count half?)" if decimals == 1 else ""
                if decimals == 8 and isclose(found, 1 - expected, rel_tol=1e-9):
                    why = " (which of the two must be higher?)"
                if decimals == 8 and isclose(found, expected * 1200, rel_tol=1e-9):
                    why = " (a share: divide by the number of pairs)"
                if decimals == 8 and isclose(found, (1 + expected) / 2, rel_tol=1e-9):
                    why = " (half is for ties; a pair in which the member is lower counts nothing)"
                return f"the area is {found:.4f} where {expected:.4f} is expected{why}"
        if "metrics" in getattr(getattr(area, "__code__", None), "co_names", ()):
            return "the number is right; now count the pairs yourself, without metrics"
        return None

    exercise("1.2", check, "the area is the share of pairs in the right order; scores that are all alike give one half")


def exercise_1_3(own_fpr: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
    """Each person's own false-positive rate, not to be confused with the share of accusations that are false."""

    def check() -> str | None:
        rng = np.random.default_rng(0)
        was_in = rng.random((60, 5)) < 0.5
        accused = rng.random((60, 5)) < np.where(was_in, 0.9, [0.05, 0.2, 0.4, 0.6, 0.8])
        if (found := own_fpr(accused, was_in)) is None:
            return NOT_ATTEMPTED
        if np.shape(found) != (5,):
            return f"5 people need 5 rates, one a column; it returns values of shape {np.shape(found)}"
        tpr, expected = own_rates(accused, was_in)
        if np.allclose(found, expected):
            return None
        slips = {
            "the share of the accusations that are false; wanted: of the models without the person, those that accuse": (
                (accused & ~was_in).sum(0) / accused.sum(0)
            ),
            "the share of models with the person that accuse them, which is the true-positive rate": tpr,
            "the share of all models that accuse the person; only those trained without them can be wrong": accused.mean(0),
            "a share of all models; divide by the number of those trained without the person": (accused & ~was_in).mean(0),
        }
        if np.isnan(found).any():
            return f"{np.isnan(found).sum()} of 5 rates are NaN: so is 0 / 0, and a mean in which one value is NaN"
        named = [f" That is {slip}." for slip, values in slips.items() if np.allclose(found, values)]
        return f"the first rate is {found[0]:.3f} where {expected[0]:.3f} is expected.{''.join(named)}"

    exercise(
        "1.3",
        check,
        "how often models that never saw you would accuse you; twice as many models with you leave it as it is, while the "
        "share of false ones among the accusations falls",
    )

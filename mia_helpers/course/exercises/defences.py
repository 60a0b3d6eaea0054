"""Checks for the exercises of notebook 05."""

from collections.abc import Callable, Mapping
from math import isclose
from typing import Any

import numpy as np

from mia_helpers import metrics, signals
from mia_helpers.attacks import ClassifierAttack, ThresholdAttack, boosted_trees
from mia_helpers.course import defended
from mia_helpers.course.checks import NOT_ATTEMPTED, exercise

BELOW_DROPOUT, LEAST_ACCURACY = 0.01, 0.9  # what a recipe of the reader's own has to keep to; none of notebook 05's does


def exercise_5_1(gap_attack: Callable[[np.ndarray, np.ndarray], tuple[float, float]]) -> None:
    """The attack "member if the label is right": its advantage, and its accuracy if half of the people are members."""

    def check() -> str | None:
        rng = np.random.default_rng(0)
        for n_members, n_others in ((50, 50), (20, 180)):
            is_member = np.arange(n_members + n_others) < n_members
            right = rng.random(len(is_member)) < np.where(is_member, 0.95, 0.7)
            found = gap_attack(right, is_member)
            if found is None:
                return NOT_ATTEMPTED
            if np.size(found) != 2:
                return f"it should return two numbers, advantage and accuracy, got {found!r}"
            gap = right[is_member].mean() - right[~is_member].mean()
            case = f"with {n_members} members and {n_others} others"
            if np.allclose(found, [(1 + gap) / 2, gap], rtol=0, atol=1e-9):
                return f"{case} the two are exchanged: first the advantage, {gap:.3f}, then the accuracy"
            if isclose(found[0], -gap, abs_tol=1e-9):
                return f"{case} the advantage is {found[0]:.3f}, the wrong way round: it is TPR − FPR"
            if not isclose(found[0], gap, abs_tol=1e-9):
                return f"{case} the advantage is {found[0]:.3f}, expected {gap:.3f}; is each rate a share of its own group"
            if not isclose(found[1], (1 + gap) / 2, abs_tol=1e-9):
                return f"{case} the accuracy is {found[1]:.3f}, expected {(1 + gap) / 2:.3f}; is the pool balanced"
        return None

    exercise("5.1", check, "the gap is the advantage of the simplest attack; an accuracy of 54 % is an advantage of 0.08")


def exercise_5_2(no_gap: Callable[[], tuple[np.ndarray, np.ndarray]]) -> None:
    """Answers about zeros, members' and others', with the same accuracy and nothing hidden from a threshold."""

    def check() -> str | None:
        found = no_gap()
        if found is None:
            return NOT_ATTEMPTED
        members, others = (np.asarray(logits, dtype=float) for logits in found)
        for name, logits in (("members", members), ("others", others)):
            if logits.ndim != 2 or logits.shape[1] != 10 or len(logits) < 10:
                return f"{name}: logits of shape {list(logits.shape)}; it needs [n, 10] with 10 rows or more"
            if ((logits == logits.max(1, keepdims=True)).sum(1) != 1).any():
                return f"{name}: where two logits are the largest there is no label; one class has to win each row"
        right = [(logits.argmax(1) == 0).mean() for logits in (members, others)]
        if not isclose(*right, abs_tol=1e-9):
            return f"the labels are right for {right[0]:.0%} of the members and {right[1]:.0%} of the others: there is a gap"
        logits, is_member = np.concatenate([members, others]), np.arange(len(members) + len(others)) < len(members)
        auc = metrics.auc(signals.negative_loss(logits, np.zeros(len(logits), dtype=int)), is_member).value
        if auc < 0.01:
            return "the loss tells all, but the wrong way round: here the others are surer than the members"
        return None if auc > 0.99 else f"no gap, but the loss threshold's AUC is only {auc:.2f}; it should tell every member"

    exercise("5.2", check, "no gap, and every member given away: an accuracy sees which side of a line, a loss sees how far")


def exercise_5_3(own_recipe: Callable[[], Mapping[str, Any]]) -> None:
    """A recipe for the same 500 members that is more accurate than early stopping and leaks less than dropout."""

    def leak_of(models: defended.Models) -> float:
        judge = (ThresholdAttack(), ClassifierAttack(boosted_trees(seed=0)))  # the confidence finds no more than the loss
        return max(defended.attacked(models, attack)["AUC"].mean() for attack in judge)

    def check() -> str | None:
        recipe = own_recipe()
        if recipe is None:
            return NOT_ATTEMPTED
        if other := {"n_members", "n_models", "wrong_labels"} & set(recipe):
            return f"{min(other)} changes whom it is about; wanted is a recipe for the same 500 members"
        if unknown := set(recipe) - defended.KNOBS:
            return f"unknown knob {min(unknown)}; there are {', '.join(sorted(defended.KNOBS))}"
        models = defended.train(**dict(recipe))
        accuracy, leak, limit = models.accuracy.mean(), leak_of(models), leak_of(defended.train(dropout=0.5)) - BELOW_DROPOUT
        missed = [
            *([f"it still leaks, wanted are {limit:.3f} or less, a hundredth below dropout"] if leak > limit else []),
            *([f"too often wrong, wanted are {LEAST_ACCURACY} or more"] if accuracy < LEAST_ACCURACY else []),
        ]
        measured = f"accuracy {accuracy:.3f}, AUC of the strongest attack {leak:.3f}"
        return f"{measured}: {'; and '.join(missed)}" if missed else None

    exercise("5.3", check, "a recipe of your own is accurate and gives this judge little; 07 has another judge")

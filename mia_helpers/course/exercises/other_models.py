"""Checks for the exercises of notebook 08."""

from collections.abc import Callable
from math import isclose, log

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.datasets import load_breast_cancer

from mia_helpers.course.checks import NOT_ATTEMPTED, exercise
from mia_helpers.course.exercises import slips
from mia_helpers.metrics import auc


def exercise_8_1(auc_of_gap: Callable[[float, float], float]) -> None:
    """The AUC of the gap attack from the two accuracies, against counted pairs."""

    def check() -> str | None:
        if auc_of_gap(1.0, 0.9) is None:
            return NOT_ATTEMPTED
        for on_members, on_unseen in ((0.9, 0.25), (1.0, 0.9), (0.7, 0.7), (0.6, 0.8)):
            right = np.arange(200) % 100 < np.repeat([100 * on_members, 100 * on_unseen], 100).round()
            expected = auc(right.astype(float), np.arange(200) < 100).value
            if isclose(found := auc_of_gap(on_members, on_unseen), expected, rel_tol=1e-9):
                continue
            told = {
                on_members - on_unseen: "that is the gap; where it is 0, so that all is luck, an AUC is ½",
                on_members * (1 - on_unseen): "those are the pairs with the member ahead; ties count one half",
                1 - expected: "is it the member who has to be ahead?",
                abs(expected - 0.5) + 0.5: "if the unseen are answered better, members rank lower: an AUC below ½",
            }
            why = slips.known(found, told, rel_tol=1e-9)
            return f"auc_of_gap({on_members}, {on_unseen}) gives {found:.4g}, and counting pairs gives {expected:.4g}{why}"
        return None

    exercise("8.1", check, "one half plus half of the gap; 0.55 for the tree of the question")


def exercise_8_2(last_vote: Callable[[int, float], float]) -> None:
    """How far the last of n agreeing trees lifts the logit confidence, at a floor of the other class's probability."""

    def check() -> str | None:
        for n_trees, floor in ((50, 1e-3), (50, 1e-12), (10, 1e-2)):
            if (found := last_vote(n_trees, floor)) is None:
                return NOT_ATTEMPTED
            end, before = -log(floor), log(n_trees - 1)
            if isclose(found, end - before, rel_tol=1e-6):
                continue
            here = f"last_vote({n_trees}, {floor:g}) gives {found:.4g}, expected {end - before:.4g}"
            if isclose(found, end, rel_tol=1e-6):
                return f"{here}; that is where the last vote leads, so take off where {n_trees - 1} of {n_trees} stand"
            if isclose(found, before - end, rel_tol=1e-6):
                return f"{here}; is it after the last vote minus before it?"
            if isclose(found, log(1 / floor - 1) - before, rel_tol=1e-6):
                return f"{here}; the attacker leaves the 1 as it is: log(1 / floor), not log((1 − floor) / floor)"
            if isclose(found, 1 / n_trees, rel_tol=1e-6):
                return f"{here}; that is the step of the probability, and LiRA sees its logit"
            return f"{here}; with {n_trees - 1} of {n_trees} the logit confidence is log({n_trees - 1})"
        return None

    exercise("8.2", check, "the last vote weighs what the floor says: an accident of the attack, not of the forest")


def exercise_8_3(factory: Callable[[int], ClassifierMixin]) -> None:
    """An estimator that classifies well and gives away every member to the loss threshold, on medical records."""

    def check() -> str | None:
        records, labels = load_breast_cancer(return_X_y=True)
        if factory(0) is None:
            return NOT_ATTEMPTED
        for seed in range(3):
            is_member = np.random.default_rng(seed).permutation(len(labels)) < 200
            model = factory(seed).fit(records[is_member], labels[is_member])
            probabilities = np.asarray(model.predict_proba(records))
            accuracy = (probabilities.argmax(1) == labels)[~is_member].mean()
            leak = auc(probabilities[np.arange(len(labels)), labels], is_member).value
            if accuracy < 0.85:
                return f"only {accuracy:.0%} of the unseen patients are classified rightly; 85 % are wanted"
            if leak < 0.99:
                return f"the loss threshold has an AUC of {leak:.3f}; at least 0.99 is wanted"
        return None

    exercise("8.3", check, "a useful model that gives away every member; being certain of members alone is not enough")

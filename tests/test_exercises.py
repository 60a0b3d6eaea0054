"""The exercises' checks: a plausible wrong answer is told why it is wrong. Stubs and solutions run in the notebooks."""

import math
import re

import numpy as np
import pytest
import torch
from sklearn.tree import DecisionTreeClassifier

from mia_helpers import signals
from mia_helpers.course.exercises import (
    attack,
    audit_your_model,
    defences,
    many_shadows,
    other_adversaries,
    other_models,
    shadow_training,
    target_training,
    theory,
)
from mia_helpers.metrics import auc


def slipped_sigmas(phi, mask):
    values = np.where(mask, phi, np.nan)
    return np.nanstd(values), np.nanstd(values)


def sigma_in_twice(phi, mask):
    mean = np.where(mask, phi, 0).sum(0) / mask.sum(0)
    sigma = np.sqrt((np.where(mask, phi - mean, 0) ** 2).sum() / (mask.sum(0) - 1).sum())
    return sigma, sigma


WRONG = [
    (theory.exercise_1_1, lambda tpr, fpr, prior: (tpr + 1 - fpr) / 2, r"accuracy\(1.0, 0.01, 0.001\) gives 0.995"),
    (theory.exercise_1_2, lambda members, others: (members[:, None] > others).mean(), "do ties count half"),
    (target_training.exercise_2_1, lambda n_classes: math.log(n_classes), "not the loss at probability 1"),
    (target_training.exercise_2_2, lambda n_members: 0.1, "not smaller than gap_of"),
    (target_training.exercise_2_2, lambda n_members: -0.1, "should be read better"),
    (shadow_training.exercise_3_1, lambda a, b: (a == b).mean(), "is e computed as in the text"),
    (shadow_training.exercise_3_2, lambda images: torch.rot90(images, 1, (2, 3)), "comes back at"),
    (attack.exercise_4_1, lambda tpr, fpr, prior: tpr / (tpr + fpr), "of a million people"),
    (attack.exercise_4_2, lambda signal: 0.05, "a constant signal should leave 0"),
    (attack.exercise_4_2, lambda signal: 0.3 if signal is signals.max_confidence else 0.0, "is it target minus blind"),
    (defences.exercise_5_1, lambda new, old: (min(old), max(new)), "is it new minus old, pair by pair"),
    (defences.exercise_5_2, lambda s, n_classes: math.log(1 - s + s / n_classes), "expected 1.516"),
    (defences.exercise_5_3, lambda epsilon, delta, fpr: min(1, math.exp(epsilon) * fpr + delta), "the smaller of both"),
    (many_shadows.exercise_6_1, slipped_sigmas, "are the examples' own means taken off"),
    (many_shadows.exercise_6_1, sigma_in_twice, "does it come from the out-shadows"),
    (many_shadows.exercise_6_2, lambda ratio, z, gamma: (ratio[:, None] / z > gamma).mean(1), "the first scores are"),
    (many_shadows.exercise_6_2, lambda ratio, z, gamma: (ratio[:, None] / z >= gamma).mean(), "one score for each of 30"),
    (other_models.exercise_8_1, lambda on_members, on_unseen: on_members - on_unseen, "counting pairs gives 0.55"),
    (other_models.exercise_8_2, lambda n_trees, floor: -math.log(floor), "take off where 49 of 50 stand"),
    (other_models.exercise_8_2, lambda n_trees, floor: 1 / n_trees, "LiRA sees its logit"),
    (other_models.exercise_8_2, lambda n_trees, floor: math.log(n_trees - 1) + math.log(floor), "after the last vote minus"),
    (
        other_models.exercise_8_3,
        lambda seed: DecisionTreeClassifier(random_state=seed),
        "the loss threshold has an AUC of 0.5",
    ),
    (
        other_adversaries.exercise_9_1,
        lambda guess, values, level: np.maximum((1 - level) * (values - guess), level * (guess - values)).mean(),
        "a value above the guess costs level",
    ),
    (other_adversaries.exercise_9_1, lambda guess, values, level: np.abs(values - guess).mean(), "expected 2.387"),
    (
        other_adversaries.exercise_9_1,
        lambda guess, values, level: np.maximum(level * (values - guess), (level - 1) * (values - guess)).sum(),
        "not the sum",
    ),
    (
        other_adversaries.exercise_9_2,
        lambda p, label, units: np.linalg.norm(p - np.eye(len(p))[label]) * np.linalg.norm(units),
        "are the biases in it",
    ),
    (other_adversaries.exercise_9_3, lambda units: units, "in another order it gives other features"),
    (other_adversaries.exercise_9_3, lambda units: np.sort(units, axis=1)[:, :3], "each row must keep its 7 values"),
    (audit_your_model.exercise_10_1, lambda n_slices, level: 1 - level**n_slices, "one end alarms"),
    (
        audit_your_model.exercise_10_2,
        lambda x, is_member: auc(x[:, 0] + 10 * is_member, is_member).value,
        "did not learn from",
    ),
    (audit_your_model.exercise_10_2, lambda x, is_member: max(auc(x[:, 0], is_member).value, 0.5), "differ in the spread"),
]


@pytest.mark.parametrize(("check", "answer", "why"), WRONG, ids=[check.__name__ for check, *_ in WRONG])
def test_a_wrong_answer_is_told_why(check, answer, why, capsys):
    check(answer)
    number = check.__name__.removeprefix("exercise_").replace("_", ".")
    printed = capsys.readouterr().out
    assert printed.startswith(f"✗ exercise {number}, not yet: ") and re.search(why, printed)

"""The exercises' checks: a plausible wrong answer is told why it is wrong. Stubs and solutions run in the notebooks."""

import math
import re

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, logsumexp, softmax
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


def lots(cut):
    """A drawing of lots that gives each class's positions to `cut(rng, positions, n)` and joins what comes back."""

    def drawn(labels, n, seed):
        rng = np.random.default_rng(seed)
        pairs = [cut(rng, np.flatnonzero(labels == c), n) for c in range(10)]
        return tuple(np.concatenate(half) for half in zip(*pairs))

    return drawn


def whole_pile(labels, n, seed):
    return np.split(np.random.default_rng(seed).permutation(len(labels))[: 20 * n], 2)


def largest_on(values, truth, candidates):
    """The largest advantage among `candidates`, and its position."""
    found = [(values[truth] >= t).mean() - (values[~truth] >= t).mean() for t in candidates]
    return max(found), int(np.argmax(found))


WRONG = [
    (theory.exercise_1_1, lambda tpr, fpr, prior: (tpr + 1 - fpr) / 2, r"accuracy\(1.0, 0.01, 0.001\) gives 0.995"),
    (theory.exercise_1_2, lambda members, others: (members[:, None] > others).mean(), "do ties count half"),
    (target_training.exercise_2_1, lambda labels, n, seed: np.arange(2 * n), "it should return two arrays"),
    (target_training.exercise_2_1, lots(lambda rng, p, n: (p[:n], p[:n])), "digits in both groups: 200"),
    (target_training.exercise_2_1, lots(lambda rng, p, n: (rng.choice(p[:20], n), p[20:])), "drawn twice"),
    (target_training.exercise_2_1, whole_pile, "draw class by class"),
    (target_training.exercise_2_1, lots(lambda rng, p, n: (p[:n], p[n : 2 * n])), "with another seed"),
    (
        target_training.exercise_2_1,
        lots(lambda rng, p, n: np.split(np.random.default_rng().permutation(p)[: 2 * n], 2)),
        "the same seed gives other members",
    ),
    (
        target_training.exercise_2_1,
        lots(lambda rng, p, n: np.split(np.sort(rng.permutation(p)[: 2 * n]), 2)),
        "shuffle before you cut",
    ),
    (target_training.exercise_2_2, lambda n_members: 0.1, "not smaller than gap_of"),
    (target_training.exercise_2_2, lambda n_members: -0.1, "is it members minus non-members"),
    (target_training.exercise_2_2, lambda n_members: 0.99, "that is an accuracy"),
    (target_training.exercise_2_2, lambda n_members: 0.0, "should be read better"),
    (target_training.exercise_2_3, lambda z, y: log_softmax(z)[y], "the sum leaves the true class out"),
    (target_training.exercise_2_3, lambda z, y: z[y] - np.delete(z, y).max(), "the largest of the other logits"),
    (target_training.exercise_2_3, lambda z, y: z[y] - np.delete(z, y).sum(), "added up as they are"),
    (target_training.exercise_2_3, lambda z, y: logsumexp(np.delete(z, y)) - z[y], "the sign is turned"),
    (target_training.exercise_2_3, lambda z, y: z[0] - logsumexp(z[1:]), "and class 1, φ is"),
    (target_training.exercise_2_3, lambda z, y: np.log(softmax(z)[y] / (1 - softmax(z)[y])), "p rounds to 1"),
    (target_training.exercise_2_3, lambda z, y: math.log(softmax(z)[y] / (1 - float(softmax(z)[y]))), "p rounds to 1"),
    (target_training.exercise_2_3, lambda z, y: z[y] - np.log(np.exp(np.delete(z, y)).sum()), "exp overflows"),
    (target_training.exercise_2_4, lambda n_classes: math.log(n_classes), "a network that knows nothing"),
    (target_training.exercise_2_4, lambda n_classes: math.e / (math.e + n_classes - 1), "minus its logarithm"),
    (target_training.exercise_2_4, lambda n_classes: 1 - math.log(math.e + n_classes - 1), "the sign is turned"),
    (target_training.exercise_2_4, lambda n_classes: math.log(math.e + n_classes) - 1, "n_classes - 1 other classes"),
    (target_training.exercise_2_4, lambda n_classes: 1.461, r"floor\(2\) gives 1.461, which is not the loss"),
    (shadow_training.exercise_3_1, lambda a, b: (a == b).mean(), "the agreement itself.*is e computed as in the text"),
    (shadow_training.exercise_3_1, lambda a, b: ((a == b).mean() - 0.1) / 0.9, "not always a tenth"),
    (shadow_training.exercise_3_1, lambda a, b: 0.5, "is e computed as in the text"),
    (shadow_training.exercise_3_2, lambda images: torch.rot90(images, 1, (2, 3)), "still mirrored"),
    (shadow_training.exercise_3_2, lambda images: torch.rot90(images, -1, (2, 3)), "still mirrored"),
    (shadow_training.exercise_3_2, lambda images: images, "it is as it was"),
    (shadow_training.exercise_3_2, lambda images: images.flip(2), "turned by 90 degrees"),
    (shadow_training.exercise_3_2, lambda images: images.permute(3, 2, 1, 0), "swap the last two axes only"),
    (shadow_training.exercise_3_3, lambda values, truth: values, "it should return one number"),
    (shadow_training.exercise_3_3, lambda values, truth: values[truth].min(), "catches every member"),
    (
        shadow_training.exercise_3_3,
        lambda values, truth: largest_on(values, truth, values)[0],
        "is the largest advantage itself",
    ),
    (shadow_training.exercise_3_3, lambda values, truth: largest_on(values, truth, values)[1], "is no confidence"),
    (
        shadow_training.exercise_3_3,
        lambda values, truth: np.linspace(0, 1, 101)[largest_on(values, truth, np.linspace(0, 1, 101))[1]],
        "a grid of hundredths is too coarse",
    ),
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
    (
        other_models.exercise_8_2,
        lambda seed: DecisionTreeClassifier(random_state=seed),
        "the loss threshold has an AUC of 0.5",
    ),
    (
        other_adversaries.exercise_9_1,
        lambda p, label, units: np.linalg.norm(p - np.eye(len(p))[label]) * np.linalg.norm(units),
        "are the biases in it",
    ),
    (other_adversaries.exercise_9_2, lambda units: units, "in another order it gives other features"),
    (other_adversaries.exercise_9_2, lambda units: np.sort(units, axis=1)[:, :3], "each row must keep its 7 values"),
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

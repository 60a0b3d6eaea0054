"""The exercises' checks: a plausible wrong answer is told why it is wrong. Stubs and solutions run in the notebooks."""

import math
import re

import numpy as np
import pytest
import torch
from scipy.special import expit
from scipy.stats import norm
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


def lira_parts(phi, rows):
    mean = np.where(rows, phi, 0).sum(0) / rows.sum(0)
    residuals = np.where(rows, phi - mean, 0)
    return mean, np.sqrt((residuals**2).sum() / (rows.sum(0) - 1).sum()), residuals


def offline(target, phi, inside):
    mean, sigma, _ = lira_parts(phi, ~inside)
    return norm.logcdf((target - mean) / sigma)


def online(target, phi, inside):
    (mean_in, s_in, _), (mean_out, s_out, _) = lira_parts(phi, inside), lira_parts(phi, ~inside)
    return norm.logpdf(target, mean_in, s_in) - norm.logpdf(target, mean_out, s_out)


def two_sided(target, phi, inside):
    mean, sigma, _ = lira_parts(phi, ~inside)
    return -norm.logpdf(target, mean, sigma)


def offline_raw(target, phi, inside):
    return norm.logcdf((target - lira_parts(phi, ~inside)[0]) / np.nanstd(np.where(inside, np.nan, phi)))


def offline_zeros(target, phi, inside):
    mean, _, residuals = lira_parts(phi, ~inside)
    return norm.logcdf((target - mean) / residuals.std())


def offline_by_itself(target, phi, inside):
    mean, _, residuals = lira_parts(phi, ~inside)
    return norm.logcdf((target - mean) / np.sqrt((residuals**2).sum(0) / ((~inside).sum(0) - 1)))


def online_raw(target, phi, inside):
    """As in code that is often copied: both σ from the raw answers of the in-shadows."""
    sigma = np.nanstd(np.where(inside, phi, np.nan))
    means = [lira_parts(phi, rows)[0] for rows in (inside, ~inside)]
    return norm.logpdf(target, means[0], sigma) - norm.logpdf(target, means[1], sigma)


def online_one_sigma(target, phi, inside):
    (mean_in, s_in, _), (mean_out, _, _) = lira_parts(phi, inside), lira_parts(phi, ~inside)
    return norm.logpdf(target, mean_in, s_in) - norm.logpdf(target, mean_out, s_in)


def online_nearly(target, phi, inside):
    sigmas = [np.sqrt((lira_parts(phi, rows)[2] ** 2).sum() / rows.sum()) for rows in (inside, ~inside)]
    means = [lira_parts(phi, rows)[0] for rows in (inside, ~inside)]
    return norm.logpdf(target, means[0], sigmas[0]) - norm.logpdf(target, means[1], sigmas[1])


def on_probabilities(attack):
    return lambda target, phi, inside: attack(expit(target), expit(phi), inside)


def pairs(ratio, population):
    return ratio[:, None] / population[None, :]


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
    (many_shadows.exercise_6_1, two_sided, "this is two-sided"),
    (many_shadows.exercise_6_1, lambda t, phi, inside: -two_sided(t, phi, inside), "high for ordinary answers"),
    (many_shadows.exercise_6_1, lambda t, phi, inside: offline(t, phi, ~inside), "the in-shadows, which the offline attack"),
    (many_shadows.exercise_6_1, offline_raw, "take each digit's own mean off first"),
    (many_shadows.exercise_6_1, offline_zeros, "the zeros that stand for the other shadows"),
    (many_shadows.exercise_6_1, offline_by_itself, "let all share one"),
    (many_shadows.exercise_6_1, on_probabilities(offline), "use φ as it comes"),
    (many_shadows.exercise_6_1, lambda t, phi, inside: np.exp(offline(t, phi, inside)), "norm.logcdf takes the logarithm"),
    (many_shadows.exercise_6_1, lambda t, phi, inside: norm.ppf(np.exp(offline(t, phi, inside))), "now take log Φ"),
    (
        many_shadows.exercise_6_1,
        lambda t, phi, inside: -7 * offline(t, phi, inside),
        "order is turned round",
    ),
    (many_shadows.exercise_6_1, lambda t, phi, inside: print(offline(t, phi, inside)), "prints and returns None"),
    (many_shadows.exercise_6_1, lambda t, phi, inside: offline(t, phi, inside)[:, None], r"got shape \[400, 1\]"),
    (many_shadows.exercise_6_1, lambda t, phi, inside: np.where(t > 0, t, np.nan), "scores are NaN or infinite"),
    (many_shadows.exercise_6_2, lambda t, phi, inside: online(t, phi, ~inside), "in and out are exchanged"),
    (many_shadows.exercise_6_2, lambda t, phi, inside: np.exp(online(t, phi, inside)), "take their logarithm"),
    (many_shadows.exercise_6_2, online_raw, "take each digit's own mean off first"),
    (many_shadows.exercise_6_2, online_one_sigma, "each group has its own"),
    (many_shadows.exercise_6_2, online_nearly, "almost: each mean uses up one value"),
    (many_shadows.exercise_6_2, on_probabilities(online), "use φ as it comes"),
    (many_shadows.exercise_6_2, two_sided, "only one of the two densities"),
    (many_shadows.exercise_6_2, offline, "the first scores are"),
    (many_shadows.exercise_6_3, lambda ratio, z, gamma: (pairs(ratio, z) > gamma).mean(1), "a tie counts"),
    (many_shadows.exercise_6_3, lambda ratio, z, gamma: (1 / pairs(ratio, z) >= gamma).mean(1), "it is turned round"),
    (many_shadows.exercise_6_3, lambda ratio, z, gamma: (pairs(ratio, z) >= 1 / gamma).mean(1), "on the wrong side"),
    (many_shadows.exercise_6_3, lambda ratio, z, gamma: (pairs(ratio, z) >= 1).mean(1), "γ is not in it"),
    (many_shadows.exercise_6_3, lambda ratio, z, gamma: (pairs(ratio, z) >= gamma).sum(1), "their share of the population"),
    (many_shadows.exercise_6_3, lambda ratio, z, gamma: (pairs(ratio, z) >= gamma).mean(0), "one score for each of 30"),
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

"""The exercises' checks: a plausible wrong answer is told why it is wrong. Stubs and solutions run in the notebooks."""

import math
import re

import numpy as np
import pytest
import torch
from scipy.special import expit, log_softmax, logsumexp, softmax
from scipy.stats import norm
from sklearn.tree import DecisionTreeClassifier

from mia_helpers import masks
from mia_helpers.attacks import LiRAAttack
from mia_helpers.bank import ShadowBank
from mia_helpers.course import trial
from mia_helpers.course.broken_audit import draw_case, figures
from mia_helpers.course.exercises import (
    attack,
    audit_your_model,
    defences,
    defences_on_trial,
    many_shadows,
    other_adversaries,
    other_models,
    shadow_training,
    target_training,
    theory,
)
from mia_helpers.course.patients import draw_patients
from mia_helpers.metrics import auc, best_threshold
from mia_helpers.models import SmallClassifier


def draw_people(seed):
    (records, ill), (others, their_ill) = draw_patients(200, seed), draw_patients(200, seed + 50_000)
    return np.vstack([records, others]), np.concatenate([ill, their_ill])


def play(seed):
    """A target that is a little surer of its members, with 200 of them first."""
    return np.random.default_rng(seed).random(400) ** np.where(np.arange(400) < 200, 0.2, 0.6)


def exercise_1_1(my_rule):
    theory.exercise_1_1(my_rule, draw_people, play)


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


def toy_auc(signal, members, others):
    """The AUC of a signal for 100 members and 100 others, with the largest logit of each."""
    labels = np.arange(200) % 10
    logits = np.where(np.arange(200) < 100, members, others)[:, None] * np.eye(10)[labels]
    return auc(signal(logits, labels), np.arange(200) < 100).value


TARGET, BLIND = (10, 4), (5, 4)  # the target is surer of its members


def lots(cut):
    """A drawing of lots that gives each class's positions to `cut(rng, positions, n)` and joins what comes back."""

    def drawn(labels, n, seed):
        rng = np.random.default_rng(seed)
        pairs = [cut(rng, np.flatnonzero(labels == c), n) for c in range(10)]
        return tuple(np.concatenate(half) for half in zip(*pairs))

    return drawn


def whole_pile(labels, n, seed):
    return np.split(np.random.default_rng(seed).permutation(len(labels))[: 20 * n], 2)


def advantage(values, truth, threshold):
    return (values[truth] >= threshold).mean() - (values[~truth] >= threshold).mean()


def threshold_cost(shadow, target, truth):
    """What the threshold of a shadow reaches on the target, costs there, and what one might take for that."""
    from_shadow, from_target = best_threshold(shadow, truth), best_threshold(target, truth)
    reached, possible = advantage(target, truth, from_shadow), advantage(target, truth, from_target)
    promised = advantage(shadow, truth, from_shadow)
    return {
        "reached": reached,
        "cost": possible - reached,
        "optimism": promised - reached,
        "bests": promised - possible,
    }


def leaking_bank(n_models=16, n=400):
    """Members are read a little better than non-members, hard digits worse than easy ones."""
    rng = np.random.default_rng(0)
    mask = rng.random((n_models, n)).argsort(1) < n // 2
    labels = rng.integers(0, 10, n)
    logits = rng.normal(0, 0.3, (n_models, n, 10))
    logits[:, np.arange(n), labels] += rng.normal(6, 3, n) + 2 * mask
    return ShadowBank(logits, mask, labels)


def exercise_7_1(break_mask):
    defences_on_trial.exercise_7_1(break_mask, at_temperature_10, leaking_bank())


def at_temperature_10(logits):
    return masks.temperature(logits, 10.0)


def through_the_mask(answer, bank, sign=1):
    worn = ShadowBank(masks.to_logits(at_temperature_10(bank.logits)), bank.member_mask, bank.labels)
    return sign * LiRAAttack().fit(worn).score(masks.to_logits(answer), bank.labels)


ONE_FOR_ALL = SmallClassifier()


FIRST = np.tile(np.eye(10)[0], (10, 1))  # ten answers, all for class 0

WRONG = [
    (exercise_1_1, lambda records, ill, sure: sure >= 0.8, "does what you ask for depend on where the person stands"),
    (exercise_1_1, lambda records, ill, sure: np.ones(400, dtype=bool), "who says the same of everybody"),
    (exercise_1_1, lambda records, ill, sure: np.arange(400) < 200, r"yours [+-]0\.0"),
    (exercise_1_1, lambda records, ill, sure: sure, "True or False of each of the 400 people"),
    (exercise_1_1, lambda records, ill, sure: sure.mean() > 0.8, r"values of shape \(\)"),
    (theory.exercise_1_2, lambda members, others: (members[:, None] > others).mean(), "do ties count half"),
    (theory.exercise_1_2, lambda members, others: (members[:, None] < others).mean(), "which of the two must be higher"),
    (theory.exercise_1_2, lambda members, others: (members[:, None] > others).sum(), "divide by the number of pairs"),
    (theory.exercise_1_2, lambda members, others: (members[:, None] > others).mean(1), r"values of shape \(40,\)"),
    (
        theory.exercise_1_3,
        lambda accused, was_in: (accused & ~was_in).sum(0) / accused.sum(0),
        "the accusations that are false",
    ),
    (
        theory.exercise_1_3,
        lambda accused, was_in: (accused & was_in).sum(0) / was_in.sum(0),
        "which is the true-positive rate",
    ),
    (theory.exercise_1_3, lambda accused, was_in: accused.mean(0), "only those trained without them can be wrong"),
    (
        theory.exercise_1_3,
        lambda accused, was_in: (accused & ~was_in).mean(0),
        "divide by the number of those trained without",
    ),
    (theory.exercise_1_3, lambda accused, was_in: accused[~was_in].mean(), r"values of shape \(\)"),
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
    (shadow_training.exercise_3_1, lambda images: torch.rot90(images, 1, (2, 3)), "still mirrored"),
    (shadow_training.exercise_3_1, lambda images: torch.rot90(images, -1, (2, 3)), "still mirrored"),
    (shadow_training.exercise_3_1, lambda images: images, "it is as it was"),
    (shadow_training.exercise_3_1, lambda images: images.flip(2), "turned by 90 degrees"),
    (shadow_training.exercise_3_1, lambda images: images.permute(3, 2, 1, 0), "swap the last two axes only"),
    (shadow_training.exercise_3_2, lambda *given: print(0.1), "it prints, but returns None"),
    (shadow_training.exercise_3_2, lambda shadow, target, truth: target, "it should return one number"),
    (shadow_training.exercise_3_2, lambda *given: threshold_cost(*given)["reached"], "how far is it below the best"),
    (shadow_training.exercise_3_2, lambda *given: -threshold_cost(*given)["cost"], "the sign is turned"),
    (shadow_training.exercise_3_2, lambda *given: threshold_cost(*given)["cost"] / 2, "the loss of accuracy"),
    (shadow_training.exercise_3_2, lambda *given: threshold_cost(*given)["optimism"], "what the shadow promised"),
    (
        shadow_training.exercise_3_2,
        lambda *given: threshold_cost(*given)["bests"],
        "both advantages are counted on the target",
    ),
    (
        shadow_training.exercise_3_2,
        lambda shadow, target, truth: best_threshold(target, truth) - best_threshold(shadow, truth),
        "compares the two thresholds",
    ),
    (shadow_training.exercise_3_2, lambda *given: 0.0, "One comes from shadow_values"),
    (shadow_training.exercise_3_2, lambda *given: 0.3, "on the target the best threshold has an advantage of 0"),
    (attack.exercise_4_1, lambda shadow, mask, target: print(0.8), "it prints, but returns None"),
    (
        attack.exercise_4_1,
        lambda shadow, mask, target: best_threshold(shadow, mask),
        "for each of the target's 400 examples",
    ),
    (attack.exercise_4_1, lambda shadow, mask, target: shadow[:200] >= 0.8, "for each of the target's 400 examples"),
    (attack.exercise_4_1, lambda shadow, mask, target: target, "it returns numbers"),
    (attack.exercise_4_1, lambda shadow, mask, target: target >= 0, "it calls everybody a member"),
    (attack.exercise_4_1, lambda shadow, mask, target: target > 0.985, "it calls everybody a non-member"),
    (attack.exercise_4_1, lambda shadow, mask, target: target < best_threshold(shadow, mask), "the wrong way round"),
    (attack.exercise_4_1, lambda shadow, mask, target: target > best_threshold(shadow, mask), "≥, not >"),
    (attack.exercise_4_1, lambda shadow, mask, target: target >= best_threshold(target, mask), "is the best on the target"),
    (attack.exercise_4_1, lambda shadow, mask, target: target >= max(0.8, target.mean()), "from the shadow alone"),
    (
        attack.exercise_4_1,
        lambda shadow, mask, target: target >= np.quantile(shadow, 0.4),
        "where TPR − FPR on the shadow is",
    ),
    (
        attack.exercise_4_1,
        lambda shadow, mask, target: target >= best_threshold(shadow, np.arange(400) < 200),
        "are members told by shadow_is_member",
    ),
    (attack.exercise_4_2, lambda signal: 0.05, "a constant signal leaves 0.050"),
    (attack.exercise_4_2, lambda signal: toy_auc(signal, *TARGET), "leaves 0.500"),
    (attack.exercise_4_2, lambda signal: toy_auc(signal, *TARGET) - 0.5, "max confidence leaves 0.500"),
    (attack.exercise_4_2, lambda signal: toy_auc(signal, *BLIND) - toy_auc(signal, *TARGET), "the wrong sign"),
    (attack.exercise_4_2, lambda signal: toy_auc(signal, 10, 9) - toy_auc(signal, 6, 5), "against letters on both"),
    (defences.exercise_5_1, lambda right, is_member: right[is_member].mean(), "two numbers, advantage and accuracy"),
    (defences.exercise_5_1, lambda right, is_member: (right[is_member].mean(), 0.5), "a share of its own group"),
    (
        defences.exercise_5_1,
        lambda right, is_member: (right[is_member].mean() - right[~is_member].mean(), (right == is_member).mean()),
        "is the pool balanced",
    ),
    (defences.exercise_5_2, lambda: (np.eye(10), np.eye(10)), r"no gap, but the loss threshold's AUC is only 0\.50"),
    (defences.exercise_5_2, lambda: (9 * FIRST, 3 * np.roll(FIRST, 1, axis=1)), "there is a gap"),
    (defences.exercise_5_2, lambda: (3 * FIRST, 9 * FIRST), "the wrong way round"),
    (defences.exercise_5_2, lambda: (9 * FIRST[0], 3 * FIRST[0]), r"it needs \[n, 10\]"),
    (defences.exercise_5_3, lambda: {"colour": 3}, "unknown knob colour"),
    (defences.exercise_5_3, lambda: {"epochs": 1}, "too often wrong"),
    (defences.exercise_5_3, lambda: {"epochs": 30, "patience": None}, "it still leaks"),
    (defences.exercise_5_3, lambda: {"n_members": 2000, "epochs": 5}, "the same 500 members"),
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
    (many_shadows.exercise_6_1, lambda t, phi, inside: print(offline(t, phi, inside)), "it prints, but returns None"),
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
    (
        defences_on_trial.exercise_7_3,
        lambda epsilon, delta, fpr: min(1, math.exp(epsilon) * fpr + delta),
        "the smaller of both",
    ),
    (
        exercise_7_1,
        lambda answer, bank: LiRAAttack().fit(bank).score(masks.to_logits(answer), bank.labels),
        "do the shadows' answers go through the same mask",
    ),
    (exercise_7_1, lambda answer, bank: through_the_mask(answer, bank, -1), "the wrong way round"),
    (exercise_7_1, lambda answer, bank: answer[np.arange(400), bank.labels], "the same whoever was in the shadows"),
    (exercise_7_1, lambda answer, bank: answer, r"one score for each of 400 digits, got shape \[400, 10\]"),
    (defences_on_trial.exercise_7_2, lambda images, labels, seed: SmallClassifier(), "reads nothing leaks nothing"),
    (defences_on_trial.exercise_7_2, lambda images, labels, seed: 0.9, "returns a float, not a trained network"),
    (defences_on_trial.exercise_7_2, lambda images, labels, seed: ONE_FOR_ALL, "returns the same network twice"),
    (
        defences_on_trial.exercise_7_2,
        lambda images, labels, seed: trial.train_one(images, labels, 0, epochs=1),
        "hand the seed on",
    ),
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
    (audit_your_model.exercise_10_1, lambda n_slices, level: 1 - level**n_slices, "both ends are counted"),
    (audit_your_model.exercise_10_1, lambda n, level: ((1 + level) / 2) ** n, "no alarm at all"),
    (audit_your_model.exercise_10_1, lambda n, level: n * (1 - level) / 2, "may not be added up"),
    (audit_your_model.exercise_10_1, lambda n, level: ((1 - level) / 2) ** n, "all slices raise one"),
    (audit_your_model.exercise_10_1, lambda n, level: 0.4, "one end alarms"),
    (
        audit_your_model.exercise_10_2,
        lambda x, is_member: auc(x[:, 0] + 10 * is_member, is_member).value,
        "did not learn from",
    ),
    (audit_your_model.exercise_10_2, lambda x, is_member: max(auc(x[:, 0], is_member).value, 0.5), "differ in the spread"),
    (audit_your_model.exercise_10_2, lambda x, is_member: auc(-x[:, 0], is_member).value, "take the second column"),
    (audit_your_model.exercise_10_5, [True] * 12, "all twelve the same"),
    (audit_your_model.exercise_10_5, [False] * 12, "all twelve the same"),
    (audit_your_model.exercise_10_5, [True] * 11, "11 verdicts; want 12"),
    (audit_your_model.exercise_10_5, "private, all!", "13 verdicts; want 12"),
    (audit_your_model.exercise_10_5, [True, None, False] * 4, "no verdict yet on 2, 5, 8, 11"),
    (audit_your_model.exercise_10_5, ["private"] + [False] * 11, "the verdict on 1 is 'private'"),
    (audit_your_model.exercise_10_5, [True] + [False] * 11, "7 of 12 are right. Number 1: .* 3 more are for you to find"),
    (audit_your_model.exercise_10_3, lambda case: None, "return the pair"),
    (audit_your_model.exercise_10_3, lambda case: 0.1, "it returns float"),
    (audit_your_model.exercise_10_3, lambda case: (0.5, None), "Start again from one slip"),
    (audit_your_model.exercise_10_3, lambda case: figures(draw_case()), "on a second case, with coins|never states ε"),
    (audit_your_model.exercise_10_3, lambda case: (figures(case)[0], None), "never states ε"),
    (audit_your_model.exercise_10_3, lambda case: figures(case, ["epsilon"]), "1 of 5 slips is left: ε is stated"),
    (
        audit_your_model.exercise_10_3,
        lambda case: figures(case, ["clinic", "order"]),
        "2 of 5 slips are left: .*clinic.*orders",
    ),
    (audit_your_model.exercise_10_4, [True] * 8, "all eight the same"),
    (audit_your_model.exercise_10_4, [False] * 7, "7 verdicts; want 8"),
    (audit_your_model.exercise_10_4, [True, None] * 4, "no verdict yet on 2, 4, 6, 8"),
    (audit_your_model.exercise_10_4, [True, True] + [False] * 6, "5 of 8 are right. Number 1: .* 1 more are for you"),
]


@pytest.mark.parametrize(("check", "answer", "why"), WRONG, ids=[check.__name__ for check, *_ in WRONG])
def test_a_wrong_answer_is_told_why(check, answer, why, capsys):
    check(answer)
    number = check.__name__.removeprefix("exercise_").replace("_", ".")
    printed = capsys.readouterr().out
    assert printed.startswith(f"✗ exercise {number}, not yet: ") and re.search(why, printed)


RIGHT = [
    (shadow_training.exercise_3_2, lambda *given: threshold_cost(*given)["cost"]),
    (attack.exercise_4_1, lambda shadow, mask, target: target >= best_threshold(shadow, mask)),
    (attack.exercise_4_1, lambda shadow, mask, target: (target > 0.65).astype(int)),  # as good on the shadow
    (attack.exercise_4_2, lambda signal: toy_auc(signal, *TARGET) - toy_auc(signal, *BLIND)),
]


@pytest.mark.parametrize(("check", "answer"), RIGHT, ids=[check.__name__ for check, *_ in RIGHT])
def test_a_right_answer_passes_however_it_is_written(check, answer, capsys):
    check(answer)
    assert capsys.readouterr().out.startswith("✓ ")


def test_both_ways_through_a_mask_are_right(capsys):
    exercise_7_1(through_the_mask)
    exercise_7_1(lambda answer, bank: LiRAAttack().fit(bank).score(10 * masks.to_logits(answer), bank.labels))
    exercise_7_1(lambda answer, bank: None)
    printed = capsys.readouterr().out.splitlines()
    assert [line[0] for line in printed] == ["✓", "✓", "…"]

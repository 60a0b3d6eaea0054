"""The exercises' checks: a plausible wrong answer is told why it is wrong. Stubs and solutions run in the notebooks."""

import math
import re
from unittest import mock

import numpy as np
import pytest
import torch
from scipy.special import expit, log_softmax, logsumexp, softmax
from scipy.stats import norm
from sklearn.metrics import roc_auc_score
from sklearn.tree import DecisionTreeClassifier

from mia_helpers import masks, metrics
from mia_helpers.attacks import LiRAAttack, ThresholdAttack
from mia_helpers.bank import ShadowBank
from mia_helpers.course import trial
from mia_helpers.course.broken_audit import draw_case, figures
from mia_helpers.course.exercises import (
    attack,
    audit_your_model,
    challenge,
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


ASKED = [(m, g) for m in (*attack.MADE_UP, "another model") for g in ("target.members", "letters", "my_letters")]
MADE_UP_ANSWERS = {who: np.random.default_rng(i).normal(size=(2000, 10)) for i, who in enumerate(ASKED)}
TARGET, BLIND = attack.MADE_UP


def exercise_4_2(beyond_blind):
    first = {who: answers[: attack.FEW] for who, answers in MADE_UP_ANSWERS.items() if who in ASKED[:2] + ASKED[3:5]}
    with mock.patch.object(attack, "_first_answers", return_value=first):
        attack.exercise_4_2(beyond_blind)


def against_letters(signal, model, letters="letters"):
    """A signal's AUC, members against letters, on the made-up answers of a model."""
    logits = np.concatenate([MADE_UP_ANSWERS[model, "target.members"], MADE_UP_ANSWERS[model, letters]])
    return auc(signal(logits, logits.argmax(1)), np.arange(4000) < 2000).value


def in_two_calls(signal, model):
    """The same, members and letters one after the other."""
    scores = [signal(MADE_UP_ANSWERS[model, g], np.zeros(2000)) for g in ("letters", "target.members")]
    return auc(np.concatenate(scores), np.arange(4000) >= 2000).value


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


def worn(bank, attack=None):
    """An attack that has learnt from shadows that wear the mask."""
    return (attack or LiRAAttack()).fit(
        ShadowBank(masks.to_logits(at_temperature_10(bank.logits)), bank.member_mask, bank.labels)
    )


def through_the_mask(answer, bank, sign=1):
    return sign * worn(bank).score(masks.to_logits(answer), bank.labels)


def best_of(candidates, shadow, mask, target, what=lambda tpr, fpr: tpr - fpr):
    """Claims by the candidate that is best on the shadow, by what is made of its TPR and FPR there."""
    rates = [((shadow[mask] >= t).mean(), (shadow[~mask] >= t).mean()) for t in candidates]
    return target >= candidates[np.argmax([what(*pair) for pair in rates])]


def precision(tpr, fpr):
    return tpr / (tpr + fpr) if tpr + fpr else 0


def above_the_next_lower(shadow, mask, target):
    return target > shadow[shadow < best_threshold(shadow, mask)].max()


def cost_above(shadow, target, truth, both):
    """3.2's cost with > for ≥, at both thresholds or at the shadow's alone."""
    above = [np.nextafter(best_threshold(values, truth), np.inf) for values in (target, shadow)]
    best = above[0] if both else best_threshold(target, truth)
    return advantage(target, truth, best) - advantage(target, truth, above[1])


def balanced(right, is_member):
    """Accuracy with both groups weighted alike."""
    return (right[is_member].mean() + (~right)[~is_member].mean()) / 2


def limits(epsilon, delta, fpr):
    return math.exp(epsilon) * fpr + delta, 1 - (1 - fpr - delta) / math.exp(epsilon)


SWAP_DELTA = 0.001 + 0.001 * math.exp(2)


def swap_allows(fpr, tpr, epsilon=4.0, delta=SWAP_DELTA):
    return tpr <= math.exp(epsilon) * fpr + delta


def swapped_by(**promise):
    """11.3's answer with another promise."""
    return lambda fpr, tpr: swap_allows(fpr, tpr, **promise) and swap_allows(1 - tpr, 1 - fpr, **promise)


def plain(target, phi, inside, sigma):
    """LiRA offline with one mean for all digits."""
    return norm.logcdf((target - phi[~inside].mean()) / sigma)


def by_sigmas(change):
    """LiRA online with each σ changed."""

    def online(target, phi, inside):
        parts = [lira_parts(phi, rows)[:2] for rows in (inside, ~inside)]
        logs = [norm.logpdf(target, mean, change(sigma)) for mean, sigma in parts]
        return logs[0] - logs[1]

    return online


def difference_of_densities(target, phi, inside):
    densities = [norm.pdf(target, *lira_parts(phi, rows)[:2]) for rows in (inside, ~inside)]
    return densities[0] - densities[1]


def layer(p, y, h):
    """The norms of 9.2's two parts, weights and biases."""
    error = np.linalg.norm(p - np.eye(len(p))[y])
    return error * np.linalg.norm(h), error


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
    (
        theory.exercise_1_2,
        lambda members, others: 0.5 + (members[:, None] > others).mean() / 2,
        "a pair in which the member is lower counts nothing",
    ),
    (
        theory.exercise_1_2,
        lambda members, others: metrics.auc(np.concatenate([members, others]), np.arange(70) < 40).value,
        "the number is right; now count the pairs yourself",
    ),
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
    (theory.exercise_1_3, lambda accused, was_in: np.where(was_in, np.nan, accused).mean(0), "5 of 5 rates are NaN"),
    (theory.exercise_1_3, lambda accused, was_in: accused[~was_in].mean(), r"values of shape \(\)"),
    (target_training.exercise_2_1, lambda labels, n, seed: np.arange(2 * n), "it should return two arrays"),
    (target_training.exercise_2_1, lots(lambda rng, p, n: (p[:n], p[:n])), "digits in both groups: 200"),
    (target_training.exercise_2_1, lots(lambda rng, p, n: (rng.choice(p[:20], n), p[20:])), "drawn twice"),
    (target_training.exercise_2_1, whole_pile, "draw class by class"),
    (
        target_training.exercise_2_1,
        lots(lambda rng, p, n: np.split(rng.permutation(p), [n])),
        "want 20 each: take no more than 20",
    ),
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
    (
        target_training.exercise_2_3,
        lambda z, y: z[y] - z.max() - np.log(np.exp(np.delete(z, y) - z.max()).sum()),
        r"got inf: .* take off the largest of the others",
    ),
    (target_training.exercise_2_4, lambda n_classes: math.log2((math.e + n_classes - 1) / math.e), "that is in bits"),
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
    (shadow_training.exercise_3_2, lambda *given: cost_above(*given, both=False), "≥, not >"),
    (shadow_training.exercise_3_2, lambda *given: cost_above(*given, both=True), "≥, not >"),
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
    (attack.exercise_4_1, lambda shadow, mask, target: target >= np.median(shadow), "No median"),
    (attack.exercise_4_1, lambda *given: best_of(np.unique(given[0]), *given, precision), "TPR − FPR is asked for"),
    (attack.exercise_4_1, lambda *given: best_of(np.linspace(0, 1, 11), *given), "a grid of round numbers"),
    (attack.exercise_4_1, lambda *given: best_of(np.linspace(0, 1, 1001), *given), "a grid of round numbers"),
    (
        attack.exercise_4_1,
        lambda *given: best_of(np.linspace(given[0].min(), given[0].max(), 101), *given),
        "where all confidences lie within a millionth of 1",
    ),
    (attack.exercise_4_1, lambda *given: best_of(np.unique(given[2]), *given), "no value of the target's"),
    (attack.exercise_4_1, lambda shadow, mask, target: target >= 0.8, "a grid of round numbers"),
    (
        attack.exercise_4_1,
        lambda shadow, mask, target: target >= best_threshold(shadow, np.arange(400) < 200),
        "are members told by shadow_is_member",
    ),
    (exercise_4_2, lambda signal: 0.05, "does not ask the signal"),
    (exercise_4_2, lambda s: against_letters(s, TARGET), r"never gets what blind_models\[0\]\.model answers about target"),
    (
        exercise_4_2,
        lambda s: against_letters(s, TARGET) - against_letters(s, "another model"),
        "another model, or other images",
    ),
    (
        exercise_4_2,
        lambda s: against_letters(s, TARGET, "my_letters") - against_letters(s, BLIND, "my_letters"),
        r"target\.model answers about letters",
    ),
    (exercise_4_2, lambda s: against_letters(s, BLIND) - against_letters(s, TARGET), "with its sign"),
    (exercise_4_2, lambda s: abs(against_letters(s, TARGET) - against_letters(s, BLIND)), "with its sign"),
    (exercise_4_2, lambda s: against_letters(s, TARGET) - 0.5 + 0 * against_letters(s, BLIND), r"\(not ½\)"),
    (exercise_4_2, lambda s: (against_letters(s, TARGET) - against_letters(s, BLIND)) / 2, "blind model leaves -0.200"),
    (defences.exercise_5_1, lambda right, is_member: right[is_member].mean(), "two numbers, advantage and accuracy"),
    (
        defences.exercise_5_1,
        lambda right, mask: (right[~mask].mean() - right[mask].mean(), balanced(right, mask)),
        "the wrong way round: it is TPR − FPR",
    ),
    (defences.exercise_5_1, lambda right, mask: (balanced(right, mask), 2 * balanced(right, mask) - 1), "are exchanged"),
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
    (defences.exercise_5_2, lambda: (9 * FIRST, np.zeros((10, 10))), "others: where two logits are the largest"),
    (defences.exercise_5_2, lambda: (9 * FIRST, 0.5 * FIRST + 0.5 * np.roll(FIRST, 1, axis=1)), "there is no label"),
    (defences.exercise_5_3, lambda: {"colour": 3}, "unknown knob colour; there are dropout, epochs"),
    (defences.exercise_5_3, lambda: {"wrong_labels": 0.5}, "wrong_labels changes whom it is about"),
    (defences.exercise_5_3, lambda: {"n_members": 2000, "epochs": 5}, "the same 500 members"),
    (defences.exercise_5_3, lambda: {"epochs": 1}, ": too often wrong"),
    (defences.exercise_5_3, lambda: {"dropout": 0.5}, ": it still leaks, wanted are 0.5.. or less, a hundredth below"),
    (
        defences.exercise_5_3,
        lambda: {"epochs": 30, "patience": None},
        ": it still leaks, wanted are 0.5.. or less, a hundredth below",
    ),
    (many_shadows.exercise_6_1, two_sided, "this is two-sided"),
    (many_shadows.exercise_6_1, lambda t, phi, inside: -two_sided(t, phi, inside), "high for ordinary answers"),
    (many_shadows.exercise_6_1, lambda t, phi, inside: offline(t, phi, ~inside), "the in-shadows, which the offline attack"),
    (many_shadows.exercise_6_1, offline_raw, "take each digit's own mean off first"),
    (many_shadows.exercise_6_1, offline_zeros, "the zeros that stand for the other shadows"),
    (many_shadows.exercise_6_1, offline_by_itself, "let all share one"),
    (many_shadows.exercise_6_1, on_probabilities(offline), "use φ as it comes"),
    (many_shadows.exercise_6_1, lambda t, phi, inside: plain(t, phi, inside, phi[~inside].std()), "one mean for all digits"),
    (many_shadows.exercise_6_1, lambda t, phi, inside: plain(t, phi, inside, 1), "one mean for all digits"),
    (many_shadows.exercise_6_1, lambda t, phi, inside: norm.logcdf(t - lira_parts(phi, ~inside)[0]), "σ is not in it"),
    (
        many_shadows.exercise_6_1,
        lambda t, phi, inside: norm.logcdf((t - lira_parts(phi, ~inside)[0]) / lira_parts(phi, ~inside)[1] ** 2),
        "take the root",
    ),
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
    (many_shadows.exercise_6_2, difference_of_densities, "take the logarithm of each first"),
    (many_shadows.exercise_6_2, by_sigmas(np.square), "take the root"),
    (many_shadows.exercise_6_2, by_sigmas(np.ones_like), "σ is not in it"),
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
    (defences_on_trial.exercise_7_3, lambda *given: limits(*given)[0], "the smaller of both"),
    (defences_on_trial.exercise_7_3, lambda *given: min(1, limits(*given)[1]), "the smaller of both"),
    (defences_on_trial.exercise_7_3, lambda *given: min(limits(*given)), "no rate is more than 1"),
    (
        defences_on_trial.exercise_7_3,
        lambda e, d, fpr: min(1, limits(e, d, fpr)[0], 1 - (1 - fpr) / math.exp(e) - d),
        "δ goes with 1 − FPR",
    ),
    (
        defences_on_trial.exercise_7_3,
        lambda e, d, fpr: min(1, limits(e, d, fpr)[0], 1 - (1 - fpr) / math.exp(e) + d),
        "δ goes with 1 − FPR",
    ),
    (defences_on_trial.exercise_7_3, lambda e, d, fpr: min(1, limits(e, d, fpr)[0], limits(e, 0, fpr)[1]), "δ goes with"),
    (exercise_7_1, lambda answer, bank: worn(bank).score(answer, bank.labels), "masks.to_logits makes logits of them"),
    (
        exercise_7_1,
        lambda answer, bank: worn(bank, ThresholdAttack()).score(masks.to_logits(answer), bank.labels),
        "it judges all digits alike",
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
    (
        other_models.exercise_8_1,
        lambda on_members, on_unseen: on_members - on_unseen,
        "counting pairs gives 0.825; that is the gap",
    ),
    (other_models.exercise_8_1, lambda on_members, on_unseen: on_members * (1 - on_unseen), "ties count one half"),
    (other_models.exercise_8_1, lambda on_members, on_unseen: (1 + on_unseen - on_members) / 2, "who has to be ahead"),
    (other_models.exercise_8_1, lambda on_members, on_unseen: (1 + abs(on_members - on_unseen)) / 2, "members rank lower"),
    (other_models.exercise_8_1, lambda on_members, on_unseen: (on_members + on_unseen) / 2, r"gives 0.825$"),
    (other_models.exercise_8_2, lambda n_trees, floor: math.log(1 / floor - 1) - math.log(n_trees - 1), "leaves the 1"),
    (other_models.exercise_8_2, lambda n_trees, floor: -math.log(floor * n_trees), r"logit confidence is log\(49\)"),
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
    (
        other_adversaries.exercise_9_1,
        lambda guess, values, level: np.minimum(level * (guess - values), (1 - level) * (values - guess)).mean(),
        "a loss is never below 0",
    ),
    (other_adversaries.exercise_9_1, lambda guess, values, level: (guess - np.quantile(values, level)) ** 2, "expected"),
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
    (other_adversaries.exercise_9_2, lambda p, y, h: layer(p, y, h)[1], "the biases' part alone"),
    (other_adversaries.exercise_9_2, lambda p, y, h: sum(layer(p, y, h)), "may not be added"),
    (other_adversaries.exercise_9_2, lambda p, y, h: sum(np.square(layer(p, y, h))), "take the root"),
    (other_adversaries.exercise_9_2, lambda p, y, h: np.hypot(*layer(p, 1, h)), "with 128 units and 10 classes it gives"),
    (other_adversaries.exercise_9_2, lambda p, y, h: np.linalg.norm(p) * np.sqrt(h @ h + 1), "and autograd [0-9.]*$"),
    (other_adversaries.exercise_9_3, lambda units: units, "in another order it gives other features"),
    (other_adversaries.exercise_9_3, lambda units: np.sort(units, axis=1)[:, :3], "each row must keep its 7 values"),
    (other_adversaries.exercise_9_3, lambda units: np.sort(units, axis=0), "in another order it gives other features"),
    (other_adversaries.exercise_9_3, lambda units: np.sort(np.abs(units), axis=1), "each row must keep its 7 values"),
    (other_adversaries.exercise_9_3, lambda units: np.sort(units.ravel()).reshape(units.shape), "each row must keep"),
    (challenge.exercise_11_3, swapped_by(epsilon=2.0), "for a swap ε is 4"),
    (challenge.exercise_11_3, swapped_by(delta=0.001), "is allowed at no false positive at all"),
    (challenge.exercise_11_3, swapped_by(delta=0.001 + 0.001 * math.exp(4)), "twice δ, as it is for a swap"),
    (challenge.exercise_11_3, swap_allows, "members and non-members exchanged"),
    (challenge.exercise_11_3, lambda fpr, tpr: swap_allows(1 - tpr, 1 - fpr), r"e\^4 times 0.1 % is 5 %"),
    (challenge.exercise_11_3, lambda fpr, tpr: swapped_by()(tpr, fpr), r"e\^4 times 0.1 % is 5 %"),
    (challenge.exercise_11_3, lambda fpr, tpr: tpr < 1, "is not possible"),
    (challenge.exercise_11_4, lambda members, others: (0.5 - 0.5 / others, 0.5 + 0.5 / members), "no longer ties"),
    (challenge.exercise_11_4, lambda members, others: (0.5 + 1 / members, 0.5 - 1 / others), "no longer ties"),
    (challenge.exercise_11_4, lambda members, others: (0.5 + 0.5 / others, 0.5 - 0.5 / members), "no longer ties"),
    (challenge.exercise_11_4, lambda members, others: (0.5 + 0.5 / members, 0.5 - 0.5 / members), "no longer ties"),
    (challenge.exercise_11_4, lambda members, others: (1.0, 0.0), "no longer ties"),
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
    (audit_your_model.exercise_10_4, list("12345678"), "all eight the same, True"),
    (audit_your_model.exercise_10_4, [], "all eight the same, False"),
    (audit_your_model.exercise_10_4, ["2", "9"], "the reports that you sign, .* got '9'"),
    (audit_your_model.exercise_10_4, "26", "the reports that you sign, .* got '26'"),
    (audit_your_model.exercise_10_4, [True, False, True], "the reports that you sign, .* got True"),
    (audit_your_model.exercise_10_4, ["1", "2"], "5 of 8 are right. Number 1: .* 1 more are for you"),
    (audit_your_model.exercise_10_4, [1, 2], "5 of 8 are right"),
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
    (attack.exercise_4_1, lambda *given: above_the_next_lower(*given).astype(int)),  # as good on the shadow
    (attack.exercise_4_1, lambda *given: best_of(np.unique(given[0]), *given)),
    (exercise_4_2, lambda signal: against_letters(signal, TARGET) - against_letters(signal, BLIND)),
    (exercise_4_2, lambda signal: -in_two_calls(signal, BLIND) + in_two_calls(signal, TARGET)),
    (theory.exercise_1_2, lambda members, others: roc_auc_score(np.arange(70) < 40, np.concatenate([members, others]))),
    (theory.exercise_1_3, lambda accused, was_in: np.where(was_in, 0, accused).sum(0) / (len(was_in) - was_in.sum(0))),
    (target_training.exercise_2_1, lots(lambda rng, p, n: np.split(rng.choice(p, 2 * n, replace=False), 2))),
    (target_training.exercise_2_3, lambda z, y: -logsumexp(np.delete(z, y) - z[y])),
    (target_training.exercise_2_4, lambda n_classes: -log_softmax(np.eye(n_classes)[0])[0]),
    (defences.exercise_5_1, lambda right, mask: np.array([2 * balanced(right, mask) - 1, balanced(right, mask)])),
    (defences.exercise_5_2, lambda: (9 * FIRST, 3 * FIRST)),
    (defences.exercise_5_2, lambda: (np.roll(FIRST, 1, axis=1), 9 * np.roll(FIRST, 1, axis=1))),  # all wrong, and how far
    (many_shadows.exercise_6_1, offline),
    (many_shadows.exercise_6_2, online),
    (defences_on_trial.exercise_7_3, lambda e, d, f: min(1, math.exp(e) * f + d, (math.exp(e) - 1 + f + d) / math.exp(e))),
    (other_models.exercise_8_1, lambda seen, unseen: seen * (1 - unseen) + (seen * unseen + (1 - seen) * (1 - unseen)) / 2),
    (other_models.exercise_8_2, lambda n_trees, floor: -math.log(floor * (n_trees - 1))),
    (other_adversaries.exercise_9_1, lambda guess, v, level: np.where(v > guess, level, level - 1) @ (v - guess) / len(v)),
    (other_adversaries.exercise_9_2, lambda p, y, h: np.linalg.norm(np.outer(p - np.eye(len(p))[y], np.append(h, 1)))),
    (other_adversaries.exercise_9_3, lambda units: -np.sort(-units, axis=1)),
    (challenge.exercise_11_3, lambda fpr, tpr: swap_allows(fpr, tpr) and swap_allows(1 - tpr, 1 - fpr)),
    (challenge.exercise_11_4, lambda members, others: (0.5 + 0.5 / members, 0.5 - 0.5 / others)),
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

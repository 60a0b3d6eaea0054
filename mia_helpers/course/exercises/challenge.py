"""Checks for the exercises of notebook 11."""

from collections.abc import Callable
from math import e

import numpy as np

from mia_helpers import metrics, signals
from mia_helpers.bank import ShadowBank
from mia_helpers.course import challenge
from mia_helpers.course.checks import NOT_ATTEMPTED, exercise

AHEAD = 0.02  # of AUC, by which an attack with shadows must beat the loss threshold, as a mean over so many targets:
N_TARGETS = 8  # the sealed one and shadows in its place; on one alone it may lose by bad luck


def exercise_11_1(attack: Callable[[np.ndarray, ShadowBank], np.ndarray], answers: np.ndarray, bank: ShadowBank) -> None:
    """An attack on target A that is ahead of the loss threshold."""
    exercise("11.1", lambda: _ahead("A", attack, answers, bank), "each digit is compared with itself, and the AUC shows it")


def exercise_11_2(attack: Callable[[np.ndarray, ShadowBank], np.ndarray], answers: np.ndarray, bank: ShadowBank) -> None:
    """An attack on target B that adapts to the mask; `bank` holds the shadows' own logits, without it."""
    exercise(
        "11.2",
        lambda: _ahead("B", attack, answers, bank),
        "what hides the target hides the shadows alike, and less is hidden",
    )


def _ahead(target: str, attack: Callable, answers: np.ndarray, bank: ShadowBank) -> str | None:
    found = attack(answers, bank)
    if found is None:
        return NOT_ATTEMPTED
    truth, scores = challenge.truth_of(target), np.asarray(found, dtype=np.float64)
    if scores.shape != truth.shape:
        return f"one score for each of {len(truth)} candidates is expected, got shape {list(scores.shape)}"
    if np.isnan(scores).any():
        return f"{np.isnan(scores).sum()} scores are NaN; where no shadow had a digit, say 0"
    reached = metrics.auc(scores, truth).value
    if reached > challenge.TOO_GOOD:
        return f"an AUC of {reached:.2f} is more than these answers can give; where does the truth come in?"
    if reached < 0.46:
        return f"the AUC is {reached:.3f}; higher must mean more likely a member"
    both = [(reached, _of_threshold(answers, bank, truth)), *_in_turn(target, attack, bank)]
    mean, simple = np.mean(both, axis=0)
    if mean < simple + AHEAD:
        hint = "; do the shadows answer through the mask, too?" if target == "B" else "; is each digit compared with itself?"
        return f"over {len(both)} targets like {target} the AUC is {mean:.3f}, and the loss threshold has {simple:.3f}{hint}"
    return None


def _of_threshold(answers: np.ndarray, bank: ShadowBank, truth: np.ndarray) -> float:
    return metrics.auc(signals.logit_confidence(answers, bank.labels), truth).value


def _in_turn(target: str, attack: Callable, bank: ShadowBank) -> list[tuple[float, float]]:
    """AUC of the attack and of the loss threshold with shadows in the target's place, who answer as it does."""
    shown = challenge.through(challenge.guarded if target == "B" else challenge.plain, bank).logits
    found = []
    for i in range(min(N_TARGETS - 1, len(bank))):
        scores = np.nan_to_num(np.asarray(attack(shown[i], bank.without(i)), dtype=np.float64))
        truth = bank.member_mask[i]
        found.append((metrics.auc(scores, truth).value, _of_threshold(shown[i], bank, truth)))
    return found


def exercise_11_3(possible: Callable[[float, float], bool]) -> None:
    """Whether an (FPR, TPR) can be reached against target C by any attack at all."""

    def check() -> str | None:
        if possible(0.01, 0.5) is None:
            return NOT_ATTEMPTED
        epsilon, d = challenge.swapped()
        a = e**epsilon
        for fpr, tpr, expected, why in (
            (0.01, 0.5, True, "for a swap ε is 4, and e^4 times 1 % is 55 %"),
            (0.001, 0.5, False, "e^4 times 0.1 % is 5 %"),
            (0.0, 1.0, False, "a perfect score is what no attack on C can have"),
            (0.0, 0.99 * d, True, "δ, for a swap (1 + e^2) times as large, is allowed at no false positive at all"),
            (0.0, 2 * d, False, "twice δ, as it is for a swap, is more than is allowed at no false positive"),
            (0.5, 1 - 0.4 / a, False, "members and non-members exchanged, the bound holds as well"),
            (0.5, 1 - 0.6 / a, True, "here both bounds leave room"),
        ):
            if bool(possible(fpr, tpr)) != expected:
                return f"an FPR of {fpr:g} with a TPR of {tpr:.4g} is {'' if expected else 'not '}possible: {why}"
        return None

    exercise("11.3", check, "against C nobody can be perfect, whatever they know; who claims it has read the seal")


def exercise_11_4(one_raised: Callable[[int, int], tuple[float, float]]) -> None:
    """The two AUCs that one raised score among equal ones can have."""

    def check() -> str | None:
        for members, others in ((2, 4), (3, 3), (500, 1000)):
            if (found := one_raised(members, others)) is None:
                return NOT_ATTEMPTED
            truth = np.arange(members + others) < members
            pairs = zip(("a member", "a non-member"), found, (np.eye(len(truth))[0], np.eye(len(truth))[-1]), strict=True)
            for whom, said, scores in pairs:
                if not abs(said - (true := metrics.auc(scores, truth).value)) < 1e-9:
                    who = f"{members} members and {others} others, {whom} raised"
                    return f"{who}: the AUC is {true:.4f}, you say {said:.4f}; which pairs are no longer ties?"
        return None

    exercise("11.4", check, "one exact answer, one person's secret; it is larger than three decimals can hide")

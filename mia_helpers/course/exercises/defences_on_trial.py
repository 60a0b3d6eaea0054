"""Checks for the exercises of notebook 07."""

from collections.abc import Callable
from math import exp, isclose

import numpy as np
from scipy.stats import spearmanr
from torch import nn

from mia_helpers import masks
from mia_helpers.bank import ShadowBank
from mia_helpers.course.checks import NOT_ATTEMPTED, exercise
from mia_helpers.data import load_digits
from mia_helpers.metrics import auc
from mia_helpers.shadows import module_logits


def exercise_7_1(
    break_mask: Callable[[np.ndarray, ShadowBank], np.ndarray],
    hide: Callable[[np.ndarray], np.ndarray],
    bank: ShadowBank,
) -> None:
    """An attack on masked answers, with each model of the bank as the masked target once."""

    def mean_auc_with_logits() -> float:
        try:
            scores = [break_mask(masks.to_logits(hide(bank.logits[t])), bank.without(t)) for t in range(len(bank))]
        except ValueError:  # it wants probabilities, as it should
            return 0.5
        return float(np.mean([auc(np.nan_to_num(s), is_member).value for s, is_member in zip(scores, bank.member_mask)]))

    def check() -> str | None:
        found = []
        for t in range(len(bank)):
            shadows = bank.without(t)
            scores = break_mask(hide(bank.logits[t]), shadows)
            if scores is None:
                return NOT_ATTEMPTED
            if np.shape(scores) != (n := len(bank.labels),):
                return f"it should return one score for each of {n} digits, got shape {list(np.shape(scores))}"
            if t == 0:
                nobody = ShadowBank(shadows.logits, shadows.member_mask[:, ::-1], shadows.labels)
                same, other = (np.nan_to_num(s) for s in (scores, break_mask(hide(bank.logits[t]), nobody)))
                if np.array_equal(same, other) or spearmanr(same, other).statistic > 0.9999:
                    return (
                        "the order of the scores is the same whoever was in the shadows: it judges all digits alike, and "
                        "does not use what the bank knows about each"
                    )
            found.append(auc(np.nan_to_num(scores), bank.member_mask[t]).value)
        mean = np.mean(found)
        if mean < 0.45:
            return f"its AUC is {mean:.2f}: the wrong way round, high scores should mean member"
        if mean < 0.56:
            if mean_auc_with_logits() > 0.56:
                return f"its AUC is {mean:.2f}: the target's answer is probabilities; masks.to_logits makes logits of them"
            return (
                f"its AUC is {mean:.2f}, hardly better than a coin: do the shadows' answers go through the same mask as the "
                "target's, and is each digit compared with itself there? Or can you undo the mask?"
            )
        return None

    exercise("7.1", check, "a mask that the adversary can copy or undo hides little: the shadows wear it, too")


def exercise_7_2(my_defence: Callable[[np.ndarray, np.ndarray, int], nn.Module]) -> None:
    """A defence of the reader's own: it trains, differs from seed to seed, and still reads digits."""

    def check() -> str | None:
        other = load_digits("shadow").split(1000, 1000, seed=0)[0]
        images, labels = other.images.numpy(), other.labels.numpy()
        answers, models = [], []
        for seed in (0, 1):
            model = my_defence(images[:500].copy(), labels[:500].copy(), seed)
            if model is None:
                return NOT_ATTEMPTED
            if not isinstance(model, nn.Module):
                return f"it returns a {type(model).__name__}, not a trained network; trial.train_one returns one"
            models.append(model)
            answers.append(module_logits(model, images[500:]))
        if models[0] is models[1]:
            return "it returns the same network twice; each call has to train a new one"
        if answers[0].shape != (500, 10):
            return f"asked about 500 digits, the network returns {list(answers[0].shape)}, not ten logits for each"
        if np.array_equal(answers[0], answers[1]):
            return "two seeds give the same network; hand the seed on to the training"
        accuracy = (answers[0].argmax(1) == labels[500:]).mean()
        if accuracy < 0.5:
            return f"it reads {accuracy:.0%} of unseen digits; a network that reads nothing leaks nothing, and is no defence"
        return None

    exercise("7.2", check, "it trains and reads; where it lands the picture below will show")


def exercise_7_3(best_tpr: Callable[[float, float, float], float]) -> None:
    """The most that any attack can catch in a differentially private model."""

    def check() -> str | None:
        if best_tpr(1.0, 0.0, 0.01) is None:
            return NOT_ATTEMPTED
        cases = ((1.0, 0.001, 0.01), (8.0, 0.0, 0.01), (1.0, 0.0, 0.9), (0.0, 0.0, 0.3), (1.0, 0.05, 0.8), (2.0, 0.5, 0.9))
        for epsilon, delta, fpr in cases:
            first, second = exp(epsilon) * fpr + delta, 1 - (1 - fpr - delta) * exp(-epsilon)
            found, expected = best_tpr(epsilon, delta, fpr), min(1, first, second)
            if isclose(found, expected, rel_tol=1e-9):
                continue
            outside = 1 - (1 - fpr) * exp(-epsilon)  # then δ, as it is
            slips = {
                "the smaller of both limits counts": [first, second, min(1, first), min(1, second)],
                "in the second limit δ goes with 1 − FPR, and both are divided by e^ε": [
                    min(1, first, limit) for limit in (outside, outside - delta, outside + delta)
                ],
            }
            if expected == 1:
                slips = {"no rate is more than 1": [first, second, min(first, second)], **slips}
            why = [slip for slip, values in slips.items() if any(isclose(found, v, rel_tol=1e-9) for v in values)]
            why = why or ["do both limits hold there?"]
            return f"best_tpr({epsilon}, {delta}, {fpr}) gives {found:.4g}, expected {expected:.4g}; {why[0]}"
        return None

    exercise("7.3", check, "at ε = 1 and an FPR of 1 % nobody catches more than 3 % of the members; at ε = 8 almost all")

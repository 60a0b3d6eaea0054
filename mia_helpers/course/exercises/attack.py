"""Checks for the exercises of notebook 04."""

from collections.abc import Callable

import numpy as np

from mia_helpers import signals
from mia_helpers.course.checks import NOT_ATTEMPTED, exercise

SURE = np.array([0.2, 0.4, 0.6, 0.8, 0.9])  # what the models of exercise 4.1 answer, and how often (member, non-member):
ON_SHADOW = (10, 10, 20, 100, 60), (60, 50, 50, 20, 20)  # TPR − FPR is largest at 0.8: 0.6
ON_TARGET = (10, 100, 40, 30, 20), (100, 40, 30, 20, 10)  # it would be largest at 0.4
ELSEWHERE = (0, 0, 0, 100, 100), (0, 0, 0, 100, 100)  # the same answers in another mixture


def exercise_4_1(threshold_rule: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]) -> None:
    """Members by the threshold that is best on the shadow."""

    def check() -> str | None:
        on_shadow, on_target, elsewhere = (_answers(counts) for counts in (ON_SHADOW, ON_TARGET, ELSEWHERE))
        is_member = np.arange(len(on_shadow)) < sum(ON_SHADOW[0])
        found = threshold_rule(on_shadow, is_member, on_target)
        if found is None:
            return NOT_ATTEMPTED
        if np.shape(found) != on_target.shape:
            return (
                f"it returns something of shape {list(np.shape(found))}; for each of the target's {len(on_target)} examples "
                "return whether it is called a member: target_signal >= threshold"
            )
        if not np.isin(found, (0, 1)).all():
            return "it returns numbers; return True where the target's example is called a member, else False"
        if wrong := _what_is_wrong(np.asarray(found, dtype=bool), on_target):
            return wrong
        if not np.array_equal(threshold_rule(on_shadow[::-1], is_member[::-1], on_target), found):
            return (
                "with the shadow's examples in another order it says something else; are members told by shadow_is_member?"
            )
        if not np.array_equal(threshold_rule(on_shadow, is_member, elsewhere), elsewhere >= 0.8):
            return f"for another target it says something else about the same answer; {FROM_SHADOW}"
        return None

    exercise("4.1", check, "the threshold comes from the shadow, and the target is only asked")


FROM_SHADOW = "the threshold must come from the shadow alone (its signal, its memberships), whatever the target answers"


def _answers(counts: tuple[tuple[int, ...], tuple[int, ...]]) -> np.ndarray:
    """Confidences `[N]`, members first."""
    return np.concatenate([np.repeat(SURE, n) for n in counts])


def _what_is_wrong(claimed: np.ndarray, on_target: np.ndarray) -> str | None:
    """What is wrong with claims bool `[N]` about the target of exercise 4.1, if anything is."""
    if np.array_equal(claimed, on_target >= 0.8):
        return None
    if claimed.all() or not claimed.any():
        everybody = "a member" if claimed.all() else "a non-member"
        return f"it calls everybody {everybody}; is the threshold one of shadow_signal's values, with the largest TPR − FPR?"
    if np.array_equal(claimed, on_target < 0.8):
        return "it is the wrong way round: the members are those whose signal is high"
    if np.array_equal(claimed, on_target > 0.8):
        return "an example exactly at the threshold is called a member, too: ≥, not >"
    if np.array_equal(claimed, on_target >= 0.4):
        return f"that threshold, 0.4, is the best on the target; {FROM_SHADOW}"
    said = [f"{share:.0%} of those with {value:g}" for value in SURE if (share := claimed[on_target == value].mean())]
    return f"members are those with 0.8 and 0.9, where TPR − FPR on the shadow is largest (0.6); it names {', '.join(said)}"


def exercise_4_2(beyond_blind: Callable[[Callable], float]) -> None:
    """What is left of a signal's AUC against letters after the blind model's is taken off."""

    def check() -> str | None:
        left = beyond_blind(signals.max_confidence)
        if left is None:
            return NOT_ATTEMPTED
        noise = beyond_blind(lambda logits, labels: np.zeros(len(labels)))
        if abs(noise) > 1e-9:
            return f"a constant signal leaves {noise:.3f}, but should leave 0; is the same taken off that was put in?"
        sure_of_others = []

        def spy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
            """A signal that is perfect on the target, which alone is sure of all its members, and constant elsewhere."""
            sure, first = signals.max_confidence(logits, labels), np.arange(len(labels)) < len(labels) / 2
            sure_of_others.append(sure[~first].mean())
            return first * (sure[first].mean() > 0.99)

        perfect = beyond_blind(spy)
        if perfect < -0.25:
            return "it comes out with the wrong sign; is it the target's AUC minus the blind model's?"
        if not 0.25 < perfect < 0.75 or min(sure_of_others) > 0.93:
            return "the target's AUC minus the blind model's is asked for, members of the target against letters on both"
        if not -0.05 <= left <= 0.12:
            return f"max confidence leaves {left:.3f}; is the blind model's AUC (not ½) taken off the target's?"
        return None

    exercise("4.2", check, "what is left is small: most of the lead over chance is there on the blind model, too")

"""Checks for the exercises of notebook 04."""

from collections.abc import Callable
from functools import cache
from math import isclose

import numpy as np

from mia_helpers.course import classic
from mia_helpers.course.checks import NOT_ATTEMPTED, exercise
from mia_helpers.course.exercises import slips
from mia_helpers.data import load_letters
from mia_helpers.training import predict_logits

SURE = np.array([0.2, 0.4, 0.6, 0.8, 0.9])  # what the models of exercise 4.1 answer, and how often (member, non-member):
ON_SHADOW = (10, 10, 20, 100, 60), (60, 50, 50, 20, 20)  # TPR − FPR is largest at 0.8: 0.6
ON_TARGET = (10, 100, 40, 30, 20), (100, 40, 30, 20, 10)  # it would be largest at 0.4
ELSEWHERE = (0, 0, 0, 100, 100), (0, 0, 0, 100, 100)  # the same answers in another mixture
# How far below 1 others answer, in billionths. The largest TPR − FPR (at 43), the largest precision (at 1), the median
# (at 52) and the best of the target's values (at 45) are four thresholds here, and no round number is among them.
NEAR_1_MEMBERS = (1, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 40, 41, 42, 43, 300, 500, 900)
NEAR_1_OTHERS = (3, 4, 44, 60, 70, 80, 90, 100, 110, 120, 130, 140, 150, 160, 170, 180, 190, 200, 210, 220)
NEAR_1_TARGET = (30, 45, 62, 400)


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
        members, others, sure = (1 - 1e-9 * np.array(below) for below in (NEAR_1_MEMBERS, NEAR_1_OTHERS, NEAR_1_TARGET))
        found = threshold_rule(np.concatenate([others, members]), np.arange(40) >= 20, sure)
        return _what_is_wrong_near_1(tuple(np.asarray(found, dtype=int)))

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


def _what_is_wrong_near_1(claimed: tuple[int, ...]) -> str | None:
    """What is wrong with claims about `NEAR_1_TARGET`, if anything is."""
    if claimed == (1, 0, 0, 0):
        return None
    why: dict[tuple[int, ...], str] = {
        (0, 0, 0, 0): "is that the largest precision? It is largest for a few sure ones; TPR − FPR is asked for",
        (1, 1, 0, 0): "is it the value of shadow_signal with the largest TPR − FPR? No median, no value of the target's",
        (1, 1, 1, 1): "a grid of round numbers misses all of them; try every value of shadow_signal as the threshold",
    }
    return f"where all confidences lie within a millionth of 1, as real ones do, it fails; {why.get(claimed, FROM_SHADOW)}"


MADE_UP = {"target.model": 0.2, "blind_models[0].model": 0.6}  # AUCs of the signal in exercise 4.2, members against letters
FEW = 20


@cache
def _first_answers() -> dict[tuple[str, str], np.ndarray]:
    """What each of the two models answers about its first few members and letters, by which an answer is known again."""
    target, blind = (classic.experiment(role, progress=False) for role in ("target", "blind"))
    groups = {"target.members": target.members.images[:FEW], "letters": load_letters("target").images[:FEW]}
    return {
        (name, group): predict_logits(model, images)
        for name, model in zip(MADE_UP, (target.model, blind.model))
        for group, images in groups.items()
    }


def exercise_4_2(beyond_blind: Callable[[Callable], float]) -> None:
    """What is left of a signal's AUC against letters after the first blind model's is taken off.

    It is called once, for its predictions take their time, with a made-up signal that finds less in the target than in the
    blind model, so that a difference without its sign is noticed.
    """

    def check() -> str | None:
        asked: set[tuple[str, str]] = set()

        def made_up(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
            """1 for letters, and for a model's members 2 or 0, so many 2 that the AUC is as in MADE_UP."""
            scores = np.ones(len(logits))
            for start in range(0, len(logits), classic.N_MEMBERS):
                mine = scores[start : start + classic.N_MEMBERS]
                for who, known in _first_answers().items():
                    answers = logits[start : start + FEW]
                    if answers.shape == known.shape and np.allclose(answers, known, rtol=1e-3, atol=1e-3):
                        asked.add(who)
                        if who[1] == "target.members":
                            mine[:] = np.where(np.arange(len(mine)) < MADE_UP[who[0]] * len(mine), 2, 0)
            return scores

        found = beyond_blind(made_up)
        if found is None:
            return NOT_ATTEMPTED
        if not asked:
            return "it does not ask the signal that it is given about what ask_both gives: signal(logits, labels)"
        for who in _first_answers():
            if who not in asked:
                return f"the signal never gets what {who[0]} answers about {who[1]}; another model, or other images?"
        on_target, on_blind = MADE_UP.values()
        told = {
            on_blind - on_target: "is it the target's AUC minus the blind model's, with its sign? It may be negative",
            on_target - 0.5: "is the blind model's AUC (not ½) taken off the target's?",
            on_target: "is the blind model's AUC taken off the target's?",
        }
        if isclose(found, on_target - on_blind, abs_tol=1e-9):
            return None
        why = slips.known(found, told, abs_tol=1e-9)
        return f"a signal with an AUC of {on_target} on the target and {on_blind} on the blind model leaves {found:.3f}{why}"

    exercise("4.2", check, "the target's AUC minus the blind model's; call it with signals.max_confidence, and compare")

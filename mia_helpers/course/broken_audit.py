"""The audit that the reader of notebook 10 mends: a made-up case, and what its five slips do to the figures."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from mia_helpers import metrics
from mia_helpers.inputs import InputError

N_PEOPLE, N_OTHERS, LEAK = 800, 400, 0.5
GUESSES = 200
SLIPS = {
    "clinic": "the non-members come from another clinic, and the model is less sure about its patients anyway",
    "order": "answers and memberships are in different orders, so that most scores stand beside somebody else's membership",
    "inverted": "members are marked as non-members and the other way round",
    "threshold": "the threshold is chosen on the very people on whom it is judged",
    "epsilon": "ε is stated although nobody tossed a coin: the members are a half of fixed size",
}


@dataclass(frozen=True)
class Case:
    """What the auditor of the made-up model has.

    Attributes:
        members, held_out: numbers of the people that were trained on, and of those that were set aside by lot before.
        other_clinic: numbers of people from elsewhere, none of them a member.
        answers: float64 `[1200]`, the target's score of each person, **by number**; higher = surer of the label.
        shadow_answers, shadow_is_member: scores `[800]` and memberships of a shadow, trained likewise on other people.
        coins: whether a fair coin of their own made each person a member; else the members are half of the people.
    """

    members: np.ndarray
    held_out: np.ndarray
    other_clinic: np.ndarray
    answers: np.ndarray
    shadow_answers: np.ndarray
    shadow_is_member: np.ndarray
    coins: bool


def draw_case(seed: int = 0, *, coins: bool = False) -> Case:
    """A case in which the best threshold has an advantage of about 0.2. The course's seed shift leaves it as it is."""
    rng = np.random.default_rng([seed, coins])
    numbers = rng.permutation(N_PEOPLE + N_OTHERS)
    own, other_clinic = numbers[:N_PEOPLE], numbers[N_PEOPLE:]
    inside = rng.random(N_PEOPLE) < 0.5 if coins else np.arange(N_PEOPLE) < N_PEOPLE // 2
    members, held_out = own[inside], own[~inside]
    answers = rng.normal(size=len(numbers))
    answers[members] += LEAK
    answers[other_clinic] -= 1.0
    shadow_is_member = np.arange(N_PEOPLE) < N_PEOPLE // 2
    shadow_answers = rng.normal(size=N_PEOPLE) + LEAK * shadow_is_member
    return Case(members, held_out, other_clinic, answers, shadow_answers, shadow_is_member, coins)


def figures(case: Case, slips: Iterable[str] = ()) -> tuple[float, float | None]:
    """Advantage, and ε or None, of an audit of `case` with some of `SLIPS`.

    Raises:
        ValueError: a slip that is none of `SLIPS`.
    """
    slips = set(slips)
    if unknown := slips - set(SLIPS):
        raise InputError(f"unknown slips {sorted(unknown)}; choose from {', '.join(SLIPS)}")
    others = case.other_clinic if "clinic" in slips else case.held_out
    people = np.concatenate([case.members, others])
    scores = case.answers[np.sort(people) if "order" in slips else people]
    is_member = np.isin(people, others if "inverted" in slips else case.members)
    chosen_on = (scores, is_member) if "threshold" in slips else (case.shadow_answers, case.shadow_is_member)
    claimed = scores >= metrics.best_threshold(*chosen_on)
    advantage = float(claimed[is_member].mean() - claimed[~is_member].mean())
    stated = case.coins or "epsilon" in slips
    return advantage, metrics.one_run_epsilon(scores, is_member, GUESSES) if stated else None

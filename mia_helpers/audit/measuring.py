"""From scores to figures with intervals that hold together. NumPy side."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.stats import hypergeom, norm

from mia_helpers.audit.examples import Examples, Part, People
from mia_helpers.audit.report import MIN_IN_SLICE, Exposed, Slice
from mia_helpers.audit.schema import CALIBRATION_HALF, FIXED, INDEPENDENT, ONE_RUN, REFERENCE_MODEL
from mia_helpers.inputs import as_array
from mia_helpers.metrics import (
    AttackReport,
    Estimate,
    SupportedRates,
    attack_report,
    auc,
    best_guesses,
    best_threshold,
    epsilon_lower_bound,
    one_run_epsilon,
    tpr_at_fpr,
)

MAX_CALIBRATION, N_EXPOSED = 20_000, 10
SMALLEST_SIDE, LARGEST_SIDE = 8, 128  # of an image, in pixels: smaller is taken for a table, larger is made coarser


def auc_at_level(scores: np.ndarray, is_member: np.ndarray, level: float, found: Estimate | None = None) -> Estimate:
    """`metrics.auc`; for fewer than 1,000 of a kind its interval is no narrower than chance would make it.

    DeLong's variance is itself estimated, and at levels near 1 that brings up to five times the false alarms allowed with 20
    members (simulated). The variance of the AUC if members and non-members are exchangeable is known (Mann & Whitney 1947).
    """
    found, m, n = found or auc(scores, is_member, level), int(is_member.sum()), int((~is_member).sum())
    if min(m, n) >= 1000:
        return found
    ties = np.unique(scores, return_counts=True)[1].astype(float)
    variance = (m + n + 1 - (ties**3 - ties).sum() / ((m + n) * (m + n - 1))) / (12 * m * n)
    half = norm.ppf((1 + level) / 2) * np.sqrt(max(variance, 0.0))
    return Estimate(
        found.value, float(max(0, min(found.low, found.value - half))), float(min(1, max(found.high, found.value + half)))
    )


def measured(
    scores: np.ndarray,
    people: People,
    fixed_at_0: bool,
    reference: tuple[np.ndarray, np.ndarray] | None,
    fprs: tuple[float, ...],
    level: float,
) -> tuple[AttackReport, str]:
    """The attack's figures, and where its threshold is from.

    Scores `[P]`, one for each person. The threshold is 0 for log-odds, else the best one of a reference model (its scores
    and memberships), else the best one on half of the people; accuracy and advantage are then counted on the other half.
    """
    is_member, first_half = people.is_member, people.first_half
    if fixed_at_0:
        threshold, source = 0.0, FIXED
    elif reference is not None:
        threshold, source = best_threshold(*reference), REFERENCE_MODEL
    else:
        threshold, source = best_threshold(scores[first_half], is_member[first_half]), CALIBRATION_HALF
    report = attack_report(scores, is_member, threshold, (), level)
    if source == CALIBRATION_HALF:
        other = attack_report(scores[~first_half], is_member[~first_half], threshold, (), level)
        report = replace(report, accuracy=other.accuracy, advantage=other.advantage)
    rates = {fpr: tpr_at_fpr(scores, is_member, fpr, level) for fpr in fprs}
    return replace(
        report,
        auc=auc_at_level(scores, is_member, level, report.auc),
        tpr_at_fpr=SupportedRates(rates, report.n_non_members),
    ), source


def above_chance(report: AttackReport, level: float) -> bool:
    """Whether the AUC's interval lies above 0.5, or a TPR is too high to be luck.

    For the latter: if members and non-members were exchangeable, the number of members that score above the (k + 1)th
    non-member would be negative hypergeometric.
    """
    m, n = report.n_members, report.n_non_members
    lucky = [
        hypergeom.cdf(k := int(np.floor(fpr * n + 1e-9)), m + n, n, round(rate.value * m) + k)
        for fpr, rate in report.tpr_at_fpr.items()
    ]
    return report.auc.low > 0.5 or min(lucky) < (1 - level) / 2


def epsilon(
    scores: dict[str, np.ndarray], people: People, delta: float, level: float, coins: bool
) -> tuple[float, str, str]:
    """A lower bound on ε, its attack and its method: all chosen on one half of the people, counted on the other.

    coins: each person was a member by a fair coin of its own, so that the bound for one training run holds.
    """
    is_member, half = people.is_member, people.drawn_half if coins else people.first_half
    first = people.sample(MAX_CALIBRATION, half)
    calibration = {name: (values[first], is_member[first]) for name, values in scores.items()}
    if coins:
        guesses = {name: best_guesses(*known, delta, level) for name, known in calibration.items()}
        bounds = {name: one_run_epsilon(*known, guesses[name], delta, level) for name, known in calibration.items()}
    else:
        bounds = {name: epsilon_lower_bound(*known, *known, delta, level) for name, known in calibration.items()}
    name = max(scores, key=lambda name: (bounds[name], auc(*calibration[name]).value))
    counted = scores[name][~half], is_member[~half]
    if not coins:
        return epsilon_lower_bound(*calibration[name], *counted, delta, level), name, INDEPENDENT
    cautious = level if delta == 0 else 1 - (1 - level) / 1.5  # with δ, a number of guesses that was chosen costs that much
    return one_run_epsilon(*counted, guesses[name], delta, cautious), name, ONE_RUN


def measured_part(scores: dict[str, np.ndarray], level: float, part: Part) -> Slice:
    """The attack whose AUC has the highest lower end on these examples, if there are enough of both kinds."""
    is_member = part.is_member
    members, others = int(is_member.sum()), int((~is_member).sum())
    if min(members, others) < MIN_IN_SLICE:
        return Slice(part.column, part.value, members, others, None, None)
    found = {name: auc_at_level(part.of(values), is_member, level) for name, values in scores.items()}
    best = max(found, key=lambda name: (found[name].low, found[name].value))
    return Slice(part.column, part.value, members, others, best, found[best])


def exposed(scores: np.ndarray, examples: Examples) -> list[Exposed]:
    """The members with the highest scores `[N]`, the lots deciding between equal ones; of several rows of a person the mean.

    A person is shown by its row with the highest score.
    """
    people, of_people = examples.people, examples.by_person(scores)
    members, others = np.flatnonzero(people.is_member), np.sort(of_people[~people.is_member])
    top = members[np.lexsort((people.lots[members], -of_people[members]))[:N_EXPOSED]]
    at_or_above = 1 - np.searchsorted(others, of_people[top], side="left") / len(others)
    shown = [_clearest_row(scores, examples, who) for who in top]
    return [Exposed(i, int(examples.y[i]), float(of_people[who]), float(s)) for i, who, s in zip(shown, top, at_or_above)]


def _clearest_row(scores: np.ndarray, examples: Examples, who: int) -> int:
    if examples.person is None:
        return int(who)
    rows = np.flatnonzero(examples.person == who)
    return int(rows[np.lexsort((examples.rows.lots[rows], -scores[rows]))[0]])


def images(inputs: Any, positions: Sequence[int]) -> np.ndarray | None:
    """The inputs at these positions as images in [0, 1], float32 `[K, H, W]` or `[K, H, W, 3]`; None if they are none.

    Taken for images: numbers of shape `[N, H, W]`, `[N, 1, H, W]`, `[N, 3, H, W]`, `[N, H, W, 1]` or `[N, H, W, 3]`. Bytes
    are divided by 255; what does not lie in [0, 1] is scaled by the smallest and the largest value that is shown.
    """
    shape = tuple(getattr(inputs, "shape", ()))
    if len(shape) not in (3, 4) or not positions:
        return None
    found = np.stack([as_array(inputs[i]) for i in positions])  # one by one: the inputs may lie in a file
    if found.dtype.kind not in "buif":
        return None
    if found.ndim == 4 and found.shape[1] in (1, 3):
        found = np.moveaxis(found, 1, -1)
    if found.ndim == 4 and found.shape[-1] == 1:
        found = found[..., 0]
    sides = found.shape[1:3]
    if min(sides) < SMALLEST_SIDE or (found.ndim == 4 and found.shape[-1] != 3):
        return None
    step = -(-max(sides) // LARGEST_SIDE)
    shown = np.nan_to_num(
        found[:, ::step, ::step].astype(np.float32) / (255 if found.dtype == np.uint8 else 1), posinf=0.0, neginf=0.0
    )
    low, high = float(shown.min()), float(shown.max())
    return shown if low >= 0 and high <= 1 else (shown - low) / max(high - low, 1e-30)

"""From scores to figures with intervals that hold together. NumPy side."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.stats import hypergeom, norm

from mia_helpers.audit.examples import Examples
from mia_helpers.audit.report import MIN_IN_SLICE, Exposed, Slice
from mia_helpers.inputs import as_array
from mia_helpers.metrics import (
    AttackReport,
    Estimate,
    SupportedRates,
    attack_report,
    auc,
    best_threshold,
    epsilon_lower_bound,
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
    examples: Examples,
    fixed_at_0: bool,
    reference: tuple[np.ndarray, np.ndarray] | None,
    fprs: tuple[float, ...],
    level: float,
) -> tuple[AttackReport, str]:
    """The attack's figures, and where its threshold is from.

    It is 0 for log-odds, else the best one of a reference model (its scores and memberships), else the best one on half of
    the examples; accuracy and advantage are then counted on the other half.
    """
    is_member, first_half = examples.is_member, examples.first_half
    if fixed_at_0:
        threshold, source = 0.0, "log-odds 0"
    elif reference is not None:
        threshold, source = best_threshold(*reference), "a reference model"
    else:
        threshold, source = best_threshold(scores[first_half], is_member[first_half]), "calibration half"
    report = attack_report(scores, is_member, threshold, (), level)
    if source == "calibration half":
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


def epsilon(scores: dict[str, np.ndarray], examples: Examples, delta: float, level: float) -> tuple[float, str]:
    """A lower bound on ε, and its attack: both chosen on one half of the examples, counted on the other."""
    is_member, first_half = examples.is_member, examples.first_half
    first = examples.sample(MAX_CALIBRATION, first_half)
    calibration = {name: (values[first], is_member[first]) for name, values in scores.items()}
    name = max(
        scores,
        key=lambda name: (
            epsilon_lower_bound(*calibration[name], *calibration[name], delta, level),
            auc(*calibration[name]).value,
        ),
    )
    return epsilon_lower_bound(*calibration[name], scores[name][~first_half], is_member[~first_half], delta, level), name


def measured_slice(
    scores: dict[str, np.ndarray],
    is_member: np.ndarray,
    level: float,
    column: str,
    value: str,
    places: np.ndarray,
    members: int,
    others: int,
) -> Slice:
    """The attack whose AUC has the highest lower end on these examples, if there are enough of both kinds."""
    if min(members, others) < MIN_IN_SLICE:
        return Slice(column, value, members, others, None, None)
    found = {name: auc_at_level(values[places], is_member[places], level) for name, values in scores.items()}
    best = max(found, key=lambda name: (found[name].low, found[name].value))
    return Slice(column, value, members, others, best, found[best])


def exposed(scores: np.ndarray, examples: Examples) -> list[Exposed]:
    """The members with the highest scores, the lots deciding between equal ones."""
    is_member, y, lots = examples.is_member, examples.y, examples.lots
    members, others = np.flatnonzero(is_member), np.sort(scores[~is_member])
    top = members[np.lexsort((lots[members], -scores[members]))[:N_EXPOSED]]
    at_or_above = 1 - np.searchsorted(others, scores[top], side="left") / len(others)
    return [Exposed(int(i), int(y[i]), float(scores[i]), float(share)) for i, share in zip(top, at_or_above)]


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

"""How well do scores tell members from non-members? Every figure comes with an interval.

NumPy side: scores `[N]` (higher = more likely a member) and true memberships, a boolean array `[N]`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest, norm, rankdata
from sklearn.metrics import roc_curve as _sklearn_roc_curve


@dataclass(frozen=True)
class Estimate:
    """A value with the ends of its confidence interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class AttackReport:
    """What an attack achieves; every figure an `Estimate` at level `confidence`.

    Attributes:
        auc: area under the ROC curve, interval after DeLong.
        accuracy, advantage: at `threshold`; None if no threshold was given. Intervals: exact binomial (Clopper–Pearson),
            and Newcombe's hybrid score interval for the difference TPR − FPR.
        tpr_at_fpr: FPR limit -> TPR there. Clopper–Pearson, with the threshold held fixed: the uncertainty of the FPR
            itself is not in it. Only limits that the number of non-members supports.
        smallest_supported_fpr: 10 / number of non-members: below it one expects fewer than 10 false positives.
    """

    auc: Estimate
    accuracy: Estimate | None
    advantage: Estimate | None
    tpr_at_fpr: dict[float, Estimate]
    threshold: float | None
    smallest_supported_fpr: float
    n_members: int
    n_non_members: int
    confidence: float

    def to_dict(self) -> dict[str, Estimate | None]:
        """Column name -> Estimate, in the order of the report; what a table shows."""
        return {"accuracy": self.accuracy, "AUC": self.auc, "advantage": self.advantage,
                **{f"TPR at {fpr:.3g} FPR": estimate for fpr, estimate in self.tpr_at_fpr.items()}}

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th>{name}</th><td>{'no threshold given' if value is None else value}</td></tr>"
                       for name, value in self.to_dict().items())
        return (f"<table><caption>{self.n_members:,} members, {self.n_non_members:,} non-members, "
                f"{self.confidence:.0%} intervals</caption>{rows}</table>")


def attack_report(scores: ArrayLike, is_member: ArrayLike, threshold: float | None = None,
                  fprs: tuple[float, ...] = (0.01,), confidence: float = 0.95) -> AttackReport:
    """Measure an attack.

    Args:
        scores: `[N]`, higher = more likely a member. is_member: bool `[N]`.
        threshold: "member" if score ≥ threshold. Choose it on shadows; chosen on these scores it would flatter the attack.
        fprs: false-positive rates at which to state the true-positive rate.

    Raises:
        ValueError: an FPR limit that so few non-members cannot support (fewer than 10 expected false positives), or
            scores and memberships that do not fit together.
    """
    scores, is_member = checked_scores(scores, is_member)
    n_members, n_non_members = int(is_member.sum()), int((~is_member).sum())
    smallest = 10 / n_non_members
    for fpr in fprs:
        if not smallest <= fpr <= 1:
            raise ValueError(f"a true-positive rate at a false-positive rate of {fpr:g} cannot be claimed with "
                             f"{n_non_members} non-members: one would expect {fpr * n_non_members:.1f} false positives, "
                             f"and at least 10 are needed. The smallest FPR supported here is {smallest:.3g}")
    accuracy = advantage = None
    if threshold is not None:
        claimed = scores >= threshold
        true_positives, false_positives = int(claimed[is_member].sum()), int(claimed[~is_member].sum())
        accuracy = proportion(true_positives + n_non_members - false_positives, len(scores), confidence)
        advantage = _difference(true_positives, n_members, false_positives, n_non_members, confidence)
    return AttackReport(
        auc=auc(scores, is_member, confidence), accuracy=accuracy, advantage=advantage,
        tpr_at_fpr={fpr: proportion(true_positives_at_fpr(scores, is_member, fpr), n_members, confidence) for fpr in fprs},
        threshold=threshold, smallest_supported_fpr=smallest,
        n_members=n_members, n_non_members=n_non_members, confidence=confidence)


def roc_curve(scores: ArrayLike, is_member: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """False-positive rates, true-positive rates and thresholds, one entry for each distinct score."""
    scores, is_member = checked_scores(scores, is_member)
    return _sklearn_roc_curve(is_member, scores, drop_intermediate=False)


def true_positives_at_fpr(scores: np.ndarray, is_member: np.ndarray, fpr: float) -> int:
    """The most members that a threshold catches while its false-positive rate is at most `fpr`; no interpolation."""
    found_fpr, found_tpr, _ = roc_curve(scores, is_member)
    n_non_members = (~is_member).sum()
    allowed = np.round(found_fpr * n_non_members) <= np.floor(fpr * n_non_members + 1e-9)
    return int(np.round(found_tpr[allowed].max() * is_member.sum()))


def auc(scores: ArrayLike, is_member: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Area under the ROC curve: the chance that a random member scores above a random non-member (ties count half).

    The interval is DeLong's (1988), computed from ranks (Sun & Xu 2014) and cut to [0, 1]. If the scores separate the two
    groups completely, DeLong's variance is 0 and says too much; the open end is then α/2 to the power 1/min(n). With a
    single member or non-member the interval is [0, 1].

    Raises:
        ValueError: `confidence` outside (0, 1), or scores and memberships that do not fit together.
    """
    scores, is_member = checked_scores(scores, is_member)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, for instance 0.95; got {confidence}")
    members, non_members = scores[is_member], scores[~is_member]
    m, n = len(members), len(non_members)
    ranks = rankdata(np.concatenate([members, non_members]))
    member_parts = (ranks[:m] - rankdata(members)) / n  # for each member: share of non-members below it
    non_member_parts = 1 - (ranks[m:] - rankdata(non_members)) / m
    value = float(member_parts.mean())
    if min(m, n) == 1:
        return Estimate(value, 0.0, 1.0)
    alpha = 1 - confidence
    if value in (0.0, 1.0):
        open_end = (alpha / 2) ** (1 / min(m, n))
        return Estimate(value, *((open_end, 1.0) if value == 1.0 else (0.0, 1 - open_end)))
    variance = sum(np.var(parts, ddof=1) / len(parts) for parts in (member_parts, non_member_parts))
    half = norm.ppf(1 - alpha / 2) * np.sqrt(variance)
    return Estimate(value, float(max(0, value - half)), float(min(1, value + half)))


def proportion(successes: int, n: int, confidence: float = 0.95) -> Estimate:
    """A share with its exact binomial interval (Clopper & Pearson 1934)."""
    interval = binomtest(int(successes), int(n)).proportion_ci(confidence, method="exact")
    return Estimate(successes / n, float(interval.low), float(interval.high))


def _difference(k1: int, n1: int, k2: int, n2: int, confidence: float) -> Estimate:
    """k1/n1 − k2/n2 with Newcombe's (1998) hybrid score interval."""
    p1, p2 = k1 / n1, k2 / n2
    ci1, ci2 = (binomtest(k, n).proportion_ci(confidence, method="wilson") for k, n in ((k1, n1), (k2, n2)))
    low = p1 - p2 - np.hypot(p1 - ci1.low, ci2.high - p2)
    high = p1 - p2 + np.hypot(ci1.high - p1, p2 - ci2.low)
    return Estimate(p1 - p2, float(low), float(high))


def best_threshold(scores: ArrayLike, is_member: ArrayLike) -> float:
    """The threshold with the largest TPR − FPR ("member" if score ≥ threshold). For shadows, never for the target."""
    fpr, tpr, thresholds = roc_curve(scores, is_member)
    return float(thresholds[np.argmax(tpr - fpr)])


def checked_scores(scores: ArrayLike, is_member: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Scores as float64 `[N]` and memberships as bool `[N]`, or an error that says what is wrong with them."""
    scores, is_member = np.asarray(scores, dtype=np.float64), np.asarray(is_member)
    if is_member.dtype != bool:
        raise TypeError(f"is_member must be boolean, got {is_member.dtype}; convert with .astype(bool)")
    if scores.ndim != 1 or scores.shape != is_member.shape:
        raise ValueError(f"scores and is_member must both have shape [N], got {list(scores.shape)} and "
                         f"{list(is_member.shape)}")
    if np.isnan(scores).any():
        raise ValueError(f"{int(np.isnan(scores).sum())} scores are NaN")
    if is_member.all() or not is_member.any():
        raise ValueError(f"need members and non-members, got {int(is_member.sum())} members of {len(is_member)}")
    return scores, is_member

"""How well do scores tell members from non-members? Every figure comes with an interval.

NumPy side: scores `[N]` (higher = more likely a member) and true memberships, a boolean array `[N]`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta, binom, binomtest, norm, rankdata, t

from mia_helpers.inputs import InputError, as_array, checked_scores, confidence_level, delta_below_1, same_rows
from mia_helpers.one_run import best_guesses as best_guesses
from mia_helpers.one_run import one_run_epsilon as one_run_epsilon

DEFAULT_FPRS = (0.01, 0.001)
N_RESAMPLES = 1000


@dataclass(frozen=True)
class Estimate:
    """A value with the ends of its confidence interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


class SupportedRates(dict):
    """FPR limit -> `Estimate` of the TPR there. Looking up a limit that the data cannot support says why not."""

    def __init__(self, rates: dict[float, Estimate], n_people: int):
        super().__init__(rates)
        self.n_people = n_people

    def __missing__(self, fpr: float) -> Estimate:
        raise KeyError(_why_not(fpr, self.n_people) or f"no TPR at {fpr:g} FPR was asked for; use fprs=({fpr:g},)")


@dataclass(frozen=True)
class AttackReport:
    """What an attack achieves; every figure an `Estimate` at level `confidence`.

    Attributes:
        auc: area under the ROC curve, interval after DeLong.
        accuracy, advantage: at `threshold`; None if no threshold was given. Intervals: exact binomial (Clopper–Pearson),
            and Newcombe's hybrid score interval for the difference TPR − FPR.
        tpr_at_fpr: FPR limit -> TPR there. Clopper–Pearson, with the threshold held fixed: the uncertainty of the FPR
            itself is not in it (`tpr_at_fpr` puts it in). Only limits that the number of non-members supports.
        smallest_supported_fpr: 10 / number of non-members: below it one expects fewer than 10 false positives. With several
            targets an example that is a non-member of some is one person, however often it was asked about.
        n_members, n_non_members: counted over all targets.

    With several targets (scores `[T, N]`) all intervals are percentiles of a bootstrap over examples, since the targets'
    answers about one example are not independent; the targets, and the thresholds, are held fixed.
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
        """Column name -> Estimate, in the order of the report; what a table shows.

        Rates have three digits, or all of theirs where three are not enough to tell two apart.
        """
        short = [f"{fpr:.3g}" for fpr in self.tpr_at_fpr]
        names = [text if short.count(text) == 1 else repr(float(fpr)) for text, fpr in zip(short, self.tpr_at_fpr)]
        return {
            "accuracy": self.accuracy,
            "AUC": self.auc,
            "advantage": self.advantage,
            **{f"TPR at {name} FPR": estimate for name, estimate in zip(names, self.tpr_at_fpr.values())},
        }

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{name}</th><td>{'no threshold given' if value is None else value}</td></tr>"
            for name, value in self.to_dict().items()
        )
        return (
            f"<table><caption>{self.n_members:,} members, {self.n_non_members:,} non-members, "
            f"{self.confidence:.0%} intervals</caption>{rows}</table>"
        )


def attack_report(
    scores: ArrayLike,
    is_member: ArrayLike,
    threshold: float | None = None,
    fprs: tuple[float, ...] = DEFAULT_FPRS,
    confidence: float = 0.95,
    seed: int = 0,
) -> AttackReport:
    """Measure an attack.

    Args:
        scores: `[N]`, higher = more likely a member; or `[T, N]`, the scores of N examples on each of T targets, pooled.
        is_member: bool, of the same shape.
        threshold: "member" if score ≥ threshold. Choose it on shadows; chosen on these scores it would flatter the attack.
        fprs: false-positive rates at which to state the true-positive rate. Of the default ones, those that the data
            cannot support are left out.
        seed: of the bootstrap for several targets.

    Raises:
        ValueError: an FPR limit was asked for that so few non-members cannot support (fewer than 10 expected false
            positives among different people), or scores and memberships that do not fit together.
    """
    shape = np.shape(scores)
    if len(shape) == 2 and np.shape(is_member) == shape:
        same_rows(scores=scores, is_member=is_member)
        same_rows(**{"scores.T": getattr(scores, "T", None), "is_member.T": getattr(is_member, "T", None)})
        scores, is_member = as_array(scores), as_array(is_member)
        return _pooled_report(scores, is_member, threshold, fprs, confidence, seed)
    scores, is_member = checked_scores(scores, is_member)
    n_members, n_non_members = int(is_member.sum()), int((~is_member).sum())
    accuracy = advantage = None
    if threshold is not None:
        claimed = scores >= threshold
        true_positives, false_positives = int(claimed[is_member].sum()), int(claimed[~is_member].sum())
        accuracy = proportion(true_positives + n_non_members - false_positives, len(scores), confidence)
        advantage = _difference(true_positives, n_members, false_positives, n_non_members, confidence)
    rates = {
        fpr: proportion(true_positives_at_fpr(scores, is_member, fpr), n_members, confidence)
        for fpr in _supported(fprs, n_non_members)
    }
    return AttackReport(
        auc=auc(scores, is_member, confidence),
        accuracy=accuracy,
        advantage=advantage,
        tpr_at_fpr=SupportedRates(rates, n_non_members),
        threshold=threshold,
        smallest_supported_fpr=10 / n_non_members,
        n_members=n_members,
        n_non_members=n_non_members,
        confidence=confidence,
    )


def _pooled_report(
    scores: np.ndarray, is_member: np.ndarray, threshold: float | None, fprs: tuple[float, ...], confidence: float, seed: int
) -> AttackReport:
    """Several targets on the same examples: everything is computed on all T·N scores, resampling whole examples."""
    n_targets, n = scores.shape
    flat, truth = checked_scores(scores.ravel(), is_member.ravel())
    confidence_level(confidence)
    n_members, n_non_members, n_people = int(truth.sum()), int((~truth).sum()), n_non_member_people(is_member)
    _, rank = np.unique(flat, return_inverse=True)
    limits = {fpr: threshold_at_fpr(flat, truth, fpr) for fpr in _supported(fprs, n_people)}

    def measure(weights: np.ndarray) -> list[float]:  # [N], how often each example was drawn
        w = np.tile(weights, n_targets)
        inside, outside = w * truth, w * ~truth
        values = [_weighted_auc(rank, inside, outside)]
        for limit in limits.values():
            values.append(inside[flat >= limit].sum() / inside.sum())
        if threshold is not None:
            tpr, fpr = (part[flat >= threshold].sum() / part.sum() for part in (inside, outside))
            values += [(tpr * inside.sum() + (1 - fpr) * outside.sum()) / w.sum(), tpr - fpr]
        return values

    resampled = [measure(weights) for weights in _resampled(is_member, N_RESAMPLES, seed)]
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    found = [Estimate(float(v), float(lo), float(hi)) for v, lo, hi in zip(measure(np.ones(n)), low, high)]
    accuracy, advantage = found[-2:] if threshold is not None else (None, None)
    return AttackReport(
        auc=found[0],
        accuracy=accuracy,
        advantage=advantage,
        tpr_at_fpr=SupportedRates(dict(zip(limits, found[1:])), n_people),
        threshold=threshold,
        smallest_supported_fpr=10 / n_people,
        n_members=n_members,
        n_non_members=n_non_members,
        confidence=confidence,
    )


def _weighted_auc(rank: np.ndarray, inside: np.ndarray, outside: np.ndarray) -> float:
    """The AUC from each score's dense rank and its weight among members and among non-members; ties count half."""
    below = np.cumsum(per_rank := np.bincount(rank, outside)) - per_rank / 2
    return inside @ below[rank] / (inside.sum() * outside.sum())


def _resampled(is_member: np.ndarray, n_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each of N examples is drawn, `[N]`, again and again; is_member `[T, N]`."""
    rng, n = np.random.default_rng(seed), is_member.shape[1]
    for _ in range(n_resamples):
        while True:  # a few examples may come without members or without non-members: draw again
            weights = rng.multinomial(n, np.full(n, 1 / n))
            if all((weights * kind).any() for kind in (is_member, ~is_member)):
                yield weights
                break


def auc_difference(
    one: ArrayLike, other: ArrayLike, is_member: ArrayLike, n_resamples: int = 300, confidence: float = 0.95, seed: int = 0
) -> Estimate:
    """The AUC of one attack minus that of another on the same targets and examples, each pooled as in `attack_report`.

    Both are judged on the same resamples of examples, so what the two have in common falls out (paired bootstrap).

    Args:
        one, other: scores `[T, N]` of N examples on each of T targets. is_member: bool `[T, N]`.

    Raises:
        ValueError: scores and memberships that do not fit together.
    """
    is_member = np.atleast_2d(is_member)
    (one, truth), (other, _) = (checked_scores(np.ravel(scores), is_member.ravel()) for scores in (one, other))
    ranks = [np.unique(scores, return_inverse=True)[1] for scores in (one, other)]

    def difference(weights: np.ndarray) -> float:
        w = np.tile(weights, len(is_member))
        first, second = (_weighted_auc(rank, w * truth, w * ~truth) for rank in ranks)
        return first - second

    resampled = [difference(weights) for weights in _resampled(is_member, n_resamples, seed)]
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(float(difference(np.ones(is_member.shape[1]))), float(low), float(high))


def n_non_member_people(is_member: ArrayLike) -> int:
    """How many different people are non-members: of the one target, `[N]`, or of at least one of several, `[T, N]`.

    What several targets say about the same person is not several independent answers: whoever looks like a member to one
    does so to most. So 20 non-members asked about at 50 targets are 20 people, not 1,000.
    """
    return int((~np.atleast_2d(is_member)).any(0).sum())


def _why_not(fpr: float, n_people: int) -> str | None:
    """Why no true-positive rate can be claimed at this false-positive rate; None if it can."""
    if 10 / n_people <= fpr <= 1:
        return None
    expected = np.floor(10 * fpr * n_people + 1e-9) / 10  # rounded so that 9.99 does not read as 10
    smallest = np.ceil(1e6 / n_people - 1e-9) / 1e5
    return (
        f"a true-positive rate at a false-positive rate of {fpr:g} cannot be claimed with {n_people} non-members: "
        f"one would expect {expected:.1f} false positives, and at least 10 are needed. The smallest FPR "
        f"supported here is {smallest:.4g}"
    )


def _supported(fprs: tuple[float, ...], n_people: int) -> list[float]:
    """The limits that the data support. Those that the caller chose must all be."""
    for fpr in fprs:
        if fprs is not DEFAULT_FPRS and (reason := _why_not(fpr, n_people)):
            raise InputError(reason)
    return [fpr for fpr in fprs if _why_not(fpr, n_people) is None]


def roc_curve(scores: ArrayLike, is_member: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """False-positive rates, true-positive rates and thresholds: first infinity, then each distinct score.

    Raises:
        ValueError: infinite scores, or scores and memberships that do not fit together.
    """
    scores, is_member = _finite_scores(scores, is_member)
    from sklearn.metrics import roc_curve as of_sklearn  # here, since it takes longer to import than all else together

    return of_sklearn(is_member, scores, drop_intermediate=False)


def true_positives_at_fpr(scores: np.ndarray, is_member: np.ndarray, fpr: float) -> int:
    """The most members that a threshold catches while its false-positive rate is at most `fpr`; no interpolation."""
    return int((scores[is_member] >= threshold_at_fpr(scores, is_member, fpr)).sum())


def threshold_at_fpr(scores: np.ndarray, is_member: np.ndarray, fpr: float) -> float:
    """The lowest score as a threshold whose false-positive rate is at most `fpr`; infinite if there is none.

    With k false positives allowed it is the lowest score above that of the (k + 1)th non-member from the top.

    Raises:
        ValueError: infinite scores, or scores and memberships that do not fit together.
    """
    scores, is_member = _finite_scores(scores, is_member)
    others = scores[~is_member]
    place = len(others) - 1 - int(np.floor(fpr * len(others) + 1e-9))
    if place < 0:
        return float(scores.min())
    return float(scores[scores > np.partition(others, place)[place]].min(initial=np.inf))


def tpr_at_fpr(scores: np.ndarray, is_member: np.ndarray, fpr: float, confidence: float = 0.95) -> Estimate:
    """The TPR of `attack_report` with a wider interval, which also covers that the threshold was found on a sample.

    The share of all non-members above the j-th one from the top is Beta(j, n − j + 1) distributed (David & Nagaraja 2003,
    *Order Statistics*, 7.1); with ties it is smaller, and larger if that score itself counts. So a threshold above the j-th
    surely keeps to `fpr` up to some j, and from some j on no threshold that keeps to it can be as low, each with probability
    1 − (1 − confidence) / 4. At these two the TPR gets Clopper–Pearson limits of that level. Holds for any distribution, and
    errs on the wide side.

    Args:
        scores: `[N]`, higher = more likely a member. is_member: bool `[N]`.

    Raises:
        ValueError: infinite scores, or scores and memberships that do not fit together.
    """
    scores, is_member = _finite_scores(scores, is_member)
    members, n, tail = scores[is_member], int((~is_member).sum()), (1 - confidence) / 4
    strict, loose = int(binom.ppf(tail, n, fpr)), int(binom.ppf(1 - tail, n, fpr)) + 1
    others = -np.partition(-scores[~is_member], [max(strict, 1) - 1, min(loose, n) - 1])  # from the top
    surely = int((members > others[strict - 1]).sum()) if strict else 0
    perhaps = int((members > others[loose - 1]).sum()) if loose <= n else len(members)
    low, high = (proportion(k, len(members), 1 - 2 * tail) for k in (surely, perhaps))
    value = true_positives_at_fpr(scores, is_member, fpr) / len(members)
    return Estimate(value, low.low, high.high)


def auc(scores: ArrayLike, is_member: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Area under the ROC curve: the chance that a random member scores above a random non-member (ties count half).

    The interval is DeLong's (1988), computed from ranks (Sun & Xu 2014) and cut to [0, 1]. If the scores separate the two
    groups completely, DeLong's variance is 0 and says too much; the open end is then α/2 to the power 1/min(n). With a
    single member or non-member the interval is [0, 1].

    Raises:
        ValueError: `confidence` outside (0, 1), or scores and memberships that do not fit together.
    """
    scores, is_member = checked_scores(scores, is_member)
    confidence_level(confidence)
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
    """A share with its exact binomial interval (Clopper & Pearson 1934).

    Raises:
        ValueError: `confidence` outside (0, 1).
    """
    confidence_level(confidence)
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


def _finite_scores(scores: ArrayLike, is_member: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    scores, is_member = checked_scores(scores, is_member)
    if n_infinite := int(np.isinf(scores).sum()):
        raise InputError(f"{n_infinite} scores are infinite, and thresholds must be finite; clip the scores")
    return scores, is_member


# ------------------------------------------------------------------------------------------- several models, several draws


def known(scores: ArrayLike) -> np.ndarray:
    """Scores `[..., N]` in which those that an attack left open (NaN: nothing is known) are the median of the others.

    What that is worth: such an example is neither accused nor cleared. Count them (`np.isnan(scores).sum()`) and say so.

    Raises:
        ValueError: a row without any score.
    """
    scores = np.array(scores, dtype=np.float64)
    if (open_ := np.isnan(scores)).all(-1).any():
        raise InputError("nothing is known about any example: all scores are NaN")
    return np.where(open_, np.nanmedian(scores, axis=-1, keepdims=True), scores)


def mean_over_models(values: ArrayLike, confidence: float = 0.95) -> Estimate:
    """The mean of one number for each model, `[T]`, with Student's interval: about other models trained in the same way.

    Raises:
        ValueError: fewer than two models, or values that are not finite.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise InputError(
            f"expected one finite number for each of at least two models, got {list(values.shape)} with "
            f"{int((~np.isfinite(values)).sum())} NaN or infinite"
        )
    mean = values.mean()
    half = t.ppf((1 + confidence) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return Estimate(float(mean), float(mean - half), float(mean + half))


def paired_difference(one: ArrayLike, other: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Mean over models of one − other, `[T]` each, for the same models in the same order, with Student's interval.

    Raises:
        ValueError: as `mean_over_models`, or another number of models.
    """
    one, other = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if one.shape != other.shape:
        raise InputError(f"both need a number for each of the same models, got {list(one.shape)} and {list(other.shape)}")
    return mean_over_models(one - other, confidence)


def aucs(scores: Iterable[ArrayLike], is_member: Iterable[ArrayLike]) -> np.ndarray:
    """The AUC of each model's scores, `[T, N]` and bool `[T, N]` to float64 `[T]`."""
    return np.array([auc(values, truth).value for values, truth in zip(scores, is_member, strict=True)])


class Draws:
    """A bootstrap over models and examples at once: how often each of S models and N examples was drawn, draw by draw.

    The first "draw" takes everything once and so gives the value itself. What is computed with the same `Draws` is paired:
    subtract first, `estimate` then.

    Args:
        n_models, n_examples: S and N. n_draws: with the value itself. seed: of the draws.
    """

    def __init__(self, n_models: int, n_examples: int, n_draws: int = 200, seed: int = 0):
        rng = np.random.default_rng(seed)
        self.models, self.examples = (rng.multinomial(n, np.full(n, 1 / n), n_draws) for n in (n_models, n_examples))
        self.models[0] = self.examples[0] = 1

    def rate(self, event: ArrayLike, group: ArrayLike) -> np.ndarray:
        """The mean over models of the share of `group` for which `event` holds: bool `[S, N]` each, to `[n_draws]`."""
        event, group = np.asarray(event), np.asarray(group)
        shares = (self.examples @ (event & group).T) / (self.examples @ group.T)
        return (self.models * shares).sum(1) / len(event)

    def auc(self, scores: ArrayLike, is_member: ArrayLike, group: ArrayLike | None = None) -> np.ndarray:
        """The AUC of all pairs of a member and a non-member of the same model: `[S, N]` each, to `[n_draws]`.

        group: bool `[S, N]`, only these examples. Ties count half.
        """
        scores, is_member = np.asarray(scores), np.asarray(is_member)
        group = np.ones_like(is_member) if group is None else np.asarray(group)
        right, pairs = [], []
        for values, member, chosen in zip(scores, is_member, group, strict=True):
            order = np.argsort(values, kind="stable")
            starts = np.unique(values[order], return_index=True)[1]  # of each run of equal values
            inside, outside = (
                np.add.reduceat(self.examples[:, order] * kind[order] * chosen[order], starts, axis=1)
                for kind in (member, ~member)
            )
            right.append((inside * (outside.cumsum(1) - outside / 2)).sum(1))
            pairs.append(inside.sum(1) * outside.sum(1))
        return (self.models * np.transpose(right)).sum(1) / (self.models * np.transpose(pairs)).sum(1)

    def tpr_at_fpr(self, scores: ArrayLike, is_member: ArrayLike, fpr: float) -> np.ndarray:
        """The mean over models of the TPR at one threshold for all, that of `fpr` over everything: to `[n_draws]`.

        Raises:
            ValueError: so few non-members cannot support the rate.
        """
        scores, is_member = np.asarray(scores), np.asarray(is_member)
        if reason := _why_not(fpr, n_non_member_people(is_member)):
            raise InputError(reason)
        limit = threshold_at_fpr(scores.ravel(), is_member.ravel(), fpr)
        return self.rate(scores >= limit, is_member)

    @staticmethod
    def estimate(values: np.ndarray, confidence: float = 0.95) -> Estimate:
        """The first value with the percentile interval of the others, `[n_draws]`."""
        low, high = np.quantile(values[1:], [(1 - confidence) / 2, (1 + confidence) / 2])
        return Estimate(float(values[0]), float(low), float(high))


def epsilon_lower_bound(
    scores_calibration: ArrayLike,
    member_calibration: ArrayLike,
    scores_test: ArrayLike,
    member_test: ArrayLike,
    delta: float = 0.0,
    confidence: float = 0.95,
) -> float:
    """A lower bound on ε, given δ: a training that is (ε, δ)-differentially private would not leak so much.

    Any attack on such a training has TPR ≤ e^ε FPR + δ and 1 − FPR ≤ e^ε (1 − TPR) + δ (Kairouz et al. 2015, 1311.0776).
    The threshold is chosen on the calibration examples, the rates are counted on the test examples, so nothing has to be
    corrected for the choice. TPR from below and FPR from above are Clopper–Pearson limits, each at (1 − confidence) / 2.

    Args:
        scores_…: `[N]`, higher = more likely a member; two disjoint sets of examples. member_…: bool `[N]`.
        delta: the δ of the claim, in [0, 1).

    Returns:
        ε ≥ 0 in nats; 0 if nothing is shown. It holds with probability `confidence` if examples are independent.

    Raises:
        ValueError: delta or confidence out of range, or scores and memberships that do not fit together.
    """
    delta_below_1(delta)
    confidence_level(confidence)
    scores, is_member = checked_scores(scores_calibration, member_calibration)
    scores_test, member_test = checked_scores(scores_test, member_test)
    fpr, tpr, thresholds = roc_curve(scores, is_member)
    n_in, n_out = is_member.sum(), (~is_member).sum()
    bounds = _epsilon(np.round(tpr * n_in), n_in, np.round(fpr * n_out), n_out, delta, confidence)
    claimed = scores_test >= thresholds[np.argmax(bounds)]
    bound = float(
        _epsilon(
            claimed[member_test].sum(),
            member_test.sum(),
            claimed[~member_test].sum(),
            (~member_test).sum(),
            delta,
            confidence,
        )
    )
    return max(0.0, bound)


def _epsilon(
    true_positives: np.ndarray | int,
    n_in: int,
    false_positives: np.ndarray | int,
    n_out: int,
    delta: float,
    confidence: float,
) -> np.ndarray:
    """The bound for counts at fixed thresholds; may be negative."""
    alpha = (1 - confidence) / 2
    tpr = np.where(np.equal(true_positives, 0), 0, beta.ppf(alpha, np.maximum(true_positives, 1), n_in - true_positives + 1))
    fpr = np.where(
        np.equal(false_positives, n_out),
        1,
        beta.ppf(1 - alpha, np.add(false_positives, 1), np.maximum(n_out - false_positives, 1)),
    )
    tiny = np.finfo(float).tiny  # a rate below δ shows nothing: log of next to nothing
    return np.maximum(np.log(np.maximum(tpr - delta, tiny) / fpr), np.log(np.maximum(1 - fpr - delta, tiny) / (1 - tpr)))

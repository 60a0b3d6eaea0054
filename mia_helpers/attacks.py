"""Attacks: fitted on shadows, whose members the adversary knows, then scored on the target.

NumPy side: logits in, one score for each example out. Higher = more likely a member. All attacks follow one protocol,
`Attack`; `standard` lists them. The kernels `lira_online`, `lira_offline` and `rmia` are what a reader reads: "shadow"
arrays `[S, N]` hold S shadows' signals for the same N examples; `member_mask` `[S, N]` says which were trained on.
"""

from collections.abc import Callable
from inspect import signature
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_softmax, logit, softmax
from scipy.stats import norm

from mia_helpers import signals
from mia_helpers.bank import ShadowBank, pieces
from mia_helpers.inputs import InputError, InputTypeError, as_array, between, integers, numbers
from mia_helpers.metrics import best_threshold
from mia_helpers.seeds import shifted

if TYPE_CHECKING:  # a second of import, which an audit without a classifier need not wait for
    from sklearn.base import BaseEstimator

FEW_SHADOWS = 64  # below, a variance for each example is too noisy (Carlini et al. 2021, section VI)
MIN_VARIANCE = 1e-12  # shadows that all say the same must not divide by zero
MIN_CONFIDENCE = 1e-300
MAX_SORTED = 10  # probabilities that `sorted_log_probabilities` keeps
MAX_LEARNT, N_FOLDS = 50_000, 5  # of `QuantileAttack`


class Attack(Protocol):
    """What every attack has: parameters set in `__init__`, learnt values that end in `_`. `sklearn.base.clone` copies it."""

    @property
    def threshold(self) -> float | None:
        """The decision: "member" if score ≥ threshold; None if it must be chosen on a shadow."""

    @property
    def needs(self) -> tuple[str, ...] | None:
        """Which shadows each example must have, from `"in"` and `"out"`; None if the attack needs no shadows at all."""

    def fit(self, bank: ShadowBank) -> Self:
        """Learn all that can be learnt from shadows."""

    def score(self, logits: ArrayLike, labels: ArrayLike) -> np.ndarray:
        """The target's logits `[N, C]` and labels `[N]` to float64 `[N]`; NaN for an example of which nothing is known."""


def standard(
    seed: int, population: slice | np.ndarray | None = None, features: ArrayLike | None = None
) -> dict[str, Attack]:
    """Name -> attack, unfitted: the one list that the course's table, the audit and the benchmarks go through.

    Args:
        seed: of the classifier and the quantile regression. population: as in `RMIAAttack`.
        features: as in `QuantileAttack`, which is listed only with them.
    """
    listed: dict[str, Attack] = {
        "gap": ThresholdAttack(signals.correctness),
        "max confidence": ThresholdAttack(signals.max_confidence),
        "loss": ThresholdAttack(signals.logit_confidence),  # orders as the loss does, without rounding to 0
        "entropy": ThresholdAttack(signals.negative_entropy),
        "modified entropy": ThresholdAttack(signals.negative_modified_entropy),
        "hinge": ThresholdAttack(signals.hinge),
        "shadow classifier": ClassifierAttack(boosted_trees(seed)),
        "LiRA online": LiRAAttack(),
        "LiRA offline": LiRAAttack(online=False),
        # With γ = 1 a score is a rank; a larger γ would only give many examples the same score.
        "RMIA online": RMIAAttack(gamma=1.0, online=True, population=population),
        "RMIA offline": RMIAAttack(gamma=1.0, population=population),
    }
    return listed if features is None else listed | {"quantile regression": QuantileAttack(features, seed=seed)}


def leave_one_out(attack: Attack, bank: ShadowBank, answers: ArrayLike | None = None) -> np.ndarray:
    """Each model of the bank is the target once, and all others are its shadows: scores, float64 `[S, N]`.

    Args:
        answers: what model i answers as the target, `[S, N, C]`, where that is not what it answers as a shadow: the
            adversary's shadows have no mask, or another one. Default the bank's logits.

    NaN where an example has no shadow of a kind that the attack needs.

    Raises:
        ValueError: answers of another shape than the bank's `[S, N]`.
    """
    answers = bank.logits if answers is None else as_array(answers)
    if np.shape(answers)[:2] != bank.member_mask.shape:
        raise InputError(
            f"answers must be [{', '.join(map(str, bank.member_mask.shape))}, C], as the bank's, got "
            f"{list(np.shape(answers))}"
        )
    from sklearn.base import clone

    return np.stack([clone(attack).fit(bank.without(i)).score(one, bank.labels) for i, one in enumerate(answers)])


class _WithParameters:
    """Parameters as in scikit-learn, whose `clone` asks for them."""

    def get_params(self, deep: bool = True) -> dict:
        return {name: getattr(self, name) for name in signature(type(self)).parameters}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_params().items())})"


class ThresholdAttack(_WithParameters):
    """Says "member" if a signal reaches the threshold that is best on the shadows (Yeom et al. 2018; Salem et al. 2018).

    Args:
        signal: a function from `mia_helpers.signals`.
        per_class: one threshold for each class (Song & Mittal 2020, 2003.10595) instead of one for all.

    Scores are margins, signal minus threshold, so that the decision threshold is always 0. Unfitted, without any shadow, the
    score is the signal itself: enough for an AUC, not for a decision.
    """

    threshold, needs = 0.0, None

    def __init__(self, signal: Callable = signals.negative_loss, per_class: bool = False):
        self.signal = signal
        self.per_class = per_class

    def fit(self, bank: ShadowBank) -> Self:
        """Choose the threshold(s) with the largest TPR − FPR over all answers of the bank: `thresholds_` `[C]`.

        Raises:
            ValueError: `per_class`, and a class lacks members or non-members.
        """
        values, is_member = bank.signal(self.signal).ravel(), bank.member_mask.ravel()
        labels = np.tile(bank.labels, len(bank))
        thresholds = np.full(bank.logits.shape[-1], best_threshold(values, is_member))
        if self.per_class:
            for c in range(len(thresholds)):
                mine = labels == c
                if len(np.unique(is_member[mine])) < 2:
                    raise InputError(
                        f"class {c} has {int(is_member[mine].sum())} members among {int(mine.sum())} shadow "
                        "examples; it needs both kinds for a threshold of its own (or per_class=False)"
                    )
                thresholds[c] = best_threshold(values[mine], is_member[mine])
        self.thresholds_ = thresholds
        return self

    def score(self, logits: ArrayLike, labels: ArrayLike) -> np.ndarray:
        """Signal minus threshold, `[N]`; the signal alone if the attack was not fitted.

        Raises:
            ValueError: another number of classes than the shadow had.
        """
        if not hasattr(self, "thresholds_"):
            return self.signal(logits, labels)
        if np.shape(logits)[-1] != len(self.thresholds_):
            raise InputError(
                f"logits have {np.shape(logits)[-1]} classes, but the attack was fitted on "
                f"{len(self.thresholds_)}; fit it on a shadow with the target's classes"
            )
        return self.signal(logits, labels) - self.thresholds_[np.asarray(labels)]


# ------------------------------------------------------------------------------------------------ a classifier on shadows


def probabilities(logits: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """What the classic attack network sees (Shokri et al. 2017, 1610.05820): softmax outputs `[N, C]`, in class order."""
    return softmax(np.asarray(logits, dtype=np.float64), axis=-1)


def sorted_probabilities(logits: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """Softmax outputs from the top down, so that no class can be learnt (Salem et al. 2018, 1806.01246), `[N, C]`."""
    return np.sort(probabilities(logits, labels), axis=-1)[:, ::-1]


def sorted_log_probabilities(logits: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """Log-probabilities, the labelled class first, then up to nine others from the top down, `[N, min(C, 10)]`."""
    y, log_p = np.asarray(labels), log_softmax(np.asarray(logits, dtype=np.float64), axis=-1)
    own = np.take_along_axis(log_p, y[:, None], axis=-1)
    np.put_along_axis(log_p, y[:, None], -np.inf, axis=-1)
    return np.concatenate([own, -np.sort(-log_p, axis=-1)[:, : min(MAX_SORTED, log_p.shape[1]) - 1]], axis=1)


def boosted_trees(seed: int) -> "BaseEstimator":
    """The classifier of the standard attack and of the audit: 40 boosted trees of 15 leaves."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=40, max_leaf_nodes=15, early_stopping=False, random_state=seed)


class ClassifierAttack(_WithParameters):
    """A classifier learns from the shadows' answers what members look like (Shokri et al. 2017, 1610.05820).

    Args:
        estimator: a scikit-learn classifier with `decision_function` (log-odds): trees, or an
            `attack_network.AttackNetwork`.
        features: function of logits `[N, C]` and labels `[N]` to what the classifier sees, `[N, F]`.

    Scores are log-odds of "member" at equal priors, so that the decision threshold is always 0.
    """

    threshold, needs = 0.0, ()

    def __init__(self, estimator: "BaseEstimator", features: Callable = sorted_log_probabilities):
        self.estimator = estimator
        self.features = features

    def fit(self, bank: ShadowBank) -> Self:
        """Learn from all answers of all models: `estimator_` holds the fitted classifier.

        Raises:
            ValueError: the bank has no members, or no non-members.
        """
        is_member = bank.member_mask.ravel()
        if is_member.all() or not is_member.any():
            raise InputError(
                f"the bank must hold members and non-members, got {int(is_member.sum())} members of {len(is_member)}"
            )
        from sklearn.base import clone

        x = np.concatenate([self.features(logits, bank.labels) for logits in bank.logits])
        self.estimator_ = clone(self.estimator).fit(x, is_member)
        self.prior_ = logit(is_member.mean())
        return self

    def score(self, logits: ArrayLike, labels: ArrayLike) -> np.ndarray:
        """Log-odds of "member", float64 `[N]`."""
        logits, labels = np.asarray(logits), np.asarray(labels)
        found = [self.estimator_.decision_function(self.features(logits[p], labels[p])) for p in pieces(len(labels))]
        return np.concatenate(found) - self.prior_


# ----------------------------------------------------------------------------------------- each example against itself


class _AgainstItself(_WithParameters):
    """An attack that compares the target's answer about an example with the shadows' answers about the same example."""

    online: bool
    signal: Callable

    @property
    def needs(self) -> tuple[str, ...]:
        """Which shadows each example must have."""
        return ("in", "out") if self.online else ("out",)

    def _kernel(self, values: np.ndarray, known: np.ndarray) -> np.ndarray:
        """The scores of the examples that are known to have their shadows."""
        raise NotImplementedError

    def fit(self, bank: ShadowBank) -> Self:
        """Keep what the shadows answer: `shadows_` `[S, N]`, `member_mask_` `[S, N]`, and the examples' `labels_` `[N]`."""
        self.shadows_, self.member_mask_, self.labels_ = bank.signal(self.signal), bank.member_mask, bank.labels
        return self

    def score(self, logits: ArrayLike, labels: ArrayLike) -> np.ndarray:
        """As the kernel, float64 `[N]`; NaN for examples that lack a kind of shadow.

        Raises:
            ValueError: another number of examples than the bank has, other labels, or no example with the shadows it needs.
        """
        values, mask = self.signal(logits, labels), self.member_mask_
        _same_examples(labels, self.labels_, "the shadows were asked about", "each example is compared with itself")
        known = covered(mask, self.needs)
        if not known.any():
            raise InputError(
                f"none of the {len(known)} examples has {' and '.join(self.needs)}-shadows among {len(mask)}; "
                "train more shadows"
            )
        scores = np.full(len(values), np.nan)
        scores[known] = self._kernel(values, known)
        return scores


def _same_examples(labels: ArrayLike, own: np.ndarray, held: str, why: str) -> None:
    """An error if labels are not those of the bank's examples, `own`; `held` and `why` are parts of its sentence."""
    labels, wrong = np.asarray(labels), None
    if len(labels) != len(own):
        wrong = f"{len(labels)} examples, but {held} {len(own)}"
    elif n_other := int((labels != own).sum()):
        wrong = f"{n_other} of {len(labels)} labels differ from those of the bank's examples"
    if wrong:
        raise InputError(f"{wrong}; {why}, so ask about the bank's examples, in their order")


def covered(member_mask: np.ndarray, needs: tuple[str, ...]) -> np.ndarray:
    """Which examples have at least one shadow of each kind, bool `[N]`: mask `[S, N]`, kinds from `"in"` and `"out"`."""
    known = np.ones(member_mask.shape[1], dtype=bool)
    if "in" in needs:
        known &= member_mask.any(0)
    if "out" in needs:
        known &= ~member_mask.all(0)
    return known


class LiRAAttack(_AgainstItself):
    """`lira_online` or `lira_offline` with the shadows of a bank (Carlini et al. 2021, 2112.03570).

    Args:
        online: with the shadows that had the example, too. variance: as in `lira_online`.
        signal: what normal distributions are fitted to; default the logit confidence.
    """

    def __init__(self, online: bool = True, variance: str = "auto", signal: Callable = signals.logit_confidence):
        self.online = online
        self.variance = variance
        self.signal = signal

    @property
    def threshold(self) -> float | None:
        """0 log-odds; None offline, where a score is no ratio of likelihoods."""
        return 0.0 if self.online else None

    def _kernel(self, values: np.ndarray, known: np.ndarray) -> np.ndarray:
        kernel = lira_online if self.online else lira_offline
        return kernel(values[known], self.shadows_[:, known], self.member_mask_[:, known], self.variance)


class RMIAAttack(_AgainstItself):
    """`rmia` with the shadows of a bank (Zarifzadeh et al. 2023, 2312.03262).

    Args:
        gamma, a: as in `rmia`. online: with the shadows that had the example, too.
        population: which of the bank's examples are the population: a slice or positions; default those that no shadow was
            trained on, or all examples if there is none.
    """

    threshold = None
    signal = staticmethod(signals.true_class_confidence)

    def __init__(
        self, gamma: float = 2.0, a: float = 0.3, online: bool = False, population: slice | np.ndarray | None = None
    ):
        self.gamma = gamma
        self.a = a
        self.online = online
        self.population = population

    def _kernel(self, values: np.ndarray, known: np.ndarray) -> np.ndarray:
        nobodys = ~self.member_mask_.any(0)
        population = self.population if self.population is not None else nobodys if nobodys.any() else slice(None)
        return rmia(
            values[known],
            self.shadows_[:, known],
            self.member_mask_[:, known],
            values[population],
            self.shadows_[:, population],
            self.gamma,
            self.a,
            "online" if self.online else "offline",
        )


# ---------------------------------------------------------------------------------------------------- without shadows


def quantile_trees(fpr: float, seed: int) -> "BaseEstimator":
    """What `QuantileAttack` learns with: as many and as small trees as `boosted_trees`, for the (1 − fpr)-quantile.

    A leaf has at least 1/fpr examples, since with fewer none is expected above its quantile.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        loss="quantile",
        quantile=1 - fpr,
        max_iter=40,
        max_leaf_nodes=15,
        min_samples_leaf=max(20, int(np.ceil(1 / fpr))),
        early_stopping=False,
        random_state=seed,
    )


class QuantileAttack(_WithParameters):
    """Is the target surer of an example than of 1 − fpr of all non-members like it (Bertran et al. 2023, 2307.03694)?

    From examples that are certainly no members, trees learn the (1 − fpr)-quantile of the logit confidence φ, given the
    features. The score is φ minus that quantile, so that the threshold is 0. No shadow is needed: a bank of the target alone
    will do, `ShadowBank.single`; with shadows it learns from their answers about examples that they had not seen.

    The examples are cut into folds, and the quantiles of one fold come from the other folds' non-members: members and
    non-members are treated alike. Learnt quantiles are too low for new examples, the more so the fewer they were learnt from
    (with 500 non-members 0.09 false alarms instead of 0.05). So one constant is added to all, the smallest with which at
    most a share of fpr of the bank's non-members is claimed (conformal prediction, Romano et al. 2019, 1905.03222). It moves
    no example past another; but false alarms are then to be counted on other non-members.

    Args:
        features: numbers `[N, …]`, what is known of each of the bank's examples, in their order; not what a model answers.
            A column with the label helps where the model is surer of some classes. NaN is a value of its own to the trees.
        fpr: the false alarms. With few non-members a far quantile is noise, and examples are then ordered no better than by
            the loss: prefer 0.05 to 0.01 with fewer than some 10,000.
        estimator: a scikit-learn regressor of the (1 − fpr)-quantile; default `quantile_trees`.
        folds: integers `[N]`, which fold an example is in, for instance so that a person's rows stay together; default five
            random ones with equally many non-members each; your own should have nearly so, too. With your own and at most
            50,000 rows nothing depends on the order of examples.
        seed: of the folds, of the 50,000 rows at most that each regressor learns from, and of the trees.
    """

    # "out", since somebody who had not seen the examples must have answered, though it may be about others of them only.
    threshold, needs = 0.0, ("out",)

    def __init__(
        self,
        features: ArrayLike,
        fpr: float = 0.05,
        estimator: "BaseEstimator | None" = None,
        folds: ArrayLike | None = None,
        seed: int = 0,
    ):
        self.features = features
        self.fpr = fpr
        self.estimator = estimator
        self.folds = folds
        self.seed = seed

    def fit(self, bank: ShadowBank) -> Self:
        """Learn each example's quantile from the other folds, `quantiles_` `[N]`, and the constant for all, `correction_`.

        Raises:
            ValueError: features or folds that do not fit the bank, fpr not between 0 and 1, fewer than 1/fpr − 1 answers
                about non-members, or none outside a fold. TypeError: features or folds that are not numbers or integers.
        """
        between("fpr", self.fpr, 0, 1)
        n, rng = len(bank.labels), np.random.default_rng(shifted(self.seed))
        phi, out = bank.signal(signals.logit_confidence), ~bank.member_mask
        x, folds = self._features(n), self._folds(out.sum(0), rng)
        n_out = int(out.sum())
        place = int(np.ceil((1 - self.fpr) * (n_out + 1) - 1e-9))  # from below, of the lowest margin that is claimed
        if place > n_out:
            raise InputError(
                f"fpr={self.fpr:g} needs at least {int(np.ceil(1 / self.fpr - 1 - 1e-9))} answers about non-members, got "
                f"{n_out}; take a larger fpr"
            )
        quantiles = np.empty(n)
        for fold in np.unique(folds):
            quantiles[folds == fold] = self._learnt(x, phi, out & (folds != fold), rng).predict(x[folds == fold])
        margins = (phi - quantiles)[out]
        self.quantiles_, self.labels_ = quantiles, bank.labels
        self.correction_ = np.partition(margins, place - 1)[place - 1]
        return self

    def score(self, logits: ArrayLike, labels: ArrayLike) -> np.ndarray:
        """φ minus the example's quantile and the correction, float64 `[N]`.

        Raises:
            ValueError: another number of examples than the bank has, or other labels.
        """
        _same_examples(labels, self.labels_, "the bank holds", "each example has a quantile of its own")
        return signals.logit_confidence(logits, labels) - self.quantiles_ - self.correction_

    def _learnt(self, x: np.ndarray, phi: np.ndarray, out: np.ndarray, rng: np.random.Generator) -> "BaseEstimator":
        """A regressor that has learnt from these answers, bool `[S, N]`, or from 50,000 of them."""
        from sklearn.base import clone

        rows = np.flatnonzero(out)
        if not len(rows):
            raise InputError("all non-members are in one fold; their quantiles must be learnt from other folds")
        if len(rows) > MAX_LEARNT:
            rows = np.sort(rng.choice(rows, MAX_LEARNT, replace=False))
        estimator = quantile_trees(self.fpr, self.seed) if self.estimator is None else clone(self.estimator)
        return estimator.fit(x[rows % len(x)], phi.ravel()[rows])

    def _features(self, n: int) -> np.ndarray:
        x = numbers("features", self.features, "biuf", "; encode categories as 0 and 1")
        if x.ndim == 0 or len(x) != n or x.size == 0:
            raise InputError(
                f"features must have shape [{n}, …], a row for each of the bank's examples, got {list(x.shape)}"
            )
        return x.reshape(n, -1)

    def _folds(self, n_out: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Which fold each example is in, int `[N]`; n_out: how many models answered about it that had not seen it."""
        n = len(n_out)
        if self.folds is None:
            # Examples with equally many such answers are dealt out in turn. A fold with more non-members than others leaves
            # fewer to learn from, so more non-members than members would have quantiles from few answers: without any leak
            # the AUC was 0.52 with 50 non-members.
            folds = np.empty(n, dtype=int)
            folds[np.lexsort((rng.random(n), n_out))] = np.arange(n) % N_FOLDS
            return folds
        folds = integers("folds", self.folds)
        if folds.shape != (n,) or len(np.unique(folds)) < 2:
            raise InputError(
                f"folds must have shape [{n}] and at least two different values, got {list(folds.shape)} and "
                f"{len(np.unique(folds))}"
            )
        return folds


# -------------------------------------------------------------------------------------------------------- the kernels


def lira_online(target_phi: ArrayLike, shadow_phi: ArrayLike, member_mask: ArrayLike, variance: str = "auto") -> np.ndarray:
    """LiRA, the likelihood-ratio attack, with shadows that were trained on the examples (Carlini et al. 2021, 2112.03570).

    For each example log N(φ; μ_in, σ²_in) − log N(φ; μ_out, σ²_out), with a normal distribution for the shadows that had it
    and one for those that had not.

    Args:
        target_phi: `[N]`, `signals.logit_confidence` of the target. shadow_phi: `[S, N]`. member_mask: bool `[S, N]`.
        variance: `"global"`: one σ²_in and one σ²_out for all examples, from the residuals φ − μ of each example;
            `"per-example"`; `"auto"`: per example from 64 shadows on. Global with a single shadow each: 1.

    Returns:
        log-likelihood ratios, float64 `[N]`; above 0 "member" is the likelier.

    Raises:
        ValueError: examples that no shadow had or that all had (they are counted), too few shadows for the variance,
            shapes that do not fit, values that are not finite.
    """
    target_phi, shadow_phi, mask = _checked_shadows(target_phi, shadow_phi, member_mask, kinds=("in", "out"))
    (mu_in, var_in), (mu_out, var_out) = (_moments(shadow_phi, group, variance) for group in (mask, ~mask))
    return _log_density(target_phi, mu_in, var_in) - _log_density(target_phi, mu_out, var_out)


def lira_offline(target_phi: ArrayLike, shadow_phi: ArrayLike, member_mask: ArrayLike, variance: str = "auto") -> np.ndarray:
    """LiRA without shadows that had the example: log Φ((φ − μ_out) / σ_out), one-sided (Carlini et al. 2021, 2112.03570).

    High if the target is surer of the example than models that never saw it. Arguments and errors as in `lira_online`;
    in-shadows are left aside, and need not be there.
    """
    target_phi, shadow_phi, mask = _checked_shadows(target_phi, shadow_phi, member_mask, kinds=("out",))
    mu, var = _moments(shadow_phi, ~mask, variance)
    return norm.logcdf((target_phi - mu) / np.sqrt(var))


def rmia(
    target_confidence: ArrayLike,
    shadow_confidence: ArrayLike,
    member_mask: ArrayLike,
    population_target_confidence: ArrayLike,
    population_shadow_confidence: ArrayLike,
    gamma: float = 2.0,
    a: float = 0.3,
    mode: str = "offline",
) -> np.ndarray:
    """RMIA, the robust attack: how many population points does the example beat (Zarifzadeh et al. 2023, 2312.03262)?

    With r(x) = p(x) / p̄(x), the target's confidence over that of models in general, the score of x is the share of
    population points z with r(x) / r(z) ≥ γ. Sorting r(z) once makes that O((N + Z) log Z).

    Args:
        target_confidence: `[N]`, `signals.true_class_confidence` of the target. shadow_confidence: `[S, N]`.
        member_mask: bool `[S, N]`.
        population_target_confidence: `[Z]`, for examples that no model was trained on.
        population_shadow_confidence: `[S, Z]`, the same shadows as above.
        gamma: how much better than z the example must be, > 0.
        a: offline, p̄ = ½ ((1 + a) · mean of the out-shadows + 1 − a), which stands in for the in-shadows; 0 ≤ a ≤ 1.
        mode: `"offline"` or `"online"`, where p̄ is the mean of the in-shadows' and the out-shadows' means.

    Returns:
        shares in [0, 1], float64 `[N]`.

    Raises:
        ValueError: as `lira_online`; confidences outside [0, 1]; gamma, a or mode out of range; no population.
    """
    if mode not in ("offline", "online"):
        raise InputError(f"mode must be 'offline' or 'online', got {mode!r}")
    if not (gamma > 0 and np.isfinite(gamma) and 0 <= a <= 1):
        raise InputError(f"gamma must be positive and a lie in [0, 1], got gamma={gamma}, a={a}")
    kinds = ("in", "out") if mode == "online" else ("out",)
    p, shadow_p, mask = _checked_shadows(target_confidence, shadow_confidence, member_mask, kinds)
    nobody = np.zeros(np.shape(population_shadow_confidence), dtype=bool)
    q, shadow_q, _ = _checked_shadows(
        population_target_confidence, population_shadow_confidence, nobody, ("out",), whose="population: "
    )
    if len(shadow_p) != len(shadow_q):
        raise InputError(f"{len(shadow_p)} shadows for the examples, but {len(shadow_q)} for the population")
    for name, values in (("target", p), ("shadow", shadow_p), ("population", q), ("population shadow", shadow_q)):
        if values.min() < 0 or values.max() > 1:
            raise InputError(
                f"{name} confidences must lie in [0, 1], got {values.min():g} … {values.max():g}; pass "
                "probabilities of the true class, not logits"
            )
    out, population = _mean(shadow_p, ~mask), shadow_q.mean(0)
    if mode == "online":
        out = (out + _mean(shadow_p, mask)) / 2
    else:
        out, population = (((1 + a) * mean + 1 - a) / 2 for mean in (out, population))
    ratio, population_ratio = (
        np.maximum(value, MIN_CONFIDENCE) / np.maximum(mean, MIN_CONFIDENCE) for value, mean in ((p, out), (q, population))
    )
    return np.searchsorted(np.sort(population_ratio), ratio / gamma, side="right") / len(q)


def _mean(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Mean over the shadows of a group, `[S, N]` -> `[N]`."""
    return np.einsum("sn,sn->n", values, group) / group.sum(0)


def _moments(phi: np.ndarray, group: np.ndarray, variance: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean of each example, `[N]`, and the variance around it: `[N]`, or one number for all."""
    if variance not in ("auto", "global", "per-example"):
        raise InputError(f"variance must be 'auto', 'global' or 'per-example', got {variance!r}")
    mean, n = _mean(phi, group), group.sum(0)
    residuals = (phi - mean) * group
    squares, freedom = np.einsum("sn,sn->n", residuals, residuals), n - 1
    if variance == "global" or (variance == "auto" and len(phi) < FEW_SHADOWS):
        if freedom.sum() == 0:  # one shadow each: no variance to be had, and the distances alone must do
            return mean, np.ones(())
        squares, freedom = squares.sum(), freedom.sum()
    elif (n < 2).any():
        raise InputError(
            f"{int((n < 2).sum())} of {len(n)} examples have a single shadow of a kind, too few for a variance "
            "of their own; train more shadows or use variance='global'"
        )
    return mean, np.maximum(squares / freedom, MIN_VARIANCE)


def _log_density(x: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    return -((x - mean) ** 2 / variance + np.log(2 * np.pi * variance)) / 2


def _checked_shadows(
    target: ArrayLike, shadows: ArrayLike, member_mask: ArrayLike, kinds: tuple[str, ...], whose: str = ""
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`[N]`, `[S, N]` in float64 and the mask, in which every example has shadows of the given kinds."""
    target, shadows, mask = np.asarray(target), np.asarray(shadows), np.asarray(member_mask)
    if mask.dtype != bool:
        raise InputTypeError(f"member_mask must be boolean, got {mask.dtype}; convert with .astype(bool)")
    if target.ndim != 1 or shadows.ndim != 2 or shadows.shape[1:] != target.shape or mask.shape != shadows.shape:
        raise InputError(
            f"{whose}expected the target's values [N], the shadows' [S, N] and member_mask [S, N], got "
            f"{list(target.shape)}, {list(shadows.shape)} and {list(mask.shape)}"
        )
    if shadows.size == 0:
        raise InputError(f"{whose}no shadows or no examples: the shadows' values are {list(shadows.shape)}")
    target, shadows = target.astype(np.float64), shadows.astype(np.float64)
    if bad := int((~np.isfinite(target)).sum() + (~np.isfinite(shadows)).sum()):
        raise InputError(f"{whose}{bad} values are NaN or infinite")
    for kind in kinds:
        lacking = ~covered(mask, (kind,))
        if lacking.any():
            raise InputError(
                f"{int(lacking.sum())} of {len(lacking)} examples have no {kind}-shadow, so nothing can be "
                f"said about them; train more shadows (now {len(mask)}) or leave them out yourself"
            )
    return target, shadows, mask

"""Attacks: fitted on shadows, whose members the adversary knows, then scored on the target.

NumPy side (the attack network uses torch inside): logits in, one score for each example out. Higher = more likely a member.
"Shadow" arrays `[S, N]` hold S shadows' signals for the same N examples; `member_mask` `[S, N]` says which were trained on.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from scipy.special import softmax
from scipy.stats import norm

from mia_helpers import signals
from mia_helpers.metrics import best_threshold
from mia_helpers.models import AttackNet
from mia_helpers.training import load_or_fit, predict_logits

FEW_SHADOWS = 64  # below, a variance for each example is too noisy (Carlini et al. 2021, section VI)
MIN_VARIANCE = 1e-12  # shadows that all say the same must not divide by zero
MIN_CONFIDENCE = 1e-300


class ThresholdAttack:
    """"Member" if a signal reaches the threshold that worked best on the shadow (Yeom et al. 2018; Salem et al. 2018).

    Args:
        signal: a function from `mia_helpers.signals`.
        per_class: one threshold for each class (Song & Mittal 2020, 2003.10595) instead of one for all.

    Scores are margins, signal minus threshold, so that the decision threshold is always 0.
    """

    threshold = 0.0

    def __init__(self, signal: Callable = signals.negative_loss, per_class: bool = False):
        self.signal = signal
        self.per_class = per_class

    def fit(self, shadow_logits: ArrayLike, labels: ArrayLike, is_member: ArrayLike) -> "ThresholdAttack":
        """Choose the threshold(s) with the largest TPR − FPR: logits `[N, C]`, labels `[N]`, is_member bool `[N]`.

        `thresholds` `[C]` holds the result.

        Raises:
            ValueError: `per_class`, and a class of the shadow lacks members or non-members.
        """
        values, labels, is_member = self.signal(shadow_logits, labels), np.asarray(labels), np.asarray(is_member)
        self.thresholds = np.full(np.shape(shadow_logits)[-1], best_threshold(values, is_member))
        if self.per_class:
            for c in range(len(self.thresholds)):
                mine = labels == c
                if len(np.unique(is_member[mine])) < 2:
                    raise ValueError(f"class {c} has {int(is_member[mine].sum())} members among {int(mine.sum())} shadow "
                                     "examples; it needs both kinds for a threshold of its own (or per_class=False)")
                self.thresholds[c] = best_threshold(values[mine], is_member[mine])
        return self

    def score(self, logits: ArrayLike, labels: ArrayLike) -> np.ndarray:
        """Signal minus threshold, `[N]`.

        Raises:
            ValueError: another number of classes than the shadow had.
        """
        if np.shape(logits)[-1] != len(self.thresholds):
            raise ValueError(f"logits have {np.shape(logits)[-1]} classes, but the attack was fitted on "
                             f"{len(self.thresholds)}; fit it on a shadow with the target's classes")
        return self.signal(logits, labels) - self.thresholds[np.asarray(labels)]


class ShadowClassifierAttack:
    """A network that learns from the shadow's softmax outputs what members look like (Shokri et al. 2017, 1610.05820).

    Args:
        seed: for the network's weights and the order of its batches.
        sort: sort the probabilities first, so that the network cannot learn classes (Salem et al. 2018, 1806.01246).
        epochs, lr, batch_size: Adam on binary cross-entropy; the defaults are the classic tutorial's.

    Scores are the network's logits, so that the decision threshold is always 0.
    """

    threshold = 0.0

    def __init__(self, seed: int, sort: bool = False, epochs: int = 100, lr: float = 5e-5, batch_size: int = 64,
                 progress: bool = True):
        self.seed, self.sort, self.progress = seed, sort, progress
        self.epochs, self.lr, self.batch_size = epochs, lr, batch_size

    def fit(self, shadow_logits: ArrayLike, labels: ArrayLike, is_member: ArrayLike) -> "ShadowClassifierAttack":
        """Train on logits `[N, C]` and is_member bool `[N]`, in shuffled batches, or load from the cache; no labels used."""
        inputs = self._inputs(shadow_logits)
        is_member = np.asarray(is_member)
        if is_member.dtype != bool or is_member.shape != (len(inputs),):
            raise ValueError(f"is_member must be boolean [{len(inputs)}], got {is_member.dtype} {list(is_member.shape)}")
        settings = {"epochs": self.epochs, "lr": self.lr, "seed": self.seed, "batch_size": self.batch_size}
        self.result = load_or_fit(AttackNet(inputs.shape[1]), inputs, torch.as_tensor(is_member, dtype=torch.float32),
                                  F.binary_cross_entropy_with_logits, progress=self.progress, **settings)
        return self

    def score(self, logits: ArrayLike, labels: ArrayLike) -> np.ndarray:
        """The network's log-odds of "member", float64 `[N]`; `labels` are not used."""
        return predict_logits(self.result.model, self._inputs(logits)).astype(np.float64)

    def _inputs(self, logits: ArrayLike) -> torch.Tensor:
        probabilities = softmax(np.asarray(logits, dtype=np.float64), axis=-1)
        if self.sort:
            probabilities = np.sort(probabilities, axis=-1)[:, ::-1]
        return torch.as_tensor(probabilities.copy(), dtype=torch.float32)


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


def rmia(target_confidence: ArrayLike, shadow_confidence: ArrayLike, member_mask: ArrayLike,
         population_target_confidence: ArrayLike, population_shadow_confidence: ArrayLike, gamma: float = 2.0,
         a: float = 0.3, mode: str = "offline") -> np.ndarray:
    """RMIA, the robust attack: how many population points does the example beat? (Zarifzadeh et al. 2023, 2312.03262)

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
        raise ValueError(f"mode must be 'offline' or 'online', got {mode!r}")
    if not (gamma > 0 and np.isfinite(gamma) and 0 <= a <= 1):
        raise ValueError(f"gamma must be positive and a lie in [0, 1], got gamma={gamma}, a={a}")
    kinds = ("in", "out") if mode == "online" else ("out",)
    p, shadow_p, mask = _checked_shadows(target_confidence, shadow_confidence, member_mask, kinds)
    nobody = np.zeros(np.shape(population_shadow_confidence), dtype=bool)
    q, shadow_q, _ = _checked_shadows(population_target_confidence, population_shadow_confidence, nobody, ("out",),
                                      whose="population: ")
    if len(shadow_p) != len(shadow_q):
        raise ValueError(f"{len(shadow_p)} shadows for the examples, but {len(shadow_q)} for the population")
    for name, values in (("target", p), ("shadow", shadow_p), ("population", q), ("population shadow", shadow_q)):
        if values.min() < 0 or values.max() > 1:
            raise ValueError(f"{name} confidences must lie in [0, 1], got {values.min():g} … {values.max():g}; pass "
                             "probabilities of the true class, not logits")
    out, population = _mean(shadow_p, ~mask), shadow_q.mean(0)
    if mode == "online":
        out = (out + _mean(shadow_p, mask)) / 2
    else:
        out, population = (((1 + a) * mean + 1 - a) / 2 for mean in (out, population))
    ratio, population_ratio = (np.maximum(value, MIN_CONFIDENCE) / np.maximum(mean, MIN_CONFIDENCE)
                               for value, mean in ((p, out), (q, population)))
    return np.searchsorted(np.sort(population_ratio), ratio / gamma, side="right") / len(q)


def _mean(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Mean over the shadows of a group, `[S, N]` -> `[N]`."""
    return np.einsum("sn,sn->n", values, group) / group.sum(0)


def _moments(phi: np.ndarray, group: np.ndarray, variance: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean of each example, `[N]`, and the variance around it: `[N]`, or one number for all."""
    if variance not in ("auto", "global", "per-example"):
        raise ValueError(f"variance must be 'auto', 'global' or 'per-example', got {variance!r}")
    mean, n = _mean(phi, group), group.sum(0)
    residuals = (phi - mean) * group
    squares, freedom = np.einsum("sn,sn->n", residuals, residuals), n - 1
    if variance == "global" or (variance == "auto" and len(phi) < FEW_SHADOWS):
        if freedom.sum() == 0:  # one shadow each: no variance to be had, and the distances alone must do
            return mean, np.ones(())
        squares, freedom = squares.sum(), freedom.sum()
    elif (n < 2).any():
        raise ValueError(f"{int((n < 2).sum())} of {len(n)} examples have a single shadow of a kind, too few for a variance "
                         "of their own; train more shadows or use variance='global'")
    return mean, np.maximum(squares / freedom, MIN_VARIANCE)


def _log_density(x: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    return -((x - mean) ** 2 / variance + np.log(2 * np.pi * variance)) / 2


def _checked_shadows(target: ArrayLike, shadows: ArrayLike, member_mask: ArrayLike,
                     kinds: tuple[str, ...], whose: str = "") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`[N]`, `[S, N]` in float64 and the mask, in which every example has shadows of the given kinds."""
    target, shadows, mask = np.asarray(target), np.asarray(shadows), np.asarray(member_mask)
    if mask.dtype != bool:
        raise TypeError(f"member_mask must be boolean, got {mask.dtype}; convert with .astype(bool)")
    if target.ndim != 1 or shadows.ndim != 2 or shadows.shape[1:] != target.shape or mask.shape != shadows.shape:
        raise ValueError(f"{whose}expected the target's values [N], the shadows' [S, N] and member_mask [S, N], got "
                         f"{list(target.shape)}, {list(shadows.shape)} and {list(mask.shape)}")
    if shadows.size == 0:
        raise ValueError(f"{whose}no shadows or no examples: the shadows' values are {list(shadows.shape)}")
    target, shadows = target.astype(np.float64), shadows.astype(np.float64)
    if bad := int((~np.isfinite(target)).sum() + (~np.isfinite(shadows)).sum()):
        raise ValueError(f"{whose}{bad} values are NaN or infinite")
    for kind in kinds:
        lacking = ~mask.any(0) if kind == "in" else mask.all(0)
        if lacking.any():
            raise ValueError(f"{int(lacking.sum())} of {len(lacking)} examples have no {kind}-shadow, so nothing can be "
                             f"said about them; train more shadows (now {len(mask)}) or leave them out yourself")
    return target, shadows, mask

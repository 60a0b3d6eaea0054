"""Attacks: fitted on a shadow, whose members the adversary knows, then scored on the target.

NumPy side (the attack network uses torch inside): logits in, one score for each example out. Higher = more likely a member.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from scipy.special import softmax

from mia_helpers import signals
from mia_helpers.metrics import best_threshold
from mia_helpers.models import AttackNet
from mia_helpers.training import load_or_fit, predict_logits


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

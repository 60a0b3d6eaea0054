"""The attack network of the classic attack, as a scikit-learn classifier: for `attacks.ClassifierAttack`. Torch side."""

from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin

from mia_helpers.models import AttackNet
from mia_helpers.training import load_or_fit, predict_logits


class AttackNetwork(ClassifierMixin, BaseEstimator):
    """Four layers, trained with Adam on binary cross-entropy, kept in the cache (Shokri et al. 2017, 1610.05820).

    Args:
        seed: for the network's weights and the order of its batches.
        epochs, lr, batch_size: the defaults are the classic tutorial's. progress: show a bar.

    Attributes:
        history_: `loss` and `accuracy` on its own training data, one value for each epoch.
    """

    def __init__(self, seed: int, epochs: int = 100, lr: float = 5e-5, batch_size: int = 64, progress: bool = True):
        self.seed = seed
        self.epochs = epochs
        self.lr = lr
        self.batch_size = batch_size
        self.progress = progress

    def fit(self, x: ArrayLike, y: ArrayLike) -> Self:
        """Train on features `[N, F]` and memberships bool `[N]`, in shuffled batches, or load from the cache."""
        inputs, y = torch.as_tensor(np.array(x, dtype=np.float32)), np.asarray(y)
        if y.dtype != bool or y.shape != (len(inputs),):
            raise ValueError(f"is_member must be boolean [{len(inputs)}], got {y.dtype} {list(y.shape)}")
        result = load_or_fit(
            AttackNet(inputs.shape[1]),
            inputs,
            torch.as_tensor(y, dtype=torch.float32),
            F.binary_cross_entropy_with_logits,
            progress=self.progress,
            epochs=self.epochs,
            lr=self.lr,
            seed=self.seed,
            batch_size=self.batch_size,
        )
        self.model_, self.history_, self.classes_ = result.model, result.history, np.array([False, True])
        return self

    def decision_function(self, x: ArrayLike) -> np.ndarray:
        """The network's log-odds of "member", float64 `[N]`, for features `[N, F]`."""
        return predict_logits(self.model_, torch.as_tensor(np.array(x, dtype=np.float32))).astype(np.float64)

    def predict(self, x: ArrayLike) -> np.ndarray:
        """Whether a member: where the log-odds are at least 0, bool `[N]`."""
        return self.decision_function(x) >= 0

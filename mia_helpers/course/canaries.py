"""Canaries for notebook 10: digits with a wrong label, each of them a member or not by a fair coin of its own.

And a mechanism that is ε-private by construction, on which the bound of Steinke et al. (2023, 2305.08846) can be tried.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from mia_helpers import signals
from mia_helpers.data import ImageSet, load_digits
from mia_helpers.inputs import InputError, whole_number
from mia_helpers.seeds import shifted
from mia_helpers.training import predict_logits


@dataclass(frozen=True)
class Canaries:
    """m images with wrong labels, their coins, and what a model is trained on.

    Attributes:
        asked: the m canaries, all of them.
        coins: bool `[m]`, which of them are members.
        training: the canaries whose coin said so, and the digits that are always there.
        fresh: digits with their true labels that no training set has.
    """

    asked: ImageSet
    coins: np.ndarray
    training: ImageSet
    fresh: ImageSet

    def scores(self, model: nn.Module) -> np.ndarray:
        """How sure `model` is of each canary's wrong label: its logit confidence, float64 `[m]`."""
        return signals.logit_confidence(predict_logits(model, self.asked.images), self.asked.labels.numpy())

    def accuracy(self, model: nn.Module) -> float:
        """The share of `fresh` that `model` answers rightly."""
        return float((predict_logits(model, self.fresh.images).argmax(1) == self.fresh.labels.numpy()).mean())


def draw(n_canaries: int, n_always: int, seed: int) -> Canaries:
    """Draw canaries, a wrong label for each, and their coins, from the target owner's digits.

    Raises:
        ValueError: a number below 1, or no digit left over that nobody was trained on.
        TypeError: a number that is not whole.
    """
    pool = load_digits("target")
    for name, n in (("n_canaries", n_canaries), ("n_always", n_always)):
        whole_number(name, n, 1)
    n = n_canaries + n_always
    if n >= len(pool):
        raise InputError(f"{n_canaries} canaries and {n_always} digits leave none of {len(pool)} to try the model on")
    rng = np.random.default_rng(shifted(seed))
    order = rng.permutation(len(pool))
    labels = pool.labels.numpy()[order[:n]].copy()
    labels[:n_canaries] = (labels[:n_canaries] + rng.integers(1, pool.n_classes, n_canaries)) % pool.n_classes
    coins = rng.random(n_canaries) < 0.5
    everybody = ImageSet(pool.images[order[:n]], torch.tensor(labels), "canaries and digits", pool.n_classes)
    inside = np.concatenate([coins, np.ones(n_always, bool)])
    return Canaries(everybody.subset(np.arange(n_canaries)), coins, everybody.subset(inside), pool.subset(order[n:]))


def noisy_pairs(n_pairs: int, epsilon: float, *, coins: bool, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """What leaks of 2 · n_pairs people from a release that is ε-private by construction.

    For each pair (A, B) it publishes [A is in] − [B is in] plus Laplace noise of scale 1/ε. Adding or removing one person
    moves that by 1, so it is (ε, 0)-private.

    Args:
        coins: everybody's membership is a fair coin; else exactly one of each pair is a member, a half of fixed size.

    Returns:
        scores `[2 n_pairs]` (first all A, then all B) and is_member, bool, of the same shape.

    Raises:
        ValueError: n_pairs below 1, or ε not positive.
    """
    whole_number("n_pairs", n_pairs, 1)
    if not epsilon > 0:
        raise InputError(f"epsilon must be positive, got {epsilon}")
    rng = np.random.default_rng(shifted(seed))
    a = rng.random(n_pairs) < 0.5
    b = rng.random(n_pairs) < 0.5 if coins else ~a
    published = a.astype(float) - b + rng.laplace(0, 1 / epsilon, n_pairs)
    return np.concatenate([published, -published]), np.concatenate([a, b])

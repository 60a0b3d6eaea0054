"""Signals: one number for each example, from the model's logits. Higher always means "more likely a member".

NumPy side. Every function takes logits `[..., N, C]` and labels `[N]` and returns float64 `[..., N]`, at a cost that grows
with the number of logits and no faster. Probabilities are only ever handled as logarithms in float64, so that logits up to
±1e4 still give finite, correctly ordered signals.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_softmax, logsumexp

from mia_helpers.inputs import logits_and_labels


def max_confidence(logits: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """The largest probability, as a logarithm's exponential in [1/C, 1]; needs no label (Salem et al. 2018, 1806.01246)."""
    z, _ = logits_and_labels(logits, labels)
    return np.exp(log_softmax(z, axis=-1).max(-1))


def true_class_confidence(logits: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """The probability of the labelled class, p_y, in [0, 1]."""
    return np.exp(negative_loss(logits, labels))


def negative_loss(logits: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """log p_y: the cross-entropy with its sign turned, below 0 (Yeom et al. 2018, 1709.01604).

    Computed as −log(1 + exp(−φ)), which still orders examples whose p_y rounds to 1.
    """
    return -np.logaddexp(0, -logit_confidence(logits, labels))


def negative_entropy(logits: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """Σ p log p in nats, at most 0; needs no label (Salem et al. 2018, 1806.01246)."""
    z, _ = logits_and_labels(logits, labels)
    log_p = log_softmax(z, axis=-1)
    return (np.exp(log_p) * log_p).sum(-1)


def negative_modified_entropy(logits: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """(1 − p_y) log p_y + Σ_{j≠y} p_j log(1 − p_j): an entropy that knows the label (Song & Mittal 2020, 2003.10595)."""
    z, y = logits_and_labels(logits, labels)
    log_p = log_softmax(z, axis=-1)
    p = np.exp(log_p)
    log_rest = _log_of_the_others(log_p, p)
    others = p * log_rest
    np.put_along_axis(others, _column(y, z), 0.0, axis=-1)  # y's large term taken out of the sum afterwards would cancel
    return np.exp(_pick(log_rest, y)) * _pick(log_p, y) + others.sum(-1)


def logit_confidence(logits: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """φ = log(p_y / (1 − p_y)), computed as z_y − logsumexp of the others (Carlini et al. 2021, 2112.03570)."""
    z, y = logits_and_labels(logits, labels)
    return _pick(z, y) - logsumexp(_without(z, y), axis=-1)


def hinge(logits: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """z_y − max of the others: positive exactly if the prediction is right (Carlini et al. 2021, 2112.03570)."""
    z, y = logits_and_labels(logits, labels)
    return _pick(z, y) - _without(z, y).max(-1)


def correctness(logits: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """1 where the prediction is right, else 0: the gap attack (Yeom et al. 2018, 1709.01604)."""
    z, y = logits_and_labels(logits, labels)
    return (z.argmax(-1) == y).astype(np.float64)


def _pick(values: np.ndarray, y: np.ndarray) -> np.ndarray:
    """values[..., n, y[n]]."""
    return values[..., np.arange(len(y)), y]


def _without(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """All entries but the labelled one: `[..., N, C - 1]`."""
    others = (y[:, None] + np.arange(1, z.shape[-1])) % z.shape[-1]
    return np.take_along_axis(z, np.broadcast_to(others, (*z.shape[:-1], z.shape[-1] - 1)), axis=-1)


def _column(y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """The labels as indices into the last axis of `z`, for `take_along_axis`: `[..., N, 1]`."""
    return np.broadcast_to(y[:, None], (*z.shape[:-1], 1))


def _log_of_the_others(log_p: np.ndarray, p: np.ndarray) -> np.ndarray:
    """log(1 − p_j) for every j, exact also where p_j rounds to 1: then it is the log of the sum of the others.

    Only one class of a row can have more than ½; up to there 1 − p_j loses no digits.
    """
    out = np.log1p(-np.minimum(p, 0.5))
    sure = p.max(-1) > 0.5
    rest = log_p[sure]  # [rows, C]
    rows, top = np.arange(len(rest)), rest.argmax(-1)
    rest[rows, top] = -np.inf
    out[(*np.nonzero(sure), top)] = logsumexp(rest, axis=-1)
    return out

"""Masks over a model's outputs: what a service may hide of an answer.

NumPy side: logits `[..., N, C]` in, probabilities float64 `[..., N, C]` out, as a service would answer. None of them
changes the predicted label, so none costs accuracy, and none stops an attack that needs only labels. To attack a masked
answer turn it into logits again with `to_logits`.
"""

import hashlib
import operator

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_softmax

from mia_helpers.inputs import InputError, between, outputs, positive_numbers, whole_number


def top_k(logits: ArrayLike, k: int) -> np.ndarray:
    """The k largest probabilities; the others share what is left equally (Shokri et al. 2017, 1610.05820).

    A service that names k classes leaves out the rest. Spreading the rest shows no more than the k numbers do, since they
    fix its sum, but rows still sum to one; with zeros instead, k = 1 would read as certainty.

    Raises:
        ValueError: k outside 1 … C, or logits that are not finite `[..., N, C]` with C ≥ 2. TypeError: k is not whole.
    """
    z, label = outputs(logits)
    k = whole_number("k", k, 1, z.shape[-1])
    p = np.exp(log_softmax(z, axis=-1))
    rest = np.argsort(-z, axis=-1, kind="stable")[..., k:]
    if k < z.shape[-1]:
        share = np.take_along_axis(p, rest, -1).mean(-1, keepdims=True)
        np.put_along_axis(p, rest, share, -1)
    return _with_label(p, label)


def round_probabilities(logits: ArrayLike, decimals: int) -> np.ndarray:
    """Probabilities rounded to `decimals` places (Shokri et al. 2017, 1610.05820); rows need not sum to one.

    Where rounding makes another class win or tie ahead of the predicted one, the predicted class gets one unit in the last
    place more than the largest, so that the label stays.

    Raises:
        ValueError: decimals outside 0 … 15, or logits as in `top_k`. TypeError: decimals is not whole.
    """
    z, label = outputs(logits)
    decimals = whole_number("decimals", decimals, 0, 15)
    p = np.round(np.exp(log_softmax(z, axis=-1)), decimals)
    return np.round(_with_label(p, label, 10.0**-decimals), decimals)


def temperature(logits: ArrayLike, t: float) -> np.ndarray:
    """softmax(z / t): flatter for t > 1, sharper for t < 1 (Shokri et al. 2017, 1610.05820). Rows sum to one.

    Every row keeps its order and can be undone by whoever knows or guesses t.

    Raises:
        ValueError: t not positive and finite, or logits as in `top_k`.
    """
    z, label = outputs(logits)
    positive_numbers(t=t)
    z = z - z.max(-1, keepdims=True)  # first, so that a small t cannot overflow to inf − inf
    with np.errstate(over="ignore"):
        return _with_label(np.exp(log_softmax(z / t, axis=-1)), label)


def label_only(logits: ArrayLike) -> np.ndarray:
    """1 for the predicted class, 0 for the others: all a service can hide without hiding its answer. Ties: the first."""
    z, label = outputs(logits)
    return (np.arange(z.shape[-1]) == label[..., None]).astype(np.float64)


def memguard(logits: ArrayLike, threshold: float, budget: float, seed: int) -> np.ndarray:
    """Noise that takes the confidence to where the attack cannot decide, after MemGuard (Jia et al. 2019, 1909.10594).

    MemGuard searches by gradient for a small change that a *network*, trained by the defender as attacker, answers with ½,
    and applies it at random so that the expected change stays within a budget. Simplified here: the defender's attacker
    is a threshold on the largest probability, and the change has a closed form. A confidence above the threshold is mixed
    with the uniform distribution, one below it with the predicted label, until it equals the threshold. Either way the
    order of the classes stays. For confidences above, MemGuard's search could be a little cheaper; below, nothing is.

    Each row is changed with probability min(1, budget / L1 distance). As in the paper the coin depends on the row itself:
    equal logits get equal answers, so asking twice averages nothing out.

    Args:
        threshold: the defender's attack calls a row "member" from this largest probability on; between 1/C and 1.
        budget: the largest expected L1 distance of a row from the true probabilities, ≥ 0; from 2 on all are changed.
        seed: for the coins.

    Returns:
        probabilities, rows sum to one.

    Raises:
        ValueError: threshold or budget out of range, or logits as in `top_k`.
    """
    z, label = outputs(logits)
    n_classes = z.shape[-1]
    if not 1 / n_classes < threshold < 1:
        raise InputError(f"threshold must lie between 1/{n_classes} (no label could be on top) and 1, got {threshold}")
    if not budget >= 0:
        raise InputError(f"budget must not be negative, got {budget}; it is an expected L1 distance, from 0 (no noise) to 2")
    p = np.exp(log_softmax(z, axis=-1))
    predicted = label_only(z)
    top = (p * predicted).sum(-1, keepdims=True)
    above = top > threshold
    # p + a (goal − p) has the threshold on top; both denominators are positive where they are used.
    a = np.where(
        above, (top - threshold) / np.where(above, top - 1 / n_classes, 1), (threshold - top) / np.where(above, 1, 1 - top)
    )
    noisy = p + a * (np.where(above, 1 / n_classes, predicted) - p)
    noisy = np.where(predicted == 1, threshold, noisy)  # exactly, so that no last digit tells from where it came
    distance = np.abs(noisy - p).sum(-1)
    changed = _coins(z, seed) * distance < budget
    return _with_label(np.where(changed[..., None], noisy, p), label)


def to_logits(probabilities: ArrayLike, floor: float = 1e-12) -> np.ndarray:
    """log max(p, floor), float64 `[..., N, C]`: finite logits from a masked answer, for `mia_helpers.signals`.

    A zero in the answer means "too small to show": choose as floor what that is, for instance half a unit in the last place
    after rounding, else the attack sees differences that are not there.

    Raises:
        ValueError: floor outside (0, 1), probabilities that are not numbers in [0, 1] of shape `[..., N, C]` with C ≥ 2.
    """
    between("floor", floor, 0, 1)
    p, _ = outputs(probabilities, "probabilities")
    if p.min() < 0 or p.max() > 1 + 1e-9:
        raise InputError(f"probabilities must lie in [0, 1], got {p.min():g} … {p.max():g}; logits need no conversion")
    return np.log(np.maximum(p, floor))


def _with_label(p: np.ndarray, label: np.ndarray, unit: float = 0.0) -> np.ndarray:
    """`p`; where argmax is no longer `label`, that class gets the largest value plus `unit` (default: the next float)."""
    lost = p.argmax(-1) != label
    top = p.max(-1)[lost]
    p[lost, label[lost]] = top + unit if unit else np.nextafter(top, np.inf)
    return p


def _coins(z: np.ndarray, seed: int) -> np.ndarray:
    """Uniform numbers in [0, 1), `[..., N]`, each fixed by the seed and its row of `z` alone."""
    prefix = f"{operator.index(seed)}:".encode()
    rows = np.ascontiguousarray(z).reshape(-1, z.shape[-1])
    digests = b"".join(hashlib.blake2b(prefix + row.tobytes(), digest_size=8).digest() for row in rows)
    return (np.frombuffer(digests, dtype="<u8") >> np.uint64(11)).reshape(z.shape[:-1]) / 2.0**53

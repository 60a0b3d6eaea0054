"""Checks of what comes in: a value of the right kind, or an error that says what came and what was expected.

NumPy side, and nothing else at import: tensors and pandas objects are known by their methods. What is wrong with an input is
an `InputError`, so that a command can tell it from a mistake of the program.
"""

import math
import operator
from collections.abc import Sized
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


class InputError(ValueError):
    """What was given cannot be used; the message says why and how to mend it."""


class InputTypeError(InputError, TypeError):
    """What was given is of the wrong kind."""


# ---- single values


def whole_number(name: str, value: int, low: int, high: float = math.inf) -> int:
    """`value` as an int, or a TypeError if it is not whole, or a ValueError if it lies outside `low` … `high`."""
    try:
        value = operator.index(value)
    except TypeError:
        raise InputTypeError(f"{name} must be a whole number, got {value!r}") from None
    if not low <= value <= high:
        limits = f"at least {low}" if high == math.inf else f"from {low} to {high}"
        raise InputError(f"{name} must be {limits}, got {value}")
    return value


def positive_numbers(**values: float) -> None:
    """A ValueError for the first value that is not positive and finite."""
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise InputError(f"{name} must be positive and finite, got {value}")


def between(name: str, value: float, low: float, high: float, example: str = "") -> None:
    """A ValueError if `value` does not lie strictly between `low` and `high`; `example` ends the sentence that says so."""
    if not low < value < high:
        raise InputError(f"{name} must lie between {low:g} and {high:g}{example}, got {value}")


def confidence_level(confidence: float) -> None:
    """A ValueError if `confidence` does not lie between 0 and 1."""
    between("confidence", confidence, 0, 1, ", for instance 0.95")


def delta_below_1(delta: float) -> None:
    """A ValueError if δ does not lie in [0, 1)."""
    if not 0 <= delta < 1:
        raise InputError(f"delta must lie in [0, 1), got {delta}")


# ---- arrays


def as_array(values: Any) -> np.ndarray:
    """An array of what has rows: lists, arrays, pandas objects, tensors of any device and type, also with a gradient.

    NumPy has no bfloat16, so that becomes float32, which holds every one of its values.
    """
    if hasattr(values, "detach") and hasattr(values, "cpu"):
        values = values.detach().cpu()
        try:
            return values.numpy()
        except TypeError:
            return values.float().numpy()
    return values.to_numpy() if hasattr(values, "to_numpy") else np.asarray(values)


def n_rows(values: Any) -> int:
    """How many examples there are in whatever a model takes; a sparse matrix has a shape, but no length."""
    return values.shape[0] if len(getattr(values, "shape", ())) else len(values)


def same_rows(**named: Any) -> None:
    """Pandas objects in one call must have one index: rows are paired by their place, and never reordered in silence.

    Only what has an index is looked at (None and arrays have none); different lengths are left to the checks of shapes.

    Raises:
        InputError: two indices differ, be it in order alone.
    """
    with_index = [(name, value.index) for name, value in named.items() if hasattr(value, "iloc")]
    for name, index in with_index[1:]:
        first_name, first = with_index[0]
        if len(index) != len(first) or index.equals(first):
            continue
        if index.is_unique and first.is_unique and not len(index.difference(first, sort=False)):
            raise InputError(
                f"{first_name} and {name} have the same index in another order; bring them into one, for "
                f"instance with {name}.loc[{first_name}.index]"
            )
        raise InputError(
            f"{first_name} and {name} have different indices, so their rows may not belong together; take the "
            f"same rows with .loc[...], or, if row i belongs to row i, use .reset_index(drop=True) on both"
        )


def numbers(name: str, values: ArrayLike, kinds: str = "fiu", hint: str = "") -> np.ndarray:
    """An array of numbers, or a TypeError. kinds: NumPy's letters for those that will do, `"b"` for booleans too."""
    array = as_array(values)
    if array.dtype.kind not in kinds:
        raise InputTypeError(f"{name} must be numbers, got {array.dtype}{hint}")
    return array


def finite(name: str, values: np.ndarray, hint: str = "", n_before: int = 0) -> None:
    """A ValueError if numbers are NaN or infinite; it says where the first one is, if n_before rows came before these."""
    if not (good := np.isfinite(values)).all():
        row, *others = np.argwhere(~good)[0].tolist() or [0]
        first = ", ".join(map(str, [row + n_before, *others]))
        raise InputError(f"{int((~good).sum())} {name} are NaN or infinite{hint}; the first at [{first}], counted from 0")


def outputs(values: ArrayLike, name: str = "logits") -> tuple[np.ndarray, np.ndarray]:
    """Finite float64 `[..., N, C]` and the class on top of each row, `[..., N]`, or an error that says what is wrong.

    The class is found before the conversion: two longdoubles may be one float64.
    """
    z = numbers(name, values)
    if z.ndim < 2 or z.shape[-1] < 2 or z.size == 0:
        raise InputError(f"expected {name} [..., N, C] with N ≥ 1 and C ≥ 2, got {list(z.shape)}")
    top, z = z.argmax(-1), z.astype(np.float64)
    finite(name, z)
    return z, top


def logits_and_labels(logits: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Finite logits, float64 `[..., N, C]`, and labels `[N]` in 0 … C − 1, or an error that says what is wrong."""
    same_rows(logits=logits, labels=labels)
    z, y = numbers("logits", logits), integers("labels", labels)
    if z.ndim < 2 or y.shape != (z.shape[-2],) or z.shape[-1] < 2:
        raise InputError(f"expected logits [..., N, C] with C ≥ 2 and labels [N], got {list(z.shape)} and {list(y.shape)}")
    if len(y) == 0:
        raise InputError("no examples: logits and labels are empty")
    z = z.astype(np.float64)
    finite("logits", z, "; pass logits, not log(0)")
    if y.min() < 0 or y.max() >= z.shape[-1]:
        raise InputError(f"labels must lie in 0 … {z.shape[-1] - 1}, got {y.min()} … {y.max()}")
    return z, y


def integers(name: str, values: ArrayLike, hint: str = "") -> np.ndarray:
    """An array of integers, or a TypeError."""
    array = as_array(values)
    if array.dtype.kind not in "iu":
        raise InputTypeError(f"{name} must be integers, got {array.dtype}{hint}")
    return array


def labels_of_images(images: Sized, labels: ArrayLike) -> np.ndarray:
    """Labels as integers, one for each image, or an error."""
    same_rows(images=images, labels=labels)
    y = as_array(labels)
    if y.dtype.kind not in "iu" or y.shape != (len(images),):
        raise InputError(f"labels must be integers [{len(images)}], one for each image, got {y.dtype} {list(y.shape)}")
    return y


def zeros_and_ones(name: str, values: ArrayLike, n_dimensions: int, shape: str) -> np.ndarray:
    """Booleans, or numbers that are all 0 or 1, as bool of so many dimensions, or an error. shape: in the error's words."""
    array = as_array(values)
    if array.dtype.kind == "O" and all(isinstance(value, (bool, np.bool_)) for value in array.ravel()):
        array = array.astype(bool)
    if array.ndim == n_dimensions and array.dtype.kind in "OUST":
        found = sorted({repr(str(value)) for value in array.ravel().tolist()})
        raise InputTypeError(
            f"{name} must be {shape} booleans (or 0 and 1), got {', '.join(found[:4])}{', …' * (len(found) > 4)}; compare "
            f"with the word that means a member, as in {name} == 'yes'"
        )
    if array.ndim != n_dimensions or array.dtype.kind not in "biuf":
        raise InputTypeError(f"{name} must be {shape} booleans (or 0 and 1), got {array.dtype} {list(array.shape)}")
    if array.dtype.kind == "f":
        finite(f"values of {name}", array, "; fill them in, or leave the rows out")
    if not (good := np.isin(array, (0, 1))).all():
        raise InputError(f"{name} must hold nothing but 0 and 1, got {array[~good][0]} among others")
    return array.astype(bool)


def checked_scores(scores: ArrayLike, is_member: ArrayLike, both_kinds: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Scores as float64 `[N]` and memberships as bool `[N]`, of both kinds, or an error that says what is wrong.

    both_kinds: False where coins decided about each example: they may all have fallen alike.
    """
    same_rows(scores=scores, is_member=is_member)
    scores, is_member = numbers("scores", scores, "biuf").astype(np.float64), as_array(is_member)
    if is_member.dtype != bool:
        raise InputTypeError(f"is_member must be boolean, got {is_member.dtype}; convert with .astype(bool)")
    if scores.ndim != 1 or scores.shape != is_member.shape:
        raise InputError(
            f"scores and is_member must both have shape [N], got {list(scores.shape)} and {list(is_member.shape)}"
        )
    if np.isnan(scores).any():
        raise InputError(f"{int(np.isnan(scores).sum())} scores are NaN")
    if both_kinds and (is_member.all() or not is_member.any()):
        raise InputError(f"need members and non-members, got {int(is_member.sum())} members of {len(is_member)}")
    return scores, is_member

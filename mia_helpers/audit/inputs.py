"""What an audit is given: arrays checked, or an error that says what came, what was expected and how to mend it.

NumPy side. The checks that are not about audits alone are in `mia_helpers.inputs`.
"""

import numpy as np
from numpy.typing import ArrayLike

from mia_helpers.inputs import InputError, InputTypeError, as_array, finite, integers, numbers, same_rows, zeros_and_ones

MAX_GROUPS = 1_000


def one_index(member_mask: object = None, **named: object) -> None:
    """All pandas objects among an audit's arguments must have one index: examples are paired by their place."""
    same_rows(**named, **{"member_mask.T": getattr(member_mask, "T", None)})


def checked_memberships(is_member: ArrayLike) -> np.ndarray:
    """Memberships as bool `[N]`, with members and non-members, or an error."""
    values = zeros_and_ones("is_member", is_member, 1, "[N]")
    if len(values) == 0 or values.all() or not values.any():
        raise InputError(
            f"is_member says {int(values.sum())} of {len(values)} are members; an audit needs members and non-members"
        )
    return values


def checked_labels(labels: ArrayLike, n: int) -> np.ndarray:
    """Labels as int64 `[N]`, or an error."""
    given = as_array(labels)
    if given.ndim == 2 and len(given) == n and np.isin(given, (0, 1)).all() and (given.sum(1) == 1).all():
        raise InputError(f"labels are one-hot, {list(given.shape)}; pass labels.argmax(axis=1)")
    if given.dtype.kind == "f" and np.isfinite(given).all():
        broken = given[given != np.round(given)]
        hint = "pass labels.astype(int)"
        if broken.size:
            hint = f"{broken[0]:g} among them: numbers to be predicted are no classes, and this audit is of classifiers"
        raise InputTypeError(f"labels must be integers, got {given.dtype}; {hint}")
    y = integers(
        "labels", labels, "; number the classes from 0, for instance with numpy.unique(labels, return_inverse=True)"
    )
    if y.shape != (n,):
        raise InputError(f"labels must have shape [{n}], as is_member has, got {list(y.shape)}")
    if y.min() < 0:
        raise InputError(f"labels must not be negative, got {y.min()}")
    return y.astype(np.int64)


def checked_people(person: ArrayLike | None, is_member: np.ndarray) -> np.ndarray | None:
    """Whose row each one is, as numbers from 0, `[N]`, or an error; None if each row is another person."""
    if person is None:
        return None
    values, n = as_array(person), len(is_member)
    if values.shape != (n,):
        raise InputError(f"person must have shape [{n}], got {list(values.shape)}")
    if unnamed := sum(map(_is_missing, values.tolist())):
        raise InputError(f"person is missing in {unnamed} of {n} rows, which are not all one person; name or drop them")
    people, codes = np.unique(values.astype(str) if values.dtype.kind == "O" else values, return_inverse=True)
    share = np.bincount(codes, is_member) / np.bincount(codes)
    if mixed := int(((share > 0) & (share < 1)).sum()):
        raise InputError(
            f"{mixed} of {len(people)} people have rows among the members and rows among the non-members; whoever was "
            "trained on with one row is a member: drop their other rows"
        )
    return codes.astype(np.int64)


def _is_missing(value: object) -> bool:
    return value is None or type(value).__name__ in ("NAType", "NaTType") or bool(value != value)


def checked_groups(group: ArrayLike | None, n: int) -> np.ndarray | None:
    """Groups as strings `[N]`, or an error; None without any."""
    if group is None:
        return None
    values = as_array(group)
    if values.shape != (n,):
        raise InputError(f"group must have shape [{n}], got {list(values.shape)}")
    values = values.astype(str)
    if (found := len(np.unique(values))) > MAX_GROUPS:
        raise InputError(f"group has {found} different values; pass a coarser column, with at most {MAX_GROUPS}")
    return values


def checked_features(features: ArrayLike | None, n: int) -> np.ndarray | None:
    """Features as finite numbers `[N, F]`, or an error; None without any."""
    if features is None:
        return None
    values = numbers("features", features, "biuf", "; encode categories as 0 and 1")
    if values.ndim == 0 or len(values) != n or values.size == 0:
        raise InputError(f"features must have shape [{n}, …], got {list(values.shape)}")
    values = values.reshape(n, -1)
    finite("features", values, "; fill in what is missing, and add a column that says where")
    return values

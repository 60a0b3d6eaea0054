"""What an audit is given: arrays checked, or an error that says what came, what was expected and how to mend it.

NumPy side, except where it asks a torch module.
"""

import numpy as np
import torch
from numpy.typing import ArrayLike

from mia_helpers.ask import probabilities as class_probabilities
from mia_helpers.training import predict_logits

MAX_GROUPS = 1_000


def checked_memberships(is_member: ArrayLike) -> np.ndarray:
    """Memberships as bool `[N]`, with members and non-members, or an error."""
    values = np.asarray(is_member)
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        raise TypeError(f"is_member must be [N] booleans (or 0 and 1), got {values.dtype} {list(values.shape)}")
    if not np.isin(values, (0, 1)).all():
        raise ValueError(f"is_member must hold nothing but 0 and 1, got {values[~np.isin(values, (0, 1))][0]} among others")
    values = values.astype(bool)
    if len(values) == 0 or values.all() or not values.any():
        raise ValueError(f"is_member says {int(values.sum())} of {len(values)} are members; an audit needs members and "
                         "non-members")
    return values


def checked_labels(labels: ArrayLike, n: int) -> np.ndarray:
    """Labels as int64 `[N]`, or an error."""
    y = np.asarray(labels)
    if y.dtype.kind not in "iu":
        raise TypeError(f"labels must be integers, got {y.dtype}; number the classes from 0")
    if y.shape != (n,):
        raise ValueError(f"labels must have shape [{n}], as is_member has, got {list(y.shape)}")
    if y.min() < 0:
        raise ValueError(f"labels must not be negative, got {y.min()}")
    return y.astype(np.int64)


def checked_answers(logits: ArrayLike | None, probabilities: ArrayLike | None, model: object, inputs: ArrayLike | None,
             y: np.ndarray, floor: float | None, warnings: list[str]) -> tuple[np.ndarray, float | None]:
    """Logits `[N, C]`, and the floor if they come from probabilities."""
    given = [name for name, value in (("logits", logits), ("probabilities", probabilities), ("model", model))
             if value is not None]
    if len(given) != 1:
        raise ValueError(f"give one of logits, probabilities and model (with inputs), got {', '.join(given) or 'none'}")
    if model is not None:
        if inputs is None or len(inputs) != len(y):
            raise ValueError(f"a model needs inputs [{len(y)}, …], got {None if inputs is None else list(np.shape(inputs))}")
        logits, probabilities = _ask(model, inputs, int(y.max()) + 1)
    if logits is not None:
        z = _outputs("logits", logits, (len(y),), y)
        if not np.isfinite(z).all():
            raise ValueError(f"{int((~np.isfinite(z)).sum())} logits are NaN or infinite; pass logits, not log(0)")
        if z.min() >= 0 and np.allclose(z[:1000].sum(1), 1, atol=1e-3):
            warnings.append("The logits look like probabilities (not negative, each row sums to 1). If they are, pass them "
                            "as probabilities: a softmax on top makes attacks weaker.")
        return z, None
    p = _checked_probabilities("probabilities", _outputs("probabilities", probabilities, (len(y),), y))
    if floor is None:
        floor = float(np.clip(p[p > 0].min() / 10, 1e-12, 1e-3))
    elif not 0 < floor < 0.5:
        raise ValueError(f"floor must lie between 0 and 0.5, got {floor}")
    return np.log(np.maximum(p, floor)), floor


def _ask(model: object, inputs: ArrayLike, n_classes: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    """(logits, None) of a torch module, (None, probabilities) of a classifier."""
    if isinstance(model, torch.nn.Module):
        return predict_logits(model, torch.as_tensor(inputs, dtype=torch.float32)), None
    if not hasattr(model, "predict_proba"):
        raise TypeError(f"a model must be a torch module or have predict_proba, got {type(model).__name__}; or ask it "
                        "yourself and pass logits or probabilities")
    classes = np.asarray(model.classes_)  # names instead of numbers are refused below
    n_of_model = 1 + int(classes.max()) if classes.dtype.kind in "iu" else 0
    return None, class_probabilities(model, inputs, max(n_classes, n_of_model))


class Asker:
    """Logits of a reference model; a class, so that worker processes can be sent one."""

    def __init__(self, n_classes: int, floor: float | None):
        self.n_classes, self.floor = n_classes, floor

    def __call__(self, model: object, inputs: np.ndarray) -> np.ndarray:
        z, p = _ask(model, inputs, self.n_classes)
        return z if p is None else np.log(np.maximum(p, self.floor or 1e-12))


def _outputs(name: str, values: ArrayLike, leading: tuple[int, ...], y: np.ndarray) -> np.ndarray:
    values = np.asarray(values)
    if values.dtype.kind not in "fiu":
        raise TypeError(f"{name} must be numbers, got {values.dtype}")
    if values.ndim != len(leading) + 1 or values.shape[:-1] != leading or values.shape[-1] < 2:
        hint = "; for a binary model stack 1 − p and p" if values.ndim == len(leading) or values.shape[-1] == 1 else ""
        raise ValueError(f"{name} must have shape [{', '.join(map(str, leading))}, C] with C ≥ 2, got "
                         f"{list(values.shape)}{hint}")
    if y.max() >= values.shape[-1]:
        raise ValueError(f"{name} have {values.shape[-1]} classes, but labels go up to {y.max()}; number the classes from 0")
    return values


def _checked_probabilities(name: str, p: np.ndarray) -> np.ndarray:
    p = p.astype(np.float64)
    if not np.isfinite(p).all():
        raise ValueError(f"{int((~np.isfinite(p)).sum())} {name} are NaN or infinite")
    if p.min() < 0 or p.max() > 1 + 1e-6:
        raise ValueError(f"{name} must lie in [0, 1], got {p.min():g} … {p.max():g}; are these logits?")
    sums = p.sum(-1)
    if (off := np.abs(sums - 1) > 1e-3).any():
        raise ValueError(f"{name} must sum to 1 for each example; {int(off.sum())} of {off.size} do not, one sums to "
                         f"{sums[off].flat[0]:.4g}")
    return p


def checked_bank(shadow_logits: ArrayLike | None, shadow_probabilities: ArrayLike | None, member_mask: ArrayLike | None,
          y: np.ndarray, n_classes: int, floor: float | None) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Logits `[S, N, C]` and mask `[S, N]` of the reference models; (None, None) without any."""
    given = [value for value in (shadow_logits, shadow_probabilities) if value is not None]
    if len(given) > 1:
        raise ValueError("give one of shadow_logits and shadow_probabilities, not both")
    if bool(given) != (member_mask is not None):
        raise ValueError(f"got {'' if given else 'no '}answers of reference models and {'no' if given else 'a'} "
                         "member_mask, which says who was in which; they are only useful together")
    if not given:
        return None, None
    name = "shadow_logits" if shadow_logits is not None else "shadow_probabilities"
    mask = np.asarray(member_mask)
    if mask.dtype.kind not in "biu" or not np.isin(mask, (0, 1)).all():
        raise TypeError(f"member_mask must be boolean (or 0 and 1), got {mask.dtype}")
    if mask.ndim != 2 or mask.shape[1] != len(y) or len(mask) == 0:
        raise ValueError(f"member_mask must have shape [S, {len(y)}], got {list(mask.shape)}")
    z = _outputs(name, given[0], (len(mask), len(y)), y)
    if z.shape[-1] != n_classes:
        raise ValueError(f"{name} have {z.shape[-1]} classes, the target's answers {n_classes}")
    if name == "shadow_probabilities":
        z = np.log(np.maximum(_checked_probabilities(name, z), floor or 1e-12))
    if bad := sum(int((~np.isfinite(one)).sum()) for one in z):
        raise ValueError(f"{bad} of {name} are NaN or infinite")
    return z, mask.astype(bool)


def checked_groups(group: ArrayLike | None, n: int) -> np.ndarray | None:
    """Groups as strings `[N]`, or an error; None without any."""
    if group is None:
        return None
    values = np.asarray(group)
    if values.shape != (n,):
        raise ValueError(f"group must have shape [{n}], got {list(values.shape)}")
    values = values.astype(str)
    if (found := len(np.unique(values))) > MAX_GROUPS:
        raise ValueError(f"group has {found} different values; pass a coarser column, with at most {MAX_GROUPS}")
    return values


def checked_features(features: ArrayLike | None, n: int) -> np.ndarray | None:
    """Features as finite numbers `[N, F]`, or an error; None without any."""
    if features is None:
        return None
    values = np.asarray(features)
    if values.dtype.kind not in "biuf":
        raise TypeError(f"features must be numbers, got {values.dtype}; encode categories as 0 and 1")
    if values.ndim == 0 or len(values) != n or values.size == 0:
        raise ValueError(f"features must have shape [{n}, …], got {list(values.shape)}")
    values = values.reshape(n, -1)
    if not np.isfinite(values).all():
        raise ValueError(f"{int((~np.isfinite(values)).sum())} features are NaN or infinite; fill in what is missing, and "
                         "add a column that says where")
    return values

"""What an audit is given: arrays checked, or an error that says what came, what was expected and how to mend it.

NumPy side. The checks that are not about audits alone are in `mia_helpers.inputs`.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mia_helpers.ask import answers, ask
from mia_helpers.audit.settings import References
from mia_helpers.bank import ShadowBank
from mia_helpers.inputs import (
    InputError,
    InputTypeError,
    as_array,
    finite,
    integers,
    n_rows,
    numbers,
    same_rows,
    zeros_and_ones,
)

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
    y = integers("labels", labels, "; number the classes from 0")
    if y.shape != (n,):
        raise InputError(f"labels must have shape [{n}], as is_member has, got {list(y.shape)}")
    if y.min() < 0:
        raise InputError(f"labels must not be negative, got {y.min()}")
    return y.astype(np.int64)


def checked_answers(
    logits: ArrayLike | None,
    probabilities: ArrayLike | None,
    model: object,
    inputs: ArrayLike | None,
    y: np.ndarray,
    floor: float | None,
    warnings: list[str],
    more_probabilities: bool = False,
) -> tuple[np.ndarray, float | None]:
    """Logits `[N, C]`, and the floor: the one that was given, else the one chosen if they come from probabilities.

    A floor next to logits is refused, unless reference models may answer with probabilities (`more_probabilities`).
    """
    given = [
        name for name, value in (("logits", logits), ("probabilities", probabilities), ("model", model)) if value is not None
    ]
    if len(given) != 1:
        raise InputError(f"give one of logits, probabilities and model (with inputs), got {', '.join(given) or 'none'}")
    if model is not None:
        if inputs is None or n_rows(inputs) != len(y):
            raise InputError(f"a model needs inputs [{len(y)}, …], got {None if inputs is None else list(np.shape(inputs))}")
        values, are_probabilities = answers(model, inputs, int(y.max()) + 1, floor or 1e-12)
        logits, probabilities = (None, values) if are_probabilities else (values, None)
    if logits is not None:
        z = _outputs("logits", logits, (len(y),), y)
        finite("logits", z, "; pass logits, not log(0)")
        if z.min() >= 0 and np.allclose(z[:1000].sum(1), 1, atol=1e-3):
            warnings.append(
                "The logits look like probabilities (not negative, each row sums to 1). If they are, pass them "
                "as probabilities: a softmax on top makes attacks weaker."
            )
        if floor is not None and not more_probabilities:
            raise InputError(f"floor={floor:g} is for probabilities, and all answers are logits; leave floor out")
        return z, floor
    p = _checked_probabilities("probabilities", _outputs("probabilities", probabilities, (len(y),), y))
    if floor is None:
        floor = float(np.clip(p[p > 0].min() / 10, 1e-12, 1e-3))
    return np.log(np.maximum(p, floor)), floor


class Asker:
    """Logits of a reference model; a class, so that worker processes can be sent one."""

    def __init__(self, n_classes: int, floor: float | None):
        self.n_classes, self.floor = n_classes, floor

    def __call__(self, model: object, inputs: np.ndarray) -> np.ndarray:
        """The model's logits, `[N, C]`."""
        return ask(model, inputs, n_classes=self.n_classes, floor=self.floor or 1e-12)


def _outputs(name: str, values: Any, leading: tuple[int, ...], y: np.ndarray) -> np.ndarray:
    values = numbers(name, values)
    if values.ndim != len(leading) + 1 or values.shape[:-1] != leading or values.shape[-1] < 2:
        hint = "; for a binary model stack 1 − p and p" if values.ndim == len(leading) or values.shape[-1] == 1 else ""
        raise InputError(
            f"{name} must have shape [{', '.join(map(str, leading))}, C] with C ≥ 2, got {list(values.shape)}{hint}"
        )
    if y.max() >= values.shape[-1]:
        raise InputError(f"{name} have {values.shape[-1]} classes, but labels go up to {y.max()}; number the classes from 0")
    return values


def _checked_probabilities(name: str, p: np.ndarray) -> np.ndarray:
    p = p.astype(np.float64)
    finite(name, p)
    if p.min() < 0 or p.max() > 1 + 1e-6:
        raise InputError(f"{name} must lie in [0, 1], got {p.min():g} … {p.max():g}; are these logits?")
    sums = p.sum(-1)
    if (off := np.abs(sums - 1) > 1e-3).any():
        raise InputError(
            f"{name} must sum to 1 for each example; {int(off.sum())} of {off.size} do not, one sums to "
            f"{sums[off].flat[0]:.4g}"
        )
    return p


def checked_bank(references: References, y: np.ndarray, n_classes: int, floor: float | None) -> ShadowBank | None:
    """The reference models' answers `[S, N, C]`, as logits, and who was in which; None without any."""
    if references.member_mask is None:
        return None
    name = "shadow_logits" if references.shadow_logits is not None else "shadow_probabilities"
    mask = as_array(references.member_mask)
    if mask.dtype.kind not in "biu" or not np.isin(mask, (0, 1)).all():
        raise InputTypeError(f"member_mask must be boolean (or 0 and 1), got {mask.dtype}")
    if mask.ndim != 2 or mask.shape[1] != len(y) or len(mask) == 0:
        raise InputError(f"member_mask must have shape [S, {len(y)}], got {list(mask.shape)}")
    z = _outputs(name, getattr(references, name), (len(mask), len(y)), y)
    if z.shape[-1] != n_classes:
        raise InputError(f"{name} have {z.shape[-1]} classes, the target's answers {n_classes}")
    if name == "shadow_probabilities":
        z = np.log(np.maximum(_checked_probabilities(name, z), floor or 1e-12))
    if bad := sum(int((~np.isfinite(one)).sum()) for one in z):
        raise InputError(f"{bad} of {name} are NaN or infinite")
    return ShadowBank(z, mask.astype(bool), y)


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

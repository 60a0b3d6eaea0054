"""The answers of the target and of reference models in one form, logits `[N, C]`, or an error that says how to mend them.

NumPy side.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mia_helpers.ask import answers, is_module, module_answers
from mia_helpers.audit.settings import References
from mia_helpers.bank import ShadowBank
from mia_helpers.inputs import InputError, InputTypeError, as_array, finite, n_rows, numbers

FAR_BELOW = 700.0  # what −∞ stands for, below the row's largest logit: e^−700 is still more than 0
SUMS_TO = 5e-3  # how far from 1 probabilities may sum: bfloat16 keeps three digits
LOGITS, PROBABILITIES = "logits", "probabilities"


@dataclass
class Answers:
    """What a model answers.

    Attributes:
        logits: `[N, C]`. floor: the probability that smaller ones count as; None if there is none.
        notes: what was made of them on the way, one sentence each.
    """

    logits: np.ndarray
    floor: float | None
    notes: list[str] = field(default_factory=list)


class _Numbered:
    """A classifier whose classes are numbered as `classes_` lists them; in all else it is the model."""

    def __init__(self, model: Any):
        self._model, self.classes_ = model, np.arange(len(model.classes_))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def numbered(labels: ArrayLike, model: object) -> tuple[ArrayLike, object]:
    """Labels as numbers, and the model with its classes numbered alike, where the model's `classes_` are no integers.

    A model that was trained on names is asked by these names: column i is `classes_[i]`, and so label i.

    Raises:
        InputError: a label that is none of the model's classes.
    """
    classes, given = getattr(model, "classes_", None), as_array(labels)
    if classes is None or np.asarray(classes).dtype.kind in "iu" or np.ndim(classes) != 1 or given.ndim != 1:
        return labels, model
    places = {name: i for i, name in enumerate(np.asarray(classes).tolist())}
    if unknown := [value for value in given.tolist() if value not in places]:
        raise InputError(
            f"{len(unknown)} of {len(given)} labels are none of the model's classes, as {unknown[0]!r}; pass "
            f"them as the model knows them: {', '.join(map(repr, [*places][:6]))}{', …' if len(places) > 6 else ''}"
        )
    return np.array([places[value] for value in given.tolist()], dtype=np.int64), _Numbered(model)


def target_answers(
    logits: ArrayLike | None,
    probabilities: ArrayLike | None,
    model: object,
    inputs: Any,
    known: tuple[np.ndarray, np.ndarray],
    floor: float | None,
    more_probabilities: bool = False,
) -> Answers:
    """The target's answers.

    Args:
        known: labels `[N]` and memberships `[N]`.
        floor: for probabilities; default a tenth of the smallest positive one, within 1e-12 … 1e-3. Next to logits it is
            refused, unless reference models may answer with probabilities (`more_probabilities`).
    """
    y, notes = known[0], []
    given = [
        name for name, value in ((LOGITS, logits), (PROBABILITIES, probabilities), ("model", model)) if value is not None
    ]
    if len(given) != 1:
        raise InputError(f"give one of logits, probabilities and model (with inputs), got {', '.join(given) or 'none'}")
    kind, values = given[0], logits if probabilities is None else probabilities
    if model is not None:
        if inputs is None or n_rows(inputs) != len(y):
            raise InputError(f"a model needs inputs [{len(y)}, …], got {None if inputs is None else list(np.shape(inputs))}")
        values, kind = asked(model, inputs, int(y.max()) + 1, floor or 1e-12)
        if np.ndim(values) == 1 or np.shape(values)[1] == 1:
            notes.append(f"The model's single output was taken for class 1's {_called(kind)}.")
    if kind == LOGITS and floor is not None and not more_probabilities:
        raise InputError(f"floor={floor:g} is for probabilities, and all answers are logits; leave floor out")
    values = _outputs(kind, values, (len(y),), *known)
    if kind == LOGITS:
        z, n_masked = _unmasked(LOGITS, values)
        if n_masked:
            notes.append(f"{n_masked} logits are −∞ (masked classes); they count as {FAR_BELOW:g} below the largest one.")
        return Answers(z, floor, notes)
    p = _checked_probabilities(kind, values)
    if floor is None:
        floor = float(np.clip(p[p > 0].min() / 10, 1e-12, 1e-3))
    return Answers(np.log(np.maximum(p, floor)), floor, notes)


def _called(kind: str) -> str:
    return "logit" if kind == LOGITS else "probability, since all lie between 0 and 1"


def asked(model: Any, inputs: Any, n_classes: int, floor: float) -> tuple[Any, str]:
    """What a model answers, and which kind of answers these are.

    Besides what `mia_helpers.ask.ask` takes: a torch module or a function with a single output for each example, `[N]` or
    `[N, 1]`, the logit of class 1 or, if all lie between 0 and 1, its probability; and logits of −∞.
    """
    values = _of_module(model, inputs) if is_module(model) else _of_function(model, inputs)
    if values is None:
        values, are_probabilities = answers(model, inputs, n_classes, floor)
        return values, PROBABILITIES if are_probabilities else LOGITS
    single = values.ndim == 1 or values.shape[1] == 1
    within = single and bool(((values >= 0) & (values <= 1)).all())
    return values, PROBABILITIES if within else LOGITS


def _of_module(model: Any, inputs: Any) -> np.ndarray | None:
    """A module's numbers, `[N]` or `[N, C]`; None if it answers with anything else, which `ask` can tell in words."""
    parts = []
    for size, output in module_answers(model, inputs):
        values = _plain(output, size)
        if values is None:
            return None
        parts.append(values)
    return np.concatenate(parts) if parts else None


def _of_function(model: Any, inputs: Any) -> np.ndarray | None:
    if isinstance(model, type) or not callable(model) or hasattr(model, "predict_proba") or hasattr(model, "predict"):
        return None
    return _plain(model(inputs), n_rows(inputs))


def _plain(output: Any, n: int) -> np.ndarray | None:
    if isinstance(output, (dict, tuple, str, type(None))) or hasattr(output, "logits"):
        return None
    values = as_array(output)
    if values.dtype.kind not in "fiu" or values.ndim not in (1, 2) or len(values) != n or np.isnan(values).any():
        return None
    return values.astype(np.float32) if values.dtype == np.float16 else values


class Asker:
    """Logits of a reference model; a class, so that worker processes can be sent one.

    Args:
        n_classes: C. floor: for probabilities. rows: gives the model's inputs for what it is asked with; default the same.
    """

    def __init__(self, n_classes: int, floor: float | None, rows: Callable[[np.ndarray], Any] | None = None):
        self.n_classes, self.floor, self.rows = n_classes, floor or 1e-12, rows

    def __call__(self, model: object, inputs: np.ndarray) -> np.ndarray:
        """The model's logits, `[N, C]`."""
        shown = inputs if self.rows is None else self.rows(inputs)
        values, kind = asked(model, shown, self.n_classes, self.floor)
        values = _outputs(kind, values, (len(inputs),))
        if kind == LOGITS:
            return _unmasked("answers of a reference model", values)[0]
        return np.log(np.maximum(_checked_probabilities(kind, values), self.floor))


def _outputs(
    name: str, values: Any, leading: tuple[int, ...], y: np.ndarray | None = None, is_member: np.ndarray | None = None
) -> np.ndarray:
    """Numbers `[*leading, C]`; a single column is made into two, by the kind of answer that `name` ends with."""
    values, top = numbers(name, values), 1 if y is None else int(y.max())
    shape = f"[{', '.join(map(str, leading))}, C]"
    if values.shape in (leading, (*leading, 1)):
        if top > 1:
            raise InputError(
                f"{name} must have shape {shape} with C ≥ 2, got {list(values.shape)}: a single column is for two classes, "
                f"but labels go up to {top}. (Numbers to be predicted are no classes, and this audit is of classifiers.)"
            )
        one = values.reshape(leading)
        return np.stack([1 - one if name.endswith(PROBABILITIES) else np.zeros_like(one), one], axis=-1)
    if values.ndim != len(leading) + 1 or values.shape[:-1] != leading or values.shape[-1] < 2:
        raise InputError(f"{name} must have shape {shape} with C ≥ 2, got {list(values.shape)}")
    if top >= (n_columns := values.shape[-1]):
        hint = "number the classes from 0"
        if y is not None and y.min() == 1 and top == n_columns:
            raise InputError(f"labels count from 1 to {top}, the columns of {name} from 0: subtract 1 from the labels")
        unseen = [] if y is None or is_member is None else sorted(set(range(top + 1)) - set(np.unique(y[is_member])))
        if unseen and top + 1 - len(unseen) == n_columns:
            never = "0.0" if name.endswith(PROBABILITIES) else "-numpy.inf"
            hint = (
                f"no member has label {', '.join(map(str, unseen))}, so a classifier trained on them has no column for "
                f"it; put one in, for instance with numpy.insert({name}, {unseen[0]}, {never}, axis=-1)"
            )
        raise InputError(f"{name} have {n_columns} classes, but labels go up to {top}; {hint}")
    return values


def _unmasked(name: str, z: np.ndarray) -> tuple[np.ndarray, int]:
    """Finite logits, and how many were −∞: a masked class, which the model rules out."""
    if np.isfinite(z).all():
        return z, 0
    masked = np.isneginf(z)
    if masked.all(-1).any() or not np.isfinite(z[~masked]).all():
        finite(name, np.where(masked & ~masked.all(-1, keepdims=True), 0, z), "; pass logits, not log(0)")
    return np.where(masked, z.max(-1, keepdims=True) - FAR_BELOW, z), int(masked.sum())


def _checked_probabilities(name: str, p: np.ndarray) -> np.ndarray:
    p = p.astype(np.float64)
    finite(name, p)
    if p.min() < 0 or p.max() > 1 + 1e-6:
        raise InputError(f"{name} must lie in [0, 1], got {p.min():g} … {p.max():g}; are these logits?")
    sums = p.sum(-1)
    if (off := np.abs(sums - 1) > SUMS_TO).any():
        raise InputError(
            f"{name} must sum to 1 for each example; {int(off.sum())} of {off.size} do not, one sums to "
            f"{sums[off].flat[0]:.4g}. If they were rounded or cut, pass {name.replace(PROBABILITIES, LOGITS)}="
            f"mia_helpers.masks.to_logits(p, floor), with half a unit of the last place as floor (0.005 for two digits); in "
            f"a table, columns z_… = log(max(p, floor))"
        )
    return p


def checked_bank(references: References, y: np.ndarray, n_classes: int, floor: float | None) -> ShadowBank | None:
    """The reference models' answers `[S, N, C]`, as logits, and who was in which; None without any."""
    if references.member_mask is None:
        return None
    name = "shadow_logits" if references.shadow_logits is not None else "shadow_probabilities"
    mask = as_array(references.member_mask)
    if mask.dtype.kind not in "biuf" or not np.isin(mask, (0, 1)).all():
        raise InputTypeError(f"member_mask must be boolean (or 0 and 1), got {mask.dtype}")
    if mask.ndim != 2 or mask.shape[1] != len(y) or len(mask) == 0:
        raise InputError(f"member_mask must have shape [S, {len(y)}], got {list(mask.shape)}")
    z = _outputs(name, getattr(references, name), (len(mask), len(y)), y)
    if z.shape[-1] != n_classes:
        raise InputError(f"{name} have {z.shape[-1]} classes, the target's answers {n_classes}")
    if name == "shadow_probabilities":
        z = np.log(np.maximum(_checked_probabilities(name, z), floor or 1e-12))
    elif not all(np.isfinite(one).all() for one in z):
        z = np.stack([_unmasked(name, one)[0] for one in z])
    return ShadowBank(z, mask.astype(bool), y)

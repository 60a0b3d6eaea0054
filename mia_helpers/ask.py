"""Asking a model: whatever it is, its answers in one form.

Imports neither torch nor pandas by itself: whoever has a torch module has imported torch.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from mia_helpers.inputs import InputError, InputTypeError, as_array, between, finite, n_rows, numbers, whole_number

if TYPE_CHECKING:
    import torch
    from sklearn.base import ClassifierMixin

BINARY = "for a binary model with one logit z return columns 0 and z, with one probability p columns log(1 − p) and log(p)"


def ask(
    model: object, inputs: ArrayLike, *, n_classes: int | None = None, floor: float = 1e-12, batch_size: int = 250
) -> np.ndarray:
    """The model's logits for each input: finite numbers `[N, C]`.

    Args:
        model: one of
            - a torch module that returns logits. It is asked on its own device, in the floating type of its parameters, in
              evaluation mode, without gradients; afterwards it is as it was. Numbers are converted to that type, integers
              too, unless a part of the module is an `nn.Embedding` or `nn.EmbeddingBag`: then integers stay integers.
            - a fitted classifier with `predict_proba`: log max(p, floor) for classes 0 … C − 1.
            - a fitted classifier with only `decision_function`. Its values are taken for logits; a binary one's `[N]` for
              the second class's, the first one's being 0.
            - a function of the inputs, all at once, that returns logits `[N, C]`.
        inputs: what the model takes, `[N, …]`: array, tensor, DataFrame, or for classifiers and functions anything else with
            rows. A classifier that was fitted on named columns gets these names again.
        n_classes: C, if a classifier may have seen fewer classes than there are: the others get probability `floor`.
        floor: the least probability of a classifier, strictly between 0 and 1/2.
        batch_size: inputs that a torch module is given at once.

    Returns:
        float64 `[N, C]`; of a torch module float32, or float64 if its answers are.

    Raises:
        InputTypeError (a TypeError): something that cannot be asked, or does not answer with an array.
        InputError (a ValueError): a model that is not fitted, answers of another shape, NaN or infinite ones.
    """
    between("floor", floor, 0, 0.5)
    values, are_probabilities = answers(model, inputs, n_classes, floor, batch_size)
    return np.log(np.maximum(values, floor)) if are_probabilities else values


def answers(
    model: Any, inputs: Any, n_classes: int | None = None, floor: float = 1e-12, batch_size: int = 250
) -> tuple[np.ndarray, bool]:
    """As `ask`, with the probabilities of a classifier as they are; and whether the answers are probabilities."""
    if isinstance(model, type):
        raise InputTypeError(
            f"{model.__name__} is a class, not a model; pass a fitted instance, as in {model.__name__}(...)"
        )
    n = n_rows(inputs)
    if n == 0:
        raise InputError("inputs is empty; it needs at least one example")
    if is_module(model):
        return _joined(model, inputs, batch_size, n), False
    if hasattr(model, "predict_proba"):
        return probabilities(model, inputs, n_classes, at_least=True), True
    if hasattr(model, "decision_function"):
        return _decision_values(model, inputs, n_classes, floor, n), False
    if callable(model):
        return _checked(model, model(inputs), n), False
    raise InputTypeError(
        f"a model must be a torch module or have predict_proba or decision_function, or be a function of "
        f"inputs; got {type(model).__name__}; or ask it yourself and pass logits or probabilities"
    )


def _checked(model: object, values: Any, n: int, n_before: int = 0) -> np.ndarray:
    """Answers as finite numbers `[n, C]`, or an error that says what the model answered instead, n_before inputs earlier."""
    name = getattr(model, "__name__", type(model).__name__)
    kind = type(values).__name__
    if isinstance(values, (dict, tuple)) or hasattr(values, "logits"):
        part = (
            "answer.logits"
            if hasattr(values, "logits")
            else f"answer[{next(iter(values), 'logits')!r}]"
            if isinstance(values, dict)
            else "answer[0]"
        )
        raise InputTypeError(
            f"{name} answers with a {kind}, not with logits [N, C]; wrap it so that it returns the logits "
            f"alone, perhaps {part}"
        )
    if values is None:
        raise InputTypeError(f"{name} answers with None, not with logits [N, C]; does it lack a return?")
    values = numbers(f"the answers of {name}", values)
    if values.ndim != 2 or len(values) != n or values.shape[1] < 2:
        hint = f"; {BINARY}" if values.shape in ((n,), (n, 1)) else ""
        raise InputError(f"{name} must answer with logits [{n}, C] with C ≥ 2, got {list(values.shape)}{hint}")
    finite(f"answers of {name}", values, "; look at its inputs and weights", n_before)
    return values


# ---- torch modules


def is_module(model: object) -> TypeGuard[torch.nn.Module]:
    """Whether it is a torch module; without importing torch, which whoever made a module has done."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def place(model: torch.nn.Module) -> tuple[torch.device, torch.dtype]:
    """Where a module's first parameter (or buffer) is, and the first floating type; without any, CPU and float32."""
    import torch

    tensors = [*model.parameters(), *model.buffers()]
    device = tensors[0].device if tensors else torch.device("cpu")
    return device, next((t.dtype for t in tensors if t.is_floating_point()), torch.float32)


def as_inputs(model: torch.nn.Module, inputs: ArrayLike, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Inputs as the module takes them, on `device`: numbers in `dtype`, but integers as such if it embeds."""
    import torch

    if not isinstance(inputs, torch.Tensor):
        inputs = torch.tensor(numbers("inputs", inputs, "biuf"))  # a copy: a read-only array would bring a warning
    embeds = any(isinstance(part, (torch.nn.Embedding, torch.nn.EmbeddingBag)) for part in model.modules())
    if embeds and not inputs.is_floating_point():
        dtype = torch.int64
    return inputs.detach().to(device, dtype)


@contextlib.contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block; after it each part of the module is in the mode it was in."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def module_answers(model: torch.nn.Module, inputs: ArrayLike, batch_size: int = 250) -> Iterator[tuple[int, object]]:
    """What a module puts out, batch by batch, whatever that is: (number of inputs, output). See `ask`."""
    import torch

    from mia_helpers.training import flushed_denormals

    batch_size = whole_number("batch_size", batch_size, 1)
    device, dtype = place(model)
    if not isinstance(inputs, torch.Tensor):
        inputs = as_array(inputs)
    for start in range(0, len(inputs), batch_size):
        batch = as_inputs(model, inputs[start : start + batch_size], dtype, device)
        layout = torch.channels_last if batch.ndim == 4 else torch.contiguous_format
        with evaluating(model), torch.no_grad(), flushed_denormals():
            output = model(batch.contiguous(memory_format=layout))
        yield len(batch), output


def _joined(model: torch.nn.Module, inputs: ArrayLike, batch_size: int, n: int) -> np.ndarray:
    parts, done = [], 0
    for size, output in module_answers(model, inputs, batch_size):
        parts.append(_checked(model, _single(output), size, done))
        done += size
    return np.concatenate(parts)


def _single(output: Any) -> Any:
    """Half precision as float32, which NumPy and all that follows can count with."""
    return output.float() if hasattr(output, "is_floating_point") and output.element_size() < 4 else output


# ---- classifiers


def probabilities(
    model: ClassifierMixin, records: ArrayLike, n_classes: int | None = None, *, at_least: bool = False
) -> np.ndarray:
    """A fitted scikit-learn classifier's probabilities of classes 0 … n_classes − 1, float64 `[N, C]`.

    A class that the model has not seen gets probability 0, so that the columns of models trained on different members
    mean the same.

    Args:
        n_classes: C; default as many as the model knows. at_least: C is larger if the model knows more.

    Raises:
        TypeError: the model gives no probabilities, or those of several outputs.
        ValueError: it is not fitted, or its classes are not integers in 0 … n_classes − 1.
    """
    if not hasattr(model, "predict_proba"):
        raise InputTypeError(
            f"{type(model).__name__} has no predict_proba; wrap it, for instance "
            "CalibratedClassifierCV(model, ensemble=False)"
        )
    _refuse_unfitted(model)
    seen = _classes(model, n_classes, at_least)
    p = model.predict_proba(_named(model, records))
    if isinstance(p, list):
        raise InputTypeError(
            f"{type(model).__name__} has {len(p)} outputs, and so that many answers; ask about one, with a "
            "model that has one"
        )
    p = as_array(p).astype(np.float64)
    if seen is None:
        return _checked(model, p, len(p))
    classes, n_classes = seen
    if p.shape[1:] != classes.shape:
        raise InputError(
            f"predict_proba of {type(model).__name__} must return {[len(p), len(classes)]}, a column for each "
            f"of its classes, got {list(p.shape)}"
        )
    finite(f"answers of {type(model).__name__}", p, "; look at its inputs")
    full = np.zeros((len(p), n_classes))
    full[:, classes] = p
    return full


def _decision_values(model: Any, inputs: Any, n_classes: int | None, floor: float, n: int) -> np.ndarray:
    """Logits `[N, C]` from decision values; a class that the model has not seen gets the softmax probability `floor`."""
    name = type(model).__name__
    _refuse_unfitted(model)
    seen = _classes(model, n_classes, at_least=True)
    if seen is None:
        raise InputTypeError(
            f"{name} has decision_function but no classes_, so it is no classifier of examples; pass a "
            "function of inputs that returns logits [N, C]"
        )
    classes, n_classes = seen
    last = model
    while hasattr(last, "steps"):
        last = last.steps[-1][1]
    if len(classes) > 2 and getattr(last, "decision_function_shape", "ovr") == "ovo":
        raise InputError(
            f'{name} compares its classes in pairs (decision_function_shape="ovo"); fit it with "ovr", or with probabilities'
        )
    z = numbers(f"decision values of {name}", model.decision_function(_named(model, inputs))).astype(np.float64)
    if z.ndim == 1 and len(classes) == 2:
        z = np.stack([np.zeros(len(z)), z], axis=1)
    if z.shape != (n, len(classes)):
        raise InputError(
            f"decision_function of {name} must return {[n, len(classes)]}, a column for each of its classes, "
            f"got {list(z.shape)}"
        )
    finite(f"answers of {name}", z, "; look at its inputs")
    full = np.repeat(logsumexp(z, axis=1, keepdims=True) + np.log(floor), n_classes, axis=1)
    full[:, classes] = z
    return full


def _classes(model: object, n_classes: int | None, at_least: bool) -> tuple[np.ndarray, int] | None:
    """The model's classes, integers in 0 … n_classes − 1, and n_classes; None if it does not say which."""
    if (classes := getattr(model, "classes_", None)) is None:
        return None
    classes = np.asarray(classes)
    if n_classes is None or (at_least and classes.dtype.kind in "iu"):
        n_classes = max(n_classes or 0, 2, 1 + int(classes.max()) if classes.dtype.kind in "iu" else len(classes))
    if classes.dtype.kind not in "iu" or classes.min() < 0 or classes.max() >= n_classes:
        raise InputError(
            f"the model's classes must be integers in 0 … {n_classes - 1}, got {str(classes.tolist()):.200}; number the "
            "labels from 0 before training, or pass a function of inputs that returns logits, its columns in that order"
        )
    return classes, n_classes


def _refuse_unfitted(model: object) -> None:
    """An InputError for a scikit-learn estimator that is not fitted; others cannot be told."""
    base = sys.modules.get("sklearn.base")
    if base is None or not isinstance(model, base.BaseEstimator):
        return
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(model)
    except NotFittedError:
        raise InputError(f"{type(model).__name__} is not fitted; call its fit(inputs, labels) first") from None


def _named(model: object, records: Any) -> Any:
    """Records with the column names, or without any, as the model was fitted, so that scikit-learn does not warn."""
    names, is_frame = getattr(model, "feature_names_in_", None), hasattr(records, "iloc") and hasattr(records, "columns")
    if hasattr(records, "detach"):
        records = as_array(records)
    if names is None and is_frame and hasattr(model, "n_features_in_"):  # only names that are all text count as names
        return as_array(records) if all(isinstance(column, str) for column in records.columns) else records
    if names is not None and not is_frame and not hasattr(records, "tocsr"):
        array = as_array(records)
        if array.ndim == 2 and array.shape[1] == len(names):
            import pandas as pd

            return pd.DataFrame(array, columns=names)
    return records

"""One training loop for every network of the course, predictions, and a cache so that nothing is trained twice.

Torch side: images in, logits out. Fast by design: the whole data set in memory, `channels_last`, fused Adam, denormal
numbers flushed to zero, freed memory kept for the next batch.
"""

import contextlib
import copy
import ctypes
import functools
import inspect
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mia_helpers.cache import load_or_make
from mia_helpers.data import ImageSet
from mia_helpers.keys import describe, key_of
from mia_helpers.progress import tqdm
from mia_helpers.weights import refuse_single_examples, reset_weights, seeded, start_of


@functools.cache
def keep_freed_memory() -> None:
    """Have glibc keep up to 512 MB of freed memory for the next batch, in blocks of up to 32 MB.

    It would hand the end of its heap back to the system after each batch and fetch it again, page by page, for the next.
    What else lies on the heap decides whether it does; where it did, that was a third of the training time. Called where a
    training starts, once: importing a package must not change how the process manages memory.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another system, another allocator: nothing to mend
        mallopt = ctypes.CDLL(None).mallopt
        for option, value in ((-3, 2**25), (-1, 2**29)):  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD of malloc.h
            mallopt(option, value)


@dataclass(frozen=True)
class TrainingResult:
    """A trained model and what happened on the way.

    Attributes:
        model: the trained network, in evaluation mode, on the CPU.
        history: name -> one value for each epoch: `loss`, `accuracy` (means over the epoch while the weights moved) and,
            with a validation set, `validation_loss`, `validation_accuracy` (after the epoch).
    """

    model: nn.Module
    history: dict[str, list[float]] = field(repr=False)


@dataclass(frozen=True)
class Evaluation:
    """Mean cross-entropy (nats) and accuracy (0 … 1) of a model on an image set."""

    loss: float
    accuracy: float


def train_classifier(
    model: nn.Module,
    data: ImageSet,
    *,
    epochs: int,
    lr: float,
    seed: int,
    batch_size: int = 64,
    weight_decay: float = 0.0,
    label_smoothing: float = 0.0,
    validation: ImageSet | None = None,
    patience: int | None = None,
    device: str | None = None,
    progress: bool = True,
) -> TrainingResult:
    """Train `model` on `data` with Adam and cross-entropy, from weights drawn afresh with `seed`.

    The same arguments give the same weights on the same kind of CPU with the same number of threads.

    Args:
        model: a network that returns logits; it is trained in place. Its present weights are thrown away, but frozen ones
            (`requires_grad=False`) stay as they are.
        epochs: passes over the data. lr: Adam's learning rate. seed: for weights, order of the batches and dropout.
        weight_decay: decoupled (AdamW). label_smoothing: share of the label spread over all classes, 0 … 1.
        validation: measured after every epoch.
        patience: stop after so many epochs without a lower validation loss, and go back to the best weights.
        device: default CUDA if there is one, else the CPU. progress: show a bar.

    Raises:
        ValueError: a parameter out of range, patience without a validation set, a loss that is no longer finite, a layer
            that cannot be drawn afresh, or a batch of one example under batch normalisation.
    """
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing must lie in [0, 1), got {label_smoothing}")

    def loss_function(logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)

    pair = None if validation is None else (validation.images, validation.labels)
    return fit(
        model,
        data.images,
        data.labels,
        loss_function,
        epochs=epochs,
        lr=lr,
        seed=seed,
        batch_size=batch_size,
        weight_decay=weight_decay,
        validation=pair,
        patience=patience,
        device=device,
        progress=progress,
    )


def fit(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    loss_function: Callable[[Tensor, Tensor], Tensor],
    *,
    epochs: int,
    lr: float,
    seed: int,
    batch_size: int = 64,
    weight_decay: float = 0.0,
    validation: tuple[Tensor, Tensor] | None = None,
    patience: int | None = None,
    device: str | None = None,
    progress: bool = True,
) -> TrainingResult:
    """The loop behind `train_classifier` and the attack network: any inputs `[N, …]`, targets `[N]`, and loss.

    Targets of integer type are classes (accuracy by argmax), floating ones 0 or 1 (accuracy by the sign of the output).
    """
    for name, value in (("epochs", epochs), ("lr", lr), ("batch_size", batch_size)):
        if not value > 0 or not math.isfinite(value):
            raise ValueError(f"{name} must be a positive number, got {value}")
    if weight_decay < 0:
        raise ValueError(f"weight_decay must not be negative, got {weight_decay}")
    if patience is not None and (patience < 1 or validation is None):
        raise ValueError(f"patience={patience} needs a validation set and at least 1 epoch")
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError(f"{type(model).__name__} has no weights to train: all parameters are frozen (requires_grad=False)")
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    keep_freed_memory()
    layout = torch.channels_last if inputs.ndim == 4 else torch.contiguous_format
    with seeded(seed), flushed_denormals():
        reset_weights(model)
        model.to(where).to(memory_format=layout).train()
        inputs, targets = inputs.to(where).contiguous(memory_format=layout), targets.to(where)
        refuse_single_examples(model, inputs, batch_size)
        optimiser = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay, fused=True)
        history: dict[str, list[float]] = {}
        best: tuple[float, int, dict | None] = (math.inf, 0, None)  # validation loss, epoch, weights
        for epoch in tqdm(range(epochs), desc="training", unit="epoch", leave=False, disable=not progress):
            values = _epoch(model, inputs, targets, loss_function, optimiser, batch_size)
            if not math.isfinite(values["loss"]):
                raise ValueError(
                    f"the loss is {values['loss']} after epoch {epoch + 1}; lower the learning rate (now {lr}) "
                    "or look for extreme inputs"
                )
            if validation:
                outputs, labels = _forward(model, validation[0], where), validation[1].to(where)
                values["validation_loss"] = loss_function(outputs, labels).item()
                values["validation_accuracy"] = _n_correct(outputs, labels).item() / len(labels)
                model.train()
            for name, value in values.items():
                history.setdefault(name, []).append(value)
            if patience and values["validation_loss"] < best[0]:
                best = (values["validation_loss"], epoch, copy.deepcopy(model.state_dict()))
            elif patience and epoch - best[1] >= patience:
                break
        if best[2] is not None:
            model.load_state_dict(best[2])
    return TrainingResult(model.to("cpu").eval(), history)


def _epoch(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    loss_function: Callable,
    optimiser: torch.optim.Optimizer,
    batch_size: int,
) -> dict[str, float]:
    """One pass over the data in random order; mean loss and accuracy while the weights move."""
    total_loss, n_correct = torch.zeros((), device=inputs.device), torch.zeros((), device=inputs.device)
    for batch in torch.randperm(len(inputs)).to(inputs.device).split(batch_size):
        outputs, labels = model(inputs[batch]), targets[batch]
        loss = loss_function(outputs, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        total_loss += loss.detach() * len(batch)
        n_correct += _n_correct(outputs.detach(), labels)
    return {"loss": total_loss.item() / len(inputs), "accuracy": n_correct.item() / len(inputs)}


def load_or_train(model: nn.Module, data: ImageSet, **settings: Any) -> TrainingResult:
    """`train_classifier(model, data, **settings)`, kept on disk: the second call reads what the first one trained.

    The key holds everything that determines the result: the network with its code and frozen weights, data, settings, the
    code of the training, torch's version; not the number of threads, which changes only the last digits. What cannot be
    told is not kept, with a `UserWarning`.
    """
    return _load_or(train_classifier, (model, data), settings)


def load_or_fit(
    model: nn.Module, inputs: Tensor, targets: Tensor, loss_function: Callable, **settings: Any
) -> TrainingResult:
    """`fit(...)`, kept on disk in the same way; the loss function is known by its code and what it holds."""
    return _load_or(fit, (model, inputs, targets, loss_function), settings)


def _load_or(train: Callable[..., TrainingResult], arguments: tuple, settings: dict) -> TrainingResult:
    bound, key = bound_and_key(train, arguments, settings)
    model = arguments[0]

    def make() -> tuple[dict, dict]:
        result = train(*bound.args, **bound.kwargs)
        return result.model.state_dict(), result.history

    weights, history = load_or_make("models", key, make)
    model.load_state_dict(weights)
    return TrainingResult(model.eval(), history)


def bound_and_key(train: Callable, arguments: tuple, settings: dict) -> tuple[inspect.BoundArguments, dict | None]:
    """The arguments of `train`, model first, and all that determines its result (None with a warning: cannot be told)."""
    bound = inspect.signature(train).bind(*arguments, **settings)
    bound.apply_defaults()
    told = {name: value for name, value in bound.arguments.items() if name not in ("model", "progress")}
    return bound, key_of(
        code=train,
        model=lambda: start_of(arguments[0]),
        **told,
        torch=torch.__version__,
        cuda=torch.cuda.is_available(),
    )


def predict_logits(model: nn.Module, images: Tensor, batch_size: int = 250) -> np.ndarray:
    """The model's logits for `images` `[N, …]` as a float32 array `[N, C]`, in evaluation mode (no dropout)."""
    if not isinstance(images, Tensor) or images.dtype != torch.float32:
        raise TypeError(
            f"images must be a float32 tensor, got {images.dtype if isinstance(images, Tensor) else type(images).__name__}"
        )
    if len(images) == 0:
        raise ValueError("images is empty; it needs at least one image")
    was_training = model.training
    device = next(model.parameters()).device
    try:
        with flushed_denormals():
            return _forward(model, images, device, batch_size).float().cpu().numpy()
    finally:
        model.train(was_training)


def evaluate(model: nn.Module, data: ImageSet) -> Evaluation:
    """Loss and accuracy of the model on `data`."""
    logits = torch.as_tensor(predict_logits(model, data.images))
    return Evaluation(
        F.cross_entropy(logits.double(), data.labels).item(), _n_correct(logits, data.labels).item() / len(data)
    )


@torch.no_grad()
def _forward(model: nn.Module, inputs: Tensor, device: torch.device, batch_size: int = 250) -> Tensor:
    model.eval()
    layout = torch.channels_last if inputs.ndim == 4 else torch.contiguous_format
    return torch.cat([model(chunk.to(device).contiguous(memory_format=layout)) for chunk in inputs.split(batch_size)])


def _n_correct(outputs: Tensor, targets: Tensor) -> Tensor:
    predicted = (outputs > 0).to(targets.dtype) if targets.is_floating_point() else outputs.argmax(-1)
    return (predicted == targets).sum()


def describe_architecture(model: nn.Module) -> str:
    """Text that changes with the network's structure, code and frozen weights, but not with comments or docstrings.

    Raises:
        ValueError: as `reset_weights`. Undescribable: an attribute hides its content.
    """
    return json.dumps(describe(start_of(model), "model"))


@contextlib.contextmanager
def flushed_denormals() -> Iterator[None]:
    """Treat numbers under 1e-38 as zero inside the block: CPUs work up to 100 times slower on them, for nothing."""
    already_on = torch.tensor(1e-40).mul(1.0).item() == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(already_on)

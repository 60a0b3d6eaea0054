"""One training loop for every network of the course, predictions, and a cache so that nothing is trained twice.

Torch side: images in, logits out. Fast by design: the whole data set in memory, `channels_last`, fused Adam, denormal
numbers flushed to zero, freed memory kept for the next batch.
"""

import ast
import contextlib
import copy
import ctypes
import hashlib
import inspect
import math
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from mia_helpers.cache import load_or_make
from mia_helpers.data import ImageSet
from mia_helpers.seeds import shifted


def _keep_freed_memory() -> None:
    """Have glibc keep up to 512 MB of freed memory for the next batch, in blocks of up to 32 MB.

    It would hand the end of its heap back to the system after each batch and fetch it again, page by page, for the next.
    What else lies on the heap decides whether it does; where it did, that was a third of the training time.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another system, another allocator: nothing to mend
        mallopt = ctypes.CDLL(None).mallopt
        for option, value in ((-3, 2**25), (-1, 2**29)):  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD of malloc.h
            mallopt(option, value)


_keep_freed_memory()


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


def train_classifier(model: nn.Module, data: ImageSet, *, epochs: int, lr: float, seed: int, batch_size: int = 64,
                     weight_decay: float = 0.0, label_smoothing: float = 0.0, validation: ImageSet | None = None,
                     patience: int | None = None, device: str | None = None, progress: bool = True) -> TrainingResult:
    """Train `model` on `data` with Adam and cross-entropy, from weights drawn afresh with `seed`.

    The same arguments give the same weights on the same kind of CPU with the same number of threads.

    Args:
        model: a network that returns logits; it is trained in place. Its present weights are thrown away.
        epochs: passes over the data. lr: Adam's learning rate. seed: for weights, order of the batches and dropout.
        weight_decay: decoupled (AdamW). label_smoothing: share of the label spread over all classes, 0 … 1.
        validation: measured after every epoch.
        patience: stop after so many epochs without a lower validation loss, and go back to the best weights.
        device: default CUDA if there is one, else the CPU. progress: show a bar.

    Raises:
        ValueError: a parameter out of range, patience without a validation set, or a loss that is no longer finite.
    """
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing must lie in [0, 1), got {label_smoothing}")

    def loss_function(logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)

    pair = None if validation is None else (validation.images, validation.labels)
    return fit(model, data.images, data.labels, loss_function, epochs=epochs, lr=lr, seed=seed, batch_size=batch_size,
               weight_decay=weight_decay, validation=pair, patience=patience, device=device, progress=progress)


def fit(model: nn.Module, inputs: Tensor, targets: Tensor, loss_function: Callable[[Tensor, Tensor], Tensor], *,
        epochs: int, lr: float, seed: int, batch_size: int = 64, weight_decay: float = 0.0,
        validation: tuple[Tensor, Tensor] | None = None, patience: int | None = None, device: str | None = None,
        progress: bool = True) -> TrainingResult:
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
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    layout = torch.channels_last if inputs.ndim == 4 else torch.contiguous_format
    with seeded(seed), flushed_denormals():
        reset_weights(model)
        model.to(device, memory_format=layout).train()
        inputs = inputs.to(device).contiguous(memory_format=layout)
        targets = targets.to(device)
        optimiser = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay, fused=True)
        names = ["loss", "accuracy"] + (["validation_loss", "validation_accuracy"] if validation else [])
        history: dict[str, list[float]] = {name: [] for name in names}
        best = (math.inf, 0, None)
        for epoch in tqdm(range(epochs), desc="training", unit="epoch", leave=False, disable=not progress):
            total_loss, n_correct = torch.zeros((), device=device), torch.zeros((), device=device)
            for batch in torch.randperm(len(inputs)).to(device).split(batch_size):
                outputs, labels = model(inputs[batch]), targets[batch]
                loss = loss_function(outputs, labels)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                total_loss += loss.detach() * len(batch)
                n_correct += _n_correct(outputs.detach(), labels)
            history["loss"].append(total_loss.item() / len(inputs))
            history["accuracy"].append(n_correct.item() / len(inputs))
            if not math.isfinite(history["loss"][-1]):
                raise ValueError(f"the loss is {history['loss'][-1]} after epoch {epoch + 1}; lower the learning rate "
                                 f"(now {lr}) or look for extreme inputs")
            if validation:
                outputs = _forward(model, validation[0], device)
                labels = validation[1].to(device)
                history["validation_loss"].append(loss_function(outputs, labels).item())
                history["validation_accuracy"].append(_n_correct(outputs, labels).item() / len(labels))
                model.train()
                if patience and history["validation_loss"][-1] < best[0]:
                    best = (history["validation_loss"][-1], epoch, copy.deepcopy(model.state_dict()))
                elif patience and epoch - best[1] >= patience:
                    break
        if best[2] is not None:
            model.load_state_dict(best[2])
    return TrainingResult(model.to("cpu").eval(), history)


def load_or_train(model: nn.Module, data: ImageSet, **settings) -> TrainingResult:
    """`train_classifier(model, data, **settings)`, kept on disk: the second call reads what the first one trained.

    The key holds everything that determines the result: architecture (with its source), data, settings, torch's version.
    """
    return _load_or(train_classifier, (model, data), settings)


def load_or_fit(model: nn.Module, inputs: Tensor, targets: Tensor, loss_function: Callable, **settings) -> TrainingResult:
    """`fit(...)`, kept on disk in the same way; the loss function is known by its name."""
    return _load_or(fit, (model, inputs, targets, loss_function), settings)


def _load_or(train: Callable[..., TrainingResult], arguments: tuple, settings: dict) -> TrainingResult:
    bound, key = bound_and_key(train, (fit, train_classifier, reset_weights), arguments, settings)
    model = arguments[0]

    def make() -> tuple[dict, dict]:
        result = train(*bound.args, **bound.kwargs)
        return result.model.state_dict(), result.history

    weights, history = load_or_make("models", key, make)
    model.load_state_dict(weights)
    return TrainingResult(model.eval(), history)


def bound_and_key(train: Callable, code: tuple[Callable, ...], arguments: tuple,
                  settings: dict) -> tuple[inspect.BoundArguments, dict]:
    """The arguments of `train` and all that determines its result: these, the source of `code`, versions."""
    bound = inspect.signature(train).bind(*arguments, **settings)
    bound.apply_defaults()
    source = "".join(inspect.getsource(f) for f in code)
    return bound, {name: _describe(value) for name, value in bound.arguments.items() if name != "progress"} | {
        "torch": torch.__version__, "loop": hashlib.sha256(source.encode()).hexdigest(),
        "threads": torch.get_num_threads(), "cuda": torch.cuda.is_available()}


def _describe(value: object) -> object:
    """A JSON-able stand-in that differs whenever the value does."""
    if isinstance(value, ImageSet):
        return value.fingerprint
    if isinstance(value, nn.Module):
        return describe_architecture(value)
    if isinstance(value, Tensor):
        return [str(value.dtype), list(value.shape), hashlib.sha256(value.contiguous().numpy().tobytes()).hexdigest()]
    if isinstance(value, tuple):
        return [_describe(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return f"{value.__module__}.{value.__qualname__}" if callable(value) else value


def predict_logits(model: nn.Module, images: Tensor, batch_size: int = 250) -> np.ndarray:
    """The model's logits for `images` `[N, …]` as a float32 array `[N, C]`, in evaluation mode (no dropout)."""
    if not isinstance(images, Tensor) or images.dtype != torch.float32:
        raise TypeError("images must be a float32 tensor, got "
                        f"{images.dtype if isinstance(images, Tensor) else type(images).__name__}")
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
    return Evaluation(F.cross_entropy(logits.double(), data.labels).item(),
                      _n_correct(logits, data.labels).item() / len(data))


@torch.no_grad()
def _forward(model: nn.Module, inputs: Tensor, device: torch.device, batch_size: int = 250) -> Tensor:
    model.eval()
    layout = torch.channels_last if inputs.ndim == 4 else torch.contiguous_format
    return torch.cat([model(chunk.to(device).contiguous(memory_format=layout)) for chunk in inputs.split(batch_size)])


def _n_correct(outputs: Tensor, targets: Tensor) -> Tensor:
    predicted = (outputs > 0).to(targets.dtype) if targets.is_floating_point() else outputs.argmax(-1)
    return (predicted == targets).sum()


def reset_weights(model: nn.Module) -> None:
    """Draw all weights afresh (torch's default initialisation, from the present random state).

    Raises:
        ValueError: a layer has weights but no `reset_parameters`, so the result would depend on more than the seed.
    """
    for name, module in model.named_modules():
        if callable(getattr(module, "reset_parameters", None)):
            module.reset_parameters()
        elif next(module.parameters(recurse=False), None) is not None:
            raise ValueError(f"layer {name or 'itself'!r} ({type(module).__name__}) holds weights of its own; give it a "
                             "method reset_parameters() so that training can start from a seed")


def describe_architecture(model: nn.Module) -> str:
    """Text that changes whenever the network's structure or its code changes, but not with comments or docstrings."""
    try:
        code = ast.parse(textwrap.dedent(inspect.getsource(type(model))))
        for node in ast.walk(code):
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
        source = ast.unparse(code)
    except (OSError, TypeError):
        source = "source not available"
    shapes = [(name, list(value.shape), str(value.dtype)) for name, value in model.state_dict().items()]
    return f"{type(model).__qualname__}\n{model!r}\n{shapes}\n{source}"


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's random numbers follow `seed` (and `MIA_SEED_SHIFT`) inside the block; outside, nothing has changed."""
    with torch.random.fork_rng():
        torch.manual_seed(shifted(seed))
        yield


@contextlib.contextmanager
def flushed_denormals() -> Iterator[None]:
    """Treat numbers under 1e-38 as zero inside the block: CPUs work up to 100 times slower on them, for nothing."""
    already_on = torch.tensor(1e-40).mul(1.0).item() == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(already_on)

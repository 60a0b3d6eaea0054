"""Training with differential privacy: DP-SGD through Opacus, with the ε that was spent.

Torch side.
"""

import copy
import functools
import importlib.metadata
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from mia_helpers.cache import load_or_make
from mia_helpers.data import ImageSet
from mia_helpers.inputs import positive_numbers, whole_number
from mia_helpers.progress import tqdm
from mia_helpers.training import bound_and_key, flushed_denormals, keep_freed_memory, reset_weights, seeded

if TYPE_CHECKING:  # see _private_sgd
    from opacus.optimizers import DPOptimizer

MAX_GRADIENT_NUMBERS = 50_000_000  # held at once as gradients of single examples: 200 MB in float32


@dataclass(frozen=True)
class PrivateTraining:
    """A model trained with differential privacy, and its price.

    Attributes:
        model: the trained network, in evaluation mode, on the CPU.
        epsilon: what the accountant says was spent, at most the target; infinite without noise.
        delta: the δ that belongs to it.
        noise_multiplier: standard deviation of the noise in units of `max_grad_norm`.
        history: `loss` and `accuracy`, one value for each epoch: means over the examples drawn, while the weights moved.
            Computed from members without noise, so ε does not cover it: not for publication.
    """

    model: nn.Module
    epsilon: float
    delta: float
    noise_multiplier: float
    history: dict[str, list[float]] = field(repr=False)


def train_private(
    model: nn.Module,
    data: ImageSet,
    target_epsilon: float,
    delta: float,
    *,
    epochs: int,
    lr: float,
    batch_size: int,
    seed: int,
    max_grad_norm: float = 1.0,
    momentum: float = 0.0,
    device: str | None = None,
    progress: bool = True,
) -> PrivateTraining:
    """DP-SGD: clip the gradient of each example, add noise, count the cost (Abadi et al. 2016, 1607.00133), with Opacus.

    Opacus draws the batches (each example independently, with probability batch_size / N), clips, adds the noise and keeps
    the account (in Rényi differential privacy); the gradients of single examples come from `torch.func`, faster here than
    Opacus' hooks. Guarantee: whoever sees the model cannot tell well whether one example was there or not (adding or
    removing one), (ε, δ). It covers one training: choosing settings by trying many on the same data costs more (Papernot &
    Steinke 2021, 2110.03620). The noise is reproducible, thus fit for experiments, not for releasing a model on real people.

    Args:
        model: a network that returns logits, without batch normalisation; trained in place from weights drawn afresh;
            frozen ones (`requires_grad=False`) stay as they are.
        target_epsilon: ε not to be exceeded; `math.inf`: clipping only, no noise, no guarantee.
        delta: the chance that ε fails, below 1/N: at 1/N a training that publishes one random member whole would pass
            (Dwork & Roth 2014, section 2.3).
        epochs: in each, round(N / batch_size) batches. lr, momentum: of SGD. seed: for weights, batches and noise.
        batch_size: the expected size; real sizes vary, and a batch may be empty (then the step is noise alone).
        max_grad_norm: L2 norm to which each example's gradient is clipped.
        device: default CUDA if there is one, else the CPU. progress: show a bar.

    Raises:
        ValueError: a parameter out of range, an ε too small for the accountant, a layer that mixes examples (its name and
            the way out are given), or a loss that is no longer finite.
        TypeError: epochs or batch_size not whole.
    """
    epochs, batch_size = _checked_settings(len(data), target_epsilon, delta, epochs, batch_size, lr, max_grad_norm, momentum)
    _refuse_mixing_layers(model)
    rate, steps = batch_size / len(data), max(1, round(len(data) / batch_size))
    noise = 0.0
    if target_epsilon < math.inf:
        noise = _noise_multiplier(float(target_epsilon), float(delta), rate, epochs * steps)
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    keep_freed_memory()
    with seeded(seed), flushed_denormals():
        reset_weights(model)
        model.to(where).train()
        images, labels = data.images.to(where), data.labels.to(where)
        optimiser, account = _private_sgd(model, rate, batch_size, lr, momentum, noise, max_grad_norm)
        gradients_of_each = _gradients_of_each(model)
        history: dict[str, list[float]] = {"loss": [], "accuracy": []}
        try:
            for epoch in tqdm(range(epochs), desc="training privately", unit="epoch", leave=False, disable=not progress):
                totals, n_drawn = _private_epoch(model, images, labels, gradients_of_each, optimiser, rate, steps)
                finite = torch.stack([p.isfinite().all() for p in _trained(model).values()]).all()
                if not finite or not totals.isfinite().all():
                    raise ValueError(
                        f"loss or weights are no longer finite after epoch {epoch + 1}; lower the learning "
                        f"rate (now {lr}) or the noise (multiplier now {noise:.3g})"
                    )
                for name, total in zip(history, (totals / max(1, n_drawn)).tolist()):
                    history[name].append(total)
        finally:
            optimiser.zero_grad(set_to_none=True)
            for p in _trained(model).values():
                del p.grad_sample, p.summed_grad
    epsilon = account.get_epsilon(delta=delta) if noise else math.inf
    return PrivateTraining(model.to("cpu").eval(), float(epsilon), float(delta), noise, history)


def _checked_settings(
    n: int,
    target_epsilon: float,
    delta: float,
    epochs: int,
    batch_size: int,
    lr: float,
    max_grad_norm: float,
    momentum: float,
) -> tuple[int, int]:
    """epochs and batch_size as whole numbers, or an error for the first setting out of range."""
    epochs, batch_size = whole_number("epochs", epochs, 1), whole_number("batch_size", batch_size, 1, n)
    positive_numbers(lr=lr, max_grad_norm=max_grad_norm)
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum must lie in [0, 1), got {momentum}")
    if not target_epsilon > 0:
        raise ValueError(f"target_epsilon must be positive, got {target_epsilon}; math.inf means clipping without noise")
    if not 0 < delta < 1 / n:
        raise ValueError(
            f"delta must lie between 0 and 1/N = {1 / n:g} for {n} examples, got {delta}; from 1/N on, giving "
            "away a whole random example would count as private"
        )
    return epochs, batch_size


def _trained(model: nn.Module) -> dict[str, Any]:
    """The parameters that are trained, on which Opacus hangs attributes of its own."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def _private_sgd(
    model: nn.Module, rate: float, batch_size: int, lr: float, momentum: float, noise: float, max_grad_norm: float
) -> tuple:
    """Opacus' optimiser, which clips and adds noise, and its accountant, which counts each step."""
    from opacus.accountants import RDPAccountant  # here: Opacus takes seconds to load, and the masks need none of it
    from opacus.optimizers import DPOptimizer

    account = RDPAccountant()
    optimiser = DPOptimizer(
        torch.optim.SGD(_trained(model).values(), lr=lr, momentum=momentum),
        noise_multiplier=noise,
        max_grad_norm=max_grad_norm,
        expected_batch_size=batch_size,
    )
    optimiser.attach_step_hook(account.get_optimizer_hook_fn(sample_rate=rate))
    return optimiser, account


def _gradients_of_each(model: nn.Module) -> Callable:
    """f(weights, images [B, …], labels [B]) -> gradients by weight name, each [B, …], and (losses [B], logits [B, C])."""

    def loss_and_logits(weights: dict[str, Tensor], image: Tensor, label: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        logits = functional_call(model, weights, (image[None],))
        loss = F.cross_entropy(logits, label[None])
        return loss, (loss, logits[0])

    # Dropout differs from example to example.
    return vmap(grad(loss_and_logits, has_aux=True), in_dims=(None, 0, 0), randomness="different")


def _private_epoch(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    gradients_of_each: Callable,
    optimiser: "DPOptimizer",
    rate: float,
    steps: int,
) -> tuple[Tensor, int]:
    """`steps` batches drawn at random; [sum of losses, number right] over the examples drawn, and how many these were."""
    from opacus.utils.uniform_sampler import UniformWithReplacementSampler

    parameters = _trained(model)
    weights = {name: p.detach() for name, p in parameters.items()}  # the same memory: these move with the model
    chunk_size = max(1, MAX_GRADIENT_NUMBERS // sum(p.numel() for p in parameters.values()))
    totals, n_drawn = torch.zeros(2, device=images.device), 0
    for batch in UniformWithReplacementSampler(num_samples=len(images), sample_rate=rate, steps=steps):
        chunks = torch.tensor(batch, dtype=torch.long, device=images.device).split(chunk_size)  # at least one, if empty
        for i, chunk in enumerate(chunks, start=1):
            optimiser.zero_grad()
            if len(chunk) == 0:
                gradients = {name: p.new_zeros(0, *p.shape) for name, p in weights.items()}
            else:
                gradients, (losses, logits) = gradients_of_each(weights, images[chunk], labels[chunk])
                totals += torch.stack([losses.sum(), (logits.argmax(1) == labels[chunk]).sum()])
            for name, p in parameters.items():
                p.grad_sample = gradients[name]
            optimiser.signal_skip_step(i < len(chunks))  # clip and add up; noise and step with the last chunk
            optimiser.step()
        n_drawn += len(batch)
    return totals, n_drawn


def load_or_train_private(
    model: nn.Module, data: ImageSet, target_epsilon: float, delta: float, **settings: Any
) -> PrivateTraining:
    """`train_private(...)`, kept on disk: the second call reads what the first one trained.

    The key holds everything that determines the result, as that of `load_or_train` does, and Opacus' version.
    """
    bound, key = bound_and_key(train_private, (model, data, target_epsilon, delta), settings)
    key = key and key | {"opacus": importlib.metadata.version("opacus")}

    def make() -> tuple[dict, dict]:
        result = train_private(*bound.args, **bound.kwargs)
        content = {name: getattr(result, name) for name in ("epsilon", "delta", "noise_multiplier", "history")}
        return result.model.state_dict(), content

    weights, content = load_or_make("private", key, make)
    model.load_state_dict(weights)
    return PrivateTraining(model.eval(), **content)


@functools.cache
def _noise_multiplier(epsilon: float, delta: float, rate: float, steps: int) -> float:
    """The smallest noise, to 0.01 in ε, that keeps to the target; remembered, since a farm asks for the same many times."""
    from opacus.accountants.utils import get_noise_multiplier

    with warnings.catch_warnings():
        # The search starts with much noise, where the best Rényi order lies beyond the accountant's list. That makes ε
        # larger than it need be, never smaller, and nothing can be done about it from outside.
        warnings.filterwarnings("ignore", "Optimal order is the (largest|smallest) alpha", UserWarning)
        try:
            return get_noise_multiplier(
                target_epsilon=epsilon, target_delta=delta, sample_rate=rate, steps=steps, accountant="rdp"
            )
        except ValueError as error:
            raise ValueError(
                f"the accountant finds no noise that keeps to ε = {epsilon:g} at δ = {delta:g} ({error}); "
                f"ask for a larger ε or δ"
            ) from error


def _refuse_mixing_layers(model: nn.Module) -> None:
    """Error for layers through which one example changes what others get: their gradients cannot be clipped one by one."""
    from opacus.validators import ModuleValidator

    for name, layer in model.named_modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            groups = math.gcd(32, layer.num_features)
            raise ValueError(
                f"layer {name or 'itself'!r} ({type(layer).__name__}) normalises over the batch, so each "
                "example changes the others' gradients and clipping bounds nobody's influence; replace it with "
                f"nn.GroupNorm({groups}, {layer.num_features})"
            )
        if isinstance(layer, nn.modules.batchnorm._NormBase) and layer.track_running_stats:
            raise ValueError(
                f"layer {name or 'itself'!r} ({type(layer).__name__}) keeps statistics of the members without "
                "noise; use track_running_stats=False"
            )
    if errors := ModuleValidator.validate(copy.deepcopy(model).train(), strict=False):
        raise ValueError(f"Opacus cannot train this model privately: {'; '.join(map(str, errors))}")

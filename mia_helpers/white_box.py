"""Attacks with the model's parameters: gradients and activations.

Torch side: images in, a row of numbers for each example out.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from mia_helpers.label_only import _labels
from mia_helpers.training import predict_logits


def gradient_norms(model: nn.Module, images: Tensor, labels: Tensor, *, parameters: Sequence[str] | None = None,
                   chunk: int = 100) -> np.ndarray:
    """For each example the norm of the loss's gradient, one number for each parameter tensor (Nasr et al. 2018, 1812.00910).

    All examples of a chunk at once with `torch.func` (`vmap` over `grad`), in float64 and evaluation mode: the members'
    gradients are so small that float32 would round the largest part of them, p_y − 1, to zero.

    Args:
        model: a network that returns logits. images: `[N, …]`. labels: integers `[N]`.
        parameters: names as in `model.named_parameters()`; default all.
        chunk: examples at once; memory grows with chunk × number of parameters.

    Returns:
        Euclidean norms, float64 `[N, P]`, in the order of `parameters`. The norm of the whole gradient is
        `np.linalg.norm(result, axis=1)`. Small means "member": turn the sign for a score.

    Raises:
        ValueError: an unknown parameter, chunk below 1, or labels that do not fit.
    """
    truth = torch.as_tensor(_labels(images, labels), dtype=torch.int64)
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    values = {name: value.detach().double() for name, value in model.named_parameters()}
    names = list(values) if parameters is None else list(parameters)
    if unknown := [name for name in names if name not in values]:
        raise ValueError(f"the model has no parameter {unknown[0]!r}; it has {', '.join(values)}")
    wanted = {name: values.pop(name) for name in names}
    fixed = values | {name: value.double() if value.is_floating_point() else value for name, value in model.named_buffers()}

    def loss(moving: dict, image: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(model, (moving, fixed), (image[None],)), label[None])

    def norms(image: Tensor, label: Tensor) -> Tensor:
        return torch.stack([part.norm() for part in grad(loss)(wanted, image, label).values()])

    was_training = model.training
    model.eval()
    try:
        pieces = zip(images.double().split(chunk), truth.split(chunk))
        return torch.cat([vmap(norms)(*piece) for piece in pieces]).numpy()
    finally:
        model.train(was_training)


def activations(model: nn.Module, images: Tensor, layer: str) -> np.ndarray:
    """What a layer inside the model puts out for each example (Nasr et al. 2018, 1812.00910).

    Two networks trained from different weights have their hidden units in different orders, so what is learnt on a shadow's
    units says nothing about the target's, unless the attack does not look at the order (for instance, sorts each row).

    Args:
        images: `[N, …]`. layer: a name as in `model.named_modules()`, e.g. `"classifier.2"`.

    Returns:
        float32 `[N, D]`, the output flattened, in evaluation mode.

    Raises:
        ValueError: there is no such layer.
    """
    layers = dict(model.named_modules())
    if layer not in layers or not layer:
        raise ValueError(f"the model has no layer {layer!r}; it has {', '.join(name for name in layers if name)}")
    kept: list[Tensor] = []
    hook = layers[layer].register_forward_hook(lambda module, inputs, output: kept.append(output.detach().flatten(1)))
    try:
        predict_logits(model, images)
    finally:
        hook.remove()
    return torch.cat(kept).numpy()

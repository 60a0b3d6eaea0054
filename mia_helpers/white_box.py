"""Attacks with the model's parameters: gradients and activations.

Torch side: images in, a row of numbers for each example out.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from mia_helpers.ask import as_inputs, evaluating, module_answers, place
from mia_helpers.inputs import InputError, InputTypeError, labels_of_images, whole_number


def gradient_norms(
    model: nn.Module,
    images: Tensor | np.ndarray,
    labels: Tensor | np.ndarray,
    *,
    parameters: Sequence[str] | None = None,
    chunk: int = 100,
) -> np.ndarray:
    """For each example the norm of the loss's gradient, one number for each parameter tensor (Nasr et al. 2018, 1812.00910).

    All examples of a chunk at once with `torch.func` (`vmap` over `grad`), in float64 and evaluation mode: the members'
    gradients are so small that float32 would round the largest part of them, p_y − 1, to zero. Computed where the model is,
    on copies of its parameters in float64, whatever their type; devices without float64 (Apple's) will not do.

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
    device, _ = place(model)
    truth = torch.tensor(labels_of_images(images, labels), dtype=torch.int64)
    chunk = whole_number("chunk", chunk, 1)
    values = {name: value.detach().double() for name, value in model.named_parameters()}
    names = list(values) if parameters is None else list(parameters)
    if unknown := [name for name in names if name not in values]:
        raise InputError(f"the model has no parameter {unknown[0]!r}; it has {', '.join(values)}")
    wanted = {name: values.pop(name) for name in names}
    fixed = values | {name: value.double() if value.is_floating_point() else value for name, value in model.named_buffers()}

    def loss(moving: dict, image: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(model, (moving, fixed), (image[None],)), label[None])

    def norms(image: Tensor, label: Tensor) -> Tensor:
        return torch.stack([part.norm() for part in grad(loss)(wanted, image, label).values()])

    starts = range(0, len(truth), chunk)
    with evaluating(model):
        return torch.cat(
            [
                vmap(norms)(
                    as_inputs(model, images[i : i + chunk], torch.float64, device), truth[i : i + chunk].to(device)
                ).cpu()
                for i in starts
            ]
        ).numpy()


def activations(model: nn.Module, images: Tensor, layer: str) -> np.ndarray:
    """What a layer inside the model puts out for each example (Nasr et al. 2018, 1812.00910).

    Two networks trained from different weights have their hidden units in different orders, so what is learnt on a shadow's
    units says nothing about the target's, unless the attack does not look at the order (for instance, sorts each row).

    Args:
        images: `[N, …]`. layer: a name as in `model.named_modules()`, e.g. `"classifier.2"`.

    Returns:
        float32 `[N, D]` (float64 of a model in float64), the output flattened, in evaluation mode. The model is asked as
        `mia_helpers.ask.ask` does.

    Raises:
        ValueError: there is no such layer. TypeError: it puts out something else than one tensor.
    """
    layers = dict(model.named_modules())
    if layer not in layers or not layer:
        raise InputError(f"the model has no layer {layer!r}; it has {', '.join(name for name in layers if name)}")
    kept: list[Tensor] = []

    def keep(module: nn.Module, given: tuple, output: object) -> None:
        if not isinstance(output, Tensor):
            raise InputTypeError(
                f"layer {layer!r} puts out a {type(output).__name__}, not a tensor; choose a layer in it or after it"
            )
        output = output.detach().flatten(1)
        kept.append((output if output.dtype == torch.float64 else output.float()).cpu())

    hook = layers[layer].register_forward_hook(keep)
    try:
        for _ in module_answers(model, images):
            pass
    finally:
        hook.remove()
    if not kept:
        raise InputError(f"layer {layer!r} was not used on {len(images)} images; choose one that the model calls")
    return torch.cat(kept).numpy()

"""Where a training starts: weights drawn afresh from a seed, frozen ones kept."""

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from mia_helpers import keys
from mia_helpers.seeds import shifted


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's random numbers follow `seed` (and `MIA_SEED_SHIFT`) inside the block; outside, nothing has changed."""
    with torch.random.fork_rng():
        torch.manual_seed(shifted(seed))
        yield


@torch.no_grad()
def reset_weights(model: nn.Module) -> None:
    """Draw all weights afresh (torch's default initialisation, from the present random state), but keep the frozen ones.

    Each layer's `reset_parameters()` is called, outer layers first; for layers that have none, `_reset_parameters()`.
    A parametrised layer (`weight_norm`) is drawn as it would be without, and its parts follow from that. Parameters with
    `requires_grad=False` keep their values, and so do the buffers of layers without any other parameters.

    Raises:
        ValueError: a layer has weights but no `reset_parameters` that draws all of them, so the result would depend on more
            than the seed; or it has not seen an input yet. The model is as it was before.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    if lazy := [name for name, p in model.named_parameters() if nn.parameter.is_lazy(p)]:
        raise ValueError(f"{', '.join(lazy)} have no shape yet; call the model once on a few examples before training")
    frozen = [name for name, layer in model.named_modules() if _is_frozen(model, name, layer)]
    kept: list[Tensor] = [p for p in model.parameters() if not p.requires_grad]
    kept += [b for name in frozen for b in model.get_submodule(name)._buffers.values() if b is not None]
    before = [(tensor, tensor.clone()) for tensor in (*model.parameters(), *model.buffers())]
    values = [(tensor, value) for tensor, value in before if any(tensor is k for k in kept)]
    try:
        drawn_by_hand = {
            id(p)
            for layer in model.modules()
            if parametrize.is_parametrized(layer)
            for made in _parametrisations(layer).values()
            for p in made._parameters.values()
        }
        for p in trainable:  # whatever is left as it is now has not been drawn
            if p.is_floating_point() and id(p) not in drawn_by_hand:
                p.fill_(torch.nan)
        for name, layer in model.named_modules():
            if name not in frozen:
                _draw(name, layer)
        for name, layer in model.named_modules():
            for own, p in layer._parameters.items():
                if p is not None and p.requires_grad and p.is_floating_point() and p.isnan().any():
                    raise _not_drawn(name, layer, own)
    except BaseException:
        _put_back(before)
        raise
    _put_back(values)


def _put_back(values: list[tuple[Tensor, Tensor]]) -> None:
    for tensor, value in values:
        tensor.copy_(value)


def _is_frozen(model: nn.Module, name: str, layer: nn.Module) -> bool:
    """All own parameters are frozen; for a layer without any, all of those of the smallest part around it that has some."""
    own = [p for p in layer._parameters.values() if p is not None]
    path = name.split(".") if name else []
    while not own:
        own = list(model.get_submodule(".".join(path)).parameters())
        if not path:
            break
        path.pop()
    return bool(own) and not any(p.requires_grad for p in own)


def _parametrisations(layer: nn.Module) -> dict[str, Any]:
    """Tensor -> the parts that make it, a ParametrizationList; of a layer that has some."""
    made = layer.parametrizations
    return dict(made.items()) if isinstance(made, nn.ModuleDict) else {}


def _draw(name: str, layer: nn.Module) -> None:
    draw = getattr(layer, "reset_parameters", None)
    if not callable(draw) and layer._parameters:
        draw = getattr(layer, "_reset_parameters", None)
    if parametrize.is_parametrized(layer):
        _draw_parametrised(name, layer)
    elif callable(draw):
        draw()


def _draw_parametrised(name: str, layer: nn.Module) -> None:
    """Draw the layer without its parametrisations, then give each the tensor that it is to make."""
    made_by = _parametrisations(layer)
    # Not a deep copy, which would share the class that was made for the layer.
    plain: Any = object.__new__(parametrize.type_before_parametrizations(layer))
    vars(plain).update(vars(layer), _modules={k: v for k, v in layer._modules.items() if k != "parametrizations"})
    shapes = layer._parameters | {made: getattr(layer, made) for made in made_by}
    plain._parameters = {own: p if p is None else nn.Parameter(torch.full_like(p, torch.nan)) for own, p in shapes.items()}
    draw = getattr(plain, "reset_parameters", None) or getattr(plain, "_reset_parameters", None)
    if draw is None:
        raise _not_drawn(name, layer, next(iter(made_by)))
    draw()
    for own, p in layer._parameters.items():
        if p is not None:
            p.copy_(plain._parameters[own])
    for made, parts in made_by.items():
        value = plain._parameters[made].detach()
        if value.isnan().any():
            raise _not_drawn(name, layer, made)
        for part in parts:
            if isinstance(part, parametrizations._SpectralNorm) and "_u" in part._buffers:
                for vector in (part._u, part._v):
                    vector.copy_(nn.functional.normalize(torch.randn_like(vector), dim=0))
                part._power_method(part._reshape_weight_to_matrix(value), 15)  # as when it is made
        if all(hasattr(part, "right_inverse") for part in parts):
            setattr(layer, made, value)
        elif hasattr(parts, "original") and parts.original.shape == value.shape:
            parts.original.copy_(value)
        else:
            raise _not_drawn(name, layer, made)


def _not_drawn(name: str, layer: nn.Module, parameter: str) -> ValueError:
    return ValueError(
        f"layer {name or 'itself'!r} ({type(layer).__name__}) holds weights of its own; give it a method "
        f"reset_parameters() so that training can start from a seed (it must draw {parameter!r}), or freeze "
        "them with requires_grad_(False)"
    )


def start_of(model: nn.Module) -> nn.Module:
    """A copy of the model as all trainings start from it: frozen weights and kept buffers as they are, the others 0.

    For the key of a training: two models of which it is the same train alike.

    Raises:
        ValueError: as `reset_weights`. Undescribable: the model cannot be copied.
    """
    try:
        start = copy.deepcopy(model).cpu().train()
    except (RuntimeError, TypeError) as error:
        raise keys.Undescribable(f"{type(model).__name__} cannot be copied ({error})") from error
    with seeded(0), torch.no_grad():
        reset_weights(start)
        for p in start.parameters():
            if p.requires_grad:
                p.zero_()
    return start


def refuse_single_examples(model: nn.Module, inputs: Tensor, batch_size: int) -> None:
    """Error if a batch of one example would come up, and a layer (batch normalisation) cannot be trained on one.

    Args:
        inputs: all that is trained on, `[N, …]`.
    """
    n = len(inputs)
    norms = any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in model.modules())
    if not norms or (n % batch_size != 1 and min(n, batch_size) > 1):
        return
    try:
        with seeded(0), torch.no_grad():
            copy.deepcopy(model).train()(inputs[:1])
    except ValueError as error:
        other = next((b for b in range(max(2, batch_size + 1), n) if n % b != 1), n)
        way_out = f"take another batch_size, for instance {other}" if n > 1 else "give it more examples"
        raise ValueError(
            f"{n} examples in batches of {batch_size} leave a batch of a single one, over which batch "
            f"normalisation has nothing to average ({error}); {way_out}"
        ) from error

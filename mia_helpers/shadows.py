"""The shadow farm: many models, each trained on its own random part of the same examples, and what all of them answer.

Torch side: images in, logits out. Each finished shadow is a file, so an interrupted run goes on where it stopped.
"""

import contextlib
import copy
import functools
import hashlib
import itertools
import os
import uuid
import weakref
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import joblib
import numpy as np
import torch
import torch.nn.functional as F
from filelock import FileLock
from joblib.parallel import get_active_backend
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from mia_helpers import training
from mia_helpers.bank import ShadowBank, draw_members
from mia_helpers.cache import atomic_path, cache_dir, name_of, read_entry, write_entry
from mia_helpers.inputs import InputTypeError, as_array
from mia_helpers.keys import key_of
from mia_helpers.models import SmallClassifier
from mia_helpers.progress import tqdm
from mia_helpers.seeds import VARIABLE, seed_shift, shifted
from mia_helpers.training import flushed_denormals, keep_freed_memory, predict_logits
from mia_helpers.weights import refuse_single_examples, reset_weights, seeded, start_of

TOGETHER = 64  # shadows that a GPU trains at once
Found = TypeVar("Found")
WEIGHT = "model."  # before the names of a shadow's weights in its file


@dataclass(frozen=True)
class Recipe:
    """How `train_shadows` trains if no `fit` is given: as `train_classifier` does.

    Attributes:
        model: called without arguments, returns a fresh network that returns logits `[n, C]`.
        epochs, lr, batch_size, weight_decay, label_smoothing: as in `train_classifier`.
        method: `"sequential"` (one model at a time in each process), `"vmap"` (up to 64 at once with torch.func; the same
            order of data, results equal up to rounding unless there is dropout), or `"auto"`: vmap on CUDA.
        device: default CUDA if there is one, else the CPU.
    """

    model: Callable[[], nn.Module] = SmallClassifier
    epochs: int = 20
    lr: float = 3e-3
    batch_size: int = 64
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    method: str = "auto"
    device: str | None = None

    @property
    def training(self) -> dict:
        """The numbers that go to the training loop."""
        return {name: getattr(self, name) for name in ("epochs", "lr", "batch_size", "weight_decay", "label_smoothing")}

    def settled(self, network: nn.Module) -> "Recipe":
        """The recipe with the method and device that `network` is trained with.

        Raises:
            ValueError: an unknown method, or a network with buffers and `"vmap"`.
        """
        device = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
        has_buffers, method = next(network.buffers(), None) is not None, self.method
        if method == "auto":
            method = "vmap" if torch.device(device).type == "cuda" and not has_buffers else "sequential"
        if method not in ("sequential", "vmap"):
            raise ValueError(f"method must be 'auto', 'sequential' or 'vmap', got {method!r}")
        if method == "vmap" and has_buffers:
            raise ValueError(
                f"{type(network).__name__} has buffers (batch normalisation?), which vmap cannot train; use "
                "method='sequential'"
            )
        return replace(self, method=method, device=device)


def train_shadows(
    n_shadows: int,
    images: ArrayLike | Tensor,
    labels: ArrayLike | Tensor,
    *,
    fit: Callable[[np.ndarray, np.ndarray, int], object] | None = None,
    answer: Callable[[object, np.ndarray], np.ndarray] | None = None,
    key: str | None = None,
    n_members: int | None = None,
    n_candidates: int | None = None,
    in_pairs: bool = False,
    person: ArrayLike | None = None,
    seed: int = 0,
    n_jobs: int | None = None,
    keep_models: bool = False,
    progress: bool = True,
    **recipe: Any,
) -> ShadowBank:
    """Train many models, each on its own random part of the examples, and ask all about all.

    Without `fit`, as `train_classifier` does, with the settings of a `Recipe`: `train_shadows(64, images, labels, lr=1e-3)`.
    With `fit`, in any other way: a defence, a scikit-learn estimator, somebody's own model.

    Shadow i depends on (seed, i) alone: its members are drawn without looking at any other model, so the number of shadows
    that had an example says nothing about who else had it. Targets come from the same function with another seed, and may
    be drawn `in_pairs`. Memberships and seeds do not depend on how it is trained, so a defence and its absence can be
    compared draw by draw.

    Every finished shadow is kept in the cache. If a run is interrupted (Ctrl-C, a killed process, a power cut), the same
    call goes on with what is missing, and asking for more shadows later trains only those.

    Args:
        n_shadows: S. images: `[N, …]`, float32, or any numbers with `fit`. labels: integers `[N]`.
        fit: called as `fit(images [n, …], labels [n], seed)` with NumPy arrays that cannot be written to; returns a model
            made for this call.
        answer: with `fit`, called as `answer(model, images)`; returns logits `[N, C]`. Default for torch modules.
        key: with `fit`, text that names the training. It stands for it in the cache, together with the code of `fit` and
            `answer` and all that these hold. Without it nothing is kept, and an interrupted run starts again.
        n_members: size of each training set; default half of the candidates.
        n_candidates: members are drawn from the first so many examples, the others are only asked about; default all.
        in_pairs: models 1, 3, … take the half of the candidates that the model before them left, so that each candidate is a
            member of half of the models. For targets only: among shadows, a partner would give its twin's members away.
        person: whose example each is, integers `[N]`: then whole people are drawn, and `n_members` counts people.
        n_jobs: processes, with one thread each; default what `joblib.parallel_config` says, else as many as torch's
            threads. Under `joblib.parallel_config(backend="dask")` the shadows are trained by a dask.distributed cluster.
        keep_models: keep the models, too, in `bank.models`, all in memory at once. With `fit` and `key` they must be torch
            modules, and `model=` must make one, into which the kept weights are read.
        progress: show a bar.
        recipe: settings of a `Recipe`: `model`, `epochs`, `lr`, `batch_size`, `weight_decay`, `label_smoothing`, `method`,
            `device`.

    Raises:
        ValueError: numbers out of range, shapes that do not fit, an unknown method, a model with buffers and `"vmap"`, a
            joblib backend of threads, answers that are not finite `[N, C]`, a `fit` or `answer` that changes its inputs, or
            two shadows that share a model.
        TypeError: images that are not numbers (float32 without `fit`), labels that are not integers, settings that do not go
            together, a model that needs `answer`.
        OSError: the cache cannot be written, and does not hold all that was asked for.
    """
    images, labels = _checked(images, labels, float32=fit is None)
    whose = None if person is None else _people(person, len(images), n_candidates)
    n_units = len(images) if whose is None else int(whose.max()) + 1
    n_members, n_candidates = _checked_sizes(n_shadows, n_members, n_candidates, n_units)
    if in_pairs and (n_shadows % 2 or 2 * n_members != n_candidates):
        raise ValueError(
            f"in_pairs needs an even number of models, and half of the candidates as members; got {n_shadows} "
            f"models and {n_members} of {n_candidates}"
        )
    mask = draw_members(n_shadows, seed, n_members, n_candidates, n_units)
    if in_pairs:
        mask[1::2, :n_candidates] = ~mask[::2, :n_candidates]
    if whose is not None:
        mask = mask[:, whose]
    draws = [_Draw(i, mask[i], _seed_of(seed, i)) for i in range(n_shadows)]
    design = {"n_members": n_members, "n_candidates": n_candidates} | ({"in_pairs": True} if in_pairs else {})
    design |= {} if whose is None else {"people": n_units}
    given = (answer, key, recipe, images, labels, n_jobs, keep_models)
    make, told, settings, network = _own(*given) if fit is None else _custom(fit, *given)
    if told is not None:
        told = key_of(**told, design=design, seed=seed, data=[images, labels], torch=torch.__version__)
    folder = None if told is None else cache_dir() / "shadows" / name_of(told)
    bank = ShadowBank(np.empty(0), mask, labels, seed, settings | design)
    return _farm(lambda missing: make([draws[i] for i in missing]), folder, bank, draws, network, keep_models, progress)


@dataclass(frozen=True)
class _Draw:
    """What makes one shadow different from the next: members, bool `[N]`, and seed."""

    index: int
    members: np.ndarray
    seed: int

    @functools.cached_property
    def digest(self) -> str:
        """By which a file is known; NumPy does not promise to draw the same in its next version."""
        return hashlib.sha256(np.packbits(self.members).tobytes() + f"{len(self.members)} {self.seed}".encode()).hexdigest()


def _own(
    answer: object, key: object, recipe: dict, images: np.ndarray, labels: np.ndarray, n_jobs: int | None, keep: bool
) -> tuple[Callable, dict | None, dict, Callable | None]:
    """For a recipe: a function of draws that yields what `_farm` wants, what the key holds, settings, maker of networks."""
    if answer is not None or key is not None:
        raise TypeError("answer and key go with fit; without fit, shadows are torch modules, and the cache knows all")
    plan = Recipe(**recipe)
    with seeded(0):
        network = plan.model()
    plan = plan.settled(network)
    settings = plan.training | {"method": plan.method}
    assert plan.device is not None  # settled
    told = {
        "code": _train_one if plan.method == "sequential" else _train_together,
        "model": lambda: start_of(network),
        "settings": settings,
        "device": torch.device(plan.device).type,
    }
    if plan.method == "vmap":
        return lambda draws: _vmapped(draws, plan, images, labels, keep), told, settings, plan.model
    return (lambda draws: _parallel(draws, n_jobs, _train_one, (plan, images, labels, keep))), told, settings, plan.model


def _custom(
    fit: Callable,
    answer: Callable | None,
    key: str | None,
    recipe: dict,
    images: np.ndarray,
    labels: np.ndarray,
    n_jobs: int | None,
    keep: bool,
) -> tuple[Callable, dict | None, dict, Callable | None]:
    """The same for a training of any kind."""
    network = recipe.pop("model", None) if keep and key is not None else None
    if recipe:
        raise TypeError(
            f"{', '.join(recipe)} would have no effect: with fit, the training is all in fit; put the settings "
            "there, for instance by functools.partial"
        )
    if keep and key is not None and network is None:
        raise TypeError(
            "keep_models with fit and key needs model=, which makes a network without arguments: only weights "
            "are written to disk, never a pickle. For other models leave key out, and they are kept in memory"
        )
    answer, run = answer or module_logits, uuid.uuid4().hex
    told = None if key is None else {"key": key, "fit": fit, "answer": answer}
    return (
        lambda draws: _parallel(draws, n_jobs, _train_with, (fit, answer, images, labels, run, keep, key is not None)),
        told,
        {"key": key},
        network,
    )


def module_logits(model: nn.Module, inputs: np.ndarray) -> np.ndarray:
    """What a torch module answers, float32 `[N, C]`.

    Raises:
        TypeError: another kind of model.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"fit returned a {type(model).__name__}, not a torch module; pass answer=, a function of model and "
            "inputs that returns logits [N, C]"
        )
    pieces = range(0, len(inputs), 5000)  # a copy of all inputs at once would be held by every process
    return np.concatenate([predict_logits(model, torch.tensor(inputs[i : i + 5000])) for i in pieces])


def _train_with(
    draw: _Draw, fit: Callable, answer: Callable, inputs: np.ndarray, labels: np.ndarray, run: str, keep: bool, on_disk: bool
) -> tuple[int, np.ndarray, object]:
    """As `_train_one`, with a training and a model of any kind."""
    inputs = _read_only(inputs)
    with _one_thread():
        with _said_to_copy("fit"):
            model = fit(_read_only(inputs[draw.members]), _read_only(labels[draw.members]), draw.seed)
        _refuse_shared(run, draw.index, model)
        before = zlib.crc32(inputs.data)
        with _said_to_copy("answer"):
            logits = np.asarray(answer(model, inputs), dtype=np.float32)
    if zlib.crc32(inputs.data) != before:  # torch.from_numpy shares memory and asks nobody
        raise ValueError(f"answer {CHANGES}")
    if logits.ndim != 2 or len(logits) != len(inputs) or not np.isfinite(logits).all():
        raise ValueError(
            f"answer must return finite logits [{len(inputs)}, C], got {list(logits.shape)} with "
            f"{int((~np.isfinite(logits)).sum())} NaN or infinite"
        )
    return draw.index, logits, (_weights_of(model) if on_disk else model) if keep else None


CHANGES = (
    "changes its inputs in place, but all shadows share them; copy first, for instance images = images.copy() (with "
    "torch: torch.tensor(images), not torch.from_numpy)"
)


@contextlib.contextmanager
def _said_to_copy(name: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        if "read-only" in str(error):
            raise ValueError(f"{name} {CHANGES}") from error
        raise


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view


def _weights_of(model: object) -> dict[str, Tensor]:
    """The weights of a torch module, to be written to disk.

    Raises:
        TypeError: another kind of model, or one with a state beside its tensors.
    """
    state = model.state_dict() if isinstance(model, nn.Module) else None
    if state is None or not all(isinstance(value, Tensor) for value in state.values()):
        raise TypeError(
            f"keep_models with key writes the tensors of torch modules, and fit returned a "
            f"{type(model).__name__}; leave key out, and the models are kept in memory"
        )
    return {name: value.detach().cpu() for name, value in state.items()}


_seen: dict = {}  # of the run in progress in this process: live models, and the last of a kind that has no weak references


def _refuse_shared(run: str, index: int, model: object) -> None:
    """Error if the model, its weights or its estimator are an earlier shadow's, too: it would know that one's members."""
    if _seen.get("run") != run:
        _seen.clear()
        _seen.update(run=run, live={}, last=None)
    live = _seen["live"]
    for place, part in _parts(model):
        # An id may be given to another object once its owner is gone, and then the reference is dead.
        if (known := live.get(place)) is not None and known[0]() is not None and known[1] != index:
            raise _shared(index)
        try:
            live[place] = weakref.ref(part), index
        except TypeError:  # a list, a dict: held until the next one comes, so that its id is not given away
            if part is _seen["last"]:
                raise _shared(index) from None
            _seen["last"] = part


ATOMS = (bool, int, float, complex, str, bytes, tuple, frozenset, range, type(None), np.generic, type)


def _shared(index: int) -> ValueError:
    return ValueError(
        f"fit returned for shadow {index} the model of an earlier shadow, or one that shares its weights; "
        "that one's members would be its members, too. Make a new model inside fit"
    )


def _parts(model: object) -> Iterator[tuple[tuple, object]]:
    """(place, object) of all by which two models can be one: themselves, trainable weights, fitted estimators inside."""
    if isinstance(model, ATOMS) and not isinstance(model, tuple):
        return
    if hasattr(model, "__self__"):  # a method stands for its object
        model = model.__self__
    if not isinstance(model, tuple):
        yield ("object", id(model)), model
    inner: Collection
    if isinstance(model, Pipeline):
        inner = [model.steps[-1][1]]
    elif isinstance(model, tuple | list):
        inner = model
    else:
        inner = (model if isinstance(model, dict) else getattr(model, "__dict__", {})).values()
    networks = [model] if isinstance(model, nn.Module) else [part for part in inner if isinstance(part, nn.Module)]
    for network in networks:
        for p in network.parameters():
            if p.requires_grad and p.numel():
                yield ("weights", p.data_ptr()), p
    for part in inner:
        if isinstance(part, BaseEstimator) and any(name.endswith("_") for name in vars(part)):
            yield ("object", id(part)), part


def _farm(
    make: Callable[[list[int]], Iterator[tuple[int, np.ndarray, object]]],
    folder: Path | None,
    bank: ShadowBank,
    draws: list[_Draw],
    network: Callable | None,
    keep: bool,
    progress: bool,
) -> ShadowBank:
    """`bank` with what `make(indices of missing shadows)` yields as it comes: (index, logits, weights or model or None)."""
    n_shadows = len(draws)
    count = functools.partial(tqdm, total=n_shadows, desc="shadows", leave=False, disable=not progress)
    if folder is None:
        done = {i: rest for i, *rest in count(make(list(range(n_shadows))))}
        logits, kept = zip(*(done[i] for i in range(n_shadows)))
        models = [_restored(network, one) if type(one) is dict and network else one for one in kept] if keep else None
        return replace(bank, logits=np.stack(logits), models=models)
    parts = [folder / f"{draw.index:05d}-{draw.digest[:12]}.safetensors" for draw in draws]
    all_draws = hashlib.sha256("".join(draw.digest for draw in draws).encode()).hexdigest()
    whole = folder / f"logits-{n_shadows}-{all_draws[:12]}.npy"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock")
        lock.acquire()  # a second caller waits here, and then finds everything done
    except OSError as error:
        if (there := _only_read(bank, parts, draws, whole, network, keep)) is not None:
            return there
        raise OSError(
            f"cannot keep shadows in {cache_dir()} ({error}); set MIA_CACHE_DIR to a folder that you can write to"
        ) from error
    try:
        if _open(whole) is None or keep:
            missing = [draw.index for draw, part in zip(draws, parts) if _read(part, draw, keep) is None]
            for i, logits, weights in count(make(missing) if missing else (), initial=n_shadows - len(missing)):
                tensors = {"logits": torch.from_numpy(np.require(logits, requirements="W"))}
                tensors |= {WEIGHT + name: value for name, value in (weights or {}).items()}
                write_entry(parts[i], tensors, {"shadow": i, "draw": draws[i].digest, "model": weights is not None})
        if _open(whole) is None:
            _assemble(parts, whole)
        models = (
            [_restored(network, _there(_read(part, draw, True), part)) for part, draw in zip(parts, draws)]
            if keep and network
            else None
        )
        return replace(bank, logits=_there(_open(whole), whole), models=models)
    finally:
        lock.release()


def _only_read(
    bank: ShadowBank, parts: list[Path], draws: list[_Draw], whole: Path, network: Callable | None, keep: bool
) -> ShadowBank | None:
    """`bank` from a cache that cannot be written; None if a shadow is missing there."""
    logits, models = _open(whole), None
    if logits is None:
        found = [_read(part, draw, False) for part, draw in zip(parts, draws)]
        if None in found:
            return None
        logits = np.stack([cast(dict, one)["logits"].numpy() for one in found])
    if keep:
        weights = [_read(part, draw, True) for part, draw in zip(parts, draws)]
        if None in weights:
            return None
        models = [_restored(network, cast(dict, one)) for one in weights] if network else None
    return replace(bank, logits=logits, models=models)


def _read(part: Path, draw: _Draw, with_model: bool) -> dict[str, Tensor] | None:
    """The tensors of a finished shadow; None if they are not there, damaged, or of another draw."""
    tensors, content = read_entry(part) or ({}, {})
    here = content.get("draw") == draw.digest and (content.get("model") or not with_model)
    return (
        {name.removeprefix(WEIGHT): value for name, value in tensors.items() if name != "logits"}
        if here and with_model
        else (tensors if here else None)
    )


def _there(found: Found | None, path: Path) -> Found:
    """What was found in a file that this call has just read or written; an error if it is gone or damaged since."""
    if found is None:
        raise OSError(f"{path} was removed or damaged while it was in use; call again")
    return found


def _restored(network: Callable[[], nn.Module], weights: dict[str, Tensor]) -> nn.Module:
    with seeded(0):
        model = network()
    model.load_state_dict(weights)
    return model.eval()


def _seed_of(seed: int, index: int) -> int:
    return int(np.random.SeedSequence([shifted(seed), index, 1]).generate_state(1)[0])


def _parallel(draws: list[_Draw], n_jobs: int | None, train: Callable, arguments: tuple) -> Iterator:
    """`train(draw, *arguments)` for each draw, in several processes; results as they come."""
    backend = get_active_backend()[0]
    threads = getattr(backend, "supports_sharedmem", False)
    if n_jobs is None and joblib.effective_n_jobs(None) == 1 and not threads:
        n_jobs = torch.get_num_threads()
    if threads and joblib.effective_n_jobs(n_jobs) > 1:
        raise ValueError(
            f"joblib's {type(backend).__name__} would train shadows in threads of one process, which share "
            "torch's random numbers; use processes (backend 'loky', the default, 'dask' or 'ray') or n_jobs=1"
        )
    if getattr(backend, "supports_return_generator", False):
        step, return_as = len(draws), "generator_unordered"
    else:  # Ray's backend, for one: it returns only when all is done, so give it a few at a time, and keep those
        step, return_as = 2 * joblib.effective_n_jobs(n_jobs), "list"
    with _on_every_worker(backend, arguments):
        for start in range(0, len(draws), max(step, 1)):
            some = draws[start : start + step]
            tasks = (joblib.delayed(_with_shift)(seed_shift(), train, draw, *arguments) for draw in some)
            # Copy on write: where somebody writes past NumPy's back, it is to be noticed, and must not end the process.
            yield from joblib.Parallel(n_jobs=n_jobs, return_as=return_as, mmap_mode="c")(tasks)


@contextlib.contextmanager
def _on_every_worker(backend: Any, arguments: tuple) -> Iterator[None]:
    """On a dask cluster, the arrays are sent to all workers: joblib would send them to one, and they would die with it."""
    arrays = [one for one in arguments if isinstance(one, np.ndarray)] if hasattr(backend, "data_futures") else []
    if arrays:
        backend.data_futures |= zip(map(id, arrays), backend.client.scatter(arrays, broadcast=True), strict=True)
    try:
        yield
    finally:
        for one in arrays:  # another array may get the same id
            backend.data_futures.pop(id(one), None)


def _with_shift(shift: int, train: Callable, *arguments: Any) -> tuple[int, np.ndarray, object]:
    """`train(*arguments)` with the caller's `MIA_SEED_SHIFT`, which a worker elsewhere, or one started earlier, has not."""
    if seed_shift() != shift:
        os.environ[VARIABLE] = str(shift)
    return train(*arguments)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Torch works with one thread inside the block, so that results do not depend on how many there are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _train_one(
    draw: _Draw, plan: Recipe, images: np.ndarray, labels: np.ndarray, keep: bool
) -> tuple[int, np.ndarray, dict | None]:
    """One shadow in this process: index, logits `[N, C]` and, if asked to keep it, weights."""
    options = plan.training
    loss = functools.partial(F.cross_entropy, label_smoothing=options.pop("label_smoothing"))
    with _one_thread():
        with seeded(draw.seed):
            network = plan.model()
        inputs, targets = torch.tensor(images[draw.members]), torch.tensor(labels[draw.members])
        network = training.fit(
            network, inputs, targets, loss, seed=draw.seed, device=plan.device, progress=False, **options
        ).model
        return draw.index, module_logits(network.to(plan.device), images), _weights_of(network) if keep else None


def _vmapped(draws: list[_Draw], plan: Recipe, images: np.ndarray, labels: np.ndarray, keep: bool) -> Iterator[tuple]:
    """(index, logits, weights if asked for) of each missing shadow, up to 64 trained at once."""
    keep_freed_memory()
    inputs, targets = torch.tensor(images).to(plan.device), torch.tensor(labels).to(plan.device)
    for start in range(0, len(draws), TOGETHER):
        chunk = draws[start : start + TOGETHER]
        members = torch.as_tensor(np.stack([np.flatnonzero(draw.members) for draw in chunk])).to(plan.device)
        logits, networks = _train_together(
            plan.model, inputs, targets, members, [draw.seed for draw in chunk], **plan.training
        )
        for draw, answers, network in zip(chunk, logits, networks):
            yield draw.index, answers, _weights_of(network) if keep else None


def _train_together(
    model: Callable,
    inputs: Tensor,
    targets: Tensor,
    members: Tensor,
    seeds: list[int],
    *,
    epochs: int,
    lr: float,
    batch_size: int,
    weight_decay: float,
    label_smoothing: float,
) -> tuple[np.ndarray, list[nn.Module]]:
    """Train one model for each row of `members` `[M, n]` at once; logits for all inputs, `[M, N, C]`, and the models.

    Weights and order of the batches are drawn as `fit` draws them. The models do not share a weight, so the gradient of the
    summed loss is each one's own, and Adam, which works weight by weight, takes the same steps.
    """
    networks, order = _starts(model, seeds, members.shape[1], epochs, inputs.device)  # order: [M, epochs, n]
    refuse_single_examples(networks[0], inputs[members[0]], batch_size)
    weights, _ = stack_module_state(networks)
    skeleton = copy.deepcopy(networks[0]).to("meta")
    moving = [w for w in weights.values() if w.requires_grad]
    optimiser = torch.optim.AdamW(moving, lr=lr, weight_decay=weight_decay, fused=True)

    def answer(weights: dict, images: Tensor) -> Tensor:
        return functional_call(skeleton, weights, (images,))

    def loss_of(weights: dict, images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(answer(weights, images), labels, label_smoothing=label_smoothing)

    with flushed_denormals(), seeded(seeds[0]):
        losses = torch.vmap(loss_of, randomness="different")
        for epoch in range(epochs):
            for batch in order[:, epoch].split(batch_size, dim=1):
                rows = members.gather(1, batch)
                optimiser.zero_grad()
                loss = losses(weights, inputs[rows], targets[rows])
                loss.sum().backward()
                optimiser.step()
        if not loss.isfinite().all():
            raise ValueError(f"a loss is not finite after {epochs} epochs; lower the learning rate (now {lr})")
        skeleton.eval()
        with torch.no_grad():
            for i, network in enumerate(networks):
                for name, p in network.eval().named_parameters():
                    p.copy_(weights[name][i])
            ask = torch.vmap(answer, in_dims=(0, None))
            logits = torch.cat([ask(weights, piece) for piece in inputs.split(250)], dim=1)
            return logits.float().cpu().numpy(), networks


def _starts(model: Callable, seeds: list[int], n: int, epochs: int, device: torch.device) -> tuple[list[nn.Module], Tensor]:
    """For each seed a network before its first step, and the order of its examples, integers `[M, epochs, n]`."""
    networks: list[nn.Module] = []
    orders = []
    for seed in seeds:
        with seeded(seed):
            network = model()
        if any(network is other for other in networks):
            raise ValueError(
                "model returned the same network twice; it must make a fresh one by each call, or be trained "
                "with method='sequential'"
            )
        with seeded(seed):
            reset_weights(network)
            orders.append(torch.stack([torch.randperm(n) for _ in range(epochs)]))
        networks.append(network.to(device).train())
    return networks, torch.stack(orders).to(device)


def _assemble(parts: list[Path], bank: Path) -> None:
    """One array file `[S, N, C]` from the shadows' files, written piece by piece and moved into place when complete."""
    with atomic_path(bank, shared=True) as temporary:
        pieces = (_there(read_entry(part), part)[0]["logits"].numpy() for part in parts)
        first = next(pieces)
        whole = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=(len(parts), *first.shape))
        for i, logits in enumerate(itertools.chain([first], pieces)):
            whole[i] = logits
        whole.flush()


def _open(bank: Path) -> np.ndarray | None:
    """The array, memory-mapped; None if it is not there or not whole."""
    try:
        return np.load(bank, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None


def _checked_sizes(n_shadows: int, n_members: int | None, n_candidates: int | None, n: int) -> tuple[int, int]:
    """Members and candidates, with their defaults."""
    n_candidates = n if n_candidates is None else n_candidates
    n_members = n_candidates // 2 if n_members is None else n_members
    if n_shadows < 1:
        raise ValueError(f"n_shadows must be at least 1, got {n_shadows}")
    if not 1 <= n_candidates <= n:
        raise ValueError(f"n_candidates must lie in 1 … {n}, the number of examples; got {n_candidates}")
    if not 1 <= n_members <= n_candidates:
        raise ValueError(f"n_members must lie in 1 … {n_candidates}, the number of candidates; got {n_members}")
    return n_members, n_candidates


def _people(person: ArrayLike, n: int, n_candidates: int | None) -> np.ndarray:
    """People as numbers from 0, `[N]`, or an error."""
    values = as_array(person)
    if values.shape != (n,) or values.dtype.kind not in "iu":
        raise InputTypeError(f"person must be integers [{n}], one for each example, got {values.dtype} {list(values.shape)}")
    if n_candidates is not None:
        raise TypeError("n_candidates counts examples from the first one and person draws people; give one of them")
    return np.unique(values, return_inverse=True)[1]


def _checked(
    images: ArrayLike | Tensor, labels: ArrayLike | Tensor, *, float32: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    images, labels = (a.numpy(force=True) if isinstance(a, Tensor) else np.asarray(a) for a in (images, labels))
    if not float32 and images.dtype.kind not in "fiub":
        raise TypeError(f"inputs must be numbers, got {images.dtype}")
    if float32 and images.dtype != np.float32:
        raise TypeError(f"images must be float32, got {images.dtype}; convert with .astype('float32')")
    if labels.dtype.kind not in "iu":
        raise TypeError(f"labels must be integers, got {labels.dtype}")
    if images.ndim < 2 or labels.shape != images.shape[:1] or len(labels) == 0:
        raise ValueError(
            f"expected images [N, …] and labels [N] with N > 0, got {list(images.shape)} and {list(labels.shape)}"
        )
    if not np.isfinite(images).all():
        raise ValueError(f"{int((~np.isfinite(images)).sum())} values of the images are NaN or infinite")
    if labels.min() < 0:
        raise ValueError(f"labels must not be negative, got {labels.min()}")
    return _read_only(np.ascontiguousarray(images)), _read_only(labels.astype(np.int64))

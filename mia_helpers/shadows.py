"""The shadow farm: many models, each trained on its own random part of the same examples, and what all of them answer.

Torch side: images in, logits out. Each finished shadow is a file, so an interrupted run goes on where it stopped.
"""

import contextlib
import copy
import functools
import hashlib
import inspect
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import torch
import torch.nn.functional as F
from filelock import FileLock
from joblib.parallel import get_active_backend
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state
from tqdm.auto import tqdm

from mia_helpers.bank import ShadowBank, draw_members
from mia_helpers.cache import atomic_path, cache_dir, name_of, read_entry, write_entry
from mia_helpers.models import SmallClassifier
from mia_helpers.seeds import VARIABLE, seed_shift, shifted
from mia_helpers.training import describe_architecture, fit, flushed_denormals, predict_logits, reset_weights, seeded

TOGETHER = 64  # shadows that a GPU trains at once


def train_shadows(n_shadows: int, images: ArrayLike | Tensor, labels: ArrayLike | Tensor, *,
                  model: Callable[[], nn.Module] = SmallClassifier, n_members: int | None = None,
                  n_candidates: int | None = None, in_pairs: bool = False, epochs: int = 20, lr: float = 3e-3,
                  batch_size: int = 64,
                  weight_decay: float = 0.0, label_smoothing: float = 0.0, seed: int = 0, n_jobs: int | None = None,
                  method: str = "auto", device: str | None = None, progress: bool = True) -> ShadowBank:
    """Train many models as `train_classifier` does, each on its own random part of the examples, and ask all about all.

    Shadow i depends on (seed, i) alone: its members are drawn without looking at any other model, so the number of shadows
    that had an example says nothing about who else had it. Targets come from the same function with another seed, and may
    be drawn `in_pairs`.

    Every finished shadow is kept in the cache. If a run is interrupted (Ctrl-C, a killed process, a power cut), the same
    call goes on with what is missing, and asking for more shadows later trains only those.

    Args:
        n_shadows: S. images: float32 `[N, …]`. labels: integers `[N]`.
        model: called without arguments, returns a fresh network that returns logits `[n, C]`.
        n_members: size of each training set; default half of the candidates.
        n_candidates: members are drawn from the first so many examples, the others are only asked about; default all.
        in_pairs: models 1, 3, … take the half of the candidates that the model before them left, so that each candidate is a
            member of half of the models. For targets only: among shadows, a partner would give its twin's members away.
        epochs, lr, batch_size, weight_decay, label_smoothing: as in `train_classifier`.
        n_jobs: processes, with one thread each; default what `joblib.parallel_config` says, else as many as torch's
            threads. Under `joblib.parallel_config(backend="dask")` the shadows are trained by a dask.distributed cluster.
        method: `"sequential"` (one model at a time in each process), `"vmap"` (up to 64 at once with torch.func; the same
            order of data, results equal up to rounding unless there is dropout), or `"auto"`: vmap on CUDA.
        device: default CUDA if there is one, else the CPU. progress: show a bar.

    Raises:
        ValueError: numbers out of range, shapes that do not fit, an unknown method, a model with buffers and `"vmap"`, or a
            joblib backend of threads.
        TypeError: images that are not float32, labels that are not integers.
        OSError: the cache cannot be written.
    """
    images, labels = _checked(images, labels)
    n_members, n_candidates = _checked_sizes(n_shadows, n_members, n_candidates, len(images))
    if in_pairs and (n_shadows % 2 or 2 * n_members != n_candidates):
        raise ValueError(f"in_pairs needs an even number of models, and half of the candidates as members; got {n_shadows} "
                         f"models and {n_members} of {n_candidates}")
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    with seeded(0):
        network = model()
    has_buffers = next(network.buffers(), None) is not None
    if method == "auto":
        method = "vmap" if torch.device(device).type == "cuda" and not has_buffers else "sequential"
    if method not in ("sequential", "vmap"):
        raise ValueError(f"method must be 'auto', 'sequential' or 'vmap', got {method!r}")
    if method == "vmap" and has_buffers:
        raise ValueError(f"{type(network).__name__} has buffers (batch normalisation?), which vmap cannot train; use "
                         "method='sequential'")
    training = {"epochs": epochs, "lr": lr, "batch_size": batch_size, "weight_decay": weight_decay}
    training |= {"label_smoothing": label_smoothing}
    settings = training | {"n_members": n_members, "n_candidates": n_candidates, "method": method}
    settings |= {"in_pairs": True} if in_pairs else {}
    source = "".join(inspect.getsource(f) for f in (fit, reset_weights, _train_one, _train_together))
    folder = _folder(settings | {"model": describe_architecture(network), "seed": seed, "source": source,
                                 "device": torch.device(device).type}, images, labels)
    mask = draw_members(n_shadows, seed, n_members, n_candidates, len(images))
    if in_pairs:
        mask[1::2, :n_candidates] = ~mask[::2, :n_candidates]
    make = functools.partial(_sequential, n_jobs=n_jobs) if method == "sequential" else _vmapped
    return _farm(lambda missing: make(missing, model, images, labels, mask, seed, training, device), folder,
                 ShadowBank(np.empty(0), mask, labels, seed, settings), progress)


def module_logits(model: nn.Module, inputs: np.ndarray) -> np.ndarray:
    """What a torch module answers, float32 `[N, C]`.

    Raises:
        TypeError: another kind of model.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"fit returned a {type(model).__name__}, not a torch module; pass answer=, a function of model and "
                        "inputs that returns logits [N, C]")
    pieces = range(0, len(inputs), 5000)  # a copy of all inputs at once would be held by every process
    return np.concatenate([predict_logits(model, torch.tensor(inputs[i:i + 5000])) for i in pieces])


def train_shadows_with(fit: Callable[[np.ndarray, np.ndarray, int], object], n_shadows: int, inputs: ArrayLike | Tensor,
                       labels: ArrayLike | Tensor, *,
                       answer: Callable[[object, np.ndarray], np.ndarray] = module_logits, key: str | None = None,
                       n_members: int | None = None, n_candidates: int | None = None, seed: int = 0,
                       n_jobs: int | None = None, progress: bool = True) -> ShadowBank:
    """`train_shadows` for any training: a defence, a scikit-learn estimator, somebody's own model.

    Args:
        fit: called as `fit(inputs [n, …], labels [n], seed)` with NumPy arrays; returns a model.
        inputs: numbers `[N, …]`. labels: integers `[N]`.
        answer: called as `answer(model, inputs)`; returns logits `[N, C]`. Default for torch modules.
        key: text that names all that `fit` and `answer` do, settings included; with their own source code it stands for them
            in the cache, which cannot look further. Without it nothing is kept, and an interrupted run starts again.
        Others: as in `train_shadows`.

    Raises:
        ValueError: numbers out of range, shapes that do not fit, answers that are not finite `[N, C]`.
        TypeError: inputs that are not numbers, labels that are not integers, a model that needs `answer`.
        OSError: the cache cannot be written.
    """
    inputs, labels = _checked(inputs, labels, float32=False)
    n_members, n_candidates = _checked_sizes(n_shadows, n_members, n_candidates, len(inputs))
    settings = {"key": key, "n_members": n_members, "n_candidates": n_candidates}
    folder = None if key is None else _folder(settings | {"seed": seed, "source": [_source(fit), _source(answer)]}, inputs,
                                              labels)
    mask = draw_members(n_shadows, seed, n_members, n_candidates, len(inputs))

    def make(missing: list[int]) -> Iterator[tuple[int, np.ndarray]]:
        return _parallel(missing, n_jobs, _train_with, lambda i: (fit, answer, inputs, labels, mask[i], _seed_of(seed, i)))

    return _farm(make, folder, ShadowBank(np.empty(0), mask, labels, seed, settings), progress)


def _source(function: Callable) -> str:
    """The source code of a function, of what a partial calls, or of an object's class; empty where there is none."""
    function = getattr(function, "func", function)
    try:
        return inspect.getsource(function if inspect.isroutine(function) or inspect.isclass(function) else type(function))
    except (OSError, TypeError):
        return ""


def _train_with(index: int, fit: Callable, answer: Callable, inputs: np.ndarray, labels: np.ndarray, members: np.ndarray,
                seed: int) -> tuple[int, np.ndarray]:
    """As `_train_one`, with a training and a model of any kind."""
    with _one_thread():
        logits = np.asarray(answer(fit(inputs[members], labels[members], seed), inputs), dtype=np.float32)
    if logits.ndim != 2 or len(logits) != len(inputs) or not np.isfinite(logits).all():
        raise ValueError(f"answer must return finite logits [{len(inputs)}, C], got {list(logits.shape)} with "
                         f"{int((~np.isfinite(logits)).sum())} NaN or infinite")
    return index, logits


def _folder(key: dict, inputs: np.ndarray, labels: np.ndarray) -> Path:
    return cache_dir() / "shadows" / name_of(key | {
        "data": [hashlib.sha256(np.ascontiguousarray(a)).hexdigest() for a in (inputs, labels)],
        "shape": list(inputs.shape), "torch": torch.__version__})


def _farm(make: Callable[[list[int]], Iterator[tuple[int, np.ndarray]]], folder: Path | None, bank: ShadowBank,
          progress: bool) -> ShadowBank:
    """`bank` with the logits of `make(indices of missing shadows)`, which yields (index, logits) as they come."""
    n_shadows = len(bank.member_mask)
    count = functools.partial(tqdm, total=n_shadows, desc="shadows", leave=False, disable=not progress)
    if folder is None:
        done = dict(count(make(list(range(n_shadows)))))
        return replace(bank, logits=np.stack([done[i] for i in range(n_shadows)]))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock")
        lock.acquire()  # a second caller waits here, and then finds everything done
    except OSError as error:
        raise OSError(f"cannot keep shadows in {cache_dir()} ({error}); set MIA_CACHE_DIR to a folder that you can write "
                      "to") from error
    try:
        parts = [folder / f"{i:05d}.safetensors" for i in range(n_shadows)]
        whole = folder / f"logits-{n_shadows}.npy"
        if _open(whole) is None:
            missing = [i for i in range(n_shadows) if read_entry(parts[i]) is None]
            for i, logits in count(make(missing), initial=n_shadows - len(missing)):
                write_entry(parts[i], {"logits": torch.from_numpy(np.require(logits, requirements="W"))}, {"shadow": i})
            _assemble(parts, whole)
        return replace(bank, logits=_open(whole))
    finally:
        lock.release()


def _seed_of(seed: int, index: int) -> int:
    return int(np.random.SeedSequence([shifted(seed), index, 1]).generate_state(1)[0])


def _sequential(missing: list[int], model: Callable, images: np.ndarray, labels: np.ndarray, mask: np.ndarray, seed: int,
                training: dict, device: str, n_jobs: int | None) -> Iterator[tuple[int, np.ndarray]]:
    """(index, logits) of each missing shadow as it is finished, trained one by one in each of several processes."""
    return _parallel(missing, n_jobs, _train_one,
                     lambda i: (model, images, labels, mask[i], _seed_of(seed, i), training, device))


def _parallel(missing: list[int], n_jobs: int | None, train: Callable, arguments: Callable[[int], tuple]) -> Iterator:
    """`train(i, *arguments(i))` for each i, in several processes; results as they come."""
    backend = get_active_backend()[0]
    threads = getattr(backend, "supports_sharedmem", False)
    if n_jobs is None and joblib.effective_n_jobs(None) == 1 and not threads:
        n_jobs = torch.get_num_threads()
    if threads and joblib.effective_n_jobs(n_jobs) > 1:
        raise ValueError(f"joblib's {type(backend).__name__} would train shadows in threads of one process, which share "
                         "torch's random numbers; use processes (backend 'loky', the default, 'dask' or 'ray') or n_jobs=1")
    if getattr(backend, "supports_return_generator", False):
        step, return_as = len(missing), "generator_unordered"
    else:  # Ray's backend, for one: it returns only when all is done, so give it a few at a time, and keep those
        step, return_as = 2 * joblib.effective_n_jobs(n_jobs), "list"
    for start in range(0, len(missing), max(step, 1)):
        tasks = (joblib.delayed(_with_shift)(seed_shift(), train, i, *arguments(i)) for i in missing[start:start + step])
        yield from joblib.Parallel(n_jobs=n_jobs, return_as=return_as)(tasks)


def _with_shift(shift: int, train: Callable, *arguments) -> tuple[int, np.ndarray]:
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


def _train_one(index: int, model: Callable, images: np.ndarray, labels: np.ndarray, members: np.ndarray, seed: int,
               training: dict, device: str) -> tuple[int, np.ndarray]:
    """One shadow in this process."""
    options = dict(training)
    loss = functools.partial(F.cross_entropy, label_smoothing=options.pop("label_smoothing"))
    with _one_thread():
        with seeded(seed):
            network = model()
        inputs, targets = torch.tensor(images[members]), torch.tensor(labels[members])
        network = fit(network, inputs, targets, loss, seed=seed, device=device, progress=False, **options).model
        return index, module_logits(network.to(device), images)


def _vmapped(missing: list[int], model: Callable, images: np.ndarray, labels: np.ndarray, mask: np.ndarray, seed: int,
             training: dict, device: str) -> Iterator[tuple[int, np.ndarray]]:
    """(index, logits) of each missing shadow, up to 64 trained at once."""
    inputs, targets = torch.tensor(images).to(device), torch.tensor(labels).to(device)
    for start in range(0, len(missing), TOGETHER):
        chunk = missing[start:start + TOGETHER]
        members = torch.as_tensor(np.stack([np.flatnonzero(mask[i]) for i in chunk])).to(device)
        seeds = [_seed_of(seed, i) for i in chunk]
        yield from zip(chunk, _train_together(model, inputs, targets, members, seeds, **training))


def _train_together(model: Callable, inputs: Tensor, targets: Tensor, members: Tensor, seeds: list[int], *, epochs: int,
                    lr: float, batch_size: int, weight_decay: float, label_smoothing: float) -> np.ndarray:
    """Train one model for each row of `members` `[M, n]` at once; logits for all inputs, `[M, N, C]`.

    Weights and order of the batches are drawn as `fit` draws them. The models do not share a weight, so the gradient of the
    summed loss is each one's own, and Adam, which works weight by weight, takes the same steps.
    """
    networks, orders = [], []
    for seed in seeds:
        with seeded(seed):
            network = model()
        with seeded(seed):
            reset_weights(network)
            orders.append(torch.stack([torch.randperm(members.shape[1]) for _ in range(epochs)]))
        networks.append(network.to(inputs.device).train())
    weights, _ = stack_module_state(networks)
    skeleton = copy.deepcopy(networks[0]).to("meta")
    order = torch.stack(orders).to(inputs.device)  # [M, epochs, n]
    optimiser = torch.optim.AdamW(weights.values(), lr=lr, weight_decay=weight_decay, fused=True)

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
            ask = torch.vmap(answer, in_dims=(0, None))
            return torch.cat([ask(weights, piece) for piece in inputs.split(250)], dim=1).float().cpu().numpy()


def _assemble(parts: list[Path], bank: Path) -> None:
    """One array file `[S, N, C]` from the shadows' files, written piece by piece and moved into place when complete."""
    with atomic_path(bank) as temporary:
        whole = None
        for i, part in enumerate(parts):
            logits = read_entry(part)[0]["logits"].numpy()
            if whole is None:
                shape = (len(parts), *logits.shape)
                whole = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
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


def _checked(images: ArrayLike | Tensor, labels: ArrayLike | Tensor, *,
             float32: bool = True) -> tuple[np.ndarray, np.ndarray]:
    images, labels = (a.numpy(force=True) if isinstance(a, Tensor) else np.asarray(a) for a in (images, labels))
    if not float32 and images.dtype.kind not in "fiub":
        raise TypeError(f"inputs must be numbers, got {images.dtype}")
    if float32 and images.dtype != np.float32:
        raise TypeError(f"images must be float32, got {images.dtype}; convert with .astype('float32')")
    if labels.dtype.kind not in "iu":
        raise TypeError(f"labels must be integers, got {labels.dtype}")
    if images.ndim < 2 or labels.shape != images.shape[:1] or len(labels) == 0:
        raise ValueError(f"expected images [N, …] and labels [N] with N > 0, got {list(images.shape)} and "
                         f"{list(labels.shape)}")
    if not np.isfinite(images).all():
        raise ValueError(f"{int((~np.isfinite(images)).sum())} values of the images are NaN or infinite")
    if labels.min() < 0:
        raise ValueError(f"labels must not be negative, got {labels.min()}")
    return images, labels.astype(np.int64)

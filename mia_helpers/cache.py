"""Where files that the code generates go: one folder, `.cache/` beside the notebooks, or `MIA_CACHE_DIR`."""

import contextlib
import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from mia_helpers.seeds import seed_shift

ENTRY_FORMAT = 3  # part of every key, so that entries written in another form are not found, rather than found damaged


def cache_dir() -> Path:
    """The folder for generated files: `MIA_CACHE_DIR` if set, else `.cache/` at the root of the course."""
    root = Path(__file__).resolve().parents[1]
    # Installed without the course around it, the package must not write beside itself in site-packages.
    default = root / ".cache" if (root / "notebooks").is_dir() else Path.cwd() / ".cache"
    return Path(os.environ.get("MIA_CACHE_DIR") or default).expanduser()


@contextlib.contextmanager
def atomic_path(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """A temporary path beside `path`, moved onto it only when the block ends without an error.

    The file is its owner's alone; `shared`, it may be read and written by whoever may read and write in its folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        if shared:
            temporary.chmod(path.parent.stat().st_mode & 0o666)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_entry(path: Path) -> tuple[dict, dict] | None:
    """Tensors and content of an entry, or None if it is not there or cannot be trusted."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            metadata = json.loads(file.metadata()["mia"])
        content, same = metadata["content"], metadata["same"]
        if metadata["sha256"] != _digest(tensors, [content, same]):
            return None
        return tensors | {name: tensors[first] for name, first in same.items()}, content
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        return None


def write_entry(path: Path, tensors: dict, content: object) -> None:
    """Write tensors and JSON-able content so that `read_entry` finds all of it or nothing.

    A tensor under several names (tied weights) is written once.

    Raises:
        OSError: the folder cannot be written.
    """
    tensors, same = _told_apart(tensors)
    metadata = {"mia": json.dumps({"content": content, "same": same, "sha256": _digest(tensors, [content, same])})}
    with atomic_path(path, shared=True) as temporary:
        temporary.write_bytes(save(tensors, metadata))


def _told_apart(tensors: dict) -> tuple[dict, dict[str, str]]:
    """Contiguous tensors of which no two share memory, and for each other name the one whose tensor it shares."""
    first: dict[tuple, str] = {}
    storages, apart, same = set(), {}, {}
    for name, tensor in tensors.items():
        place = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()) if tensor.numel() else (name,)
        storage = tensor.untyped_storage().data_ptr() if tensor.numel() else None
        if first.setdefault(place, name) != name:
            same[name] = first[place]
            continue
        # safetensors refuses views of one memory; parts of a larger tensor are kept as tensors of their own.
        apart[name] = tensor.clone(memory_format=torch.contiguous_format) if storage in storages else tensor.contiguous()
        storages.add(storage)
    return apart, same


def _digest(tensors: dict, content: object) -> str:
    digest = hashlib.sha256(save({name: tensors[name] for name in sorted(tensors)}))
    digest.update(json.dumps(content).encode())
    return digest.hexdigest()


def name_of(key: dict) -> str:
    """A file name for everything that determines a result, as JSON-able values."""
    return hashlib.sha256(json.dumps([ENTRY_FORMAT, seed_shift(), key], sort_keys=True).encode()).hexdigest()[:20]


def _warn_not_kept(error: OSError) -> None:
    warnings.warn(
        f"cannot keep results in {cache_dir()} ({error}); set MIA_CACHE_DIR to a folder you can write to", stacklevel=3
    )


def load_or_make(kind: str, key: dict | None, make: Callable[[], tuple[dict, dict]]) -> tuple[dict, dict]:
    """Return what `make()` returns, from disk if the same `key` was made before.

    Args:
        kind: folder and prefix of the entry, for people who look into the cache.
        key: everything that determines the result, as JSON-able values; None: it cannot be told, so make it each time.
        make: called without arguments; returns (tensors by name, JSON-able content).

    The entry is one safetensors file (never a pickle), written to a temporary file and moved into place, under a lock, so
    that of two processes that ask at once one works and the other waits. A damaged entry is reported once with a
    `UserWarning` and made again. If the folder cannot be written, the result is returned without being kept, with a warning.
    """
    if key is None:
        return make()
    path = cache_dir() / kind / f"{name_of(key)}.safetensors"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"))
        lock.acquire()
    except OSError as error:
        if path.exists() and (entry := read_entry(path)) is not None:
            return entry
        _warn_not_kept(error)
        return make()
    try:
        if path.exists():
            entry = read_entry(path)
            if entry is not None:
                return entry
            warnings.warn(f"the cache entry {path.name} is damaged; training again", stacklevel=2)
        tensors, content = make()
        try:
            write_entry(path, tensors, content)
        except OSError as error:  # a full disk must not cost the result
            _warn_not_kept(error)
        return tensors, content
    finally:
        lock.release()

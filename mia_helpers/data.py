"""Images for the two sides of the game: handwritten digits, and letters that no digit classifier has seen.

Torch side. The target's owner and the adversary (who trains the shadow) never share an image.
"""

import bz2
import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from mia_helpers.cache import cache_dir
from mia_helpers.seeds import shifted

OWNERS = ("target", "shadow")
SOURCES = ("bundled", "torchvision")
SHA256 = {
    "digits": "f440e4d639daa404e06f1606305397f8461f0795c96645fc1c48de3b845f9714",
    "letters": "50d707c6b603c3da71e124aa2b4a88d3859a8d41e0584abede849069ec78a326",
}


@dataclass(frozen=True, eq=False)  # tensors have no single truth value to compare by; see fingerprint
class ImageSet:
    """Images with labels.

    Attributes:
        images: float32 `[N, 1, 28, 28]`, pixels in [0, 1].
        labels: int64 `[N]`, from 0 to `n_classes` - 1.
        name: where the images come from.
        n_classes: number of classes (10 digits; 26 letters).

    Raises:
        TypeError: wrong dtype. ValueError: wrong shape, an empty set, NaN or infinite pixels, pixels outside [0, 1], labels
            out of range.
    """

    images: Tensor
    labels: Tensor
    name: str
    n_classes: int = field(default=10)

    def __post_init__(self) -> None:
        for attribute, dtype in (("images", torch.float32), ("labels", torch.int64)):
            value = getattr(self, attribute)
            if not isinstance(value, Tensor) or value.dtype != dtype:
                found = value.dtype if isinstance(value, Tensor) else type(value).__name__
                raise TypeError(
                    f"{attribute} must be a {dtype} tensor, got {found}; convert with torch.as_tensor(..., dtype={dtype})"
                )
        if self.images.ndim != 4 or self.images.shape[1:] != (1, 28, 28):
            raise ValueError(
                f"images must have shape [N, 1, 28, 28], got {list(self.images.shape)}; for [N, 28, 28] add images[:, None]"
            )
        if self.labels.shape != (len(self.images),):
            raise ValueError(
                f"labels must have shape [{len(self.images)}], one for each image, got {list(self.labels.shape)}"
            )
        if len(self.images) == 0:
            raise ValueError(f"the image set {self.name!r} is empty; it needs at least one image")
        if not torch.isfinite(self.images).all():
            raise ValueError(
                f"{int((~torch.isfinite(self.images)).sum())} pixels are NaN or infinite; "
                "clean the images first, for instance with torch.nan_to_num"
            )
        low, high = self.images.min().item(), self.images.max().item()
        if low < 0 or high > 1:
            raise ValueError(f"pixels must lie in [0, 1], got [{low:g}, {high:g}]; divide bytes by 255")
        low, high = self.labels.min().item(), self.labels.max().item()
        if low < 0 or high >= self.n_classes:
            raise ValueError(
                f"labels must lie in 0 … {self.n_classes - 1}, got {low} … {high}; renumber them from 0 or set n_classes"
            )

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, indices: Sequence[int] | np.ndarray | Tensor, name: str | None = None) -> "ImageSet":
        """The images at `indices` (`[M]` positions, or a boolean mask `[N]`) as a new set."""
        indices = torch.as_tensor(np.asarray(indices))
        return ImageSet(self.images[indices], self.labels[indices], name or self.name, self.n_classes)

    def split(self, n_members: int, n_non_members: int, seed: int) -> tuple["ImageSet", "ImageSet"]:
        """Two disjoint random subsets with the same mix of classes, so that the label tells nothing about membership.

        Each class gets the same number of images to within one, as far as the classes reach; where one runs short, it
        is short by the same proportion in both subsets.

        Raises:
            ValueError: a size below 1, or more images asked for than there are.
        """
        sizes = np.array([n_members, n_non_members])
        if sizes.min() < 1:
            raise ValueError(f"both sizes must be at least 1, got {n_members} members and {n_non_members} non-members")
        if sizes.sum() > len(self):
            raise ValueError(
                f"asked for {n_members} members + {n_non_members} non-members = {sizes.sum()} images, but "
                f"{self.name!r} has {len(self)}; ask for fewer"
            )
        labels = self.labels.numpy()
        rng = np.random.default_rng(shifted(seed))
        totals = _balanced_counts(np.bincount(labels, minlength=self.n_classes), sizes.sum(), rng)
        members_of_class = _proportional_counts(totals, n_members)
        member_indices, non_member_indices = [], []
        for label in range(self.n_classes):
            shuffled = rng.permutation(np.flatnonzero(labels == label))[: totals[label]]
            member_indices.append(shuffled[: members_of_class[label]])
            non_member_indices.append(shuffled[members_of_class[label] :])
        return (
            self.subset(rng.permutation(np.concatenate(member_indices)), f"{self.name}, members"),
            self.subset(rng.permutation(np.concatenate(non_member_indices)), f"{self.name}, non-members"),
        )

    @property
    def fingerprint(self) -> str:
        """A sha256 over images and labels: equal fingerprints mean equal content."""
        digest = hashlib.sha256(self.images.contiguous().numpy().tobytes())
        digest.update(self.labels.contiguous().numpy().tobytes())
        return digest.hexdigest()


def _balanced_counts(available: np.ndarray, total: int, rng: np.random.Generator) -> np.ndarray:
    """How many to take of each class: as equal as `available` `[C]` allows, summing to `total`."""
    low, high = 0, int(available.max())
    while low < high:  # the highest level that does not overfill
        level = (low + high + 1) // 2
        low, high = (level, high) if np.minimum(available, level).sum() <= total else (low, level - 1)
    counts = np.minimum(available, low)
    extra = rng.permutation(np.flatnonzero(available > low))[: total - counts.sum()]
    counts[extra] += 1
    return counts


def _proportional_counts(totals: np.ndarray, n: int) -> np.ndarray:
    """`n` places shared out in proportion to `totals` `[C]` by largest remainders, never more than `totals`."""
    exact = totals * (n / totals.sum())
    counts = np.floor(exact).astype(int)
    counts[np.argsort(counts - exact, kind="stable")[: n - counts.sum()]] += 1
    return counts


def load_digits(owner: str, source: str | None = None, data_dir: str | Path | None = None) -> ImageSet:
    """Handwritten digits of one owner.

    Args:
        owner: `"target"` or `"shadow"`; the two never share an image.
        source: `"bundled"` (5,000 MNIST digits each, no network) or `"torchvision"` (MNIST for the target, EMNIST digits
            for the shadow, downloaded on first use). Default: `MIA_DATA_SOURCE`, else `"bundled"`.
        data_dir: where downloads go. Default: `MIA_DATA_DIR`, else `data/` in the cache folder.

    Raises:
        ValueError: unknown owner or source. RuntimeError: the images cannot be had; the message names the ways out.
    """
    owner, source = _check_owner_and_source(owner, source)
    if source == "bundled":
        return _bundled("digits", owner, f"MNIST digits of the {owner} (bundled)", 10)
    if owner == "target":
        images, labels = _torchvision("MNIST", None, data_dir)
        return _to_image_set(images, labels, "MNIST digits (torchvision)", 10)
    images, labels = _torchvision("EMNIST", "digits", data_dir)
    return _to_image_set(images, labels, "EMNIST digits (torchvision)", 10)


def load_letters(owner: str, source: str | None = None, data_dir: str | Path | None = None) -> ImageSet:
    """Letters, as images from another distribution; labels 0 … 25, capital and small alike.

    Source `"bundled"`: 2,000 rendered letters for each owner. Source `"torchvision"`: EMNIST letters, half for each owner.
    Arguments and errors as in `load_digits`.
    """
    owner, source = _check_owner_and_source(owner, source)
    if source == "bundled":
        return _bundled("letters", owner, f"rendered letters of the {owner} (bundled)", 26)
    images, labels = _torchvision("EMNIST", "letters", data_dir)
    mine = np.random.default_rng(0).permutation(len(images))[OWNERS.index(owner) :: 2]
    return _to_image_set(images[mine], labels[mine] - 1, f"EMNIST letters of the {owner} (torchvision)", 26)


def _check_owner_and_source(owner: str, source: str | None) -> tuple[str, str]:
    if owner not in OWNERS:
        raise ValueError(f"unknown owner {owner!r}; choose one of {', '.join(OWNERS)}")
    source = source or os.environ.get("MIA_DATA_SOURCE") or "bundled"
    if source not in SOURCES:
        raise ValueError(f"unknown data source {source!r} (argument or MIA_DATA_SOURCE); choose one of {', '.join(SOURCES)}")
    return owner, source


def _to_image_set(images: np.ndarray | Tensor, labels: np.ndarray | Tensor, name: str, n_classes: int) -> ImageSet:
    pixels = torch.as_tensor(images).reshape(-1, 1, 28, 28).to(torch.float32) / 255
    return ImageSet(pixels, torch.as_tensor(labels).to(torch.int64), name, n_classes)


@cache
def _asset(kind: str) -> np.ndarray:
    content = files("mia_helpers").joinpath("assets", f"{kind}.npy.bz2").read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256[kind]:
        raise RuntimeError(
            f"the bundled {kind} are damaged (sha256 {found}, expected {SHA256[kind]}); "
            "reinstall mia_helpers, or fetch a fresh copy of the course"
        )
    return np.load(io.BytesIO(bz2.decompress(content)), allow_pickle=False)


def _bundled(kind: str, owner: str, name: str, n_classes: int) -> ImageSet:
    rows = np.split(_asset(kind), 2)[OWNERS.index(owner)]
    return _to_image_set(rows[:, 1:], rows[:, 0], name, n_classes)


def _torchvision(dataset: str, split: str | None, data_dir: str | Path | None) -> tuple[Tensor, Tensor]:
    """Training part of a torchvision dataset: uint8 `[N, 28, 28]`, upright, and labels `[N]`; downloaded if not there."""
    from torchvision import datasets

    root = Path(data_dir or os.environ.get("MIA_DATA_DIR") or cache_dir() / "data").expanduser()
    arguments = {} if split is None else {"split": split}
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f"{dataset}.lock"):
            if not (root / dataset).exists():
                # Download into a folder of its own and move it when complete: nothing half-written is ever found.
                with tempfile.TemporaryDirectory(dir=root, prefix=".download-") as partial:
                    loaded = getattr(datasets, dataset)(partial, train=True, download=True, **arguments)
                    shutil.move(Path(partial) / dataset, root / dataset)
            else:
                loaded = getattr(datasets, dataset)(root, train=True, download=False, **arguments)
    except Exception as error:  # torchvision lets RuntimeError, URLError, BadZipFile, EOFError, AssertionError … through
        raise RuntimeError(
            f"could not get {dataset} from torchvision: {error}\n"
            f"Two ways out: (1) check the network and try again (if {root / dataset} exists, remove it first), or put "
            f"the files there yourself; (2) use the images that come with the course, with source='bundled' or "
            f"MIA_DATA_SOURCE=bundled."
        ) from error
    images = loaded.data
    if dataset == "EMNIST":
        images = images.transpose(1, 2)  # torchvision gives EMNIST transposed: github.com/pytorch/vision/issues/8783
    return images, loaded.targets

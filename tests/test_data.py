"""Images: what is bundled, splits, errors, and the torchvision source against a server on loopback."""

import contextlib
import functools
import gc
import gzip
import hashlib
import http.server
import io
import os
import shutil
import socket
import struct
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torchvision import datasets

from mia_helpers import data
from mia_helpers.data import ImageSet, load_digits, load_letters


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("MIA_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("MIA_DATA_SOURCE", "MIA_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "*")


def image_bytes(image_set: ImageSet) -> list[bytes]:
    """Each image as bytes 0 … 255, so that images can be compared in a set."""
    return [image.tobytes() for image in (image_set.images * 255).round().to(torch.uint8).numpy()]


# ---------------------------------------------------------------------------------------------- bundled images


@pytest.mark.parametrize(("load", "size", "n_classes"), [(load_digits, 5000, 10), (load_letters, 2000, 26)])
@pytest.mark.parametrize("owner", ["target", "shadow"])
def test_bundled_images_have_the_promised_form(load, size, n_classes, owner):
    image_set = load(owner)
    assert image_set.images.dtype == torch.float32 and image_set.images.shape == (size, 1, 28, 28)
    assert image_set.labels.dtype == torch.int64 and image_set.labels.shape == (size,)
    assert len(image_set) == size and image_set.n_classes == n_classes
    assert image_set.images.min() == 0 and image_set.images.max() == 1
    assert image_set.labels.unique().tolist() == list(range(n_classes))
    assert "bundled" in image_set.name and owner in image_set.name
    steps = image_set.images * 255
    assert (steps - steps.round()).abs().max() < 1e-4, "pixels are bytes divided by 255"
    ink = image_set.images.flatten(1).mean(1)
    assert ink.min() > 0.01 and ink.max() < 0.6, "a bright figure on a dark ground"
    assert len(set(image_bytes(image_set))) == size, "no image twice"
    assert (image_set.labels.diff() < 0).any(), "shuffled, not sorted by class"


@pytest.mark.parametrize("load", [load_digits, load_letters])
def test_owners_never_share_an_image(load):
    target, shadow = set(image_bytes(load("target"))), set(image_bytes(load("shadow")))
    assert target and shadow
    assert not target & shadow


def test_no_letter_is_a_digit():
    digits = set(image_bytes(load_digits("target"))) | set(image_bytes(load_digits("shadow")))
    letters = set(image_bytes(load_letters("target"))) | set(image_bytes(load_letters("shadow")))
    assert not digits & letters


def test_class_mix_is_that_of_the_source_and_alike_for_both_owners():
    counts = [load_digits(owner).labels.bincount(minlength=10) for owner in ("target", "shadow")]
    # The class counts of MNIST's first 10,000 training images.
    assert sum(counts).tolist() == [1001, 1127, 991, 1032, 980, 863, 1014, 1070, 944, 978]
    assert (counts[0] - counts[1]).abs().max() <= 1
    letters = [load_letters(owner).labels.bincount(minlength=26) for owner in ("target", "shadow")]
    assert (letters[0] - letters[1]).abs().max() <= 1
    assert min(letters[0].min(), letters[1].min()) >= 50


def test_changing_a_loaded_set_does_not_change_the_next():
    first = load_digits("target")
    first.images.zero_()
    assert load_digits("target").images.max() == 1


@pytest.fixture
def fresh_assets():
    data._asset.cache_clear()
    yield
    data._asset.cache_clear()


@pytest.mark.parametrize(("load", "kind"), [(load_digits, "digits"), (load_letters, "letters")])
@pytest.mark.parametrize("damage", ["flip", "truncate", "empty"])
def test_damaged_asset_is_refused(load, kind, damage, monkeypatch, tmp_path, fresh_assets):
    (tmp_path / "assets").mkdir()
    content = bytearray((Path(data.__file__).parent / "assets" / f"{kind}.npy.bz2").read_bytes())
    if damage == "flip":
        content[-1] ^= 1
    content = {"flip": content, "truncate": content[:1000], "empty": b""}[damage]
    (tmp_path / "assets" / f"{kind}.npy.bz2").write_bytes(content)
    monkeypatch.setattr(data, "files", lambda package: tmp_path)
    with pytest.raises(RuntimeError, match=f"bundled {kind} are damaged.*reinstall"):
        load("target")


def test_good_asset_with_another_checksum_is_refused(monkeypatch, fresh_assets):
    monkeypatch.setitem(data.SHA256, "digits", "0" * 64)
    with pytest.raises(RuntimeError, match="expected 0000"):
        load_digits("shadow")


# ---------------------------------------------------------------------------------------------- ImageSet errors


def made(images=None, labels=None, n_classes=10) -> ImageSet:
    return ImageSet(
        torch.zeros(3, 1, 28, 28) if images is None else images,
        torch.tensor([0, 1, 9]) if labels is None else labels,
        "made",
        n_classes,
    )


def with_pixel(value: float) -> torch.Tensor:
    images = torch.zeros(3, 1, 28, 28)
    images[1, 0, 5, 5] = value
    return images


def test_a_correct_set_is_accepted():
    assert len(made(with_pixel(1.0))) == 3
    assert made(labels=torch.tensor([0, 1, 25]), n_classes=26).n_classes == 26


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"images": np.zeros((3, 1, 28, 28), np.float32)}, TypeError, "images must be a torch.float32 tensor, got ndarray"),
        ({"images": torch.zeros(3, 1, 28, 28).double()}, TypeError, "got torch.float64; convert"),
        ({"images": torch.zeros(3, 1, 28, 28, dtype=torch.uint8)}, TypeError, "got torch.uint8; convert"),
        ({"labels": [0, 1, 9]}, TypeError, "labels must be a torch.int64 tensor, got list"),
        ({"labels": torch.tensor([0, 1, 9], dtype=torch.int32)}, TypeError, "got torch.int32"),
        ({"images": torch.zeros(3, 28, 28)}, ValueError, r"got \[3, 28, 28\]; for \[N, 28, 28\] add"),
        ({"images": torch.zeros(3, 1, 32, 32)}, ValueError, r"got \[3, 1, 32, 32\]"),
        ({"images": torch.zeros(3, 3, 28, 28)}, ValueError, r"got \[3, 3, 28, 28\]"),
        ({"labels": torch.tensor([0, 1])}, ValueError, r"labels must have shape \[3\].*got \[2\]"),
        ({"labels": torch.tensor([[0], [1], [2]])}, ValueError, r"got \[3, 1\]"),
        (
            {"images": torch.zeros(0, 1, 28, 28), "labels": torch.zeros(0, dtype=torch.int64)},
            ValueError,
            "'made' is empty; it needs at least one",
        ),
        ({"images": with_pixel(float("nan"))}, ValueError, "1 pixels are NaN or infinite; clean"),
        ({"images": with_pixel(float("inf"))}, ValueError, "1 pixels are NaN or infinite"),
        ({"images": with_pixel(-float("inf"))}, ValueError, "1 pixels are NaN or infinite"),
        ({"images": with_pixel(-0.01)}, ValueError, r"in \[0, 1\], got \[-0.01, 0\]; divide"),
        ({"images": with_pixel(255.0)}, ValueError, r"got \[0, 255\]; divide bytes by 255"),
        ({"labels": torch.tensor([0, 1, 10])}, ValueError, "in 0 … 9, got 0 … 10; renumber"),
        ({"labels": torch.tensor([-1, 1, 2])}, ValueError, "got -1 … 2"),
        ({"labels": torch.tensor([0, 1, 26]), "n_classes": 26}, ValueError, "in 0 … 25, got 0 … 26"),
    ],
)
def test_image_set_says_what_is_wrong(arguments, error, message):
    with pytest.raises(error, match=message):
        made(**arguments)


def test_subset_by_position_and_by_mask():
    image_set = numbered([2, 2])
    assert ids(image_set.subset([3, 0])) == [3, 0]
    assert ids(image_set.subset(torch.tensor([3, 0]))) == [3, 0]
    masked = image_set.subset(np.array([False, True, True, False]), "two")
    assert ids(masked) == [1, 2] and masked.name == "two" and masked.n_classes == image_set.n_classes
    with pytest.raises(ValueError, match="empty"):
        image_set.subset(np.zeros(4, bool))


def test_fingerprint_follows_images_and_labels():
    base = made().fingerprint
    assert made().fingerprint == base
    assert made(with_pixel(1 / 255)).fingerprint != base
    assert made(labels=torch.tensor([0, 1, 8])).fingerprint != base


# ---------------------------------------------------------------------------------------------- splits


def numbered(class_counts: list[int]) -> ImageSet:
    """A set with so many images of each class; image number i carries i in its first two pixels."""
    labels = torch.repeat_interleave(torch.arange(len(class_counts)), torch.tensor(class_counts))
    images = torch.zeros(len(labels), 1, 28, 28)
    numbers = torch.arange(len(labels))
    images[:, 0, 0, 0], images[:, 0, 0, 1] = numbers % 256 / 255, numbers // 256 / 255
    return ImageSet(images, labels, "numbered", len(class_counts))


def ids(image_set: ImageSet) -> list[int]:
    pixels = (image_set.images[:, 0, 0, :2] * 255).round().to(torch.int64)
    return (pixels[:, 0] + 256 * pixels[:, 1]).tolist()


def dealt_out(available: list[int], total: int) -> list[int]:
    """The slow and obvious way to balance: one to each class in turn while it has any. Sorted."""
    counts = [0] * len(available)
    while sum(counts) < total:
        for label in range(len(available)):
            if counts[label] < available[label] and sum(counts) < total:
                counts[label] += 1
    return sorted(counts)


@st.composite
def split_cases(draw):
    counts = draw(st.lists(st.integers(0, 25), min_size=1, max_size=6).filter(lambda c: sum(c) >= 2))
    n_members = draw(st.integers(1, sum(counts) - 1))
    n_non_members = draw(st.integers(1, sum(counts) - n_members))
    return counts, n_members, n_non_members, draw(st.integers(0, 2**32 - 1))


@settings(max_examples=200, deadline=None, phases=[Phase.explicit, Phase.generate])  # shrinking takes minutes
@given(split_cases())
def test_split_is_disjoint_balanced_and_repeatable(case):
    counts, n_members, n_non_members, seed = case
    image_set = numbered(counts)
    members, non_members = image_set.split(n_members, n_non_members, seed)
    assert (len(members), len(non_members)) == (n_members, n_non_members)
    chosen = ids(members) + ids(non_members)
    assert len(set(chosen)) == n_members + n_non_members, "disjoint, no image twice"
    for part in (members, non_members):
        assert part.labels.tolist() == image_set.labels[ids(part)].tolist(), "every image keeps its label"

    total = n_members + n_non_members
    in_members, in_non_members = (part.labels.bincount(minlength=len(counts)) for part in (members, non_members))
    together = in_members + in_non_members
    assert sorted(together.tolist()) == dealt_out(counts, total), "as equal as the classes reach"
    if min(counts) >= -(-total // len(counts)):
        for found in (together, in_members, in_non_members):
            assert found.max() - found.min() <= 1, "balanced to within one"
    for found, size in ((in_members, n_members), (in_non_members, n_non_members)):
        assert (found - together * size / total).abs().max() < 1, "the same proportions in both"

    again = image_set.split(n_members, n_non_members, seed)
    assert [ids(part) for part in again] == [ids(members), ids(non_members)]


def test_split_where_a_class_runs_short():
    members, non_members = numbered([100, 8, 100, 100]).split(120, 60, seed=3)
    # 180 images: all 8 of class 1, the others share 172; two thirds of each class are members.
    together = members.labels.bincount() + non_members.labels.bincount()
    assert together[1] == 8 and sorted(together.tolist()) == [8, 57, 57, 58]
    assert members.labels.bincount()[1] in (5, 6)
    assert set(members.labels.bincount()[[0, 2, 3]].tolist()) <= {38, 39}


def test_split_differs_across_seeds_and_is_shuffled():
    image_set = numbered([50] * 4)
    splits = [image_set.split(40, 40, seed)[0] for seed in range(8)]
    assert len({tuple(sorted(ids(members))) for members in splits}) == 8, "other images for another seed"
    for members in splits:
        assert (members.labels.diff() < 0).any(), "not sorted by class"


def test_split_gives_every_image_a_chance():
    image_set, seen = numbered([10, 10]), np.zeros(20)
    for seed in range(200):
        seen[ids(image_set.split(10, 10, seed)[0])] += 1
    assert seen.min() > 60 and seen.max() < 140, "each is a member in about half of the splits"


def test_split_of_the_bundled_digits():
    members, non_members = load_digits("target").split(2000, 2000, seed=0)
    assert members.labels.bincount().tolist() == [200] * 10 == non_members.labels.bincount().tolist()
    assert not set(image_bytes(members)) & set(image_bytes(non_members))
    assert members.name.endswith("members") and members.name != non_members.name


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((15, 6), "15 members [+] 6 non-members = 21 images, but 'numbered' has 20; ask for fewer"),
        ((21, 1), "has 20; ask for fewer"),
        ((0, 5), "at least 1, got 0 members"),
        ((5, 0), "and 0 non-members"),
        ((-1, 5), "got -1 members"),
    ],
)
def test_split_errors(sizes, message):
    with pytest.raises(ValueError, match=message):
        numbered([10, 10]).split(*sizes, seed=0)


# ---------------------------------------------------------------------------------------------- owners and sources


@pytest.mark.parametrize("load", [load_digits, load_letters])
@pytest.mark.parametrize("owner", ["Target", "victim", "", None])
def test_unknown_owner(load, owner):
    with pytest.raises(ValueError, match=f"unknown owner {owner!r}; choose one of target, shadow"):
        load(owner)


@pytest.mark.parametrize("load", [load_digits, load_letters])
def test_unknown_source(load, monkeypatch):
    with pytest.raises(ValueError, match="unknown data source 'web'.*choose one of bundled, torchvision"):
        load("target", source="web")
    monkeypatch.setenv("MIA_DATA_SOURCE", "elsewhere")
    with pytest.raises(ValueError, match="unknown data source 'elsewhere'.*MIA_DATA_SOURCE"):
        load("target")
    assert "bundled" in load("target", source="bundled").name, "the argument goes before the environment"


# ---------------------------------------------------------------------------------------------- torchvision


def idx(array: np.ndarray) -> bytes:
    """The file format of MNIST: two zero bytes, type (8: bytes), number of axes, sizes, content."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()


def pictures(n: int, seed: int) -> np.ndarray:
    """Random upright images `[n, 28, 28]`, with a bright top edge by which to see how they stand."""
    images = np.random.default_rng(seed).integers(0, 200, (n, 28, 28), dtype=np.uint8)
    images[:, 0, :], images[:, 1:, 0] = 255, 0
    return images


MNIST_IMAGES, MNIST_LABELS = pictures(30, 0), np.arange(30) % 10
DIGIT_IMAGES, DIGIT_LABELS = pictures(40, 1), np.arange(40) % 10
LETTER_IMAGES, LETTER_LABELS = pictures(52, 2), np.arange(52) % 26 + 1


@functools.cache
def archives() -> dict[str, bytes]:
    """What the servers of MNIST and EMNIST would send. EMNIST's images lie transposed in their files."""
    found = {}
    for part in ("train", "t10k"):
        found[f"{part}-images-idx3-ubyte.gz"] = gzip.compress(idx(MNIST_IMAGES))
        found[f"{part}-labels-idx1-ubyte.gz"] = gzip.compress(idx(MNIST_LABELS))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for split, images, labels in (("digits", DIGIT_IMAGES, DIGIT_LABELS), ("letters", LETTER_IMAGES, LETTER_LABELS)):
            for part in ("train", "test"):
                stem = f"gzip/emnist-{split}-{part}"
                archive.writestr(f"{stem}-images-idx3-ubyte.gz", gzip.compress(idx(images.transpose(0, 2, 1))))
                archive.writestr(f"{stem}-labels-idx1-ubyte.gz", gzip.compress(idx(labels)))
    found["gzip.zip"] = buffer.getvalue()
    return found


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


class Server:
    """Serves `files` (name -> content) on loopback; `cut_short` sends half of each but announces all of it."""

    def __init__(self, files: dict[str, bytes]):
        self.files, self.requests, self.cut_short = dict(files), [], False
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.strip("/")
                outer.requests.append(name)
                if name not in outer.files:
                    self.send_error(404)
                    return
                content = outer.files[name]
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(content[: len(content) // 2] if outer.cut_short else content)

            def log_message(self, *arguments):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def stop(self):
        if self.thread.is_alive():
            self.http.shutdown()
            self.thread.join()
            self.http.server_close()


def send_torchvision_to(url: str, monkeypatch, files: dict[str, bytes]):
    """Let torchvision download from `url` and expect the checksums of `files`."""
    monkeypatch.setattr(datasets.MNIST, "mirrors", [url])
    monkeypatch.setattr(
        datasets.MNIST, "resources", [(name, md5(content)) for name, content in files.items() if name != "gzip.zip"]
    )
    monkeypatch.setattr(datasets.EMNIST, "url", url + "gzip.zip")
    monkeypatch.setattr(datasets.EMNIST, "md5", md5(files["gzip.zip"]))


@pytest.fixture
def server(monkeypatch):
    server = Server(archives())
    send_torchvision_to(server.url, monkeypatch, server.files)
    yield server
    server.stop()


def as_bytes(image_set: ImageSet) -> np.ndarray:
    return (image_set.images[:, 0] * 255).round().numpy().astype(np.uint8)


def test_mnist_for_the_target(server, tmp_path):
    digits = load_digits("target", source="torchvision", data_dir=tmp_path)
    np.testing.assert_array_equal(as_bytes(digits), MNIST_IMAGES)
    assert digits.labels.tolist() == MNIST_LABELS.tolist() and digits.n_classes == 10
    assert digits.images.dtype == torch.float32 and digits.images.shape == (30, 1, 28, 28)
    assert "MNIST" in digits.name and "EMNIST" not in digits.name and "torchvision" in digits.name
    assert set(server.requests) == set(archives()) - {"gzip.zip"}


def test_emnist_for_the_shadow_stands_upright(server, tmp_path):
    digits = load_digits("shadow", source="torchvision", data_dir=tmp_path)
    assert (digits.images[:, 0, 0, :] == 1).all() and (digits.images[:, 0, 1:, 0] == 0).all()
    np.testing.assert_array_equal(as_bytes(digits), DIGIT_IMAGES)
    assert digits.labels.tolist() == DIGIT_LABELS.tolist()
    assert "EMNIST digits" in digits.name


def test_emnist_letters_are_shared_out_between_the_owners(server, tmp_path):
    halves = [load_letters(owner, source="torchvision", data_dir=tmp_path) for owner in ("target", "shadow")]
    known = {image.tobytes(): label for image, label in zip(LETTER_IMAGES, LETTER_LABELS - 1)}
    for half in halves:
        assert half.n_classes == 26 and "EMNIST letters" in half.name
        assert [known[image.tobytes()] for image in as_bytes(half)] == half.labels.tolist(), "upright, labels from 0"
    target, shadow = (set(image_bytes(half)) for half in halves)
    assert len(target) == len(shadow) == 26 and not target & shadow
    assert target | shadow == set(known), "between them, all of EMNIST's letters"
    assert sorted(torch.cat([half.labels for half in halves]).unique().tolist()) == list(range(26))


def test_source_and_folder_from_the_environment(server, monkeypatch, tmp_path):
    monkeypatch.setenv("MIA_DATA_SOURCE", "torchvision")
    monkeypatch.setenv("MIA_DATA_DIR", str(tmp_path / "mine"))
    assert len(load_digits("target")) == 30
    assert (tmp_path / "mine" / "MNIST").is_dir()
    assert len(load_digits("target", source="bundled")) == 5000
    monkeypatch.delenv("MIA_DATA_DIR")
    assert len(load_digits("target")) == 30
    assert (tmp_path / "cache" / "data" / "MNIST").is_dir()


def test_second_load_needs_no_network(server, tmp_path):
    def everything():
        return [
            load(owner, source="torchvision", data_dir=tmp_path).fingerprint
            for load in (load_digits, load_letters)
            for owner in ("target", "shadow")
        ]

    first = everything()
    assert server.requests
    server.stop()
    server.requests.clear()
    assert everything() == first
    assert not server.requests


def test_download_shows_a_progress_bar(server, tmp_path, capfd):
    load_digits("shadow", source="torchvision", data_dir=tmp_path)
    assert "100%" in capfd.readouterr().err


def test_files_put_there_by_hand_are_read_without_a_network(server, tmp_path):
    server.stop()
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, content in archives().items():
        if name != "gzip.zip":
            (raw / name.removesuffix(".gz")).write_bytes(gzip.decompress(content))
    assert len(load_digits("target", source="torchvision", data_dir=tmp_path)) == 30


LOADERS = {  # dataset -> how it is loaded, what the server sends for it
    "MNIST": (lambda folder: load_digits("target", source="torchvision", data_dir=folder), "train-images-idx3-ubyte.gz"),
    "EMNIST digits": (lambda folder: load_digits("shadow", source="torchvision", data_dir=folder), "gzip.zip"),
    "EMNIST letters": (lambda folder: load_letters("target", source="torchvision", data_dir=folder), "gzip.zip"),
}


def closed_port() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/"


# urllib does not close its socket when a connection breaks; that is not what is tested here.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("dataset", LOADERS)
@pytest.mark.parametrize(
    "failure", ["no server", "not found", "connection lost", "truncated archive", "not an archive", "wrong checksum"]
)
def test_failed_download_names_both_ways_out_and_leaves_nothing(dataset, failure, server, monkeypatch, tmp_path):
    load, name = LOADERS[dataset]
    folder = tmp_path / "downloads"
    good = dict(server.files)
    if failure == "no server":
        send_torchvision_to(closed_port(), monkeypatch, good)
    elif failure == "not found":
        del server.files[name]
    elif failure == "connection lost":
        server.cut_short = True
    elif failure == "wrong checksum":
        content = bytearray(good[name])
        content[len(content) // 2] ^= 1
        server.files[name] = bytes(content)
    else:  # the checksum agrees, so that unpacking is what fails
        server.files[name] = good[name][: len(good[name]) // 2] if failure == "truncated archive" else b"<html>busy</html>"
        send_torchvision_to(server.url, monkeypatch, server.files)

    with pytest.raises(RuntimeError, match=f"could not get {dataset.split()[0]} from torchvision") as caught:
        load(folder)
    message = str(caught.value)
    assert "source='bundled'" in message and "MIA_DATA_SOURCE=bundled" in message, "one way out"
    assert "check the network" in message and "put the files" in message and str(folder) in message, "the other"
    assert set(os.listdir(folder)) <= {f"{dataset.split()[0]}.lock"}, "nothing half-written stays"

    server.files, server.cut_short = good, False
    send_torchvision_to(server.url, monkeypatch, good)
    expected = {"MNIST": 30, "EMNIST digits": 40, "EMNIST letters": 26}[dataset]
    assert len(load(folder)) == expected, "a later try succeeds"
    del caught
    gc.collect()  # so that a forgotten socket is met here and not in another test


@pytest.mark.parametrize(
    ("dataset", "file"),
    [
        ("MNIST", "train-images-idx3-ubyte"),
        ("MNIST", "train-labels-idx1-ubyte"),
        ("EMNIST digits", "emnist-digits-train-images-idx3-ubyte"),
        ("EMNIST letters", "emnist-letters-train-labels-idx1-ubyte"),
    ],
)
@pytest.mark.parametrize("damage", ["truncated", "empty", "missing"])
def test_damaged_file_on_disk_is_reported_and_can_be_mended(dataset, file, damage, server, tmp_path):
    load, _ = LOADERS[dataset]
    before = load(tmp_path)
    folder = tmp_path / dataset.split()[0]
    path = folder / "raw" / file
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-5] if damage == "truncated" else b"")
    server.requests.clear()
    with pytest.raises(RuntimeError, match="could not get .*MNIST") as caught:
        load(tmp_path)
    assert str(folder) in str(caught.value) and "remove it" in str(caught.value), "says what to remove"
    assert "source='bundled'" in str(caught.value)
    assert not server.requests, "no download behind the reader's back"
    shutil.rmtree(folder)
    assert load(tmp_path).fingerprint == before.fingerprint


def test_unusable_data_folder_is_the_same_clear_error(server, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(RuntimeError, match="source='bundled'"):
        load_digits("target", source="torchvision", data_dir=tmp_path / "file" / "below")

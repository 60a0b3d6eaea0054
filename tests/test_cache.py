"""The cache: made once, by one of two processes, never half-written, never unpickled, damage noticed."""

import json
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

import mia_helpers.cache
from mia_helpers.cache import atomic_path, cache_dir, load_or_make

KEY = {"seed": 1, "lr": 0.1, "layers": [1, 2]}
TENSORS = {"weight": torch.tensor([[1.5, -2.0], [0.25, 3.0]]), "bias": torch.tensor([7, 8])}
CONTENT = {"loss": [0.5, 0.25], "note": "grün"}


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("MIA_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Maker:
    """A `make` that counts its calls."""

    def __init__(self, tensors=TENSORS, content=CONTENT):
        self.calls, self.result = 0, (tensors, content)

    def __call__(self):
        self.calls += 1
        return self.result


def entry(folder: Path) -> Path:
    """The one entry in the cache."""
    (path,) = folder.rglob("*.safetensors")
    return path


def assert_same(found, expected=(TENSORS, CONTENT)):
    assert found[1] == expected[1]
    assert sorted(found[0]) == sorted(expected[0])
    for name, tensor in expected[0].items():
        assert found[0][name].dtype == tensor.dtype and torch.equal(found[0][name], tensor)


def assert_silent_from_disk(maker):
    """One more call gives the right result from disk, without a warning."""
    calls = maker.calls
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same(load_or_make("models", KEY, maker))
    assert maker.calls == calls


def test_made_once_and_read_afterwards(folder):
    maker = Maker()
    assert_same(load_or_make("models", KEY, maker))
    assert maker.calls == 1
    assert_same(load_or_make("models", dict(reversed(KEY.items())), maker))
    assert maker.calls == 1, "the order of the key does not matter"
    assert entry(folder).parent == folder / "models"
    assert_silent_from_disk(maker)


@pytest.mark.parametrize(
    "other",
    [KEY | {"seed": 2}, KEY | {"lr": 0.1 + 1e-15}, KEY | {"layers": [2, 1]}, KEY | {"more": None}, {"seed": 1, "lr": 0.1}],
)
def test_another_key_is_made_again(other):
    first, second = Maker(), Maker({"weight": torch.zeros(1)}, {"other": 1})
    load_or_make("models", KEY, first)
    assert_same(load_or_make("models", other, second), second.result)
    assert (first.calls, second.calls) == (1, 1)
    assert_silent_from_disk(first)


def test_kinds_do_not_mix():
    first, second = Maker(), Maker()
    load_or_make("models", KEY, first)
    load_or_make("attacks", KEY, second)
    assert (first.calls, second.calls) == (1, 1)


def test_non_contiguous_and_shared_tensors_survive():
    weight = torch.arange(24.0).reshape(1, 2, 3, 4).to(memory_format=torch.channels_last)
    maker = Maker({"a": weight, "b": torch.arange(6.0).reshape(2, 3).T, "scalar": torch.tensor(3.0)}, [])
    load_or_make("models", KEY, maker)
    assert_same(load_or_make("models", KEY, maker), maker.result)
    assert maker.calls == 1


# ---------------------------------------------------------------------------------------------- where it stands


def test_folder_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("MIA_CACHE_DIR", str(tmp_path / "here"))
    assert cache_dir() == tmp_path / "here"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("MIA_CACHE_DIR", "~/there")
    assert cache_dir() == tmp_path / "there"


def test_default_folder_does_not_depend_on_where_the_notebook_runs(monkeypatch, tmp_path):
    monkeypatch.delenv("MIA_CACHE_DIR")
    monkeypatch.chdir(tmp_path)
    root = Path(mia_helpers.cache.__file__).resolve().parents[1]
    assert cache_dir() == (root / ".cache" if (root / "notebooks").is_dir() else tmp_path / ".cache")


# ---------------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:4],
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: content + b"\0",
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: bytes([content[0] ^ 1]) + content[1:],
        lambda content: b"\xff" * len(content),
        lambda content: content.replace(b"0.25", b"0.24"),
        lambda content: content.replace(b"sha256", b"sha257"),
        lambda content: content.replace(b"content", b"kontent"),
        lambda content: save(TENSORS),
        lambda content: save(TENSORS, {"mia": "[]"}),
        lambda content: save({"weight": TENSORS["weight"]}, {"mia": json.dumps({"content": {}, "sha256": "0" * 64})}),
    ],
    ids=[
        "empty",
        "four bytes",
        "half",
        "last byte missing",
        "byte added",
        "last bit flipped",
        "first bit flipped",
        "all ones",
        "a number in the history",
        "a name in the header",
        "another name",
        "no header",
        "odd header",
        "a tensor missing",
    ],
)
def test_damaged_entry_is_reported_once_and_made_again(damage, folder):
    maker = Maker()
    load_or_make("models", KEY, maker)
    path = entry(folder)
    good = path.read_bytes()
    damaged = damage(good)
    assert damaged != good
    path.write_bytes(damaged)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert_same(load_or_make("models", KEY, maker))
    assert [w.category for w in caught] == [UserWarning], [str(w.message) for w in caught]
    assert path.name in str(caught[0].message) and "damaged" in str(caught[0].message)
    assert maker.calls == 2
    assert_silent_from_disk(maker)


def test_no_flipped_bit_goes_unnoticed(folder):
    """Flip one bit in every byte of the file in turn: what comes back is right, read or made again; nothing raises."""
    maker = Maker()
    load_or_make("models", KEY, maker)
    path = entry(folder)
    good = path.read_bytes()
    for position in range(len(good)):
        damaged = bytearray(good)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert_same(load_or_make("models", KEY, maker))
    assert maker.calls > 0.9 * len(good), "almost every one is noticed, only a space in the header may not matter"


class Bomb:
    """Unpickling this creates a file."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return (open, (str(self.marker), "w"))


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("dump", [lambda bomb: pickle.dumps(bomb), None], ids=["pickle", "torch.save"])
def test_a_pickle_in_place_of_an_entry_is_never_loaded(dump, folder, tmp_path):
    marker = tmp_path / "marker"
    pickle.loads(pickle.dumps(Bomb(marker))).close()
    assert marker.exists(), "the bomb works"
    marker.unlink()
    maker = Maker()
    load_or_make("models", KEY, maker)
    path = entry(folder)
    if dump is None:
        torch.save({"weight": Bomb(marker)}, path)
    else:
        path.write_bytes(dump(Bomb(marker)))
    with pytest.warns(UserWarning, match="damaged"):
        assert_same(load_or_make("models", KEY, maker))
    assert maker.calls == 2 and not marker.exists()


# ---------------------------------------------------------------------------------------------- unwritable folders


def test_folder_that_cannot_be_made(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("MIA_CACHE_DIR", str(tmp_path / "file" / "cache"))
    maker = Maker()
    for calls in (1, 2):
        with pytest.warns(UserWarning, match="set MIA_CACHE_DIR to a folder you can write to") as caught:
            assert_same(load_or_make("models", KEY, maker))
        assert len(caught) == 1 and maker.calls == calls
    assert (tmp_path / "file").read_text() == "not a folder"


def test_entries_in_a_read_only_folder_are_still_read(monkeypatch):
    maker = Maker()
    load_or_make("models", KEY, maker)

    class NoLock:
        def __init__(self, path):
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(mia_helpers.cache, "FileLock", NoLock)
    assert_silent_from_disk(maker)
    with pytest.warns(UserWarning, match="Permission denied"):
        load_or_make("models", KEY | {"seed": 2}, maker)
    assert maker.calls == 2


def test_full_disk_does_not_lose_the_result(monkeypatch, folder):
    def full(self, content):
        raise OSError(28, "No space left on device")

    maker = Maker()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.warns(UserWarning, match="No space left on device.*MIA_CACHE_DIR"):
            assert_same(load_or_make("models", KEY, maker))
    assert [p for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock"] == [], "nothing half-written"
    load_or_make("models", KEY, maker)
    assert maker.calls == 2
    assert_silent_from_disk(maker)


# ---------------------------------------------------------------------------------------------- crashes


def test_error_while_making_is_passed_on_and_leaves_nothing(folder):
    def fails():
        raise OSError("the disk of the data is gone")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(OSError, match="the disk of the data"):
            load_or_make("models", KEY, fails)
    assert not list(folder.rglob("*.safetensors*"))
    maker = Maker()
    assert_same(load_or_make("models", KEY, maker))
    assert maker.calls == 1, "the lock was given back"
    assert_silent_from_disk(maker)


def test_atomic_path_keeps_the_old_file_when_the_block_fails(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("old")
        assert not path.exists(), "not visible before the block ends"
    assert path.read_text() == "old"
    with pytest.raises(KeyboardInterrupt), atomic_path(path) as temporary:  # noqa: PT012 (raised in the middle)
        temporary.write_text("ne")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["file.txt"], "no temporary file stays"


def run_python(code: str, *arguments) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], env=os.environ | {"OMP_NUM_THREADS": "1"})


CRASH = """
import os, sys
import torch
import mia_helpers.cache as cache
from pathlib import Path

def make():
    return {"weight": torch.ones(1000)}, {}

write = Path.write_bytes
def half(self, content):
    write(self, content[:len(content) // 2])
    os._exit(9)                                # the power fails here
Path.write_bytes = half
cache.load_or_make("models", {"key": 1}, make)
"""


def test_power_failure_while_writing_leaves_no_readable_half(folder):
    process = run_python(CRASH, folder)
    assert process.wait(60) == 9
    left = [p for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock"]
    assert left and all(p.suffix != ".safetensors" for p in left), "half a file, but not under the entry's name"
    maker = Maker()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same(load_or_make("models", {"key": 1}, maker))  # a dead process holds no lock, so this does not wait
    assert maker.calls == 1, "made again"


# ---------------------------------------------------------------------------------------------- two at a time


SIDE_BY_SIDE = """
import os, sys, time
import torch
from mia_helpers.cache import load_or_make
from pathlib import Path
folder, me = Path(sys.argv[1]), sys.argv[2]

def make():
    with open(folder / "calls", "a") as calls:
        calls.write(me)
    time.sleep(0.5)                            # training
    return {"weight": torch.full((3,), float(me))}, {"by": me}

(folder / f"ready{me}").touch()
while len(list(folder.glob("ready*"))) < 2:
    time.sleep(0.005)
tensors, content = load_or_make("models", {"key": 2}, make)
(folder / f"got{me}").write_text(f"{content['by']} {tensors['weight'].tolist()}")
"""


def test_two_processes_side_by_side_make_an_entry_once(tmp_path):
    processes = [run_python(SIDE_BY_SIDE, tmp_path, me) for me in (1, 2)]
    try:
        assert [process.wait(1800) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    winner = (tmp_path / "calls").read_text()
    assert winner in ("1", "2"), "one of them, once"
    for me in (1, 2):
        assert (tmp_path / f"got{me}").read_text() == f"{winner} [{winner}.0, {winner}.0, {winner}.0]"


def test_another_seed_shift_is_another_entry(monkeypatch):
    names = set()
    for shift in ("", "0", "1000", "2000"):
        monkeypatch.setenv("MIA_SEED_SHIFT", shift)
        names.add(mia_helpers.cache.name_of({"a": 1}))
    assert len(names) == 3

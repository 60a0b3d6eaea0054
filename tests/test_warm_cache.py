"""A warm cache: packed, handed out, damaged on the way, unpacked; and read where nothing can be written."""

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mia_helpers import cache, shadows
from mia_helpers.course import warm
from mia_helpers.data import load_digits
from mia_helpers.models import SmallClassifier

ROOT = Path(__file__).resolve().parents[1]
MODEL = f"models/{'0a' * 10}.safetensors"
SHADOW = f"shadows/{'1b' * 10}/00000-{'2c' * 6}.safetensors"
OTHER = f"private/{'3d' * 10}.safetensors"


def fill(folder: Path, *names: str) -> None:
    for i, name in enumerate(names):
        cache.write_entry(folder / name, {"w": torch.arange(50.0) + i}, {"entry": i})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A cache with three entries, and everything else that lies in one."""
    folder = tmp_path / "teacher"
    fill(folder, MODEL, SHADOW, OTHER)
    for name in (
        "course/answers.json",
        "course/challenge-0123456789ab.json",
        "data/MNIST/raw/images",
        "mypy/3.11/x.json",
        MODEL.replace(".safetensors", ".lock"),
        f"shadows/{'1b' * 10}/lock",
        f"shadows/{'1b' * 10}/logits-1-{'2c' * 6}.npy",
        f"models/.{'0a' * 10}.safetensors.k3j2h1",
        "models/mine.safetensors",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("private")
    monkeypatch.setenv("MIA_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def archive(folder, tmp_path, monkeypatch):
    """The packed cache; from here on the cache folder is a student's, and empty."""
    warm.pack(tmp_path / "warm.zip")
    monkeypatch.setenv("MIA_CACHE_DIR", str(tmp_path / "student"))
    return tmp_path / "warm.zip"


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rewritten(archive: Path, change) -> Path:
    """The archive with its members, bytes by name, changed, and the manifest as it is then."""
    with zipfile.ZipFile(archive) as file:
        members = {name: file.read(name) for name in file.namelist()}
    members = change(members) or members
    with zipfile.ZipFile(archive, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return archive


def test_only_entries_are_packed(folder, archive):
    with zipfile.ZipFile(archive) as file:
        names, manifest = file.namelist(), json.loads(file.read("manifest.json"))
    assert sorted(names) == sorted(["manifest.json", MODEL, OTHER, SHADOW])
    assert manifest["entries"] == {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in files(folder).items()
        if name in (MODEL, OTHER, SHADOW)
    }
    assert b"private" not in archive.read_bytes().replace(b"private/", b"")


def test_what_is_unpacked_is_what_was_packed_and_a_second_time_changes_nothing(folder, archive, tmp_path):
    first, before = warm.unpack(archive), files(tmp_path / "student")
    assert before == {name: content for name, content in files(folder).items() if name in (MODEL, OTHER, SHADOW)}
    assert (first.n_entries, first.n_there, first.damaged) == (3, 0, ())
    assert first.n_bytes == sum(map(len, before.values()))
    second = warm.unpack(archive)
    assert (second.n_entries, second.n_bytes, second.n_there) == (0, 0, 3)
    assert files(tmp_path / "student") == before


def test_a_damaged_entry_is_not_packed_and_nothing_at_all_is_an_error(folder, tmp_path, monkeypatch):
    (folder / MODEL).write_bytes((folder / MODEL).read_bytes()[:-1])
    packed = warm.pack(tmp_path / "a.zip")
    assert (packed.n_entries, packed.damaged) == (2, (MODEL,))
    with pytest.raises(FileExistsError, match="another name"):
        warm.pack(tmp_path / "a.zip")
    monkeypatch.setenv("MIA_CACHE_DIR", str(tmp_path / "empty"))
    with pytest.raises(ValueError, match="nothing in .* to pack"):
        warm.pack(tmp_path / "b.zip")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "teacher"], "no half archive is left"


def test_a_sound_entry_in_anothers_place_is_left_out(archive, tmp_path):
    def exchanged(members):
        assert len(members[MODEL]) == len(members[OTHER]) and members[MODEL] != members[OTHER]
        members[MODEL], members[OTHER] = members[OTHER], members[MODEL]

    done = warm.unpack(rewritten(archive, exchanged))
    assert done.damaged == (MODEL, OTHER) and done.n_entries == 1
    assert list(files(tmp_path / "student")) == [SHADOW]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.999])
def test_a_truncated_archive_is_refused_and_leaves_nothing(archive, tmp_path, share):
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(warm.DamagedError, match="not a whole archive"):
        warm.unpack(archive)
    assert not (tmp_path / "student").exists()


@pytest.mark.parametrize(
    "name",
    [
        "../evil.safetensors",
        f"../{MODEL}",
        f"/tmp/{MODEL}",
        f"models/../../{MODEL}",
        "course/answers.json",
        f"models/{'0a' * 10}.pkl",
        f"models/{'0A' * 10}.safetensors",
        f"{MODEL}/",
        f"{MODEL}\n",
        f"models\\{'0a' * 10}.safetensors",
    ],
)
def test_a_file_that_is_no_entry_refuses_the_whole_archive(archive, tmp_path, name):
    def add(members):
        manifest = json.loads(members["manifest.json"])
        manifest["entries"][name] = {"sha256": hashlib.sha256(b"x").hexdigest(), "bytes": 1}
        return {name: b"x"} | members | {"manifest.json": json.dumps(manifest).encode()}

    with pytest.raises(warm.DamagedError, match="no entry of a cache; nothing was unpacked"):
        warm.unpack(rewritten(archive, add))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["teacher", "warm.zip"]


def manifest_as(content: bytes):
    return lambda members: members | {"manifest.json": content}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.pop("manifest.json") and None, "no manifest.json that can be read"),
        (manifest_as(b"{"), "no manifest.json that can be read"),
        (manifest_as(b"[]"), "no manifest.json that can be read"),
        (manifest_as(b'{"version": 2, "torch": "2", "entries": {}}'), "version 2, and 1 is known here"),
        (manifest_as(b'{"version": 1, "torch": "2", "entries": {}}'), "holds other entries than its manifest.json names"),
        (lambda m: m.pop(MODEL) and None, "holds other entries than its manifest.json names"),
    ],
)
def test_a_manifest_that_does_not_fit_refuses_the_whole_archive(archive, tmp_path, change, message):
    with pytest.raises(warm.DamagedError, match=message):
        warm.unpack(rewritten(archive, change))
    assert not (tmp_path / "student").exists()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_flipped_byte_never_gets_into_the_cache(archive, tmp_path, data):
    """Wherever it is: an entry is as it was packed, or not there."""
    content = bytearray(archive.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    (tmp_path / "flipped.zip").write_bytes(content)
    shutil.rmtree(tmp_path / "student", ignore_errors=True)
    try:
        found = warm.unpack(tmp_path / "flipped.zip")
    except (warm.DamagedError, OSError):
        assert not (tmp_path / "student").exists() or not files(tmp_path / "student")
        return
    whole = files(tmp_path / "teacher")
    there = files(tmp_path / "student")
    assert all(content == whole[name] for name, content in there.items())
    assert set(there) | set(found.damaged) == {MODEL, OTHER, SHADOW} and not set(there) & set(found.damaged)


def spoilt(members):
    """The manifest says the truth about bytes that are no entry."""
    members[MODEL] = members[MODEL][:-1] + b"?"
    manifest = json.loads(members["manifest.json"])
    manifest["entries"][MODEL]["sha256"] = hashlib.sha256(members[MODEL]).hexdigest()
    members["manifest.json"] = json.dumps(manifest).encode()


def longer(members):
    members[MODEL] += b"more"


@pytest.mark.parametrize("change", [spoilt, longer])
def test_a_good_entry_is_never_replaced_and_a_damaged_one_is(archive, tmp_path, change):
    fill(tmp_path / "student", MODEL)
    good = (tmp_path / "student" / MODEL).read_bytes()
    (tmp_path / "student" / OTHER).parent.mkdir(parents=True)
    (tmp_path / "student" / OTHER).write_bytes(b"half")
    found = warm.unpack(rewritten(archive, change))
    assert (tmp_path / "student" / MODEL).read_bytes() == good
    assert (found.n_there, found.n_entries, found.damaged) == (1, 2, ())
    assert cache.read_entry(tmp_path / "student" / OTHER) is not None
    (tmp_path / "student" / MODEL).write_bytes(b"half")
    assert warm.unpack(archive).damaged == (MODEL,)
    assert (tmp_path / "student" / MODEL).read_bytes() == b"half", "damaged by damaged is no gain"


def test_interrupted_it_leaves_no_half_entry_and_goes_on_where_it_was(archive, tmp_path, monkeypatch):
    real, n = warm._pieces, 0

    def one_and_a_half(file, name):
        nonlocal n
        n += 1
        for piece in real(file, name):
            yield piece[:40]
            if n == 2:
                raise KeyboardInterrupt
            yield piece[40:]

    monkeypatch.setattr(warm, "_pieces", one_and_a_half)
    with pytest.raises(KeyboardInterrupt):
        warm.unpack(archive)
    left = files(tmp_path / "student")
    assert len(left) == 1 and all(cache.read_entry(tmp_path / "student" / name) for name in left)
    monkeypatch.setattr(warm, "_pieces", real)
    assert (warm.unpack(archive).n_entries, len(files(tmp_path / "student"))) == (2, 3)


def test_entries_can_be_read_by_whoever_can_read_the_folder(archive, tmp_path):
    """A cache for a class lies in a folder of the teacher's."""
    (tmp_path / "student" / "models").mkdir(parents=True)
    (tmp_path / "student" / "models").chmod(0o755)
    (tmp_path / "student" / "private").mkdir(mode=0o700)
    warm.unpack(archive)
    modes = {name: stat.S_IMODE((tmp_path / "student" / name).stat().st_mode) for name in (MODEL, OTHER)}
    assert modes == {MODEL: 0o644, OTHER: 0o600}


def test_the_command_line_says_what_was_done(folder, tmp_path, monkeypatch, capsys):
    archive, bytes_ = tmp_path / "warm.zip", sum(len((folder / name).read_bytes()) for name in (MODEL, OTHER, SHADOW))
    assert warm.main(["pack", str(archive)]) == 0
    assert capsys.readouterr().out == f"packed 3 entries, {bytes_ / 1e6:.1f} MB from {folder} into {archive}\n"
    monkeypatch.setenv("MIA_CACHE_DIR", str(tmp_path / "student"))
    assert warm.main(["unpack", str(archive)]) == 0
    assert capsys.readouterr().out == f"unpacked 3 entries, 0.0 MB into {tmp_path / 'student'}; 0 were there already\n"
    assert warm.main(["unpack", str(tmp_path / "none.zip")]) == 2
    assert capsys.readouterr().err == f"error: there is no {tmp_path / 'none.zip'}\n"
    monkeypatch.setattr(warm.torch, "__version__", "1.0")
    (tmp_path / "student" / MODEL).unlink()
    assert warm.main(["unpack", str(rewritten(archive, longer))]) == 1
    said = capsys.readouterr()
    assert f"left out, because damaged: {MODEL}" in said.err and "here is 1.0: they will not be found" in said.out


def test_without_a_named_folder_it_says_for_whom_it_has_unpacked(archive, tmp_path, monkeypatch, capsys):
    """In a copy of the course, Python takes the package of that copy, and a kernel perhaps another one."""
    monkeypatch.delenv("MIA_CACHE_DIR")
    monkeypatch.setattr(warm, "cache_dir", lambda: tmp_path / "home")
    assert warm.main(["unpack", str(archive)]) == 0
    said = capsys.readouterr().out
    assert str(Path(warm.__file__).parents[1]) in said and f"MIA_CACHE_DIR={tmp_path / 'home'} in their kernel" in said


# --------------------------------------------------------------------------------------------- where nothing can be written

# The owner of the machine may write everywhere, unless that is given up.
WITHOUT_PRIVILEGES = (
    ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner", "--inh-caps=-dac_override"]
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("setpriv")
    else []
)
READER = """
import sys, warnings
warnings.simplefilter("error")
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from tests.test_warm_cache import asked, bank
from mia_helpers import cache
try:
    Path(cache.cache_dir(), "models", "x").write_text("x")
except OSError:
    print(asked(fail=True), bank(True), bank(False))
    try:
        bank(False, n=3)
    except OSError as error:
        print("cannot keep shadows" in str(error))
else:
    print("this user may write everything")
"""


def asked(fail: bool = False) -> float:
    def make():
        assert not fail, "it is in the cache"
        return {"w": torch.arange(3.0)}, {}

    return float(cache.load_or_make("models", {"a": 1}, make)[0]["w"].sum())


def bank(keep_models: bool, n: int = 2) -> float:
    digits, _ = load_digits("target").split(40, 10, seed=0)
    found = shadows.train_shadows(
        n, digits.images, digits.labels, n_jobs=1, epochs=1, model=SmallClassifier, keep_models=keep_models, progress=False
    )
    return round(
        float(found.logits.sum())
        + (sum(p.sum().item() for m in found.models for p in m.parameters()) if keep_models else 0),
        3,
    )


def test_a_full_cache_is_read_where_nothing_can_be_written(tmp_path, monkeypatch):
    """Also of shadows' arrays, which an archive does not hold; what is missing is said, not trained in vain."""
    folder = tmp_path / "cache"
    try:
        monkeypatch.setenv("MIA_CACHE_DIR", str(folder))
        expected = f"{asked()} {bank(True)} {bank(False)}\nTrue\n"
        for path in [*folder.rglob("*.lock"), *folder.rglob("lock"), *folder.rglob("*.npy")]:
            path.unlink()
        before = sorted(files(folder))
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        done = subprocess.run(
            [*WITHOUT_PRIVILEGES, sys.executable, "-c", READER, str(ROOT)],
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        if "may write everything" in done.stdout:
            pytest.skip("this user may write everything")
        assert done.stdout == expected, done.stdout + done.stderr
        assert sorted(files(folder)) == before
    finally:
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755)


def test_entries_that_are_found_warn_about_nothing(archive, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warm.unpack(archive)
        assert cache.read_entry(tmp_path / "student" / MODEL)[1] == {"entry": 0}

"""Faults, for real: killed in training, in a write, in a shake; poor machines, full and read-only disks, moved clocks."""

import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from mia_helpers import cache
from mia_helpers.cache import load_or_make, read_entry, write_entry

PROGRAM = """
import hashlib, sys, time
from mia_helpers import shadows, training
from mia_helpers.data import load_digits
from mia_helpers.models import SmallClassifier

epochs = training._epoch

def epoch(*arguments):  # without a memory of its own, which would belong to the key
    print("an epoch", flush=True)
    if "hang" in sys.argv:
        time.sleep(1800)  # until somebody ends it
    return epochs(*arguments)

training._epoch = epoch
data = load_digits("target", source="bundled").subset(range(200))
result = training.load_or_train(SmallClassifier(), data, epochs=3, lr=1e-3, seed=0, progress=False)
bank = shadows.train_shadows(2, data.images, data.labels, epochs=2, progress=False)
weights = b"".join(p.detach().numpy().tobytes() for p in result.model.parameters())
digests = [hashlib.sha256(content).hexdigest() for content in (weights, bank.logits.tobytes())]
print(digests)
"""


def run(folder: Path, *before: str, environment: dict | None = None) -> tuple[int, str]:
    """How many epochs the program trained, and digests of what came out; with its cache in `folder`, and no warnings."""
    done = subprocess.run(
        [*before, sys.executable, "-W", "always::UserWarning", "-c", PROGRAM],
        capture_output=True,
        text=True,
        env=(os.environ if environment is None else environment) | {"MIA_CACHE_DIR": str(folder), "OMP_NUM_THREADS": "1"},
        timeout=1800,
    )
    assert done.returncode == 0 and "Warning" not in done.stderr, done.stderr
    *trained, digests = done.stdout.splitlines()
    return len(trained), digests


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """A cache that the program filled, and the digests of what came out."""
    folder = tmp_path_factory.mktemp("usual") / "cache"
    trained, digests = run(folder)
    assert trained == 3 + 2 * 2
    return folder, digests


def allowed(*command: str) -> bool:
    """Whether this machine lets us run such a command."""
    return shutil.which(command[0]) is not None and not subprocess.run([*command, "true"], capture_output=True).returncode


def test_a_poor_machine_gives_the_same(usual, tmp_path):
    """One core, 4 GB of memory, no network, no HOME, and nothing else in the environment."""
    core = str(min(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else "0"
    wished = (["unshare", "--net"], ["taskset", "--cpu-list", core], ["prlimit", f"--data={4 * 2**30}"])
    before = [word for command in wished if allowed(*command) for word in command]
    if not before:
        pytest.skip("this machine lets us take nothing away")
    path = os.environ.get("PYTHONPATH")
    environment = {"PATH": os.defpath} | ({"PYTHONPATH": path} if path else {})
    assert run(tmp_path, *before, environment=environment) == (7, usual[1])


def test_killed_in_training_it_leaves_nothing_and_the_next_run_gives_the_same(usual, tmp_path):
    environment = os.environ | {"MIA_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "hang"], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout.readline() == "an epoch\n"
        finally:
            process.kill()
    assert process.wait(1800) == -signal.SIGKILL
    assert not list(tmp_path.rglob("*.safetensors"))
    assert run(tmp_path) == (7, usual[1])


def _write_for_ever(path: Path) -> None:
    for number in range(10**9):
        write_entry(path, {"weight": torch.full((200_000,), float(number))}, {"number": number})


def test_killed_in_a_write_at_any_moment_the_entry_is_whole(tmp_path):
    path, rng, numbers = tmp_path / "entry.safetensors", random.Random(0), set()
    write_entry(path, {"weight": torch.full((200_000,), -1.0)}, {"number": -1})
    for _ in range(20):
        process = multiprocessing.get_context("fork").Process(target=_write_for_ever, args=(path,))
        process.start()
        time.sleep(rng.uniform(0, 0.05))
        process.kill()
        process.join()
        tensors, content = read_entry(path)  # None, which cannot be unpacked, if it is not whole
        assert (tensors["weight"] == content["number"]).all()
        numbers.add(content["number"])


@contextmanager
def disk(place: Path, size: str):
    """A file system of its own, in memory."""
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(place)], capture_output=True).returncode:
        pytest.skip("this machine does not let us mount a disk")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.skipif(shutil.which("mount") is None, reason="needs mount")
def test_a_full_disk_costs_a_warning_and_no_result(usual, tmp_path, monkeypatch):
    monkeypatch.setenv("MIA_CACHE_DIR", str(tmp_path / "small"))
    tensors = {"weight": torch.arange(100_000)}
    with disk(tmp_path / "small", "500k") as small:
        with pytest.warns(UserWarning, match="No space left on device.*set MIA_CACHE_DIR to a folder you can write to"):
            found, _ = load_or_make("models", {"seed": 1}, lambda: (tensors, {}))
        assert found is tensors
        assert [path.suffix for path in small.rglob("*") if path.is_file()] == [".lock"], "no half of it takes up room"
        load_or_make("models", {"seed": 2}, lambda: ({"weight": torch.zeros(3)}, {}))
        assert len(list(small.rglob("*.safetensors"))) == 1, "what has room is kept"


@pytest.mark.skipif(shutil.which("mount") is None, reason="needs mount")
def test_a_cache_on_a_read_only_disk_serves_what_it_holds(usual, tmp_path):
    with disk(tmp_path / "fixed", "100m") as fixed:
        shutil.copytree(usual[0], fixed, dirs_exist_ok=True)
        subprocess.run(["mount", "-o", "remount,ro", str(fixed)], check=True)
        with pytest.raises(OSError, match="Read-only"):
            (fixed / "new").touch()
        assert run(fixed) == (0, usual[1])


def test_clocks_that_jump_change_nothing(usual):
    folder, digests = usual
    for path, when in zip(sorted(folder.rglob("*")), [0, 2**32] * 100):
        os.utime(path, (when, when))
    assert run(folder) == (0, digests)


def test_entries_of_another_format_are_neither_read_nor_written_over(tmp_path, monkeypatch):
    monkeypatch.setenv("MIA_CACHE_DIR", str(tmp_path))
    made = []

    def entry(number: int):
        def make():
            made.append(number)
            return {"weight": torch.full((2,), float(number))}, {"number": number}

        return load_or_make("models", {"seed": 1}, make)[1]["number"]

    assert entry(1) == 1
    with monkeypatch.context() as later:
        later.setattr(cache, "ENTRY_FORMAT", cache.ENTRY_FORMAT + 1)
        assert entry(2) == 2
    assert entry(3) == 1 and made == [1, 2]


SHAKEN = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import shake
record = shake.shake_all([Path(sys.argv[2])], 2, Path(sys.argv[3]))
print(len(record["01_tiny"]["shakes"]), record["01_tiny"]["errors"])
"""


def test_a_killed_shake_goes_on_where_it_was(tmp_path):
    import nbformat
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    cells = [
        "import os, time\nfrom mia_helpers import seeds\nfrom mia_helpers.course import checks",
        "if seeds.seed_shift() and os.environ.get('HANG'):\n    time.sleep(1800)",
        "checks.holds('one is one', 1 == 1)",
    ]
    notebook = new_notebook(cells=[new_markdown_cell("# T\n\n## S"), *map(new_code_cell, cells)])
    nbformat.write(notebook, tmp_path / "01_tiny.ipynb")
    command = [
        sys.executable,
        "-c",
        SHAKEN,
        str(Path(__file__).parent),
        str(tmp_path / "01_tiny.ipynb"),
        str(tmp_path / "r.json"),
    ]
    environment = os.environ | {"MIA_CACHE_DIR": str(tmp_path / "cache")}
    results = (tmp_path / "cache" / "shaken").glob
    with subprocess.Popen(command, env=environment | {"HANG": "1"}, start_new_session=True) as process:
        try:
            while not (finished := list(results("*/*.json"))):
                assert process.poll() is None
                time.sleep(0.05)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    when = finished[0].stat().st_mtime_ns
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=1800).stdout
    assert said.endswith("2 []\n"), said
    assert len(list(results("*/*.json"))) == 2 and finished[0].stat().st_mtime_ns == when

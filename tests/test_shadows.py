"""The shadow farm, with real interruptions: killed parents, killed workers, damaged files, a cluster that loses a worker."""

import contextlib
import functools
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from distributed import Client, LocalCluster
from torch import nn

from mia_helpers import shadows, signals
from mia_helpers.bank import draw_halves, draw_members
from mia_helpers.data import ImageSet, load_digits
from mia_helpers.models import SmallClassifier
from mia_helpers.shadows import train_shadows
from mia_helpers.training import predict_logits, train_classifier


class Tiny(nn.Module):
    """A linear classifier: fast to train."""

    def __init__(self, n_classes: int = 10):
        super().__init__()
        self.layer = nn.Linear(784, n_classes)

    def forward(self, images):
        return self.layer(images.flatten(1))


class WithNorm(Tiny):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(784)

    def forward(self, images):
        return self.layer(self.norm(images.flatten(1)))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIA_CACHE_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def digits() -> ImageSet:
    return load_digits("target", source="bundled").subset(range(60))


def farm(data: ImageSet, n_shadows: int = 3, **settings):
    options = {"model": Tiny, "epochs": 2, "lr": 1e-2, "batch_size": 16, "n_jobs": 1, "progress": False} | settings
    return train_shadows(n_shadows, data.images, data.labels, **options)


def parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("shadows/*/*.safetensors"))


def test_a_bank_holds_what_train_classifier_would_have_given(cache, digits):
    bank = farm(digits, weight_decay=0.1, label_smoothing=0.1)
    assert bank.logits.shape == (3, 60, 10) and bank.logits.dtype == np.float32
    assert bank.member_mask.shape == (3, 60) and bank.member_mask.dtype == bool
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for i in range(3):
        members = digits.subset(np.flatnonzero(bank.member_mask[i]).tolist())
        model = train_classifier(
            Tiny(),
            members,
            epochs=2,
            lr=1e-2,
            batch_size=16,
            weight_decay=0.1,
            label_smoothing=0.1,
            seed=shadows._seed_of(0, i),
            device="cpu",
            progress=False,
        ).model
        np.testing.assert_array_equal(bank.logits[i], predict_logits(model, digits.images))
    torch.set_num_threads(threads)


def test_each_shadow_depends_on_seed_and_index_alone(cache, digits):
    few, many, other = farm(digits, 2), farm(digits, 4), farm(digits, 2, seed=1)
    np.testing.assert_array_equal(many.first(2).logits, few.logits)
    np.testing.assert_array_equal(many.first(2).member_mask, few.member_mask)
    assert (other.member_mask != few.member_mask).any() and (other.logits != few.logits).any()
    assert len({mask.tobytes() for mask in many.member_mask}) == 4


def test_membership_is_drawn_independently_for_each_shadow():
    mask = draw_members(400, 0, 30, 60, 80)
    assert (mask.sum(1) == 30).all() and not mask[:, 60:].any()
    share = mask[:, :60].mean(0)
    assert np.abs(share - 0.5).max() < 4.5 * 0.5 / 20  # sd of a share of 400
    # In a balanced design an example's memberships would sum to the same number for all; here they vary as coins do.
    assert 0.5 < mask[:, :60].sum(0).var() / (400 / 4) < 1.7


def test_members_come_from_the_candidates_only(cache, digits):
    bank = farm(digits, n_members=10, n_candidates=40)
    assert (bank.member_mask.sum(1) == 10).all() and not bank.member_mask[:, 40:].any()
    assert bank.logits.shape == (3, 60, 10)


def test_targets_in_pairs_share_the_candidates_out(cache, digits):
    bank = farm(digits, 4, n_members=20, n_candidates=40, in_pairs=True)
    assert (bank.member_mask[:, :40].sum(0) == 2).all() and not bank.member_mask[:, 40:].any()
    alone = farm(digits, 4, n_members=20, n_candidates=40)
    np.testing.assert_array_equal(bank.member_mask[::2], alone.member_mask[::2])
    np.testing.assert_array_equal(bank.logits[::2], alone.logits[::2])
    assert (bank.logits[1] != alone.logits[1]).any()
    for wrong in ({"n_shadows": 3, "n_members": 20}, {"n_shadows": 4, "n_members": 10}):
        with pytest.raises(ValueError, match="in_pairs needs an even number of models"):
            farm(digits, **wrong, n_candidates=40, in_pairs=True)


def test_results_do_not_depend_on_processes_or_threads(cache, digits, monkeypatch):
    one = farm(digits, 3, n_jobs=1).logits.copy()
    monkeypatch.setenv("MIA_CACHE_DIR", str(cache / "other"))
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    np.testing.assert_array_equal(farm(digits, 3, n_jobs=2).logits, one)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(threads)


@pytest.mark.parametrize("model", [Tiny, SmallClassifier])
def test_vmap_gives_the_sequential_result(cache, digits, model):
    """Sums are taken in another order, so results agree to a few units in float32's sixth digit, growing with the steps."""
    settings = {"model": model, "epochs": 3, "lr": 1e-3, "weight_decay": 0.1, "label_smoothing": 0.1}
    one_by_one, together = farm(digits, **settings), farm(digits, method="vmap", **settings)
    np.testing.assert_array_equal(together.member_mask, one_by_one.member_mask)
    np.testing.assert_allclose(together.logits, one_by_one.logits, atol=2e-4, rtol=1e-3)
    untrained = farm(digits, method="vmap", **settings | {"lr": 1e-9})
    assert np.abs(untrained.logits - together.logits).max() > 0.05  # what the tolerance would have missed


def test_vmap_in_several_chunks(cache, digits, monkeypatch):
    whole = farm(digits, 5, method="vmap").logits.copy()
    monkeypatch.setenv("MIA_CACHE_DIR", str(cache / "other"))
    monkeypatch.setattr(shadows, "TOGETHER", 2)
    np.testing.assert_allclose(farm(digits, 5, method="vmap").logits, whole, atol=1e-5)


def test_nothing_is_trained_twice(cache, digits, monkeypatch):
    farm(digits, 2)
    before = {path: path.stat().st_mtime_ns for path in parts(cache)}
    trained = []
    original = shadows._parallel
    monkeypatch.setattr(
        shadows, "_parallel", lambda draws, *rest: trained.extend(d.index for d in draws) or original(draws, *rest)
    )
    farm(digits, 2)
    assert trained == []
    farm(digits, 4)
    assert trained == [2, 3]
    assert {path: path.stat().st_mtime_ns for path in parts(cache)[:2]} == before


@pytest.mark.parametrize("damage", ["truncate part", "flip part", "truncate bank", "remove bank", "empty bank"])
def test_damaged_files_are_made_again(cache, digits, damage):
    logits = np.array(farm(digits, 3).logits)
    (bank,) = cache.glob("shadows/*/logits-3-*.npy")
    part = parts(cache)[1]
    if damage == "truncate part":
        part.write_bytes(part.read_bytes()[:200])
    if damage == "flip part":
        content = bytearray(part.read_bytes())
        content[-1] ^= 1
        part.write_bytes(content)
    if damage == "truncate bank":
        bank.write_bytes(bank.read_bytes()[:-4])
    elif damage == "empty bank":
        bank.write_bytes(b"")
    else:
        bank.unlink()
    np.testing.assert_array_equal(farm(digits, 3).logits, logits)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"epochs": 3},
        {"lr": 2e-2},
        {"batch_size": 8},
        {"n_members": 20},
        {"n_candidates": 50},
        {"weight_decay": 0.5},
        {"label_smoothing": 0.2},
        {"method": "vmap"},
        {"model": SmallClassifier},
    ],
)
def test_whatever_matters_changes_the_folder(cache, digits, change):
    farm(digits, 1)
    farm(digits, 1, **change)
    assert len(list(cache.glob("shadows/*"))) == 2


def test_data_changes_the_folder(cache, digits):
    farm(digits, 1)
    farm(ImageSet(digits.images * 0.5, digits.labels, "half as dark"), 1)
    farm(ImageSet(digits.images, 9 - digits.labels, "relabelled"), 1)
    assert len(list(cache.glob("shadows/*"))) == 3


def test_the_bank_is_memory_mapped_and_read_only(cache, digits):
    bank = farm(digits)
    assert isinstance(bank.logits, np.memmap) and isinstance(bank.first(2).logits, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        bank.logits[0, 0, 0] = 1
    expected = signals.logit_confidence(np.array(bank.logits), bank.labels)
    np.testing.assert_array_equal(bank.signal(signals.logit_confidence), expected)
    assert len(bank) == 3 and len(bank.first(1)) == 1
    for n in (0, 4):
        with pytest.raises(ValueError, match=r"n must lie in 1 … 3"):
            bank.first(n)


def test_a_large_bank_is_used_without_loading_it(cache, tmp_path):
    """256 × 60,000 × 10 logits are 614 MB; a sparse file of that size is opened and one model's logits are read."""
    script = textwrap.dedent("""
        import resource, sys
        import numpy as np
        from mia_helpers import shadows, signals
        from mia_helpers.bank import ShadowBank
        path = sys.argv[1]
        np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(256, 60_000, 10))
        bank = ShadowBank(shadows._open(path), np.zeros((256, 60_000), bool), np.zeros(60_000, int), 0, {})
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        signals.hinge(bank.first(200).logits[7], bank.labels)
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
    """)
    grown = subprocess.check_output([sys.executable, "-c", script, str(tmp_path / "bank.npy")])
    assert float(grown) < 100  # MB


# ------------------------------------------------------------------------------------------------------- any other training


def fit_tiny(images, labels, seed):
    data = ImageSet(torch.tensor(images), torch.tensor(labels), "some")
    return train_classifier(Tiny(), data, epochs=2, lr=1e-2, batch_size=16, seed=seed, device="cpu", progress=False).model


def class_means(x, labels, seed):
    """Not a torch model: the mean record of each of two classes, and a number that tells the seed."""
    return np.stack([x[labels == c].mean(0) for c in range(2)]), seed


def distances(model, x):
    return -((x[:, None] - model[0]) ** 2).sum(-1)


@pytest.fixture
def records():
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 3)), np.arange(40) % 2


def test_any_training_gives_the_same_bank_as_the_built_in_one(cache, digits):
    """Memberships and seeds are the same, so that a defence and its absence can be compared draw by draw."""
    plain = farm(digits, 3)
    custom = train_shadows(3, digits.images, digits.labels, fit=fit_tiny, key="tiny, 2 epochs", n_jobs=1, progress=False)
    np.testing.assert_array_equal(custom.member_mask, plain.member_mask)
    np.testing.assert_array_equal(custom.logits, plain.logits)
    assert isinstance(custom.logits, np.memmap) and custom.settings["key"] == "tiny, 2 epochs"


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_models_that_are_not_torch(cache, records, n_jobs):
    x, labels = records
    bank = train_shadows(4, x, labels, fit=class_means, answer=distances, n_members=20, n_jobs=n_jobs, progress=False)
    for mask, logits in zip(bank.member_mask, bank.logits):
        np.testing.assert_allclose(logits, distances(class_means(x[mask], labels[mask], 0), x), rtol=1e-6)
    assert not list(cache.iterdir())  # without a key nothing is kept


def meet(folder: Path, n_processes: int) -> None:
    """Wait until so many processes have been here, so that a quick one does not do the work of a slow one."""
    (folder / str(os.getpid())).touch()
    end = time.monotonic() + 600
    while len(list(folder.iterdir())) < n_processes and time.monotonic() < end:
        time.sleep(0.01)


@pytest.mark.parametrize(("threads", "config", "n_processes"), [(2, {}, 2), (1, {}, 1), (1, {"n_jobs": 2}, 2)])
def test_how_many_processes_by_default(cache, records, tmp_path, threads, config, n_processes):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with joblib.parallel_config(**config):
            bank = train_shadows(
                6,
                *records,
                fit=lambda x, labels, seed: meet(tmp_path, n_processes),
                progress=False,
                answer=lambda model, x: np.full((len(x), 2), float(os.getpid())),
            )
    finally:
        torch.set_num_threads(before)
    assert len(np.unique(bank.logits)) == n_processes and (os.getpid() in bank.logits) == (n_processes == 1)


def test_seeds_differ_from_shadow_to_shadow(cache, records):
    bank = train_shadows(
        3,
        *records,
        fit=class_means,
        answer=lambda model, x: np.full((len(x), 2), float(model[1] % 1000)),
        n_jobs=1,
        progress=False,
    )
    assert len(np.unique(bank.logits)) == 3


def test_a_key_stands_for_the_training(cache, records, monkeypatch):
    trained = []
    monkeypatch.setattr(shadows, "_said_to_copy", lambda name: trained.append(name) or contextlib.nullcontext())
    options = {"fit": class_means, "answer": distances, "n_jobs": 1, "progress": False}
    for key, n_shadows, n_trained in (("a", 2, 2), ("a", 2, 2), ("a", 3, 3), ("b", 2, 5), (None, 2, 7), (None, 2, 9)):
        train_shadows(n_shadows, *records, key=key, **options)
        assert trained.count("fit") == n_trained


def test_another_function_under_the_same_key_is_noticed(cache, records):
    def minus_square(model, x):
        return -((x[:, None] - model[0]) ** 2).sum(-1)

    def minus_distance(model, x):
        return -np.abs(x[:, None] - model[0]).sum(-1)

    options = {"key": "k", "n_jobs": 1, "progress": False}
    found = [
        train_shadows(1, *records, fit=functools.partial(class_means), answer=answer, **options)
        for answer in (minus_square, minus_distance)
    ]
    assert (found[0].logits != found[1].logits).any() and len(list(cache.glob("shadows/*"))) == 2


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"answer": shadows.module_logits}, TypeError, "fit returned a tuple, not a torch module; pass answer="),
        ({"answer": lambda model, x: distances(model, x)[:5]}, ValueError, r"finite logits \[40, C\], got \[5, 2\]"),
        ({"answer": lambda model, x: np.full((40, 2), np.nan)}, ValueError, "with 80 NaN or infinite"),
        ({"n_shadows": 0}, ValueError, "n_shadows must be at least 1"),
        ({"n_members": 41}, ValueError, r"n_members must lie in 1 … 40"),
        ({"images": np.array([["a"]] * 40)}, TypeError, "inputs must be numbers"),
        ({"images": np.full((40, 3), np.inf)}, ValueError, "120 values of the images are NaN or infinite"),
    ],
)
def test_any_training_errors(cache, records, change, error, message):
    options = {"n_shadows": 2, "images": records[0], "labels": records[1], "answer": distances} | change
    with pytest.raises(error, match=message):
        train_shadows(fit=class_means, n_jobs=1, progress=False, **options)


# ------------------------------------------------------------------------------------------------------------ interruptions

RUN = """
import signal
import sys
import time
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever starts this may ignore Ctrl-C, and that is inherited
from mia_helpers.data import load_digits
from mia_helpers.models import SmallClassifier
from mia_helpers import shadows
from mia_helpers.shadows import train_shadows
original, written = shadows.write_entry, []

def write_entry(*arguments):
    original(*arguments)
    written.append(1)
    if len(written) == int(sys.argv[3]):
        time.sleep(1800)  # until somebody ends it

if __name__ == "__main__":
    shadows.write_entry = write_entry
    # 300 answers go through the pipe in one write; a worker killed between two would leave the reader waiting for ever
    data = load_digits("target", source="bundled").subset(range(300))
    train_shadows(int(sys.argv[1]), data.images, data.labels, epochs=5, n_jobs=int(sys.argv[2]), progress=False)
    print("done")
"""


def start(cache: Path, n_shadows: int, n_jobs: int, stop_after: int = 0) -> subprocess.Popen:
    """A farm in a process of its own; after so many finished shadows it waits for its end."""
    script = cache / "run.py"
    script.write_text(RUN)
    return subprocess.Popen(
        [sys.executable, str(script), str(n_shadows), str(n_jobs), str(stop_after)],
        env=os.environ,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def wait_for(condition, process: subprocess.Popen, seconds: float = 1800) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.02)


@pytest.mark.parametrize(("number", "n_jobs"), [(signal.SIGKILL, 1), (signal.SIGINT, 1), (signal.SIGKILL, 2)])
def test_killed_and_called_again_it_goes_on(cache, number, n_jobs):
    with start(cache, 8, n_jobs, stop_after=2) as process:
        try:
            wait_for(lambda: len(parts(cache)) >= 2, process)
            os.kill(process.pid, number)
            assert process.wait(1800) != 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its workers, too
    finished = {path: path.stat().st_mtime_ns for path in parts(cache)}
    assert 2 <= len(finished) < 8 and not list(cache.glob("shadows/*/*.npy"))
    with start(cache, 8, 1) as again:
        output, error = again.communicate(timeout=1800)
    assert output == "done\n", error
    assert len(parts(cache)) == 8 and {path: path.stat().st_mtime_ns for path in finished} == finished
    (bank,) = cache.glob("shadows/*/logits-8-*.npy")
    assert np.isfinite(np.load(bank)).all()


def test_a_killed_worker_is_an_error_and_the_next_call_goes_on(cache):
    with start(cache, 40, 2) as process:
        try:
            wait_for(lambda: len(parts(cache)) >= 1, process)
            workers = subprocess.check_output(["pgrep", "-P", str(process.pid), "-f", "loky"], text=True).split()
            os.kill(int(workers[-1]), signal.SIGKILL)
            _, error = process.communicate(timeout=1800)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode != 0 and "TerminatedWorkerError" in error
    with start(cache, 40, 1) as again:
        output, error = again.communicate(timeout=1800)
    assert output == "done\n", error


def test_two_callers_at_once_train_once(cache):
    with start(cache, 4, 1) as one, start(cache, 4, 1) as other:
        assert [process.communicate(timeout=1800)[0] for process in (one, other)] == ["done\n"] * 2
    assert len(parts(cache)) == 4 and len(list(cache.glob("shadows/*/logits-4-*.npy"))) == 1
    assert not list(cache.glob("shadows/*/.*"))  # no temporary file is left


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning", "ignore:Sending large graph:UserWarning"
)
def test_on_a_cluster_that_loses_a_worker(cache, digits, monkeypatch):
    local = np.array(farm(digits, 6, epochs=40).logits)
    monkeypatch.setenv("MIA_CACHE_DIR", str(cache / "cluster"))
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster, Client(cluster):
        victim = next(iter(cluster.workers.values())).process.process._process.pid
        original, killed = shadows.write_entry, []

        def kill_after_the_second(path, *rest):
            original(path, *rest)
            if len(parts(cache / "cluster")) == 2 and not killed:
                os.kill(victim, signal.SIGKILL)
                killed.append(victim)

        monkeypatch.setattr(shadows, "write_entry", kill_after_the_second)
        with joblib.parallel_config(backend="dask"):
            bank = farm(digits, 6, epochs=40, n_jobs=None)
    assert killed
    np.testing.assert_array_equal(bank.logits, local)


class AllAtOnce(joblib.parallel.ThreadingBackend):
    """A backend that cannot hand out results as they come, as Ray's cannot."""

    supports_return_generator = supports_sharedmem = False


def test_on_a_backend_that_returns_all_at_once(cache, digits, monkeypatch):
    local = np.array(farm(digits, 5).logits)
    monkeypatch.setenv("MIA_CACHE_DIR", str(cache / "other"))
    joblib.register_parallel_backend("all at once", AllAtOnce)
    kept = []
    original = shadows._with_shift
    monkeypatch.setattr(shadows, "_with_shift", lambda *a: kept.append(len(parts(cache / "other"))) or original(*a))
    with joblib.parallel_config(backend="all at once"):
        np.testing.assert_array_equal(farm(digits, 5, n_jobs=1).logits, local)
    assert kept == [0, 0, 2, 2, 4]  # two at a time, and those are kept before the next


def test_threads_would_share_random_numbers_and_are_refused(cache, digits):
    expected = np.array(farm(digits, 2).logits)
    with joblib.parallel_config(backend="threading"):
        with pytest.raises(ValueError, match="ThreadingBackend would train shadows in threads .* use processes"):
            farm(digits, 3, n_jobs=2)
        np.testing.assert_array_equal(farm(digits, 3, n_jobs=1).logits[:2], expected)


# ------------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_shadows": 0}, "n_shadows must be at least 1, got 0"),
        ({"n_members": 0}, r"n_members must lie in 1 … 60, the number of candidates; got 0"),
        ({"n_members": 61}, r"n_members must lie in 1 … 60"),
        ({"n_members": 41, "n_candidates": 40}, r"n_members must lie in 1 … 40"),
        ({"n_candidates": 61}, r"n_candidates must lie in 1 … 60, the number of examples; got 61"),
        ({"n_candidates": 0}, "n_candidates must lie in"),
        ({"method": "magic"}, "method must be 'auto', 'sequential' or 'vmap', got 'magic'"),
        ({"method": "vmap", "model": WithNorm}, "WithNorm has buffers .* use method='sequential'"),
        ({"epochs": 0}, "epochs must be a positive number"),
        ({"lr": 3e38, "method": "vmap", "epochs": 5}, "not finite after 5 epochs; lower the learning rate"),
    ],
)
def test_settings_out_of_range(cache, digits, change, message):
    with pytest.raises(ValueError, match=message):
        farm(digits, **change)


@pytest.mark.parametrize(
    ("images", "labels", "error", "message"),
    [
        (np.zeros((4, 784)), np.zeros(4, int), TypeError, r"images must be float32, got float64"),
        (np.zeros((4, 784), "f4"), np.zeros(4), TypeError, "labels must be integers, got float64"),
        (np.zeros((4, 784), "f4"), np.zeros(3, int), ValueError, r"got \[4, 784\] and \[3\]"),
        (np.zeros((0, 784), "f4"), np.zeros(0, int), ValueError, "N > 0"),
        (np.full((4, 784), np.nan, "f4"), np.zeros(4, int), ValueError, "3136 values of the images are NaN"),
        (np.zeros((4, 784), "f4"), np.full(4, -1), ValueError, "labels must not be negative, got -1"),
    ],
)
def test_data_that_does_not_fit(cache, images, labels, error, message):
    with pytest.raises(error, match=message):
        train_shadows(1, images, labels, model=Tiny, progress=False)


def test_an_unwritable_cache_is_said_before_training(tmp_path, monkeypatch, digits):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MIA_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(OSError, match="cannot keep shadows in .* set MIA_CACHE_DIR"):
        farm(digits, 1)


def test_batch_normalisation_works_one_by_one(cache, digits):
    assert np.isfinite(farm(digits, 2, model=WithNorm).logits).all()


def test_halves_are_halves_and_differ():
    halves = draw_halves(6, 51, seed=1)
    assert halves.shape == (6, 51) and (halves.sum(1) == 25).all() and len(np.unique(halves, axis=0)) == 6
    np.testing.assert_array_equal(halves, draw_halves(6, 51, seed=1))

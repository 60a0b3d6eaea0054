"""How fast are the attacks, and the shadow farm?

`python benchmarks/attacks.py [ROUNDS]` prints

(a) scoring: LiRA and RMIA for 60,000 examples and 64 shadows, against loops and pairs written the straightforward way, with
    equal results asserted; RMIA's time and peak memory for several numbers of examples and population points;
(b) the farm: shadows per minute of `mia_helpers.shadows.train_shadows` with one and two workers, against a naive loop that
    trains the same networks one after another; seconds for 2, 4, 8, 16 shadows, and the line through them;
(c) only with CUDA: 256 shadows of 60 epochs, up to 64 at once, against training them one by one on the same GPU.

Contestants take turns and medians are reported. Every farm run starts with an empty cache; its worker processes are up.
How good the attacks are, beside those of other packages on the same models, is in `benchmarks/peers.py`; what a cluster
costs, in `benchmarks/cluster.py`.
"""

import contextlib
import os
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator

import numpy as np
import torch
from scipy.stats import norm
from torch import nn
from torch.utils.data import DataLoader
from training import PilDigits

from mia_helpers import attacks
from mia_helpers.bank import ShadowBank
from mia_helpers.data import ImageSet, load_digits
from mia_helpers.models import SmallClassifier
from mia_helpers.shadows import train_shadows

N, S, Z = 60_000, 64, 10_000
SETTINGS = {"epochs": 30, "lr": 3e-3, "batch_size": 64}
FARM = SETTINGS | {"n_members": 500, "n_candidates": 1000, "device": "cpu", "method": "sequential", "progress": False}


def timed(function: Callable, *arguments, **options) -> tuple[float, object]:
    start = time.perf_counter()
    result = function(*arguments, **options)
    return time.perf_counter() - start, result


def simulated(n: int, z: int) -> tuple[np.ndarray, ...]:
    """Target and shadows' φ `[n]`, `[S, n]`, member mask, and the population's φ `[z]`, `[S, z]`; float32 as logits are."""
    rng = np.random.default_rng(0)
    mask = rng.random((S, n)) < 0.5
    phi, population = (rng.normal(0, 3, k) + rng.normal(size=(S + 1, k)) for k in (n, z))
    phi[1:] += mask
    return (
        tuple(a.astype(np.float32) for a in (phi[0], phi[1:]))
        + (mask,)
        + tuple(a.astype(np.float32) for a in (population[0], population[1:]))
    )


def rmia_arguments(n: int, z: int) -> tuple[np.ndarray, ...]:
    return tuple(a if a.dtype == bool else 1 / (1 + np.exp(-a)) for a in simulated(n, z))


def loop_lira(target: np.ndarray, shadows: np.ndarray, mask: np.ndarray, online: bool) -> np.ndarray:
    scores = []
    for i in range(len(target)):
        kinds = [shadows[mask[:, i], i].astype(float), shadows[~mask[:, i], i].astype(float)]
        inside, outside = (
            norm(values.mean(), values.std(ddof=1)) if online or values is kinds[1] else None for values in kinds
        )
        scores.append(inside.logpdf(target[i]) - outside.logpdf(target[i]) if online else outside.logcdf(target[i]))
    return np.array(scores)


def pairwise_rmia(
    p: np.ndarray,
    shadow_p: np.ndarray,
    mask: np.ndarray,
    q: np.ndarray,
    shadow_q: np.ndarray,
    gamma: float = 2.0,
    a: float = 0.3,
    chunk: int = 500,
) -> np.ndarray:
    out = np.where(mask, 0.0, shadow_p).sum(0) / (~mask).sum(0)
    ratio, population = (
        values / (((1 + a) * mean + 1 - a) / 2) for values, mean in ((p, out), (q, shadow_q.mean(0, dtype=float)))
    )
    return np.concatenate([(ratio[i : i + chunk, None] / population >= gamma).mean(1) for i in range(0, len(p), chunk)])


def scoring(rounds: int) -> None:
    phi, confidence = simulated(N, Z)[:3], rmia_arguments(N, Z)
    print(f"(a) {N:,} examples × {S} shadows, population of {Z:,}; seconds, {torch.get_num_threads()} threads")
    for name, ours, naive, rest in (
        ("LiRA online", lambda: attacks.lira_online(*phi), lambda: loop_lira(*phi, online=True), "scipy in a loop"),
        ("LiRA offline", lambda: attacks.lira_offline(*phi), lambda: loop_lira(*phi, online=False), "the same"),
        ("RMIA", lambda: attacks.rmia(*confidence), lambda: pairwise_rmia(*confidence), "all pairs, in chunks"),
    ):
        fast = statistics.median(timed(ours)[0] for _ in range(5 * rounds))
        slow, expected = timed(naive)
        tolerance = {"atol": 1.01 / Z, "rtol": 0} if name == "RMIA" else {"rtol": 1e-6, "atol": 1e-9}  # one z at a tie
        np.testing.assert_allclose(ours(), expected, **tolerance)
        print(f"  {name:14}{fast:8.3f}   {rest}: {slow:6.2f}, {slow / fast:.0f} × as long; equal results", flush=True)
    print("  RMIA:      N       Z   seconds   peak MiB   all pairs as float64, MiB")
    for n in (N // 4, N // 2, N):
        for z in (Z // 4, Z, 4 * Z):
            arguments = rmia_arguments(n, z)
            seconds = statistics.median(timed(attacks.rmia, *arguments)[0] for _ in range(5 * rounds))
            tracemalloc.start()
            attacks.rmia(*arguments)
            peak = tracemalloc.get_traced_memory()[1] / 2**20
            print(f"      {n:8,}{z:8,}{seconds:10.3f}{peak:11.0f}{n * z / 2**17:12,.0f}")
            tracemalloc.stop()


@contextlib.contextmanager
def empty_cache() -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MIA_CACHE_DIR"] = folder
        yield


def naive_farm(n: int, data: ImageSet) -> None:
    """The loop that most tutorials show, once for each shadow: PIL images, a DataLoader, plain Adam; then all logits."""
    rng = np.random.default_rng(0)
    for _ in range(n):
        members = data.subset(rng.choice(FARM["n_candidates"], FARM["n_members"], replace=False))
        model, loss_function = SmallClassifier(), nn.CrossEntropyLoss()
        optimiser = torch.optim.Adam(model.parameters(), lr=SETTINGS["lr"])
        for _ in range(SETTINGS["epochs"]):
            for images, labels in DataLoader(PilDigits(members), batch_size=SETTINGS["batch_size"], shuffle=True):
                optimiser.zero_grad()
                loss_function(model(images), labels).backward()
                optimiser.step()
        with torch.no_grad():
            model(data.images)


def farm(n: int, data: ImageSet, n_jobs: int, seed: int = 0, **options) -> ShadowBank:
    with empty_cache():
        return train_shadows(n, data.images, data.labels, seed=seed, n_jobs=n_jobs, **FARM | options)


def farming(rounds: int, data: ImageSet) -> None:
    farm(2, data, 2)  # worker processes start, and stay
    contestants = (
        (f"naive, {torch.get_num_threads()} threads", 2, naive_farm, ()),
        ("farm, 1 worker", 4, farm, (1,)),
        ("farm, 2 workers", 8, farm, (2,)),
    )
    rates = [[60 * n / timed(train, n, data, *rest)[0] for _, n, train, rest in contestants] for _ in range(rounds)]
    medians = [statistics.median(column) for column in zip(*rates)]
    print(f"(b) {FARM['n_members']} members, {SETTINGS['epochs']} epochs, {os.cpu_count()} cores; shadows per minute")
    for (name, *_), rate, column in zip(contestants, medians, zip(*rates)):
        print(f"  {name:20}{rate:7.1f}  ({rate / medians[0]:.2f} × naive; rounds: {', '.join(f'{r:.1f}' for r in column)})")
    print(f"  1 → 2 workers: {medians[2] / medians[1]:.2f} ×")
    counts = (2, 4, 8, 16)
    seconds = [timed(farm, n, data, 2)[0] for n in counts]
    slope, start = np.polyfit(counts, seconds, 1)
    off = np.max(np.abs(np.polyval([slope, start], counts) / seconds - 1))
    print(
        "  2 workers, "
        + ", ".join(f"{n} shadows {t:.1f} s" for n, t in zip(counts, seconds))
        + f"; line: {start:.2f} s + {slope:.2f} s a shadow, off by {off:.0%} at most",
        flush=True,
    )


def on_gpu(data: ImageSet, n: int = 256, few: int = 8, device: str = "cuda", epochs: int = 60) -> None:
    options = {"epochs": epochs, "device": device}
    for method in ("vmap", "sequential"):  # kernels are loaded and chosen in the first run
        farm(1, data, 1, method=method, **options | {"epochs": 1})
    together, _ = timed(farm, n, data, 1, method="vmap", **options)
    one_by_one, _ = timed(farm, few, data, 1, method="sequential", **options)
    print(
        f"(c) {torch.cuda.get_device_name() if device == 'cuda' else device}: {n} shadows of {epochs} epochs in "
        f"{together:.1f} s; one by one {one_by_one / few:.2f} s each ({few} timed), "
        f"{one_by_one / few * n / together:.1f} × as long"
    )


def main() -> None:
    rounds, data = int(sys.argv[1]) if len(sys.argv) > 1 else 3, load_digits("target", source="bundled")
    scoring(rounds)
    data = data.subset(range(2 * FARM["n_candidates"]))  # candidates, and as many that no model is trained on
    farming(rounds, data)
    if torch.cuda.is_available():
        on_gpu(data)


if __name__ == "__main__":
    main()

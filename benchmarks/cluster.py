"""What does a cluster cost for each shadow, and what would break first with 100,000?

`python benchmarks/cluster.py [N …]` (default 1000 10000) has `train_shadows` make N empty shadows on a dask cluster of two
workers on this machine, with the scheduler in a process of its own: members and seeds are drawn, each shadow is a task, its
answers come back and are written to the cache, only nothing is trained. For each N it prints

milliseconds for each shadow; what the caller, the scheduler and the workers each need for it, in CPU-milliseconds and in
kilobytes sent; how much memory the caller and the scheduler took on the way; how long it takes to ask for one shadow more;
and what follows for 100,000 shadows.

joblib sends tasks of under 0.2 s in batches; here it is told not to, since shadows take longer.
"""

import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import joblib
import numpy as np
import psutil
from distributed import Client
from distributed.comm.tcp import TCP
from distributed.deploy.subprocess import SubprocessCluster
from joblib._dask import DaskDistributedBackend

from mia_helpers.shadows import train_shadows

N, N_CLASSES, MANY, TYPICAL = 2_000, 10, 100_000, 1.0  # the last: seconds that a shadow takes


class Model:
    """What an empty training returns: new each time."""


def fit(images: np.ndarray, labels: np.ndarray, seed: int) -> Model:
    return Model()


def answer(model: Model, images: np.ndarray) -> np.ndarray:
    return np.zeros((len(images), N_CLASSES), dtype=np.float32)


def count_sent() -> None:
    """In this process, from now on: `TCP.sent`, how many bytes it has sent."""
    original = TCP.write

    async def write(self, *args, **options):
        n_bytes = await original(self, *args, **options)
        TCP.sent += n_bytes
        return n_bytes

    TCP.sent, TCP.write = 0, write


def so_far() -> np.ndarray:
    """CPU-seconds and bytes sent, of this process."""
    return np.array([time.process_time(), TCP.sent])


def megabytes() -> float:
    """What this process holds in memory, without the files that it has mapped, where the system tells them apart."""
    found = psutil.Process().memory_info()
    return (found.rss - getattr(found, "shared", 0)) / 1e6


@contextmanager
def peak_of(memory: Callable[[], float]) -> Iterator[list[float]]:
    """A list that holds the largest value seen inside the block, looked up twenty times a second."""
    seen, done = [memory()], threading.Event()

    def look() -> None:
        while not done.wait(0.05):
            seen[0] = max(seen[0], memory())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def everybody(client: Client) -> np.ndarray:
    """CPU-seconds and bytes of the caller, the scheduler, and all workers: `[3, 2]`."""
    return np.stack([so_far(), client.run_on_scheduler(so_far), sum(client.run(so_far).values())])


def farm(n: int) -> float:
    """Seconds for n shadows, less those in the cache."""
    images, labels, start = np.zeros((N, 4), dtype=np.float32), np.zeros(N, dtype=np.int64), time.perf_counter()
    with joblib.parallel_config(backend="dask"):
        train_shadows(n, images, labels, fit=fit, answer=answer, key="empty", progress=False)
    return time.perf_counter() - start


def measure(client: Client, n: int) -> None:
    before, caller, scheduler = everybody(client), megabytes(), client.run_on_scheduler(megabytes)
    with peak_of(megabytes) as peak:
        seconds = farm(n)
    cost, grown = (everybody(client) - before) / n, client.run_on_scheduler(megabytes) - scheduler
    rest, one_more = megabytes() - caller, farm(n + 1)
    memory = [f"; {caller:.0f} MB, {peak[0] - caller:+.0f} at the peak, {rest:+.0f} after", f"; {grown:+.0f} MB", ""]
    print(f"{n:,} shadows of {N:,} examples × {N_CLASSES}: {1000 * seconds / n:.1f} ms each; one more: {one_more:.1f} s")
    for who, (cpu, sent), more in zip(("caller", "scheduler", "workers"), cost, memory):
        print(f"  {who:10}{1000 * cpu:6.2f} CPU ms, {sent / 1000:5.1f} kB a shadow{more}")
    (of_caller, of_scheduler), answers = cost[:2, 0], 4 * N * N_CLASSES * MANY / 1e9
    print(
        f"  so {MANY:,}: {of_caller * MANY / 60:.0f} CPU-minutes of the caller, {of_scheduler * MANY / 60:.0f} of the "
        f"scheduler, enough for {TYPICAL / max(of_caller, of_scheduler):.0f} workers if a shadow takes {TYPICAL:g} s;\n"
        f"  {answers:.0f} GB of answers, twice on disk, and in the caller's memory as far as it lags behind; "
        f"{N * MANY / 1e9:.1f} GB of memberships there",
        flush=True,
    )


def main() -> None:
    DaskDistributedBackend.compute_batch_size = lambda self: 1
    with SubprocessCluster(n_workers=2, worker_kwargs={"nthreads": 1}) as cluster, Client(cluster) as client:
        client.wait_for_workers(2)
        client.run(count_sent)
        client.run_on_scheduler(count_sent)
        count_sent()
        first = partial(farm, 10)  # everybody imports what they need
        for task in (first, *(partial(measure, client, int(n)) for n in sys.argv[1:] or (1_000, 10_000))):
            with tempfile.TemporaryDirectory() as folder:
                os.environ["MIA_CACHE_DIR"] = folder
                task()


if __name__ == "__main__":
    main()

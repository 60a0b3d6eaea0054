"""How long does an audit take, and how much memory?

`python benchmarks/audit.py` prints

(a) seconds until `mia_helpers.audit` can be used, and from start to exit of the command line on a small file;
(b) seconds and peak memory of audits of up to 1,000,000 examples × 10 classes and up to 100,000 × 1,000, without reference
    models and with two groups, and the exponent of the growth. Each size is audited in a process of its own, since the peak
    of a process never falls. The process's start, with the imports, is in the peak but not in the seconds; making the arrays
    is in neither, up to the arrays themselves;
(c) the time of an attack's intervals, here and by PrivacyGuard's 1,000 resamples (own code, written from its description).

`python benchmarks/audit.py import|size|intervals` prints one of the three. Attacks of other packages are in
`benchmarks/peers.py`.
"""

import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

SIZES = (
    *((n, 10) for n in (125_000, 250_000, 500_000, 1_000_000)),
    *((n, 1000) for n in (2_000, 12_500, 25_000, 50_000, 100_000)),
)
N = 4_000


def simulated(n: int, n_classes: int = 10) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Labels `[n]`, memberships `[n]`, float32 logits `[n, C]` with a small leak, and groups `[n]`."""
    rng = np.random.default_rng(0)
    labels, is_member = rng.integers(0, n_classes, n), rng.random(n) < 0.5
    logits = rng.standard_normal((n, n_classes), dtype=np.float32) * 2
    logits[np.arange(n), labels] += np.float32(4) + is_member.astype(np.float32) / 4
    return labels, is_member, logits, rng.choice(["one", "two"], n)


# ---- start


def median_seconds(command: list[str], rounds: int = 5) -> float:
    """Of several runs of a command, each in a fresh process."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    return sorted(seconds)[rounds // 2]


def starting() -> None:
    bare, importing = (median_seconds([sys.executable, "-c", code]) for code in ("pass", "import mia_helpers.audit"))
    print(f"import mia_helpers.audit: {importing:.2f} s with Python's start, {bare:.2f} s without the import")
    with tempfile.TemporaryDirectory() as folder:
        labels, is_member, logits, _ = simulated(1000)
        np.savez(f"{folder}/outputs.npz", labels=labels, is_member=is_member, logits=logits)
        command = [sys.executable, "-m", "mia_helpers.audit", f"{folder}/outputs.npz", "--at-fpr", "0.05"]
        print(f"command line, 1,000 examples, start to exit: {median_seconds(command):.2f} s")


# ---- size


def megabytes() -> float:
    """This process's peak so far, in units of 1,000,000 bytes (Linux counts in KiB, macOS in bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def one(n: int, n_classes: int) -> None:
    from mia_helpers.audit import audit
    from mia_helpers.audit.settings import Settings

    labels, is_member, logits, group = simulated(n, n_classes)
    before, start = megabytes(), time.perf_counter()
    report = audit(labels, is_member, logits=logits, group=group, settings=Settings(at_fpr=0.05))
    seconds = time.perf_counter() - start
    print(
        f"{n:>9,} × {n_classes:>5,}: {seconds:5.1f} s, peak {megabytes():5.0f} MB (before the audit {before:.0f} MB), "
        f"{len(report.attacks)} attacks, {len(report.slices)} slices, {report.status}",
        flush=True,
    )
    print(seconds)


def sizes() -> None:
    found: dict[int, list[tuple[int, float]]] = {}
    for n, n_classes in SIZES:
        command = [sys.executable, __file__, "--one", str(n), str(n_classes)]
        *shown, seconds = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        print(*shown, sep="\n", flush=True)
        found.setdefault(n_classes, []).append((n, float(seconds)))
    for n_classes, rows in found.items():
        slope = np.polyfit(*np.log(np.array(rows).T), 1)[0]
        print(f"{n_classes:,} classes: seconds grow as N^{slope:.2f}")
    (n, few), (_, many) = found[10][0], (12_500, dict(found[1000])[12_500])
    print(f"{n:,} × 10 takes {few:.1f} s, as many logits as 12,500 × 1,000 take {10 * many / 100:.2f} s for a tenth of them")


# ---- intervals


def resampled(scores: np.ndarray, is_member: np.ndarray, rounds: int = 1000) -> np.ndarray:
    """PrivacyGuard's intervals: accuracy and AUC on 1,000 resamples of members and of non-members."""
    from sklearn.metrics import roc_auc_score

    rng, groups = np.random.default_rng(0), (scores[is_member], scores[~is_member])
    n = min(map(len, groups))
    truth = np.repeat([True, False], n)
    draws = (np.concatenate([rng.choice(group, n) for group in groups]) for _ in range(rounds))
    return np.quantile([roc_auc_score(truth, drawn) for drawn in draws], [0.025, 0.975])


def intervals() -> None:
    from mia_helpers import metrics

    rng = np.random.default_rng(0)
    is_member = rng.random(N) < 0.5
    scores = rng.normal(size=N) + is_member / 2
    for name, make in (
        ("this package", lambda: metrics.attack_report(scores, is_member)),
        ("1,000 resamples", lambda: resampled(scores, is_member)),
    ):
        start = time.perf_counter()
        make()
        print(f"intervals for {N:,} examples, {name}: {1000 * (time.perf_counter() - start):.1f} ms")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(*map(int, sys.argv[2:]))
    else:
        parts = {"import": starting, "size": sizes, "intervals": intervals}
        for name in sys.argv[1:] or parts:
            parts[name]()

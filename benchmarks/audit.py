"""How long does an audit take, and how much memory?

`python benchmarks/audit.py [EXAMPLES …]` prints seconds and peak memory for 1,000,000 examples × 10 classes (and 125,000,
250,000, 500,000 on the way), without reference models and with two groups. Each size is audited in a process of its own,
since the peak of a process never falls. The process's start, with the imports, is in the peak but not in the seconds; making
the arrays is in neither, up to the arrays themselves.
"""

import resource
import subprocess
import sys
import time

import numpy as np

SIZES = (125_000, 250_000, 500_000, 1_000_000)
N_CLASSES = 10


def simulated(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Labels `[n]`, memberships `[n]`, float32 logits `[n, 10]` with a small leak, and groups `[n]`."""
    rng = np.random.default_rng(0)
    labels, is_member = rng.integers(0, N_CLASSES, n), rng.random(n) < 0.5
    logits = rng.standard_normal((n, N_CLASSES), dtype=np.float32) * 2
    logits[np.arange(n), labels] += np.float32(4) + is_member.astype(np.float32) / 4
    return labels, is_member, logits, rng.choice(["one", "two"], n)


def megabytes() -> float:
    """This process's peak so far, in units of 1,000,000 bytes (Linux counts in KiB, macOS in bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def one(n: int) -> None:
    from mia_helpers.audit import audit

    labels, is_member, logits, group = simulated(n)
    before, start = megabytes(), time.perf_counter()
    report = audit(labels, is_member, logits=logits, group=group)
    seconds = time.perf_counter() - start
    print(
        f"{n:>9,} examples: {seconds:5.1f} s, peak {megabytes():5.0f} MB (before the audit {before:.0f} MB), "
        f"{len(report.attacks)} attacks, {len(report.slices)} slices, {report.status}",
        flush=True,
    )


def imports(rounds: int = 5) -> None:
    """Seconds until `mia_helpers.audit` can be used, in a fresh process; the median, and that of Python alone."""

    def seconds(code: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - start

    median = {
        code: sorted(seconds(code) for _ in range(rounds))[rounds // 2] for code in ("pass", "import mia_helpers.audit")
    }
    print("import mia_helpers.audit: {1:.2f} s with Python's start, {0:.2f} s without the import".format(*median.values()))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(int(sys.argv[2]))
    else:
        imports()
        for size in map(int, sys.argv[1:] or SIZES):
            subprocess.run([sys.executable, __file__, "--one", str(size)], check=True)

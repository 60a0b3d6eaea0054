"""How do the attacks do beside those of their peers, on the same models?

`python benchmarks/peers.py [SHADOWS …]` (default 16 64) trains that many shadows and eight targets. For each attack of this
package, and for each of the same kind as its peers compute it, it prints

CPU-milliseconds from the logits to all targets' scores, AUC and TPR at 1 % FPR, and ours minus theirs on the same targets
and examples. Intervals are of 95 %, from a bootstrap over targets and examples at once; a TPR's threshold is held fixed.

The peers are lira-pytorch, ML Privacy Meter (today's RMIA, and the code of 2023 with its settings for CIFAR-10) and
PrivacyGuard, in own code, written from what they compute; and the Adversarial Robustness Toolbox (ART): itself where it is
installed, else its random forest and its boosted trees as scikit-learn makes them. All are given the same answers. A peer
that wants equally many shadows for each example, and leaves out what is above the fewest, gets all of them here.
"""

import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from attacks import FARM, empty_cache, farm
from scipy.special import softmax
from scipy.stats import norm, trim_mean
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mia_helpers import attacks, metrics
from mia_helpers.attack_network import AttackNetwork
from mia_helpers.bank import ShadowBank
from mia_helpers.data import load_digits

N_TARGETS, N_DRAWS, ROUNDS = 8, 500, 5
SLOW = 1.0  # seconds above which an attack is timed once


@dataclass(frozen=True)
class Answers:
    """What every attack is given, of k candidates first and then of the population: logits, labels, and who was a member."""

    targets: np.ndarray  # [T, N, C]
    shadows: np.ndarray  # [S, N, C]
    mask: np.ndarray  # [S, k]
    labels: np.ndarray  # [N]

    @property
    def k(self) -> int:
        return self.mask.shape[1]


def stable_logit(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """φ as the code of LiRA's paper has it, which lira-pytorch and ML Privacy Meter took over: `[…, N, C]` to `[…, N]`."""
    p = softmax(logits.astype(float), axis=-1)
    own = p[..., np.arange(len(labels)), labels]
    p[..., np.arange(len(labels)), labels] = 0
    return np.log(own + 1e-45) - np.log(p.sum(-1) + 1e-45)


def signals_of(b: Answers, signal: Callable) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The targets' signal `[T, k]`, and the in- and the out-shadows' `[S, k]`, NaN where a shadow is of the other kind."""
    targets, shadows = (signal(logits[:, : b.k], b.labels[: b.k]) for logits in (b.targets, b.shadows))
    return targets, np.where(b.mask, shadows, np.nan), np.where(b.mask, np.nan, shadows)


def lira_pytorch(b: Answers, online: bool, fixed: bool) -> np.ndarray:
    """Medians; deviations of each example, or for both kinds that of all in-values together; offline −log density."""
    targets, inside, outside = signals_of(b, stable_logit)
    along = None if fixed else 0
    std_in, std_out = np.nanstd(inside, axis=along), np.nanstd(inside if fixed and online else outside, axis=along)
    outside_density = norm.logpdf(targets, np.nanmedian(outside, axis=0), std_out + 1e-30)
    return online * norm.logpdf(targets, np.nanmedian(inside, axis=0), std_in + 1e-30) - outside_density


def privacy_guard_lira(b: Answers, online: bool, deviations: str) -> np.ndarray:
    """Means; deviations of each example, their means, or for both kinds the target's own; offline −log density."""
    targets, inside, outside = signals_of(b, stable_logit)
    if deviations == "target's":
        std_in = std_out = targets.std(axis=1, ddof=1, keepdims=True)
    else:
        std_in, std_out = (np.nanstd(values, axis=0, ddof=1) for values in (inside, outside))
        if deviations == "mean":
            std_in, std_out = np.nanmean(std_in), np.nanmean(std_out)
    outside_density = norm.logpdf(targets, np.nanmean(outside, axis=0), std_out)
    return online * norm.logpdf(targets, np.nanmean(inside, axis=0), std_in) - outside_density


def share_beaten(ratio: np.ndarray, population: np.ndarray, gamma: float) -> np.ndarray:
    """All pairs: `[k]` and `[Z]` to `[k]`."""
    return np.average(ratio[:, None] / population > gamma, axis=1)


def confidence(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return softmax(logits.astype(float), axis=-1)[..., np.arange(len(labels)), labels]


def largest(p: np.ndarray, n: int) -> np.ndarray:
    """The mean over the n largest of `[S, …]`."""
    return np.sort(p, axis=0)[-n:].mean(0)


def top_rmia(
    target: np.ndarray, shadows: np.ndarray, mask: np.ndarray, a: float, n: int, online: bool = False
) -> np.ndarray:
    """γ = 1, p̄ from the n largest of the out-shadows' answers, 0 standing for an in-shadow; online of all shadows' answers.

    With n = 1 it is the mean over all, an in-shadow's turned by the formula for p_in into what it would be without.
    """
    k = mask.shape[1]
    if online:
        p_out, a = largest(shadows, n), 1.0
    elif n > 1:
        p_out = largest(np.hstack([shadows[:, :k] * ~mask, shadows[:, k:]]), n)
    else:
        without = np.where(mask, (shadows[:, :k] + a - 1) / (a or 0.3), shadows[:, :k])
        p_out = np.hstack([without, shadows[:, k:]]).mean(0)
    ratio = target / ((1 + a) / 2 * p_out + (1 - a) / 2)
    return share_beaten(ratio[:k], ratio[k:], 1.0)


def meter_rmia(b: Answers, a: float | None = 0.3, online: bool = False) -> np.ndarray:
    """ML Privacy Meter and PrivacyGuard; with `a=None` the a that is best on the first shadow, attacked with the others."""
    targets, shadows = confidence(b.targets, b.labels), confidence(b.shadows, b.labels)
    if a is None:
        aucs = {
            one: metrics.auc(top_rmia(shadows[0], shadows[1:], b.mask[1:], one, 1), b.mask[0]).value
            for one in np.linspace(0, 1, 11)
        }
        a = max(aucs, key=aucs.__getitem__)
    return np.stack([top_rmia(target, shadows, b.mask, a, len(shadows) // 2, online) for target in targets])


def taylor_confidence(logits: np.ndarray, labels: np.ndarray, temperature: float = 2.0, margin: float = 0.6) -> np.ndarray:
    """SM-Taylor softmax: exp by its terms up to the third power, and a margin taken off the labelled class."""

    def exp(x: np.ndarray) -> np.ndarray:
        return 1 + x + x**2 / 2 + x**3 / 6

    z = logits.astype(float) / temperature
    own = z[..., np.arange(len(labels)), labels]
    return exp(own - margin) / (exp(z).sum(-1) - exp(own) + exp(own - margin))


def meter_rmia_2023(b: Answers, online: bool, signal: Callable, a: float = 0.33) -> np.ndarray:
    """γ = 2, p̄ the mean without the 20 % largest and smallest: of in- and out-shadows together, or of the out-shadows."""
    targets, shadows = signal(b.targets, b.labels), signal(b.shadows, b.labels)
    mean = trim_mean(shadows, 0.2, axis=0)  # of the population all are out
    if not online:
        mean[: b.k] = [trim_mean(values[~had], 0.2) for values, had in zip(shadows[:, : b.k].T, b.mask.T)]
        mean = (1 + a) / 2 * mean + (1 - a) / 2
    return np.stack([share_beaten(ratio[: b.k], ratio[b.k :], 2.0) for ratio in targets / mean])


def art_like(b: Answers, estimator: object) -> np.ndarray:
    """ART's attack by a classifier: softmax outputs and the label as ten columns, all standardised."""
    ones = np.eye(b.targets.shape[-1])[b.labels[: b.k]]
    targets, shadows = ([np.hstack([softmax(z[: b.k], axis=-1), ones]) for z in logits] for logits in (b.targets, b.shadows))
    model = make_pipeline(StandardScaler(), estimator).fit(np.concatenate(shadows), b.mask.ravel())
    return np.stack([model.predict_proba(x)[:, 1] for x in targets])


def art_itself(b: Answers, kind: str) -> np.ndarray:
    """ART's black-box attacks, given the outputs themselves: its estimator is the identity on probabilities."""
    from art.attacks.inference.membership_inference import MembershipInferenceBlackBox
    from art.estimators.classification import BlackBoxClassifier

    shadows, targets = (softmax(logits[:, : b.k].astype(float), axis=-1) for logits in (b.shadows, b.targets))
    n_classes, labels = targets.shape[-1], b.labels[: b.k]
    p, y, member = shadows.reshape(-1, n_classes), np.tile(labels, len(shadows)), b.mask.ravel()
    attack = MembershipInferenceBlackBox(
        BlackBoxClassifier(lambda outputs: outputs, (n_classes,), n_classes, clip_values=(0, 1)), attack_model_type=kind
    )
    attack.fit(p[member], y[member], p[~member], y[~member])
    return np.stack([np.ravel(attack.infer(target, labels, probabilities=True)) for target in targets])


def ours(b: Answers, attack: attacks.Attack) -> np.ndarray:
    mask = np.hstack([b.mask, np.zeros((len(b.mask), len(b.labels) - b.k), dtype=bool)])
    n = len(b.labels) if isinstance(attack, attacks.RMIAAttack) else b.k
    attack.fit(ShadowBank(b.shadows[:, :n], mask[:, :n], b.labels[:n]))
    return np.stack([attack.score(target[:n], b.labels[:n])[: b.k] for target in b.targets])


def contestants(k: int) -> dict[str, dict[str, Callable[[Answers], np.ndarray]]]:
    """Kind -> name -> attack; the first of each kind is ours, against which the others are held."""
    listed = attacks.standard(seed=0, population=slice(k, None))
    network = AttackNetwork(seed=0, epochs=20, lr=1e-3, progress=False)
    art: dict[str, Callable] = {
        "ART's random forest": partial(art_like, estimator=RandomForestClassifier(random_state=0)),
        "ART's gradient boosting": partial(art_like, estimator=GradientBoostingClassifier(random_state=0)),
    }
    try:
        import art.attacks.inference.membership_inference  # noqa: F401 (is it there?)

        kinds = {"nn": "network", "rf": "random forest", "gb": "gradient boosting"}
        art = {f"ART, {name}": partial(art_itself, kind=kind) for kind, name in kinds.items()}
    except ImportError as error:
        print(f"without ART ({error}): pip install adversarial-robustness-toolbox")
    found: dict[str, dict[str, Callable]] = {}
    for kind, online in (("LiRA online", True), ("LiRA offline", False)):
        guard = ("each", "mean", "target's") if online else ("target's",)
        found[kind] = {
            "this package": partial(ours, attack=listed[kind]),
            "lira-pytorch, each example's variance": partial(lira_pytorch, online=online, fixed=False),
            "lira-pytorch, ML Privacy Meter, one": partial(lira_pytorch, online=online, fixed=True),
        } | {f"PrivacyGuard, deviations: {one}": partial(privacy_guard_lira, online=online, deviations=one) for one in guard}
    by_top: dict[str, dict[str, Callable]] = {
        "RMIA online": {"PrivacyGuard": partial(meter_rmia, online=True)},
        "RMIA offline": {
            "PrivacyGuard, ML Privacy Meter, a = 0.3": meter_rmia,
            "ML Privacy Meter, a from a shadow": partial(meter_rmia, a=None),
        },
    }
    for kind, theirs in by_top.items():
        of_2023 = partial(meter_rmia_2023, online=kind == "RMIA online")
        found[kind] = {"this package": partial(ours, attack=listed[kind])} | theirs
        found[kind] |= {
            "ML Privacy Meter 2023, softmax": partial(of_2023, signal=confidence),
            "ML Privacy Meter 2023, SM-Taylor": partial(of_2023, signal=taylor_confidence),
        }
    found["shadow classifier"] = {
        "this package, trees": partial(ours, attack=listed["shadow classifier"]),
        "this package, network": partial(ours, attack=attacks.ClassifierAttack(network)),
    } | art
    return found


def scored(attack: Callable[[Answers], np.ndarray], b: Answers) -> tuple[float, np.ndarray]:
    """Median CPU-milliseconds, and the scores `[T, k]`."""
    seconds: list[float] = []
    while not seconds or (len(seconds) < ROUNDS and max(seconds) < SLOW):
        with empty_cache(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ART's dependencies; NumPy where an example lacks a kind of shadow
            start = time.process_time()
            scores = attack(b)
            seconds.append(time.process_time() - start)
    return 1000 * statistics.median(seconds), metrics.known(scores)


def verdict(difference: metrics.Estimate) -> str:
    return f"{difference!s:24}" + ("ahead" if difference.low > 0 else "behind" if difference.high < 0 else "equal")


def compare(b: Answers, truth: np.ndarray) -> None:
    draws = metrics.Draws(*truth.shape, n_draws=N_DRAWS)
    counts = np.minimum(b.mask.sum(0), (~b.mask).sum(0))
    print(
        f"\n{len(truth)} targets, {len(b.shadows)} shadows (of the rarer kind {counts.min()} at least, "
        f"{np.median(counts):.0f} mostly), {b.k} candidates, a population of {len(b.labels) - b.k}"
    )
    print(f"  {'':40}{'CPU ms':>8}  {'AUC':22}{'TPR at 1 % FPR':22}{'our AUC − theirs':30}our TPR − theirs")
    for kind, rows in contestants(b.k).items():
        print(f"  {kind}")
        first: tuple[np.ndarray, ...] = ()
        for name, attack in rows.items():
            np.random.seed(0)  # ART's attacks draw from the global generators
            torch.manual_seed(0)
            ms, scores = scored(attack, b)
            found = draws.auc(scores, truth), draws.tpr_at_fpr(scores, truth, 0.01)
            shown = "".join(f"{draws.estimate(values)!s:22}" for values in found)
            against = "  ".join(verdict(draws.estimate(mine - its)) for mine, its in zip(first, found))
            print(f"    {name:38}{ms:8.1f}  {shown}{against}", flush=True)
            first = first or found


def main() -> None:
    counts = [int(n) for n in sys.argv[1:]] or [16, 64]
    data, k = load_digits("target", source="bundled").subset(range(2 * FARM["n_candidates"])), FARM["n_candidates"]
    bank, targets = farm(max(counts), data, 2), farm(N_TARGETS, data, 2, seed=1, in_pairs=True)
    for n in counts:
        answers = Answers(np.array(targets.logits), np.array(bank.logits[:n]), bank.member_mask[:n, :k], bank.labels)
        compare(answers, targets.member_mask[:, :k])


if __name__ == "__main__":
    main()

"""An audit of anybody's model: every attack on outputs that the material allows, with intervals and controls, in one report.

NumPy side, except where it asks a torch module.

All statements of a report hold together with probability `confidence`: each interval is at the level
1 − (1 − confidence) / number of statements (Bonferroni). Results do not depend on the order of the examples.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy.special import expit, log_softmax, logit
from scipy.stats import hypergeom, norm
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from mia_helpers import attacks, signals
from mia_helpers.audit.inputs import (
    Asker,
    checked_answers,
    checked_bank,
    checked_features,
    checked_groups,
    checked_labels,
    checked_memberships,
)
from mia_helpers.audit.report import (
    EVIDENCE,
    MIN_IN_SLICE,
    NO_EVIDENCE,
    NOT_COMPARABLE,
    AuditReport,
    Control,
    Exposed,
    Slice,
    rounded_up,
)
from mia_helpers.metrics import (
    AttackReport,
    Estimate,
    SupportedRates,
    attack_report,
    auc,
    best_threshold,
    epsilon_lower_bound,
    tpr_at_fpr,
)
from mia_helpers.shadows import train_shadows
from mia_helpers.white_box import gradient_norms

SIGNALS = {"gap": signals.correctness, "max confidence": signals.max_confidence, "loss": signals.logit_confidence,
           "entropy": signals.negative_entropy, "modified entropy": signals.negative_modified_entropy,
           "hinge": signals.hinge}
CROSS_FITTED, FROM_SHADOWS, GRADIENT = "output classifier", "shadow classifier", "gradient norm"
LIRA, LIRA_OFFLINE, RMIA, RMIA_OFFLINE = "LiRA online", "LiRA offline", "RMIA online", "RMIA offline"
FIXED_AT_0 = {CROSS_FITTED, FROM_SHADOWS, LIRA}  # scores that are log-odds, so that 0 is the threshold beforehand
CHUNK = 65_536  # examples at a time, to spare memory
MAX_TRAINING, MAX_CALIBRATION, MAX_POPULATION, MAX_TWO_SAMPLE = 50_000, 20_000, 10_000, 4_000
MAX_OUTPUTS, MAX_CATEGORIES, N_EXPOSED, FEW, MAX_UNCOVERED = 10, 50, 10, 20, 0.02

NEEDS = {
    FROM_SHADOWS: "reference models that were trained on some of the examples (shadow_logits and member_mask, or fit)",
    LIRA: "reference models of which some had each example and some had not (shadow_logits and member_mask, or fit)",
    LIRA_OFFLINE: "reference models that had not seen the examples (shadow_logits and member_mask, or fit)",
    RMIA: "as LiRA online", RMIA_OFFLINE: "as LiRA offline",
    "label-only attacks": "the model, and answers about altered inputs (many queries for each example); see notebook 08",
    GRADIENT: "model, a torch module, with inputs, and white_box=True",
}


def audit(labels: ArrayLike, is_member: ArrayLike, *, logits: ArrayLike | None = None,
          probabilities: ArrayLike | None = None, model: object = None, inputs: ArrayLike | None = None,
          features: ArrayLike | None = None, group: ArrayLike | None = None, shadow_logits: ArrayLike | None = None,
          shadow_probabilities: ArrayLike | None = None, member_mask: ArrayLike | None = None,
          fit: Callable[[np.ndarray, np.ndarray, int], object] | None = None, n_shadows: int = 16, key: str | None = None,
          at_fpr: float = 0.01, confidence: float = 0.95, delta: float = 0.0, floor: float | None = None,
          white_box: bool = False, seed: int = 0, n_jobs: int | None = None, progress: bool = False) -> AuditReport:
    """How much does a model give away about who was in its training set?

    Give the model's answers (`logits` or `probabilities`), or `model` and `inputs`. Members and non-members must come from
    one distribution: hold out a *random* part of your data before training. Reference models make the strongest attacks
    possible; give their answers, or `fit`, which trains them.

    Args:
        labels: integers `[N]`, 0 … C − 1. is_member: bool `[N]` (or 0 and 1).
        logits, probabilities: `[N, C]`, one of them.
        model: a torch module that returns logits (called with float32), or a fitted classifier with `predict_proba`.
        inputs: what the model takes, `[N, …]`.
        features: numbers `[N, …]` that describe the examples, for the two-sample test; default `inputs`.
        group: a name or number for each example, `[N]`; each group is then looked at on its own.
        shadow_logits, shadow_probabilities: answers of S reference models, `[S, N, C]`. member_mask: bool `[S, N]`, which
            examples each was trained on, drawn independently of the target's.
        fit: `fit(inputs [n, …], labels [n], seed) -> model`, trained as the target was. Then `n_shadows` reference models
            are trained on random parts of the examples, as large as the target's, by `shadows.train_shadows`, which
            explains `key` (cache) and `n_jobs`.
        at_fpr: the false-positive rate at which attacks are compared and the gate looks; at least 10 / number of
            non-members.
        confidence: with which all statements of the report hold together.
        delta: the δ at which ε is bounded from below.
        floor: probabilities are taken to be at least this, since log 0 is no number. Default: a tenth of the smallest
            positive one, within 1e-12 … 1e-3.
        white_box: attack a torch module's gradients too; takes about as long as a few epochs of training.
        seed: of every random choice. n_jobs: processes that train reference models. progress: show a bar for these.

    Returns:
        an `AuditReport`: shows itself in a notebook; `.to_markdown()`, `.to_json()`, `.exceeds(tpr_limit)`.

    Raises:
        ValueError: shapes or values that do not fit, fewer than 20 members or non-members, an `at_fpr` that they cannot
            support.
        TypeError: arguments of the wrong kind, or a model that cannot be asked. What `model` or `fit` raise comes through.
    """
    is_member = checked_memberships(is_member)
    y, n = checked_labels(labels, len(is_member)), len(is_member)
    n_members, n_non_members = int(is_member.sum()), int((~is_member).sum())
    for name, value in (("at_fpr", at_fpr), ("confidence", confidence)):
        if not 0 < value < 1:
            raise ValueError(f"{name} must lie between 0 and 1, got {value}")
    if not 0 <= delta < 1:
        raise ValueError(f"delta must lie in [0, 1), got {delta}")
    if min(n_members, n_non_members) < FEW:
        raise ValueError(f"an audit needs at least {FEW} members and {FEW} non-members, got {n_members} and {n_non_members}")
    if at_fpr < (smallest := 10 / n_non_members):
        raise ValueError(f"at_fpr={at_fpr:g} cannot be supported by {n_non_members} non-members: fewer than 10 false "
                         f"positives would be expected. Use at least {rounded_up(smallest)}, or more "
                         "non-members")
    warnings: list[str] = []
    z, floor = checked_answers(logits, probabilities, model, inputs, y, floor, warnings)
    n_classes = z.shape[1]
    if fit is not None:
        if shadow_logits is not None or shadow_probabilities is not None or member_mask is not None:
            raise ValueError("give reference models' answers or fit, which trains them, not both")
        if inputs is None:
            raise ValueError("fit needs inputs: what the reference models are to be trained on")
        trained = train_shadows(n_shadows, np.asarray(inputs), y, fit=fit, answer=Asker(n_classes, floor), key=key,
                                n_members=n_members, seed=seed, n_jobs=n_jobs, progress=progress)
        shadow_logits, member_mask = trained.logits, trained.member_mask
    bank, mask = checked_bank(shadow_logits, shadow_probabilities, member_mask, y, n_classes, floor)
    group = checked_groups(group, n)
    features = checked_features(inputs if features is None else features, n)

    # Outputs, then who may be accused
    rng = np.random.default_rng(seed)
    phi = signals.logit_confidence
    shadow_phi = None if bank is None else np.stack([_by_chunks(phi, one, y) for one in bank])
    keys = [*z.T, y, is_member]
    for more in (shadow_phi, None if group is None else np.unique(group, return_inverse=True)[1:],
                 None if features is None else features.T[:64]):
        keys += [] if more is None else [*more]
    lots = _lots(keys, rng)
    not_run = dict(NEEDS)
    controls: list[tuple[str, np.ndarray, np.ndarray, bool, str]] = []  # name, scores, truth, two-sided, meaning
    if bank is not None and (counts := mask.sum(0)).min() < counts.max():
        controls.append(("draws of the reference models", counts.astype(float), is_member, True,
                         "the number of reference models that had an example must not tell whether the target had it"))
        interval = _auc(*controls[0][1:3], 1 - (1 - confidence) / 20)
        if not interval.low <= 0.5 <= interval.high:
            reason = ("reference models whose members were drawn independently of the target's; of these, the number that "
                      f"had an example tells the target's members by itself (AUC {interval.value:.2f})")
            not_run |= dict.fromkeys((FROM_SHADOWS, LIRA, LIRA_OFFLINE, RMIA, RMIA_OFFLINE), reason)
            warnings.append(f"The reference models were not used: the audit needs {reason}.")
            bank = shadow_phi = mask = None
    scores = _signal_scores(z, y) | {CROSS_FITTED: _cross_fitted(z, y, is_member, lots, seed)}
    if white_box:
        scores[GRADIENT] = _gradient_scores(model, inputs, y)
        del not_run[GRADIENT]
    blind = {}  # the same attacks with reference model 0 in the target's place
    if bank is not None:
        found, missing = _shadow_scores(z, scores["loss"], bank, shadow_phi, mask, y, lots, seed)
        scores |= found
        if LIRA in found and (n_uncovered := int((mask.all(0) | ~mask.any(0)).sum())):
            warnings.append(f"{n_uncovered} of {n} examples were in all or none of the reference models, so LiRA and RMIA "
                            "know nothing about them; they get the median score. More reference models mend it.")
        not_run = {name: missing.get(name, need) for name, need in not_run.items() if name not in found}
        z0 = np.asarray(bank[0])
        blind = _signal_scores(z0, y) | {CROSS_FITTED: _cross_fitted(z0, y, is_member, lots, seed)}
        if len(bank) > 1:
            blind |= _shadow_scores(z0, blind["loss"], bank[1:], shadow_phi[1:], mask[1:], y, lots, seed)[0]

    # How many statements will be made, and so the level of each
    fprs = tuple(sorted({at_fpr, *(f for f in (0.1, 0.01, 0.001) if f >= smallest)}, reverse=True))
    slices = list(_slice_members(y, group, is_member))
    n_tested = sum(min(members, others) >= MIN_IN_SLICE for *_, members, others in slices)
    n_statements = len(scores) * (3 + len(fprs) + n_tested) + 8  # ε, two blind classifiers, up to five controls
    level = 1 - (1 - confidence) / n_statements

    first_half = _first_half(lots, is_member)

    def measured(name: str) -> tuple[AttackReport, str]:
        usable = name in blind and 0 < mask[0].sum() < n
        return _measured(name, scores[name], is_member, first_half, (blind[name], mask[0]) if usable else None, fprs, level)

    found = dict(zip(scores, _each(measured, scores, n)))
    reports, threshold_from = ({name: pair[i] for name, pair in found.items()} for i in (0, 1))
    strongest = max(reports, key=lambda name: (reports[name].tpr_at_fpr[at_fpr].value, reports[name].auc.value))
    epsilon, epsilon_attack = _epsilon({k: v for k, v in scores.items() if k != CROSS_FITTED}, is_member, first_half, lots,
                                       delta, level)
    in_slices = _each(lambda one: _measured_slice(scores, is_member, level, *one), slices, n)

    permuted = np.empty_like(is_member)
    permuted[np.argsort(lots)] = rng.permutation(is_member[np.argsort(lots)])
    controls.append((f"permuted memberships, {strongest}", scores[strongest], permuted, True,
                     "with members drawn by lot after the fact no attack can work"))
    for name in dict.fromkeys((strongest, "loss")):
        if name in blind:
            controls.append((f"blind model, {name}", blind[name], is_member, False,
                             "a reference model, whose members were drawn without looking at the target's, stands in for "
                             "the target: what is found there is not membership"))
    checked = [_control(*control, level) for control in controls]
    two_sample, tested = _two_sample(y, group, features, is_member, lots, seed, level)
    checked += two_sample
    _warn(checked, tested, warnings)
    shifted = any(not c.passed for c in checked if c.name.startswith("blind"))
    leaks = [name for name, report in reports.items() if _above_chance(report, level)]
    status = NOT_COMPARABLE if shifted else EVIDENCE if leaks or any(s.above_chance for s in in_slices) else NO_EVIDENCE
    report = AuditReport(
        status=status, verdict="", n_members=n_members, n_non_members=n_non_members, n_classes=n_classes,
        n_shadows=0 if bank is None else len(bank), at_fpr=at_fpr, confidence=confidence, level=level, attacks=reports,
        threshold_from=threshold_from, strongest=strongest, epsilon=epsilon, epsilon_attack=epsilon_attack, delta=delta,
        slices=in_slices, exposed=_exposed(scores[strongest], is_member, y, lots), controls=checked, not_run=not_run,
        warnings=warnings, assumptions=_assumptions(tested, bank is not None, fit is not None, floor))
    return replace(report, verdict=_verdict(report, leaks))


# ---- chance that does not depend on the order of the examples


def _lots(columns: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """A random number for each example, float64 `[N]`, that goes with what the example is and not with its place."""
    mixed = np.zeros(len(columns[0]), dtype=np.uint64)
    for column in columns:
        mixed = mixed * np.uint64(0x9E3779B97F4A7C15) + pd.util.hash_array(np.ascontiguousarray(column), categorize=False)
        mixed ^= mixed >> np.uint64(29)
    lots = np.empty(len(mixed))
    lots[np.argsort(mixed, kind="stable")] = rng.random(len(mixed))
    return lots


def _first_half(lots: np.ndarray, is_member: np.ndarray) -> np.ndarray:
    """Half of the members and half of the non-members, bool `[N]`."""
    half = np.zeros(len(lots), dtype=bool)
    for kind in (is_member, ~is_member):
        places = np.flatnonzero(kind)
        half[places[np.argsort(lots[places])[:len(places) // 2]]] = True
    return half


def _sample(lots: np.ndarray, n: int, among: np.ndarray | None = None) -> np.ndarray:
    """Positions of at most n examples, in the order of their lots."""
    places = np.arange(len(lots)) if among is None else np.flatnonzero(among)
    return places[np.argsort(lots[places])[:n]]


# ---- attacks


def _each(function: Callable, items: Iterable, n: int) -> list:
    """The function of each item; for many examples on two threads, since NumPy does not hold the interpreter's lock."""
    if n < CHUNK:
        return list(map(function, items))
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(function, items))


def _by_chunks(function: Callable, z: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.concatenate(_each(lambda part: function(z[part], y[part]), _parts(len(y)), len(y)))


def _parts(n: int) -> list[slice]:
    return [slice(start, start + CHUNK) for start in range(0, n, CHUNK)]


def _signal_scores(z: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    return {name: _by_chunks(signal, z, y) for name, signal in SIGNALS.items()}


def _gradient_scores(model: object, inputs: ArrayLike, y: np.ndarray) -> np.ndarray:
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"white_box=True needs model, a torch module; got {type(model).__name__}")
    norms = np.linalg.norm(gradient_norms(model, torch.as_tensor(inputs, dtype=torch.float32), torch.as_tensor(y)), axis=1)
    return -np.log(np.maximum(norms, 1e-300))


def _classifier(seed: int) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(max_iter=40, max_leaf_nodes=15, early_stopping=False, random_state=seed)


def _described(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What an attack classifier sees: log-probabilities, the labelled class first, then the others from the top down."""
    log_p = log_softmax(np.asarray(z, dtype=np.float64), axis=-1)
    own = np.take_along_axis(log_p, y[:, None], axis=-1)
    np.put_along_axis(log_p, y[:, None], -np.inf, axis=-1)
    return np.concatenate([own, -np.sort(-log_p, axis=-1)[:, :min(MAX_OUTPUTS, log_p.shape[1]) - 1]], axis=1)


def _learnt(x: np.ndarray, truth: np.ndarray, seed: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A function from logits `[n, C]` and labels to log-odds of "member" `[n]` at equal priors, learnt from `_described`."""
    model = _classifier(seed).fit(x, truth)
    prior = logit(truth.mean())
    return lambda z, y: np.concatenate([model.decision_function(_described(z[p], y[p])) for p in _parts(len(y))]) - prior


@threadpool_limits.wrap(limits=1)  # OpenMP's idle threads spin, which slows a busy machine down ten times
def _cross_fitted(z: np.ndarray, y: np.ndarray, is_member: np.ndarray, lots: np.ndarray, seed: int) -> np.ndarray:
    """Log-odds of a classifier that has learnt on one half of the examples who was a member, for the other half."""
    out, first = np.empty(len(y)), _first_half(lots, is_member)
    for learn, apply in ((first, ~first), (~first, first)):
        rows = _sample(lots, MAX_TRAINING, learn)
        out[apply] = _learnt(_described(z[rows], y[rows]), is_member[rows], seed)(z[apply], y[apply])
    return out


@threadpool_limits.wrap(limits=1)
def _shadow_scores(z: np.ndarray, phi: np.ndarray, bank: np.ndarray, shadow_phi: np.ndarray, mask: np.ndarray, y: np.ndarray,
                   lots: np.ndarray, seed: int) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Scores of the attacks with reference models, and for those that could not be run what they would need."""
    p, shadow_p = expit(phi), expit(shadow_phi)
    some, not_all = mask.any(0), ~mask.all(0)

    def rmia(covered: np.ndarray, mode: str) -> np.ndarray:
        # Only the order of the scores matters here. It does not depend on the population, and with γ = 1 a score is a rank;
        # a larger γ would only give many examples the same score.
        population = _sample(lots, MAX_POPULATION)
        return attacks.rmia(p[covered], shadow_p[:, covered], mask[:, covered], p[population], shadow_p[:, population],
                            gamma=1.0, mode=mode)

    tried = {LIRA: (some & not_all, lambda c: attacks.lira_online(phi[c], shadow_phi[:, c], mask[:, c])),
             LIRA_OFFLINE: (not_all, lambda c: attacks.lira_offline(phi[c], shadow_phi[:, c], mask[:, c])),
             RMIA: (some & not_all, lambda c: rmia(c, "online")), RMIA_OFFLINE: (not_all, lambda c: rmia(c, "offline"))}
    scores, missing = {}, {}
    for name, (covered, attack) in tried.items():
        if covered.mean() < 1 - MAX_UNCOVERED:
            missing[name] = (f"more reference models: {int((~covered).sum())} of {len(y)} examples were in "
                             f"{'all or none' if name in (LIRA, RMIA) else 'all'} of the {len(bank)}")
        else:
            scores[name] = np.empty(len(y))
            scores[name][covered] = attack(covered)
            scores[name][~covered] = np.median(scores[name][covered])
    usable = [s for s in range(len(bank)) if 0 < mask[s].sum() < len(y)][:8]
    if usable:
        rows = _sample(lots, MAX_TRAINING // len(usable))
        known = np.concatenate([_described(bank[s][rows], y[rows]) for s in usable])
        scores[FROM_SHADOWS] = _learnt(known, np.concatenate([mask[s][rows] for s in usable]), seed)(z, y)
    return scores, missing


# ---- measuring


def _auc(scores: np.ndarray, is_member: np.ndarray, level: float, found: Estimate | None = None) -> Estimate:
    """`metrics.auc`; for fewer than 1,000 of a kind its interval is no narrower than chance would make it.

    DeLong's variance is itself estimated, and at levels near 1 that brings up to five times the false alarms allowed with 20
    members (simulated). The variance of the AUC if members and non-members are exchangeable is known (Mann & Whitney 1947).
    """
    found, m, n = found or auc(scores, is_member, level), int(is_member.sum()), int((~is_member).sum())
    if min(m, n) >= 1000:
        return found
    ties = np.unique(scores, return_counts=True)[1].astype(float)
    variance = (m + n + 1 - (ties**3 - ties).sum() / ((m + n) * (m + n - 1))) / (12 * m * n)
    half = norm.ppf((1 + level) / 2) * np.sqrt(max(variance, 0.0))
    return Estimate(found.value, float(max(0, min(found.low, found.value - half))),
                    float(min(1, max(found.high, found.value + half))))


def _measured(name: str, scores: np.ndarray, is_member: np.ndarray, first_half: np.ndarray,
              reference: tuple[np.ndarray, np.ndarray] | None, fprs: tuple[float, ...],
              level: float) -> tuple[AttackReport, str]:
    """The attack's figures, its threshold chosen without the examples on which accuracy and advantage are counted."""
    if name in FIXED_AT_0:
        threshold, source = 0.0, "log-odds 0"
    elif reference is not None:
        threshold, source = best_threshold(*reference), "a reference model"
    else:
        threshold, source = best_threshold(scores[first_half], is_member[first_half]), "calibration half"
    report = attack_report(scores, is_member, threshold, (), level)
    if source == "calibration half":
        other = attack_report(scores[~first_half], is_member[~first_half], threshold, (), level)
        report = replace(report, accuracy=other.accuracy, advantage=other.advantage)
    rates = {fpr: tpr_at_fpr(scores, is_member, fpr, level) for fpr in fprs}
    return replace(report, auc=_auc(scores, is_member, level, report.auc),
                   tpr_at_fpr=SupportedRates(rates, report.n_non_members)), source


def _above_chance(report: AttackReport, level: float) -> bool:
    """Whether the AUC's interval lies above 0.5, or a TPR is too high to be luck.

    For the latter: if members and non-members were exchangeable, the number of members that score above the (k + 1)th
    non-member would be negative hypergeometric.
    """
    m, n = report.n_members, report.n_non_members
    lucky = [hypergeom.cdf(k := int(np.floor(fpr * n + 1e-9)), m + n, n, round(rate.value * m) + k)
             for fpr, rate in report.tpr_at_fpr.items()]
    return report.auc.low > 0.5 or min(lucky) < (1 - level) / 2


def _epsilon(scores: dict[str, np.ndarray], is_member: np.ndarray, first_half: np.ndarray, lots: np.ndarray, delta: float,
             level: float) -> tuple[float, str]:
    """Attack and threshold chosen on the first half, the bound counted on the second."""
    first = _sample(lots, MAX_CALIBRATION, first_half)
    calibration = {name: (values[first], is_member[first]) for name, values in scores.items()}
    name = max(scores, key=lambda name: (epsilon_lower_bound(*calibration[name], *calibration[name], delta, level),
                                         auc(*calibration[name]).value))
    return epsilon_lower_bound(*calibration[name], scores[name][~first_half], is_member[~first_half], delta, level), name


def _slice_members(y: np.ndarray, group: np.ndarray | None, is_member: np.ndarray) -> Iterator[tuple]:
    """(column, value, positions, members, non-members) of every class and group."""
    for column, values in (("class", y), ("group", group)):
        if values is None:
            continue
        names, codes = np.unique(values, return_inverse=True)
        if len(names) > 1:
            for name, places in zip(names, np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])):
                members = int(is_member[places].sum())
                yield column, str(name), places, members, len(places) - members


def _measured_slice(scores: dict[str, np.ndarray], is_member: np.ndarray, level: float, column: str, value: str,
                    places: np.ndarray, members: int, others: int) -> Slice:
    if min(members, others) < MIN_IN_SLICE:
        return Slice(column, value, members, others, None, None)
    found = {name: _auc(values[places], is_member[places], level) for name, values in scores.items()}
    best = max(found, key=lambda name: (found[name].low, found[name].value))
    return Slice(column, value, members, others, best, found[best])


def _exposed(scores: np.ndarray, is_member: np.ndarray, y: np.ndarray, lots: np.ndarray) -> list[Exposed]:
    members, others = np.flatnonzero(is_member), np.sort(scores[~is_member])
    top = members[np.lexsort((lots[members], -scores[members]))[:N_EXPOSED]]
    at_or_above = 1 - np.searchsorted(others, scores[top], side="left") / len(others)
    return [Exposed(int(i), int(y[i]), float(scores[i]), float(share)) for i, share in zip(top, at_or_above)]


# ---- controls


def _control(name: str, scores: np.ndarray, truth: np.ndarray, two_sided: bool, meaning: str, level: float) -> Control:
    found = _auc(scores, truth, level)
    return Control(name, found, found.low <= 0.5 and (found.high >= 0.5 or not two_sided), meaning)


def _one_hot(values: np.ndarray) -> np.ndarray:
    """0 or 1 for each of the most frequent values, `[N, at most 50]`; no column if there is but one value."""
    names, counts = np.unique(values, return_counts=True)
    kept = names[np.argsort(-counts, kind="stable")[:MAX_CATEGORIES]]
    return (values[:, None] == kept[None, :len(kept) if len(kept) > 1 else 0]).astype(np.float32)


@threadpool_limits.wrap(limits=1)
def _two_sample(y: np.ndarray, group: np.ndarray | None, features: np.ndarray | None, is_member: np.ndarray,
                lots: np.ndarray, seed: int, level: float) -> tuple[list[Control], list[str]]:
    """Can a blind classifier, which never asks the model, tell members from non-members? And what it was shown."""
    first = _sample(lots, MAX_TWO_SAMPLE // 2, is_member)
    rows = np.concatenate([first, _sample(lots, MAX_TWO_SAMPLE // 2, ~is_member)])
    shown = {"labels": _one_hot(y[rows])}
    if group is not None:
        shown["group"] = _one_hot(group[rows])
    if features is not None:
        shown["features"] = features[rows].astype(np.float32)
    shown = {name: values for name, values in shown.items() if values.shape[1] and (values != values[0]).any()}
    if not shown:
        return [], []
    x, truth = np.concatenate(list(shown.values()), axis=1), is_member[rows]
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=500))
    boosted = _classifier(seed).set_params(max_features=min(1.0, 50 / x.shape[1]))
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    meaning = (f"a classifier that sees {', '.join(shown)} and never asks the model must not tell members from "
               "non-members; somewhat below 0.5 is an artefact of cross-validation")
    models = {"logistic regression": linear, "gradient boosting": boosted}
    if list(shown) == ["labels"]:
        del models["gradient boosting"]  # a weight for each label says all that there is to say
    controls = []
    for name, model in models.items():
        scores = cross_val_predict(model, x, truth, cv=folds, method="decision_function")
        controls.append(_control(f"blind classifier, {name}", scores, truth, False, meaning, level))
    return controls, list(shown)


def _warn(controls: list[Control], tested: list[str], warnings: list[str]) -> None:
    """Add a sentence for each kind of control that failed."""
    failed = {c.name: c for c in controls if not c.passed}
    classifiers = [c for name, c in failed.items() if name.startswith("blind classifier")]
    models = [c for name, c in failed.items() if name.startswith("blind model")]
    if classifiers:
        worst = max(classifiers, key=lambda c: c.auc.value)
        warnings.append(f"Members and non-members differ WITHOUT the model: a blind classifier that sees only "
                        f"{', '.join(tested)} tells them apart with AUC {worst.auc}. Whatever an attack finds may be this "
                        "difference and not membership. Take non-members from the members' distribution: hold out a random "
                        "part before training.")
    if models:
        worst = max(models, key=lambda c: c.auc.value)
        warnings.append(f"The attack works on a blind model too ({worst.name}: AUC {worst.auc}), which knows nothing of "
                        "the target's members: it recognises something else than membership.")
    if any(name.startswith("permuted") for name in failed):
        warnings.append("An attack seems to work with permuted memberships. By luck that happens in fewer than one audit in "
                        "a hundred; repeat with another seed, and if it stays, mistrust all figures.")


# ---- words


def _verdict(report: AuditReport, leaks: list[str]) -> str:
    rate = report.attacks[report.strongest]
    figures = (f"the strongest of {len(report.attacks)} attacks, {report.strongest}, has an AUC of {rate.auc} and names "
               f"{_percent(report.tpr)} of the members at a false-positive rate of {report.at_fpr:.3g} (guessing: "
               f"{report.at_fpr:.1%})")
    if report.status == NOT_COMPARABLE:
        return ("Not comparable: members and non-members can be told apart without any attack, so no figure here can "
                f"be read as leakage, nor as its absence. For the record, {figures}.")
    if report.status == EVIDENCE:
        in_slices = [s for s in report.slices if s.above_chance]
        best = max(in_slices, key=lambda s: s.auc.low, default=None)
        where = "" if best is None else (f" Classes or groups above chance: {len(in_slices)}; the clearest is {best.column} "
                                         f"{best.value} (AUC {best.auc}, {best.attack}).")
        start = "Evidence of leakage" if leaks else "Evidence of leakage in a part of the data, none over all"
        return f"{start}: {figures}.{where} A stronger attack may find more."
    highest = max(r.auc.high for r in report.attacks.values())
    unused = "" if report.n_shadows else ", and those that need reference models were not run"
    return (f"No evidence of leakage was found by these {len(report.attacks)} attacks; that is not evidence of safety. For "
            f"the record, {figures}. On these data the AUC of one of these attacks could be as high as {highest:.3f} and "
            f"still look like this; stronger attacks may find more{unused}.")


def _percent(rate: Estimate) -> str:
    return f"{rate.value:.1%} [{rate.low:.1%}, {rate.high:.1%}]"


def _assumptions(tested: list[str], with_bank: bool, trained_here: bool, floor: float | None) -> list[str]:
    blind = f"The two-sample test saw {', '.join(tested)}." if tested else "The two-sample test had nothing to look at."
    if "features" not in tested:
        blind += (" No features were given, so a difference in the examples themselves would go unnoticed: pass features "
                  "(or inputs).")
    else:
        blind += " That it finds nothing does not show that there is nothing."
    found = [
        "Members and non-members are independent draws from one distribution. " + blind,
        "Memberships are as stated, and no non-member has a near copy among the members.",
        "Intervals are about the draw of examples, for this one trained model. Another training run may leak more or less.",
        "The attacker asks for one full answer for each example, unrounded, and knows the true label.",
        f"The {CROSS_FITTED} learns from half of the memberships; an attacker would need as many known members.",
        "Figures are averages over members. One person may be far more exposed than the average.",
    ]
    if with_bank:
        found.append("The reference models' members were drawn independently of the target's, and the models were trained "
                     "as the target was" + ("." if trained_here else "; the audit cannot check the latter."))
    if floor is not None:
        found.append(f"Probabilities below {floor:.3g} count as {floor:.3g}.")
    return found

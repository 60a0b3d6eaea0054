"""Every attack that the material allows, on the target and on a blind model. NumPy side, but for the gradients."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from mia_helpers import attacks
from mia_helpers.ask import is_module
from mia_helpers.audit.examples import Examples, each, row_pieces
from mia_helpers.bank import ShadowBank, pieces
from mia_helpers.inputs import InputTypeError, as_array
from mia_helpers.metrics import known

CROSS_FITTED, QUANTILE, FROM_SHADOWS = "output classifier", "quantile regression", "shadow classifier"
GRADIENT = "gradient norm"
LEARNT_HERE = {CROSS_FITTED, QUANTILE}  # attacks that learn from some of the memberships that they are judged by
MAX_TRAINING, MAX_POPULATION, MAX_MODELS, MAX_UNCOVERED = 50_000, 10_000, 8, 0.02
MAX_COLUMNS = 32  # that the quantile regression looks at

NEEDS = {
    QUANTILE: "features (or inputs) that are numbers",
    FROM_SHADOWS: "reference models that were trained on some of the examples (shadow_logits and member_mask, or fit)",
    "LiRA online": "reference models of which some had each example and some had not (shadow_logits and member_mask, or "
    "fit)",
    "LiRA offline": "reference models that had not seen the examples (shadow_logits and member_mask, or fit)",
    "RMIA online": "as LiRA online",
    "RMIA offline": "as LiRA offline",
    "label-only attacks": "the model, and answers about altered inputs (many queries for each example); see notebook 09",
    GRADIENT: "model, a torch module, with inputs, and white_box=True",
}


def listed(examples: Examples, seed: int) -> dict[str, attacks.Attack]:
    """The standard attacks. RMIA only orders here, and its order does not depend on the population: a sample will do."""
    return attacks.standard(seed, population=examples.sample(MAX_POPULATION))


def fixed_at_0(listed: Mapping[str, attacks.Attack]) -> set[str]:
    """The attacks whose scores are log-odds, so that 0 is the threshold beforehand."""
    return {CROSS_FITTED} | {name for name, attack in listed.items() if attack.needs is not None and attack.threshold == 0}


def from_answers(
    z: np.ndarray, examples: Examples, listed: Mapping[str, attacks.Attack], seed: int
) -> dict[str, np.ndarray]:
    """Scores of the attacks that need nothing but the answers `[N, C]`: name -> `[N]`."""

    def by_chunks(score: Callable) -> np.ndarray:
        return np.concatenate(each(lambda part: score(z[part], examples.y[part]), row_pieces(z), len(z)))

    scores = {name: by_chunks(attack.score) for name, attack in listed.items() if attack.needs is None}
    scores[CROSS_FITTED] = _cross_fitted(z, examples, seed)
    if examples.features is not None:
        scores[QUANTILE] = _against_quantiles(z, examples, seed)
    return scores


@threadpool_limits.wrap(limits=1)  # OpenMP's idle threads spin, which slows a busy machine down ten times
def _cross_fitted(z: np.ndarray, examples: Examples, seed: int) -> np.ndarray:
    """Log-odds of a classifier that has learnt on one half of the examples who was a member, for the other half."""
    out, y, first = np.empty(len(z)), examples.y, examples.first_half
    for learn, apply in ((first, ~first), (~first, first)):
        rows = examples.sample(MAX_TRAINING, learn)
        attack = attacks.ClassifierAttack(attacks.boosted_trees(seed), _features)
        attack.fit(ShadowBank.single(z[rows], y[rows], examples.is_member[rows]))
        rows = np.flatnonzero(apply)
        for part in pieces(len(rows)):
            out[rows[part]] = attack.score(z[rows[part]], y[rows[part]])
    return out


def _features(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """What the standard classifier sees, piece by piece: with many classes the logits in float64 would fill the memory."""
    found = [attacks.sorted_log_probabilities(logits[part], labels[part]) for part in row_pieces(logits)]
    return np.concatenate(found)


@threadpool_limits.wrap(limits=1)
def _against_quantiles(z: np.ndarray, examples: Examples, seed: int) -> np.ndarray:
    """Margins over the quantile of the non-members that are like each example; people stay in one fold."""
    x = _few_columns(examples, seed)
    folds = examples.folds(attacks.N_FOLDS)
    attack = attacks.QuantileAttack(np.column_stack([x, examples.y]), folds=folds, seed=seed)
    return attack.fit(ShadowBank.single(z, examples.y, examples.is_member)).score(z, examples.y)


def _few_columns(examples: Examples, seed: int) -> np.ndarray:
    """The features, or, of many, as many principal components, found without a look at the memberships."""
    assert examples.features is not None
    x = examples.features.astype(np.float32)
    if x.shape[1] <= MAX_COLUMNS:
        return x
    from sklearn.decomposition import PCA

    learn = examples.sample(MAX_POPULATION)
    found = PCA(min(MAX_COLUMNS, len(learn) - 1), svd_solver="randomized", random_state=seed).fit(x[learn])
    return np.concatenate([found.transform(x[part]) for part in pieces(len(x))])


def gradient_scores(model: object, inputs: Any, y: np.ndarray) -> np.ndarray:
    """Minus the log of the norm of each example's gradient, `[N]`."""
    if not is_module(model):
        raise InputTypeError(f"white_box=True needs model, a torch module; got {type(model).__name__}")
    from mia_helpers.white_box import gradient_norms  # imports torch

    norms = np.linalg.norm(gradient_norms(model, inputs if hasattr(inputs, "detach") else as_array(inputs), y), axis=1)
    return -np.log(np.maximum(norms, 1e-300))


def _usable(bank: ShadowBank) -> list[int]:
    """The reference models that had some of the examples and not all."""
    return [i for i, row in enumerate(bank.member_mask) if 0 < row.sum() < len(row)][:MAX_MODELS]


def missing(bank: ShadowBank, listed: Mapping[str, attacks.Attack]) -> dict[str, str]:
    """Which of the attacks with reference models cannot be run with these, and what they would need."""
    found = {}
    for name, attack in listed.items():
        if attack.needs and (covered := attacks.covered(bank.member_mask, attack.needs)).mean() < 1 - MAX_UNCOVERED:
            found[name] = (
                f"more reference models: {int((~covered).sum())} of {len(covered)} examples were in "
                f"{'all or none' if 'in' in attack.needs else 'all'} of the {len(bank)}"
            )
        elif attack.needs == () and not _usable(bank):
            found[name] = NEEDS[name]
    return found


@threadpool_limits.wrap(limits=1)
def from_references(
    z: np.ndarray, bank: ShadowBank, examples: Examples, listed: Mapping[str, attacks.Attack]
) -> dict[str, np.ndarray]:
    """Scores of the attacks with reference models that can be run; where nothing is known, the median: name -> `[N]`."""
    scores, impossible = {}, missing(bank, listed)
    for name, attack in listed.items():
        if attack.needs is None or name in impossible:
            continue
        learnt_from = bank
        if attack.needs == ():
            usable = _usable(bank)
            rows = examples.sample(MAX_TRAINING // len(usable))
            learnt_from = bank.for_models(np.array(usable)).for_examples(rows)
        scores[name] = known(attack.fit(learnt_from).score(z, examples.y))
    return scores

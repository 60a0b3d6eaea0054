"""Do the reference models look as if they had been trained as the target was, on the records that are said? NumPy side.

Models of one training are draws from one distribution. So the target's figure must look like one of theirs: how well the
loss tells a model's members, and how often a model is right about what it has not seen. A `fit` that trains on all it finds
instead of what it is given, or a mask that does not belong to the answers, makes the reference models differ.
"""

import numpy as np
from scipy.stats import t

from mia_helpers import signals
from mia_helpers.audit.examples import Examples, row_pieces
from mia_helpers.bank import ShadowBank
from mia_helpers.metrics import auc

RARELY = 1e-3  # how often each of the two is said about reference models that were trained as the target was
FEW, MUCH = 3, 0.05  # models, to say anything; a difference of accuracies that matters


def doubts(bank: ShadowBank, z: np.ndarray, examples: Examples) -> list[str]:
    """Sentences about what the reference models do that the target, with logits `[N, C]`, does not; warnings, no slips."""
    shares = map(examples.by_person, bank.member_mask.astype(float))
    whose = {i: had == 1 for i, had in enumerate(shares) if np.isin(had, (0, 1)).all()}  # of each person all rows, or none
    if len(whose) < FEW:
        return []
    return _remember_less(bank, whose, z, examples) + _know_too_much(bank, whose, z, examples)


def _remember_less(bank: ShadowBank, whose: dict[int, np.ndarray], z: np.ndarray, examples: Examples) -> list[str]:
    """If the loss tells the target's members far better than it tells theirs. whose: model -> the people it had."""
    theirs = []
    for i, had in whose.items():
        if 1 < had.sum() < len(had) - 1:
            theirs.append((auc(examples.by_person(bank.phi[i].astype(float)), had).value, _spread(had)))
    if len(theirs) < FEW:
        return []
    is_member = examples.people.is_member
    phi = np.concatenate([signals.logit_confidence(z[part], examples.y[part]) for part in row_pieces(z)])
    own = auc(examples.by_person(phi.astype(float)), is_member).value
    values, spreads = np.array(theirs).T
    if not _too_far(own - values.mean(), values, max(spreads.mean(), _spread(is_member))):
        return []
    return [
        "The reference models remember less than the target: the loss tells their members with an AUC of "
        f"{values.mean():.3f} on average, the target's with {own:.3f}. Does fit train on the records that it is "
        "given, and as the target was trained? (Does member_mask belong to the answers?) Otherwise the attacks that need "
        "them find too little."
    ]


def _know_too_much(bank: ShadowBank, whose: dict[int, np.ndarray], z: np.ndarray, examples: Examples) -> list[str]:
    """If they are right about what they had not seen far more often than the target. whose: model -> the people it had."""
    others, y = ~examples.people.is_member, examples.y

    def right(logits: np.ndarray) -> np.ndarray:
        return examples.by_person((logits.argmax(1) == y).astype(float))

    own, theirs = right(z)[others].mean(), []
    for i, had in whose.items():
        if (~had).sum() > 1:
            theirs.append(right(np.asarray(bank.logits[i]))[~had].mean())
    values = np.array(theirs)
    if len(theirs) < FEW or values.mean() < own + MUCH:
        return []
    pooled = (own + values.mean()) / 2
    if not _too_far(values.mean() - own, values, np.sqrt(pooled * (1 - pooled) / others.sum())):
        return []
    return [
        "The reference models know too much: of what they had not seen (by member_mask) their accuracy is "
        f"{values.mean():.3f}, the target's {own:.3f}. Had they seen it, as when fit trains on all records and not on those "
        "that it is given? Or were they trained on more than the target? Then the attacks that need them find too little."
    ]


def _spread(had: np.ndarray) -> float:
    """The standard deviation of an AUC by chance alone (Mann & Whitney 1947)."""
    m, n = int(had.sum()), int((~had).sum())
    return float(np.sqrt((m + n + 1) / (12 * m * n)))


def _too_far(difference: float, values: np.ndarray, by_chance: float) -> bool:
    """Whether the target is further from the mean of the values than one more of them would be, but `RARELY`.

    Student's prediction interval, with a standard deviation that is not below that of chance.
    """
    n = len(values)
    spread = max(values.std(ddof=1), by_chance)
    return bool(difference > t.ppf(1 - RARELY, n - 1) * spread * np.sqrt(1 + 1 / n))

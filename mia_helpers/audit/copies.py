"""The same records among members and non-members: a slip that every other check passes. NumPy side.

Who takes non-members from the training set, or a pool in which people stand twice, compares members with members: the leak
looks smaller, or is gone, and a blind classifier finds nothing. So rows are compared as they are, each with its label.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from mia_helpers.audit.examples import Examples

SURELY_NOT = 1e-6  # so rarely copies lie on both sides as often by chance: the false alarms of this check
MUCH = 0.05  # of the non-members
BY_FEATURES, BY_ANSWERS = "features and label", "answer and label"


@dataclass(frozen=True)
class Copies:
    """Non-members' rows that are equal to a member's.

    Attributes:
        by: what is equal. n: how many there are, of `of`. first: positions of one, and of the member's row.
        by_chance: whether rows that are equal by chance, or by nature, could lie so.
    """

    by: str
    n: int
    of: int
    first: tuple[int, int]
    by_chance: bool


def found(examples: Examples, logits: np.ndarray) -> Copies | None:
    """Copies across the groups, by features or else by answers `[N, C]`; None without any.

    Equal answers count only where they cannot be by chance: many models give the same answer about different records.
    Equal features that can be by chance count if most rows differ, so that they tell records apart at all.
    """
    by_features = examples.features is not None
    codes = _codes(logits if examples.features is None else examples.features, examples.y)
    of_members = {code: i for i, code in reversed([*enumerate(codes)]) if examples.is_member[i]}
    copied = [i for i, code in enumerate(codes) if not examples.is_member[i] and code in of_members]
    if not copied:
        return None
    by_chance = bool(_p_value(codes, examples) >= SURELY_NOT)
    if by_chance and (not by_features or len(set(codes)) < len(codes) / 2):
        return None
    by = BY_FEATURES if by_features else BY_ANSWERS
    n_others = int((~examples.is_member).sum())
    return Copies(by, len(copied), n_others, (copied[0], of_members[codes[copied[0]]]), by_chance)


def _codes(values: np.ndarray, y: np.ndarray) -> list[int]:
    """A number for each row, equal for equal rows with equal labels: a hash of 64 bits."""
    shift = np.zeros((), values.dtype) if values.dtype.kind == "f" else None  # −0 + 0 is 0
    rows = (row if shift is None else row + shift for row in values)
    return [hash((row.tobytes(), label)) for row, label in zip(rows, y.tolist())]


def _p_value(codes: list[int], examples: Examples) -> float:
    """How probably equal rows of different people would so often be of both groups, at most.

    Of s independent rows that are equal, each is a member with one and the same probability, whatever the two groups are
    like. So both kinds are among them with a probability of at most 1 − 2^(1 − s). Counted for each s, times the number of
    these: Bonferroni.
    """
    whose = np.arange(len(codes)) if examples.person is None else examples.person
    _, codes_ = np.unique(np.array(codes, dtype=np.int64), return_inverse=True)
    pairs = np.unique(np.stack([codes_, whose], axis=1), axis=0)  # a person's own copies say nothing
    is_member = np.zeros(int(whose.max()) + 1, dtype=bool)
    is_member[whose] = examples.is_member
    sizes = np.bincount(pairs[:, 0])
    n_members = np.bincount(pairs[:, 0], is_member[pairs[:, 1]])
    mixed = (n_members > 0) & (n_members < sizes)
    kinds = [s for s in np.unique(sizes) if s > 1]
    chances = [binom.sf(mixed[sizes == s].sum() - 1, (sizes == s).sum(), 1 - 2.0 ** (1 - min(s, 60))) for s in kinds]
    return min(1.0, len(kinds) * min(chances, default=1.0))


def judged(copies: Copies, at_fpr: float) -> tuple[list[str], list[str]]:
    """As a slip or as a warning. A slip: not by chance, and more than a false-positive rate, or a TPR, can bear."""
    share = copies.n / copies.of
    i, j = copies.first
    figures = (
        f"{copies.n} of {copies.of} non-members have the {copies.by} of a member (position {i} that of {j}, counted from 0)"
    )
    if copies.by_chance:
        return [], [
            f"{figures}. If these are the same records, leave them out: the model was trained on them, and they hide a leak."
        ]
    text = (
        f"{figures}, far more than by chance: non-members that are members, or records that stand twice. Take non-members "
        "that the model has not seen, each once."
    )
    return ([text], []) if share > min(at_fpr, MUCH) else ([], [text])

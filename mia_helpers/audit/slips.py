"""What looks like a slip in the input: nothing that a leak, or its absence, brings about. NumPy side.

An audit in which such a thing is found is "not comparable": its figures would be about the slip.
"""

from collections.abc import Mapping

import numpy as np

from mia_helpers.audit.examples import Examples, row_pieces
from mia_helpers.bank import ShadowBank
from mia_helpers.metrics import AttackReport, Estimate, proportion

Z_99 = 2.326  # one-sided: a slip that brings no gain at all is missed once in a hundred
MAX_MODELS = 8
UNLABELLED = {"max confidence", "entropy"}  # attacks that do not look at the label


def accuracies(z: np.ndarray, examples: Examples, level: float) -> dict[str, Estimate]:
    """The share of examples of which the label is on top, for members and non-members; of a person's rows the mean.

    With several rows of a person the interval is that of as many whole successes, which vary at least as much.
    """
    right = examples.by_person((z.argmax(1) == examples.y).astype(float))
    is_member = examples.people.is_member

    def share(values: np.ndarray) -> Estimate:
        total, n = round(float(values.sum()), 9), len(values)
        low, high = (proportion(int(whole(total)), n, level) for whole in (np.floor, np.ceil))
        return Estimate(total / n, low.low, high.high)

    return {"members": share(right[is_member]), "non-members": share(right[~is_member])}


def _of_one(z: np.ndarray, had: np.ndarray, examples: Examples, as_probabilities: str | None) -> str | None:
    """What is wrong with the logits `[N, C]` of one model, in half a sentence. had: its members, bool `[N]`."""
    if as_probabilities and z.min() >= 0 and np.allclose(z[:1000].sum(1), 1, atol=1e-3):
        return f"look like probabilities (not negative, each row sums to 1); pass them as {as_probabilities}"
    if (z == z[0]).all():
        return "are the same for all examples; has the model collapsed, or was it asked about one input?"
    frequency = np.bincount(examples.y, minlength=z.shape[1]) / len(z)
    gain = np.empty(len(z))  # of the label's probability over that of a label drawn by lot
    for part in row_pieces(z):
        p = np.exp(z[part] - z[part].max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        gain[part] = np.take_along_axis(p, examples.y[part, None], 1)[:, 0] - p @ frequency
    gain, had = examples.by_person(gain), examples.by_person(had.astype(float)) > 0
    if frequency.max() == 1 or _above_0(gain) or _above_0(gain[had]):  # with labels at random, it knows those of its members
        return None
    return (
        "know no more about the labels than about labels drawn by lot: are the rows in the labels' order, and the columns "
        "in the order of the labels' numbers? A model that has learnt nothing looks the same"
    )


def _above_0(gain: np.ndarray) -> bool:
    """Whether the mean of numbers that lie between −1 and 1 is above 0, at one-sided 99 %."""
    return len(gain) > 1 and gain.mean() > Z_99 * gain.std() / np.sqrt(len(gain))


def in_answers(z: np.ndarray, examples: Examples, as_probabilities: str | None) -> list[str]:
    """Slips in the target's answers, one sentence each. as_probabilities: how to pass such, if z was given as logits."""
    found = _of_one(z, examples.is_member, examples, as_probabilities)
    return [] if found is None else [f"The model's answers {found}."]


def in_bank(bank: ShadowBank, examples: Examples, as_probabilities: str | None) -> list[str]:
    """Slips in the reference models' answers or memberships; at most eight models are looked at."""
    n = min(len(bank), MAX_MODELS)
    problems = [_of_one(np.asarray(bank.logits[i]), bank.member_mask[i], examples, as_probabilities) for i in range(n)]
    found = {problem: problems.count(problem) for problem in problems if problem is not None}
    return [f"The answers of {count} of {n} reference models {problem}." for problem, count in found.items()]


def below_chance(reports: Mapping[str, AttackReport], cross_fitted: set[str]) -> tuple[list[str], list[str]]:
    """Attacks whose AUC's interval lies wholly below 0.5: slips, and a remark where there is another explanation.

    Hardly any leak does that: members are surer of their labels, unless a defence raised their losses (RelaxLoss) too far.
    They may be less sure over all: after label smoothing, or where a linear model is surest far from its data. cross_fitted:
    attacks that learn which way round it is.
    """
    low = {name: r.auc for name, r in reports.items() if r.auc.high < 0.5 and name not in cross_fitted}
    if not low:
        return [], []
    worst = min(low, key=lambda name: low[name].value)
    figures = f"{', '.join(low)} {'lies' if len(low) == 1 else 'lie'} below chance ({worst}: AUC {low[worst]})"
    if set(low) <= UNLABELLED and all(reports[name].auc.value > 0.5 for name in ("gap", "loss")):
        return [], [
            f"{figures}: members are less sure over all, though surer of their labels, as after label smoothing or with a "
            "linear model."
        ]
    if reports["loss"].auc.low > 0.5:
        return [f"{figures}, while the loss lies above: is member_mask the other way round, or in another order?"], []
    return [
        f"{figures}. By a leak members are hardly ever less sure than others; a defence that raises members' losses can do "
        "that. Is is_member (or member_mask) the other way round, or are rows, columns or classes in another order than the "
        "labels?"
    ], []

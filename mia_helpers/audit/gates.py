"""When a gate must neither open nor shut: a rate that is small because answers are tied, or groups that differ. NumPy side.

A limit on the TPR at a low FPR asks how many members a threshold names there. Where more non-members than may be accused
share the highest score (a fully grown tree is certain of most of what it is asked), no threshold names anybody, however
much leaks: the TPR is 0, and says nothing.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mia_helpers.audit.schema import NOT_COMPARABLE

if TYPE_CHECKING:
    from mia_helpers.audit.report import AuditReport

UNLIKE = f'the audit says "{NOT_COMPARABLE}"'  # then no gate decides anything


@dataclass(frozen=True)
class Ties:
    """Non-members with one and the same score, of whom some may be accused at an FPR, but not all.

    Attributes:
        fpr, tpr: what the lowest threshold brings that accuses them all: more than the FPR allows.
        by_lot: the TPR at just that FPR if of those with this score as many as may be are accused by lot.
        at_the_top: whether no score is higher, so that no threshold accuses anybody.
    """

    fpr: float
    tpr: float
    by_lot: float
    at_the_top: bool


def ties(scores: np.ndarray, is_member: np.ndarray, fpr: float) -> Ties | None:
    """The ties that stand in the way of a threshold at `fpr`; None without any. Scores `[P]`, memberships bool `[P]`."""
    members, others = scores[is_member], np.sort(scores[~is_member])[::-1]
    n_allowed = int(np.floor(fpr * len(others) + 1e-9))
    if n_allowed >= len(others):
        return None
    score = others[n_allowed]
    above, at_or_above = (int(f(others, score).sum()) for f in (np.greater, np.greater_equal))
    if at_or_above - above < 2:
        return None
    tpr_above, tpr = float((members > score).mean()), float((members >= score).mean())
    by_lot = tpr_above + (tpr - tpr_above) * (n_allowed - above) / (at_or_above - above)
    return Ties(at_or_above / len(others), tpr, by_lot, bool(score == scores.max()))


def tied_answers(report: "AuditReport") -> Ties | None:
    """The ties of the loss, which tells most about an answer, if they leave a TPR of 0."""
    found = report.ties.get("loss")
    return found if found is not None and found.at_the_top else None


def of_answers(found: Ties) -> str:
    """What such ties mean, for the report's warnings."""
    return (
        f"Answers are tied: {100 * found.fpr:.3g} % of the non-members (and {100 * found.tpr:.3g} % of the members) share "
        "the highest score of the loss, more than may be accused. There a TPR of 0 does not say that nothing leaks: look at "
        f"AUC and advantage, or audit with at_fpr={_above(found.fpr):g}."
    )


def why_undecided(report: "AuditReport", tpr_limit: float) -> str | None:
    """Why a limit on the TPR decides nothing about this report, in half a sentence; None if it does.

    It does not if members and non-members are not comparable. And it does not if the TPR is within the limit, but would be
    above it if people with equal scores were accused by lot; or if answers are tied at the top, the loss leaks by its AUC,
    and no attack gets round the ties: none names clearly more members than guessing does.
    """
    if report.status == NOT_COMPARABLE:
        return UNLIKE
    if report.tpr.value > tpr_limit:
        return None
    name = max(report.ties, key=lambda name: report.ties[name].by_lot, default=None)
    if name is not None and (by_lot := report.ties[name].by_lot) > tpr_limit:
        return (
            f"the TPR is {report.tpr.value:.3g}, but {by_lot:.3g} (above {tpr_limit:g}) if of those with equal scores "
            f"({name}) some are accused by lot"
        )
    tied = tied_answers(report)
    if tied is None or report.attacks["loss"].auc.low <= 0.5 or report.tpr.low > report.at_fpr:
        return None
    return (
        f"the TPR is {report.tpr.value:.3g} because answers are tied ({100 * tied.fpr:.3g} % of the non-members share "
        f"the highest score), and the AUC is {report.attacks['loss'].auc}; set a limit on the AUC (--fail-above-auc) or "
        f"one at --at-fpr {_above(tied.fpr):g}"
    )


def _above(fpr: float) -> float:
    """A rate with two digits that is not below `fpr`."""
    return float(min(np.ceil(fpr * 100 - 1e-9) / 100, 0.99))

"""What to do now: a few sentences for each result of an audit, and how many examples a clearer answer takes. NumPy side."""

import math
from dataclasses import replace

from scipy.stats import norm

from mia_helpers.audit.report import EVIDENCE, NO_EVIDENCE, NOT_COMPARABLE, AuditReport, Exposed, shown
from mia_helpers.audit.scoring import GRADIENT

SMALL_AUC, POWER = 0.55, 0.8  # a leak that an audit should see, and with which probability


def added(report: AuditReport) -> AuditReport:
    """The report with its `advice` and `checklist`."""
    return replace(report, advice=sheet(report), checklist=checklist(report))


def sheet(report: AuditReport) -> list[str]:
    """Three to six things to do now, the first one first; they depend on the status and on what was run."""
    if report.status == NOT_COMPARABLE:
        return _not_comparable(report)
    return _evidence(report) if report.status == EVIDENCE else _no_evidence(report)


def _evidence(report: AuditReport) -> list[str]:
    inside, outside = (share.value for share in report.accuracy.values())
    found = [
        "Agree with those who answer for the data how much leakage is acceptable, and write the limit down before the next "
        "audit: --fail-above-tpr, or report.exceeds(limit) in Python, then stops a release above it.",
        f"First make the model remember less (the accuracy is {shown(inside)} on members, {shown(outside)} on others): stop "
        "training earlier (trees: less depth, larger leaves), regularise more, augment, remove records that occur twice. "
        "This costs least.",
        "Then let it say less: labels without probabilities. This hides a part of the leak and does not end it, since there "
        "are attacks with labels only. Rounding the probabilities hides next to nothing.",
        "If one record must be protected whatever the attack, train with differential privacy (DP-SGD). It costs "
        "accuracy, and only this comes with a proof.",
        "Audit each defended model again, with an attacker who knows the defence: reference models trained with it, and "
        "label-only attacks where only labels are given out. A defence that only confuses old attacks also shows 0.5.",
    ]
    return found + ([one_person(report, report.exposed[0])] if report.exposed else [])


def _no_evidence(report: AuditReport) -> list[str]:
    found = [
        f"Do not read this as “safe”: with {report.n_members:,} members and {report.n_non_members:,} non-members, a leak "
        f"with an AUC of up to {shown(report.highest_auc)} could look the same.",
        how_many(report),
        "Run the stronger attacks: give reference models (References), trained as the model was on other draws of records. "
        "They often find what the answers alone hide."
        if not report.n_shadows
        else f"Use more reference models than {report.n_shadows:,}: attacks that judge each record by them gain from each.",
    ]
    if GRADIENT in report.not_run:
        found.append("If the model's parameters will be given away, audit with white_box=True, too.")
    found.append(
        "Audit again after every training, and look at parts of the data: a group column shows whether one clinic, region "
        "or age is worse off than the average."
    )
    return found


def _not_comparable(report: AuditReport) -> list[str]:
    if report.slips:
        return [
            "Quote no figure of this report, neither as a leak nor as its absence.",
            f"Look for the slip: {report.slips[0]}",
            "Take ten records by hand: what does the model answer, is that the label's column, and was it trained on?",
            "If nothing is wrong there, the model itself is the finding: it has learnt nothing, or it is surer of what it "
            "has not seen, as after a defence that raises members' losses. Measure its accuracy on both groups with code of "
            "your own.",
        ]
    failed = [c for c in report.controls if not c.passed and c.name.startswith("blind")]
    worst = max(failed, key=lambda c: abs(c.auc.value - 0.5), default=None)
    clue = f" The clearest sign is the control “{worst.name}” (AUC {shown(worst.auc)})." if worst else ""
    return [
        "Quote no figure of this report, neither as a leak nor as its absence.",
        f"Find out what differs between the two groups.{clue} Usual causes: another source, another period, another mix of "
        "labels, other preprocessing.",
        "The way out that always works: put all records in one pool, draw the non-members from it by lot before training, "
        "train on the rest, and audit that model.",
        "If you cannot train again, take non-members of the same source, period and mix of labels, and audit until the "
        "controls pass. That they pass makes the groups plausible; it does not prove them alike.",
        how_many(report),
    ]


def how_many(report: AuditReport) -> str:
    """How many members and non-members it takes to see a small leak at this report's level."""
    n = n_needed(SMALL_AUC, report.level)
    now = power(report.n_members, report.n_non_members, SMALL_AUC, report.level)
    return (
        f"To see an AUC of {SMALL_AUC} at this report's level ({report.level:.2%} for each interval) with a probability of "
        f"{POWER:.0%}, an audit needs about {_round_up(n):,} members and as many non-members; with {report.n_members:,} and "
        f"{report.n_non_members:,} the probability is about {now:.0%}."
    )


def one_person(report: AuditReport, example: Exposed) -> str:
    """What the figure of an exposed member means for this person."""
    n = report.n_non_members
    above = round(example.non_members_at_or_above * n)
    wrong = (
        f"probably fewer than 3 of {n:,} outsiders would be accused falsely (rule of three)"
        if not above
        else f"about {shown(above / n)} of all outsiders would be accused falsely"
    )
    return (
        f"For one person: {report.as_high(example)} non-members score as high as the most exposed member (position "
        f"{example.index}, counted from 0). If such a score counted as proof, {wrong}. How many of the accused were members "
        "depends on "
        "how many of those asked about were."
    )


def checklist(report: AuditReport) -> list[str]:
    """What to check before "no evidence" is believed: the mistakes that make any model look harmless."""
    if report.status != NO_EVIDENCE:
        return []
    inside, outside = (share.value for share in report.accuracy.values())
    seen = f" Here the accuracy is {shown(inside)} on members and {shown(outside)} on non-members."
    return [
        "Are these the members of this very model, and not of another run, split or fold?",
        "Are answers, labels and memberships in the same order of rows?",
        "Was the model in evaluation mode (no dropout, fixed batch statistics)?",
        "Were members and non-members prepared in the same way, as in training but without augmentation?",
        "Are logits passed as logits and probabilities as probabilities, unrounded?",
        f"Does the model overfit at all? If it is as good on non-members, there is little to find.{seen}",
        "Were the reference models trained as the model was, on as many records?"
        if report.n_shadows
        else "Are there reference models? Without them only the weaker attacks were run.",
    ]


def power(n_members: int, n_non_members: int, auc: float, level: float) -> float:
    """How probably an interval at `level` lies above 0.5 if the AUC is in truth `auc`.

    The interval has at least the half-width of chance, from the variance of Mann & Whitney (1947) without ties,
    (m + n + 1) / (12 m n). The measured AUC is taken to be normal around the true one, with the variance of Hanley & McNeil
    (1982), which holds for exponential scores and is close for others.
    """
    m, n = n_members, n_non_members
    limit = 0.5 + norm.ppf((1 + level) / 2) * math.sqrt((m + n + 1) / (12 * m * n))
    both_members, both_others = auc / (2 - auc), 2 * auc**2 / (1 + auc)  # two of a kind against one of the other
    spread = auc * (1 - auc) + (m - 1) * (both_members - auc**2) + (n - 1) * (both_others - auc**2)
    return float(norm.sf((limit - auc) / math.sqrt(spread / (m * n))))


def n_needed(auc: float, level: float, probability: float = POWER) -> int:
    """The fewest members, with as many non-members, for which `power` reaches `probability`; `auc` must be above 0.5."""
    high = 1
    while power(high, high, auc, level) < probability:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle, middle, auc, level) >= probability else (middle, high)
    return high


def _round_up(number: int) -> int:
    """To two digits, never less."""
    step = 10 ** max(0, len(str(number)) - 2)
    return -(-number // step) * step

"""What the figures of an audit mean, in sentences."""

from mia_helpers.audit.examples import Examples
from mia_helpers.audit.report import EVIDENCE, NOT_COMPARABLE, AuditReport
from mia_helpers.audit.scoring import CROSS_FITTED
from mia_helpers.audit.settings import Settings
from mia_helpers.metrics import Estimate


def verdict(report: AuditReport, leaks: list[str]) -> str:
    """The result in a few sentences; leaks: the attacks that are above chance."""
    rate = report.attacks[report.strongest]
    figures = (
        f"the strongest of {len(report.attacks)} attacks, {report.strongest}, has an AUC of {rate.auc} and names "
        f"{_percent(report.tpr)} of the members at a false-positive rate of {report.at_fpr:.3g} (guessing: "
        f"{report.at_fpr:.1%})"
    )
    if report.status == NOT_COMPARABLE:
        why = "members and non-members can be told apart without any attack"
        if report.slips:
            why = "something in the input looks like a slip (see the first warning)"
        meaning = "so no figure here can be read as leakage, nor as its absence"
        return f"Not comparable: {why}, {meaning}. For the record, {figures}."
    if report.status == EVIDENCE:
        in_slices = [s for s in report.slices if s.above_chance]
        best = max(in_slices, key=lambda s: s.low, default=None)
        where = (
            ""
            if best is None
            else (
                f" Classes or groups above chance: {len(in_slices)}; the clearest is {best.column} "
                f"{best.value} (AUC {best.auc}, {best.attack})."
            )
        )
        start = "Evidence of leakage" if leaks else "Evidence of leakage in a part of the data, none over all"
        return f"{start}: {figures}.{_carried(report, leaks)}{where} A stronger attack may find more."
    highest = max(r.auc.high for r in report.attacks.values())
    unused = "" if report.n_shadows else ", and those that need reference models were not run"
    return (
        f"No evidence of leakage was found by these {len(report.attacks)} attacks; that is not evidence of safety. For "
        f"the record, {figures}. On these data the AUC of one of these attacks could be as high as {highest:.3f} and "
        f"still look like this; stronger attacks may find more{unused}."
    )


def _carried(report: AuditReport, leaks: list[str]) -> str:
    """A sentence that names the attacks that are above chance, up to three, if the strongest is not among them."""
    if not leaks or report.strongest in leaks:
        return ""
    ranked = sorted(leaks, key=lambda name: -report.attacks[name].auc.low)
    names = ", ".join(f"{name} (AUC {report.attacks[name].auc})" for name in ranked[:3])
    return f" The evidence is not this attack's but that of {names}{f' and {len(ranked) - 3} more' * (len(ranked) > 3)}."


def _percent(rate: Estimate) -> str:
    return f"{rate.value:.1%} [{rate.low:.1%}, {rate.high:.1%}]"


def one_distribution(tested: list[str]) -> str:
    """The first assumption, and what was done to test it."""
    blind = f"The two-sample test saw {', '.join(tested)}." if tested else "The two-sample test had nothing to look at."
    if "features" not in tested:
        blind += (
            " No features were given, so a difference in the examples themselves would go unnoticed: pass features "
            "(or inputs)."
        )
    else:
        blind += " That it finds nothing does not show that there is nothing."
    return "Members and non-members are independent draws from one distribution. " + blind


def assumptions(
    with_bank: bool, trained_here: bool, floor: float | None, asked: Examples, settings: Settings, notes: list[str]
) -> list[str]:
    """What the figures rest on besides, one sentence each."""
    found = [
        "Each row is another person's: with several rows of a person intervals would be too narrow; pass person."
        if asked.person is None
        else f"People are counted, not their {len(asked):,} rows; a person's score is the mean over its rows.",
        "Memberships are as stated, and no non-member has a near copy among the members.",
        "Intervals are about the draw of people, for this one trained model. Another training run may leak more or less.",
        "The attacker asks for one full answer for each example, unrounded, and knows the true label.",
        f"The {CROSS_FITTED} learns from half of the memberships; an attacker would need as many known members.",
        "Figures are averages over members. One person may be far more exposed than the average.",
    ]
    if with_bank:
        found.append(
            "The reference models' members were drawn independently of the target's, and the models were trained "
            "as the target was" + ("." if trained_here else "; the audit cannot check the latter.")
        )
    found.append(
        "The bound on ε: each was made a member by a fair coin of its own, as was stated (coins=True); the training may let "
        "examples influence one another."
        if settings.coins
        else "The bound on ε: the model's answers about different people do not depend on one another. One training run "
        "does not give that; if each was a member by a fair coin of its own, pass coins=True, and the bound needs it not."
    )
    if floor is not None:
        found.append(f"Probabilities below {floor:.3g} count as {floor:.3g}.")
    return found + notes

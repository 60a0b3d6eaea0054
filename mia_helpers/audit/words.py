"""What the figures of an audit mean, in sentences, and what its words mean."""

from mia_helpers.audit.examples import Examples
from mia_helpers.audit.report import EVIDENCE, NOT_COMPARABLE, AuditReport, shown
from mia_helpers.audit.scoring import CROSS_FITTED, FROM_SHADOWS, GRADIENT, QUANTILE
from mia_helpers.audit.settings import Settings

ATTACKS = {
    "gap": "Says “member” where the model's answer is right: models are right more often about what they were trained on "
    "(Yeom et al. 2018, arXiv 1709.01604).",
    "max confidence": "The surer the model is of its answer, whatever it is, the more it says “member” (Salem et al. 2018, "
    "arXiv 1806.01246).",
    "loss": "The surer the model is of the true label, the more it says “member” (Yeom et al. 2018, arXiv 1709.01604).",
    "entropy": "The less the model spreads its answer over the classes, the more it says “member” (Salem et al. 2018, arXiv "
    "1806.01246).",
    "modified entropy": "As entropy, but being sure of a wrong class counts against membership (Song & Mittal 2020, arXiv "
    "2003.10595).",
    "hinge": "By how much the true label is ahead of its strongest rival; far ahead says “member” (Carlini et al. 2021, "
    "arXiv 2112.03570).",
    CROSS_FITTED: "A classifier learns from half of the records, whose memberships it is told, what answers about members "
    "look like, and judges the other half; then the other way round (after Shokri et al. 2017, arXiv 1610.05820).",
    FROM_SHADOWS: "A classifier learns from reference models, whose members are known, what answers about members look like "
    "(Shokri et al. 2017, arXiv 1610.05820).",
    "LiRA online": "For each record: does the model answer more like the reference models that had this record, or more "
    "like those that had not? (Carlini et al. 2021, arXiv 2112.03570).",
    "LiRA offline": "For each record: is the model surer than reference models that had not seen this record? (Carlini et "
    "al. 2021, arXiv 2112.03570).",
    "RMIA online": "How many other records does this one beat in “surer than reference models are of it”, if some of "
    "these had it and some had not? (Zarifzadeh et al. 2023, arXiv 2312.03262).",
    "RMIA offline": "As RMIA online, with reference models that had not seen the record (Zarifzadeh et al. 2023, arXiv "
    "2312.03262).",
    QUANTILE: "Learns from non-members how sure the model should be of such a record, and says “member” "
    "where it is surer (Bertran et al. 2023, arXiv 2307.03694).",
    "label-only attacks": "See nothing but the predicted label, and ask how much a record can be altered before it changes "
    "(Choquette-Choo et al. 2021, arXiv 2007.14321).",
    GRADIENT: "How far training on the record would move the model's parameters; little says “member”. Needs the parameters "
    "(Nasr et al. 2019, arXiv 1812.00910).",
}

TERMS = {
    "member, non-member": "A record that the model was trained on; one that it was not.",
    "false-positive rate (FPR)": "The share of non-members that an attack falsely calls members.",
    "true-positive rate (TPR)": "The share of members that it rightly calls members, at a stated FPR. Guessing: the same.",
    "AUC": "How often a random member scores above a random non-member: 0.5 is guessing, 1 is always (the area under the "
    "ROC curve, which shows the TPR at every FPR).",
    "advantage": "TPR − FPR at one threshold that was chosen beforehand: 0 is guessing.",
    "interval": "The two numbers in brackets: the values that the data allow, at the level below the table of attacks.",
    "reference model (shadow)": "A model trained as the audited one was, on other draws of records, so that one knows who "
    "was in it.",
    "blind classifier, blind model": "A classifier that never asks the model; a reference model in the audited one's place. "
    "Neither can know the members, so whatever it finds is not membership.",
    "ε": "The privacy loss of a training, in nats: 0 would hide every record perfectly; the figure here is a lower bound.",
}


def verdict(report: AuditReport, leaks: list[str]) -> str:
    """The result in a few sentences; leaks: the attacks that are above chance."""
    if report.status == NOT_COMPARABLE:
        why = "members and non-members can be told apart without any attack"
        if report.slips:
            why = "something in the input looks like a slip (see the first warning)"
        meaning = "so no figure here can be read as leakage, nor as its absence"
        return f"Not comparable: {why}, {meaning}. For the record, the {_figures(report)}."
    if report.status == EVIDENCE:
        where, more = _where(report), "A stronger attack may find more."
        if not leaks:
            part = "Evidence of leakage in a part of the data, none over all."
            return f"{part}{where} Over all, the {_figures(report)}. {more}"
        area_is_said = report.strongest in leaks and _by_auc(report, report.strongest)
        figures = _figures(report, with_auc=not area_is_said)
        return f"Evidence of leakage, from {_carried(report, leaks)}. The {figures}.{where} {more}"
    unused = "" if report.n_shadows else ", and those that need reference models were not run"
    return (
        f"No evidence of leakage was found by these {len(report.attacks)} attacks; that is not evidence of safety. For "
        f"the record, the {_figures(report)}. On these data the AUC of one of these attacks could be as high as "
        f"{shown(report.highest_auc)} and still look like this; stronger attacks may find more{unused}."
    )


def _where(report: AuditReport) -> str:
    """A sentence about the classes and groups that are above chance, and the clearest of them."""
    in_slices = [s for s in report.slices if s.above_chance]
    best = max(in_slices, key=lambda s: s.low, default=None)
    if best is None or best.auc is None:
        return ""
    return (
        f" Classes or groups above chance: {len(in_slices)}; the clearest is {best.column} "
        f"{best.value} (AUC {shown(best.auc)}, {best.attack})."
    )


def _figures(report: AuditReport, with_auc: bool = True) -> str:
    """The strongest attack, by what it is that, and its figures; counts agree with the rate as it is printed."""
    rate = shown(report.tpr.value, report.at_fpr)
    people = 10 ** len(rate.partition(".")[2])
    by_luck = _count(report.at_fpr * people)
    area = f" and an AUC of {shown(report.attacks[report.strongest].auc)}" if with_auc else ""
    unsure = ", which the interval of the TPR does not exclude" if report.tpr.low <= report.at_fpr <= report.tpr.high else ""
    return (
        f"strongest of {len(report.attacks)} attacks ({report.strongest_by}), {report.strongest}, has a TPR of "
        f"{shown(report.tpr, report.at_fpr)} there{area}: it names "
        f"{round(float(rate) * people):,} of {people:,} members at the price of at most {by_luck} of {people:,} "
        f"non-members named falsely (guessing: {by_luck} of both{unsure})"
    )


def _count(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _carried(report: AuditReport, leaks: list[str]) -> str:
    """What the evidence is: the strongest attack's figure if it is above chance, or else up to three others'."""
    ranked = sorted(leaks, key=lambda name: -report.attacks[name].auc.low)
    if report.strongest in leaks:
        ranked = [report.strongest]
    said = [
        f"an AUC of {shown(report.attacks[name].auc)} ({name})"
        if _by_auc(report, name)
        else f"a TPR too high for luck ({name})"
        for name in ranked[:3]
    ]
    return ", ".join(said) + f" and {len(ranked) - 3} more" * (len(ranked) > 3)


def _by_auc(report: AuditReport, name: str) -> bool:
    return report.attacks[name].auc.low > 0.5


def one_distribution(tested: list[str]) -> str:
    """The first assumption, and what was done to test it."""
    blind = f"The two-sample test saw {', '.join(tested)}." if tested else "The two-sample test had nothing to look at."
    if "features" not in tested:
        blind += (
            " It saw no features, so a difference in the examples themselves would go unnoticed: pass features (or inputs)."
        )
    else:
        blind += " That it finds nothing does not show that there is nothing."
    return "Assumed: members and non-members are independent draws from one distribution. " + blind


def assumptions(
    with_bank: bool, trained_here: bool, floor: float | None, asked: Examples, settings: Settings, notes: list[str]
) -> list[str]:
    """What the figures rest on besides, one sentence each."""
    found = [
        "Assumed: each row is another person's. With several rows of a person intervals would be too narrow; pass person."
        if asked.person is None
        else f"People are counted, not their {len(asked):,} rows; a person's score is the mean over its rows.",
        "Assumed: memberships are as stated, and no non-member has a near copy among the members.",
        "Assumed: the attacker gets one full answer for each example, unrounded, and knows the true label.",
        "Intervals are about the draw of people, for this one trained model. Another training run may leak more or less.",
        f"The {CROSS_FITTED} learns from half of the memberships; an attacker would need as many known members.",
        "Figures are averages over members. One person may be far more exposed than the average.",
    ]
    if with_bank:
        drawn = "The reference models' members were drawn here, by lot. Assumed: the target was trained as they were."
        given = (
            "Assumed: the reference models' members were drawn independently of the target's, and the models were trained "
            "as the target was; the audit cannot check the latter."
        )
        found.append(drawn if trained_here else given)
    found.append(
        "Assumed for the bound on ε, as was stated (coins=True): each was made a member by a fair coin of its own. The "
        "training may let examples influence one another."
        if settings.coins
        else "Assumed for the bound on ε: answers about different people do not depend on one another. One training run "
        "does not give that; if each was a member by a fair coin of its own, pass coins=True, and the bound needs it not."
    )
    if floor is not None:
        found.append(f"Probabilities below {floor:.3g} count as {floor:.3g}.")
    return found + notes

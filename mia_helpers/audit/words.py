"""What the figures of an audit mean, in sentences, and what its words mean."""

from mia_helpers.audit.examples import Examples
from mia_helpers.audit.report import EVIDENCE, NOT_COMPARABLE, AuditReport, percent, shown
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
    "ε": "The privacy loss of a training, in nats: 0 would hide every record perfectly. What an audit can state is a lower "
    "bound.",
}

NO_BOUND = (
    "Not stated. One training run gives a bound on ε only if a fair coin of its own decided about each person before "
    "training; with members that are a half of fixed size such a bound can be too high. Where coins were tossed, pass "
    "Settings(coins=True), on the command line --coins."
)


def verdict(report: AuditReport, leaks: list[str]) -> str:
    """The result in a few short sentences; leaks: the attacks that are above chance."""
    if report.status == NOT_COMPARABLE:
        why = "members and non-members can be told apart without any attack"
        if report.slips:
            why = "something in the input looks like a slip (see the first warning)"
        meaning = "so no figure here can be read as leakage, nor as its absence"
        return f"Not comparable: {why}, {meaning}. {_for_the_record(report)}"
    if report.status == EVIDENCE:
        where, more = _where(report), "A stronger attack may find more."
        if not leaks:
            return f"Evidence of leakage in a part of the data, none over all.{where} {_for_the_record(report)} {more}"
        return f"Evidence of leakage: {_carried(report, leaks)}{where} {more}"
    unused = "" if report.n_shadows else ", and those that need reference models were not run"
    return (
        f"No evidence of leakage was found by these {len(report.attacks)} attacks; that is not evidence of safety. On these "
        f"data the AUC of one of them could be as high as {shown(report.highest_auc)} and still look like this; stronger "
        f"attacks may find more{unused}. {_for_the_record(report)}"
    )


def _where(report: AuditReport) -> str:
    """A sentence about the classes and groups that are above chance, and the clearest of them."""
    in_slices = [s for s in report.slices if s.above_chance]
    best = max(in_slices, key=lambda s: s.low, default=None)
    if best is None or best.auc is None:
        return ""
    return (
        f" Classes or groups above chance: {len(in_slices)}, most clearly {best.column} {best.value} with an AUC of "
        f"{shown(best.auc)}."
    )


def _carried(report: AuditReport, leaks: list[str]) -> str:
    """What the evidence is, and how many the strongest attack names: if that is evidence itself, one attack in both."""
    strongest = report.strongest
    name = strongest if strongest in leaks else max(leaks, key=lambda name: report.attacks[name].auc.low)
    area = report.attacks[name].auc
    by_auc = area.low > 0.5
    said = f"has an AUC of {shown(area)}; guessing has 0.5" if by_auc else "names more members than luck explains"
    more = f" {len(leaks) - 1} more of the attacks {'does' if len(leaks) == 2 else 'do'} better than guessing, too."
    if name == strongest:
        return f"the attack “{name}” {said}. {_rate(report, 'it', may_be_luck=by_auc)}"
    another = f"another attack, “{strongest}”,"
    return f"the attack “{name}” {said}.{more if len(leaks) > 1 else ''} {_rate(report, another, may_be_luck=True)}"


def _for_the_record(report: AuditReport) -> str:
    """The strongest attack's figures where they are no evidence."""
    area = shown(report.attacks[report.strongest].auc)
    return f"For the record: “{report.strongest}” has an AUC of {area}. {_rate(report, 'it', may_be_luck=False)}"


def _rate(report: AuditReport, who: str, may_be_luck: bool) -> str:
    """How many members the strongest attack names, in people; the counts agree with the rate as it is printed.

    may_be_luck: say so if the interval holds what guessing names.
    """
    rate, digits = report.tpr, len(shown(report.tpr.value, report.at_fpr).partition(".")[2])
    people = 10**digits
    value, low, high = (f"{round(float(f'{share:.{digits}f}') * people):,}" for share in (rate.value, rate.low, rate.high))
    by_luck = _count(report.at_fpr * people)
    unsure = may_be_luck and rate.low <= report.at_fpr <= rate.high
    return (
        f"Where at most {by_luck} of {people:,} non-members are named falsely ({percent(report.at_fpr)} FPR), {who} names "
        f"{value} [{low}, {high}] of {people:,} members, the most of {len(report.attacks)} attacks. Guessing names "
        f"{by_luck}{', so this number alone may be luck' if unsure else ''}."
    )


def _count(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


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
        else "The figure for ε in the JSON is no bound for this model: it would be one if answers about different people "
        "did not depend on one another, which one training run does not give. With coins=True it is."
    )
    if floor is not None:
        found.append(f"Probabilities below {floor:.3g} count as {floor:.3g}.")
    return found + notes

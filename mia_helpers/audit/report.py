"""What an audit found: the report that `mia_helpers.audit.audit` returns, its figures as text, and its JSON form.

NumPy side; measures nothing itself. Text, Markdown and HTML are laid out in `page`, the JSON form is described in `schema`.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mia_helpers.audit.examples import Examples
from mia_helpers.audit.gates import UNLIKE, Ties, why_undecided
from mia_helpers.audit.schema import (
    EVIDENCE,
    JSON_SCHEMA,
    NO_EVIDENCE,
    NOT_COMPARABLE,
    ONE_RUN,
    SCHEMA_VERSION,
)
from mia_helpers.inputs import InputError
from mia_helpers.metrics import AttackReport, Estimate

if TYPE_CHECKING:
    import pandas as pd  # slow to import, and most audits need none

__all__ = ["EVIDENCE", "JSON_SCHEMA", "NOT_COMPARABLE", "NO_EVIDENCE", "AuditReport", "Control", "Exposed", "Slice"]

MIN_IN_SLICE = 20  # members, and as many non-members: fewer say nothing


@dataclass(frozen=True)
class Slice:
    """One class or one group, and the attack that does best on it.

    Attributes:
        column, value: `"class"` or `"group"`, and which.
        n_members, n_non_members: how many there are.
        attack: the one whose AUC has the highest lower end here; None if there are too few examples to say anything.
        auc: its AUC; the interval holds for all slices and attacks at once.
    """

    column: str
    value: str
    n_members: int
    n_non_members: int
    attack: str | None
    auc: Estimate | None

    @property
    def low(self) -> float:
        """The lower end of the interval; −∞ if there is none."""
        return -math.inf if self.auc is None else self.auc.low

    @property
    def above_chance(self) -> bool | None:
        """Whether the interval lies above 0.5; None if there is none."""
        return None if self.auc is None else self.auc.low > 0.5


@dataclass(frozen=True)
class Exposed:
    """A member that the strongest attack finds.

    Its position in the input, counted from 0, its label and score (in that attack's own units), and the share of non-members
    that score at least as high (what accusing it would cost in false positives).
    """

    index: int
    label: int
    score: float
    non_members_at_or_above: float


@dataclass(frozen=True)
class Control:
    """A measurement that must come out at chance (AUC 0.5) if the audit is to mean anything.

    `passed`: the interval contains 0.5; for blind classifiers and blind models, which can be below 0.5 by an artefact of
    cross-validation, it does not lie above 0.5, nor, for trees that see features, below 0.4.
    """

    name: str
    auc: Estimate
    passed: bool
    meaning: str


@dataclass(frozen=True, eq=False)
class Material:
    """What per-record scores and pictures are made from, on demand: references to arrays, no copies.

    Attributes:
        scores: attack -> `[N]`, on the target. examples: what it was asked about, and whose.
        by_lot: bool `[P]`, memberships that a control drew by lot.
        blind: the strongest attack's scores with reference model 0 in the target's place, `[P]`; None without one.
    """

    scores: dict[str, np.ndarray]
    examples: Examples
    by_lot: np.ndarray
    blind: np.ndarray | None

    def at_or_above(self, scores: np.ndarray) -> np.ndarray:
        """For each record the share of non-members' records that score at least as high: `[N]` to `[N]`."""
        others = np.sort(scores[~self.examples.is_member])
        return 1 - np.searchsorted(others, scores, side="left") / len(others)


@dataclass(frozen=True, repr=False)
class AuditReport:
    """The result of an audit.

    Attributes:
        status: `"evidence"` of leakage, `"no evidence"`, or `"not comparable"`: members and non-members differ without the
            model, so that nothing can be said.
        attacks: name -> figures, at confidence `level`. threshold_from: name -> where the threshold of accuracy and
            advantage comes from: a reference model in the target's place, one half of the examples (the figures are then
            the other half's), or 0 log-odds.
        strongest: one attack, by `strongest_of`; `strongest_by` says the rule in words.
        confidence: of all statements together. level: of each single interval (Bonferroni).
        epsilon: lower bound on ε at `delta`, in nats, if `epsilon_holds`; else what would be one if people's answers did not
            depend on one another, and what no page of the report states. epsilon_attack: the attack behind it;
            epsilon_method: `INDEPENDENT` or `ONE_RUN`, on what it rests.
        not_run: attack -> what it would need.
        n_members, n_non_members: people, or examples where each is another person's. n_rows: examples. n_classes: C.
        accuracy: the model's on `"members"` and on `"non-members"`.
        slips: what looks like a slip in the input, one sentence each; also among the warnings.
        n_shadows: reference models used. at_fpr: the false-positive rate at which attacks are compared. slices, exposed,
            controls: see their classes.
        warnings: what spoils the figures, one sentence each. assumptions: what they rest on.
        advice: what to do now. checklist: what to check before "no evidence" is believed; empty for other results.
        ties: attack -> the equal scores, if any, because of which no threshold has just `at_fpr`.
        material: for `scores` and the pictures. images: of the most exposed members, `[K, H, W]` or `[K, H, W, 3]` in
            [0, 1]; None if the inputs are no images. Neither is in the JSON, nor compared.
    """

    status: str
    verdict: str
    n_members: int
    n_non_members: int
    n_classes: int
    n_shadows: int
    at_fpr: float
    confidence: float
    level: float
    attacks: dict[str, AttackReport]
    threshold_from: dict[str, str]
    strongest: str
    epsilon: float
    epsilon_attack: str
    epsilon_method: str
    delta: float
    n_rows: int
    accuracy: dict[str, Estimate]
    slices: list[Slice] = field(repr=False)
    exposed: list[Exposed] = field(repr=False)
    controls: list[Control]
    slips: list[str]
    not_run: dict[str, str] = field(repr=False)
    warnings: list[str]
    assumptions: list[str] = field(repr=False)
    advice: list[str] = field(default_factory=list)
    checklist: list[str] = field(default_factory=list)
    ties: dict[str, Ties] = field(default_factory=dict, repr=False)
    material: Material | None = field(default=None, compare=False)
    images: np.ndarray | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        what = f"{self.status}, {len(self.attacks)} attacks, strongest {self.strongest}"
        return f"<AuditReport: {what}; print .summary(), save .to_html()>"

    @property
    def tpr(self) -> Estimate:
        """The true-positive rate of the strongest attack at `at_fpr`."""
        return self.attacks[self.strongest].tpr_at_fpr[self.at_fpr]

    @property
    def strongest_by(self) -> str:
        """What "strongest" means, in words: the rule of `strongest_of`."""
        return f"largest TPR at {percent(self.at_fpr)} FPR, among equals the largest AUC"

    @property
    def epsilon_holds(self) -> bool:
        """Whether `epsilon` is a bound for this training run: with `Settings(coins=True)` only."""
        return self.epsilon_method == ONE_RUN

    @property
    def highest_auc(self) -> float:
        """The highest AUC that any of the attacks could have in truth: the largest upper end."""
        return max(attack.auc.high for attack in self.attacks.values())

    @property
    def scores(self) -> "pd.DataFrame":
        """What each attack says about each record: a new data frame, one row for each record in the input's order.

        Columns: `index` (position in the input, from 0), `label`, `is_member`, each attack's score in its own units (higher:
        more likely a member), and for each attack "…: non-members at or above", the share of non-members' records that score
        at least as high, which can be compared between attacks. `person` numbers the people, if the audit was given any, in
        the order of their sorted names; the report's own figures are about a person's mean score.

        Raises:
            ValueError: a report without its scores, such as one that was built by hand.
        """
        import pandas as pd

        if self.material is None:
            raise ValueError("this report has no scores of single records; audit(...) keeps them")
        kept = self.material
        ranks = {f"{name}: non-members at or above": kept.at_or_above(values) for name, values in kept.scores.items()}
        asked = kept.examples
        known = {"index": np.arange(len(asked)), "label": asked.y, "is_member": asked.is_member}
        known |= {} if asked.person is None else {"person": asked.person}
        return pd.DataFrame(known | kept.scores | ranks)

    def as_high(self, example: Exposed) -> str:
        """How many non-members score at least as high as an exposed member, in words."""
        return f"{round(example.non_members_at_or_above * self.n_non_members):,} of {self.n_non_members:,}"

    def exceeds(self, tpr_limit: float) -> bool:
        """Whether the gate is shut: the strongest attack's TPR at `at_fpr`, the value itself, is above `tpr_limit`.

        The value and not the end of the interval: the lower end would let a leak through when data are few, the upper end
        would never open for them.

        Raises:
            ValueError: the limit is not a rate; or the gate is undecided, as `gates.why_undecided` says: the report is "not
                comparable", or the rate is small only because answers are tied.
        """
        if not 0 <= tpr_limit <= 1:
            raise ValueError(f"the limit must be a true-positive rate in [0, 1], got {tpr_limit}")
        if why := self.undecided(tpr_limit):
            raise InputError(f"the gate is undecided: {why}")
        return self.tpr.value > tpr_limit

    def undecided(self, tpr_limit: float) -> str | None:
        """Why a gate at `tpr_limit` must neither open nor shut, in half a sentence; None if it may."""
        return why_undecided(self, tpr_limit)

    def exceeds_auc(self, auc_limit: float) -> bool:
        """As `exceeds`, with a limit on the largest AUC of all attacks, the value itself: a gate that ties do not mislead.

        Raises:
            ValueError: the limit is no AUC from 0.5 to 1; or the report is "not comparable".
        """
        if not 0.5 <= auc_limit <= 1:
            raise InputError(f"the limit must be an AUC in [0.5, 1], got {auc_limit}")
        if self.status == NOT_COMPARABLE:
            raise InputError(f"the gate is undecided: {UNLIKE}")
        return max(attack.auc.value for attack in self.attacks.values()) > auc_limit

    def to_dict(self) -> dict:
        """The report as plain dictionaries, lists, numbers and strings, after `JSON_SCHEMA`."""
        return {
            "schema": "mia_helpers.audit",
            "schema_version": SCHEMA_VERSION,
            "status": self.status,
            "verdict": self.verdict,
            "data": {
                "n_members": self.n_members,
                "n_non_members": self.n_non_members,
                "n_classes": self.n_classes,
                "n_shadows": self.n_shadows,
                "n_rows": self.n_rows,
                "accuracy": {who: _estimate(share) for who, share in self.accuracy.items()},
                "smallest_supported_fpr": 10 / self.n_non_members,
            },
            "at_fpr": self.at_fpr,
            "confidence": self.confidence,
            "level": self.level,
            "strongest": self.strongest,
            "attacks": {name: _attack(report, self.threshold_from[name]) for name, report in self.attacks.items()},
            "epsilon": {
                "lower_bound": self.epsilon,
                "delta": self.delta,
                "attack": self.epsilon_attack,
                "method": self.epsilon_method,
                "holds_for_this_run": self.epsilon_holds,
            },
            "slices": [
                {
                    "column": s.column,
                    "value": s.value,
                    "n_members": s.n_members,
                    "n_non_members": s.n_non_members,
                    "attack": s.attack,
                    "auc": _if_any(s.auc),
                    "above_chance": s.above_chance,
                }
                for s in self.slices
            ],
            "exposed": [dict(vars(example)) for example in self.exposed],
            "controls": [{**vars(control), "auc": _estimate(control.auc)} for control in self.controls],
            "slips": list(self.slips),
            "not_run": dict(self.not_run),
            "warnings": list(self.warnings),
            "assumptions": list(self.assumptions),
            "advice": list(self.advice),
            "checklist": list(self.checklist),
        }

    def to_json(self) -> str:
        """`to_dict` as JSON text, without NaN or infinities."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    def gate(self, tpr_limit: float) -> str:
        """What a gate at `tpr_limit` says, in one line; `exceeds` decides."""
        if why := self.undecided(tpr_limit):
            return f"gate undecided: {why}"
        shut, rate = self.exceeds(tpr_limit), shown(self.tpr.value, self.at_fpr)
        exact = "" if (float(rate) > tpr_limit) == shut else f" (unrounded {self.tpr.value:.6g})"
        return (
            f"gate {'SHUT' if shut else 'open'}: TPR {rate}{exact} at {percent(self.at_fpr)} FPR, "
            f"{'above' if shut else 'not above'} {tpr_limit:g}"
        )

    def gate_auc(self, auc_limit: float) -> str:
        """What a gate at `auc_limit` says, in one line; `exceeds_auc` decides."""
        if self.status == NOT_COMPARABLE:
            return f"gate undecided: {UNLIKE}"
        name = max(self.attacks, key=lambda name: self.attacks[name].auc.value)
        shut, value = self.exceeds_auc(auc_limit), self.attacks[name].auc.value
        exact = "" if (float(shown(value)) > auc_limit) == shut else f" (unrounded {value:.6g})"
        return (
            f"gate {'SHUT' if shut else 'open'}: AUC {shown(value)}{exact} ({name}), "
            f"{'above' if shut else 'not above'} {auc_limit:g}"
        )

    # `page` knows the report's parts, so the report imports it late.

    def to_markdown(self) -> str:
        """The report as Markdown text."""
        from mia_helpers.audit import page

        return page.markdown(self)

    def to_html(self) -> str:
        """The report as a page of its own, pictures included: one file, to look at, to mail or to print."""
        from mia_helpers.audit import page

        return page.whole(self)

    def _repr_html_(self) -> str:
        from mia_helpers.audit import page

        return page.fragment(self)

    def summary(self) -> str:
        """The verdict, the warnings and a short table, as plain text for a terminal."""
        from mia_helpers.audit import page

        return page.plain(self)


def strongest_of(attacks: Mapping[str, AttackReport], at_fpr: float) -> str:
    """The attack with the largest TPR at `at_fpr`, among equals the one with the largest AUC."""
    return max(attacks, key=lambda name: (attacks[name].tpr_at_fpr[at_fpr].value, attacks[name].auc.value))


def shown(figure: float | Estimate, fpr: float = 1.0) -> str:
    """An AUC, a rate or a difference of rates, as every part of the report prints it.

    Three decimals, as an `Estimate` has; a TPR at an FPR below 0.01 has more, so that chance has two digits.
    """
    digits = max(3, 1 - math.floor(math.log10(fpr) + 1e-9))
    if isinstance(figure, Estimate):
        return f"{figure.value:.{digits}f} [{figure.low:.{digits}f}, {figure.high:.{digits}f}]"
    return f"{figure:.{digits}f}"


def percent(rate: float) -> str:
    """A false-positive rate as every part of the report prints it: "1 %"."""
    return f"{100 * rate:.3g} %"


def rounded_up(rate: float) -> str:
    """A positive rate with two digits, never smaller than it is."""
    step = 10.0 ** (math.floor(math.log10(rate)) - 1)
    return f"{math.ceil(rate / step - 1e-9) * step:.2g}"


def _estimate(estimate: Estimate) -> dict:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _if_any(estimate: Estimate | None) -> dict | None:
    return None if estimate is None else _estimate(estimate)


def _attack(report: AttackReport, threshold_from: str) -> dict:
    threshold = report.threshold if report.threshold is not None and math.isfinite(report.threshold) else None
    return {
        "auc": _estimate(report.auc),
        "accuracy": _if_any(report.accuracy),
        "advantage": _if_any(report.advantage),
        "threshold": threshold,
        "threshold_from": threshold_from,
        "tpr_at_fpr": [{"fpr": fpr} | _estimate(rate) for fpr, rate in report.tpr_at_fpr.items()],
    }

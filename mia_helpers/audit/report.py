"""What an audit found: the report that `mia_helpers.audit.audit` returns, as HTML, Markdown and JSON.

NumPy side; measures nothing itself. The JSON form is described by `JSON_SCHEMA` (JSON Schema, draft 2020-12). Its
`schema_version` goes up whenever a field is taken away, renamed or given another meaning; fields may be added without.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape

from mia_helpers.metrics import AttackReport, Estimate

SCHEMA_VERSION = 1
EVIDENCE, NO_EVIDENCE, NOT_COMPARABLE = "evidence", "no evidence", "not comparable"
MIN_IN_SLICE = 20  # members, and as many non-members: fewer say nothing
N_SLICES_SHOWN = 12
INDEPENDENT = "exact binomial limits, which assume that each answer does not depend on who else was a member"
ONE_RUN = "one training run, each membership a fair coin (Steinke et al. 2023, 2305.08846)"
THRESHOLDS = ("a reference model", "calibration half", "log-odds 0")


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

    Its position in the input, its label and score (in that attack's own units), and the share of non-members that score at
    least as high (what accusing it would cost in false positives).
    """

    index: int
    label: int
    score: float
    non_members_at_or_above: float


@dataclass(frozen=True)
class Control:
    """A measurement that must come out at chance (AUC 0.5) if the audit is to mean anything.

    `passed`: the interval contains 0.5; for blind classifiers and blind models, which can be below 0.5 by an artefact of
    cross-validation, it does not lie above 0.5.
    """

    name: str
    auc: Estimate
    passed: bool
    meaning: str


@dataclass(frozen=True, repr=False)
class AuditReport:
    """The result of an audit.

    Attributes:
        status: `"evidence"` of leakage, `"no evidence"`, or `"not comparable"`: members and non-members differ without the
            model, so that nothing can be said.
        attacks: name -> figures, at confidence `level`. threshold_from: name -> where the threshold of accuracy and
            advantage comes from: a reference model in the target's place, one half of the examples (the figures are then
            the other half's), or 0 log-odds.
        strongest: the attack with the largest TPR at `at_fpr`, then the largest AUC.
        confidence: of all statements together. level: of each single interval (Bonferroni).
        epsilon: lower bound on ε at `delta`, in nats; epsilon_attack: the attack behind it; epsilon_method: `INDEPENDENT` or
            `ONE_RUN`, on what it rests.
        not_run: attack -> what it would need.
        n_members, n_non_members: people, or examples where each is another person's. n_rows: examples. n_classes: C.
        accuracy: the model's on `"members"` and on `"non-members"`.
        slips: what looks like a slip in the input, one sentence each; also among the warnings.
        n_shadows: reference models used. at_fpr: the false-positive
            rate at which attacks are compared. slices, exposed, controls: see their classes.
        warnings: what spoils the figures, one sentence each. assumptions: what they rest on.
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

    def __repr__(self) -> str:
        return f"<AuditReport: {self.status}, {len(self.attacks)} attacks, strongest {self.strongest}>"

    @property
    def tpr(self) -> Estimate:
        """The true-positive rate of the strongest attack at `at_fpr`."""
        return self.attacks[self.strongest].tpr_at_fpr[self.at_fpr]

    def exceeds(self, tpr_limit: float) -> bool:
        """Whether the gate is shut: the strongest attack's TPR at `at_fpr`, the value itself, is above `tpr_limit`.

        The value and not the end of the interval: the lower end would let a leak through when data are few, the upper end
        would never open for them.

        Raises:
            ValueError: the limit is not a rate.
        """
        if not 0 <= tpr_limit <= 1:
            raise ValueError(f"the limit must be a true-positive rate in [0, 1], got {tpr_limit}")
        return self.tpr.value > tpr_limit

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
        }

    def to_json(self) -> str:
        """`to_dict` as JSON text, without NaN or infinities."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    def to_markdown(self) -> str:
        """The report as Markdown text."""
        lines = ["# Membership leakage audit", "", f"**{_cell(self.verdict)}**", ""]
        lines += [f"> **Warning:** {_cell(warning)}\n" for warning in self.warnings]
        lines += [self._size(), ""]
        for title, header, rows, note in self._tables():
            lines += [f"## {title}", ""]
            if rows:
                lines += [_row(header), _row(["---"] * len(header)), *(_row(map(_cell, row)) for row in rows), ""]
            lines += [note, ""] if note else []
        lines += ["## Assumptions", "", *(f"- {_cell(text)}" for text in self.assumptions), ""]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        parts = [f"<p><b>{escape(self.verdict)}</b></p>"]
        parts += [f"<p><b>Warning:</b> {escape(warning)}</p>" for warning in self.warnings]
        parts += [f"<p>{escape(self._size())}</p>"]
        for title, header, rows, note in self._tables():
            head = "".join(f"<th>{escape(name)}</th>" for name in header)
            body = "".join(
                "<tr>" + "".join(f'<td style="text-align:left">{escape(value)}</td>' for value in row) + "</tr>"
                for row in rows
            )
            table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if rows else ""
            parts.append(f"<h4>{escape(title)}</h4>{table}<p>{escape(note)}</p>")
        items = "".join(f"<li>{escape(text)}</li>" for text in self.assumptions)
        return f"<div><h3>Membership leakage audit</h3>{''.join(parts)}<h4>Assumptions</h4><ul>{items}</ul></div>"

    def summary(self) -> str:
        """The verdict, the warnings and a short table, as plain text for a terminal."""
        lines = [self.verdict, *(f"WARNING: {warning}" for warning in self.warnings), self._size(), ""]
        rows = [["attack", f"TPR at {self.at_fpr:.3g} FPR", "AUC", "advantage"]]
        ranked = sorted(self.attacks, key=lambda name: (-self.attacks[name].tpr_at_fpr[self.at_fpr].value, name))
        for name in sorted(ranked, key=lambda name: name != self.strongest):
            report = self.attacks[name]
            rows.append([name, str(report.tpr_at_fpr[self.at_fpr]), str(report.auc), str(report.advantage)])
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
        controls = (f"{c.name} {c.auc.value:.3f} {'passed' if c.passed else 'FAILED'}" for c in self.controls)
        lines += [
            "",
            f"Empirical ε ≥ {self.epsilon:.2f} ({self.epsilon_attack}, δ = {self.delta:g}; {self.epsilon_method}).",
            f"Controls (AUC): {'; '.join(controls)}. {self.assumptions[0]}",
            f"Not run: {', '.join(self.not_run) or 'nothing'}.",
        ]
        return "\n".join(map(_printable_line, lines))

    def _size(self) -> str:
        rows = f" ({self.n_rows:,} rows)" if self.n_rows > self.n_members + self.n_non_members else ""
        return (
            f"{self.n_members:,} members, {self.n_non_members:,} non-members{rows}, {self.n_classes} classes, "
            f"{self.n_shadows} shadows or reference models. Smallest false-positive rate supported: "
            f"{rounded_up(10 / self.n_non_members)}. The model is right on {self.accuracy['members']} of the members and "
            f"{self.accuracy['non-members']} of the non-members."
        )

    def _tables(self) -> list[tuple[str, list[str], list[list[str]], str]]:
        """Title, header, rows, and the note below, of each table."""
        fprs = sorted(self.attacks[self.strongest].tpr_at_fpr, reverse=True)
        attacks = [
            [name, *(str(r.tpr_at_fpr[fpr]) for fpr in fprs), str(r.auc), str(r.advantage), self.threshold_from[name]]
            for name, r in self.attacks.items()
        ]
        tested = [s for s in self.slices if s.auc is not None]
        too_small = len(self.slices) - len(tested)
        shown = sorted(tested, key=lambda s: -s.low)[:N_SLICES_SHOWN]
        note = "Highest lower end first, with the best attack for each; intervals hold for all slices and attacks at once."
        note += f" {len(tested) - len(shown)} more are in the JSON." if len(tested) > len(shown) else ""
        note += f" {too_small} with fewer than {MIN_IN_SLICE} members or non-members were left out." if too_small else ""
        return [
            (
                "Attacks",
                ["attack", *(f"TPR at {fpr:.3g} FPR" for fpr in fprs), "AUC", "advantage", "threshold from"],
                attacks,
                f"Strongest: {self.strongest}, by TPR at {self.at_fpr:.3g} FPR. Every interval is at {self.level:.2%}, so "
                f"that all statements hold together with {self.confidence:.3g} and picking the strongest attack spoils "
                "none; its value is still flattered a little by the picking. A TPR of 0 is no better than chance: the "
                "highest score is then shared by more non-members than may be accused.",
            ),
            (
                "Empirical ε",
                ["lower bound (nats)", "δ", "attack"],
                [[f"{self.epsilon:.2f}", f"{self.delta:g}", self.epsilon_attack]],
                "Attack and threshold chosen on one half of the examples, counted on the other. 0: nothing shown. Method: "
                f"{self.epsilon_method}.",
            ),
            (
                "Controls",
                ["control", "AUC", "verdict", "what it says"],
                [[c.name, str(c.auc), "passed" if c.passed else "FAILED", c.meaning] for c in self.controls],
                "",
            ),
            (
                "Classes and groups",
                ["slice", "members", "non-members", "best attack", "AUC", "above chance"],
                [
                    [
                        f"{s.column} {s.value}",
                        str(s.n_members),
                        str(s.n_non_members),
                        str(s.attack),
                        str(s.auc),
                        "yes" if s.above_chance else "no",
                    ]
                    for s in shown
                ],
                note,
            ),
            (
                "Most exposed members",
                ["position", "label", "score", "non-members that score as high"],
                [[str(x.index), str(x.label), f"{x.score:.4g}", f"{x.non_members_at_or_above:.2%}"] for x in self.exposed],
                "",
            ),
            ("Not run", ["attack", "what it would need"], [list(item) for item in self.not_run.items()], ""),
        ]


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


def _cell(text: str) -> str:
    """Text that cannot break out of a Markdown table or paragraph."""
    return escape(_printable(text), quote=False).replace("|", "\\|").replace("](", "]\\(")


def _printable(text: str) -> str:
    """One line without control characters, which could write over a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(str(text).split()))


def _printable_line(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _object(additional: dict | bool = False, **properties: dict) -> dict:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": additional}


def _list(of: dict) -> dict:
    return {"type": "array", "items": of}


_RATE, _COUNT, _TEXT = {"type": "number", "minimum": 0, "maximum": 1}, {"type": "integer", "minimum": 0}, {"type": "string"}
_NUMBER, _BOOL = {"type": "number"}, {"type": "boolean"}
_ESTIMATE = _object(value=_NUMBER, low=_NUMBER, high=_NUMBER)


def _or_null(schema: dict) -> dict:
    return {"anyOf": [schema, {"type": "null"}]}


JSON_SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "mia_helpers.audit",
    **_object(
        schema={"const": "mia_helpers.audit"},
        schema_version={"const": SCHEMA_VERSION},
        status={"enum": [EVIDENCE, NO_EVIDENCE, NOT_COMPARABLE]},
        verdict=_TEXT,
        data=_object(
            n_members=_COUNT,
            n_non_members=_COUNT,
            n_classes=_COUNT,
            n_shadows=_COUNT,
            n_rows=_COUNT,
            accuracy=_object(members=_ESTIMATE, **{"non-members": _ESTIMATE}),
            smallest_supported_fpr=_RATE,
        ),
        at_fpr=_RATE,
        confidence=_RATE,
        level=_RATE,
        strongest=_TEXT,
        attacks={
            "type": "object",
            "additionalProperties": _object(
                auc=_ESTIMATE,
                accuracy=_ESTIMATE,
                advantage=_ESTIMATE,
                threshold={**_or_null(_NUMBER), "description": "null: nothing beat calling everybody a non-member"},
                threshold_from={"enum": list(THRESHOLDS)},
                tpr_at_fpr=_list(_object(fpr=_RATE, value=_RATE, low=_RATE, high=_RATE)),
            ),
        },
        epsilon=_object(
            lower_bound={"type": "number", "minimum": 0, "description": "nats"},
            delta=_RATE,
            attack=_TEXT,
            method={"enum": [INDEPENDENT, ONE_RUN]},
        ),
        slices=_list(
            _object(
                column={"enum": ["class", "group"]},
                value=_TEXT,
                n_members=_COUNT,
                n_non_members=_COUNT,
                attack=_or_null(_TEXT),
                auc=_or_null(_ESTIMATE),
                above_chance=_or_null(_BOOL),
            )
        ),
        exposed=_list(_object(index=_COUNT, label=_COUNT, score=_NUMBER, non_members_at_or_above=_RATE)),
        controls=_list(_object(name=_TEXT, auc=_ESTIMATE, passed=_BOOL, meaning=_TEXT)),
        slips=_list(_TEXT),
        not_run={"type": "object", "additionalProperties": _TEXT},
        warnings=_list(_TEXT),
        assumptions=_list(_TEXT),
    ),
}

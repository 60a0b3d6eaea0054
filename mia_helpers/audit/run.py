"""An audit of anybody's model: every attack on outputs that the material allows, with intervals and controls, in one report.

NumPy side. Torch, and of scikit-learn what is slow to import, are imported only where they are needed.

All statements of a report hold together with probability `confidence`: each interval is at the level
1 − (1 − confidence) / number of statements (Bonferroni), counted before anything is measured. Pandas objects must have the
same index in the same order; others are refused. Results do not depend on the order of the examples.
"""

from __future__ import annotations  # so that help(audit) says ArrayLike and not all that this stands for

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest

from mia_helpers.attacks import Attack, covered
from mia_helpers.audit import advice, controls, copies, gates, likeness, measuring, scoring, slips, words
from mia_helpers.audit.answers import Asker, checked_bank, numbered, target_answers
from mia_helpers.audit.describing import Described, described
from mia_helpers.audit.examples import Examples, draw, each
from mia_helpers.audit.inputs import (
    checked_features,
    checked_groups,
    checked_labels,
    checked_memberships,
    checked_people,
    one_index,
)
from mia_helpers.audit.report import (
    EVIDENCE,
    MIN_IN_SLICE,
    NO_EVIDENCE,
    NOT_COMPARABLE,
    AuditReport,
    Control,
    Material,
    rounded_up,
    strongest_of,
)
from mia_helpers.audit.settings import References, Settings
from mia_helpers.bank import ShadowBank
from mia_helpers.inputs import InputError, as_array
from mia_helpers.metrics import Estimate

FEW = 20  # members, and as many non-members: fewer say nothing
SURELY_NOT = 1e-6  # a number of members this unlikely is none that fair coins gave


def audit(
    labels: ArrayLike,
    is_member: ArrayLike,
    *,
    logits: ArrayLike | None = None,
    probabilities: ArrayLike | None = None,
    model: object = None,
    inputs: ArrayLike | None = None,
    features: ArrayLike | None = None,
    group: ArrayLike | None = None,
    person: ArrayLike | None = None,
    references: References | None = None,
    settings: Settings | None = None,
) -> AuditReport:
    """How much does a model give away about who was in its training set?

    Give the model's answers (`logits` or `probabilities`), or `model` and `inputs`. Members and non-members must come from
    one distribution: hold out a *random* part of your data before training. Reference models make the strongest attacks
    possible: see `References`. How it is measured: see `Settings`.

    Args:
        labels: integers `[N]`, 0 … C − 1; for a classifier that was trained on names, its names (those in `classes_`, which
            are then numbered in that order, also for `fit`). is_member: bool `[N]` (or 0 and 1).
        logits, probabilities: `[N, C]`, one of them; for two classes also `[N]` or `[N, 1]`, class 1's. A logit of −∞ is a
            class that was masked.
        model: a torch module that returns logits, a fitted classifier, or a function; asked as `mia_helpers.ask.ask` does. A
            module or function with a single output gives class 1's logit, or its probability if all lie in [0, 1].
        inputs: what the model takes, `[N, …]`.
        features: numbers `[N, …]` that describe the examples, for the two-sample test; default `inputs`, of which text,
            categories, dates and sparse matrices are put into numbers.
        group: a name or number for each example, `[N]`; each group is then looked at on its own.
        person: whose each example is, names or numbers `[N]`, if people have several. Then people are counted: a person's
            score is the mean over its rows (in a class or group, over those in it), and intervals, thresholds, halves,
            permutations and tests go by person. All rows of a person are members, or none is.
        references: reference models' answers, or a function that trains them.
        settings: rates, levels, seeds.

    Returns:
        an `AuditReport`: shows itself in a notebook; `.summary()`, `.to_html()`, `.to_markdown()`, `.to_json()`, and, as a
        gate, `.exceeds(tpr_limit)`.

    Raises:
        ValueError: shapes or values that do not fit, fewer than 20 members or non-members, an `at_fpr` that they cannot
            support.
        TypeError: arguments of the wrong kind, or a model that cannot be asked. What `model` or `fit` raise comes through.
    """
    references, settings = references or References(), settings or Settings()
    one_index(
        labels=labels,
        is_member=is_member,
        logits=logits,
        probabilities=probabilities,
        inputs=inputs,
        features=features,
        group=group,
        person=person,
        member_mask=references.member_mask,
    )
    is_member = checked_memberships(is_member)
    labels, model = numbered(labels, model)
    y, n = checked_labels(labels, len(is_member)), len(is_member)
    seen = described(inputs, n) if features is None else Described(checked_features(features, n))
    asked = Examples.of(y, is_member, checked_groups(group, n), seen.values, checked_people(person, is_member))
    _enough(asked.people.is_member, settings)
    told = target_answers(
        logits, probabilities, model, inputs, (y, is_member), settings.floor, references.may_be_probabilities
    )
    trained_here = references.fit is not None
    if trained_here:
        references = _train(references, inputs, asked, (told.logits.shape[1], told.floor), settings.seed)
    bank = checked_bank(references, y, told.logits.shape[1], told.floor)
    rng = np.random.default_rng(settings.seed)
    columns = [*told.logits.T, y, is_member, *([] if bank is None else bank.phi)]
    columns += [] if asked.group is None else [np.unique(asked.group, return_inverse=True)[1]]
    columns += [] if asked.features is None else [*asked.features.T[:64]]
    asked = draw(asked, columns, rng)
    found = _attacked(told.logits, bank, asked, settings, (model, inputs))
    given_logits = logits is not None, references.shadow_logits is not None and not trained_here
    doubts, found = _doubts(found, asked, told.logits, given_logits, seen, settings.at_fpr)
    accuracy = slips.accuracies(told.logits, asked, found.level)
    rests_on = words.assumptions(bank is not None, trained_here, told.floor, asked, settings, told.notes)
    report = _report(found, asked, settings, rng, told.logits.shape[1], accuracy, doubts, rests_on)
    return replace(report, images=measuring.images(inputs, [example.index for example in report.exposed]))


def _enough(is_member: np.ndarray, settings: Settings) -> None:
    """An error if so few people are members or non-members that nothing could be stated, or for coins that fell oddly."""
    n_members, n_non_members = int(is_member.sum()), int((~is_member).sum())
    if min(n_members, n_non_members) < FEW:
        raise InputError(f"an audit needs at least {FEW} members and {FEW} non-members, got {n_members} and {n_non_members}")
    if settings.at_fpr < (smallest := 10 / n_non_members):
        raise InputError(
            f"at_fpr={settings.at_fpr:g} cannot be supported by {n_non_members} non-members: fewer than 10 false positives "
            f"would be expected. Use settings=Settings(at_fpr={(least := rounded_up(smallest))}), on the command line "
            f"--at-fpr {least}, or more non-members"
        )
    if settings.coins and binomtest(n_members, len(is_member)).pvalue < SURELY_NOT:
        raise InputError(
            f"coins=True says that each was a member by a fair coin, but {n_members} of {len(is_member)} are members; leave "
            "coins out"
        )


class _Rows:
    """`fit` for rows of a DataFrame, which is given their positions: a class, so that worker processes can be sent one."""

    def __init__(self, fit: Callable, frame: Any):
        self.fit, self.frame = fit, frame

    def rows(self, positions: np.ndarray) -> Any:
        """The rows of the DataFrame at positions `[n, 1]`."""
        return self.frame.iloc[positions[:, 0]]

    def __call__(self, positions: np.ndarray, labels: np.ndarray, seed: int) -> object:
        return self.fit(self.rows(positions), labels, seed)


def _train(
    references: References, inputs: ArrayLike | None, asked: Examples, answers: tuple[int, float | None], seed: int
) -> References:
    """The answers of reference models that are trained now, on as many people as the target. answers: classes, and floor."""
    if inputs is None:
        raise InputError("fit needs inputs: what the reference models are to be trained on")
    from mia_helpers.shadows import train_shadows  # imports torch

    assert references.fit is not None
    framed = _Rows(references.fit, inputs) if hasattr(inputs, "iloc") else None
    trained = train_shadows(
        references.n_shadows,
        as_array(inputs) if framed is None else np.arange(len(asked))[:, None],
        asked.y,
        fit=references.fit if framed is None else framed,
        answer=Asker(*answers, None if framed is None else framed.rows),
        key=references.key,
        n_members=int(asked.people.is_member.sum()),
        person=asked.person,
        seed=seed,
        n_jobs=references.n_jobs,
        progress=sys.stderr.isatty() if references.progress is None else references.progress,
    )
    return References(shadow_logits=trained.logits, member_mask=trained.member_mask)


@dataclass(frozen=True)
class _Attacked:
    """What the attacks say.

    Attributes:
        scores: attack -> `[N]`, on the target. blind: the same with reference model 0 in the target's place.
        bank: the reference models that were used. fixed: attacks whose threshold is 0. not_run: attack -> what it needs.
        fprs, level: at which rates and at which level things are stated. draws: the control of the reference models' draws.
        warnings: sentences.
    """

    scores: dict[str, np.ndarray]
    blind: dict[str, np.ndarray]
    bank: ShadowBank | None
    fixed: set[str]
    not_run: dict[str, str]
    fprs: tuple[float, ...]
    level: float
    draws: Control | None
    warnings: list[str]


def _attacked(
    z: np.ndarray,
    bank: ShadowBank | None,
    examples: Examples,
    settings: Settings,
    asked: tuple[object, ArrayLike | None],
) -> _Attacked:
    listed, warnings = scoring.listed(examples, settings.seed), []
    fprs, level = _level(listed, bank, examples, settings)
    not_run, draws = dict(scoring.NEEDS), None if bank is None else controls.draws(bank, examples, level)
    if draws is not None and not draws.passed:
        reason = (
            "reference models whose members were drawn independently of the target's; of these, the number that "
            f"had an example tells the target's members by itself (AUC {draws.auc.value:.2f})"
        )
        not_run |= {name: reason for name, attack in listed.items() if attack.needs is not None}
        warnings.append(f"The reference models were not used: the audit needs {reason}.")
        bank = None
    scores, blind = scoring.from_answers(z, examples, listed, settings.seed), {}
    not_run = {name: need for name, need in not_run.items() if name not in scores}
    if settings.white_box:
        scores[scoring.GRADIENT] = scoring.gradient_scores(*asked, examples.y)
        del not_run[scoring.GRADIENT]
    if bank is not None:
        found = scoring.from_references(z, bank, examples, listed)
        scores |= found
        if "LiRA online" in found and (n_open := int((~covered(bank.member_mask, ("in", "out"))).sum())):
            warnings.append(
                f"{n_open} of {len(examples)} examples were in all or none of the reference models, so LiRA and "
                "RMIA know nothing about them; they get the median score. More reference models mend it."
            )
        impossible = scoring.missing(bank, listed)
        not_run = {name: impossible.get(name, need) for name, need in not_run.items() if name not in found}
        z0 = np.asarray(bank.logits[0])
        blind = scoring.from_answers(z0, examples, listed, settings.seed)
        if len(bank) > 1:
            blind |= scoring.from_references(z0, bank.without(0), examples, listed)
    return _Attacked(scores, blind, bank, scoring.fixed_at_0(listed), not_run, fprs, level, draws, warnings)


def _level(
    listed: Mapping[str, Attack], bank: ShadowBank | None, examples: Examples, settings: Settings
) -> tuple[tuple[float, ...], float]:
    """The rates at which things are stated, and the level of each statement, fixed before anything is measured.

    So a control that decides what is measured is tested at the level at which it is reported.
    """
    smallest = 10 / int((~examples.people.is_member).sum())
    fprs = tuple(sorted({settings.at_fpr, *(f for f in (0.1, 0.01, 0.001) if f >= smallest)}, reverse=True))
    n_tested = sum(min(part.is_member.sum(), (~part.is_member).sum()) >= MIN_IN_SLICE for part in examples.parts())
    n_attacks = sum(attack.needs is None for attack in listed.values()) + 1 + settings.white_box
    n_attacks += examples.features is not None
    if bank is not None:
        n_attacks += sum(attack.needs is not None for attack in listed.values()) - len(scoring.missing(bank, listed))
    # Besides attacks: ε, two accuracies, two blind classifiers, up to five controls.
    return fprs, 1 - (1 - settings.confidence) / (n_attacks * (3 + len(fprs) + n_tested) + 10)


def _doubts(
    found: _Attacked,
    examples: Examples,
    z: np.ndarray,
    given_logits: tuple[bool, bool],
    seen: Described,
    at_fpr: float,
) -> tuple[list[str], _Attacked]:
    """Slips, one sentence each, and what was found with the warnings about the input.

    given_logits: whether the target's answers, and those of reference models, were given as logits.
    """
    warnings: list[str] = []
    doubts = slips.in_answers(z, examples, "probabilities" if given_logits[0] else None)
    if found.bank is not None:
        doubts += slips.in_bank(found.bank, examples, "shadow_probabilities" if given_logits[1] else None)
        warnings += [] if doubts else likeness.doubts(found.bank, z, examples)
    if (same := copies.found(examples, z)) is not None:
        slip, warning = copies.judged(same, at_fpr)
        doubts, warnings = doubts + slip, warnings + warning
    if seen.left_out:
        warnings.append(seen.not_tested())
    return doubts, replace(found, warnings=warnings + found.warnings)


def _report(
    found: _Attacked,
    examples: Examples,
    settings: Settings,
    rng: np.random.Generator,
    n_classes: int,
    accuracy: dict[str, Estimate],
    doubts: list[str],
    rests_on: list[str],
) -> AuditReport:
    people, level, n, warnings = examples.people, found.level, len(examples), found.warnings
    scores, blind = ({name: examples.by_person(s) for name, s in rows.items()} for rows in (found.scores, found.blind))
    had = None if found.bank is None else _had(found.bank.member_mask[0], examples)

    def measured(name: str) -> tuple:
        reference = (blind[name], had) if had is not None and name in blind else None
        return measuring.measured(scores[name], people, name in found.fixed, reference, found.fprs, level)

    pairs = dict(zip(scores, each(measured, scores, n)))
    reports, threshold_from = ({name: pair[i] for name, pair in pairs.items()} for i in (0, 1))
    strongest = strongest_of(reports, settings.at_fpr)
    open_scores = {name: s for name, s in scores.items() if name not in scoring.LEARNT_HERE}
    epsilon, epsilon_attack, method = measuring.epsilon(open_scores, people, settings.delta, level, settings.coins)
    slices = each(lambda part: measuring.measured_part(found.scores, level, part), list(examples.parts()), n)

    blind_classifiers, tested = controls.two_sample(examples, settings.seed, level)
    by_lot = controls.memberships_by_lot(people, rng)
    checked = [*filter(None, [found.draws]), controls.permuted(strongest, scores[strongest], by_lot, level)]
    checked += controls.blind_models(dict.fromkeys((strongest, "loss")), blind, people.is_member, level) + blind_classifiers
    controls.warn(checked, tested, warnings)
    below, remarks = slips.below_chance(reports, scoring.LEARNT_HERE)
    doubts = doubts + below
    shifted = any(not c.passed for c in checked if c.name.startswith("blind"))
    ties = {name: tied for name, s in scores.items() if (tied := gates.ties(s, people.is_member, settings.at_fpr))}
    if "loss" in ties and ties["loss"].at_the_top:
        remarks.append(gates.of_answers(ties["loss"]))
    leaks = [name for name, report in reports.items() if measuring.above_chance(report, level)]
    report = AuditReport(
        status=NOT_COMPARABLE
        if shifted or doubts
        else EVIDENCE
        if leaks or any(s.above_chance for s in slices)
        else NO_EVIDENCE,
        verdict="",
        n_members=int(people.is_member.sum()),
        n_non_members=int((~people.is_member).sum()),
        n_rows=n,
        n_classes=n_classes,
        n_shadows=0 if found.bank is None else len(found.bank),
        accuracy=accuracy,
        at_fpr=settings.at_fpr,
        confidence=settings.confidence,
        level=level,
        attacks=reports,
        threshold_from=threshold_from,
        strongest=strongest,
        epsilon=epsilon,
        epsilon_attack=epsilon_attack,
        epsilon_method=method,
        delta=settings.delta,
        slices=slices,
        exposed=measuring.exposed(found.scores[strongest], examples),
        controls=checked,
        slips=doubts,
        not_run=found.not_run,
        warnings=doubts + warnings + remarks,
        assumptions=[words.one_distribution(tested), *rests_on],
        ties=ties,
        material=Material(found.scores, examples, by_lot, blind.get(strongest)),
    )
    return advice.added(replace(report, verdict=words.verdict(report, leaks)))


def _had(mask: np.ndarray, examples: Examples) -> np.ndarray | None:
    """The people whom a reference model had, bool `[P]`; None if it had all or none, or some rows of a person."""
    share = examples.by_person(mask.astype(float))
    return share == 1 if np.isin(share, (0, 1)).all() and 0 < share.sum() < len(share) else None

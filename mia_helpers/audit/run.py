"""An audit of anybody's model: every attack on outputs that the material allows, with intervals and controls, in one report.

NumPy side. Torch, and of scikit-learn what is slow to import, are imported only where they are needed.

All statements of a report hold together with probability `confidence`: each interval is at the level
1 − (1 − confidence) / number of statements (Bonferroni), counted before anything is measured. Pandas objects must have the
same index in the same order; others are refused. Results do not depend on the order of the examples.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from mia_helpers.attacks import Attack, covered
from mia_helpers.audit import advice, controls, measuring, scoring, words
from mia_helpers.audit.examples import Examples, draw_lots, each
from mia_helpers.audit.inputs import (
    Asker,
    checked_answers,
    checked_bank,
    checked_features,
    checked_groups,
    checked_labels,
    checked_memberships,
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

FEW = 20  # members, and as many non-members: fewer say nothing


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
    references: References | None = None,
    settings: Settings | None = None,
) -> AuditReport:
    """How much does a model give away about who was in its training set?

    Give the model's answers (`logits` or `probabilities`), or `model` and `inputs`. Members and non-members must come from
    one distribution: hold out a *random* part of your data before training. Reference models make the strongest attacks
    possible: see `References`. How it is measured: see `Settings`.

    Args:
        labels: integers `[N]`, 0 … C − 1. is_member: bool `[N]` (or 0 and 1).
        logits, probabilities: `[N, C]`, one of them.
        model: a torch module that returns logits, a fitted classifier, or a function; asked as `mia_helpers.ask.ask` does.
        inputs: what the model takes, `[N, …]`.
        features: numbers `[N, …]` that describe the examples, for the two-sample test; default `inputs`.
        group: a name or number for each example, `[N]`; each group is then looked at on its own.
        references: reference models' answers, or a function that trains them.
        settings: rates, levels, seeds.

    Returns:
        an `AuditReport`: shows itself in a notebook; `.to_markdown()`, `.to_json()`, `.exceeds(tpr_limit)`.

    Raises:
        ValueError: shapes or values that do not fit, fewer than 20 members or non-members, an `at_fpr` that they cannot
            support.
        TypeError: arguments of the wrong kind, or a model that cannot be asked. What `model` or `fit` raise comes through.
    """
    references, settings = references or References(), settings or Settings()
    warnings: list[str] = []
    one_index(
        labels=labels,
        is_member=is_member,
        logits=logits,
        probabilities=probabilities,
        inputs=inputs,
        features=features,
        group=group,
        member_mask=references.member_mask,
    )
    is_member = checked_memberships(is_member)
    y, n = checked_labels(labels, len(is_member)), len(is_member)
    _enough(is_member, settings.at_fpr)
    z, floor = checked_answers(
        logits, probabilities, model, inputs, y, settings.floor, warnings, more_probabilities=references.may_be_probabilities
    )
    trained_here = references.fit is not None
    if trained_here:
        references = _train(references, inputs, y, int(is_member.sum()), Asker(z.shape[1], floor), settings.seed)
    bank, group = checked_bank(references, y, z.shape[1], floor), checked_groups(group, n)
    features = checked_features(inputs if features is None else features, n)
    rng = np.random.default_rng(settings.seed)
    keys = [*z.T, y, is_member, *([] if bank is None else bank.phi)]
    keys += [] if group is None else [*np.unique(group, return_inverse=True)[1:]]
    keys += [] if features is None else [*features.T[:64]]
    examples = Examples(y, is_member, group, features, draw_lots(keys, rng))
    found = _attacked(z, bank, examples, settings, warnings, (model, inputs))
    report = _report(found, examples, settings, warnings, rng, z.shape[1], trained_here, floor)
    return replace(report, images=measuring.images(inputs, [example.index for example in report.exposed]))


def _enough(is_member: np.ndarray, at_fpr: float) -> None:
    n_members, n_non_members = int(is_member.sum()), int((~is_member).sum())
    if min(n_members, n_non_members) < FEW:
        raise InputError(f"an audit needs at least {FEW} members and {FEW} non-members, got {n_members} and {n_non_members}")
    if at_fpr < (smallest := 10 / n_non_members):
        raise InputError(
            f"at_fpr={at_fpr:g} cannot be supported by {n_non_members} non-members: fewer than 10 false "
            f"positives would be expected. Use at least {rounded_up(smallest)}, or more non-members"
        )


def _train(
    references: References, inputs: ArrayLike | None, y: np.ndarray, n_members: int, answer: Asker, seed: int
) -> References:
    """The answers of reference models that are trained now."""
    if inputs is None:
        raise InputError("fit needs inputs: what the reference models are to be trained on")
    from mia_helpers.shadows import train_shadows  # imports torch

    trained = train_shadows(
        references.n_shadows,
        as_array(inputs),
        y,
        fit=references.fit,
        answer=answer,
        key=references.key,
        n_members=n_members,
        seed=seed,
        n_jobs=references.n_jobs,
        progress=references.progress,
    )
    return References(shadow_logits=trained.logits, member_mask=trained.member_mask)


@dataclass(frozen=True)
class _Attacked:
    """What the attacks say.

    Attributes:
        scores: attack -> `[N]`, on the target. blind: the same with reference model 0 in the target's place.
        bank: the reference models that were used. fixed: attacks whose threshold is 0. not_run: attack -> what it needs.
        fprs, level: at which rates and at which level things are stated. draws: the control of the reference models' draws.
    """

    scores: dict[str, np.ndarray]
    blind: dict[str, np.ndarray]
    bank: ShadowBank | None
    fixed: set[str]
    not_run: dict[str, str]
    fprs: tuple[float, ...]
    level: float
    draws: Control | None


def _attacked(
    z: np.ndarray,
    bank: ShadowBank | None,
    examples: Examples,
    settings: Settings,
    warnings: list[str],
    asked: tuple[object, ArrayLike | None],
) -> _Attacked:
    listed = scoring.listed(examples, settings.seed)
    fprs, level = _level(listed, bank, examples, settings)
    not_run, draws = dict(scoring.NEEDS), None if bank is None else controls.draws(bank, examples.is_member, level)
    if draws is not None and not draws.passed:
        reason = (
            "reference models whose members were drawn independently of the target's; of these, the number that "
            f"had an example tells the target's members by itself (AUC {draws.auc.value:.2f})"
        )
        not_run |= {name: reason for name, attack in listed.items() if attack.needs is not None}
        warnings.append(f"The reference models were not used: the audit needs {reason}.")
        bank = None
    scores, blind = scoring.from_answers(z, examples, listed, settings.seed), {}
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
    return _Attacked(scores, blind, bank, scoring.fixed_at_0(listed), not_run, fprs, level, draws)


def _level(
    listed: Mapping[str, Attack], bank: ShadowBank | None, examples: Examples, settings: Settings
) -> tuple[tuple[float, ...], float]:
    """The rates at which things are stated, and the level of each statement, fixed before anything is measured.

    So a control that decides what is measured is tested at the level at which it is reported.
    """
    smallest = 10 / int((~examples.is_member).sum())
    fprs = tuple(sorted({settings.at_fpr, *(f for f in (0.1, 0.01, 0.001) if f >= smallest)}, reverse=True))
    n_tested = sum(min(members, others) >= MIN_IN_SLICE for *_, members, others in examples.slices())
    n_attacks = sum(attack.needs is None for attack in listed.values()) + 1 + settings.white_box
    if bank is not None:
        n_attacks += sum(attack.needs is not None for attack in listed.values()) - len(scoring.missing(bank, listed))
    n_statements = n_attacks * (3 + len(fprs) + n_tested) + 8  # ε, two blind classifiers, up to five controls
    return fprs, 1 - (1 - settings.confidence) / n_statements


def _report(
    found: _Attacked,
    examples: Examples,
    settings: Settings,
    warnings: list[str],
    rng: np.random.Generator,
    n_classes: int,
    trained_here: bool,
    floor: float | None,
) -> AuditReport:
    scores, bank, level, is_member, n = found.scores, found.bank, found.level, examples.is_member, len(examples)
    had = None if bank is None else bank.member_mask[0]  # the examples of reference model 0
    if had is not None and not 0 < had.sum() < n:
        had = None

    def measured(name: str) -> tuple:
        reference = (found.blind[name], had) if had is not None and name in found.blind else None
        return measuring.measured(scores[name], examples, name in found.fixed, reference, found.fprs, level)

    pairs = dict(zip(scores, each(measured, scores, n)))
    reports, threshold_from = ({name: pair[i] for name, pair in pairs.items()} for i in (0, 1))
    strongest = strongest_of(reports, settings.at_fpr)
    epsilon, epsilon_attack = measuring.epsilon(
        {name: s for name, s in scores.items() if name != scoring.CROSS_FITTED}, examples, settings.delta, level
    )
    slices = each(lambda one: measuring.measured_slice(scores, is_member, level, *one), list(examples.slices()), n)

    blind_classifiers, tested = controls.two_sample(examples, settings.seed, level)
    by_lot = controls.memberships_by_lot(examples, rng)
    checked = [*filter(None, [found.draws]), controls.permuted(strongest, scores[strongest], by_lot, level)]
    checked += controls.blind_models(dict.fromkeys((strongest, "loss")), found.blind, is_member, level) + blind_classifiers
    controls.warn(checked, tested, warnings)
    shifted = any(not c.passed for c in checked if c.name.startswith("blind"))
    leaks = [name for name, report in reports.items() if measuring.above_chance(report, level)]
    status = NOT_COMPARABLE if shifted else EVIDENCE if leaks or any(s.above_chance for s in slices) else NO_EVIDENCE
    report = AuditReport(
        status=status,
        verdict="",
        n_members=int(is_member.sum()),
        n_non_members=int((~is_member).sum()),
        n_classes=n_classes,
        n_shadows=0 if bank is None else len(bank),
        at_fpr=settings.at_fpr,
        confidence=settings.confidence,
        level=level,
        attacks=reports,
        threshold_from=threshold_from,
        strongest=strongest,
        epsilon=epsilon,
        epsilon_attack=epsilon_attack,
        delta=settings.delta,
        slices=slices,
        exposed=measuring.exposed(scores[strongest], examples),
        controls=checked,
        not_run=found.not_run,
        warnings=warnings,
        assumptions=words.assumptions(tested, bank is not None, trained_here, floor),
        material=Material(scores, examples.y, is_member, by_lot, found.blind.get(strongest)),
    )
    return advice.added(replace(report, verdict=words.verdict(report, leaks)))

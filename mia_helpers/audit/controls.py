"""What must come out at chance if an audit is to mean anything. NumPy side."""

from collections.abc import Iterable, Mapping

import numpy as np
from threadpoolctl import threadpool_limits

from mia_helpers.attacks import boosted_trees
from mia_helpers.audit.examples import Examples, People
from mia_helpers.audit.measuring import auc_at_level
from mia_helpers.audit.report import Control
from mia_helpers.bank import ShadowBank

MAX_TWO_SAMPLE, MAX_CATEGORIES = 4_000, 50
MIRRORED = 0.4  # an AUC of trees on features that cross-validation does not explain: it brings 0.45 after a stratified split


def control(
    name: str, scores: np.ndarray, truth: np.ndarray, two_sided: bool, meaning: str, level: float, least: float = 0.0
) -> Control:
    """Passed if the AUC's interval contains 0.5; unless `two_sided`, lying below it is no failure, if not below `least`."""
    found = auc_at_level(scores, truth, level)
    return Control(name, found, found.low <= 0.5 and found.high >= (0.5 if two_sided else least), meaning)


def _one_hot(values: np.ndarray) -> np.ndarray:
    """0 or 1 for each of the most frequent values, `[N, at most 50]`; no column if there is but one value."""
    names, counts = np.unique(values, return_counts=True)
    kept = names[np.argsort(-counts, kind="stable")[:MAX_CATEGORIES]]
    return (values[:, None] == kept[None, : len(kept) if len(kept) > 1 else 0]).astype(np.float32)


@threadpool_limits.wrap(limits=1)
def two_sample(examples: Examples, seed: int, level: float) -> tuple[list[Control], list[str]]:
    """Can a blind classifier, which never asks the model, tell members from non-members? And what it was shown."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    is_member, half = examples.is_member, MAX_TWO_SAMPLE // 2
    rows = np.concatenate([examples.sample(half, is_member), examples.sample(half, ~is_member)])
    shown = {"labels": _one_hot(examples.y[rows])}
    if examples.group is not None:
        shown["group"] = _one_hot(examples.group[rows])
    if examples.features is not None:
        shown["features"] = examples.features[rows].astype(np.float32)
    shown = {name: values for name, values in shown.items() if values.shape[1] and (values != values[0]).any()}
    if not shown:
        return [], []
    x, truth = np.concatenate(list(shown.values()), axis=1), is_member[rows]
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=500))
    boosted = boosted_trees(seed).set_params(max_features=min(1.0, 50 / x.shape[1]))
    whose = None if examples.person is None else np.unique(examples.person[rows], return_inverse=True)[1]
    asked = Examples.of(examples.y[rows], truth, person=whose)
    folds = (StratifiedKFold if whose is None else StratifiedGroupKFold)(5, shuffle=True, random_state=seed)
    meaning = (
        f"a classifier that sees {', '.join(shown)} and never asks the model must not tell members from "
        "non-members; somewhat below 0.5 is an artefact of cross-validation, far below it a sign of copies"
    )
    models = {"logistic regression": linear, "gradient boosting": boosted}
    if list(shown) == ["labels"]:
        del models["gradient boosting"]  # a weight for each label says all that there is to say
    controls = []
    for name, model in models.items():
        scores = cross_val_predict(model, x, truth, groups=whose, cv=folds, method="decision_function")
        of_people = asked.by_person(scores), asked.people.is_member
        least = MIRRORED if name == "gradient boosting" and "features" in shown else 0.0
        controls.append(control(f"blind classifier, {name}", *of_people, False, meaning, level, least))
    return controls, list(shown)


def warn(controls: list[Control], tested: list[str], warnings: list[str]) -> None:
    """Add a sentence for each kind of control that failed."""
    failed = {c.name: c for c in controls if not c.passed}
    classifiers = [c for name, c in failed.items() if name.startswith("blind classifier") and c.auc.low > 0.5]
    mirrored = [c for name, c in failed.items() if name.startswith("blind classifier") and c.auc.low <= 0.5]
    models = [c for name, c in failed.items() if name.startswith("blind model")]
    if classifiers:
        worst = max(classifiers, key=lambda c: c.auc.value)
        warnings.append(
            f"Members and non-members differ WITHOUT the model: a blind classifier that sees only "
            f"{', '.join(tested)} tells them apart with AUC {worst.auc}. Whatever an attack finds may be this "
            "difference and not membership. Take non-members from the members' distribution: hold out a random "
            "part before training."
        )
    if mirrored:
        warnings.append(
            f"Non-members mirror the members: a blind classifier, which never asks the model, takes them for the other kind "
            f"far more often than by luck (AUC {mirrored[0].auc}). So records of one group have copies, or near copies, in "
            "the other, or the groups were drawn in pairs. Take non-members that the model has not seen, each once."
        )
    if models:
        worst = max(models, key=lambda c: c.auc.value)
        warnings.append(
            f"The attack works on a blind model too ({worst.name}: AUC {worst.auc}), which knows nothing of "
            "the target's members: it recognises something else than membership."
        )
    if any(name.startswith("permuted") for name in failed):
        warnings.append(
            "An attack seems to work with permuted memberships. By luck that happens in fewer than one audit in "
            "a hundred; repeat with another seed, and if it stays, mistrust all figures."
        )


def draws(bank: ShadowBank, examples: Examples, level: float) -> Control | None:
    """Whether the number of reference models that had an example tells the target's members; None if all had as many."""
    counts = examples.by_person(bank.member_mask.sum(0))
    if counts.min() == counts.max():
        return None
    return control(
        "draws of the reference models",
        counts.astype(float),
        examples.people.is_member,
        True,
        "the number of reference models that had an example must not tell whether the target had it",
        level,
    )


def memberships_by_lot(people: People, rng: np.random.Generator) -> np.ndarray:
    """As many members as there are, drawn by lot, bool `[P]`; the lot goes with who somebody is, not with the place."""
    order, drawn = np.argsort(people.lots), np.empty_like(people.is_member)
    drawn[order] = rng.permutation(people.is_member[order])
    return drawn


def permuted(name: str, scores: np.ndarray, by_lot: np.ndarray, level: float) -> Control:
    """The attack, scores `[P]`, against memberships drawn by lot, bool `[P]`."""
    return control(
        f"permuted memberships, {name}",
        scores,
        by_lot,
        True,
        "with members drawn by lot after the fact no attack can work",
        level,
    )


def blind_models(
    names: Iterable[str], blind: Mapping[str, np.ndarray], is_member: np.ndarray, level: float
) -> list[Control]:
    """Attacks on a reference model, scores `[P]`, judged by the target's memberships `[P]`."""
    meaning = (
        "a reference model stands in for the target: if its members were drawn without looking at the target's, as is "
        "assumed, what is found there is not membership"
    )
    return [
        control(f"blind model, {name}", blind[name], is_member, False, meaning, level) for name in names if name in blind
    ]

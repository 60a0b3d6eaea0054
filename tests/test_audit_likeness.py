"""Reference models that were not trained as is said: on all records, or with a mask that is not theirs."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from test_audit import audit, with_shadows

from mia_helpers.audit import examples, likeness
from mia_helpers.audit.report import EVIDENCE
from mia_helpers.bank import ShadowBank


def said(y, is_member, given, person=None):
    bank = ShadowBank(given["shadow_logits"], given["member_mask"], y)
    return likeness.doubts(bank, given["logits"], examples.Examples.of(y, is_member, person=person))


@pytest.mark.parametrize("n_shadows", [3, 8, 16])
def test_models_of_one_training_are_hardly_ever_doubted(n_shadows):
    """Two sentences, each said in 1 of 1,000 audits: in 200 of them rarely more than once or twice."""
    alarms = [len(said(*with_shadows(seed, 300, n_shadows, leak=seed % 3))) for seed in range(200)]
    assert sum(alarms) <= 3


@pytest.mark.parametrize("seed", range(5))
def test_models_that_remember_nothing_beside_a_target_that_does(seed):
    doubts = said(*with_shadows(seed, 600, 12, leak=0.0, target_leak=3))
    assert len(doubts) == 1 and doubts[0].startswith("The reference models remember less than the target")
    assert not said(*with_shadows(seed, 600, 2, leak=0.0, target_leak=3)), "two models say nothing"


@pytest.mark.parametrize("seed", range(5))
def test_models_that_had_seen_what_they_are_said_not_to_have_seen(seed):
    y, is_member, given = with_shadows(seed, 600, 8)
    for z in given["shadow_logits"]:
        z[np.arange(600), y] += 5  # all records are like members
    doubts = said(y, is_member, given | {"member_mask": np.zeros((8, 600), bool)})
    assert len(doubts) == 1 and doubts[0].startswith("The reference models know too much")
    right = (given["logits"].argmax(1) == y)[~is_member].mean()
    assert f"the target's {right:.3f}" in doubts[0]


def test_people_count_and_not_their_rows():
    y, is_member, given = with_shadows(1, 600, 8, leak=0.0, target_leak=3)
    twice = {name: np.repeat(values, 4, axis=-2 if "logits" in name else -1) for name, values in given.items()}
    with_person = said(np.repeat(y, 4), np.repeat(is_member, 4), twice, np.repeat(np.arange(600), 4))
    assert with_person == said(y, is_member, given) != []


def test_a_fit_that_trains_on_all_it_finds_is_doubted_and_a_right_one_is_not():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(500, 5))
    y = np.where(rng.random(500) < 0.25, rng.integers(0, 2, 500), (x[:, 0] > 0).astype(int))
    is_member = rng.permutation(500) < 250
    new = {"n_estimators": 25, "n_jobs": 1}
    model = RandomForestClassifier(random_state=0, **new).fit(x[is_member], y[is_member])

    def right(inputs, labels, seed):
        return RandomForestClassifier(random_state=seed, **new).fit(inputs, labels)

    def of_all(inputs, labels, seed):
        return right(x, y, seed)

    given = {"model": model, "inputs": x, "n_shadows": 8, "n_jobs": 1, "at_fpr": 0.05}
    honest = audit(y, is_member, fit=right, **given)
    assert honest.status == EVIDENCE and not any("The reference models" in warning for warning in honest.warnings)
    wrong = audit(y, is_member, fit=of_all, **given)
    assert any("The reference models know too much" in warning for warning in wrong.warnings)

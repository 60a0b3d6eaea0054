"""Several rows of one person: people are counted, not rows."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from test_audit import audit, outputs, with_shadows

from mia_helpers import signals
from mia_helpers.audit import examples
from mia_helpers.audit.report import EVIDENCE, NO_EVIDENCE
from mia_helpers.inputs import InputError, InputTypeError
from mia_helpers.metrics import auc, true_positives_at_fpr
from mia_helpers.shadows import train_shadows

LEARNT = {"output classifier", "shadow classifier"}  # trained on rows, so that copies of rows change them


def clinic(seed, n_people=100, n_rows=20, leak=0.0, n_classes=3, alike=2.0):
    """Labels, memberships, logits and people: all rows of a person are as easy or hard as the person is."""
    rng = np.random.default_rng(seed)
    n = n_people * n_rows
    person = rng.permutation(np.repeat(np.arange(n_people), n_rows))
    is_member = (rng.permutation(n_people) < n_people // 2)[person]
    y = rng.integers(0, n_classes, n)
    z = rng.normal(0, 1, (n, n_classes))
    z[np.arange(n), y] += 2 + rng.normal(0, alike, n_people)[person] + leak * is_member
    return y, is_member, z, person


def test_without_a_leak_people_with_many_rows_give_no_evidence_and_rows_would():
    found = {"person": 0, "rows": 0}
    for seed in range(40):
        y, is_member, z, person = clinic(seed)
        found["person"] += audit(y, is_member, logits=z, person=person, at_fpr=0.2, seed=seed).status == EVIDENCE
        found["rows"] += audit(y, is_member, logits=z, at_fpr=0.2, seed=seed).status == EVIDENCE
    assert found["person"] <= 4 and found["rows"] >= 8, found  # 5 % of 40 are 2


def test_a_person_is_the_mean_of_its_rows():
    y, is_member, z, person = clinic(0, leak=1.5)
    report = audit(y, is_member, logits=z, person=person, at_fpr=0.2)
    phi = signals.logit_confidence(z, y)
    means, members = [], []
    for who in range(100):
        rows = [i for i in range(2000) if person[i] == who]
        means.append(sum(phi[i] for i in rows) / len(rows))
        members.append(bool(is_member[rows[0]]))
    means, members = np.array(means), np.array(members)
    loss = report.attacks["loss"]
    assert (report.n_members, report.n_non_members, report.n_rows) == (50, 50, 2000)
    assert (loss.n_members, loss.n_non_members) == (50, 50)
    assert loss.auc.value == pytest.approx(auc(means, members).value)
    assert loss.tpr_at_fpr[0.2].value == true_positives_at_fpr(means, members, 0.2) / 50
    right = [np.mean([z[i].argmax() == y[i] for i in range(2000) if person[i] == who]) for who in range(100)]
    assert report.accuracy["members"].value == pytest.approx(np.mean(np.array(right)[members]))
    top = report.exposed[0]
    assert is_member[top.index] and top.label == y[top.index]
    assert "50 members, 50 non-members (2,000 rows)" in report.summary()
    assert any("People are counted, not their 2,000 rows" in line for line in report.assumptions)
    assert any("pass person" in line for line in audit(y, is_member, logits=z, at_fpr=0.2).assumptions)


def test_copies_of_rows_change_nothing():
    y, is_member, given = with_shadows(1)
    group = np.random.default_rng(0).choice(["a", "b"], 400)
    one = audit(y, is_member, group=group, at_fpr=0.05, **given)
    copies = np.repeat(np.arange(400), np.random.default_rng(1).integers(1, 6, 400))
    many = audit(
        y[copies],
        is_member[copies],
        group=group[copies],
        person=copies,
        at_fpr=0.05,
        logits=given["logits"][copies],
        shadow_logits=given["shadow_logits"][:, copies],
        member_mask=given["member_mask"][:, copies],
    )
    assert (many.n_members, many.level, many.status) == (one.n_members, one.level, one.status)
    for name in set(one.attacks) - LEARNT - {"LiRA online", "LiRA offline"}:  # LiRA's common variances count rows
        assert many.attacks[name].auc.value == pytest.approx(one.attacks[name].auc.value, abs=1e-3), name
        assert many.attacks[name].auc.low == pytest.approx(one.attacks[name].auc.low, abs=1e-3)
    assert [(s.value, s.n_members, s.n_non_members) for s in many.slices] == [
        (s.value, s.n_members, s.n_non_members) for s in one.slices
    ]
    draws = [[c.auc.value for c in r.controls if c.name.startswith("draws")] for r in (one, many)]
    assert draws[0] == pytest.approx(draws[1])


def test_slices_count_people_by_their_rows_in_the_slice():
    y, is_member, z, person = clinic(2, leak=1.0)
    group = np.random.default_rng(0).choice(["a", "b"], 2000, p=[0.9, 0.1])
    report = audit(y, is_member, logits=z, group=group, person=person, at_fpr=0.2)
    found = next(s for s in report.slices if s.value == "b")
    inside = {who: [i for i in np.flatnonzero(person == who) if group[i] == "b"] for who in range(100)}
    inside = {who: rows for who, rows in inside.items() if rows}
    assert found.n_members == sum(is_member[rows[0]] for rows in inside.values())
    phi = signals.logit_confidence(z, y)
    means, members = zip(*((phi[rows].mean(), is_member[rows[0]]) for rows in inside.values()))
    of_loss = examples.Examples.of(y, is_member, group, None, person)
    part = next(part for part in of_loss.parts() if part.value == "b")
    np.testing.assert_allclose(np.sort(part.of(phi)), np.sort(means))
    assert part.is_member.sum() == sum(members)


def test_results_depend_neither_on_the_order_of_rows_nor_on_the_names_of_people():
    y, is_member, z, person = clinic(3, leak=1.0)
    order = np.random.default_rng(0).permutation(2000)
    one = audit(y, is_member, logits=z, person=person, features=z, at_fpr=0.2)
    names = np.array([f"patient {(7 * who) % 101}" for who in person])
    other = audit(y[order], is_member[order], logits=z[order], person=names[order], features=z[order], at_fpr=0.2)
    assert one.verdict == other.verdict and one.level == other.level
    for name, report in one.attacks.items():
        assert (report.auc.value, report.advantage.value) == pytest.approx(
            (other.attacks[name].auc.value, other.attacks[name].advantage.value), abs=1e-6
        )
    assert [x.index for x in one.exposed] == [order[x.index] for x in other.exposed]
    assert one.epsilon == pytest.approx(other.epsilon)


def test_the_blind_classifier_does_not_recognise_people():
    """Features that name the person would tell members by heart, if rows of one person stood in several folds."""
    y, is_member, z, person = clinic(4, n_people=60)
    x = np.random.default_rng(0).normal(size=(60, 8))[person]
    report = audit(y, is_member, logits=z, person=person, features=x, at_fpr=0.4)
    assert report.status == NO_EVIDENCE and all(c.passed for c in report.controls)
    assert not all(c.passed for c in audit(y, is_member, logits=z, features=x, at_fpr=0.4).controls)


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (lambda person, m: np.zeros(2000, dtype=int), InputError, "1 of 1 people have rows among the members and"),
        (lambda person, m: person[:-1], InputError, r"person must have shape \[2000\]"),
        (lambda person, m: np.where(person == 3, np.nan, person), InputError, "missing in 20 of 2000 rows"),
        (lambda person, m: pd.Series(np.where(person == 3, None, person.astype(str))), InputError, "missing in 20"),
        (lambda person, m: pd.Series(person, index=range(1, 2001)), InputError, "different indices"),
        (lambda person, m: m.astype(int), InputError, "at least 20 members and 20 non-members, got 1 and 1"),
    ],
)
def test_people_that_do_not_fit(spoil, error, words):
    y, is_member, z, person = clinic(5)
    with pytest.raises(error, match=words):
        audit(pd.Series(y), is_member, logits=z, person=spoil(person, is_member), at_fpr=0.2)


def test_reference_models_are_trained_on_whole_people():
    y, is_member, z, person = clinic(6, n_people=50, n_rows=6)
    seen = []

    def fit(x, labels, seed):
        seen.append(sorted(map(tuple, x)))
        return LogisticRegression().fit(x, labels)

    report = audit(y, is_member, logits=z, inputs=z, person=person, fit=fit, n_shadows=4, n_jobs=1, at_fpr=0.4)
    assert report.n_shadows == 4
    whose = {tuple(row): who for row, who in zip(z, person)}
    for rows in seen:
        people = [whose[row] for row in rows]
        assert len(rows) == 6 * len(set(people)) == 6 * 25


def test_a_farm_draws_people():
    person = np.random.default_rng(0).permutation(np.repeat([5, 7, 9, 11], [1, 2, 3, 4]))
    x, y = np.arange(10.0)[:, None], np.arange(10) % 2
    settings = {"fit": lambda a, b, seed: lambda c: None, "answer": lambda model, c: np.zeros((10, 2)), "n_jobs": 1}
    bank = train_shadows(40, x, y, person=person, progress=False, **settings)
    shares = np.stack([bank.member_mask[:, person == who].mean(1) for who in (5, 7, 9, 11)])
    assert set(shares.ravel()) == {0.0, 1.0} and (shares.sum(0) == 2).all()
    assert (shares.mean(1) > 0.2).all() and (shares.mean(1) < 0.8).all()
    pairs = train_shadows(4, x, y, person=person, in_pairs=True, progress=False, **settings)
    assert (pairs.member_mask[::2] != pairs.member_mask[1::2]).all()
    with pytest.raises(InputTypeError, match="person must be integers"):
        train_shadows(2, x, y, person=person * 1.0, progress=False, **settings)
    with pytest.raises(TypeError, match="n_candidates counts examples"):
        train_shadows(2, x, y, person=person, n_candidates=5, progress=False, **settings)
    with pytest.raises(ValueError, match="n_members must lie in 1 … 4"):
        train_shadows(2, x, y, person=person, n_members=5, progress=False, **settings)


def test_a_leak_is_found_with_people():
    y, is_member, z, person = clinic(8, leak=2.0, alike=0.5)
    assert audit(y, is_member, logits=z, person=person, at_fpr=0.2).status == EVIDENCE
    y, is_member, z = outputs(0, 1000, leak=2)
    with_names = audit(y, is_member, logits=z, person=np.arange(1000), at_fpr=0.05)
    without = audit(y, is_member, logits=z, at_fpr=0.05)
    assert with_names.status == without.status == EVIDENCE
    assert with_names.attacks["loss"].auc == without.attacks["loss"].auc

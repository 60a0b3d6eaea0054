"""Non-members that are members: the same rows in both groups are counted, by features or by answers."""

import numpy as np
import pytest
from scipy.special import softmax
from test_audit import audit, outputs

from mia_helpers.audit import copies, examples
from mia_helpers.audit.report import EVIDENCE, NO_EVIDENCE, NOT_COMPARABLE


def pool(seed=0, n=500):
    """Labels, memberships, answers with a leak, features."""
    y, is_member, z = outputs(seed, n, leak=1.5)
    return y, is_member, z, np.random.default_rng(seed + 50).normal(size=(n, 4))


def report_of(rows, is_member, with_features, kind="logits", seed=0, **more):
    y, _, z, x = pool(seed)
    given = {"logits": z[rows]} if kind == "logits" else {"probabilities": softmax(z, 1)[rows]}
    return audit(y[rows], is_member, features=x[rows] if with_features else None, at_fpr=0.05, **given, **more)


@pytest.mark.parametrize("with_features", [False, True])
@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_members_that_are_given_as_non_members_are_noticed(with_features, kind):
    """The same model, honestly: evidence. With members as non-members there is no leak to see, and nothing else says so."""
    members = np.flatnonzero(pool()[1])
    rows = np.r_[members, members[:200]]
    is_member = np.arange(len(rows)) < len(members)
    report = report_of(rows, is_member, with_features, kind)
    assert report.attacks["loss"].auc.low < 0.5 and report.status == NOT_COMPARABLE
    by = "features and label" if with_features else "answer and label"
    first = f"200 of 200 non-members have the {by} of a member (position 250 that of 0, counted from 0)"
    assert report.slips[0].startswith(first) and report.warnings[0] == report.slips[0]
    honest = report_of(np.arange(500), pool()[1], with_features, kind)
    assert honest.status == EVIDENCE and not honest.slips and not any("have the" in w for w in honest.warnings)


def test_member_rows_that_stand_among_the_non_members_too_are_noticed():
    _, is_member, *_ = pool()
    members = np.flatnonzero(is_member)
    rows = np.r_[np.arange(500), members[:100], members[:100]]
    report = report_of(rows, np.r_[is_member, np.zeros(200, bool)], True)
    assert report.status == NOT_COMPARABLE and report.slips[0].startswith("200 of 450 non-members")
    assert "non-members that are members, or records that stand twice" in report.slips[0]


@pytest.mark.parametrize("with_features", [False, True])
def test_a_few_copies_are_a_warning(with_features):
    _, is_member, *_ = pool()
    rows = np.r_[np.arange(500), np.flatnonzero(is_member)[:6]]
    report = report_of(rows, np.r_[is_member, np.zeros(6, bool)], with_features)
    assert report.status == EVIDENCE and not report.slips
    warned = [w for w in report.warnings if "6 of 256 non-members have the features and label of a member" in w]
    assert len(warned) == with_features, "six equal answers may be by chance, six equal records are worth a look"


@pytest.mark.parametrize(("n", "status"), [(24, EVIDENCE), (30, NOT_COMPARABLE)])
def test_so_many_copies_as_a_rate_cannot_bear_are_a_slip(n, status):
    y, is_member, z = outputs(1, 1000, leak=1.5)
    rows = np.r_[np.arange(1000), np.flatnonzero(is_member)[:n]]
    report = audit(y[rows], np.r_[is_member, np.zeros(n, bool)], logits=z[rows], at_fpr=0.05)
    assert report.status == status and report.warnings[0].startswith(f"{n} of {500 + n} non-members")


def test_a_pool_in_which_all_stand_twice_and_members_were_drawn_by_lot_is_a_warning():
    y, _, z, x = pool()
    rows = np.r_[np.arange(250), np.arange(250)]
    is_member = np.random.default_rng(1).permutation(500) < 250
    report = audit(y[rows], is_member, logits=z[rows], features=x[rows], at_fpr=0.05)
    assert not report.slips and any("If these are the same records" in warning for warning in report.warnings)


def test_equal_rows_by_nature_are_no_copies():
    """Coarse features, labels as answers, saturated answers, leaking ones: hardly a false alarm in 120 audits."""
    alarms = []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        n, share = 600, rng.choice([0.1, 0.3, 0.5, 0.9])
        y, is_member = rng.integers(0, 3, n), rng.random(n) < share
        sure = rng.random(n) < np.where(is_member, 0.9, 0.4)
        p = np.where(sure[:, None], np.eye(3)[y], np.round(rng.dirichlet(np.ones(3), n), int(rng.integers(1, 3))))
        x = rng.integers(0, 3, (n, 3)).astype(float) if seed % 2 else None
        found = copies.found(examples.Examples.of(y, is_member, None, x), p)
        alarms.append(found is not None)
    assert sum(alarms) == 0


def test_the_rate_of_false_alarms_is_bounded_whatever_the_groups_are_like():
    """Rows that are equal by chance: values of another frequency in each group, so that equal ones are often of one kind."""
    values = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        is_member = rng.permutation(300) < rng.choice([30, 150])
        codes = np.where(is_member, rng.integers(0, 150, 300), rng.integers(50, 400, 300))
        asked = examples.Examples.of(np.zeros(300, int), is_member)
        values.append(copies._p_value([int(code) for code in codes], asked))
    assert all(np.mean(np.array(values) <= level) <= level + 2 * np.sqrt(level / 400) for level in (0.01, 0.05, 0.2))


def test_a_persons_own_copies_say_nothing_and_copies_of_other_people_do():
    y, is_member, z, x = pool()
    twice = np.r_[np.arange(500), np.arange(500)]
    own = audit(y[twice], is_member[twice], logits=z[twice], features=x[twice], person=twice, at_fpr=0.05)
    assert own.status == EVIDENCE and not any("have the features" in warning for warning in own.warnings)
    members = np.flatnonzero(is_member)
    rows = np.r_[members, members]
    other = audit(y[rows], np.arange(500) < 250, logits=z[rows], features=x[rows], person=np.arange(500) // 2, at_fpr=0.1)
    assert other.status == NOT_COMPARABLE and other.slips[0].startswith("250 of 250")


def test_minus_zero_is_zero_and_another_label_is_another_record():
    y, is_member = np.zeros(4, int), np.array([True, False, True, False])
    same = examples.Examples.of(y, is_member, None, np.array([[0.0], [-0.0], [1.0], [2.0]]))
    assert copies.found(same, np.zeros((4, 2))).n == 1
    other = examples.Examples.of(np.array([0, 1, 0, 0]), is_member, None, np.array([[0.0], [-0.0], [1.0], [2.0]]))
    assert copies.found(other, np.zeros((4, 2))) is None


def test_near_copies_are_noticed_by_a_blind_classifier_that_is_wrong_too_often():
    y, is_member, z, x = pool()
    members = np.flatnonzero(is_member)
    rows = np.r_[members, members]
    near = x[rows] + np.random.default_rng(3).normal(0, 1e-3, (500, 4))
    report = audit(y[rows], np.arange(500) < 250, logits=z[rows] + near[:, :4] * 1e-3, features=near, at_fpr=0.05)
    failed = [control for control in report.controls if not control.passed]
    assert [control.name for control in failed] == ["blind classifier, gradient boosting"] and failed[0].auc.high < 0.4
    assert report.status == NOT_COMPARABLE and any("Non-members mirror the members" in w for w in report.warnings)
    assert any("gradient boosting” (AUC 0." in line for line in report.advice)


def test_a_stratified_split_does_not_fail_the_blind_classifier():
    """Labels that are equally frequent in both groups bring the linear one well below 0.5; this is no slip."""
    lowest = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        y = np.repeat(np.arange(50), 20)
        is_member = np.concatenate([rng.permutation(20) < 10 for _ in range(50)])
        z = rng.normal(size=(1000, 50)) + 3 * np.eye(50)[y]
        report = audit(y, is_member, logits=z, features=rng.normal(size=(1000, 5)), at_fpr=0.05)
        assert report.status == NO_EVIDENCE and all(control.passed for control in report.controls)
        lowest.append(min(control.auc.value for control in report.controls))
    assert min(lowest) < 0.4

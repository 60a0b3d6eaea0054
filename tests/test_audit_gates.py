"""A gate opens only where its rate means something: not on tied answers, not on groups that differ."""

import re

import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier
from test_audit import M, Y, Z, audit, outputs, save, with_shadows

from mia_helpers.audit import gates, main
from mia_helpers.audit.report import EVIDENCE, NO_EVIDENCE, NOT_COMPARABLE
from mia_helpers.inputs import InputError


def grown(seed=0, n=1600):
    """A fully grown tree on noisy labels: labels, memberships, probabilities that are 0 or 1, and what it looks at."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6))
    y = np.where(rng.random(n) < 0.3, rng.integers(0, 3, n), np.digitize(x[:, 0], (-0.5, 0.5)))
    is_member = rng.permutation(np.arange(n) < n // 2)
    return y, is_member, DecisionTreeClassifier(random_state=0).fit(x[is_member], y[is_member]).predict_proba(x), x


def lot(scores, is_member, fpr, rng):
    """The TPR if the people with the highest scores are accused, equal ones by lot, until no more non-members may be."""
    order = np.lexsort((rng.random(len(scores)), -scores))
    n_allowed, accused = int(np.floor(fpr * (~is_member).sum() + 1e-9)), []
    for i in order:
        if not is_member[i] and n_allowed == 0:
            break
        n_allowed -= not is_member[i]
        accused.append(is_member[i])
    return sum(accused) / is_member.sum()


@pytest.mark.parametrize("fpr", [0.01, 0.1, 0.3])
def test_ties_are_worth_what_a_lot_among_equals_brings(fpr):
    rng = np.random.default_rng(1)
    is_member = np.arange(900) < 400
    scores = np.minimum(np.round(rng.normal(size=900) + is_member, 0), 1.0)
    found = gates.ties(scores, is_member, fpr)
    score = np.sort(scores[~is_member])[::-1][int(fpr * 500)]
    assert (found.fpr, found.tpr) == ((scores[~is_member] >= score).mean(), (scores[is_member] >= score).mean())
    assert found.at_the_top == (score == 1.0)
    # A lot that stops at the first non-member too many accuses, of those above it, on average a half-step more.
    lots = [lot(scores, is_member, fpr, rng) for _ in range(300)]
    assert found.by_lot == pytest.approx(np.mean(lots), abs=0.004)


def test_scores_without_ties_have_none():
    rng = np.random.default_rng(2)
    scores, is_member = rng.normal(size=400), np.arange(400) < 200
    assert gates.ties(scores, is_member, 0.05) is None and gates.ties(scores, is_member, 0.999999) is None
    assert gates.ties(scores, is_member, 1 - 1e-12) is None
    assert gates.ties(np.where(is_member, 1.0, scores), is_member, 0.05) is None, "members' ties cost nothing"


@pytest.mark.parametrize("with_features", [False, True])
def test_a_gate_on_a_tpr_does_not_open_on_the_leakiest_tree(with_features):
    y, is_member, p, x = grown()
    report = audit(y, is_member, probabilities=p, features=x if with_features else None, at_fpr=0.02)
    assert report.status == EVIDENCE and report.attacks["loss"].auc.low > 0.6
    assert report.attacks["loss"].tpr_at_fpr[0.02].value == 0 and report.tpr.value < 0.2
    sure = 100 * (p[~is_member, y[~is_member]] == 1).mean()
    said = f"{sure:.3g} % of the non-members"
    assert any(said in warning and "Answers are tied" in warning for warning in report.warnings)
    assert report.gate(0.2).startswith("gate undecided: ") and said in report.gate(0.2)
    assert "--fail-above-auc" in report.gate(0.2)
    with pytest.raises(InputError, match="the gate is undecided: .*answers are tied"):
        report.exceeds(0.2)
    assert report.exceeds_auc(0.6) and report.gate_auc(0.6).startswith("gate SHUT: AUC 0.") and not report.exceeds_auc(0.99)
    # The way out that the line names: at an FPR that the ties allow there is a rate, and the gate shuts.
    at = float(re.search(r"--at-fpr (\S+)", report.gate(0.2)).group(1))
    assert sure / 100 <= at <= sure / 100 + 0.01
    assert audit(y, is_member, probabilities=p, at_fpr=at).exceeds(0.9)


def test_a_gate_does_not_open_on_a_rate_that_a_lot_among_equals_lifts_above_the_limit():
    y, is_member, z = outputs(3, 2000)
    rng = np.random.default_rng(3)
    sure = np.where(is_member, rng.random(2000) < 0.4, rng.random(2000) < 0.03)
    z[sure] = 0
    z[sure, y[sure]] = 30  # 3 % of the non-members, 40 % of the members: the same score
    report = audit(y, is_member, logits=z, at_fpr=0.01)
    found, value = report.ties["loss"], report.tpr.value
    assert value < 0.12 < found.by_lot < 0.2 and found.tpr > 0.39  # ten of 21 may be accused: about half of 40 %
    assert "0.12) if of those with equal scores (loss) some are accused by lot" in report.undecided(0.12)
    assert report.gate(0.12).startswith("gate undecided") and report.gate(value - 0.001).startswith("gate SHUT")


def test_tied_answers_without_a_leak_leave_a_gate_open():
    rng = np.random.default_rng(4)
    y, is_member = rng.integers(0, 3, 1200), rng.permutation(np.arange(1200) < 600)
    report = audit(y, is_member, probabilities=np.eye(3)[np.where(rng.random(1200) < 0.7, y, (y + 1) % 3)], at_fpr=0.02)
    assert report.status == NO_EVIDENCE and report.ties["loss"].at_the_top
    assert report.undecided(0.05) is None and report.gate(0.05).startswith("gate open") and not report.exceeds(0.05)


def test_an_attack_that_gets_round_the_ties_decides():
    """LiRA tells members by reference models although the answers are tied: then the rate means something."""
    y, is_member, given = with_shadows(5, 1000, n_shadows=16, leak=3)
    for z in (given["logits"], *given["shadow_logits"]):
        top = z[np.arange(1000), y] - np.sort(z, 1)[:, -2]
        sure = top > np.quantile(top, 0.85)
        z[sure] = 0
        z[sure, y[sure]] = 30
    report = audit(y, is_member, at_fpr=0.02, **given)
    assert report.ties["loss"].at_the_top and report.attacks["loss"].auc.low > 0.5 and report.tpr.low > 0.02
    assert report.undecided(0.99) is None and report.gate(report.tpr.value).startswith("gate open")


def test_a_gate_on_groups_that_differ_is_undecided():
    shifted = np.where(M, 1.0, 0.0) + np.random.default_rng(0).normal(size=400)
    report = audit(Y, M, logits=Z, features=shifted, at_fpr=0.05)
    assert report.status == NOT_COMPARABLE
    for asked in (report.exceeds, report.exceeds_auc):
        with pytest.raises(InputError, match='undecided: the audit says "not comparable"'):
            asked(0.6)
    assert report.gate(0.6) == report.gate_auc(0.6) == 'gate undecided: the audit says "not comparable"'
    for limit in (0.4, 1.1, float("nan")):
        with pytest.raises(InputError, match="AUC in"):
            report.exceeds_auc(limit)


def test_exit_codes_of_gates(tmp_path, capsys):
    y, is_member, p, _ = grown()
    tree = str(tmp_path / "tree.npz")
    np.savez(tree, labels=y, is_member=is_member, probabilities=p)
    ask = [tree, "--at-fpr", "0.02"]
    assert main([*ask, "--fail-above-tpr", "0.2"]) == 2
    printed = capsys.readouterr()
    assert "gate undecided: the TPR is 0 because answers are tied" in printed.out.splitlines()[-1]
    assert printed.err == "error: a gate is undecided, which is not open\n"
    assert main([*ask, "--fail-above-auc", "0.6"]) == 1
    assert "gate SHUT: AUC" in capsys.readouterr().out
    assert main([*ask, "--fail-above-auc", "0.99"]) == 0
    assert "gate open: AUC" in capsys.readouterr().out
    assert main([*ask, "--fail-above-tpr", "0.2", "--fail-above-auc", "0.6"]) == 1, "shut counts first"
    assert main([*ask, "--fail-above-tpr", "0.2", "--fail-above-auc", "0.99"]) == 2
    assert main([*ask, "--fail-above-auc", "0.3"]) == 2
    assert "--fail-above-auc must lie in [0.5, 1]" in capsys.readouterr().err
    shifted = save(tmp_path / "b.npz", features=np.where(M, 1.0, 0.0) + np.random.default_rng(0).normal(size=400))
    for gate in ("--fail-above-tpr", "--fail-above-auc"):
        assert main([shifted, "--at-fpr", "0.05", gate, "0.9"]) == 2, "without --strict, too"
        assert "not comparable" in capsys.readouterr().out.splitlines()[-1]

"""Audits of simulated models whose truth is known: do the intervals hold, and are there no alarms without a leak?

Binary models with φ ~ N(centre + shift · member, 1), so that AUC, TPR and advantage of each attack on outputs are known. The
trees of the output classifier are small here, for speed; its figures have no known truth.
"""

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from test_audit import audit, with_shadows

from mia_helpers import attacks, signals
from mia_helpers.audit import examples, measuring
from mia_helpers.audit.report import EVIDENCE, NO_EVIDENCE, NOT_COMPARABLE
from mia_helpers.bank import ShadowBank
from mia_helpers.metrics import auc, best_guesses, one_run_epsilon

CENTRE = 0.7
ON_PHI, ON_SIZE = ("loss", "modified entropy", "hinge"), ("max confidence", "entropy")
GRID = np.linspace(-12, 14, 20001)


@pytest.fixture(autouse=True)
def _small_trees(monkeypatch):
    def small(seed):
        return HistGradientBoostingClassifier(max_iter=3, max_leaf_nodes=4, early_stopping=False, random_state=seed)

    monkeypatch.setattr(attacks, "boosted_trees", small)


def simulated(seed, n, shift, n_members=None):
    rng = np.random.default_rng(seed)
    y, is_member = rng.integers(0, 2, n), rng.permutation(np.arange(n) < (n_members or n // 2))
    phi = rng.normal(CENTRE + shift * is_member, 1)
    return y, is_member, np.stack([np.zeros(n), (2 * y - 1) * phi], axis=1)


def above(name, t, shift):
    """The chance that a score of this attack is at least t, for φ ~ N(CENTRE + shift, 1)."""
    mean = CENTRE + shift
    if name == "gap":  # scores 0 and 1
        return np.where(t <= 0, 1.0, np.where(t <= 1, norm.sf(-mean), 0.0))
    if name in ON_PHI:
        return norm.sf(_phi(name, t) - mean)
    size = _phi("max confidence" if name == "max confidence" else "entropy", t)
    return norm.sf(size - mean) + norm.cdf(-size - mean)


def _phi(name, t):
    """The φ (or, for attacks that do not know the label, |φ|) at which the attack's score is t; by a table."""
    if not np.isfinite(t):
        return np.inf if t > 0 else -np.inf
    signal = {
        "loss": signals.logit_confidence,
        "hinge": signals.hinge,
        "modified entropy": signals.negative_modified_entropy,
        "max confidence": signals.max_confidence,
        "entropy": signals.negative_entropy,
    }[name]
    grid = GRID if name in ON_PHI else GRID[GRID >= 0]
    scores = signal(np.stack([np.zeros_like(grid), grid], axis=1), np.ones(len(grid), dtype=int))
    return float(np.interp(t, scores, grid, left=-np.inf if name in ON_PHI else 0.0, right=np.inf))


def true_auc(name, shift):
    if name == "gap":
        return 0.5 + (norm.sf(-CENTRE - shift) - norm.sf(-CENTRE)) / 2
    if name in ON_PHI:
        return norm.cdf(shift / np.sqrt(2))
    sizes, step = np.linspace(0, 12, 24001, retstep=True)
    density = (norm.pdf(sizes - CENTRE) + norm.pdf(-sizes - CENTRE)) * step  # of a non-member's |φ|
    beyond = norm.sf(sizes - CENTRE - shift) + norm.cdf(-sizes - CENTRE - shift)
    return float((density * beyond).sum() - (density[0] * beyond[0] + density[-1] * beyond[-1]) / 2)


def true_tpr(name, fpr, shift):
    if name == "gap":
        return float(norm.sf(-CENTRE - shift)) if norm.sf(-CENTRE) <= fpr else 0.0
    if name in ON_PHI:
        return norm.sf(norm.isf(fpr) - shift)
    sizes = np.linspace(0, 12, 24001)
    false = norm.sf(sizes - CENTRE) + norm.cdf(-sizes - CENTRE)
    size = sizes[np.argmax(false <= fpr)]
    return norm.sf(size - CENTRE - shift) + norm.cdf(-size - CENTRE - shift)


def statements(report, shift):
    """Whether each statement whose truth is known holds: name -> bool."""
    held = {}
    for name in ("gap", *ON_PHI, *ON_SIZE):
        found = report.attacks[name]
        t = found.threshold
        advantage = above(name, t, shift) - above(name, t, 0)
        share = report.n_members / (report.n_members + report.n_non_members)
        accuracy = share * above(name, t, shift) + (1 - share) * (1 - above(name, t, 0))
        known = [(f"{name} AUC", found.auc, true_auc(name, shift)), (f"{name} advantage", found.advantage, advantage)]
        known += [(f"{name} accuracy", found.accuracy, accuracy)]
        known += [(f"{name} TPR at {fpr}", rate, true_tpr(name, fpr, shift)) for fpr, rate in found.tpr_at_fpr.items()]
        held |= {what: bool(e.low - 1e-6 <= truth <= e.high + 1e-6) for what, e, truth in known}
    for who, extra in (("members", shift), ("non-members", 0)):
        held[f"accuracy on {who}"] = report.accuracy[who].low <= norm.sf(-CENTRE - extra) <= report.accuracy[who].high
    for s in report.slices:
        if s.attack in ON_PHI:
            held[f"class {s.value}"] = s.auc.low <= true_auc("loss", shift) <= s.auc.high
    return held


def test_the_truths_are_true():
    """The formulae above against one large draw."""
    for shift in (0.0, 0.8):
        y, is_member, z = simulated(0, 400_000, shift)
        report = audit(y, is_member, logits=z, at_fpr=0.01)
        for name in ("gap", *ON_PHI, *ON_SIZE):
            assert report.attacks[name].auc.value == pytest.approx(true_auc(name, shift), abs=0.005)
            assert report.attacks[name].tpr_at_fpr[0.01].value == pytest.approx(true_tpr(name, 0.01, shift), abs=0.005)


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.5])
@pytest.mark.parametrize(("n", "n_members", "rounds"), [(60, 30, 60), (300, 80, 40), (1200, 600, 20)])
def test_all_statements_hold_together(n, n_members, rounds, shift):
    """Bonferroni's level is cautious, so nearly always; each single interval holds in 94 % and more, all in 94 %, too."""
    misses, wrong = [], 0
    for seed in range(rounds):
        y, is_member, z = simulated(1000 * seed + n, n, shift, n_members)
        held = statements(audit(y, is_member, logits=z, at_fpr=0.4 if n == 60 else 0.1, seed=seed), shift)
        wrong += not all(held.values())
        misses += [name for name, holds in held.items() if not holds]
    assert wrong <= max(1, round(0.06 * rounds)), (wrong, misses)


@pytest.mark.parametrize("kind", ["20 classes", "5 groups", "people", "plain"])
def test_without_a_leak_there_is_no_alarm(kind):
    statuses, rounds = [], 60
    for seed in range(rounds):
        rng = np.random.default_rng(seed)
        n, n_classes = 1200, 20 if kind == "20 classes" else 3
        person = np.repeat(np.arange(200), 6) if kind == "people" else np.arange(n)
        is_member = (rng.permutation(person.max() + 1) % 2 == 0)[person]
        y = rng.integers(0, n_classes, n)
        z = rng.normal(0, 2, (n, n_classes))
        z[np.arange(n), y] += 2 + rng.normal(0, 2, person.max() + 1)[person]
        more = {"group": rng.integers(0, 5, n)} if kind == "5 groups" else {"person": person} if kind == "people" else {}
        statuses.append(audit(y, is_member, logits=z, at_fpr=0.1, seed=seed, **more).status)
    assert statuses.count(EVIDENCE) <= 3 and statuses.count(NOT_COMPARABLE) <= 3


def test_thresholds_are_not_chosen_where_they_are_counted():
    """Without a leak the advantage on the other half is 0 on average; on the half of the choice it would be more."""
    found = []
    for seed in range(150):
        y, is_member, z = simulated(seed, 100, 0.0)
        report = audit(y, is_member, logits=z, at_fpr=0.2, seed=seed)
        assert set(report.threshold_from.values()) == {"calibration half", "log-odds 0"}
        found.append([report.attacks[name].advantage.value for name in ("loss", "entropy")])
    mean, error = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(len(found))
    assert (np.abs(mean) < 4 * error).all() and (error < 0.015).all(), (mean, error)


def test_epsilon_is_counted_on_the_other_half():
    rng = np.random.default_rng(0)
    is_member = np.arange(4000) % 2 == 0
    people = examples.People(is_member, rng.random(4000))
    for coins in (False, True):
        half = people.drawn_half if coins else people.first_half
        told = is_member.astype(float)
        noise = rng.random(4000)
        only_first, only_second = np.where(half, told, noise), np.where(half, noise, told)
        bound = {
            name: measuring.epsilon({"one": scores}, people, 0.0, 0.95, coins)[0]
            for name, scores in (("first", only_first), ("second", only_second), ("both", told), ("none", noise))
        }
        assert bound["first"] < 0.3 and bound["none"] < 0.3 and bound["both"] > 3
    assert (
        measuring.epsilon({"one": told}, people, 0.0, 0.95, False)[0]
        > measuring.epsilon({"one": told}, people, 0.0, 0.999, False)[0]
    )


def test_with_coins_the_halves_are_drawn_without_a_look_at_the_memberships():
    by_kind = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        people = examples.People(rng.random(101) < 0.5, rng.random(101))
        scores = people.is_member + rng.normal(size=101) / 2

        def bound(half, scores=scores, people=people):
            guesses = best_guesses(scores[half], people.is_member[half], 0.0, 0.95)
            return one_run_epsilon(scores[~half], people.is_member[~half], guesses, 0.0, 0.95)

        found = measuring.epsilon({"one": scores}, people, 0.0, 0.95, True)[0]
        assert found == bound(people.lots < np.sort(people.lots)[50])
        by_kind.append(found == bound(people.first_half))
    assert not all(by_kind)


def test_an_interval_just_below_chance_is_noticed():
    y, is_member, z = simulated(0, 4000, 0.4)
    report = audit(y, ~is_member, logits=z, at_fpr=0.05)
    assert 0.4 < report.attacks["loss"].auc.high < 0.5
    assert report.status == NOT_COMPARABLE and "loss" in report.slips[0]


def test_small_gradients_say_member():
    rng = np.random.default_rng(0)
    x, y, is_member = rng.normal(size=(200, 120)).astype(np.float32), rng.integers(0, 2, 200), np.arange(200) < 100
    fitted = LogisticRegression(C=1000, max_iter=2000).fit(x[is_member], y[is_member])
    model = torch.nn.Linear(120, 2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor(np.concatenate([0 * fitted.coef_, fitted.coef_])))
        model.bias.copy_(torch.tensor(np.concatenate([[0.0], fitted.intercept_])))
    report = audit(y, is_member, model=model, inputs=x, white_box=True, at_fpr=0.1)
    assert report.attacks["gradient norm"].auc.low > 0.5


@pytest.mark.parametrize("coins", [False, True])
def test_epsilon_is_never_above_the_truth(coins):
    """Randomised response: the model's answer says "member" with the odds e^ε."""
    epsilon, found = 1.0, []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        n = 2000
        is_member, y = rng.random(n) < 0.5, rng.integers(0, 2, n)
        says = rng.random(n) < np.where(is_member, 1, np.exp(-epsilon)) * np.exp(epsilon) / (1 + np.exp(epsilon))
        z = np.stack([np.zeros(n), (2 * y - 1) * np.where(says, 2.0, 1.0)], axis=1)
        report = audit(y, is_member, logits=z, at_fpr=0.05, seed=seed, coins=coins)
        found.append(report.epsilon)
        assert ("fair coin" in report.epsilon_method) == coins == report.epsilon_holds
    assert max(found) <= epsilon and np.mean(found) > 0.5


def test_controls_are_computed_on_what_they_say():
    y, is_member, given = with_shadows(3)
    report = audit(y, is_member, at_fpr=0.05, **given)
    bank = ShadowBank(given["shadow_logits"], given["member_mask"], y)
    controls = {c.name: c for c in report.controls}
    stand_in = signals.logit_confidence(bank.logits[0], y)
    assert controls["blind model, loss"].auc.value == pytest.approx(auc(stand_in, is_member).value)
    lira = attacks.LiRAAttack().fit(bank.without(0)).score(bank.logits[0], y)
    if report.strongest == "LiRA online":
        assert controls["blind model, LiRA online"].auc.value == pytest.approx(auc(lira, is_member).value)
    assert f"blind model, {report.strongest}" in controls and f"permuted memberships, {report.strongest}" in controls
    by_lot = auc(report.material.scores[report.strongest], report.material.by_lot)
    assert controls[f"permuted memberships, {report.strongest}"].auc.value == pytest.approx(by_lot.value)
    assert controls["draws of the reference models"].auc.value == pytest.approx(
        auc(given["member_mask"].sum(0).astype(float), is_member).value
    )
    # The threshold is the reference model's, by its own memberships.
    best = max(np.unique(stand_in), key=lambda t: _advantage(stand_in, bank.member_mask[0], t))
    assert _advantage(stand_in, bank.member_mask[0], report.attacks["loss"].threshold) == pytest.approx(
        _advantage(stand_in, bank.member_mask[0], best)
    )


def _advantage(scores, is_member, t):
    return (scores[is_member] >= t).mean() - (scores[~is_member] >= t).mean()


def test_classes_and_groups_are_not_mixed_up():
    rng = np.random.default_rng(0)
    n = 6000
    y, group, is_member = rng.integers(0, 3, n), rng.integers(0, 3, n), rng.random(n) < 0.5
    z = rng.normal(0, 2, (n, 3))
    z[np.arange(n), y] += 2 + 2.5 * (is_member & (y == 1)) + 0.9 * (is_member & (group == 2))
    slices = {(s.column, s.value): s for s in audit(y, is_member, logits=z, group=group, at_fpr=0.05).slices}
    assert set(slices) == {(column, str(i)) for column in ("class", "group") for i in range(3)}
    phi = signals.logit_confidence(z, y)
    for (column, value), s in slices.items():
        rows = (y if column == "class" else group) == int(value)
        assert (s.n_members, s.n_non_members) == ((is_member & rows).sum(), (~is_member & rows).sum())
        if s.attack == "loss":
            assert s.auc.value == pytest.approx(auc(phi[rows], is_member[rows]).value)
    assert max(slices, key=lambda key: slices[key].low) == ("class", "1")
    assert max((k for k in slices if k[0] == "group"), key=lambda key: slices[key].low) == ("group", "2")


def test_the_gate_looks_at_the_value_and_not_at_an_end():
    y, is_member, z = simulated(0, 1000, 1.0)
    report = audit(y, is_member, logits=z, at_fpr=0.1)
    rate = report.tpr
    assert rate.low < rate.value < rate.high
    assert not report.exceeds(rate.value) and report.exceeds(np.nextafter(rate.value, 0))
    assert report.exceeds((rate.low + rate.value) / 2) and not report.exceeds((rate.high + rate.value) / 2)
    assert report.status == EVIDENCE
    assert audit(*simulated(0, 1000, 0.0)[:2], logits=simulated(0, 1000, 0.0)[2], at_fpr=0.1).status == NO_EVIDENCE

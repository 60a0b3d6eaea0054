"""Every figure of a small report, computed again from `metrics`, `attacks` and `signals`, or by a formula of its own.

The case has all that invites slips: fewer members than non-members, ties, answers of probability 0, δ above 0, classes and
groups of different sizes, and reference models that answer with probabilities.
"""

from functools import cache

import numpy as np
import pytest
from scipy.special import logit
from scipy.stats import hypergeom, norm, rankdata

from mia_helpers import attacks, metrics, signals
from mia_helpers.audit import References, Settings, audit, controls, measuring, page
from mia_helpers.audit.answers import target_answers
from mia_helpers.audit.examples import Examples, People, draw
from mia_helpers.audit.report import MIN_IN_SLICE, rounded_up, shown
from mia_helpers.bank import ShadowBank

N, N_MEMBERS, N_SHADOWS, DELTA, CONFIDENCE, AT_FPR = 240, 90, 6, 0.001, 0.9, 0.2
GROUPS = ["a", "b", "c"]
FIXED = {"output classifier", "shadow classifier", "LiRA online"}
SIGNALS = {
    "gap": signals.correctness,
    "max confidence": signals.max_confidence,
    "loss": signals.logit_confidence,
    "entropy": signals.negative_entropy,
    "modified entropy": signals.negative_modified_entropy,
    "hinge": signals.hinge,
}


def answers(z):
    """Probabilities to two decimals, some of them 0; rows sum to 1, for the audit refuses others."""
    p = np.exp(z - z.max(-1, keepdims=True))
    p = np.floor(100 * p / p.sum(-1, keepdims=True)) / 100
    p[..., 0] += 1 - p.sum(-1)
    return p


@cache
def case():
    rng = np.random.default_rng(0)
    y, group = rng.choice(3, N, p=[0.5, 0.3, 0.2]), rng.choice(GROUPS, N, p=[0.6, 0.3, 0.1])
    is_member = rng.permutation(np.arange(N) < N_MEMBERS)
    mask = rng.random((N_SHADOWS, N)).argsort(0) < N_SHADOWS // 2  # each example in three of the six
    mask[0] ^= rng.random(N) < 0.1  # so that their number differs, too
    easy = rng.normal(1, 1.5, N)
    z = rng.normal(0, 0.7, (N_SHADOWS + 1, N, 3))
    had = np.concatenate([mask, is_member[None]])
    z[:, np.arange(N), y] += easy + 4 * had
    p = answers(z)
    return y, group, is_member, mask, p[-1], p[:-1]


@cache
def report_of(with_references=True, seed=3):
    y, group, is_member, mask, p, shadow_p = case()
    references = References(shadow_probabilities=shadow_p, member_mask=mask) if with_references else None
    settings = Settings(at_fpr=AT_FPR, confidence=CONFIDENCE, delta=DELTA, seed=seed)
    return audit(y, is_member, probabilities=p, group=group, references=references, settings=settings)


def floored():
    """Logits of target and reference models: all at the target's floor, a tenth of its smallest positive probability."""
    p, shadow_p = case()[4:]
    floor = p[p > 0].min() / 10
    assert (p < floor).any() and (shadow_p < floor).any()
    return np.log(np.maximum(p, floor)), np.log(np.maximum(shadow_p, floor))


def parts():
    y, group = case()[:2]
    return {("class", str(c)): y == c for c in range(3)} | {("group", g): group == g for g in GROUPS}


def level_of(report):
    is_member = case()[2]
    n_tested = sum(min((is_member & rows).sum(), (~is_member & rows).sum()) >= MIN_IN_SLICE for rows in parts().values())
    assert 1 <= n_tested < len(parts())  # of both kinds
    # Each attack: AUC, accuracy, advantage, rates, slices. Then ε, two accuracies, two blind classifiers, five controls.
    return 1 - (1 - CONFIDENCE) / (len(report.attacks) * (3 + len(report.tpr_rates) + n_tested) + 10)


def with_auc(scores, is_member, level):
    """DeLong's interval, or that of exchangeable groups, from the variance of the ranks, where that is wider."""
    found, n, m = metrics.auc(scores, is_member, level), len(scores), is_member.sum()
    rank_sum = m * (n - m) / (n * (n - 1)) * ((rankdata(scores) - (n + 1) / 2) ** 2).sum()
    half = norm.isf((1 - level) / 2) * np.sqrt(rank_sum) / (m * (n - m))
    low, high = min(found.low, found.value - half), max(found.high, found.value + half)
    return found.value, max(0, low), min(1, high)


def same(estimate, expected):
    e = expected if isinstance(expected, tuple) else (expected.value, expected.low, expected.high)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx(e, abs=1e-9)


def scores_of(z, shadows, mask, seed=3):
    """All scores but the output classifier's."""
    y = case()[0]
    found = {name: signal(z, y) for name, signal in SIGNALS.items()}
    if len(shadows) == 0:
        return found
    (phi, shadow_phi), (p, shadow_p) = (
        (signal(z, y), signal(shadows, y)) for signal in (signals.logit_confidence, signals.true_class_confidence)
    )
    # Where one of the two kinds is missing nothing is known: the median.
    known = attacks.covered(mask, ("in", "out"))
    assert known.mean() > 0.98
    of_known = phi[known], shadow_phi[:, known], mask[:, known]
    found["LiRA online"] = np.full(N, np.nan)
    found["LiRA online"][known] = attacks.lira_online(*of_known)
    found["LiRA offline"] = attacks.lira_offline(phi, shadow_phi, mask)
    for mode in ("online", "offline"):
        ask = known if mode == "online" else np.ones(N, bool)
        found[f"RMIA {mode}"] = np.full(N, np.nan)
        found[f"RMIA {mode}"][ask] = attacks.rmia(p[ask], shadow_p[:, ask], mask[:, ask], p, shadow_p, 1.0, 0.3, mode)
    return {name: metrics.known(values) for name, values in found.items()}


@pytest.fixture(params=[True, False], ids=["with references", "without"])
def report(request):
    found = report_of(request.param)
    object.__setattr__(found, "tpr_rates", list(found.attacks[found.strongest].tpr_at_fpr))
    return found


def test_scores_are_those_of_the_signals_and_kernels(report):
    mask, (z, shadows) = case()[3], floored()
    expected = scores_of(z, shadows if report.n_shadows else (), mask)
    for name, values in expected.items():
        np.testing.assert_allclose(report.material.scores[name], values, atol=1e-9, err_msg=name)
    learnt = {"output classifier"} | ({"shadow classifier"} if report.n_shadows else set())
    assert set(report.attacks) == set(expected) | learnt


def test_the_output_classifier_learns_from_one_half_for_the_other_and_its_prior_is_taken_off():
    y, _, is_member = case()[:3]
    z, report = floored()[0], report_of()
    first = report.material.examples.people.first_half
    features = attacks.sorted_log_probabilities(z, y)
    for learn in (first, ~first):
        rows = report.material.examples.sample(N, learn)
        trees = attacks.boosted_trees(3).fit(features[rows], is_member[rows])
        expected = trees.decision_function(features[~learn]) - logit(is_member[rows].mean())
        np.testing.assert_allclose(report.material.scores["output classifier"][~learn], expected, atol=1e-9)


def test_the_figures_of_each_attack(report):
    y, _, is_member, mask, *_ = case()
    level, half = level_of(report), report.material.examples.people.first_half
    assert report.level == pytest.approx(level, abs=1e-12) and report.tpr_rates == [0.2, 0.1]
    (z, shadows), stand_in = floored(), {}
    if report.n_shadows:
        stand_in = scores_of(shadows[0], shadows[1:], mask[1:])
    for name, found in report.attacks.items():
        scores, asked = report.material.scores[name], np.ones(N, bool)
        if name in FIXED:
            threshold, source = 0.0, "log-odds 0"
        elif report.n_shadows:
            threshold, source = metrics.best_threshold(stand_in[name], mask[0]), "a reference model"
        else:
            threshold, source, asked = metrics.best_threshold(scores[half], is_member[half]), "calibration half", ~half
        assert found.threshold == pytest.approx(threshold) and report.threshold_from[name] == source
        counted = metrics.attack_report(scores[asked], is_member[asked], found.threshold, (), level)
        right = (scores >= found.threshold) == is_member
        same(found.accuracy, metrics.proportion(right[asked].sum(), asked.sum(), level))
        same(found.advantage, counted.advantage)
        same(found.auc, with_auc(scores, is_member, level))
        for fpr, rate in found.tpr_at_fpr.items():
            same(rate, metrics.tpr_at_fpr(scores, is_member, fpr, level))
    key = {n: (a.tpr_at_fpr[AT_FPR].value, a.auc.value) for n, a in report.attacks.items()}
    assert key[report.strongest] == max(key.values())
    right = z.argmax(1) == y
    for who, group in (("members", is_member), ("non-members", ~is_member)):
        same(report.accuracy[who], metrics.proportion(right[group].sum(), group.sum(), level))


def test_epsilon_is_that_of_the_best_attack_of_one_half_on_the_other_with_its_delta():
    is_member, report = case()[2], report_of()
    half, level, found = report.material.examples.people.first_half, report.level, {}
    for name, scores in report.material.scores.items():
        if name == "output classifier":  # it has learnt from both halves
            continue
        known, counted = (scores[half], is_member[half]), (scores[~half], is_member[~half])
        bound = metrics.epsilon_lower_bound(*known, *known, DELTA, level), metrics.auc(*known).value
        slips = metrics.epsilon_lower_bound(*known, *counted, 0.0, level), metrics.epsilon_lower_bound(*known, *counted)
        found[name] = bound, metrics.epsilon_lower_bound(*known, *counted, DELTA, level), slips
    best = max(found, key=lambda name: found[name][0])
    assert report.epsilon_attack == best and report.epsilon == pytest.approx(found[best][1], abs=1e-9)
    assert report.epsilon > 0 and all(slip > report.epsilon + 1e-6 for slip in found[best][2])
    assert report.delta == DELTA


def test_with_coins_epsilon_pays_for_the_chosen_number_of_guesses_if_delta_is_above_0():
    rng, level = np.random.default_rng(0), 0.99
    is_member = rng.random(2000) < 0.5
    people = People(is_member, rng.random(2000))
    scores = {"weak": is_member + rng.normal(0, 3, 2000), "strong": is_member + rng.normal(0, 1, 2000)}
    half = people.drawn_half
    known, counted = ((scores["strong"][rows], is_member[rows]) for rows in (half, ~half))
    for delta, cautious in ((1e-5, 1 - (1 - level) / 1.5), (0.0, level)):
        found, name, _ = measuring.epsilon(scores, people, delta, level, True)
        guesses = metrics.best_guesses(*known, delta, level)
        assert name == "strong" and found == pytest.approx(metrics.one_run_epsilon(*counted, guesses, delta, cautious))
        assert 0 < found <= metrics.one_run_epsilon(*counted, guesses, delta, level) - (1e-6 if delta else 0)


def test_slices_and_the_most_exposed():
    y, group, is_member, *_ = case()
    report, rows_of = report_of(), parts()
    assert [(s.column, s.value) for s in report.slices] == list(rows_of)
    by_value = []
    for s, rows in zip(report.slices, rows_of.values()):
        members = is_member[rows]
        assert (s.n_members, s.n_non_members) == (members.sum(), (~members).sum())
        if min(s.n_members, s.n_non_members) < MIN_IN_SLICE:
            assert s.attack is s.auc is None
            continue
        found = {name: with_auc(scores[rows], members, report.level) for name, scores in report.material.scores.items()}
        same(s.auc, found[s.attack])
        assert s.auc.low == pytest.approx(max(low for _, low, _ in found.values()))
        by_value.append(found[s.attack][0] == max(value for value, *_ in found.values()))
    scores = report.material.scores[report.strongest]
    assert [e.score for e in report.exposed] == sorted(scores[is_member], reverse=True)[:10]
    for e in report.exposed:
        assert is_member[e.index] and scores[e.index] == e.score and y[e.index] == e.label
        assert e.non_members_at_or_above == pytest.approx((scores[~is_member] >= e.score).mean())


def test_ties_count_as_at_or_above():
    """A member whose score half of the non-members share, and none has a higher one."""
    is_member = np.arange(80) < 30
    scores = np.where(is_member, 2.0, np.arange(80) % 2 * 2.0)
    examples = draw(Examples.of(np.zeros(80, int), is_member), [np.arange(80)], np.random.default_rng(0))
    assert {e.non_members_at_or_above for e in measuring.exposed(scores, examples)} == {0.5}
    table = report_of().scores
    truth, n_tied = table["is_member"].to_numpy(), 0
    for name in report_of().attacks:
        values, ranks = table[name].to_numpy(), table[f"{name}: non-members at or above"]
        np.testing.assert_allclose(ranks, [(values[~truth] >= v).mean() for v in values])
        n_tied += np.isin(values[truth], values[~truth]).sum()
    assert n_tied > N


def test_the_best_attack_of_a_slice_is_the_surest_and_not_the_luckiest():
    rng = np.random.default_rng(1)
    is_member = np.arange(60) < 30
    one, other = np.where(is_member, 1.0, 0.0), None
    one[:8] = 0.0  # a few members say nothing: no variance where it counts
    for _ in range(2000):  # an attack with a higher AUC, and a lower end that is lower
        other = rng.normal(is_member * 1.6, 1 + 2 * is_member)
        a, b = (measuring.auc_at_level(s, is_member, 0.95) for s in (one, other))
        if b.value > a.value and b.low < a.low:
            break
    else:
        pytest.fail("no such attack was drawn")
    part = next(Examples.of(np.zeros(60, int), is_member, np.repeat(["a"], 60)).parts(), None)
    assert part is None  # a single group is no slice, so put one together
    part = measuring.Part("group", "a", np.arange(60), None, is_member)
    assert measuring.measured_part({"sure": one, "lucky": other}, 0.95, part).attack == "sure"


def test_controls_are_about_the_members_that_they_name():
    y, _, is_member, mask, *_ = case()
    report, (_, shadows) = report_of(), floored()
    stand_in = scores_of(shadows[0], shadows[1:], mask[1:])
    found = {c.name: c for c in report.controls}
    level = report.level
    for name in {report.strongest, "loss"}:
        same(found[f"blind model, {name}"].auc, with_auc(stand_in[name], is_member, level))
    same(found["draws of the reference models"].auc, with_auc(mask.sum(0).astype(float), is_member, level))
    by_lot = report.material.by_lot
    assert by_lot.sum() == N_MEMBERS and 0.2 < (by_lot & is_member).sum() / N_MEMBERS < 0.6  # drawn, and by lot
    name = report.strongest
    same(found[f"permuted memberships, {name}"].auc, with_auc(report.material.scores[name], by_lot, level))
    for c in report.controls:
        two_sided = not c.name.startswith("blind")
        assert c.passed == (c.auc.low <= 0.5 and (c.auc.high >= 0.5 or not two_sided)), c.name


def test_another_seed_draws_other_halves_and_other_lots():
    one, other = report_of(), report_of(seed=4)
    halves = [r.material.examples.people.first_half for r in (one, other)]
    assert 0.3 < (halves[0] == halves[1]).mean() < 0.7 and not np.array_equal(one.material.by_lot, other.material.by_lot)


def test_reference_models_that_avoid_the_targets_members_are_refused_as_those_that_share_them():
    y, _, is_member, mask, p, shadow_p = case()
    for likely in (0.1, 0.9):  # the chance that a reference model had a member of the target's
        mask = np.random.default_rng(0).random(mask.shape) < np.where(is_member, likely, 0.5)
        references = References(shadow_probabilities=shadow_p, member_mask=mask)
        report = audit(y, is_member, probabilities=p, references=references, settings=Settings(at_fpr=AT_FPR))
        draws = next(c for c in report.controls if c.name.startswith("draws"))
        assert not draws.passed and report.n_shadows == 0
        assert (draws.auc.high < 0.5) if likely == 0.1 else (draws.auc.low > 0.5)


def test_one_odd_reference_model_among_good_ones_is_noticed():
    y, _, is_member, mask, p, shadow_p = case()
    odd = shadow_p.copy()
    odd[3] = np.roll(odd[3], 1, axis=-1)
    given = References(shadow_probabilities=odd, member_mask=mask)
    report = audit(y, is_member, probabilities=p, references=given, settings=Settings(at_fpr=AT_FPR))
    assert report.slips and f"1 of {N_SHADOWS} reference models" in report.slips[0]


def test_the_blind_classifier_sees_the_few_members_among_many_others(monkeypatch):
    monkeypatch.setattr(controls, "MAX_TWO_SAMPLE", 80)
    rng = np.random.default_rng(0)
    is_member = rng.permutation(np.arange(3000) < 40)
    features = rng.normal(3.0 * is_member[:, None], 1, (3000, 2))
    examples = Examples.of(rng.integers(0, 2, 3000), is_member, features=features)
    found, shown_to_it = controls.two_sample(draw(examples, [features[:, 0]], rng), 0, 0.99)
    assert "features" in shown_to_it and all(c.auc.low > 0.6 and not c.passed for c in found)


def test_a_tpr_that_is_too_high_to_be_luck_is_judged_on_one_side():
    m, n, fpr, n_named = 40, 100, 0.1, 12  # of the members above the eleventh non-member
    is_member = np.arange(m + n) < m
    scores = np.concatenate([np.where(np.arange(m) < n_named, 2.0, 0.0), np.where(np.arange(n) < 10, 3.0, 1.0)])
    luck = hypergeom.sf(n_named - 1, m + n, m, n_named + 10)  # that of the first so many at least n_named are members
    for level, evidence in ((1 - 2.5 * luck, True), (1 - 1.5 * luck, False)):
        report = metrics.attack_report(scores, is_member, None, (fpr,), level)
        assert report.tpr_at_fpr[fpr].value * m == n_named and report.auc.low < 0.5
        assert measuring.above_chance(report, level) == evidence


def test_json_and_tables_put_each_figure_under_its_name(report):
    told = report.to_dict()
    assert told["data"]["smallest_supported_fpr"] == 10 / (N - N_MEMBERS)
    assert (told["data"]["n_members"], told["data"]["n_non_members"]) == (N_MEMBERS, N - N_MEMBERS)
    attacks_, controls_ = (next(s for s in page.sections(report) if s.title == t) for t in ("Attacks", "Controls"))
    for row in attacks_.rows:
        cells, found = dict(zip(attacks_.header, row)), report.attacks[row[0]]
        assert cells["AUC"] == shown(found.auc) and cells["advantage"] == shown(found.advantage)
        assert [cells[f"TPR at {fpr} % FPR"] for fpr in (20, 10)] == [shown(r, f) for f, r in found.tpr_at_fpr.items()]
        written = told["attacks"][row[0]]
        assert written["auc"]["value"] == found.auc.value and written["advantage"]["low"] == found.advantage.low
        assert written["accuracy"]["high"] == found.accuracy.high
        assert [rate["value"] for rate in written["tpr_at_fpr"]] == [r.value for r in found.tpr_at_fpr.values()]
    sizes = f"{N_MEMBERS} members, {N - N_MEMBERS} non-members, 3 classes, {report.n_shadows} shadows"
    smallest = f"Smallest false-positive rate supported: {rounded_up(1000 / (N - N_MEMBERS))} %."
    assert all(
        text in form for text in (sizes, smallest) for form in (report.to_markdown(), " ".join(report.summary().split()))
    )
    for c, row in zip(report.controls, controls_.rows):
        assert row[:3] == (c.name, shown(c.auc), "passed" if c.passed else "FAILED")


def test_the_prior_of_unbalanced_shadows_is_taken_off():
    """A classifier that sees nothing says even odds, whatever the share of members it learnt from."""
    rng = np.random.default_rng(0)
    z, y = np.zeros((300, 3)), rng.integers(0, 3, 300)
    z[np.arange(300), y] = 1.0
    bank = ShadowBank.single(z, y, np.arange(300) < 60)
    scores = attacks.ClassifierAttack(attacks.boosted_trees(0)).fit(bank).score(z, y)
    np.testing.assert_allclose(scores, 0, atol=1e-6)


def test_the_default_floor_is_a_tenth_of_the_smallest_positive_probability():
    y, is_member = np.array([0, 1, 0, 1]), np.array([True, True, False, False])
    for smallest, floor in ((0.002, 2e-4), (0.3, 1e-3), (1e-15, 1e-12)):
        p = np.array([[1.0, 0.0], [smallest, 1 - smallest], [0.5, 0.5], [0.4, 0.6]])
        found = target_answers(None, p, None, None, (y, is_member), None)
        assert found.floor == pytest.approx(floor) and found.logits.min() == pytest.approx(np.log(floor))


def test_a_leak_in_one_group_that_no_attack_sees_over_all_is_evidence():
    rng = np.random.default_rng(0)
    n = 16_000
    y, is_member = rng.integers(0, 2, n), rng.permutation(np.arange(n) < n // 2)
    group = np.where(np.arange(n) < 300, "few", "most")
    phi = rng.normal(1, 1, n) + 1.5 * (is_member & (group == "few"))
    z = np.stack([np.zeros(n), (2 * y - 1) * phi], axis=1)
    report = audit(y, is_member, logits=z, group=group, settings=Settings(at_fpr=0.1))
    assert report.status == "evidence" and "in a part of the data, none over all" in report.verdict
    assert not any(measuring.above_chance(found, report.level) for found in report.attacks.values())
    assert [s.value for s in report.slices if s.above_chance] == ["few"]


def test_lots_go_with_all_that_an_example_is_and_not_with_its_place():
    rng = np.random.default_rng(0)
    columns = [rng.normal(size=50), rng.integers(0, 2, 50), np.arange(50) < 20]  # the last ones say little
    order, drawn = rng.permutation(50), []
    for rows in (np.arange(50), order):
        of_rows = [column[rows] for column in columns]
        examples = draw(Examples.of(np.zeros(50, int), of_rows[-1]), of_rows, np.random.default_rng(1))
        drawn.append(examples.people.lots)
    np.testing.assert_array_equal(drawn[0][order], drawn[1])
    assert len(set(drawn[0])) == 50

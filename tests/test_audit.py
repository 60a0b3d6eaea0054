import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import jsonschema
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression, RidgeClassifier

from mia_helpers import signals
from mia_helpers.audit import References, Settings, examples, inputs, main, measuring, scoring, words
from mia_helpers.audit import audit as audit_itself
from mia_helpers.audit import run as run_room
from mia_helpers.audit.report import EVIDENCE, JSON_SCHEMA, MIN_IN_SLICE, NO_EVIDENCE, NOT_COMPARABLE, rounded_up
from mia_helpers.bank import ShadowBank
from mia_helpers.inputs import InputError
from mia_helpers.metrics import auc, true_positives_at_fpr

SHADOW_ATTACKS = {"shadow classifier", "LiRA online", "LiRA offline", "RMIA online", "RMIA offline"}


def audit(labels, is_member, **flat):
    """`audit` with the fields of `Settings` and `References` among its arguments: here each test varies one of them."""
    settings, references = (
        {name: flat.pop(name) for name in [*flat] if name in kind.__dataclass_fields__} for kind in (Settings, References)
    )
    return audit_itself(labels, is_member, **flat, settings=Settings(**settings), references=References(**references))


def outputs(seed, n=400, n_classes=4, leak=0.0):
    """Labels, memberships (half of them), logits whose labelled class is `leak` higher for members."""
    rng = np.random.default_rng(seed)
    y, is_member = rng.integers(0, n_classes, n), rng.permutation(np.arange(n) < n // 2)
    z = rng.normal(0, 2, (n, n_classes))
    z[np.arange(n), y] += 2 + leak * is_member
    return y, is_member, z


def with_shadows(seed, n=400, n_shadows=8, leak=1.5, target_leak=None):
    """A difficulty that all models share, and members that a model is surer of; draws independent."""
    rng = np.random.default_rng(seed)
    y, is_member, _ = outputs(seed, n)
    mask = rng.random((n_shadows, n)) < 0.5
    base = rng.normal(0, 3, (n, 4))
    base[np.arange(n), y] += 2
    z = base + rng.normal(0, 0.5, (n_shadows + 1, n, 4))
    z[:, np.arange(n), y] += np.vstack([(leak if target_leak is None else target_leak) * is_member, leak * mask])
    return y, is_member, {"logits": z[0], "shadow_logits": z[1:], "member_mask": mask}


@pytest.fixture(scope="module")
def full():
    """A report with everything in it: reference models, groups with odd names, features."""
    y, is_member, given = with_shadows(0, 600)
    group = np.random.default_rng(0).choice(["<script>alert(1)</script>", "a|b](http://x.y)", "\x1b[2Jred\nline"], 600)
    return audit(y, is_member, group=group, features=np.random.default_rng(1).normal(size=(600, 3)), at_fpr=0.05, **given)


# ---- what it finds


def test_noise_gives_no_evidence_in_95_percent_of_repetitions():
    found = []
    for seed in range(100):
        y, is_member, z = outputs(seed, 240, 3)
        x = np.random.default_rng(seed + 1000).normal(size=(240, 2)) if seed % 4 == 0 else None
        group = np.random.default_rng(seed).integers(0, 2, 240) if seed % 4 == 1 else None
        found.append(audit(y, is_member, logits=z, group=group, features=x, at_fpr=0.1, seed=seed).status)
    assert found.count(NO_EVIDENCE) >= 95


def test_noise_with_reference_models_gives_no_evidence():
    statuses = []
    for seed in range(8):
        y, is_member, given = with_shadows(seed, target_leak=0.0)
        statuses.append(audit(y, is_member, at_fpr=0.1, seed=seed, **given).status)
    assert statuses.count(NO_EVIDENCE) >= 7


def test_planted_leak_is_found_and_not_called_safe_or_proved():
    y, is_member, z = outputs(0, 1000, leak=2)
    report = audit(y, is_member, logits=z, at_fpr=0.05)
    assert report.status == EVIDENCE and report.verdict.startswith(
        f"Evidence of leakage: the attack “{report.strongest}” has an AUC of "
    )
    assert report.attacks["loss"].auc.low > 0.5
    assert set(report.attacks) == {
        "gap",
        "max confidence",
        "loss",
        "entropy",
        "modified entropy",
        "hinge",
        "output classifier",
    }
    assert SHADOW_ATTACKS | {"label-only attacks", "gradient norm", "quantile regression"} == set(report.not_run)
    assert all(control.passed for control in report.controls)
    quiet = audit(*outputs(1)[:2], logits=outputs(1)[2], at_fpr=0.05)
    assert quiet.status == NO_EVIDENCE and "not evidence of safety" in quiet.verdict


def test_strongest_is_by_tpr_then_auc_and_figures_agree_with_the_metrics():
    y, is_member, z = outputs(2, 1000, leak=1)
    report = audit(y, is_member, logits=z, at_fpr=0.05)
    best = max(report.attacks.values(), key=lambda r: (r.tpr_at_fpr[0.05].value, r.auc.value))
    assert report.attacks[report.strongest] == best
    phi = signals.logit_confidence(z, y)
    assert report.attacks["loss"].auc.value == pytest.approx(auc(phi, is_member).value)
    assert report.attacks["loss"].tpr_at_fpr[0.05].value == true_positives_at_fpr(phi, is_member, 0.05) / is_member.sum()
    assert set(report.attacks["loss"].tpr_at_fpr) == {0.1, 0.05}
    assert report.tpr == best.tpr_at_fpr[0.05]


def test_a_low_fpr_leak_that_the_auc_hides_counts_as_evidence():
    y, is_member, z = outputs(3, 2000)
    named = np.flatnonzero(is_member)[:60]  # 6 % of the members stick out
    z[named] = 0
    z[named, y[named]] = 30
    report = audit(y, is_member, logits=z)
    assert report.tpr.value >= 0.05
    loss = report.attacks["loss"]
    assert measuring.above_chance(loss, report.level) and report.status == EVIDENCE


def test_planted_leak_in_one_group_is_found_by_the_slices():
    y, is_member, z = outputs(4, 3000)
    group = np.where(np.arange(3000) < 200, "clinic B", "clinic A")
    inside = group == "clinic B"
    z[inside & is_member, y[inside & is_member]] += 3
    report = audit(y, is_member, logits=z, group=group)
    found = {s.value: s.above_chance for s in report.slices if s.column == "group"}
    assert found == {"clinic A": False, "clinic B": True}
    assert report.status == EVIDENCE and "clinic B" in report.verdict


def test_small_slices_are_listed_but_not_judged():
    y, is_member, z = outputs(5)
    group = np.where(np.arange(400) < 2 * MIN_IN_SLICE - 1, "few", "many")
    few = [s for s in audit(y, is_member, logits=z, group=group, at_fpr=0.05).slices if s.value == "few"]
    assert [(s.auc, s.attack, s.above_chance) for s in few] == [(None, None, None)]


def test_lira_finds_what_thresholds_cannot_and_blind_models_show_nothing(full):
    assert full.status == EVIDENCE and full.strongest in SHADOW_ATTACKS
    assert set(full.attacks) >= SHADOW_ATTACKS
    assert full.attacks["LiRA online"].auc.value > full.attacks["loss"].auc.value + 0.1
    assert full.epsilon > 0 and full.n_shadows == 8
    controls = {c.name for c in full.controls}
    assert {
        f"blind model, {full.strongest}",
        "blind model, loss",
        "draws of the reference models",
        f"permuted memberships, {full.strongest}",
    } <= controls
    assert all(c.passed for c in full.controls)
    assert set(full.threshold_from.values()) == {"a reference model", "log-odds 0"}


def test_most_exposed_are_members_with_the_highest_scores():
    y, is_member, z = outputs(6)
    z[np.flatnonzero(is_member)[3], :] = 0
    z[np.flatnonzero(is_member)[3], y[np.flatnonzero(is_member)[3]]] = 50
    report = audit(y, is_member, logits=z, at_fpr=0.05)
    assert len(report.exposed) == 10 and all(is_member[e.index] and y[e.index] == e.label for e in report.exposed)
    scores = [e.score for e in report.exposed]
    assert scores == sorted(scores, reverse=True)
    if report.strongest in ("loss", "hinge"):
        assert report.exposed[0].index == np.flatnonzero(is_member)[3]
        assert report.exposed[0].non_members_at_or_above == 0


# ---- controls


def test_distribution_shift_fires_without_the_model():
    y, is_member, z = outputs(7)
    x = np.random.default_rng(0).normal(size=(400, 5))
    x[is_member, 0] += 1.5
    report = audit(y, is_member, logits=z, features=x, at_fpr=0.05)
    assert report.status == NOT_COMPARABLE and "WITHOUT the model" in report.warnings[0]
    assert not any(c.passed for c in report.controls if c.name.startswith("blind classifier"))
    x[:, 0] = np.random.default_rng(1).normal(size=400) * np.where(is_member, 4, 1)  # in spread alone: not for a line
    passed = {c.name: c.passed for c in audit(y, is_member, logits=z, features=x, at_fpr=0.05).controls}
    assert not passed["blind classifier, gradient boosting"]


def test_labels_alone_can_fire_and_what_was_not_tested_is_said():
    y, is_member, z = outputs(8)
    y = np.where(is_member & (y == 0), 1, y)
    report = audit(y, is_member, logits=z, at_fpr=0.05)
    assert report.status == NOT_COMPARABLE and "labels" in report.warnings[0]
    assert "It saw no features" in report.assumptions[0]
    same = audit(np.zeros(400, dtype=int), is_member, logits=z, at_fpr=0.05)
    assert "nothing to look at" in same.assumptions[0]


def test_shift_is_seen_by_the_blind_model():
    y, is_member, given = with_shadows(9, leak=0.0)
    for z in (given["logits"], *given["shadow_logits"]):
        z[is_member, y[is_member]] += 4  # members are easier for every model
    report = audit(y, is_member, at_fpr=0.05, **given)
    assert report.status == NOT_COMPARABLE
    assert any("blind model" in warning for warning in report.warnings)


def test_dependent_draws_are_refused():
    y, is_member, given = with_shadows(10, n_shadows=7)
    counts = given["member_mask"].sum(0)
    balanced = given["member_mask"].copy()
    for i in range(400):  # exactly four of the eight models, the target among them, have each example
        wanted = 4 - int(is_member[i])
        balanced[:, i] = np.random.default_rng(i).permutation(np.arange(7) < wanted)
    assert counts.std() > 1
    report = audit(y, is_member, at_fpr=0.05, **(given | {"member_mask": balanced}))
    assert not SHADOW_ATTACKS & set(report.attacks) and report.n_shadows == 0
    assert "drawn independently" in report.not_run["LiRA online"] and report.warnings
    assert not next(c for c in report.controls if c.name.startswith("draws")).passed


def test_draws_are_tested_at_the_level_at_which_they_are_reported():
    """The decision is the reported control's: whatever the strength of the dependence, and the level is one for all."""
    passed = []
    for strength in (0.0, 0.04, 0.08, 0.12, 0.16, 0.3):
        y, is_member, given = with_shadows(30, n_shadows=9)
        given["member_mask"] = np.random.default_rng(0).random((9, 400)) < 0.5 + strength * np.where(is_member, 0.5, -0.5)
        report = audit(y, is_member, at_fpr=0.05, **given)
        draws = next(c for c in report.controls if c.name.startswith("draws"))
        expected = measuring.auc_at_level(given["member_mask"].sum(0).astype(float), is_member, report.level)
        assert draws.auc == expected and draws.passed == (expected.low <= 0.5 <= expected.high)
        assert draws.passed == (report.n_shadows > 0) == bool(SHADOW_ATTACKS & set(report.attacks))
        passed.append(draws.passed)
    assert passed[0] and not passed[-1]


@pytest.mark.parametrize(("n_shadows", "seed"), [(1, 0), (2, 1), (3, 2), (8, 3)])
def test_the_level_counts_the_attacks_that_are_run(n_shadows, seed):
    y, is_member, given = with_shadows(seed, n_shadows=n_shadows)
    for mask in (given["member_mask"], np.zeros_like(given["member_mask"])):
        report = audit(y, is_member, at_fpr=0.05, **(given | {"member_mask": mask}))
        if report.n_shadows:
            classes = sum(s.auc is not None for s in report.slices)
            statements = len(report.attacks) * (3 + len(report.attacks["loss"].tpr_at_fpr) + classes) + 10
            assert report.level == 1 - (1 - 0.95) / statements


def test_reference_models_that_saw_nobody_allow_the_offline_attacks():
    y, is_member, given = with_shadows(11)
    report = audit(y, is_member, at_fpr=0.05, **(given | {"member_mask": np.zeros((8, 400), dtype=bool)}))
    assert {"LiRA offline", "RMIA offline"} == SHADOW_ATTACKS & set(report.attacks)
    assert "400 of 400 examples were in all or none" in report.not_run["LiRA online"]
    assert report.threshold_from["loss"] == "calibration half"


def test_a_few_examples_in_all_or_none_of_the_reference_models_are_announced_and_get_a_middling_score():
    y, is_member, given = with_shadows(21)
    given["member_mask"][:, :2] = [[True, False]] * 8
    given["member_mask"][:2, 2:] = [[True], [False]]
    report = audit(y, is_member, at_fpr=0.05, **given)
    assert "LiRA online" in report.attacks and any(w.startswith("2 of 400 examples") for w in report.warnings)
    asked = examples.draw(examples.Examples.of(y, is_member), [np.arange(400)], np.random.default_rng(0))
    bank = ShadowBank(given["shadow_logits"], given["member_mask"], y)
    found = scoring.from_references(given["logits"], bank, asked, scoring.listed(asked, 0))
    for scores in (found["LiRA online"], found["RMIA online"]):
        assert scores[:2] == pytest.approx(np.median(scores[2:]))
    given["member_mask"][:, :20] = False
    assert "20 of 400" in audit(y, is_member, at_fpr=0.05, **given).not_run["LiRA online"]


def test_results_do_not_depend_on_the_order_of_examples():
    y, is_member, given = with_shadows(12)
    group, x = np.random.default_rng(0).choice(["a", "b"], 400), np.random.default_rng(1).normal(size=(400, 3))
    order = np.random.default_rng(2).permutation(400)
    one = audit(y, is_member, group=group, features=x, at_fpr=0.05, **given)
    other = audit(
        y[order],
        is_member[order],
        group=group[order],
        features=x[order],
        at_fpr=0.05,
        logits=given["logits"][order],
        shadow_logits=given["shadow_logits"][:, order],
        member_mask=given["member_mask"][:, order],
    )
    assert one.strongest == other.strongest and one.status == other.status and one.verdict == other.verdict
    for name, report in one.attacks.items():
        for a, b in ((report.auc, other.attacks[name].auc), (report.advantage, other.attacks[name].advantage)):
            assert (a.value, a.low, a.high) == pytest.approx((b.value, b.low, b.high))
    assert [c.auc.value for c in one.controls] == pytest.approx([c.auc.value for c in other.controls])
    assert one.epsilon == pytest.approx(other.epsilon)
    assert [e.index for e in one.exposed] == [order[e.index] for e in other.exposed]


def test_the_same_call_gives_the_same_report():
    y, is_member, z = outputs(13)
    assert audit(y, is_member, logits=z, at_fpr=0.05) == audit(y, is_member, logits=z, at_fpr=0.05)


# ---- what it takes


def test_probabilities_logits_and_models_agree():
    y, is_member, z = outputs(14)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    a, b = audit(y, is_member, logits=z, at_fpr=0.05), audit(y, is_member, probabilities=p, at_fpr=0.05)
    assert a.attacks["loss"].auc.value == pytest.approx(b.attacks["loss"].auc.value)

    model = torch.nn.Linear(4, 4, bias=False)
    model.weight.data = torch.eye(4)
    of_module = audit(y, is_member, model=model, inputs=z.astype(np.float32), at_fpr=0.05, white_box=True)
    assert of_module.attacks["loss"].auc.value == pytest.approx(a.attacks["loss"].auc.value, abs=1e-4)
    assert "gradient norm" in of_module.attacks and "features" in of_module.assumptions[0]
    fitted = LogisticRegression().fit(z[is_member], y[is_member])
    assert audit(y, is_member, model=fitted, inputs=z, at_fpr=0.05).n_classes == 4


def test_zero_probabilities_get_a_floor_that_is_stated():
    y, is_member, z = outputs(15)
    hard = np.eye(4)[z.argmax(1)]
    report = audit(y, is_member, probabilities=hard, at_fpr=0.05)
    assert any("below 0.001 count as 0.001" in line for line in report.assumptions)
    assert np.isfinite(report.attacks["loss"].auc.value)


def fit_logistic(x, y, seed):
    return LogisticRegression(C=100).fit(x, y)


def test_a_factory_makes_the_reference_models():
    rng = np.random.default_rng(16)
    x, y = rng.normal(size=(200, 20)), rng.integers(0, 2, 200)
    is_member = rng.permutation(np.arange(200) < 60)
    model = fit_logistic(x[is_member], y[is_member], 0)
    report = audit(y, is_member, model=model, inputs=x, fit=fit_logistic, n_shadows=6, at_fpr=0.1, n_jobs=1)
    assert report.n_shadows == 6 and report.status == EVIDENCE
    assert set(report.attacks) | set(report.not_run) >= SHADOW_ATTACKS


def test_a_floor_is_used_or_refused():
    y, is_member, z = outputs(15)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    given = {"shadow_probabilities": p[None], "member_mask": np.random.default_rng(0).random((1, 400)) < 0.5}
    for floor in (1e-3, 0.2):
        report = audit(y, is_member, logits=z, floor=floor, at_fpr=0.05, **given)
        assert any(f"below {floor:g} count as {floor:g}" in line for line in report.assumptions)
    module = torch.nn.Linear(4, 4)
    for answers in (
        {"logits": z},
        {"model": module, "inputs": z},
        {"logits": z, "shadow_logits": z[None], "member_mask": given["member_mask"]},
    ):
        with pytest.raises(InputError, match="floor=0.001 is for probabilities, and all answers are logits; leave"):
            audit(y, is_member, floor=1e-3, at_fpr=0.05, **answers)


@pytest.mark.parametrize("n_leaks", [0, 1, 2, 3, 5])
def test_the_verdict_names_the_attack_that_carries_the_evidence(n_leaks):
    y, is_member, z = outputs(0, 1000, leak=2)
    report = audit(y, is_member, logits=z, at_fpr=0.05)
    strongest = report.strongest
    begins = {
        name: f"Evidence of leakage: the attack “{name}” has an AUC of {found.auc}; guessing has 0.5."
        for name, found in report.attacks.items()
    }
    assert report.verdict.startswith(
        f"{begins[strongest]} Where at most 50 of 1,000 non-members are named falsely (5 % FPR), it "
    )
    rest = report.verdict[len(begins[strongest]) :].partition(" Classes or groups")[0]
    assert "AUC" not in rest and "“" not in rest  # one attack in both sentences, and its AUC once
    leaks = [name for name in report.attacks if name != strongest][:n_leaks]
    verdict = words.verdict(report, leaks)
    if not n_leaks:
        assert verdict.startswith("Evidence of leakage in a part of the data, none over all.")
        assert f"For the record: “{strongest}” has an AUC of {report.attacks[strongest].auc}. Where" in verdict
        return
    clearest = max(leaks, key=lambda name: report.attacks[name].auc.low)
    assert verdict.startswith(begins[clearest]) and f"another attack, “{strongest}”, names " in verdict
    others = {1: "", 2: " 1 more of the attacks does better", 3: " 2 more of the attacks do", 5: " 4 more of the attacks do"}
    assert (" more of the attacks " in verdict) == (n_leaks > 1) and others[n_leaks] in verdict
    assert words.verdict(report, [*leaks, strongest]) == report.verdict  # then the strongest's alone is named


def test_the_verdict_says_whether_the_number_may_be_luck():
    y, is_member, z = outputs(0, 1000, leak=2)
    report = audit(y, is_member, logits=z, at_fpr=0.05)
    name, doubt = report.strongest, " Guessing names 50, so this number alone may be luck."

    def with_tpr(**ends):
        rates = {0.05: replace(report.tpr, **ends)}
        return replace(report, attacks=report.attacks | {name: replace(report.attacks[name], tpr_at_fpr=rates)})

    assert doubt in words.verdict(with_tpr(low=0.05), [name])
    assert doubt in words.verdict(with_tpr(low=0.05), [next(other for other in report.attacks if other != name)])
    assert " Guessing names 50." in words.verdict(with_tpr(low=0.051), [name])
    assert " Guessing names 50." in words.verdict(with_tpr(low=0, value=0, high=0.049), [name])  # ties: worse than guessing
    said = words.verdict(with_tpr(low=0.12345, value=0.2345, high=0.3999), [name])
    assert "it names 234 [123, 400] of 1,000 members, the most of 7 attacks." in said
    low = with_tpr(low=0.051).attacks[name]
    by_rate = replace(low, auc=replace(low.auc, low=0.5))  # above chance at some rate, but not by the AUC
    report = replace(report, attacks=report.attacks | {name: by_rate})
    verdict = words.verdict(report, [name])
    assert verdict.startswith(
        f"Evidence of leakage: the attack “{name}” names more members than luck explains. Where at most "
    )
    assert "AUC of" not in verdict.partition(" Classes or groups")[0]


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).normal(size=50),
        np.random.default_rng(0).normal(size=50).astype(np.float32),
        np.array([0.0, -0.0, 1.5], dtype=np.float16),
        np.arange(-5, 5),
        np.arange(5, dtype=np.uint8),
        np.array([True, False]),
        np.arange(20, dtype=np.int32)[::2],
    ],
    ids=lambda v: str(v.dtype),
)
def test_hashes_are_those_of_pandas_3(values):
    """Pandas 3's, which reports were first made with; earlier ones tell −0 from 0."""
    values = np.ascontiguousarray(values)
    expected = pd.util.hash_array(values + 0 if values.dtype.kind == "f" else values, categorize=False)
    np.testing.assert_array_equal(examples._hashed(values), expected)


def as_pandas(y, is_member, given, group, x):
    """All that an audit is given, with one index of names."""
    index = [f"person {i}" for i in range(len(y))]
    return {
        "labels": pd.Series(y, index),
        "is_member": pd.Series(is_member, index),
        "logits": pd.DataFrame(given["logits"], index),
        "shadow_logits": given["shadow_logits"],
        "member_mask": pd.DataFrame(given["member_mask"], columns=index),
        "group": pd.Series(group, index),
        "features": pd.DataFrame(x, index, columns=["a", "b"]),
    }


def test_pandas_objects_are_audited_as_arrays_if_they_have_one_index():
    y, is_member, given = with_shadows(31)
    group, x = np.random.default_rng(0).choice(["a", "b"], 400), np.random.default_rng(1).normal(size=(400, 2))
    pandas = as_pandas(y, is_member, given, group, x)
    plain = audit(y, is_member, group=group, features=x, at_fpr=0.05, **given)
    assert audit(at_fpr=0.05, **pandas) == plain
    for name in set(pandas) - {"shadow_logits", "labels"}:
        along = {"axis": 1} if name == "member_mask" else {}
        moved = pandas[name].T.iloc[::-1].T if along else pandas[name].iloc[::-1]
        with pytest.raises(InputError, match=f"labels and {name}.* have the same index in another order"):
            audit(at_fpr=0.05, **pandas | {name: moved})
        with pytest.raises(InputError, match=f"labels and {name}.* have different indices.*reset_index"):
            audit(at_fpr=0.05, **pandas | {name: pandas[name].set_axis(range(400), **along)})


def test_models_of_every_kind_are_audited():
    y, is_member, z = outputs(14)
    frame = pd.DataFrame(z, columns=list("abcd"))
    expected = audit(y, is_member, logits=z, features=z, at_fpr=0.05).attacks["loss"].auc
    assert audit(y, is_member, model=lambda x: x, inputs=z, at_fpr=0.05).attacks["loss"].auc == expected
    ridge = RidgeClassifier().fit(frame, y)
    for inputs_ in (frame, z):  # pytest turns scikit-learn's warnings about names into errors
        report = audit(y, is_member, model=ridge, inputs=inputs_, at_fpr=0.05)
        assert (
            report.attacks["loss"].auc
            == audit(y, is_member, logits=ridge.decision_function(frame), features=z, at_fpr=0.05).attacks["loss"].auc
        )
    double = torch.nn.Linear(4, 4, bias=False).double()
    double.weight.data = torch.eye(4, dtype=torch.float64)
    report = audit(y, is_member, model=double, inputs=frame, white_box=True, at_fpr=0.05)
    assert report.attacks["loss"].auc.value == expected.value and "gradient norm" in report.attacks


def test_logits_that_look_like_probabilities_are_pointed_out():
    y, is_member, z = outputs(17)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    assert "look like probabilities" in audit(y, is_member, logits=p, at_fpr=0.05).warnings[0]


@pytest.mark.parametrize(
    ("rate", "text"), [(10 / 285, "0.036"), (0.05, "0.05"), (0.01, "0.01"), (1e-5, "1e-05"), (0.0101, "0.011")]
)
def test_rates_are_rounded_up(rate, text):
    assert rounded_up(rate) == text


def test_the_summary_says_what_was_not_looked_at(full):
    y, is_member, z = outputs(19)
    text = audit(y, is_member, logits=z, at_fpr=0.05).summary()
    assert "It saw no features" in text and "Not run: quantile regression, shadow classifier, LiRA online" in text
    assert "It saw no features" not in full.summary()


Y, M, Z = outputs(18)
P = np.exp(Z) / np.exp(Z).sum(1, keepdims=True)
BAD = {
    "no answers": ({}, ValueError, "give one of logits"),
    "two answers": ({"logits": Z, "probabilities": P}, ValueError, "give one of logits"),
    "one column": ({"logits": Z[:, :1]}, ValueError, r"shape \[400, C\].*a single column is for two classes"),
    "named classes": (
        {"model": LogisticRegression().fit(Z, np.array(list("abcd"))[Y]), "inputs": Z},
        ValueError,
        "400 of 400 labels are none of the model's classes, as 3; pass them as the model knows them: 'a', 'b', 'c', 'd'",
    ),
    "a vector": ({"probabilities": P[:, 0]}, ValueError, "labels go up to 3"),
    "too short": ({"logits": Z[:-1]}, ValueError, r"shape \[400, C\]"),
    "NaN": ({"logits": np.where(Z > 5, np.nan, Z)}, ValueError, "NaN or infinite"),
    "one NaN": (
        {"probabilities": np.where(np.arange(1600).reshape(400, 4) == 29, np.nan, P)},
        ValueError,
        r"1 probabilities are NaN or infinite; the first at \[7, 1\], counted from 0",
    ),
    "a NaN of a module": (
        {"model": torch.nn.Linear(4, 4), "inputs": np.where(np.arange(1600).reshape(400, 4) == 1204, np.nan, Z)},
        ValueError,
        r"the first at \[301, 0\], counted from 0",
    ),
    "text": ({"logits": Z.astype(str)}, TypeError, "must be numbers"),
    "classes": ({"logits": Z[:, :3]}, ValueError, "labels go up to 3"),
    "not summing to one": ({"probabilities": P * 0.9}, ValueError, "must sum to 1 for each example; 400 of 400"),
    "NaN probabilities": ({"probabilities": P * np.nan}, ValueError, "NaN"),
    "negative": ({"probabilities": Z}, ValueError, r"must lie in \[0, 1\]"),
    "floor": ({"probabilities": P, "floor": 0.7}, ValueError, "floor must lie"),
    "at_fpr": (
        {"logits": Z, "at_fpr": 0.01},
        ValueError,
        r"cannot be supported by 200 non-members.*settings=Settings\(at_fpr=0.05\).*--at-fpr 0.05,",
    ),
    "at_fpr 0": ({"logits": Z, "at_fpr": 0}, ValueError, "at_fpr must lie"),
    "confidence": ({"logits": Z, "confidence": 95}, ValueError, "confidence must lie"),
    "delta": ({"logits": Z, "delta": 1}, ValueError, "delta must lie"),
    "group": ({"logits": Z, "group": np.zeros(3)}, ValueError, r"group must have shape \[400\]"),
    "groups": ({"logits": Z, "group": np.arange(400), "n": 3}, ValueError, "coarser column"),
    "features": ({"logits": Z, "features": np.zeros((3, 2))}, ValueError, r"shape \[400, …\]"),
    "text features": ({"logits": Z, "features": np.full(400, "x")}, TypeError, "features must be numbers"),
    "missing features": ({"logits": Z, "features": np.full(400, np.nan)}, ValueError, "400 features are NaN"),
    "mask alone": ({"logits": Z, "member_mask": np.ones((2, 400), bool)}, ValueError, "only useful together"),
    "bank alone": ({"logits": Z, "shadow_logits": Z[None]}, ValueError, "only useful together"),
    "two banks": (
        {"logits": Z, "shadow_logits": Z[None], "shadow_probabilities": P[None], "member_mask": M[None]},
        ValueError,
        "give one of shadow_logits and",
    ),
    "bank shape": ({"logits": Z, "shadow_logits": Z[None, :9], "member_mask": M[None]}, ValueError, r"\[1, 400, C\]"),
    "bank classes": (
        {"logits": Z, "shadow_logits": np.zeros((1, 400, 5)), "member_mask": M[None]},
        ValueError,
        "have 5 classes",
    ),
    "bank NaN": ({"logits": Z, "shadow_logits": Z[None] * np.nan, "member_mask": M[None]}, ValueError, "NaN"),
    "mask shape": ({"logits": Z, "shadow_logits": Z[None], "member_mask": M}, ValueError, r"shape \[S, 400\]"),
    "mask type": ({"logits": Z, "shadow_logits": Z[None], "member_mask": M[None] * 0.5}, TypeError, "must be boolean"),
    "fit and bank": ({"logits": Z, "fit": fit_logistic, "member_mask": M[None]}, ValueError, "not both"),
    "fit alone": ({"logits": Z, "fit": fit_logistic}, ValueError, "fit needs inputs"),
    "model alone": ({"model": LogisticRegression()}, ValueError, "a model needs inputs"),
    "not a model": ({"model": "x", "inputs": Z}, TypeError, "torch module or have predict_proba"),
    "white box": ({"logits": Z, "white_box": True}, TypeError, "white_box=True needs model"),
}


@pytest.mark.parametrize("name", BAD)
def test_arguments_that_do_not_fit(name, monkeypatch):
    arguments, error, message = BAD[name]
    monkeypatch.setattr(inputs, "MAX_GROUPS", 300)
    with pytest.raises(error, match=message):
        audit(Y, M, **{"at_fpr": 0.1} | {k: v for k, v in arguments.items() if k != "n"})


@pytest.mark.parametrize(
    ("labels", "is_member", "error", "message"),
    [
        (Y * 1.0, M, TypeError, "labels must be integers"),
        (Y[:-1], M, ValueError, r"labels must have shape \[400\]"),
        (Y - 1, M, ValueError, "must not be negative"),
        (Y, M.astype(str), TypeError, "is_member must be .* got 'False', 'True'; compare with the word"),
        (Y, np.where(M, "yes", "no").tolist(), TypeError, "got 'no', 'yes'; .* is_member == 'yes'"),
        (
            Y,
            np.where(np.arange(400) == 7, np.nan, M),
            ValueError,
            r"1 values of is_member are NaN .* first at \[7\], counted",
        ),
        (np.where(np.arange(400) % 4 == 0, 1, Y + 1), M, ValueError, "labels count from 1 to 4, .* subtract 1 from"),
        (Y, M * 2, ValueError, "nothing but 0 and 1, got 2"),
        (Y, M | True, ValueError, "400 of 400 are members"),
        (Y, ~M & False, ValueError, "0 of 400 are members"),
        (Y, np.arange(400) < 10, ValueError, "at least 20 members"),
    ],
)
def test_labels_and_memberships_that_do_not_fit(labels, is_member, error, message):
    with pytest.raises(error, match=message):
        audit(labels, is_member, logits=Z, at_fpr=0.1)


def test_memberships_may_be_numbers():
    expected = audit(Y, M, logits=Z, at_fpr=0.1)
    for given in (M.astype(int), M.astype(float), M.astype(object), pd.Series(M, dtype="boolean")):
        assert audit(Y, given, logits=Z, at_fpr=0.1) == expected


# ---- the report


def test_json_follows_the_schema(full):
    validator = jsonschema.Draft202012Validator(JSON_SCHEMA)
    validator.check_schema(JSON_SCHEMA)
    quiet = audit(Y, M, logits=Z, at_fpr=0.1)
    for report in (full, quiet):
        data = json.loads(report.to_json())
        validator.validate(data)
        assert data["schema_version"] == 1 and data["status"] == report.status
    for spoil in (
        lambda d: d.pop("verdict"),
        lambda d: d.update(status="safe"),
        lambda d: d.update(schema_version=2),
        lambda d: d["attacks"]["loss"].pop("auc"),
        lambda d: d["data"].update(n_members=-1),
    ):
        data = json.loads(full.to_json())
        spoil(data)
        assert not validator.is_valid(data)


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen, self.open = set(), []

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_malicious_names_are_harmless(full):
    html = Tags()
    html.feed(full._repr_html_())
    assert not html.open
    text, table = {"div", "h3", "h4", "p", "b", "ul", "ol", "li", "img"}, {"table", "thead", "tbody", "tr", "th", "td"}
    assert html.seen <= text | table
    assert "&lt;script&gt;" in full._repr_html_()
    markdown = full.to_markdown()
    assert "<script>" not in markdown and "](http" not in markdown and "\x1b" not in markdown
    rows = [line for line in markdown.splitlines() if line.startswith("| group")]
    assert len(rows) == 3 and all(len(re.findall(r"(?<!\\)\|", row)) == 7 for row in rows)
    assert "\x1b" not in full.summary()


def test_markdown_and_html_say_what_the_report_says(full):
    for text in (full.to_markdown(), full._repr_html_(), full.summary()):
        for sentence in (full.verdict[:40], str(full.attacks["loss"].auc), "LiRA online", "blind model, loss"):
            assert sentence.replace("<", "&lt;") in text or sentence in text
    for text in (full.to_markdown(), full._repr_html_()):
        assert "Assumptions" in text and "Not run" in text and "Most exposed" in text


def test_the_gate():
    report = audit(*outputs(0, 1000, leak=2)[:2], logits=outputs(0, 1000, leak=2)[2], at_fpr=0.05)
    assert report.exceeds(report.tpr.value - 1e-6) and not report.exceeds(report.tpr.value)
    with pytest.raises(ValueError, match="true-positive rate in"):
        report.exceeds(5)


# ---- command line


def save(path, **arrays):
    np.savez(path, **{"labels": Y, "is_member": M, "logits": Z} | arrays)
    return str(path)


def run(*arguments):
    return subprocess.run([sys.executable, "-m", "mia_helpers.audit", *arguments], capture_output=True, text=True)


def test_exit_codes(tmp_path, capsys):
    y, is_member, z = outputs(0, 2400, leak=3)
    leaky = save(tmp_path / "leaky.npz", labels=y, is_member=is_member, logits=z)
    done = run(leaky, "--fail-above-tpr", "0.05", "--at-fpr", "0.01")
    assert (done.returncode, done.stderr) == (1, "") and "gate SHUT" in done.stdout and "Evidence of leakage" in done.stdout
    assert main([str(tmp_path / "not there.npz")]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1 and not printed.out


def test_gate_open_and_reports_written(tmp_path, capsys):
    files = [tmp_path / f"report.{kind}" for kind in ("json", "md", "html")]
    p = np.exp(Z) / np.exp(Z).sum(1, keepdims=True)
    np.savez(
        tmp_path / "quiet.npz",
        labels=Y,
        is_member=M.astype(np.uint8),
        probabilities=p.astype(np.float32),
        group=Y % 2,
        features=np.random.default_rng(0).normal(size=(400, 2)),
    )
    arguments = [
        str(tmp_path / "quiet.npz"),
        "--fail-above-tpr",
        "0.5",
        "--at-fpr",
        "0.05",
        "--json",
        str(files[0]),
        "--markdown",
        str(files[1]),
        "--html",
        str(files[2]),
    ]
    assert main(arguments) == 0
    assert "gate open" in capsys.readouterr().out
    jsonschema.validate(json.loads(files[0].read_text("utf-8")), JSON_SCHEMA)
    assert files[1].read_text("utf-8").startswith("# Membership") and files[2].read_text("utf-8").startswith(
        "<!doctype html>"
    )
    assert main(arguments[:1] + ["--at-fpr", "0.05"]) == 0  # no gate: a report and no verdict on it


def test_shadows_from_a_file_and_strict(tmp_path, capsys):
    y, is_member, given = with_shadows(0)
    path = save(tmp_path / "a.npz", labels=y, is_member=is_member, **given)
    assert main([path, "--at-fpr", "0.05", "--fail-above-tpr", "0.1"]) == 1
    assert "LiRA online" in capsys.readouterr().out
    shifted = save(tmp_path / "b.npz", features=np.where(M, 1.0, 0.0) + np.random.default_rng(0).normal(size=400))
    assert main([shifted, "--at-fpr", "0.05"]) == 0
    assert "WARNING" in capsys.readouterr().out
    assert main([shifted, "--at-fpr", "0.05", "--fail-above-tpr", "0.9", "--strict"]) == 2
    assert main([shifted, "--at-fpr", "0.05", "--strict"]) == 2, "without a gate, too"


@pytest.mark.parametrize("error", [TypeError, ValueError, KeyError])
@pytest.mark.parametrize(
    ("room", "inner"),
    [(scoring, "_cross_fitted"), (run_room, "draw"), (measuring, "exposed"), (run_room, "AuditReport")],
)
def test_a_mistake_in_the_audit_is_not_blamed_on_the_input(room, inner, error, tmp_path, capsys, monkeypatch):
    def broken(*args, **kwargs):
        raise error("unsupported operand")

    monkeypatch.setattr(room, inner, broken)
    assert main([save(tmp_path / "a.npz"), "--at-fpr", "0.1", "--fail-above-tpr", "0.5"]) == 3
    printed = capsys.readouterr()
    assert printed.out == "" and "Traceback" in printed.err and "in broken" in printed.err
    assert "mistake in the audit, not in its input" in printed.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--at-fpr", "0.01"], "cannot be supported by 200 non-members"),
        (["--at-fpr", "2"], "at_fpr must lie"),
        (["--at-fpr", "0.1", "--fail-above-tpr", "5"], "--fail-above-tpr must lie"),
        (["--at-fpr", "0.1", "--confidence", "95"], "confidence must lie"),
        (["--at-fpr", "0.1", "--json", "no/such/folder/x.json"], "No such file"),
    ],
)
def test_options_it_cannot_use(arguments, message, tmp_path, capsys):
    assert main([save(tmp_path / "a.npz"), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_time_and_memory_grow_no_faster_than_the_examples():
    """The benchmark audits 1,000,000 examples; here ratios for some thousands, imports aside."""
    script = """
import resource, time, numpy as np
from mia_helpers.audit import audit
rng = np.random.default_rng(0)
n = 60_000
y, m, z = rng.integers(0, 10, n), rng.random(n) < 0.5, rng.standard_normal((n, 10), dtype=np.float32)
def seconds(k):
    start = time.process_time()
    audit(y[:k], m[:k], logits=z[:k])
    return time.process_time() - start
seconds(3000)
few, before = min(seconds(20_000) for _ in range(3)), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(min(seconds(n) for _ in range(2)) / few, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    ratio, megabytes = map(float, done.stdout.split())
    assert ratio < 6 and megabytes < 150  # three times as many examples; nine times as long would be quadratic

"""The notebooks' own code, a cell or a few at a time, on small made-up data.

Titles and tables state what they say they state; every model is trained on, and asked about, whom it should be. What a cell
draws or claims on real data is tested by running the notebooks; here a slip shows that no claim would notice.
"""

import ast
import contextlib
import io
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr
from scipy.stats import t as student

from mia_helpers import attacks, masks, metrics, plots, signals
from mia_helpers.bank import ShadowBank, draw_halves
from mia_helpers.course import canaries, challenge, defended
from mia_helpers.course.two_scales import advantages
from mia_helpers.data import ImageSet, load_digits
from mia_helpers.metrics import Estimate

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


@cache
def cells(number):
    (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def run(number, names, *texts):
    """Run the cells of a notebook in which these texts stand, one cell for each, with `names` defined; the last value."""
    common = {"np": np, "pd": pd, "plt": plt, "torch": torch, "metrics": metrics, "signals": signals, "plots": plots}
    silent = SimpleNamespace(**dict.fromkeys(("predict", "reveal", "rank"), lambda *_, **__: None))
    names.update(common | {"attacks": attacks, "masks": masks, "predictions": silent, "display": print} | names)
    value, printed = None, io.StringIO()
    with contextlib.redirect_stdout(printed):
        for text in texts:
            (source,) = [cell for cell in cells(number) if text in cell]
            *statements, last = ast.parse(source).body
            ends_in_value = isinstance(last, ast.Expr)
            exec(compile(ast.Module(statements if ends_in_value else [*statements, last], []), text, "exec"), names)
            value = eval(compile(ast.Expression(last.value), text, "eval"), names) if ends_in_value else None
    names["printed"] = printed.getvalue()
    return value


def images_of(n, seed=0):
    """Digits that no two sets with other seeds share."""
    rng = np.random.default_rng(seed)
    return ImageSet(torch.tensor(rng.random((n, 1, 28, 28), dtype=np.float32)), torch.tensor(rng.integers(0, 10, n)), "")


def in_common(one, other):
    return {image.numpy().tobytes() for image in one} & {image.numpy().tobytes() for image in other}


def corner(images):
    """Ten numbers by which an image is known: what a model without weights answers."""
    return np.asarray(images).reshape(len(images), -1)[:, 300:310]


# ------------------------------------------------------------------------------------------------------------ 01 to 03


def test_01_blind_models_have_seen_nobody_who_is_asked_about():
    from mia_helpers.course.patients import draw_patients

    trained = []
    names = {
        "draw_patients": draw_patients,
        "fit": lambda points, ill, wiggliness: trained.append((points, ill)) or len(trained) - 1,
    }
    run("01", names, "def draw_people(", "def play(")
    names["how_sure"] = lambda model, records, ill: (model, records, ill)
    for blind in (False, True):
        model, records, ill = names["play"](seed=3, blind=blind)
        points, whose = trained[model]
        asked = {tuple(r) for r in records}
        assert len(asked) == 400 and len(points) == len(whose) == 200
        if blind:
            assert not asked & {tuple(p) for p in points}
        else:
            np.testing.assert_array_equal(points, records[names["is_member"]])
            np.testing.assert_array_equal(whose, ill[names["is_member"]])


def test_01_rates_stand_under_their_names():
    rng = np.random.default_rng(0)
    is_member = np.arange(400) < 200
    ten = [rng.random(400) ** np.where(is_member, 0.3, 1.0) for _ in range(10)]
    names = {"is_member": is_member, "ten_targets": ten, "draw_people": None, "draw_patients": None}
    table = run("01", names, "def play(", "pd.DataFrame(both.round(2)")
    for t in table.columns:
        for name, rows in (("TPR", is_member), ("FPR", ~is_member)):
            assert table.loc[name, t] == pytest.approx(np.mean([(sure >= t)[rows].mean() for sure in ten]), abs=0.006)
    accused, was_in = rng.random((200, 60)) < rng.random(60), rng.random((200, 60)) < 0.5
    from mia_helpers.course import patients

    names = {"accused": accused, "was_in": was_in, "patients": patients}
    table = run("01", names, "def worth(", '"hardly ever": group_by')
    first, second = slice(0, 100), slice(100, 200)
    own = (accused & ~was_in)[first].sum(0) / (~was_in)[first].sum(0)
    for kind, who in (("hardly ever", own < 0.1), ("nearly always", own > 0.9)):
        inside = (accused & was_in)[second].sum(0) / was_in[second].sum(0)
        outside = (accused & ~was_in)[second].sum(0) / (~was_in)[second].sum(0)
        tpr, fpr = inside[who].mean(), outside[who].mean()
        row = table.loc[kind]
        assert row["people"] == who.sum() and row["TPR"] == round(tpr, 2) and row["FPR"] == round(fpr, 2)
        for column, prior in (("precision, prior 1 in 2", 0.5), ("precision, prior 1 in 100", 0.01)):
            assert row[column] == round(tpr * prior / (tpr * prior + fpr * (1 - prior)), 2)


def test_01_intervals_over_targets_are_students():
    is_member = np.arange(400) < 200

    def play(seed, blind=False):
        return np.random.default_rng([seed, blind]).random(400) + (not blind) * 0.2 * is_member

    names = {"play": play, "is_member": is_member}
    run("01", names, "def control(seed)")
    for (name, row), column in zip(names["rows"].items(), names["aucs"].T):
        expected = metrics.mean_over_models(column)
        assert row.value == pytest.approx(expected.value)
        assert row.high - row.low == pytest.approx(expected.high - expected.low, rel=0.01), name
    assert student.ppf(0.975, 19) == pytest.approx(2.09, abs=0.005)
    target, blind, permuted = names["aucs"].mean(0)
    assert target > 0.6 and abs(blind - 0.5) < 0.02 and abs(permuted - 0.5) < 0.02


def test_02_the_target_learns_from_members_and_the_slider_says_whose_rates_it_shows():
    members, others, asked = images_of(20), images_of(20, 1), []
    names = {"members": members, "non_members": others, "ClassifierModel": lambda: None}
    names |= {"load_or_train": lambda model, data, **rest: asked.append((data, rest)) or SimpleNamespace(history={})}
    names["plots"] = SimpleNamespace(learning_curves=lambda history: None)
    run("02", names, "target = load_or_train(")
    assert asked[0][0] is members and asked[0][1]["validation"] is others

    rng, drawn = np.random.default_rng(0), []
    names = {"member_phi": rng.normal(6, 3, 500), "non_member_phi": rng.normal(3, 3, 400)}
    names |= {"two_scales": lambda *given: drawn.append(given) or plt.figure()}
    names |= {"widgets": SimpleNamespace(slider=lambda *_, **__: None)}
    run("02", names, "def plot_threshold(")
    names["plot_threshold"](4.0)
    caught, accused = ((names[phi] >= 4).mean() for phi in ("member_phi", "non_member_phi"))
    assert drawn[0][:2] == (names["member_phi"], names["non_member_phi"]) and drawn[0][2] == 4.0
    assert plt.gcf().get_suptitle() == f"members caught {caught:.1%}, non-members accused {accused:.1%}"
    blind_phi = rng.normal(5, 3, 500), rng.normal(4, 3, 400)
    asked = dict(zip((members, others), blind_phi))
    names |= {"members": members, "non_members": others, "blind_phi": None}
    names["classic"] = SimpleNamespace(experiment=lambda who: SimpleNamespace(model=who))
    names["predict_logits"] = lambda model, images: (model, images)
    told = {("blind", id(data.images)): values for data, values in asked.items()}
    names["signals"] = SimpleNamespace(logit_confidence=lambda z, labels: told[z[0], id(z[1])])
    table = run("02", names, "def shares_of(", "shares = pd.DataFrame(")
    phis = {"members": names["member_phi"], "non-members": names["non_member_phi"]}
    for column, phi in phis.items():
        assert table.loc["below 3 (tail)", column] == pytest.approx((phi < 3).mean(), abs=6e-4)
        assert table.loc["4 to 8 (band)", column] == pytest.approx(((phi >= 4) & (phi < 8)).mean(), abs=6e-4)
        assert table.loc["above 12", column] == pytest.approx((phi >= 12).mean(), abs=6e-4)
    np.testing.assert_allclose(table["difference"], table["members"] - table["non-members"], atol=2e-3)
    in_tail = (blind_phi[0] < 3).mean() - (blind_phi[1] < 3).mean()
    assert table.loc["below 3 (tail)", "blind model's difference"] == pytest.approx(in_tail, abs=6e-4)


def test_02_a_threshold_is_chosen_on_one_half_and_judged_on_the_other():
    rng = np.random.default_rng(1)
    member_phi, other_phi, blind_phi = rng.normal(1, 3, 2000), rng.normal(0, 3, 2000), rng.normal(0, 3, (2, 2000))
    for phi in (member_phi, other_phi):
        phi[::2] += 4  # so that the halves want different thresholds
    names = {"member_logits": member_phi, "non_member_logits": other_phi, "blind_phi": blind_phi, "gap": 0.1}
    names |= {"members": SimpleNamespace(labels=None), "non_members": SimpleNamespace(labels=None), "advantages": advantages}
    names["signals"] = SimpleNamespace(logit_confidence=lambda z, labels: z)
    run("02", names, "def best_of(", "elsewhere, by_luck = ")
    expected, here = [], []
    for chosen, judged in ((slice(0, None, 2), slice(1, None, 2)), (slice(1, None, 2), slice(0, None, 2))):
        every = np.concatenate([member_phi[chosen], other_phi[chosen]])
        best = max(every, key=lambda t: (member_phi[chosen] >= t).mean() - (other_phi[chosen] >= t).mean())
        expected.append((member_phi[judged] >= best).mean() - (other_phi[judged] >= best).mean())
        here.append((member_phi[chosen] >= best).mean() - (other_phi[chosen] >= best).mean())
    assert names["elsewhere"] == pytest.approx(np.mean(expected), abs=0.01) and np.mean(expected) < np.mean(here) - 0.02
    every = np.concatenate(blind_phi)
    assert names["by_luck"] == pytest.approx(advantages(*blind_phi, every).max())


def test_02_the_odd_digits_are_taught_beside_the_few_and_under_the_name_given():
    few, odd, fitted = images_of(30), images_of(10, 1), []
    names = {"few": few, "odd": odd, "F": torch.nn.functional, "SmallClassifier": lambda: None, "recipe": {}}
    names["load_or_fit"] = lambda model, images, labels, loss, **rest: (
        fitted.append((images, labels)) or SimpleNamespace(model=0)
    )
    names |= {"predict_logits": lambda model, images: None, "moved": lambda *given: None, "without": 1}
    names["signals"] = SimpleNamespace(logit_confidence=lambda z, labels: np.zeros(len(labels)))
    tree = ast.parse(next(cell for cell in cells("02") if "def network_with(" in cell))
    functions = [statement for statement in tree.body if isinstance(statement, ast.FunctionDef)]
    exec(compile(ast.Module(functions, []), "02", "exec"), names | {"torch": torch}, names)
    for name in ("network_with", "phi_of"):
        names[name].__globals__.update(names | {"torch": torch})
    run("02", names, "def teach(")
    names["teach"](3, 7)
    images, labels = fitted[-1]
    assert torch.equal(images[:30], few.images) and torch.equal(labels[:30], few.labels)
    assert torch.equal(images[30:], odd.images[[3]]) and labels[30:].tolist() == [7]


def test_02_what_comes_out_is_about_unseen_digits():
    members, others = images_of(250), images_of(2000, 1)
    z = {id(data.images): np.random.default_rng(i).normal(i, 2, (len(data), 10)) for i, data in enumerate((members, others))}
    names = {"few": members, "non_members": others, "predict_logits": lambda model, images: z[id(images)]}
    run("02", names, "def what_comes_out(")
    found, unseen = names["what_comes_out"](None), z[id(others.images)]
    assert found["accuracy, members"] == (z[id(members.images)].argmax(1) == members.labels.numpy()).mean()
    assert found["accuracy, unseen"] == (unseen.argmax(1) == others.labels.numpy()).mean()
    assert found["mean confidence, unseen"] == signals.max_confidence(unseen, others.labels).mean()
    phi = [signals.logit_confidence(z[id(d.images)], d.labels) for d in (members, others)]
    assert found["AUC of the threshold attack"] == metrics.auc(np.concatenate(phi), np.arange(2250) < 250).value
    members, shown = images_of(2000), []
    names["members"] = members
    names["plots"] = SimpleNamespace(image_grid=lambda images, titles, **rest: shown.append((images, titles)))
    run("02", names | (fixed := {"member_confidence": np.random.default_rng(0).random(2000)}) | {}, "def ends(")
    (images, titles) = shown[0]
    order = np.argsort(fixed["member_confidence"])
    chosen = [*order[:10], *order[::-1][:10]]
    assert titles == [f"{c:.2f}" for c in fixed["member_confidence"][chosen]]
    assert torch.equal(images, members.images[chosen])


def test_03_a_shadows_threshold_comes_from_its_own_digits_and_is_judged_on_the_target():
    rng, is_member = np.random.default_rng(0), np.arange(4000) < 2000

    class Pool(SimpleNamespace):
        def __len__(self):
            return len(self.images)

    def pool(centre):  # members surer than the others, around a centre of its own
        return [Pool(images=rng.normal(centre + d, 1, 2000), labels=np.zeros(2000, int)) for d in (1.0, 0.0)]

    def predict_logits(model, values):
        return np.stack([values, *np.zeros((9, 2000))], axis=1)

    members, others = pool(3.0)
    target = SimpleNamespace(model="target", members=members, non_members=others)
    shadows = [(kind, kind, *pool(centre)) for kind, centre in (("near", 3.0), ("far", 5.0), ("very far", 20.0))]
    names = {"target": target, "shadows": shadows, "predict_logits": predict_logits, "agreement": lambda model: 0.9}
    names |= {"evaluate": lambda model, data: SimpleNamespace(accuracy=float(np.mean(data.images)))}
    names |= {"accuracies": {"target": [1.0, 0.9]}, "worth_of_shadows": lambda *given: drawn.append(given)}
    drawn = []
    run("03", names, "def values_of(", "def threshold_of(", "def row_of(", "worth = pd.DataFrame([row_of(")
    found = names["worth"].to_dict("index")
    ((table, gap_attack, best),) = drawn
    assert table is names["worth"] and gap_attack == pytest.approx(0.1) and best["φ"] >= found["near"]["worth, φ"]
    on_target = np.concatenate([members.images, others.images])
    for kind, _, own, unseen in shadows:
        threshold = metrics.best_threshold(np.concatenate([own.images, unseen.images]), is_member)
        claimed = on_target >= threshold
        expected = claimed[is_member].mean() - claimed[~is_member].mean()
        assert found[kind]["worth, φ"] == pytest.approx(expected, abs=0.03)
        assert found[kind]["own gap"] == pytest.approx(own.images.mean() - unseen.images.mean())
    assert found["near"]["worth, φ"] > found["far"]["worth, φ"] + 0.1 > found["very far"]["worth, φ"]


def test_03_each_shadow_is_judged_on_what_it_was_trained_on():
    digits, trained = load_digits("shadow"), []
    names = {"my_digits": digits, "settings": {"epochs": 30}, "shadow": None, "my_members": None, "my_non_members": None}
    names |= {"lay_down": lambda d: ImageSet(d.images.transpose(2, 3), d.labels, "lying"), "SmallClassifier": lambda: None}
    names |= {"load_or_train": lambda model, data, **rest: trained.append(rest) or SimpleNamespace(model=data)}
    run("03", names, "def small_shadow(")
    assert len(names["shadows"]) == 16
    for _, model, own, others in names["shadows"][1:]:
        assert model is own and not in_common(own.images[:200], others.images[:200])
        assert len(own) == len(others) == 2000
    assert [rest["epochs"] for rest in trained] == [30] * 6 + [3] * 9


# ------------------------------------------------------------------------------------------------------------ 04 and 05


def trained(name, seed):
    members, others = images_of(2000, seed), images_of(2000, seed + 1)
    return SimpleNamespace(model=name, members=members, non_members=others)


def test_04_blind_models_are_asked_about_what_the_target_is_asked_about():
    target, shadow, letters = trained("target", 0), trained("shadow", 10), images_of(2000, 20)
    blind, judged = [trained(f"blind {i}", 30 + 10 * i) for i in range(3)], {}
    object.__setattr__(letters, "n_classes", 26)
    names = {"target": target, "shadow": shadow, "letters": letters, "my_letters": letters, "blind_models": blind}
    names |= {"predict_logits": lambda model, images: corner(images), "ShadowBank": ShadowBank, "classic_attack": None}
    names |= {"evaluate_attack": lambda attack, name, pool: judged.update({name: pool}), "cache": cache}
    run("04", names, "def ask_both(", "blind_letters = [")
    for i, model in enumerate(blind, start=1):
        for kind, others in (("letters", letters), ("unseen digits", target.non_members)):
            logits, labels = judged[f"blind {i}: members or {kind}"]
            asked = torch.cat([target.members.images, others.images])
            np.testing.assert_array_equal(logits, corner(asked))
            assert not in_common(model.members.images, asked)
            if kind == "unseen digits":
                np.testing.assert_array_equal(labels, np.concatenate([target.members.labels, others.labels]))
    np.testing.assert_array_equal(names["on_target"][0][2000:], corner(target.non_members.images))
    np.testing.assert_array_equal(names["bank"].logits[0, :2000], corner(shadow.members.images))
    assert names["bank"].member_mask[0, :2000].all() and not names["bank"].member_mask[0, 2000:].any()


def fake_report(seed):
    a, b, c = np.random.default_rng(seed).random(3)
    return SimpleNamespace(
        accuracy=Estimate(a, a, a), auc=Estimate(b, b, b), tpr_at_fpr={0.01: Estimate(c, c, c)}, advantage=Estimate(1, 1, 1)
    )


def test_04_the_closing_table_has_each_figure_in_its_column_and_each_row_its_own_report():
    shown, models = ("max confidence", "modified entropy"), {"target": "target", "blind 1": "blind"}
    honest, on_blind = ({name: fake_report(i + k) for i, name in enumerate(shown)} for k in (0, 10))
    wheres = [f"{who}: members or {pool}" for who in models for pool in ("letters", "unseen digits")]
    wheres += [f"{kind}, {who}: members or unseen digits" for kind in ("honest", "trees") for who in models.values()]
    reports = {where: fake_report(20 + i) for i, where in enumerate(wheres)}
    names = {"honest": honest, "thresholds_on_blind": on_blind, "reports": reports}
    table = run("04", names, "def row(attack", 'shown = ("max confidence", "modified entropy")').reset_index()
    assert len(table) == 12
    begins = {"network, classic": "", "network, honest": "honest, ", "trees, honest": "trees, "}
    for _, row in table.iterrows():
        kind, who = row["attack"].removeprefix("threshold: "), row["model"]
        if kind in shown:
            report = (honest if who == "target" else on_blind)[kind]
            assert row["non-members"] == "unseen digits"
        else:
            start = begins[kind] + (models[who] if begins[kind] else who)
            report = reports[f"{start}: members or {row['non-members']}"]
        assert row["accuracy"] == str(report.accuracy) and row["AUC"] == str(report.auc)
        assert row["TPR at 1 % FPR"] == str(report.tpr_at_fpr[0.01])


def test_04_the_sliders_titles_state_the_accuracy():
    rng = np.random.default_rng(0)
    kinds = {"members": (6, 3), "unseen digits": (3, 2), "letters": (1, 3)}
    confidence = {name: rng.beta(*ab, 2000) for name, ab in kinds.items()}
    names = {"target_signal": np.concatenate([confidence["members"], confidence["unseen digits"]])}
    names |= {
        "target_letters": (),
        "signals": SimpleNamespace(max_confidence=lambda: np.r_[np.zeros(2000), confidence["letters"]]),
    }
    run("04", names, '"unseen digits": target_signal[2000:]', "def plot_threshold(")
    names["plot_threshold"](0.6)
    for ax, kind in zip(plt.gcf().axes, ("unseen digits", "letters")):
        right = (confidence["members"] >= 0.6).sum() + (confidence[kind] < 0.6).sum()
        assert ax.get_title() == f"against {kind}: accuracy {right / 4000:.2f}"


def eight_models(seed=0, n=300):
    rng = np.random.default_rng(seed)
    mask = rng.random((8, n)).argsort(1) < n // 2
    labels, truth = rng.integers(0, 10, (8, n)), rng.integers(0, 10, (8, n))
    truth = np.where(rng.random((8, n)) < 0.8, labels, truth)
    logits = rng.normal(0, 1, (8, n, 10))
    np.put_along_axis(logits, labels[..., None], 2 + mask[..., None] + rng.normal(0, 1, (8, n, 1)), -1)
    return defended.Models(logits, mask, labels, truth)


def test_05_the_control_is_about_another_model_of_the_same_owner():
    usual, judged = eight_models(), []

    def attacked(models, attack, shadows=None):
        judged.append((models, shadows))
        return {"AUC": np.full(8, 0.5), "advantage": np.zeros(8)}

    from dataclasses import replace

    from mia_helpers.attacks import ClassifierAttack, ThresholdAttack, boosted_trees

    names = {"usual": usual, "defended": SimpleNamespace(attacked=attacked), "replace": replace}
    names |= {"ClassifierAttack": ClassifierAttack, "ThresholdAttack": ThresholdAttack, "boosted_trees": boosted_trees}
    run("05", names, "judge = {")
    run("05", names, "others_members = np.roll(")
    control, shadows = judged[-1]
    assert shadows is usual  # what the attacks learn from is as it was; only whom they are asked about is another's
    for k, mask in enumerate(control.member_mask):
        whose = [j for j in range(8) if np.array_equal(mask, usual.member_mask[j])]
        assert (
            len(whose) == 1 and whose[0] != k and whose[0] % 2 == k % 2
        )  # even models are one owner's, odd ones the other's
        np.testing.assert_array_equal(control.logits[k], usual.logits[k])


def test_05_tables_have_each_defences_own_figures():
    models = {name: eight_models(i) for i, name in enumerate(("no defence", "dropout", "labels only"))}
    verdicts = {
        name: {
            a: {what: np.random.default_rng([i, k, j]).random(8) for j, what in enumerate(("AUC", "advantage"))}
            for k, a in enumerate(("confidence", "loss", "classifier"))
        }
        for i, name in enumerate(models)
    }
    mean = metrics.mean_over_models
    of_model = {id(m): verdicts[name] for name, m in models.items()}
    names = {"models": models, "verdicts": verdicts, "mean": mean, "usual": models["no defence"]}
    names["verdict"] = lambda m: of_model[id(m)]
    drawn = []
    names["defended"] = SimpleNamespace(plot_bargains=lambda picture, least: drawn.append(picture))
    table = run("05", names, "verdicts |= {name: verdict(m)")
    for name, m in models.items():
        assert table.loc[name, "accuracy"] == str(mean(m.accuracy)) and table.loc[name, "gap"] == str(mean(m.gap))
        for attack in ("loss", "classifier"):
            assert table.loc[name, f"AUC, {attack}"] == str(mean(verdicts[name][attack]["AUC"]))
        assert table.loc[name, "advantage, loss"] == str(mean(verdicts[name]["loss"]["advantage"]))
    table = run("05", names, "def bargains()", "found = bargains()", "pd.DataFrame(table).T.astype(str)")
    for name, m in models.items():
        best = max(verdicts[name], key=lambda attack: verdicts[name][attack]["AUC"].mean())
        row = table.loc[name]
        assert row["strongest attack"] == best and row["its AUC"] == str(mean(verdicts[name][best]["AUC"]))
        assert row["accuracy"] == str(mean(m.accuracy)) and drawn[0][name] == (
            mean(m.accuracy),
            mean(verdicts[name][best]["AUC"]),
        )
        advantages = [mean(found["advantage"]) for found in verdicts[name].values()]
        assert row["largest advantage"] == str(max(advantages, key=lambda found: found.value))


def test_05_whose_label_has_a_one_after_rounding():
    usual = eight_models(4)
    usual = defended.Models(3 * usual.logits, usual.member_mask, usual.labels, usual.truth)  # sure enough for a 1.0
    shown = {"rounded confidences": masks.round_probabilities(usual.logits, 1)}
    table = run("05", {"usual": usual, "shown": shown, "mean": metrics.mean_over_models}, "tied = []")
    found = []
    for z, y, member, answer in zip(usual.logits, usual.labels, usual.member_mask, shown["rounded confidences"]):
        ones = np.array([answer[i, label] == 1 for i, label in enumerate(y)])
        loss = signals.negative_loss(z, y)
        found.append((ones[member].mean(), ones[~member].mean(), metrics.auc(loss[ones], member[ones]).value))
    expected = [str(metrics.mean_over_models(column)) for column in np.transpose(found)]
    assert table.loc["rounded"].tolist() == expected


def test_05_rates_of_wrong_and_right_labels():
    from mia_helpers.attacks import ThresholdAttack

    models = eight_models(3)
    names = {"defended": SimpleNamespace(train=lambda **_: models), "judge": {"loss": ThresholdAttack()}}
    table, expected = run("05", names, "mislabelled = defended.train("), []
    for k, (target, shadow) in enumerate(models.pairs()):
        claimed = ThresholdAttack().fit(shadow).score(target.logits[0], target.labels) >= 0
        wrong = models.labels[k] != models.truth[k]
        expected.append(
            [[claimed[of & m].mean() for m in (models.member_mask[k], ~models.member_mask[k])] for of in (wrong, ~wrong)]
        )
    np.testing.assert_allclose(table.loc[["wrong label", "right label"], ["TPR", "FPR"]], np.mean(expected, 0), atol=6e-4)


# ------------------------------------------------------------------------------------------------------------ 06 and 07


def farm_06(n, images, labels, *, n_candidates, n_members, seed, **rest):
    """A farm whose models answer with a part of the image: so it can be seen what was asked about."""
    mask = np.zeros((n, len(images)), bool)
    mask[:, :n_candidates] = np.random.default_rng(seed).random((n, n_candidates)).argsort(1) < n_members
    return SimpleNamespace(logits=np.tile(corner(images), (n, 1, 1)), labels=labels, member_mask=mask, images=images)


@cache
def start_of_06():
    names = {"load_digits": load_digits, "train_shadows": farm_06}
    run("06", names, "def farm(n_models")
    return names


def test_06_blind_models_are_trained_on_other_digits_and_asked_about_the_candidates():
    names = start_of_06() | {"entered": {}, "scores": {}, "run": None}
    names["is_member"] = is_member = names["targets"].member_mask[:, :1000]
    run("06", names, "blind = farm(")
    asked = np.concatenate([names["candidates"].images, names["population"].images])
    assert names["blind_logits"].shape[:2] == (8, 2000)
    np.testing.assert_array_equal(names["blind_logits"][0], corner(asked))
    learnt = torch.tensor(names["blind"].images[names["blind"].member_mask.any(0)])
    assert len(learnt) and not in_common(learnt, torch.tensor(asked))
    permuted = names["permuted"]
    assert permuted.shape == is_member.shape and (permuted.sum(1) == 500).all()
    assert np.array_equal(permuted[1::2], ~permuted[::2]) and abs((permuted == is_member).mean() - 0.5) < 0.03


def test_06_near_copies_are_moved_and_the_targets_members_are_kept():
    names = start_of_06()
    names = names | {"run": lambda attack, logits: logits, "attacks": attacks}
    run("06", names, "near = farm(8, moved")
    scores, moved = names["near_scores"], names["is_moved"]
    np.testing.assert_array_equal(scores[0][:1000], corner(names["candidates"].images))  # asked about the digits themselves
    before, after = names["candidates"].images, names["near"].images[:1000]
    changed = np.array([not np.array_equal(a, b) for a, b in zip(before.numpy(), after)])
    np.testing.assert_array_equal(changed, moved)
    np.testing.assert_array_equal(names["near"].member_mask[:, :1000], names["targets"].member_mask[:, :1000])


def test_06_shares_of_the_accused_by_exposure():
    rng = np.random.default_rng(0)
    is_member, scores = rng.random((8, 1000)) < 0.5, rng.normal(size=(8, 1000))
    mean_in, mean_out = rng.normal(size=1000), rng.normal(size=1000)
    scores += 3 * is_member * (mean_in - mean_out > 1)
    names = {"scores": {"LiRA online": scores}, "is_member": is_member, "mean_in": mean_in, "mean_out": mean_out}
    names["figures"] = SimpleNamespace(exposure=lambda *given: plt.figure())
    table = run("06", names, "tenths = np.array_split(")
    limit = metrics.threshold_at_fpr(scores.ravel(), is_member.ravel(), 0.01)
    order = np.argsort(mean_in - mean_out)
    for k in range(10):
        who = order[100 * k : 100 * (k + 1)]
        for row, kind in (("members", is_member), ("non-members", ~is_member)):
            assert table.loc[row, k + 1] == pytest.approx((scores >= limit)[:, who][kind[:, who]].mean(), abs=6e-4)


def test_06_cards_say_whose_they_are():
    rng, titles = np.random.default_rng(0), []
    names = start_of_06() | {"scores": {"LiRA online": rng.normal(size=(8, 1000))}, "truth": rng.random(1000) < 0.5}
    names |= {"order": np.argsort(-names["scores"]["LiRA online"][0])}
    names |= {
        "phi": rng.normal(size=(32, 1000)),
        "inside": rng.random((32, 1000)) < 0.5,
        "target_phi": rng.normal(size=(8, 1000)),
    }
    names["figures"] = SimpleNamespace(card=lambda image, phi, inside, own, title: titles.append((phi, own, title)))
    run("06", names, "def plot_candidate(")
    titles.clear()
    names["plot_candidate"](17)
    i = names["order"][16]
    kind = "a member" if names["truth"][i] else "not a member"
    score = f"{names['scores']['LiRA online'][0, i]:.1f}".replace("-", "−")
    assert titles[0][2] == f"rank 17: score {score}, {kind}" and titles[0][1] == names["target_phi"][0, i]
    np.testing.assert_array_equal(titles[0][0], names["phi"][:, i])


def test_06_cards_in_print_tell_bets_and_truth_of_the_card_that_is_drawn():
    rng, drawn = np.random.default_rng(0), []
    lira, loss, is_member = rng.normal(0, 9, (8, 1000)), rng.normal(size=(8, 1000)), rng.random((8, 1000)) < 0.5
    deck = rng.permutation(1000)[:300]
    names = {"scores": {"LiRA online": lira}, "deck": deck, "is_member": is_member, "draw": drawn.append}
    names["rivals"] = {"loss threshold": loss[0, deck] >= 0, "LiRA online": lira[0, deck] >= 0}
    run("06", names, "def said(member)")
    apart = [k for k in range(300) if (loss[0, deck[k]] >= 0) != (lira[0, deck[k]] >= 0)]
    sure = np.abs(lira[0, deck])
    mistaken = [k for k in range(300) if (lira[0, deck[k]] >= 0) != is_member[0, deck[k]]]
    assert drawn == [max(some, key=lambda k: sure[k]) for some in (apart, mistaken)]
    for k, line in zip(drawn, names["printed"].splitlines(), strict=True):
        said = ["a member" if yes else "not a member" for yes in (loss[0, deck[k]] >= 0, lira[0, deck[k]] >= 0)]
        truth = "a member" if is_member[0, deck[k]] else "not a member"
        assert line.startswith(f"loss threshold: {said[0]} · LiRA online: {said[1]} (score")
        assert f"{lira[0, deck[k]]:z.1f}" in line and line.endswith(f"It was {truth}.")


def test_07_promises_for_a_swap_are_of_two_steps():
    recipes, private = {"none": {}}, {"DP CNN, ε = 4": {"epsilon": 4}}
    recipes |= {"label smoothing": {}, "RelaxLoss": {}}
    verdicts = {name: SimpleNamespace(scores={"LiRA": i}) for i, name in enumerate(recipes | private)}
    told = SimpleNamespace(DELTA=0.001, shown_epsilon=lambda scores, mask: float(scores))
    names = {"recipes": recipes, "private": private, "verdicts": verdicts, "mask": None, "trial": told}
    table = run("07", names, "def promise(")
    # A swap is removing and adding: P ≤ e^ε P' + δ twice gives e^2ε and (1 + e^ε) δ.
    delta = 0.001 + np.exp(4) * 0.001
    assert table.loc["DP CNN, ε = 4"].tolist() == [3.0, "ε = 4, δ = 0.001", f"ε = 8, δ = {delta:.2g}"]
    assert set(table.loc["none"].tolist()[1:]) == {"—"}


def test_07_the_summary_has_each_defences_own_figures_and_masks_their_own_cost():
    rng = np.random.default_rng(0)
    names_ = {"none": "loss threshold", "dropout": "LiRA"}  # and the strongest attack

    def draws():
        return {attack: rng.random(200) for attack in ("LiRA", "loss threshold")}

    def estimate(x):
        return f"about {x[0]:.6f}"

    verdicts = {
        name: SimpleNamespace(accuracy=rng.random(200), auc=draws(), strongest=best) for name, best in names_.items()
    }
    leaks = {name: v.auc[v.strongest] for name, v in verdicts.items()}
    groups, under_it = ({name: rng.random(200) for name in verdicts} for _ in range(2))
    names = {"everyone": verdicts, "base": verdicts["none"], "leaks": leaks, "estimate": estimate}
    names |= {"groups": groups, "under_it": under_it}
    run("07", names, "share = {n: (v.auc")
    table = names["table"]
    for name, v in verdicts.items():  # the first of the draws is the value itself
        row, best = table.loc[name], v.strongest
        assert row["accuracy"] == v.accuracy[0] and row["LiRA, all"] == v.auc["LiRA"][0]
        lead = (v.auc[best][0] - 0.5) / (verdicts["none"].auc["loss threshold"][0] - 0.5)
        assert row["lead left"] == f"{lead:.0%}"
        assert row["LiRA, these 50"] == groups[name][0] and row["LiRA, its own 50"] == under_it[name][0]
    assert table["LiRA, these 50"].is_monotonic_decreasing
    drawn = []
    names |= {"trial_figures": SimpleNamespace(on_average_and_exposed=drawn.append)}
    run("07", names, "trial_figures.on_average_and_exposed(")
    assert drawn == [{n: (estimate(v.auc["LiRA"]), estimate(groups[n])) for n, v in verdicts.items()}]
    logits, labels, mask = rng.normal(size=(4, 50, 10)), rng.integers(0, 10, 50), rng.random((4, 50)) < 0.5
    masked = {"top 1": masks.top_k(logits, 1), "rounded": masks.round_probabilities(logits, 1)}
    seen = {name: {attack: rng.random(200) for attack in ("LiRA, adaptive", "label-only attack")} for name in masked}
    base = SimpleNamespace(auc={"LiRA": np.full(200, 0.7)})
    names = {"logits": logits, "labels": labels, "mask": mask, "masked": masked}
    table = run("07", names | {"seen": seen, "base": base, "estimate": estimate}, "truth, rows = np.eye(10)[labels]")
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    for name, answer in ({"no mask": p} | masked).items():
        of_others = [
            sum((answer[s, n, c] - (c == labels[n])) ** 2 for c in range(10))
            for s in range(4) for n in range(50) if not mask[s, n]
        ]  # fmt: skip
        row, values = table.loc[name], seen.get(name, {"LiRA": base.auc["LiRA"]})
        best = max(values, key=lambda attack: values[attack][0])
        assert float(row["Brier score"]) == pytest.approx(np.mean(of_others), abs=6e-4)
        assert row["strongest attack"] == best and row["its AUC"] == estimate(values[best])
        assert row["lead left"] == f"{(values[best][0] - 0.5) / 0.2:.0%}"


def test_07_differences_are_paired_and_say_which_is_taken_from_which():
    rng = np.random.default_rng(0)
    told = ("augmentation", "RelaxLoss", "DP CNN, ε = 4", "DP CNN, ε = 8", "DP linear, ε = 8", "none")
    leaks, groups = ({name: rng.random(200) for name in told} for _ in range(2))
    verdicts = {name: SimpleNamespace(accuracy=rng.random(200)) for name in told}
    names = {"leaks": leaks, "groups": groups, "verdicts": verdicts, "estimate": lambda x: f"about {x[0]:.6f}"}
    table = run("07", names, "pairs = (")
    assert len(table) >= 3
    for row, columns in table.iterrows():
        one, other = str(row).split(" minus ")
        assert columns["accuracy"] == f"about {verdicts[one].accuracy[0] - verdicts[other].accuracy[0]:.6f}"
        assert columns["its AUC"] == f"about {leaks[one][0] - leaks[other][0]:.6f}"
        assert columns["LiRA, these 50"] == f"about {groups[one][0] - groups[other][0]:.6f}"


def test_07_the_worked_lines_are_about_both_ends_of_the_scores():
    rng = np.random.default_rng(0)
    mask = rng.random((4, 4000)) < 0.5
    scores = rng.normal(0, 1, mask.shape) + 1.0 * mask
    base = SimpleNamespace(scores={"LiRA": scores}, tpr={"LiRA": np.array([0.3, 0.2])})
    names = {"base": base, "mask": mask, "trial": SimpleNamespace(DELTA=0.001)}
    run("07", names, 'caught, accused = base.tpr["LiRA"][0], 0.01')
    lines = names["printed"].splitlines()
    assert lines[0] == f"caught: ε ≥ log((0.300 − 0.001) / 0.0100) = {np.log(29.9):.1f}"
    limit = np.sort(scores[~mask])[round(0.05 * (~mask).sum())]
    missed = (scores[mask] < limit).mean()
    assert lines[1].startswith(f"cleared: ε ≥ log((0.050 − 0.001) / {missed:.4f}) = ")
    assert float(lines[1].split("= ")[1]) == pytest.approx(np.log(0.049 / missed), abs=0.1)


# ------------------------------------------------------------------------------------------------------------ 08 to 11


def test_08_every_model_learns_right_labels_and_blind_ones_from_nobody_in_the_pool():
    from collections import namedtuple

    fitted = []

    class Estimator:
        def __init__(self, seed):
            self.seed = seed

        def fit(self, x, labels):
            fitted.append((self.seed, x, labels))
            return self

    names = {"namedtuple": namedtuple, "N_TARGETS": 4, "N_SHADOWS": 6}
    names["probabilities"] = lambda model, x, n_classes: np.full((len(x), n_classes), model.seed)
    rng = np.random.default_rng(0)
    x, labels = np.arange(300.0)[:, None], rng.integers(0, 3, 300)  # a person is known by a number
    data = SimpleNamespace(x=x[:200], labels=labels[:200], spare_x=x[200:], spare_labels=labels[200:])
    names["data"] = {"d": data}
    shadows, targets = draw_halves(6, 200, seed=1), draw_halves(4, 200, seed=2)
    names |= {"shadow_members": {"d": shadows}, "target_members": {"d": targets}}
    run("08", names, "def answers_of(")
    found = names["answers_of"]("d", Estimator)
    of_seed = {seed: (x, labels) for seed, x, labels in fitted}
    assert len(of_seed) == len(fitted) == 14
    for kind, masks_ in (("shadows", shadows), ("targets", targets), ("blind", None)):
        for j, answers in enumerate(getattr(found, kind)):
            own_x, own_labels = of_seed[answers[0, 0]]
            people = own_x[:, 0].astype(int)
            np.testing.assert_array_equal(own_labels, labels[people])  # theirs, not somebody else's
            if masks_ is None:
                assert (people >= 200).all() and len(people) == 100
            else:
                np.testing.assert_array_equal(people, np.flatnonzero(masks_[j]))


def test_08_columns_and_controls_are_about_what_they_name():
    rng = np.random.default_rng(0)
    members = draw_halves(8, 100, seed=2)
    on = {a: (rng.normal(size=(8, 100)) + members, rng.normal(size=(8, 100))) for a in ("LiRA", "loss threshold")}
    names = {"scores": {("d", "f"): on}, "target_members": {"d": members}, "data": ["d"], "factories": ["f"]}
    names |= {"unseen_accuracy": lambda name, family: 0.5}
    run("08", names, "def mean_auc(", "def permuted_auc(")
    mean = metrics.mean_over_models
    for attack, (targets, blind) in on.items():
        assert names["mean_auc"]("d", "f", attack) == mean(metrics.aucs(targets, members))
        assert names["mean_auc"]("d", "f", attack, blind=True) == mean(metrics.aucs(blind, members))
        permuted = names["permuted_auc"]("d", "f", attack)
        assert abs(permuted.value - 0.5) < 0.06 and names["mean_auc"]("d", "f", attack).value > 0.7
    table = run("08", names, '"accuracy, unseen": unseen_accuracy,')
    assert table["d", "accuracy, unseen"]["f"] == "0.500"
    for attack in on:
        assert table["d", attack]["f"] == f"{mean(metrics.aucs(on[attack][0], members)).value:.3f}"


def test_09_targets_and_shadows_come_from_the_pool_and_blind_models_from_elsewhere():
    asked = []

    def train_all(data, masks_, seed):
        asked.append(set(range(seed, seed + len(masks_))))
        return [data.subset(m) for m in masks_]

    names = {"load_digits": load_digits, "draw_halves": draw_halves, "train_all": train_all}
    run("09", names, "first_of_pair = draw_halves(", "targets = train_all(")
    pool, groups = names["pool"].images, names["groups"]
    for name, masks_ in (("targets", names["target_members"]), ("shadows", names["shadow_members"])):
        for model, mask in zip(groups[name], masks_, strict=True):
            assert torch.equal(model.images, pool[torch.tensor(mask)])
    assert len(groups["blind"]) == 8 and not any(in_common(model.images, pool) for model in groups["blind"])
    assert not set.intersection(*asked[:2]) | set.intersection(*asked[1:]) | (asked[0] & asked[2])  # no two share a seed
    assert not any(np.array_equal(a, b) for a in names["target_members"] for b in names["shadow_members"])


def test_09_agreement_is_counted_on_digits_that_neither_was_trained_on():
    rng = np.random.default_rng(0)
    z, mask, target_z = rng.normal(size=(3, 40, 10)), rng.random((3, 40)) < 0.5, rng.normal(size=(2, 40, 10))
    members = rng.random((2, 40)) < 0.5
    AUC, book = "AUC", {name: {"AUC": Estimate(v, v, v)} for v, name in enumerate(("k", "k: w"))}  # noqa: N806 (as there)
    names = {
        "logits": {"targets": target_z, "shadows": z},
        "shadow_members": mask,
        "target_members": members,
        "LIRA": ["k"],
    }
    names |= {
        "banks": {"w": SimpleNamespace(logits=z[:, ::-1], member_mask=mask)},
        "wrong": {"w": None},
        "book": book,
        "AUC": AUC,
    }
    table = run("09", names, "agreement_of = {}")
    for row, answers in (("right shadows", z), ("w", z[:, ::-1])):
        same = [
            answers[s, n].argmax() == target_z[t, n].argmax()
            for s in range(3) for t in range(2) for n in range(40) if not mask[s, n] and not members[t, n]
        ]  # fmt: skip
        assert table.loc[row, "agreement"] == pytest.approx(np.mean(same), abs=6e-4)
    assert table["k"].tolist() == [0, 1]


def test_09_pictures_of_lines_and_of_scores_are_of_the_first_target():
    rng, drawn = np.random.default_rng(0), []
    phi, trees, kernel, members = (rng.normal(size=(8, 200)) for _ in range(4))
    members = members > 0

    def plot_against(x, y, rows, **_):
        drawn.append((x, y, rows))

    names = {"adversaries": SimpleNamespace(plot_against=plot_against), "phi": {"targets": phi}, "target_members": members}
    names |= {"trees": {"targets": trees}, "by_kernel": {"targets": kernel}}
    run("09", names, "the digit's own line")
    for (line, answer, rows), found in zip(drawn, (trees, kernel), strict=True):
        np.testing.assert_array_equal(answer >= line, found[0] >= 0)  # above its line: "member"
        assert answer is phi[0] or np.array_equal(answer, phi[0])
        np.testing.assert_array_equal(rows, members[0])
    drawn.clear()
    had = rng.random((16, 200)) < 0.5
    of_shadows, early = rng.normal(0, 0.1, (16, 200)) + 3 * had, rng.normal(0, 0.1, (16, 200)) + had
    names |= {"shadow_members": had, "EARLY": "early", "ease": rng.normal(size=200), "spearmanr": spearmanr}
    names |= {"phi": {"shadows": of_shadows}, "banks": {"early": SimpleNamespace(phi=early, member_mask=had)}}
    names["ledger"] = SimpleNamespace(on_targets={"LiRA online": trees, "LiRA online: early": kernel})
    run("09", names, "hearsay = {")
    for (apart, score, rows), found, lift in zip(drawn, (trees, kernel), (3, 1), strict=True):
        assert np.abs(apart - lift).max() < 0.3 and np.array_equal(score, found[0]) and np.array_equal(rows, members[0])


def test_10_the_audited_models_saw_the_members_and_the_canaries_whose_coin_said_so():
    given, trained_on = [], {}

    def audit(labels, is_member, **rest):
        given.append((np.asarray(labels), np.asarray(is_member), rest))
        return SimpleNamespace(summary=lambda: "")

    target = SimpleNamespace(members=images_of(30), non_members=images_of(50, 1), model=None)
    names = {"classic": SimpleNamespace(experiment=lambda who: target), "audit": audit}
    run("10", names, 'target = classic.experiment("target")')
    labels, is_member, rest = given[0]
    assert is_member.sum() == 30
    np.testing.assert_array_equal(rest["inputs"][is_member], target.members.images)
    np.testing.assert_array_equal(rest["inputs"][~is_member], target.non_members.images)
    np.testing.assert_array_equal(labels, np.concatenate([target.members.labels, target.non_members.labels]))

    def remember(name):
        return lambda model, data, *rest, **settings: trained_on.update({name: data})

    names = {"canaries": canaries, "nn": torch.nn, "load_or_train": remember("plain")}
    names["load_or_train_private"] = remember("private")
    run("10", names, "birds = canaries.draw(")
    birds = names["birds"]
    for name in ("plain", "private"):
        learnt = {image.numpy().tobytes() for image in trained_on[name].images}
        there = np.array([image.numpy().tobytes() in learnt for image in birds.asked.images])
        np.testing.assert_array_equal(there, birds.coins, err_msg=name)
        assert not in_common(birds.fresh.images, trained_on[name].images)


def test_11_targets_wear_the_mask_whether_or_not_the_shadows_do():
    rng = np.random.default_rng(0)
    banks = [ShadowBank(rng.normal(0, 3, (6, 40, 10)), rng.random((6, 40)) < 0.5, rng.integers(0, 10, 40)) for _ in range(2)]
    told, turns = SimpleNamespace(**vars(challenge)), {}
    told.shadows = lambda n, private=False: banks[private]

    def in_turn(attack, bank, answers=None):
        turns[len(turns)] = attack, bank, bank.logits if answers is None else answers
        return {"AUC": np.zeros(6)}

    names = {"challenge": told, "in_turn": in_turn}
    run("11", names, "open_bank, c_bank = challenge.shadows(")
    hidden = challenge.as_logits(challenge.guarded(banks[0].logits))
    for name, (_, bank, answers) in zip(names["rows"], turns.values(), strict=True):
        if name.startswith("B"):
            np.testing.assert_array_equal(answers, hidden, err_msg=name)  # what target B shows
            np.testing.assert_array_equal(bank.logits, banks[0].logits if "without" in name else hidden, err_msg=name)
        else:
            own = banks[name.startswith("C")]
            assert bank is own and answers is own.logits, name
    run("11", names, "def in_turn(attack")
    found = names["in_turn"](attacks.ThresholdAttack(signals.logit_confidence), _large_bank())
    expected = [
        metrics.auc(signals.logit_confidence(z, _large_bank().labels), m).value
        for z, m in zip(_large_bank().logits, _large_bank().member_mask)
    ]
    np.testing.assert_allclose(found["AUC"], expected)


@cache
def _large_bank():  # enough non-members for a rate at 1 %
    rng = np.random.default_rng(1)
    mask = rng.random((3, 2400)) < 0.5
    return ShadowBank(rng.normal(0, 2, (3, 2400, 10)) + 0.5 * mask[..., None], mask, rng.integers(0, 10, 2400))


# ------------------------------------------------------------------------------------ who is asked, and who was chosen by


def accuracy_by_name(model, data):
    """As `evaluate`, but the accuracy says which model was asked about which digits."""
    return SimpleNamespace(accuracy=float(model + data))


def test_02_and_03_accuracies_are_about_the_digits_that_they_name():
    names = {"evaluate": accuracy_by_name, "target": SimpleNamespace(model=0.1), "members": 0.02, "non_members": 0.003}
    run("02", names, "on_members = evaluate(")
    assert "accuracy on members 0.120, non-members 0.103" in names["printed"]
    assert names["gap"] == pytest.approx(0.017)

    target = SimpleNamespace(model=0.2, members=0.03, non_members=0.004)
    names = {"evaluate": accuracy_by_name, "shadow": 0.1, "my_members": 0.01, "my_non_members": 0.002}
    names["classic"] = SimpleNamespace(experiment=lambda who: target)
    run("03", names, 'target = classic.experiment("target")')
    assert "shadow: 0.110 on its members, 0.102 on" in names["printed"]
    assert "target: 0.230 on its members, 0.204 on" in names["printed"]
    names |= {"careless": 0.5, "careful": 0.6, "test_on_its_side": 0.05, "my_non_members": 0.007, "target_logits": np.eye(3)}
    names |= {"predict_logits": lambda model, images: np.eye(3)[[0, 1, 1]], "unseen": SimpleNamespace(images=None)}
    run("03", names, "careless_accuracy = evaluate(")
    assert "careless, unseen digits on their side: 0.550" in names["printed"]
    assert "careful, unseen digits upright: 0.607" in names["printed"]
    assert names["agreement"](0.5) == pytest.approx(2 / 3)


def test_02_each_loss_is_tried_with_three_seeds_on_the_members():
    tried = []
    names = {"few": images_of(5), "F": torch.nn.functional, "SmallClassifier": lambda: None, "recipe": {"epochs": 60}}
    names["load_or_fit"] = lambda model, images, labels, loss, **settings: tried.append((images, labels, loss, settings))
    run("02", names, "runs[name, seed] = load_or_fit(")
    assert len({(name, given[3]["seed"]) for (name, _), given in zip(names["runs"], tried)}) == 6
    for (name, seed), (images, labels, loss, settings) in zip(names["runs"], tried, strict=True):
        assert images is names["few"].images and labels is names["few"].labels and settings["seed"] == seed
        z = torch.tensor([[3.0, 0.0, 0.0]])
        once = torch.nn.functional.cross_entropy(z if name == "logits" else z.softmax(-1), torch.tensor([0]))
        assert loss(z, torch.tensor([0])) == once


def test_04_elsewhere_is_where_nothing_was_chosen():
    rng = np.random.default_rng(0)
    is_member = np.arange(4000) < 2000
    values = rng.random(4000) + 0.1 * is_member
    names = {"is_member": is_member, "target_signal": values, "ThresholdAttack": attacks.ThresholdAttack}
    names |= {"ShadowBank": ShadowBank, "honest": {}}
    tree = ast.parse(next(cell for cell in cells("04") if "def chosen_on(" in cell))
    exec(compile(ast.Module([tree.body[0]], []), "04", "exec"), names | {"np": np, "metrics": metrics}, names)
    names["chosen_on"].__globals__.update(names | {"np": np, "metrics": metrics})
    for n in (20, 1000):
        found = names["chosen_on"](n, values, np.random.default_rng(5))
        again = np.random.default_rng(5)
        drawn = np.concatenate([again.choice(2000, n // 2, replace=False), again.choice(2000, n // 2, replace=False) + 2000])
        right = (values >= metrics.best_threshold(values[drawn], is_member[drawn])) == is_member
        others = np.setdiff1d(np.arange(4000), drawn)
        assert found == (pytest.approx(right[drawn].mean()), pytest.approx(right[others].mean()))
    z, y = rng.normal(size=(4000, 10)), np.tile(np.arange(10), 400)
    run("04", names, "def one_or_ten(")
    found = names["one_or_ten"](5, z, y, np.random.default_rng(3))
    again = np.random.default_rng(3)
    kinds = [(y == c) & (is_member == kind) for c in range(10) for kind in (True, False)]
    drawn = np.concatenate([again.choice(np.flatnonzero(kind), 5, replace=False) for kind in kinds])
    rest = np.setdiff1d(np.arange(4000), drawn)
    for per_class, accuracy in zip((False, True), found):
        attack = attacks.ThresholdAttack(signals.negative_modified_entropy, per_class)
        attack.fit(ShadowBank.single(z[drawn], y[drawn], is_member[drawn]))
        assert accuracy == pytest.approx(((attack.score(z[rest], y[rest]) >= 0) == is_member[rest]).mean())


def test_06_titles_and_bets_are_about_one_and_the_same_target():
    rng = np.random.default_rng(0)
    is_member, scores = (
        rng.random((8, 1000)) < 0.5,
        {n: rng.normal(size=(8, 1000)) for n in ("LiRA online", "loss threshold")},
    )
    labels, titles = rng.integers(0, 10, 1000), []
    names = {
        "scores": scores,
        "is_member": is_member,
        "labels": labels,
        "candidates": SimpleNamespace(images=np.arange(1000)),
    }
    names["plots"] = SimpleNamespace(image_grid=lambda images, told, **_: titles.append((images, told)))
    run("06", names, 'order, truth = np.argsort(-scores["LiRA online"][0])')
    ((images, told),) = titles
    best = np.argsort(-scores["LiRA online"][0])[:12]
    assert images.tolist() == best.tolist()
    assert told == [f"{labels[i]}: {'member' if is_member[0, i] else 'not a member'}" for i in best]
    names |= {"deck": np.arange(300), "rivals": scores}
    table = run("06", names, "share = (np.abs(bets")
    share = (np.abs(scores["LiRA online"][:, :300]) >= 2).mean()
    for name, values in scores.items():
        values, truth = values[:, :300], is_member[:, :300]
        right = (values >= 0) == truth
        limit = np.quantile(np.abs(values), 1 - share)
        assert table[name].tolist() == [round(right.mean(), 3), round(right[np.abs(values) >= limit].mean(), 3)]


def test_07_each_examples_gradient_is_clipped():
    rng = np.random.default_rng(0)
    names: dict = {}
    run("07", names, "def private_sum(")
    gradients = rng.normal(0, 0.1, (30, 50))
    gradients[3] *= 1000
    limit = 1.0
    whole = names["private_sum"](gradients, limit, 0.0, rng)
    for i in range(30):
        moved = np.linalg.norm(whole - names["private_sum"](np.delete(gradients, i, 0), limit, 0.0, rng))
        assert moved == pytest.approx(min(limit, np.linalg.norm(gradients[i])))  # and the small ones count in full
    noise = names["private_sum"](np.zeros((1, 20_000)) + 1e-9, 2.0, 3.0, np.random.default_rng(1))
    assert noise.std() == pytest.approx(6, rel=0.03)
    assert names["reach"] <= 1.000001


def test_08_floors_are_the_same_for_targets_and_shadows_and_leaves_hold_members_only():
    rng, seen = np.random.default_rng(0), []

    class Attack:
        def fit(self, bank):
            seen.append(np.min(bank.logits))

        def score(self, logits, labels):
            seen.append(np.min(logits))
            return np.zeros(len(labels))

    p = np.where(rng.random((4, 30, 3)) < 0.4, 0.0, 0.5)
    given = SimpleNamespace(shadows=p, targets=p[:2], blind=p[2:])
    names = {"ShadowBank": ShadowBank, "N_SHADOWS": 4, "data": {"d": SimpleNamespace(labels=rng.integers(0, 3, 30))}}
    names["shadow_members"] = {"d": rng.random((4, 30)) < 0.5}
    run("08", names, "FLOOR = 1e-3", "def scores_on(")
    for floor in (names["FLOOR"], 1e-9):
        seen.clear()
        names["scores_on"]("d", given, Attack(), floor=floor)
        np.testing.assert_allclose(seen, np.log(floor))
    members, leaf = rng.random(30) < 0.5, rng.integers(0, 8, 30)
    names = {"records": SimpleNamespace(x=np.arange(30)), "whose": [], "hang_on": {"decision tree": []}}
    names["train_on"] = lambda *_: SimpleNamespace(apply=lambda people: leaf[people])
    run("08", names, "def company(")
    people = np.flatnonzero(members)[:6]
    expected = [sum(leaf[i] == leaf[j] for j in np.flatnonzero(members)) for i in people]
    assert names["company"](members, people).tolist() == expected


def test_09_noise_is_chosen_by_the_shadows_own_members():
    rng = np.random.default_rng(0)
    shadow_members, target_members = rng.random((16, 200)) < 0.5, rng.random((8, 200)) < 0.5

    def noise_distance(
        ask, images, labels, *, sigma, n_draws, seed
    ):  # for σ = 0.1 the shadows', for 0.4 the targets' members
        i = ask.__self__.i
        return rng.random(200) + (sigma == 0.1) * shadow_members[i] + (sigma == 0.4) * target_members[i]

    class Service:
        def __init__(self, i):
            self.i = i

        def labels(self, images): ...

    names = {"label_only": SimpleNamespace(Service=Service, noise_distance=noise_distance)}
    names |= {"shadows": range(16), "pool": SimpleNamespace(images=None, labels=None)}
    names |= {"shadow_members": shadow_members, "target_members": target_members}
    run("09", names, "on_shadows = {")
    assert names["best_sigma"] == 0.1 and names["on_shadows"][0.4] < 0.6


def test_09_the_line_is_set_on_digits_that_were_not_learnt(monkeypatch):
    from sklearn import kernel_ridge

    rng, fitted = np.random.default_rng(0), []

    class Ridge:
        def __init__(self, **_): ...

        def fit(self, x, phi):
            fitted.append(x)
            self.width = phi.shape[1]
            return self

        def predict(self, x):
            return np.zeros((len(x), self.width))

    monkeypatch.setattr(kernel_ridge, "KernelRidge", Ridge)
    n, n_own = 100, 4000
    z = rng.normal(size=(2, n + n_own, 10))
    names = {"N_POOL": n, "images": torch.arange(float(n + n_own))[:, None], "asked_labels": rng.integers(0, 10, n + n_own)}
    names |= {"answers": {"targets": z, "blind": z[::-1]}, "per_digit": 1, "enter": lambda *_: None}
    run("09", names, "ridge = KernelRidge(")
    learnt = fitted[0][:, 0].astype(int)
    held_out = np.setdiff1d(np.arange(n, n + n_own), learnt)
    assert learnt.min() >= n and len(held_out) >= 1000
    for t in range(2):
        phi = signals.logit_confidence(z[t], names["asked_labels"])
        np.testing.assert_allclose(names["by_kernel"]["targets"][t], phi[:n] - np.quantile(phi[held_out], 0.95))


def test_10_bounds_are_at_the_accountants_delta():
    rng = np.random.default_rng(0)
    coins = rng.random(500) < 0.5
    sure = {"plain": coins + 0.3 * rng.normal(size=500), "DP-SGD": coins + 3 * rng.normal(size=500)}
    birds = SimpleNamespace(coins=coins, scores=lambda model: sure[model])
    models = {"plain": SimpleNamespace(model="plain"), "private": SimpleNamespace(model="DP-SGD", epsilon=8.0)}
    names = models | {"birds": birds, "DELTA": 1e-3}
    run("10", names, "perfect = birds.coins", "shown = {}", "numbers = [20, 50, 100")
    everyone = {"all guesses right": names["perfect"]} | sure
    for name, scores in everyone.items():
        assert names["shown"][name] == metrics.one_run_epsilon(scores, coins, guesses=200, delta=1e-3)
    lines = {line.get_label(): line for line in plt.gca().lines}
    for name, scores in everyone.items():
        x, y = lines[f"one run: {name}"].get_data()
        np.testing.assert_allclose(y, [metrics.one_run_epsilon(scores, coins, int(n), 1e-3) for n in x])
    assert metrics.one_run_epsilon(sure["plain"], coins, 200) > names["shown"]["plain"] + 1e-3  # δ makes a difference


def test_10_the_figure_shows_the_blind_classifier_that_sees_most():
    def report(seed):
        a, b, c, d = np.sort(np.random.default_rng(seed).random(4)).tolist()
        of = {name: Estimate(v, v, v) for name, v in (("x", a), ("y", d))}
        blind = [("blind classifier, one", c), ("blind classifier, other", b), ("permuted memberships, y", d)]
        told = [SimpleNamespace(name=name, auc=Estimate(v, v, v)) for name, v in blind]
        return SimpleNamespace(attacks={n: SimpleNamespace(auc=e) for n, e in of.items()}, strongest="x", controls=told)

    names = {name: report(i) for i, name in enumerate(("digits_report", "too_good", "with_features"))}
    reports = list(names.values())
    run("10", names, '"letters, labels only": too_good,')
    for name, found in zip(("digits", "letters, labels only", "letters, with images"), reports):
        assert names["rows"][f"{name}: attack"] == found.attacks["x"].auc
        assert names["rows"][f"{name}: no model"] == found.controls[0].auc

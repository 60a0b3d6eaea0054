"""What people get wrong: each slip is noticed, refused or put right, and what is no slip is left alone."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from test_audit import audit, outputs, with_shadows

from mia_helpers import masks
from mia_helpers.audit.report import EVIDENCE, NO_EVIDENCE, NOT_COMPARABLE
from mia_helpers.inputs import InputError, InputTypeError


def leaking(seed, n=600):
    y, is_member, z = outputs(seed, n, leak=1.5)
    return y, is_member, z


def binary(seed, n=400, leak=1.5):
    """Labels 0 and 1, memberships, and class 1's logit `[n]`, further on the label's side for members."""
    rng = np.random.default_rng(seed)
    y, is_member = rng.integers(0, 2, n), rng.permutation(np.arange(n) < n // 2)
    return y, is_member, (2 * y - 1) * (1 + leak * is_member) + rng.normal(0, 1.5, n)


# ---- noticed: the report is "not comparable", and the warning names the slip

NOTICED = {
    "memberships the other way round": (lambda y, m, g: (y, ~m, g), "the other way round"),
    "columns in another order": (lambda y, m, g: (y, m, g | {"logits": g["logits"][:, [1, 2, 3, 0]]}), "columns"),
    "renumbered classes": (lambda y, m, g: ((y + 1) % 4, m, g), "labels"),
    "rows out of step": (
        lambda y, m, g: (y, m, g | {"logits": np.roll(g["logits"], 1, axis=0)}),
        "rows in the labels' order",
    ),
    "a collapsed model": (
        lambda y, m, g: (y, m, g | {"logits": np.tile(g["logits"][0], (400, 1))}),
        "the same for all examples",
    ),
    "probabilities as logits": (lambda y, m, g: (y, m, g | {"logits": softmax(g["logits"], 1)}), "look like probabilities"),
    "probabilities as shadow_logits": (
        lambda y, m, g: (y, m, g | {"shadow_logits": softmax(g["shadow_logits"], -1)}),
        "shadow_probabilities",
    ),
    "shadows' rows out of step": (
        lambda y, m, g: (y, m, g | {"shadow_logits": np.roll(g["shadow_logits"], 1, axis=1)}),
        "8 of 8 reference models know no more",
    ),
    "member_mask the other way round": (lambda y, m, g: (y, m, g | {"member_mask": ~g["member_mask"]}), "member_mask"),
}


@pytest.mark.parametrize("name", NOTICED)
@pytest.mark.parametrize("seed", range(3))
def test_a_slip_is_noticed(name, seed):
    make, words = NOTICED[name]
    y, is_member, given = make(*with_shadows(seed))
    report = audit(y, is_member, at_fpr=0.05, **given)
    assert report.status == NOT_COMPARABLE and report.verdict.startswith("Not comparable: something in the input")
    assert (
        report.slips and any(words in slip for slip in report.slips) and report.warnings[: len(report.slips)] == report.slips
    )


@pytest.mark.parametrize("seed", range(3))
def test_without_the_slip_nothing_is_noticed(seed):
    y, is_member, given = with_shadows(seed)
    report = audit(y, is_member, at_fpr=0.05, **given)
    assert report.status == EVIDENCE and not report.slips


def test_no_slip_is_seen_where_there_is_none():
    """Models good and bad, with and without a leak, some classes rare: a false alarm in fewer than one audit in twenty."""
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        n_classes = int(rng.integers(2, 12))
        share = rng.dirichlet(np.ones(n_classes))
        y, is_member = rng.choice(n_classes, 400, p=share), rng.permutation(np.arange(400) < 200)
        z = rng.normal(0, 2, (400, n_classes)) + np.log(share)
        z[np.arange(400), y] += rng.uniform(0.8, 5) + rng.choice([0, 1.5]) * is_member
        if len(np.unique(y)) > 1:
            found += [audit(y, is_member, logits=z, at_fpr=0.05, seed=seed).slips]
    assert len(found) > 50 and sum(map(bool, found)) <= 2, [slips for slips in found if slips]


def test_a_model_that_always_says_the_common_class_is_no_slip_if_its_probabilities_know_more():
    rng = np.random.default_rng(0)
    y = (rng.random(4000) < 0.05).astype(int)
    z = np.stack([np.full(4000, 4.0), rng.normal(0, 1, 4000) + 1.5 * y], axis=1)
    report = audit(y, rng.random(4000) < 0.5, logits=z, at_fpr=0.05)
    assert (z.argmax(1) == 0).mean() > 0.98 and not report.slips


def test_members_less_sure_over_all_but_surer_of_their_labels_are_a_remark_and_no_slip():
    rng = np.random.default_rng(1)
    y, is_member = rng.integers(0, 4, 2000), rng.random(2000) < 0.5
    right = is_member | (rng.random(2000) < 0.4)
    top = np.where(right, y, (y + 1) % 4)
    z = rng.normal(0, 0.3, (2000, 4))
    z[np.arange(2000), top] += np.where(is_member, 3, 4) + rng.normal(0, 0.5, 2000)  # as after label smoothing
    report = audit(y, is_member, logits=z, at_fpr=0.05)
    assert report.attacks["max confidence"].auc.high < 0.5 < report.attacks["loss"].auc.low
    assert report.status == EVIDENCE and not report.slips and any("label smoothing" in w for w in report.warnings)


def test_accuracies_are_stated_with_intervals_that_hold():
    y, is_member, z = leaking(0)
    report = audit(y, is_member, logits=z, at_fpr=0.05)
    right = z.argmax(1) == y
    assert report.accuracy["members"].value == right[is_member].mean()
    assert report.accuracy["non-members"].value == right[~is_member].mean()
    for share in report.accuracy.values():
        assert share.low < share.value < share.high and str(share) in report.summary()


# ---- forms of input


def test_binary_models_with_a_single_output_are_taken_as_two_columns():
    y, is_member, z = binary(0)
    two = np.stack([np.zeros(400), z], axis=1)
    expected = audit(y, is_member, logits=two, at_fpr=0.05)
    for given in ({"logits": z}, {"logits": z[:, None]}):
        assert audit(y, is_member, at_fpr=0.05, **given) == expected
    p = expit(z)
    by_p = audit(y, is_member, probabilities=np.stack([1 - p, p], axis=1), at_fpr=0.05)
    for given in ({"probabilities": p}, {"probabilities": p[:, None]}):
        assert audit(y, is_member, at_fpr=0.05, **given) == by_p
    for name in set(by_p.attacks) - {"output classifier"}:  # learns on other halves
        assert by_p.attacks[name].auc.value == pytest.approx(expected.attacks[name].auc.value, abs=1e-6)
    shadows = np.stack([binary(0)[2] + np.random.default_rng(i).normal(size=400) for i in range(4)])
    mask = np.random.default_rng(0).random((4, 400)) < 0.5
    of_one, of_two = (
        audit(y, is_member, logits=two, shadow_logits=s, member_mask=mask, at_fpr=0.05)
        for s in (shadows[..., None], np.stack([np.zeros_like(shadows), shadows], axis=-1))
    )
    assert of_one == of_two


class Single(torch.nn.Module):
    def __init__(self, sigmoid, flat):
        super().__init__()
        self.scale, self.sigmoid, self.flat = torch.nn.Parameter(torch.ones(1)), sigmoid, flat

    def forward(self, x):
        z = self.scale * x
        z = torch.sigmoid(z) if self.sigmoid else z
        return z[:, 0] if self.flat else z


@pytest.mark.parametrize("sigmoid", [False, True])
@pytest.mark.parametrize("flat", [False, True])
def test_modules_with_a_single_output(sigmoid, flat):
    y, is_member, z = binary(1)
    x = z[:, None].astype(np.float32)
    report = audit(y, is_member, model=Single(sigmoid, flat), inputs=x, at_fpr=0.05)
    expected = audit(y, is_member, logits=z.astype(np.float32), at_fpr=0.05)
    assert report.attacks["loss"].auc.value == pytest.approx(expected.attacks["loss"].auc.value, abs=1e-6)
    assert any(f"taken for class 1's {'probability' if sigmoid else 'logit'}" in line for line in report.assumptions)


def test_masked_classes_may_be_minus_infinity():
    y, is_member, z = leaking(2)
    never = (y + 1) % 4
    masked, far = z.copy(), z.copy()
    masked[np.arange(600), never], far[np.arange(600), never] = -np.inf, -1000
    report, expected = audit(y, is_member, logits=masked, at_fpr=0.05), audit(y, is_member, logits=far, at_fpr=0.05)
    for name in set(report.attacks) - {"output classifier"}:  # learns on other halves
        assert report.attacks[name].auc.value == pytest.approx(expected.attacks[name].auc.value, abs=1e-9)
    assert any("600 logits are −∞" in line for line in report.assumptions)
    for bad in (np.inf, np.nan):
        with pytest.raises(InputError, match="1 logits are NaN or infinite"):
            audit(y, is_member, logits=np.where(np.arange(600)[:, None] + np.arange(4) == 0, bad, masked), at_fpr=0.05)
    masked[3] = -np.inf
    with pytest.raises(InputError, match="4 logits are NaN or infinite"):
        audit(y, is_member, logits=masked, at_fpr=0.05)


@pytest.mark.parametrize(
    "kind",
    [
        lambda z: z.astype(np.float16),
        lambda z: torch.tensor(z, dtype=torch.bfloat16),
        lambda z: torch.tensor(z, dtype=torch.float16),
        lambda z: torch.tensor(z, requires_grad=True),
        lambda z: pd.DataFrame(z),
        lambda z: z.tolist(),
    ],
)
def test_numbers_of_every_kind(kind):
    y, is_member, z = leaking(3)
    expected = audit(y, is_member, logits=z, at_fpr=0.05).attacks["loss"].auc.value
    for given in ({"logits": kind(z)}, {"probabilities": kind(softmax(z, axis=1))}):
        found = audit(torch.tensor(y), is_member.tolist(), at_fpr=0.05, **given).attacks["loss"].auc.value
        assert found == pytest.approx(expected, abs=0.01)


def test_rounded_probabilities_name_the_way_and_it_works():
    y, is_member, z = leaking(4)
    rounded = masks.round_probabilities(z, 1)
    with pytest.raises(InputError, match=r"pass logits=mia_helpers.masks.to_logits\(p, floor\)"):
        audit(y, is_member, probabilities=rounded, at_fpr=0.05)
    assert audit(y, is_member, logits=masks.to_logits(rounded, 0.05), at_fpr=0.05).attacks["loss"].auc.value > 0.5


Y, M, Z = outputs(18)
GAP = np.where(Y == 2, 3, Y)  # no example of class 2
WORDS = {
    "one-hot labels": (np.eye(4)[Y], {"logits": Z}, InputError, r"labels.argmax\(axis=1\)"),
    "one-hot integers": (np.eye(4, dtype=int)[Y], {"logits": Z}, InputError, "argmax"),
    "whole floats": (Y * 1.0, {"logits": Z}, InputTypeError, r"labels.astype\(int\)"),
    "regression targets": (Y * 1.37, {"logits": Z}, InputTypeError, "no classes, and this audit is of classifiers"),
    "counts as targets": (Y * 250, {"logits": Z[:, 0]}, InputError, "labels go up to 750.*of classifiers"),
    "named classes": (np.array(list("abcd"))[Y], {"logits": Z}, InputTypeError, "return_inverse=True"),
    "a class that no member has": (
        np.where(M & (Y == 1), 0, Y),
        {"probabilities": np.full((400, 3), 1 / 3)},
        InputError,
        r"no member has label 1, so .* numpy.insert\(probabilities, 1, 0.0, axis=-1\)",
    ),
    "a class that no member has, and logits": (
        np.where(M & (Y == 1), 0, Y),
        {"logits": Z[:, :3]},
        InputError,
        r"numpy.insert\(logits, 1, -numpy.inf, axis=-1\)",
    ),
    "labels from 1": (Y + 1, {"logits": Z}, InputError, "labels count from 1 to 4, .*: subtract 1 from the labels"),
    "an estimator as fit": (
        Y,
        {"logits": Z, "inputs": Z, "fit": LogisticRegression()},
        InputTypeError,
        "got LogisticRegression",
    ),
    "a class as fit": (Y, {"logits": Z, "inputs": Z, "fit": LogisticRegression}, InputTypeError, "got LogisticRegression"),
    "a fit of two": (
        Y,
        {"logits": Z, "inputs": Z, "fit": lambda x, y: None},
        InputTypeError,
        r"fit\(inputs, labels, seed\)",
    ),
    "a fit that returns nothing": (
        Y,
        {"logits": Z, "inputs": Z, "fit": lambda x, y, seed: None},
        InputTypeError,
        "NoneType",
    ),
    "a fit that does not fit": (
        Y,
        {"logits": Z, "inputs": Z, "fit": lambda x, y, seed: LogisticRegression()},
        InputError,
        "not fitted",
    ),
    "a dictionary": (Y, {"model": lambda x: {"logits": x}, "inputs": Z}, InputTypeError, r"answer\['logits'\]"),
    "an unfitted model": (Y, {"model": LogisticRegression(), "inputs": Z}, InputError, "not fitted"),
    "coins that are none": (
        Y,
        {"logits": Z, "coins": True, "is_member": np.arange(400) < 100},
        InputError,
        "100 of 400 are members; leave coins out",
    ),
}


@pytest.mark.parametrize("name", WORDS)
def test_a_clear_line(name):
    labels, given, error, words = WORDS[name]
    given = {"is_member": M, "n_jobs": 1, "n_shadows": 2} | given
    with pytest.raises(error, match=words) as caught:
        audit(labels, given.pop("is_member"), at_fpr=0.1, **given)
    assert len(str(caught.value)) < 400


def test_a_column_that_is_put_in_as_advised_is_never_chosen():
    """Of logits 0 would be a high one: the class that no member has would be taken for likely."""
    y, is_member, z = leaking(9)
    keep = y != 1
    y, is_member, z = np.where(y[keep] > 1, y[keep], 0), is_member[keep], z[keep][:, [0, 2, 3]]
    y[np.flatnonzero(~is_member)[:5]] = 1
    with_column = audit(y, is_member, logits=np.insert(z, 1, -np.inf, axis=-1), at_fpr=0.05)
    p = audit(y, is_member, probabilities=np.insert(softmax(z, 1), 1, 0.0, axis=-1), at_fpr=0.05)
    assert with_column.accuracy == p.accuracy and with_column.accuracy["members"].value > 0.6


@pytest.mark.parametrize("kind", ["names", "truths", "whole floats"])
def test_a_model_of_names_is_asked_by_its_names(kind):
    """Not by their places in some other order: the report is that of the same model with numbers."""
    y, is_member, z = leaking(10)
    y, names = y % 2, {"names": ["zebra", "ape"], "truths": [True, False], "whole floats": [1.0, 0.0]}[kind]
    named = np.array(names)[y]
    for model in (LogisticRegression(C=100), RidgeClassifier()):
        by_name = model.fit(z[is_member], named[is_member])
        found = audit(named, is_member, model=by_name, inputs=z, at_fpr=0.05)
        numbers = np.searchsorted(by_name.classes_, named)
        expected = audit(numbers, is_member, model=clone(model).fit(z[is_member], numbers[is_member]), inputs=z, at_fpr=0.05)
        assert found == expected and found.accuracy["members"].value > 0.6
        assert audit(pd.Series(named), is_member, model=by_name, inputs=z, at_fpr=0.05) == expected
    with pytest.raises(InputError, match="300 of 600 labels are none of the model's classes, as 'other'"):
        audit(np.where(np.arange(600) < 300, "other", named.astype(object)), is_member, model=by_name, inputs=z, at_fpr=0.05)


def test_reference_models_of_a_model_of_names_learn_its_numbers():
    y, is_member, z = leaking(11, 200)
    named = np.array(["b", "d", "a", "c"])[y]
    seen = []

    def fit(inputs, labels, seed):
        seen.append(set(labels.tolist()))
        return LogisticRegression(C=100).fit(inputs, labels)

    model = LogisticRegression(C=100).fit(z[is_member], named[is_member])
    report = audit(named, is_member, model=model, inputs=z, fit=fit, n_shadows=4, n_jobs=1, at_fpr=0.1)
    assert report.n_shadows == 4 and seen == [{0, 1, 2, 3}] * 4 and not report.slips
    with pytest.raises(InputError, match="classes must be integers in 0 … 3, got .* that returns logits"):
        audit(
            named,
            is_member,
            model=model,
            inputs=z,
            n_shadows=2,
            n_jobs=1,
            at_fpr=0.1,
            fit=lambda x, y, seed: LogisticRegression().fit(x, np.array(list("abcd"))[y]),
        )


def test_a_fit_that_wants_a_dataframe_gets_one():
    y, is_member, z = leaking(5, 200)
    frame = pd.DataFrame({"a": z[:, 0], "b": z[:, 1], "kind": np.where(z[:, 2] > 0, "x", "y")}, index=range(100, 300))
    kinds = []

    def fit(x, labels, seed):
        kinds.append(
            (type(x).__name__, list(x.columns), x["kind"].iloc[0] in "xy", len(x) == len(labels) == is_member.sum())
        )
        model = LogisticRegression().fit(x[["a", "b"]].to_numpy(), labels)
        return lambda asked: model.decision_function(asked[["a", "b"]].to_numpy())

    report = audit(y, is_member, logits=z, inputs=frame, fit=fit, n_shadows=3, n_jobs=1, at_fpr=0.1)
    assert kinds == [("DataFrame", ["a", "b", "kind"], True, True)] * 3 and report.n_shadows == 3
    assert "saw labels, features." in report.assumptions[0]  # the column of text is one of them


def test_inputs_with_missing_values_or_of_text_are_no_reason_to_stop():
    y, is_member, z = leaking(6)
    holes = np.where(np.random.default_rng(0).random(z.shape) < 0.1, np.nan, z)
    report = audit(y, is_member, model=lambda x: np.nan_to_num(x), inputs=holes, at_fpr=0.05)
    assert "saw labels, features." in report.assumptions[0] and report.status in (EVIDENCE, NOT_COMPARABLE)
    texts = np.array([" ".join(map(str, row)) for row in z])
    report = audit(
        y, is_member, model=lambda x: np.array([line.split() for line in x], dtype=float), inputs=texts, at_fpr=0.05
    )
    assert "saw labels, features." in report.assumptions[0]


def test_noise_is_still_no_evidence():
    y, is_member, z = outputs(7)
    assert audit(y, is_member, logits=z, at_fpr=0.05).status == NO_EVIDENCE


@pytest.mark.parametrize(("terminal", "asked", "shown"), [(True, None, True), (False, None, False), (True, False, False)])
def test_a_bar_is_shown_where_stderr_is_a_terminal(terminal, asked, shown, monkeypatch):
    y, is_member, z = leaking(8, 100)
    given = {}

    def train_shadows(*args, **kwargs):
        given.update(kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr("mia_helpers.shadows.train_shadows", train_shadows)
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    with pytest.raises(KeyboardInterrupt):
        audit(y, is_member, logits=z, inputs=z, fit=lambda x, labels, seed: None, progress=asked, at_fpr=0.2)
    assert given["progress"] is shown

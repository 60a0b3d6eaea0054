"""What the two-sample test looks at: text, categories, dates, holes and sparse matrices, none of which switches it off."""

import datetime

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from test_audit import audit, outputs

from mia_helpers.audit import describing
from mia_helpers.audit.describing import described
from mia_helpers.audit.report import NO_EVIDENCE, NOT_COMPARABLE

Y, M, Z = outputs(21, 600)
LOT = np.random.default_rng(22).permutation(M)  # says nothing about M
DAY = pd.Timestamp("2024-01-01")
COLUMNS = {  # what tells, where `who` is true
    "a category": lambda who: pd.Categorical(np.where(who, "north", "south")),
    "a text": lambda who: np.where(who, "seen in the north", "seen in the south"),
    "pandas' strings": lambda who: pd.array(np.where(who, "b", "a"), dtype="string"),
    "a date": lambda who: DAY + pd.to_timedelta(np.arange(600) + 700 * who, "D"),
    "a date with a zone": lambda who: (DAY + pd.to_timedelta(np.arange(600) + 700 * who, "D")).tz_localize("UTC"),
    "a day": lambda who: np.array([datetime.date(2020 + 2 * w, 1, 1 + i % 28) for i, w in enumerate(who)], object),
    "a date as text": lambda who: [f"{2020 + 2 * w}-0{1 + i % 9}-{10 + i % 19}" for i, w in enumerate(who)],
    "a truth": lambda who: np.array(who, object),
    "a hole": lambda who: np.where(who, None, np.array(["a", "b"], object)[np.arange(600) % 2]),
    "a hole in a number": lambda who: pd.array(np.where(who, None, np.arange(600) % 7).tolist(), dtype="Int64"),
    "a number as text": lambda who: [f"{100 * w + i % 90}" for i, w in enumerate(who)],
    "words": lambda who: [f"patient {i} {'smokes' if w else 'jogs'}" for i, w in enumerate(who)],
    "an interval": lambda who: pd.cut(2.0 * np.array(who) + np.arange(600) % 2 / 10, [-1, 1, 3]),
    "a duration": lambda who: pd.to_timedelta(np.arange(600) % 9 + 20 * np.array(who), "h"),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_one_odd_column_does_not_switch_the_test_off(name):
    """The column alone tells, and the number beside it is still there."""
    other = np.random.default_rng(1).normal(size=600)
    tells = described(pd.DataFrame({"number": other, "odd": COLUMNS[name](M)}), 600)
    assert not tells.left_out and np.isfinite(tells.values).all() and (tells.values[:, 0] == other).all()
    report = audit(Y, M, logits=Z, inputs=pd.DataFrame({"number": other, "odd": COLUMNS[name](M)}), at_fpr=0.05)
    assert report.status == NOT_COMPARABLE and "labels, features" in report.warnings[0]
    assert all(control.auc.value > 0.9 for control in report.controls if "gradient boosting" in control.name)


def test_a_shift_beside_a_text_column_is_seen():
    table = pd.DataFrame({"number": np.random.default_rng(1).normal(size=600) + 2 * M, "clinic": COLUMNS["a text"](LOT)})
    report = audit(Y, M, logits=Z, inputs=table, at_fpr=0.05)
    assert report.status == NOT_COMPARABLE and "saw labels, features." in report.assumptions[0]


def test_a_column_that_says_nothing_is_no_reason_for_an_alarm():
    table = pd.DataFrame({name.replace(" ", ""): make(LOT) for name, make in COLUMNS.items()})
    report = audit(Y, M, logits=Z, inputs=table, at_fpr=0.05)
    assert report.status == NO_EVIDENCE and not report.warnings and all(control.passed for control in report.controls)


def test_text_alone_is_looked_at():
    texts = np.array([f"note {i} about {'a cat' if who else 'a dog'}" for i, who in enumerate(M)])
    for inputs in (texts, texts.tolist(), texts[:, None], pd.Series(texts)):
        report = audit(Y, M, logits=Z, inputs=inputs, at_fpr=0.05)
        assert report.status == NOT_COMPARABLE and "It saw no features" not in report.summary()


@pytest.mark.parametrize("form", [scipy.sparse.csr_matrix, scipy.sparse.csc_array, scipy.sparse.coo_matrix])
def test_sparse_matrices_are_looked_at(form):
    x = np.random.default_rng(2).normal(size=(600, 40)) * (np.random.default_rng(3).random((600, 40)) < 0.2)
    assert (described(form(x), 600).values == x).all()
    assert audit(Y, M, logits=Z, inputs=form(x), at_fpr=0.05).status == NO_EVIDENCE
    x[:, 7] += M
    report = audit(Y, M, logits=Z, inputs=form(x), at_fpr=0.05)
    assert report.status == NOT_COMPARABLE and "saw labels, features." in report.assumptions[0]


def test_of_a_wide_sparse_matrix_the_fullest_columns_and_a_summary_are_looked_at(monkeypatch):
    monkeypatch.setattr(describing, "MAX_SPARSE_COLUMNS", 3)
    x = scipy.sparse.random_array((50, 9), density=0.2, random_state=4, format="csr").toarray()
    x[:, [1, 4, 6]] = 1 + np.arange(150).reshape(50, 3)
    values = described(scipy.sparse.csr_matrix(x), 50).values
    rest = np.delete(x, [1, 4, 6], axis=1)
    np.testing.assert_allclose(values, np.column_stack([x[:, [1, 4, 6]], rest.sum(1), (rest != 0).sum(1)]))


def test_what_cannot_be_looked_at_is_named_and_not_called_missing():
    table = pd.DataFrame({"age": np.arange(600.0), "scan": [[1, 2]] * 600, "<b>": [{"a": 1}] * 600})
    some = audit(Y, M, logits=Z, inputs=table, at_fpr=0.05)
    assert some.warnings[0].startswith("The two-sample test could not look at 'scan', '<b>': neither numbers nor text")
    assert "it looked at the other columns" in some.warnings[0] and "saw labels, features." in some.assumptions[0]
    for inputs in ([[1], [2, 3]] * 300, [{"a": 1}] * 600, table[["scan"]]):
        none = audit(Y, M, logits=Z, inputs=inputs, at_fpr=0.05)
        assert none.warnings[0].startswith("The two-sample test could not look at ")
        assert "It saw no features" in none.assumptions[0] and "given" not in none.assumptions[0]
    assert "It saw no features" in audit(Y, M, logits=Z, at_fpr=0.05).assumptions[0]
    many = described(pd.DataFrame({f"c{i}": [[1]] * 600 for i in range(20)}), 600)
    assert (
        len(many.left_out) == 20
        and "and 8 more"
        in audit(Y, M, logits=Z, inputs=pd.DataFrame({f"c{i}": [[1]] * 600 for i in range(20)}), at_fpr=0.05).warnings[0]
    )


def test_rare_values_stand_together_and_ranks_are_alphabetical():
    texts = np.array(["a"] * 40 + ["b"] * 30 + [f"rare {i}" for i in range(30)])
    values = described(pd.DataFrame({"t": texts}), 100).values
    assert values.shape == (100, describing.MAX_CATEGORIES + 1)
    assert (values[:, 0] == (texts == "a")).all() and (values[:, -1] == np.unique(texts, return_inverse=True)[1]).all()


def test_numbers_are_left_as_they_are():
    x = np.random.default_rng(5).normal(size=(30, 2, 3)).astype(np.float32)
    assert (described(x, 30).values == x.reshape(30, 6)).all() and described(x, 30).values.dtype == np.float32
    holed = np.where(x > 1, np.nan, x).reshape(30, 6)
    values = described(holed, 30).values
    assert (values[:, :6] == np.nan_to_num(holed)).all()
    assert (values[:, 6:] == np.isnan(holed)[:, np.isnan(holed).any(0)]).all()
    assert described(None, 30).values is None and described(x, 31) == described(None, 31)

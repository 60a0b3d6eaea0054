"""Probabilities of any classifier, and the path through a tree, against values counted by hand and scikit-learn's own."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from mia_helpers.ask import probabilities
from mia_helpers.course.trees import path, plot_both, plot_path

# One feature decides: records at 0, 1 are class 0, at 3 class 1, at 5, 6, 7 class 0. Splits at 2 and 4.
X = np.array([[0.0], [1.0], [3.0], [5.0], [6.0], [7.0]])
Y = np.array([0, 0, 1, 0, 0, 0])


@pytest.fixture(scope="module")
def tree():
    return DecisionTreeClassifier(random_state=0).fit(X, Y)


def test_probabilities_are_the_models_own():
    model = GaussianNB().fit(np.vstack([X, X + 0.5]), np.tile(Y, 2))
    found = probabilities(model, X, 2)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, model.predict_proba(X))


def test_a_class_that_was_not_seen_gets_a_column_of_zeros():
    found = probabilities(DecisionTreeClassifier().fit([[0.0], [1.0]], [1, 3]), [[0.0], [1.0], [2.0]], 5)
    np.testing.assert_array_equal(found, [[0, 1, 0, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 1, 0]])


def test_a_model_without_probabilities_is_refused():
    with pytest.raises(TypeError, match="RidgeClassifier has no predict_proba; wrap it"):
        probabilities(RidgeClassifier().fit(X, Y), X, 2)


@pytest.mark.parametrize(
    ("labels", "shown"), [([0, 2], "0, 2"), ([-1, 1], "-1, 1"), (["a", "b"], "'a', 'b'"), ([0.0, 1.0], "0.0, 1.0")]
)
def test_classes_that_are_not_numbered_from_0_are_refused(labels, shown):
    with pytest.raises(ValueError, match=rf"integers in 0 … 1, got \[{shown}\]"):
        probabilities(DecisionTreeClassifier().fit([[0.0], [1.0]], labels), X, 2)


def test_path_counted_by_hand(tree):
    steps = path(tree, [3.0])
    assert [step.members.tolist() for step in steps] in ([[5, 1], [3, 1], [0, 1]], [[5, 1], [2, 1], [0, 1]])
    assert sorted(step.threshold for step in steps[:-1]) == [2.0, 4.0]
    assert [step.at_most for step in steps] == [step.threshold == 4.0 for step in steps[:-1]] + [None]
    assert [step.feature for step in steps] == [0, 0, None] and steps[-1].threshold is None


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), row=st.integers(0, 568))
def test_path_ends_in_scikit_learns_leaf(seed, row):
    records, labels = load_breast_cancer(return_X_y=True)
    chosen = np.random.default_rng(seed).permutation(569)[:100]
    tree = DecisionTreeClassifier(random_state=seed, min_samples_leaf=1 + seed % 7).fit(records[chosen], labels[chosen])
    steps = path(tree, records[row])
    in_leaf = tree.apply(records[chosen]) == tree.apply(records[[row]])[0]
    np.testing.assert_array_equal(steps[-1].members, np.bincount(labels[chosen][in_leaf], minlength=2))
    assert len(steps) == tree.decision_path(records[[row]]).sum()
    left = np.ones(100, dtype=bool)
    for step in steps[:-1]:  # a slow count: who is still there?
        np.testing.assert_array_equal(step.members, np.bincount(labels[chosen][left], minlength=2))
        left &= (np.float32(records[chosen, step.feature]) <= step.threshold) == step.at_most


def test_a_value_that_float32_rounds_up_to_the_threshold_goes_the_trees_way():
    tree = DecisionTreeClassifier(random_state=0).fit([[0.0], [2.0]], [0, 1])  # threshold 1
    record = [np.nextafter(1.0, 2.0)]  # above 1 in float64, 1 in float32
    assert tree.predict([record]) == [0] and path(tree, record)[-1].members.tolist() == [1, 0]


@pytest.mark.parametrize("record", [[], [1.0, 2.0], [[3.0]]])
def test_a_record_of_another_shape_is_refused(tree, record):
    with pytest.raises(ValueError, match=r"expected one record \[1\], got shape"):
        path(tree, record)


def test_plot_path_draws_the_counts_and_questions(tree):
    ax = plot_path(tree, [3.0], feature_names=["dose"], class_names=["well", "ill"], ax=plt.subplots()[1])
    steps = path(tree, [3.0])
    assert [bar.get_width() for bar in ax.patches] == [n for step in steps for n in step.members]
    assert [bar.get_x() for bar in ax.patches[1::2]] == [step.members[0] for step in steps]
    assert [bool(bar.get_hatch()) for bar in ax.patches] == [True, False] * len(steps)  # told apart without colours
    assert [bar.get_edgecolor()[3] > 0 for bar in ax.patches] == [n > 0 for step in steps for n in step.members]
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels[0] == "all members" and set(labels[1:]) == {"dose > 2", "dose ≤ 4"}
    assert [text.get_text() for text in ax.texts] == [f" {a} + {b}" for a, b in (step.members for step in steps)]
    plt.close("all")


def test_plot_path_refuses_more_than_two_classes(tree):
    three = DecisionTreeClassifier().fit([[0.0], [1.0], [2.0]], [0, 1, 2])
    for model, names in ((tree, ["a", "b", "c"]), (three, ["a", "b"])):
        with pytest.raises(ValueError, match="expected two classes"):
            plot_path(model, [1.0], feature_names=["dose"], class_names=names, ax=plt.subplots()[1])
    plt.close("all")


def test_two_trees_one_below_the_other_say_which_had_the_record(tree):
    other = DecisionTreeClassifier(random_state=0).fit(X[:-1], Y[:-1])
    figure = plot_both(tree, other, X[-1], "patient 1", feature_names=["size"], class_names=["ill", "well"])
    assert [ax.get_title() for ax in figure.axes] == ["trained with this patient", "trained without this patient"]
    assert [len(ax.get_yticks()) for ax in figure.axes] == [len(path(t, X[-1])) for t in (tree, other)]
    above, below = (ax.get_position() for ax in figure.axes)
    assert above.y0 > below.y1 and figure.get_suptitle() == "patient 1"
    plt.close(figure)

"""Asking: every kind of model gives the logits that it gives by itself, or an error of one line that says how to mend it."""

import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from sklearn.compose import make_column_transformer
from sklearn.ensemble import IsolationForest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier
from torch import nn

from mia_helpers.ask import ask, probabilities
from mia_helpers.inputs import InputError
from mia_helpers.training import predict_logits

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(60, 4)), np.arange(60) % 3
X += np.eye(4)[Y]
FRAME = pd.DataFrame(X, columns=list("abcd"), index=rng.permutation(60))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.BatchNorm1d(8), nn.Linear(8, 3))


# ---- torch modules


def test_a_module_is_asked_as_predict_logits_does(network):
    expected = predict_logits(network, torch.tensor(X, dtype=torch.float32))
    for inputs in (X, X.astype(np.float32), torch.tensor(X), torch.tensor(X, requires_grad=True), FRAME, X.tolist()):
        found = ask(network, inputs)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("dtype", "out", "digits"),
    [
        (torch.float64, np.float64, 1e-6),
        (torch.float32, np.float32, 1e-6),
        (torch.bfloat16, np.float32, 0.05),
        (torch.float16, np.float32, 0.01),
    ],
)
def test_a_module_is_asked_in_the_type_of_its_parameters(network, dtype, out, digits):
    expected = ask(network, X)
    found = ask(network.to(dtype), X)
    assert found.dtype == out
    np.testing.assert_allclose(found, expected, atol=digits)


def test_each_part_of_a_module_is_afterwards_in_the_mode_it_was_in_even_after_an_error(network):
    network.train()
    network[2].eval()  # as one freezes a layer
    for inputs in (X, np.zeros((3, 5))):
        try:
            ask(network, inputs)
        except RuntimeError:
            assert inputs.shape == (3, 5)
        assert [part.training for part in network] == [True, True, False, True] and network.training
    assert all(p.grad is None for p in network.parameters())


@settings(max_examples=20, deadline=None)
@given(batch_size=st.integers(1, 70))
def test_batches_change_nothing(batch_size):
    model = nn.Linear(4, 3)
    np.testing.assert_allclose(ask(model, X, batch_size=batch_size), ask(model, X), atol=1e-6)


def test_integers_are_converted_unless_the_module_embeds():
    pixels = rng.integers(0, 255, (5, 4), dtype=np.uint8)
    model = nn.Linear(4, 3)
    np.testing.assert_array_equal(ask(model, pixels), ask(model, pixels.astype(np.float32)))
    embedding = nn.Sequential(nn.EmbeddingBag(300, 6), nn.Linear(6, 3))
    with torch.no_grad():
        expected = embedding(torch.tensor(pixels, dtype=torch.int64)).numpy()
    for tokens in (pixels, torch.tensor(pixels), pixels.astype(np.int32)):
        np.testing.assert_allclose(ask(embedding, tokens), expected, atol=1e-6)


def test_a_module_without_parameters_and_one_on_another_device():
    np.testing.assert_allclose(ask(nn.LogSoftmax(1), X), log_softmax(X, axis=1), atol=1e-6)
    asked = []

    class Elsewhere(nn.Linear):
        def forward(self, batch):
            asked.append(batch.device)
            return torch.zeros(len(batch), 2)

    ask(Elsewhere(4, 2, device="meta"), X)
    assert asked == [torch.device("meta")]


def test_a_read_only_array_brings_no_warning():
    inputs = X.astype(np.float32)
    inputs.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ask(nn.Linear(4, 3), inputs)


# ---- classifiers


def test_probabilities_become_logs_and_the_floor_is_the_least():
    tree = DecisionTreeClassifier(random_state=0).fit(X, Y)
    for floor in (1e-12, 1e-3):
        np.testing.assert_array_equal(ask(tree, X, floor=floor), np.log(np.maximum(tree.predict_proba(X), floor)))
    np.testing.assert_allclose(
        softmax(ask(LogisticRegression().fit(X, Y), X), axis=1), LogisticRegression().fit(X, Y).predict_proba(X)
    )


def test_classes_that_were_not_seen_get_the_floor_with_either_method():
    for model in (LogisticRegression(), RidgeClassifier()):
        found = ask(model.fit(X, 2 * (Y > 0) + 1), X, n_classes=5, floor=1e-6)
        assert found.shape == (60, 5)
        np.testing.assert_allclose(softmax(found, axis=1)[:, [0, 2, 4]], 1e-6, rtol=1e-4)
    assert ask(LogisticRegression().fit(X, Y), X, n_classes=2).shape == (60, 3)


def test_decision_values_are_logits():
    svm = LinearSVC().fit(X, Y)
    np.testing.assert_array_equal(ask(svm, X), svm.decision_function(X))
    binary = make_pipeline(StandardScaler(), RidgeClassifier()).fit(X, Y == 2)
    with pytest.raises(InputError, match="classes must be integers"):
        ask(binary, X)
    binary.fit(X, (Y == 2).astype(int))
    np.testing.assert_array_equal(ask(binary, X), np.stack([np.zeros(60), binary.decision_function(X)], axis=1))
    np.testing.assert_array_equal(ask(binary, X).argmax(1), binary.predict(X))


def test_columns_with_names_stay_and_come_back():
    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(FRAME, Y)
    plain = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = [ask(model, inputs) for model in (fitted, plain) for inputs in (FRAME, X, torch.tensor(X), X.tolist())]
    for one in found:
        np.testing.assert_allclose(one, found[0])
    shuffled = FRAME[list("dcba")]
    with pytest.raises(ValueError, match="order"):  # scikit-learn's own: never reordered in silence
        ask(fitted, shuffled)


def test_text_in_a_frame_reaches_a_pipeline():
    frame = FRAME.assign(kind=np.where(Y == 0, "x", "y"))
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["kind"]), remainder="passthrough"), LogisticRegression()
    ).fit(frame, Y)
    np.testing.assert_allclose(np.exp(ask(model, frame)), model.predict_proba(frame))


def test_texts_reach_a_pipeline_in_any_form():
    texts, labels = ["good film", "bad film", "good", "bad"] * 5, [1, 0, 1, 0] * 5
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, labels)
    for form in (list, pd.Series, np.array):
        np.testing.assert_allclose(np.exp(ask(model, form(texts))), model.predict_proba(texts))
    sparse = model[0].transform(texts)
    np.testing.assert_allclose(np.exp(ask(model[1], sparse)), model.predict_proba(texts))


def test_classifiers_of_others_need_no_classes():
    class Duck:
        def predict_proba(self, inputs):
            return softmax(inputs, axis=1)

    np.testing.assert_allclose(ask(Duck(), X), log_softmax(X, axis=1))
    np.testing.assert_allclose(probabilities(Duck(), X), softmax(X, axis=1))


# ---- functions


def test_functions_are_asked_once_and_may_answer_with_tensors():
    calls = []

    def model(inputs):
        calls.append(len(inputs))
        return torch.tensor(inputs, dtype=torch.bfloat16, requires_grad=True)

    np.testing.assert_allclose(ask(model, X), X, atol=0.05)
    assert calls == [60]
    assert ask(lambda texts: [[len(t), 0.0] for t in texts], ["a", "abc"]).tolist() == [[1, 0], [3, 0]]


# ---- what cannot be asked


class Answer:
    def __init__(self, logits):
        self.logits = logits


class Returning(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.layer, self.change = nn.Linear(4, 3), change

    def forward(self, batch):
        return self.change(self.layer(batch))


ANSWERS = {
    "dictionary": (lambda z: {"scores": z}, TypeError, r"answers with a dict, not with logits.*perhaps answer\['scores'\]"),
    "tuple": (lambda z: (z, z), TypeError, r"answers with a tuple, .*perhaps answer\[0\]"),
    "object": (Answer, TypeError, r"answers with a Answer, .*perhaps answer\.logits"),
    "nothing": (lambda z: None, TypeError, "answers with None.*return"),
    "a vector": (lambda z: z[:, 0], ValueError, r"logits \[60, C\] with C ≥ 2, got \[60\]; for a binary model"),
    "a column": (lambda z: z[:, :1], ValueError, r"got \[60, 1\]; for a binary model"),
    "an image": (lambda z: z[:, None], ValueError, r"got \[60, 1, 3\]$"),
    "too few": (lambda z: z[1:], ValueError, r"logits \[60, C\] with C ≥ 2, got \[59, 3\]$"),
    "NaN": (lambda z: z * float("nan"), ValueError, "180 answers of .* are NaN or infinite"),
    "text": (lambda z: np.full((60, 3), "a"), TypeError, "must be numbers"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_that_are_no_logits(name):
    change, error, message = ANSWERS[name]
    for model in (Returning(change), lambda x: change(torch.tensor(x)[:, :3])):
        with pytest.raises(error, match=message) as caught:
            ask(model, X)
        assert isinstance(caught.value, InputError) and "\n" not in str(caught.value)


MODELS = {
    "unfitted": (lambda: LogisticRegression(), ValueError, "LogisticRegression is not fitted; call its fit"),
    "unfitted pipeline": (lambda: make_pipeline(StandardScaler(), LinearSVC()), ValueError, "Pipeline is not fitted"),
    "unfitted decision": (lambda: LinearSVC(), ValueError, "LinearSVC is not fitted"),
    "a class": (lambda: LogisticRegression, TypeError, "LogisticRegression is a class, not a model"),
    "a module's class": (lambda: nn.Linear, TypeError, "Linear is a class, not a model"),
    "regression": (lambda: Ridge().fit(X, Y), TypeError, "got Ridge; or ask it yourself"),
    "text": (lambda: "x", TypeError, "torch module or have predict_proba.*got str"),
    "pairs": (lambda: SVC(decision_function_shape="ovo").fit(X, Y), ValueError, "in pairs"),
    "outliers": (lambda: IsolationForest(n_estimators=2).fit(X), TypeError, "no classes_"),
    "several outputs": (lambda: DecisionTreeClassifier().fit(X, np.stack([Y, Y], 1)), TypeError, "2 outputs"),
    "names": (lambda: LogisticRegression().fit(X, np.array(list("abc"))[Y]), ValueError, "must be integers in 0 … 2"),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_that_cannot_be_asked(name):
    make, error, message = MODELS[name]
    with pytest.raises(error, match=message) as caught:
        ask(make(), X)
    assert isinstance(caught.value, InputError) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"floor": 0}, "floor must lie between 0 and 0.5, got 0"),
        ({"floor": 0.5}, "floor"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
    ],
)
def test_settings_out_of_range(network, settings, message):
    with pytest.raises(ValueError, match=message):
        ask(network, X, **settings)


def test_nothing_to_ask_about(network):
    for model in (network, lambda x: x, LogisticRegression().fit(X, Y)):
        with pytest.raises(ValueError, match="inputs is empty"):
            ask(model, X[:0])


def test_asking_imports_neither_torch_nor_pandas_nor_scikit_learn():
    script = """
import sys
from mia_helpers.ask import ask
assert ask(lambda x: x, [[1.0, 2.0]]).tolist() == [[1, 2]]
print({"torch", "pandas", "sklearn"} & set(sys.modules))
"""
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "set()\n"

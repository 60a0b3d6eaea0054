"""Checks of inputs: what comes in any form comes out as one array, and what cannot be used is refused in one line."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mia_helpers import inputs, masks, metrics
from mia_helpers.inputs import InputError, InputTypeError, as_array, same_rows
from mia_helpers.label_only import Service, right_answers


def test_importing_the_checks_imports_nothing_but_numpy():
    script = """
import sys
import mia_helpers.inputs
print({name.split(".")[0] for name in sys.modules} & {"torch", "pandas", "scipy", "sklearn", "matplotlib"})
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


FORMS = {
    "list": list,
    "tuple": tuple,
    "array": np.asarray,
    "series": pd.Series,
    "index": pd.Index,
    "tensor": torch.tensor,
    "tensor with a gradient": lambda x: torch.tensor(x, requires_grad=True),
    "double": lambda x: torch.tensor(x, dtype=torch.float64),
    "bfloat16": lambda x: torch.tensor(x, dtype=torch.bfloat16),
    "half": lambda x: torch.tensor(x, dtype=torch.float16),
    "nullable": lambda x: pd.Series(x, dtype="Float64"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_array(form):
    values = [0.5, -2.0, 0.25]
    np.testing.assert_array_equal(as_array(FORMS[form](values)), values)
    rows = as_array(FORMS[form](values) if form in ("index", "series", "nullable") else FORMS[form]([values, values]))
    assert isinstance(rows, np.ndarray) and rows.dtype.kind == "f"


def test_an_error_is_an_input_error_and_a_value_error_and_perhaps_a_type_error():
    for call, error in (
        (lambda: inputs.whole_number("k", 1.5, 1), TypeError),
        (lambda: inputs.numbers("x", ["a"]), TypeError),
        (lambda: inputs.whole_number("k", 0, 1), ValueError),
    ):
        with pytest.raises(error) as caught:
            call()
        assert isinstance(caught.value, InputError) and isinstance(caught.value, ValueError)
        assert isinstance(caught.value, InputTypeError) == (error is TypeError)


@given(order=st.permutations(range(4)), other=st.booleans())
def test_rows_are_the_same_or_refused(order, other):
    first = pd.Series(range(4), index=list("abcd"))
    second = pd.DataFrame(np.eye(4), index=list("abce") if other else list("abcd")).iloc[order]
    if list(order) == [0, 1, 2, 3] and not other:
        same_rows(first=first, second=second, third=np.zeros(4), fourth=None, fifth=[1, 2, 3, 4])
    else:
        message = "have different indices" if other else r"same index in another order.*second\.loc\[first\.index\]"
        with pytest.raises(InputError, match=f"first and second .*{message}|first and second {message}"):
            same_rows(first=first, nothing=None, second=second)


def test_an_index_with_repeats_is_not_mended_with_loc():
    with pytest.raises(InputError, match="different indices"):
        same_rows(a=pd.Series([1, 2, 3], index=[0, 0, 1]), b=pd.Series([1, 2, 3], index=[0, 1, 0]))


SCORES, MEMBER = pd.Series([0.1, 0.9, 0.4, 0.7]), pd.Series([False, True, False, True])


@pytest.mark.parametrize(
    "call",
    [
        lambda s, m: metrics.auc(s, m),
        lambda s, m: metrics.attack_report(s, m, fprs=()),
        metrics.roc_curve,
        metrics.best_threshold,
        lambda s, m: metrics.tpr_at_fpr(s, m, 0.5),
        lambda s, m: metrics.threshold_at_fpr(s, m, 0.5),
        lambda s, m: metrics.epsilon_lower_bound(s, m, SCORES, MEMBER),
        lambda s, m: metrics.attack_report(s.to_frame().T, m.to_frame().T, fprs=()),
    ],
)
def test_scores_and_memberships_with_other_indices_are_refused(call):
    call(SCORES, MEMBER)
    with pytest.raises(InputError, match="scores.* and is_member.* have the same index in another order"):
        call(SCORES, MEMBER.iloc[::-1])
    with pytest.raises(InputError, match="scores.* and is_member.* have different indices"):
        call(SCORES.set_axis(list("abcd")), MEMBER)


def test_tensors_and_frames_are_measured_as_arrays():
    expected = metrics.auc(SCORES.to_numpy(), MEMBER.to_numpy())
    assert metrics.auc(torch.tensor(SCORES, requires_grad=True), torch.tensor(MEMBER)) == expected
    assert metrics.auc(SCORES.astype("Float64"), MEMBER.astype("boolean")) == expected
    z = torch.tensor([[1.0, 2.0], [0.5, 0.25]], requires_grad=True)
    np.testing.assert_array_equal(masks.top_k(z, 1), masks.top_k(pd.DataFrame(z.detach().numpy()), 1))
    np.testing.assert_array_equal(masks.top_k(z.bfloat16(), 1), masks.top_k(z.detach().numpy(), 1))


def test_text_for_scores_is_refused():
    with pytest.raises(TypeError, match="scores must be numbers"):
        metrics.auc(["0.1", "0.2"], np.array([True, False]))


def test_labels_as_a_series_with_an_index_of_their_own_fit_a_tensor_of_images():
    images = torch.zeros(3, 4)
    labels, service = pd.Series([0, 1, 0], index=[7, 8, 9]), Service(torch.nn.Linear(4, 2))
    found = right_answers(service.labels, images, labels, [lambda x: x])
    assert found.shape == (3, 1)

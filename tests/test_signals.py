"""Signals: against values worked out by hand and against slow loops with exact or plain arithmetic."""

import math
import sys
import tracemalloc
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import log_softmax, logsumexp

from mia_helpers import signals

ALL = [
    signals.max_confidence,
    signals.true_class_confidence,
    signals.negative_loss,
    signals.negative_entropy,
    signals.negative_modified_entropy,
    signals.logit_confidence,
    signals.hinge,
    signals.correctness,
]
LABEL_FREE = [signals.max_confidence, signals.negative_entropy]
LABELLED = [signal for signal in ALL if signal not in LABEL_FREE]

# Probabilities 1/2, 1/4, 1/4 and 1/8, 1/8, 3/4: logits whose exponentials are whole numbers.
HAND_LOGITS = np.log([[2.0, 1.0, 1.0], [1.0, 1.0, 6.0]])
HAND_LABELS = np.array([0, 1])
ln = math.log
HAND_VALUES = {
    signals.max_confidence: [1 / 2, 3 / 4],
    signals.true_class_confidence: [1 / 2, 1 / 8],
    signals.negative_loss: [-ln(2), -ln(8)],
    signals.negative_entropy: [-1.5 * ln(2), -ln(8) / 4 + 0.75 * ln(3 / 4)],
    signals.negative_modified_entropy: [-ln(2) / 2 + 0.5 * ln(3 / 4), -7 / 8 * ln(8) + ln(7 / 8) / 8 + 0.75 * ln(1 / 4)],
    signals.logit_confidence: [0.0, -ln(7)],
    signals.hinge: [ln(2), -ln(6)],
    signals.correctness: [1.0, 0.0],
}


def by_name(signal):
    return signal.__name__


def slow(signal, logits: list[float], y: int) -> float:
    """The definition of a signal, one example at a time, with exact sums of exponentials; for moderate logits."""
    weights = [Fraction(math.exp(z)) for z in logits]
    p = [w / sum(weights) for w in weights]
    others = [j for j in range(len(p)) if j != y]
    match signal.__name__:
        case "max_confidence":
            return float(max(p))
        case "true_class_confidence":
            return float(p[y])
        case "negative_loss":
            return ln(p[y])
        case "negative_entropy":
            return sum(float(q) * ln(q) for q in p)
        case "negative_modified_entropy":
            return float(1 - p[y]) * ln(p[y]) + sum(float(p[j]) * ln(1 - p[j]) for j in others)
        case "logit_confidence":
            return ln(p[y] / (1 - p[y]))
        case "hinge":
            return logits[y] - max(logits[j] for j in others)
        case "correctness":
            return float(all(logits[y] > logits[j] for j in others))
    raise AssertionError(f"no reference for {signal.__name__}")


@pytest.mark.parametrize("signal", ALL, ids=by_name)
def test_values_worked_out_by_hand(signal):
    found = signal(HAND_LOGITS, HAND_LABELS)
    assert found.shape == (2,)
    np.testing.assert_allclose(found, HAND_VALUES[signal], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("signal", ALL, ids=by_name)
@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_agrees_with_a_slow_loop_for_every_shadow_and_example(signal, n_classes):
    rng = np.random.default_rng(n_classes)
    logits, labels = rng.normal(0, 4, (3, 20, n_classes)), rng.integers(0, n_classes, 20)
    expected = [[slow(signal, logits[s, n].tolist(), int(labels[n])) for n in range(20)] for s in range(3)]
    found = signal(logits, labels)
    assert found.shape == (3, 20)
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)
    np.testing.assert_array_equal(found[1], signal(logits[1], labels))
    np.testing.assert_array_equal(signal(logits[:, None], labels), found[:, None])  # any number of leading dimensions


@pytest.mark.parametrize("signal", ALL, ids=by_name)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.int64, np.uint8])
def test_any_number_type_comes_out_as_float64(signal, dtype):
    logits = np.array([[3, 1, 0], [0, 2, 5]], dtype=dtype)
    found = signal(logits, np.array([0, 1], dtype=np.uint8))
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, signal(logits.astype(np.float64), [0, 1]))
    assert logits.dtype == dtype


def test_float32_logits_are_computed_in_float64():
    logits = np.array([[12.5, 0.25, 0.0]], dtype=np.float32)  # exact in float32, but not their probabilities
    expected = ln(1 + math.exp(-12.25) + math.exp(-12.5))
    np.testing.assert_allclose(signals.negative_loss(logits, [0]), -expected, rtol=1e-9)


@pytest.mark.parametrize("signal", ALL, ids=by_name)
def test_inputs_are_left_as_they_were(signal):
    logits, labels = HAND_LOGITS.copy(), HAND_LABELS.copy()
    signal(logits, labels)
    np.testing.assert_array_equal(logits, HAND_LOGITS)
    np.testing.assert_array_equal(labels, HAND_LABELS)


@pytest.mark.parametrize("signal", ALL, ids=by_name)
@given(
    logits=arrays(np.float64, (4, 5), elements=st.floats(-30, 30)),
    shift=arrays(np.int64, (4, 1), elements=st.integers(-1000, 1000)),
    labels=arrays(np.int64, 4, elements=st.integers(0, 4)),
)
@settings(max_examples=25, deadline=None)
def test_a_constant_added_to_all_logits_of_an_example_changes_nothing(signal, logits, shift, labels):
    logits = np.round(logits * 1024) / 1024  # so that the shift itself loses no digits
    np.testing.assert_allclose(signal(logits + shift, labels), signal(logits, labels), rtol=1e-9, atol=1e-11)


@given(
    logits=arrays(np.float64, (3, 4), elements=st.sampled_from([-1e4, -9999.0, -5e3, -1.0, 0.0, 1.0, 40.0, 9999.0, 1e4])),
    labels=arrays(np.int64, 3, elements=st.integers(0, 3)),
)
@settings(max_examples=100, deadline=None)
def test_extreme_logits_give_finite_signals_within_their_ranges(logits, labels):
    ranges = {
        signals.max_confidence: (1 / 4, 1),
        signals.true_class_confidence: (0, 1),
        signals.correctness: (0, 1),
        signals.negative_loss: (-2e4 - 2, 0),
        signals.negative_entropy: (-ln(4), 0),
        signals.negative_modified_entropy: (-math.inf, 0),
        signals.logit_confidence: (-2e4 - 2, 2e4),
        signals.hinge: (-2e4, 2e4),
    }
    assert set(ranges) == set(ALL)
    for signal, (low, high) in ranges.items():
        found = signal(logits, labels)
        assert np.isfinite(found).all(), signal.__name__
        assert (found >= low - 1e-12).all() and (found <= high + 1e-12).all(), signal.__name__


@pytest.mark.parametrize("signal", LABELLED, ids=by_name)
def test_a_larger_logit_of_the_label_never_lowers_a_signal(signal):
    true_logits = np.concatenate([np.linspace(-1e4, -61, 60), np.linspace(-60, 60, 601), np.linspace(61, 1e4, 60)])
    for others in ([0.0], [0.0, -3.0, 1.5], [0.0] * 9):
        logits = np.column_stack([true_logits, np.tile(others, (len(true_logits), 1))])
        steps = np.diff(signal(logits, np.zeros(len(true_logits), dtype=int)))
        assert (steps >= 0).all(), others
        if signal in (signals.logit_confidence, signals.hinge):
            assert (steps > 0).all(), "these two never saturate"


def test_extreme_logits_keep_exact_values():
    logits = np.array([[1e4, -1e4, -1e4], [-1e4, 1e4, 1e4 - 1]])
    np.testing.assert_allclose(signals.logit_confidence(logits, [0, 0]), [2e4 - ln(2), -2e4 - ln(1 + math.exp(-1))])
    np.testing.assert_allclose(signals.negative_loss(logits, [0, 0]), [0, -2e4 - ln(1 + math.exp(-1))], atol=1e-300)
    np.testing.assert_array_equal(signals.hinge(logits, [0, 0]), [2e4, -2e4])


def test_modified_entropy_of_extreme_logits():
    """Surely right: 0. Surely wrong: −(gap + gap), one for the label and one for the class that took all."""
    logits = np.array([[1e4, 0, 0], [0, 1e4, 0], [0, 0, 5e3]])
    found = signals.negative_modified_entropy(logits, [0, 0, 0])
    np.testing.assert_allclose(found, [0, -2e4 + ln(2), -1e4 + ln(2)], atol=1e-12)


@pytest.mark.parametrize("gap", [12.0, 20.0, 25.0, 30.0])
def test_modified_entropy_of_confident_right_answers_is_not_rounding_noise(gap):
    """Members sit here. With q = 1 − p_y small, the definition gives −q² − Σ p_j² to first order."""
    logits = np.array([[gap, 0.0, -1.0, -2.0]])
    weights = [math.exp(z - gap) for z in (0.0, -1.0, -2.0)]
    expected = -(sum(weights) ** 2) - sum(w**2 for w in weights)
    np.testing.assert_allclose(signals.negative_modified_entropy(logits, [0]), expected, rtol=1e-2)


def test_logit_confidence_is_the_log_odds_of_true_class_confidence():
    rng = np.random.default_rng(5)
    logits, labels = rng.normal(0, 3, (2, 50, 6)), rng.integers(0, 6, 50)
    p = signals.true_class_confidence(logits, labels)
    np.testing.assert_allclose(signals.logit_confidence(logits, labels), np.log(p) - np.log(1 - p), rtol=1e-9)
    np.testing.assert_allclose(np.log(p), signals.negative_loss(logits, labels), rtol=1e-12)


@pytest.mark.parametrize("signal", ALL, ids=by_name)
def test_only_the_labelled_signals_look_at_the_labels(signal):
    logits = np.random.default_rng(6).normal(0, 3, (40, 4))
    labels = np.random.default_rng(7).integers(0, 4, 40)
    unchanged = np.array_equal(signal(logits, labels), signal(logits, (labels + 1) % 4))
    assert unchanged == (signal in LABEL_FREE)


@pytest.mark.parametrize("signal", ALL, ids=by_name)
def test_renaming_the_classes_changes_nothing(signal):
    rng = np.random.default_rng(8)
    logits, labels, order = rng.normal(0, 3, (30, 5)), rng.integers(0, 5, 30), rng.permutation(5)
    np.testing.assert_allclose(signal(logits[:, order], np.argsort(order)[labels]), signal(logits, labels), rtol=1e-12)


def test_two_classes():
    logits = np.array([[1.5, -0.5]])
    np.testing.assert_allclose(signals.logit_confidence(logits, [0]), 2.0)
    np.testing.assert_allclose(signals.hinge(logits, [1]), -2.0)


BAD = {
    "NaN": ([[0.0, np.nan]], [0], ValueError, "1 logits are NaN or infinite"),
    "infinite": ([[-np.inf, 0.0], [np.inf, 0.0]], [0, 1], ValueError, "2 logits are NaN or infinite"),
    "label too large": ([[0.0, 1.0]], [2], ValueError, r"labels must lie in 0 … 1, got 2 … 2"),
    "label negative": ([[0.0, 1.0]], [-1], ValueError, r"labels must lie in 0 … 1, got -1 … -1"),
    "too few labels": ([[0.0, 1.0], [1.0, 0.0]], [0], ValueError, r"got \[2, 2\] and \[1\]"),
    "labels with a dimension too many": ([[0.0, 1.0]], [[0]], ValueError, r"got \[1, 2\] and \[1, 1\]"),
    "no dimension for classes": ([0.0, 1.0], [0, 1], ValueError, r"got \[2\] and \[2\]"),
    "shadows first": (np.zeros((3, 4, 2)), [0, 0, 0], ValueError, r"got \[3, 4, 2\] and \[3\]"),
    "one class": ([[0.0]], [0], ValueError, "C ≥ 2"),
    "float labels": ([[0.0, 1.0]], [0.0], TypeError, "labels must be integers, got float64"),
    "boolean labels": ([[0.0, 1.0]], [True], TypeError, "labels must be integers, got bool"),
    "text": ([["a", "b"]], [0], TypeError, "logits must be numbers"),
    "complex logits": ([[0j, 1j]], [0], TypeError, "logits must be numbers, got complex128"),
    "empty": (np.zeros((0, 3)), np.zeros(0, dtype=int), ValueError, "no examples"),
}


@pytest.mark.parametrize("signal", ALL, ids=by_name)
@pytest.mark.parametrize("case", BAD)
def test_errors_say_what_is_wrong(signal, case):
    logits, labels, error, message = BAD[case]
    with pytest.raises(error, match=message):
        signal(logits, labels)


def test_every_public_signal_is_tested_here():
    public = {
        f
        for name, f in vars(signals).items()
        if not name.startswith("_") and callable(f) and getattr(f, "__module__", "") == signals.__name__
    }
    assert public == set(ALL)


def test_negative_loss_still_orders_examples_whose_probability_rounds_to_one():
    logits = np.array([[40.0, 0.0], [60.0, 0.0], [100.0, 0.0]])
    values = signals.negative_loss(logits, [0, 0, 0])
    assert (np.diff(values) > 0).all() and (values < 0).all()
    np.testing.assert_allclose(values, -np.exp([-40.0, -60.0, -100.0]), rtol=1e-9)


# ---- cost and exactness for many classes


def with_every_sum_written_out(signal, logits, y):
    """The signals as sums over all the other classes, one class at a time: slow, and exact to rounding."""
    z = np.asarray(logits, dtype=np.float64)
    log_p = log_softmax(z, axis=-1)
    rows = np.arange(len(y))
    log_rest = np.stack([logsumexp(np.delete(log_p, j, axis=-1), axis=-1) for j in range(z.shape[-1])], axis=-1)
    log_rest = np.minimum(log_rest, 0.0)
    phi = np.array([row[label] - logsumexp(np.delete(row, label)) for row, label in zip(z, y)])
    p = np.exp(log_p)
    terms = p * log_rest
    terms[rows, y] = 0
    return {
        "max_confidence": p.max(-1),
        "true_class_confidence": np.exp(-np.logaddexp(0, -phi)),
        "negative_loss": -np.logaddexp(0, -phi),
        "negative_entropy": (p * log_p).sum(-1),
        "negative_modified_entropy": np.exp(log_rest[rows, y]) * log_p[rows, y] + terms.sum(-1),
        "logit_confidence": phi,
        "hinge": np.array([row[label] - np.delete(row, label).max() for row, label in zip(z, y)]),
        "correctness": (z.argmax(-1) == y).astype(float),
    }[signal.__name__]


@st.composite
def hard_logits(draw):
    """Any size from 1e-3 to 1e4, with ties, between two classes and between all."""
    n, c = draw(st.integers(1, 4)), draw(st.integers(2, 12))
    scale = draw(st.sampled_from([1e-3, 1.0, 30.0, 1e4]))
    values = st.floats(-1, 1) if draw(st.booleans()) else st.sampled_from([-1.0, 0.0, 0.5, 1.0])
    logits = scale * draw(arrays(np.float64, (n, c), elements=values))
    return logits, draw(arrays(np.int64, n, elements=st.integers(0, c - 1)))


@pytest.mark.parametrize("signal", ALL, ids=by_name)
@settings(max_examples=150, deadline=None)
@given(case=hard_logits())
def test_signals_equal_their_sums_written_out(signal, case):
    logits, y = case
    tiny = 1e-15 if signal is signals.negative_modified_entropy else 1e-300  # log p_y near 0 has few digits, in both
    np.testing.assert_allclose(signal(logits, y), with_every_sum_written_out(signal, logits, y), rtol=1e-12, atol=tiny)


def calls_and_memory(function):
    """How many functions (Python's and C's) a call enters, and how many bytes it holds at the most."""
    calls = []
    tracemalloc.start()
    sys.setprofile(lambda frame, event, argument: calls.append(event) if event in ("call", "c_call") else None)
    try:
        function()
    finally:
        sys.setprofile(None)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return len(calls), peak


@pytest.mark.parametrize("signal", ALL, ids=by_name)
def test_cost_is_linear_in_the_classes(signal):
    """As many steps for 1,024 classes as for 16, each on arrays that grow with the logits and no faster."""
    rng, cost = np.random.default_rng(0), {}
    for c in (16, 16, 1024):  # the first time warms up
        z, y = rng.normal(0, 3, (200, c)), rng.integers(0, c, 200)
        cost[c] = calls_and_memory(lambda z=z, y=y: signal(z, y))
    assert cost[1024][0] == cost[16][0]
    assert cost[1024][1] <= 12 * 200 * 1024 * 8


def test_labels_and_logits_with_other_indices_are_refused():
    y, order = pd.Series([0, 1, 1]), [2, 0, 1]
    z = pd.DataFrame(np.arange(9.0).reshape(3, 3))
    for signal in ALL:
        np.testing.assert_array_equal(signal(z, y), signal(z.to_numpy(), y.to_numpy()))
        with pytest.raises(ValueError, match=r"logits and labels have the same index in another order.*labels\.loc"):
            signal(z, y.iloc[order])
        np.testing.assert_array_equal(signal(z, y.iloc[order].loc[z.index]), signal(z, y))
        with pytest.raises(ValueError, match=r"logits and labels have different indices.*reset_index\(drop=True\)"):
            signal(z, y.set_axis([5, 6, 7]))

"""Defences: masks against values computed by hand, DP-SGD against a loop over single examples and Opacus' accountant."""

import copy
import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from opacus.accountants import RDPAccountant
from opacus.utils.uniform_sampler import UniformWithReplacementSampler
from scipy.special import softmax
from scipy.stats import kstest
from torch import nn

from mia_helpers import keys, masks, private
from mia_helpers.data import ImageSet, load_digits
from mia_helpers.defences import RandomShift, relaxloss
from mia_helpers.masks import memguard, to_logits
from mia_helpers.metrics import Estimate
from mia_helpers.models import SmallClassifier
from mia_helpers.plots import pareto, tradeoff
from mia_helpers.private import load_or_train_private, train_private
from mia_helpers.training import fit, reset_weights, seeded

MASKS = {
    "top_k": lambda z: masks.top_k(z, 1),
    "round": lambda z: masks.round_probabilities(z, 1),
    "temperature": lambda z: masks.temperature(z, 3.0),
    "small temperature": lambda z: masks.temperature(z, 1e-300),
    "label_only": masks.label_only,
    "memguard": lambda z: memguard(z, 0.6, 2.0, seed=0),
    "memguard, small budget": lambda z: memguard(z, 0.6, 0.3, seed=0),
}
LOGITS = arrays(
    np.float64,
    st.tuples(st.integers(1, 4), st.integers(2, 5)),
    elements=st.one_of(st.floats(-1e4, 1e4), st.floats(-2, 2), st.integers(-2, 2).map(float)),
)


# ------------------------------------------------------------------------------------------- output-time defences


def test_top_k_by_hand():
    z = np.log([[0.5, 0.15, 0.3, 0.05]])
    np.testing.assert_allclose(masks.top_k(z, 1), [[0.5, 1 / 6, 1 / 6, 1 / 6]])
    np.testing.assert_allclose(masks.top_k(z, 2), [[0.5, 0.1, 0.3, 0.1]])
    np.testing.assert_allclose(masks.top_k(z, 4), np.exp(z))


def test_round_by_hand():
    z = np.log([[0.64, 0.27, 0.09], [0.333, 0.336, 0.331]])
    np.testing.assert_array_equal(masks.round_probabilities(z, 1), [[0.6, 0.3, 0.1], [0.3, 0.4, 0.3]])
    np.testing.assert_array_equal(masks.round_probabilities(z, 2), [[0.64, 0.27, 0.09], [0.33, 0.34, 0.33]])
    np.testing.assert_array_equal(masks.round_probabilities(z, 0), [[1, 0, 0], [0, 1, 0]])


def test_temperature_by_hand_and_undone():
    z = np.array([[2.0, 0.0, -1.0]])
    np.testing.assert_allclose(masks.temperature(z, 2.0), np.exp([[1, 0, -0.5]]) / np.exp([1, 0, -0.5]).sum())
    undone = 2 * to_logits(masks.temperature(z, 2.0))
    np.testing.assert_allclose(undone - undone[:, :1], z - z[:, :1], atol=1e-12)


def test_label_only_by_hand():
    np.testing.assert_array_equal(masks.label_only([[1, 3, 2], [5, 5, 0]]), [[0, 1, 0], [1, 0, 0]])


def test_memguard_by_hand():
    z = np.log([[0.8, 0.15, 0.05], [0.5, 0.3, 0.2]])
    a = (0.8 - 0.5) / (0.8 - 1 / 3)  # how far the first row goes towards 1/3 each
    mixed = [0.5, 0.15 + a * (1 / 3 - 0.15), 0.05 + a * (1 / 3 - 0.05)]
    np.testing.assert_allclose(memguard(z, 0.5, 2.0, seed=0), [mixed, [0.5, 0.3, 0.2]])
    np.testing.assert_allclose(memguard(z, 0.8, 2.0, seed=0), [[0.8, 0.15, 0.05], [0.8, 0.12, 0.08]])
    np.testing.assert_allclose(memguard(z, 0.5, 0.0, seed=0), np.exp(z))


def test_memguard_hides_the_confidence_within_its_budget():
    z = np.random.default_rng(0).normal(0, 3, (4000, 10))
    p = softmax(z, axis=-1)
    assert np.unique(memguard(z, 0.7, 2.0, seed=0).max(-1)).tolist() == [0.7]
    for budget in (0.05, 0.2):
        masked = memguard(z, 0.7, budget, seed=0)
        full = np.abs(memguard(z, 0.7, 2.0, seed=0) - p).sum(-1)
        distance, expected = np.abs(masked - p).sum(-1), np.minimum(full, budget)
        assert distance.mean() == pytest.approx(expected.mean(), rel=0.1)
        assert distance.mean() < 1.1 * budget


def test_memguard_answers_the_same_row_in_the_same_way():
    z = np.random.default_rng(1).normal(0, 3, (500, 10))
    masked = memguard(z, 0.7, 0.2, seed=0)
    order = np.random.default_rng(2).permutation(500)
    np.testing.assert_array_equal(memguard(z[order], 0.7, 0.2, seed=0), masked[order])
    np.testing.assert_array_equal(memguard(np.stack([z, z]), 0.7, 0.2, seed=0), np.stack([masked, masked]))
    assert (memguard(z, 0.7, 0.2, seed=1) != masked).any()


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@given(z=LOGITS)
@settings(max_examples=60, deadline=None)
def test_masks_keep_the_label_and_stay_probabilities(mask, z):
    before = z.copy()
    p = mask(z)
    np.testing.assert_array_equal(z, before)
    np.testing.assert_array_equal(p.argmax(-1), z.argmax(-1))
    assert p.dtype == np.float64 and p.shape == z.shape
    assert p.min() >= 0 and p.max() <= 1 + 1e-9
    if mask is not MASKS["round"]:
        np.testing.assert_allclose(p.sum(-1), 1, atol=1e-9)
    assert np.isfinite(to_logits(p)).all()
    np.testing.assert_array_equal(mask(np.stack([z, z]))[1], p)


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_masks_survive_huge_logits(mask):
    z = np.array([[1e300, -1e300, 0.0], [-1e4, 1e4, 1e4 - 1]])
    p = mask(z)
    assert np.isfinite(p).all() and p.argmax(-1).tolist() == [0, 1]


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize(
    ("logits", "error"),
    [
        ([[0.0, np.nan]], ValueError),
        ([[0.0, np.inf]], ValueError),
        ([0.0, 1.0], ValueError),
        ([[1.0], [2.0]], ValueError),
        (np.zeros((0, 3)), ValueError),
        ([["a", "b"]], TypeError),
    ],
)
def test_masks_refuse_what_are_no_logits(mask, logits, error):
    with pytest.raises(error):
        mask(logits)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda z: masks.top_k(z, 0), ValueError, "k must be from 1 to 3, got 0"),
        (lambda z: masks.top_k(z, 4), ValueError, "k must be from 1 to 3, got 4"),
        (lambda z: masks.top_k(z, 1.5), TypeError, "k must be a whole number, got 1.5"),
        (lambda z: masks.round_probabilities(z, -1), ValueError, "decimals must be from 0 to 15, got -1"),
        (lambda z: masks.round_probabilities(z, 16), ValueError, "decimals"),
        (lambda z: masks.round_probabilities(z, 2.0), TypeError, "decimals must be a whole number"),
        (lambda z: masks.temperature(z, 0), ValueError, "t must be positive"),
        (lambda z: masks.temperature(z, -1.0), ValueError, "t must be positive"),
        (lambda z: masks.temperature(z, math.inf), ValueError, "finite"),
        (lambda z: masks.temperature(z, math.nan), ValueError, "t must be positive"),
        (lambda z: memguard(z, 1 / 3, 1.0, 0), ValueError, "threshold must lie between 1/3"),
        (lambda z: memguard(z, 1.0, 1.0, 0), ValueError, "threshold"),
        (lambda z: memguard(z, math.nan, 1.0, 0), ValueError, "threshold"),
        (lambda z: memguard(z, 0.5, -0.1, 0), ValueError, "budget must not be negative"),
        (lambda z: memguard(z, 0.5, math.nan, 0), ValueError, "budget"),
        (lambda z: to_logits(z), ValueError, "must lie in"),
        (lambda z: to_logits([[0.5, 0.5]], 0.0), ValueError, "floor"),
        (lambda z: to_logits([[0.5, 0.5]], 1.0), ValueError, "floor"),
        (lambda z: to_logits([[0.5, np.nan]]), ValueError, "NaN"),
    ],
)
def test_settings_out_of_range(call, error, words):
    with pytest.raises(error, match=words.replace("(", r"\(")):
        call(np.array([[3.0, -1.0, 0.0]]))


def test_to_logits_by_hand():
    np.testing.assert_allclose(to_logits([[0.25, 0.75, 0.0]], floor=0.01), np.log([[0.25, 0.75, 0.01]]))


# ------------------------------------------------------------------------------------------- training-time defences


def test_random_shift_moves_each_image_by_itself():
    layer, images = RandomShift(1), torch.rand(400, 2, 6, 5)
    with seeded(0):
        moved = layer.train()(images)
    padded, found = F.pad(images, (1, 1, 1, 1)), []
    for i in range(400):
        places = [(r, c) for r in range(3) for c in range(3) if torch.equal(moved[i], padded[i, :, r : r + 6, c : c + 5])]
        assert len(places) == 1
        found += places
    assert len(set(found)) == 9 and max(found.count(place) for place in set(found)) < 90
    assert torch.equal(layer.eval()(images), images)
    assert repr(RandomShift(2)) == "RandomShift(2)"  # the cache knows the layer by it


@pytest.mark.parametrize(("pixels", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError)])
def test_random_shift_refuses(pixels, error):
    with pytest.raises(error, match="pixels must be"):
        RandomShift(pixels)


def relaxloss_by_hand(z: np.ndarray, y: np.ndarray, alpha: float, flatten: bool) -> float:
    total = 0.0
    losses = [-math.log(softmax(row)[label]) for row, label in zip(z, y)]
    mean = sum(losses) / len(losses)
    if mean > alpha:
        return mean
    if not flatten:
        return alpha - mean
    for row, label, loss in zip(z, y, losses):
        total -= loss
        if row.argmax() != label:
            p = softmax(row)
            goal = [p[label] if c == label else (1 - p[label]) / (len(p) - 1) for c in range(len(p))]
            total -= sum(g * math.log(q) for g, q in zip(goal, p))
    return total / len(y)


def test_relaxloss_against_the_formula():
    z, y = np.random.default_rng(0).normal(0, 2, (8, 4)), np.array([0, 1, 2, 3, 0, 1, 2, 3])
    outputs, seen = torch.tensor(z, requires_grad=True), set()
    for seed in range(20):
        with seeded(seed):
            flatten = bool(torch.rand(()) >= 0.5)
        with seeded(seed):
            found = relaxloss(10.0)(outputs, torch.tensor(y))
        assert found.item() == pytest.approx(relaxloss_by_hand(z, y, 10.0, flatten))
        seen.add(flatten)
    assert seen == {True, False}
    plain = F.cross_entropy(outputs, torch.tensor(y))
    assert relaxloss(0.01)(outputs, torch.tensor(y)).item() == pytest.approx(plain.item())  # above alpha: as usual
    assert relaxloss(10.0)(outputs.detach(), torch.tensor(y)).item() == pytest.approx(plain.item())  # validation


def test_relaxloss_stops_near_alpha(digits):
    def loss_after(loss_function):
        model = fit(
            SmallClassifier(width=0.5),
            digits.images,
            digits.labels,
            loss_function,
            epochs=40,
            lr=3e-3,
            seed=0,
            batch_size=20,
            progress=False,
        ).model
        return F.cross_entropy(model(digits.images), digits.labels).item()

    assert loss_after(F.cross_entropy) < 0.2
    assert 0.5 < loss_after(relaxloss(0.8)) < 1.1


@pytest.mark.parametrize("alpha", [0, -1.0, math.nan, math.inf])
def test_relaxloss_refuses(alpha):
    with pytest.raises(ValueError, match="alpha must be positive and finite"):
        relaxloss(alpha)


def test_the_cache_tells_relaxlosses_apart():
    assert keys.describe(relaxloss(0.5)) == keys.describe(relaxloss(0.5)) != keys.describe(relaxloss(0.6))


class Linear(nn.Module):
    """One layer: 7,850 weights."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(784, 10)

    def forward(self, images):
        return self.layer(images.flatten(1))


class WithNorm(nn.Module):
    def __init__(self, norm: nn.Module):
        super().__init__()
        self.first = nn.Conv2d(1, 8, 5, stride=4)
        self.norm = norm
        self.last = nn.Linear(8 * 36, 10)

    def forward(self, images):
        return self.last(self.norm(self.first(images)).flatten(1))


@pytest.fixture(scope="module")
def digits() -> ImageSet:
    return load_digits("target", source="bundled").subset(range(60))


def trained(data: ImageSet, epsilon: float = math.inf, *, model=None, delta: float = 1e-3, **changes):
    options = {"epochs": 1, "lr": 0.5, "batch_size": len(data), "seed": 0, "progress": False} | changes
    return train_private(model or Linear(), data, epsilon, delta, **options)


def weights_of(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def clipped_gradient(model: nn.Module, image: torch.Tensor, label: torch.Tensor, limit: float) -> torch.Tensor:
    model.zero_grad()
    F.cross_entropy(model(image[None]), label[None]).backward()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters()])
    return gradient * min(1.0, limit / (gradient.norm().item() + 1e-6))


@pytest.mark.parametrize(("make", "limit"), [(Linear, 0.7), (Linear, 3.0), (SmallClassifier, 1.0)])
def test_steps_are_those_of_a_loop_over_single_examples(digits, make, limit):
    found = trained(digits, model=make(), epochs=2, batch_size=20, lr=0.3, max_grad_norm=limit).model
    model = make()
    with seeded(0):
        reset_weights(model)
        sampler = UniformWithReplacementSampler(num_samples=60, sample_rate=1 / 3, steps=3)
        for batch in (*sampler, *sampler):
            total = sum(clipped_gradient(model, digits.images[i], digits.labels[i], limit) for i in batch)
            nn.utils.vector_to_parameters(weights_of(model) - 0.3 * total / 20, model.parameters())
    torch.testing.assert_close(weights_of(found), weights_of(model), atol=2e-5, rtol=1e-3)


def test_clipping_bounds_what_one_example_can_do(digits):
    changed = digits.images.clone()
    changed[0] = 1.0
    labels = digits.labels.clone()
    labels[0] = (labels[0] + 1) % 10
    neighbour = ImageSet(changed, labels, "one digit replaced")

    def influence(limit):
        moved = [weights_of(trained(data, max_grad_norm=limit).model) for data in (digits, neighbour)]
        return (moved[0] - moved[1]).norm().item() * len(digits) / 0.5  # in units of the gradient

    assert influence(0.3) <= 2 * 0.3 * 1.001
    assert influence(1e6) > 10


def test_noise_has_the_stated_standard_deviation(digits):
    quiet = weights_of(trained(digits, max_grad_norm=0.5, lr=2.0).model)
    noisy = trained(digits, 5.0, max_grad_norm=0.5, lr=2.0)
    noise = (weights_of(noisy.model) - quiet).double().numpy() * 60 / 2.0  # what was added to the sum of the gradients
    expected = noisy.noise_multiplier * 0.5
    assert noisy.noise_multiplier > 0.5
    assert noise.std() == pytest.approx(expected, rel=0.04)  # 5 standard errors with 7,850 values
    assert kstest(noise / expected, "norm").pvalue > 1e-4


@pytest.mark.parametrize(("epsilon", "delta", "batch_size"), [(1.0, 1e-3, 20), (8.0, 1e-2, 60), (0.5, 1e-4, 7)])
def test_epsilon_spent_is_the_accountants(digits, epsilon, delta, batch_size):
    result = trained(digits, epsilon, delta=delta, batch_size=batch_size, epochs=2)
    accountant = RDPAccountant()
    accountant.history = [(result.noise_multiplier, batch_size / 60, 2 * round(60 / batch_size))]
    assert result.epsilon == pytest.approx(accountant.get_epsilon(delta=delta))
    assert epsilon - 0.02 < result.epsilon <= epsilon
    assert result.delta == delta


def test_no_target_means_clipping_only(digits):
    result = trained(digits)
    assert result.epsilon == math.inf and result.noise_multiplier == 0


def test_result_is_an_ordinary_model_with_a_history(digits):
    result = trained(digits, 3.0, epochs=3, batch_size=20)
    assert not result.model.training
    assert all(p.grad is None and not hasattr(p, "grad_sample") for p in result.model.parameters())
    assert {name: len(values) for name, values in result.history.items()} == {"loss": 3, "accuracy": 3}
    assert all(0 <= a <= 1 for a in result.history["accuracy"])


def test_empty_batches_are_steps_of_noise_alone(digits, monkeypatch):
    monkeypatch.setattr(UniformWithReplacementSampler, "__iter__", lambda self: iter([[]] * self.steps))
    start = Linear()
    with seeded(0):
        reset_weights(start)
    assert torch.equal(weights_of(trained(digits).model), weights_of(start))
    noisy = trained(digits, 5.0, batch_size=20)
    step = (weights_of(noisy.model) - weights_of(start)).numpy() / 0.5 * 20 / math.sqrt(3)  # three steps
    assert step.std() == pytest.approx(noisy.noise_multiplier, rel=0.04)
    assert noisy.history["loss"] == [0.0]


def test_poisson_batches_may_come_up_empty(digits):
    result = trained(digits, 5.0, batch_size=1)  # each of 60 batches is empty with probability 0.36
    accountant = RDPAccountant()
    accountant.history = [(result.noise_multiplier, 1 / 60, 60)]
    assert result.epsilon == pytest.approx(accountant.get_epsilon(delta=1e-3))


@pytest.mark.parametrize("epsilon", [math.inf, 4.0])
def test_chunks_add_up_to_the_same_steps(digits, monkeypatch, epsilon):
    whole = trained(digits, epsilon, batch_size=30, epochs=2)
    monkeypatch.setattr(private, "MAX_GRADIENT_NUMBERS", 7 * 7850)
    chunked = trained(digits, epsilon, batch_size=30, epochs=2)
    torch.testing.assert_close(weights_of(chunked.model), weights_of(whole.model), atol=1e-5, rtol=1e-4)
    assert chunked.epsilon == whole.epsilon


def test_seed_decides_all_and_leaves_torch_alone(digits):
    models = [Linear() for _ in range(3)]
    before = torch.random.get_rng_state()
    first, again, other = (trained(digits, 4.0, model=m, batch_size=20, seed=seed) for m, seed in zip(models, (1, 1, 2)))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(weights_of(first.model), weights_of(again.model))
    assert not torch.equal(weights_of(first.model), weights_of(other.model))


def test_frozen_weights_stay(digits):
    model = SmallClassifier(width=0.5)
    model.features.requires_grad_(False)
    start = copy.deepcopy(model)
    found = trained(digits, 4.0, model=model).model
    assert torch.equal(weights_of(found.features), weights_of(start.features))
    assert not torch.equal(weights_of(found.classifier), weights_of(start.classifier))


def test_dropout_is_allowed(digits):
    assert trained(digits, 4.0, model=SmallClassifier(dropout=0.5)).epsilon <= 4


def test_batch_normalisation_is_refused_with_the_way_out(digits):
    with pytest.raises(ValueError, match=r"layer 'norm' \(BatchNorm2d\).*replace it with nn.GroupNorm\(8, 8\)"):
        trained(digits, 4.0, model=WithNorm(nn.BatchNorm2d(8)))
    assert trained(digits, 4.0, model=WithNorm(nn.GroupNorm(8, 8))).epsilon <= 4  # as the message says


@pytest.mark.parametrize("affine", [True, False])  # Opacus overlooks layers without weights
def test_statistics_of_the_members_are_refused(digits, affine):
    with pytest.raises(ValueError, match=r"layer 'norm' \(InstanceNorm2d\).*use track_running_stats=False"):
        trained(digits, 4.0, model=WithNorm(nn.InstanceNorm2d(8, affine=affine, track_running_stats=True)))
    assert trained(digits, 4.0, model=WithNorm(nn.InstanceNorm2d(8))).epsilon <= 4


def test_other_layers_that_opacus_refuses(digits):
    model = nn.Sequential(nn.Flatten(2), nn.MultiheadAttention(784, 1))
    with pytest.raises(ValueError, match="Opacus cannot train this model"):
        trained(digits, 4.0, model=model)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"epsilon": 0}, ValueError, "target_epsilon must be positive, got 0"),
        ({"epsilon": -1.0}, ValueError, "target_epsilon must be positive"),
        ({"epsilon": math.nan}, ValueError, "target_epsilon must be positive"),
        ({"epsilon": 1e-6}, ValueError, "ask for a larger"),
        ({"delta": 0}, ValueError, "delta must lie between 0 and 1/N"),
        ({"delta": 1 / 60}, ValueError, "delta must lie between 0 and 1/N = 0.0166667 for 60 examples"),
        ({"delta": math.nan}, ValueError, "delta must lie"),
        ({"max_grad_norm": 0}, ValueError, "max_grad_norm must be positive"),
        ({"max_grad_norm": math.inf}, ValueError, "max_grad_norm must be positive and finite"),
        ({"lr": 0}, ValueError, "lr must be positive"),
        ({"lr": math.nan}, ValueError, "lr must be positive"),
        ({"momentum": 1.0}, ValueError, "momentum must lie"),
        ({"momentum": -0.1}, ValueError, "momentum must lie"),
        ({"epochs": 0}, ValueError, "epochs must be at least 1, got 0"),
        ({"epochs": 1.5}, TypeError, "epochs must be a whole number"),
        ({"batch_size": 0}, ValueError, "batch_size must be from 1 to 60"),
        ({"batch_size": 61}, ValueError, "batch_size must be from 1 to 60, got 61"),
        ({"batch_size": 2.5}, TypeError, "batch_size must be a whole number"),
        ({"lr": 1e38, "epochs": 3, "batch_size": 20}, ValueError, "no longer finite.*lower the learning rate"),
    ],
)
def test_private_training_refuses(digits, changes, error, words):
    with pytest.raises(error, match=words):
        trained(digits, changes.pop("epsilon", 4.0), **changes)


def test_trained_once_then_read(digits, tmp_path, monkeypatch):
    monkeypatch.setenv("MIA_CACHE_DIR", str(tmp_path))
    calls, sgd = [], private.torch.optim.SGD
    monkeypatch.setattr(torch.optim, "SGD", lambda *args, **kwargs: calls.append(3) or sgd(*args, **kwargs))

    def load(epsilon=4.0, delta=1e-3, **changes):
        options = {"epochs": 1, "lr": 0.5, "batch_size": 20, "seed": 3, "progress": False} | changes
        return load_or_train_private(Linear(), digits, epsilon, delta, **options)

    first, again = load(), load(progress=False)
    assert calls == [3]
    assert torch.equal(weights_of(first.model), weights_of(again.model))
    assert (again.epsilon, again.noise_multiplier, again.history) == (first.epsilon, first.noise_multiplier, first.history)
    assert load(math.inf).epsilon == load(math.inf).epsilon == math.inf
    assert calls == [3, 3]
    load(lr=0.6)
    load(max_grad_norm=2.0)
    load(delta=2e-3)
    assert len(calls) == 5


# ------------------------------------------------------------------------------------------- the deciding picture


def test_pareto_keeps_what_nobody_beats():
    assert pareto([0.9, 0.8, 0.7, 0.9], [0.6, 0.5, 0.55, 0.7]).tolist() == [1, 0]
    assert pareto([0.5, 0.5], [0.5, 0.5]).tolist() == [0, 1]  # equals do not beat each other


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
@settings(deadline=None)
def test_pareto_against_the_definition(points):
    utility, leakage = np.transpose(points)
    kept = pareto(utility, leakage)
    assert len(kept) and (np.diff(utility[kept]) >= 0).all()
    for i in range(len(points)):
        beaten = any(
            utility[j] >= utility[i] and leakage[j] <= leakage[i] and (utility[j], leakage[j]) != (utility[i], leakage[i])
            for j in range(len(points))
        )
        assert beaten != (i in kept)


def test_tradeoff_draws_every_defence_with_both_intervals():
    rows = {
        name: (Estimate(x, x - 0.01, x + 0.01), Estimate(y, y - 0.02, y + 0.02))
        for name, x, y in (("none", 0.9, 0.7), ("dp", 0.8, 0.52), ("bad", 0.7, 0.6))
    }
    ax = tradeoff(rows, labels=("accuracy", "AUC"), chance=0.5)
    assert [text.get_text() for text in ax.texts] == [*rows, "chance"]
    lines = [line.get_xydata().tolist() for line in ax.lines]
    assert [[0.9 - 0.01, 0.7], [0.9 + 0.01, 0.7]] in lines and [[0.7, 0.6 - 0.02], [0.7, 0.6 + 0.02]] in lines
    assert [[0.8, 0.52], [0.9, 0.7]] in lines  # the frontier, without "bad"
    filled = [line.get_markerfacecolor() != "none" for line in ax.lines if line.get_marker() == "o"]
    assert filled == [True, True, False], "who is beaten is hollow"
    plt.close("all")


def test_one_label_may_do_for_two_dots():
    same = (Estimate(0.9, 0.8, 1.0), Estimate(0.7, 0.6, 0.8))
    ax = tradeoff({"a": same, "b": same}, labels=("accuracy", "AUC"), texts={"a": "a and b", "b": ""})
    assert [text.get_text() for text in ax.texts] == ["a and b", ""]
    plt.close("all")


def test_without_noise_and_clipping_dp_sgd_is_sgd_with_its_momentum():
    """Everybody in each batch, no noise, no gradient clipped: the same steps as torch's optimiser on the mean loss."""
    rng = np.random.default_rng(0)
    data = ImageSet(torch.tensor(rng.random((12, 1, 28, 28), dtype=np.float32)), torch.arange(12) % 10, "few")
    for momentum in (0.0, 0.9):
        settings = {"epochs": 4, "lr": 0.1, "batch_size": 12, "max_grad_norm": 1e6, "momentum": momentum, "progress": False}
        found = train_private(
            nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), data, math.inf, 0.01, seed=0, **settings
        ).model
        expected = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
        with seeded(0):  # as the training draws them
            expected[1].reset_parameters()
        optimiser = torch.optim.SGD(expected.parameters(), lr=0.1, momentum=momentum)
        for _ in range(4):
            optimiser.zero_grad()
            F.cross_entropy(expected(data.images), data.labels).backward()
            optimiser.step()
        for p, q in zip(found.parameters(), expected.parameters()):
            torch.testing.assert_close(p, q, atol=1e-5, rtol=1e-4)

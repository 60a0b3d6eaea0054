"""Label-only and white-box attacks, against distances known by hand, autograd one example at a time, and counted queries."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from torch import nn

from mia_helpers.ask import ask
from mia_helpers.label_only import Service, moved, noise_distance, right_answers
from mia_helpers.models import SmallClassifier
from mia_helpers.white_box import activations, gradient_norms


class Brighter(nn.Module):
    """Two classes: 1 if the mean of the four pixels is above ½; the boundary is a plane."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)
        with torch.no_grad():
            self.layer.weight.copy_(torch.tensor([[0.0] * 4, [1.0] * 4]))
            self.layer.bias.copy_(torch.tensor([0.0, -2.0]))

    def forward(self, images):
        return self.layer(images.flatten(1))


def images_of(*means):
    return torch.tensor(means, dtype=torch.float32)[:, None, None, None].expand(-1, 1, 2, 2).clone()


@pytest.fixture
def small():
    torch.manual_seed(0)
    return SmallClassifier(width=0.5).eval()


@pytest.fixture
def digits():
    generator = torch.Generator().manual_seed(1)
    return torch.rand(7, 1, 28, 28, generator=generator), torch.tensor([0, 1, 2, 3, 4, 5, 6])


# ----------------------------------------------------------------------------------------------------------- the service


def test_service_answers_as_the_model_and_counts_images(small, digits):
    service = Service(small)
    with torch.no_grad():
        expected = small(digits[0]).numpy()
    np.testing.assert_allclose(service.logits(digits[0]), expected, atol=1e-5)
    np.testing.assert_array_equal(service.labels(digits[0][:3]), expected[:3].argmax(1))
    assert service.n_queries == 10


def test_a_refused_question_is_not_counted(small):
    service = Service(small)
    with pytest.raises(ValueError, match="empty"):
        service.labels(torch.zeros(0, 1, 28, 28))
    assert service.n_queries == 0


# ------------------------------------------------------------------------------------------------------------- agreement


def test_moved_shifts_right_and_down_and_fills_with_paper():
    image = torch.zeros(1, 1, 28, 28)
    image[0, 0, 10, 20] = 1
    expected = torch.zeros(28, 28)
    expected[13, 22] = 1
    assert torch.allclose(moved(image, right=2, down=3)[0, 0], expected, atol=1e-5)
    assert torch.allclose(moved(image), image, atol=1e-5)
    assert moved(torch.ones(1, 1, 28, 28), right=28).max() < 1e-5


def test_moved_turns_anticlockwise():
    image = torch.zeros(1, 1, 29, 29)
    image[0, 0, 14, 24] = 1  # 10 pixels to the right of the centre
    found = moved(image, angle=90)[0, 0]
    assert divmod(int(found.argmax()), 29) == (4, 14)  # 10 pixels above it


def test_right_answers_of_a_hand_made_model():
    changes = [lambda x: x, lambda x: x - 0.2, lambda x: x + 0.3]
    found = right_answers(Service(Brighter()).labels, images_of(0.4, 0.6, 0.9), torch.tensor([0, 1, 1]), changes)
    assert found.tolist() == [[True, True, False], [True, False, True], [True, True, True]]
    assert found.dtype == bool


def test_right_answers_cost_one_query_for_each_image_and_change():
    service = Service(Brighter())
    right_answers(service.labels, images_of(0.1, 0.2, 0.3), torch.tensor([0, 0, 0]), [lambda x: x] * 5)
    assert service.n_queries == 15


@pytest.mark.parametrize(("changes", "message"), [([], "changes is empty"), ([lambda x: x[:1]], r"change 0 turns .*shape")])
def test_right_answers_refuses_bad_changes(changes, message):
    with pytest.raises(ValueError, match=message):
        right_answers(Service(Brighter()).labels, images_of(0.1, 0.2), torch.tensor([0, 0]), changes)


@pytest.mark.parametrize("labels", [torch.tensor([0]), torch.tensor([[0], [1]]), torch.tensor([0.0, 1.0])])
def test_labels_that_do_not_fit_are_refused(small, labels):
    images, ask = images_of(0.1, 0.2), Service(Brighter()).labels
    for attack in (
        lambda: right_answers(ask, images, labels, [lambda x: x]),
        lambda: noise_distance(ask, images, labels, sigma=1, n_draws=1, seed=0),
        lambda: gradient_norms(Brighter(), images, labels),
    ):
        with pytest.raises(ValueError, match=r"labels must be integers \[2\]"):
            attack()


def test_logits_instead_of_labels_are_refused():
    with pytest.raises(ValueError, match=r"one label for each image, \[2\], but returned \[2, 2\]"):
        right_answers(Service(Brighter()).logits, images_of(0.1, 0.2), torch.tensor([0, 0]), [lambda x: x])


# -------------------------------------------------------------------------------------------------------- noise distance


def test_noise_distance_finds_the_distance_to_a_plane():
    # The plane is Σ pixels = 2; an image of four pixels m is |4m − 2| / √4 away from it.
    means, truth = np.array([0.3, 0.5, 0.6, 0.7, 0.6]), torch.tensor([0, 1, 1, 1, 0])
    expected = np.array([0.4, 0.0, 0.2, 0.4, -0.2])
    found = noise_distance(Service(Brighter()).labels, images_of(*means), truth, sigma=0.3, n_draws=4000, seed=0)
    # The standard error of Φ⁻¹(share) is √(q(1 − q) / n) / φ(Φ⁻¹(q)): at most 0.03 here, times σ.
    np.testing.assert_allclose(found, expected, atol=4 * 0.3 * 0.03)


def test_each_image_and_each_draw_has_noise_of_its_own():
    seen, images = [], torch.full((3, 1, 4, 4), 0.5)
    noise_distance(lambda x: seen.append(x - images) or np.zeros(3, int), images, torch.zeros(3, dtype=int),
                   sigma=0.3, n_draws=2, seed=0)  # fmt: skip
    noises = torch.cat([draw.flatten(1) for draw in seen])
    assert noises.shape == (6, 16) and torch.corrcoef(noises).fill_diagonal_(0).abs().max() < 0.9


def test_noise_distance_of_a_label_that_always_or_never_survives():
    found = noise_distance(
        lambda x: np.ones(len(x), int), images_of(0.5, 0.5), torch.tensor([1, 0]), sigma=0.5, n_draws=9, seed=0
    )
    np.testing.assert_allclose(found, 0.5 * norm.ppf([0.95, 0.05]))


def test_noise_distance_costs_n_draws_queries_and_follows_its_seed():
    service, images, truth = Service(Brighter()), images_of(0.5, 0.55, 0.45), torch.tensor([1, 1, 0])
    state = torch.get_rng_state()
    first, same, other = (noise_distance(service.labels, images, truth, sigma=0.2, n_draws=50, seed=s) for s in (1, 1, 2))
    assert service.n_queries == 3 * 3 * 50
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("sigma", "n_draws", "message"),
    [
        (0, 5, "sigma must be a positive number, got 0"),
        (float("nan"), 5, "sigma"),
        (-1, 5, "sigma"),
        (0.1, 0, "n_draws must be at least 1, got 0"),
    ],
)
def test_noise_distance_refuses_bad_settings(sigma, n_draws, message):
    with pytest.raises(ValueError, match=message):
        noise_distance(Service(Brighter()).labels, images_of(0.1), torch.tensor([0]), sigma=sigma, n_draws=n_draws, seed=0)


# ------------------------------------------------------------------------------------------------------------- gradients


def one_by_one(model, images, labels):
    """Gradient norms `[N, P]` by autograd, an example at a time, in float64."""
    model = model.double()
    rows = []
    for image, label in zip(images.double(), labels):
        model.zero_grad()
        F.cross_entropy(model(image[None]), label[None]).backward()
        rows.append([parameter.grad.norm().item() for parameter in model.parameters()])
    model.float()
    return np.array(rows)


def test_gradient_norms_equal_autograd_one_by_one(small, digits):
    for chunk in (1, 3, 100):
        found = gradient_norms(small, *digits, chunk=chunk)
        assert found.dtype == np.float64 and found.shape == (7, 8)
        np.testing.assert_allclose(found, one_by_one(small, *digits), rtol=1e-9)


def test_some_parameters_only_in_the_order_asked_for(small, digits):
    every = gradient_norms(small, *digits)
    names = [name for name, _ in small.named_parameters()]
    wanted = ["classifier.4.bias", "features.0.weight"]
    found = gradient_norms(small, *digits, parameters=wanted)
    np.testing.assert_allclose(found, every[:, [names.index(name) for name in wanted]], rtol=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_last_layers_gradient_by_hand(seed):
    generator = torch.Generator().manual_seed(seed)
    images, label = torch.rand(1, 1, 2, 2, generator=generator), torch.tensor([seed % 2])
    model = Brighter()
    error = model(images)[0].double().softmax(0).detach().numpy() - np.eye(2)[seed % 2]
    expected = np.linalg.norm(error) * np.array([np.linalg.norm(images.numpy()), 1])
    np.testing.assert_allclose(gradient_norms(model, images, label)[0], expected, rtol=1e-5)


def test_gradients_far_below_single_precision_are_told_apart():
    model = Brighter()
    with torch.no_grad():
        model.layer.weight.mul_(10)
        model.layer.bias.mul_(10)
    found = gradient_norms(model, images_of(0.9, 0.95, 1.0), torch.tensor([1, 1, 1]))[:, 1]
    np.testing.assert_allclose(found, np.sqrt(2) * np.exp([-16.0, -18.0, -20.0]), rtol=1e-4)


def test_gradient_norms_leave_the_model_as_it_was(digits):
    model = SmallClassifier(dropout=0.5).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first, second = (gradient_norms(model, *digits) for _ in range(2))
    np.testing.assert_array_equal(first, second)  # no dropout
    assert model.training and all(p.grad is None and p.dtype == torch.float32 for p in model.parameters())
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


def test_gradient_norms_with_buffers(digits):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(784), nn.Linear(784, 10))
    model(digits[0])  # moves the running statistics
    model.eval()
    np.testing.assert_allclose(gradient_norms(model, *digits), one_by_one(model, *digits), rtol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_white_box_attacks_on_models_in_other_types(small, digits, dtype):
    model = copy.deepcopy(small).to(dtype)
    rounded = copy.deepcopy(model).float()  # the same weights
    np.testing.assert_allclose(gradient_norms(model, *digits), gradient_norms(rounded, *digits), rtol=1e-9)
    found = activations(model, digits[0], "classifier.2")
    assert found.dtype == (np.float64 if dtype == torch.float64 else np.float32)
    np.testing.assert_allclose(
        found, activations(rounded, digits[0], "classifier.2"), atol=1e-6 if dtype == torch.float64 else 0.02
    )
    assert all(p.dtype == dtype for p in model.parameters())


def test_white_box_attacks_take_arrays_and_tokens(small, digits):
    images, labels = digits
    np.testing.assert_array_equal(gradient_norms(small, images.numpy(), labels.numpy()), gradient_norms(small, *digits))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(6, 2))
    tokens = torch.tensor([[0, 1], [4, 4], [2, 3]])
    found = gradient_norms(model, tokens, torch.tensor([0, 1, 0]))
    for i, y in enumerate([0, 1, 0]):
        model.zero_grad()
        F.cross_entropy(model(tokens[i : i + 1]), torch.tensor([y])).backward()
        np.testing.assert_allclose(found[i], [p.grad.norm().item() for p in model.parameters()], rtol=1e-5)
    np.testing.assert_allclose(activations(model, tokens, "1"), model[:2](tokens).detach().numpy())


@pytest.mark.parametrize("what", ["gradients", "activations"])
def test_a_model_that_is_not_on_the_cpu_is_asked_where_it_is(small, monkeypatch, what):
    """On the meta device, which knows shapes and devices and refuses to mix them, as CUDA does; answers come by cpu()."""
    model = copy.deepcopy(small).to("meta")
    came_back = []

    def cpu(tensor):
        came_back.append(tensor.device.type)
        return torch.zeros(tensor.shape, dtype=tensor.dtype) if tensor.is_meta else tensor

    monkeypatch.setattr(torch.Tensor, "cpu", cpu)
    images, labels = torch.rand(5, 1, 28, 28), torch.arange(5)
    if what == "gradients":
        found = gradient_norms(model, images, labels, chunk=2)
        assert found.shape == (5, len(list(model.parameters())))
    else:
        found = activations(model, images, "classifier.1")
        assert found.shape[0] == 5
    assert "meta" in came_back and all(p.is_meta for p in model.parameters())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_white_box_attacks_on_a_gpu(small, digits):
    expected = gradient_norms(small, *digits), activations(small, digits[0], "classifier.2"), ask(small, digits[0])
    model = copy.deepcopy(small).cuda()
    found = gradient_norms(model, *digits), activations(model, digits[0], "classifier.2"), ask(model, digits[0])
    for one, other in zip(found, expected):
        np.testing.assert_allclose(one, other, rtol=1e-2, atol=1e-3)  # a GPU may multiply in TF32
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-9)
    assert all(p.is_cuda for p in model.parameters())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"parameters": ["classifier.9.bias"]}, "no parameter 'classifier.9.bias'; it has features.0.weight"),
        ({"chunk": 0}, "chunk must be at least 1"),
    ],
)
def test_gradient_norms_refuse_bad_settings(small, digits, settings, message):
    with pytest.raises(ValueError, match=message):
        gradient_norms(small, *digits, **settings)


# ----------------------------------------------------------------------------------------------------------- activations


def test_activations_are_the_layers_output(small, digits):
    with torch.no_grad():
        expected = small.classifier[:3](small.features(digits[0])).numpy()
    found = activations(small, digits[0], "classifier.2")
    assert found.shape == (7, 64) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert activations(small, digits[0], "features.2").shape == (7, 4 * 12 * 12)


def test_activations_come_in_order_from_several_batches_and_leave_no_hook(small):
    images = torch.rand(600, 1, 28, 28, generator=torch.Generator().manual_seed(2))
    whole = activations(small, images, "classifier.2")
    np.testing.assert_allclose(whole[500:503], activations(small, images[500:503], "classifier.2"), atol=1e-5)
    assert not small.classifier[2]._forward_hooks


@pytest.mark.parametrize("layer", ["classifier.7", ""])
def test_an_unknown_layer_is_refused(small, digits, layer):
    with pytest.raises(ValueError, match=r"no layer '.*'; it has features, features\.0"):
        activations(small, digits[0], layer)


def test_layers_that_give_no_tensor_or_are_not_used(digits):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.unused, self.last = nn.LSTM(28, 4, batch_first=True), nn.Linear(2, 2), nn.Linear(4, 10)

        def forward(self, images):
            return self.last(self.lstm(images[:, 0])[0][:, -1])

    for layer, message in (("lstm", "puts out a tuple, not a tensor"), ("unused", "was not used on 7 images")):
        with pytest.raises(ValueError, match=message):
            activations(Model(), digits[0], layer)
    assert activations(Model(), digits[0], "last").shape == (7, 10)

"""Where a training starts: from the seed alone, with frozen weights kept, whatever the layers are."""

import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from opacus.layers import DPGRU, DPLSTM, DPMultiheadAttention
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from mia_helpers.data import ImageSet
from mia_helpers.models import SmallClassifier
from mia_helpers.private import load_or_train_private, train_private
from mia_helpers.training import fit, load_or_fit
from mia_helpers.weights import refuse_single_examples, reset_weights, seeded, start_of

FAST = {"epochs": 2, "lr": 1e-2, "seed": 0, "batch_size": 8, "device": "cpu", "progress": False}
PICTURES = ImageSet(torch.rand(24, 1, 28, 28, generator=torch.Generator().manual_seed(1)), torch.arange(24) % 3, "some")
X, Y = torch.randn(24, 6, generator=torch.Generator().manual_seed(0)), torch.arange(24) % 3


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("MIA_CACHE_DIR", str(tmp_path))


class Symmetric(nn.Module):
    """A parametrisation that cannot be turned round."""

    def forward(self, w):
        return w.triu() + w.triu(1).T


class Sequence(nn.Module):
    """Records of 6 numbers as sequences of 3 pairs."""

    def __init__(self, layer: nn.Module, attention: bool = False):
        super().__init__()
        self.layer, self.attention = layer, attention
        self.last = nn.Linear(4, 3)

    def forward(self, x):
        x = x.reshape(len(x), 3, 2)
        out = self.layer(*[torch.cat([x, x], -1)] * 3)[0] if self.attention else self.layer(x)[0]
        return self.last(out.mean(1))


class Row(nn.Module):
    """Six pixels of each picture."""

    def forward(self, x):
        return x[:, 0, 0, :6]


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.last(self.b(torch.relu(self.a(x))))


def spectral_pair():
    return nn.Sequential(parametrizations.spectral_norm(nn.Linear(6, 6)), nn.Linear(6, 3))


def symmetric_pair():
    first = nn.Linear(6, 6)
    parametrize.register_parametrization(first, "weight", Symmetric())
    return nn.Sequential(first, nn.Linear(6, 3))


LAYERS = {
    "plain": lambda: nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)),
    "tied": Tied,
    "attention": lambda: Sequence(nn.MultiheadAttention(4, 2, batch_first=True), attention=True),
    "transformer": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 6)), nn.TransformerEncoderLayer(6, 2, 8, batch_first=True), nn.Flatten(), nn.Linear(6, 3)
    ),
    "weight_norm": lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(6, 6)), nn.Linear(6, 3)),
    "orthogonal": lambda: nn.Sequential(parametrizations.orthogonal(nn.Linear(6, 6)), nn.Linear(6, 3)),
    "spectral_norm": spectral_pair,
    "own parametrisation": symmetric_pair,
    "LSTM": lambda: Sequence(nn.LSTM(2, 4, batch_first=True)),
    "DPLSTM": lambda: Sequence(DPLSTM(2, 4, num_layers=2, batch_first=True)),
    "DPGRU": lambda: Sequence(DPGRU(2, 4, batch_first=True)),
    "DP attention": lambda: Sequence(DPMultiheadAttention(4, 2), attention=True),
    "half frozen": lambda: half_frozen(0),
}


def half_frozen(seed: int) -> nn.Module:
    """Pretrained features: always the same, whatever the state of torch."""
    net = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
    with seeded(seed):
        net[0].reset_parameters()
    net[0].requires_grad_(False)
    return net


def state(model: nn.Module) -> torch.Tensor:
    return torch.cat([v.detach().flatten().double() for v in model.state_dict().values()])


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_the_start_depends_on_the_seed_alone_and_every_weight_is_drawn(make):
    models = [make() for _ in range(3)]
    for i, model in enumerate(models):
        with torch.no_grad():
            for p in model.parameters():
                if p.requires_grad:
                    p.mul_(1.0 + i)
        with seeded(5 if i < 2 else 6):
            reset_weights(model)
    assert torch.equal(state(models[0]), state(models[1])) and not torch.equal(state(models[0]), state(models[2]))
    assert state(models[0]).isfinite().all()


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_trained_kept_and_read_back(make, tmp_path):
    first = load_or_fit(make(), X, Y, F.cross_entropy, **FAST)
    second = load_or_fit(make(), X, Y, F.cross_entropy, **FAST)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1
    assert torch.equal(state(first.model), state(second.model)) and first.history == second.history
    torch.testing.assert_close(first.model(X), second.model(X))
    assert torch.equal(state(fit(make(), X, Y, F.cross_entropy, **FAST).model), state(first.model))


def test_tied_weights_stay_tied_after_reading():
    for _ in range(2):
        model = load_or_fit(Tied(), X, Y, F.cross_entropy, **FAST).model
        assert model.a.weight is model.b.weight


def test_ordinary_models_draw_as_they_always_did():
    model, plain = SmallClassifier(), SmallClassifier()
    with seeded(3):
        reset_weights(model)
        after = torch.rand(3)
    with seeded(3):
        for module in plain.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
        assert torch.equal(torch.rand(3), after)
    assert torch.equal(state(model), state(plain))


@pytest.mark.parametrize(
    "trained",
    [
        lambda model: fit(model, PICTURES.images, Y, F.cross_entropy, **FAST),
        lambda model: load_or_fit(model, PICTURES.images, Y, F.cross_entropy, **FAST),
        lambda model: train_private(model, PICTURES, 8.0, 1e-3, **FAST),
        lambda model: load_or_train_private(model, PICTURES, 8.0, 1e-3, **FAST),
    ],
    ids=["fit", "load_or_fit", "private", "load_or_train_private"],
)
def test_frozen_weights_stay_and_count(trained, tmp_path):
    def made(seed):
        model = half_frozen(seed)
        model[1], model[2] = nn.Identity(), nn.ReLU()
        model[3].bias.requires_grad_(False).fill_(7)  # a mixed layer: the bias stays, the weight is drawn
        return model

    found = [trained(nn.Sequential(Row(), made(seed))).model[1] for seed in (0, 0, 1)]
    for model, seed in zip(found, (0, 0, 1)):
        assert torch.equal(model[0].weight, made(seed)[0].weight) and torch.equal(model[0].bias, made(seed)[0].bias)
        assert model[3].bias.tolist() == [7, 7, 7] and not torch.equal(model[3].weight, made(seed)[3].weight)
    assert torch.equal(state(found[0]), state(found[1])) and not torch.equal(found[0][3].weight, found[2][3].weight)
    assert len(list(tmp_path.rglob("*.safetensors"))) in (0, 2)


def test_buffers_of_frozen_layers_are_kept():
    frozen = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6, affine=False), nn.BatchNorm1d(6)).requires_grad_(False)
    model = nn.Sequential(frozen, nn.BatchNorm1d(6), nn.Linear(6, 3))
    for layer in (frozen[1], frozen[2], model[1]):
        layer.running_mean.fill_(3)
    before = copy.deepcopy(frozen)
    reset_weights(model)
    assert torch.equal(state(frozen), state(before)) and (model[1].running_mean == 0).all()
    start = start_of(model)
    assert torch.equal(state(start[0]), state(before)) and (start[2].weight == 0).all()
    assert not (model[2].weight == 0).any(), "the model itself is left alone"


class Half(nn.Module):
    """Its reset_parameters forgets one of two."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))

    def reset_parameters(self):
        nn.init.normal_(self.a)


def old_weight_norm():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.utils.weight_norm(nn.Linear(6, 6))


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (Half, r"layer '1' \(Half\) holds weights of its own.*it must draw 'b'"),
        (old_weight_norm, r"layer '1' \(Linear\) holds weights of its own.*it must draw 'weight_[gv]'"),
        (lambda: nn.LazyLinear(3), "1.weight, 1.bias have no shape yet; call the model once"),
    ],
)
def test_a_layer_that_is_not_wholly_drawn_is_refused_and_left_as_it_was(layer, words):
    model = nn.Sequential(nn.Linear(6, 6), layer())
    before = model[0].weight.clone(), [p.clone() for p in model[1].parameters() if not nn.parameter.is_lazy(p)]
    with pytest.raises(ValueError, match=words):
        reset_weights(model)
    after = model[0].weight, [p for p in model[1].parameters() if not nn.parameter.is_lazy(p)]
    assert torch.equal(before[0], after[0]) and all(torch.equal(b, a) for b, a in zip(before[1], after[1]))


def test_nothing_to_train_is_said():
    with pytest.raises(ValueError, match="Linear has no weights to train: all parameters are frozen"):
        fit(nn.Linear(6, 3).requires_grad_(False), X, Y, F.cross_entropy, **FAST)


@pytest.mark.parametrize(("n", "batch_size"), [(9, 8), (24, 23), (1, 8), (5, 1), (3, 2)])
def test_a_batch_of_one_under_batch_normalisation_is_refused_before_training(n, batch_size):
    model = nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 3))
    with pytest.raises(ValueError, match=f"{n} examples in batches of {batch_size} leave a batch of a single one") as caught:
        fit(model, X[:n], Y[:n], F.cross_entropy, **FAST | {"batch_size": batch_size, "epochs": 1})
    if n > 1:  # as the message says
        way_out = int(str(caught.value).rsplit(" ", 1)[1])
        fit(model, X[:n], Y[:n], F.cross_entropy, **FAST | {"batch_size": way_out, "epochs": 1})


def test_batches_of_one_are_fine_where_the_layer_can_be_trained_on_one():
    images = torch.rand(9, 1, 6, 6)
    for layer in (nn.BatchNorm2d(1), nn.GroupNorm(1, 1)):
        refuse_single_examples(nn.Sequential(layer, nn.Flatten()), images, 8)
        fit(nn.Sequential(layer, nn.Flatten(), nn.Linear(36, 3)), images, Y[:9], F.cross_entropy, **FAST)
    refuse_single_examples(nn.BatchNorm1d(6), X[:10], 8)


def test_random_numbers_follow_the_seed_and_its_shift(monkeypatch):
    def drawn(seed):
        with seeded(seed):
            return torch.rand(4).tolist()

    plain = {seed: drawn(seed) for seed in (0, 1, 1000)}
    assert len({tuple(values) for values in plain.values()}) == 3
    monkeypatch.setenv("MIA_SEED_SHIFT", "1000")
    assert drawn(0) == plain[1000] and drawn(1) not in plain.values()

"""Shadows of any training: what they are handed, what they may share, what is kept of them, and when it is used again."""

import functools
import itertools
import warnings

import numpy as np
import pytest
import torch
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from mia_helpers import shadows
from mia_helpers.bank import draw_members
from mia_helpers.shadows import train_shadows
from mia_helpers.training import fit as fit_network

X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
Y = np.arange(40) % 2
QUIET = {"n_jobs": 1, "progress": False}


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("MIA_CACHE_DIR", str(tmp_path))
    return tmp_path


def means(x, y, seed):
    return np.stack([x[y == c].mean(0) for c in range(2)])


def distances(model, x):
    return -((x[:, None] - model) ** 2).sum(-1)


def network():
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def trained(x, y, seed, net=None):
    return fit_network(
        net or network(),
        torch.tensor(x),
        torch.tensor(y),
        nn.functional.cross_entropy,
        epochs=2,
        lr=0.1,
        seed=seed,
        progress=False,
    ).model


# ------------------------------------------------------------------------------------------------------------ inputs


def scale_fit(x, y, seed):
    x /= 2
    return means(x, y, seed)


def scale_labels(x, y, seed):
    y += 1
    return means(x, y - 1, seed)


def scale_answer(model, x):
    np.multiply(x, 2, out=x)
    return distances(model, x)


def scale_with_torch(model, x):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.from_numpy(x).mul_(2)
    return distances(model, x)


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("size", [40, 100_000])  # from 1 MB on, joblib maps the array into the workers' memory
@pytest.mark.parametrize(
    ("fit", "answer", "who"),
    [
        (scale_fit, distances, "fit"),
        (scale_labels, distances, "fit"),
        (means, scale_answer, "answer"),
        (means, scale_with_torch, "answer"),
    ],
)
def test_changing_the_inputs_in_place_is_refused_and_changes_nothing(n_jobs, size, fit, answer, who):
    x, y = np.resize(X, (size, 3)), np.resize(Y, size)
    before = x.copy()
    with pytest.raises(ValueError, match=f"{who} changes its inputs in place.* copy first, for instance images = images"):
        train_shadows(2, x, y, fit=fit, answer=answer, n_jobs=n_jobs, progress=False)
    if answer is not scale_with_torch:
        np.testing.assert_array_equal(x, before)
    assert x.flags.writeable, "the caller's own array stays as it is"


def test_a_copy_is_enough_and_the_same_for_any_number_of_processes():
    def fit(x, y, seed):
        x = x.copy()
        x *= 2
        return means(x, y, seed)

    one, two = (train_shadows(3, X, Y, fit=fit, answer=distances, n_jobs=n, progress=False) for n in (1, 2))
    np.testing.assert_array_equal(one.logits, two.logits)


# ------------------------------------------------------------------------------------------------------------ shared models


GLOBAL = network()
ESTIMATOR = SGDClassifier(loss="log_loss")


class Wrapped:
    def __init__(self, inner):
        self.inner = inner


def grow_network(x, y, seed):
    loss = nn.functional.cross_entropy(GLOBAL(torch.tensor(x)), torch.tensor(y))
    loss.backward()
    with torch.no_grad():
        for p in GLOBAL.parameters():
            p -= 0.1 * p.grad
    return GLOBAL


def same_weights(x, y, seed):
    net = network()
    net[0].weight = GLOBAL[0].weight
    return net


def grow_estimator(x, y, seed):
    return ESTIMATOR.partial_fit(x, y, classes=[0, 1])


def grow_inside(x, y, seed):
    return Wrapped(grow_estimator(x, y, seed))


def grow_pipeline(x, y, seed):
    return make_pipeline(StandardScaler().fit(x), grow_estimator(x, y, seed))


GROWING: list = []


def grow_list(x, y, seed):
    GROWING.append(means(x, y, seed))
    return GROWING


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize(
    "fit",
    [
        grow_network,
        same_weights,
        grow_estimator,
        grow_inside,
        grow_pipeline,
        grow_list,
        lambda x, y, seed: (GLOBAL, 1),
        lambda x, y, seed: {"net": GLOBAL},
        lambda x, y, seed: GLOBAL.forward,
    ],
)
def test_one_model_for_two_shadows_is_refused(fit, n_jobs):
    if n_jobs == 2 and fit.__name__ == "<lambda>":
        pytest.skip("sent to the workers by value, with a model for each task")
    with pytest.raises(ValueError, match="the model of an earlier shadow, or one that shares its weights.*inside fit"):
        train_shadows(6, X, Y, fit=fit, answer=lambda model, x: np.zeros((len(x), 2)), n_jobs=n_jobs, progress=False)


SCALER = StandardScaler().fit(X)
FEATURES = nn.Linear(3, 3).requires_grad_(False)


@pytest.mark.parametrize(
    "fit",
    [
        means,
        trained,
        lambda x, y, seed: None,
        lambda x, y, seed: seed,
        lambda x, y, seed: "constant",
        lambda x, y, seed: [1],
        lambda x, y, seed: {"a": means(x, y, seed)},
        lambda x, y, seed: (means(x, y, seed), SCALER.mean_),
        lambda x, y, seed: make_pipeline(SCALER, SGDClassifier().fit(x, y)),
        lambda x, y, seed: Wrapped(seed),
        lambda x, y, seed: nn.Sequential(FEATURES, nn.Linear(3, 2)),
        lambda x, y, seed: lambda x: seed,
    ],
)
def test_fresh_models_are_never_refused(fit):
    """Many objects, made and gone: their ids come back, and do not count."""
    for _ in range(2):  # a second run in the same process, too
        train_shadows(40, X, Y, fit=fit, answer=lambda model, x: np.zeros((len(x), 2)), **QUIET)


# ------------------------------------------------------------------------------------------------------------ the key


class Asker:
    def __init__(self, n_classes, floor):
        self.n_classes, self.floor = n_classes, floor

    def __call__(self, model, x):
        z = np.maximum(distances(model, x), np.log(self.floor))
        return np.pad(z, ((0, 0), (0, self.n_classes - 2)))


def test_the_same_key_with_another_fit_or_answer_is_another_bank(cache):
    def made(scale):
        return lambda x, y, seed: means(x, y, seed) * scale

    variants = [
        (means, Asker(2, 0.1)),
        (means, Asker(2, 0.2)),
        (means, Asker(3, 0.1)),
        (made(2), Asker(2, 0.1)),
        (made(3), Asker(2, 0.1)),
        (functools.partial(means), Asker(2, 0.1)),
    ]
    for _ in range(2):
        banks = [train_shadows(2, X, Y, fit=fit, answer=answer, key="k", **QUIET) for fit, answer in variants]
        assert len(list(cache.glob("shadows/*"))) == len(variants)
    assert len({bank.logits.tobytes() for bank in banks[:5]}) == 5


def test_what_cannot_be_told_is_trained_each_time(cache):
    hidden = (i for i in range(3))
    with pytest.warns(UserWarning, match="not kept in the cache.*hidden of fit"):
        bank = train_shadows(
            2, X, Y, fit=lambda x, y, seed: means(x, y, seed) if hidden else None, answer=distances, key="k", **QUIET
        )
    assert len(bank) == 2 and not list(cache.iterdir())


@pytest.mark.parametrize("own", [True, False])
def test_another_draw_is_trained_again_and_the_same_is_used_again(cache, monkeypatch, own):
    """As if another version of NumPy drew other members, or other seeds, for one shadow."""
    options = {"model": network, "epochs": 1} if own else {"fit": means, "answer": distances, "key": "k"}
    first = train_shadows(3, X, Y, **options, **QUIET)
    trainings, original = [], shadows._parallel
    monkeypatch.setattr(
        shadows, "_parallel", lambda draws, *rest: trainings.append([d.index for d in draws]) or original(draws, *rest)
    )

    def other_members(*arguments):
        mask = draw(*arguments)
        mask[1] = ~mask[1]
        return mask

    draw, seed_of = shadows.draw_members, shadows._seed_of
    with monkeypatch.context() as patch:
        patch.setattr(shadows, "draw_members", other_members)
        other = train_shadows(3, X, Y, **options, **QUIET)
    assert trainings == [[1]] and (other.logits[1] != first.logits[1]).any()
    with monkeypatch.context() as patch:
        patch.setattr(shadows, "_seed_of", lambda seed, i: seed_of(seed, i) + (i == 2))
        train_shadows(3, X, Y, **options, **QUIET)
    again = train_shadows(5, X, Y, **options, **QUIET)
    assert trainings == [[1], [2], [3, 4]]
    np.testing.assert_array_equal(again.logits[:3], first.logits)


def test_a_part_under_the_wrong_name_is_not_believed(cache):
    train_shadows(2, X, Y, model=network, epochs=1, **QUIET)
    one, two = sorted(cache.glob("shadows/*/*.safetensors"))
    expected = one.read_bytes()
    one.write_bytes(two.read_bytes())
    next(cache.glob("shadows/*/*.npy")).unlink()
    train_shadows(2, X, Y, model=network, epochs=1, **QUIET)
    assert one.read_bytes() == expected


def test_frozen_weights_are_kept_by_both_farms_and_belong_to_the_key(cache):
    def made(value):
        def model():
            net = network()
            with torch.no_grad():
                net[0].requires_grad_(False).weight.fill_(value)
            return net

        return model

    options = {"epochs": 2, "lr": 0.1, "keep_models": True, **QUIET}
    for value in (0.5, 1.0):
        one_by_one, together = (
            train_shadows(2, X, Y, model=made(value), method=method, **options) for method in ("sequential", "vmap")
        )
        np.testing.assert_allclose(one_by_one.logits, together.logits, atol=1e-4)
        for model in (*one_by_one.models, *together.models):
            assert (model[0].weight == value).all() and model[2].weight.std() > 0
    assert len(list(cache.glob("shadows/*"))) == 4


# ------------------------------------------------------------------------------------------------------------ models kept


def answers(models) -> np.ndarray:
    return np.stack([shadows.module_logits(model, X) for model in models])


@pytest.mark.parametrize(
    "options",
    [
        {"model": network, "epochs": 2},
        {"model": network, "epochs": 2, "method": "vmap"},
        {"fit": trained, "key": "k", "model": network},
        {"fit": trained},
    ],
    ids=["own", "vmap", "key", "memory"],
)
def test_kept_models_give_the_banks_answers(cache, options, monkeypatch):
    plain = train_shadows(3, X, Y, **{k: v for k, v in options.items() if k != "model" or "fit" not in options}, **QUIET)
    assert plain.models is None
    bank = train_shadows(3, X, Y, **options, keep_models=True, **QUIET)
    np.testing.assert_array_equal(bank.logits, plain.logits)
    np.testing.assert_allclose(answers(bank.models), bank.logits, atol=1e-5)
    assert all(not model.training for model in bank.models) and len(bank.without(0).models) == 2
    if "key" in options or "fit" not in options:
        monkeypatch.setattr(shadows, "_parallel", None)
        monkeypatch.setattr(shadows, "_vmapped", None)
        again = train_shadows(3, X, Y, **options, keep_models=True, **QUIET)
        np.testing.assert_array_equal(answers(again.models), answers(bank.models))
        assert not [path for path in cache.rglob("*") if path.suffix in (".pkl", ".pt", ".joblib")]


def test_models_of_any_kind_are_kept_in_memory_only(cache):
    bank = train_shadows(2, X, Y, fit=means, answer=distances, keep_models=True, n_jobs=2, progress=False)
    np.testing.assert_allclose(np.stack([distances(model, X) for model in bank.models]), bank.logits, rtol=1e-6)
    with pytest.raises(TypeError, match="needs model=.*never a pickle.*leave key out"):
        train_shadows(2, X, Y, fit=means, answer=distances, key="k", keep_models=True, **QUIET)
    with pytest.raises(TypeError, match="fit returned a ndarray; leave key out"):
        train_shadows(2, X, Y, fit=means, answer=distances, key="k", keep_models=True, model=network, **QUIET)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fit": means, "epochs": 3}, "epochs would have no effect: with fit"),
        ({"fit": means, "model": network}, "model would have no effect"),
        ({"key": "k"}, "answer and key go with fit"),
        ({"answer": distances}, "answer and key go with fit"),
        ({"epoch": 3}, "unexpected keyword argument 'epoch'"),
    ],
)
def test_settings_that_do_not_go_together(options, words):
    with pytest.raises(TypeError, match=words):
        train_shadows(2, X, Y, **options, **QUIET)


def test_one_network_for_all_cannot_be_trained_at_once():
    with pytest.raises(ValueError, match="the same network twice; it must make a fresh one"):
        train_shadows(2, X, Y, model=lambda: GLOBAL, method="vmap", **QUIET)


# ------------------------------------------------------------------------------------------------------------ randomness


def test_farms_share_neither_members_nor_seeds(monkeypatch):
    """Seeds next to each other, and shifted ones: a target of one farm is never the twin of another farm's shadow."""
    members, seeds = set(), set()
    for shift, farm in itertools.product(("0", "1000"), range(6)):
        monkeypatch.setenv("MIA_SEED_SHIFT", shift)
        members |= {row.tobytes() for row in draw_members(20, farm, 50, 100, 100)}
        seeds |= {shadows._seed_of(farm, i) for i in range(20)}
    assert len(members) == len(seeds) == 2 * 6 * 20


def test_models_trained_together_drop_units_of_their_own():
    """The same members, weights and batches for both: only what is dropped can tell them apart."""

    def with_dropout(p):
        return nn.Sequential(nn.Linear(3, 30), nn.ReLU(), nn.Dropout(p), nn.Linear(30, 2))

    settings = {"epochs": 2, "lr": 0.05, "batch_size": 10, "weight_decay": 0.0, "label_smoothing": 0.0}
    for p, alike in ((0.0, True), (0.5, False)):
        given = functools.partial(with_dropout, p), torch.tensor(X), torch.tensor(Y), torch.arange(20).expand(2, 20), [5, 5]
        (one, other), _ = shadows._train_together(*given, **settings)
        assert np.allclose(one, other, atol=1e-6) == alike

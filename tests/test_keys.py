"""Keys of the cache: whatever would act differently is told apart, in every process alike, whatever the comments say."""

import functools
import json
import os
import shutil
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mia_helpers import keys, shadows
from mia_helpers.data import ImageSet
from mia_helpers.keys import Undescribable, describe, key_of
from mia_helpers.training import describe_architecture, load_or_fit

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3) | st.tuples(inner, inner)
    ),
    max_leaves=8,
)


def ran(code: str, name: str = "__main__") -> dict:
    """What a notebook's cell defines: no file, no module to be found."""
    space = {"__name__": name, "torch": torch, "nn": nn, "F": F, "np": np, "functools": functools}
    exec(compile(textwrap.dedent(code), "<cell>", "exec"), space)
    return space


def told(code: str, name: str = "f") -> str:
    value = ran(code)[name]
    return (
        describe_architecture(value())
        if isinstance(value, type) and issubclass(value, nn.Module)
        else json.dumps(describe(value))
    )


def pictures(labels: list[int], name: str = "some") -> ImageSet:
    return ImageSet(torch.zeros(len(labels), 1, 28, 28), torch.tensor(labels), name)


@given(VALUES, VALUES)
@settings(max_examples=300, deadline=None)
def test_plain_values_are_told_apart_exactly_if_they_differ(a, b):
    one, other = json.dumps(describe(a)), json.dumps(describe(b))
    assert (one == other) == (repr(a) == repr(b))  # 1, 1.0 and True are equal, but may act differently
    assert one == json.dumps(describe(json.loads(json.dumps([a]))[0])) or "(" in repr(a)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"a": 2, "b": 1}),
        ({"a": 1, "b": 2}, {"b": 1, "a": 2}),
        ([1, 2], (1, 2)),
        ([1, [2]], [[1], 2]),
        (np.zeros(3), np.zeros((3, 1))),
        (np.zeros(3), np.zeros(3, "f4")),
        (np.arange(3), np.arange(3)[::-1]),
        (torch.zeros(3), torch.zeros(3).double()),
        (torch.zeros(3), torch.zeros(3, dtype=torch.int32)),
        (torch.arange(3), torch.arange(3).flip(0)),
        ({1, 2}, {1, 3}),
        (b"a", "a"),
        (np.zeros(3), torch.zeros(3, dtype=torch.float64)),
        (torch.float32, torch.float64),
        (torch.relu, torch.sigmoid),
        (F.max_pool2d, F.adaptive_max_pool2d),
        (F.max_pool2d, F.max_pool1d),
        (np.mean, np.sum),
        (max, min),
        ("a".upper, "b".upper),
        (nn.CrossEntropyLoss(), nn.CrossEntropyLoss(label_smoothing=0.1)),
        (nn.CrossEntropyLoss(), nn.NLLLoss()),
        (functools.partial(F.cross_entropy, label_smoothing=0.1), functools.partial(F.cross_entropy, label_smoothing=0.2)),
        (functools.partial(pow, 2), functools.partial(pow, 3)),
        (lambda x, y: x - y, lambda x, y: y - x),
        (lambda x: x + 1, lambda x: x + 2),
        (lambda x, a=1: x, lambda x, a=2: x),
        (lambda *, a=1: a, lambda *, a=2: a),
        (np.random.default_rng(0), np.random.default_rng(1)),
        (range(3), range(4)),
        (slice(1), slice(2)),
        (lambda: [-x for x in range(3)], lambda: [-x for x in range(4)]),
        (nn.ReLU, nn.GELU),
        (nn.Dropout(0.1), nn.Dropout(0.2)),
        (pictures([0, 1]), pictures([1, 0])),
    ],
)
def test_what_acts_differently_is_told_apart(one, other):
    assert describe(one) != describe(other)
    assert describe(one) == describe(one) and describe(other) == describe(other)


def test_equal_content_is_told_alike():
    def made(a):
        return lambda x: x + a

    for make in (
        lambda: made(3),
        lambda: np.arange(6).reshape(2, 3).T,
        lambda: {"b", "a", "c"},
        lambda: nn.ReLU(),
        lambda: functools.partial(pow, 2),
        lambda: pictures([0]),
        lambda: {max, min, sum},
        lambda: "a".upper,
        lambda: np.random.default_rng(3),
    ):
        assert describe(make()) == describe(make())
    assert describe(made(1)) != describe(made(2))
    assert describe(np.int64(3)) == describe(3)
    assert describe(pictures([0], "another name")) == describe(pictures([0]))


PROGRAM = """
RATE = 0.5
TABLE = {"a": 1, "b": 2}

def helper(x, scale=2):
    return x * scale * RATE + TABLE["a"]

class Base(nn.Module):
    def strength(self):
        return 1

class Block(Base):
    def forward(self, x):
        return F.dropout(x, 0.5) * self.strength()

class Net(nn.Module):
    def __init__(self, p=0.1):
        super().__init__()
        self.p, self.inner, self.layer = p, nn.Sequential(Block()), nn.Linear(2, 2)

    def forward(self, x):
        def inside(x):
            return F.dropout(x, self.p, self.training)
        return helper(inside(self.layer(self.inner(x))))

def f(x, y, seed):
    class Local:
        size = 3
    return [helper(v) for v in x] + [Net(), Local.size]
"""
CHANGES = [
    ("RATE = 0.5", "RATE = 0.6"),
    ('{"a": 1, "b": 2}', '{"a": 2, "b": 1}'),
    ("scale=2", "scale=3"),
    ("x * scale * RATE", "x / scale * RATE"),
    ("return 1", "return 2"),
    ("F.dropout(x, 0.5)", "F.dropout(x, 0.6)"),
    ("p=0.1", "p=0.9"),
    ("F.dropout(x, self.p", "F.alpha_dropout(x, self.p"),
    ("self.training)", "True)"),
    ("nn.Linear(2, 2)", "nn.Linear(2, 3)"),
    ("Sequential(Block())", "Sequential(Base())"),
]


@pytest.mark.parametrize(
    "change", [*CHANGES, ("size = 3", "size = 4"), ("helper(v) for v in x", "helper(-v) for v in x")], ids=" → ".join
)
def test_a_change_anywhere_in_the_code_that_takes_part_is_noticed(change):
    assert change[0] in PROGRAM
    assert told(PROGRAM) != told(PROGRAM.replace(*change))
    if change in CHANGES:  # all but the function itself belong to the network, too
        assert told(PROGRAM, "Net") != told(PROGRAM.replace(*change), "Net")


@pytest.mark.parametrize(
    "change",
    [
        ("RATE = 0.5", "\n\n# half\nRATE = 0.5"),
        ("    return 1", '    """One."""\n        return 1'),
        ("    return x * scale", '    """Scaled."""\n    # so\n    return x * scale'),
        ("size = 3", '"""Local."""\n        size = 3'),
        ("class Net(nn.Module):", 'class Net(nn.Module):\n    """A net."""'),
        ("    def inside(x):", '    def inside(x):\n            "In."'),
        ("def f(", "UNUSED = object()\nimport threading\nLOCK = threading.Lock()\n\ndef f("),
    ],
    ids=lambda change: change[1],
)
def test_comments_docstrings_line_numbers_and_what_takes_no_part_do_not_count(change):
    assert change[0] in PROGRAM
    for name in ("f", "Net"):
        assert told(PROGRAM, name) == told(PROGRAM.replace(*change), name)


def test_a_new_process_tells_the_same(tmp_path):
    script = tmp_path / "told.py"
    script.write_text(
        "import torch\nimport torch.nn.functional as F\nfrom torch import nn\n"
        "from mia_helpers import keys, private, training\nfrom mia_helpers.defences import relaxloss\n"
        "from mia_helpers.models import SmallClassifier\n"
        + PROGRAM
        + textwrap.dedent("""
        sets = frozenset({"x", "yy", "zzz", f, helper, Net})
        values = [f, training.fit, private.train_private, relaxloss(0.5), nn.CrossEntropyLoss(), sets, F.max_pool2d]
        for value in values:
            print(keys.digest(value))
        for network in (Net(), SmallClassifier(dropout=0.5), nn.MultiheadAttention(4, 2)):
            print(training.describe_architecture(network))
    """)
    )
    found = {
        subprocess.run(
            [sys.executable, str(script)],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1 and len(found.pop().split("\n")) == 11


def test_a_cell_run_again_with_another_forward_is_another_network():
    code = "class Net(nn.Module):\n    def forward(self, x):\n        return x{}\n"
    assert len({told(code.format(end), "Net") for end in ("", " * 2", " * 3", "  # as it is")}) == 3


def test_objects_that_are_called_are_told_by_class_and_state():
    code = """
        class Asker:
            def __init__(self, n_classes, floor):
                self.n_classes, self.floor = n_classes, floor
            def __call__(self, model, inputs):
                return model(inputs) {}
        def f(n_classes, floor):
            return Asker(n_classes, floor)
    """
    make, changed = ran(code.format("+ 0"))["f"], ran(code.format("+ 1"))["f"]
    found = [json.dumps(describe(value)) for value in (make(10, 0.1), make(10, 0.2), make(11, 0.1), changed(10, 0.1))]
    assert len(set(found)) == 4 and json.dumps(describe(make(10, 0.1))) == found[0]
    methods = [json.dumps(describe(make(10, floor).__call__)) for floor in (0.1, 0.1, 0.2)]
    assert methods[0] == methods[1] != methods[2]


def test_weights_of_a_network_that_helps_count_and_those_of_the_one_trained_do_not():
    teachers = [nn.Linear(2, 2) for _ in range(2)]
    losses = [lambda z, y, t=teacher: F.mse_loss(z, t(z)) for teacher in teachers]
    assert describe(losses[0]) != describe(losses[1])
    assert describe_architecture(teachers[0]) == describe_architecture(teachers[1])
    with torch.no_grad():
        for p in teachers[1].requires_grad_(False).parameters():
            p.zero_()
    frozen = describe_architecture(teachers[1])
    teachers[1].weight[0, 0] = 1
    assert len({describe_architecture(teachers[0]), frozen, describe_architecture(teachers[1])}) == 3


def test_tied_weights_are_not_equal_weights():
    def made(tied: bool) -> nn.Module:
        net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        if tied:
            net[1].weight = net[0].weight
        return net

    assert describe_architecture(made(True)) != describe_architecture(made(False))
    assert describe_architecture(made(True)) == describe_architecture(made(True))


def test_functions_that_call_each_other_and_lists_that_hold_themselves_come_to_an_end():
    assert told("def f(x):\n    return g(x)\ndef g(x):\n    return f(x)\n") != told(
        "def f(x):\n    return g(x)\ndef g(x):\n    return f(-x)\n"
    )
    ring: list = [1]
    ring.append(ring)
    assert describe(ring) != describe([1, [1]])
    space = ran("def f0(x):\n    return x\n" + "".join(f"def f{i}(x):\n    return f{i - 1}(x)\n" for i in range(1, 3000)))
    describe(space["f2999"])  # deeper than Python's stack


@pytest.mark.parametrize(
    "hidden",
    [threading.Lock(), (i for i in range(3)), open(__file__)],  # noqa: SIM115
    ids=lambda hidden: type(hidden).__name__,
)
def test_what_cannot_be_told_is_said_and_trained_each_time(hidden, monkeypatch, tmp_path):
    monkeypatch.setenv("MIA_CACHE_DIR", str(tmp_path))

    def loss(z, y):
        assert hidden is not None
        return F.cross_entropy(z, y)

    with pytest.raises(Undescribable, match=f"hidden of loss.* is a .*{type(hidden).__name__}, whose content cannot"):
        describe(loss, "loss")
    trained = []
    adam = torch.optim.AdamW
    monkeypatch.setattr(torch.optim, "AdamW", lambda *a, **k: trained.append(1) or adam(*a, **k))
    for calls in (1, 2):
        with pytest.warns(UserWarning, match="not kept in the cache.*hidden of loss_function.*make it inside") as caught:
            load_or_fit(
                nn.Linear(2, 2),
                torch.ones(4, 2),
                torch.tensor([0, 1, 0, 1]),
                loss,
                epochs=1,
                lr=1e-3,
                seed=0,
                progress=False,
            )
        assert len(caught) == 1 and len(trained) == calls
    assert not list(tmp_path.rglob("*.safetensors"))


def test_key_of_takes_all_parts():
    assert key_of(a=1, b=2) == key_of(b=2, a=1) != key_of(a=2, b=1)
    assert key_of(a=1)["a"] == describe(1)
    with pytest.warns(UserWarning, match="rng is a"):
        assert key_of(a=1, rng=threading.Lock()) is None


def test_our_own_trainings_are_told_with_all_that_they_call():
    text = json.dumps(describe(shadows._train_one))
    assert all(name in text for name in ("randperm", "set_flush_denormal", "manual_seed", "is_parametrized"))
    assert "tqdm" in text and keys._library_name(keys.dis.get_instructions)


def test_losses_that_look_alike_are_not_mixed_up(monkeypatch, tmp_path):
    monkeypatch.setenv("MIA_CACHE_DIR", str(tmp_path))
    x, y = torch.randn(20, 2, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 2
    losses = [
        nn.CrossEntropyLoss(),
        nn.CrossEntropyLoss(label_smoothing=0.5),
        functools.partial(F.cross_entropy),
        functools.partial(F.cross_entropy, label_smoothing=0.5),
        lambda z, y: F.cross_entropy(2 * z, y),
        lambda z, y: F.cross_entropy(3 * z, y),
    ]
    found = [
        load_or_fit(nn.Linear(2, 2), x, y, loss, epochs=20, lr=0.1, seed=0, progress=False).model.weight
        for loss in losses + losses
    ]
    assert len(list(tmp_path.rglob("*.safetensors"))) == len(losses)
    assert len({tuple(w.flatten().tolist()) for w in found[4:6] + found[:2]}) == 4
    for first, again in zip(found[:6], found[6:]):
        assert torch.equal(first, again)


TOLD_FROM = """
import json
import mia_helpers
from mia_helpers.course import challenge, defended, trial
from mia_helpers.data import load_digits
from mia_helpers.keys import describe

def fit(images, labels, seed):
    return mia_helpers.__file__, load_digits("target", source="bundled")

parts = [fit, load_digits, challenge.fit_privately, defended._fit, trial._train_blind]
print(mia_helpers.__file__)
print(json.dumps([describe(part) for part in parts]))
"""


def test_a_copy_of_the_package_in_another_folder_tells_the_same_and_an_edited_copy_does_not(tmp_path):
    """Or a teacher's warm cache would not serve a class whose course lies elsewhere."""
    places, told = [], []
    for name in ("here", "there", "edited"):
        root = tmp_path / name
        shutil.copytree(
            Path(keys.__file__).parent, root / "mia_helpers", ignore=shutil.ignore_patterns("*.bz2", "__pycache__")
        )
        if name == "edited":
            file = root / "mia_helpers" / "cache.py"
            file.write_text(file.read_text("utf-8").replace('".cache"', '".kept"'), "utf-8")
        done = subprocess.run(
            [sys.executable, "-c", TOLD_FROM],
            capture_output=True,
            text=True,
            check=True,
            cwd=root,
            env=os.environ | {"PYTHONPATH": str(root)},
        )
        place, description = done.stdout.splitlines()
        places.append(place)
        told.append(description)
    assert places == [str(tmp_path / name / "mia_helpers" / "__init__.py") for name in ("here", "there", "edited")]
    assert told[0] == told[1] != told[2]
    assert str(tmp_path) not in told[0]

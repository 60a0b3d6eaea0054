"""What an audit is asked to do, and what reference models it may use."""

from __future__ import annotations  # so that help(References) says ArrayLike and not all that this stands for

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mia_helpers.inputs import InputError, InputTypeError, between, confidence_level, delta_below_1


@dataclass(frozen=True)
class Settings:
    """How an audit measures.

    Attributes:
        at_fpr: the false-positive rate at which attacks are compared and the gate looks; at least 10 / number of
            non-members.
        confidence: with which all statements of the report hold together.
        delta: the δ at which ε is bounded from below.
        coins: whether each person (without `person`, each row) was made a member by a fair coin of its own, before training;
            then a bound on ε is stated, which holds for this one training run (`metrics.one_run_epsilon`). A random half is
            not that, and without coins none is stated.
        floor: probabilities are taken to be at least this, since log 0 is no number. Default: a tenth of the target's
            smallest positive one, within 1e-12 … 1e-3. Next to logits it is refused, since they need none, unless
            reference models may answer with probabilities (`shadow_probabilities`, `fit`).
        white_box: attack a torch module's gradients too; takes about as long as a few epochs of training.
        seed: of every random choice.

    Raises:
        ValueError: a value out of range.
    """

    at_fpr: float = 0.01
    confidence: float = 0.95
    delta: float = 0.0
    coins: bool = False
    floor: float | None = None
    white_box: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        between("at_fpr", self.at_fpr, 0, 1)
        confidence_level(self.confidence)
        delta_below_1(self.delta)
        if self.floor is not None:
            between("floor", self.floor, 0, 0.5)


def _is_function(fit: object) -> None:
    """An error that says how to write it, unless `fit` can be called with inputs, labels and a seed."""
    name = fit.__name__ if isinstance(fit, type) else type(fit).__name__
    if isinstance(fit, type) or not callable(fit) or hasattr(fit, "predict"):
        raise InputTypeError(
            f"fit must be a function fit(inputs, labels, seed) -> model, got {name}; write one that makes a new model in "
            f"each call, for instance lambda inputs, labels, seed: {name}(...).fit(inputs, labels)"
        )
    try:
        inspect.signature(fit).bind(None, None, 0)
    except TypeError as error:
        raise InputTypeError(f"fit is called as fit(inputs, labels, seed), but {error}") from None
    except ValueError:  # built in: it has no signature to look at
        pass


@dataclass(frozen=True)
class References:
    """Reference models (shadows): their answers, or a way to train them.

    Attributes:
        shadow_logits, shadow_probabilities: answers of S models, `[S, N, C]`, one of them. member_mask: bool `[S, N]`, which
            examples each was trained on, drawn independently of the target's.
        fit: instead, `fit(inputs [n, …], labels [n], seed) -> model`, trained as the target was. Then `n_shadows` models are
            trained on random parts of the examples, as large as the target's, by `shadows.train_shadows`, which explains
            `key` (cache) and `n_jobs`.
        progress: show a bar while they are trained; default only where stderr is a terminal.

    Raises:
        ValueError: answers without a mask or a mask without answers, both kinds of answers, or answers and `fit`.
    """

    shadow_logits: ArrayLike | None = None
    shadow_probabilities: ArrayLike | None = None
    member_mask: ArrayLike | None = None
    fit: Callable[[np.ndarray, np.ndarray, int], object] | None = None
    n_shadows: int = 16
    key: str | None = None
    n_jobs: int | None = None
    progress: bool | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.shadow_logits, self.shadow_probabilities) if value is not None]
        if self.fit is not None and (given or self.member_mask is not None):
            raise InputError("give reference models' answers or fit, which trains them, not both")
        if self.fit is not None:
            _is_function(self.fit)
        if len(given) > 1:
            raise InputError("give one of shadow_logits and shadow_probabilities, not both")
        if bool(given) != (self.member_mask is not None):
            raise InputError(
                f"got {'' if given else 'no '}answers of reference models and {'no' if given else 'a'} "
                "member_mask, which says who was in which; they are only useful together"
            )

    @property
    def may_be_probabilities(self) -> bool:
        """Whether reference models may answer with probabilities, for which there is a floor."""
        return self.fit is not None or self.shadow_probabilities is not None

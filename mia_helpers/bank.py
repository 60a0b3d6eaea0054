"""What many models answer about the same examples, and who was a member of which.

NumPy side. `shadows` trains models and fills a bank; `attacks` learn from one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from mia_helpers import signals
from mia_helpers.inputs import InputError, InputTypeError, as_array, same_rows
from mia_helpers.seeds import shifted

CHUNK = 65_536  # examples at a time, to spare memory


def pieces(n: int) -> list[slice]:
    """Slices of at most `CHUNK` examples that cover n."""
    return [slice(start, start + CHUNK) for start in range(0, n, CHUNK)]


@dataclass(frozen=True, eq=False)
class ShadowBank:
    """What S models answer about the same N examples.

    Attributes:
        logits: float32 `[S, N, C]`; from the cache memory-mapped and read-only: only what is asked for is read from disk.
        member_mask: bool `[S, N]`, which examples each model was trained on.
        labels: int64 `[N]`.
        seed, settings: what the bank came from.
        models: the S models themselves if they were kept, else None.
    """

    logits: np.ndarray
    member_mask: np.ndarray
    labels: np.ndarray
    seed: int | None = None
    settings: dict = field(default_factory=dict, repr=False)
    models: list | None = field(default=None, repr=False)

    @classmethod
    def single(cls, logits: ArrayLike, labels: ArrayLike, is_member: ArrayLike) -> "ShadowBank":
        """The bank of one model: logits `[N, C]`, labels `[N]`, is_member bool `[N]`.

        Raises:
            ValueError: shapes that do not fit. TypeError: memberships that are not boolean.
        """
        same_rows(logits=logits, labels=labels, is_member=is_member)
        logits, labels, is_member = as_array(logits), as_array(labels), as_array(is_member)
        if is_member.dtype != bool:
            raise InputTypeError(f"is_member must be boolean, got {is_member.dtype}; convert with .astype(bool)")
        if logits.ndim != 2 or not labels.shape == is_member.shape == logits.shape[:1]:
            raise InputError(
                f"expected logits [N, C], labels [N] and is_member [N], got {list(logits.shape)}, "
                f"{list(labels.shape)} and {list(is_member.shape)}"
            )
        return cls(logits[None], is_member[None], labels)

    def __len__(self) -> int:
        return len(self.logits)

    @cached_property
    def phi(self) -> np.ndarray:
        """The logit confidence of all models, float64 `[S, N]`, computed when first asked for."""
        return self.signal(signals.logit_confidence)

    def signal(self, signal: Callable[[ArrayLike, ArrayLike], np.ndarray]) -> np.ndarray:
        """A signal of `mia_helpers.signals` for all models, float64 `[S, N]`, read-only; computed once, in pieces."""
        if signal not in self._signals:
            parts = pieces(len(self.labels))
            values = np.stack(
                [np.concatenate([signal(logits[part], self.labels[part]) for part in parts]) for logits in self.logits]
            )
            values.flags.writeable = False  # it is handed out again
            self._signals[signal] = values
        return self._signals[signal]

    @cached_property
    def _signals(self) -> dict[Callable, np.ndarray]:
        return {}

    def first(self, n: int) -> "ShadowBank":
        """The first n models; the same as if only n had been trained.

        Raises:
            ValueError: n is not between 1 and the number of models.
        """
        if not 1 <= n <= len(self):
            raise InputError(f"the bank holds {len(self)} models, so n must lie in 1 … {len(self)}; got {n}")
        return self._of(slice(n), slice(None))

    def without(self, i: int) -> "ShadowBank":
        """All models but model i, so that it can be the target.

        Raises:
            ValueError: there is no model i, or no other.
        """
        if not 0 <= i < len(self) or len(self) == 1:
            raise InputError(f"the bank holds {len(self)} models, and one must be left; there is no bank without model {i}")
        if i in (0, len(self) - 1):  # views, not copies
            return self._of(slice(1, None) if i == 0 else slice(i), slice(None))
        return self._of(np.arange(len(self)) != i, slice(None))

    def for_models(self, which: slice | np.ndarray) -> "ShadowBank":
        """Some of the models: a slice, positions or a boolean array `[S]`."""
        return self._of(which, slice(None))

    def for_examples(self, which: slice | np.ndarray) -> "ShadowBank":
        """The same models, asked about some of the examples only: a slice, positions or a boolean array `[N]`."""
        return self._of(slice(None), which)

    def _of(self, models: slice | np.ndarray, examples: slice | np.ndarray) -> "ShadowBank":
        kept = None if self.models is None else [self.models[i] for i in np.arange(len(self))[models]]
        part = replace(
            self,
            logits=self.logits[models][:, examples],
            member_mask=self.member_mask[models][:, examples],
            labels=self.labels[examples],
            models=kept,
        )
        part._signals.update({signal: values[models][:, examples] for signal, values in self._signals.items()})
        return part


def draw_halves(n_draws: int, n: int, seed: int) -> np.ndarray:
    """`n_draws` random halves of n examples, bool `[n_draws, n]`: memberships for whoever trains the models by hand."""
    places = np.random.default_rng(shifted(seed)).random((n_draws, n)).argsort(axis=1)
    return places < n // 2


def draw_members(n_shadows: int, seed: int, n_members: int, n_candidates: int, n: int) -> np.ndarray:
    """Which of n examples each shadow is trained on, bool `[n_shadows, n]`: for each a function of (seed, index) alone."""
    mask = np.zeros((n_shadows, n), dtype=bool)
    for index, row in enumerate(mask):
        row[np.random.default_rng([shifted(seed), index]).choice(n_candidates, n_members, replace=False)] = True
    return mask

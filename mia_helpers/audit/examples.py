"""The examples of an audit, and chance that does not depend on their order. NumPy side."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mia_helpers.bank import CHUNK


@dataclass(frozen=True, eq=False)
class Examples:
    """Who and what the model was asked about.

    Attributes:
        y: labels, int64 `[N]`. is_member: bool `[N]`. group: strings `[N]` or None. features: numbers `[N, F]` or None.
        lots: a random number for each example, float64 `[N]`, that goes with what it is and not with its place.
    """

    y: np.ndarray
    is_member: np.ndarray
    group: np.ndarray | None
    features: np.ndarray | None
    lots: np.ndarray

    def __len__(self) -> int:
        return len(self.y)

    @cached_property
    def first_half(self) -> np.ndarray:
        """Half of the members and half of the non-members, bool `[N]`."""
        half = np.zeros(len(self), dtype=bool)
        for kind in (self.is_member, ~self.is_member):
            places = np.flatnonzero(kind)
            half[places[np.argsort(self.lots[places])[: len(places) // 2]]] = True
        return half

    def sample(self, n: int, among: np.ndarray | None = None) -> np.ndarray:
        """Positions of at most n examples, in the order of their lots."""
        places = np.arange(len(self)) if among is None else np.flatnonzero(among)
        return places[np.argsort(self.lots[places])[:n]]

    def slices(self) -> Iterator[tuple[str, str, np.ndarray, int, int]]:
        """(column, value, positions, members, non-members) of every class and group."""
        for column, values in (("class", self.y), ("group", self.group)):
            if values is None:
                continue
            names, codes = np.unique(values, return_inverse=True)
            if len(names) > 1:
                ends = np.cumsum(np.bincount(codes))[:-1]
                for name, places in zip(names, np.split(np.argsort(codes, kind="stable"), ends)):
                    members = int(self.is_member[places].sum())
                    yield column, str(name), places, members, len(places) - members


def draw_lots(columns: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """A random number for each example, float64 `[N]`, that goes with what the example is and not with its place."""
    mixed = np.zeros(len(columns[0]), dtype=np.uint64)
    for column in columns:
        mixed = mixed * np.uint64(0x9E3779B97F4A7C15) + _hashed(column)
        mixed ^= mixed >> np.uint64(29)
    lots = np.empty(len(mixed))
    lots[np.argsort(mixed, kind="stable")] = rng.random(len(mixed))
    return lots


def _hashed(column: np.ndarray) -> np.ndarray:
    """Numbers or booleans to uint64, equal ones to equal ones, by the last step of SplitMix64 (Steele et al. 2014)."""
    bits: np.ndarray = column.astype(np.float64) if column.dtype.itemsize > 8 else np.ascontiguousarray(column)
    if bits.dtype.kind == "f":
        bits = np.where(bits == 0, np.zeros((), bits.dtype), bits)  # −0 as 0
    bits = bits.view(f"u{bits.dtype.itemsize}").astype(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits ^= bits >> np.uint64(shift)
        bits *= np.uint64(factor)
    return bits ^ (bits >> np.uint64(31))


def each(function: Callable, items: Iterable, n: int) -> list:
    """The function of each item; for many examples on two threads, since NumPy does not hold the interpreter's lock."""
    if n < CHUNK:
        return list(map(function, items))
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(function, items))

"""The examples of an audit, the people behind them, and chance that does not depend on their order. NumPy side."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from mia_helpers.bank import CHUNK


@dataclass(frozen=True, eq=False)
class People:
    """Whom figures count: each person once.

    Attributes:
        is_member: bool `[P]`.
        lots: a random number for each, float64 `[P]`, that goes with who it is and not with its place.
    """

    is_member: np.ndarray
    lots: np.ndarray

    def __len__(self) -> int:
        return len(self.is_member)

    @cached_property
    def first_half(self) -> np.ndarray:
        """Half of the members and half of the non-members, bool `[P]`."""
        half = np.zeros(len(self), dtype=bool)
        for kind in (self.is_member, ~self.is_member):
            places = np.flatnonzero(kind)
            half[places[np.argsort(self.lots[places])[: len(places) // 2]]] = True
        return half

    @cached_property
    def drawn_half(self) -> np.ndarray:
        """Half of all, drawn without a look at who is a member, bool `[P]`."""
        half = np.zeros(len(self), dtype=bool)
        half[np.argsort(self.lots)[: len(self) // 2]] = True
        return half

    def sample(self, n: int, among: np.ndarray | None = None) -> np.ndarray:
        """Positions of at most n of them, in the order of their lots."""
        places = np.arange(len(self)) if among is None else np.flatnonzero(among)
        return places[np.argsort(self.lots[places])[:n]]


@dataclass(frozen=True, eq=False)
class Part:
    """One class or one group.

    Attributes:
        column, value: `"class"` or `"group"`, and which. rows: the positions of its examples.
        people: whose they are, numbers from 0 for each of `rows`; None if each is another person.
        is_member: bool, of each of these people.
    """

    column: str
    value: str
    rows: np.ndarray
    people: np.ndarray | None
    is_member: np.ndarray

    def of(self, values: np.ndarray) -> np.ndarray:
        """Each of its people's mean of values `[N]` over the rows that belong to this part."""
        return values[self.rows] if self.people is None else _means(values[self.rows], self.people)


@dataclass(frozen=True, eq=False)
class Examples:
    """What the model was asked about: N rows, and the P people whose rows they are.

    Attributes:
        y: labels, int64 `[N]`. group: strings `[N]` or None. features: numbers `[N, F]` or None.
        rows: each row as if it were another person.
        person: whose row each is, numbers from 0 to P − 1, int64 `[N]`; None if each row is another person.
        people: those whom figures count; `rows` itself without `person`.
    """

    y: np.ndarray
    group: np.ndarray | None
    features: np.ndarray | None
    rows: People
    person: np.ndarray | None
    people: People

    @classmethod
    def of(
        cls,
        y: np.ndarray,
        is_member: np.ndarray,
        group: np.ndarray | None = None,
        features: np.ndarray | None = None,
        person: np.ndarray | None = None,
    ) -> Self:
        """Examples that have no lots yet: memberships bool `[N]`, the same for all rows of a person."""
        rows = people = People(is_member, np.full(len(y), np.nan))
        if person is not None:
            who = np.zeros(person.max() + 1, dtype=bool)
            who[person] = is_member
            people = People(who, np.full(len(who), np.nan))
        return cls(y, group, features, rows, person, people)

    def __len__(self) -> int:
        return len(self.y)

    @property
    def is_member(self) -> np.ndarray:
        """Memberships of the rows, bool `[N]`."""
        return self.rows.is_member

    @cached_property
    def first_half(self) -> np.ndarray:
        """The rows of the first half of the people, bool `[N]`."""
        return self.people.first_half if self.person is None else self.people.first_half[self.person]

    def folds(self, n: int) -> np.ndarray:
        """Which of n folds each row is in, int `[N]`: people stay together, members and non-members are shared evenly."""
        of_people = np.empty(len(self.people), dtype=np.int64)
        for kind in (self.people.is_member, ~self.people.is_member):
            places = np.flatnonzero(kind)
            of_people[places[np.argsort(self.people.lots[places])]] = np.arange(len(places)) % n
        return of_people if self.person is None else of_people[self.person]

    def by_person(self, values: np.ndarray) -> np.ndarray:
        """Each person's mean of values `[N]` over all of its rows, `[P]`."""
        return values if self.person is None else _means(values, self.person)

    def sample(self, n: int, among: np.ndarray | None = None) -> np.ndarray:
        """Positions of at most n rows, in the order of their lots: one of each person, then a second one, and so on."""
        if self.person is None:
            return self.rows.sample(n, among)
        places = np.arange(len(self)) if among is None else np.flatnonzero(among)
        return places[np.lexsort((self.people.lots[self.person[places]], self._turn[places]))[:n]]

    @cached_property
    def _turn(self) -> np.ndarray:
        """Which of its person's rows each row is, by lots: 0, 1, …, `[N]`."""
        assert self.person is not None
        order = np.lexsort((self.rows.lots, self.person))
        sizes = np.bincount(self.person)
        turn = np.empty(len(self), dtype=np.int64)
        turn[order] = np.arange(len(self)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return turn

    def parts(self) -> Iterator[Part]:
        """Every class and every group, unless there is but one."""
        for column, values in (("class", self.y), ("group", self.group)):
            if values is None:
                continue
            names, codes = np.unique(values, return_inverse=True)
            if len(names) > 1:
                ends = np.cumsum(np.bincount(codes))[:-1]
                for name, rows in zip(names, np.split(np.argsort(codes, kind="stable"), ends)):
                    if self.person is None:
                        yield Part(column, str(name), rows, None, self.is_member[rows])
                    else:
                        whose, people = np.unique(self.person[rows], return_inverse=True)
                        yield Part(column, str(name), rows, people, self.people.is_member[whose])


def _means(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    return np.bincount(groups, values) / np.bincount(groups)


def draw(examples: Examples, columns: list[np.ndarray], rng: np.random.Generator) -> Examples:
    """The examples with lots: random numbers that go with what an example is, `columns` `[N]`, and not with its place."""
    mixed = _mixed(columns)
    rows = replace(examples.rows, lots=_lots(mixed, rng))
    if examples.person is None:
        return replace(examples, rows=rows, people=rows)
    of_person = np.zeros(len(examples.people), dtype=np.uint64)
    np.add.at(of_person, examples.person, mixed)  # whatever the order of a person's rows
    return replace(examples, rows=rows, people=replace(examples.people, lots=_lots(of_person, rng)))


def _mixed(columns: list[np.ndarray]) -> np.ndarray:
    """A number for each row that goes with its values, uint64 `[N]`."""
    mixed = np.zeros(len(columns[0]), dtype=np.uint64)
    for column in columns:
        mixed = mixed * np.uint64(0x9E3779B97F4A7C15) + _hashed(column)
        mixed ^= mixed >> np.uint64(29)
    return mixed


def _lots(mixed: np.ndarray, rng: np.random.Generator) -> np.ndarray:
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


def row_pieces(logits: np.ndarray) -> list[slice]:
    """Slices of rows that cover logits `[N, C]`, each with about a million numbers at most."""
    step = min(CHUNK, max(1, 2**20 // logits.shape[1]))
    return [slice(start, start + step) for start in range(0, len(logits), step)]


def each(function: Callable, items: Iterable, n: int) -> list:
    """The function of each item; for many examples on two threads, since NumPy does not hold the interpreter's lock."""
    if n < CHUNK:
        return list(map(function, items))
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(function, items))

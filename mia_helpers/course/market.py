"""The market of notebook 09: what an adversary may buy with a few coins, and what it bought."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from mia_helpers.course.ledger import AUC, CHANCE, TPR
from mia_helpers.course.predictions import checklist, keep, recall
from mia_helpers.plots import MEMBER, NEUTRAL, chance_line

PURSE = 10


def buy(
    name: str,
    question: str,
    prices: Mapping[str, int],
    purse: int = PURSE,
    *,
    tell: Callable[[Sequence[str]], str] | None = None,
    answer: Sequence[str] | None = None,
) -> None:
    """Have the reader tick goods for `purse` coins at most and buy them; what was bought last is kept under `name`.

    Args:
        prices: goods and their prices. tell: what to say about the goods that are ticked, at each tick; default: nothing.
        answer: buys at once, where there are no widgets.

    Raises:
        ValueError: an `answer` that is not for sale, or dearer than the purse allows.
    """
    if answer is not None:
        _check(answer, prices, purse)
        keep(name, list(answer))

    def left(goods: Collection[str]) -> int:
        return purse - sum(prices[good] for good in goods)

    checklist(
        name,
        f"{question} ({purse} coins)",
        {good: f"{good} ({price})" for good, price in prices.items()},
        bought(name, prices, purse) or (),
        verb=("buy", "Bought"),
        status=lambda goods: f"{left(goods)} of {purse} coins left. {tell(goods) if tell else ''}",
        closed=lambda goods, good: prices[good] > left(goods),
    )


def bought(name: str, prices: Mapping[str, int], purse: int = PURSE) -> list[str] | None:
    """What was bought under `name`; None if nothing ever was, or not from this list."""
    goods = recall(name)
    if not isinstance(goods, list):
        return None
    try:
        _check(goods, prices, purse)
    except ValueError:  # the prices have changed since
        return None
    return goods


def _check(goods: Sequence[str], prices: Mapping[str, int], purse: int) -> None:
    if unknown := [good for good in goods if good not in prices]:
        raise ValueError(f"{unknown[0]!r} is not for sale; there are {', '.join(prices)}")
    if (cost := sum(prices[good] for good in goods)) > purse:
        raise ValueError(f"that costs {cost} coins, and the purse holds {purse}")


@dataclass(frozen=True)
class Market:
    """What goods are worth, by what was found with them.

    Attributes:
        prices: goods and their prices.
        needs: attack -> the goods that it needs.
        rows: attack -> "AUC" and "TPR at 1 % FPR", Estimates, as in `Ledger`.
        included: a good -> what comes with it for nothing.
        purse: coins that may be spent.
    """

    prices: Mapping[str, int]
    needs: Mapping[str, Collection[str]]
    rows: Mapping[str, Mapping]
    included: Mapping[str, Collection[str]]
    purse: int = PURSE

    def cost(self, goods: Collection[str]) -> int:
        """Their prices, added up."""
        return sum(self.prices[good] for good in goods)

    def best(self, goods: Collection[str]) -> str:
        """Of the attacks that these goods allow, the one with the largest AUC."""
        held = set(goods).union(*(self.included.get(good, ()) for good in goods))
        return max((a for a, needs in self.needs.items() if held.issuperset(needs)), key=lambda a: self.rows[a][AUC].value)

    def tell(self, goods: Collection[str]) -> str:
        """What the goods buy, in a sentence."""
        attack = self.best(goods)
        auc, named = self.rows[attack][AUC].value, 100 * self.rows[attack][TPR].value
        return f"Best attack: {attack}, AUC {auc:.3f}; at 1 % false positives it names {named:.1f} of 100 members."

    def receipt(self, name: str) -> None:
        """Print what the purchase `name` got, and the best that the purse allows."""
        mine, most = bought(name, self.prices, self.purse), self.frontier()[-1]
        for who, goods in ((("You bought", mine),) if mine is not None else ()) + (("Best for the purse", most),):
            print(f"{who}: {', '.join(goods) or 'nothing'} ({self.cost(goods)} coins). {self.tell(goods)}")

    def baskets(self) -> list[tuple[str, ...]]:
        """All that the purse can pay for, cheapest first."""
        every = [goods for n in range(len(self.prices) + 1) for goods in combinations(self.prices, n)]
        return sorted((goods for goods in every if self.cost(goods) <= self.purse), key=self.cost)

    def frontier(self) -> list[tuple[str, ...]]:
        """The baskets that beat, by AUC, all that cost as much or less; cheapest first."""
        found: list[tuple[str, ...]] = []
        for goods in self.baskets():
            value = self.rows[self.best(goods)][AUC].value
            if not found or value > self.rows[self.best(found[-1])][AUC].value:
                found = [other for other in found if self.cost(other) < self.cost(goods)] + [goods]
        return found

    def table(self) -> pd.DataFrame:
        """Each attack with the goods that it needs, their price, and what it found; cheapest first."""
        attacks = sorted(self.needs, key=lambda attack: (self.cost(self.needs[attack]), self.rows[attack][AUC].value))
        return pd.DataFrame(
            {
                attack: {
                    "coins": self.cost(self.needs[attack]),
                    "goods": ", ".join(self.needs[attack]) or "—",
                    AUC: str(self.rows[attack][AUC]),
                    TPR: str(self.rows[attack][TPR]),
                }
                for attack in attacks
            }
        ).T

    def plot(self, name: str) -> Figure:
        """Coins spent against the AUC and the TPR of the best attack, a ring for each basket, a line for the best of them.

        The purchase `name`, if there is one, is a filled diamond.
        """
        figure, axes = plt.subplots(1, 2, figsize=(7, 3.4), layout="constrained")
        best, mine = self.frontier(), bought(name, self.prices, self.purse)
        for ax, column in zip(axes, (AUC, TPR)):
            ax.plot(
                *zip(*(self._at(goods, column) for goods in self.baskets())),
                "o",
                mfc="none",
                color=NEUTRAL,
                label="what one can buy",
            )
            x, y = zip(*(self._at(goods, column) for goods in best))
            ax.step([*x, self.purse], [*y, y[-1]], where="post", color=MEMBER, label="most AUC for the money")
            if mine is not None:
                ax.plot(*self._at(mine, column), "D", color="black", label="you")
            chance_line(ax, CHANCE[column], horizontal=True)
            ax.set(xlabel="coins spent", ylabel=column, xticks=range(0, self.purse + 1), xlim=(-1.4, self.purse + 0.6))
        style: dict[str, Any] = {"xytext": (-4, 3), "textcoords": "offset points", "ha": "right", "fontsize": 8}
        for before, goods in pairwise(best):
            if self._at(goods, AUC)[1] - self._at(before, AUC)[1] > 0.01:  # names of smaller steps would lie on one another
                axes[0].annotate(",\n".join(goods), self._at(goods, AUC), **style)
        axes[0].margins(y=0.2)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
        return figure

    def _at(self, goods: Collection[str], column: str) -> tuple[int, float]:
        return self.cost(goods), self.rows[self.best(goods)][column].value

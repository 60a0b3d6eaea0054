"""The membership game: see a card, bet whether it was a member, see the truth; the reader against rules and attacks."""

from collections.abc import Callable, Mapping

import ipywidgets
import numpy as np
from numpy.typing import ArrayLike

from mia_helpers.course.predictions import spoken
from mia_helpers.course.widgets import Drawing, show_either
from mia_helpers.seeds import shifted

YOU = "you"


class MembershipGame:
    """Rounds of cards that are members and non-members in equal shares by lot.

    Args:
        draw: `draw(i)` draws one figure of card i, without giving the truth away.
        is_member: the truth, bool `[N]`.
        rivals: for each rival (a threshold rule, LiRA) its bets, bool `[N]`.
        n_rounds: cards in a game.
        seed: which cards come, in which order; `fresh()` deals others.

    Raises:
        ValueError: shapes differ, no member or no non-member, or fewer cards than rounds.

    A right bet wins its stake, a wrong one loses it; rivals bet the reader's stake. In JupyterLab `play()` shows the cards
    and buttons; where there are no widgets, `card()` shows the figure and `bet(True)` bets. `scores` has the points so far.
    """

    def __init__(
        self,
        draw: Callable[[int], object],
        is_member: ArrayLike,
        rivals: Mapping[str, ArrayLike],
        *,
        n_rounds: int = 10,
        seed: int = 0,
    ) -> None:
        self._draw, self._truth = draw, np.asarray(is_member, dtype=bool)
        self._rivals = {name: np.asarray(bets, dtype=bool) for name, bets in rivals.items()}
        if wrong := [name for name, bets in self._rivals.items() if bets.shape != self._truth.shape]:
            raise ValueError(f"{wrong[0]!r} needs one bet for each of {len(self._truth)} cards")
        if self._truth.ndim != 1 or self._truth.all() or not self._truth.any():
            raise ValueError("is_member must be one truth for each card, with members and non-members among them")
        if not 0 < n_rounds <= len(self._truth):
            raise ValueError(f"{n_rounds} rounds need as many cards, got {len(self._truth)}")
        self.n_rounds, self._rng = n_rounds, np.random.default_rng(shifted(seed))
        self.fresh()

    def fresh(self) -> None:
        """Deal other cards; all scores start again."""
        decks = [self._rng.permutation(np.flatnonzero(self._truth == kind)).tolist() for kind in (False, True)]
        coins = self._rng.integers(0, 2, self.n_rounds)  # a coin for each card: counting what came does not help
        self._cards = [(decks[coin] or decks[1 - coin]).pop() for coin in coins]
        self.round, self.scores = 0, dict.fromkeys((YOU, *self._rivals), 0)

    @property
    def over(self) -> bool:
        """Whether every card of this game has been bet on."""
        return self.round == self.n_rounds

    def card(self) -> None:
        """Draw the card that is bet on now.

        Raises:
            ValueError: the game is over.
        """
        self._draw(self._current())

    def bet(self, member: bool, stake: int = 1) -> str:
        """Bet on the card at hand; returns what it was, and moves on to the next.

        Raises:
            ValueError: the game is over, or the stake is not 1, 2 or 3.
        """
        card = self._current()
        if stake not in (1, 2, 3):
            raise ValueError(f"the stake is 1, 2 or 3, got {stake}")
        truth = self._truth[card]
        bets = {YOU: bool(member)} | {name: bool(all_bets[card]) for name, all_bets in self._rivals.items()}
        for name, its_bet in bets.items():
            self.scores[name] += stake if its_bet == truth else -stake
        self.round += 1
        right = [name for name, its_bet in bets.items() if its_bet == truth]
        was = "a member" if truth else "not a member"
        return f"It was {was}. Right: {', '.join(right) or 'nobody'}. {self.table()}"

    def table(self) -> str:
        """The points so far, in a line."""
        points = " · ".join(f"{name} {score:+d}" for name, score in self.scores.items())
        return f"After {self.round} of {self.n_rounds} cards: {points}."

    def _current(self) -> int:
        if self.over:
            raise ValueError("the game is over; fresh() deals other cards")
        return self._cards[self.round]

    def play(self) -> None:
        """Show the game: a card, buttons for bet and stake, the running score. Tab and Enter do what the mouse does.

        The last card stays when the game is over: without it the page would jump, and the score with it.
        """
        picture, said = Drawing(self.card), ipywidgets.HTML()
        stake = ipywidgets.ToggleButtons(options=[1, 2, 3], description="stake", style={"button_width": "3em"})
        yes, no, again = (
            ipywidgets.Button(description=text, layout={"width": "auto"})
            for text in ("was a member", "was not a member", "fresh cards")
        )

        def show(message: str) -> None:
            said.value = spoken(f"{message} The game is over." if self.over else message)
            yes.disabled = no.disabled = self.over
            if self.over:
                again.focus()  # a button that is disabled loses it, and the keyboard would be nowhere
            else:
                picture.answer()

        def ask() -> str:
            return f"Card {min(self.round + 1, self.n_rounds)} of {self.n_rounds}: was it in the training set?"

        def deal(_: object) -> None:
            self.fresh()
            show(ask())

        yes.on_click(lambda _: show(self.bet(True, stake.value)))
        no.on_click(lambda _: show(self.bet(False, stake.value)))
        again.on_click(deal)
        box = ipywidgets.VBox([picture, said, ipywidgets.HBox([yes, no, again]), stake])
        picture.redraw()  # raises what is wrong with `draw`
        said.value = spoken(ask())
        rivals = " and ".join(self._rivals)
        show_either(box, f"The membership game: {self.n_rounds} cards, you against {rivals or 'chance'}.")

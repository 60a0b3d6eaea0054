"""The star of notebook 01, to be put anywhere: a model is trained with it there, and its map is drawn at once.

The browser's half is `assets/star.js`. It asks about one place at a time, and next about the newest: what was passed over
while the kernel was busy is never asked about.
"""

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import anywidget
import matplotlib as mpl
import numpy as np
import traitlets
from matplotlib.colors import to_hex
from sklearn.base import ClassifierMixin

from mia_helpers.course.patients import ALPHA, COLOURS, EDGE, LEVELS, probability_map
from mia_helpers.course.widgets import ASSETS, show_either, sweep

LIMIT = 3.0  # as far as the star can be put, in s.d. either way
STEP, SMALL_STEP = 0.2, 0.05  # of an arrow key, alone and with Shift; the mouse follows the small ones
Train = Callable[[float, float], ClassifierMixin]


def drag(train: Train, without: ClassifierMixin, points: np.ndarray, ill: np.ndarray, *, start: tuple[float, float]) -> None:
    """Show the star on two maps; wherever the reader puts it, a model is trained with it there.

    With `MIA_SWEEP_SLIDERS` set (the notebook tests do), the four corners are tried first.

    Args:
        train: `train(x, y)` is the model trained with the star there.
        without: the model trained without the star.
        points: the patients' two measurements, `[N, 2]`. ill: their diagnoses, `[N]`.
        start: where the star stands at first.

    Raises:
        traitlets.TraitError: `start` is not two finite numbers.
    """
    star = Star(train, without, points, ill, start=start)
    sweep(lambda *corner: star.set_trait("asked", list(corner)), product((-LIMIT, LIMIT), repeat=2))
    text = "The star to be dragged needs a running kernel. The figures above show it in three places."
    show_either(star, text)


class Star(anywidget.AnyWidget):
    """The widget behind `drag`, which says what the arguments are. `asked` is a place, `answer` what is so there."""

    _esm = (ASSETS / "star.js").read_text("utf-8")
    setting = traitlets.Dict().tag(sync=True)  # what never changes: people, colours, steps, the map without the star
    asked = traitlets.List(traitlets.Float(), minlen=2, maxlen=2).tag(sync=True)
    answer = traitlets.Dict().tag(sync=True)  # `asked`; where the star stands then; its map, the two models' answers there

    def __init__(
        self, train: Train, without: ClassifierMixin, points: np.ndarray, ill: np.ndarray, *, start: tuple[float, float]
    ) -> None:
        self._train, self._without = train, without
        layers = mpl.colormaps[COLOURS]((LEVELS[1:] + LEVELS[:-1]) / 2)[:, :3]
        setting = {
            "points": np.asarray(points, float).tolist(),
            "ill": np.asarray(ill).astype(int).tolist(),
            "colours": [to_hex(ALPHA * colour + 1 - ALPHA) for colour in layers],
            "edge": EDGE,
            "limit": LIMIT,
            "step": STEP,
            "small": SMALL_STEP,
            "without": _in_bytes(probability_map(without)),
        }
        super().__init__(setting=setting, asked=list(start))

    @traitlets.validate("asked")
    def _is_a_place(self, proposal: Any) -> list[float]:
        if not all(map(math.isfinite, proposal["value"])):
            raise traitlets.TraitError(f"the star stands nowhere at {proposal['value']}")
        return proposal["value"]

    @traitlets.observe("asked")
    def _say(self, change: Any) -> None:
        x, y = (max(-LIMIT, min(LIMIT, value)) for value in change["new"])
        model = self._train(x, y)
        with_star, without = (float(m.predict_proba([(x, y)])[0, 1]) for m in (model, self._without))
        self.answer = {
            "asked": change["new"],
            "at": [x, y],
            "with": with_star,
            "without": without,
            "map": _in_bytes(probability_map(model)),
        }


def _in_bytes(probability: np.ndarray) -> bytes:
    """Two bytes for each probability, 0 to 65,535, the lower one first: one alone would draw steps where a map is flat."""
    return np.round(65_535 * probability).astype("<u2").tobytes()

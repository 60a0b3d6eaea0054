"""Sliders on the course's figures. In print and on the web the static figure above each slider says the same."""

import os
from collections.abc import Callable

import ipywidgets
import matplotlib.pyplot as plt


def slider(draw: Callable[[float], object], *, low: float, high: float, step: float, start: float, name: str) -> None:
    """Show a slider that calls `draw(value)`, a function that draws one figure.

    With `MIA_SWEEP_SLIDERS` set (the notebook tests do), `draw` is first tried at `low`, `start` and `high`, so that an
    error at either end is found without anybody moving the slider.

    Raises:
        ValueError: `start` is not between `low` and `high`.
    """
    if not low <= start <= high:
        raise ValueError(f"start must lie between {low} and {high}, got {start}")
    if os.environ.get("MIA_SWEEP_SLIDERS"):
        for value in (low, start, high):
            draw(value)
            plt.close("all")
    kind = ipywidgets.IntSlider if all(isinstance(v, int) for v in (low, high, step, start)) else ipywidgets.FloatSlider
    control = kind(
        value=start,
        min=low,
        max=high,
        step=step,
        description=name,
        continuous_update=False,
        style={"description_width": "initial"},
    )

    def redraw(value: float) -> None:
        draw(value)
        plt.show()

    ipywidgets.interact(redraw, value=control)

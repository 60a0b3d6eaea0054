"""Sliders on the course's figures. In print and on the web the static figure above each slider says the same."""

import os
from collections.abc import Callable, Iterable, Sequence

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
    _sweep(draw, (low, start, high))
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

    _interact(draw, control)


def stops(draw: Callable[[str], object], *, options: Sequence[str], start: str, name: str) -> None:
    """Show a slider over named stops that calls `draw(stop)`; with `MIA_SWEEP_SLIDERS` set every stop is tried first.

    Raises:
        ValueError: `start` is none of the options.
    """
    if start not in options:
        raise ValueError(f"start must be one of {', '.join(options)}, got {start!r}")
    _sweep(draw, options)
    control = ipywidgets.SelectionSlider(
        options=list(options),
        value=start,
        description=name,
        continuous_update=False,
        style={"description_width": "initial"},
        layout={"width": "32em"},
    )
    _interact(draw, control)


def _sweep(draw: Callable, values: Iterable) -> None:
    if os.environ.get("MIA_SWEEP_SLIDERS"):
        for value in values:
            draw(value)
            plt.close("all")


def _interact(draw: Callable, control: ipywidgets.Widget) -> None:
    def redraw(value: object) -> None:
        draw(value)
        plt.show()

    ipywidgets.interact(redraw, value=control)

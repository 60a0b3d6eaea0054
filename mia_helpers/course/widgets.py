"""Sliders on the course's figures. In print and on the web the static figure above each slider says the same."""

import html
import os
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import ipywidgets
import matplotlib.pyplot as plt
from IPython.display import display

Pair = tuple[float, float]


def slider(draw: Callable[[float], object], *, low: float, high: float, step: float, start: float, name: str) -> None:
    """Show a slider that calls `draw(value)`, a function that draws one figure.

    With `MIA_SWEEP_SLIDERS` set (the notebook tests do), `draw` is first tried at `low`, `start` and `high`, so that an
    error at either end is found without anybody moving the slider.

    Raises:
        ValueError: `start` is not between `low` and `high`.
    """
    control = _control(low, high, step, start, name)
    _sweep(draw, [(low,), (start,), (high,)])
    _interact(draw, value=control)


def sliders(
    draw: Callable[[float, float], object], *, low: Pair, high: Pair, step: Pair, start: Pair, names: tuple[str, str]
) -> None:
    """Show two sliders that call `draw(first, second)`; each argument is a pair, first slider first.

    With `MIA_SWEEP_SLIDERS` set `draw` is first tried at the start and at the four corners.

    Raises:
        ValueError: a `start` is not between its `low` and `high`.
    """
    first, second = (_control(*setting) for setting in zip(low, high, step, start, names))
    _sweep(draw, [start, *product(*zip(low, high))])
    _interact(draw, first=first, second=second)


def _control(low: float, high: float, step: float, start: float, name: str) -> ipywidgets.Widget:
    if not low <= start <= high:
        raise ValueError(f"start must lie between {low} and {high}, got {start}")
    kind = ipywidgets.IntSlider if all(isinstance(v, int) for v in (low, high, step, start)) else ipywidgets.FloatSlider
    return kind(
        value=start,
        min=low,
        max=high,
        step=step,
        description=name,
        continuous_update=False,
        style={"description_width": "initial"},
    )


def stops(draw: Callable[[Any], object], *, options: Sequence[str | float], start: str | float, name: str) -> None:
    """Show a slider over stops, names or unequally spaced numbers, that calls `draw(stop)`.

    With `MIA_SWEEP_SLIDERS` set every stop is tried first.

    Raises:
        ValueError: `start` is none of the options.
    """
    if start not in options:
        raise ValueError(f"start must be one of {', '.join(map(_shown, options))}, got {start!r}")
    _sweep(draw, [(option,) for option in options])
    control = ipywidgets.SelectionSlider(
        options=[(_shown(option), option) for option in options],
        value=start,
        description=name,
        continuous_update=False,
        style={"description_width": "initial"},
        layout={"width": "32em"},
    )
    _interact(draw, value=control)


def _shown(stop: str | float) -> str:
    return stop if isinstance(stop, str) else f"{stop:.10g}"


def _interact(draw: Callable[..., object], **controls: ipywidgets.Widget) -> None:
    def redraw(**values: object) -> None:  # by name, in the order of the controls
        draw(*values.values())
        plt.show()

    ipywidgets.interact(redraw, **controls)


def _sweep(draw: Callable[..., object], places: Sequence[tuple]) -> None:
    """Draw at each of `places` and close the figures, if `MIA_SWEEP_SLIDERS` is set."""
    if os.environ.get("MIA_SWEEP_SLIDERS"):
        for place in places:
            draw(*place)
            plt.close("all")


def show_either(widget: ipywidgets.Widget, text: str) -> None:
    """Display one output: `widget` in JupyterLab, `text` in print, on the web, and in editors without widgets."""
    as_html = f'<pre style="white-space: pre-wrap">{html.escape(text)}</pre>'
    display(widget._repr_mimebundle_() | {"text/plain": text, "text/html": as_html}, raw=True)

"""Sliders on the course's figures. In print and on the web the static figure above each slider says the same."""

import base64
import html
import os
import re
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

import anywidget
import ipywidgets
import matplotlib.pyplot as plt
import traitlets
from IPython.core.pylabtools import print_figure
from IPython.display import display
from IPython.utils.capture import capture_output
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

ASSETS = files("mia_helpers").joinpath("assets")
WIDGET = "application/vnd.jupyter.widget-view+json"


def slider(draw: Callable[[float], object], *, low: float, high: float, step: float, start: float, name: str) -> None:
    """Show a slider that calls `draw(value)`, a function that draws one figure.

    With `MIA_SWEEP_SLIDERS` set (the notebook tests do), `draw` is first tried at `low`, `start` and `high`, so that an
    error at either end is found without anybody moving the slider.

    Raises:
        ValueError: `start` is not between `low` and `high`, or `step` is not above 0.
    """
    values = _values(low, high, step, start)
    sweep(draw, [(low,), (start,), (high,)])
    Drawing(draw, {name: values}, (start,)).show()


def stops(draw: Callable[[Any], object], *, options: Sequence[str | float], start: str | float, name: str) -> None:
    """Show a slider over stops, names or unequally spaced numbers, that calls `draw(stop)`.

    With `MIA_SWEEP_SLIDERS` set every stop is tried first.

    Raises:
        ValueError: `start` is none of the options.
    """
    values = {_shown(option): option for option in options}
    if start not in options:
        raise ValueError(f"start must be one of {', '.join(values)}, got {start!r}")
    sweep(draw, [(option,) for option in options])
    Drawing(draw, {name: values}, (start,)).show()


def fold(summary: str, shown: Any) -> None:
    """Display something that has an HTML form behind a line that unfolds it; as text there is the line, and its text.

    Args:
        shown: an object with `_repr_html_`, such as a report or a table.
    """
    folded = Fold(summary, shown._repr_html_(), repr(shown))
    display({"text/html": folded._repr_html_(), "text/plain": repr(folded)}, raw=True)


@dataclass(frozen=True)
class Fold:
    """A piece of HTML that is shown when its summary is clicked; its text is there at once."""

    summary: str
    page: str
    text: str

    def __repr__(self) -> str:
        return f"{self.summary}\n{self.text}"

    def _repr_html_(self) -> str:
        return f"<details><summary>{html.escape(self.summary)}</summary>{self.page}</details>"


def _shown(stop: str | float) -> str:
    return stop if isinstance(stop, str) else f"{stop:.10g}".replace("-", "−")


def _values(low: float, high: float, step: float, start: float) -> dict[str, float]:
    """The places from `low` to `high`, `start` and `high` among them, each by its text, with the digits that these need."""
    if not low <= start <= high:
        raise ValueError(f"start must lie between {low} and {high}, got {start}")
    if not step > 0:
        raise ValueError(f"step must be above 0, got {step}")
    # In decimal numbers, where ten steps of 0.1 are 1: each place is the float that a reader would write.
    first, last, width, given = (Decimal(str(number)) for number in (low, high, step, start))
    places = {first + i * width for i in range(int((last - first) // width) + 1)} | {given, last}
    digits = max(0, *(-int(number.normalize().as_tuple().exponent) for number in places))
    kind = int if all(isinstance(number, int) for number in (low, high, step, start)) else float
    return {f"{place:.{digits}f}".replace("-", "−"): kind(place) for place in sorted(places)}


class Drawing(anywidget.AnyWidget):
    """What `draw` draws and prints, below a slider for each of its arguments.

    Args:
        draw: called with a value for each slider.
        sliders: for each slider's name its values, by the text of each.
        start: the values to start with; None: nothing is drawn before `redraw()`.

    The reader's places are `asked`; those that the figure is of are `shown`: the readout claims nothing that is not drawn.
    """

    _esm = (ASSETS / "drawing.js").read_text("utf-8")
    _css = (ASSETS / "drawing.css").read_text("utf-8")
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    stops = traitlets.List(traitlets.List(traitlets.Unicode())).tag(sync=True)
    asked = traitlets.List(traitlets.Int()).tag(sync=True)
    shown = traitlets.List(traitlets.Int()).tag(sync=True)
    drawn = traitlets.Int().tag(sync=True)  # how often: an answer to each question, also where the figure stays the same
    pictures = traitlets.List(traitlets.Bytes()).tag(sync=True)
    alts = traitlets.List(traitlets.Unicode()).tag(sync=True)  # for each picture what it shows, in words
    said = traitlets.Unicode().tag(sync=True)
    error = traitlets.Unicode().tag(sync=True)

    def __init__(
        self, draw: Callable[..., object], sliders: dict[str, dict[str, Any]] | None = None, start: Sequence | None = None
    ) -> None:
        self._draw, self._values = draw, [list(values.values()) for values in (sliders or {}).values()]
        self._places: dict[tuple, list[Bbox]] = {}  # of the axes in figures that have been laid out
        places = [values.index(value) for values, value in zip(self._values, start or ())]
        super().__init__(
            names=list(sliders or ()),
            stops=[list(values) for values in (sliders or {}).values()],
            asked=places,
            shown=places,
        )
        if start is not None:
            self.redraw()
        self.observe(lambda _: self.answer(), names="asked")

    def redraw(self) -> None:
        """Draw at the places asked for; raises what `draw` raises."""
        values = [values[place] for values, place in zip(self._values, self.asked)]
        before = set(plt.get_fignums())
        try:
            with capture_output() as captured:
                self._draw(*values)
                figures = [plt.figure(number) for number in sorted(set(plt.get_fignums()) - before or before)]
                drawn = [(png, described(figure)) for figure in figures if (png := self._png(figure)) is not None]
        finally:
            for number in set(plt.get_fignums()) - before:
                plt.close(number)
        pieces = [output.data for output in captured.outputs or ()]  # what `draw` has displayed by itself
        drawn += [(base64.b64decode(data["image/png"]), "") for data in pieces if "image/png" in data]
        said = [data.get("text/plain", "") + "\n" for data in pieces if "image/png" not in data]
        where = ", ".join(f"{name} {texts[place]}" for name, texts, place in zip(self.names, self.stops, self.asked))
        self._answer_with(
            pictures=[png for png, _ in drawn],
            alts=[". ".join(filter(None, (where, text))) or "A figure without words" for _, text in drawn],
            said="".join([captured.stdout, captured.stderr, *said]),
        )

    def answer(self) -> None:
        """Draw at the places asked for; what `draw` raises is shown: no cell runs that would show it."""
        try:
            self.redraw()
        except (Exception, KeyboardInterrupt):
            self._answer_with(error=traceback.format_exc())

    def _answer_with(self, **what: str | list) -> None:
        nothing: dict[str, str | list] = {"pictures": [], "alts": [], "said": "", "error": ""}
        with self.hold_sync():  # one message, so that no figure stands beside the text of another
            for name, value in (nothing | what | {"shown": list(self.asked)}).items():
                self.set_trait(name, value)
            self.drawn += 1

    def _png(self, figure: Figure) -> bytes | None:
        """The figure as a PNG; one that is laid out needs no cropping, for which it would be drawn a second time.

        Laying out costs as much as drawing: the axes stay where they were, as long as they need the same room.
        """
        if figure.get_layout_engine() is None:
            return print_figure(figure, bbox_inches="tight")
        room = _room(figure)
        if room in self._places:
            figure.set_layout_engine("none")
            for ax, place in zip(figure.axes, self._places[room]):
                ax.set_position(place, which="original")
        png = print_figure(figure, bbox_inches=None)
        self._places[room] = [ax.get_position(original=True) for ax in figure.axes]
        return png

    def show(self) -> None:
        """Display it; where there are no widgets, a line of text, which is not kept in the course's notebooks."""
        over = " and ".join(self.names)
        _display(self, {"text/plain": f"(A slider over {over}. It needs JupyterLab and a running kernel.)"})


def _room(figure: Figure) -> tuple:
    """What the places of a figure's axes depend on: its size and all that is written on it, whichever digits these are."""
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            axis.get_ticklabels()  # they are written now
    texts = (text.get_text() for text in figure.findobj(Text) if text.get_visible())
    return (*figure.get_size_inches(), len(figure.axes), *(re.sub(r"\d", "0", text) for text in texts))


def described(figure: Figure) -> str:
    """What a figure says in words: its titles, axes and legends. For those who cannot see it."""
    parts = [figure.get_suptitle()]
    for ax in figure.axes:
        named = " against ".join(filter(None, (ax.get_ylabel(), ax.get_xlabel())))
        legend = ax.get_legend()
        lines = ", ".join(text.get_text() for text in legend.get_texts()) if legend else ""
        parts.append(": ".join(filter(None, (ax.get_title(), named, lines))))
    return ". ".join(filter(None, (" ".join(part.split()) for part in parts)))


class _Keeper(anywidget.AnyWidget):
    """Makes JupyterLab save what widgets show along with the notebook; else it would reopen with "model not found"."""

    _esm = (ASSETS / "keeper.js").read_text("utf-8")


@cache
def _keeper() -> _Keeper:
    return _Keeper()


def sweep(draw: Callable[..., object], places: Iterable[tuple]) -> None:
    """Draw at each of `places` and close the figures, if `MIA_SWEEP_SLIDERS` is set."""
    if os.environ.get("MIA_SWEEP_SLIDERS"):
        for place in places:
            draw(*place)
            plt.close("all")


def show_either(widget: ipywidgets.Widget, text: str) -> None:
    """Display one output: `widget` in JupyterLab, `text` in print, on the web, and in editors without widgets."""
    as_html = f'<pre style="white-space: pre-wrap">{html.escape(text)}</pre>'
    _display(widget, {"text/plain": text, "text/html": as_html})


def _display(widget: ipywidgets.Widget, otherwise: dict[str, str]) -> None:
    _keeper()
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    display({WIDGET: view} | otherwise, raw=True)

"""Predictions: asked before the cell that answers, kept, and taken up again after it.

In JupyterLab the options are buttons; where there are no widgets, give the answer as an argument:
`predict(…, answer="half")`. Answers lie in `course/answers.json` in the cache folder, so that a later notebook can come back
to them. With `MIA_READER=nobody` (the tests and the refreshing of notebooks set it) none are kept or found.
"""

import contextlib
import html
import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import combinations

import ipywidgets
from filelock import FileLock

from mia_helpers.cache import atomic_path, cache_dir
from mia_helpers.course.widgets import show_either
from mia_helpers.metrics import Estimate

_in_memory: dict[str, str | list[str]] = {}


def predict(name: str, question: str, options: Sequence[str], *, answer: str | None = None) -> None:
    """Ask a question with two or more `options`; the answer is kept under `name` (notebook and topic, "02.sure").

    Raises:
        ValueError: fewer than two options, the same one twice, or an `answer` that is none of them.
    """
    _check(options, [answer] if answer is not None else [])
    if answer is not None:
        keep(name, answer)
    chosen = recall(name)
    buttons = ipywidgets.ToggleButtons(
        options=list(options), value=chosen if chosen in options else None, style={"button_width": "auto"}
    )
    buttons.observe(lambda change: keep(name, change["new"]), names="value")
    show_question(question, buttons, [f"○ {option}" for option in options])


def reveal(name: str, answer: str, because: str = "") -> None:
    """Take up the prediction `name`: print what was said and what is so, and why."""
    said = recall(name)
    start = "" if said is None else f"You said: {said}. "
    print(f"{start}{'So it is' if said == answer else f'It is: {answer}'}.{f' {because}' if because else ''}")


def rank(name: str, question: str, items: Sequence[str], *, answer: Sequence[str] | None = None) -> None:
    """Have the reader put `items` in order, best first, by clicking them one after the other, and sign the ranking.

    Nothing is kept before *Sign*; the order that was signed is kept under `name` and can be signed anew.

    Raises:
        ValueError: fewer than two items, the same one twice, or an `answer` that is not all of them in some order.
    """
    _check(items, answer or [])
    if answer is not None:
        if len(set(answer)) < len(items):
            raise ValueError(f"a ranking holds each of the {len(items)} items once, got {list(answer)}")
        keep(name, list(answer))
    chosen: list[str] = []
    buttons = {item: ipywidgets.Button(description=item, layout={"width": "auto"}) for item in items}
    again, sign = (ipywidgets.Button(description=text, layout={"width": "auto"}) for text in ("start again", "sign"))
    status = ipywidgets.HTML()

    def update(signed: bool = False) -> None:
        for item, button in buttons.items():
            button.disabled = item in chosen
        sign.disabled = len(chosen) < len(items) or signed
        order = ", ".join(f"{place}. {item}" for place, item in enumerate(chosen, start=1)) or "Click the best one first."
        status.value = spoken(f"Signed: {order}" if signed else order)

    # A button that is disabled loses the focus, so each click hands it on: the keyboard would be nowhere.
    def choose(button: ipywidgets.Button) -> None:
        chosen.append(button.description)
        update()
        next((free for free in buttons.values() if not free.disabled), sign).focus()

    def start_again(_: object) -> None:
        chosen.clear()
        update()

    def signed(_: object) -> None:
        keep(name, list(chosen))
        update(signed=True)
        again.focus()

    for button, act in ((again, start_again), (sign, signed), *((button, choose) for button in buttons.values())):
        button.on_click(act)
    before = recall(name)
    if isinstance(before, list) and sorted(before) == sorted(items):
        chosen += before
    update(signed=bool(chosen))
    rows = ipywidgets.VBox([_wrapping(list(buttons.values())), _wrapping([again, sign]), status])
    show_question(question, rows, [f"□ {item}" for item in items])


def tick(
    name: str, question: str, options: Sequence[str], *, before: Collection[str] = (), answer: Sequence[str] | None = None
) -> None:
    """Have the reader tick any of `options`, and sign; what was signed last is kept under `name`, a list.

    Args:
        before: what is ticked as long as nothing has been signed. answer: signs at once, where there are no widgets.

    Raises:
        ValueError: fewer than two options, the same one twice, or an `answer` with others than these.
    """
    _check(options, answer or [])
    if answer is not None:
        keep(name, list(answer))
    kept = recall(name)
    start = kept if isinstance(kept, list) and set(kept) <= set(options) else before
    checklist(name, question, {option: option for option in options}, start, across=True)


def checklist(
    name: str,
    question: str,
    labels: Mapping[str, str],
    ticked: Collection[str],
    *,
    verb: tuple[str, str] = ("sign", "Signed"),
    status: Callable[[list[str]], str] = lambda chosen: f"{len(chosen)} ticked.",
    closed: Callable[[list[str], str], bool] = lambda chosen, option: False,
    across: bool = False,
) -> None:
    """Boxes to tick and a button; what is ticked when it is clicked is kept under `name`.

    Args:
        labels: option -> what stands beside its box. ticked: the options ticked at first.
        verb: on the button, and what it has done. status: what to say of the options that are ticked, at each tick.
        closed: whether, with these ticked, an option cannot be ticked. across: in rows instead of one below the other.
    """
    layout = {"width": "auto", "margin": "2px 1.5em 2px 2px"}
    boxes = {
        option: ipywidgets.Checkbox(option in ticked, description=label, indent=False, layout=layout)
        for option, label in labels.items()
    }
    said, act = ipywidgets.HTML(), ipywidgets.Button(description=verb[0], layout={"width": "auto"})

    def chosen() -> list[str]:
        return [option for option, box in boxes.items() if box.value]

    def update(_: object = None, start: str = "") -> None:
        for option, box in boxes.items():
            box.disabled = not box.value and closed(chosen(), option)
        said.value = spoken(f"{start}{status(chosen())}")

    def done(_: object) -> None:
        keep(name, chosen())
        update(start=f"{verb[1]}: {', '.join(chosen()) or 'nothing'}. ")

    for box in boxes.values():
        box.observe(update, names="value")
    act.on_click(done)
    update()
    rows = [_wrapping(list(boxes.values()))] if across else list(boxes.values())
    show_question(question, ipywidgets.VBox([*rows, _wrapping([act]), said]), [f"□ {label}" for label in labels.values()])


def reveal_ranking(name: str, found: Mapping[str, Estimate]) -> None:
    """Take up the ranking `name`: print what was `found`, largest first, and beside it the place that the reader gave it.

    Of the pairs, those whose intervals do not overlap are counted as in the reader's order or not.

    Raises:
        ValueError: `found` is empty.
    """
    if not found:
        raise ValueError("there is nothing to rank")
    order, said = sorted(found, key=lambda item: -found[item].value), recall(name)
    signed = said if isinstance(said, list) and sorted(said) == sorted(found) else None
    width = max(map(len, order))
    for place, item in enumerate(order, start=1):
        yours = f"   your place: {signed.index(item) + 1}" if signed else ""
        print(f"{place:2d}. {item:{width}}  {found[item]}{yours}")
    if signed:
        apart = [(a, b) for a, b in combinations(order, 2) if found[a].low > found[b].high]
        right = sum(signed.index(a) < signed.index(b) for a, b in apart)
        close = len(order) * (len(order) - 1) // 2 - len(apart)
        print(f"Of your pairs {right} are as found, {len(apart) - right} the other way round, {close} too close to tell.")


def recall(name: str) -> str | list[str] | None:
    """What was answered under `name`: an option, what was ticked, a signed ranking (best first), or None."""
    return _read().get(name)


def _check(options: Sequence[str], answers: Sequence[str]) -> None:
    if isinstance(options, str) or len(options) < 2 or len(set(options)) < len(options):
        raise ValueError(f"two or more different options are needed, got {options!r}")
    if unknown := [answer for answer in answers if answer not in options]:
        raise ValueError(f"{unknown[0]!r} is none of the options: {', '.join(options)}")


def _wrapping(buttons: list) -> ipywidgets.Box:
    return ipywidgets.Box(buttons, layout={"flex_flow": "row wrap"})


def spoken(text: str) -> str:
    """HTML that a screen reader reads aloud when it changes."""
    return f'<div role="status" aria-live="polite">{html.escape(text)}</div>'


def show_question(question: str, widget: ipywidgets.Widget, lines: list[str]) -> None:
    """The widget where there are any; else, and in print, the question and its options as text."""
    box = ipywidgets.VBox([ipywidgets.HTML(f"<b>{html.escape(question)}</b>"), widget])
    show_either(box, "\n".join([question, *lines]))


def nobody() -> bool:
    """Whether nothing of a reader's is to be kept or found."""
    return os.environ.get("MIA_READER") == "nobody"


def _read() -> dict[str, str | list[str]]:
    if nobody():
        return {}
    try:
        kept = json.loads((cache_dir() / "course" / "answers.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not there yet, or not ours: the course goes on without
        kept = {}
    return (kept if isinstance(kept, dict) else {}) | _in_memory


def keep(name: str, answer: str | list[str] | None) -> None:
    """Keep an answer under `name`, for this notebook and later ones; None is no answer."""
    if answer is None or nobody():
        return
    _in_memory[name] = answer  # where nothing can be written the notebook at hand still knows
    path = cache_dir() / "course" / "answers.json"
    with contextlib.suppress(OSError):  # read-only or full
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")), atomic_path(path) as temporary:
            temporary.write_text(json.dumps(_read(), ensure_ascii=False, indent=1), encoding="utf-8")

"""What can be moved on the website, where there is no kernel: the star of notebook 01 and the threshold of 04.

The star: when the site is built, the notebook's own definitions are run and a model is trained at each of 81 places (a few
seconds). The threshold: what is drawn lies in `threshold.json`, counted by

    python site/explorables.py

on the models of notebook 04 (loaded from the cache, or trained). A test says when the notebook has got other figures since.
"""

import ast
import base64
import contextlib
import hashlib
import io
import json
import zlib
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
ASSETS = HERE.parent / "mia_helpers" / "assets"
THRESHOLD = HERE / "threshold.json"
SOURCES = (Path(__file__), HERE / "explorables.js", THRESHOLD, *(ASSETS / name for name in ("star.js", "drawing.css")))
N_PLACES, BITS = 9, 10  # a side; of a probability, where Lab has 16
FIRST_OF_01 = ("import matplotlib.pyplot", "def fit(", "def train_with_star(")
FIRST_OF_04 = ("import matplotlib.pyplot", "classic.experiments()", "def ask_both(", "target_signal = ", "target_letters = ")


def html(name: str, notebook: dict) -> str:
    """The explorable `name` ("star", "threshold") as a piece of a page, with its data and its script."""
    same = (ASSETS / {"star": "star.js", "threshold": "drawing.css"}[name]).read_text("utf-8")  # as in JupyterLab
    style, script = (same, "") if name == "threshold" else ("", same)
    data = json.dumps(star(notebook) if name == "star" else threshold())
    return (
        f'<style>{style}</style><div class="explorable" id="explore-{name}"></div>'
        f'<script type="application/json" id="explore-{name}-data">{data}</script>'
        f'<script type="module">{script}{(HERE / "explorables.js").read_text("utf-8")}\nexplore.{name}();\n</script>'
    )


def defined(notebook: dict, words: tuple[str, ...]) -> dict[str, Any]:
    """Names that the cells with these words bind; only their imports, functions and assignments are run."""
    names: dict[str, Any] = {}
    for source in (cell_with(notebook, w)[0] for w in words):
        wanted = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.Assign)
        body: list[ast.stmt] = [statement for statement in ast.parse(source).body if isinstance(statement, wanted)]
        exec(compile(ast.Module(body, []), "<notebook>", "exec"), names)
    return names


def cell_with(notebook: dict, words: str) -> tuple[str, list[dict]]:
    """Source and outputs of the first code cell that has these words.

    Raises:
        ValueError: there is none.
    """
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code" and words in "".join(cell["source"]):
            return "".join(cell["source"]), cell["outputs"]
    raise ValueError(f"no code cell has {words!r} in it")


def star(notebook: dict) -> dict:
    """The star's setting, and for each of its places what the two models say there and the map."""
    from mia_helpers.course.star import LIMIT, Star

    shown: list[Star] = []
    names = defined(notebook, FIRST_OF_01)
    names["star"] = SimpleNamespace(drag=lambda *given, start: shown.append(Star(*given, start=start)))
    exec(cell_with(notebook, "star.drag(")[0], names)
    (widget,) = shown
    places = np.linspace(-LIMIT, LIMIT, N_PLACES).tolist()
    start = [min(places, key=lambda place: abs(place - value)) for value in widget.answer["at"]]
    answers, without = [], coarse(widget.setting["without"])
    for x, y in product(places, places):
        widget.asked = [x, y]
        said = {name: round(widget.answer[name], 4) for name in ("with", "without")}
        answers.append({"at": [x, y], **said, "map": coarse(widget.answer["map"])})
    step = places[1] - places[0]
    return {
        "setting": {**widget.setting, "without": None, "step": step, "small": step},
        "start": start,
        "most": 2**BITS - 1,
        "places": [{name: value for name, value in answer.items() if name != "map"} for answer in answers],
        "maps": packed([without, *(answer["map"] - without for answer in answers)]),
    }


def coarse(content: bytes) -> np.ndarray:
    """A map of 16 bits for each point in `BITS`, int `[points]`."""
    return np.round(np.frombuffer(content, "<u2") / 65_535 * (2**BITS - 1)).astype(np.int16)


def packed(maps: list[np.ndarray]) -> str:
    """Maps (all but the first as differences from it), each point less the one before; zlib, base64."""
    steps = np.diff(np.stack(maps), axis=1, prepend=np.int16(0)).astype("<i2").view(np.uint8).reshape(-1, 2)
    return base64.b64encode(zlib.compress(steps.T.tobytes(), 9)).decode()  # all low bytes, then all high ones


def threshold() -> dict:
    """What `threshold.json` holds, and the colours of the course."""
    from mia_helpers.plots import MEMBER, NON_MEMBER

    return {**json.loads(THRESHOLD.read_text("utf-8"))["shown"], "colours": [MEMBER, NON_MEMBER]}


def count(notebook: dict) -> dict:
    """The counts behind notebook 04's movable threshold, and of which run of it they are (see `stands_for`).

    Raises:
        ValueError: the models at hand give other numbers than the notebook shows.
    """
    printed = io.StringIO()
    names = defined(notebook, FIRST_OF_04)
    source, outputs = cell_with(notebook, "target_signal = ")
    with contextlib.redirect_stdout(printed):
        exec(source, names)
    stored = "".join("".join(output.get("text", "")) for output in outputs)
    if printed.getvalue() != stored:
        raise ValueError(f"the notebook says\n{stored}and the models at hand\n{printed.getvalue()}; refresh the notebook")
    exec(cell_with(notebook, "confidence = {")[0], names)
    first = ast.parse(cell_with(notebook, "widgets.stops(plot_threshold")[0]).body[0]  # stops = […]
    exec(compile(ast.Module([first], []), "<notebook>", "exec"), names)
    groups = {name: np.asarray(values) for name, values in names["confidence"].items()}
    shares = {
        name: [round(100 * n / len(values), 4) for n in np.histogram(values, np.linspace(0, 1, 26))[0].tolist()]
        for name, values in groups.items()
    }
    stops = [
        {"threshold": stop, "called": {name: round(float((values >= stop).mean()), 5) for name, values in groups.items()}}
        for stop in names["stops"]
    ]
    return {"of": stands_for(notebook), "shown": {"shares": shares, "stops": stops}}


def stands_for(notebook: dict) -> str:
    """A hash of notebook 04's figures with three thresholds and of the code behind them: others, other counts."""
    source, outputs = cell_with(notebook, "for value in (0.5, 0.9, 0.999)")
    pictures = ["".join(output["data"]["image/png"]) for output in outputs if "data" in output]
    code = [cell_with(notebook, words)[0] for words in ("confidence = {", "widgets.stops(plot_threshold")]
    return hashlib.sha256("\n".join([source, *pictures, *code]).encode()).hexdigest()


def main() -> None:
    """Count, and write `threshold.json`."""
    notebook = json.loads((HERE.parent / "notebooks" / "04_attack.ipynb").read_text("utf-8"))
    THRESHOLD.write_text(json.dumps(count(notebook), indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()

"""Progress bars as text, also in notebooks: a bar that is a widget would leave a missing one in the saved notebook."""

import sys
from typing import Any

import tqdm as library


class _Line:
    """A file that shows what was last written to it, as one output of the cell; nothing is left of an erased bar."""

    def __init__(self) -> None:
        self._shown: Any = None

    def write(self, text: str) -> None:
        """Show the text in place of what was shown before."""
        from IPython.display import display  # only a notebook gets here, and elsewhere it would take its time

        data = {"text/plain": text.strip("\r\n ")}
        if self._shown is not None:
            self._shown.update(data, raw=True)
        elif data["text/plain"]:
            self._shown = display(data, raw=True, display_id=True)

    def flush(self) -> None:
        """Nothing waits."""


def tqdm(*args: Any, **options: Any) -> library.tqdm:  # noqa: ANN401 (as the library's)
    """The library's bar, in a notebook as text below the cell, elsewhere on stderr."""
    ipython = sys.modules.get("IPython")
    in_notebook = ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None
    return library.tqdm(*args, **options, **({"file": _Line()} if in_notebook else {}))

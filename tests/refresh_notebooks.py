"""Execute notebooks in place and clean them: `python tests/refresh_notebooks.py [NN …]` (default: all).

What is kept is what a reader should see; progress bars, widget views, stderr, timings and execution dates go.
"""

import asyncio
import base64
import os
import socket
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import zmq
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbformat import NotebookNode
from traitlets.config import Config

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
WIDGET = "application/vnd.jupyter.widget-view+json"
KEPT = ("tags", "jupyter", "alt")  # of a cell's metadata; `alt`: a text for each of its figures, for those who cannot see it


def clean(notebook: NotebookNode) -> None:
    """Drop everything that changes from run to run or that only works in a live session."""
    notebook.metadata = nbformat.from_dict(
        {  # as JupyterLab writes it, so that a notebook that was merely opened has no changes to be saved
            "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
            "language_info": notebook.metadata.get("language_info", {"name": "python"}),
        }
    )
    notebook.nbformat_minor = 5
    number = 0
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k in KEPT})
        if cell.cell_type != "code":
            continue
        number += 1
        cell.execution_count = number
        cell.outputs = merge_streams(
            [o for o in cell.outputs if not (o.output_type == "stream" and o.name == "stderr") and without_widget(o)]
            if "solution" not in cell.metadata.get("tags", [])
            else []  # the verdict would give the answer away
        )
        for output in cell.outputs:
            output.pop("metadata", None)
            if "data" in output:
                output.metadata = nbformat.from_dict({})
            if "execution_count" in output:
                output.execution_count = number
        give_alternative_texts(cell)
    for i, cell in enumerate(notebook.cells):
        cell.id = f"cell-{i + 1:03d}"


def give_alternative_texts(cell: NotebookNode) -> None:
    """Put the texts in the cell's metadata onto its figures, where nbconvert and MyST look for them."""
    figures = [output for output in cell.outputs if "image/png" in output.get("data", {})]
    for figure, text in zip(figures, cell.metadata.get("alt", [])):
        figure.metadata = nbformat.from_dict({"image/png": {"alt": text}})


def without_widget(output: NotebookNode) -> bool:
    """Take a live widget out of an output; False if there is nothing else to show (or nothing at all: an erased bar)."""
    data = output.get("data", {})
    return data != {"text/plain": ""} and (data.pop(WIDGET, None) is None or "text/html" in data)


def readme_pictures(notebook: nbformat.NotebookNode) -> list[bytes]:
    """The PNG that the README shows: the output of the cell tagged `readme-picture`, if this notebook has one."""
    return [
        base64.b64decode(output.data["image/png"])
        for cell in notebook.cells
        if "readme-picture" in cell.metadata.get("tags", [])
        for output in cell.outputs
        if "data" in output
    ]


def merge_streams(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Join neighbouring pieces of printed text: into how many pieces a kernel cuts it differs from run to run."""
    merged: list[NotebookNode] = []
    for output in outputs:
        if output.output_type == "stream" and merged and merged[-1].get("name") == output.name:
            merged[-1].text += output.text
        else:
            merged.append(output)
    return merged


def sockets_in(folder: str) -> Config:
    """Have a kernel talk through sockets in `folder`: over TCP two that start together may pick the same port."""
    if not hasattr(socket, "AF_UNIX") or len(folder) > 80:  # a path to a socket may have some hundred bytes
        return Config()
    return Config({"KernelManager": {"transport": "ipc", "ip": str(Path(folder, "kernel"))}})


class Client(NotebookClient):
    """A client that looks every second whether an answer has come.

    On a busy machine the news that a message is there is now and then lost between pyzmq and asyncio: the kernel has
    answered and idles, and the client waits for ever. Asking a socket for its events makes it look again.
    """

    async def async_execute(self, *args: object, **options: object) -> NotebookNode:
        """As NotebookClient's."""
        looking = asyncio.ensure_future(self._look_again())
        try:
            return await super().async_execute(*args, **options)
        finally:
            looking.cancel()

    execute = run_sync(async_execute)

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(1)
            if self.kc is not None and self.kc.channels_running:
                for channel in (self.kc.shell_channel, self.kc.iopub_channel, self.kc.control_channel):
                    channel.socket.get(zmq.EVENTS)


def refresh(path: Path) -> None:
    """Execute the notebook at `path` and write it back; if a cell fails, the file stays as it was."""
    notebook = nbformat.read(path, as_version=4)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        Client(
            notebook,
            timeout=7200,
            kernel_name="python3",
            config=sockets_in(folder),
            resources={"metadata": {"path": path.parent}},
        ).execute(env=os.environ | {"MIA_READER": "nobody", "MIA_STRICT_EXERCISES": "1"})
    clean(notebook)
    nbformat.validate(notebook)
    nbformat.write(notebook, path)
    print(f"  took {time.perf_counter() - start:.0f} s", flush=True)
    for picture in readme_pictures(notebook):
        (path.parent / "key_result.png").write_bytes(picture)


def main(numbers: list[str]) -> None:
    paths = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    unknown = [n for n in numbers if not any(p.name.startswith(n) for p in paths)]
    if unknown:
        raise SystemExit(f"no notebook begins with {', '.join(unknown)}; there are {', '.join(p.name for p in paths)}")
    for path in paths:
        if not numbers or any(path.name.startswith(n) for n in numbers):
            print(f"refreshing {path.name}", flush=True)
            refresh(path)


if __name__ == "__main__":
    main(sys.argv[1:])

"""A real JupyterLab on this machine, with copies of the notebooks, for tests that use it as a reader does."""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import Request, urlopen

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 600_000  # milliseconds, far more than anything here takes: a busy machine is not a defect
SETTINGS = {
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},  # every cell is in the page, also out of sight
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},  # saved when a test says so
}


class Book:
    """A notebook that is shown: its `tab`, what the tab complains about (see `open_page`), and the file's `path`."""

    def __init__(self, tab, complaints: list[str], path: Path) -> None:
        self.tab, self.complaints, self.path = tab, complaints, path
        tab.locator("#jp-main-statusbar", has_text=" | Idle").wait_for()  # a cell run before asks for a kernel

    def cell(self, text: str):
        """The code cell whose source has this text in it."""
        return self.tab.locator(".jp-CodeCell").filter(has=self.tab.locator(".jp-InputArea", has_text=text))

    def menu(self, *names: str) -> None:
        """Choose an entry of the menu, as in `menu("Run", "Run All Cells")`."""
        self.tab.locator(f".lm-MenuBar-item:has-text('{names[0]}')").click()
        for name in names[1:]:
            self.tab.locator(".lm-Menu-item").filter(has=self.tab.locator(f".lm-Menu-itemLabel:text-is('{name}')")).click()

    def start_all(self) -> None:
        """Begin to run every cell, as a reader does."""
        self._watch()
        self.menu("Run", "Run All Cells")

    def run_all(self) -> None:
        """Run every cell, and wait until the run has come to its end, wherever that is."""
        self.start_all()
        self.wait()

    def run(self, cell) -> None:
        """Run this cell by keyboard, and wait for its end."""
        cell.locator(".cm-content").click()
        self._watch()
        self.tab.keyboard.press("Control+Enter")
        self.wait()

    def _watch(self) -> None:
        """Note when prompts become stars, however shortly: then the run has begun."""
        self.tab.evaluate(
            """() => {
                 const prompts = document.getElementsByClassName("jp-InputPrompt");
                 window.running = () => [...prompts].some(prompt => prompt.textContent.includes("*"));
                 window.begun = false;
                 new MutationObserver((_, watch) => { if (window.begun ||= running()) watch.disconnect(); })
                   .observe(document.body, {childList: true, characterData: true, subtree: true});
               }"""
        )

    def wait(self) -> None:
        """Wait for the end of the run that was begun."""
        self.tab.wait_for_function("() => window.begun && !running()")

    def write(self, cell, source: str) -> None:
        """Put `source` in place of what the cell holds, by keyboard."""
        cell.locator(".cm-content").click()
        self.tab.keyboard.press("Control+a")
        self.tab.keyboard.insert_text(source)

    def dirty(self) -> bool:
        """Whether the notebook has changes that are not saved."""
        return self.tab.locator(".lm-TabBar-tab.jp-mod-dirty").count() > 0

    def save(self) -> dict:
        """Save by the menu; returns what the file holds then."""
        before = self.path.stat().st_mtime_ns
        self.menu("File", "Save Notebook")
        while True:
            self.tab.wait_for_timeout(100)
            if self.path.stat().st_mtime_ns != before and not self.dirty():
                with contextlib.suppress(ValueError):  # half written
                    return json.loads(self.path.read_text("utf-8"))

    def close(self) -> None:
        """Close the tab; the kernel goes on."""
        self.tab.context.close()

    def errors(self) -> list[str]:
        """What cells say that did not run to their end."""
        texts = self.tab.locator("[data-mime-type='application/vnd.jupyter.stderr']").all_inner_texts()
        return [text for text in texts if "Traceback (most recent call last)" in text]


class Lab:
    """A running JupyterLab that serves `folder`, which holds copies of the course's notebooks."""

    def __init__(self, address: str, token: str, folder: Path) -> None:
        self.address, self.token, self.folder = address, token, folder

    def write(self, name: str, *sources: str) -> str:
        """Write a notebook with these code cells; returns its name."""
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        cells = [new_code_cell(source) for source in sources]
        nbformat.write(new_notebook(cells=cells, metadata=kernel), self.folder / name)
        return name

    def stop_kernel(self, name: str) -> None:
        """Shut the notebook's kernel down, as JupyterLab does when it is stopped; other notebooks' go on."""
        for session in self._ask("GET", "api/sessions"):
            if session["path"] == name:
                self._ask("DELETE", f"api/sessions/{session['id']}")

    def _ask(self, method: str, what: str):
        asked = Request(self.address + what, method=method, headers={"Authorization": f"token {self.token}"})
        with urlopen(asked) as answer:
            return json.loads(answer.read() or "null")

    def open(self, open_page, name: str, *, patience=(120_000, 240_000, PATIENCE), **how) -> Book:
        """The notebook in a tab of its own, its kernel idle; `open_page` is the fixture, `how` goes to it.

        Now and then JupyterLab does not open the file that an address names (jupyterlab issue 15431). A page that shows
        no cell within `patience` is loaded again, as a reader does; what it complained about is then forgotten.
        """
        from playwright.sync_api import TimeoutError as Late

        tab, complaints = open_page(self.address, **how)
        tab.set_default_timeout(PATIENCE)
        tried = []
        for milliseconds in patience:
            tab.goto(f"{self.address}lab/workspaces/{secrets.token_hex(4)}/tree/{name}?token={self.token}")
            try:
                tab.wait_for_selector(".jp-Notebook .jp-CodeCell .cm-content", timeout=milliseconds)
            except Late:
                tried.append(f"{tab.url} showed {tab.locator('body').inner_text()!r} and complained {complaints}")
                complaints.clear()
            else:
                return Book(tab, complaints, self.folder / name)
        log = (self.folder.parent / "log").read_text("utf-8")
        raise AssertionError("\n".join([f"{name} was not shown", *tried, "The server's log ends:", log[-4000:]]))


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """JupyterLab with settings and copies of the notebooks of its own; to its kernels `mia_helpers` is this checkout's."""
    home = tmp_path_factory.mktemp("lab")
    folder = home / "course"
    shutil.copytree(ROOT / "notebooks", folder, ignore=shutil.ignore_patterns(".*", "conftest.py"))
    places = {f"JUPYTER_{name}_DIR": home / name.lower() for name in ("CONFIG", "DATA", "RUNTIME")}
    places |= {f"JUPYTERLAB_{name}_DIR": home / name.lower() for name in ("SETTINGS", "WORKSPACES")}
    places |= {"IPYTHONDIR": home / "ipython", "HOME": home}
    for place in places.values():
        place.mkdir(exist_ok=True)
    for name, settings in SETTINGS.items():
        path = places["JUPYTERLAB_SETTINGS_DIR"] / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings), "utf-8")
    token = secrets.token_hex(16)
    given = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "MIA_", "PYTEST_"))}
    given |= {name: str(place) for name, place in places.items()}
    given |= {"JUPYTER_TOKEN": token, "PYTHONPATH": str(ROOT), "MIA_READER": "nobody", "OMP_NUM_THREADS": "1"}
    given["MIA_CACHE_DIR"] = os.environ.get("MIA_CACHE_DIR") or str(home / "cache")
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ServerApp.ip=127.0.0.1", "--ServerApp.allow_root=True"]
    command += [f"--ServerApp.root_dir={folder}", "--LabApp.extension_manager=readonly"]
    # Two servers that start at once would both find the default port free, and one of them would stop.
    command += [f"--ServerApp.port={20_000 + secrets.randbelow(10_000)}"]
    with (home / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=folder, env=given, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        yield Lab(_address(server, places["JUPYTER_RUNTIME_DIR"], home / "log"), token, folder)
    finally:
        server.terminate()
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _address(server: subprocess.Popen, runtime: Path, log: Path) -> str:
    """Where the server says that it is, once it says so."""
    end = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < end and server.poll() is None:
        for path in runtime.glob("jpserver-*.json"):
            try:
                return json.loads(path.read_text("utf-8"))["url"]
            except ValueError:  # half written
                pass
        time.sleep(0.1)
    raise AssertionError(f"JupyterLab did not start:\n{log.read_text()}")

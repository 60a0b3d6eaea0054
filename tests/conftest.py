"""Unit tests see the reader's settings, not those that the notebooks are tested with; what needs a browser finds it here."""

import contextlib
import importlib.util
import os
import shutil

import pytest


@pytest.fixture(autouse=True)
def a_reader_at_work(monkeypatch):
    for name in ("MIA_READER", "MIA_STRICT_EXERCISES"):
        monkeypatch.delenv(name, raising=False)


def no_browser(why: str):
    """Skip, because of `why`; where a browser is required (`MIA_BROWSER=required`, as in .ci/run), fail instead."""
    stop = pytest.fail if os.environ.get("MIA_BROWSER") == "required" else pytest.skip
    stop(f"no browser: {why}")


def path_of_chromium() -> str:
    """Where it is, if it can be driven; else as `no_browser`."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if importlib.util.find_spec("playwright") is None:
        no_browser('needs playwright: pip install -e ".[browser]"')
    if path is None:
        no_browser("needs Chromium, as chromium, chromium-browser or google-chrome")
    return path


@pytest.fixture(scope="module")  # not of the session: while it runs, nothing else in this thread can use asyncio
def chromium():
    """A headless Chromium."""
    path = path_of_chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def open_page(chromium):
    """`open_page(home)`: a tab, and the list of what it complains about: errors, and requests to any place but `home`."""
    with contextlib.ExitStack() as contexts:

        def open_tab(home: str, *, width: int = 1280, scheme: str = "light"):
            complaints: list[str] = []
            context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
            contexts.callback(context.close)
            tab = context.new_page()
            tab.set_default_timeout(180_000)  # a busy machine is not a defect

            def decide(route):
                if route.request.url.startswith((home, "data:", "blob:")):
                    route.continue_()
                else:
                    complaints.append(f"asks for {route.request.url}")
                    route.abort()

            tab.route("**/*", decide)
            tab.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
            tab.on("pageerror", lambda error: complaints.append(str(error)))
            return tab, complaints

        yield open_tab


@pytest.fixture(scope="session")
def faults_of_access():
    """`faults_of_access(tab, *selectors)`: what axe-core finds in these parts of a page that keeps people from using it."""
    try:
        from axe_playwright_python.base import AXE_FILE_PATH
    except ImportError:
        no_browser('needs axe-core: pip install -e ".[browser]"')

    def find(tab, *selectors: str) -> list[str]:
        # What a style sheet is still changing, as from a light page to a dark one, is judged by how it ends.
        tab.evaluate("document.getAnimations().forEach(a => a instanceof CSSTransition && a.finish())")
        tab.evaluate(AXE_FILE_PATH.read_text("utf-8"))
        found = tab.evaluate("selectors => axe.run({include: selectors.map(selector => [selector])})", list(selectors))
        assert found["passes"], "nothing was looked at"
        grave = [fault for fault in found["violations"] if fault["impact"] in ("serious", "critical")]
        return [f"{fault['id']}: {node['html']}" for fault in grave for node in fault["nodes"]]

    return find

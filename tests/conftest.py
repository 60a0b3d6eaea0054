"""Unit tests see the reader's settings, not those that the notebooks are tested with; what needs a browser finds it here."""

import contextlib
import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def a_reader_at_work(monkeypatch):
    for name in ("MIA_READER", "MIA_STRICT_EXERCISES"):
        monkeypatch.delenv(name, raising=False)


def no_browser(why: str):
    """Skip, because of `why`; where a browser is required (`MIA_BROWSER=required`, as in .ci/run), fail instead."""
    stop = pytest.fail if os.environ.get("MIA_BROWSER") == "required" else pytest.skip
    stop(f"no browser: {why}")


@pytest.fixture(scope="module")  # not of the session: while it runs, nothing else in this thread can use asyncio
def chromium():
    """A headless Chromium."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        no_browser('needs pip install -e ".[browser]"')
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        no_browser("needs Chromium, as chromium, chromium-browser or google-chrome")
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
def faults():
    """`faults(tab, within)`: what axe-core finds, serious or critical, in elements that the selector `within` finds."""
    package = find_spec("axe_playwright_python")  # brings axe-core along
    if package is None:
        no_browser('needs pip install -e ".[browser]"')
    axe = Path(package.origin).with_name("axe.min.js").read_text("utf-8")

    def found(tab, within: str = "html") -> list[str]:
        assert tab.locator(within).count(), f"{within} is not on the page"
        tab.evaluate(axe)
        violations = tab.evaluate("within => axe.run({include: [[within]]}).then(found => found.violations)", within)
        return [
            f"{fault['id']} ({fault['help']}): {node['html'][:200]}: {node['failureSummary']}"
            for fault in violations
            if fault["impact"] in ("serious", "critical")
            for node in fault["nodes"]
        ]

    return found

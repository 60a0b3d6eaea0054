"""axe-core in a browser's tab: what is wrong with a page for those who do not see it, or use no mouse."""

import functools
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from conftest import no_browser

VERSION = "4.14.1"
GRAVE = {"serious", "critical"}


@functools.cache
def axe_core() -> str:
    """The program, fetched with npm, which checks what it gets; the tests skip, or fail, as without a browser."""
    npm = shutil.which("npm")
    if npm is None:
        no_browser("needs npm, which fetches axe-core")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", "--silent", f"axe-core@{VERSION}"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
        packed = next(Path(folder).glob("axe-core-*.tgz"), None)
        if packed is None:
            no_browser(f"npm does not fetch axe-core: {done.stderr.strip()[-200:]}")
        with tarfile.open(packed) as archive:
            return archive.extractfile("package/axe.min.js").read().decode("utf-8")


def faults(tab, within: str = "html") -> list[str]:
    """Serious and critical faults in the elements that the selector `within` finds: rule, help, and where."""
    assert tab.locator(within).count(), f"{within} is not on the page"
    tab.evaluate(axe_core())
    found = tab.evaluate("within => axe.run({include: [[within]]}, {resultTypes: ['violations']})", within)
    return [
        f"{fault['id']} ({fault['help']}): {node['html'][:200]}: {node['failureSummary']}"
        for fault in found["violations"]
        if fault["impact"] in GRAVE
        for node in fault["nodes"]
    ]

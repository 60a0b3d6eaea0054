"""The whole suite in fresh clones: with the oldest supported versions, the newest, and several times over.

    pip install nox uv
    nox -f tests/noxfile.py                    both ends of what pyproject.toml and requirements.txt allow
    nox -f tests/noxfile.py -s five_times      five fresh clones, one after the other, once with interrupts ignored
    nox -f tests/noxfile.py -s oldest -- -x tests/test_metrics.py      (what follows -- goes to pytest)

Each run of the whole suite adds a line to tests/supported.md.
"""

import datetime
import json
import re
import shutil
import signal
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "tests" / "supported.md"
SHOWN = ("torch", "torchvision", "numpy", "pandas", "scipy", "scikit-learn", "matplotlib", "jupyterlab", "opacus")
OLDEST_PYTHON = re.search(r'requires-python = ">=(\S+)"', (ROOT / "pyproject.toml").read_text("utf-8"))[1]
NEWEST_PYTHON = "3.13"
ENVIRONMENT = {"PYTHONPATH": None, "MIA_CACHE_DIR": None, "MIA_SEED_SHIFT": None}  # unset: a new user has none of them

nox.options.default_venv_backend = "uv"
nox.options.sessions = ["oldest", "newest"]


@nox.session(python=OLDEST_PYTHON)
def oldest(session: nox.Session) -> None:
    """The lowest version that each requirement names."""
    suite(session, "--resolution", "lowest-direct")


@nox.session(python=NEWEST_PYTHON)
def newest(session: nox.Session) -> None:
    """The newest version of everything."""
    suite(session)


@nox.session
def five_times(session: nox.Session) -> None:
    """Five fresh clones with cold caches; the third run is started with SIGINT ignored, as background jobs are."""
    for number in range(5):
        suite(session, name=f"five times, {number + 1}", ignore_interrupts=number == 2)


def suite(session: nox.Session, *how: str, name: str = "", ignore_interrupts: bool = False) -> None:
    """Clone what is committed, install it, run the README's test command there, and write the record."""
    clone = Path(session.create_tmp()).resolve() / "course"
    shutil.rmtree(clone, ignore_errors=True)
    session.run_install("git", "clone", "--quiet", str(ROOT), str(clone), external=True)
    with session.chdir(clone):
        session.install(*how, "-e", ".[site,browser]", "-r", "requirements.txt")
        before = signal.signal(signal.SIGINT, signal.SIG_IGN) if ignore_interrupts else None
        try:
            said = session.run("pytest", *session.posargs, env=ENVIRONMENT, silent=True, success_codes=range(6))
        finally:
            if before is not None:
                signal.signal(signal.SIGINT, before)
        if said is None:  # --install-only
            return
        print(said[-6000:])
        verdict = said.strip().splitlines()[-1].strip("= ")
        if not session.posargs:
            note(session, name or session.name, verdict)
    if not re.search(r"\d+ passed", verdict) or re.search(r"failed|error", verdict):
        session.error(verdict)


def note(session: nox.Session, name: str, verdict: str) -> None:
    """Add a line to the record."""
    said = session.run("uv", "pip", "list", "--format", "json", silent=True, external=True)
    listed = json.loads(said.strip().splitlines()[-1])  # above it may stand where that is
    versions = {package["name"]: package["version"] for package in listed}
    commit = session.run("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD", silent=True, external=True).strip()
    python = session.run("python", "-c", "import platform; print(platform.python_version())", silent=True).strip()
    cells = [str(datetime.date.today()), commit, name, python, *(versions.get(package, "—") for package in SHOWN), verdict]
    if not RECORD.exists():
        head = ["date", "commit", "session", "Python", *SHOWN, "pytest"]
        RECORD.write_text(f"# What the suite has passed with\n\n{row(head)}{row(['---'] * len(head))}", "utf-8")
    with RECORD.open("a", encoding="utf-8") as file:
        file.write(row(cells))


def row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |\n"

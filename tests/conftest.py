"""Unit tests see the reader's settings, not those that the notebooks are tested with (notebooks/conftest.py)."""

import pytest


@pytest.fixture(autouse=True)
def a_reader_at_work(monkeypatch):
    for name in ("MIA_READER", "MIA_STRICT_EXERCISES"):
        monkeypatch.delenv(name, raising=False)

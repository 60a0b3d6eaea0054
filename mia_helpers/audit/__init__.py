"""The audit of anybody's model: `audit(...)` from Python, `python -m mia_helpers.audit outputs.npz` as a gate in CI."""

from mia_helpers.audit.command import main
from mia_helpers.audit.files import load
from mia_helpers.audit.report import AuditReport
from mia_helpers.audit.run import audit
from mia_helpers.audit.settings import References, Settings

__all__ = ["AuditReport", "References", "Settings", "audit", "load", "main"]

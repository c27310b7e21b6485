"""`gitship doctor`: everything that a new server usually has wrong, one line each with the fix."""

from __future__ import annotations

from gitship.doctor.report import Finding, Level, examine, shown

__all__ = ["Finding", "Level", "examine", "shown"]

"""`gitship doctor`: checks a server for common problems and prints a fix for each."""

from __future__ import annotations

from gitship.doctor.report import Finding, Level, examine, shown

__all__ = ["Finding", "Level", "examine", "shown"]

"""Capabilities that an admin has given to an app's containers. Pure.

A release shows what its containers were made with; a new one always has what is granted now, so that a rollback brings
back none that was taken away.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from gitship.deploy import overrides
from gitship.engine.confinement import ADDABLE
from gitship.model import Process


def stored(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """In order; what this version of gitship gives to nobody is left out."""
    there = overrides.below(settings, overrides.CAPABILITY)
    return tuple(sorted(name for name, value in there.items() if value and name in ADDABLE))


def attached(processes: tuple[Process, ...], settings: Mapping[str, Any]) -> tuple[Process, ...]:
    """The processes of a new release with what is granted now."""
    return tuple(dataclasses.replace(process, capabilities=stored(settings)) for process in processes)

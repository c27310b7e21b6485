"""Columns of a listing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a listing and a key of its JSON; ``show`` makes a table's text of the value.

    ``title`` is a table's heading where that is not the key.
    """

    key: str
    about: str
    show: Callable[[Any], str] | None = None
    json_only: bool = False
    title: str = ""

    @property
    def heading(self) -> str:
        """What a table calls it."""
        return self.title or self.key.removesuffix("_at").removesuffix("_bytes").replace("_", " ")

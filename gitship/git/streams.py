"""Interfaces of a client connection's streams."""

from __future__ import annotations

from typing import Protocol


class ByteSource(Protocol):
    """``read`` returns at most ``size`` bytes as soon as any are there, b"" at the end. Raises OSError."""

    def read(self, size: int, /) -> bytes: ...


class ByteSink(Protocol):
    """``write`` sends all of ``data``. Raises OSError when the client has gone."""

    def write(self, data: bytes, /) -> int: ...

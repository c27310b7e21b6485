"""Minimal protobuf wire format, for BuildKit's messages."""

from __future__ import annotations

from typing import Any

Message = dict[int, list[Any]]


def fields(data: bytes) -> Message:
    """{field: [values]}; numbers as int, everything else as bytes. Raises ValueError when it is no message."""
    found: Message = {}
    at = 0
    try:
        while at < len(data):
            key, at = _varint(data, at)
            number, kind = key >> 3, key & 7
            value: int | bytes
            if kind == 0:
                value, at = _varint(data, at)
            elif kind in (1, 2, 5):
                size = {1: 8, 5: 4}.get(kind, 0)
                if kind == 2:
                    size, at = _varint(data, at)
                if at + size > len(data):
                    raise IndexError
                value, at = data[at : at + size], at + size
            else:
                raise IndexError
            found.setdefault(number, []).append(value)
    except IndexError:
        raise ValueError("not a protobuf message") from None
    return found


def number(field: int, value: int) -> bytes:
    """A field with a number of 0 or more."""
    return varint(field << 3) + varint(value)


def data(field: int, value: bytes) -> bytes:
    """A field with bytes, text or a message."""
    return varint(field << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    """A number of 0 or more, seven bits a byte, the lowest first."""
    if value < 0x80:
        return bytes((value,))
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at

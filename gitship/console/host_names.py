"""Parser of host names, including ``*.example.com``."""

from __future__ import annotations

import idna

from gitship.errors import UsageError
from gitship.model import DOMAIN_NAME, WILDCARD


def domain_name(text: str) -> str:
    """``text`` as DNS knows it: lower-case, without a final dot, other scripts than Latin in punycode (IDNA 2008).

    Raises UsageError.
    """
    hint = "give a host name alone, for instance shop.example.com"
    name = text.strip().removesuffix(".")
    if "*" in name:
        raise UsageError(f"'{text[:80]}' is a wildcard, not a host name", "* may only be the first label")
    if "/" in name or ":" in name:
        raise UsageError(f"'{text[:80]}' is not only a host name", f"{hint}, without http://, port or path")
    try:
        name = name.lower() if name.isascii() else idna.encode(name, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise UsageError(f"'{text[:80]}' is not a host name: {error}", hint) from None
    if not DOMAIN_NAME.fullmatch(name):
        raise UsageError(f"'{text[:80]}' is not a host name", hint)
    if name.rpartition(".")[2].isdigit():  # the last label of a name is never a number (RFC 3696, section 2)
        raise UsageError(f"'{text[:80]}' is an address, not a host name", hint)
    return name


def domain_pattern(text: str) -> str:
    """As ``domain_name``; the first label may be ``*``. Raises UsageError."""
    text = text.strip()
    if not text.startswith(WILDCARD):
        return domain_name(text)
    parent = domain_name(text.removeprefix(WILDCARD))
    if "." not in parent and parent != "localhost":
        raise UsageError(f"'{text[:80]}' would match every name below .{parent}", "for instance *.example.com")
    return WILDCARD + parent

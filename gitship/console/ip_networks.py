"""Parser of networks: ``10.0.0.0/8``, ``2001:db8::/32``, or a single address."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Network, ip_interface

from gitship.errors import Conflict, UsageError

MOST_NETWORKS = 500


def networks(words: Iterable[str]) -> tuple[str, ...]:
    """Each once, in its shortest form, in the order given. Raises UsageError."""
    return tuple(dict.fromkeys(network(word) for word in words))


def network(text: str) -> str:
    """``text`` as ``address/bits``. Raises UsageError."""
    hint = "give addresses or networks, for instance 203.0.113.7, 10.0.0.0/8 or 2001:db8::/32"
    try:
        if "%" in text:
            raise ValueError("leave out the interface's name")
        found = ip_interface(text.strip())
    except ValueError:
        raise UsageError(f"'{text[:80]}' is not an address or network", hint) from None
    whole = found.network
    if found.ip != whole.network_address:
        raise UsageError(f"{text[:80]} is an address, not a network", f"give {whole}, or {found.ip} alone")
    if isinstance(whole, IPv6Network) and whole.network_address.ipv4_mapped is not None:
        raise UsageError(f"{text[:80]} is an IPv4 address in IPv6 form", f"give {whole.network_address.ipv4_mapped}")
    return str(whole)


def within_limit(wanted: tuple[str, ...]) -> tuple[str, ...]:
    """``wanted``. Raises Conflict when it is more than an app may have."""
    if len(wanted) > MOST_NETWORKS:
        raise Conflict(f"more than {MOST_NETWORKS} networks", "use larger networks")
    return wanted

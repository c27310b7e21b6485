"""Table of certificates by host name, as files and text for haproxy.

An entry's name tells its whole content, and an entry never changes: what is new gets a new name, is added first, and
the old one is removed after it. So no visitor ever meets a host without its certificate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

DEFAULT = "default.pem"  # first in the list: what visitors of unknown hosts are shown
# haproxy reads a command into one buffer (BUFFER_BYTES), in which a certificate or an entry's hosts have to fit. Even
# 16 KiB, its default, is more than visitors get in the first round trip of a connection (RFC 6928: ten packets).
LARGEST_PEM_BYTES = 15_000
HOSTS_PER_ENTRY = 50


@dataclass(frozen=True, slots=True)
class ServedCertificate:
    """``pem`` (certificate, chain, key) is shown for ``hosts``; ``owner`` is a word for whoever looks at the files."""

    owner: str
    pem: str
    hosts: tuple[str, ...]

    @property
    def name(self) -> str:
        digest = hashlib.sha256("\n".join([self.pem, *self.hosts]).encode()).hexdigest()
        return f"{self.owner}-{digest[:16]}.pem"


def entries(owner: str, pem: str, hosts: Iterable[str]) -> list[ServedCertificate]:
    """One certificate for any number of hosts."""
    ordered = sorted(hosts)
    parts = [ordered[start : start + HOSTS_PER_ENTRY] for start in range(0, len(ordered), HOSTS_PER_ENTRY)]
    return [ServedCertificate(owner, pem, tuple(part)) for part in parts]


def crt_list(directory: str, entries: Iterable[ServedCertificate]) -> str:
    """The file that haproxy reads at its start."""
    lines = [f"{directory}/{DEFAULT}", *sorted(line(directory, entry) for entry in entries)]
    return "\n".join(lines) + "\n"


def line(directory: str, entry: ServedCertificate) -> str:
    """``/dir/shop-0123.pem shop.example.com *.example.net``."""
    return " ".join([f"{directory}/{entry.name}", *entry.hosts])


def names_in(shown: str, directory: str) -> list[str]:
    """The entries in haproxy's answer to `show ssl crt-list`, without the default."""
    names = [row.split()[0].partition(":")[0] for row in shown.splitlines() if row.startswith(f"{directory}/")]
    own = [name.removeprefix(f"{directory}/") for name in names]
    return [name for name in own if name != DEFAULT]

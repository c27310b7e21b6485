"""Checks the machine's firewall: ufw (Debian, Ubuntu) and firewalld (the RHEL family).

What a provider's firewall in front of the machine lets in cannot be told from inside.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator

from gitship.config import Settings
from gitship.doctor.report import Finding, ok, warn
from gitship.front.haproxy import Haproxy

ASK_S = 10.0
SERVICES = {22: "ssh", 80: "http", 443: "https"}  # firewalld's names


def firewall(settings: Settings) -> Iterator[Finding]:
    wanted = [settings.http.listen.port, settings.ssh.listen.port]
    if Haproxy(settings.tls_dir).pid() is not None:
        wanted.append(settings.https.listen.port)
    wanted = [port for port in wanted if port]
    asked = False
    for name, closed, fix in (("ufw", _ufw, "ufw allow {}/tcp"), ("firewalld", _firewalld, FIREWALLD_FIX)):
        found = closed(wanted)
        if found is None:
            continue
        asked = True
        for port in found:
            yield warn("firewall", f"{name} blocks port {port}", fix.format(port))
        if not found:
            yield ok("firewall", f"{name} allows visitors and pushes")
    if not asked:
        yield ok(
            "firewall", "neither ufw nor firewalld is active; your provider's firewall must allow visitors and pushes"
        )


FIREWALLD_FIX = "firewall-cmd --permanent --add-port={}/tcp && firewall-cmd --reload"


def _said(*command: str) -> str | None:
    """What it printed; None when it isn't there, or did not do what it was asked."""
    program = shutil.which(command[0])
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, *command[1:]], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ASK_S,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _ufw(ports: list[int]) -> list[int] | None:
    """Those of the ports that it keeps closed; None when it is off or not there. `80,443/tcp  ALLOW IN  Anywhere`"""
    said = _said("ufw", "status", "verbose")
    if said is None or "Status: active" not in said:
        return None
    if "Default: allow (incoming)" in said:
        return []
    lines = [re.split(r"\s{2,}", line) for line in said.splitlines()]
    opened = [line[0] for line in lines if len(line) > 1 and line[1] in ("ALLOW IN", "LIMIT IN")]
    return [port for port in ports if not any(_covers(what, port) for what in opened)]


def _firewalld(ports: list[int]) -> list[int] | None:
    """The same, of its default zone: `80/tcp 8000-8100/tcp`, and services by name."""
    said = _said("firewall-cmd", "--list-all")
    if said is None:
        return None
    fields = dict(re.findall(r"^ +(target|services|ports): (.*)$", said, re.MULTILINE))
    if fields.get("target") == "ACCEPT":
        return []
    services, opened = fields.get("services", "").split(), fields.get("ports", "").split()
    return [p for p in ports if SERVICES.get(p) not in services and not any(_covers(what, p) for what in opened)]


def _covers(what: str, port: int) -> bool:
    """True for `80`, `80/tcp`, `80,443/tcp`, `80:90/tcp`, `80-90/tcp`; false for UDP and for names."""
    numbers, _, protocol = what.removesuffix(" (v6)").partition("/")
    if protocol not in ("", "tcp"):
        return False
    for part in numbers.split(","):
        ends = re.fullmatch(r"(\d+)(?:[:-](\d+))?", part)
        if ends and int(ends[1]) <= port <= int(ends[2] or ends[1]):
            return True
    return False

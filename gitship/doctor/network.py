"""Checks DNS records, ports and the firewall rules."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress

from gitship.config import Settings
from gitship.config_values import Address
from gitship.doctor.firewalls import firewall
from gitship.doctor.report import Finding, Look, fail, ok, warn
from gitship.engine import types
from gitship.engine.docker import DockerEngine
from gitship.engine.firewall import missing, rules_of, wanted
from gitship.errors import GitshipError
from gitship.front.haproxy import Haproxy
from gitship.front.tcp_ports import holder, is_ours
from gitship.front.varnishd import Varnishd
from gitship.routing.hostnames import directly_below
from gitship.store import integrity

ANSWER_S = 2.0
PROBE_LABEL = "gitship-doctor"  # any name below the domain has to lead here


def dns(settings: Settings) -> Iterator[Finding]:
    domain = settings.domain
    if domain == "localhost":
        yield warn(
            "dns", "apps answer at <app>.localhost, which works only on this machine", 'set domain = "your.domain"'
        )
        return
    name = f"{PROBE_LABEL}.{domain}"
    try:
        found = sorted({str(info[4][0]) for info in socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)})
    except OSError:
        yield fail(
            "dns", f"*.{domain} has no address", f"add DNS records: {domain} and *.{domain}, A <this server's address>"
        )
        return
    here = [address for address in found if is_ours(address)]
    if here:
        yield ok("dns", f"*.{domain} resolves to {', '.join(here)}")
    else:
        yield warn(
            "dns", f"*.{domain} resolves to {', '.join(found)}, which is not an address of this machine",
            "fine behind a router or load balancer; else fix the DNS record",
        )  # fmt: skip
    try:
        socket.getaddrinfo(domain, settings.ssh.listen.port)
    except OSError:  # a wildcard says nothing of the name itself
        yield warn(
            "dns", f"{domain} itself has no address: nobody can push to deploy@{domain}",
            f"add a DNS record: {domain} A <this server's address>",
        )  # fmt: skip


def names(settings: Settings) -> Iterator[Finding]:
    """Domains from before names directly below the server's own belonged to apps."""
    if not settings.database.exists():
        return
    with integrity.opened(settings.database) as db:
        apps = {name for (name,) in db.execute("SELECT name FROM apps")}
        rows = db.execute("SELECT d.name, a.name FROM domains d JOIN apps a ON a.id = d.app_id ORDER BY 1").fetchall()
    found = [(name, app) for name, app in rows if directly_below(name, settings.domain)]
    for name, app in found:
        label = directly_below(name, settings.domain)
        fix = f"domains:remove {app} {name}"
        if label in apps:
            yield fail("names", f"{name}, a domain of {app}, routes to the app {label}, not to {app}", fix)
        else:
            text = (
                f"{name}, a domain of {app}, is directly below {settings.domain}, where each name belongs to "
                "the app of that name"
            )
            yield warn("names", text, f"{fix}, then an app may be called {label}")
    if rows and not found:
        yield ok("names", f"no domain conflicts with an app's name below {settings.domain}")


def ports(settings: Settings) -> Iterator[Finding]:
    """Each is free, or held by gitship's own server, Varnish or haproxy."""
    varnish = Varnishd(settings.varnish_dir).pid() is not None
    serves = _speaks_ssh(settings.ssh.listen)
    for key, listen, ours in (
        ("http", settings.http.listen, varnish),
        ("ssh", settings.ssh.listen, serves),
        ("web", settings.web.listen, serves),
        ("https", settings.https.listen, Haproxy(settings.tls_dir).pid() is not None),
    ):
        who = holder(listen.port) if listen.port else None
        if who is None:
            yield ok(key, f"{listen} is free")
        elif ours:
            yield ok(key, f"{listen} is served by {who}")
        else:
            yield fail(key, f"port {listen.port} is held by {who}", f"end that program, or change [{key}] listen")


def _speaks_ssh(listen: Address) -> bool:
    """True when gitship's own front door answers there."""
    host = "127.0.0.1" if listen.host in ("0.0.0.0", "::", "") else listen.host  # noqa: S104
    try:
        with socket.create_connection((host, listen.port), ANSWER_S) as connection:
            connection.settimeout(ANSWER_S)
            return b"gitship_" in connection.recv(255)
    except OSError:
        return False


def guard(settings: Settings) -> Iterator[Finding]:
    """The firewall's rules for containers; a running server puts them back within a minute."""
    if not settings.docker.firewall:
        yield warn(
            "guard", "apps may reach a cloud's metadata and gitship's own ports", "set firewall = true in [docker]"
        )
        return
    if not wanted(settings):
        yield warn("guard", "Docker is on another machine, where gitship sets no firewall rules", "see `help security`")
        return
    if not settings.database.exists() or not _speaks_ssh(settings.ssh.listen):
        yield ok("guard", "`gitship serve` adds the rules")
        return
    try:
        rules = rules_of(settings, _server_id(settings))
        lost = missing(rules)
    except GitshipError as error:
        yield warn("guard", f"apps may reach blocked addresses: {error.message}", error.hint)
        return
    if lost:
        yield warn(
            "guard", f"not there: {lost[0]}",
            "gitship restores it within a minute, unless it runs without CAP_NET_ADMIN (its unit has it)",
        )  # fmt: skip
    else:
        yield ok("guard", "apps and builds cannot reach metadata services or gitship's private ports")
    for name in _with_ipv6(settings, rules.server_id):
        yield warn(
            "guard", f"the network {name} has IPv6, which the rules do not cover",
            'remove "ipv6" and similar options from /etc/docker/daemon.json',
        )  # fmt: skip
    if not rules.engine:
        yield warn(
            "guard", "a Dockerfile's `ADD http://...` reaches what Docker itself does, a cloud's metadata too",
            "run Docker as a service of its own (systemd, control groups of version 2)",
        )  # fmt: skip


def _with_ipv6(settings: Settings, server_id: str) -> list[str]:
    with suppress(GitshipError):  # a Docker that does not answer is told elsewhere
        engine = DockerEngine(settings.docker.host, builder=settings.docker.builder)
        return engine.networks_with_ipv6({types.LABEL_SERVER: server_id})
    return []


def _server_id(settings: Settings) -> str:
    """Read without a lock that the running server would feel."""
    with closing(sqlite3.connect(f"file:{settings.database}?mode=ro", uri=True, timeout=5)) as db:
        row = db.execute("SELECT value FROM meta WHERE key = 'server_id'").fetchone()
    return str(row[0]) if row else ""


LOOKS: tuple[tuple[str, Look], ...] = (
    ("dns", dns),
    ("names", names),
    ("ports", ports),
    ("firewall", firewall),
    ("guard", guard),
)

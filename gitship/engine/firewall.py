"""Installs, checks and removes the iptables rules of ``firewall_rules``.

By the `iptables` command, as Docker does it, so that both use the same of its two kinds (legacy, nft). A chain of its
own for each server; whatever else is in the tables stays as it is.
"""

from __future__ import annotations

import logging
import os
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress

from gitship.config import Settings
from gitship.engine import engine_cgroup
from gitship.engine.docker_host import is_here
from gitship.engine.firewall_rules import DOCKER_USER, FORWARD, FirewallRules
from gitship.errors import EngineError, GitshipError

log = logging.getLogger("gitship.firewall")
LOCK_WAIT_S = 5  # for the lock of the tables, which Docker takes as well
COMMAND_S = 20.0
EVERY_S = 60.0  # another firewall's reload empties the tables
OF_ROOT = "the legacy kind of iptables wants root: update-alternatives --set iptables /usr/sbin/iptables-nft"
HINT = "run gitship as root (with CAP_NET_ADMIN) where iptables is, or set firewall = false in [docker]"


class Firewall:
    """``rules`` is asked each time, since Docker's bridge may be known only later."""

    def __init__(self, rules: Callable[[], FirewallRules]) -> None:
        self._rules = rules
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._told = ""

    def start(self) -> None:
        """The rules are there when it returns, unless the log says why not; then they are looked after."""
        self._keep()
        self._thread = threading.Thread(target=self._run, name="firewall", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """The rules stay: the containers do, too."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(COMMAND_S)

    def _run(self) -> None:
        while not self._ended.wait(EVERY_S):
            self._keep()

    def _keep(self) -> None:
        try:
            ensure(self._rules())
        except EngineError as error:
            if error.message != self._told:
                log.warning("apps can reach what they should not: %s; %s", error.message, error.hint)
            self._told = error.message
        else:
            self._told = ""


def wanted(settings: Settings) -> bool:
    """False when it is switched off, and when the containers are on another machine."""
    return settings.docker.firewall and is_here(settings.docker.host)


def rules_of(settings: Settings, server_id: str, default_bridge: Callable[[], str] = str) -> FirewallRules:
    """Those that these settings want; when Docker's ``default_bridge`` cannot be told, builds are left out."""
    bridge = ""
    with suppress(GitshipError):
        bridge = default_bridge()
    group = engine_cgroup.find(settings.docker.host) if wanted(settings) else ""
    ports = [settings.ssh.listen.port, settings.web.listen.port]
    return FirewallRules(server_id, settings.docker.address_pool, bridge, [port for port in ports if port], group)


def ensure(rules: FirewallRules) -> None:
    """Nothing changes when all is there. Raises EngineError."""
    _put(rules.text(), rules.jumps(_passing()))
    if rules.engine:
        _put(rules.engine_text(), rules.engine_jumps())


def _put(text: str, jumps: list[tuple[str, ...]]) -> None:
    _checked("iptables-restore", "--noflush", "-w", str(LOCK_WAIT_S), text=text)
    for jump in jumps:
        if not _run("iptables", "-C", *jump):
            _checked("iptables", "-I", *jump)


def missing(rules: FirewallRules) -> list[str]:
    """Rules that are not there, as people would type them. Raises EngineError when that cannot be seen."""
    _checked("iptables", "-S", FORWARD)
    jumps = [*rules.jumps(_passing()), *(rules.engine_jumps() if rules.engine else ())]
    return [f"iptables -I {' '.join(jump)}" for jump in jumps if not _run("iptables", "-C", *jump)]


def remove(rules: FirewallRules) -> None:
    """Takes away what ``ensure`` has made, for whichever bridge; nothing happens when nothing is there."""
    for chain in (rules.to_machine, rules.through, rules.outgoing):
        if not _run("iptables", "-S", chain):
            continue
        for rule in _checked("iptables", "-S").splitlines():
            words = rule.split()
            if words[:1] == ["-A"] and words[-2:] == ["-j", chain]:
                _run("iptables", "-D", *words[1:])
        _run("iptables", "-F", chain)
        _run("iptables", "-X", chain)


def _passing() -> str:
    """Docker asks DOCKER-USER first, and never touches it; an engine without iptables does not have it."""
    return DOCKER_USER if _run("iptables", "-S", DOCKER_USER) else FORWARD


def _run(*command: str) -> bool:
    try:
        _checked(*command)
    except EngineError:
        return False
    return True


def _checked(program: str, *arguments: str, text: str = "") -> str:
    command = [program, *(() if text else ("-w", str(LOCK_WAIT_S))), *arguments]
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    except FileNotFoundError:
        raise EngineError(f"{program} is not installed", "apt-get install iptables") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"{program} does not run: {error}", HINT) from None
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no reason"])[0]
        legacy = "(legacy)" in said or "xtables.lock" in said
        raise EngineError(
            f"{' '.join([program, *arguments])[:200]}: {said[:200]}", OF_ROOT if legacy and os.geteuid() else HINT
        )
    return done.stdout

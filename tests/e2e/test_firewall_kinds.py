"""The firewall with each kind of iptables, with and without root, and what there is of IPv6.

Rules are put into network namespaces of the tests' own: the machine's stay as they are. Who is not root reads a copy of
gitship: the checkout may be where only its owner may go.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import apps
from tests.e2e.apps import clean_env
from tests.e2e.dockerd import own_engine
from tests.e2e.harness import Server, running

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        os.geteuid() != 0 or not all(map(shutil.which, ("iptables-nft", "iptables-legacy", "unshare", "setpriv"))),
        reason="no namespaces, or not both kinds of iptables",
    ),
]
ROOT = Path(__file__).parents[2]
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
AS_THE_UNIT = (*NOBODY, "--inh-caps=+net_admin", "--ambient-caps=+net_admin")
BUSYBOX = "/bin/busybox"
SCRIPT = """
from ipaddress import IPv4Network
from gitship.engine import firewall
from gitship.engine.firewall_rules import FirewallRules
from gitship.errors import EngineError

rules = FirewallRules("0123456789ab", IPv4Network("10.231.0.0/16"), "docker0", [2222, 8484])
try:
    firewall.ensure(rules)
    firewall.ensure(rules)
    print("missing", firewall.missing(rules))
    print("rules", firewall._checked("iptables", "-S").count("GITSHIP"))
    firewall.remove(rules)
    print("left", firewall._checked("iptables", "-S").count("GITSHIP"))
except EngineError as error:
    print(f"{error.message}; {error.hint}")
"""
DONE = ["missing []", "rules 10", "left 0"]


@pytest.fixture
def put(base: Path) -> Callable[..., list[str]]:
    """``put(kind, *as_whom)``: the rules, twice, and away again; what was said."""
    base.chmod(0o755)
    shutil.copytree(ROOT / "gitship", base / "gitship", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["chmod", "-R", "a+rX", base / "gitship"], check=True, timeout=30)

    def run(kind: str, *as_whom: str) -> list[str]:
        programs = base / kind
        programs.mkdir()
        for name in ("iptables", "iptables-restore"):
            found = shutil.which(name.replace("iptables", f"iptables-{kind}"))
            assert found
            (programs / name).symlink_to(found)
        done = subprocess.run(
            ["unshare", "-n", *as_whom, sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120,
            cwd=base, env=clean_env(PATH=f"{programs}:{os.environ['PATH']}", PYTHONPATH=""), check=False,
        )  # fmt: skip
        return done.stdout.splitlines() or [done.stderr]

    return run


@pytest.mark.parametrize("kind", ["nft", "legacy"])
def test_both_kinds_take_the_rules(put: Callable[..., list[str]], kind: str) -> None:
    assert put(kind) == DONE


def test_the_unit_needs_no_root_with_nft(put: Callable[..., list[str]]) -> None:
    assert put("nft", *AS_THE_UNIT) == DONE


def test_with_the_legacy_kind_it_says_what_to_do(put: Callable[..., list[str]]) -> None:
    [said] = put("legacy", *AS_THE_UNIT)
    assert "update-alternatives --set iptables /usr/sbin/iptables-nft" in said


def test_without_the_capability_it_says_so(put: Callable[..., list[str]]) -> None:
    [said] = put("nft", *NOBODY)
    assert "CAP_NET_ADMIN" in said and "firewall = false" in said


def test_neither_an_app_nor_a_build_has_ipv6(server: Server, base: Path) -> None:
    repository = apps.busybox(base / "six")
    said = "echo build has `wc -l < /proc/net/if_inet6` addresses"
    show = f'RUN ["{BUSYBOX}", "sh", "-c", "{said}; : {uuid.uuid4()}"]'  # not from the cache of an earlier run
    text = (repository / "Dockerfile").read_text().replace("EXPOSE", f"{show}\nEXPOSE", 1)
    apps.commit(repository, "Looks", {"Dockerfile": text})
    server.push_ok(repository, "six")
    assert "build has 0 addresses" in server.ssh("logs:deploy", "six").stdout
    inside = server.ssh("enter", "six", "web", BUSYBOX, "wc", "-l", "/proc/net/if_inet6")
    assert re.match(r"0 ", inside.stdout), inside
    assert "has IPv6" not in server.gitship("doctor").stdout


def test_where_docker_gives_builds_ipv6_the_doctor_says_what_is_open(base: Path) -> None:
    options = ("--ipv6", "--fixed-cidr-v6=fd00:6765:7473::/64")
    with (
        own_engine(beside_another=True, options=options) as engine,
        running(base / "server", engine.host, lambda: False) as server,
    ):
        assert "the network bridge has IPv6" in server.gitship("doctor").stdout

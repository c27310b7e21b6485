"""The firewall's rules as text, and where they are put."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from gitship.config import parse
from gitship.engine import firewall
from gitship.engine.firewall_rules import FirewallRules
from gitship.errors import EngineError

pytestmark = pytest.mark.clients
RULES = FirewallRules("0123456789ab", IPv4Network("10.231.0.0/16"), "docker0", [2222, 8484, 2222])


def test_the_chains_are_made_anew_in_one_step() -> None:
    assert RULES.text() == (
        "*filter\n"
        ":GITSHIP-0123456789ab-IN - [0:0]\n"
        ":GITSHIP-0123456789ab-FWD - [0:0]\n"
        "-A GITSHIP-0123456789ab-IN -d 169.254.0.0/16 -j REJECT\n"
        "-A GITSHIP-0123456789ab-FWD -d 169.254.0.0/16 -j REJECT\n"
        "-A GITSHIP-0123456789ab-IN -p tcp --syn --dport 2222 -j REJECT --reject-with tcp-reset\n"
        "-A GITSHIP-0123456789ab-IN -p tcp --syn --dport 8484 -j REJECT --reject-with tcp-reset\n"
        "COMMIT\n"
    )
    assert max(len(RULES.to_machine), len(RULES.through)) <= 28


def test_apps_and_builds_are_led_into_them_and_nobody_else() -> None:
    assert RULES.jumps("DOCKER-USER") == [
        ("INPUT", "-s", "10.231.0.0/16", "-j", "GITSHIP-0123456789ab-IN"),
        ("INPUT", "-i", "docker0", "-j", "GITSHIP-0123456789ab-IN"),
        ("DOCKER-USER", "-s", "10.231.0.0/16", "-j", "GITSHIP-0123456789ab-FWD"),
        ("DOCKER-USER", "-i", "docker0", "-j", "GITSHIP-0123456789ab-FWD"),
    ]
    assert len(FirewallRules("a", IPv4Network("10.0.0.0/8"), "", []).jumps("FORWARD")) == 2


def test_what_the_engine_fetches_itself_is_told_by_its_control_group() -> None:
    rules = replace(RULES, engine="system.slice/docker.service")
    of_engine = "-A GITSHIP-0123456789ab-OUT -m cgroup --path system.slice/docker.service -p tcp"
    assert rules.engine_text() == (
        "*filter\n"
        ":GITSHIP-0123456789ab-OUT - [0:0]\n"
        f"{of_engine} -d 169.254.0.0/16 ! --dport 53 -j REJECT --reject-with tcp-reset\n"
        f"{of_engine} -o lo --syn --dport 2222 -j REJECT --reject-with tcp-reset\n"
        f"{of_engine} -o lo --syn --dport 8484 -j REJECT --reject-with tcp-reset\n"
        "COMMIT\n"
    )
    assert all("--syn" in jump and jump[0] == "OUTPUT" for jump in rules.engine_jumps())
    assert (rules.text(), rules.jumps("FORWARD")) == (RULES.text(), RULES.jumps("FORWARD"))


def test_visitors_ports_stay_open() -> None:
    settings = parse('[http]\nlisten = "0.0.0.0:80"\n[ssh]\nlisten = "0.0.0.0:22"\n')
    assert list(firewall.rules_of(settings, "a").ports) == [22, 8484]


def test_it_is_not_wanted_where_it_is_off_or_docker_is_elsewhere() -> None:
    assert firewall.wanted(parse(""))
    assert not firewall.wanted(parse("[docker]\nfirewall = false"))
    assert not firewall.wanted(parse('[docker]\nhost = "tcp://192.0.2.1:2375"'))


def test_without_iptables_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for action in (firewall.ensure, firewall.missing):
        with pytest.raises(EngineError, match="is not installed") as caught:
            action(RULES)
        assert caught.value.hint
    firewall.remove(RULES)

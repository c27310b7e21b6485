"""What ufw 0.36 and firewalld 1.3 print (taken from a Debian 12 that had both), and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitship.config import Settings, load
from gitship.doctor import Level
from gitship.doctor.firewalls import firewall

pytestmark = pytest.mark.clients

UFW = """\
Status: active
Logging: on (low)
Default: deny (incoming), allow (outgoing), deny (routed)
New profiles: skip

To                         Action      From
--                         ------      ----
80/tcp                     ALLOW IN    Anywhere                  
2223/tcp                   LIMIT IN    Anywhere                  
7000:8100/tcp              ALLOW IN    Anywhere                  
443,8443/tcp               ALLOW IN    Anywhere                  
53/udp                     ALLOW IN    Anywhere                  
99/tcp                     DENY IN     Anywhere                  
98/tcp                     ALLOW IN    10.0.0.0/8                
2224 (v6)                  ALLOW IN    Anywhere (v6)             

25/tcp                     ALLOW OUT   Anywhere                  
"""  # noqa: W291
FIREWALLD = """\
public
  target: default
  icmp-block-inversion: no
  interfaces: 
  sources: 
  services: dhcpv6-client http ssh
  ports: 2222/tcp 8000-8100/tcp 53/udp
  protocols: 
  forward: yes
  masquerade: no
  forward-ports: 
  source-ports: 
  icmp-blocks: 
  rich rules: 
"""  # noqa: W291


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the programs are that the machine has."""
    place = tmp_path / "bin"
    place.mkdir()
    monkeypatch.setenv("PATH", str(place))
    return place


def has(path: Path, name: str, said: str, code: int = 0) -> None:
    (path / name).write_text(f"#!/bin/sh\n/bin/cat <<'END'\n{said}END\nexit {code}\n")
    (path / name).chmod(0o755)


def settings(path: Path, http: int, ssh: int) -> Settings:
    file = path.parent / "gitship.toml"
    file.write_text(f'data_dir = "{path.parent}"\nhttp.listen = "0.0.0.0:{http}"\nssh.listen = "0.0.0.0:{ssh}"\n')
    return load(file)


def closed(path: Path, *ports: int) -> list[str]:
    """What is wrong, of each of the ports asked about."""
    texts = []
    for port in ports:
        found = [f for f in firewall(settings(path, port, port)) if f.level is not Level.OK]
        assert all(f.level is Level.WARN for f in found)
        assert len({f.text for f in found}) <= 1
        texts += [f.fix for f in found[:1]]
    return texts


def test_without_a_firewall_of_its_own_the_providers_is_named(path: Path) -> None:
    [finding] = firewall(settings(path, 80, 2222))
    assert finding.level is Level.OK
    assert "your provider's" in finding.text
    has(path, "ufw", "Status: inactive\n")
    has(path, "firewall-cmd", "FirewallD is not running\n", code=252)
    assert list(firewall(settings(path, 80, 2222))) == [finding]


def test_what_ufw_keeps_closed_is_named_with_the_command_that_opens_it(path: Path) -> None:
    has(path, "ufw", UFW)
    assert closed(path, 80, 443, 8443, 7000, 8080, 8100, 2223, 2224, 98) == []
    assert closed(path, 25, 53, 99, 8, 8101) == [f"ufw allow {port}/tcp" for port in (25, 53, 99, 8, 8101)]
    assert [f.text for f in firewall(settings(path, 80, 2222))] == ["ufw blocks port 2222"]
    assert [f.text for f in firewall(settings(path, 80, 443))] == ["ufw allows visitors and pushes"]
    has(path, "ufw", UFW.replace("deny (incoming)", "allow (incoming)"))
    assert closed(path, 25, 99) == []


def test_what_firewalld_keeps_closed_is_named_with_the_command_that_opens_it(path: Path) -> None:
    has(path, "firewall-cmd", FIREWALLD)
    assert closed(path, 22, 80, 2222, 8000, 8100) == []
    assert [fix.split()[2] for fix in closed(path, 443, 53, 8101)] == [
        f"--add-port={port}/tcp" for port in (443, 53, 8101)
    ]
    has(path, "firewall-cmd", FIREWALLD.replace("target: default", "target: ACCEPT"))
    assert closed(path, 443, 53) == []

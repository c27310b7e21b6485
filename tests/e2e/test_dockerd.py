"""The tests' own engines leave nothing on the machine: also those that do not start."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e import docker_cli
from tests.e2e.dockerd import OwnEngine, answers, own_engine
from tests.e2e.engine.context import BASE, context
from tests.e2e.engine.isolated_docker import isolated_engine
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
KINDS = pytest.mark.parametrize("docker", ["", "forky"])


def traces(base: Path) -> list[str]:
    """What there is of an engine that had this directory."""
    found = [f"directory {base}"] if base.exists() else []
    links = subprocess.run(["ip", "-j", "link"], capture_output=True, text=True, check=True, timeout=10).stdout
    found += [link["ifname"] for link in json.loads(links) if base.name[-8:] in link["ifname"]]
    found += [line for line in Path("/proc/mounts").read_text().splitlines() if f"{base}/" in line]
    saved = subprocess.run(["iptables-save"], capture_output=True, text=True, check=True, timeout=10).stdout
    found += [f"rule {line}" for line in saved.splitlines() if base.name[-8:] in line]
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = place.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"{base}/" in line:
            found.append(f"process {place.parent.name}: {line}")
    return found


@KINDS
def test_an_engine_that_does_not_start_leaves_nothing(docker: str) -> None:
    bases: list[Path] = []

    class Noted(OwnEngine):
        def start(self) -> None:
            bases.append(self.base)
            super().start()

    with (
        pytest.raises(AssertionError, match="nonsense"),
        own_engine(beside_another=True, docker=docker, options=("--log-level=nonsense",), kind=Noted),
    ):
        pytest.fail("it started")
    assert traces(bases[0]) == []


@KINDS
def test_an_engine_with_containers_leaves_nothing(docker: str) -> None:
    with own_engine(beside_another=True, docker=docker) as own:
        docker_cli.docker(own.host, "build", "-t", "x", "-", stdin=b"".join(context(BASE)))
        docker_cli.docker(own.host, "run", "-d", "x", "/bin/busybox", "sleep", "300")
        assert traces(own.base)
        own.kill9()
    assert traces(own.base) == []


def test_an_isolated_engine_leaves_nothing() -> None:
    with isolated_engine() as own:
        assert answers(own.host)
    wait_until(lambda: traces(own.base) == [], 10, "it is gone")

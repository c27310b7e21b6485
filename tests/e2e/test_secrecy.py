"""Where a config value may stand, and where not; and how one request is found again in everything that it left."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import pytest

from tests.e2e import apps, docker_cli
from tests.e2e.commands import ok, shown
from tests.e2e.harness import Server

pytestmark = pytest.mark.e2e
STORE = ("gitship.db", "gitship.db-wal", "gitship.db-shm")  # 0600, and the only place


def files_with(directory: Path, secret: str) -> list[str]:
    return [
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if path.is_file() and not path.is_symlink() and secret.encode() in path.read_bytes()
    ]


def command_lines() -> str:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(file.read_bytes().decode(errors="replace"))
        except OSError:
            continue
    return "\n".join(found)


class Reader:
    """An admin's browser on the status page."""

    def __init__(self, server: Server) -> None:
        self._host = f"127.0.0.1:{server.web_port}"
        self._web = Server(server.base, server.docker_host, http_port=server.web_port)
        link = re.search(r"/sign-in/\S+", ok(server, "web"))
        assert link
        answer = self._web.request(
            self._host, link[0], method="POST", body=b"", headers={"Origin": f"http://{self._host}"}
        )
        assert answer.status == 303, answer
        self._cookie = answer.headers["set-cookie"].partition(";")[0]

    def page(self, path: str) -> str:
        answer = self._web.request(self._host, path, headers={"Cookie": self._cookie})
        assert answer.status == 200, (path, answer)
        return answer.body


def test_a_config_value_is_in_the_store_and_the_container_and_nowhere_else(server: Server, base: Path) -> None:
    secret = f"sentinel{uuid.uuid4().hex}"
    repository = apps.busybox(base / "quiet")
    ok(server, "apps:create", "quiet")
    said = ok(server, "config:set", "quiet", f"FIRST={secret}")
    said += ok(server, "config:import", "quiet", stdin=f"SECOND={secret}\n")
    pushed = server.push_ok(repository, "quiet")
    assert secret in ok(server, "run", "quiet", "/bin/busybox", "env")  # it is there
    for wrong in (
        f"config:set quiet 'THIRD={secret}",
        f"config:sett quiet X={secret}",
        f"config:set nobody X={secret}",
    ):
        refused = server.ssh(wrong)
        assert refused.returncode != 0
    said += ok(server, "config:set", "quiet", f"CRASHES={secret}", "--detach")

    for listing in (
        "config:show quiet", "apps:info quiet", "releases:list quiet", "releases:info quiet 1", "audit",
        "deploys:list quiet", "deploys:info quiet", "logs:deploy quiet", "ps:list quiet",
    ):  # fmt: skip
        said += ok(server, *listing.split())
    reader = Reader(server)
    for path in (
        "/", "/apps/quiet", "/apps/quiet/logs", "/apps/quiet/deploys/1", "/apps/quiet/deploys/1/log", "/metrics",
        "/api/apps", "/api/apps/quiet", "/api/apps/quiet/releases", "/api/apps/quiet/deploys",
    ):  # fmt: skip
        said += reader.page(path)

    assert secret not in said + pushed + server.logs + command_lines()
    assert set(files_with(server.base, secret)) <= {f"data/{name}" for name in STORE}
    image = docker_cli.docker(
        server.docker_host, "inspect", "-f", "{{.Image}}", server.containers("gitship.app=quiet")[0]
    )
    assert secret not in docker_cli.docker(server.docker_host, "history", "--no-trunc", image)
    assert secret not in docker_cli.docker(server.docker_host, "image", "inspect", image)


def test_a_request_is_found_again_from_the_push_to_the_page(server: Server, base: Path) -> None:
    repository = apps.busybox(base / "traced")
    said = server.push_ok(repository, "traced")
    info = shown(server, "deploys:info", "traced")
    request = info["request"]
    assert re.fullmatch(r"[0-9a-f]{8}", request)
    assert re.search(rf"=====> .*, deploy {info['id']}\s*$", said, re.MULTILINE), said
    lines = [line for line in server.logs.splitlines() if f"request={request}" in line]
    for state in ("queued", "building", "starting", "checking", "switching", "live"):
        assert any(f"push {state} [" in line and f"app=traced deploy={info['id']}" in line for line in lines), state
    reader = Reader(server)
    assert request in reader.page("/api/apps/traced/deploys")
    assert request in reader.page(f"/apps/traced/deploys/{info['id']}")

    before = server.logs
    apps.commit(repository, "Broken", {"Dockerfile": "FROM nothing-of-that-name:none\n"})
    failed = server.push(repository, "traced")
    assert failed.returncode != 0
    told = re.search(
        r"v1 keeps serving, unchanged; this was deploy (\d+), request ([0-9a-f]{8})\s*$", failed.stderr, re.M
    )
    assert told, failed.stderr
    new = server.logs.removeprefix(before)
    assert f"deploy={told[1]} request={told[2]}" in new
    assert re.search(r"WARNING gitship.deploy: push failed in building: .* \[.*app=traced deploy=\d+", new), new
    assert "Traceback" not in new

"""Build secrets from config, end to end: they reach their step and nothing else on the machine, whatever happens."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitship.engine import build_cli, build_secrets
from tests.e2e import apps, docker_cli
from tests.e2e.commands import ok, refused, shown
from tests.e2e.harness import Server
from tests.e2e.test_sources import image_of
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e

DOCKERFILE = """\
FROM scratch
COPY busybox /bin/busybox
COPY busybox /bin/sh
RUN --mount=type=secret,id=token,required=true busybox wc -c </run/secrets/token; echo started {word}; {then}
COPY index.html /www/index.html
EXPOSE 8080
CMD ["/bin/busybox", "httpd", "-f", "-v", "-p", "8080", "-h", "/www"]
"""


@pytest.fixture(autouse=True)
def _client(docker_host: str) -> None:
    if build_cli.client(docker_host) is None:
        pytest.skip("no docker command with BuildKit is installed here")


def words(place: str) -> Iterator[bytes]:
    """The words, or the environment, of every process."""
    for file in Path("/proc").glob(f"[0-9]*/{place}"):
        try:
            yield file.read_bytes()
        except OSError:
            continue


def directories(server: Server) -> list[Path]:
    name = f"{build_secrets.prefix(server.server_id())}*"
    return [found for place in build_secrets.PLACES for found in place.glob(name)]


def made(base: Path, name: str, then: str) -> tuple[Path, str]:
    """A repository whose build has the secret in one step, and a word that this step prints."""
    repository, word = apps.busybox(base / name), uuid.uuid4().hex
    apps.commit(repository, "secret", {"Dockerfile": DOCKERFILE.format(word=word, then=then)})
    return repository, word


def test_a_secret_is_in_no_argument_environment_layer_history_or_log(server: Server, base: Path) -> None:
    repository, word = made(base, "secretive", "busybox sleep 3; true")
    secret = uuid.uuid4().hex
    ok(server, "apps:create", "secretive")
    assert server.ssh("config:import", "secretive", stdin=f"NPM_TOKEN={secret}\n").returncode == 0
    assert "needs the build secret 'token'" in server.push(repository, "secretive").stderr
    assert "is not ID=NAME" in refused(server, "builder:set", "secretive", "--secret", f"token={secret[:4]}-x")
    ok(server, "builder:set", "secretive", "--secret", "token=NPM_TOKEN")
    assert {"name": "secret token", "value": "NPM_TOKEN", "source": "config"} in shown(
        server, "builder:show", "secretive"
    )

    push = server.start_push(repository, "secretive")
    wait_until(lambda: any(word.encode() in w for w in words("cmdline")), 60, "the step runs")
    assert not any(secret.encode() in w for place in ("cmdline", "environ") for w in words(place))
    [directory] = directories(server)
    assert directory.stat().st_mode & 0o777 == 0o700
    assert any(secret == file.read_text() for file in directory.iterdir())
    said, _ = push.communicate(timeout=120)
    assert push.returncode == 0, said
    assert server.get("secretive").status == 200 and directories(server) == []

    image = image_of(server, "secretive")
    history = docker_cli.docker(server.docker_host, "history", "--no-trunc", image)
    saved = subprocess.run(
        ["docker", "-H", server.docker_host, "save", image], capture_output=True, timeout=60, check=True
    ).stdout
    logs = [p.read_text() for p in (server.data_dir / "logs").rglob("*.log")]
    assert any(f"{len(secret)}\n" in log and word in log for log in logs)  # the step had it
    assert secret not in history + said + server.logs + "".join(logs)
    assert secret.encode() not in saved
    ok(server, "config:unset", "secretive", "NPM_TOKEN", "--no-restart")
    assert "config, which does not have NPM_TOKEN" in refused(server, "ps:rebuild", "secretive")


def test_a_killed_server_leaves_no_secret_and_no_client(server: Server, base: Path) -> None:
    repository, word = made(base, "killed", "busybox sleep 300; true")
    toml = '[build]\nsecrets = { token = "NPM_TOKEN" }\n'
    apps.commit(repository, "toml", {"gitship.toml": toml})
    ok(server, "apps:create", "killed")
    assert server.ssh("config:import", "killed", stdin="NPM_TOKEN=x\n").returncode == 0
    push = server.start_push(repository, "killed")
    wait_until(lambda: any(word.encode() in w for w in words("cmdline")), 60, "the step runs")
    [directory] = directories(server)
    server.kill9()
    push.communicate(timeout=60)
    server.start()
    assert directories(server) == []
    wait_until(
        lambda: not any(str(directory).encode() in w or word.encode() in w for w in words("cmdline")),
        20,
        "client and step end",
    )
    assert shown(server, "deploys:list", "killed")[0]["state"] == "failed"
    apps.commit(repository, "quick", {"Dockerfile": DOCKERFILE.format(word=word, then="true")})
    server.push_ok(repository, "killed")
    assert server.get("killed").status == 200

"""Servers started as their engine files say, on this machine's Docker, hardened as gitship hardens containers."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from gitship.engine.docker import DockerEngine
from gitship.engine.hardening import KEPT
from gitship.errors import ServiceError
from gitship.services.actions import ServiceActions
from gitship.services.engine_file import ServiceEngine
from tests.e2e import docker_cli
from tests.e2e.services.clients import CLIENTS
from tests.places import own_name
from tests.waiting import wait_until

LABEL = "gitship.test"
READY_S = 90.0
ACTION_S = 60.0
ROOT_PASSWORD = "Root_password-1"


@dataclass
class Started:
    """A running server of ``engine``; ``client`` is a container beside it, in the same network, with the same image."""

    host: str
    engine: ServiceEngine
    version: str
    image: str
    container: str
    client: str
    volume: str
    shell: str
    ready_s: float = 0.0
    root_password: str = ROOT_PASSWORD
    actions: ServiceActions = field(init=False)

    def __post_init__(self) -> None:
        self.actions = ServiceActions(DockerEngine(self.host, timeout_s=60))

    def values(self, login: str = "", password: str = "") -> dict[str, str]:
        values = {"root_password": self.root_password, "database": "shop", "owner": "shop", "port": "1"}
        return values | ({"login": login} if login else {}) | ({"password": password} if password else {})

    def do(self, action: str, login: str = "", password: str = "") -> str:
        """The output of an action of the engine."""
        found = getattr(self.engine, action)
        return self.actions.output(self.container, found, self.values(login, password), ACTION_S)

    def dump(self) -> bytes:
        assert self.engine.dump is not None
        with self.actions.read(self.container, self.engine.dump, self.values(), threading.Event()) as chunks:
            return b"".join(chunks)

    def feed(self, action: str, data: bytes, container: str = "") -> None:
        chunks = [data[start : start + 60_000] for start in range(0, len(data), 60_000)]
        found = getattr(self.engine, action)
        self.actions.write(container or self.container, found, self.values(), chunks, threading.Event())

    def url(self, login: str, password: str) -> str:
        where = {"host": self.container, "port": str(self.engine.port)}
        return self.engine.filled_url(self.values(login, password) | where)

    def run_client(self, script: str, login: str, password: str, table: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._client_command(script, login, password, table),
            capture_output=True, text=True, timeout=ACTION_S, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def client_output(self, script: str, login: str, password: str, table: str) -> str:
        """What the client prints; it must do it."""
        done = self.run_client(script, login, password, table)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    @contextmanager
    def holding(self, script: str, login: str, password: str) -> Iterator[subprocess.Popen[str]]:
        """A client that is connected meanwhile."""
        command = self._client_command(script, login, password, "none")
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as client:
            assert client.stdout is not None
            try:
                line = client.stdout.readline()
                assert "ready" in line
                yield client
            finally:
                client.kill()

    def _client_command(self, script: str, login: str, password: str, table: str) -> list[str]:
        env = {"URL": self.url(login, password), "TABLE": table, "HOST": self.container, "LOGIN": login}
        env |= {"PASSWORD": password, "PORT": str(self.engine.port)}
        words = [word for name, value in env.items() for word in ("-e", f"{name}={value}")]
        return ["docker", "-H", self.host, "exec", *words, self.client, self.shell, "-c", script]

    def wait_ready(self) -> None:
        began = time.monotonic()
        wait_until(self._is_ready, READY_S, f"{self.engine.name} is ready", every_s=0.2)
        self.ready_s = time.monotonic() - began

    def _is_ready(self) -> bool:
        try:
            self.do("ready")
        except ServiceError:
            return False
        return True


def arguments(engine: ServiceEngine, version: str, volume: str, root_password: str = ROOT_PASSWORD) -> list[str]:
    """Of `docker run`, up to the image."""
    values = _container_values(engine, root_password)
    capabilities = [word for name in (*KEPT, *engine.capabilities) for word in ("--cap-add", name)]
    environment = [
        word for name, value in engine.filled_environment(values).items() for word in ("-e", f"{name}={value}")
    ]
    return [
        "--cap-drop", "ALL", *capabilities, "--security-opt", "no-new-privileges", *environment,
        "--memory", str(engine.memory_bytes), "--memory-swap", str(engine.memory_bytes),
        "--shm-size", str(engine.shm_bytes), "--stop-signal", engine.stop_signal,
        "-v", f"{volume}:{engine.data_path(version)}",
    ]  # fmt: skip


def _container_values(engine: ServiceEngine, root_password: str) -> Mapping[str, str]:
    return {"root_password": root_password, "database": "shop", "memory_mb": str(engine.memory_bytes >> 20)}


@contextmanager
def started(
    host: str, engine: ServiceEngine, version: str, image: str, restored: bytes | None = None
) -> Iterator[Started]:
    """A server with a volume of its own; ``restored`` is a dump that is there before its first start."""
    run = own_name(f"svc-{engine.name}-")
    label = f"{LABEL}={run}"
    docker_cli.remove_labelled(host, label)
    docker_cli.docker(host, "network", "create", "--label", label, run)
    docker_cli.docker(host, "volume", "create", "--label", label, run)
    common = ["-d", "--label", label, "--network", run]
    try:
        idle = ["--entrypoint", "sleep", image, "86400"]
        docker_cli.docker(host, "run", *common, "--init", "--name", f"{run}-client", *idle)
        server = Started(
            host, engine, version, image, f"{run}-server", f"{run}-client", run, CLIENTS[engine.name].shell
        )
        if restored is not None:
            mount = ["-v", f"{run}:{engine.data_path(version)}"]
            docker_cli.docker(host, "run", *common, "--init", "--name", f"{run}-before", *mount, *idle)
            server.feed("restore", restored, f"{run}-before")
            docker_cli.docker(host, "rm", "-f", f"{run}-before")
        hostname = ["--hostname", "service"] if engine.fixed_hostname else []
        words = engine.filled_arguments(_container_values(engine, ROOT_PASSWORD)) or ()
        docker_cli.docker(
            host, "run", *common, *hostname, "--name", server.container, *arguments(engine, version, run), image, *words
        )
        try:
            server.wait_ready()
            yield server
        except BaseException:
            print(docker_cli.docker(host, "logs", "--tail", "40", server.container, check=False))
            raise
    finally:
        docker_cli.remove_labelled(host, label)
    assert docker_cli.left(host, label) == []

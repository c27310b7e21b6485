"""A whole gitship server for one test: own data directory, ports, address pool and key; nothing is left when it ends.

Set GITSHIP_TEST_KEEP=1 to keep the server of a failed test, with the lines to use and to end it, and
GITSHIP_TEST_DEBUG=1 for all that a server can say.
"""

from __future__ import annotations

import contextlib
import fnmatch
import http.client
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, ClassVar

import tomli_w

from gitship.engine import firewall
from gitship.engine.firewall_rules import FirewallRules
from gitship.engine.label_hmac import LabelHmac
from tests.e2e import docker_cli
from tests.e2e.apps import clean_env
from tests.e2e.forks import Forked, Forks
from tests.places import free_pool, free_port
from tests.waiting import wait_until

READY_S = 30.0
PUSH_S = 120.0
COMMAND_S = 60.0
OWN = (
    "init",
    "serve",
    "stop-front",
    "limit-builds",
    "doctor",
    "restore",
)  # words of the program itself, not of the server
KEEP_FAILED, DEBUG = "GITSHIP_TEST_KEEP", "GITSHIP_TEST_DEBUG"
KEEP = "keep"  # a file of this name in a server's directory keeps the directory


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a visitor; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(slots=True)
class Server:
    """`gitship serve` as a child of the tests, and the stock clients that talk to it."""

    base: Path
    docker_host: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    ssh_port: int = field(default_factory=free_port)
    http_port: int = field(default_factory=free_port)
    web_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | Forked | None = None
    forks: Forks | None = None  # which make `gitship serve`, with trapdoors; they end with this server
    common_forks: ClassVar[Forks | None] = None  # which make those of all other servers
    as_users_do: bool = False  # started anew in any case

    # -- places

    @property
    def data_dir(self) -> Path:
        return self.base / "data"

    @property
    def config(self) -> Path:
        return self.base / "gitship.toml"

    @property
    def log(self) -> Path:
        """What `gitship serve` prints."""
        return self.base / "serve.log"

    @property
    def key(self) -> Path:
        """The admin's private key."""
        return self.base / "admin_ed25519"

    @property
    def trap(self) -> Path:
        """See ``trapdoor``."""
        return self.base / "trap"

    @property
    def logs(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    # -- life

    def init(self) -> None:
        """Makes the configuration and the key, and runs `gitship init`."""
        self.base.mkdir(parents=True, exist_ok=True)
        make_key(self.key)
        sections: dict[str, Any] = {
            "data_dir": str(self.data_dir),
            "ssh": {"listen": f"127.0.0.1:{self.ssh_port}"},
            "http": {"listen": f"127.0.0.1:{self.http_port}"},
            "web": {"listen": f"127.0.0.1:{self.web_port}"},
            "docker": {"host": self.docker_host, "address_pool": free_pool()},
            "deploy": {"drain_timeout": 10.0, "check_timeout": 8.0},
            "varnish": {"memory": "32m"},
        }
        for name, value in self.settings.items():
            if isinstance(value, Mapping):
                sections.setdefault(name, {}).update(value)
            else:
                sections[name] = value
        self.config.write_text(tomli_w.dumps(sections))
        code, said = self._own("init", "--admin-key", f"{self.key}.pub")
        assert code == 0, f"gitship init: exit {code}\n{said}"

    def start(self) -> None:
        """Starts `gitship serve` and waits for its ready line."""
        assert self.process is None, "the server runs already"
        start = self.log.stat().st_size if self.log.exists() else 0
        verbose = ["--verbose"] if os.environ.get(DEBUG) == "1" else []
        process = self.process = self._begin("serve", "--config", str(self.config), *verbose)

        def ready() -> bool:
            assert process.poll() is None, f"gitship serve ended with {process.returncode}:\n{self.logs}"
            said = self.log.read_bytes()[start:].decode(errors="replace")
            return (
                re.search(rf"ready: ssh \S+:{self.ssh_port}, http \S+:{self.http_port}, status \S+\n", said) is not None
            )

        wait_until(ready, READY_S, "the ready line of gitship serve")

    def _begin(self, *words: str) -> subprocess.Popen[bytes] | Forked:
        with self.log.open("ab") as log:
            if (forks := self.forks or self.common_forks) and not self.as_users_do:
                return forks.start(words, self.log, clean_env(GITSHIP_TEST_TRAP=str(self.trap)))
            command = [sys.executable, "-m", "gitship.cli", *words]
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=clean_env(), start_new_session=True
            )

    def stop(self, timeout_s: float = 30.0) -> int:
        """SIGTERM, as a service unit does; the exit code."""
        assert self.process is not None
        process, self.process = self.process, None
        process.terminate()
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
            raise AssertionError(f"gitship serve did not end within {timeout_s:g} s of SIGTERM") from None

    def kill9(self) -> None:
        """kill -9, as the kernel does when memory is short."""
        assert self.process is not None
        process, self.process = self.process, None
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)

    def restart(self) -> None:
        """Stops the server if it runs, and starts it."""
        if self.process is not None:
            assert self.stop() == 0
        self.start()

    def _own(self, *words: str) -> tuple[int, str]:
        """One of OWN, for the tests' own ends: by a fork, where there are forks; its exit code and all that it said."""
        if self.common_forks is None or self.as_users_do:
            done = self.gitship(*words)
            return done.returncode, done.stdout + done.stderr
        said = self.base / f"{words[0]}.log"
        said.write_bytes(b"")
        code = self.common_forks.start([*words, "--config", str(self.config)], said, clean_env()).wait(COMMAND_S)
        return code, said.read_text(errors="replace")

    # -- clients

    def gitship(self, *args: str, timeout_s: float = COMMAND_S) -> subprocess.CompletedProcess[str]:
        """`gitship ARGS` on the server's own machine."""
        config = ["--config", str(self.config)]
        words = [*args, *config] if args and args[0] in OWN else [*config, *args]
        command = [sys.executable, "-m", "gitship.cli", *words]
        return subprocess.run(
            command, env=clean_env(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=timeout_s, check=False,
        )  # fmt: skip

    def ssh_command(self, key: Path | None = None) -> list[str]:
        """The stock client with this server's port and the admin's (or another) key and nothing of the tester's own."""
        options = [
            "StrictHostKeyChecking=accept-new", f"UserKnownHostsFile={self.base / 'known_hosts'}",
            "IdentitiesOnly=yes", "IdentityAgent=none", "BatchMode=yes", "ConnectTimeout=10",
        ]  # fmt: skip
        words = [word for option in options for word in ("-o", option)]
        return ["ssh", "-F", "none", "-p", str(self.ssh_port), "-i", str(key or self.key), *words]

    def ssh(
        self, *command: str, key: Path | None = None, stdin: str = "", timeout_s: float = COMMAND_S
    ) -> subprocess.CompletedProcess[str]:
        """`ssh deploy@server COMMAND`."""
        return subprocess.run(
            [*self.ssh_command(key), "deploy@127.0.0.1", *command], input=stdin, capture_output=True, text=True,
            timeout=timeout_s, env=clean_env(), check=False,
        )  # fmt: skip

    def url(self, app: str) -> str:
        """The remote's address."""
        return f"ssh://deploy@127.0.0.1:{self.ssh_port}/{app}"

    def git_env(self, key: Path | None = None) -> dict[str, str]:
        return clean_env(GIT_SSH_COMMAND=" ".join(self.ssh_command(key)), GIT_SSH_VARIANT="ssh")

    def git(
        self, repository: Path, *args: str, key: Path | None = None, timeout_s: float = PUSH_S
    ) -> subprocess.CompletedProcess[str]:
        """git with this server's key and port."""
        return subprocess.run(
            ["git", *args], cwd=repository, env=self.git_env(key), stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=timeout_s, check=False,
        )  # fmt: skip

    def push(
        self, repository: Path, app: str, *options: str, refspec: str = "main", key: Path | None = None,
        timeout_s: float = PUSH_S,
    ) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """`git push [options] ssh://.../app main`; what people read is on stderr."""
        return self.git(repository, "push", *options, self.url(app), refspec, key=key, timeout_s=timeout_s)

    def push_ok(self, repository: Path, app: str, *options: str, refspec: str = "main") -> str:
        """A push that must succeed; what it printed."""
        done = self.push(repository, app, *options, refspec=refspec)
        assert done.returncode == 0, f"git push: exit {done.returncode}\n{done.stderr}\n--- server\n{self.logs[-4000:]}"
        return done.stderr

    def start_push(self, repository: Path, app: str, *options: str) -> subprocess.Popen[str]:
        """A push in the background, in a process group of its own so that the test can kill all of it."""
        return subprocess.Popen(
            ["git", "push", *options, self.url(app), "main"], cwd=repository, env=self.git_env(),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip

    def request(
        self, host: str, path: str = "/", *, method: str = "GET", body: bytes | None = None,
        headers: Mapping[str, str] | None = None, timeout_s: float = 15,
    ) -> Answer:  # fmt: skip
        """One request through Varnish to any host name."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=timeout_s)
        with contextlib.closing(connection):
            connection.request(method, path, body=body, headers={"Host": host, **(headers or {})})
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, text)

    def get(self, app: str, path: str = "/", **more: Any) -> Answer:
        """One request through Varnish to `<app>.localhost`."""
        return self.request(f"{app}.localhost:{self.http_port}", path, **more)

    # -- what is there

    def server_id(self) -> str:
        """The id that labels what this server makes in Docker; "" when it never started."""
        database = self.data_dir / "gitship.db"
        if not database.exists():
            return ""
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as db:
            row = db.execute("SELECT value FROM meta WHERE key = 'server_id'").fetchone()
            return str(row[0]) if row else ""

    def sealed(self, name: str, labels: Mapping[str, str]) -> list[str]:
        """Words for `docker create` of a container that gitship takes for one that it has made itself."""
        [(secret,)] = self.database("SELECT value FROM meta WHERE key = 'secret'")
        own = LabelHmac(bytes.fromhex(secret)).labels(name, {"gitship.server": self.server_id(), **labels}, {})
        return [word for label, text in own.items() for word in ("--label", f"{label}={text}")]

    def database(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of the server's own database, read-only."""
        uri = f"file:{self.data_dir / 'gitship.db'}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=10)) as db:
            return list(db.execute(sql, values))

    def deploys(self, app: str) -> list[tuple[str, str, str]]:
        """(state, reason, commit) of every deploy of the app, oldest first."""
        sql = (
            "SELECT d.state, d.reason, d.commit_sha FROM deploys d JOIN apps a ON a.id = d.app_id"
            " WHERE a.name = ? ORDER BY d.id"
        )
        return [(str(s), str(r), str(c)) for s, r, c in self.database(sql, app)]

    def app_logs(self, app: str) -> Path:
        """Where the logs of an app are."""
        [(app_id,)] = self.database("SELECT id FROM apps WHERE name = ?", app)
        return self.data_dir / "logs" / f"app_{app_id}"

    def containers(self, *labels: str) -> list[str]:
        """Names of this server's containers, running or not, with these further labels."""
        return docker_cli.names(self.docker_host, "container", f"gitship.server={self.server_id()}", *labels)

    def server_ref(self, app: str, ref: str = "refs/heads/main") -> str | None:
        """Where the ref stands in the server's repository."""
        done = subprocess.run(
            ["git", "rev-parse", "-q", "--verify", ref], cwd=self.data_dir / "repos" / f"{app}.git", env=clean_env(),
            capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip
        return done.stdout.strip() or None

    def leftovers(self, app: str) -> list[str]:
        """Quarantines, temporary packs and ref locks in the app's repository."""
        repository = self.data_dir / "repos" / f"{app}.git"
        # os.walk: a glob raises when a directory vanishes under it
        paths = [Path(place, name) for place, *names in os.walk(repository) for name in [*names[0], *names[1]]]
        found = [str(path.relative_to(repository)) for path in paths]
        patterns = ("objects/incoming-*", "objects/*tmp_*", "refs/*.lock", "*.lock")
        return [name for name in found if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]

    # -- the end

    def processes(self) -> dict[int, str]:
        """Processes whose command line names this server's directory: pid -> command line."""
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if str(self.base) in line:
                    found[int(entry.name)] = line.strip()
        return found

    def varnishd(self) -> list[int]:
        """The pids of Varnish: the manager, then its worker."""
        return sorted(pid for pid, line in self.processes().items() if line.split()[0].endswith("varnishd"))

    def destroy(self) -> list[str]:
        """Ends everything of this server; sentences about what was left or ended badly (none when all is well).

        Each step whatever became of those before it: a test that fails must leave no more than one that passes, also
        when its time is over just here.
        """
        wrong: list[str] = []
        ended: BaseException | None = None
        server = ""
        with contextlib.suppress(sqlite3.Error):
            server = self.server_id()
        steps = (
            self._end_serve,
            self._end_front,
            lambda: self._remove_from_docker(server),
            lambda: remove_chains(server),
            self._end_processes,
        )
        for step in steps:
            try:
                wrong += step()
            except (AssertionError, OSError, subprocess.SubprocessError) as error:
                wrong.append(str(error))
            except BaseException as error:
                ended = error
        if ended is not None:
            raise ended
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if str(self.base) in line]
        return wrong + [f"mount {m} is left" for m in mounts]

    def _end_serve(self) -> list[str]:
        code = self.stop() if self.process is not None else 0
        return [f"gitship serve ended with {code}"] if code else []

    def _end_front(self) -> list[str]:
        if self.forks is not None:
            self.forks.end()
        if not self.config.exists():
            return []
        code, said = self._own("stop-front")
        return [f"gitship stop-front: {said.strip()}"] if code else []

    def _remove_from_docker(self, server: str) -> list[str]:
        if not server:
            return []
        docker_cli.remove_labelled(self.docker_host, f"gitship.server={server}")
        docker_cli.remove_images_of(self.docker_host, server)
        return docker_cli.left(self.docker_host, f"gitship.server={server}")

    def _end_processes(self) -> list[str]:
        wrong = []
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not self.processes(), 5, "the processes end")
        for pid, line in self.processes().items():
            wrong.append(f"process {pid} is left: {line}")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return wrong

    def how_to_use(self) -> str:
        """For a server that is kept after a failed test."""
        return (
            f"\nkept: {self.base}\n"
            f"  {' '.join(self.ssh_command())} deploy@127.0.0.1 help\n"
            f"  curl -H 'Host: APP.localhost' http://127.0.0.1:{self.http_port}/\n"
            f"  log: {self.log}\n"
            f"  end: kill {self.process.pid if self.process else '-'};"
            f" python -m gitship.cli stop-front --config {self.config};"
            f" docker rm -f $(docker ps -aq --filter label=gitship.server={self.server_id()})\n"
        )


def remove_chains(server: str) -> list[str]:
    """Takes the rules of that server out of the firewall; sentences about what should not have been there any more."""
    if not server or os.geteuid() != 0 or not shutil.which("iptables"):
        return []
    found = subprocess.run(["iptables", "-w", "-S"], capture_output=True, text=True, timeout=20, check=False).stdout
    chains = [line.split()[1] for line in found.splitlines() if line.startswith(f"-N GITSHIP-{server[:12]}-")]
    if chains:
        firewall.remove(FirewallRules(server, IPv4Network("10.0.0.0/8"), "", ()))
    return [f"the firewall's chain {chain} was left" for chain in chains]


def make_key(path: Path, kind: str = "ed25519") -> Path:
    """A private key by ssh-keygen; its public half is beside it with ".pub"."""
    if not path.exists():
        command = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", path.stem, "-f", str(path)]
        subprocess.run(command, check=True, timeout=30, stdin=subprocess.DEVNULL)
    return path


@contextlib.contextmanager
def running(
    base: Path, docker_host: str, failed: Callable[[], bool], *, http_port: int | None = None, **settings: Any
) -> Iterator[Server]:
    """See ``serving``; ``settings`` are sections of the configuration."""
    server = Server(base, docker_host, settings, http_port=http_port or free_port())
    for name in ("ssh", "http", "web"):  # where a test sets `listen`, the server has that port
        if listen := settings.get(name, {}).get("listen"):
            setattr(server, f"{name}_port", int(listen.rpartition(":")[2]))
    with serving(server, failed):
        yield server


@contextlib.contextmanager
def serving(server: Server, failed: Callable[[], bool]) -> Iterator[Server]:
    """A started server that is taken down at the end; AssertionError when anything is left.

    ``failed`` tells at the end whether a test that used it failed: then its log is printed and, with
    GITSHIP_TEST_KEEP=1, the server stays.
    """
    try:
        server.init()
        server.start()
        yield server
    finally:
        broken = server.process is None or failed()
        if broken:
            print(f"--- gitship serve printed ({KEEP_FAILED}=1 keeps such a server, {DEBUG}=1 has it say more)")
            print(server.logs[-6000:])
        if broken and os.environ.get(KEEP_FAILED) == "1":
            (server.base / KEEP).touch()
            print(server.how_to_use())
        else:
            left = server.destroy()
            assert not left, "\n".join(["left behind or ended badly:", *left, "--- gitship serve", server.logs[-4000:]])

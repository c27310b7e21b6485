"""An app that keeps notes in a database: each request is answered by the engine's own client, as the link says.

And what its tests ask of a server that has the image of the database under a name of their own.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gitship.services.engine_catalog import SHIPPED
from tests.e2e import apps, docker_cli
from tests.e2e.harness import Server
from tests.e2e.services.images import IMAGES
from tests.places import own_name

MAKE = "CREATE TABLE IF NOT EXISTS notes (id serial primary key, note text)"
SCRIPT = """#!/bin/sh
export PGCONNECT_TIMEOUT=10
case $REQUEST_METHOD in
  POST) q="INSERT INTO notes (note) VALUES ('$(cat | tr -cd a-z0-9)') RETURNING 1" ;;
  *) q="SELECT count(*) FROM notes" ;;
esac
if out=$(psql -XAtq -v ON_ERROR_STOP=1 "$DATABASE_URL" -c "$q" 2>&1); then status="200 OK"; else status="500 No"; fi
printf 'Status: %s\\r\\nContent-Type: text/plain\\r\\n\\r\\n%s\\n' "$status" "$out"
"""
PAGE = "/cgi-bin/notes"
DECLARED = '[services.db]\nengine = "postgres:15"\nmemory = "160m"\n'


def repository(directory: Path, image: str, *, toml: str = DECLARED) -> Path:
    """The release command makes the table: the database has to be there by then."""
    dockerfile = (
        f"FROM {image}\nCOPY --chmod=755 busybox /busybox\nCOPY --chmod=755 notes /www/cgi-bin/notes\n"
        'ENTRYPOINT []\nEXPOSE 5000\nCMD ["/busybox", "httpd", "-f", "-p", "5000", "-h", "/www"]\n'
    )
    release = f"""release: psql -Xq -v ON_ERROR_STOP=1 "$DATABASE_URL" -c "{MAKE}"\n"""
    web = "web: /busybox httpd -f -p 5000 -h /www\n"
    files: dict[str, str | bytes] = {
        "Dockerfile": dockerfile, "notes": SCRIPT, "Procfile": release + web, "gitship.toml": toml,
        "app.json": json.dumps({"healthchecks": {"web": [{"type": "startup", "path": PAGE, "attempts": 8}]}}),
        "busybox": Path("/bin/busybox").read_bytes(),
    }  # fmt: skip
    return apps.new_repository(directory, files)


@dataclass
class Notes:
    """``server`` with an app called ``app`` that has notes; ``image`` is the database's, without a tag."""

    server: Server
    image: str
    app: str = "shop"

    def ssh(self, *words: str, code: int = 0, stdin: bytes = b"") -> str:
        """What it printed."""
        done = self.run(*words, stdin=stdin)
        said = (done.stdout + done.stderr).decode(errors="replace")
        assert done.returncode == code, (words, said)
        return said

    def run(self, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*self.server.ssh_command(), "deploy@127.0.0.1", *words], input=stdin, capture_output=True, timeout=90,
            env=apps.clean_env(), check=False,
        )  # fmt: skip

    def json(self, *words: str) -> Any:
        return json.loads(self.server.ssh(*words, "--format", "json").stdout)

    def write(self, text: str = "hello") -> None:
        answer = self.server.get(self.app, PAGE, method="POST", body=text.encode())
        assert (answer.status, answer.body) == (200, "1\n"), answer

    @property
    def count(self) -> int:
        answer = self.server.get(self.app, PAGE)
        assert answer.status == 200, answer
        return int(answer.body)

    def sql(self, service: str, text: str) -> str:
        return self.ssh("services:connect", service, "--", "-XAtq", "-c", f"'{text}'").strip()


@contextmanager
def database(server: Server, tags: tuple[str, ...] = ("15",)) -> Iterator[str]:
    """The engine postgres of that server has an image of this process's own, under these tags; its name."""
    name = f"localhost/{own_name('gitship-test-postgres')}"
    own = server.data_dir / "engines"
    own.mkdir(parents=True, exist_ok=True)
    text = (SHIPPED / "postgres.toml").read_text().replace("docker.io/library/postgres", name)
    (own / "postgres.toml").write_text(text)
    with (
        IMAGES["postgres:15"].imported(server.docker_host, name) as image,
        also(server, image, [f"{name}:{tag}" for tag in tags if tag != "15"]),
    ):
        yield name


@contextmanager
def also(server: Server, image: str, names: list[str]) -> Iterator[None]:
    """Further names of an image."""
    for name in names:
        docker_cli.docker(server.docker_host, "tag", image, name)
    try:
        yield
    finally:
        for name in names:
            docker_cli.docker(server.docker_host, "rmi", name, check=False)


@dataclass
class Visits:
    """What visitors got: ``bad`` are answers other than 200, or none."""

    answers: Counter[int] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)
    slowest_s: float = 0.0


@contextmanager
def visitors(server: Server, app: str, count: int = 2) -> Iterator[Visits]:
    """They read the page over and over until the block ends; the last requests are waited for."""
    visits, over, lock = Visits(), threading.Event(), threading.Lock()

    def visit() -> None:
        while not over.is_set():
            began = time.monotonic()
            try:
                answer = server.get(app, PAGE, timeout_s=60)
                said, status = answer.body, answer.status
            except (OSError, http.client.HTTPException) as error:
                said, status = repr(error), 0
            with lock:
                visits.answers[status] += 1
                visits.slowest_s = max(visits.slowest_s, time.monotonic() - began)
                if status != 200:
                    visits.bad.append(f"{status}: {said[:200]}")

    threads = [threading.Thread(target=visit, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield visits
    finally:
        over.set()
        for thread in threads:
            thread.join(90)

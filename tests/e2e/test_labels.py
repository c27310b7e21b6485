"""Labels of an image are a stranger's words: whatever they say, gitship starts, and other apps do not feel it."""

from __future__ import annotations

import itertools
import json
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.e2e import apps, docker_cli
from tests.e2e.harness import Server
from tests.places import own_name
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

VICTIM = "ledger"
TOML = """
[cron.slow]
schedule = "0 4 1 1 *"
command = "echo begun; sleep 900"
"""


@pytest.fixture(scope="module")
def shop(server: Server, module_base: Path) -> Iterator[Server]:
    """A server with an app of which a cron run is under way, so long as the tests run."""
    repository = module_base / VICTIM
    apps.busybox(repository)
    copies = [f"COPY busybox /bin/{name}" for name in ("sh", "sleep")]
    text = (apps.APPS / "busybox" / "Dockerfile").read_text().replace("EXPOSE", "\n".join([*copies, "EXPOSE"]))
    apps.commit(repository, "Cron", {"Dockerfile": text, "gitship.toml": TOML})
    server.push_ok(repository, VICTIM)
    client = subprocess.Popen(
        [*server.ssh_command(), "deploy@127.0.0.1", "cron:run", VICTIM, "slow"], stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=apps.clean_env(),
    )  # fmt: skip
    wait_until(lambda: server.containers("gitship.one-off", f"gitship.app={VICTIM}"), 20, "the run has a container")
    client.terminate()
    client.wait(10)
    yield server
    docker_cli.docker(server.docker_host, "rm", "-f", runs(server)[0][2], check=False)


def runs(server: Server) -> list[tuple[Any, ...]]:
    """(id, outcome, container) of the victim's cron runs."""
    return server.database(
        "SELECT r.id, r.outcome, r.container FROM cron_runs r JOIN apps a ON a.id = r.app_id WHERE a.name = ?", VICTIM
    )


def of_victim(server: Server) -> tuple[object, ...]:
    """All that is known of the victim, and what it has in Docker."""
    docker = server.containers(f"gitship.app={VICTIM}")
    rows = server.database("SELECT c.docker_id, c.name, c.address FROM containers c JOIN apps a ON a.id = c.app_id"
                           " WHERE a.name = ? ORDER BY 1", VICTIM)  # fmt: skip
    return runs(server), rows, docker


def files(server: Server) -> set[Path]:
    """Every file of the server that is not in the logs and repositories; nor the database's and Varnish's own."""
    data = server.data_dir
    apart = (data / "logs", data / "repos", data / "varnish")
    return {
        path for path in server.base.rglob("*")
        if not any(path.is_relative_to(place) for place in apart) and not path.name.startswith("gitship.db")
    }  # fmt: skip


def labelled(text: str, labels: Mapping[str, str]) -> str:
    """A Dockerfile with these labels."""
    return text + "".join(f"LABEL {json.dumps(name)}={json.dumps(value)}\n" for name, value in labels.items())


def reconcile(server: Server) -> None:
    done = server.ssh("server:reconcile")
    assert done.returncode == 0, done.stdout + done.stderr


def push(server: Server, repository: Path, app: str, labels: Mapping[str, str]) -> str:
    """The app with an image that carries these labels; its container."""
    apps.commit(repository, "Labels", {"Dockerfile": labelled(apps.tiny_dockerfile(uuid.uuid4().hex), labels)})
    server.push_ok(repository, app)
    [(name,)] = server.database("SELECT c.name FROM containers c JOIN apps a ON a.id = c.app_id WHERE a.name = ?", app)
    return str(name)


def test_an_app_whose_image_says_that_it_is_a_cron_run_of_another_is_a_web_app(
    shop: Server, tiny_app: Callable[..., Path]
) -> None:
    before, there = of_victim(shop), files(shop)
    run = runs(shop)[0][0]
    labels = {
        "gitship.one-off": "detached", "gitship.one-off.cron": "../../../evil", "gitship.one-off.cron-run": str(run),
        "gitship.helper": "x", "gitship.seal": "0" * 32,
    }  # fmt: skip
    name = push(shop, tiny_app("mallory"), "mallory", labels)
    shop.restart()
    reconcile(shop)
    docker_cli.docker(shop.docker_host, "restart", "-t", "0", name)
    wait_until(lambda: shop.get("mallory").status == 200, 20, "it is taken for the web container that it is")
    wait_until(lambda: shop.ssh("server:reconcile", "--dry-run").returncode == 0, 20, "all is looked at")
    time.sleep(1)  # what took the container for a run would end the run now: its container has ended
    assert of_victim(shop) == before
    assert files(shop) - there == set()
    assert not list(shop.base.rglob("evil"))
    shown = json.loads(docker_cli.docker(shop.docker_host, "inspect", "-f", "{{json .Config.Labels}}", name))
    assert {shown[label] for label in labels if label != "gitship.seal"} == {""}


def test_labels_that_are_no_numbers_do_not_keep_the_server_from_starting(
    shop: Server, tiny_app: Callable[..., Path]
) -> None:
    before = of_victim(shop)
    labels = {
        "gitship.one-off": "detached", "gitship.one-off.cron-run": "x", "gitship.one-off.ends": "soon",
        "gitship.one-off.started": "then", "exitCode": "9" * 5000, "signal": "9" * 5000,
    }  # fmt: skip
    name = push(shop, tiny_app("eve"), "eve", labels)
    shop.restart()
    docker_cli.docker(shop.docker_host, "kill", name)  # its events carry the labels
    wait_until(lambda: shop.get("eve").status == 200, 30, "it is put right")
    reconcile(shop)
    assert of_victim(shop) == before
    assert "ValueError" not in shop.logs


NAMES = (
    "server", "app", "app-id", "release", "process", "deploy", "one-off", "one-off.command", "one-off.by",
    "one-off.started", "one-off.ends", "one-off.cron", "one-off.cron-run", "volume", "reserve", "helper", "seal",
)  # fmt: skip
WORDS = (
    "", "0", "1", "2", "-1", "1.5", "1e400", "nan", "x", "9" * 5000, "detached", "attached", "web", "worker", "release",
    "run", "../../../evil", "/evil", "..", "\u202eevil", "\x1b[31m", VICTIM, "slow",
)  # fmt: skip
TEXTS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\r\n"), max_size=30)
LABELS = st.dictionaries(
    st.sampled_from(NAMES) | st.from_regex(r"[a-z0-9./é-]{1,12}", fullmatch=True),
    st.sampled_from(WORDS) | TEXTS,
    max_size=len(NAMES),
)


def test_no_labels_whatever_make_a_container_or_image_more_than_a_strangers(shop: Server) -> None:
    """Containers and images that others make on the same Docker, with this server's id and any labels of gitship's."""
    docker, before, there = docker_cli.docker, of_victim(shop), files(shop)
    [(image,)] = shop.database(
        "SELECT image_id FROM releases r JOIN apps a ON a.id = r.app_id WHERE a.name = ?", VICTIM
    )
    [(app_id,)] = shop.database("SELECT id FROM apps WHERE name = ?", VICTIM)
    docker(shop.docker_host, "tag", image, base := f"gitship-test-strangers:{shop.server_id()}")
    made: list[str] = []
    numbers = itertools.count(1)

    def stands(name: str) -> str:
        return docker(shop.docker_host, "inspect", "-f", "{{.Id}} {{.State.Status}} {{.State.StartedAt}}", name)

    @settings(max_examples=12, deadline=None, database=None, phases=(Phase.generate,))  # an example takes 3 s
    @given(st.lists(LABELS, min_size=1, max_size=3), st.booleans())
    def look(labels: list[dict[str, str]], of_the_victim: bool) -> None:
        known = {"app-id": str(app_id)} if of_the_victim else {}
        words = [
            [f"--label=gitship.{name}={text}" for name, text in {"server": shop.server_id(), **known, **one}.items()]
            for one in labels
        ]
        tag = own_name("gitship-test-strangers:")
        build = ["build", "-q", "-t", tag, *words[0], "-"]
        docker(shop.docker_host, *build, stdin=f"FROM {base}\n".encode())
        made.append(tag)
        dangling = docker(shop.docker_host, *build[:2], *words[-1], "-", stdin=f"FROM {base}\nENV A={tag}\n".encode())
        names = []
        for number, own in enumerate(words):
            name = f"{VICTIM}.{('run', 'web', 'run.cron-9')[number]}.{next(numbers)}.v1"
            run = ["run", "-d"] if number % 2 else ["create"]
            # of the image without further labels it has the image's
            docker(shop.docker_host, *run, "--name", name, *(own if number else ()), tag, "/bin/sh", "-c", "echo evil")
            names.append(name)
            if number % 2:
                docker(shop.docker_host, "wait", name)
        try:
            seen = [stands(name) for name in names]
            reconcile(shop)
            assert shop.ssh("server:cleanup").returncode == 0
            assert [stands(name) for name in names] == seen, "they are let be"
            assert docker(shop.docker_host, "inspect", "-f", "{{.Id}}", tag, dangling)
            assert of_victim(shop)[:2] == before[:2]
            assert files(shop) - there == set()
            if len(made) % 4 == 1:
                shop.restart()
        finally:
            docker(shop.docker_host, "rm", "-f", *names)
            docker(shop.docker_host, "rmi", "-f", dangling, check=False)

    try:
        look()
        shop.restart()
        assert of_victim(shop) == before
        assert not list(shop.base.rglob("evil*")) and not list((shop.data_dir / "logs").rglob("*.run.*evil*"))
        said = [path for path in (shop.data_dir / "logs").rglob("*") if path.is_file() and b"evil" in path.read_bytes()]
        assert said == []
    finally:
        docker(shop.docker_host, "rmi", "-f", base, *made, check=False)

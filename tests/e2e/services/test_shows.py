"""Apps as people write them, with real clients, on services that their repositories declare: one push from nothing."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e import apps
from tests.e2e.commands import ok, shown
from tests.e2e.harness import Answer, Server
from tests.e2e.python_image import cache_dir
from tests.e2e.services.engines import engines
from tests.e2e.services.images import CLIENTS
from tests.e2e.stage import long
from tests.places import own_name

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
IMAGE = "FROM gitship-test-clients\n"


@pytest.fixture(scope="module")
def clients(docker_host: str) -> Iterator[str]:
    """The line of a Dockerfile with an image that has Python, Flask and the clients."""
    with CLIENTS.imported(docker_host, f"localhost/{own_name('gitship-test-clients')}") as image:
        yield f"FROM {image}\n"


def submit(server: Server, app: str, path: str, cookie: str = "", **form: str) -> Answer:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie}
    return server.get(app, path, method="POST", body=urllib.parse.urlencode(form).encode(), headers=headers)


@contextmanager
def removed(server: Server, app: str, service: str) -> Iterator[None]:
    """The app and its service go at the end."""
    try:
        yield
    finally:
        server.ssh("apps:destroy", app, "--force")
        server.ssh("services:destroy", service, "--force")


def flaskr(path: Path, image: str) -> Path:
    """Flask's tutorial, and what its user changes for PostgreSQL, in a commit of its own."""
    repository = apps.flaskr(path, cache_dir())
    changed: dict[str, str | bytes | None] = {"ca.crt": None}
    ours = apps.APPS / "flaskr_postgres"
    for file in (file for file in ours.rglob("*") if file.is_file()):
        changed[str(file.relative_to(ours))] = file.read_text().replace(IMAGE, image)
    for name in ("flaskr/auth.py", "flaskr/blog.py"):
        text = (repository / name).read_text().replace("?", "%s")  # its placeholders; `user` is a word of SQL
        for words in ("FROM user ", "JOIN user ", "INTO user "):
            text = text.replace(words, words.replace("user", "users"))
        changed[name] = text
    apps.commit(repository, "PostgreSQL in place of SQLite", changed)
    return repository


def test_flasks_tutorial_on_postgresql_is_live_by_one_push_and_keeps_its_rows(
    server: Server, module_base: Path, clients: str
) -> None:
    repository = flaskr(module_base / "flaskr", clients)
    with engines(server, "postgres:15"), removed(server, "flaskr", "flaskr-db"):
        said = server.push_ok(repository, "flaskr")
        print(said)
        steps = ("Creating postgres:15 db", "flaskr gets DATABASE_URL", "Initialized the database", "v1 is live")
        assert [word for word in steps if word not in said] == [], said
        assert sorted(steps, key=said.index) == list(steps), said

        assert submit(server, "flaskr", "/auth/register", username="ada", password="secret").status == 302
        again = submit(server, "flaskr", "/auth/register", username="ada", password="secret")
        assert "User ada is already registered" in again.body
        login = submit(server, "flaskr", "/auth/login", username="ada", password="secret")
        assert login.status == 302
        cookie = login.headers["set-cookie"].split(";")[0]
        posted = submit(server, "flaskr", "/create", cookie, title="First post", body="Kept in PostgreSQL")
        assert posted.status == 302
        assert "First post" in server.get("flaskr").body

        template = (repository / "flaskr" / "templates" / "base.html").read_text()
        apps.commit(repository, "Another name", {"flaskr/templates/base.html": template.replace("Flaskr", "Shipped")})
        said = server.push_ok(repository, "flaskr")
        assert "Creating" not in said, said
        page = server.get("flaskr").body
        assert "Shipped" in page and "First post" in page and "Kept in PostgreSQL" in page
        [service] = shown(server, "services:list")
        assert (service["name"], service["apps"], service["status"]) == ("flaskr-db", ["flaskr"], "running")


@pytest.mark.parametrize(
    ("engine", "entry"),
    [("valkey:8.1", "cache"), ("mariadb:10.11", "db"), *long(("rabbitmq:3.10", "queue"))],
)  # fmt: skip
def test_an_app_of_another_engine_writes_and_reads_after_its_first_push(
    server: Server, module_base: Path, clients: str, engine: str, entry: str
) -> None:
    name = engine.partition(":")[0]
    ours, app = apps.APPS / "notebook", f"{name}-notes"
    repository = apps.new_repository(
        module_base / name,
        {
            "Dockerfile": (ours / "Dockerfile").read_text().replace(IMAGE, clients),
            "Procfile": (ours / "Procfile").read_text(),
            "app.py": (ours / f"{name}.py").read_text(),
            "gitship.toml": f'[services.{entry}]\nengine = "{engine}"\n[deploy]\ncheck_timeout = 60\n',
        },
    )
    with engines(server, engine), removed(server, app, f"{app}-{entry}"):
        said = server.push_ok(repository, app)
        assert f"Creating {engine} {entry}" in said, said
        assert server.get(app).body == "Notes"
        assert submit(server, app, "/", note="kept").body == "written"
        assert server.get(app).body == "Notes\nkept"
        ok(server, "services:rotate", f"{app}-{entry}")
        assert submit(server, app, "/", note="and more").body == "written"
        assert server.get(app).body == "Notes\nkept\nand more"

"""gitship killed with -9 at each point of what is done to services: data stay, nothing is left, the next try works."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import apps, docker_cli
from tests.e2e.forks import Forks
from tests.e2e.harness import Server, serving
from tests.e2e.services import notes
from tests.e2e.services.engines import engines
from tests.e2e.services.notes import Notes
from tests.e2e.stage import long
from tests.e2e.trapdoor import Point, set_trap
from tests.waiting import wait_to_be, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

CREATE = "services:create new postgres:15 --memory 160m"
LINK = "services:link db other"
UNLINK = "services:unlink db other"
ROTATE = "services:rotate db"
UPGRADE = "services:upgrade db 16"
RESIZE = "services:resize db --memory {memory}m"
CLONE = "services:clone db new"
DESTROY = "services:destroy gone --force"

POINTS = [
    (CREATE, Point("after", "ServiceVolumes.make")),
    (CREATE, Point("after", "ServiceContainers.start")),
    (LINK, Point("after", "ServiceLinks._new_login")),
    (UNLINK, Point("after", "ServiceRecords.change_link")),
    (ROTATE, Point("after", "ServiceLinks._new_login")),
    (UPGRADE, Point("before", "ServiceVolumes.take")),
    (UPGRADE, Point("after", "ServiceVolumes.take")),
    (DESTROY, Point("after", "ServiceContainers.end_others")),
    *long(
        (CREATE, Point("after", "ServiceImages.fetch")),
        (CREATE, Point("after", "ServiceContainers.make")),
        (CREATE, Point("before", "ServiceVolumes.take")),
        (CREATE, Point("after", "ServiceVolumes.take")),
        (CREATE, Point("before", "ServiceImages.hold")),
        (LINK, Point("after", "ServiceRecords.create_link")),
        (LINK, Point("after", "ServiceContainers.join")),
        (LINK, Point("after", "ServiceRecords.change_link")),
        (UNLINK, Point("after", "DeployRecords.create_deploy")),
        (UNLINK, Point("after", "LiveReleases.set_live")),
        (UNLINK, Point("after", "GoLive.make")),
        (ROTATE, Point("after", "ServiceRecords.change_link")),
        (UPGRADE, Point("after", "ServiceContainers.leave_all")),
        (UPGRADE, Point("after", "ServiceVolumes.make")),
        (UPGRADE, Point("after", "ServiceContainers.start")),
        (UPGRADE, Point("after", "ServiceLinks.renew")),
        (UPGRADE, Point("after", "ServiceContainers.join_all")),
        (UPGRADE, Point("after", "ServiceContainers.end_others")),
        (RESIZE, Point("after", "ServiceContainers.end_others")),
        (RESIZE, Point("after", "ServiceContainers.make")),
        (CLONE, Point("before", "ServiceVolumes.take")),
        (DESTROY, Point("after", "DockerEngine.remove_network")),
        (DESTROY, Point("after", "ServiceVolumes.discard")),
    ),
]


@pytest.fixture(scope="module")
def shop(request: pytest.FixtureRequest, docker_host: str, module_base: Path) -> Iterator[Notes]:
    before = request.session.testsfailed
    base = module_base / "server"
    with (
        serving(
            Server(base, docker_host, forks=Forks(base, trapdoors=True)), lambda: request.session.testsfailed > before
        ) as server,
        notes.database(server, ("15", "16")) as image,
        engines(server, "valkey:8.1"),
    ):
        made = Notes(server, image)
        made.ssh("services:create", "db", "postgres:15", "--memory", "160m")
        made.ssh("apps:create", "shop")
        made.ssh("services:link", "db", "shop")
        repository = notes.repository(module_base / "shop", f"{image}:15", toml="")
        server.push_ok(repository, "shop")
        other = notes.repository(module_base / "other", f"{image}:15", toml="")
        apps.commit(other, "no checks", {"app.json": "{}", "Procfile": None})
        made.ssh("apps:create", "other")
        made.ssh("services:link", "db", "other")
        server.push_ok(other, "other")
        made.ssh("services:unlink", "db", "other")
        yield made
        for app in ("shop", "other"):
            server.ssh("apps:destroy", app, "--force")
        for service in made.json("services:list"):
            server.ssh("services:destroy", service["name"], "--force")


def killed(shop: Notes, command: str, point: Point) -> None:
    """The command begins, gitship is killed at the point, and started again."""
    server = shop.server
    assert server.process is not None
    set_trap(server.trap, point, [server.process.pid])
    client = subprocess.Popen(
        [*server.ssh_command(), "deploy@127.0.0.1", *command.split()], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    said = client.communicate(timeout=90)[0]
    reached = not server.trap.exists()
    server.trap.unlink(missing_ok=True)
    assert reached, "the point was not reached: " + said.decode()
    server.kill9()
    server.start()


def agree(shop: Notes) -> None:
    """Docker has what the store says, and nothing else."""
    server, host = shop.server, shop.server.docker_host
    label = f"gitship.server={server.server_id()}"

    def of_services(kind: str) -> set[str]:
        return set(docker_cli.names(host, kind, label, "gitship.service"))

    def wrong() -> list[str]:
        said = []
        states = server.database("SELECT name, state FROM services WHERE state <> 'ready'")
        said += [f"{name} is {state}" for name, state in states]
        running = server.database("SELECT name, kind FROM tasks WHERE state = 'running'")
        said += [f"task {kind} of {service}" for service, kind in running]
        links = server.database("SELECT alias, state FROM service_links WHERE state <> 'active'")
        said += [f"link {alias} is {state}" for alias, state in links]
        if doomed := server.database("SELECT name FROM service_logins WHERE link_id IS NULL"):
            said.append(f"logins {doomed}")
        wanted = {name for (name,) in server.database("SELECT name FROM service_volumes")}
        if (volumes := of_services("volume")) != wanted:
            said.append(f"volumes {volumes}, not {wanted}")
        if use := server.database("SELECT name, use FROM service_volumes WHERE use NOT IN ('live', 'kept')"):
            said.append(f"volumes {use}")
        ids = {
            docker_cli.docker(host, "inspect", "--format", "{{.Id}}", name, check=False)
            for name in of_services("container")
        }
        if ids != (stored := {row[0] for row in server.database("SELECT container FROM services")}):
            said.append(f"containers {ids}, not {stored}")
        if len(of_services("network")) != len(stored):
            said.append(f"networks {of_services('network')}")
        return said

    shop.server.ssh("server:reconcile")
    wait_to_be(wrong, [], 60)


def name(value: object) -> str:
    return value.split()[0] if isinstance(value, str) else str(value)


@pytest.mark.parametrize(("command", "point"), POINTS, ids=name)
def test_a_kill_loses_nothing_and_the_next_try_works(shop: Notes, command: str, point: Point) -> None:
    server = shop.server
    if command == UNLINK:
        shop.ssh("services:link", "db", "other")
    if command == DESTROY:
        shop.ssh("services:create", "gone", "postgres:15", "--memory", "160m")
    [(version, memory)] = server.database("SELECT version, memory_bytes FROM services WHERE name = 'db'")
    if command == UPGRADE and version == "16":
        shop.ssh("services:rollback", "db", "--force")
    command = command.format(memory=161 + (memory >> 20) % 30)
    shop.write()
    count = shop.count
    killed(shop, command, point)
    agree(shop)
    wait_until(lambda: server.get("shop", notes.PAGE).status == 200, 60, "visitors are answered")
    assert shop.count == count
    shop.write()
    # what was asked for is done now, or was done then
    again = server.ssh(*command.split())
    assert again.returncode in (0, 1, 3), again
    agree(shop)
    assert shop.count == count + 1
    if command in (CREATE, CLONE):
        if command == CLONE:
            assert shop.sql("new", "select count(*) from notes") in (str(count), str(count + 1))
        shop.ssh("services:destroy", "new", "--force")
    if command == LINK:
        assert "DATABASE_URL" in shop.ssh("enter", "other", "web", "env")
        shop.ssh("services:unlink", "db", "other")
    if command == UNLINK:
        assert "DATABASE_URL" not in shop.ssh("enter", "other", "web", "env")
    if command == DESTROY:
        assert "gone" not in [s["name"] for s in shop.json("services:list")]
    agree(shop)


@pytest.mark.parametrize("where", ["after", *long("before")])
def test_a_kill_while_a_superusers_password_is_changed_locks_nobody_out(shop: Notes, where: str) -> None:
    server = shop.server
    shop.ssh("services:create", "cache", "valkey:8.1", "--memory", "64m")
    shop.ssh("services:link", "cache", "other", "--no-restart")
    query = "SELECT s.container, l.name, l.password FROM services s, service_logins l WHERE l.service_id = s.id"
    found = server.database(f"{query} AND s.name = 'cache'")
    [(container, login, password)] = found

    killed(shop, "services:rotate cache", Point(where, "SuperuserPasswords._tell"))
    url = f"redis://{login}:{password}@127.0.0.1/0"
    ping = ("exec", str(container), "valkey-cli", "--no-auth-warning", "-u", url, "PING")
    assert docker_cli.docker(server.docker_host, *ping).strip() == "PONG", "a linked app has its login"
    agree(shop)
    assert "PONG" in shop.ssh("services:connect", "cache", "--", "PING")
    assert server.database(f"{query} AND s.name = 'cache'") == found
    shop.ssh("services:rotate", "cache")
    assert "PONG" in shop.ssh("services:connect", "cache", "--", "PING")
    shop.ssh("services:unlink", "cache", "other")
    agree(shop)
    shop.ssh("services:destroy", "cache", "--force")


@pytest.mark.parametrize("point", [Point("after", "ServiceVolumes.copy"), *long(Point("after", "ServiceVolumes.take"))])
def test_a_kill_in_the_upgrade_of_an_engine_that_reads_the_same_files_loses_none(shop: Notes, point: Point) -> None:
    shop.ssh("services:create", "cache", "valkey:8.1", "--memory", "64m")
    image = shop.json("services:info", "cache")["image"]
    with notes.also(shop.server, image, [image.replace(":8.1", ":9")]):
        shop.ssh("services:connect", "cache", "--", "SET", "word", "kept")
        killed(shop, "services:upgrade cache 9", point)
        agree(shop)
        wait_until(lambda: "kept" in shop.ssh("services:connect", "cache", "--", "GET", "word"), 30, "it is back")
        shop.server.ssh("services:upgrade", "cache", "9")
        assert shop.json("services:info", "cache")["version"] == "9"
        assert "kept" in shop.ssh("services:connect", "cache", "--", "GET", "word")
        shop.ssh("services:rollback", "cache", "--force")
        assert shop.json("services:info", "cache")["version"] == "8.1"
        assert "kept" in shop.ssh("services:connect", "cache", "--", "GET", "word")
        agree(shop)
        shop.ssh("services:destroy", "cache", "--force")

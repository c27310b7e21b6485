"""Directories of the host in containers: whoever swaps one for a link gains nothing, not even when Docker restarts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gitship.appfiles.mounts import DeclaredMount
from gitship.appsettings import MOUNT
from gitship.store import Store
from tests.e2e import apps, docker_cli
from tests.e2e.agreement import await_agreement
from tests.e2e.commands import ok, refused, shown
from tests.e2e.dockerd import OwnEngine, own_engine
from tests.e2e.harness import Server, running
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

CRASHES = """\
COPY busybox /bin/sh
CMD ["/bin/sh", "-c", "busybox httpd -p 8080 -h /www; until [ -e /crash ]; do busybox sleep 0.1; done; \
busybox rm /crash; exit 9"]
"""


@pytest.fixture(scope="module")
def shared(module_base: Path) -> Path:
    """What may be mounted, beside what may not."""
    for name in ("shared/photos/cats", "shared/albums", "private"):
        (module_base / name).mkdir(parents=True)
    (module_base / "private" / "file").write_text("secret\n")
    (module_base / "shared" / "photos" / "file").write_text("photo\n")
    return module_base / "shared"


@pytest.fixture(scope="module")
def server(module_base: Path, docker_host: str, shared: Path) -> Iterator[Server]:
    with running(module_base / "server", docker_host, lambda: False, docker={"host_paths": [str(shared)]}) as started:
        yield started


def site(base: Path, name: str) -> Path:
    """busybox's httpd, which exits with 9 as soon as there is a file /crash."""
    repository = apps.busybox(base / name)
    text = (apps.APPS / "busybox" / "Dockerfile").read_text()
    files = {"Dockerfile": text[: text.index("CMD")] + CRASHES, "gitship.toml": "[deploy]\nwatch = 0\n"}
    apps.commit(repository, "crashes, and stays", files)
    return repository


def push(server: Server, base: Path, name: str) -> None:
    server.push_ok(site(base, name), name)


def container(server: Server, app: str) -> str:
    """Docker's id of the one that is live."""
    sql = "SELECT c.docker_id FROM containers c JOIN apps a ON a.id = c.app_id WHERE a.name = ?"
    [[found]] = server.database(sql, app)
    return str(found)


def inspected(server: Server, app: str, form: str) -> str:
    return docker_cli.docker(server.docker_host, "inspect", "-f", form, container(server, app)).strip()


def policy(server: Server, app: str) -> str:
    return inspected(server, app, "{{.HostConfig.RestartPolicy.Name}}")


def status(server: Server, app: str) -> dict[str, Any]:
    [row] = shown(server, "ps:list", app)
    found: dict[str, Any] = row
    return found


def events(server: Server, app: str) -> list[str]:
    return [row["text"] for row in shown(server, "ps:events", app)]


def file(server: Server, app: str) -> str:
    """What visitors are shown of the mount; "" while nobody serves."""
    try:
        answer = server.get(app, "/data/file", timeout_s=5)
    except OSError:
        return ""
    return answer.body.strip() if answer.status == 200 else ""


def crash(server: Server, app: str) -> None:
    docker_cli.docker(server.docker_host, "exec", container(server, app), "/bin/busybox", "touch", "/crash")


def test_a_container_with_a_directory_of_the_host_is_started_again_by_gitship(
    server: Server, base: Path, shared: Path
) -> None:
    push(server, base, "crashing")
    assert policy(server, "crashing") == "unless-stopped"
    ok(server, "storage:mount", "crashing", f"{shared}/photos:/www/data", "--read-only")
    assert (policy(server, "crashing"), file(server, "crashing")) == ("no", "photo")
    for number, times in enumerate(("1st", "2nd", "3rd"), 1):
        crash(server, "crashing")
        wait_until(lambda n=number: len(events(server, "crashing")) >= n, 20, "the crash is told")  # type: ignore[misc]
        wait_until(lambda: file(server, "crashing") == "photo", 40, "it serves again")
        assert f"crashed: exit code 9, restarting ({times} time)" in events(server, "crashing")
    wait_until(lambda: any("crash loop" in text for text in events(server, "crashing")), 10, "the loop is told")
    assert status(server, "crashing")["restarts"] == 3
    assert not [text for text in events(server, "crashing") if text.startswith("restarted")]

    # while gitship is away nobody starts it: Docker would follow whatever is there by then
    server.kill9()
    crash(server, "crashing")
    wait_until(lambda: inspected(server, "crashing", "{{.State.Status}}") == "exited", 20, "it has ended")
    server.start()
    wait_until(lambda: file(server, "crashing") == "photo", 40, "it serves again")
    ok(server, "ps:stop", "crashing")
    wait_until(lambda: server.containers("gitship.app=crashing") == [], 30, "it is stopped, and stays so")
    await_agreement(server)


def test_containers_of_an_earlier_gitship_are_not_left_to_docker(server: Server, base: Path, shared: Path) -> None:
    push(server, base, "earlier")
    ok(server, "storage:mount", "earlier", f"{shared}/photos:/www/data", "--read-only")
    docker_cli.docker(server.docker_host, "update", "--restart=unless-stopped", container(server, "earlier"))
    server.restart()
    wait_until(lambda: policy(server, "earlier") == "no", 20, "gitship has it")


def test_no_directory_lies_within_one_where_an_app_may_write(server: Server, base: Path, shared: Path) -> None:
    for name in ("upper", "lower"):
        push(server, base, name)
    photos, cats = shared / "photos", shared / "photos" / "cats"

    # what may only be read lets nobody swap what is in it
    ok(server, "storage:mount", "upper", f"{photos}:/www/data", "--read-only")
    ok(server, "storage:mount", "lower", f"{cats}:/www/data")
    assert f"{cats} lies in" in refused(server, "storage:mount", "lower", f"{photos}:/www/all")
    ok(server, "storage:unmount", "upper", "/www/data")
    assert f"{cats}" in refused(server, "storage:mount", "upper", f"{photos}:/www/data")
    ok(server, "storage:unmount", "lower", "/www/data")

    ok(server, "storage:mount", "upper", f"{photos}:/www/data")
    ok(server, "storage:mount", "lower", f"{photos}:/www/data")  # the same one: its writers cannot swap it itself
    for app in ("upper", "lower"):
        assert f"lies in {photos}" in refused(server, "storage:mount", app, f"{cats}:/www/cats", "--read-only")
    ok(server, "storage:mount", "lower", f"{shared}/albums:/www/albums")


def test_what_an_earlier_gitship_allowed_is_looked_at_again_before_a_container_is_made(
    server: Server, base: Path, shared: Path
) -> None:
    for name in ("above", "within"):
        push(server, base, name)
    inner = shared / "old" / "inner"
    inner.mkdir(parents=True)
    ok(server, "storage:mount", "within", f"{inner}:/www/data")
    server.stop()
    store = Store(server.data_dir / "gitship.db")
    above = DeclaredMount(str(inner.parent), "/www/data")
    store.set_setting(store.app("above").id, MOUNT(above.path), above.setting)
    store.close()
    server.start()
    assert "lies in" in refused(server, "ps:restart", "within")
    assert server.get("within").status == 200
    assert "lies in" in refused(server, "run", "within", "/bin/busybox", "true")


@pytest.fixture(scope="module")
def engine() -> Iterator[OwnEngine]:
    """Its containers end with it, and Docker starts those again that it may."""
    with own_engine(beside_another=True, live_restore=False) as own:
        yield own


def test_a_directory_swapped_for_a_link_is_not_followed_when_docker_restarts(base: Path, engine: OwnEngine) -> None:
    for name in ("shared/photos", "private"):
        (base / name).mkdir(parents=True)
    photos = base / "shared" / "photos"
    (photos / "file").write_text("photo\n")
    (base / "private" / "file").write_text("secret\n")
    docker = {"host_paths": [str(base / "shared")]}
    with running(base / "server", engine.host, lambda: False, docker=docker) as server:
        push(server, base, "swapped")
        ok(server, "storage:mount", "swapped", f"{photos}:/www/data")
        push(server, base, "beside")
        assert file(server, "swapped") == "photo"

        photos.rename(base / "shared" / "moved")
        photos.symlink_to(base / "private")
        engine.stop()
        engine.start()
        wait_until(lambda: server.get("beside").status == 200, 60, "others are back")
        wait_until(lambda: f"{photos}" in server.logs or file(server, "swapped"), 60, "somebody has looked at it")
        assert file(server, "swapped") == ""
        assert status(server, "swapped")["status"] == "restarting"

        photos.unlink()
        shutil.move(base / "shared" / "moved", photos)
        wait_until(lambda: file(server, "swapped") == "photo", 60, "it is back, too, without a command")
        await_agreement(server)

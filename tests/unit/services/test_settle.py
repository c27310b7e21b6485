"""What services should run against what runs: a healthy server is left alone, whatever was seen before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gitship.engine.timeouts import TimeoutExpired
from gitship.errors import GitshipError
from gitship.model import GITSHIP
from gitship.model.services import ServiceState, TaskState
from tests.unit.memory.servers import Servers


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    found = Servers(tmp_path)
    yield found
    found.room.stop()
    found.store.close()


def test_a_server_that_was_replaced_since_the_containers_were_listed_is_not_restarted(servers: Servers) -> None:
    service = servers.service("db")
    states = list(servers.docker.list({}))
    servers.wait(
        servers.room.tasks.begin(
            service, "restart", GITSHIP, lambda journal: servers.room.lifecycle.restart(service, journal)
        )
    )
    runs = servers.store.service(service.id).container

    failed: list[GitshipError] = []
    assert servers.room.repair.settle(states, failed) == [] == failed

    servers.room.stop()  # whatever was begun has ended
    assert servers.store.service(service.id).container == runs
    assert [task.kind for task in servers.store.service_tasks(service.id)] == ["restart", "create"]


def test_a_server_that_was_started_since_it_was_looked_at_is_not_restarted(servers: Servers) -> None:
    service = servers.service("db")
    servers.docker.stop(service.container, 1)
    states = list(servers.docker.list({}))
    before_task = servers.room.tasks.begin

    def begin(*asked: object) -> object:
        servers.docker.start(service.container)  # by somebody whose task has ended again
        return before_task(*asked)  # type: ignore[arg-type]

    servers.room.tasks.begin = begin  # type: ignore[assignment, method-assign]
    servers.room.repair.settle(states, [])
    servers.room.stop()

    assert servers.store.service(service.id).container == service.container
    assert servers.store.service_tasks(service.id)[0].state is TaskState.DONE


def test_a_restart_with_an_engine_file_that_is_broken_leaves_the_server_running(
    servers: Servers, tmp_path: Path
) -> None:
    service = servers.service("db")
    (tmp_path / "engines").mkdir()
    (tmp_path / "engines" / "postgres.toml").write_text("title = ")

    with pytest.raises(GitshipError, match="cannot be used"):
        servers.wait(
            servers.room.tasks.begin(
                service, "restart", GITSHIP, lambda journal: servers.room.lifecycle.restart(service, journal)
            )
        )

    assert servers.docker.inspect(service.container).status == "running"


def test_a_server_that_does_not_drop_a_login_is_not_asked_in_every_round(servers: Servers) -> None:
    service, app = servers.service("db"), servers.app("shop")
    link = servers.link(service, app)
    servers.store.delete_link(link.id)  # its login is to be dropped
    asked = []

    def hang(command: object) -> None:
        asked.append(command)
        raise TimeoutExpired

    servers.docker.before["exec"] = hang
    for _ in range(3):
        assert servers.room.repair.settle(list(servers.docker.list({})), []) == []
    assert len(asked) == 1


def test_a_service_is_not_removed_in_the_moment_before_its_task_begins(servers: Servers) -> None:
    made = servers.room.new.record("db", "postgres", GITSHIP)
    assert servers.room.repair.settle([], []) == []
    assert servers.store.service(made.id).state is ServiceState.CREATING


def test_a_service_whose_task_an_earlier_gitship_did_not_begin_is_removed(tmp_path: Path) -> None:
    before = Servers(tmp_path)
    before.room.new.record("db", "postgres", GITSHIP)
    before.store.close()

    servers = Servers(tmp_path)
    servers.room.repair.settle([], [])
    assert servers.store.services() == []
    servers.store.close()


def test_a_task_that_cannot_begin_leaves_the_service_free(servers: Servers, tmp_path: Path) -> None:
    service = servers.service("db")
    (tmp_path / "service-tasks").rename(tmp_path / "moved")
    (tmp_path / "service-tasks").write_text("")  # as on a disk that takes nothing more
    with pytest.raises(GitshipError, match="cannot write"):
        servers.room.tasks.begin(service, "restart", GITSHIP, lambda journal: None)
    assert [task.state for task in servers.store.service_tasks(service.id)] == [TaskState.FAILED, TaskState.DONE]

    (tmp_path / "service-tasks").unlink()
    servers.wait(servers.room.tasks.begin(service, "restart", GITSHIP, lambda journal: None))

"""Links: the names of their variables, and when a login has had its time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gitship.engine.types import LABEL_APP_ID, LABEL_ONE_OFF, LABEL_SERVER, ContainerState
from gitship.model import App, DeployKind, DeployState
from gitship.model.services import ALIAS, LinkState, Service, ServiceLogin
from tests.unit.memory.servers import Servers


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    found = Servers(tmp_path)
    yield found
    found.room.stop()
    found.store.close()


def test_a_second_link_has_a_name_that_variables_can_have(servers: Servers) -> None:
    app = servers.app("shop")
    servers.link(servers.service("db"), app)

    second = servers.link(servers.service("2nd-db"), app)

    assert ALIAS.fullmatch(second.alias)


def rotated(servers: Servers, app: App) -> tuple[Service, ServiceLogin]:
    """A service whose app has got a new login; the one before."""
    service = servers.service("db")
    link = servers.link(service, app)
    before = servers.store.service_logins(link_id=link.id)[0]
    release = servers.store.create_release(
        app.id, commit="1a2b3c4d" * 5, image_id="sha256:1", image_bytes=1, config={}, processes=(), cause="",
        created_by="ada", manifest=None,
    )  # fmt: skip
    servers.store.set_live(app.id, release.id, [])
    servers.room.links.rotate(service, link)
    return service, before


def deploy(servers: Servers, app: App, kind: DeployKind) -> None:
    made = servers.store.create_deploy(app.id, kind, "ada")
    servers.store.update_deploy(replace(made, state=DeployState.LIVE))


def test_a_login_is_not_dropped_while_containers_that_a_scaling_has_kept_have_it(servers: Servers) -> None:
    app = servers.app("shop")
    service, before = rotated(servers, app)
    deploy(servers, app, DeployKind.SCALE)
    servers.room.links.settle(service)
    assert before.id in [login.id for login in servers.store.service_logins(link_id=before.link_id)]

    deploy(servers, app, DeployKind.CONFIG)
    servers.room.links.settle(service)
    assert before.id not in [login.id for login in servers.store.service_logins(link_id=before.link_id)]


def test_nor_while_a_one_off_that_has_it_runs(servers: Servers) -> None:
    app = servers.app("shop")
    service, before = rotated(servers, app)
    deploy(servers, app, DeployKind.CONFIG)
    labels = {LABEL_SERVER: servers.store.server_id(), LABEL_APP_ID: str(app.id), LABEL_ONE_OFF: "detached"}
    job = ContainerState("j", "shop.run.1.v1", labels, "running", started_at=before.created_at)
    servers.docker.containers["j"] = job
    servers.room.links.settle(service)
    assert before.id in [login.id for login in servers.store.service_logins(link_id=before.link_id)]

    servers.docker.remove("j")
    servers.room.links.settle(service)
    assert before.id not in [login.id for login in servers.store.service_logins(link_id=before.link_id)]


def test_a_link_that_ends_stays_for_a_one_off_that_has_it(servers: Servers) -> None:
    app = servers.app("shop")
    service, _ = rotated(servers, app)
    (link,) = servers.store.service_links(app_id=app.id)
    made = servers.store.create_deploy(app.id, DeployKind.CONFIG, "ada")
    servers.store.change_link(link.id, state=LinkState.ENDING, deploy=made.id)
    servers.store.update_deploy(replace(made, state=DeployState.LIVE))
    labels = {LABEL_SERVER: servers.store.server_id(), LABEL_APP_ID: str(app.id), LABEL_ONE_OFF: "detached"}
    servers.docker.containers["j"] = ContainerState("j", "shop.run.1.v1", labels, "running", started_at=1.0)

    servers.room.links.settle(service)
    assert servers.store.service_link(link.id).state is LinkState.ENDING

    servers.docker.remove("j")
    servers.room.links.settle(service)
    assert servers.store.service_links(app_id=app.id) == []

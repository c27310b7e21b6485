"""Services that an app's file declares: never another app's, whatever that is called."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gitship.appfiles.gitship_toml import DeclaredService
from gitship.deploy.job import Job, Request
from gitship.deploy.journal import DeployJournal
from gitship.deploy.rollout import Rollout
from gitship.errors import GitshipError
from gitship.events import Bus
from gitship.model import GITSHIP, App, DeployKind, DeployState
from gitship.model.services import LinkState
from tests.unit.memory.servers import Servers


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    found = Servers(tmp_path)
    yield found
    found.room.stop()
    found.store.close()


def push(servers: Servers, app: App, *entries: DeclaredService, logs: Path) -> None:
    """The step of a push's deploy that brings the services of its gitship.toml."""
    deploy = servers.store.create_deploy(app.id, DeployKind.PUSH, "ada")
    journal = DeployJournal(deploy, app, servers.store, Bus(), logs)
    rollout = Rollout(app, app, Job(app, Request(DeployKind.PUSH), journal, (GITSHIP,)), None, None, False)
    rollout.candidate = cast(Any, SimpleNamespace(manifest=SimpleNamespace(services=entries)))
    try:
        servers.room.declared.bring(rollout)
    finally:
        journal.close()


def linked(servers: Servers, app: App) -> list[str]:
    return [servers.store.service(link.service_id).name for link in servers.store.service_links(app_id=app.id)]


@pytest.mark.parametrize(
    ("first", "entry", "second", "other_entry"), [("a", "b-c", "a-b", "c"), ("shop.x", "db", "shop-x", "db")]
)
def test_an_app_never_gets_the_service_of_another_app_whose_name_comes_out_the_same(
    servers: Servers, tmp_path: Path, first: str, entry: str, second: str, other_entry: str
) -> None:
    one, other = servers.app(first), servers.app(second)
    push(servers, one, DeclaredService(entry, "postgres"), logs=tmp_path)
    (name,) = linked(servers, one)

    with pytest.raises(GitshipError, match=f"'{name}' already exists"):
        push(servers, other, DeclaredService(other_entry, "postgres"), logs=tmp_path)

    assert linked(servers, other) == []


def test_long_names_that_begin_alike_are_services_of_their_own(servers: Servers, tmp_path: Path) -> None:
    app = servers.app("the-shop-of-the-long-name-on-the-corner")
    push(servers, app, DeclaredService("db", "postgres"), DeclaredService("cache", "valkey"), logs=tmp_path)
    assert len(set(linked(servers, app))) == 2


@pytest.mark.parametrize("alias", ["", "OTHER"])
def test_variables_that_a_link_would_hide_are_told_before_anything_is_made(
    servers: Servers, tmp_path: Path, alias: str
) -> None:
    app = servers.app("shop")
    servers.store.replace_config(app.id, {f"{alias or 'DATABASE'}_URL": "sqlite:///shop.db"})
    with pytest.raises(GitshipError, match=r"shop has its own (DATABASE|OTHER)_URL") as refused:
        push(servers, app, DeclaredService("db", "postgres", alias=alias), logs=tmp_path)
    assert 'alias = "NAME" in gitship.toml' in refused.value.hint
    assert servers.store.services() == []
    assert servers.docker.made == []


def test_an_entry_that_comes_back_gets_its_data_and_no_other_engine(servers: Servers, tmp_path: Path) -> None:
    app = servers.app("shop")
    push(servers, app, DeclaredService("db", "postgres"), logs=tmp_path)
    (link,) = servers.store.service_links(app_id=app.id)
    servers.store.delete_link(link.id)  # as after a deploy without the entry

    with pytest.raises(GitshipError, match="is valkey, but shop-db is postgres"):
        push(servers, app, DeclaredService("db", "valkey"), logs=tmp_path)
    assert linked(servers, app) == []

    push(servers, app, DeclaredService("db", "postgres"), logs=tmp_path)
    assert [one.service_id for one in servers.store.service_links(app_id=app.id)] == [link.service_id]


def test_a_push_that_is_refused_does_not_take_over_a_link_made_by_hand(servers: Servers, tmp_path: Path) -> None:
    app = servers.app("shop")
    servers.link(servers.service("db"), app)

    with pytest.raises(GitshipError, match="is valkey, but db is postgres"):
        push(servers, app, DeclaredService("db", "valkey"), logs=tmp_path)
    push(servers, app, logs=tmp_path)

    (link,) = servers.store.service_links(app_id=app.id)
    assert link.state is LinkState.ACTIVE


def test_a_deploy_that_fails_leaves_what_the_next_one_gets_by_a_link(servers: Servers, tmp_path: Path) -> None:
    app = servers.app("shop")
    push(servers, app, DeclaredService("db", "postgres"), logs=tmp_path)
    push(servers, app, logs=tmp_path)
    assert servers.store.linked_environment(app.id) == {}  # of this deploy

    last = servers.store.deploys(app.id)[0]
    servers.store.update_deploy(replace(last, state=DeployState.FAILED))

    assert "DATABASE_URL" in servers.store.linked_environment(app.id)

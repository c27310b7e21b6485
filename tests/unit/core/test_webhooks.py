"""Webhooks in the store: a message is there exactly when what it tells of is."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitship.errors import Conflict, NotFound
from gitship.model import Delivery, DeliveryStatus, Deploy, DeployKind, DeployState, Webhook
from gitship.store import Store
from gitship.store.webhooks import KEPT_DELIVERIES, MOST_WAITING


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "gitship.db")
    yield opened
    opened.close()


def add(store: Store, name: str, *events: str, apps: list[int] | None = None) -> Webhook:
    return store.add_webhook(
        name, "https://example.com/x", format="json", events=events, secret="", apps=apps, anywhere=False,
        created_by="ada",
    )  # fmt: skip


def told(store: Store, webhook: Webhook) -> list[tuple[str, str]]:
    return [(d.event, d.app) for d in reversed(store.deliveries(webhook.id))]


def deploy(store: Store, app_id: int) -> Deploy:
    return store.create_deploy(app_id, DeployKind.PUSH, "ada", cause="push")


def test_a_deploys_life_is_told_once_per_event(store: Store) -> None:
    app = store.create_app("shop")
    hook = add(store, "ops")
    made = deploy(store, app.id)
    for changes in (
        {"state": DeployState.QUEUED},
        {"started_at": 1.0},
        {"state": DeployState.BUILDING},
        {"state": DeployState.DRAINING},
        {"reason": "again"},
        {"state": DeployState.LIVE},
    ):
        made = dataclasses.replace(made, **changes)
        store.update_deploy(made)
    assert told(store, hook) == [("deploy.started", "shop"), ("deploy.live", "shop")]
    assert {d.deploy_id for d in store.deliveries(hook.id)} == {made.id}
    assert len({d.uuid for d in store.deliveries(hook.id)}) == 2


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (DeployState.FAILED, "deploy.failed"),
        (DeployState.CANCELED, "deploy.canceled"),
        (DeployState.SUPERSEDED, "deploy.canceled"),
    ],
)
def test_an_early_end_is_told(store: Store, state: DeployState, event: str) -> None:
    app = store.create_app("shop")
    hook = add(store, "ops")
    store.update_deploy(dataclasses.replace(deploy(store, app.id), state=state))
    assert told(store, hook) == [(event, "shop")]


def test_a_webhook_hears_of_its_apps_and_events_alone(store: Store) -> None:
    shop = store.create_app("shop")
    everything, of_shop, failures = add(store, "a"), add(store, "b", apps=[shop.id]), add(store, "c", "deploy.failed")
    blog = store.create_app("blog")
    for app in (shop, blog):
        store.update_deploy(dataclasses.replace(deploy(store, app.id), state=DeployState.FAILED))
        store.delete_app(app.id)
    assert told(store, everything) == [
        ("app.created", "blog"), ("deploy.failed", "shop"), ("app.destroyed", "shop"), ("deploy.failed", "blog"),
        ("app.destroyed", "blog"),
    ]  # fmt: skip
    assert told(store, of_shop) == [("deploy.failed", "shop"), ("app.destroyed", "shop")]
    assert told(store, failures) == [("deploy.failed", "shop"), ("deploy.failed", "blog")]


def test_what_is_rolled_back_is_not_told(store: Store) -> None:
    hook = add(store, "ops")
    with pytest.raises(RuntimeError), store.transaction():
        store.create_app("shop")
        raise RuntimeError
    assert store.deliveries(hook.id) == []


def test_messages_survive_and_come_in_order_one_webhook_at_a_time(store: Store, tmp_path: Path) -> None:
    first, second = add(store, "a"), add(store, "b")
    store.create_app("shop")
    store.create_app("blog")
    again = Store(tmp_path / "gitship.db")
    due = again.due_deliveries(time.time() + 1)
    assert [(d.webhook_id, d.app) for d in due] == [(first.id, "shop"), (second.id, "shop")]
    again.update_delivery(dataclasses.replace(due[0], next_at=time.time() + 900))
    assert [d.webhook_id for d in again.due_deliveries(time.time() + 1)] == [second.id]  # `blog` waits behind `shop`
    again.update_delivery(dataclasses.replace(due[1], status=DeliveryStatus.DELIVERED))
    assert [d.app for d in again.due_deliveries(time.time() + 1)] == ["blog"]
    again.close()


def test_the_queue_is_bounded_and_what_is_dropped_is_noted(store: Store) -> None:
    hook = add(store, "ops")
    for number in range(MOST_WAITING + 3):
        store.add_delivery(hook, "container.crashed", f"app{number}")
    everything = store.deliveries(hook.id, 1000)
    dropped = [d for d in everything if d.status is DeliveryStatus.DROPPED]
    assert [d.app for d in reversed(dropped)] == ["app0", "app1", "app2"]
    assert "were waiting" in dropped[0].answer
    assert sum(d.status is DeliveryStatus.WAITING for d in everything) == MOST_WAITING


def test_of_those_that_ended_the_newest_are_kept(store: Store) -> None:
    hook = add(store, "ops")
    waiting = store.add_delivery(hook, "app.created", "waits")
    for number in range(KEPT_DELIVERIES + 5):
        made = store.add_delivery(hook, "app.created", f"app{number}")
        store.update_delivery(dataclasses.replace(made, status=DeliveryStatus.FAILED))
    kept: list[Delivery] = store.deliveries(hook.id, 1000)
    assert len(kept) == KEPT_DELIVERIES + 1
    assert kept[-1] == waiting


def test_names_are_unique_and_removal_takes_the_messages(store: Store) -> None:
    hook = add(store, "ops")
    with pytest.raises(Conflict):
        add(store, "ops")
    store.create_app("shop")
    store.remove_webhook(hook.id)
    assert store.deliveries(hook.id) == []
    with pytest.raises(NotFound):
        store.remove_webhook(hook.id)


def test_settings_of_the_server_are_kept(store: Store) -> None:
    store.set_server_setting("a", {"b": [1, None]})
    store.set_server_setting("c", 0)
    assert (store.server_setting("a"), store.server_setting("c")) == ({"b": [1, None]}, 0)
    store.set_server_setting("a", None)
    assert (store.server_setting("a"), store.server_setting("c")) == (None, 0)

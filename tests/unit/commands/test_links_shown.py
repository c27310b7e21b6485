"""Where links are shown: at the app, at the service, at a release; and what a clone says of them."""

from __future__ import annotations

from tests.unit.commands.world import World
from tests.unit.memory.services import running_service


def test_links_are_shown_on_both_sides(shop: World) -> None:
    running_service(shop.store, "db", "shop")
    running_service(shop.store, "old", "shop", read_only=True)
    shown = ["db (DATABASE)", "old (OLD_DATABASE, read-only)"]
    assert shop.ok("apps:info", "shop", "--format", "json").json["links"] == shown
    assert shop.ok("services:info", "db", "--format", "json").json["links"] == ["shop (DATABASE)"]


def test_a_release_has_the_links_that_it_was_started_with_and_no_password(shop: World) -> None:
    service = running_service(shop.store, "db", "shop")
    app = shop.store.app("shop")
    assert app.live_release is not None
    shop.store.note_release_links(app.live_release, app.id)
    shop.store.note_release_links(app.live_release, app.id)  # twice is once
    for link in shop.store.service_links(service_id=service.id):
        shop.store.delete_link(link.id)
    assert shop.ok("releases:info", "shop", "--format", "json").json["links"] == ["db (DATABASE)"]
    assert "-password" not in shop.ok("releases:info", "shop").out


def test_a_clone_says_which_links_do_not_come_along(shop: World) -> None:
    running_service(shop.store, "db", "shop")
    running_service(shop.store, "old", "shop", read_only=True)
    said = shop.ok("apps:clone", "shop", "shop-test").err
    assert "services:link db shop-test --alias DATABASE;" in said
    assert "services:link old shop-test --alias OLD_DATABASE --read-only;" in said
    assert shop.ok("apps:info", "shop-test", "--format", "json").json["links"] == []

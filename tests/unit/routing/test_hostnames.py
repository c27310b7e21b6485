"""Which names an app may have beside its own: none that is, or is becoming, another app's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gitship.appsettings import RENAMING
from gitship.config import Settings, WebSettings
from gitship.errors import Conflict
from gitship.routing.hostnames import directly_below, ensure_addable
from gitship.store import Store

SETTINGS = Settings(domain="example.com", web=WebSettings(domain="status.example.net"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "gitship.db")
    for name in ("shop", "blog", "api.blog"):
        made.create_app(name)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("a.example.com", "a"), ("a.b.example.com", ""), ("example.com", ""), ("aexample.com", ""),
        ("*.example.com", ""), ("a.example.net", ""), ("example.com.a", ""),
    ],
)  # fmt: skip
def test_one_label_more_is_directly_below(name: str, label: str) -> None:
    assert directly_below(name, "example.com") == label


@pytest.mark.parametrize(
    ("name", "says", "way"),
    [
        ("www.example.com",
         "www.example.com is directly below example.com, where each name belongs to the app of that name",
         "apps:create www"),
        ("blog.example.com", "directly below", "apps:create blog"),
        ("shop.example.com", "shop already answers at", "add"),
        ("api.blog.example.com", "is an app's own name", "another"), ("store.example.com", "directly below", "rename"),
        ("a.store.example.com", "is an app's own name", "another"), ("status.example.net", "is the status page", "web"),
    ],
)  # fmt: skip
def test_what_is_an_apps_own_is_refused_with_the_way(store: Store, name: str, says: str, way: str) -> None:
    store.set_setting(store.app("blog").id, RENAMING, "a.store")
    with pytest.raises(Conflict) as caught:
        ensure_addable(store, SETTINGS, store.app("shop"), name)
    assert says in caught.value.message and way in caught.value.hint


@pytest.mark.parametrize("name", ["www.shop.example.com", "example.com", "*.example.com", "shop.net", "a.localhost"])
def test_every_other_name_may_be_added(store: Store, name: str) -> None:
    ensure_addable(store, SETTINGS, store.app("shop"), name)

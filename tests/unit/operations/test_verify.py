"""What is asked through Varnish itself, when what answers there drips: the proof of a switch, and pages to warm."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gitship.config import Settings
from gitship.deploy import warm_cache
from gitship.deploy.warm_cache import CacheWarmer
from gitship.errors import DeployCanceled, DeployError
from gitship.front.cache_settings import DEFAULT
from gitship.front.front import AppFront, Backend, Front
from gitship.model import App
from gitship.routing import switch
from gitship.routing.desired_state import DesiredState
from gitship.routing.switch import Switch, Switched
from gitship.store import Store
from tests.unit.deploy.strangers import DRIPS, WAIT_S, Stranger, stranger, within

APP = App(1, "shop", 0.0, "main", 1, None)


class OneFront:
    """Varnish is whatever listens at that port."""

    def __init__(self, port: int) -> None:
        self.address = SimpleNamespace(host="127.0.0.1", port=port)

    def load(self, wanted: AppFront) -> str:
        return "vcl"

    def discard(self, vcl: str) -> None:
        return None

    @contextmanager
    def trial(self, vcl: str) -> Iterator[dict[str, str]]:
        yield {}


def verify(found: Stranger, cancel: threading.Event) -> BaseException:
    switching = Switch(cast(Front, OneFront(found.port)), "localhost", cast(DesiredState, None))
    backend = Backend("b", "127.0.0.1", found.port)
    switched = Switched("new", "old", "token", (backend,))
    [raised] = within(lambda: switching.verify(APP, switched, "/", cancel=cancel))
    return raised


@pytest.mark.parametrize("where", ["status line", "headers", "interim answers"])
def test_the_proof_of_a_switch_ends(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switch, "VERIFY_TIMEOUT_S", 0.5)
    monkeypatch.setattr(switch, "VERIFY_MOST_S", 2.0, raising=False)
    with stranger(DRIPS[where]) as found:
        raised = verify(found, threading.Event())
        assert isinstance(raised, DeployError) and not isinstance(raised, DeployCanceled), raised


def test_cancel_ends_the_proof_of_a_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switch, "VERIFY_TIMEOUT_S", 1000.0)
    monkeypatch.setattr(switch, "VERIFY_MOST_S", 1000.0, raising=False)
    cancel = threading.Event()
    with stranger(DRIPS["headers"]) as found:
        found.sets(cancel)
        raised = verify(found, cancel)
        assert isinstance(raised, DeployCanceled)
        assert found.closed.wait(WAIT_S)


@pytest.mark.parametrize("how", ["its time", "cancel"])
def test_warming_ends(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_cache, "ONE_S", 0.5 if how == "its time" else 1000.0)
    monkeypatch.setattr(warm_cache, "MOST_S", 1000.0)
    cancel = threading.Event()
    with stranger(DRIPS["headers"]) as found, closing(Store(tmp_path / "gitship.db")) as store:
        warmer = CacheWarmer(Settings(), store, cast(Front, OneFront(found.port)))
        backend = Backend("b", "127.0.0.1", found.port)
        cache = replace(DEFAULT, warm=("/",))
        wanted = AppFront("shop", "shop", "v1", "1/v1", (backend,), "0123456789abcdef", cache=cache)
        if how == "cancel":
            found.sets(cancel)
        warmed: list[Any] = []
        assert not within(lambda: warmed.append(warmer._warm(wanted, ["http://shop.localhost/"], cancel)))
        assert len(warmed[0].failures) == 1
        assert found.closed.wait(WAIT_S)

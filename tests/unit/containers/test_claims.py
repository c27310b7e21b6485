"""Whose turn it is: one at a time for each app, and nobody any more once the app has ended."""

from __future__ import annotations

import threading

import pytest

from gitship.containers.claims import Claims
from gitship.errors import Conflict, DeployCanceled, NotFound
from gitship.model import App

SHOP, BLOG = 1, 2
APP = App(SHOP, "shop", 0.0)
WAIT_S = 10.0


def test_one_has_it_and_another_app_is_free() -> None:
    claims = Claims()
    with claims.held(SHOP), claims.at_once(SHOP) as second, claims.at_once(BLOG) as other:
        assert (second, other) == (False, True)
    with claims.at_once(SHOP) as now:
        assert now


def test_who_waits_gets_it_when_it_is_given_back() -> None:
    claims, got = Claims(WAIT_S), threading.Event()

    def wait() -> None:
        with claims.held(SHOP):
            got.set()

    waiting = threading.Thread(target=wait, daemon=True)
    with claims.at_once(SHOP):
        waiting.start()
        assert not got.wait(0.05)
    assert got.wait(WAIT_S)
    waiting.join(WAIT_S)


def test_who_gives_up_was_canceled_and_who_waits_too_long_is_told() -> None:
    claims = Claims(0.0)
    with claims.held(SHOP):
        with pytest.raises(DeployCanceled, match="waiting for the app's containers"), claims.held(SHOP, lambda: True):
            pass
        with pytest.raises(Conflict, match="another operation is using the app's containers"), claims.held(SHOP):
            pass


def test_an_app_that_has_ended_stays_so_and_one_whose_end_failed_does_not() -> None:
    claims = Claims(0.0)
    with pytest.raises(RuntimeError), claims.ending(SHOP):
        raise RuntimeError
    with claims.joined(APP):
        pass
    with claims.ending(SHOP), pytest.raises(Conflict, match="already"), claims.ending(SHOP):
        pass
    with pytest.raises(NotFound), claims.joined(APP):
        pass

"""Answers 1xx before the real one: Varnish makes them 503, and its counters tell of whom they were."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gitship.front.early_responses import EarlyResponses, interim_answers
from gitship.front.front import AppFront, Backend, Front
from tests.e2e.front.asking import TOKEN, app, ask
from tests.e2e.front.conftest import switch
from tests.e2e.front.origin import Origin
from tests.listening import answering
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e


@contextmanager
def hinting(status: str) -> Iterator[int]:
    """An app that sends ``status`` before its 200; its port."""
    answer = f"HTTP/1.1 {status}\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

    def hint(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(answer.encode())

    listener = socket.create_server(("127.0.0.1", 0))
    with answering(listener, hint):
        yield listener.getsockname()[1]


@pytest.mark.parametrize("status", ["103 Early Hints", "102 Processing", "100 Continue"])
def test_they_are_counted_and_the_app_is_named(front: Front, status: str) -> None:
    front.set_hosts({"shop.localhost": "shop_x", "fine.localhost": "fine"})
    with hinting(status) as port, Origin("v1") as origin:
        switch(front, app("fine", origin))
        switch(front, AppFront("shop_x", "shop.x", "v1", "1/1", (Backend("shop.web.1", "127.0.0.1", port),), TOKEN))
        assert ask(front.address, "fine.localhost").status == 200
        assert interim_answers(front.workdir) == EarlyResponses(0)
        assert ask(front.address, "shop.localhost").status == 503
        found = wait_until(lambda: interim_answers(front.workdir).slugs, 30, "Varnish writes it down")
        assert found == ("shop_x",)
        assert interim_answers(front.workdir).count >= 1


def test_where_no_varnish_runs_there_are_none(base: Path) -> None:
    assert interim_answers(base) == EarlyResponses(0)

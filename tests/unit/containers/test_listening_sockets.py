from __future__ import annotations

import os
import socket

from gitship.containers import listening_sockets


def listen(host: str, family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    server = socket.socket(family)
    server.bind((host, 0))
    server.listen()
    return server


def test_listening_sockets_are_found() -> None:
    with listen("127.0.0.1") as loopback, listen("0.0.0.0") as everywhere:
        found = listening_sockets.listening(os.getpid())
        assert ("127.0.0.1", loopback.getsockname()[1]) in found
        assert ("0.0.0.0", everywhere.getsockname()[1]) in found


def test_an_app_on_loopback_only_is_told_so() -> None:
    with listen("127.0.0.1") as server:
        port = server.getsockname()[1]
        told = listening_sockets.explain(os.getpid(), port)
    assert told is not None
    assert f"only on 127.0.0.1:{port}" in told[0]
    assert f"0.0.0.0:{port}" in told[1]


def test_an_app_on_another_port_is_told_which() -> None:
    with listen("0.0.0.0") as server, listen("0.0.0.0") as closed:
        expected = closed.getsockname()[1]
        closed.close()
        told = listening_sockets.explain(os.getpid(), expected)
        assert told is not None
        assert str(server.getsockname()[1]) in told[0] and f"expected {expected}" in told[0]


def test_one_that_listens_nowhere_may_be_a_worker() -> None:
    told = listening_sockets.diagnose((), 5000, "shop")
    assert told is not None and not told.wrong
    assert "0.0.0.0:$PORT (5000)" in told.hint and "config:set shop NAME=VALUE" in told.hint
    assert "Procfile in the repository with `worker: COMMAND`" in told.hint


def test_a_process_that_is_gone_tells_nothing_wrong() -> None:
    assert listening_sockets.listening(2**22 + 1) == set()


def test_what_listens_on_loopback_at_another_port_is_told_and_may_be_a_helper() -> None:
    told = listening_sockets.diagnose([("127.0.0.1", 8080), ("::1", 8080), ("127.0.0.1", 9229)], 5000, "shop")
    assert told is not None
    assert told.cause == "listens only on 127.0.0.1:8080, 127.0.0.1:9229, expected 0.0.0.0:5000"
    assert told.hint == (
        "make the app listen on 0.0.0.0:$PORT (5000), or on 0.0.0.0:8080 (`ports:set shop 8080`); 127.0.0.1 is not"
        " reachable from outside the container"
    )
    assert not told.wrong

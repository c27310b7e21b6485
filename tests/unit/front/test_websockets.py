"""The way of websockets, as text: an app's VCL, and the configuration of the proxy behind it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gitship.front.app_vcl import app_vcl
from gitship.front.backend_vcl import LocalBackend
from gitship.front.websocket_config import websocket_config
from tests.unit.front.golden import check
from tests.unit.front.test_app_vcl import LARGEST, ONE

PLACES = (Path("/data/varnish/websockets/in.sock"), Path("/data/varnish/websockets/admin.sock"))


def test_as_root_it_gives_up_its_rights_and_lets_varnish_in() -> None:
    check("websockets.cfg", websocket_config(*PLACES, "haproxy", "varnish", threads=1))


def test_as_anybody_else_it_lets_in_who_it_is() -> None:
    text = websocket_config(*PLACES, None, None, threads=2)
    assert "user" not in text and "group" not in text and 'in.sock" mode 600' in text


def test_a_program_of_this_machine_that_has_no_websockets() -> None:
    local = LocalBackend("status", Path("/data/varnish/status.sock"))
    app = replace(ONE, backends=(), local=local)
    text = app_vcl(app, "app_x_v0_1", LARGEST)
    check("local.vcl", text)
    assert "return (pipe)" not in text


@pytest.mark.parametrize("path", ["relative.sock", '/data/"; }', "/" + "x" * 107, "/a\nb"])
def test_nothing_can_break_out_of_a_path(path: str) -> None:
    with pytest.raises(ValueError, match="cannot be put into VCL"):
        app_vcl(replace(ONE, proxy=Path(path)), "app_x_v0_1", LARGEST)
    with pytest.raises(ValueError, match="cannot be put into VCL"):
        LocalBackend("status", Path(path))

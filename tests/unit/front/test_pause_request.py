"""gitship's own request for the page of a pause, where Varnish does not take it."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from gitship.config_values import Address
from gitship.errors import FrontError
from gitship.front import pause_request
from gitship.front.pause_request import PauseRequest
from gitship.front.pause_vcl import Pause


def test_a_varnish_that_drops_the_question_is_asked_again_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when its worker has just been killed: for five seconds visitors went past the pause."""
    monkeypatch.setattr(pause_request, "TIMEOUT_S", 1e6)
    hold = PauseRequest(Pause(tmp_path / "pause.sock", "ab" * 16, time.time() + 30), None)
    try:
        with socket.create_server(("127.0.0.1", 0)) as varnish:
            address = Address("127.0.0.1", varnish.getsockname()[1])
            dropping = threading.Thread(target=lambda: varnish.accept()[0].close())
            dropping.start()
            with pytest.raises(FrontError, match="does not hold requests"):
                hold.establish(address, "shop.localhost")
            dropping.join()
        assert hold.lost
    finally:
        hold.end()

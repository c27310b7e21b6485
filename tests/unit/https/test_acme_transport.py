"""An authority that drips or floods: an order has its time, and so has every request of it."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from gitship.config import HttpsSettings
from gitship.errors import CertificateError
from gitship.https import acme, acme_transport
from gitship.https.acme import AcmeAuthority
from gitship.https.dns_hook import DnsHook
from tests.unit.deploy.strangers import DRIPS, dripped, stranger, within

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def answered(body: bytes) -> list[bytes]:
    return [HEAD + b"Content-Length: %d\r\n\r\n" % len(body), body]


def obtain(port: int, base: Path) -> BaseException:
    settings = HttpsSettings(directory=f"http://127.0.0.1:{port}/dir", check_dns=False)
    asking = AcmeAuthority(settings, base / "acme", DnsHook(base / "none"), lambda answers: None)
    [raised] = within(lambda: asking.obtain(["www.example.com"]))
    return raised


@pytest.mark.parametrize("where", [*DRIPS, "body without a length"])
def test_an_authority_that_drips_is_given_up(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acme, "REQUEST_TIMEOUT_S", 1)
    endless = lambda: itertools.chain([HEAD + b"\r\n"], dripped())  # noqa: E731
    with stranger(DRIPS.get(where, endless)) as found:
        raised = obtain(found.port, tmp_path)
        assert isinstance(raised, CertificateError) and "no answer in time" in raised.message, raised


def test_an_authority_that_floods_is_given_up(tmp_path: Path) -> None:
    with stranger(lambda: itertools.chain([HEAD + b"\r\n"], itertools.repeat(b"[" * 65536))) as found:
        raised = obtain(found.port, tmp_path)
        assert isinstance(raised, CertificateError) and "more than 1 MB" in raised.message, raised


def test_an_authority_that_answers_slowly_has_one_limit_for_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acme, "MOST_S", 1.5)
    urls = ("newNonce", "newAccount", "newOrder", "revokeCert", "keyChange")

    def slowly() -> Iterable[bytes]:
        time.sleep(0.4)  # what is tested is a server that is slow
        directory = {name: f"http://127.0.0.1:{found.port}/{name}" for name in urls}
        yield from answered(json.dumps(directory).encode())

    with stranger(slowly) as found:
        raised = obtain(found.port, tmp_path)
        assert isinstance(raised, CertificateError), raised


def test_redirects_end(tmp_path: Path) -> None:
    def away() -> list[bytes]:
        return [b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"]

    with stranger(away) as found:
        raised = obtain(found.port, tmp_path)
        assert isinstance(raised, CertificateError), raised
        assert found.count == 1 + acme.MOST_REDIRECTS


def test_a_whole_answer_comes_as_it_is() -> None:
    import requests

    session = requests.Session()
    session.mount("http://", acme_transport.BoundedAdapter(20, time.monotonic() + 20))
    with stranger(lambda: answered(b'{"a": 1}')) as found:
        answer = session.get(f"http://127.0.0.1:{found.port}/")
    assert (answer.status_code, answer.json(), answer.headers["Content-Type"]) == (200, {"a": 1}, "application/json")

"""Messages to webhooks over real sockets: sent, signed, sent again, and never to where they must not go."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gitship.events import Bus, Event
from gitship.model import DeliveryStatus, DeployKind, DeployState, Topic, Webhook
from gitship.notify import messages, post, sender
from gitship.notify.post import Undelivered
from gitship.notify.sender import WebhookSender
from gitship.store import Store
from tests.waiting import wait_until

WAIT_S = 10.0


@dataclass
class Receiver:
    """A server that keeps what it was sent and answers with ``statuses``, the last one from then on."""

    statuses: list[int] = field(default_factory=lambda: [204])
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    before_answer: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((self.path, dict(self.headers), body))
                receiver.before_answer()
                status = receiver.statuses[0] if len(receiver.statuses) == 1 else receiver.statuses.pop(0)
                self.send_response(status)
                self.send_header("Location", receiver.url("/elsewhere"))
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), name="receiver", daemon=True).start()

    def url(self, path: str = "/hook?token=1") -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}{path}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@dataclass
class Bench:
    store: Store
    bus: Bus
    sender: WebhookSender = field(init=False)

    def __post_init__(self) -> None:
        self.notifier = self.again()

    def webhook(self, name: str, url: str, **more: Any) -> Webhook:
        options = {
            "format": "json", "events": (), "secret": "", "apps": None, "anywhere": True, "created_by": "ada", **more,
        }  # fmt: skip
        return self.store.add_webhook(name, url, **options)

    def again(self) -> WebhookSender:
        return WebhookSender(
            self.store, self.bus, lambda app: f"http://{app.name}.example.com", (0.01, 0.01, 0.01, 0.01)
        )


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(sender, "POLL_S", 0.01)
    store = Store(tmp_path / "gitship.db")
    made = Bench(store, Bus())
    yield made
    made.notifier.stop()
    store.close()


def test_a_deploys_end_reaches_the_webhook_signed(bench: Bench, receiver: Receiver) -> None:
    hook = bench.webhook("ops", receiver.url(), secret="swordfish", events=("deploy.failed",))
    app = bench.store.create_app("shop")
    deploy = bench.store.create_deploy(app.id, DeployKind.PUSH, "ada", cause="push 1a2b3c4", commit="1a2b3c4")
    bench.store.update_deploy(
        replace(deploy, state=DeployState.FAILED, failed_stage=DeployState.CHECKING, reason="answered 500", hint="look")
    )
    bench.notifier.start()
    wait_until(lambda: bench.store.deliveries(hook.id)[0].status is DeliveryStatus.DELIVERED)
    [(path, headers, body)] = receiver.got
    told = json.loads(body)
    assert path == "/hook?token=1"
    assert headers["X-Gitship-Event"] == told["event"] == "deploy.failed"
    assert headers["X-Gitship-Delivery"] == told["id"]
    assert headers["X-Gitship-Signature-256"] == f"sha256={hmac.new(b'swordfish', body, hashlib.sha256).hexdigest()}"
    assert list(told) == ["event", "id", "at", "app", "text", "deploy"]
    assert told["text"] == "shop: deploy 1 (push 1a2b3c4, by ada) failed in checking: answered 500"
    assert {k: v for k, v in told["deploy"].items() if k not in ("seconds", "created_at")} == {
        "id": 1, "kind": "push", "cause": "push 1a2b3c4", "state": "failed", "release": None, "commit": "1a2b3c4",
        "created_by": "ada", "finished_at": None, "stages": [], "failed_stage": "checking", "reason": "answered 500",
        "hint": "look", "request": "", "url": "http://shop.example.com", "image_bytes": None, "growth_bytes": None,
    }  # fmt: skip


def test_it_is_sent_again_with_the_same_id_and_body_until_it_arrives(bench: Bench, receiver: Receiver) -> None:
    receiver.statuses = [500, 302, 404, 200]
    hook = bench.webhook("ops", receiver.url())
    bench.store.create_app("shop")
    bench.notifier.start()
    delivery = wait_until(lambda: next((d for d in bench.store.deliveries(hook.id) if d.status.ended), None))
    assert (delivery.status, delivery.tries) == (DeliveryStatus.DELIVERED, 4)
    assert len({(headers["X-Gitship-Delivery"], body) for _, headers, body in receiver.got}) == 1
    assert {path for path, _, _ in receiver.got} == {"/hook?token=1"}  # the redirect was not followed


def test_what_is_sent_again_is_the_same_even_if_the_app_is_gone_by_then(bench: Bench, receiver: Receiver) -> None:
    receiver.statuses = [500, 200]
    bench.webhook("ops", receiver.url(), events=("deploy.failed",))
    app = bench.store.create_app("shop")
    deploy = bench.store.create_deploy(app.id, DeployKind.PUSH, "ada")
    bench.store.update_deploy(replace(deploy, state=DeployState.FAILED, reason="answered 500"))
    receiver.before_answer = lambda: bench.store.delete_app(app.id)
    bench.notifier.start()
    wait_until(lambda: len(receiver.got) == 2)
    assert receiver.got[0][2] == receiver.got[1][2]
    assert json.loads(receiver.got[1][2])["deploy"]["reason"] == "answered 500"


def test_a_message_that_cannot_be_written_stands_in_no_way(bench: Bench, receiver: Receiver) -> None:
    hook = bench.webhook("ops", receiver.url())
    bench.store.add_delivery(hook, "deploy.failed", "shop", deploy_id=1, state="no such state")
    bench.store.create_app("shop")
    bench.notifier.start()
    wait_until(lambda: receiver.got)
    assert json.loads(receiver.got[0][2])["event"] == "app.created"
    assert bench.store.deliveries(hook.id)[1].answer == sender.INTERNAL


def test_after_five_tries_it_is_given_up_and_the_next_one_is_sent(bench: Bench, receiver: Receiver) -> None:
    receiver.statuses = [500, 500, 500, 500, 500, 200]
    hook = bench.webhook("ops", receiver.url())
    bench.store.create_app("shop")
    bench.store.create_app("blog")
    bench.notifier.start()
    wait_until(lambda: all(d.status.ended for d in bench.store.deliveries(hook.id)))
    blog, shop = bench.store.deliveries(hook.id)
    assert (shop.status, shop.tries, shop.answer) == (DeliveryStatus.FAILED, 5, "answered 500")
    assert (blog.status, blog.tries) == (DeliveryStatus.DELIVERED, 1)


def test_a_next_server_sends_what_an_earlier_one_could_not(bench: Bench, receiver: Receiver) -> None:
    hook = bench.webhook("ops", receiver.url())
    bench.store.create_app("shop")
    later = bench.again()  # the first one was killed before it looked
    later.start()
    wait_until(lambda: bench.store.deliveries(hook.id)[0].status is DeliveryStatus.DELIVERED)
    later.stop()
    assert len(receiver.got) == 1


def test_a_webhook_that_hangs_holds_up_no_other(bench: Bench, receiver: Receiver) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        bench.webhook("silent", f"http://127.0.0.1:{silent.getsockname()[1]}/")
        quick = bench.webhook("quick", receiver.url())
        bench.store.create_app("shop")
        bench.notifier.start()
        wait_until(lambda: bench.store.deliveries(quick.id)[0].status is DeliveryStatus.DELIVERED)


def test_what_comes_over_the_bus_is_told(bench: Bench, receiver: Receiver) -> None:
    app = bench.store.create_app("shop")
    hook = bench.webhook("ops", receiver.url(), apps=[app.id])
    bench.notifier.start()
    wait_until(lambda: bench.bus._subscriptions)
    for topic, name, app_id in (
        ("container.oom", "shop", app.id),
        ("container.oom", "blog", 99),
        ("deploy.line", "shop", app.id),
    ):
        bench.bus.publish(Event(topic, name, text="web.1 was killed", app_id=app_id))
    bench.bus.publish(Event("container.oom", "shop", text="the last", app_id=app.id))
    wait_until(lambda: len(receiver.got) > 1)
    first, last = (json.loads(body) for _, _, body in receiver.got)
    assert first["text"] == "shop: container.oom: web.1 was killed"
    assert first["deploy"] is None
    assert last["text"] == "shop: container.oom: the last"
    assert len(bench.store.deliveries(hook.id)) == 2


def test_a_test_is_sent_once_and_says_what_came_of_it(bench: Bench, receiver: Receiver) -> None:
    receiver.statuses = [500, 200]
    hook = bench.webhook("ops", receiver.url())
    bench.notifier.start()
    failed, delivered = bench.notifier.test(hook), bench.notifier.test(hook)
    assert (failed.status, failed.answer) == (DeliveryStatus.FAILED, "answered 500")
    assert (delivered.status, len(receiver.got)) == (DeliveryStatus.DELIVERED, 2)
    assert json.loads(receiver.got[0][2])["event"] == "test"


# -- shapes


@pytest.mark.parametrize("format", ["slack", "discord"])
def test_text_of_others_mentions_nobody_and_formats_nothing(format: str) -> None:
    evil = "<!channel> <@U1> @everyone [x](http://evil) *b* & `c`"
    sent = json.loads(messages.body(format, {"text": f"shop:\n{evil}"}))
    text = sent["text" if format == "slack" else "content"]
    assert "\n" not in text
    if format == "slack":
        assert list(sent) == ["text"]
        assert text.startswith("shop: &lt;!channel&gt; &lt;@U1&gt;") and "&amp;" in text
    else:
        assert sent["allowed_mentions"] == {"parse": []}
        assert "@everyone" not in text and r"\[x\]\(http" in text
    [long] = [v for v in json.loads(messages.body(format, {"text": "*" * 9000})).values() if isinstance(v, str)]
    assert len(long) <= 2000


def test_discord_gets_the_address_of_an_app_as_it_is() -> None:
    document = {"text": "my-app: is *live*, http://my-app.localhost", "deploy": {"url": "http://my-app.localhost"}}
    assert json.loads(messages.body("discord", document))["content"] == (
        r"my\-app: is \*live\*, http://my-app.localhost"
    )


# -- where it may go


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.8.8.8", "0.0.0.0", "10.231.0.5", "172.17.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
     "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1",
     "::127.0.0.1", "fec0::1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1"],
)  # fmt: skip
def test_addresses_that_only_an_admin_may_call(address: str) -> None:
    assert not post.is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "64:ff9b::101:101"])
def test_addresses_of_the_internet(address: str) -> None:
    assert post.is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"])
def test_no_name_leads_a_deployers_message_into_the_server(receiver: Receiver, host: str) -> None:
    url = receiver.url().replace("127.0.0.1", host)
    with pytest.raises(Undelivered, match="only an admin's webhook"):
        post.post(url, b"{}", {}, anywhere=False)
    assert receiver.got == []
    with suppress(Undelivered):  # the same one from an admin gets there, where the name leads there at all
        assert post.post(receiver.url(), b"{}", {}, anywhere=True) == 204


def test_one_private_address_among_public_ones_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, 0, 0, "", (address, 80)) for address in ("1.1.1.1", "169.254.169.254")]

    monkeypatch.setattr(socket, "getaddrinfo", look)
    with pytest.raises(Undelivered, match=r"resolves to 169\.254\.169\.254"):
        post.post("http://rebind.example.com/", b"", {}, anywhere=False)


def test_the_address_that_was_checked_is_the_one_that_is_called(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that answers differently the second time has no second time."""
    calls: list[str] = []
    real = socket.getaddrinfo

    def look(host: str, *more: Any, **options: Any) -> Any:
        calls.append(host)
        return real("127.0.0.1" if host == "hook.example.com" else host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look)
    port = receiver.url().split(":")[2].split("/")[0]
    assert post.post(f"http://hook.example.com:{port}/", b"{}", {}, anywhere=True) == 204
    assert calls == ["hook.example.com"]
    assert receiver.got[0][1]["Host"] == f"hook.example.com:{port}"


TRICKLES = 500  # 10 s of them


def trickle(server: socket.socket, wrap: Callable[[socket.socket], socket.socket], sent: list[int]) -> None:
    with suppress(OSError), wrap(server.accept()[0]) as connection:
        for number in range(TRICKLES):
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            sent.append(number)
            time.sleep(0.02)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_trickles_has_its_time_as_a_whole(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity, trusted = certificate(tmp_path)
    sent: list[int] = []

    def wrap(connection: socket.socket) -> socket.socket:
        return identity.wrap_socket(connection, server_side=True) if scheme == "https" else connection

    monkeypatch.setattr(ssl, "create_default_context", lambda: trusted)
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=trickle, args=(server, wrap, sent), name="trickle", daemon=True)
        thread.start()
        url = f"{scheme}://localhost:{server.getsockname()[1]}/"
        with pytest.raises(Undelivered, match=r"no answer within 2 s"):
            post.post(url, b"{}", {}, anywhere=True, timeout_s=2.0)
        thread.join(WAIT_S)
    assert len(sent) < TRICKLES


def test_a_certificate_that_nobody_trusts_is_not_sent_to(tmp_path: Path) -> None:
    identity, _ = certificate(tmp_path)
    got: list[bytes] = []

    def serve() -> None:
        with suppress(OSError), identity.wrap_socket(server.accept()[0], server_side=True) as connection:
            got.append(connection.recv(100))

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, name="untrusted", daemon=True)
        thread.start()
        with pytest.raises(Undelivered, match="certificate is not valid: self"):
            post.post(f"https://localhost:{server.getsockname()[1]}/", b"{}", {}, anywhere=True)
        thread.join(WAIT_S)
    assert got in ([], [b""])


def certificate(directory: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """For localhost, made by itself: the server's context and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = directory / "localhost.pem"
    pem = serialization.Encoding.PEM
    text = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(text + made.public_bytes(pem))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cafile=str(file))


def test_why_it_could_not_be_sent_is_told_in_words(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(Undelivered, match="connection refused"):
        post.post(f"http://127.0.0.1:{port}/", b"", {}, anywhere=True)
    with pytest.raises(Undelivered, match="has no address"):
        post.post("http://nowhere.invalid/", b"", {}, anywhere=True)


def test_its_end_waits_for_no_news(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "POLL_S", 60.0)
    bench.notifier.start()
    bench.notifier.stop()
    assert not any(thread.name == "notify" for thread in threading.enumerate())


def test_what_happened_to_an_app_is_not_told_to_those_of_another_with_its_old_name(bench: Bench) -> None:
    old = bench.store.create_app("shop")
    bench.store.rename_app(old.id, "store")
    new = bench.store.create_app("shop")
    theirs = bench.webhook("theirs", "http://127.0.0.1:9/", apps={new.id}, events=(Topic.RELEASE_BAD,))
    ours = bench.webhook("ours", "http://127.0.0.1:9/", apps={old.id}, events=(Topic.RELEASE_BAD,))
    bench.notifier.start()
    # whoever looks after a release for an hour knows its app by the name that it had when that began
    bench.bus.publish(Event(Topic.RELEASE_BAD, "shop", text="too many errors", app_id=old.id))
    wait_until(lambda: bench.store.deliveries(ours.id))
    assert bench.store.deliveries(theirs.id) == []

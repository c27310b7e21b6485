"""Delivers webhook messages in order, with retries, in its own threads.

A message is in the store in the same transaction as what it tells of, and leaves it when it was delivered or given up.
A server that is killed sends it at the next start, under the same id. No deploy ever waits for any of this.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import replace

from gitship.deploy.deploy_json import iso, told_document
from gitship.errors import NotFound
from gitship.events import Bus, Event
from gitship.model import App, Delivery, DeliveryStatus, DeployState, Topic, Webhook
from gitship.notify import messages
from gitship.notify.post import WEB_PORTS, Undelivered, post
from gitship.store import Store

log = logging.getLogger("gitship.notify")
PAUSES_S = (10.0, 60.0, 300.0, 1500.0)  # after each try that failed; five tries in half an hour
AT_ONCE = 4  # webhooks that are being called; the others wait
POLL_S = 0.5
STOP_S = 3.0
INTERNAL = "internal error; the server's log has it"
# These come from parts of gitship that keep no record of them.
FROM_BUS = frozenset({
    Topic.CONTAINER_CRASHED, Topic.CONTAINER_OOM, Topic.CRASH_LOOP, Topic.RELEASE_BAD, Topic.CRON_FAILED,
    Topic.CERTIFICATE_EXPIRING, Topic.CERTIFICATE_DELAYED,
})  # fmt: skip
_WAKING = FROM_BUS | {"deploy.state", "app"}


class WebhookSender:
    """Owns the thread `notify`, and one for each webhook that is being called."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        url: Callable[[App], str],
        pauses_s: tuple[float, ...] = PAUSES_S,
        own_ports: Collection[int] = WEB_PORTS,
    ) -> None:
        """``own_ports``: where visitors come in, so that a webhook may lead to an app of this server."""
        self._own_ports = own_ports
        self._store = store
        self._news = bus.subscribe(lambda event: event.topic in _WAKING)
        self._url = url
        self._pauses_s = pauses_s
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._calling: dict[int, threading.Thread] = {}
        self._thread = threading.Thread(target=self._loop, name="notify", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """A call that is under way is left to itself; its message is sent again at the next start."""
        self._stop.set()
        self._news.close()  # it is waited for
        deadline = time.monotonic() + STOP_S
        with self._lock:
            threads = [self._thread, *self._calling.values()]
        for thread in threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))

    def test(self, webhook: Webhook) -> Delivery:
        """Sends one message now, once, and waits for what comes of it; all others are sent as things happen."""
        text = f"a test of the webhook {webhook.name}"
        delivery = self._written(webhook, self._store.add_delivery(webhook, Topic.TEST, text=text, held=True))
        return self._tried(webhook, delivery, last=True)

    # -- the thread `notify`

    def _loop(self) -> None:
        with self._news as news:
            while not self._stop.is_set():
                try:
                    event = news.get(POLL_S)
                    while event is not None:
                        self._heard(event)
                        event = news.get(0)
                    self._write_bodies()
                    self._call_due()
                except sqlite3.Error:
                    if not self._stop.is_set():  # else the store is closed
                        log.exception("webhooks")
                        self._stop.wait(POLL_S)
                except Exception:
                    log.exception("webhooks")
                    self._stop.wait(POLL_S)

    def _heard(self, event: Event) -> None:
        if event.topic in FROM_BUS:
            self._store.announce(event.topic, event.app_id, event.app, text=event.text, at=event.at)

    def _write_bodies(self) -> None:
        """As soon as it is known, and once: what is sent again is the same, even if the app is gone by then."""
        webhooks = {webhook.id: webhook for webhook in self._store.webhooks()}
        for delivery in self._store.deliveries_without_body():
            if delivery.webhook_id not in webhooks:
                continue
            try:
                written = self._written(webhooks[delivery.webhook_id], delivery)
            except Exception:  # it must not stand in the way of all that come after it
                log.exception("message %s", delivery.uuid)
                written = replace(delivery, status=DeliveryStatus.FAILED, answer=INTERNAL)
            self._store.update_delivery(written)

    def _written(self, webhook: Webhook, delivery: Delivery) -> Delivery:
        deploy = self._deploy_of(delivery)
        document = {
            "event": delivery.event,
            "id": delivery.uuid,
            "at": iso(delivery.at),
            "app": delivery.app or None,
            "text": messages.text_of(delivery.event, delivery.app, delivery.text, deploy),
            "deploy": deploy,
        }
        return replace(delivery, body=messages.body(webhook.format, document))

    def _deploy_of(self, delivery: Delivery) -> dict[str, object] | None:
        if delivery.deploy_id is None:
            return None
        state = DeployState.LIVE if delivery.event == Topic.DEPLOY_LIVE else DeployState(delivery.state)
        try:
            deploy = self._store.deploy(delivery.deploy_id)
            url = self._url(self._store.app_by_id(deploy.app_id))
            return told_document(self._store, deploy, url, state=state.value, at=delivery.at)
        except NotFound:  # the app was destroyed meanwhile
            return None

    def _call_due(self) -> None:
        webhooks = {webhook.id: webhook for webhook in self._store.webhooks()}
        for delivery in self._store.due_deliveries(time.time()):
            webhook = webhooks.get(delivery.webhook_id)
            with self._lock:
                if webhook is None or webhook.id in self._calling or len(self._calling) >= AT_ONCE:
                    continue
                thread = threading.Thread(
                    target=self._call, args=(webhook,), name=f"webhook-{webhook.name}", daemon=True
                )
                self._calling[webhook.id] = thread
                thread.start()

    # -- a webhook's own thread

    def _call(self, webhook: Webhook) -> None:
        """Sends what is due, one after the other, until nothing is or a try fails."""
        try:
            while not self._stop.is_set():
                due = [d for d in self._store.due_deliveries(time.time()) if d.webhook_id == webhook.id and d.body]
                if not due or self._tried(webhook, due[0]).status is not DeliveryStatus.DELIVERED:
                    return
        except sqlite3.Error:
            if not self._stop.is_set():
                log.exception("webhook %s", webhook.name)
        except Exception:
            log.exception("webhook %s", webhook.name)
        finally:
            with self._lock:
                self._calling.pop(webhook.id, None)

    def _tried(self, webhook: Webhook, delivery: Delivery, *, last: bool = False) -> Delivery:
        began = time.monotonic()
        tries, now = delivery.tries + 1, time.time()
        try:
            body = delivery.body.encode()
            headers = messages.headers(webhook, delivery)
            status = post(webhook.url, body, headers, anywhere=webhook.anywhere, own_ports=self._own_ports)
        except Exception as error:
            if not isinstance(error, Undelivered):
                log.exception("webhook %s", webhook.name)
            answer = str(error) if isinstance(error, Undelivered) else INTERNAL
            over = last or tries > len(self._pauses_s)
            next_at = now if over else now + self._pauses_s[tries - 1]
            standing = DeliveryStatus.FAILED if over else DeliveryStatus.WAITING
            after = replace(delivery, status=standing, tries=tries, next_at=next_at, answer=answer)
        else:
            answer = f"answered {status} in {time.monotonic() - began:.1f} s"
            after = replace(delivery, status=DeliveryStatus.DELIVERED, tries=tries, answer=answer)
        self._store.update_delivery(after)
        return after

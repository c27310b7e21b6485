"""Webhooks and their undelivered messages."""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Iterable
from typing import Any

from gitship.errors import AlreadyThere, NotFound
from gitship.model import Delivery, DeliveryStatus, Webhook
from gitship.store.database import Database

MOST_WAITING = 200  # of one webhook: what is older is given up
KEPT_DELIVERIES = 50  # of one webhook, those that ended

_WEBHOOK = (
    "id, name, url, format, events, secret, all_apps, anywhere, created_by, created_at,"
    " (SELECT group_concat(app_id) FROM webhook_apps WHERE webhook_id = webhooks.id)"
)
_DELIVERY = "id, webhook_id, uuid, event, at, app, deploy_id, state, text, body, status, tries, next_at, answer"
_NEWEST = "SELECT id FROM deliveries WHERE webhook_id = ? AND {} ORDER BY id DESC LIMIT 1 OFFSET ?"


class Webhooks(Database):
    """Who is told of what, and the messages to them."""

    def webhooks(self) -> list[Webhook]:
        return [_webhook(row) for row in self._rows(f"SELECT {_WEBHOOK} FROM webhooks ORDER BY name")]

    def add_webhook(
        self, name: str, url: str, *, format: str, events: Iterable[str], secret: str, apps: Iterable[int] | None,
        anywhere: bool, created_by: str,
    ) -> Webhook:  # fmt: skip
        """``apps``: the ids of those it hears of, None for all. Raises Conflict when the name is taken."""
        row = (name, url, format, json.dumps(list(events)), secret, apps is None, anywhere, created_by, time.time())
        try:
            with self.transaction() as db:
                made = db.execute(
                    "INSERT INTO webhooks (name, url, format, events, secret, all_apps, anywhere, created_by,"
                    " created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    row,
                ).lastrowid
                db.executemany("INSERT INTO webhook_apps VALUES (?, ?)", [(made, app) for app in set(apps or ())])
        except sqlite3.IntegrityError:
            raise AlreadyThere(f"a webhook named '{name}' already exists", "choose another name") from None
        return _webhook(self._row(f"SELECT {_WEBHOOK} FROM webhooks WHERE id = ?", made))

    def remove_webhook(self, webhook_id: int) -> None:
        """With all messages to it. Raises NotFound."""
        with self.transaction() as db:
            if not db.execute("DELETE FROM webhooks WHERE id = ?", (webhook_id,)).rowcount:
                raise NotFound("the webhook was removed", "see `notify:list`")

    # -- messages

    def announce(
        self, event: str, app_id: int | None, app: str, *, deploy_id: int | None = None, state: str = "",
        text: str = "", at: float | None = None,
    ) -> None:  # fmt: skip
        """A message for every webhook that wants the event, in the transaction of whoever makes it happen."""
        with self.transaction():
            for webhook in self.webhooks():
                if webhook.wants(event, app_id):
                    self.add_delivery(webhook, event, app, deploy_id=deploy_id, state=state, text=text, at=at)

    def add_delivery(
        self, webhook: Webhook, event: str, app: str = "", *, deploy_id: int | None = None, state: str = "",
        text: str = "", at: float | None = None, held: bool = False,
    ) -> Delivery:  # fmt: skip
        """A message that waits to be sent; a webhook for which too many wait loses its oldest, which is noted.

        One that is ``held`` is sent by whoever made it, and by nobody else.
        """
        moment = time.time() if at is None else at
        status, answer = (DeliveryStatus.FAILED, "its end is unknown") if held else (DeliveryStatus.WAITING, "")
        row = (webhook.id, str(uuid.uuid4()), event, moment, app, deploy_id, state, text, status, moment, answer)
        with self.transaction() as db:
            made = db.execute(
                "INSERT INTO deliveries (webhook_id, uuid, event, at, app, deploy_id, state, text, status, next_at,"
                " answer) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            ).lastrowid
            db.execute(
                f"UPDATE deliveries SET status = ?, answer = ? WHERE webhook_id = ? AND status = ? AND id <= "
                f"({_NEWEST.format('status = ?')})",
                (
                    DeliveryStatus.DROPPED, f"more than {MOST_WAITING} were waiting", webhook.id,
                    DeliveryStatus.WAITING, webhook.id, DeliveryStatus.WAITING, MOST_WAITING,
                ),
            )  # fmt: skip
        return _delivery(self._row(f"SELECT {_DELIVERY} FROM deliveries WHERE id = ?", made))

    def deliveries_without_body(self) -> list[Delivery]:
        rows = self._rows(
            f"SELECT {_DELIVERY} FROM deliveries WHERE body = '' AND status = ? ORDER BY id", DeliveryStatus.WAITING
        )
        return [_delivery(row) for row in rows]

    def due_deliveries(self, now: float) -> list[Delivery]:
        """Of each webhook the oldest message that waits, when its time has come: they stay in order."""
        rows = self._rows(
            f"SELECT {_DELIVERY} FROM deliveries WHERE id IN"
            " (SELECT min(id) FROM deliveries WHERE status = ? GROUP BY webhook_id) AND next_at <= ? ORDER BY id",
            DeliveryStatus.WAITING, now,
        )  # fmt: skip
        return [_delivery(row) for row in rows]

    def update_delivery(self, delivery: Delivery) -> None:
        """Writes what became of it; of those that ended, the newest ``KEPT_DELIVERIES`` are kept."""
        d = delivery
        with self.transaction() as db:
            db.execute(
                "UPDATE deliveries SET body = ?, status = ?, tries = ?, next_at = ?, answer = ? WHERE id = ?",
                (d.body, d.status, d.tries, d.next_at, d.answer, d.id),
            )
            if d.status.ended:
                db.execute(
                    f"DELETE FROM deliveries WHERE webhook_id = ? AND status != ? AND id <= "
                    f"({_NEWEST.format('status != ?')})",
                    (
                        d.webhook_id, DeliveryStatus.WAITING, d.webhook_id, DeliveryStatus.WAITING, KEPT_DELIVERIES,
                    ),
                )  # fmt: skip

    def deliveries(self, webhook_id: int, limit: int = KEPT_DELIVERIES) -> list[Delivery]:
        """Newest first."""
        sql = f"SELECT {_DELIVERY} FROM deliveries WHERE webhook_id = ? ORDER BY id DESC LIMIT ?"
        return [_delivery(row) for row in self._rows(sql, webhook_id, limit)]


def _webhook(row: Any) -> Webhook:
    id_, name, url, format, events, secret, all_apps, anywhere, created_by, created_at, ids = row
    apps = None if all_apps else frozenset(map(int, ids.split(","))) if ids else frozenset()
    return Webhook(
        id_, name, url, format, tuple(json.loads(events)), secret, apps, bool(anywhere), created_by, created_at
    )


def _delivery(row: Any) -> Delivery:
    id_, webhook_id, uuid_, event, at, app, deploy_id, state, text, body, status, tries, next_at, answer = row
    return Delivery(
        id_, webhook_id, uuid_, event, at, app, deploy_id, state, text, body, DeliveryStatus(status), tries, next_at,
        answer,
    )  # fmt: skip

"""Webhook message bodies: JSON, Slack or Discord. Pure text."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import Any

from gitship import __version__
from gitship.model import Delivery, Topic, Webhook

MOST_CHARS = 1500  # of a line of text; Discord takes 2000, and escapes take some
_MARKDOWN = re.compile(r"([\\*_~`|>#\[\]()<-])")


def text_of(event: str, app: str, text: str, deploy: Mapping[str, Any] | None) -> str:
    """One line for people."""
    if deploy is None:
        return ": ".join(filter(None, (app, event, text)))
    what = f"{deploy['cause'] or deploy['kind']}, by {deploy['created_by']}"
    if event == Topic.DEPLOY_LIVE:
        size = f", image {deploy['image_bytes'] / 1e6:.0f} MB" if deploy["image_bytes"] else ""
        size += "" if deploy["growth_bytes"] is None else f" ({deploy['growth_bytes'] / 1e6:+.1f})"
        return f"{app}: v{deploy['release']} is live ({what}) in {deploy['seconds']:.1f}s{size}, {deploy['url']}"
    if event == Topic.DEPLOY_STARTED:
        return f"{app}: deploy {deploy['id']} has started ({what})"
    why = f": {deploy['reason']}" if deploy["reason"] else ""
    where = f" in {deploy['failed_stage']}" if deploy["failed_stage"] else ""
    return f"{app}: deploy {deploy['id']} ({what}) {deploy['state']}{where}{why}"


def body(format: str, document: Mapping[str, Any]) -> str:
    """The request's body. What apps, commits and people have written mentions nobody and formats nothing."""
    line = " ".join(document["text"].split())[:MOST_CHARS]
    if format == "slack":
        return json.dumps({"text": line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")})
    if format == "discord":
        plain = _plain(line)
        if deploy := document.get("deploy"):  # in an address, a backslash would be part of it
            plain = plain.replace(_plain(deploy["url"]), deploy["url"])
        return json.dumps({"content": plain[:2000], "allowed_mentions": {"parse": []}})
    return json.dumps(document)


def _plain(text: str) -> str:
    """As Discord shows it letter for letter."""
    return _MARKDOWN.sub(r"\\\1", text).replace("@", "@\u200b")


def headers(webhook: Webhook, delivery: Delivery) -> dict[str, str]:
    """The signature is made as GitHub makes it: HMAC-SHA256 of the body's bytes."""
    found = {
        "Content-Type": "application/json",
        "User-Agent": f"gitship/{__version__}",
        "X-Gitship-Event": delivery.event,
        "X-Gitship-Delivery": delivery.uuid,
    }
    if webhook.secret:
        digest = hmac.new(webhook.secret.encode(), delivery.body.encode(), hashlib.sha256).hexdigest()
        found["X-Gitship-Signature-256"] = f"sha256={digest}"
    return found

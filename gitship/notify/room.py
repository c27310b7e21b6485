"""Webhooks."""

from __future__ import annotations

from collections.abc import Callable

from gitship.core import Core
from gitship.model import App
from gitship.notify.post import WEB_PORTS
from gitship.notify.sender import WebhookSender


def build(core: Core, url: Callable[[App], str]) -> WebhookSender:
    visited = WEB_PORTS | {core.settings.http.listen.port, core.settings.https.listen.port}
    return WebhookSender(core.store, core.bus, url, own_ports=visited)

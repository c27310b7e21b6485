"""The status page, the front door for browsers and for programs."""

from __future__ import annotations

from gitship.core import Core
from gitship.operations.operations import Operations
from gitship.web.server import WebServer


def build(core: Core, operations: Operations) -> WebServer:
    return WebServer(core.settings.web.listen, core.store, core.bus, core.settings, operations)

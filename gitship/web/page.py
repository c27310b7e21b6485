"""What all handlers share: the parts they read from, the headers they send, and how they say what is wrong."""

from __future__ import annotations

import logging
import time
from concurrent.futures import Executor
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from tornado.httputil import split_host_and_port
from tornado.web import HTTPError, RequestHandler

from gitship.config import Settings
from gitship.deploy import journal
from gitship.errors import GitshipError, NotFound
from gitship.model import App, Deploy
from gitship.store import Store
from gitship.web import ages, stagebar
from gitship.web.live import Live
from gitship.web.logfile import LogFile
from gitship.web.status import Addresses

log = logging.getLogger(__name__)

# No inline script or style, nothing from elsewhere, no form, no frame.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
MAX_ID = (1 << 63) - 1  # SQLite's largest


@dataclass(frozen=True, slots=True)
class Services:
    """``files`` is where slow reads of big files run; ``only_local`` says that the server listens on loopback."""

    store: Store
    settings: Settings
    operations: Addresses
    live: Live
    files: Executor
    only_local: bool


def may_be_asked_as(host: str, settings: Settings) -> bool:
    """False for a Host header that only a foreign name led to a loopback address can have made (DNS rebinding)."""
    name = split_host_and_port(host.lower())[0].strip("[]").rstrip(".")
    try:
        ip_address(name)
    except ValueError:
        return any(name == own or name.endswith(f".{own}") for own in ("localhost", settings.domain))
    return True


class Page(RequestHandler):
    """Reads only: subclasses answer GET and HEAD."""

    def initialize(self, services: Services) -> None:
        self.services = services

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        self.set_header("Cache-Control", "no-store")

    def prepare(self) -> None:
        if self.services.only_local and not may_be_asked_as(self.request.host, self.services.settings):
            raise HTTPError(403, "the status page listens on this machine only and knows no '%s'", self.request.host)

    def app(self, name: str) -> App:
        """Raises NotFound; the name is only ever looked up."""
        return self.services.store.app(name)

    def deploy(self, app: App, deploy_id: str) -> Deploy:
        """Raises NotFound, also for a deploy of another app."""
        number = int(deploy_id)
        deploy = self.services.store.deploy(number) if number <= MAX_ID else None
        if deploy is None or deploy.app_id != app.id:
            raise NotFound(f"{app.name} has no deploy {deploy_id}", "its own are on the app's page")
        return deploy

    def log_file(self, app: App, deploy: Deploy) -> LogFile:
        return LogFile(journal.log_file(self.services.settings.logs, app, deploy.id))

    def remote(self, app: str) -> str:
        """The address to give to `git remote add`: the server's domain, or the name this page was asked by."""
        settings = self.services.settings
        here = split_host_and_port(self.request.host)[0] if settings.domain == "localhost" else settings.domain
        return f"ssh://deploy@{here}:{settings.ssh.listen.port}/{app}"

    def get_template_namespace(self) -> dict[str, Any]:
        namespace = super().get_template_namespace()
        return namespace | {"ages": ages, "stagebar": stagebar, "now": time.time(), "settings": self.services.settings}

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if not isinstance(value, GitshipError | HTTPError):
            log.error("%s %s failed", self.request.method, self.request.path, exc_info=(typ, value, tb))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """What happened and what to do; a traceback stays in the server's log."""
        error = kwargs.get("exc_info", (None, None))[1]
        message, hint = self._reason, "see `gitship serve`'s log" if status_code == 500 else ""
        if isinstance(error, GitshipError):
            message, hint = error.message, error.hint
            self.set_status(404 if isinstance(error, NotFound) else 500)
        elif isinstance(error, HTTPError):
            message = error.get_message() or message
        self.render("error.html", status=self.get_status(), message=message, hint=hint)

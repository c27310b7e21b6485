"""Base of all handlers: identity, headers, error pages, and protection against forged forms."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import socket
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, TypeVar

from tornado.httputil import split_host_and_port
from tornado.web import HTTPError, RequestHandler

from gitship import log_context
from gitship.config import Settings
from gitship.console import visible_apps
from gitship.console.dispatch import with_app
from gitship.deploy import journal
from gitship.errors import Conflict, GitshipError, NoPermission, NotFound, UsageError
from gitship.model import App, Deploy, Identity, Role
from gitship.operations.operations import Operations
from gitship.operations.sign_ins import SESSION_S
from gitship.routing.status_page_address import is_loopback
from gitship.store import Store
from gitship.web import humanize, stage_bar
from gitship.web.commits import Commits
from gitship.web.deploy_log_file import LogFile
from gitship.web.health import Health
from gitship.web.live_updates import LiveUpdates
from gitship.web.service_figures import ServiceFigures

log = logging.getLogger(__name__)
Result = TypeVar("Result")

# No inline script or style, nothing from elsewhere, no frame; a form leads back here.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
MAX_ID = (1 << 63) - 1  # SQLite's largest
# Any of these tells that somebody else asks than who has connected.
PROXY_HEADERS = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")
COOKIE = "gitship"
SECURE_COOKIE = "__Host-gitship"  # no other host, an app's for instance, can set one of this name


@dataclass(frozen=True, slots=True)
class PageServices:
    """``work`` is where slow reads run, ``deeds`` what is asked for; ``only_local``: the server listens on loopback."""

    store: Store
    settings: Settings
    operations: Operations
    live: LiveUpdates
    health: Health
    figures: ServiceFigures
    commits: Commits
    work: Executor
    deeds: Executor
    only_local: bool


def may_be_asked_as(host: str, settings: Settings) -> bool:
    """False for a Host header that only a foreign name led to a loopback address can have made (DNS rebinding)."""
    name = split_host_and_port(host.lower())[0].strip("[]").rstrip(".")
    try:
        ip_address(name)
    except ValueError:
        own = ("localhost", settings.domain, *filter(None, [settings.web.domain]))
        return any(name == host or name.endswith(f".{host}") for host in own)
    return True


class Page(RequestHandler):
    """Subclasses answer GET and HEAD for whoever is signed in; ``open_to_all`` to everybody, ``tokens`` to programs."""

    open_to_all = False
    tokens = False
    identity: Identity | None = None
    trouble = ""  # the id under which the log has what went wrong here

    def initialize(self, services: PageServices) -> None:
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
        self.identity = self.who_asks()
        if self.identity is None and not self.open_to_all:
            raise HTTPError(401, "sign in with your SSH key")

    # -- who asks

    def who_asks(self) -> Identity | None:
        """By the session's cookie or, where programs may ask, by a token; looked up anew each time."""
        sign_ins, address = self.services.operations.sign_ins, self.client_address
        kind, _, token = self.request.headers.get("Authorization", "").partition(" ")
        if self.tokens and kind.lower() == "bearer":
            return sign_ins.of_token(token.strip(), address)
        return sign_ins.of_session(self.session, address) if self.session else None

    @property
    def me(self) -> Identity:
        """Who is signed in. Only for pages that are not open to all."""
        assert self.identity is not None
        return self.identity

    @property
    def session(self) -> str:
        """The cookie's secret; "" when there is none."""
        return self.get_cookie(SECURE_COOKIE if self.https else COOKIE) or ""

    def begin_session(self, session: str) -> None:
        """Gives the browser its cookie; "" takes it away."""
        self.set_cookie(
            SECURE_COOKIE if self.https else COOKIE, session, max_age=int(SESSION_S) if session else 0,
            httponly=True, samesite="Lax", secure=self.https, path="/",
        )  # fmt: skip

    @property
    def by_front(self) -> bool:
        """True when gitship's own front hands the request on: by the socket that nobody else can connect to."""
        context = getattr(self.request.connection, "context", None)
        return getattr(context, "address_family", None) == socket.AF_UNIX

    @property
    def behind_proxy(self) -> bool:
        """True also for a proxy of somebody's own: it asks from this machine, and names its client."""
        foreign = any(name in self.request.headers for name in PROXY_HEADERS)
        return self.by_front or (foreign and is_loopback(self.request.remote_ip or ""))

    @property
    def on_this_machine(self) -> bool:
        """True when whoever asks is here, and no proxy in between."""
        return not self.behind_proxy and is_loopback(self.request.remote_ip or "")

    @property
    def client_address(self) -> str:
        if self.behind_proxy:
            return self.request.headers.get("X-Real-IP", "")[:45]
        return self.request.remote_ip or ""

    @property
    def https(self) -> bool:
        return self.behind_proxy and self.request.headers.get("X-Forwarded-Proto", "").lower() == "https"

    @property
    def form_token(self) -> str:
        """Stands in every form; no other site can know it, since it follows from the cookie."""
        return hashlib.sha256(f"form {self.session}".encode()).hexdigest()

    def check_form(self) -> None:
        """Raises HTTPError 403 for a form that was not sent from a page of this session."""
        self.check_origin()
        if not hmac.compare_digest(self.get_body_argument("form_token", "").encode(), self.form_token.encode()):
            raise HTTPError(403, "this form belongs to another session; reload its page")

    def check_origin(self) -> None:
        """Raises HTTPError 403 when the browser says that another site sent the form."""
        if self.request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise HTTPError(403, "forms of other sites are refused")

    def may(self, role: Role) -> bool:
        return self.identity is not None and self.identity.role.allows(role)

    def require(self, role: Role, what: str) -> None:
        """Raises NoPermission; before anything is looked up."""
        if not self.may(role):
            raise visible_apps.denied(what, self.me, role)

    # -- what is asked for

    def app(self, name: str) -> App:
        """Raises NotFound, the same for an app that is not there and one that the key may not know of."""
        return visible_apps.app(self.services.store, self.me, name)

    def deploy(self, app: App, deploy_id: str) -> Deploy:
        """Raises NotFound, also for a deploy of another app."""
        number = int(deploy_id)
        found = None
        if number <= MAX_ID:
            try:
                found = self.services.store.deploy(number)
            except NotFound:
                found = None
        if found is None or found.app_id != app.id:  # in the same words, whether another app has it or nobody
            raise NotFound(f"{app.name} has no deploy {deploy_id}", "see the app's page for its deploys")
        return found

    def log_file(self, app: App, deploy: Deploy) -> LogFile:
        return LogFile(journal.log_file(self.services.settings.logs, app.id, deploy.id))

    def remote(self, app: str) -> str:
        """The address to give to `git remote add`."""
        return f"ssh://{self.server}/{app}"

    @property
    def server(self) -> str:
        """Who to name to ssh: the server's domain, or the name that this page was asked by, with the port of SSH."""
        return f"deploy@{self.ssh_host}:{self.services.settings.ssh.listen.port}"

    @property
    def ssh_host(self) -> str:
        settings = self.services.settings
        return split_host_and_port(self.request.host)[0] if settings.domain == "localhost" else settings.domain

    def command(self, words: str) -> str:
        """A command as one types it."""
        return f"ssh -p {self.services.settings.ssh.listen.port} deploy@{self.ssh_host} {words}"

    async def in_background(self, call: Callable[..., Result], *given: Any) -> Result:
        """What takes too long for the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self.services.work, call, *given)

    # -- answers

    def get_template_namespace(self) -> dict[str, Any]:
        return super().get_template_namespace() | {
            "ages": humanize,
            "stagebar": stage_bar,
            "now": time.time(),
            "settings": self.services.settings,
            "identity": self.identity,
            "deployer": self.may(Role.DEPLOYER),
            "command": self.command,
        }

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if not isinstance(value, GitshipError | HTTPError):
            self.trouble = log_context.new_request()
            with log_context.traced(request=self.trouble):
                log.error("%s %s failed", self.request.method, self.request.path, exc_info=(typ, value, tb))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """What happened and what to do; a traceback stays in the server's log."""
        error = kwargs.get("exc_info", (None, None))[1]
        found = f"the server's log has it under request {self.trouble}" if self.trouble else "see `gitship serve`'s log"
        message, hint = self._reason, found if status_code == 500 else ""
        if isinstance(error, GitshipError):
            message, hint = error.message, with_app(error.hint, self.path_args[0] if self.path_args else "")
            statuses = {NotFound: 404, NoPermission: 403, Conflict: 409, UsageError: 400}
            self.set_status(next((s for kind, s in statuses.items() if isinstance(error, kind)), 500))
        elif isinstance(error, HTTPError):
            message = error.get_message() or message
        self.say_error(message, hint)

    def say_error(self, message: str, hint: str) -> None:
        if self.get_status() == 401:
            self.render("signin.html")
            return
        self.render("error.html", status=self.get_status(), message=message, hint=hint)

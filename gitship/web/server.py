"""HTTP server of the status page: Tornado in its own thread."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tornado.netutil import bind_sockets
from tornado.web import Application, StaticFileHandler, url

from gitship.config import Settings
from gitship.config_values import Address
from gitship.errors import FrontError, GitshipError
from gitship.events import Bus
from gitship.front import unix_socket
from gitship.front.varnishd import reader_group
from gitship.operations.operations import Operations
from gitship.routing.status_page_address import is_loopback
from gitship.store import Store
from gitship.web import (
    actions,
    api,
    app_page,
    backup_pages,
    badges,
    docs,
    event_stream,
    metrics,
    pages,
    service_pages,
    sign_in,
)
from gitship.web.app_log_stream import AppLogs
from gitship.web.app_logs import LogsPage, LogStream
from gitship.web.commits import Commits
from gitship.web.connection_limit import BoundedServer
from gitship.web.health import Health
from gitship.web.live_updates import LiveUpdates
from gitship.web.page import CONTENT_SECURITY_POLICY, PageServices
from gitship.web.page_cache import PageCache
from gitship.web.service_figures import ServiceFigures
from gitship.web.sse_frames import Frames

log = logging.getLogger(__name__)

HERE = Path(__file__).parent
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 10.0
IDLE_TIMEOUT_S = 60.0  # of a kept-alive connection between two requests, and for the head of the first
BODY_TIMEOUT_S = 20.0
MAX_HEADER_BYTES = 16 << 10
MAX_BODY_BYTES = 1 << 12  # forms of a few fields
WORKERS = 6
DEEDS = 4  # at once; a cancellation may wait for a minute


class Static(StaticFileHandler):
    """Style, scripts and icon; their addresses carry a hash of the content, so they are kept for good."""

    def set_extra_headers(self, path: str) -> None:
        self.clear_header("Server")
        self.set_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        self.set_header("X-Content-Type-Options", "nosniff")


class WebServer:
    """Serves from ``start`` to ``stop``; ``address`` is what it is bound to (``listen`` may say port 0)."""

    def __init__(self, listen: Address, store: Store, bus: Bus, settings: Settings, operations: Operations) -> None:
        self._listen = listen
        self._store = store
        self._bus = bus
        self._settings = settings
        self._operations = operations
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._live: LiveUpdates | None = None
        self.address = listen

    def start(self) -> None:
        """Raises GitshipError when the address cannot be had."""
        try:
            sockets = bind_sockets(self._listen.port, self._listen.host, reuse_port=False)
        except OSError as error:
            raise GitshipError(
                f"the status page cannot listen on {self._listen}: {error.strerror or error}",
                "stop the program that listens there, or change web.listen",
            ) from None
        self.address = Address(self._listen.host, sockets[0].getsockname()[1])
        try:
            if self._settings.web.domain:
                sockets.append(unix_socket.listen(self._settings.status_socket, reader_group()))
                sockets[-1].setblocking(False)
        except FrontError:
            for listener in sockets:
                listener.close()
            raise
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(sockets)), name="web", daemon=True)
        self._thread.start()
        if not self._ready.wait(START_TIMEOUT_S):
            raise GitshipError("the status page did not start", "see the server's log")

    def stop(self) -> None:
        """Ends open streams (browsers come back by themselves) and the thread, where they run."""
        thread, self._thread = self._thread, None
        if thread is None or not thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._ending.set)
        thread.join(STOP_TIMEOUT_S)
        if thread.is_alive():
            log.warning("the status page did not end in %g s", STOP_TIMEOUT_S)

    def rights_changed(self) -> None:
        """Every viewer's right is looked at again, at once."""
        if self._live is not None and self._ready.is_set():
            self._live.rights_changed()

    async def _serve(self, sockets: list[socket.socket]) -> None:
        self._loop = asyncio.get_running_loop()
        self._ending = asyncio.Event()
        live = self._live = LiveUpdates(self._bus)
        with (
            ThreadPoolExecutor(WORKERS, thread_name_prefix="web-work") as work,
            ThreadPoolExecutor(DEEDS, thread_name_prefix="web-work-deeds") as deeds,
        ):
            facts = self._operations.facts
            health = Health(self._store, self._operations, live, work)
            figures = ServiceFigures(self._store, self._operations, live)
            services = PageServices(
                self._store, self._settings, self._operations, live, health, figures,
                Commits(facts, work), work, deeds, is_loopback(self._listen.host),
            )  # fmt: skip
            app_logs = AppLogs(facts)
            server = BoundedServer(
                application(services, app_logs),
                idle_connection_timeout=IDLE_TIMEOUT_S,
                max_header_size=MAX_HEADER_BYTES,
                max_body_size=MAX_BODY_BYTES,
                body_timeout=BODY_TIMEOUT_S,
            )
            live.start()
            watching = [
                asyncio.create_task(health.watch(), name="web-health-watch"),
                asyncio.create_task(figures.watch(), name="web-figures-watch"),
            ]
            server.add_sockets(sockets)
            self._ready.set()
            await self._ending.wait()
            server.stop()
            for watch in watching:
                watch.cancel()
            figures.stop()
            live.stop()
            app_logs.stop()
            await asyncio.sleep(0)  # viewers that were woken write their last
            await server.close_all_connections()


def application(services: PageServices, app_logs: AppLogs) -> Application:
    """All addresses of the status page."""
    app, deploy, service = r"/apps/([^/]+)", r"/apps/([^/]+)/deploys/([0-9]{1,19})", r"/services/([^/]+)"
    reads = {"services": services}
    kept = PageCache()
    return Application(
        [
            url(r"/", pages.OverviewPage, {**reads, "kept": kept}),
            url(app, app_page.AppPage, {**reads, "kept": kept}),
            url(rf"{app}/changes", event_stream.ChangeStream, reads),
            url(rf"{app}/actions/([a-z-]+)", actions.ActionPage, reads),
            url(rf"{app}/logs", LogsPage, reads),
            url(rf"{app}/logs/stream", LogStream, {**reads, "logs": app_logs}),
            url(deploy, pages.DeployPage, reads),
            url(rf"{deploy}/log", pages.DeployLog, reads),
            url(rf"{deploy}/stream", event_stream.DeployStream, {**reads, "frames": Frames()}),
            url(r"/changes", event_stream.ChangeStream, reads),
            url(r"/services", service_pages.ServicesPage, reads),
            url(r"/changes/services", service_pages.ServiceChanges, reads),
            url(service, service_pages.ServicePage, reads),
            url(rf"{service}/changes", service_pages.ServiceChanges, reads),
            url(rf"{service}/logs", service_pages.ServiceLogsPage, reads),
            url(rf"{service}/logs/stream", service_pages.ServiceLogStream, {**reads, "logs": app_logs}),
            url(r"/backups", backup_pages.BackupsPage, reads),
            url(r"/sign-in/([A-Za-z0-9_-]{1,100})", sign_in.SignIn, reads),
            url(r"/sign-out", sign_in.SignOut, reads),
            url(r"/docs", docs.DocsIndex, reads),
            url(r"/docs/index\.json", docs.DocsSearch, reads),
            url(r"/docs/([a-z-]+)", docs.DocsPage, reads),
            url(r"/api", api.ApiPage, reads),
            url(r"/api/apps", api.AppsHandler, reads),
            url(r"/api/apps/([^/]+)", api.AppHandler, reads),
            url(r"/api/apps/([^/]+)/releases", api.ReleasesHandler, reads),
            url(r"/api/apps/([^/]+)/deploys", api.DeploysHandler, reads),
            url(r"/api/apps/([^/]+)/deploys/([0-9]{1,19})", api.DeployHandler, reads),
            url(r"/api/apps/([^/]+)/deploys/([0-9]{1,19})/log", pages.DeployLog, reads),
            url(r"/api/apps/([^/]+)/traffic", api.TrafficHandler, reads),
            url(r"/api/apps/([^/]+)/logs", api.LogsHandler, reads),
            url(r"/api/services", service_pages.ServicesHandler, reads),
            url(r"/api/services/([^/]+)", service_pages.ServiceHandler, reads),
            url(r"/api/services/([^/]+)/logs", service_pages.ServiceLogsHandler, reads),
            url(r"/api/backups", backup_pages.BackupsHandler, reads),
            url(r"/api/server", api.ServerHandler, reads),
            url(r"/api/.*", api.NotFoundHandler, reads),
            url(r"/badge/([^/]+)\.svg", badges.Badge, reads),
            url(r"/metrics", metrics.MetricsPage, reads),
            url(r"/healthz", api.Healthz, reads),
        ],
        default_handler_class=pages.NoSuchPage,
        default_handler_args=reads,
        template_path=str(HERE / "templates"),
        static_path=str(HERE / "static"),
        static_handler_class=Static,
        log_function=lambda handler: None,  # errors are logged with their cause in Page.log_exception
    )

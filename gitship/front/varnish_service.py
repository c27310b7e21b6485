"""Starts, adopts and stops the running Varnish."""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from gitship.config_values import Address
from gitship.errors import FrontError
from gitship.front import acme_challenges, boot_order, compiled_vcls, launch_record
from gitship.front.app_vcl import unavailable_vcl
from gitship.front.atomic_file import write_atomically
from gitship.front.host_table_vcl import TOP_PREFIX, top_vcl
from gitship.front.launch_record import Launch
from gitship.front.state_files import BootFiles
from gitship.front.tcp_ports import LOOPBACK, free_port
from gitship.front.varnish_cli import VarnishCli
from gitship.front.varnishd import AdminPortTaken, BootRefused, Varnishd, reader_group, tls_listener

START_TRIES = 3

log = logging.getLogger("gitship.front")


class VarnishService:
    """``control`` is the way to talk to it, ``files`` what the next varnishd will find, ``group`` who may read that.

    ``first`` tells the labels that are wanted back first, when there are many.
    """

    def __init__(self, http: Address, directory: Path, memory_bytes: int, first: Callable[[], Sequence[str]]) -> None:
        self._first = first
        self._wanted = http
        self._directory = directory
        self._memory_bytes = memory_bytes
        self._tls = tls_listener(directory)
        self._varnishd = Varnishd(directory)
        self._launch_file = directory / "varnishd.json"
        self._start_file = directory / "start.cli"
        self._lock = threading.Lock()
        self.group = reader_group()
        self.files = BootFiles(directory, self.group)
        self.control = VarnishCli(self._admin, self._varnishd.secret)

    @property
    def workdir(self) -> Path:
        """Where varnishd keeps its log and counters."""
        return self._varnishd.workdir

    def ensure_running(self) -> None:
        """Starts varnishd, or takes over the one that runs; one with other settings is ended and started anew.

        Raises FrontError that names who holds the port.
        """
        with self._lock:
            if self._varnishd.pid() is not None:
                started = self._launched()
                if started is not None:
                    if "stopped" in self.control.command("status"):
                        self.control.command("start")
                    return
                self._stop()
            self._prepare()
            self._start()

    def stop(self) -> None:
        with self._lock:
            self._stop()

    def alive(self) -> bool:
        """True when varnishd runs, answers, and has its worker."""
        try:
            return self._varnishd.pid() is not None and "running" in self.control.command("status")
        except FrontError:
            return False

    def trial_token(self) -> str:
        """What only this gitship and its Varnish know; the same for as long as the secret is."""
        return hashlib.sha256(b"trial " + self._varnishd.secret.read_bytes()).hexdigest()[:32]

    @property
    def address(self) -> Address:
        """Where visitors arrive, with the real port. Raises FrontError before the first start on any free port."""
        started = self._launched()
        if started is None and self._wanted.port == 0:
            raise FrontError("Varnish was never started", "run `gitship serve`")
        return started.http if started else self._wanted

    def _launched(self) -> Launch | None:
        """How varnishd was started last, if that is what these settings ask for."""
        started = launch_record.read(self._launch_file)
        return started if started and started.serves(self._wanted, self._memory_bytes, self._tls) else None

    def _admin(self) -> Address:
        started = launch_record.read(self._launch_file)
        if started is None:
            raise FrontError("Varnish was never started", "run `gitship serve`")
        return started.admin

    def _stop(self) -> None:
        self.control.close()
        self._varnishd.stop()

    def _prepare(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._directory.chmod(0o711)  # varnishd's user has to get through
        self.files.prepare(unavailable_vcl(), acme_challenges.vcl(acme_challenges.EMPTY, {}))
        if not self._varnishd.secret.exists():
            write_atomically(self._varnishd.secret, secrets.token_hex(32) + "\n")
        if not self.files.exists():
            self._write_empty()

    def _write_empty(self) -> None:
        self.files.write({}, f"{TOP_PREFIX}{int(time.time() * 1000)}", lambda _: top_vcl({}))

    def _start(self) -> None:
        for tries_left in reversed(range(START_TRIES)):
            now = self._next_launch()
            launch_record.write(self._launch_file, now)
            start, later = boot_order.split(self.files.read(), self._first(), boot_order.AT_ONCE)
            write_atomically(self._start_file, boot_order.inlined(start, self.files.text))
            try:
                self._varnishd.start(now.http, now.admin, now.memory_bytes, now.tls, self._start_file)
                if "running" in self.control.command("status"):
                    self._load(later)
                    compiled_vcls.prune(self._directory)
                    return
                self._stop()
                raise BootRefused("varnishd found no configuration in its start file", "see the server's log")
            except AdminPortTaken:
                if not tries_left:
                    raise
            except BootRefused as error:
                if not tries_left:
                    raise
                log.error("%s; starting without apps, they are loaded again one by one", error.message)
                self._write_empty()

    def _load(self, later: Sequence[boot_order.DeferredVcl]) -> None:
        """An app that cannot be loaded keeps its page, as at the start."""
        for app in later:
            try:
                self.control.inline(app.vcl, self.files.text(app.vcl) or "")
                self.control.command("vcl.label", app.label, app.vcl)
            except FrontError as error:
                log.error("%s", error.message)

    def _next_launch(self) -> Launch:
        before = launch_record.read(self._launch_file)
        http = self._wanted
        if http.port == 0:
            if before is not None and before.wanted_port == 0 and before.http.host == http.host:
                http = before.http
            else:
                http = replace(http, port=free_port(http.host))
        admin = Address(LOOPBACK, free_port(LOOPBACK))
        return Launch(http, admin, self._memory_bytes, self._wanted.port, self._tls)

"""TLS terminator: the running haproxy and its certificates."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable
from pathlib import Path

from gitship.config_values import Address
from gitship.errors import FrontError
from gitship.front.atomic_file import write_atomically
from gitship.front.haproxy import CertificatesRefused, Haproxy, program, proxy_user
from gitship.front.tls import self_signed, served_certificates
from gitship.front.tls.admin import Admin
from gitship.front.tls.haproxy_config import haproxy_config
from gitship.front.tls.served_certificates import ServedCertificate
from gitship.front.varnishd import tls_socket

DEFAULT_NAME = "gitship.invalid"
DEFAULT_DAYS = 3650

log = logging.getLogger("gitship.tls")


class Terminator:
    """Safe from any thread. What haproxy shows is asked of it each time, so either side may be restarted."""

    def __init__(self, listen: Address, directory: Path, certificates: Path, varnish_dir: Path) -> None:
        """``directory`` is haproxy's own, ``certificates`` where the PEM files lie (both mode 0700)."""
        self.listen = listen
        self._directory = directory
        self._certificates = certificates
        self._crt_list = certificates / "crt.list"
        self._varnish = tls_socket(varnish_dir)
        self._haproxy = Haproxy(directory)
        self._admin = Admin(self._haproxy.admin)
        self._lock = threading.Lock()
        self._ended = False  # by this object; looking for it costs a walk through all processes

    def bring(self, entries: Iterable[ServedCertificate]) -> dict[str, FrontError]:
        """haproxy runs and shows exactly these from the next connection on; no connection is cut.

        Raises FrontError when haproxy can't be started. Gives back the certificates that it doesn't take (by entry
        name); they keep nothing else from being shown, and what they would replace goes on.
        """
        wanted = {entry.name: entry for entry in entries}
        with self._lock:
            program()
            if any(letter.isspace() for letter in f"{self._directory}{self._certificates}{self._varnish}"):
                raise FrontError("haproxy cannot use a data_dir with spaces in its name", "move it, and set data_dir")
            self._ended = False
            self._write(wanted)
            if not self._runs_as_wanted() and self._start():
                return {}
            refused = self._change(wanted)
            self._sweep(wanted)
            return refused

    def stop(self) -> None:
        """Ends haproxy: nothing is served by HTTPS any more. The files stay for the next start."""
        with self._lock:
            if not self._ended:
                self._haproxy.stop()
            self._ended = True

    def alive(self) -> bool:
        return self._haproxy.pid() is not None and self._admin.alive()

    # -- under the lock

    def _write(self, wanted: dict[str, ServedCertificate]) -> None:
        """Files first: whatever ends gitship or haproxy from here on, the next start has all that is wanted."""
        for directory in (self._directory, self._certificates):
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(0o700)
        default = self._certificates / served_certificates.DEFAULT
        if not default.exists():
            write_atomically(default, self_signed.make([DEFAULT_NAME], DEFAULT_DAYS))
        for name, entry in wanted.items():
            path = self._certificates / name
            if not path.exists():
                write_atomically(path, entry.pem)
        _put(self._crt_list, served_certificates.crt_list(str(self._certificates), wanted.values()))

    def _runs_as_wanted(self) -> bool:
        text = self._config()
        same = self._haproxy.config.exists() and self._haproxy.config.read_text(encoding="utf-8") == text
        return same and self._haproxy.pid() is not None and self._admin.alive()

    def _start(self) -> bool:
        """True when it shows all that is wanted; else only the default, and the others have to be added one by one."""
        self._haproxy.stop()
        _put(self._haproxy.config, self._config())
        try:
            self._haproxy.start(self.listen)
        except CertificatesRefused as error:
            log.error("%s; starting without certificates, they are added one by one", error.message)
            _put(self._crt_list, served_certificates.crt_list(str(self._certificates), ()))
            self._haproxy.start(self.listen)
            return False
        log.info("haproxy listens on %s", self.listen)
        return True

    def _config(self) -> str:
        processors = len(os.sched_getaffinity(0))
        return haproxy_config(self.listen, self._varnish, self._crt_list, self._haproxy.admin, proxy_user(), processors)

    def _change(self, wanted: dict[str, ServedCertificate]) -> dict[str, FrontError]:
        refused: dict[str, FrontError] = {}
        shown = served_certificates.names_in(self._admin.shown(self._crt_list), str(self._certificates))
        for name in wanted.keys() - set(shown):
            entry, file = wanted[name], self._certificates / name
            try:
                self._admin.remove(self._crt_list, file)  # half an addition that was interrupted
                self._admin.add(
                    self._crt_list, file, entry.pem, served_certificates.line(str(self._certificates), entry)
                )
            except FrontError as error:
                log.error("%s: %s", name, error.message)
                refused[name] = error
        kept = {_owner(name) for name in refused}
        for name in set(shown) - wanted.keys():
            if _owner(name) not in kept:
                self._admin.remove(self._crt_list, self._certificates / name)
        return refused

    def _sweep(self, wanted: dict[str, ServedCertificate]) -> None:
        """Files that no list names any more."""
        keep = {*wanted, served_certificates.DEFAULT}
        for path in self._certificates.glob("*.pem"):
            if path.name not in keep:
                path.unlink(missing_ok=True)


def _owner(name: str) -> str:
    return name.rpartition("-")[0]


def _put(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_atomically(path, text)

"""A certificate authority for tests: pebble, with a DNS server that knows every name (Debian package pebble)."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gitship.front.tls import self_signed
from tests.places import free_port
from tests.waiting import wait_until

START_S = 20.0


@dataclass(frozen=True)
class Pebble:
    """``ca`` is the file with the certificate of its own web server."""

    directory: str
    ca: Path
    management: str
    dns: str
    log: Path

    @property
    def settings(self) -> dict[str, Any]:
        """For [https] of a server that asks it."""
        return {"directory": self.directory, "directory_ca": str(self.ca), "check_dns": False}

    def root(self) -> str:
        """The certificate that all its certificates end in."""
        context = ssl.create_default_context(cafile=str(self.ca))
        with urllib.request.urlopen(f"{self.management}/roots/0", context=context, timeout=10) as answer:
            return str(answer.read().decode())

    def tell_dns(self, what: str, **body: Any) -> None:
        """A command of the DNS server: ``set-txt`` (host, value), ``add-a`` (...), ``clear-txt`` (host)."""
        request = urllib.request.Request(f"{self.dns}/{what}", json.dumps(body).encode(), method="POST")
        urllib.request.urlopen(request, timeout=10).close()


@contextlib.contextmanager
def pebble(base: Path, http_port: int, bound_to: Mapping[str, str] | None = None) -> Iterator[Pebble]:
    """Proves domains at ``http_port`` of this machine, whatever their name.

    ``bound_to`` (key id -> HMAC key in base64url): new accounts have to be bound to one of these.
    """
    if not shutil.which("pebble") or not shutil.which("pebble-challtestsrv"):
        pytest.skip("pebble is not installed")
    base.mkdir(parents=True)
    listen, management, dns, dns_management = (free_port() for _ in range(4))
    own = self_signed.make(["localhost"], 30)
    certificate, _, key = own.partition("-----BEGIN PRIVATE KEY-----")
    (base / "cert.pem").write_text(certificate)
    (base / "key.pem").write_text(f"-----BEGIN PRIVATE KEY-----{key}")
    (base / "config.json").write_text(
        json.dumps(
            {
                "pebble": {
                    "listenAddress": f"127.0.0.1:{listen}",
                    "managementListenAddress": f"127.0.0.1:{management}",
                    "certificate": str(base / "cert.pem"),
                    "privateKey": str(base / "key.pem"),
                    "httpPort": http_port,
                    "tlsPort": free_port(),
                    "externalAccountBindingRequired": bound_to is not None,
                    "externalAccountMACKeys": dict(bound_to or {}),
                }
            }
        )
    )
    names = [
        "pebble-challtestsrv", "-defaultIPv6", "", "-defaultIPv4", "127.0.0.1", "-dns01", f"127.0.0.1:{dns}",
        "-http01", "", "-https01", "", "-tlsalpn01", "", "-management", f"127.0.0.1:{dns_management}",
    ]  # fmt: skip
    authority = ["pebble", "-config", str(base / "config.json"), "-dnsserver", f"127.0.0.1:{dns}"]
    env = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "5"}
    log = base / "log"
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("wb"))
        for command in (names, authority):
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env)
            stack.callback(_end, process)
        started = Pebble(
            f"https://localhost:{listen}/dir", base / "cert.pem", f"https://localhost:{management}",
            f"http://127.0.0.1:{dns_management}", log,
        )  # fmt: skip

        def ready() -> bool:
            with contextlib.suppress(OSError):
                return bool(started.root())
            return False

        wait_until(ready, START_S, "pebble answers")
        yield started


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
        return
    process.kill()
    process.wait(10)

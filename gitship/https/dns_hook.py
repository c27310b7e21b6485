"""DNS-01 challenges (RFC 8555, section 8.4) through the server's hook, for wildcards."""

from __future__ import annotations

import logging
import os
import subprocess
from pathlib import Path

from gitship.errors import CertificateError

TIMEOUT_S = 300.0  # it returns when the record can be seen

log = logging.getLogger("gitship.https")


class DnsHook:
    """``<path> add|remove NAME VALUE`` makes or takes away a TXT record; exit code 0 is success."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def there(self) -> bool:
        return os.access(self.path, os.X_OK)

    def add(self, name: str, value: str) -> None:
        """Raises CertificateError."""
        if not self.there:
            raise CertificateError(
                "a wildcard certificate needs a DNS record", f"install a program that sets it at {self.path}"
            )
        self._run("add", name, value)

    def remove(self, name: str, value: str) -> None:
        """A record that is left is only logged."""
        try:
            self._run("remove", name, value)
        except CertificateError as error:
            log.warning("%s", error.message)

    def _run(self, *words: str) -> None:
        try:
            done = subprocess.run(
                [str(self.path), *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S,
                check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            late = f"{self.path} {words[0]} did not end within {TIMEOUT_S:g} s"
            raise CertificateError(late, "run it by hand to find out why") from None
        except OSError as error:
            raise CertificateError(
                f"{self.path} cannot be run: {error.strerror}", "check that it is executable"
            ) from None
        if done.returncode != 0:
            lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
            said = lines[-1][:200] if lines else "no output"
            raise CertificateError(
                f"{self.path} {words[0]}: exit {done.returncode}: {said}", "run it by hand to find out why"
            )

"""Check of a backup target: writes, lists, reads and removes a small object, as a backup will."""

from __future__ import annotations

import secrets
import threading
from contextlib import suppress

from gitship.backup.targets import BackupTarget
from gitship.errors import GitshipError

PROBE = "gitship-check-"


def probe(target: BackupTarget, name: str) -> None:
    """Raises GitshipError. The object is removed whatever fails, if the target lets it be."""
    key = f"{PROBE}{secrets.token_hex(4)}"
    content = secrets.token_bytes(1024)
    written = target.put(key, [content], threading.Event())
    try:
        found = {stored.key: stored for stored in target.listed(key)}
        if key not in found:
            raise _wrong(name, "does not list what was just written to it")
        if found[key].bytes != len(content) or found[key].sha256 != written.sha256:
            raise _wrong(name, "lists something else than what was written to it")
        with target.read(key) as chunks:
            if b"".join(chunks) != content:
                raise _wrong(name, "gives back something else than what was written to it")
    except BaseException:
        with suppress(GitshipError):  # the first error is the one to mend
            target.remove(key)
        raise
    target.remove(key)
    if target.listed(key):
        raise GitshipError(
            f"target {name} still lists an object that was removed",
            "old backups would stay: allow deletion, and look at the target's retention or object lock",
        )


def _wrong(name: str, what: str) -> GitshipError:
    return GitshipError(f"target {name} {what}", "look for a cache or a proxy between this server and the target")

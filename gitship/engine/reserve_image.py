"""Image that takes up the space kept back on Docker's disk; ``disk.reserve`` decides when it goes.

It has no tag: to take one away Docker writes its list of tags anew, which fails on a full disk, while an image without
one goes (measured on 20.10). `docker image prune` takes it, too; the next look makes it again. Which image it is the
store says, by its id: its labels are for people, any image may carry them.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Protocol

from docker import errors as docker_errors

from gitship import tar
from gitship.engine.connection import EngineConnection
from gitship.engine.errors import refused, translated
from gitship.engine.oneoff import check
from gitship.engine.stream_frames import error_of, messages
from gitship.engine.timeouts import Timeout
from gitship.engine.types import LABEL_RESERVE, LABEL_SERVER
from gitship.errors import EngineError

FILES = 256  # a disk may be out of inodes, too
MAKE_S = 120.0


_ID = re.compile("sha256:[0-9a-f]{64}")


class StoredImageId(Protocol):
    """Where the id of the reserve outlives gitship."""

    def get(self) -> str:
        """The id; "" when there was never one."""
        ...

    def set(self, image_id: str) -> None: ...


class ReserveImage:
    """A ReserveFiller (see ``disk.reserve``) of one server."""

    def __init__(self, connection: EngineConnection, server_id: str, kept: StoredImageId | None = None) -> None:
        """Without ``kept`` it is known only to this object."""
        self._connection = connection
        self._wire = connection.wire
        self._client = connection.client
        self._server_id = server_id
        self._kept = kept
        self._id = kept.get() if kept else ""  # read once: it is asked for where the store may be waiting for it

    def there(self) -> bool:
        with translated(self._wire.host, "look at the reserve"):
            try:
                return bool(self._id and self._client().inspect_image(self._id))  # type: ignore[no-untyped-call]
            except docker_errors.NotFound:
                return False

    def takes(self, size_bytes: int) -> int:
        """Containerd's store keeps the archive beside what was unpacked of it."""
        return size_bytes * (2 if self._connection.places().by_containerd else 1)

    def make(self, size_bytes: int) -> None:
        labels = f"LABEL {LABEL_SERVER}={self._server_id} {LABEL_RESERVE}={self._server_id}"
        path = f"{self._connection.api}/images/create"
        with self._wire.open(
            "POST",
            path,
            query={"fromSrc": "-", "changes": labels},
            body=_archive(size_bytes),
            content_type="application/x-tar",
            patience=Timeout(time.monotonic() + MAKE_S),
        ) as stream:
            check(stream, "make a reserve")
            self._id = _made(messages(stream.read))
        if self._kept:
            self._kept.set(self._id)

    def drop(self) -> None:
        if self._id:
            with translated(self._wire.host, "remove the reserve"), suppress(docker_errors.NotFound):
                self._client().remove_image(self._id)


def _made(said: Iterable[Mapping[str, Any]]) -> str:
    """The id of the image, which Docker tells in the last of its messages. Raises EngineError."""
    last = ""
    for message in said:
        if error := error_of(message):
            raise refused("make a reserve", error)
        last = str(message.get("status", ""))
    if not _ID.fullmatch(last):
        raise EngineError("Docker did not make a reserve", "see `journalctl -u docker` on the server")
    return last


def _archive(size_bytes: int) -> Iterator[bytes]:
    """Random bytes, which no file system and no Docker makes smaller."""
    for number in range(FILES):
        size = size_bytes // FILES // tar.BLOCK * tar.BLOCK
        yield tar.file(f"ballast-{number}", size)
        yield os.urandom(size)
    yield tar.END

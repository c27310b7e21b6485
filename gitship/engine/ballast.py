"""An image that only takes room in Docker's data directory, where gitship itself need not be able to write.

It has no tag: to take one away Docker writes its list of tags anew, which fails on a full disk, while an image without
one goes (measured on 20.10). `docker image prune` takes it, too; the next look makes it again.
"""

from __future__ import annotations

import os
import tarfile
import time
from collections.abc import Iterator

from docker import errors as docker_errors

from gitship.engine.archive import END
from gitship.engine.connection import Connection
from gitship.engine.faults import translated
from gitship.engine.oneoff import check
from gitship.engine.patience import Patience
from gitship.engine.values import LABEL_RESERVE, LABEL_SERVER

FILES = 256  # a disk may be out of inodes, too
MAKE_S = 120.0


class ImageBallast:
    """A Ballast (see ``deploy.reserve``) of one server, by its label."""

    def __init__(self, connection: Connection, server_id: str) -> None:
        self._connection = connection
        self._wire = connection.wire
        self._client = connection.client
        self._server_id = server_id

    def there(self) -> bool:
        return bool(self._ids())

    def make(self, size_bytes: int) -> None:
        labels = f"LABEL {LABEL_SERVER}={self._server_id} {LABEL_RESERVE}={self._server_id}"
        path = f"{self._connection.api}/images/create"
        with self._wire.open(
            "POST",
            path,
            query={"fromSrc": "-", "changes": labels},
            body=_archive(size_bytes),
            content_type="application/x-tar",
            patience=Patience(time.monotonic() + MAKE_S),
        ) as stream:
            check(stream, "make a reserve")
            stream.read_all(1 << 16)

    def drop(self) -> None:
        with translated(self._wire.host, "remove the reserve"):
            for image_id in self._ids():
                try:
                    self._client().remove_image(image_id)
                except docker_errors.NotFound:
                    continue

    def _ids(self) -> list[str]:
        with translated(self._wire.host, "list its images"):
            wanted = {"label": [f"{LABEL_RESERVE}={self._server_id}"]}
            return [row["Id"] for row in self._client().images(filters=wanted)]


def _archive(size_bytes: int) -> Iterator[bytes]:
    """Random bytes, which no file system and no Docker makes smaller."""
    for number in range(FILES):
        info = tarfile.TarInfo(f"ballast-{number}")
        info.size = size_bytes // FILES // tarfile.BLOCKSIZE * tarfile.BLOCKSIZE
        yield info.tobuf()
        yield os.urandom(info.size)
    yield END

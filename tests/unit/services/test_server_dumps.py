"""Dumps of all services for a backup of the server: one that hangs takes none of the others with it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gitship.model.services import Service
from gitship.services import server_dumps
from gitship.services.server_dumps import ServerDumps
from gitship.store import Store


class Dumps(ServerDumps):
    """The dump of `locked` gives nothing until it is ended."""

    def __init__(self, store: Store) -> None:
        nothing: Any = None
        super().__init__(store, nothing, nothing, nothing, nothing, nothing, Path("/nowhere"))

    def _dumped(self, service: Service, gone: threading.Event) -> Iterator[tuple[str, bytes]]:
        if service.name == "locked":
            gone.wait()
        else:
            yield service.name, b"whole"


def test_a_dump_that_hangs_is_left_out_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_dumps, "DUMP_STALL_S", 0.05)
    with closing(Store(tmp_path / "gitship.db")) as store:
        for name in ("after", "locked", "first"):
            store.create_service(name, "postgres", "17", "postgres:17", 1 << 29, "db", "x", None)
        failed: list[str] = []
        gone = threading.Event()
        assert sorted(Dumps(store).pieces(gone, failed)) == [("after", b"whole"), ("first", b"whole")]
        assert failed == ["locked: locked gave no data for 0.05 seconds"]
        assert not gone.is_set()

"""What a service can be upgraded to, as far as this machine knows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gitship.model.services import Service, ServiceState
from gitship.services.engine_catalog import EngineCatalog
from gitship.services.upgrade_due import UpgradeDue, upgrade_due

ENGINES = EngineCatalog.load(None).engines


@pytest.mark.parametrize(
    ("engine", "version", "here", "due"),
    [
        ("postgres", "17", "sha256:one", UpgradeDue("18", same=False)),
        ("postgres", "17.2-alpine", "", UpgradeDue("18", same=False)),
        ("postgres", "18", "sha256:one", None),
        ("postgres", "18", "sha256:two", UpgradeDue("18", same=True)),
        ("mariadb", "10.11", "sha256:one", UpgradeDue("11.8", same=False)),
        ("meilisearch", "0", "sha256:one", None),  # gitship cannot bring its data to another version
        ("gone", "1", "sha256:one", None),
        ("gone", "1", "sha256:two", UpgradeDue("1", same=True)),
    ],
)
def test_an_image_that_was_pulled_since_or_a_newer_version(
    engine: str, version: str, here: str, due: UpgradeDue | None
) -> None:
    service = Service(1, "db", engine, version, "image", "sha256:one", ServiceState.READY, 1, "db", "x")
    assert upgrade_due(service, ENGINES.get(engine), here) == due
    assert upgrade_due(replace(service, image_id=""), None, here) is None  # it is only being made

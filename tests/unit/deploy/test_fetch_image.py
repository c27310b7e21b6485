"""How an image from elsewhere can be had again. With a registry: tests/e2e/test_backup_images.py."""

from __future__ import annotations

import pytest

from gitship.deploy.fetch_image import source_of
from gitship.engine.image_references import parse
from gitship.engine.types import Image

DIGEST = "sha256:" + "1a" * 32


@pytest.mark.parametrize(
    ("asked", "names", "source"),
    [
        (
            "r.example/shop:1",
            ("r.example/shop:1", f"other@{DIGEST}", f"r.example/shop@{DIGEST}"),
            f"r.example/shop@{DIGEST}",
        ),
        ("nginx", ("nginx:latest", f"nginx@{DIGEST}"), f"nginx@{DIGEST}"),
        ("mine:1", ("mine:1",), "mine:1"),
        (f"r.example/shop@{DIGEST}", (), f"r.example/shop@{DIGEST}"),
        (DIGEST, (f"shop@{DIGEST}",), DIGEST),
    ],
)
def test_by_its_digest_where_the_registry_that_was_asked_has_given_one(
    asked: str, names: tuple[str, ...], source: str
) -> None:
    assert source_of(parse(asked), Image("sha256:x", 1, names=names)) == source

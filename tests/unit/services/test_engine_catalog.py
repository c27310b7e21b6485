"""The shipped engines and an admin's own; a broken file is told, and takes no other down."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitship.errors import NotFound
from gitship.services.engine_catalog import SHIPPED, EngineCatalog
from gitship.services.engine_file import ServiceEngine
from tests.unit.services.test_engine_file import SMALL

CATALOG = EngineCatalog.load(None)


def test_every_shipped_file_is_an_engine() -> None:
    assert sorted(CATALOG.engines) == sorted(path.stem for path in SHIPPED.glob("*.toml"))
    assert CATALOG.problems == {}


@pytest.mark.parametrize("engine", CATALOG.engines.values(), ids=lambda engine: engine.name)
def test_a_shipped_engine_is_whole(engine: ServiceEngine) -> None:
    assert engine.image.startswith("docker.io/")
    assert len(set(engine.versions)) == len(engine.versions)
    assert sorted(engine.versions, key=lambda v: [int(n) for n in v.split(".")], reverse=True) == list(engine.versions)
    assert "{password}" in engine.url if engine.own_logins else "{password}" not in engine.url
    assert "{host}:{port}" in engine.url
    assert engine.restore_before_start is False or engine.restore is not None
    assert engine.upgrade != "dump" or engine.count is not None, "counts are compared after an upgrade"


def test_no_two_engines_have_one_name() -> None:
    names = [name for engine in CATALOG.engines.values() for name in (engine.name, *engine.other_names)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("text", "version", "data"),
    [
        ("postgres", "18", "/var/lib/postgresql"),
        ("postgres:17", "17", "/var/lib/postgresql/data"),
        ("postgres:17.2", "17.2", "/var/lib/postgresql/data"),
        ("postgres:18.1-alpine", "18.1-alpine", "/var/lib/postgresql"),
    ],
)
def test_an_engine_is_found_by_name_and_version(text: str, version: str, data: str) -> None:
    engine, found = CATALOG.find(text)
    assert (engine.name, found, engine.data_path(found)) == ("postgres", version, data)
    assert engine.reference(found) == f"docker.io/library/postgres:{version}"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("postgers", "no engine is called 'postgers'", "did you mean postgres?"),
        ("pg", "no engine is called 'pg'", "did you mean postgres?"),
        ("PostgreSQL", "no engine is called 'PostgreSQL'", "did you mean postgres?"),
        ("zzz", "no engine is called 'zzz'", "known: "),
        ("", "no engine is called ''", "known: "),
        ("postgres:", "PostgreSQL has no version '' here", "known: 18, 17"),
        ("postgres:latest", "PostgreSQL has no version 'latest' here", "known: 18, 17"),
        ("postgres:9.6", "PostgreSQL has no version '9.6' here", "known: 18, 17"),
        ("postgres:17;rm", "PostgreSQL has no version '17;rm' here", "known: 18, 17"),
        ("postgres:17:1", "PostgreSQL has no version '17:1' here", "known: 18, 17"),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(text: str, message: str, hint: str) -> None:
    with pytest.raises(NotFound) as caught:
        CATALOG.find(text)
    assert caught.value.message == message
    assert caught.value.hint.startswith(hint)


def test_own_files_are_engines_beside_the_shipped_ones(tmp_path: Path) -> None:
    (tmp_path / "cache.toml").write_text(SMALL)
    (tmp_path / "readme.txt").write_text("not an engine")
    catalog = EngineCatalog.load(tmp_path)
    assert catalog.find("cache:2.0")[1] == "2.0"
    assert set(catalog.engines) == {*CATALOG.engines, "cache"}
    assert catalog.problems == {}


def test_a_broken_own_file_is_told_and_the_others_stay(tmp_path: Path) -> None:
    (tmp_path / "cache.toml").write_text(SMALL)
    (tmp_path / "broken.toml").write_text("title = ")
    (tmp_path / "directory.toml").mkdir()
    (tmp_path / "gone.toml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "large.toml").write_bytes(b"#" * 100_000)
    catalog = EngineCatalog.load(tmp_path)
    assert set(catalog.engines) == {*CATALOG.engines, "cache"}
    assert set(catalog.problems) == {"broken", "directory", "gone", "large"}
    with pytest.raises(NotFound, match=r"the engine broken cannot be used: broken\.toml is not valid TOML"):
        catalog.find("broken")


def test_an_own_file_stands_for_the_shipped_one_also_while_it_is_broken(tmp_path: Path) -> None:
    own = tmp_path / "postgres.toml"
    own.write_text(SMALL)
    assert EngineCatalog.load(tmp_path).find("postgres")[0].title == "Cache"
    own.write_text("")
    catalog = EngineCatalog.load(tmp_path)
    with pytest.raises(NotFound, match="the engine postgres cannot be used"):
        catalog.find("postgres")


def test_a_directory_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    assert EngineCatalog.load(tmp_path / "none") == CATALOG


@pytest.mark.parametrize(
    ("image", "found"),
    [
        ("postgres:17-alpine", ("postgres", "17-alpine")),
        ("docker.io/library/postgres:16.2", ("postgres", "16.2")),
        ("postgres", ("postgres", "18")),
        ("redis:alpine", ("redis", "8")),
        ("mysql:8", ("mysql", "8.4")),
        ("mariadb:10-focal", ("mariadb", "10.11")),
        ("valkey/valkey:8", ("valkey", "8")),
        ("postgres:9.6", None),
        ("mysql:5.7", None),
        ("postgis/postgis:17-3.5", None),
        ("registry.example.com/postgres:17", None),
        (f"postgres@sha256:{'a' * 64}", None),
        ("NOT AN IMAGE", None),
    ],
)
def test_an_image_tells_its_engine_and_version(image: str, found: tuple[str, str] | None) -> None:
    of_image = EngineCatalog.load(None).of_image(image)
    assert (of_image and (of_image[0].name, of_image[1])) == found

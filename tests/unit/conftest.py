from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.commands.world import World
from tests.unit.memory.databases import QuickDatabases


@pytest.fixture(scope="session", autouse=True)
def quick_databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuickDatabases]:
    with QuickDatabases(tmp_path_factory.mktemp("database")).used() as quick:
        yield quick


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World.open(tmp_path)
    yield made
    made.memory.close()


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world for all tests of a module that change nothing that another one looks at."""
    made = World.open(tmp_path_factory.mktemp("settled"))
    yield made
    made.memory.close()


@pytest.fixture
def shop(world: World) -> World:
    """`shop` is live."""
    world.memory.push("shop")
    return world

"""Real varnishd processes, each with a directory and ports of its own, ended with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitship.config_values import Address
from gitship.front.front import AppFront, Front
from tests.e2e.front.asking import Listening, app
from tests.e2e.front.origin import Origin
from tests.places import own_name

MEMORY_BYTES = 64 << 20
LOOPBACK = Address("127.0.0.1", 0)


@pytest.fixture
def front(base: Path) -> Iterator[Front]:
    """A running Varnish for one test, which may break it."""
    yield from _running(base)


@pytest.fixture(scope="module")
def shared(module_base: Path) -> Iterator[Front]:
    """A running Varnish for all tests of a module; each test uses an app of its own."""
    yield from _running(module_base)


def _running(directory: Path) -> Iterator[Front]:
    front = Front(LOOPBACK, directory / "varnish", MEMORY_BYTES)
    try:
        front.ensure_running()
        yield front
    finally:
        front.stop()


Serve = Callable[..., str]


@pytest.fixture
def serve(shared: Front) -> Iterator[Serve]:
    """``serve(origin, ...)`` puts an app of this test's own before ``shared``; its host name."""
    name = own_name("a")
    host = f"{name}.localhost"

    def put(*origins: Listening, **more: str) -> str:
        shared.set_hosts({host: name})
        switch(shared, app(name, *origins, **more))
        return host

    yield put
    shared.remove(name)


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin("v1") as made:
        yield made


@pytest.fixture
def host(serve: Serve, origin: Origin) -> str:
    """The name at which `origin` is served."""
    return serve(origin)


def switch(front: Front, wanted: AppFront) -> str:
    """Load and label; the VCL's name."""
    name = front.load(wanted)
    front.label(wanted.slug, name)
    return name

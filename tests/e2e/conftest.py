"""Fixtures for the tests on real Docker, Varnish, git and ssh. Nothing here has an effect until a test asks for it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import apps, dockerd, python_image
from tests.e2e.forks import Forks
from tests.e2e.harness import KEEP, Server, running

_failed_tests: set[str] = set()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Notes which tests failed, for the fixtures that then print or keep a server."""
    report = yield
    if report.failed:
        _failed_tests.add(item.nodeid)
    return report


def _failed(request: pytest.FixtureRequest) -> bool:
    return any(test.startswith(request.node.nodeid) for test in _failed_tests)


@pytest.fixture(scope="session")
def common_forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Servers are forks of one process that has imported gitship: 0.9 s of a processor less for each start.

    test_first_push.py and test_install.py start it as users do.
    """
    Server.common_forks = Forks(tmp_path_factory.getbasetemp())
    yield
    Server.common_forks.end()
    Server.common_forks = None


@pytest.fixture(scope="session")
def docker_host(common_forks: None) -> Iterator[str]:
    """The address of a Docker engine that answers; an own one is started when none does."""
    with dockerd.engine() as host:
        yield host


@pytest.fixture(scope="session")
def python_base(docker_host: str) -> Iterator[str]:
    """The name of a local Python base image."""
    with python_image.in_use(docker_host):
        yield apps.PYTHON_IMAGE


@pytest.fixture(scope="session")
def tiny_binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny app, compiled once."""
    return apps.build_tiny(tmp_path_factory.mktemp("tiny") / "tiny")


@contextmanager
def _short_directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="gs-"))
    path.chmod(0o711)  # started by root, varnishd goes on as a user of its own
    yield path
    mounted = any(str(path) in line for line in Path("/proc/mounts").read_text().splitlines())
    if not mounted and not any(path.glob(f"*/{KEEP}")):
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def base() -> Iterator[Path]:
    """A short directory of its own: Varnish and ssh cannot use long paths."""
    with _short_directory() as path:
        yield path


@pytest.fixture(scope="module")
def module_base() -> Iterator[Path]:
    """As ``base``, for a whole module."""
    with _short_directory() as path:
        yield path


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, module_base: Path, docker_host: str) -> Iterator[Server]:
    """One server for all tests of a module; each test uses app names of its own."""
    with running(module_base / "server", docker_host, lambda: _failed(request)) as started:
        yield started


@pytest.fixture
def own_server(request: pytest.FixtureRequest, base: Path, docker_host: str) -> Iterator[Server]:
    """A server for one test that kills, fills or reconfigures it."""
    with running(base / "server", docker_host, lambda: _failed(request)) as started:
        yield started


@pytest.fixture
def tiny_app(base: Path, tiny_binary: Path) -> Callable[..., Path]:
    """Makes repositories with the tiny app: ``tiny_app(name, version="v1", files={...})``."""

    def make(name: str, **more: Any) -> Path:
        return apps.tiny(base / name, tiny_binary, **more)

    return make

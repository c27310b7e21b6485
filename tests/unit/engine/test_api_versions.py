"""Which version of the Engine API is spoken: gitship's own choice, and a new one when Docker becomes another."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gitship.engine.api_versions import NEWEST_API, api_version
from gitship.engine.docker import DockerEngine
from gitship.engine.types import BuildOptions
from gitship.errors import EngineError
from tests.unit.engine.fakedocker import FakeDocker, fake_docker

IMAGE = {"Id": "sha256:1", "Size": 7, "Config": {"Cmd": ["x"]}, "GraphDriver": {"Name": "overlay2", "Data": {"a": "b"}}}


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[FakeDocker]:
    with fake_docker(tmp_path) as docker:
        docker.answers = {
            "/containers/json": (200, []),
            "/info": (200, {"DockerRootDir": "/x", "Driver": "overlay2"}),
            "/system/df": (200, {"BuildCache": [{"Size": 3}, {"Size": 4}]}),
            "/build/prune": (200, {"SpaceReclaimed": 9}),
            "/build": (200, json.dumps({"id": "moby.image.id", "aux": {"ID": "sha256:1"}}).encode()),
            "/images/sha256:1/json": (200, IMAGE),
            "/events": (200, b""),
        }
        yield docker


@pytest.fixture
def engine(docker: FakeDocker) -> DockerEngine:
    return DockerEngine(docker.host, timeout_s=5)


CALLS: dict[str, Callable[[DockerEngine], Any]] = {
    "of docker-py": lambda e: e.list({}),
    "by the wire": lambda e: e.images.prune_cache(0),
    "of a body that cannot be sent twice": lambda e: e.images.build(
        iter([b"x" * 100_000, b"y"]), BuildOptions("x"), print, threading.Event()
    ),
}


@pytest.mark.parametrize(("oldest", "newest", "spoken"), [("1.44", "1.51", NEWEST_API), ("1.12", "1.40", "1.40")])
@pytest.mark.parametrize("call", CALLS)
def test_a_docker_that_has_become_another_is_spoken_to_in_its_version(
    docker: FakeDocker, engine: DockerEngine, call: str, oldest: str, newest: str, spoken: str
) -> None:
    CALLS[call](engine)
    docker.upgrade(oldest, newest)
    result = CALLS[call](engine)
    assert [said.version for said in docker.said if said.version][-1] == spoken
    CALLS[call](engine)
    refused = [said for said in docker.said if said.version == "1.41" and docker.answer(said)[0] == 400]
    assert len([s for s in refused if s.path == refused[-1].path]) <= 2, "once found out, it is kept to"
    bodies = [said.body for said in docker.said if said.path == "/build"]
    assert not bodies or (set(bodies) == {b"x" * 100_000 + b"y"} and result.id == "sha256:1")


def test_the_end_of_the_events_asks_anew_though_the_old_version_would_do(
    docker: FakeDocker, engine: DockerEngine
) -> None:
    assert list(engine.events({}, since=0, stop=threading.Event())) == []
    docker.upgrade("1.12", "1.43")
    engine.list({})
    assert docker.said[-1].version == "1.43"


def test_calls_that_are_refused_for_another_reason_are_made_once(docker: FakeDocker, engine: DockerEngine) -> None:
    docker.answers["/containers/json"] = (400, {"message": "filters are wrong: client version 3 is too old"})
    docker.answers["/build/prune"] = (400, {"message": "no such filter"})
    with pytest.raises(EngineError, match="filters are wrong"):
        engine.list({})
    with pytest.raises(EngineError, match="no such filter"):
        engine.images.prune_cache(0)
    assert docker.paths().count("/containers/json") == docker.paths().count("/build/prune") == 1


def test_a_docker_that_refuses_what_it_asks_for_is_asked_once_more_and_no_further(
    docker: FakeDocker, engine: DockerEngine
) -> None:
    refusal = (400, {"message": "client version 1.41 is too old. Minimum supported API version is 1.41"})
    docker.answers |= {"/containers/json": refusal, "/build/prune": refusal}
    with pytest.raises(EngineError, match="too old"):
        engine.list({})
    with pytest.raises(EngineError, match="too old"):
        engine.images.prune_cache(0)
    assert docker.paths().count("/containers/json") == docker.paths().count("/build/prune") == 1


def test_the_newest_version_is_gitships_own_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("docker.constants.DEFAULT_DOCKER_API_VERSION", "1.55")
    monkeypatch.setattr("gitship.engine.api_versions.DEFAULT_DOCKER_API_VERSION", "1.55", raising=False)
    assert api_version({"ApiVersion": "1.56", "MinAPIVersion": "1.40"}) == NEWEST_API == "1.45"


@pytest.mark.parametrize(
    ("oldest", "newest", "name"), [("1.12", "1.41", "keep-storage"), ("1.52", "1.60", "reserved-space")]
)
def test_the_cache_is_pruned_and_told_as_each_version_has_it(
    docker: FakeDocker, engine: DockerEngine, oldest: str, newest: str, name: str
) -> None:
    docker.upgrade(oldest, newest)
    assert engine.images.prune_cache(77) == 9
    assert docker.said[-1].query[name] == "77"
    if newest == "1.60":
        docker.answers["/system/df"] = (200, {"BuildCacheUsage": {"TotalSize": 7}})
    assert engine.images.cache_bytes() == 7


def test_only_the_build_cache_is_asked_for_when_its_size_is(docker: FakeDocker, engine: DockerEngine) -> None:
    """All the rest is slow, and Docker answers 500 when a container goes while it counts."""
    assert engine.images.cache_bytes() == 7
    assert docker.said[-1].path == "/system/df" and docker.said[-1].query == {"type": "build-cache"}

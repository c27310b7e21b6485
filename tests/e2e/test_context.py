"""The build context as Docker itself takes it: odd names, the layer cache, .dockerignore against Docker's client."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitship.engine.docker import DockerEngine
from gitship.engine.types import BuildOptions, BuildOutput, BuildStep
from tests.e2e import docker_cli
from tests.places import own_name
from tests.unit.git.commits import SUBMODULE, Content, bare, build_context, commit, executable, link
from tests.unit.git.dockerignore_cases import CASES, TREE

pytestmark = pytest.mark.e2e

COPY_ALL = b"FROM scratch\nCOPY . /all\n"
# Clients differ over these: older ones over "**.md", the classic one over what is kept below an ignored directory.
DISPUTED = ("**.md", "**.pyc", "*\n!**/*.md", "deep\n!**/keep.md", "*\n!docs/deep/a.md\ndocs/deep")


class Bench:
    """A repository, an engine, and everything that was built with them."""

    def __init__(self, host: str, path: Path) -> None:
        self.host = host
        self.run = own_name("context-")
        self.repository = bare(path / "shop.git")

    def build(self, commit_id: str, builder: str = "buildkit") -> tuple[str, dict[str, bool]]:
        """The image's id, and of each step of the Dockerfile whether it came from the cache."""
        cached: dict[str, bool] = {}

        def note(event: BuildStep | BuildOutput) -> None:
            if isinstance(event, BuildStep) and "COPY" in event.name:
                cached[event.name] = cached.get(event.name, False) or event.cached

        options = BuildOptions(tag=f"{self.run}:latest", labels={"gitship.test": self.run}, timeout_s=120)
        context = build_context(self.repository, commit_id)
        image = DockerEngine(self.host, builder=builder).images.build(context, options, note, threading.Event())
        return image.id, cached

    def members(self, image: str) -> dict[str, tarfile.TarInfo]:
        """What stands below /all in the image."""
        name = own_name(f"{self.run}-")
        docker_cli.docker(self.host, "create", "--name", name, "--label", f"gitship.test={self.run}", image, "none")
        command = ["docker", "-H", self.host, "export", name]
        data = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
        docker_cli.docker(self.host, "rm", name)
        with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as archive:
            return {m.name.removeprefix("all/"): m for m in archive if m.name.startswith("all/")}


@pytest.fixture
def bench(docker_host: str, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(docker_host, tmp_path)
    yield made
    docker_cli.remove_labelled(docker_host, f"gitship.test={made.run}")


@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_docker_takes_whatever_names_a_commit_has(bench: Bench, builder: str) -> None:
    long = "0" * 120 + "/" + "1" * 130
    made = commit(
        bench.repository,
        {
            long: b"first in order, and too long for a plain header",
            "Dockerfile": COPY_ALL,
            "grüße/ß": b"1",
            "link": link(b"run.sh"),
            "new\nline": b"2",
            "run.sh": executable(b"3"),
            "vendor": SUBMODULE,
            b"not\xffutf8": b"4",
        },
    )
    image, _ = bench.build(made, builder)
    members = bench.members(image)
    assert set(members) == {
        "0" * 120, long, "Dockerfile", "grüße", "grüße/ß", "link", "new\nline", "run.sh", "vendor", "not\udcffutf8"
    }  # fmt: skip
    assert members["link"].linkname == "run.sh"
    assert members["run.sh"].mode & 0o777 == 0o755
    assert members["grüße/ß"].mode & 0o777 == 0o644
    assert members["vendor"].isdir()


def test_a_layer_comes_from_the_cache_when_only_another_file_changed(bench: Bench) -> None:
    once = bench.run.encode()  # nothing of an earlier run may be in the cache
    files: dict[str | bytes, Content] = {
        "Dockerfile": b"FROM scratch\nCOPY kept /kept/\nCOPY changed /changed\n",
        "kept/a": once,
        "kept/b": executable(b"2"),
        "kept/c": link(b"a"),
    }
    _, first = bench.build(commit(bench.repository, {**files, "changed": b"1" + once}))
    _, second = bench.build(commit(bench.repository, {**files, "changed": b"2" + once}, time=1_234_567_890))
    assert sorted(first.values()) == [False, False]
    assert {name.split("COPY ")[1].split()[0]: cached for name, cached in second.items()} == {
        "kept": True,
        "changed": False,
    }


def test_the_client_leaves_out_the_same_files(bench: Bench, tmp_path: Path) -> None:
    work = tmp_path / "work"
    for path in TREE:
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_text(path)
    (work / "Dockerfile").write_bytes(COPY_ALL)
    env = {**os.environ, "DOCKER_BUILDKIT": "0"}
    command = ["docker", "-H", bench.host, "build", "-q", "--label", f"gitship.test={bench.run}", "."]
    for text, left_out in [case for case in CASES if case[0] not in DISPUTED][::9]:
        (work / ".dockerignore").write_text(text)
        built = subprocess.run(command, cwd=work, env=env, capture_output=True, text=True, timeout=120, check=True)
        sent = bench.members(built.stdout.strip())
        assert set(TREE) - set(sent) == left_out, repr(text)

"""Reads a file of an image through a container that is never started."""

from __future__ import annotations

import io
import logging
import posixpath
import tarfile
from collections.abc import Mapping
from typing import Any

from docker import APIClient
from docker import errors as docker_errors

from gitship.engine import entrypoints
from gitship.engine.oneoff import TemporaryContainers
from gitship.engine.types import ContainerSpec
from gitship.errors import GitshipError

log = logging.getLogger("gitship.engine")

MOST_BYTES = 64 << 10
MOST_LINKS = 5
DIRECTORY = 1 << 31  # in a mode as Go writes it
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # Docker's own default


def runs_words(
    docker: APIClient, inspected: Mapping[str, Any], containers: TemporaryContainers, spec: ContainerSpec
) -> bool:
    """See ``entrypoints.runs_words``, for an image as ``GET /images/<id>/json`` has it; by a container of ``spec``."""
    config = inspected.get("Config") or {}
    env = dict(text.partition("=")[::2] for text in config.get("Env") or ())
    with _Files(docker, containers, spec) as files:

        def script(program: str) -> str | None:
            places = entrypoints.places(program, env.get("PATH") or PATH, config.get("WorkingDir") or "")
            return next((text for place in places if (text := files.text(place)) is not None), None)

        return entrypoints.runs_words(config.get("Entrypoint") or (), script)


class _Files:
    """Makes its container when the first file is asked for."""

    def __init__(self, docker: APIClient, containers: TemporaryContainers, spec: ContainerSpec) -> None:
        self._docker = docker
        self._containers = containers
        self._spec = spec
        self._container = ""

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._container:
            try:
                self._containers.remove(self._container)
            except GitshipError as error:
                log.warning("%s: %s; the reconciler will remove it", self._spec.name, error.message)

    def text(self, path: str, links: int = MOST_LINKS) -> str | None:
        """None when it is not there, no file, or larger than a script is."""
        if not self._container:
            self._container = self._containers.create(self._spec)
        try:
            stream, about = self._docker.get_archive(self._container, path)
        except docker_errors.NotFound as error:
            if "no such container" in str(error.explanation).lower():  # somebody took it away: nothing is known then
                raise
            return None
        if target := about.get("linkTarget"):
            stream.close()
            return self.text(posixpath.join(posixpath.dirname(path), target), links - 1) if links else None
        if int(about["mode"]) & DIRECTORY or int(about["size"]) > MOST_BYTES:
            stream.close()
            return None
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
            member = archive.next()
            file = archive.extractfile(member) if member is not None and member.isfile() else None
            return file.read(MOST_BYTES).decode(errors="replace") if file else None

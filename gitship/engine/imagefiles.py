"""A file as an image has it: read from a container that is made for that and never started."""

from __future__ import annotations

import io
import posixpath
import tarfile
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from docker import APIClient
from docker import errors as docker_errors

from gitship.engine import entrypoints

MOST_BYTES = 64 << 10
MOST_LINKS = 5
DIRECTORY = 1 << 31  # in a mode as Go writes it
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # Docker's own default


def runs_words(docker: APIClient, inspected: Mapping[str, Any], name: str, labels: Mapping[str, str]) -> bool:
    """See ``entrypoints.runs_words``, for an image as ``GET /images/<id>/json`` has it.

    ``name`` and ``labels`` are those of the container: one that a crash leaves behind is known by them.
    """
    config = inspected.get("Config") or {}
    env = dict(text.partition("=")[::2] for text in config.get("Env") or ())
    with _Files(docker, inspected["Id"], name, labels) as files:

        def script(program: str) -> str | None:
            places = entrypoints.places(program, env.get("PATH") or PATH, config.get("WorkingDir") or "")
            return next((text for place in places if (text := files.text(place)) is not None), None)

        return entrypoints.runs_words(config.get("Entrypoint") or (), script)


class _Files:
    """Makes its container when the first file is asked for."""

    def __init__(self, docker: APIClient, image_id: str, name: str, labels: Mapping[str, str]) -> None:
        self._docker = docker
        self._name = name
        self._body = {"Image": image_id, "Entrypoint": ["-"], "Cmd": [], "Labels": dict(labels)}
        self._container = ""

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._container:
            with suppress(docker_errors.NotFound):
                self._docker.remove_container(self._container, v=True, force=True)

    def text(self, path: str, links: int = MOST_LINKS) -> str | None:
        """None when it is not there, no file, or larger than a script is."""
        if not self._container:
            made = self._docker.create_container_from_config(self._body, self._name)  # type: ignore[no-untyped-call]
            self._container = made["Id"]
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

"""Parser of image references: ``[server/]path[:tag][@digest]``, or an image id. Pure.

Source: the grammar of distribution's reference package, without the upper-case forms that no registry takes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gitship.errors import UsageError

DEFAULT_SERVER = "default"  # the registry that the engine takes for names without a server
DEFAULT_NAMES = ("docker.io", "index.docker.io")  # the engine leaves these out of an image's names
MAX_CHARS = 400
_SERVER = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(
    rf"(?P<repository>(?:(?P<server>{_SERVER})/)?{_PART}(?:/{_PART})*)"
    r"(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_ID = re.compile(r"sha256:[0-9a-f]{64}")
SERVER_NAME = re.compile(_SERVER)


@dataclass(frozen=True, slots=True)
class ImageReference:
    """``repository`` has the server in it; it is empty for an image's ``id``, which only the engine itself knows."""

    repository: str
    server: str = DEFAULT_SERVER
    tag: str = ""
    digest: str = ""
    id: str = ""

    @property
    def version(self) -> str:
        """The digest, or else the tag."""
        return self.digest or self.tag

    def __str__(self) -> str:
        if self.id:
            return self.id
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"


def parse(text: str) -> ImageReference:
    """The tag is ``latest`` where nothing is said; beside a digest it means nothing. Raises UsageError."""
    if len(text) <= MAX_CHARS:
        if _ID.fullmatch(text):
            return ImageReference("", id=text)
        if match := _NAME.fullmatch(text):
            server = match["server"] or ""
            repository = match["repository"]
            if ("." not in server and ":" not in server and server != "localhost") or server in DEFAULT_NAMES:
                server = DEFAULT_SERVER  # what looked like one is the path's first part
                repository = _familiar(repository)
                if repository != repository.lower():
                    raise _wrong(text)
            digest = match["digest"] or ""
            tag = "" if digest else match["tag"] or "latest"
            return ImageReference(repository, server, tag, digest)
    raise _wrong(text)


def _familiar(repository: str) -> str:
    """As the engine itself lists it."""
    first, _, rest = repository.partition("/")
    if first in DEFAULT_NAMES:
        repository = rest
    first, _, rest = repository.partition("/")
    return rest if first == "library" and rest and "/" not in rest else repository


def _wrong(text: str) -> UsageError:
    return UsageError(
        f"'{text[:80]}' does not name an image", "for instance registry.example.com/shop:1.2, or one with @sha256:..."
    )

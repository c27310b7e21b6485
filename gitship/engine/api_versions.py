"""Negotiates the version of the Docker Engine API."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from gitship.errors import EngineError

# The newest that gitship speaks, whatever docker-py would: 1.52 knows no `keep-storage` and 1.53 no `BuildCache`.
NEWEST_API = "1.45"
_REFUSED = re.compile(rb'\s*(?:\{\s*"message"\s*:\s*")?client version [\d.]+ is too (?:old|new)\b')
_VERSIONED = re.compile(r"/v(\d+(?:\.\d+)*)(?=/)")
RESERVED_SPACE = "1.48"  # since then it is the name of `keep-storage`


def api_version(version: Any) -> str:
    """The newest API version that both sides know, or Docker's oldest when that is newer than gitship's newest.

    ``version`` is what /version answers. Raises EngineError when that is not Docker's.
    """
    if not isinstance(version, dict) or "ApiVersion" not in version:
        raise EngineError("what answers is not Docker", "see host in [docker] on the server")
    newest = min(str(version["ApiVersion"]), NEWEST_API, key=parts)
    return max(newest, str(version.get("MinAPIVersion", newest)), key=parts)


def parts(version: str) -> tuple[int, ...]:
    """For comparing: 1.9 is older than 1.41."""
    return tuple(int(part) for part in version.split("."))


def of_path(path: str) -> str:
    """The version in a path of the Engine API; "" when it has none."""
    found = _VERSIONED.match(path)
    return found[1] if found else ""


def at_least(api: str, version: str) -> bool:
    """Whether paths that begin with ``api`` are of that version or a newer one."""
    return parts(of_path(f"{api}/")) >= parts(version)


def says_other_version(answer: bytes) -> bool:
    """Whether an answer 400 refuses the version of the call and nothing else."""
    return _REFUSED.match(answer) is not None


def other_path(path: str, renegotiated: Callable[[str], str]) -> str | None:
    """The path in the version that Docker speaks now; None when that is no other one. Raises EngineError."""
    old = of_path(path)
    new = renegotiated(old) if old else ""
    return None if new in ("", old) else path.replace(f"/v{old}", f"/v{new}", 1)

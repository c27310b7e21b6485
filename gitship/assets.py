"""Locates the files of the top-level hooks/ and varnish/ directories, in a checkout or an installed wheel.

pyproject.toml maps the two directories into the package (``package-dir``), so a wheel holds them as gitship/hooks and
gitship/varnish; a checkout, and an editable install of one, has them beside the package.
"""

from __future__ import annotations

from pathlib import Path

from gitship.errors import GitshipError

PACKAGE = Path(__file__).resolve().parent


def asset(name: str, package: Path = PACKAGE) -> Path:
    """The file or directory ``name``, for instance "hooks/post-receive". Raises GitshipError when it is not there."""
    for root in (package, package.parent):  # so that a stray site-packages/hooks never wins
        if (path := root / name).exists():
            return path
    raise GitshipError(f"gitship's file '{name}' is missing", "reinstall gitship")

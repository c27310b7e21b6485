"""Where the files of the top-level hooks/ and varnish/ directories are, in a checkout and in an installed wheel.

pyproject.toml maps the two directories into the package (``package-dir``), so a wheel holds them as gitship/hooks and
gitship/varnish; a checkout, and an editable install of one, has them beside the package.
"""

from __future__ import annotations

from pathlib import Path

from gitship.errors import GitshipError

_PACKAGE = Path(__file__).resolve().parent
ROOTS = (
    _PACKAGE,
    _PACKAGE.parent,
)  # the wheel's place first: a stray directory beside site-packages/gitship never wins


def asset(name: str, roots: tuple[Path, ...] = ROOTS) -> Path:
    """The file or directory ``name``, for instance "hooks/post-receive". Raises GitshipError when it is not there."""
    for root in roots:
        if (path := root / name).exists():
            return path
    raise GitshipError(f"gitship's own file '{name}' is missing", "install gitship again")

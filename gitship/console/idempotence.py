"""Exit codes of commands that change nothing: no error for scripts, but typing errors are reported.

So it is told like an error, with an exit code of its own. An app that is not there is never answered so: a limited key
would learn from it which apps there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gitship.errors import AlreadyGone, NotFound, OutOfReach


@contextmanager
def is_done() -> Iterator[None]:
    """Around the look-up and removal of one thing of an app or the server: a NotFound within becomes AlreadyGone."""
    try:
        yield
    except (AlreadyGone, OutOfReach):
        raise
    except NotFound as error:
        raise AlreadyGone(error.message, error.hint) from error

"""Interface of receive-pack to the server: accepts refs and deploys them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from gitship.git.refs import RefUpdate


class ReceiveHost(Protocol):
    """What a push means to the server beyond its objects. Reasons are one line each, keyed by ref."""

    def check(self, updates: Sequence[RefUpdate], options: Sequence[str]) -> Mapping[str, str]:
        """The reason per refused ref. Called before any object is kept."""
        ...

    def admitted(self) -> AbstractContextManager[None]:
        """Held while objects are moved into the repository: until its end it is the pusher's to change.

        Raises GitshipError when it is not, or not any more: minutes may have passed since the push began.
        """
        ...

    def accept(
        self,
        updates: Sequence[RefUpdate],
        options: Sequence[str],
        progress: Callable[[str], None],
        gone: threading.Event,
    ) -> Mapping[str, str]:
        """Makes the updates true, refs included; the reason per ref that did not move. May take minutes.

        ``progress`` shows one line behind ``remote: `` and never raises; ``gone`` is set once the client has left.
        """
        ...

"""Signature on a container's labels, which tells gitship's labels from an image's.

Docker gives a container the labels of its image, so whoever pushes a Dockerfile could say that a container is another
app's, or a cron run. What gitship makes gets all labels of its namespace from gitship, and one over them and the name
that nobody can make without this server's secret. Without a right seal a container's labels say nothing.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping

NAMESPACE = "gitship."
LABEL = f"{NAMESPACE}seal"
CHARS = 32


class LabelHmac:
    """Pure. ``key`` is a secret of this server."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def labels(self, name: str, own: Mapping[str, str], image: Mapping[str, str]) -> dict[str, str]:
        """What a new container of that name gets: ``own`` with the seal; what its image says besides is blanked."""
        strange = {label: "" for label in image if _ours(label)}
        return {**strange, **own, LABEL: self._made(name, own)}

    def believed(self, name: str, found: Mapping[str, str]) -> dict[str, str]:
        """A container's labels without those of gitship's namespace that are empty, or not under a right seal."""
        seal = found.get(LABEL, "").encode("utf-8", "replace")
        sealed = hmac.compare_digest(seal, self._made(name, found).encode())
        return {label: text for label, text in found.items() if not _ours(label) or (sealed and text)}

    def _made(self, name: str, labels: Mapping[str, str]) -> str:
        said = sorted((label, text) for label, text in labels.items() if _ours(label) and text and label != LABEL)
        return hmac.new(self._key, json.dumps([name, said]).encode(), "sha256").hexdigest()[:CHARS]


def _ours(label: str) -> bool:
    return label.startswith(NAMESPACE)

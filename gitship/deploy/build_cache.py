"""Decides which builds may share cached layers with other apps. Pure.

BuildKit finds a layer again by what it was made from: the files, the instruction, the arguments that the Dockerfile
declares. It leaves out values of secrets, proxies and what is in a cache mount, and a frontend of one's own can leave
out more. A layer that such things may have shaped belongs to the app: else another app with the same Dockerfile is
given what was made with this one's secret, or one app makes a layer through a proxy of its own for all the others.
"""

from __future__ import annotations

import re

from gitship.appfiles.build_arguments import SYNTAX, is_proxy
from gitship.appfiles.gitship_toml import BuildTable

# The one frontend that is known to make of a Dockerfile what it says; names of others may be written in many ways.
_OFFICIAL = re.compile(
    rb"^#[ \t]*syntax[ \t]*=[ \t]*(?:docker\.io/)?docker/dockerfile"
    rb"(?::[\w.-]{1,100})?(?:@sha256:[0-9a-f]{64})?[ \t]*\r?$",
    re.MULTILINE,
)


def shares_layers(dockerfile: bytes | None, build: BuildTable) -> bool:
    """False for what is keyed by more than BuildKit looks at; ``dockerfile`` is None when it cannot be read here."""
    if dockerfile is None or build.values or SYNTAX in build.args or any(map(is_proxy, build.args)):
        return False
    if dockerfile.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):  # JSON, which may name a frontend, escaped
        return False
    return b"--mount" not in dockerfile and b"syntax" not in _OFFICIAL.sub(b"", dockerfile).lower()

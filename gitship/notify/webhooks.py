"""Webhook operations that commands call."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from gitship.errors import UsageError, nearest
from gitship.model import Topic

FORMATS = ("json", "slack", "discord")
EVENTS = tuple(event.value for event in Topic if event is not Topic.TEST)
URL_CHARS = 2048


def split(url: str) -> SplitResult:
    """The parts of a webhook's URL. Raises UsageError, which never repeats the URL: it may hold a secret."""
    hint = "for instance https://hooks.example.com/deploys"
    if len(url) > URL_CHARS or not all("!" <= c <= "~" for c in url):
        raise UsageError(f"a URL has at most {URL_CHARS} plain characters without spaces", hint)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise UsageError("this is not a URL", hint) from None
    if parts.scheme not in ("http", "https") or not host or port == 0 or host.startswith("."):
        raise UsageError("a webhook's URL begins with https:// or http:// and a host", hint)
    if parts.username is not None:
        raise UsageError("a user name or password in the URL is not supported", "put a token into the path instead")
    return parts


def events(text: str) -> tuple[str, ...]:
    """``deploy.live,deploy.failed`` as a tuple; empty for ``all``. Raises UsageError with the nearest name."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if names == ("all",):
        return ()
    for name in names:
        if name not in EVENTS:
            near = nearest(name, EVENTS)
            hint = f"did you mean '{near}'?" if near else f"events: {', '.join(EVENTS)}, or all"
            raise UsageError(f"no event '{name[:80]}'", hint)
    if not names:
        raise UsageError("no event is given", f"events: {', '.join(EVENTS)}, or all")
    return names

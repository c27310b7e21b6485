"""Cache settings and purges of an app as data; varnish/app.vcl serves the previous release's files."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gitship.front.templates import exactly

DAY_S = 86_400
DEFAULT_GRACE_S = DAY_S
DEFAULT_ASSETS_S = 3600
MOST_S = 366 * DAY_S
MOST_NAMES = 50
MOST_WARM = 20
ALL_COOKIES = "*"

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}\*?")
_PATH = re.compile(r"/[\x21\x23-\x7e]{0,1000}")  # printable, no space, no quote
_HOST = re.compile(r"[a-z0-9][a-z0-9.-]{0,252}")
_TAG = re.compile(r"[!#-+\--\[\]-~]{1,200}")  # printable, no quote, no backslash; space and comma separate tags


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """Times in seconds. ``ttl_s`` is for what the app says nothing of; None: that is not cached.

    ``grace_s`` is how long after its time a page is served while the app fails. ``ignore_cookies`` and ``strip_query``
    are names, maybe with a ``*`` at their end; ALL_COOKIES alone stands for every cookie. ``assets_for_s`` is how long
    the files of the release before stay reachable, 0: not at all. ``sticky``: a visitor stays with one container.
    Raises ValueError for what cannot be put into VCL.
    """

    ttl_s: int | None = None
    grace_s: int = DEFAULT_GRACE_S
    ignore_cookies: tuple[str, ...] = ()
    strip_query: tuple[str, ...] = ()
    assets_for_s: int = DEFAULT_ASSETS_S
    warm: tuple[str, ...] = ()
    sticky: bool = False

    def __post_init__(self) -> None:
        for seconds in (self.ttl_s or 0, self.grace_s, self.assets_for_s):
            if not isinstance(seconds, int) or not 0 <= seconds <= MOST_S:
                raise ValueError(f"not a time: {seconds!r}")
        cookies = () if self.ignores_all_cookies else self.ignore_cookies
        if max(len(cookies), len(self.strip_query)) > MOST_NAMES or len(self.warm) > MOST_WARM:
            raise ValueError("too many names")
        for name in (*cookies, *self.strip_query):
            if not is_name(name):
                raise ValueError(f"not a name: {name!r}")
        for path in self.warm:
            if not is_path(path):
                raise ValueError(f"not a path: {path!r}")

    @property
    def ignores_all_cookies(self) -> bool:
        return self.ignore_cookies == (ALL_COOKIES,)


@dataclass(frozen=True, slots=True)
class PreviousCache:
    """The release before: what it left is looked up by its ``cache_key``, until ``until`` (epoch seconds)."""

    cache_key: str
    until: int


@dataclass(frozen=True, slots=True)
class Purge:
    """What shall be forgotten of an app's cache: all of it, what its ``url`` fits, or what carries the ``tag``.

    ``url`` is a path or, to name a host too, a URL; ``*`` in it stands for anything. Raises ValueError for
    what is none.
    """

    url: str | None = None
    tag: str | None = None

    def __post_init__(self) -> None:
        if self.url is not None and (not _PATH.fullmatch(self.path) or (self.host and not _HOST.fullmatch(self.host))):
            raise ValueError(f"not a path or URL: {self.url!r}")
        if self.tag is not None and not _TAG.fullmatch(self.tag):
            raise ValueError(f"not a tag: {self.tag!r}")

    @property
    def host(self) -> str:
        """In lower case and without its port; "" for every host of the app."""
        found = re.match(r"https?://([^/]*)", self.url or "", re.IGNORECASE)
        return re.sub(r":[0-9]+$", "", found[1].lower()) if found else ""

    @property
    def path(self) -> str:
        """With the query."""
        return re.sub(r"^https?://[^/]*", "", self.url or "", flags=re.IGNORECASE)

    def ban(self, owner: str) -> tuple[str, ...]:
        """The words of Varnish's command; ``owner`` is what the app's cache keys begin with.

        Only obj.* tests: what asks of a request keeps the lurker from cleaning up, and costs each later hit. No word
        has a blank: varnishd takes the words apart once more on their way to its worker.
        """
        words = ["ban", "obj.http.x-gitship-app", "==", owner]
        if self.url is not None:
            words += ["&&", "obj.http.x-gitship-url", "~", "^" + pattern(self.path) + "$"]
            words += ["&&", "obj.http.x-gitship-host", "==", self.host] if self.host else []
        if self.tag is not None:
            words += ["&&", "obj.http.x-gitship-tags", "~", rf"(^|[\s,]){exactly(self.tag)}([\s,]|$)"]
        return tuple(words)


DEFAULT = CacheSettings()


def is_name(text: str) -> bool:
    """True for the name of a cookie or query parameter; ``*`` at its end stands for anything."""
    return _NAME.fullmatch(text) is not None


def is_path(text: str) -> bool:
    return _PATH.fullmatch(text) is not None


def pattern(glob: str, anything: str = ".*") -> str:
    """A regular expression for the text, in which ``*`` stands for ``anything``."""
    return anything.join(exactly(part) for part in glob.split("*"))

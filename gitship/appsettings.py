"""Every setting that an app may have, declared once: its name in the store, its type, and what it is.

``store.setting(app.id, STOPPED)`` and ``store.app_settings(app.id)`` read them, ``store.set_setting`` writes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypedDict, get_type_hints

from gitship.front.cache_settings import CacheSettings
from gitship.front.gate import HttpsRedirect, Login, Maintenance, Redirect
from gitship.front.visitor_limits import Rate
from gitship.model import CronEntry
from gitship.store.settings import Family, Setting


@dataclass(frozen=True, slots=True)
class AppLock:
    """``at`` is epoch seconds; ``message`` may be empty."""

    by: str
    message: str
    at: float


@dataclass(frozen=True, slots=True)
class ReleaseBefore:
    """The cache key of the release before the live one, and since when (epoch seconds) it is that."""

    key: str
    since: int


@dataclass(frozen=True, slots=True)
class HttpsWish:
    """``hsts_s``: as in ``HttpsRedirect``."""

    on: bool
    hsts_s: int = 0


@dataclass(frozen=True, slots=True)
class MountSource:
    """``source`` is a volume's name or a directory of the host; ``processes`` None means every type."""

    source: str
    read_only: bool
    processes: tuple[str, ...] | None


class HttpCheck(TypedDict, total=False):
    """The fields of a ``Check`` that a command may set."""

    path: str
    port: int
    timeout_s: float
    content: str
    headers: dict[str, str]


class Skip(StrEnum):
    """For how long the checks do not count."""

    ONCE = "once"
    ALWAYS = "always"


EVERY = "*"  # no process type can be called so
# One-off containers and builds are limited like process types of these names; an app that has such a type shares them.
RUN, BUILDS = "run", "build"
_LIMITS = {"memory_bytes": int, "cpus": float, "pids": int, "stop_timeout_s": float, "read_only": bool}

# -- what an app is at the moment
STOPPED = Setting("stopped", bool, "true while `ps:stop` holds")
LOCK = Setting("lock", AppLock, "who locked it, and why")
RENAMING = Setting("renaming", str, "the name that it is getting")
DESTROYING = Setting("destroying", float, "since when (epoch seconds) it is being removed for good")
BEFORE = Setting("release-before", ReleaseBefore, "what the release before has left in the cache")
BAD = Family("bad-release.", str, "by the number of a release: why gitship has rolled back from it")
PENDING = Setting("settings-pending", float, "since when (epoch seconds) something set waits for a deploy")
SKIP_CHECKS = Setting("skip-checks", Skip, "that new containers go live without their checks", cloned=True)
GIVEN = Setting("app-json-env", tuple[str, ...], "names of config that app.json gives once, and has", "app-json-env")
BUILT_CONTEXT = Setting(
    "built-context", str, "the directory that the newest image was built from, when a command had set it", cloned=True
)

# -- containers
PORT = Setting("run.port", int, "where web listens", "port", cloned=True)
CHECK = Family("check.", HttpCheck, "by process type: its one check", "checks of {}", cloned=True)
LIMIT: Family[Any] = Family(
    "limit.", object, "by process type, EVERY, RUN or BUILDS, and a field of ProcessLimits", cloned=True, fields=_LIMITS
)
CAPABILITY = Family("capability.", bool, "by name: true, for every container", "capability {}")
MOUNT = Family("mount.", MountSource, "by the path in containers", "mount {}")
VOLUME = Family("volume.", str, "by name: what Docker calls it; the volume is there, mounted or not", "volume {}")
DISCARDED = Family(
    "volume-discarded.", float, "by what Docker calls it: since when (epoch seconds) nobody needs its content"
)
CRON = Family("cron.", CronEntry, "by name: an entry that a command has made")
CRON_SUSPENDED = Family("cron-suspended.", bool, "by name: over what the entry itself says")

# -- builds
DOCKERFILE = Setting("build.dockerfile", str, "its path", "dockerfile", cloned=True, for_builds=True)
CONTEXT = Setting("build.context", str, "the directory that is built", "context", cloned=True, for_builds=True)
TARGET = Setting("build.target", str, "the stage", "target", cloned=True, for_builds=True)
PLATFORM = Setting("build.platform", str, "os/architecture", "platform", cloned=True, for_builds=True)
NETWORK = Setting("build.network", str, "what RUN lines may reach", "network", cloned=True, for_builds=True)
ARGUMENT = Family("build.arg.", str, "by name: its value", "build argument {}", cloned=True, for_builds=True)
ARGUMENT_FROM_CONFIG = Family(
    "build.arg-from-config.", bool, "by name: true", "build argument {}", cloned=True, for_builds=True
)
SECRET = Family(
    "build.secret.", str, "by id: the name of the config variable", "build secret {}", cloned=True, for_builds=True
)

# -- visitors
ALLOW = Setting("allow", tuple[str, ...], "networks that are let in", cloned=True)
RATE = Setting("ratelimit", Rate, "how many requests visitors may send")
BODY = Setting("bodylimit", int, "how many bytes a request's body may have; 0 is a limit")
VCL = Setting("vcl", str, "the app's own")
AUTH = Setting("auth", tuple[Login, ...], "who may come in, by password", cloned=True)
MAINTENANCE = Setting("maintenance", Maintenance, "what visitors see in place of the app", cloned=True)
REDIRECTS = Setting("redirects", tuple[Redirect, ...], "where visitors are sent on", cloned=True)
HTTPS = Setting("https", HttpsWish, "its owner's wish; unset: the server's settings decide")
HTTPS_GATE = Setting("https-gate", HttpsRedirect, "what HTTPS has come to")
ERROR_PAGE = Setting("error-page", str, "HTML for while the app does not answer")
CACHE: Family[Any] = Family("cache.", object, "by its field: a rule", fields=get_type_hints(CacheSettings))

SETTINGS = tuple(one for one in globals().values() if isinstance(one, Setting))
FAMILIES = tuple(one for one in globals().values() if isinstance(one, Family))


def declared(names: Collection[str]) -> list[Setting[Any]]:
    """What stands under these names; a name that this version does not have is left out."""
    alone = {one.name: one for one in SETTINGS}
    found = [alone[name] for name in names if name in alone]
    return found + [family(key) for family in FAMILIES for key in family.keys(names)]


def told(one: Setting[Any]) -> str:
    """As people call it: ``port``, ``checks of web``, ``memory of every process``; "" for what nobody is told of."""
    for key in LIMIT.keys([one.name]):
        process, _, limit = key.rpartition(".")
        whose = "every process" if process == EVERY else process
        return f"{limit.removesuffix('_bytes').replace('_', '-')} of {whose}"
    return one.told

"""Generates the VCL of one app.

Names: ``app_<slug>_<release>_<ms>`` is one release's VCL, ``z_<slug>`` the label that leads to the one that serves.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from gitship.front import (
    backend_vcl,
    cache_vcl,
    custom_vcl,
    gate_vcl,
    pause_vcl,
    sticky_vcl,
    visitor_limits,
)
from gitship.front.backend_vcl import RESPONSE_TIMEOUT_S, AnyBackend, Backend, LocalBackend
from gitship.front.cache_settings import DEFAULT, CacheSettings, PreviousCache
from gitship.front.canary_vcl import CanarySide, telling, vmod_header_is_there
from gitship.front.gate import OPEN, Gate, check_page
from gitship.front.pause_vcl import Pause
from gitship.front.probe_vcl import Probe
from gitship.front.templates import REQUEST_ID, fill, literal, page, template
from gitship.front.websocket_vcl import IN_TURN

APP_PREFIX = "app_"
# Varnish's compiler has all names in one sorted list and begins at its start for each name that it meets: 1000 labels
# that sort before "req" made every compilation a third dearer.
LABEL_PREFIX = "z_"
FORMER_PREFIX = "L_"  # of labels of an earlier gitship, in a Varnish that has run since then
TRIAL_LABEL = "T_trial"  # what is loaded and not switched to yet, for gitship alone; no slug's label begins so
UNAVAILABLE = "unavailable"  # what a label leads to at boot when the app's own VCL does not load

# Until the first byte of what the cache has an old copy of: visitors wait for it once the copy is 10 s past its time.
PATIENCE_S = 30
# Between two bytes of what the cache has a note of that it isn't kept: this is how that is known when the answer comes.
NOT_KEPT_S = RESPONSE_TIMEOUT_S + 1
# How long what must be asked for after its time can be asked for by its ETag or Last-Modified, which is cheaper.
KEEP_S = 3600

_SLUG = re.compile(r"[a-z0-9_-]{1,63}")
_WORD = re.compile(r"[A-Za-z0-9_.:/+-]{1,200}")
NO_RELEASE = "v0"  # of an app that was never deployed
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,200}")


@dataclass(frozen=True, slots=True)
class AppFront:
    """What Varnish has to know of an app. No backends: a page says why, for instance, with ``stopped``, that its owner
    has stopped it. ``web``: its release has a process for visitors, of which none need run.

    ``cache_key`` is part of each cached object's key, so a release starts with an empty cache and finds it again when
    it returns; up to its first slash it is the app's own (``owner``). ``verify_token`` in ``X-Gitship-Verify`` makes a
    response tell where it came from, and passes the ``gate``. ``probe`` is what Varnish itself asks regularly; without
    it a backend is taken for healthy. ``error_page`` (HTML; None: gitship's own) is for when the app does not answer.
    """

    slug: str
    app: str
    release: str
    cache_key: str
    backends: tuple[Backend, ...]
    verify_token: str
    probe: Probe | None = None
    stopped: bool = False
    web: bool = True
    gate: Gate = OPEN
    cache: CacheSettings = DEFAULT
    before: PreviousCache | None = None
    error_page: str | None = None
    side: CanarySide | None = None  # of a canary
    id: int = 0  # under which its visitors are counted, whatever its name; 0: not at all
    pause: Pause | None = None
    local: LocalBackend | None = None  # a program of this machine instead of containers; it has no websockets
    proxy: Path | None = None  # the socket of what websockets go through; None: who asks gets an ordinary answer

    def __post_init__(self) -> None:
        """Raises ValueError for anything that could end a VCL string: the texts go into a program."""
        checks = [(_SLUG, self.slug), (_WORD, self.app), (_SLUG, self.release), (_WORD, self.cache_key)]
        if self.behind:
            checks.append((_TOKEN, self.verify_token))
        check_page(self.error_page or "")
        if self.before is not None:
            checks.append((_WORD, self.before.cache_key))
        for pattern, value in checks:
            if not pattern.fullmatch(value):
                raise ValueError(f"cannot be put into VCL: {value!r}")

    @property
    def behind(self) -> tuple[AnyBackend, ...]:
        """Who answers."""
        return (self.local,) if self.local else self.backends

    @property
    def owner(self) -> str:
        """What all cached objects of the app, of whichever release, are marked with."""
        return self.cache_key.partition("/")[0]


def label_name(slug: str) -> str:
    return f"{LABEL_PREFIX}{slug}"


def vcl_name(app: AppFront, milliseconds: int) -> str:
    return f"{APP_PREFIX}{app.slug}_{app.release}_{milliseconds}"


def app_vcl(app: AppFront, name: str, largest_cached_bytes: int) -> str:
    """The VCL ``name`` of ``app``; larger responses than ``largest_cached_bytes`` go through without being kept."""
    return _app_text(app, name, app.verify_token, digest(app, largest_cached_bytes), largest_cached_bytes)


def for_version(text: str, version: tuple[int, int]) -> str:
    """The VCL as Varnish ``version`` takes it.

    6.6 has no ``req.hash_ignore_vary``: there only the variant that the sender itself would get tells that a page is
    kept.
    """
    return text if version >= (7, 0) else re.sub(r"(?m)^ *set req\.hash_ignore_vary = true;\n", "", text)


def digest(app: AppFront, largest_cached_bytes: int) -> str:
    """The same for the same behaviour, whatever the VCL's name and token: tells whether a loaded VCL is still right."""
    text = _app_text(app, "", "", "", largest_cached_bytes)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def digest_of(text: str) -> str | None:
    """The digest that a VCL of gitship carries."""
    found = re.search(r"^# digest ([0-9a-f]{32})$", text, re.MULTILINE)
    return found[1] if found else None


def unavailable_vcl() -> str:
    """Always 503: for an app whose own VCL could not be loaded at boot."""
    status = '503, "Service Unavailable"'
    return _answer(UNAVAILABLE, "", status, page("app-down", app="This app"), retry_after=True)


def _app_text(app: AppFront, name: str, token: str, digest: str, largest_cached_bytes: int) -> str:
    if app.stopped and not app.behind:
        return _answer(name, digest, '503, "Stopped"', page("stopped", app=app.app), retry_after=True, of=app)
    if not app.behind:
        reason, named = _nothing(app)
        return _answer(name, digest, f'503, "{reason}"', page(named, app=app.app), retry_after=False, of=app)
    # A file is kept for as long as it may be asked for once its release is no longer there.
    before = app.before if app.before and app.cache.assets_for_s else None
    own = app.gate.vcl
    calls = {hook: custom_vcl.call(own, hook) for hook in custom_vcl.HOOKS}
    if calls[custom_vcl.RECV]:  # gitship's own request has to reach the app
        calls[custom_vcl.RECV] = "    if (!req.http.x-gitship-verify) {\n        call app_recv;\n    }"
    beside_others = vmod_header_is_there()
    stuck = app.local is None and sticky_vcl.wanted(app.cache.sticky, app.backends)
    text = fill(
        template("app.vcl"),
        name=name,
        app=app.app,
        id=str(app.id),
        release=app.release,
        request_id=REQUEST_ID,
        digest=digest,
        token=token,
        header="import header;\n" if (app.side or stuck) and beside_others else "",
        side=telling(app.side, beside_others=beside_others),
        sticky=sticky_vcl.declarations(app.backends, beside_others=beside_others) if stuck else "",
        stuck="    " + sticky_vcl.CHOICE if stuck else "",
        gate=gate_vcl.declarations(app.gate, app.app),
        call_gate=gate_vcl.call(app.gate, "        ", unless="req.http.x-gitship-verify"),
        cache_key=app.cache_key,
        owner=app.owner,
        before_key=before.cache_key if before else "none",
        before_until=str(before.until if before else 0),
        strip_query=cache_vcl.strip_query(app.cache),
        ignore_cookies=cache_vcl.ignore_cookies(app.cache),
        own_ttl=cache_vcl.own_ttl(app.cache),
        look='"look-first"' if app.side else '"look"',
        other_key=app.side.other_key if app.side else "none",
        grace=str(app.cache.grace_s),
        assets_for=str(app.cache.assets_for_s),
        patience=str(PATIENCE_S),
        not_kept=str(NOT_KEPT_S),
        keep=str(KEEP_S),
        largest_cached_bytes=str(largest_cached_bytes),
        page=page("app-down", request="bereq", app=app.app) if app.error_page is None else literal(app.error_page),
        limits=visitor_limits.declarations(app.gate.limits, app.app, _gitships_own(app, token)),
        pause=pause_vcl.declarations(app.pause, token),
        **backend_vcl.gaps(app.behind, app.probe, app.proxy, sticky_vcl.TURN if stuck else IN_TURN),
        **calls,
    )
    return custom_vcl.appended(text, own)


def _nothing(app: AppFront) -> tuple[str, str]:
    """Why nothing is behind an app that is not stopped: the reason phrase, and the page that says so."""
    if app.release == NO_RELEASE:
        return "Not Deployed", "never-deployed"
    return ("No Process", "scaled-to-none") if app.web else ("No Web Process", "no-web")


def _answer(name: str, digest: str, status: str, page_text: str, retry_after: bool, of: AppFront | None = None) -> str:
    return fill(
        template("answer.vcl"),
        name=name,
        id=str(of.id if of else 0),
        request_id=REQUEST_ID,
        digest=digest,
        status=status,
        page=page_text,
        gate=gate_vcl.declarations(of.gate, of.app) if of else "",
        call_gate=gate_vcl.call(of.gate, "    ") if of else "",
        retry_after='    set resp.http.retry-after = "5";' if retry_after else "",
    )


def _gitships_own(app: AppFront, token: str) -> str:
    """True for requests that gitship itself sends."""
    tokens = [f'req.http.x-gitship-verify == "{token}"']
    if app.pause is not None:
        tokens.append(f'req.http.x-gitship-hold == "{app.pause.ticket}"')
    return " || ".join(tokens)

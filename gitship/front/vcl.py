"""The VCL of one app, as text. Nothing here talks to Varnish.

Names: ``app_<slug>_<release>_<ms>`` is one release's VCL, ``L_<slug>`` the label that leads to the one that serves.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from gitship.front import cache_vcl, custom, gate_vcl, limits, pause
from gitship.front.cache import DEFAULT, Before, Cache
from gitship.front.gate import OPEN, Gate, check_page
from gitship.front.pause import Pause
from gitship.front.probe_vcl import Probe, probe_text
from gitship.front.side import Side, telling, vmod_header_is_there
from gitship.front.templates import REQUEST_ID, fill, literal, page, template

APP_PREFIX = "app_"
LABEL_PREFIX = "L_"
TRIAL_LABEL = "T_trial"  # what is loaded and not switched to yet, for gitship alone; no slug's label begins so
SOCKET_PREFIX = "socket_"  # of the backends that websockets go to
UNAVAILABLE = "unavailable"  # what a label leads to at boot when the app's own VCL does not load

# A container's address is on this machine: one lost SYN is repeated after 1 s, the next after 3 s.
CONNECT_TIMEOUT_S = 3
# Until the first byte, and between two: as long as the slowest report or the quietest event stream may take.
# A request that hangs holds one of 10,000 worker threads for that long.
RESPONSE_TIMEOUT_S = 300
# Until the first byte of what the cache has an old copy of: visitors wait for it once the copy is 10 s past its time.
PATIENCE_S = 30
# Between two bytes of what the cache has a note of that it isn't kept: this is how that is known when the answer comes.
NOT_KEPT_S = RESPONSE_TIMEOUT_S + 1
# How long what must be asked for after its time can be asked for by its ETag or Last-Modified, which is cheaper.
KEEP_S = 3600

_SLUG = re.compile(r"[a-z0-9_-]{1,63}")
_WORD = re.compile(r"[A-Za-z0-9_.:/+-]{1,200}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,200}")


@dataclass(frozen=True, slots=True)
class Backend:
    """A container's address, an IP. ``name`` shows up in statistics."""

    name: str
    address: str
    port: int

    def __post_init__(self) -> None:
        ip_address(self.address)
        if not 0 < self.port < 65536:
            raise ValueError(f"not a port: {self.port}")


@dataclass(frozen=True, slots=True)
class AppFront:
    """What Varnish has to know of an app. No backends: a page says that nothing is running there,
    or, with ``stopped``, that its owner has stopped it.

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
    gate: Gate = OPEN
    cache: Cache = DEFAULT
    before: Before | None = None
    error_page: str | None = None
    side: Side | None = None  # of a canary
    id: int = 0  # under which its visitors are counted, whatever its name; 0: not at all
    pause: Pause | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for anything that could end a VCL string: the texts go into a program."""
        checks = [(_SLUG, self.slug), (_WORD, self.app), (_SLUG, self.release), (_WORD, self.cache_key)]
        if self.backends:
            checks.append((_TOKEN, self.verify_token))
        check_page(self.error_page or "")
        if self.before is not None:
            checks.append((_WORD, self.before.cache_key))
        for pattern, value in checks:
            if not pattern.fullmatch(value):
                raise ValueError(f"cannot be put into VCL: {value!r}")

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
    if app.stopped and not app.backends:
        return _answer(name, digest, '503, "Stopped"', page("stopped", app=app.app), retry_after=True, of=app)
    if not app.backends:
        text = page("never-deployed", app=app.app)
        return _answer(name, digest, '502, "Not Running"', text, retry_after=False, of=app)
    names = [f"b{i}_{re.sub(r'[^A-Za-z0-9]', '_', b.name)}" for i, b in enumerate(app.backends)]
    probed = app.probe is not None
    backends = [_backend(n, b, probed) for n, b in zip(names, app.backends, strict=True)]
    members = ["    new app = directors.round_robin();", *(f"    app.add_backend({n});" for n in names)]
    if probed:
        backends += [_backend(f"any_{n}", b, False) for n, b in zip(names, app.backends, strict=True)]
        members += ["    new any = directors.round_robin();", *(f"    any.add_backend(any_{n});" for n in names)]
    # A file is kept for as long as it may be asked for once its release is no longer there.
    before = app.before if app.before and app.cache.assets_for_s else None
    own = app.gate.vcl
    calls = {hook: custom.call(own, hook) for hook in custom.HOOKS}
    if calls[custom.RECV]:  # gitship's own request has to reach the app
        calls[custom.RECV] = "    if (!req.http.x-gitship-verify) {\n        call app_recv;\n    }"
    text = fill(
        template("app.vcl"),
        name=name,
        app=app.app,
        id=str(app.id),
        release=app.release,
        request_id=REQUEST_ID,
        digest=digest,
        token=token,
        side=telling(app.side, beside_others=vmod_header_is_there()),
        gate=gate_vcl.declarations(app.gate, app.app),
        call_gate=gate_vcl.call(app.gate, "        ", unless="req.http.x-gitship-verify"),
        cache_key=app.cache_key,
        owner=app.owner,
        before_key=before.cache_key if before else "none",
        before_until=str(before.until if before else 0),
        probe=probe_text(app.probe) if app.probe else "",
        backends="\n".join(backends),
        members="\n".join(members),
        any_at_all=_any_at_all("req.backend_hint", "    ") if probed else "",
        any_at_all_again=_any_at_all("bereq.backend", "        ") if probed else "",
        retry_503=_retry_503(probed) if len(names) > 1 else "",
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
        sockets=_sockets(app, names),
        limits=limits.declarations(app.gate.limits, app.app, _gitships_own(app, token)),
        pause=pause.declarations(app.pause, token),
        **calls,
    )
    return custom.appended(text, own)


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


def _retry_503(probed: bool) -> str:
    """Another container may be able to answer what this one turns away."""
    lines = [
        '    if (beresp.status == 503 && bereq.retries < 2 && (bereq.method == "GET" || bereq.method == "HEAD")) {',
        "        set bereq.backend = app.backend();",
        *([_any_at_all("bereq.backend", "        ")] if probed else []),
        "        call gitship_keep_patience;",
        "        return (retry);",
        "    }",
    ]
    return "\n".join(lines)


def _gitships_own(app: AppFront, token: str) -> str:
    """True for requests that gitship itself sends."""
    tokens = [f'req.http.x-gitship-verify == "{token}"']
    if app.pause is not None:
        tokens.append(f'req.http.x-gitship-hold == "{app.pause.ticket}"')
    return " || ".join(tokens)


def _any_at_all(variable: str, indent: str) -> str:
    """When no container passes its probe they are tried all the same: a probe never makes it worse."""
    condition = f"{indent}if (!std.healthy({variable})) {{"
    return f"{condition}\n{indent}    set {variable} = any.backend();\n{indent}}}"


def _sockets(app: AppFront, names: Sequence[str]) -> str:
    """The same containers once more: Varnish counts open connections by backend, and so tells sockets from requests."""
    own = [f"{SOCKET_PREFIX}{name}" for name in names]
    backends = [_backend(n, b, bool(app.probe)) for n, b in zip(own, app.backends, strict=True)]
    members = [f"    sockets.add_backend({n});" for n in own]
    return "\n".join([*backends, "", "sub vcl_init {", "    new sockets = directors.round_robin();", *members, "}"])


def _backend(name: str, backend: Backend, probed: bool) -> str:
    lines = [
        f"backend {name} {{",
        f'    .host = "{backend.address}";',
        f'    .port = "{backend.port}";',
        f"    .connect_timeout = {CONNECT_TIMEOUT_S}s;",
        f"    .first_byte_timeout = {RESPONSE_TIMEOUT_S}s;",
        f"    .between_bytes_timeout = {RESPONSE_TIMEOUT_S}s;",
    ]
    if probed:
        lines.append("    .probe = ready;")
    return "\n".join([*lines, "}"])

"""Parameters of varnishd that differ from the defaults, with reasons."""

from __future__ import annotations

PARAMETERS: dict[str, str] = {
    # What gitship says to Varnish holds passwords' hashes and tokens: it is nobody's business in the system's log.
    "syslog_cli_traffic": "off",
    # One VCL and one label per app; the default of 100 ends at 50 apps.
    "max_vcl": "10000",
    # vcl.list is cut at 48k by default, which is about 350 apps.
    "cli_limit": "16m",
    # A request begins anew for a pause (once), the release before (twice), an old copy and its cookies: 4 by default.
    "max_restarts": "6",
    # An idle websocket is cut after this (default 60 s).
    "pipe_timeout": "3600",
    # Visitors by HTTPS agree on HTTP/2 with the proxy that speaks TLS; Varnish has to understand it.
    "feature": "+http2",
    # A refused connection makes Varnish avoid an address for 0.25 s by default. Docker hands addresses out again, and a
    # healthy release then answered 503 (10 of 72 requests).
    "backend_remote_error_holddown": "0",
    # A VCL that is loaded but not used keeps its probes for so long (default 600 s).
    "vcl_cooldown": "60",
    # Application servers close idle connections after 2 s (gunicorn) or 5 s (Node). A POST sent on one at that very
    # moment cannot be repeated, so Varnish has to be the first to close (default 60 s). It is also the longest that
    # vcl.discard holds up every other command, when an app does not close a connection that Varnish has half closed.
    "backend_idle_timeout": "1",
    # The same race towards browsers and load balancers, which expect more than the default of 5 s.
    "timeout_idle": "75",
    # What does not say for how long it may be kept is not kept. By default (120 s) a page with "Expires: 0" was, which
    # is no date.
    "default_ttl": "0",
    # How many cached objects may be thrown out for a new one; with the default of 50 a response larger than 50 small
    # objects is cut off in the middle once the cache is full.
    "nuke_limit": "100000",
    # Session and sign-in cookies: the defaults of 8k a header and 32k for all of them answered 400 to a cookie of 9 KB.
    "http_req_hdr_len": "32k",
    "http_req_size": "64k",
    # The same for what apps send: Content-Security-Policy, preloads, cookies (over the default of 8k: 503).
    "http_resp_hdr_len": "32k",
    "http_resp_size": "64k",
    # A large cookie that is put aside while the cache is looked at is there twice, and again when it is restored.
    "workspace_client": "160k",
    # Each request to an app wipes all of this: 160k took 15 % of the work of an uncached request. 96k is the default of
    # 7.1, older ones have 64k. Headers there and back have room in it unless both are near their limits.
    "workspace_backend": "96k",
    # More headers than browsers send, but proxies in front add theirs (default 64).
    "http_max_hdr": "128",
}

# For compiling VCL, fastest first; the first one that works here is taken. tcc: 25 ms for an app, gcc -O0: 113 ms,
# the default gcc -O2: 355 ms. tcc alone fails with glibc 2.41 (no note about a non-executable stack), so ld links.
# Without the rm the object file keeps a discarded VCL's directory from being removed. ld's other options leave out
# what nobody looks up and half-filled pages: 122 KB an app on disk instead of 171, 169 KB in memory instead of 182.
COMPILERS: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("tcc", "ld"),
        "tcc -w -fPIC -c -o %o.o %s"
        " && ld -shared -s -Bsymbolic -z noexecstack -z noseparate-code -z norelro -o %o %o.o && rm -f %o.o",
    ),
    (("gcc",), "gcc -O0 -w -fpic -shared -o %o %s"),
)

OPEN_FILES = 131072  # as in Debian's own unit; each connection is one

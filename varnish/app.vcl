vcl 4.1;
# @NAME@: app @APP@, release @RELEASE@. Written by gitship from varnish/app.vcl; the next deploy replaces it.
# digest @DIGEST@

import directors;
import std;

@GATE@
@PROBE@
@BACKENDS@

sub vcl_init {
    new app = directors.round_robin();
@MEMBERS@
}

sub vcl_recv {
    # The top VCL's return (vcl(label)) rolls request headers back to what the client sent: all hygiene is here.
    set req.http.host = regsub(std.tolower(req.http.host), "\.(:[0-9]+)?$", "\1");
    if (req.http.x-gitship-verify != "@TOKEN@") {
        unset req.http.x-gitship-verify;
    }
@CALL_GATE@
    unset req.http.forwarded;
    unset req.http.proxy;  # becomes HTTP_PROXY in CGI programs
    set req.http.x-real-ip = client.ip;
    set req.http.x-forwarded-for = client.ip;
    set req.http.x-forwarded-proto = "http";
    if (local.socket == "https") {
        set req.http.x-forwarded-proto = "https";
    }
    set req.http.x-forwarded-host = req.http.host;
    set req.http.x-forwarded-port = std.port(server.ip);

    set req.backend_hint = app.backend();
    if (std.healthy(req.backend_hint)) {
        set req.grace = 10s;
    } else {
        set req.grace = 24h;
    }

    if (req.http.upgrade ~ "(?i)^websocket$") {
        return (pipe);
    }
    if (req.method == "CONNECT") {
        return (synth(405));
    }
    # The built-in rules would pipe an unknown method, and a pipe carries the client's next requests without hygiene.
    # A range of something that isn't cached would be cut out of the whole: the app does that better.
    if ((req.method != "GET" && req.method != "HEAD") || req.http.range || req.http.x-gitship-verify) {
        return (pass);
    }
    # The built-in rules follow: Cookie and Authorization are passed.
}

sub vcl_pipe {
    unset bereq.http.x-gitship-verify;
    set bereq.http.upgrade = req.http.upgrade;
    # "close": an app that declines the upgrade ends the connection instead of taking further requests on it.
    set bereq.http.connection = "upgrade, close";
}

sub vcl_hash {
    hash_data("@CACHE_KEY@");
    if (local.socket == "https") {
        hash_data("https");  # an app that itself sends http visitors to https would send these in a circle
    }
}

sub vcl_backend_fetch {
    unset bereq.http.x-gitship-verify;
}

sub vcl_backend_response {
    unset beresp.http.x-gitship-release;
    unset beresp.http.x-gitship-origin;
    if (beresp.status >= 500 && bereq.is_bgfetch) {
        return (abandon);  # keep what is in the cache
    }
@RETRY_503@
    set beresp.grace = 24h;
    if (beresp.http.cache-control ~ "(?i)(must|proxy)-revalidate") {
        set beresp.grace = 0s;
    }
    # Nothing is cached unless the app says for how long. ttl 120 s, not 0: that decision is remembered, else parallel
    # requests wait for each other (8 requests of 0.5 s each: 4.1 s with 0 s, 0.5 s with 120 s).
    if (beresp.http.cache-control !~ "(?i)(^|[, ])(s-maxage|max-age)=" && !beresp.http.expires) {
        set beresp.ttl = 120s;
        set beresp.uncacheable = true;
        return (deliver);
    }
    # What would push out a good part of the cache, or not fit at all, isn't kept.
    if (std.integer(beresp.http.content-length, 0) > @LARGEST_CACHED_BYTES@) {
        set beresp.ttl = 120s;
        set beresp.uncacheable = true;
        return (deliver);
    }
}

sub vcl_backend_error {
    # Refused or cut connections are tried again; what ran into a time-out isn't asked to do its work once more.
    if (bereq.retries < 2 && (bereq.method == "GET" || bereq.method == "HEAD") && now - bereq.time < 5s) {
        set bereq.backend = app.backend();
        return (retry);
    }
    set beresp.http.content-type = "text/html; charset=utf-8";
    set beresp.http.cache-control = "no-store";
    set beresp.http.retry-after = "5";
    set beresp.http.x-gitship-origin = "error";
    synthetic(@PAGE@);
    return (deliver);
}

sub vcl_deliver {
    if (obj.uncacheable) {
        set resp.http.x-cache = "pass";
    } elsif (obj.hits > 0) {
        set resp.http.x-cache = "hit";
    } else {
        set resp.http.x-cache = "miss";
    }
    unset resp.http.x-varnish;
    unset resp.http.via;
    if (req.http.x-gitship-verify) {
        set resp.http.x-gitship-release = "@NAME@";
        if (!resp.http.x-gitship-origin) {
            set resp.http.x-gitship-origin = "backend";
        }
    } else {
        unset resp.http.x-gitship-origin;
    }
}

sub vcl_synth {
    unset resp.http.x-varnish;
    if (req.http.x-gitship-verify) {
        set resp.http.x-gitship-release = "@NAME@";
        set resp.http.x-gitship-origin = "error";
    }
}

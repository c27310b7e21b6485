vcl 4.1;
# app_shop_example_v12_1700000000000: app shop.example, release v12. Written by gitship from varnish/app.vcl; the next deploy replaces it.
# digest a77c778791b78e3d97c0e38940a72eb3

import directors;
import std;

# By this id a visitor and the app name a request; what a visitor sends as one is thrown away. Here, not in the top VCL,
# whose return (vcl(label)) rolls request headers back; and first of all, since what follows may return.
sub vcl_recv {
    if (req.restarts == 0) {
        set req.http.x-request-id = "" + std.time2integer(now, 0) + "-" + req.xid;
    }
}

sub vcl_deliver {
    set resp.http.x-request-id = req.http.x-request-id;  # also of what comes from the cache
}

sub vcl_synth {
    set resp.http.x-request-id = req.http.x-request-id;
}

# For varnishncsa: whose request it is, and who answers it.
sub vcl_deliver {
    if (req.http.x-gitship-verify) {
        # gitship's own
    } elsif (resp.http.x-gitship-origin == "error") {
        std.log("gitship:0 v12 error");
    } elsif (obj.uncacheable) {
        std.log("gitship:0 v12 pass");
    } elsif (obj.hits == 0) {
        std.log("gitship:0 v12 miss");
    } elsif (obj.ttl < 0s) {
        std.log("gitship:0 v12 stale");
    } else {
        std.log("gitship:0 v12 hit");
    }
}

sub vcl_synth {
    if (!req.http.x-gitship-verify) {
        std.log("gitship:0 v12 synth");
    }
}

sub vcl_pipe {
    std.log("gitship:0 v12 pipe");
}

# Visitors keep the cookie of a canary for a while. These are gitship's own: with one no page would come from the cache.
sub vcl_recv {
    if (req.http.cookie ~ "gitship_(canary|sticky)=") {
        set req.http.cookie = regsub(regsuball(req.http.cookie, "(^|; *)gitship_(canary|sticky)=[^;]*", ""), "^; *", "");
        if (req.http.cookie == "") {
            unset req.http.cookie;
        }
    }
}

backend b0_shop_example_web_1_v12 {
    .host = "10.231.0.5";
    .port = "5000";
    .connect_timeout = 3s;
    .first_byte_timeout = 300s;
    .between_bytes_timeout = 300s;
}

sub vcl_init {
    new app = directors.round_robin();
    app.add_backend(b0_shop_example_web_1_v12);
}

# Websockets go through a proxy that reads HTTP. Varnish itself would hand on whatever follows, and an app that declines
# and keeps the connection would take further requests on it, past all checks. The proxy lets one request through, and
# after any answer but 101 it hangs up.
backend socket_proxy {
    .path = "/data/varnish/websockets/in.sock";
    .connect_timeout = 3s;
    .first_byte_timeout = 5s;
    .between_bytes_timeout = 5s;
}

# What a websocket is asked for with (RFC 6455, 4.1), and no body. Any other upgrade is declined, by leaving it out.
sub gitship_upgrade {
    std.collect(req.http.connection);
    if (req.method != "GET" || req.proto != "HTTP/1.1" || req.http.upgrade !~ "(?i)^websocket$"
        || req.http.connection !~ "(?i)(^|[, \t])upgrade([, \t]|$)" || !req.http.sec-websocket-key
        || req.http.transfer-encoding || req.http.content-length) {
        unset req.http.upgrade;
        unset req.http.http2-settings;
    }
}

# A pipe to a proxy that isn't there would end without an answer. So it is asked first, which takes 0.1 ms.
sub gitship_websocket {
    set req.backend_hint = socket_proxy;
    if (req.http.x-gitship-socket == "there") {
        return (pipe);
    }
    set req.http.x-gitship-socket = "asked";
    return (pass);
}

sub vcl_pass {
    if (req.http.x-gitship-socket == "asked") {
        return (fetch);
    }
}

sub vcl_backend_fetch {
    if (bereq.http.x-gitship-socket == "asked") {
        return (fetch);
    }
}

sub vcl_backend_response {
    if (bereq.http.x-gitship-socket == "asked") {
        return (deliver);
    }
}

sub vcl_backend_error {
    if (bereq.http.x-gitship-socket == "asked") {
        set beresp.http.content-type = "text/plain; charset=utf-8";
        set beresp.http.cache-control = "no-store";
        set beresp.http.retry-after = "5";
        set beresp.http.x-gitship-origin = "error";
        synthetic("No websockets at this moment; try again.");
        return (deliver);
    }
}

sub vcl_deliver {
    if (req.http.x-gitship-socket == "asked" && resp.status == 204) {
        set req.http.x-gitship-socket = "there";
        return (restart);
    }
}

# Also for a pipe that the app's own VCL has asked for.
sub vcl_pipe {
    unset bereq.http.x-gitship-verify;
    unset bereq.http.x-gitship-first;
    unset bereq.http.x-gitship-socket;
    set bereq.http.x-request-start = "t=" + std.time2real(now, 0.0);
    set bereq.http.x-gitship-address = "10.231.0.5";
    set bereq.http.x-gitship-port = "5000";
    set bereq.backend = socket_proxy;
    if (req.http.x-gitship-socket == "there") {
        set bereq.http.upgrade = req.http.upgrade;
        set bereq.http.connection = "upgrade";
    }
}



# A request may begin anew (restart), at most four times, with notes to itself:
#   x-gitship-before  look: does the release before have this file? there, none: the answer. serve: take it.
#   x-gitship-stale   there: the cache has an old copy, the app is asked first. serve: it failed, take the copy.
#   x-gitship-first   this is not such a second time (what waited in a pause has begun anew before).
#   x-gitship-changes it may change a page. look-first, look-elsewhere, look: does the cache have one of this URL, under
#                     the other side's key, too? Else its URL, as the cache has it.
#   x-gitship-sent    the URL as the app gets it, meanwhile.
#   x-gitship-socket  a websocket is wanted. asked: the proxy that they go through is asked whether it is there; there.
#   x-gitship-cookie  the visitor's cookies, while x-gitship-aside says why they are put aside; over: they count again.
sub vcl_recv {
    # The top VCL's return (vcl(label)) rolls request headers back to what the client sent: all hygiene is here.
    if (req.restarts == 0 || req.http.x-gitship-waited) {
        unset req.http.x-gitship-waited;
        set req.http.x-gitship-first = "yes";
        unset req.http.x-gitship-not-kept;
        set req.http.host = regsub(std.tolower(req.http.host), "\.(:[0-9]+)?$", "\1");
        unset req.http.x-gitship-before;
        unset req.http.x-gitship-stale;
        unset req.http.x-gitship-changes;
        unset req.http.x-gitship-sent;
        unset req.http.x-gitship-cookie;
        unset req.http.x-gitship-aside;
        unset req.http.x-gitship-trial;
        unset req.http.x-gitship-socket;
        unset req.http.x-gitship-waits;
        unset req.http.x-gitship-hold;
        if (req.http.x-gitship-verify != "TTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTT") {
            unset req.http.x-gitship-verify;
        }
        unset req.http.forwarded;
        unset req.http.proxy;  # becomes HTTP_PROXY in CGI programs
        unset req.http.scheme;  # Varnish's own, of requests by HTTP/2
        set req.http.x-real-ip = client.ip;
        set req.http.x-forwarded-for = client.ip;
        set req.http.x-forwarded-proto = "http";
        if (local.socket == "https") {
            set req.http.x-forwarded-proto = "https";
        }
        set req.http.x-forwarded-host = req.http.host;
        set req.http.x-forwarded-port = std.port(server.ip);
        if (req.http.upgrade) {
            call gitship_upgrade;
        }
    } else {
        unset req.http.x-gitship-first;
    }

    set req.backend_hint = app.backend();

    if (req.http.x-gitship-before ~ "^(look|serve)$" || req.http.x-gitship-stale == "serve"
        || req.http.x-gitship-changes == "look-elsewhere") {
        set req.hash_ignore_busy = true;
        set req.grace = 8760h;
        return (hash);
    }
    set req.hash_ignore_busy = false;
    # An old copy is always looked at; vcl_hit says whether it will do. When it won't, this is the second time.
    set req.grace = 8760h;
    if (req.http.x-gitship-stale) {
        set req.grace = 0s;
    }

    if (req.http.upgrade) {
        call gitship_websocket;
    }
    if (req.method == "CONNECT") {
        return (synth(405));
    }
    # The built-in rules would pipe an unknown method, and a pipe carries the client's next requests without hygiene.
    if (req.http.x-gitship-verify || req.method == "OPTIONS" || req.method == "TRACE") {
        return (pass);
    }
    if (req.method != "GET" && req.method != "HEAD") {
        set req.http.x-gitship-sent = req.url;
    }
    if (req.url ~ "[?&](?:utm_[^=&]*|fbclid)(?:=[^&]*)?(?:&|$)") {
        set req.url = regsub(regsuball(req.url, "(?<=[?&])(?:utm_[^=&]*|fbclid)(?:=[^&]*)?(?:&|$)", ""), "[?&]+$", "");
    }
    # What may change a page (RFC 9111, 4.4) is passed by way of the cache: only what is there has to be banned, and one
    # variant of the page is enough to know that. With a ban for each POST, 6,000 of them made the next hits 9 ms slower.
    if (req.http.x-gitship-sent) {
        set req.http.x-gitship-changes = "look";
        set req.hash_ignore_busy = true;
        set req.hash_ignore_vary = true;
        return (hash);
    }
    if (req.http.x-gitship-aside == "over") {
        return (pass);
    }
    if (req.http.x-gitship-first && req.http.cookie && !req.http.authorization) {
        set req.http.x-gitship-cookie = req.http.cookie;
        set req.http.cookie = ";" + regsuball(req.http.cookie, "; *", ";");
        set req.http.cookie = regsub(regsuball(req.http.cookie, ";(?:_ga[^=;]*|consent)(?:=[^;]*)?(?=;|$)", ""), "^;+", "");
        if (req.http.cookie == "") {
            unset req.http.cookie;
        }
        if (!req.http.cookie) {
            set req.http.x-gitship-aside = "owner";
        } elsif (req.url ~ "(?i)^[^?]*\.(?:css|m?js|map|wasm|png|jpe?g|gif|webp|avif|svg|ico|woff2?|ttf|otf|eot)(?:\?|$)") {
            set req.http.x-gitship-aside = "file";
            unset req.http.cookie;
        } elsif (req.http.cookie == req.http.x-gitship-cookie) {
            unset req.http.x-gitship-cookie;
        }
    }
    # The built-in rules follow: Cookie and Authorization are passed.
}

sub vcl_hash {
    if (req.http.x-gitship-before ~ "^(look|serve)$") {
        hash_data("7/fedcba9876543210");
    } elsif (req.http.x-gitship-changes == "look-elsewhere") {
        hash_data("none");
    } else {
        hash_data("7/0123456789abcdef");
    }
    if (local.socket == "https") {
        hash_data("https");  # an app that itself sends http visitors to https would send these in a circle
    }
}

# Before the app is asked, and may answer 404: is it a file of the release before?
sub gitship_look_back {
    if (req.http.x-gitship-first && now < std.time(integer=1700007200) && !req.http.x-gitship-verify
        && (req.method == "GET" || req.method == "HEAD")) {
        set req.http.x-gitship-before = "look";
        return (restart);
    }
}

sub vcl_hit {
    if (req.http.x-gitship-changes) {
        set req.http.x-gitship-changes = req.url;
        return (pass);
    }
    if (req.http.x-gitship-before ~ "^(look|serve)$") {
        if (!obj.http.x-gitship-file) {
            set req.http.x-gitship-before = "none";
            return (restart);
        }
        if (req.http.x-gitship-before == "look") {
            set req.http.x-gitship-before = "there";
            return (restart);
        }
        return (deliver);
    }
    # Shortly after its time a page is served once more, and asked for in the background; after that the app comes first.
    if (req.http.x-gitship-first && obj.ttl + std.duration(obj.http.x-gitship-revalidate + "s", 0s) < 0s) {
        if (obj.ttl + std.duration(obj.http.x-gitship-grace + "s", 0s) < 0s) {
            set req.http.x-gitship-stale = "none";
            return (restart);
        }
        if (std.healthy(app.backend())) {
            set req.http.x-gitship-stale = "there";
            return (restart);
        }
    }
}

# What was looked for isn't in the cache: neither a file of the release before, nor an old copy.
sub gitship_not_there {
    if (req.http.x-gitship-before ~ "^(look|serve)$") {
        if (req.restarts >= 4) {
            return (synth(404));
        }
        set req.http.x-gitship-before = "none";
        return (restart);
    }
    if (req.http.x-gitship-stale == "serve") {
        set req.http.x-gitship-stale = "none";
        return (restart);
    }
    call gitship_look_back;
}

sub vcl_miss {
    call gitship_not_there;
    if (req.http.x-gitship-changes) {
        return (pass);
    }
    if (req.is_hitmiss) {
        set req.http.x-gitship-not-kept = "yes";
    }
    # A range of something that isn't cached would be cut out of the whole: the app does that better.
    if (req.http.range || (req.is_hitmiss && req.http.x-gitship-aside)) {
        return (pass);
    }
}

sub vcl_pass {
    call gitship_not_there;
    if (req.http.x-gitship-aside) {
        set req.http.x-gitship-aside = "over";
    }
    if (req.http.x-gitship-changes == "look-first") {
        set req.http.x-gitship-changes = "look-elsewhere";
        return (restart);
    }
    if (req.http.x-gitship-sent) {
        set req.url = req.http.x-gitship-sent;
    }
}

sub vcl_backend_fetch {
    # In the background, for a copy that is only served because the app has just failed, or is another release's.
    if (bereq.http.x-gitship-before == "serve" || bereq.http.x-gitship-stale == "serve") {
        return (abandon);
    }
    # For apps that measure how long a request waited for them, and for vcl_backend_error: 6.6 has no bereq.time.
    if (bereq.retries == 0) {
        set bereq.http.x-request-start = "t=" + std.time2real(now, 0.0);
    }
    if (bereq.uncacheable && bereq.http.x-gitship-cookie) {
        set bereq.http.cookie = bereq.http.x-gitship-cookie;
    }
    # With an old copy at hand nobody waits for long. This is also how it is known below that there is one.
    if (bereq.http.x-gitship-stale == "there" || bereq.is_bgfetch) {
        set bereq.first_byte_timeout = 30s;
    }
    if (bereq.http.x-gitship-not-kept) {
        set bereq.between_bytes_timeout = 301s;
        unset bereq.http.x-gitship-not-kept;
    }
    unset bereq.http.x-gitship-verify;
    unset bereq.http.x-gitship-before;
    unset bereq.http.x-gitship-stale;
    unset bereq.http.x-gitship-changes;
    unset bereq.http.x-gitship-sent;
    unset bereq.http.x-gitship-cookie;
    unset bereq.http.x-gitship-aside;
    unset bereq.http.x-gitship-first;
}

# What isn't kept leaves a note in the cache that this is so, else requests for it would wait for each other (8 requests of
# 0.5 s each: 4.1 s). A note is an object, so there may not be one for each request: a URL has about one a minute, for ten
# minutes. In between its own pages aren't even looked for (a quarter of Varnish's work), and the next answer is kept if
# the app allows it. Anything else may be a failure of this moment: that is tried again after a second.
sub gitship_not_kept {
    set beresp.grace = 480s;
    set beresp.keep = 0s;
    if (bereq.between_bytes_timeout == 301s && std.random(0, 2) < 1) {
        if (beresp.status == 200 && !beresp.http.set-cookie) {
            return (pass(60s));
        }
        return (pass(1s));
    }
    set beresp.ttl = 120s;
    set beresp.uncacheable = true;
    return (deliver);
}

# A retry begins with the usual time-outs from Varnish 7.5 on: vcl_backend_fetch has to be told once more.
sub gitship_keep_patience {
    if (bereq.first_byte_timeout == 30s) {
        set bereq.http.x-gitship-stale = "there";
    }
}

sub vcl_backend_response {
    unset beresp.http.x-gitship-release;
    unset beresp.http.x-gitship-origin;
    unset beresp.http.x-gitship-file;
    if (!beresp.was_304) {
        unset beresp.http.x-gitship-tags;  # else those of the copy that is still right: a 304 may leave them out
    }
    if (beresp.status >= 500 && bereq.is_bgfetch) {
        return (abandon);  # keep what is in the cache
    }
    if (beresp.status >= 500 && bereq.first_byte_timeout == 30s) {
        return (abandon);  # any answer that is taken, a failure too, ends the old copy
    }

    if (bereq.uncacheable) {
        unset beresp.http.cache-tag;
        unset beresp.http.surrogate-key;
        unset beresp.http.xkey;
        return (deliver);
    }

    # By these a purge finds its objects.
    set beresp.http.x-gitship-app = "7";
    set beresp.http.x-gitship-host = regsub(bereq.http.host, ":[0-9]+$", "");
    set beresp.http.x-gitship-url = bereq.url;
    if (beresp.http.cache-tag || beresp.http.surrogate-key || beresp.http.xkey) {
        std.collect(beresp.http.cache-tag);
        std.collect(beresp.http.surrogate-key);
        std.collect(beresp.http.xkey);
        set beresp.http.x-gitship-tags =
            beresp.http.cache-tag + " " + beresp.http.surrogate-key + " " + beresp.http.xkey;
        unset beresp.http.cache-tag;
        unset beresp.http.surrogate-key;
        unset beresp.http.xkey;
    }

    # How long after its time: served while it is asked for (stale-while-revalidate, else 10 s), and while the app fails.
    std.collect(beresp.http.cache-control);
    set beresp.http.x-gitship-revalidate = beresp.grace;
    set beresp.grace = 3600s;
    if (beresp.http.cache-control ~ "(?i)(^|[, ])stale-if-error=[0-9]") {
        set beresp.grace = std.duration(
            regsub(beresp.http.cache-control, "(?i)^.*stale-if-error=([0-9]{1,8}).*$", "\1s"), 3600s);
    }
    if (beresp.http.cache-control ~ "(?i)(must|proxy)-revalidate") {
        set beresp.grace = 0s;
        set beresp.http.x-gitship-revalidate = "0";
        set beresp.keep = 3600s;  # not to be served, but to ask whether it is still right
    }
    set beresp.http.x-gitship-grace = beresp.grace;
    if (beresp.grace > 0s && std.duration(beresp.http.x-gitship-revalidate + "s", 0s) > beresp.grace) {
        set beresp.grace = std.duration(beresp.http.x-gitship-revalidate + "s", 0s);
    }

    # "*" in Vary is for nobody else, also among other names; Varnish by itself knows it alone only.
    std.collect(beresp.http.vary);
    if (beresp.http.vary ~ "\*") {
        call gitship_not_kept;
    }
    # Nothing is cached unless the app says for how long.
    # An Expires that is no date ("0") counts as past; Varnish by itself would keep such a page for 120 s.
    if (beresp.status == 200 && !beresp.http.expires && beresp.http.cache-control !~ "(?i)(^|[, ])(s-maxage|max-age)=") {
        set beresp.ttl = 60s;
    } else if (beresp.http.cache-control !~ "(?i)(^|[, ])(s-maxage|max-age)="
        && (!beresp.http.expires || std.time(beresp.http.expires, now) <= now)) {
        call gitship_not_kept;
    } elsif (beresp.status == 200 && beresp.http.content-type !~ "(?i)html") {
        # The next release may not have it any more, when pages that name it are still open.
        set beresp.http.x-gitship-file = "yes";
        if (beresp.grace < 7200s && beresp.http.cache-control !~ "(?i)(must|proxy)-revalidate") {
            set beresp.grace = 7200s;
        }
    }
    # What would push out a good part of the cache, or not fit at all, isn't kept.
    if (std.integer(beresp.http.content-length, 0) > 16777216) {
        call gitship_not_kept;
    }
    # The built-in rules say the same, but leave a note each time.
    if (beresp.ttl <= 0s || beresp.http.set-cookie || beresp.http.surrogate-control ~ "(?i)no-store"
        || (!beresp.http.surrogate-control && beresp.http.cache-control ~ "(?i)no-cache|no-store|private")) {
        call gitship_not_kept;
    }
}

sub vcl_backend_error {
    # Refused or cut connections are tried again; what ran into a time-out isn't asked to do its work once more.
    if (bereq.retries < 2 && (bereq.method == "GET" || bereq.method == "HEAD")
        && now - std.real2time(std.real(regsub(bereq.http.x-request-start, "^t=", ""), 0.0), now) < 5s) {
        set bereq.backend = app.backend();
        call gitship_keep_patience;
        return (retry);
    }
    if (bereq.is_bgfetch || bereq.first_byte_timeout == 30s) {
        return (abandon);
    }
    set beresp.http.content-type = "text/html; charset=utf-8";
    set beresp.http.cache-control = "no-store";
    set beresp.http.retry-after = "5";
    set beresp.http.x-gitship-origin = "error";
    synthetic({"<p>""} + {"} down"});
    return (deliver);
}

sub vcl_deliver {
    # Asked without the visitor's cookies; they count unless the app allows everybody to share its answer.
    if (req.http.x-gitship-aside ~ "^(owner|file)$" && resp.http.x-gitship-origin != "error"
        && req.http.x-gitship-stale != "serve" && req.http.x-gitship-before != "serve") {
        if (obj.uncacheable || (req.http.x-gitship-aside == "file"
            && (resp.http.cache-control !~ "(?i)(^|[, ])(public|immutable)" || resp.http.vary ~ "(?i)cookie"))) {
            if (resp.status == 404 && req.http.x-gitship-first && obj.hits > 0) {
                set req.http.x-gitship-before = "there";  # perhaps: a 404 from the cache has not looked yet
            }
            set req.http.x-gitship-aside = "over";
            return (restart);
        }
    }
    if (resp.status == 404 && now < std.time(integer=1700007200) && !req.http.x-gitship-verify) {
        # A 404 from the cache has not looked yet.
        if (req.http.x-gitship-before == "there" || (req.http.x-gitship-first && obj.hits > 0)) {
            set req.http.x-gitship-before = "serve";
            return (restart);
        }
    }
    # Only obj.*: see cache.py. No URL has a blank, and all else in it stands for itself.
    if (req.http.x-gitship-changes ~ "^/" && resp.status >= 200 && resp.status < 400) {
        if (!std.ban("obj.http.x-gitship-app == 7 && obj.http.x-gitship-url == " + req.http.x-gitship-changes
            + " && obj.http.x-gitship-host == " + regsub(req.http.host, ":[0-9]+$", ""))) {
            std.log("The old page stays: " + std.ban_error());
        }
    }
    if (req.http.x-gitship-before == "serve") {
        set resp.http.x-cache = "previous";
    } elsif (obj.uncacheable) {
        set resp.http.x-cache = "pass";
    } elsif (obj.hits > 0 && obj.ttl < 0s) {
        set resp.http.x-cache = "stale";
    } elsif (obj.hits > 0) {
        set resp.http.x-cache = "hit";
    } else {
        set resp.http.x-cache = "miss";
    }
    unset resp.http.x-varnish;
    unset resp.http.via;
    unset resp.http.x-gitship-app;
    unset resp.http.x-gitship-host;
    unset resp.http.x-gitship-url;
    unset resp.http.x-gitship-tags;
    unset resp.http.x-gitship-file;
    unset resp.http.x-gitship-revalidate;
    unset resp.http.x-gitship-grace;
    if (req.http.x-gitship-verify) {
        set resp.http.x-gitship-release = "app_shop_example_v12_1700000000000";
        if (!resp.http.x-gitship-origin) {
            set resp.http.x-gitship-origin = "backend";
        }
    } else {
        unset resp.http.x-gitship-origin;
    }
}

sub vcl_synth {
    # The app has failed, and there is an old copy.
    if (resp.status == 503 && req.http.x-gitship-stale == "there") {
        set req.http.x-gitship-stale = "serve";
        return (restart);
    }
    unset resp.http.x-varnish;
    if (req.http.x-gitship-verify) {
        set resp.http.x-gitship-release = "app_shop_example_v12_1700000000000";
        set resp.http.x-gitship-origin = "error";
    }
}

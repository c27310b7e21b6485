vcl 4.1;
# app_shop_example_v12_1700000000000: app shop.example, release v12. Written by gitship from varnish/app.vcl; the next deploy replaces it.
# digest ecdf9312f701c12cdbea1ba3c661630a

import directors;
import std;

sub vcl_synth {
    if (resp.status == 1443) {
        unset resp.http.x-varnish;
        set resp.status = 308;
        set resp.http.location = req.http.x-gitship-location;
        synthetic("");
        return (deliver);
    }
    if (local.socket == "https" && req.http.host ~ "(?i)^([^.]+[.]example[.]net|shop[.]example[.]com)[.]?(:[0-9]+)?$") {
        set resp.http.strict-transport-security = "max-age=3600";
    }
}

sub vcl_deliver {
    if (local.socket == "https" && req.http.host ~ "(?i)^([^.]+[.]example[.]net|shop[.]example[.]com)[.]?(:[0-9]+)?$") {
        set resp.http.strict-transport-security = "max-age=3600";
    }
}

sub gitship_gate {
    if (local.socket != "https" && req.http.host ~ "(?i)^([^.]+[.]example[.]net|shop[.]example[.]com)[.]?(:[0-9]+)?$" && req.url ~ "^/") {
        set req.http.x-gitship-location =
            "https://" + regsub(req.http.host, "\.?(:[0-9]+)?$", "") + ":8443" + req.url;
        return (synth(1443));
    }
    if (regsub(req.http.authorization, "(?i)^basic +", "Basic ") != "Basic YWRhOmE="
        && regsub(req.http.authorization, "(?i)^basic +", "Basic ") != "Basic Ym9iOmI=") {
        return (synth(1401));
    }
    unset req.http.authorization;
}

sub vcl_synth {
    if (resp.status == 1401) {
        unset resp.http.x-varnish;
        set resp.status = 401;
        set resp.http.content-type = "text/html; charset=utf-8";
        set resp.http.cache-control = "no-store";
        set resp.http.www-authenticate = {"Basic realm="shop.example", charset="UTF-8""};
        synthetic("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>shop.example asks for a name and password</title>
<style>
:root { color-scheme: light dark; --ink: #1c2530; --soft: #5c6b7a; --line: #d9e0e7; --back: #f6f8fa; --card: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6ebf0; --soft: #94a3b3; --line: #2c3742; --back: #12181e; --card: #1a222b; }
}
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem; background: var(--back);
  color: var(--ink); font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 32rem; width: 100%; padding: 2.25rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 12px; }
p { margin: .75rem 0 0; color: var(--soft); overflow-wrap: anywhere; }
.code { margin: 0; font: 600 .85rem ui-monospace, Menlo, Consolas, monospace; letter-spacing: .08em; }
h1 { margin: .35rem 0 0; font-size: 1.45rem; line-height: 1.3; overflow-wrap: anywhere; }
code { padding: .15em .45em; border: 1px solid var(--line); border-radius: 6px; color: var(--ink);
  font: .9em ui-monospace, Menlo, Consolas, monospace; }
</style>
</head>
<body>
<main>
<p class="code">401</p>
<h1>shop.example asks for a name and password</h1>
<p>Load this page again to sign in.</p>
</main>
</body>
</html>
""");
        return (deliver);
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

sub vcl_recv {
    # The top VCL's return (vcl(label)) rolls request headers back to what the client sent: all hygiene is here.
    set req.http.host = regsub(std.tolower(req.http.host), "\.(:[0-9]+)?$", "\1");
    if (req.http.x-gitship-verify != "TTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTT") {
        unset req.http.x-gitship-verify;
    }
    if (!req.http.x-gitship-verify) {
        call gitship_gate;
    }
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
    hash_data("7/0123456789abcdef");
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
    if (std.integer(beresp.http.content-length, 0) > 16777216) {
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
    synthetic("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>shop.example is not answering</title>
<style>
:root { color-scheme: light dark; --ink: #1c2530; --soft: #5c6b7a; --line: #d9e0e7; --back: #f6f8fa; --card: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6ebf0; --soft: #94a3b3; --line: #2c3742; --back: #12181e; --card: #1a222b; }
}
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem; background: var(--back);
  color: var(--ink); font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 32rem; width: 100%; padding: 2.25rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 12px; }
p { margin: .75rem 0 0; color: var(--soft); overflow-wrap: anywhere; }
.code { margin: 0; font: 600 .85rem ui-monospace, Menlo, Consolas, monospace; letter-spacing: .08em; }
h1 { margin: .35rem 0 0; font-size: 1.45rem; line-height: 1.3; overflow-wrap: anywhere; }
code { padding: .15em .45em; border: 1px solid var(--line); border-radius: 6px; color: var(--ink);
  font: .9em ui-monospace, Menlo, Consolas, monospace; }
</style>
</head>
<body>
<main>
<p class="code">503</p>
<h1>shop.example is not answering</h1>
<p>It may be back in a moment; please try again.</p>
<p>If the app is yours, see what it says: <code>logs</code></p>
</main>
</body>
</html>
""");
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
        set resp.http.x-gitship-release = "app_shop_example_v12_1700000000000";
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
        set resp.http.x-gitship-release = "app_shop_example_v12_1700000000000";
        set resp.http.x-gitship-origin = "error";
    }
}

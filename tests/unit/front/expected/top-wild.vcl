vcl 4.1;
# Which host name leads to which app. Written by gitship from varnish/top.vcl; it changes only with host names, and for canaries.

import std;

backend default none;

sub vcl_recv {
    if (req.url ~ "^/\.well-known/acme-challenge/") {
        return (vcl(challenges));
    }
    set req.http.host = std.tolower(regsub(req.http.host, "\.?(:[0-9]+)?$", ""));
    if (req.http.host == "shop.example.com") { return (vcl(z_shop)); }
    set req.http.x-gitship-parent = regsub(req.http.host, "^[^.]+", "*");
    if (req.http.x-gitship-parent == "*.example.com") { return (vcl(z_wild)); }
    if (req.http.x-gitship-parent == "*.example.net") { return (vcl(z_wild)); }
    return (synth(404));
}

sub vcl_synth {
    unset resp.http.x-varnish;
    set req.http.x-request-id = "" + std.time2integer(now, 0) + "-" + req.xid;
    set resp.http.x-request-id = req.http.x-request-id;
    if (resp.status == 404) {
        # The name goes into a page: only what can be a host name.
        if (req.http.host !~ "^[a-z0-9.-]{1,253}$") {
            set req.http.host = "this address";
        }
        set resp.http.content-type = "text/html; charset=utf-8";
        set resp.http.cache-control = "no-store";
        synthetic("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>No app here</title>
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
.request { margin-top: 1.5rem; font: .75rem ui-monospace, Menlo, Consolas, monospace; }
</style>
</head>
<body>
<main>
<p class="code">404</p>
<h1>No app here</h1>
<p>No app answers at """ + req.http.host + """.</p>
<p>If it should: <code>domains:add</code> gives an app this name.</p>
<p class="request">Request """ + req.http.x-request-id + """</p>
</main>
</body>
</html>
""");
        return (deliver);
    }
}

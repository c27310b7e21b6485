vcl 4.1;
# app_shop_example_v12_1700000000000: always the same page. Written by gitship from varnish/answer.vcl.
# digest 412bbe962c018bfd34e9f5c15546e3a1

import std;

backend default none;

sub vcl_synth {
    set req.http.x-request-id = "" + std.time2integer(now, 0) + "-" + req.xid;
    set resp.http.x-request-id = req.http.x-request-id;
    std.log("gitship:0 v0 synth");
}

acl gitship_maintainers {
    "203.0.113.0"/24;
    "2001:db8::"/32;
    "127.0.0.1"/32;
}

sub gitship_gate {
    if (client.ip !~ gitship_maintainers) {
        return (synth(1503));
    }
}

sub vcl_synth {
    if (resp.status == 1503) {
        unset resp.http.x-varnish;
        set resp.status = 503;
        set resp.http.content-type = "text/html; charset=utf-8";
        set resp.http.cache-control = "no-store";
        set resp.http.retry-after = "60";
        synthetic({"<p>soon"});
        return (deliver);
    }
}
sub vcl_recv {
    call gitship_gate;
    return (synth(503, "Not Deployed"));
}

sub vcl_synth {
    unset resp.http.x-varnish;
    set resp.http.content-type = "text/html; charset=utf-8";
    set resp.http.cache-control = "no-store";
    synthetic("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>shop.example is not running yet</title>
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
<p class="code">503</p>
<h1>shop.example is not running yet</h1>
<p>Nothing has been deployed that could answer here.</p>
<p>If the app is yours, deploy it: <code>git push deploy main</code></p>
<p class="request">Request """ + req.http.x-request-id + """</p>
</main>
</body>
</html>
""");
    return (deliver);
}

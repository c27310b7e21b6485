vcl 4.1;
# Which host name leads to which app. Written by gitship from varnish/top.vcl; it changes only with host names, and for canaries.

import std;

backend default none;

@CANARIES@
sub vcl_recv {
    if (req.url ~ "^/\.well-known/acme-challenge/") {
        return (vcl(challenges));
    }
    set req.http.host = std.tolower(regsub(req.http.host, "\.?(:[0-9]+)?$", ""));
@TRIAL@
@HOSTS@
    return (synth(404));
}

sub vcl_synth {
    unset resp.http.x-varnish;
    set req.http.x-request-id = @REQUEST_ID@;
    set resp.http.x-request-id = req.http.x-request-id;
    if (resp.status == 404) {
        # The name goes into a page: only what can be a host name.
        if (req.http.host !~ "^[a-z0-9.-]{1,253}$") {
            set req.http.host = "this address";
        }
        set resp.http.content-type = "text/html; charset=utf-8";
        set resp.http.cache-control = "no-store";
        synthetic(@PAGE@);
        return (deliver);
    }
}

# Websockets go through a proxy that reads HTTP. Varnish itself would hand on whatever follows, and an app that declines
# and keeps the connection would take further requests on it, past all checks. The proxy lets one request through, and
# after any answer but 101 it hangs up.
backend @PREFIX@proxy {
    .path = "@SOCKET@";
    .connect_timeout = @CONNECT_S@s;
    .first_byte_timeout = @ASK_S@s;
    .between_bytes_timeout = @ASK_S@s;
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
    set req.backend_hint = @PREFIX@proxy;
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

@CHOICE@
# Also for a pipe that the app's own VCL has asked for.
sub vcl_pipe {
    unset bereq.http.x-gitship-verify;
    unset bereq.http.x-gitship-first;
    unset bereq.http.x-gitship-socket;
    set bereq.http.x-request-start = "t=" + std.time2real(now, 0.0);
@CHOOSE@
    set bereq.backend = @PREFIX@proxy;
    if (req.http.x-gitship-socket == "there") {
        set bereq.http.upgrade = req.http.upgrade;
        set bereq.http.connection = "upgrade";
    }
}

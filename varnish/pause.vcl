# A pause until @UNTIL@ at the latest: visitors wait as they wait for a page that is being fetched.
backend gatehouse {
    .path = "@SOCKET@";
    .connect_timeout = @CONNECT_S@s;
}

sub vcl_recv {
    unset req.http.x-gitship-waits;
    if (req.restarts == 0) {
        unset req.http.x-gitship-waited;
    }
    if (req.restarts == 0 && now < std.real2time(@UNTIL@, now) && req.http.x-gitship-verify != "@TOKEN@") {
        set req.http.x-gitship-waits = "a visitor";
        set req.http.x-gitship-waited = "yes";  # so that what follows takes it for a request that has just come
        if (req.http.x-gitship-hold == "@TICKET@") {
            set req.http.x-gitship-waits = "gitship";
            set req.backend_hint = gatehouse;
        }
        return (hash);
    }
    unset req.http.x-gitship-hold;
}

sub vcl_hash {
    if (req.http.x-gitship-waits) {
        hash_data("pause @TICKET@");
        return (lookup);
    }
}

sub vcl_miss {
    if (req.http.x-gitship-waits == "gitship") {
        return (fetch);
    }
    # Nobody holds: gitship has just begun, or is gone.
    if (req.http.x-gitship-waits) {
        return (restart);
    }
}

sub vcl_hit {
    # Not from vcl_deliver: by then the body would have been read and thrown away.
    if (req.http.x-gitship-waits) {
        return (restart);
    }
}

sub vcl_backend_fetch {
    if (bereq.http.x-gitship-waits) {
        set bereq.first_byte_timeout = std.real2time(@UNTIL@, now) - now;
        return (fetch);
    }
}

sub vcl_backend_error {
    # The pause is over: gitship has hung up, to end it or because it was killed, or the limit has passed.
    if (bereq.http.x-gitship-waits) {
        set beresp.status = 200;
        set beresp.ttl = @REMEMBERED_S@s;
        return (deliver);
    }
}

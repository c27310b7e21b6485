# One side of a canary: a visitor who is not known to be on it is told so.
sub vcl_recv {
    if (req.restarts == 0) {
        unset req.http.x-gitship-tell;
        if (req.http.cookie !~ "(^|; *)gitship_canary=12-new(;|$)") {
            set req.http.x-gitship-tell = "side";
        }
    }
}

sub vcl_backend_fetch {
    unset bereq.http.x-gitship-tell;
}

sub vcl_pipe {
    unset bereq.http.x-gitship-tell;
}

sub vcl_deliver {
    if (req.http.x-gitship-tell && !req.http.x-gitship-verify) {
        header.append(resp.http.set-cookie, "gitship_canary=12-new; Path=/; Max-Age=361; HttpOnly; SameSite=Lax");
    }
}

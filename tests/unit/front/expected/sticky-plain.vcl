sub vcl_init {
    new stuck = directors.shard();
    stuck.add_backend(b0_shop_example_web_5_v12, "shop.example.web.5.v12");
    stuck.add_backend(b1_shop_example_web_6_v12, "shop.example.web.6.v12");
    stuck.add_backend(b2_shop_example_web_7_v12, "shop.example.web.7.v12");
    stuck.reconfigure();
}

# A visitor without the cookie goes where the id of this request leads, and is told so.
sub vcl_recv {
    if (req.restarts == 0) {
        unset req.http.x-gitship-stick;
        set req.http.x-gitship-sticky = req.http.x-request-id;
        if (req.http.cookie ~ "(^|; *)gitship_sticky=[0-9-]{1,40}(;|$)") {
            set req.http.x-gitship-sticky =
                regsub(req.http.cookie, "^(?:.*; *)?gitship_sticky=([0-9-]{1,40})(?:;.*)?$", "\1");
        } else {
            set req.http.x-gitship-stick = "tell";
        }
    }
}

sub vcl_backend_fetch {
    unset bereq.http.x-gitship-stick;
    unset bereq.http.x-gitship-sticky;
}

sub vcl_pipe {
    unset bereq.http.x-gitship-stick;
    unset bereq.http.x-gitship-sticky;
}

# Only with what the container itself has answered: what is kept for all is told to nobody.
sub vcl_deliver {
    if (req.http.x-gitship-stick && obj.uncacheable && !req.http.x-gitship-verify) {
        if (!resp.http.set-cookie) {
            set resp.http.set-cookie = "gitship_sticky=" + req.http.x-gitship-sticky + "; Path=/; HttpOnly; SameSite=Lax";
        }
    }
}

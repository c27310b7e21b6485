vcl 4.1;
# challenge_1: challenges of certificate authorities. Written by gitship.

backend default none;

sub vcl_recv {
    return (synth(404));
}

sub vcl_synth {
    unset resp.http.x-varnish;
    set resp.http.cache-control = "no-store";
    set resp.http.content-type = "text/plain";
    synthetic("");
    if (req.url == "/.well-known/acme-challenge/tok-2") {
        set resp.status = 200;
        synthetic("tok-2.thumb");
    }
    if (req.url == "/.well-known/acme-challenge/tok_1") {
        set resp.status = 200;
        synthetic("tok_1.thumb");
    }
    return (deliver);
}

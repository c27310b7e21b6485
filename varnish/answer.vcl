vcl 4.1;
# @NAME@: always the same page. Written by gitship from varnish/answer.vcl.
# digest @DIGEST@

import std;

backend default none;

sub vcl_synth {
    set req.http.x-request-id = @REQUEST_ID@;
    set resp.http.x-request-id = req.http.x-request-id;
    std.log("gitship:@ID@ v0 synth");
}

@GATE@
sub vcl_recv {
@CALL_GATE@
    return (synth(@STATUS@));
}

sub vcl_synth {
    unset resp.http.x-varnish;
    set resp.http.content-type = "text/html; charset=utf-8";
    set resp.http.cache-control = "no-store";
@RETRY_AFTER@
    synthetic(@PAGE@);
    return (deliver);
}

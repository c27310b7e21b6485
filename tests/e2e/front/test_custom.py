"""An app's own VCL in a real Varnish."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gitship.errors import FrontError
from gitship.front.custom_vcl import MOST_CALLS, checked
from gitship.front.front import Front
from gitship.front.gate import Gate
from tests.e2e.front.asking import TOKEN, app, ask
from tests.e2e.front.conftest import Serve, switch
from tests.e2e.front.origin import Origin

pytestmark = pytest.mark.e2e

OWN = """vcl 4.1;
import std;
import cookie;

sub vcl_init { new app_more = directors.random(); }
sub app_recv {
    if (req.url ~ "^/admin") { return (synth(403)); }
    cookie.parse(req.http.cookie);
    set req.http.x-lang = cookie.get("lang");
    unset req.http.cookie;
}
sub app_hash { hash_data(req.http.x-lang); }
sub app_backend_fetch { set bereq.http.x-fetched = "yes"; }
sub app_backend_response {
    if (bereq.url ~ "^/kept") { set beresp.ttl = 1m; return (deliver); }
}
sub app_deliver { set resp.http.x-own = "yes"; unset resp.http.x-gitship-release; }
"""


def put(front: Front, host: str, origin: Origin, vcl: str) -> None:
    switch(front, replace(app(host.partition(".")[0], origin), gate=Gate(vcl=checked(vcl))))


def test_each_hook_is_called(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        put(shared, host, origin, OWN)
        assert ask(shared.address, host, "/admin").status == 403
        for lang in ("de", "en", "de"):
            answer = ask(shared.address, host, "/kept", headers={"Cookie": f"lang={lang}"})
            assert answer.headers["x-own"] == "yes"
        assert answer.headers["x-cache"] == "hit"  # though with a cookie, and without a word of the app
        assert [s.headers["x-lang"] for s in origin.seen] == ["de", "en"]
        assert origin.seen[0].headers["x-fetched"] == "yes"
        told = ask(shared.address, host, "/admin", headers={"X-Gitship-Verify": TOKEN})
        assert (told.status, told.headers["x-gitship-origin"]) == (200, "backend")
        assert "x-gitship-release" in told.headers


@pytest.mark.parametrize(
    ("vcl", "said"),
    [
        ("import std;\nsub app_recv {\n    nonsense;\n}", "(line 3 Pos 5)"),
        ("\n\nsub app_recvv { }", "(line 3 Pos"),  # never called
        ("sub app_recv {\n    set req.http.x = nosuch.call();\n}", "(line 2 Pos"),
        ("sub app_recv { set req.backend_hint = z_other; }", "(line 1"),
    ],
)
def test_what_does_not_compile_is_refused_with_the_authors_lines_and_the_last_good_one_serves(
    shared: Front, serve: Serve, vcl: str, said: str
) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        put(shared, host, origin, OWN)
        before = shared.apps()
        with pytest.raises(FrontError, match="refuses the app's own VCL") as refused:
            put(shared, host, origin, vcl)
        assert said in refused.value.message, refused.value.message
        assert "vcl.inline" not in refused.value.message
        assert shared.apps() == before
        assert ask(shared.address, host, "/kept").headers["x-own"] == "yes"


def test_as_many_calls_of_modules_as_are_allowed_do_not_bring_the_worker_down(shared: Front, serve: Serve) -> None:
    lines = "\n".join(
        f'if (std.integer(req.http.x-n, 0) == {n}) {{ set req.http.x-n = "{n}"; }}' for n in range(MOST_CALLS)
    )
    with Origin("v1") as origin:
        host = serve(origin)
        put(shared, host, origin, f"import std;\nsub app_recv {{\n{lines}\n}}")
        for _ in range(5):
            assert ask(shared.address, host).status == 200
        assert "not panicked" in shared._control.ask("panic.show").text


def test_what_is_sent_to_a_page_throws_out_every_key_of_it_if_the_senders_own_is_there(
    shared: Front, serve: Serve
) -> None:
    path = "/page?cache-control=public,max-age=600"
    with Origin("v1") as origin:
        host = serve(origin)
        put(shared, host, origin, "vcl 4.1; sub app_hash { hash_data(req.http.x-lang); }")
        for lang in ("de", "en"):
            ask(shared.address, host, path, headers={"X-Lang": lang})
        assert ask(shared.address, host, path, "POST", headers={"X-Lang": "en"}).status == 200
        again = [ask(shared.address, host, path, headers={"X-Lang": lang}).headers["x-cache"] for lang in ("de", "en")]
        assert again == ["miss", "miss"]

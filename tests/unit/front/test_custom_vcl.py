"""An app's own VCL: what it may say, where it is called, and how its errors are counted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gitship.front.app_vcl import app_vcl, digest
from gitship.front.custom_vcl import MOST_BYTES, MOST_CALLS, call, checked, refusal
from gitship.front.gate import OPEN
from tests.unit.front.test_app_vcl import LARGEST, NONE, ONE

ALL = "\n".join(
    f"sub {hook} {{ std.log({hook!r}); }}".replace("'", '"')
    for hook in ("app_recv", "app_hash", "app_backend_fetch", "app_backend_response", "app_deliver")
)


def with_own(text: str) -> str:
    return app_vcl(replace(ONE, gate=replace(OPEN, vcl=text)), "app_shop_v12_1", LARGEST)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("sub vcl_recv { }", "line 1: gitship does not call sub vcl_recv, but app_recv"),
        ("\n\nsub other { }", "line 3: gitship does not call sub other"),
        ('include "/etc/passwd";', "include"),
        ('import std from "/tmp/evil.so";', "import from a file"),
        ("sub app_recv { return (vcl(z_other)); }", "leads to another app"),
        ("sub app_recv { return (vcl /* */ (z_other)); }", "leads to another app"),
        ("sub app_deliver {\n return (restart); }", "line 2: not allowed here: restart"),
        ('sub app_recv { std.ban("req.url ~ /"); }', "all apps"),
        ('sub app_recv { ban("req.url ~ /"); }', "all apps"),
        ("C{ abort(); }C", "inline C"),
        ("sub app_recv {\n  if (req.url) {\n}", "line 1: this { is not closed"),
        ("sub app_recv { }\n}", "line 2: unmatched }"),
        ('sub app_recv { set req.http.x = {"a; }', "is not closed"),
        ("import debug;", "import debug"),
        ("import xkey;", "import xkey"),
        ("sub app_recv { }\x00", "control characters"),
        ("#" * (MOST_BYTES + 1), "longer than 32 KB"),
        ("sub app_recv {" + "std.log(std.integer(req.url, 0));" * (MOST_CALLS // 2 + 1) + "}", "more than 200 calls"),
    ],
)
def test_what_would_reach_beyond_the_app_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"line|longer|more|control") as refused:
        checked(text)
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "# include, restart, ban\nsub app_recv { }",
        'sub app_deliver { set resp.http.x = "restart C{ include"; }',
        'sub app_recv { set req.http.x = {"vcl(a)\nban "}; set req.http.y = """restart"""; }',
        'import std;\nimport cookie;\nbackend app_other { .host = "127.0.0.1"; }\nsub vcl_init { }',
        "sub app_helper { } sub app_recv { call app_helper; }",
    ],
)
def test_what_only_looks_like_it_is_not(text: str) -> None:
    assert checked(text) == text


def test_a_version_line_is_taken_out_and_lines_stay_where_they_were() -> None:
    assert checked("\nvcl 4.1;\nsub app_recv { }\r\n") == "\n\nsub app_recv { }\n"


def test_each_hook_is_called_once_at_its_place_and_only_if_it_is_there() -> None:
    assert "call app_" not in with_own("# sub app_recv { }")
    text = with_own(ALL)
    for hook in ("app_recv", "app_hash", "app_backend_fetch", "app_backend_response", "app_deliver"):
        assert text.count(f"call {hook};") == 1
        assert call(ALL, hook) == f"    call {hook};"
    assert text.index("x-forwarded-for") < text.index("call app_recv;") < text.index("call gitship_websocket;")
    assert text.index("call app_backend_response;") < text.index("Nothing is cached unless")
    assert text.index("call app_deliver;") < text.index('set resp.http.x-gitship-release = "app_shop_v12_1"')
    assert text.endswith(ALL + "\n")


def test_it_is_part_of_the_digest_and_not_of_an_app_that_does_not_run() -> None:
    own = replace(OPEN, vcl=ALL)
    assert digest(ONE, LARGEST) != digest(replace(ONE, gate=own), LARGEST)
    assert digest(NONE, LARGEST) == digest(replace(NONE, gate=own), LARGEST)


def test_the_compilers_lines_are_those_of_the_author() -> None:
    vcl = with_own("sub app_recv {\n    nonsense;\n}")
    line = next(n for n, text in enumerate(vcl.splitlines(), 1) if "nonsense" in text)
    said = (
        f"Varnish cannot load x: Message from VCC-compiler:\nUnknown token.\n('<vcl.inline>' Line {line} Pos 5)\n"
        "    nonsense;\n----########-\n\nRunning VCC-compiler failed, exited with 2\nVCL compilation failed"
    )
    message = refusal(said, vcl).message
    assert "cannot load" not in message
    assert "(line 2 Pos 5)\n    nonsense;" in message
    assert "VCC-compiler" not in message
    assert "(gitship's own line 7 " in refusal("('<vcl.inline>' Line 7 Pos 5)", vcl).message

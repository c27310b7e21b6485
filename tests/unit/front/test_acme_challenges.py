"""Answers to a certificate authority, as text."""

from __future__ import annotations

import pytest

from gitship.front.acme_challenges import EMPTY, vcl
from gitship.front.gate import HttpsRedirect
from tests.unit.front.golden import check


def test_each_token_has_its_answer() -> None:
    check("challenges.vcl", vcl("challenge_1", {"tok-2": "tok-2.thumb", "tok_1": "tok_1.thumb"}))


def test_without_tokens_every_request_gets_404() -> None:
    assert "200" not in vcl(EMPTY, {})


@pytest.mark.parametrize("bad", ['a"', "", "a b", "a}", "a\n", "ü"])
def test_nothing_of_an_authority_becomes_part_of_the_program(bad: str) -> None:
    with pytest.raises(ValueError):
        vcl("challenge_1", {bad: "x"})
    with pytest.raises(ValueError):
        vcl("challenge_1", {"x": bad})


@pytest.mark.parametrize("bad", ['a"', "", "a b", "*.*.example.com", "a|b", "(x)", "*"])
def test_hosts_that_are_sent_to_https_are_hosts(bad: str) -> None:
    with pytest.raises(ValueError):
        HttpsRedirect((bad,))

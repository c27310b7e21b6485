"""What people are told when an authority refuses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import requests
from acme import errors, messages

from gitship.errors import CertificateError
from gitship.https.acme_errors import HOLD_S, LONGEST_HOLD_OF_ALL_S, LONGEST_HOLD_S, WORDS, told

DIRECTORY = "https://ca.example.com/dir"


def refusal(error: Exception) -> CertificateError:
    with pytest.raises(CertificateError) as caught, told(DIRECTORY):
        raise error
    return caught.value


def unproved(host: str, code: str, detail: str) -> messages.AuthorizationResource:
    challenge = messages.ChallengeBody(
        chall=None, uri="x", status=messages.STATUS_INVALID, error=messages.Error.with_code(code, detail=detail)
    )
    identifier = messages.Identifier(typ=messages.IDENTIFIER_FQDN, value=host)
    body = messages.Authorization(identifier=identifier, challenges=[challenge], status=messages.STATUS_INVALID)
    return messages.AuthorizationResource(body=body, uri="x")


@pytest.mark.parametrize(
    ("code", "hint"),
    [("connection", "port 80"), ("dns", "DNS records"), ("unauthorized", "another server"), ("caa", "CAA record")],
)
def test_its_own_words_and_the_likely_cause(code: str, hint: str) -> None:
    failed = [unproved("a.example.com", code, "Fetching\nhttp://a.example.com: no"), unproved("b.net", code, "no")]
    error = refusal(errors.ValidationError(failed))
    assert error.message == (
        "the authority could not verify a.example.com: Fetching http://a.example.com: no; b.net: no"
    )
    assert hint in error.hint and error.hosts == ("a.example.com", "b.net")


def test_a_limit_holds_for_as_long_as_it_says() -> None:
    later = datetime.now(UTC) + timedelta(hours=5)
    detail = f"too many certificates, retry after {later:%Y-%m-%d %H:%M:%S} UTC: see the docs"
    assert 4.9 * 3600 < refusal(messages.Error.with_code("rateLimited", detail=detail)).hold_s < 5.1 * 3600
    assert refusal(messages.Error.with_code("rateLimited", detail="too many")).hold_s == HOLD_S
    far = "retry after 2999-01-01 00:00:00 UTC"
    assert refusal(messages.Error.with_code("rateLimited", detail=far)).hold_s == LONGEST_HOLD_S
    assert refusal(messages.Error.with_code("malformed", detail="bad")).hold_s == 0


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (requests.ConnectionError("[Errno 111] Connection refused"), "cannot be reached: connection refused"),
        (requests.ConnectionError("CERTIFICATE_VERIFY_FAILED"), "directory_ca"),
        (requests.Timeout("read timed out"), "no answer in time"),
        (errors.TimeoutError(), "did not finish in time"),
        (errors.ClientError("odd"), "sent an unexpected answer: odd"),
        (KeyError("newNonce"), "sent an unexpected answer"),
        (errors.IssuanceError(messages.Error.with_code("caa", detail="no")), "refused: no"),
        (messages.Error.with_code("malformed", detail="x" * 5000), "x" * WORDS + "..."),
    ],
)
def test_whatever_goes_wrong_is_one_sentence(error: Exception, words: str) -> None:
    told_ = refusal(error)
    assert words in told_.message and "\n" not in told_.message and len(told_.message) < WORDS + 100


LATER = "in the last 168h0m0s, retry after 2999-01-01 00:00:00 UTC: see https://letsencrypt.org/docs/rate-limits/"


@pytest.mark.parametrize(
    ("detail", "of_all_s"),
    [
        (f'too many certificates (50) already issued for "example.com" {LATER}', 0.0),
        (f"too many certificates (5) already issued for this exact set of identifiers {LATER}", 0.0),
        (f'too many failed authorizations (5) for "orders-from-this-account.com" {LATER}', 0.0),
        (f"a new sentence {LATER}#new-certificates-per-registered-domain", 0.0),
        ("your account is temporarily prevented from requesting certificates for example.com", 0.0),
        (f"too many new orders (300) from this account {LATER}", LONGEST_HOLD_S),
        (f"another sentence {LATER}#new-orders-per-account", LONGEST_HOLD_S),
        (f"a limit that nobody knows {LATER}", LONGEST_HOLD_OF_ALL_S),
    ],
)
def test_whose_limit_it_is(detail: str, of_all_s: float) -> None:
    """What one app has used up by its own names keeps no other from anything."""
    error = refusal(messages.Error.with_code("rateLimited", detail=detail))
    assert error.hold_all_s == of_all_s
    assert error.hold_s in (LONGEST_HOLD_S, HOLD_S)

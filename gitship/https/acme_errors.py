"""Explains errors of certificate authorities, with likely causes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import josepy
import requests
from acme import errors, messages

from gitship.errors import CertificateError
from gitship.model import WILDCARD

HOLD_S = 3600.0  # when a limit is reached and the authority doesn't say for how long
SHORTEST_HOLD_S = 60.0
LONGEST_HOLD_S = 8 * 86400.0
# What is not known to be a limit of the account or of a name holds everybody for so long at most: one app's mistake
# must not keep all others without certificates.
LONGEST_HOLD_OF_ALL_S = 3600.0
WORDS = 300

# How the largest authority says whose limit it is (github.com/letsencrypt/boulder, ratelimits; and the address of its
# page about limits, which it adds).
_OF_NAMES = re.compile(
    r"exact set of (?:identifiers|domains)|certificates \(\d+\) already issued|failed authorizations"
    r"|temporarily prevented from requesting certificates"
    r"|#new-certificates-per-|#(?:consecutive-)?authorization-failures"
)
_OF_ACCOUNT = re.compile(
    r"orders \(\d+\) from this account|new registrations|#new-orders-per-account|#new-registrations"
)

_ELSEWHERE = "the domain seems to resolve to another server: check its A and AAAA records"
_HINTS = {
    "connection": "check that port 80 is reachable from the internet; see the firewall, and `gitship doctor`",
    "dns": "check the domain's DNS records; new records take a while to spread",
    "unknownHost": "check the domain's DNS records; new records take a while to spread",
    "unauthorized": _ELSEWHERE,
    "incorrectResponse": _ELSEWHERE,
    "tls": _ELSEWHERE,
    "caa": "a CAA record of the domain allows only other authorities",
    "rejectedIdentifier": "the authority does not issue certificates for this name",
    "rateLimited": "the authority's rate limit is reached; gitship retries later",
    "externalAccountRequired": "set eab_kid and eab_hmac_key in [https]",
}


@contextmanager
def told(directory: str) -> Iterator[None]:
    """Turns whatever goes wrong between gitship and the authority into a CertificateError."""
    try:
        yield
    except errors.ValidationError as error:
        raise _unproved(error) from None
    except errors.IssuanceError as error:
        raise refused(error.error) from None
    except messages.Error as error:
        raise refused(error) from None
    except errors.TimeoutError:
        raise CertificateError("the authority did not finish in time", "gitship retries later") from None
    except requests.RequestException as error:
        raise CertificateError(
            f"the authority at {directory} cannot be reached: {_reason(error)}",
            "check this server's network, and [https] directory",
        ) from None
    except (errors.Error, josepy.errors.Error, KeyError, ValueError) as error:
        raise CertificateError(
            f"the authority at {directory} sent an unexpected answer: {_words(str(error))}",
            "check [https] directory: it must be the URL of an ACME directory",
        ) from None


def _unproved(error: errors.ValidationError) -> CertificateError:
    hosts, said, hint = [], [], ""
    for authorization in error.failed_authzrs:
        host = authorization.body.identifier.value
        host = f"{WILDCARD}{host}" if authorization.body.wildcard else host
        for challenge in authorization.body.challenges:
            if challenge.error is not None:
                hosts.append(host)
                said.append(f"{host}: {_words(challenge.error.detail or challenge.error.typ)}")
                hint = hint or _HINTS.get(challenge.error.code or "", "")
    return CertificateError(f"the authority could not verify {'; '.join(said)}", hint, hosts=hosts)


def refused(error: messages.Error, hint: str | None = None) -> CertificateError:
    """``hint`` None: the usual one for that kind of refusal."""
    code = error.code or ""
    words = _words(error.detail or error.title or error.typ)
    hosts = [problem.identifier.value for problem in error.subproblems or () if problem.identifier is not None]
    hold = _hold(error.detail or "") if code == "rateLimited" else 0.0
    hint = _HINTS.get(code, "") if hint is None else hint
    return CertificateError(
        f"the authority refused: {words}", hint, hosts=hosts, hold_s=hold, hold_all_s=_of_all(error.detail or "", hold)
    )


def _of_all(words: str, hold_s: float) -> float:
    """How much of a hold is everybody's."""
    if _OF_ACCOUNT.search(words):
        return hold_s
    return 0.0 if _OF_NAMES.search(words) else min(hold_s, LONGEST_HOLD_OF_ALL_S)


def _hold(words: str) -> float:
    """``retry after 2026-01-31 12:00:00 UTC`` is how the largest authority says it."""
    found = re.search(r"retry after (\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)", words)
    if found is None:
        return HOLD_S
    at = datetime.fromisoformat(f"{found[1]}T{found[2]}").replace(tzinfo=UTC)
    return min(max((at - datetime.now(UTC)).total_seconds(), SHORTEST_HOLD_S), LONGEST_HOLD_S)


def _reason(error: requests.RequestException) -> str:
    text = str(error)
    for sign, reason in (
        ("CERTIFICATE_VERIFY_FAILED", "its own certificate is not trusted (see [https] directory_ca)"),
        ("Connection refused", "connection refused"),
        ("Name or service not known", "its name does not resolve"),
        ("Temporary failure in name resolution", "DNS does not answer"),
        ("timed out", "no answer in time"),
    ):
        if sign in text:
            return reason
    return _words(text)


def _words(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= WORDS else line[:WORDS] + "..."

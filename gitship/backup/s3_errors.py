"""Explains errors of S3 services: what is wrong, and what to do next."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from gitship.backup.targets import TargetDefinition, bucket_and_prefix
from gitship.errors import GitshipError

_CODE = re.compile(r"<Code>\s*(\w+)\s*</Code>")
_TAG = re.compile(r"<(Message|ServerTime|Region|Endpoint)>\s*([^<]{1,200}?)\s*</")
_STATUS = re.compile(r"status code: (\d{3})")
_PERMISSIONS = {"write": "s3:PutObject", "list": "s3:ListBucket", "read": "s3:GetObject", "remove": "s3:DeleteObject"}
_PRIVATE_CA = "put the authority's certificate in /usr/local/share/ca-certificates, and run `update-ca-certificates`"


def explained(definition: TargetDefinition, action: str, error: Exception) -> GitshipError:
    """``action`` is what was tried: write, list, read or remove. ``error`` is obstore's."""
    text = str(error)
    found = _CODE.search(text)
    code = found[1] if found else ""
    tags = dict(_TAG.findall(text))
    where = f"target {definition.name}"
    message, hint = (
        _by_code(definition, code, action, tags)
        or _by_transport(definition, text)
        or _by_status(definition, text, tags)
    )
    return GitshipError(f"cannot {action} objects of {where}: {message}", hint)


def is_missing(error: Exception) -> bool:
    """There is no such object; the bucket is there."""
    return isinstance(error, FileNotFoundError) and "NoSuchBucket" not in str(error)


def _by_code(definition: TargetDefinition, code: str, action: str, tags: Mapping[str, str]) -> tuple[str, str] | None:
    bucket, _ = bucket_and_prefix(definition.url)
    key_id = definition.options["key-id"]
    match code:
        case "SignatureDoesNotMatch":
            return (
                f"the secret does not belong to the key {key_id}",
                "give the secret access key again, whole; if it is right, --region or --endpoint is wrong",
            )
        case "InvalidAccessKeyId":
            return f"there is no key {key_id}", "give --key-id as the service shows it; it may have been deleted"
        case "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired":
            return "the key has expired", "make an access key that lasts, and give its id and secret"
        case "NoSuchBucket":
            return f"there is no bucket {bucket}", "make the bucket first, or mend its name, --region or --endpoint"
        case "AllAccessDisabled" | "AccountProblem" | "InvalidPayer" | "NotSignedUp":
            return "the account is suspended", "look at the account's page at the service"
        case "AccessDenied" | "UnauthorizedAccess" | "AccessForbidden":
            return (
                f"the key {key_id} may not {action} objects in the bucket {bucket}",
                f"allow {_PERMISSIONS[action]} for it, and that the bucket is its own",
            )
        case "RequestTimeTooSkewed":
            return (
                f"the clock of this server is wrong{_skew(tags.get('ServerTime'))}",
                "set it: `timedatectl set-ntp true`, then compare with `date -u`",
            )
        case "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException":
            right = tags.get("Region") or tags.get("Endpoint") or _region_in(tags.get("Message", ""))
            return (
                f"the bucket {bucket} is in another region" + (f": {right}" if right else ""),
                f"add --region {right}" if right else "give the bucket's region with --region",
            )
        case "QuotaExceeded" | "StorageFull" | "XMinioStorageFull" | "ServiceQuotaExceeded":
            return "the target is full", "free space there, or keep fewer backups"
        case "ObjectLocked" | "InvalidRetentionPeriod":
            return "the object is locked", "look at the bucket's object lock"
    return None


def _by_transport(definition: TargetDefinition, text: str) -> tuple[str, str] | None:
    endpoint = definition.options.get("endpoint", "the service")
    lower = text.lower()
    if "baredirect" in lower or "received redirect" in lower:
        return "the bucket is in another region", "give the bucket's region with --region"
    if "kind: timeout" in lower or "timedout" in lower or "operation timed out" in lower:
        return (
            f"{endpoint} does not answer in time",
            "look whether the service works and a firewall lets this server out",
        )
    if "dns error" in lower or "failed to lookup address" in lower:
        return f"the name of {endpoint} cannot be found", "mend --endpoint, or look at this server's DNS"
    if any(word in lower for word in ("certificate", "invalidcontenttype", "handshake", "alertreceived")):
        if "unknownissuer" in lower or "selfsigned" in lower:
            return f"the certificate of {endpoint} comes from an unknown authority", _PRIVATE_CA
        if "expired" in lower:
            return f"the certificate of {endpoint} has expired, or this server's clock is wrong", "look at `date -u`"
        if "notvalidforname" in lower:
            return f"the certificate of {endpoint} is for another name", "give the name that it is for in --endpoint"
        return f"{endpoint} does not speak TLS as it should", "give http:// if it has no TLS, or mend its certificate"
    if "connection refused" in lower:
        return f"nothing listens at {endpoint}", "start the service, or mend --endpoint"
    if "unreachable" in lower or "kind: connect" in lower:
        return f"{endpoint} cannot be reached", "look at this server's network and firewall"
    if (
        "connection reset" in lower
        or "incompletemessage" in lower
        or "broken pipe" in lower
        or "kind: request" in lower
    ):
        return f"{endpoint} cut the connection", "try again; if it stays, look at the service's own log"
    return None


def _by_status(definition: TargetDefinition, text: str, tags: Mapping[str, str]) -> tuple[str, str]:
    found = _STATUS.search(text)
    said = tags.get("Message") or text.split("\n\nDebug source:")[0].rpartition(" - ")[2].strip()[:200]
    status = f"HTTP {found[1]}" if found else "an error"
    if found and found[1] in ("401", "403"):
        return (
            f"the service refuses with {status}: {said}",
            "look at the key's permissions, and whether the clock is right",
        )
    if found and found[1].startswith("5"):
        return f"the service fails with {status}: {said}", "try again later, or look at the service's status"
    return f"the service answers with {status}: {said}", "look whether --endpoint is that of an S3 service"


def _skew(server_time: str | None) -> str:
    """By how much, when the service says its own time."""
    try:
        there = datetime.fromisoformat(server_time or "")
    except ValueError:
        return ""
    seconds = round((datetime.now(UTC) - there.astimezone(UTC)).total_seconds())
    return f": it is {abs(seconds) // 60} minutes {'ahead' if seconds > 0 else 'behind'}"


def _region_in(message: str) -> str:
    found = re.search(r"expecting '([\w-]+)'", message)
    return found[1] if found else ""

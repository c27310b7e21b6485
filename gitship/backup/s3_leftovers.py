"""Aborts multipart uploads that a gitship that was killed has left: their parts cost money and are listed nowhere.

obstore cannot list them, so these two requests are made here, signed as S3 wants it (AWS Signature Version 4).
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import logging
import re
import ssl
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote, unquote_plus, urlsplit

from gitship.backup.s3_address import S3Address

log = logging.getLogger("gitship.backup")
LEFT_S = 24 * 3600.0  # no upload of a backup takes longer
_UPLOAD = re.compile(r"<Upload>(.*?)</Upload>", re.DOTALL)
_TAG = re.compile(r"<(Key|UploadId|Initiated)>([^<]*)</")
_NO_BODY = hashlib.sha256(b"").hexdigest()


class Leftovers:
    """See the module."""

    def __init__(self, address: S3Address, key_id: str, secret: str, timeout_s: float) -> None:
        self._base = urlsplit(address.bucket_url)
        self._region = address.region
        self._key_id = key_id
        self._secret = secret
        self._timeout_s = timeout_s

    def abort(self, directory: str) -> None:
        """Those of objects right in ``directory`` that began LEFT_S ago. What goes wrong is only logged."""
        try:
            for key, upload in self._left(f"{directory}/" if directory else ""):
                self._asked("DELETE", f"/{key}", {"uploadId": upload})
                log.info("removed the parts of an upload that was cut off: %s", key)
        except (OSError, http.client.HTTPException, ValueError) as error:
            log.info("cannot remove the parts of uploads that were cut off: %s", error)

    def _left(self, prefix: str) -> list[tuple[str, str]]:
        text = self._asked("GET", "", {"uploads": "", "prefix": prefix, "delimiter": "/", "encoding-type": "url"})
        found = []
        for entry in _UPLOAD.findall(text):
            tags = dict(_TAG.findall(entry))
            key = unquote_plus(tags["Key"])
            began = datetime.fromisoformat(tags["Initiated"])
            if key.startswith(prefix) and began.timestamp() < time.time() - LEFT_S:
                found.append((key, tags["UploadId"]))
        return found

    def _asked(self, method: str, path: str, query: Mapping[str, str]) -> str:
        """The answer's body. Raises OSError, HTTPException, or ValueError when it is an error."""
        address = f"{self._base.path}{quote(path, safe='/-_.~')}" or "/"
        words = "&".join(f"{quote(key, safe='-_.~')}={quote(query[key], safe='-_.~')}" for key in sorted(query))
        connection = self._connection()
        try:
            connection.request(method, f"{address}?{words}", headers=self._signed(method, address, words))
            answer = connection.getresponse()
            text = answer.read(4 << 20).decode("utf-8", "replace")
        finally:
            connection.close()
        if answer.status >= 300:
            raise ValueError(f"HTTP {answer.status} to {method} {words.partition('=')[0]}")
        return text

    def _connection(self) -> http.client.HTTPConnection:
        if self._base.scheme == "http":
            return http.client.HTTPConnection(self._base.netloc, timeout=self._timeout_s)
        trusted = ssl.create_default_context()
        return http.client.HTTPSConnection(self._base.netloc, timeout=self._timeout_s, context=trusted)

    def _signed(self, method: str, address: str, words: str) -> dict[str, str]:
        """docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html"""
        now = datetime.now(UTC)
        at, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
        headers = {"host": self._base.netloc, "x-amz-content-sha256": _NO_BODY, "x-amz-date": at}
        names = ";".join(headers)
        request = "\n".join(
            [method, address, words, *(f"{name}:{value}" for name, value in headers.items()), "", names, _NO_BODY]
        )
        scope = f"{day}/{self._region}/s3/aws4_request"
        key = f"AWS4{self._secret}".encode()
        for word in scope.split("/"):
            key = hmac.digest(key, word.encode(), "sha256")
        text = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self._key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        return headers

"""Where a bucket of an S3-compatible service is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from gitship.backup.targets import TargetDefinition, bucket_and_prefix


@dataclass(frozen=True, slots=True)
class S3Address:
    """``virtual``: the bucket's name stands before the host's, not in the path."""

    endpoint: str
    region: str
    bucket: str
    virtual: bool

    @staticmethod
    def of(definition: TargetDefinition) -> S3Address:
        options = definition.options
        bucket, _ = bucket_and_prefix(definition.url)
        if "endpoint" in options:
            endpoint = options["endpoint"].rstrip("/")
            found = re.match(r"s3[.-]([a-z]+-[a-z0-9-]+)\.", urlsplit(endpoint).hostname or "")
            region = options.get("region") or (found[1] if found else "us-east-1")
            return S3Address(endpoint, region, bucket, options.get("style") == "virtual")
        region = options["region"]
        endpoint = f"https://s3.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"
        # The certificate is for one label before the host's.
        return S3Address(endpoint, region, bucket, options.get("style", "virtual") == "virtual" and "." not in bucket)

    @property
    def bucket_url(self) -> str:
        parts = urlsplit(self.endpoint)
        if self.virtual:
            return f"{parts.scheme}://{self.bucket}.{parts.netloc}"
        return f"{self.endpoint}/{self.bucket}"

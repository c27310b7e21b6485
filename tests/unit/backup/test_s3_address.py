"""Where a bucket is, from what a user typed."""

from __future__ import annotations

import pytest

from gitship.backup.s3_address import S3Address
from gitship.backup.targets import TargetDefinition

EU = "https://s3.eu-west-1.amazonaws.com"


@pytest.mark.parametrize(
    ("words", "url", "region"),
    [
        ("s3://shop --region eu-west-1", "https://shop.s3.eu-west-1.amazonaws.com", "eu-west-1"),
        ("s3://shop.example.com --region eu-west-1", f"{EU}/shop.example.com", "eu-west-1"),
        ("s3://shop --region eu-west-1 --style path", f"{EU}/shop", "eu-west-1"),
        ("s3://shop --region cn-north-1", "https://shop.s3.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        (
            "s3://shop --endpoint https://s3.eu-003.example.com",
            "https://s3.eu-003.example.com/shop",
            "eu-003",
        ),
        ("s3://shop --endpoint https://a.example.com/", "https://a.example.com/shop", "us-east-1"),
        ("s3://shop --endpoint http://127.0.0.1:9000 --region home", "http://127.0.0.1:9000/shop", "home"),
        (
            "s3://shop --endpoint https://a.example.com --style virtual",
            "https://shop.a.example.com",
            "us-east-1",
        ),
    ],
)
def test_address(words: str, url: str, region: str) -> None:
    address = S3Address.of(TargetDefinition.parse("offsite", [*words.split(), "--key-id", "K"], "secret"))
    assert (address.bucket_url, address.region) == (url, region)

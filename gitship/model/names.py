"""Valid names, and their constants."""

from __future__ import annotations

import re

from gitship.errors import UsageError

APP_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?")
DOMAIN_NAME = re.compile(
    r"(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
)
WILDCARD = "*."
PROCESS_TYPE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")  # as in Procfiles: `celery_beat`
CRON_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")
CONFIG_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
WEB = "web"
DEFAULT_PORT = 5000


def app_name(text: str) -> str:
    """``text`` when it is a valid app name.

    Raises UsageError naming the rule and, where one can be made, a valid name near it.
    """
    if APP_NAME.fullmatch(text):
        return text
    near = re.sub(r"[^a-z0-9.-]+", "-", text.lower()).strip("-.")[:63].strip("-.")
    hint = "use lower-case letters, digits, '-' and '.', at most 63, beginning and ending with a letter or digit"
    if near and APP_NAME.fullmatch(near):
        hint += f"; for instance '{near}'"
    raise UsageError(f"'{text[:80]}' is not an app name", hint)

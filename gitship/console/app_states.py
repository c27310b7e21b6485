"""States of apps in one word, as in commands and on the status page."""

from __future__ import annotations

from gitship.console.context import Context
from gitship.errors import GitshipError
from gitship.observe import app_state
from gitship.observe.app_state import AppStates, Words

STATES = "live, deploying, degraded, down, stopped, asleep (scaled to 0), maintenance, paused, failed or never deployed"


def states(context: Context) -> AppStates:
    """Reads once what all apps share. While Docker is silent its containers are taken to be well."""
    operations = context.operations
    try:
        words = Words.ask(context.store, operations.facts)
    except GitshipError:
        words = Words()
    failing = app_state.unanswered(operations.stats.all_traffic(app_state.UNANSWERED_S))
    return AppStates(context.store, operations.pauses, words, failing, front_answers=operations.facts.front_answers())

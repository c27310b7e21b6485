"""How apps are, in a word, as the status page has it."""

from __future__ import annotations

from gitship.commands.context import Context
from gitship.deploy import appstate
from gitship.deploy.appstate import AppStates, Words
from gitship.errors import GitshipError

STATES = "live, deploying, degraded, down, stopped, asleep (scaled to 0), maintenance, paused, failed or never deployed"


def states(context: Context) -> AppStates:
    """Reads once what all apps share. While Docker is silent its containers are taken to be well."""
    operations = context.operations
    try:
        words = Words.ask(context.store, operations.facts)
    except GitshipError:
        words = Words()
    failing = appstate.unanswered(operations.stats.all_traffic(appstate.UNANSWERED_S))
    return AppStates(context.store, operations.pauses, words, failing, front_answers=operations.facts.front_answers())

"""What several people did to some apps at once, and what an app may therefore be in the end.

Each thing of an app that people set (its version, its scale, ...) is a register. Who was told "done" has written it,
who was told "no" has not, and who was cut off may have. In the end it has the value of a write after which nobody has
begun and finished another one.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from time import monotonic

ANYTHING = object()  # a value that cannot be told: see ``Storm.roll_back``
# What people may be refused with here: another was faster, or they tried what they may not, or what cannot go live.
_KNOWN = re.compile(
    r"no app '|no permission for|has no mount '|is being destroyed|superseded: a newer one|of \w+ was canceled"
    r"|building failed: .*exit code 3|checking failed: web (exited 3|is not healthy)|moved to .* while this push was"
    r"|fetch first|nothing is live|is just ending|a deploy of \w+ is in progress|Docker at .* does not answer in time"
    r"|canceled: (canceled during|the build)|the repository of|has never been deployed"
    r"|superseded by a newer one|or the app is gone"
)
_FAILED = re.compile(r"deploy \d+ of \w+ failed")
CARRIED = ("config:set", "storage:mount", "storage:unmount")
CARRIED_S = 120.0  # until when a config of a deploy that was superseded may come with the newer one


class Outcome(StrEnum):
    DONE = "done"
    REFUSED = "refused"
    CUT = "cut off"  # gitship was killed, or away, meanwhile


@dataclass(slots=True)
class Act:
    """One command or push; ``began`` and ``ended`` by the monotonic clock.

    ``writes`` is what it makes of the app's registers, if it does anything. One that was cut off may have its effect
    until the next gitship is ready: that is when it has ``ended``. ``must`` is None where both answers are right.
    """

    who: str
    app: str
    what: str
    writes: Mapping[str, object] = field(default_factory=dict)
    must: Outcome | None = None
    began: float = field(default_factory=monotonic)
    ended: float = 0.0
    outcome: Outcome = Outcome.CUT
    said: str = ""

    @property
    def deploys(self) -> bool:
        """Others of the app may have to wait for it, or be refused because of it."""
        return bool(self.writes) or self.what.startswith("push that")

    @property
    def needs_containers(self) -> bool:
        """It is refused by what its containers do."""
        return self.what in ("push that crashes", "push that is never healthy")

    def overlaps(self, other: Act) -> bool:
        return self.began < other.ended and other.began < self.ended

    def __str__(self) -> str:
        return f"{self.began:.1f}-{self.ended:.1f} {self.who}: {self.what} {self.app}: {self.outcome} {self.said}"


@dataclass(slots=True)
class Away:
    """When gitship was killed, and when the next one was ready; infinite while it is not."""

    since: float
    until: float = float("inf")


class History:
    """Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.acts: list[Act] = []
        self.aways: list[Away] = []

    def killed(self) -> Away:
        """To be called just before."""
        away = Away(monotonic())
        with self._lock:
            self.aways.append(away)
        return away

    def ended(self, act: Act, code: int, said: str) -> Act:
        """The client has ended with ``code``, and printed that."""
        act.ended, act.said = monotonic(), told(said)
        act.outcome = Outcome.REFUSED if code else Outcome.DONE
        if act.what in CARRIED and "superseded by a newer one" in act.said:  # which has the change, too
            act.outcome, act.ended = Outcome.CUT, act.ended + CARRIED_S
        with self._lock:
            self.acts.append(act)
        return act

    def close(self) -> None:
        """Nobody does anything any more: who was refused while gitship was away was cut off."""
        for act in self.acts:
            for away in self.aways:
                if act.outcome is not Outcome.DONE and away.since <= act.ended and act.began <= away.until:
                    act.outcome, act.ended = Outcome.CUT, max(act.ended, away.until)

    def counts(self) -> dict[str, int]:
        return dict(sorted(Counter(f"{act.what} {act.outcome}" for act in self.acts).items()))

    def refusals(self) -> dict[str, int]:
        """What people were told, without names and numbers."""
        said = [f"{act.what}: {_plain(act)}" for act in self.acts if act.outcome is Outcome.REFUSED]
        return dict(Counter(said).most_common())

    def of(self, app: str) -> list[Act]:
        return sorted((act for act in self.acts if act.app == app), key=lambda act: act.began)

    # -- what has to be true

    def wrong(self) -> Iterator[str]:
        """Answers that nobody should have got."""
        for act in self.acts:
            if act.outcome is Outcome.REFUSED and not (_KNOWN.search(act.said) or self._broken_before(act)):
                yield f"refused with what nobody should read here: {act}"
            others = [other for other in self.acts if other.app == act.app and other.deploys and other is not act]
            alone = not any(act.overlaps(other) for other in others)
            if act.outcome is Outcome.DONE and act.needs_containers and self._may_have_none(act):
                continue
            if act.must and act.outcome not in (act.must, Outcome.CUT) and (alone or act.must is Outcome.REFUSED):
                yield f"should have been {act.must}: {act}"

    def _may_have_none(self, act: Act) -> bool:
        """Whether the app may have been scaled to no containers meanwhile: then nothing of a push is checked."""
        scaled = [a for a in self.of(act.app) if "web" in a.writes and a.outcome is not Outcome.REFUSED]
        last = max((a.began for a in scaled if a.outcome is Outcome.DONE and a.ended < act.began), default=-1.0)
        return any(a.writes["web"] == 0 and a.began < act.ended and a.ended >= last for a in scaled)

    def _broken_before(self, act: Act) -> bool:
        """Whether the deploy failed since what the app runs, or would, cannot."""
        return bool(_FAILED.search(act.said)) and any(
            a.needs_containers and a.outcome is not Outcome.REFUSED and a.began < act.ended for a in self.of(act.app)
        )

    def possible(self, app: str, register: str, first: object) -> set[object]:
        """What the register may be in the end; ``first`` before anybody has written it."""
        writes = [a for a in self.of(app) if register in a.writes and a.outcome is not Outcome.REFUSED]
        done = [a for a in writes if a.outcome is Outcome.DONE]
        last = max((a.began for a in done), default=-1.0)
        found = {a.writes[register] for a in writes if a.ended >= last}
        return found if done else found | {first}


def told(said: str) -> str:
    """The line in which a client says why; else its last one."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for sign in ("[remote rejected]", "[rejected]", "error: ", "fatal: "):
        with suppress(StopIteration):
            return next(line for line in lines if sign in line)[:300]
    return lines[-1][:300] if lines else ""


def _plain(act: Act) -> str:
    text = act.said.replace(act.app, "APP")
    return re.sub(r"\b[0-9a-f]{7,40}\b|\d+", "N", text)[:160]

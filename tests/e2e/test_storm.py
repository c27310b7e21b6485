"""A storm of daily work: whatever four people do at once, and however often gitship dies of it, everything agrees.

They push, break, roll back, scale, stop, start, mount, set config, destroy and make again, on six apps; gitship is
killed with -9 all the while, and a seventh app under load fails no request. Longer, a run for each seed:
GITSHIP_TEST_STORM=20 GITSHIP_TEST_STORM_SEED=1 pytest -s tests/e2e/test_storm.py
"""

from __future__ import annotations

import json
import os
import random
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.agreement import await_agreement
from tests.e2e.harness import running
from tests.e2e.history import ANYTHING
from tests.e2e.leftovers import leftovers
from tests.e2e.load import load
from tests.e2e.people import Person
from tests.e2e.storm import MOST_VERSIONS, NAMES, ROLES, STEADY, Killer, Onlookers, Storm
from tests.waiting import wait_to_be

RUNS = int(os.environ.get("GITSHIP_TEST_STORM", "0"))
SEED = int(os.environ.get("GITSHIP_TEST_STORM_SEED", "1"))
LONG_S, SHORT_S = 100.0, 15.0
LONG_KILLS_S, SHORT_KILLS_S = (15.0, 40.0), (5.0, 7.0)
QUIET_S = 90.0
CHECK_S = 5.0  # for what is never healthy
LAST_ACT_S = 180.0

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@dataclass(frozen=True, slots=True)
class Run:
    seed: int
    seconds: float
    kills_s: tuple[float, float]


@pytest.mark.parametrize(
    "run",
    [Run(1, SHORT_S, SHORT_KILLS_S), *(Run(SEED + n, LONG_S, LONG_KILLS_S) for n in range(RUNS))],
    ids=lambda run: f"{run.seconds:g}s-seed{run.seed}",
)
def test_everything_agrees_after_a_storm(
    request: pytest.FixtureRequest, base: Path, docker_host: str, tiny_binary: Path, run: Run
) -> None:
    failed_before = request.session.testsfailed

    def failed() -> bool:
        return request.session.testsfailed > failed_before

    with running(base / "server", docker_host, failed, deploy={"check_timeout": CHECK_S}) as server:
        storm = Storm(server, base, tiny_binary)
        allowed = [f"{STEADY}-{n}" for n in range(MOST_VERSIONS)]
        killer, onlookers = Killer(storm, random.Random(f"{run.seed} killer"), run.kills_s), Onlookers(storm)
        people = [Person(storm, name, random.Random(f"{run.seed} {name}")) for name in ROLES]
        runs = [*(person.run for person in people), onlookers.run, killer.run]
        threads = [threading.Thread(target=one, daemon=True) for one in runs]
        with load(server.http_port, f"{STEADY}.localhost", allowed, workers=8) as visitors:
            for thread in threads:
                thread.start()
            storm.over.wait(run.seconds)
            storm.over.set()
            for thread in threads:
                thread.join(LAST_ACT_S)
            assert not [thread for thread in threads if thread.is_alive()]
            await_agreement(server, QUIET_S)
            report = visitors.end()
        storm.history.close()
        wrong = [*storm.wrong, *storm.history.wrong(), *differences(storm)]
        figures = {
            "seed": run.seed, "kills": killer.kills, "requests": report.requests, "failed": report.failed,
            "answers of the six": onlookers.answers, "acts": len(storm.history.acts), "differences": len(wrong),
        }  # fmt: skip
        print("\nstorm:", json.dumps(figures))
        print(json.dumps({**storm.history.counts(), **report.kinds}))
        print(json.dumps(storm.history.refusals(), indent=1))
        assert report.failed == 0, f"seed {run.seed}: {report.failures}\n{report.samples}"
        assert not wrong, "\n".join([f"seed {run.seed}:", *wrong])
        assert killer.kills >= 1


def differences(storm: Storm) -> list[str]:
    """Between what people did, the store, Docker, Varnish and what visitors get; and what is left over.

    Images that failed or killed pushes have left go with the daily cleanup: it is carried out here.
    """
    server = storm.server
    wait_to_be(lambda: server.ssh("server:reconcile", "--dry-run", "--format", "json").stdout.split(), ["[]"], 30)
    wrong = [line for app in (*NAMES, STEADY) for line in _of_app(storm, app)]
    cleaned = server.ssh("server:cleanup")
    print(f"\nserver:cleanup: {cleaned.stdout}{cleaned.stderr}")
    return wrong + leftovers(server)


def _of_app(storm: Storm, app: str) -> list[str]:
    server, wrong = storm.server, []
    sql = (
        "SELECT a.id, r.commit_sha, r.config, (SELECT value FROM settings WHERE app_id = a.id AND name = 'stopped'),"
        " (SELECT quantity FROM scale WHERE app_id = a.id AND process = 'web'),"
        " (SELECT count(*) FROM settings WHERE app_id = a.id AND name = 'mount./data'),"
        " (SELECT count(*) FROM containers WHERE app_id = a.id AND process = 'web')"
        " FROM apps a LEFT JOIN releases r ON r.id = a.live_release WHERE a.name = ?"
    )
    rows = server.database(sql, app)
    app_id, commit, config, stopped, web, mounted, containers = rows[0] if rows else (0, None, None, None, None, 0, 0)
    stored = dict(server.database("SELECT name, value FROM config WHERE app_id = ?", app_id))
    version = storm.versions[commit] if commit else None
    is_now: dict[str, object] = {
        "version": version, "stopped": bool(stopped), "web": web, "mounted": bool(mounted),
        **{f"BY_{name}": stored.get(f"BY_{name}") for name in ROLES},
    }  # fmt: skip
    first = {"version": f"{app}-0", "stopped": False, "mounted": False}
    for register, value in is_now.items():
        possible = storm.history.possible(app, register, first.get(register))
        if value not in possible and ANYTHING not in possible:
            wrong.append(f"{register} of {app} is {value!r}, and may be {possible}")
    runs = 0 if stopped or version is None else 1 if web is None else web
    if containers != runs:
        wrong.append(f"{app} has {containers} web containers, not {runs}")
    answer = server.get(app)
    expected = (200, f"{version}\n") if runs else (503 if rows else 404, answer.body)
    if (answer.status, answer.body) != expected:
        wrong.append(f"{app} answers {answer.status} {answer.body[:80]!r}, not {expected}")
    if runs:
        live = json.loads(config)
        for name in ROLES:
            shown = server.get(app, f"/env?BY_{name}").body
            if shown != live.get(f"BY_{name}", ""):
                wrong.append(f"{app} has BY_{name}={shown}, its release {live.get(f'BY_{name}')}")
    if wrong:
        wrong += [f"    {act}" for act in storm.history.of(app)[-25:]]
    return wrong

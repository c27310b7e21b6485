"""Sessions at once: no output lost, doubled or foreign.

A cyclopts App that is shared without care printed 112 of 960 help texts into another session and lost 177 (16 threads).
"""

from __future__ import annotations

import random
import threading

from tests.unit.commands.world import World

THREADS = 8
ROUNDS = 2


def test_sessions_at_once_get_their_own_output_whole(world: World) -> None:
    for name in ("shop", "blog"):
        world.memory.push(name)
    calls: list[tuple[tuple[str, ...], bool]] = [
        (argv, pty)
        for argv in (
            ("help",),
            ("help", "config:set"),
            ("apps:create", "--help"),
            ("logs", "--help"),
            ("ps:list", "shop"),
            ("domains:list", "blog"),
            ("apps:list", "--format", "json"),
            ("config:sett", "shop"),
            ("logs", "shop", "--folow"),
            ("apps:create",),
            ("ps:scale", "shop", "web=1000"),
            ("config:show", "nothing"),
        )
        for pty in (False, True)
    ]
    alone = {call: world.run(*call[0], pty=call[1]) for call in calls}
    wrong: list[object] = []
    done = []

    def sessions(seed: int) -> None:
        order = random.Random(seed)
        for _ in range(ROUNDS):
            for call in order.sample(calls, len(calls)):
                client, expected = world.run(*call[0], pty=call[1]), alone[call]
                if (client.code, _timeless(client.out), client.err) != (
                    expected.code, _timeless(expected.out), expected.err,
                ):  # fmt: skip
                    wrong.append((call, client.out, client.err))
        done.append(seed)

    threads = [threading.Thread(target=sessions, args=(n,), name=f"session {n}") for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(done) == THREADS
    assert wrong == []


def _timeless(text: str) -> str:
    """Without the ages, which grow while the test runs."""
    return "".join(line for line in text.splitlines(keepends=True) if " ago" not in line)


def test_a_session_that_follows_keeps_nobody_waiting(world: World) -> None:
    world.memory.push("shop")
    following = world.client("logs", "shop", "-f")
    thread = threading.Thread(target=world.go, args=(following,), name="following")
    thread.start()
    try:
        for _ in range(20):
            world.ok("help")
            world.ok("ps:list", "shop")
        assert thread.is_alive()
    finally:
        following.closed.set()
        thread.join(10)
    assert not thread.is_alive()

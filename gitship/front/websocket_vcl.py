"""Generates the websocket part of an app's VCL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gitship.front.pause_vcl import SOCKET_PATH
from gitship.front.templates import fill, template

PREFIX = "socket_"  # of the backend that websockets go to: by it Varnish's counters tell them from requests
ADDRESS, PORT, ASKED = "x-gitship-address", "x-gitship-port", "x-gitship-socket"  # headers to the proxy
CONNECT_S = 3
ASK_S = 5

_NONE = """\
# Nothing here is a websocket, and there is no pipe.
sub gitship_upgrade {
    unset req.http.upgrade;
    unset req.http.http2-settings;
}

sub gitship_websocket {
    return (synth(400));
}

sub vcl_pipe {
    return (synth(405));
}"""


@dataclass(frozen=True, slots=True)
class WebsocketRouting:
    """Whose turn a websocket is: the shard ``director`` says, by the VCL expression ``key``.

    ``own`` is False for a director that the VCL has anyway.
    """

    director: str = "sockets"
    key: str = '"" + req.xid'
    own: bool = True


IN_TURN = WebsocketRouting()


def declarations(
    proxy: Path | None, containers: Sequence[tuple[str, str, int]], turn: WebsocketRouting = IN_TURN
) -> str:
    """``proxy`` is its socket (None: nobody gets a websocket), ``containers`` are name in the VCL, address and port.

    Raises ValueError for a path that is none of a socket.
    """
    if proxy is None or not containers:
        return _NONE
    if not SOCKET_PATH.fullmatch(str(proxy)):
        raise ValueError(f"cannot be put into VCL: {str(proxy)!r}")
    text = fill(
        template("websockets.vcl"),
        prefix=PREFIX,
        socket=str(proxy),
        connect_s=str(CONNECT_S),
        ask_s=str(ASK_S),
        choice=_choice([name for name, _, _ in containers]) if turn.own else "",
        choose="\n".join(_choose(containers, turn)),
    )
    return text.rstrip("\n")


def _choice(names: Sequence[str]) -> str:
    """Of Varnish's directors this is the one that tells at once which container it has chosen."""
    if len(names) == 1:
        return ""
    members = [f"    sockets.add_backend({name});" for name in names]
    return "\n".join(
        ["sub vcl_init {", "    new sockets = directors.shard();", *members, "    sockets.reconfigure();", "}"]
    )


def _choose(containers: Sequence[tuple[str, str, int]], turn: WebsocketRouting) -> list[str]:
    """Any one that passes its probe; when none does they are tried all the same."""
    if len(containers) == 1:
        [(_, address, port)] = containers
        return _to(address, port, "    ")
    director = turn.director
    by = f"by=KEY, key={director}.key({turn.key})"
    lines = [f"    set bereq.backend = {director}.backend({by});", "    if (!bereq.backend) {"]
    lines += [f"        set bereq.backend = {director}.backend({by}, healthy=IGNORE);", "    }"]
    for word, (name, address, port) in zip(["if", *["} elsif"] * len(containers)], containers, strict=False):
        lines += [f"    {word} (bereq.backend == {name}) {{", *_to(address, port, "        ")]
    return [*lines, "    }"]


def _to(address: str, port: int, indent: str) -> list[str]:
    return [
        f'{indent}set bereq.http.{ADDRESS} = "{address}";',
        f'{indent}set bereq.http.{PORT} = "{port}";',
    ]

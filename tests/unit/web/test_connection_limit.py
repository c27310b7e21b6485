"""Connections that ask for nothing make way; those that are answered stay."""

from __future__ import annotations

import asyncio

from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from gitship.web.connection_limit import BoundedServer, most_connections

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Long(RequestHandler):
    async def get(self) -> None:
        self.write("begun\n")
        await self.flush()
        await self.settings["over"].wait()


async def answered(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.readuntil(b"begun\n"), 10)


async def is_cut(reader: asyncio.StreamReader) -> bool:
    try:
        return await asyncio.wait_for(reader.read(), 10) == b""
    except ConnectionResetError:
        return True


async def scene() -> None:
    over = asyncio.Event()
    server = BoundedServer(Application([("/", Long)], over=over), most=3)
    [sock] = bind_sockets(0, "127.0.0.1")
    server.add_sockets([sock])
    opened: list[Streams] = []

    async def connect() -> Streams:
        opened.append(await asyncio.open_connection("127.0.0.1", sock.getsockname()[1]))
        return opened[-1]

    try:
        busy, talk = await connect()
        talk.write(GET)
        await answered(busy)
        first, slow = await connect()
        slow.write(GET[:20])
        second, _ = await connect()
        third, third_talk = await connect()  # the fourth: the longest idle one makes way
        assert await is_cut(first)
        third_talk.write(GET)
        await answered(third)
        fourth, fourth_talk = await connect()
        assert await is_cut(second)
        fourth_talk.write(GET)
        await answered(fourth)
        late, _ = await connect()  # now all are being answered
        assert await is_cut(late)
        over.set()
        for reader in (busy, third, fourth):
            assert b"0\r\n" in await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 10)
    finally:
        over.set()
        for _, writer in opened:
            writer.close()
        server.stop()
        await server.close_all_connections()


def test_when_it_is_full_the_longest_idle_connection_makes_way() -> None:
    asyncio.run(scene())


def test_the_page_leaves_files_for_pushes() -> None:
    assert 0 < most_connections() <= 2000

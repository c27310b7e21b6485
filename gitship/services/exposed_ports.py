"""Ports of this machine that lead to services, for clients in the networks that are allowed, and by TLS only.

A client speaks TLS from its first byte, or asks for it as PostgreSQL's clients do (its manual, 54.2.10). What comes in
plain text is not passed on: not a byte of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import struct
import tempfile
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import TypeVar, cast

from gitship.errors import ConfigError, GitshipError
from gitship.model.services import Exposure, Service
from gitship.services.service_container import ServiceContainers
from gitship.store import Store

log = logging.getLogger("gitship.services")

DIRECT, POSTGRES = "direct", "postgres"  # how TLS begins
HANDSHAKE_S = 10.0
CONNECT_S = 10.0
CLOSE_S = 5.0
MOST = 200  # connections of a port
PIECE_BYTES = 64 << 10
BACKLOG = 64
SSL_REQUEST, GSS_REQUEST = struct.pack("!II", 8, 80877103), struct.pack("!II", 8, 80877104)
TLS_HANDSHAKE = 0x16
Result = TypeVar("Result")


@dataclass(slots=True)
class _OpenPort:
    """``key`` is what it was made of: another one takes its place."""

    exposure: Exposure
    listener: socket.socket
    accepting: asyncio.Task[None] | None = None
    clients: set[asyncio.Task[None]] = field(default_factory=set)


def allowed(exposure: Exposure, address: str) -> bool:
    """True for a client in one of its networks."""
    client = ip_address(address.removeprefix("::ffff:").partition("%")[0])
    return any(client in ip_network(network) for network in exposure.networks)


class ExposedPorts:
    """Started and stopped with gitship: connections end with it. Other methods are safe from any thread."""

    def __init__(self, store: Store, containers: ServiceContainers) -> None:
        self._store = store
        self._containers = containers
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._open: dict[int, _OpenPort] = {}  # by the service's id; of the loop's thread only
        self._syncing = threading.Lock()

    def start(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="service-ports", daemon=True)
        self._thread.start()
        self.sync()

    def stop(self) -> None:
        loop, self._loop = self._loop, None
        if loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._close_all(), loop).result(CLOSE_S)
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join(CLOSE_S)

    def sync(self) -> None:
        """Opens and closes what the store says. A port that cannot be had is logged, and tried again next time."""
        with self._syncing:
            if self._loop is None:
                return
            wanted = {exposure.service_id: exposure for exposure in self._store.exposures()}
            for service_id, exposure in self._call(self._now()).items():
                if wanted.get(service_id) != exposure:
                    self._call(self._close(service_id))
            for service_id, exposure in wanted.items():
                try:
                    self._call(self._listen(exposure))
                except GitshipError as error:
                    log.warning("service %d: %s", service_id, error.message)

    def open(self, exposure: Exposure) -> None:
        """At once. Raises ConfigError when the port cannot be had, and then the one before is open again."""
        with self._syncing:
            before = self._call(self._now()).get(exposure.service_id)
            self._call(self._close(exposure.service_id))
            try:
                self._call(self._listen(exposure))
            except GitshipError:
                if before is not None:
                    self._call(self._listen(before))
                raise

    def _call(self, what: Coroutine[None, None, Result]) -> Result:
        """Its result, in the loop's thread. Raises ConfigError while there is none."""
        if self._loop is None:
            what.close()
            raise ConfigError("gitship does not run", "start it first")
        return asyncio.run_coroutine_threadsafe(what, self._loop).result()

    # -- in the loop's thread

    async def _now(self) -> dict[int, Exposure]:
        return {service_id: port.exposure for service_id, port in self._open.items()}

    async def _listen(self, exposure: Exposure) -> None:
        if exposure.service_id in self._open:
            return
        try:
            if socket.has_dualstack_ipv6():
                listener = socket.create_server(
                    ("", exposure.port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG
                )
            else:
                listener = socket.create_server(("", exposure.port), backlog=BACKLOG)
        except OSError as error:
            raise ConfigError(
                f"port {exposure.port} cannot be opened: {error.strerror or error}", "choose another with --port"
            ) from None
        listener.setblocking(False)
        port = self._open[exposure.service_id] = _OpenPort(exposure, listener)
        port.accepting = asyncio.get_running_loop().create_task(self._accept(port))

    async def _close(self, service_id: int) -> None:
        port = self._open.pop(service_id, None)
        if port is None:
            return
        if port.accepting is not None:
            port.accepting.cancel()
        port.listener.close()
        tasks = set(port.clients)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_S)

    async def _close_all(self) -> None:
        for service_id in list(self._open):
            await self._close(service_id)

    async def _accept(self, port: _OpenPort) -> None:
        context = server_context(port.exposure.pem)
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, peer = await loop.sock_accept(port.listener)
            except OSError as error:
                log.warning("port %d: cannot accept: %s", port.exposure.port, error)
                await asyncio.sleep(0.2)  # out of file descriptors: a connection has to end first
                continue
            if not allowed(port.exposure, peer[0]) or len(port.clients) >= MOST:
                log.debug("port %d: %s refused", port.exposure.port, peer[0])  # a flood must not fill the log
                sock.close()
                continue
            task = loop.create_task(self._serve(port.exposure, context, sock, peer[0]))
            port.clients.add(task)
            task.add_done_callback(port.clients.discard)

    async def _serve(self, exposure: Exposure, context: ssl.SSLContext, sock: socket.socket, peer: str) -> None:
        try:
            with sock:
                async with asyncio.timeout(HANDSHAKE_S):
                    client = await _with_tls(sock, context, exposure.tls)
            if client is None:
                log.debug("port %d: %s does not speak TLS", exposure.port, peer)
                return
            try:
                await self._pass(exposure, *client)
            finally:
                client[1].transport.abort()
        except (OSError, TimeoutError, GitshipError) as error:  # ssl.SSLError is an OSError
            log.debug("port %d: %s: %s", exposure.port, peer, error)
        except Exception:
            log.exception("port %d: %s", exposure.port, peer)

    async def _pass(self, exposure: Exposure, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        service, address = await asyncio.get_running_loop().run_in_executor(None, self._address, exposure)
        async with asyncio.timeout(CONNECT_S):
            its_reader, its_writer = await asyncio.open_connection(*address, limit=PIECE_BYTES)
        its_socket = cast(socket.socket, its_writer.get_extra_info("socket"))
        self._containers.outside.add(service, its_socket)
        try:
            forth = asyncio.create_task(_pump(reader, its_writer))
            back = asyncio.create_task(_pump(its_reader, writer))
            try:
                await asyncio.wait((forth, back), return_when=asyncio.FIRST_COMPLETED)
                if not back.done():  # the client has gone: TLS here has no half-close
                    await asyncio.wait((back,), timeout=CLOSE_S)
            finally:
                forth.cancel()
                back.cancel()
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await writer.wait_closed()
        finally:
            self._containers.outside.discard(service, its_socket)
            its_writer.transport.abort()

    def _address(self, exposure: Exposure) -> tuple[Service, tuple[str, int]]:
        """Raises GitshipError when it does not run, or is exposed no more."""
        service = self._store.service(exposure.service_id)
        return service, self._containers.address(service)


def server_context(pem: str) -> ssl.SSLContext:
    """TLS 1.2 and up with that certificate and key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["postgresql"])  # which PostgreSQL 17's clients insist on; others name none
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:  # that is how Python reads one; mode 0600
        file.write(pem)
        file.flush()
        context.load_cert_chain(file.name)
    return context


async def _with_tls(
    sock: socket.socket, context: ssl.SSLContext, how: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    """None when the client does not ask for TLS."""
    sock.setblocking(False)
    if how == POSTGRES and not await _asks_as_postgres(sock):
        return None
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=PIECE_BYTES)
    protocol = asyncio.StreamReaderProtocol(reader)
    own = sock.dup()  # the caller closes the other
    try:
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, own, ssl=context)
    except BaseException:
        own.close()
        raise
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def _asks_as_postgres(sock: socket.socket) -> bool:
    """Reads no byte of TLS. Whatever stands between the request and the handshake makes the handshake fail."""
    loop = asyncio.get_running_loop()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, len(SSL_REQUEST))
    while True:
        await _readable(sock)
        begin = sock.recv(len(SSL_REQUEST), socket.MSG_PEEK)
        if begin[:1] == bytes([TLS_HANDSHAKE]):
            break
        if begin not in (SSL_REQUEST, GSS_REQUEST):
            return False
        sock.recv(len(begin))
        await loop.sock_sendall(sock, b"S" if begin == SSL_REQUEST else b"N")
        if begin == SSL_REQUEST:
            break
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
    return True


async def _readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    waiter = loop.create_future()

    def wake() -> None:
        if not waiter.done():
            waiter.set_result(None)

    loop.add_reader(sock, wake)
    try:
        await waiter
    finally:
        loop.remove_reader(sock)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the end of what one side sends; no more is read than the other side takes."""
    with contextlib.suppress(OSError):
        while data := await reader.read(PIECE_BYTES):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

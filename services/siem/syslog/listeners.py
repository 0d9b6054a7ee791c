"""Syslog's sockets: UDP, TCP and TLS. Off unless an address is set; only for senders from the allowed networks.

Owns sockets, limits and their logs. What a line means is the parsers' business; when it is durable, the Collector's.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.siem.syslog import domain
from services.siem.syslog.service import CUT, REFUSED, Collector
from shared import config
from shared.log import get_logger

_READ_BYTES = 64 * 1024
_HANDSHAKE_SECONDS = 10.0
_RECEIVE_BUFFER = 4 * 1024 * 1024
_DRAIN_SECONDS = 5.0
_LAST_WORDS_SECONDS = 0.5
_BACKLOG = 128
#: Refused senders are logged once each, up to so many.
_MOST_TOLD = 1_000
_log = get_logger("syslog")


@dataclass(frozen=True, slots=True)
class Listening:
    """What to open and for whom; addresses are `host:port`, None or empty for no such listener. Sizes in bytes."""

    udp: str | None
    tcp: str | None
    tls: str | None
    cert_file: Path | None
    key_file: Path | None
    client_ca_file: Path | None
    networks: tuple[str, ...]
    connections: int
    line_bytes: int


class Listeners:
    """The open sockets of one service."""

    def __init__(self, listening: Listening, collector: Collector) -> None:
        self._listening = listening
        self._collector = collector
        self._allowed = _parsed("NETWORKS", lambda: domain.networks(listening.networks))
        self._told: set[str] = set()
        self._servers: list[asyncio.Server] = []
        self._datagrams: list[asyncio.DatagramTransport] = []
        self._connections: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Opens what is asked for. Raises ConfigError for a setting that can't be used, OSError for a taken port."""
        wanted = self._listening
        if wanted.udp:
            await self._open_udp(*_address("UDP", wanted.udp))
        if wanted.tcp:
            await self._open_stream("tcp", *_address("TCP", wanted.tcp), None)
        if wanted.tls:
            await self._open_stream("tls", *_address("TLS", wanted.tls), _tls(wanted))

    async def _open_udp(self, host: str, port: int) -> None:
        def made() -> _Datagrams:
            return _Datagrams(self)

        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(made, local_addr=(host, port))
        opened: socket.socket = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        self._datagrams.append(transport)
        _log.info("listening", transport="udp", host=host, port=opened.getsockname()[1])

    async def _open_stream(self, transport: str, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        handshake = None if tls is None else _HANDSHAKE_SECONDS
        server = await asyncio.start_server(
            self._connected, host, port, ssl=tls, ssl_handshake_timeout=handshake, backlog=_BACKLOG, limit=_READ_BYTES
        )
        self._servers.append(server)
        _log.info("listening", transport=transport, host=host, port=server.sockets[0].getsockname()[1])

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = self.admitted(writer.get_extra_info("peername"))
        if peer is None or len(self._connections) >= self._listening.connections:
            if peer is not None:
                self._refuse(peer, "connections")
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a stream's callback runs as a task
        self._connections.add(task)
        try:
            await self._read(domain.source_of(peer), reader)
        except OSError:
            pass  # the sender is gone; what was read of it is kept
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _read(self, source: str, reader: asyncio.StreamReader) -> None:
        framer = domain.Framer(self._listening.line_bytes)
        try:
            while data := await reader.read(_READ_BYTES):
                await self._collector.put(source, framer.feed(data))
        finally:
            if framer.cut:
                CUT.inc(framer.cut)
                _log.warning("lines cut", source=source, lines=framer.cut, limit_bytes=framer.limit)
        await self._collector.put(source, framer.end())

    def received(self, data: bytes, address: Any) -> None:
        """One datagram: one message."""
        peer = self.admitted(address)
        message = data.rstrip(b"\r\n\0")
        if peer is None or not message.strip():
            return
        if len(message) > self._listening.line_bytes:
            CUT.inc()
        self._collector.offer(domain.source_of(peer), message[: self._listening.line_bytes])

    def admitted(self, address: Any) -> str | None:
        """The peer's address, or None for one that may not send."""
        if not address:  # gone before it was looked at
            return None
        peer = domain.peer_of(address[0])
        if domain.is_allowed(peer, self._allowed):
            return peer
        self._refuse(peer, "network")
        return None

    def _refuse(self, peer: str, reason: str) -> None:
        REFUSED.labels(reason).inc()
        if peer not in self._told and len(self._told) < _MOST_TOLD:
            self._told.add(peer)
            _log.warning("sender refused", peer=peer, reason=reason)

    async def close(self) -> None:
        """Stops listening, and waits some seconds until what was received is durable."""
        for server in self._servers:
            server.close()
        for transport in self._datagrams:
            transport.close()
        if self._connections:  # what a sender wrote before it went away is still read
            await asyncio.wait(self._connections, timeout=_LAST_WORDS_SECONDS)
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                await self._collector.drained()
        except TimeoutError:
            _log.error("stopped before every line was durable")


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, listeners: Listeners) -> None:
        self._listeners = listeners

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._listeners.received(data, addr)


def _parsed(name: str, read: Any) -> Any:
    try:
        return read()
    except ValueError as error:
        raise config.ConfigError(f"AURORA_SYSLOG_{name} is not valid: {error}") from error


def _address(name: str, text: str) -> tuple[str, int]:
    address: tuple[str, int] = _parsed(name, lambda: domain.address_of(text))
    return address


def _tls(listening: Listening) -> ssl.SSLContext:
    if listening.cert_file is None or listening.key_file is None:
        raise config.ConfigError("AURORA_SYSLOG_TLS needs AURORA_SYSLOG_TLS_CERT_FILE and AURORA_SYSLOG_TLS_KEY_FILE")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(listening.cert_file, listening.key_file)
        if listening.client_ca_file is not None:
            context.load_verify_locations(listening.client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:  # ssl.SSLError is one
        raise config.ConfigError("the certificate files of AURORA_SYSLOG_TLS can't be used") from error
    return context

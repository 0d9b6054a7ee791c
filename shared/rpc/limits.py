"""Every bound of the protocol in one place, with its unit and its reason. Knows nothing else."""

from __future__ import annotations

from dataclasses import dataclass

MAX_FRAME_BYTES = 1024 * 1024


@dataclass(frozen=True)
class RpcLimits:
    """What one server grants. Whatever is beyond is refused with an error that says so, never queued without end."""

    max_frame: int = MAX_FRAME_BYTES
    """Bytes of one message, either way. A longer request closes the connection (1009), a longer result is an error."""
    max_batch: int = 100
    """Requests of one batch."""
    max_batches: int = 16
    """Unanswered batches of one connection: each may hold a frame of replies."""
    max_in_flight: int = 128
    """Running requests of one connection. More than a batch and than a Peer sends, so neither meets it by itself."""
    max_connections: int = 256
    """Open WebSockets of the whole server; the next handshake gets 503."""
    max_handoffs: int = 1024
    """Running handoffs of the whole server: they outlive their connection, so connections don't bound them."""
    kept_replies: int = 1024
    kept_bytes: int = 64 * 1024 * 1024
    kept_seconds: float = 900.0
    """Replies of finished handoffs kept for a re-request: by count, bytes and age, whichever is met first."""
    call_seconds: float = 60.0
    """Time for a request that brings no deadline."""
    max_call_seconds: float = 600.0
    """Longest time any deadline may ask for."""
    open_seconds: float = 10.0
    """Time for the handshake."""
    ping_seconds: float = 20.0
    """An idle connection is pinged this often, and closed when the pong takes as long again."""


@dataclass(frozen=True)
class PeerLimits:
    """What one client asks of a server."""

    max_frame: int = MAX_FRAME_BYTES
    max_in_flight: int = 100
    """Calls on the wire; further ones wait for a place within their time-out."""
    connect_seconds: float = 5.0
    """How long a call waits for a connection, over several attempts, before it is UNAVAILABLE."""
    ping_seconds: float = 20.0
    resends: int = 3
    """How often a handoff that lost its connection is sent again."""

"""JSON-RPC 2.0 over WebSocket, as agents speak it (SOC page, "A2A protocol"): `Peer.call` on one side, `serve` on the
other.

    server = await serve([bind(ANALYZE_THREAT, analyst.analyze)], host=..., port=..., authenticate=verifier.verify)

    async with Peer(url, token) as agent:
        assessment = await agent.call(ANALYZE_THREAT, params, handoff=handoff, timeout=60)

The parts: `wire` (messages and errors as JSON), `methods` (from a message to a handler), `runner` and `eager` (a
handler that runs, as a task only where it waits), `ledger` (a handoff runs once), `handshake` (who gets in),
`discover` (what is served), `server` and its `session`s, `peer`, `fleet` (agents that come and go), and `transport`
with `shortcut` and `frames`, which know the WebSocket library.
"""

from shared.rpc.discover import About
from shared.rpc.fleet import Fleet
from shared.rpc.handshake import HttpAnswer
from shared.rpc.limits import PeerLimits, RpcLimits
from shared.rpc.methods import Binding, CallContext, Handler, bind
from shared.rpc.peer import Peer
from shared.rpc.server import Server, serve

__all__ = [
    "About",
    "Binding",
    "CallContext",
    "Fleet",
    "Handler",
    "HttpAnswer",
    "Peer",
    "PeerLimits",
    "RpcLimits",
    "Server",
    "bind",
    "serve",
]

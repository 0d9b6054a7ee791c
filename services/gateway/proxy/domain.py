"""What crosses the gateway: which headers pass in either direction, and the path that a service is asked for.

Both lists name what passes; everything else stays behind, so that no client can speak in the gateway's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from shared.contracts.constants import Endpoint
from shared.errors import NOT_FOUND, AuroraError

#: From the client to the service. Authorization, Cookie, X-User-ID, X-Forwarded-* and hop-by-hop headers are not here.
REQUEST_HEADERS = (
    "Accept",
    "Accept-Encoding",
    "Accept-Language",
    "Content-Encoding",
    "Content-Type",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "Last-Event-ID",
    "MCP-Protocol-Version",
    "Mcp-Method",
    "Mcp-Name",
    "User-Agent",
    "X-Splunk-Request-Channel",
)
#: From the service to the client. The gateway sets ids, mode, limits and security headers itself.
RESPONSE_HEADERS = (
    "Allow",
    "Cache-Control",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "Content-Length",
    "Content-Type",
    "ETag",
    "Last-Modified",
    "Link",
    "Location",
    "Retry-After",
    "Vary",
    "X-Aurora-Error",
    "X-Elastic-Product",
)
_RETURNED = {name.lower(): name for name in RESPONSE_HEADERS}


def passing(headers: Mapping[str, str]) -> dict[str, str]:
    """The client's headers that the service gets. `headers` compares names without case."""
    return {name: headers[name] for name in REQUEST_HEADERS if name in headers}


def returning(headers: Mapping[str, str]) -> dict[str, str]:
    """The service's headers that the client gets. `headers` has lower-case names."""
    return {_RETURNED[name]: value for name, value in headers.items() if name in _RETURNED}


def target(endpoint: Endpoint[Any, Any, Any], path: Mapping[str, str], raw_query: str) -> str:
    """Path and query to ask the service for: each parameter quoted, the query as it came if the endpoint has one.

    Raises AURORA-4040 for a parameter that would lead to another path.
    """
    if any(value in ("", ".", "..") for value in path.values()):
        raise AuroraError(NOT_FOUND)
    filled = endpoint.path.format_map({name: quote(value, safe="") for name, value in path.items()})
    return f"{filled}?{raw_query}" if raw_query and endpoint.query is not None else filled

"""The four kinds of constant a contract declares: Endpoint, Method, Topic and ErrorCode.

A constant is declared once, at import, in the module of its resource. Two constants of one name are a programming
error and fail at import. This module knows no resource, no service and no driver.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, Literal

from typing_extensions import TypeVar

Q = TypeVar("Q", default=None)
B = TypeVar("B", default=None)
#: An endpoint that answers more is one that answers this.
R_co = TypeVar("R_co", default=None, covariant=True)
P = TypeVar("P")

HttpMethod = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "WS"]

#: In `Endpoint.consumes`: whatever the client says, or nothing at all.
ANY_MEDIA_TYPE = "*/*"

#: Permissions that are not a `<domain>:<action>` string (SOC page, column "Permission").
PUBLIC = "Public"
AUTHENTICATED = "Authenticated"
ADMIN = "Admin"

#: Every permission string of the SOC page, in its order.
ALERTS_READ = "alerts:read"
ALERTS_WRITE = "alerts:write"
CASES_READ = "cases:read"
CASES_WRITE = "cases:write"
SIEM_READ = "siem:read"
SIEM_WRITE = "siem:write"
EDR_READ = "edr:read"
EDR_WRITE = "edr:write"
PLAYBOOKS_READ = "playbooks:read"
SOAR_READ = "soar:read"
SOAR_WRITE = "soar:write"
INVESTIGATIONS_READ = "investigations:read"
INVESTIGATIONS_WRITE = "investigations:write"
NETWORK_READ = "network:read"
NETWORK_WRITE = "network:write"
AGENTS_READ = "agents:read"
CHAT_READ = "chat:read"
CHAT_WRITE = "chat:write"
SYSTEM_READ = "system:read"
SYSTEM_WRITE = "system:write"

SCOPES: tuple[str, ...] = (
    ALERTS_READ,
    ALERTS_WRITE,
    CASES_READ,
    CASES_WRITE,
    SIEM_READ,
    SIEM_WRITE,
    EDR_READ,
    EDR_WRITE,
    PLAYBOOKS_READ,
    SOAR_READ,
    SOAR_WRITE,
    INVESTIGATIONS_READ,
    INVESTIGATIONS_WRITE,
    NETWORK_READ,
    NETWORK_WRITE,
    AGENTS_READ,
    CHAT_READ,
    CHAT_WRITE,
    SYSTEM_READ,
    SYSTEM_WRITE,
)

ENDPOINTS: dict[tuple[str, str], Endpoint[Any, Any, Any]] = {}
METHODS: dict[str, Method[Any, Any]] = {}
TOPICS: dict[str, Topic[Any]] = {}
ERROR_CODES: dict[str, ErrorCode] = {}


def _declare(table: dict[Any, Any], key: Any, constant: Any) -> None:
    if key in table:
        raise ValueError(f"{key} is declared twice")
    table[key] = constant


@dataclass(frozen=True, eq=False)
class Endpoint(Generic[Q, B, R_co]):
    """One HTTP route (or, with method "WS", one WebSocket) and everything that is derived from it.

    `query`, `body` and `returns` are msgspec-decodable types; None means "none". A `body` of `bytes` is handed to
    the handler undecoded, with the media types it takes in `consumes`. `max_body` is in bytes. `service` names the
    folder of services/ whose application handles it. `timeout_seconds` is how long a caller waits for the answer.
    `also` lists other statuses that come with what `returns` says (those of 3xx with a Location and no body);
    `versioned` answers come with an ETag, which `If-Match` of a change names.
    `deprecated` and `sunset` are the RFC 3339 times since when it shouldn't be used and when it goes; `successor` is
    the path to use instead.
    """

    method: HttpMethod
    path: str
    permission: str
    service: str
    summary: str
    query: type[Q] | None = None
    body: type[B] | None = None
    returns: type[R_co] | None = None
    status: int = 200
    also: tuple[int, ...] = ()
    versioned: bool = False
    errors: tuple[ErrorCode, ...] = ()
    tag: str = ""
    consumes: tuple[str, ...] = ("application/json",)
    produces: str = "application/json"
    max_body: int = 1024 * 1024
    timeout_seconds: float = 60.0
    deprecated: str | None = None
    sunset: str | None = None
    successor: str | None = None

    def __post_init__(self) -> None:
        if (self.deprecated is None) != (self.sunset is None) or (self.successor and self.deprecated is None):
            raise ValueError(f"{self.path}: what is deprecated says since when, and when it goes")
        _declare(ENDPOINTS, (self.method, self.path), self)

    @property
    def keyed(self) -> bool:
        """Whether it takes an Idempotency-Key: it changes something, for somebody who is known."""
        return self.method in ("POST", "PUT", "PATCH", "DELETE") and self.permission != PUBLIC

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, eq=False)
class Method(Generic[P, R_co]):
    """One JSON-RPC 2.0 method that an agent serves: name, params struct, result struct."""

    name: str
    params: type[P]
    returns: type[R_co]
    summary: str = ""

    def __post_init__(self) -> None:
        _declare(METHODS, self.name, self)


@dataclass(frozen=True, eq=False)
class Topic(Generic[P]):
    """One event type. Its name is the NATS subject and the CloudEvents `type`.

    A name may hold `*` for one token that the publisher fills in (`aurora.agents.*.thoughts`).
    """

    name: str
    data: type[P]
    summary: str = ""

    def __post_init__(self) -> None:
        _declare(TOPICS, self.name, self)

    def subject(self, *tokens: str) -> str:
        """The subject with each `*` replaced in order. Raises ValueError when the count differs."""
        parts = self.name.split(".")
        if parts.count("*") != len(tokens):
            raise ValueError(f"{self.name} takes {parts.count('*')} tokens")
        values = iter(tokens)
        return ".".join(next(values) if part == "*" else part for part in parts)


@dataclass(frozen=True, eq=False)
class ErrorCode:
    """One row of the error table: AURORA code, HTTP status, message, JSON-RPC code, and whether a retry can help."""

    code: str
    status: int
    message: str
    rpc_code: int = field(default=-32010)
    retryable: bool = False

    def __post_init__(self) -> None:
        _declare(ERROR_CODES, self.code, self)

"""From one JSON-RPC message to a running handler: bindings, `_meta`, params, and the library's dispatch.

This is the one file that imports jsonrpcserver. Its synchronous dispatch applies the rules of the specification
(request or notification, id, order of checks) and calls a starter, which begins the work and hands back the task; the
session awaits it. So no schema validator runs, nothing is gathered, and no exception text passes through the library.
Knows no socket.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import msgspec
from jsonrpcserver import Error, Result, Success, dispatch_to_serializable
from msgspec import UNSET

from shared.contracts.agents import Handoff
from shared.contracts.constants import Method
from shared.errors import DEADLINE_EXCEEDED, AuroraError
from shared.identity import Principal
from shared.rpc.limits import RpcLimits
from shared.rpc.wire import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    RequestId,
    WireError,
    check_request,
    failure,
    params_error,
    standard_error,
    success,
    wire_error,
)

P = TypeVar("P")
R = TypeVar("R")
E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)

#: `rpc.cancel`, a notification `{"id": ...}`: the caller takes a request back.
CANCEL = "rpc.cancel"
_RESERVED = "rpc."
_META = "_meta"
#: What jsonrpcserver answers when it itself fails.
_LIBRARY_FAILED = -32000

_canonical = msgspec.json.Encoder(order="sorted").encode


@dataclass(frozen=True, slots=True)
class CallContext:
    """What a handler knows of its caller. Cancellation is the task's own: the handler is cancelled when the caller
    takes the request back, when its time is up, and, for a call without a handoff, when the connection is lost."""

    principal: Principal
    handoff: Handoff | None
    request_id: RequestId
    traceparent: str | None


Handler = Callable[[P, CallContext], Awaitable[R]]


@dataclass(frozen=True)
class Binding(Generic[P, R]):
    """A method and the handler that serves it."""

    method: Method[P, R]
    handler: Handler[P, R]


def bind(method: Method[P, R], handler: Handler[P, R]) -> Binding[P, R]:
    """Says which handler serves a method. Raises ValueError for a name the specification reserves."""
    if method.name.startswith(_RESERVED):
        raise ValueError(f"{method.name}: names that begin with {_RESERVED} are reserved")
    return Binding(method, handler)


@dataclass(frozen=True, slots=True)
class Call:
    """A checked call, ready to run: within `seconds`, once for all requests of one `key` (None: every time)."""

    binding: Binding[Any, Any]
    params: Any
    context: CallContext
    seconds: float
    key: Hashable | None
    digest: bytes


class Session(Protocol[E_co]):
    """What a starter needs of the connection that the message came by."""

    @property
    def principal(self) -> Principal:
        """Who opened the connection."""

    @property
    def limits(self) -> RpcLimits:
        """What the server grants."""

    def start(self, call: Call, arrival: Arrival) -> E_co:
        """Begins the call and returns its handle. Raises AuroraError when it is refused."""

    def cancel(self, request_id: RequestId) -> bool:
        """Cancels the connection's running requests of that id; whether there was one."""


@dataclass(slots=True)
class Arrival:
    """One message: by which session, with which id, whether it wants an answer and whether it stands in a batch."""

    session: Session[Any]
    request_id: RequestId
    notification: bool
    in_batch: bool


@dataclass(frozen=True, slots=True)
class Started(Generic[E]):
    """The session's handle of a call that was begun."""

    handle: E


class _Starter:
    """What the library calls for a method. `__signature__` spares it from inspecting a function on each call, and
    accepts anything, since the params struct is the check."""

    __signature__ = inspect.Signature(
        [
            inspect.Parameter("positional", inspect.Parameter.VAR_POSITIONAL),
            inspect.Parameter("named", inspect.Parameter.VAR_KEYWORD),
        ]
    )

    def __init__(self, begin: Callable[[Arrival, dict[str, Any]], object]) -> None:
        self._begin = begin

    def __call__(self, arrival: Arrival, /, *positional: Any, **named: Any) -> Result:
        try:
            if positional:
                raise params_error(msgspec.ValidationError("Expected `object`, got `array`"))
            return Success(self._begin(arrival, named))
        except AuroraError as refusal:
            error = wire_error(refusal)
            return Error(error.code, error.message, error.data)


Registry = Mapping[str, _Starter]


def registry(bindings: Iterable[Binding[Any, Any]]) -> Registry:
    """The dispatch table. Raises ValueError when two bindings name one method."""
    table = {CANCEL: _Starter(_cancel)}
    for binding in bindings:
        if binding.method.name in table:
            raise ValueError(f"{binding.method.name} is bound twice")
        table[binding.method.name] = _Starter(partial(_start, binding))
    return table


def dispatch(
    message: Any, table: Registry, session: Session[E], *, in_batch: bool = False
) -> Started[E] | bytes | None:
    """Applies the rules of JSON-RPC 2.0 to one decoded message.

    Returns the call it started, or the encoded reply where that is known at once, or None where nothing is to be said
    (a notification, whether it was started or refused).
    """
    known = type(message) is dict
    arrival = Arrival(session, message.get("id") if known else None, not (known and "id" in message), in_batch)
    answer: Any = dispatch_to_serializable(
        message, methods=table, context=arrival, deserializer=_as_it_is, validator=check_request
    )
    if answer is None:
        return None
    if "error" in answer:
        return failure(answer["id"], _tidy(answer["error"]))
    result: object = answer["result"]
    return result if isinstance(result, Started) else success(answer["id"], result)


def _as_it_is(message: Any) -> Any:
    return message


def _tidy(error: dict[str, Any]) -> WireError:
    """The library puts exception texts into its own errors: those become the specification's plain ones."""
    code = error["code"]
    if code in (INVALID_REQUEST, METHOD_NOT_FOUND):
        return standard_error(code)
    if code in (INTERNAL_ERROR, _LIBRARY_FAILED):
        return standard_error(INTERNAL_ERROR)
    return WireError(code, error["message"], error.get("data", UNSET))


def _cancel(arrival: Arrival, named: dict[str, Any]) -> dict[str, bool]:
    return {"cancelled": arrival.session.cancel(named.get("id"))}


def _start(binding: Binding[Any, Any], arrival: Arrival, named: dict[str, Any]) -> Started[Any]:
    meta = named.pop(_META, None)
    try:
        handoff = None if meta is None else msgspec.convert(meta, Handoff)
    except msgspec.ValidationError as error:
        raise params_error(error, f"params.{_META}") from error
    try:
        params = msgspec.convert(named, binding.method.params)
    except msgspec.ValidationError as error:
        raise params_error(error) from error
    session = arrival.session
    key, digest, trace = None, b"", None
    if handoff is not None:
        trace = handoff.traceparent
        if not arrival.notification:
            key = (session.principal.id, handoff.handoff_id, arrival.request_id)
            digest = hashlib.blake2b(_canonical([binding.method.name, named]), digest_size=16).digest()
    context = CallContext(session.principal, handoff, arrival.request_id, trace)
    call = Call(binding, params, context, _seconds(handoff, session.limits), key, digest)
    return Started(session.start(call, arrival))


def _seconds(handoff: Handoff | None, limits: RpcLimits) -> float:
    if handoff is None:
        return limits.call_seconds
    left = (handoff.deadline - datetime.now(UTC)).total_seconds()
    if left <= 0:
        raise AuroraError(DEADLINE_EXCEEDED)
    return min(left, limits.max_call_seconds)
